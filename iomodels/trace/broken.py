"""Servers that are wrong on purpose, each beside the one that is right. Both are echoes.

Two bugs that epoll invites to, and neither shows in a test with one short message:

    edge-once       edge-triggered, and one read for each event. What the read leaves behind is not
                    reported again: the client waits for its answer, the server for the client.
    edge-drained    its cure: read until the kernel says EAGAIN.

    dup-forgotten   something has made a copy of the connection's descriptor: a library that wants
                    one of its own, a child that was forked. close(2) closes the number. The open
                    file description lives on in the copy, and so does its place on the interest
                    list: it is reported for ever, under a number that is closed, and soon somebody
                    else's (man 7 epoll, "Questions and answers", 6).
    dup-removed     its cure: take the descriptor off the list, then close it.

They are as short as they can be, and handle no error that the scenarios do not make.
"""

from __future__ import annotations

import functools
import os
from select import EPOLLET, EPOLLIN

from iomodels.apps import App
from iomodels.kernel import EpollPoller, Kernel
from iomodels.servers import Serve

SMALL = 4  # bytes that one read takes: less than the client sends


def edge(listener: int, app: App, kernel: Kernel, *, drain: bool) -> None:
    """Echo, edge-triggered; whether each event is read to its end is what differs."""
    epoll = kernel.epoll()
    kernel.set_blocking(listener, False)
    epoll.register(listener, EPOLLIN)
    while True:
        for fd, _ in epoll.poll():
            if fd == listener:
                fd = kernel.accept(listener)
                kernel.set_blocking(fd, False)
                epoll.register(fd, EPOLLIN | EPOLLET)
            elif drain:
                read_all(fd, kernel)
            else:
                read_once(fd, kernel)


def read_once(fd: int, kernel: Kernel) -> bool:
    """Read, and send it back; return False at the end of the stream. WRONG where it is all."""
    window = bytearray(SMALL)
    n = kernel.readv(fd, [window])
    if n:
        kernel.write(fd, window[:n])
    else:
        kernel.close(fd)
    return n > 0


def read_all(fd: int, kernel: Kernel) -> None:
    """Read until the kernel says EAGAIN: only then will there be another event."""
    try:
        while read_once(fd, kernel):
            pass
    except BlockingIOError:
        pass


def copied(listener: int, app: App, kernel: Kernel, *, remove: bool) -> None:
    """Echo, level-triggered, where somebody keeps a copy of each connection's descriptor."""
    epoll = kernel.epoll()
    kernel.set_blocking(listener, False)
    epoll.register(listener, EPOLLIN)
    while True:
        for fd, _ in epoll.poll():
            if fd == listener:
                fd = kernel.accept(listener)
                kernel.set_blocking(fd, False)
                epoll.register(fd, EPOLLIN)
                keep_a_copy(fd, kernel)
            else:
                answer(fd, kernel, epoll, remove)


def keep_a_copy(fd: int, kernel: Kernel) -> None:
    """Stand for a library that makes a descriptor of its own, and keeps it."""
    getattr(kernel, "dup", os.dup)(fd)


def answer(fd: int, kernel: Kernel, epoll: EpollPoller, remove: bool) -> None:
    """Read, and send it back; at the end of the stream, close. `remove`: and do that first."""
    window = bytearray(1024)
    try:
        n = kernel.readv(fd, [window])
    except BlockingIOError:  # the event was not about this one
        return
    except OSError:  # EBADF: nor about any that is open
        return
    if n:
        kernel.write(fd, window[:n])
        return
    if remove:
        epoll.unregister(fd)
    kernel.close(fd)


MODELS: dict[str, tuple[str, Serve]] = {
    "edge-once": ("wrong: edge-triggered, one read for each event",
                  functools.partial(edge, drain=False)),
    "edge-drained": ("right: edge-triggered, each event read until EAGAIN",
                     functools.partial(edge, drain=True)),
    "dup-forgotten": ("wrong: closed while a copy is open, and still on epoll's list",
                      functools.partial(copied, remove=False)),
    "dup-removed": ("right: taken off epoll's list, then closed",
                    functools.partial(copied, remove=True)),
}  # fmt: skip
