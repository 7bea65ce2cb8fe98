// One epoll set over the connections of the net package, as the servers of the article have it:
// no goroutine and no buffer for one that is idle. What Go keeps is its net.Conn, and a place in a
// map; it also keeps every connection in the epoll set of its own runtime.
//
// Half a frame, or half a request, is kept until the rest of it comes.

package main

import (
	"bytes"
	"log"
	"net"
	"sync"
	"syscall"
)

type client struct {
	conn net.Conn
	open bool   // the handshake is over
	kept []byte // what has come of something that is not there whole
}

// clients are known by fd. One goroutine accepts, the other serves: hence the lock.
type clients struct {
	sync.RWMutex
	set  int
	byFd map[int32]*client
}

func epoll(listener net.Listener) error {
	set, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	known := &clients{set: set, byFd: map[int32]*client{}}
	go known.serve()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		if err := known.add(conn); err != nil {
			return err
		}
	}
}

func (known *clients) add(conn net.Conn) error {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	var fd int
	raw.Control(func(number uintptr) { fd = int(number) })
	known.Lock()
	known.byFd[int32(fd)] = &client{conn: conn}
	known.Unlock()
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)}
	return syscall.EpollCtl(known.set, syscall.EPOLL_CTL_ADD, fd, &event)
}

func (known *clients) serve() {
	events := make([]syscall.EpollEvent, 1024)
	window := make([]byte, 256*1024)
	for {
		count, err := syscall.EpollWait(known.set, events, -1)
		if err != nil && err != syscall.EINTR {
			log.Fatal(err)
		}
		for i := 0; i < count; i++ {
			fd := events[i].Fd
			known.RLock()
			client := known.byFd[fd]
			known.RUnlock()
			if !client.ready(int(fd), window) {
				known.Lock()
				delete(known.byFd, fd) // before it is closed: the number is free at once
				known.Unlock()
				client.conn.Close()
			}
		}
	}
}

// ready reads once and answers what is there whole; false: the connection is over.
func (client *client) ready(fd int, window []byte) bool {
	before := copy(window, client.kept)
	n, err := syscall.Read(fd, window[before:])
	if err == syscall.EAGAIN || err == syscall.EINTR {
		return true
	}
	if n <= 0 {
		return false
	}
	data, out := window[:before+n], []byte(nil)
	if !client.open {
		end := bytes.Index(data, []byte("\r\n\r\n"))
		if end < 0 {
			client.kept = append([]byte(nil), data...)
			return len(data) < 8192
		}
		if out, err = upgrade(data[:end+2]); err != nil {
			return false
		}
		client.open, data = true, data[end+4:]
	}
	out, data, err = echoAll(out, data)
	if client.kept = nil; len(data) > 0 {
		client.kept = append([]byte(nil), data...)
	}
	if len(out) > 0 {
		if _, failed := client.conn.Write(out); failed != nil {
			return false
		}
	}
	return err == nil && len(data) < len(window)
}

// echoAll appends the answers to the frames that are there whole, and returns what is left.
func echoAll(out, data []byte) ([]byte, []byte, error) {
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
