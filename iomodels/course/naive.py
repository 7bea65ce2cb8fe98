"""A server that trusts everybody: an echo with epoll, as many are written first.

It is right as long as its clients are. Each mistake that lesson 14 mends is marked WRONG:

    1. Nobody has a deadline: a client may take as long as it likes.
    2. No room for a connection, and it asks again at once: the listener stays readable, so the loop
       spins. With `spare`, it turns the client away instead, which is one of the two cures.
    3. It keeps what a client does not take, however much that is, and reads on.
    4. SIGTERM ends it in the middle: what was asked and not yet answered is lost.

What the course's own server does in each place is in servers/connections.py.
"""

from __future__ import annotations

import os
from select import EPOLLIN, EPOLLOUT

from iomodels.apps import App
from iomodels.kernel import Kernel

WINDOW = 256 * 1024  # bytes that one read may bring, as in servers/connections.py


def serve(listener: int, app: App, kernel: Kernel, *, spare: bool = False) -> None:
    """Echo until a signal ends the process. `app` is not asked."""
    reserve = open_reserve() if spare else -1
    epoll = kernel.epoll()
    kernel.set_blocking(listener, False)
    epoll.register(listener, EPOLLIN)
    unsent: dict[int, bytearray] = {}  # by fd
    while True:
        for fd, event in epoll.poll():  # WRONG (1): sleeps without a deadline
            if fd == listener:
                try:
                    new = kernel.accept(listener)
                except OSError:  # EMFILE, or nobody is there any more
                    if spare:
                        reserve = turn_away(listener, kernel, reserve)
                    continue  # WRONG (2): the listener is still readable
                kernel.set_blocking(new, False)
                epoll.register(new, EPOLLIN)
                unsent[new] = bytearray()
            elif step(fd, event, kernel, unsent[fd]):
                wants = EPOLLIN | EPOLLOUT if unsent[fd] else EPOLLIN
                epoll.modify(fd, wants)  # WRONG (3): it reads on from one who does not
            else:
                epoll.unregister(fd)
                kernel.close(fd)
                del unsent[fd]


def step(fd: int, event: int, kernel: Kernel, unsent: bytearray) -> bool:
    """Read what has come, send what goes; return False when the client is gone."""
    try:
        if event & ~EPOLLOUT:
            window = bytearray(WINDOW)
            n = kernel.readv(fd, [window])
            if n == 0:
                return False
            unsent += window[:n]  # WRONG (3): nobody looks how much there is
        del unsent[: kernel.write(fd, unsent)]
    except BlockingIOError:
        pass
    except OSError:  # ECONNRESET, EPIPE
        return False
    return True


def open_reserve() -> int:
    """Hold a descriptor that is good for nothing, so as to have one to give up."""
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


def turn_away(listener: int, kernel: Kernel, reserve: int) -> int:
    """Accept one client with the number that the reserve had, hang up, and take a reserve again.

    Between the first line and the last, nobody else in this process may open anything.
    """
    kernel.close(reserve)
    try:
        kernel.close(kernel.accept(listener))
    except OSError:  # it has left by itself
        pass
    return open_reserve()
