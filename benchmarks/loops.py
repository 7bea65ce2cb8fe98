"""The smallest epoll echo there is, twice: through the seam, and on bare calls.

    python -m benchmarks.loops seam|bare [CPU]

Line by line the same. There are no partial writes in it, no limits and no app: what a server costs
beyond this is what those cost.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from collections.abc import Callable

from iomodels.kernel import Kernel, live
from iomodels.measure.child import run
from iomodels.servers.connections import WINDOW


def through_the_seam(listener: int, kernel: Kernel = live) -> None:
    """Echo with the calls of a kernel."""
    accept, readv, writev, close = kernel.accept, kernel.readv, kernel.writev, kernel.close
    window = memoryview(bytearray(WINDOW))
    into = [window]
    epoll = kernel.epoll()
    epoll.register(listener, select.EPOLLIN)
    wait = epoll.poll
    while True:
        for fd, _ in wait():
            if fd == listener:
                try:
                    new = accept(listener)
                except OSError:
                    return
                epoll.register(new, select.EPOLLIN)
                continue
            n = readv(fd, into)
            if n:
                writev(fd, (window[:n],))
            else:
                close(fd)


def on_bare_calls(listener: int) -> None:
    """Echo with the calls of os and select."""
    accept, readv, writev, close = socket.socket.accept, os.readv, os.writev, os.close
    window = memoryview(bytearray(WINDOW))
    into = [window]
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    sock = socket.socket(fileno=os.dup(listener))
    wait = epoll.poll
    while True:
        for fd, _ in wait():
            if fd == listener:
                try:
                    new = accept(sock)[0].detach()
                except OSError:
                    return
                epoll.register(new, select.EPOLLIN)
                continue
            n = readv(fd, into)
            if n:
                writev(fd, (window[:n],))
            else:
                close(fd)


LOOPS: dict[str, Callable[[int], None]] = {"seam": through_the_seam, "bare": on_bare_calls}

if __name__ == "__main__":
    run(LOOPS[sys.argv[1]], *sys.argv[2:])
