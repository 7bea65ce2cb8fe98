"""A kernel that does to a server what kernels really do, only more often.

Every fault here is one that Linux can produce, and the kernel's state afterwards is what it would
be then, so a server that survives does so for the right reason:

    EINTR          a signal came before anything was transferred (man 7 signal); nothing was
    spurious       select, poll, epoll and signals tell of an fd that is not ready (man 2 select,
                   "Bugs")
    EAGAIN         a non-blocking call finds nothing, or no room; edge-triggered epoll reports the
                   fd again when that has changed, and no sooner; signals do the same
    one byte       readv, writev and write transfer 1 byte of many
    no room        accept fails with EMFILE, ENFILE, ENOBUFS or ENOMEM; the client stays queued
    ECONNABORTED   accept finds that the client has left while it waited in the queue
    reset          the client is gone: ECONNRESET from a read; EPIPE or ECONNRESET from a write

`close` never fails: what Linux frees before it reports an error is covered by a comment in
`servers.connections.close`.
"""

from __future__ import annotations

import errno
import os
import random
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from select import EPOLLIN, EPOLLOUT
from typing import TYPE_CHECKING

from iomodels.kernel import RESET_ON_CLOSE, EpollPoller, LiveKernel, Poller, borrowed, live

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from iomodels.kernel.uring import Ring

__all__ = ["Faults", "FaultyKernel"]

NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass(frozen=True)
class Faults:
    """How often each fault happens: a probability for each call, from 0 to 1.

    With `resets`, every second connection is reset at one of its calls: the first of them at its
    1st call of readv, writev, write or shutdown, the next one at its 2nd, and so on, so that many
    connections are reset at every call in turn.
    """

    eintr: float = 0.0
    spurious: float = 0.0
    eagain: float = 0.0
    short_reads: float = 0.0
    short_writes: float = 0.0
    no_room: float = 0.0
    aborted: float = 0.0
    resets: bool = False


class FaultyKernel(LiveKernel):
    """The live kernel with faults, drawn from a seed; `on_reset` is told each victim's port."""

    def __init__(
        self, faults: Faults, seed: int = 0, on_reset: Callable[[int], None] = lambda port: None
    ) -> None:
        self.faults, self.on_reset = faults, on_reset
        self.chance = random.Random(seed)
        self.nonblocking: set[int] = set()
        self.asynchronous: set[int] = set()
        self.owed: dict[int, int] = {}  # by fd: events to report, for we said EAGAIN
        self.accepted = 0
        self.doomed: dict[int, int] = {}  # by fd: calls until it is reset
        self.dead: set[int] = set()  # reset, and not yet closed

    def strikes(self, probability: float) -> bool:
        return self.chance.random() < probability

    # --- calls that take an fd ---

    def accept(self, listener: int) -> int:  # type: ignore[override]
        self.interrupt()
        if listener in self.nonblocking and self.strikes(self.faults.eagain):
            fail(errno.EAGAIN)
        if self.strikes(self.faults.no_room):
            fail(self.chance.choice(NO_ROOM))
        fd = live.accept(listener)
        if self.strikes(self.faults.aborted):
            self.kill_connection(fd)
            live.close(fd)
            fail(errno.ECONNABORTED)
        if self.faults.resets and self.accepted % 2:
            self.doomed[fd] = self.accepted // 2 + 1
        self.accepted += 1
        return fd

    def readv(self, fd: int, buffers: Sequence[WriteableBuffer]) -> int:  # type: ignore[override]
        if self.is_dead(fd, errno.ECONNRESET):
            return 0
        self.interrupt()
        self.refuse(fd, EPOLLIN)
        if self.strikes(self.faults.short_reads):
            buffers = [first_byte(buffers)]
        return live.readv(fd, buffers)

    def writev(self, fd: int, buffers: Sequence[ReadableBuffer]) -> int:  # type: ignore[override]
        if self.is_dead(fd, self.chance.choice((errno.EPIPE, errno.ECONNRESET))):
            fail(errno.EPIPE)
        self.interrupt()
        self.refuse(fd, EPOLLOUT)
        if self.strikes(self.faults.short_writes):
            buffers = [first_byte(buffers)]
        return live.writev(fd, buffers)

    def write(self, fd: int, data: ReadableBuffer) -> int:
        return self.writev(fd, [data])

    def shutdown(self, fd: int, how: int) -> None:  # type: ignore[override]
        if self.is_dead(fd, errno.ENOTCONN):
            fail(errno.ENOTCONN)
        live.shutdown(fd, how)

    def close(self, fd: int) -> None:
        for known in (self.owed, self.doomed):
            known.pop(fd, None)
        self.nonblocking.discard(fd)
        self.asynchronous.discard(fd)
        self.dead.discard(fd)
        live.close(fd)  # last: the number may be somebody else's at once

    def set_blocking(self, fd: int, blocking: bool) -> None:
        (self.nonblocking.discard if blocking else self.nonblocking.add)(fd)
        live.set_blocking(fd, blocking)

    # --- calls that wait ---

    def select(  # type: ignore[override]
        self,
        read: Iterable[int],
        write: Iterable[int],
        error: Iterable[int],
        timeout: float | None = None,
    ) -> tuple[list[int], list[int], list[int]]:
        read = list(read)
        if read and self.strikes(self.faults.spurious):
            readable, writable, failed = live.select(read, write, error, 0)
            return list({*readable, self.chance.choice(read)}), writable, failed
        return live.select(read, write, error, timeout)

    def poll(self) -> Poller:  # type: ignore[override]
        return FaultyPoller(self, live.poll())

    def epoll(self) -> EpollPoller:  # type: ignore[override]
        return FaultyEpoll(self, live.epoll())

    def io_uring(self, entries: int) -> Ring:  # type: ignore[override]
        from iomodels.kernel.faulty_uring import FaultyRing

        return FaultyRing(self, live.io_uring(entries))

    def set_async(self, fd: int, number: int) -> None:  # type: ignore[override]
        self.nonblocking.add(fd)
        self.asynchronous.add(fd)
        live.set_async(fd, number)

    def sigtimedwait(  # type: ignore[override]
        self, numbers: Iterable[int], timeout: float | None
    ) -> tuple[int, int] | None:
        for fd in self.owed:  # for we said EAGAIN, and that is over now
            del self.owed[fd]
            return min(numbers), fd
        if self.asynchronous and self.strikes(self.faults.spurious):
            return min(numbers), self.chance.choice(sorted(self.asynchronous))
        return live.sigtimedwait(numbers, timeout)

    # --- the faults ---

    def interrupt(self) -> None:
        if self.strikes(self.faults.eintr):
            fail(errno.EINTR)

    def refuse(self, fd: int, event: int) -> None:
        """Say EAGAIN, where the fd may, and owe an event: an edge comes when that has changed."""
        if fd in self.nonblocking and self.strikes(self.faults.eagain):
            self.owed[fd] = self.owed.get(fd, 0) | event
            fail(errno.EAGAIN)

    def is_dead(self, fd: int, number: int) -> bool:
        """Tell whether `fd` has been reset before; raise `number` if it is reset by this call."""
        if fd in self.dead:
            return True
        if fd in self.doomed:
            self.doomed[fd] -= 1
            if self.doomed[fd] == 0:
                self.kill_connection(fd)
                self.dead.add(fd)
                fail(number)
        return False

    def kill_connection(self, fd: int) -> None:
        """See to it that the client is told of the reset as well: by the RST that close sends."""
        sock = borrowed(fd)
        try:
            port = sock.getpeername()[1]
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        except OSError:  # it had left already
            return
        finally:
            sock.detach()
        self.on_reset(port)


class FaultyPoller:
    """poll(2) that now and then reports an fd which is not ready."""

    def __init__(self, kernel: FaultyKernel, poller: Poller) -> None:
        self.kernel, self.poller = kernel, poller
        self.modify = poller.modify
        self.watched: set[int] = set()

    def register(self, fd: int, eventmask: int) -> None:
        self.poller.register(fd, eventmask)
        self.watched.add(fd)

    def unregister(self, fd: int) -> None:
        self.poller.unregister(fd)
        self.watched.discard(fd)

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        if self.watched and self.kernel.strikes(self.kernel.faults.spurious):
            fd = self.kernel.chance.choice(sorted(self.watched))
            return [(fd, EPOLLIN), *((f, e) for f, e in self.poller.poll(0) if f != fd)]
        return self.poller.poll(timeout)


class FaultyEpoll:
    """epoll(7) that reports fds which are not ready, and those whose EAGAIN is over."""

    def __init__(self, kernel: FaultyKernel, epoll: EpollPoller) -> None:
        self.kernel, self.epoll = kernel, epoll
        self.modify = epoll.modify
        self.fileno, self.close = epoll.fileno, epoll.close
        self.watched: set[int] = set()

    def register(self, fd: int, eventmask: int) -> None:
        self.epoll.register(fd, eventmask)
        self.watched.add(fd)

    def unregister(self, fd: int) -> None:
        self.watched.discard(fd)
        self.epoll.unregister(fd)

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        owed, self.kernel.owed = self.kernel.owed, {}
        spurious = self.kernel.strikes(self.kernel.faults.spurious)
        events = dict(self.epoll.poll(0 if owed or spurious else timeout))
        for fd, event in owed.items():
            events[fd] = events.get(fd, 0) | event
        if spurious:
            fd = self.kernel.chance.choice(sorted(self.watched) or [-1])
            if is_open(fd):  # a closed fd has left the list by itself
                events.setdefault(fd, EPOLLIN)
            else:
                self.watched.discard(fd)
        return list(events.items())


def fail(number: int) -> None:
    raise OSError(number, os.strerror(number))


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def first_byte(buffers: Iterable[ReadableBuffer]) -> memoryview:
    """The first byte of the first buffer that has one; nothing, where none has."""
    for buffer in buffers:
        view = memoryview(buffer)
        if view.nbytes:
            return view[:1]
    return memoryview(b"")
