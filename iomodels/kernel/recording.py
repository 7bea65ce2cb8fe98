"""A kernel that writes down each call: what was asked, what came back, and what that left behind.

    kernel = RecordingKernel()
    serve(listener, app, kernel)
    for call in kernel.calls:
        print(call)                  # readv(5) -> 2

After each call it takes a picture of this process's side of the kernel: the descriptor table, the
accept queue of each listener, the bytes that wait in each socket, epoll's interest list and who on
it is ready. The picture is taken from outside, by means that change nothing in what they look at:
/proc, ioctl(2), getsockopt(2), and a poll(2) that does not wait.

Threads record into the same list, one call at a time. A forked child has a copy of the list, which
nobody sees.
"""

from __future__ import annotations

import array
import fcntl
import select
import socket
import sys
import termios
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iomodels.kernel import (
    EpollPoller,
    Kernel,
    Poller,
    accept_queue,
    borrowed,
    is_internet,
    live,
)
from iomodels.kernel.descriptors import Descriptor, descriptors

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from iomodels.kernel.uring import Ring

__all__ = ["Call", "Queues", "RecordingKernel", "Snapshot", "snapshot"]

TCP_LISTEN = 10  # include/net/tcp_states.h
TIMEOUTS = {20: "SO_RCVTIMEO", 21: "SO_SNDTIMEO"}  # include/uapi/asm-generic/socket.h


@dataclass(frozen=True)
class Queues:
    """What waits in a TCP socket. A listener has the first two, a connection the last two."""

    waiting: int | None = None  # connections in the accept queue
    backlog: int | None = None  # how many of them there may be
    unread: int | None = None  # bytes received that readv has not taken (SIOCINQ, man 7 tcp)
    unsent: int | None = None  # bytes written that the peer has not acknowledged (SIOCOUTQ)


@dataclass(frozen=True)
class Snapshot:
    """One process's side of the kernel at one moment."""

    descriptors: tuple[Descriptor, ...]
    queues: dict[int, Queues]  # by fd, the TCP sockets
    interest: dict[int, dict[int, int]]  # by epoll fd: fd -> events, as registered
    ready: dict[int, tuple[int, ...]]  # by epoll fd: those of its list that have such an event


@dataclass(frozen=True)
class Call:
    """One system call. Its text is a line as strace(1) writes them."""

    name: str
    arguments: tuple[Any, ...]  # buffers stand as their lengths
    result: Any  # what it returned, or the OSError that it raised
    data: bytes  # what it brought (readv) or took (write, writev)
    line: tuple[str, int]  # file and line of the caller
    thread: int
    after: Snapshot

    def __str__(self) -> str:
        said = ", ".join(map(repr, self.arguments))
        if isinstance(self.result, OSError):
            return f"{self.name}({said}) -> {type(self.result).__name__} ({self.result.strerror})"
        return f"{self.name}({said})" + ("" if self.result is None else f" -> {self.result}")


class RecordingKernel:
    """Any kernel, `inner`, with each of its calls added to `calls`."""

    def __init__(self, inner: Kernel = live) -> None:
        self.inner = inner
        self.calls: list[Call] = []
        self.lock = threading.Lock()

    def record(
        self,
        name: str,
        call: Callable[[], Any],
        arguments: Sequence[Any],
        data: Callable[[Any], bytes] = lambda result: b"",
    ) -> Any:
        """Make a call, write it down, and return or raise what it did."""
        caller = sys._getframe(2)
        try:
            result = call()
        except OSError as error:
            result = error
        failed = isinstance(result, OSError)
        moved = b"" if failed else data(result)
        where = caller.f_code.co_filename, caller.f_lineno
        with self.lock:
            thread = threading.get_ident()
            self.calls.append(
                Call(name, tuple(arguments), result, moved, where, thread, snapshot())
            )
        if failed:
            raise result
        return result

    # --- the calls ---

    def accept(self, listener: int) -> int:
        return self.record("accept", lambda: self.inner.accept(listener), [listener])  # type: ignore[no-any-return]

    def readv(self, fd: int, buffers: Sequence[WriteableBuffer]) -> int:
        return self.record(  # type: ignore[no-any-return]
            "readv", lambda: self.inner.readv(fd, buffers), [fd], lambda n: first(buffers, n)
        )

    def writev(self, fd: int, buffers: Sequence[ReadableBuffer]) -> int:
        asked = sum(memoryview(buffer).nbytes for buffer in buffers)
        return self.record(  # type: ignore[no-any-return]
            "writev", lambda: self.inner.writev(fd, buffers), [fd, asked],
            lambda n: first(buffers, n),
        )  # fmt: skip

    def write(self, fd: int, data: ReadableBuffer) -> int:
        return self.record(  # type: ignore[no-any-return]
            "write", lambda: self.inner.write(fd, data), [fd, memoryview(data).nbytes],
            lambda n: first([data], n),
        )  # fmt: skip

    def shutdown(self, fd: int, how: int) -> None:
        self.record("shutdown", lambda: self.inner.shutdown(fd, how), [fd, how])

    def close(self, fd: int) -> None:
        self.record("close", lambda: self.inner.close(fd), [fd])

    def set_blocking(self, fd: int, blocking: bool) -> None:
        self.record("set_blocking", lambda: self.inner.set_blocking(fd, blocking), [fd, blocking])

    def select(
        self,
        read: Iterable[int],
        write: Iterable[int],
        error: Iterable[int],
        timeout: float | None = None,
    ) -> tuple[list[int], list[int], list[int]]:
        sets = sorted(read), sorted(write), sorted(error)
        return self.record(  # type: ignore[no-any-return]
            "select", lambda: self.inner.select(*sets, timeout), [*sets, timeout]
        )

    def poll(self) -> Poller:
        return RecordingPoller(self, "poll", self.inner.poll())

    def epoll(self) -> EpollPoller:
        epoll = self.record("epoll_create", self.inner.epoll, [])
        return RecordingEpoll(self, "epoll_wait", epoll)

    def io_uring(self, entries: int) -> Ring:
        from iomodels.kernel.recording_uring import RecordingRing

        ring = self.record("io_uring_setup", lambda: self.inner.io_uring(entries), [entries])
        return RecordingRing(self, ring)

    def fork(self) -> int:
        return self.record("fork", self.inner.fork, [])  # type: ignore[no-any-return]

    def waitpid(self, pid: int, options: int) -> tuple[int, int]:
        return self.record(  # type: ignore[no-any-return]
            "waitpid", lambda: self.inner.waitpid(pid, options), [pid, options]
        )

    def kill(self, pid: int, signal: int) -> None:
        self.record("kill", lambda: self.inner.kill(pid, signal), [pid, signal])

    def sleep(self, seconds: float) -> None:
        self.record("sleep", lambda: self.inner.sleep(seconds), [seconds])

    def monotonic(self) -> float:
        return self.inner.monotonic()  # no system call: man 7 vdso

    def set_timeout(self, fd: int, option: int, seconds: float) -> None:
        call = lambda: self.inner.set_timeout(fd, option, seconds)  # noqa: E731
        self.record("setsockopt", call, [fd, TIMEOUTS[option], seconds])

    def established(self, fd: int) -> bool:
        return self.record(  # type: ignore[no-any-return]
            "getsockopt", lambda: self.inner.established(fd), [fd, "TCP_INFO"]
        )

    def listens(self, fd: int) -> bool:
        return self.record(  # type: ignore[no-any-return]
            "getsockopt", lambda: self.inner.listens(fd), [fd, "SO_ACCEPTCONN"]
        )

    def reset_on_close(self, fd: int) -> None:
        self.record("setsockopt", lambda: self.inner.reset_on_close(fd), [fd, "SO_LINGER", 0])

    def set_async(self, fd: int, number: int) -> None:
        self.record("fcntl", lambda: self.inner.set_async(fd, number), [fd, "O_ASYNC", number])

    def sigtimedwait(self, numbers: Iterable[int], timeout: float | None) -> tuple[int, int] | None:
        asked = sorted(numbers)
        return self.record(  # type: ignore[no-any-return]
            "sigtimedwait", lambda: self.inner.sigtimedwait(asked, timeout), [asked, timeout]
        )


class RecordingPoller:
    """poll(2). Its list is user memory: only the waiting is a system call."""

    def __init__(self, kernel: RecordingKernel, wait: str, inner: Poller) -> None:
        self.kernel, self.wait, self.inner = kernel, wait, inner
        self.register, self.modify = inner.register, inner.modify
        self.unregister = inner.unregister

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        return self.kernel.record(  # type: ignore[no-any-return]
            self.wait, lambda: self.inner.poll(timeout), [timeout]
        )


class RecordingEpoll(RecordingPoller):
    """epoll(7). Its list is the kernel's: each change of it is a system call."""

    inner: EpollPoller

    def __init__(self, kernel: RecordingKernel, wait: str, inner: EpollPoller) -> None:
        super().__init__(kernel, wait, inner)
        self.fileno, self.close = inner.fileno, inner.close
        self.register = self._control("EPOLL_CTL_ADD", inner.register)
        self.modify = self._control("EPOLL_CTL_MOD", inner.modify)
        self.unregister = self._control("EPOLL_CTL_DEL", inner.unregister)

    def _control(self, operation: str, change: Callable[..., None]) -> Callable[..., None]:
        def control(fd: int, *eventmask: int) -> None:
            arguments = [self.fileno(), operation, fd, *eventmask]
            self.kernel.record("epoll_ctl", lambda: change(fd, *eventmask), arguments)

        return control


# --- the picture ---


def snapshot() -> Snapshot:
    """Look at this process's descriptors and at what waits behind them. Linux only."""
    table = tuple(descriptors())
    queues = {d.fd: found for d in table if d.kind == "socket" and (found := queues_of(d.fd))}
    interest = {d.fd: dict(d.interest) for d in table if d.kind == "epoll"}
    ready = {epoll: who_is_ready(watched) for epoll, watched in interest.items()}
    return Snapshot(table, queues, interest, ready)


def queues_of(fd: int) -> Queues | None:
    """What waits in a TCP socket; None for any other, and for one that is gone."""
    try:
        sock = borrowed(fd)  # not a dup: that would take a number, and somebody else another one
    except OSError:
        return None
    try:
        if not is_internet(sock):
            return None
        if sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO) == TCP_LISTEN:
            waiting, backlog = accept_queue(sock)
            return Queues(waiting=waiting, backlog=backlog)
        return Queues(unread=count(fd, termios.FIONREAD), unsent=count(fd, termios.TIOCOUTQ))
    except OSError:
        return None
    finally:
        sock.detach()


def count(fd: int, request: int) -> int:
    """An ioctl(2) that answers with a number of bytes."""
    answer = array.array("i", [0])
    fcntl.ioctl(fd, request, answer)
    return answer[0]


def who_is_ready(watched: dict[int, int]) -> tuple[int, ...]:
    """Those that poll(2) reports now, for the events they are watched for.

    For level-triggered epoll that is its ready list. Edge-triggered, an fd leaves the list once it
    has been reported, and is found here as long as there is something to read.
    """
    poll = select.poll()
    for fd, events in watched.items():
        poll.register(fd, events & 0xFFFF)  # without EPOLLET, EPOLLONESHOT and the like
    return tuple(sorted(fd for fd, _ in poll.poll(0)))


def first(buffers: Sequence[ReadableBuffer], size: int) -> bytes:
    """A copy of the first `size` bytes of some buffers."""
    return b"".join(bytes(memoryview(buffer).cast("B")[:size]) for buffer in buffers)[:size]
