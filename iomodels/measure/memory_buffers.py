"""epoll, with two buffers for each connection that it keeps while nobody speaks.

    python -m iomodels.measure.memory_buffers BYTES

The same calls as iomodels/servers/epoll.py. That one reads everybody's bytes into one window and
keeps what the kernel did not take; this one has a buffer of so many bytes to read into and one to
write from for each connection, as bufio.Reader and bufio.Writer do in Go. What an idle connection
takes is then what its buffers take. Lesson 12 compares the two.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import threading

from iomodels.measure.child import hold_leash, say
from iomodels.measure.limits import raise_soft_limit
from iomodels.servers.listening import listen


class Client:
    """A connection, and its two buffers. What waits to be sent is outgoing[first:end]."""

    __slots__ = ("end", "first", "incoming", "outgoing", "sock")

    def __init__(self, sock: socket.socket, size: int) -> None:
        self.sock = sock
        self.incoming, self.outgoing = bytearray(size), bytearray(size)
        self.first = self.end = 0

    def ready(self) -> bool:
        """Read unless something waits to be sent, answer, and return whether it goes on."""
        try:
            if self.first == self.end:
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


def serve(listener: socket.socket, size: int) -> None:
    """Echo, with two buffers of `size` bytes for each connection."""
    clients: dict[int, Client] = {}
    listener.setblocking(False)
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    while True:
        for fd, _ in epoll.poll():
            if fd == listener.fileno():
                with contextlib.suppress(BlockingIOError):
                    sock, _ = listener.accept()
                    sock.setblocking(False)
                    clients[sock.fileno()] = Client(sock, size)
                    epoll.register(sock, select.EPOLLIN)
                continue
            client = clients[fd]
            if not client.ready():
                clients.pop(fd).sock.close()
            else:
                waits = client.first < client.end
                epoll.modify(fd, select.EPOLLOUT if waits else select.EPOLLIN)


def main(size: str) -> None:
    """Listen, say where, and serve until the leash, stdin, ends (child.py)."""
    raise_soft_limit()
    with listen() as listener:
        threading.Thread(target=hold_leash, daemon=True).start()
        say(address=listener.getsockname())
        serve(listener, int(size))


if __name__ == "__main__":
    main(*sys.argv[1:])
