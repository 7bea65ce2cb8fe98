// Goroutines that wait on a channel to which nobody sends: what a goroutine costs before it does
// anything. Each line of stdin says how many there shall be, and is answered when they wait.

package main

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
)

func idle() {
	fmt.Println(`{"connected": 0}`)
	never := make(chan struct{})
	var started atomic.Int64
	for asked, running := 0, 0; ; {
		if n, err := fmt.Fscanln(os.Stdin, &asked); n != 1 || err != nil {
			return
		}
		for ; running < asked; running++ {
			go func() {
				started.Add(1)
				<-never
			}()
		}
		for started.Load() < int64(asked) {
			runtime.Gosched()
		}
		fmt.Printf("{\"connected\": %d}\n", asked)
	}
}
