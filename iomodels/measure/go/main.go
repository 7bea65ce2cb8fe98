// Go's side of the comparison, standard library only: a WebSocket echo in four models, a
// chat, and goroutines that do nothing.
//
//	peer goroutines   a goroutine for each connection, with 4 KiB to read into and 4 to write from
//	peer tuned        the same with 128 bytes to read into, and a writer only while there is an answer
//	peer epoll        one epoll set of our own over the connections of the net package
//	peer epoll-fds    one epoll set over fds; the net package is left out
//	peer chat         a chat: a goroutine for each connection, and one more for each in the room
//	peer idle         no connections: goroutines that wait on a channel, as many as stdin asks for
//
// A server says on stdout where it listens, in one line of JSON. All of them end when stdin does.
package main

import (
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"syscall"
	"time"
)

var models = map[string]func(net.Listener) error{
	"goroutines": func(l net.Listener) error { return goroutines(l, 4096, true) },
	"tuned":      func(l net.Listener) error { return goroutines(l, 128, false) },
	"epoll":      epoll,
	"epoll-fds":  epollFds,
	"chat":       chat,
}

func main() {
	log.SetFlags(0)
	if len(os.Args) == 2 && os.Args[1] == "idle" {
		idle()
		return
	}
	if len(os.Args) != 2 || models[os.Args[1]] == nil {
		log.Fatal("usage: peer goroutines|tuned|epoll|epoll-fds|chat|idle")
	}
	go holdLeash()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("{\"address\": [\"127.0.0.1\", %d]}\n", listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(models[os.Args[1]](listener))
}

// holdLeash ends the process when its parent lets go of stdin, or is no more.
func holdLeash() {
	var buffer [64]byte
	for {
		if n, err := os.Stdin.Read(buffer[:]); n == 0 || err != nil {
			os.Exit(0)
		}
	}
}

// accept waits for the next client. Out of descriptors, it waits for one of them to come back.
func accept(listener net.Listener) (net.Conn, error) {
	for {
		conn, err := listener.Accept()
		if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) {
			return conn, err
		}
		time.Sleep(10 * time.Millisecond)
	}
}
