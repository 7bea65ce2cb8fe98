// What both epoll servers do with bytes that have come, no I/O in it.

package main

import "bytes"

// hear answers what is there whole, and returns the answer, and what is to be kept until more of it
// comes. `open` tells whether the handshake is over. With an error, the connection ends after the
// answer.
func hear(open *bool, data []byte) (out, rest []byte, err error) {
	if !*open {
		end := bytes.Index(data, []byte("\r\n\r\n"))
		if end < 0 {
			if len(data) > longestRequest {
				return nil, nil, errProtocol
			}
			return nil, data, nil
		}
		if out, err = upgrade(data[:end+2]); err != nil {
			return nil, nil, err
		}
		*open, data = true, data[end+4:]
	}
	for {
		first, size, length, whole, err := decode(data)
		if err != nil || !whole || size+length > len(data) {
			return out, data, err
		}
		payload := data[size : size+length]
		unmask(payload, data[size-4:])
		if reply := answer(first); reply != 0 {
			out = append(appendHeader(out, reply, length), payload...)
		}
		if first&0x0f == opClose {
			return out, nil, errProtocol
		}
		data = data[size+length:]
	}
}
