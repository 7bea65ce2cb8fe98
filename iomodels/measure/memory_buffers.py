"""epoll, with two buffers for each connection that it keeps while nobody speaks.

    python -m iomodels.measure.memory_buffers BYTES

The loop is that of memory_peers.py, and the calls are those of servers/epoll.py. That one reads
everybody's bytes into one window and keeps what the kernel did not take; this one has a buffer of
so many bytes to read into and one to write from for each connection, as bufio.Reader and
bufio.Writer do in Go. What an idle connection takes is then what its buffers take. Lesson 12
compares the two.
"""

from __future__ import annotations

import socket
import sys
import threading

from iomodels.measure.child import hold_leash, say
from iomodels.measure.limits import raise_soft_limit
from iomodels.measure.memory_peers import epoll_with_objects
from iomodels.servers.listening import listen


class Client:
    """A connection, and its two buffers. What waits to be sent is outgoing[first:end]."""

    __slots__ = ("end", "first", "incoming", "outgoing", "sock")

    def __init__(self, sock: socket.socket, size: int) -> None:
        self.sock = sock
        self.incoming, self.outgoing = bytearray(size), bytearray(size)
        self.first = self.end = 0

    @property
    def unsent(self) -> bool:
        """Whether something waits to be sent."""
        return self.first < self.end

    def ready(self) -> bool:
        """Read unless something waits to be sent, answer, and return whether it goes on."""
        try:
            if not self.unsent:
                self.first, self.end = 0, self.sock.recv_into(self.incoming)
                if not self.end:
                    return False
                self.outgoing[: self.end] = self.incoming[: self.end]
            self.first += self.sock.send(memoryview(self.outgoing)[self.first : self.end])
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True


def main(size: str) -> None:
    """Listen, say where, and serve until the leash, stdin, ends (child.py)."""
    raise_soft_limit()
    with listen() as listener:
        threading.Thread(target=hold_leash, daemon=True).start()
        say(address=listener.getsockname())
        epoll_with_objects(listener, lambda sock: Client(sock, int(size)))


if __name__ == "__main__":
    main(*sys.argv[1:])
