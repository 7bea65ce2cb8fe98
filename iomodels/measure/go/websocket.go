// RFC 6455 as far as an echo needs it: the upgrade, a client's frame, a server's header.
// Fragments go back as fragments, so that there is no message to put together.

package main

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
)

const (
	limit         = 1 << 20 // bytes that a frame may have
	longestHeader = 14
	opClose       = 8
	opPing        = 9
	opPong        = 10
)

var errProtocol = errors.New("the client broke a rule of RFC 6455")

// upgrade answers a request that is there whole, up to its empty line.
func upgrade(request []byte) ([]byte, error) {
	for _, line := range bytes.Split(request, []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Sec-WebSocket-Key")) {
			key := string(bytes.TrimSpace(value)) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
			sum := sha1.Sum([]byte(key))
			return []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n" +
				"Connection: Upgrade\r\nSec-WebSocket-Accept: " +
				base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n"), nil
		}
	}
	return nil, errProtocol
}

// decode reads a client's header: the first byte, the bytes of the header with its mask, and those
// of the payload. When it is not there whole, size is how many bytes of it to come back with.
func decode(data []byte) (first byte, size, length int, whole bool, err error) {
	if len(data) < 2 {
		return 0, 2, 0, false, nil
	}
	first, length, size = data[0], int(data[1])-0x80, 6
	opcode := first & 0x0f
	control := opcode >= opClose
	if first&0x70 != 0 || length < 0 || opcode > opPong || opcode > 2 && !control ||
		control && (first < 0x80 || length > 125) {
		return 0, 0, 0, false, errProtocol
	}
	switch length {
	case 126:
		if size = 8; len(data) >= size {
			length = int(binary.BigEndian.Uint16(data[2:]))
		}
	case 127:
		if size = 14; len(data) >= size {
			length = int(binary.BigEndian.Uint64(data[2:]))
		}
	}
	if len(data) < size {
		return 0, size, 0, false, nil
	}
	if length < 0 || length > limit {
		return 0, 0, 0, false, errProtocol
	}
	return first, size, length, true, nil
}

// unmask XORs a payload with its key, eight bytes at a time.
func unmask(payload []byte, key []byte) {
	four := uint64(binary.LittleEndian.Uint32(key))
	eight := four<<32 | four
	for len(payload) >= 8 {
		binary.LittleEndian.PutUint64(payload, binary.LittleEndian.Uint64(payload)^eight)
		payload = payload[8:]
	}
	for i := range payload {
		payload[i] ^= key[i&3]
	}
}

// answer tells the first byte of the frame that answers one; 0 when none does.
func answer(first byte) byte {
	switch first & 0x0f {
	case opPing:
		return 0x80 | opPong
	case opPong:
		return 0
	}
	return first
}

// appendHeader appends a server's header.
func appendHeader(out []byte, first byte, length int) []byte {
	switch {
	case length <= 125:
		return append(out, first, byte(length))
	case length <= 0xffff:
		return binary.BigEndian.AppendUint16(append(out, first, 126), uint16(length))
	}
	return binary.BigEndian.AppendUint64(append(out, first, 127), uint64(length))
}
