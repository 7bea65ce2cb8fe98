// One epoll set over the connections of the net package, as the servers of the article have it: no
// goroutine and no buffer for one that is idle. What Go keeps is its net.Conn, and a place in a
// map; it also keeps every connection in the epoll set of its own runtime.
//
// What the article's servers get wrong is right here. Half a frame, or half a request, is kept
// until the rest of it comes, and holds up nobody. All frames of a read are answered, those that
// come with the handshake too. An answer that a client does not take is left to a goroutine, and
// nothing more is read from that client until it is out. Deadlines there are none.

package main

import (
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

// clients are known by fd. One goroutine accepts, one serves, and some may be writing: hence the
// lock.
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
		conn, err := accept(listener)
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
	return watch(known.set, syscall.EPOLL_CTL_ADD, int32(fd), syscall.EPOLLIN)
}

func (known *clients) drop(fd int32, client *client) {
	known.Lock()
	delete(known.byFd, fd) // before it is closed: the number is free at once
	known.Unlock()
	client.conn.Close()
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
			if !known.ready(fd, client, window) {
				known.drop(fd, client)
			}
		}
	}
}

// ready reads once and answers what is there whole; false: the connection is over.
func (known *clients) ready(fd int32, client *client, window []byte) bool {
	before := copy(window, client.kept)
	n, err := syscall.Read(int(fd), window[before:])
	if err == syscall.EAGAIN || err == syscall.EINTR {
		return true
	}
	if n <= 0 {
		return false
	}
	out, rest, err := hear(&client.open, window[:before+n])
	if client.kept = nil; len(rest) > 0 {
		client.kept = append([]byte(nil), rest...)
	}
	goesOn := err == nil && len(rest) < len(window)
	if len(out) == 0 {
		return goesOn
	}
	sent, err := syscall.Write(int(fd), out)
	if sent == len(out) {
		return goesOn
	}
	if err != nil && err != syscall.EAGAIN && err != syscall.EINTR {
		return false
	}
	// Off the list, for EPOLLHUP and EPOLLERR are reported whether one asks for them or not.
	watch(known.set, syscall.EPOLL_CTL_DEL, fd, 0)
	go known.write(fd, client, out[max(sent, 0):], goesOn)
	return true
}

// write sends what the kernel did not take at once; then the client is heard again.
func (known *clients) write(fd int32, client *client, out []byte, goesOn bool) {
	_, err := client.conn.Write(out)
	if err == nil && goesOn {
		err = watch(known.set, syscall.EPOLL_CTL_ADD, fd, syscall.EPOLLIN)
	}
	if err != nil || !goesOn {
		known.drop(fd, client)
	}
}

func watch(set, how int, fd int32, events uint32) error {
	event := syscall.EpollEvent{Events: events, Fd: fd}
	return syscall.EpollCtl(set, how, int(fd), &event)
}
