// One epoll set over fds, by system calls alone. The net package is left out, and with it net.Conn,
// deadlines, TLS and all that is written for them: an idle connection is a byte in a slice. This is
// the server of iomodels/servers/epoll.py in Go; it shows what the model costs in either language.
//
// Half a frame is kept until the rest of it comes; what the kernel does not take is kept until it
// does, and nothing more is read from that client until then.

package main

import (
	"net"
	"syscall"
	"time"
)

type fdServer struct {
	set    int
	open   []bool           // by fd: the handshake is over
	kept   map[int32][]byte // what has come of something that is not there whole
	unsent map[int32][]byte // what the kernel has not taken
	ending map[int32]bool   // ends when that is out
	window []byte
}

func epollFds(listener net.Listener) error {
	file, err := listener.(*net.TCPListener).File() // a copy of the fd, which Go's runtime ignores
	if err != nil {
		return err
	}
	defer file.Close() // and it stays open until then
	listening := int32(file.Fd())
	if err := syscall.SetNonblock(int(listening), true); err != nil {
		return err
	}
	set, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := watch(set, syscall.EPOLL_CTL_ADD, listening, syscall.EPOLLIN); err != nil {
		return err
	}
	s := &fdServer{
		set: set, kept: map[int32][]byte{}, unsent: map[int32][]byte{}, ending: map[int32]bool{},
		window: make([]byte, 256*1024),
	}
	events := make([]syscall.EpollEvent, 1024)
	for {
		count, err := syscall.EpollWait(set, events, -1)
		if err != nil && err != syscall.EINTR {
			return err
		}
		for i := 0; i < count; i++ {
			if fd := events[i].Fd; fd == listening {
				if err := s.accept(fd); err != nil {
					return err
				}
			} else if !s.ready(fd) {
				s.drop(fd)
			}
		}
	}
}

// accept takes all who wait. Out of descriptors, it leaves them where they are for a moment.
func (s *fdServer) accept(listening int32) error {
	for {
		fd, _, err := syscall.Accept4(int(listening), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		switch err {
		case nil:
		case syscall.EINTR, syscall.ECONNABORTED:
			continue
		case syscall.EAGAIN:
			return nil
		case syscall.EMFILE, syscall.ENFILE:
			time.Sleep(10 * time.Millisecond)
			return nil
		default:
			return err
		}
		// Go's net package does this; without it, an answer may wait for an acknowledgement.
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
		for fd >= len(s.open) {
			s.open = append(s.open, false)
		}
		s.open[fd] = false
		if err := watch(s.set, syscall.EPOLL_CTL_ADD, int32(fd), syscall.EPOLLIN); err != nil {
			syscall.Close(fd)
		}
	}
}

func (s *fdServer) drop(fd int32) {
	delete(s.kept, fd)
	delete(s.unsent, fd)
	delete(s.ending, fd)
	syscall.Close(int(fd))
}

// ready does one step: it sends what is left, or reads once and answers; false: it is over.
func (s *fdServer) ready(fd int32) bool {
	if rest := s.unsent[fd]; rest != nil {
		return s.send(fd, rest, !s.ending[fd])
	}
	before := copy(s.window, s.kept[fd])
	n, err := syscall.Read(int(fd), s.window[before:])
	if err == syscall.EAGAIN || err == syscall.EINTR {
		return true
	}
	if n <= 0 {
		return false
	}
	out, rest, err := hear(&s.open[fd], s.window[:before+n])
	if len(rest) > 0 {
		s.kept[fd] = append([]byte(nil), rest...)
	} else if before > 0 {
		delete(s.kept, fd)
	}
	return s.send(fd, out, err == nil && len(rest) < len(s.window))
}

// send gives the kernel what it takes, and waits for room when it does not take all.
func (s *fdServer) send(fd int32, out []byte, goesOn bool) bool {
	waited := s.unsent[fd] != nil
	if len(out) > 0 {
		n, err := syscall.Write(int(fd), out)
		if err != nil && err != syscall.EAGAIN && err != syscall.EINTR {
			return false
		}
		out = out[max(n, 0):]
	}
	if len(out) > 0 {
		s.unsent[fd], s.ending[fd] = out, !goesOn
		return waited || watch(s.set, syscall.EPOLL_CTL_MOD, fd, syscall.EPOLLOUT) == nil
	}
	if waited {
		delete(s.unsent, fd)
		delete(s.ending, fd)
		return goesOn && watch(s.set, syscall.EPOLL_CTL_MOD, fd, syscall.EPOLLIN) == nil
	}
	return goesOn
}
