// A chat: what one says, everybody hears. The protocol is that of iomodels/apps/chat.py.
//
// A goroutine for each user reads. Who has given a name is in the room, and has a second goroutine
// that writes what waits in its channel, as much as there is in one call. Everybody hears the same
// in the same order, for what is said is put into all channels under one lock. Who does not read has
// a full channel, and is cut off: nobody waits for it.

package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	patience    = 10 * time.Second // for a newcomer's request
	waiting     = 256              // frames that may wait for one user
	longestText = 4096
	opText      = 1
)

type room struct {
	sync.Mutex
	users map[*user]bool
}

type user struct {
	conn net.Conn
	in   *bufio.Reader
	name string
	out  chan []byte // nil: it is not in the room, and its reader writes for it
}

func chat(listener net.Listener) error {
	everyone := &room{users: map[*user]bool{}}
	for {
		conn, err := accept(listener)
		if err != nil {
			return err
		}
		go func() {
			u := &user{conn: conn, in: bufio.NewReaderSize(conn, 512)}
			if u.shakeHands() == nil {
				u.listen(everyone)
			}
			everyone.leave(u)
		}()
	}
}

func (r *room) say(text string) {
	frame := serverFrame(opText, []byte(text))
	r.Lock()
	defer r.Unlock()
	for u := range r.users {
		select {
		case u.out <- frame:
		default:
			u.conn.Close() // its reader finds out, and leaves
		}
	}
}

func (r *room) enter(u *user, name string) {
	r.Lock()
	u.name, u.out = name, make(chan []byte, waiting)
	r.users[u] = true
	r.Unlock()
	go u.write()
	r.say("* " + name + " has come")
}

func (r *room) leave(u *user) {
	if u.out == nil {
		u.conn.Close()
		return
	}
	r.Lock()
	delete(r.users, u)
	close(u.out) // its writer sends what is left, and closes the connection
	r.Unlock()
	r.say("* " + u.name + " has gone")
}

// write sends what waits, as many frames as there are in one call.
func (u *user) write() {
	defer u.conn.Close()
	out := bufio.NewWriterSize(u.conn, 4096)
	for frame := range u.out {
		out.Write(frame)
		if len(u.out) == 0 && out.Flush() != nil {
			return
		}
	}
	out.Flush()
}

// send sends a frame to this user only.
func (u *user) send(frame []byte) error {
	if u.out == nil {
		_, err := u.conn.Write(frame)
		return err
	}
	select {
	case u.out <- frame:
		return nil
	default:
		return errors.New("it does not read")
	}
}

func (u *user) shakeHands() error {
	u.conn.SetReadDeadline(time.Now().Add(patience))
	defer u.conn.SetReadDeadline(time.Time{})
	var request []byte
	for !bytes.HasSuffix(request, []byte("\r\n\r\n")) {
		part, err := u.in.ReadSlice('\n')
		request = append(request, part...)
		if err != nil && err != bufio.ErrBufferFull {
			return err
		}
		if len(request) > longestRequest {
			return errProtocol
		}
	}
	response, err := upgrade(request)
	if err == nil {
		_, err = u.conn.Write(response)
	}
	return err
}

// listen takes the user's messages until it leaves.
func (u *user) listen(everyone *room) {
	var message []byte
	for {
		first, payload, err := u.frame()
		if err != nil || len(message)+len(payload) > longestText {
			return
		}
		switch first & 0x0f {
		case opPing:
			if u.send(serverFrame(opPong, payload)) != nil {
				return
			}
		case opPong:
		case opClose:
			u.send(serverFrame(opClose, payload))
			return
		default:
			message = append(message, payload...)
			if first&0x80 == 0 {
				continue
			}
			text := string(bytes.TrimSpace(message))
			message = nil
			if u.out != nil {
				everyone.say(u.name + ": " + text)
			} else if text != "" {
				everyone.enter(u, text)
			}
		}
	}
}

// frame reads one frame: its first byte, and the payload unmasked.
func (u *user) frame() (byte, []byte, error) {
	header := make([]byte, 2, longestHeader)
	if _, err := io.ReadFull(u.in, header); err != nil {
		return 0, nil, err
	}
	for {
		first, size, length, whole, err := decode(header)
		if err != nil {
			return 0, nil, err
		}
		if whole {
			if length > longestText {
				return 0, nil, errProtocol
			}
			payload := make([]byte, length)
			_, err := io.ReadFull(u.in, payload)
			unmask(payload, header[size-4:])
			return first, payload, err
		}
		have := len(header)
		header = header[:size]
		if _, err := io.ReadFull(u.in, header[have:]); err != nil {
			return 0, nil, err
		}
	}
}

func serverFrame(opcode byte, payload []byte) []byte {
	return append(appendHeader(nil, 0x80|opcode, len(payload)), payload...)
}
