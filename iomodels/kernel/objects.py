"""The seam for a library that wants objects: a socket and a selector which call a kernel object.

A server that is written in system calls makes them through the kernel object itself. A library such
as asyncio has its own loop, and calls the methods of what it is given. Given these two, its calls
go the same way, and can be recorded and made to fail like any other server's.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
from collections.abc import Iterable, Mapping
from select import EPOLLIN, EPOLLOUT
from typing import TYPE_CHECKING, Any

from iomodels.kernel import Kernel

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["KernelSelector", "KernelSocket"]


class KernelSelector(selectors.BaseSelector):
    """`selectors.EpollSelector`, on the epoll of a kernel object: what the loop waits with."""

    def __init__(self, kernel: Kernel) -> None:
        self.epoll = kernel.epoll()
        self.keys: dict[int, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        self.epoll.register(fileobj, to_epoll(events))  # asyncio gives the number
        self.keys[fileobj] = key = selectors.SelectorKey(fileobj, fileobj, events, data)
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        if events != self.keys[fileobj].events:
            self.epoll.modify(fileobj, to_epoll(events))
        self.keys[fileobj] = key = selectors.SelectorKey(fileobj, fileobj, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        key = self.keys.pop(fileobj)
        with contextlib.suppress(OSError):  # EBADF, ENOENT: it was closed before
            self.epoll.unregister(fileobj)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = []
        for fd, event in self.epoll.poll(timeout):
            if key := self.keys.get(fd):
                ready.append((key, key.events & from_epoll(event)))
        return ready

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self.keys

    def close(self) -> None:
        self.keys.clear()
        self.epoll.close()


def to_epoll(events: int) -> int:
    """The events that epoll should watch for."""
    reading = EPOLLIN if events & selectors.EVENT_READ else 0
    return reading | (EPOLLOUT if events & selectors.EVENT_WRITE else 0)


def from_epoll(event: int) -> int:
    """What epoll says, for asyncio: EPOLLERR and EPOLLHUP concern who reads and who writes."""
    reading = selectors.EVENT_READ if event & ~EPOLLOUT else 0
    return reading | (selectors.EVENT_WRITE if event & ~EPOLLIN else 0)


class KernelSocket(socket.socket):
    """A socket object that makes the calls of a transport through a kernel object.

    Two calls go past it, once for each connection, and move no byte: to make its transport, asyncio
    asks for both addresses.
    """

    __slots__ = ("kernel",)

    def __init__(self, kernel: Kernel, fd: int) -> None:
        # The family is a claim, as in kernel.borrowed: it spares three calls.
        super().__init__(socket.AF_INET6, socket.SOCK_STREAM, 0, fd)
        self.kernel = kernel

    def setblocking(self, flag: bool) -> None:
        self.kernel.set_blocking(self.fileno(), flag)

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        return self.kernel.readv(self.fileno(), [buffer])

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        return self.kernel.write(self.fileno(), data)

    def sendmsg(  # type: ignore[override]  # the rest of its parameters is not for TCP
        self, buffers: Iterable[ReadableBuffer]
    ) -> int:
        return self.kernel.writev(self.fileno(), list(buffers))

    def shutdown(self, how: int) -> None:
        self.kernel.shutdown(self.fileno(), how)

    def close(self) -> None:
        if (fd := self.detach()) >= 0:
            with contextlib.suppress(OSError):  # Linux has freed the number all the same
                self.kernel.close(fd)
