// Go's side of the comparison: a WebSocket echo in two models, standard library only.
//
//	peer goroutines   a goroutine for each connection, with a buffered reader and writer
//	peer epoll        one epoll set over the same connections, and one buffer for all of them
//
// It says on stdout where it listens, as iomodels.measure.child does, and ends when stdin does.
package main

import (
	"fmt"
	"log"
	"net"
	"os"
)

func main() {
	models := map[string]func(net.Listener) error{"goroutines": goroutines, "epoll": epoll}
	if len(os.Args) != 2 || models[os.Args[1]] == nil {
		log.Fatal("usage: peer goroutines|epoll")
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
