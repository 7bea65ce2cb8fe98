// A goroutine for each connection, which reads, answers, and reads again. Go's runtime has the
// epoll set; a goroutine that would block is put aside until its connection is ready.
//
// By default each has a reader and a writer of 4 KiB, as net/http leaves them to whoever takes the
// connection over (http.Hijacker). Tuned, the reader has 128 bytes, and a writer is borrowed for as
// long as there is an answer to send. A frame that does not fit into the reader gets memory of its
// own while it is answered.

package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"sync"
)

const longestRequest = 8192

var writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 4096) }}

func goroutines(listener net.Listener, buffered int, keepsWriter bool) error {
	for {
		conn, err := accept(listener)
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			c := &conversation{conn: conn, keepsWriter: keepsWriter}
			c.in = bufio.NewReaderSize(c, buffered)
			c.hold()
		}()
	}
}

type conversation struct {
	conn        net.Conn
	in          *bufio.Reader // reads from the conversation itself
	out         *bufio.Writer // nil: there is nothing to send, and no writer
	keepsWriter bool
}

// Read sends what was written before it reads on: until then, there was more to answer.
func (c *conversation) Read(into []byte) (int, error) {
	if err := c.flush(); err != nil {
		return 0, err
	}
	return c.conn.Read(into)
}

func (c *conversation) writer() *bufio.Writer {
	if c.out == nil {
		c.out = writers.Get().(*bufio.Writer)
		c.out.Reset(c.conn)
	}
	return c.out
}

func (c *conversation) flush() error {
	if c.out == nil {
		return nil
	}
	err := c.out.Flush()
	if !c.keepsWriter {
		c.out.Reset(nil)
		writers.Put(c.out)
		c.out = nil
	}
	return err
}

func (c *conversation) hold() error {
	if err := c.shakeHands(); err != nil {
		return err
	}
	for {
		if first, err := c.echo(); err != nil {
			return err
		} else if first&0x0f == opClose {
			return c.flush()
		}
	}
}

func (c *conversation) shakeHands() error {
	var request []byte
	for !bytes.HasSuffix(request, []byte("\r\n\r\n")) {
		part, err := c.in.ReadSlice('\n')
		request = append(request, part...)
		if err != nil && err != bufio.ErrBufferFull { // full: a line that is longer than the reader
			return err
		}
		if len(request) > longestRequest {
			return errProtocol
		}
	}
	response, err := upgrade(request)
	if err == nil {
		_, err = c.writer().Write(response)
	}
	return err
}

// echo answers one frame and returns its first byte. A frame that fits is handled in the buffer.
func (c *conversation) echo() (byte, error) {
	header, err := c.in.Peek(2)
	if err != nil {
		return 0, err
	}
	first, size, length, whole, err := decode(header)
	if err == nil && !whole {
		if header, err = c.in.Peek(size); err != nil {
			return 0, err
		}
		first, size, length, _, err = decode(header)
	}
	if err != nil {
		return 0, err
	}
	var payload []byte
	if size+length <= c.in.Size() {
		frame, err := c.in.Peek(size + length)
		if err != nil {
			return 0, err
		}
		payload = frame[size:]
		unmask(payload, frame[size-4:])
		c.in.Discard(size + length) // nothing is overwritten before the next read
	} else {
		var key [4]byte
		copy(key[:], header[size-4:])
		c.in.Discard(size)
		payload = make([]byte, length)
		if _, err := io.ReadFull(c.in, payload); err != nil {
			return 0, err
		}
		unmask(payload, key[:])
	}
	if reply := answer(first); reply != 0 {
		var room [longestHeader]byte
		out := c.writer()
		out.Write(appendHeader(room[:0], reply, length))
		out.Write(payload)
	}
	return first, nil
}
