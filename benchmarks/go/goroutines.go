// A goroutine for each connection, 4 KiB to read into and 4 KiB to write from. Go's runtime has the
// epoll set; a goroutine that would block is put aside until its connection is ready.

package main

import (
	"bufio"
	"io"
	"net"
)

const buffered = 4096

func goroutines(listener net.Listener) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			serve(conn)
		}()
	}
}

// flushing sends what was written before it reads on: before that, there is more to answer.
type flushing struct {
	conn net.Conn
	out  *bufio.Writer
}

func (f flushing) Read(into []byte) (int, error) {
	if err := f.out.Flush(); err != nil {
		return 0, err
	}
	return f.conn.Read(into)
}

func serve(conn net.Conn) error {
	out := bufio.NewWriterSize(conn, buffered)
	in := bufio.NewReaderSize(flushing{conn, out}, buffered)
	if err := shakeHands(in, out); err != nil {
		return err
	}
	for {
		if first, err := echo(in, out); err != nil {
			return err
		} else if first&0x0f == opClose {
			return out.Flush()
		}
	}
}

func shakeHands(in *bufio.Reader, out *bufio.Writer) error {
	var request []byte
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		request = append(request, line...)
		if len(line) == 2 {
			break
		}
	}
	response, err := upgrade(request)
	if err == nil {
		_, err = out.Write(response)
	}
	return err
}

// echo answers one frame and returns its first byte. A frame that fits is handled in the buffer.
func echo(in *bufio.Reader, out *bufio.Writer) (byte, error) {
	header, err := in.Peek(2)
	if err != nil {
		return 0, err
	}
	first, size, length, whole, err := decode(header)
	if err == nil && !whole {
		if header, err = in.Peek(size); err != nil {
			return 0, err
		}
		first, size, length, _, err = decode(header)
	}
	if err != nil {
		return 0, err
	}
	var payload []byte
	if size+length <= buffered {
		frame, err := in.Peek(size + length)
		if err != nil {
			return 0, err
		}
		payload = frame[size:]
		unmask(payload, frame[size-4:])
		in.Discard(size + length) // nothing is overwritten before the next read
	} else {
		var key [4]byte
		copy(key[:], header[size-4:])
		in.Discard(size)
		payload = make([]byte, length)
		if _, err := io.ReadFull(in, payload); err != nil {
			return 0, err
		}
		unmask(payload, key[:])
	}
	if reply := answer(first); reply != 0 {
		var room [longestHeader]byte
		out.Write(appendHeader(room[:0], reply, length))
		out.Write(payload)
	}
	return first, nil
}
