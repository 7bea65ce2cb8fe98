"""An echo server on the small loop: a coroutine for each connection.

    python -m iomodels.course.small_echo

It says on stdout where it listens, and serves until stdin ends. So it can be measured beside the
servers of the course: its system calls (measure/syscalls.py), and what a connection costs it
(measure/memory.py).
"""

from __future__ import annotations

import contextlib
import threading
from socket import socket

from iomodels.course.small_loop import Loop
from iomodels.measure.child import hold_leash, say
from iomodels.measure.limits import raise_soft_limit
from iomodels.servers.listening import listen


async def serve(loop: Loop, listener: socket) -> None:
    """Accept for ever. What waits in `listener` is taken one at a time."""
    listener.setblocking(False)
    while True:
        await loop.readable(listener)
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):  # it has gone again
            loop.spawn(converse(loop, listener.accept()[0]))


async def converse(loop: Loop, sock: socket) -> None:
    """Send back what comes, to the end of the stream or to an error."""
    with sock, contextlib.suppress(ConnectionError):
        sock.setblocking(False)
        while data := await read(loop, sock):
            await write(loop, sock, data)


async def read(loop: Loop, sock: socket) -> bytes:
    """Wait until there is something, and return it; b"" at the end of the stream."""
    await loop.readable(sock)
    return sock.recv(65536)


async def write(loop: Loop, sock: socket, data: bytes) -> None:
    """Send all of it, and wait only where the kernel has no room."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[sock.send(rest) :]
        except BlockingIOError:
            await loop.writable(sock)


def main() -> None:
    """Listen, say where, and serve until the leash, stdin, ends (measure/child.py)."""
    raise_soft_limit()
    loop = Loop()
    with listen() as listener:
        threading.Thread(target=hold_leash, daemon=True).start()
        say(address=listener.getsockname())
        loop.run(serve(loop, listener))


if __name__ == "__main__":
    main()
