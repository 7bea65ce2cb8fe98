"""The seam between a server and the operating system.

Every system call that a server makes goes through one object, the kernel. Connections are plain
int fds, as in section 2 of the manual, never socket objects. Three kernels fit the seam:

    live                 the operating system itself (this file)
    RecordingKernel      writes down each call and what the kernel looked like after it
                         (recording.py)
    FaultyKernel         does to a server what kernels really do: EINTR, EAGAIN, one byte at a time,
                         ECONNRESET, EMFILE (faulty.py)

The live kernel is free: its attributes *are* the functions of `os` and `select`, not wrappers
around them, so a loop that binds `readv = kernel.readv` runs exactly what it would have run with
`readv = os.readv`. Only `accept` and `shutdown` are ours, because Python offers them on socket
objects alone.
"""

from __future__ import annotations

import os
import select as multiplexing  # `select` is the name of a call here
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from iomodels.kernel.uring import Ring

__all__ = [
    "EpollPoller",
    "Kernel",
    "LiveKernel",
    "Poller",
    "accept_queue",
    "borrowed",
    "is_internet",
    "live",
]

LINUX = sys.platform == "linux"
if LINUX:
    import fcntl

TCP_ESTABLISHED = 1  # include/net/tcp_states.h
TCP_INFO_QUEUE = 24  # offset of tcpi_unacked
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, for 0 seconds (man 7 socket)
F_SETSIG, F_SETOWN_EX = 10, 15  # include/uapi/asm-generic/fcntl.h
F_OWNER_TID = 0


class Poller(Protocol):
    """What `kernel.poll()` and `kernel.epoll()` return: an interest list, and a way to wait.

    poll(2) keeps the list in user space and hands it over at every wait; epoll(7) keeps it in the
    kernel. The methods are the same, so that two servers can be compared line by line. `poll`
    takes milliseconds for poll(2) and seconds for epoll, as in the standard library.
    """

    def register(self, fd: int, eventmask: int, /) -> None: ...
    def modify(self, fd: int, eventmask: int, /) -> None: ...
    def unregister(self, fd: int, /) -> None: ...
    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]: ...


class EpollPoller(Poller, Protocol):
    """An epoll instance: a Poller which is itself an fd."""

    def fileno(self) -> int: ...
    def close(self) -> None: ...


class Kernel(Protocol):
    """The system calls that the servers make. Each raises OSError as its manual page says."""

    def accept(self, listener: int, /) -> int: ...  # accept(2): the new connection's fd
    def readv(self, fd: int, buffers: Sequence[WriteableBuffer], /) -> int: ...  # 0: end of file
    def writev(self, fd: int, buffers: Sequence[ReadableBuffer], /) -> int: ...  # may take fewer
    def write(self, fd: int, data: ReadableBuffer, /) -> int: ...
    def shutdown(self, fd: int, how: int, /) -> None: ...
    def close(self, fd: int, /) -> None: ...
    def set_blocking(self, fd: int, blocking: bool, /) -> None: ...  # fcntl(2), O_NONBLOCK
    def set_timeout(self, fd: int, option: int, seconds: float, /) -> None: ...  # setsockopt(2)
    def established(self, fd: int, /) -> bool: ...  # getsockopt(2), TCP_INFO
    def listens(self, fd: int, /) -> bool: ...  # getsockopt(2), SO_ACCEPTCONN
    def reset_on_close(self, fd: int, /) -> None: ...  # setsockopt(2), SO_LINGER
    def set_async(self, fd: int, number: int, /) -> None: ...  # fcntl(2), O_ASYNC and F_SETSIG
    def sigtimedwait(
        self, numbers: Iterable[int], timeout: float | None, /
    ) -> tuple[int, int] | None: ...  # the signal, and the fd that it tells of
    def select(
        self, read: Iterable[int], write: Iterable[int], error: Iterable[int],
        timeout: float | None = None, /,
    ) -> tuple[list[int], list[int], list[int]]: ...  # fmt: skip
    def poll(self) -> Poller: ...
    def epoll(self) -> EpollPoller: ...
    def io_uring(self, entries: int, /) -> Ring: ...  # see uring.py
    def fork(self) -> int: ...
    def waitpid(self, pid: int, options: int, /) -> tuple[int, int]: ...
    def kill(self, pid: int, signal: int, /) -> None: ...
    def sleep(self, seconds: float, /) -> None: ...  # clock_nanosleep(2)
    def monotonic(self) -> float: ...  # clock_gettime(2), without entering the kernel: man 7 vdso


def borrowed(fd: int) -> socket.socket:
    """Return a socket object over `fd` for one call; `detach()` it, or it will close the fd.

    Family and type are given, so Python does not ask the kernel for them; AF_INET6 because its
    address is the longest that an accept can bring back.
    """
    return socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 0, fd)


def is_internet(sock: socket.socket) -> bool:
    """Tell whether a socket is IPv4 or IPv6, by the kernel's word: `borrowed` only claims so."""
    family = sock.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN)
    return family in (socket.AF_INET, socket.AF_INET6)


def accept_queue(listener: socket.socket) -> tuple[int, int]:
    """How many clients wait in a listener's accept queue, and how many may: its backlog.

    tcpi_unacked and tcpi_sacked of TCP_INFO, which a listener uses so (net/ipv4/tcp.c).
    """
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_QUEUE + 8)
    waiting, backlog = struct.unpack_from("II", info, TCP_INFO_QUEUE)
    return waiting, backlog


class LiveKernel:
    """The operating system's own calls. There is one, `live`; it has no state."""

    write = staticmethod(os.write)
    close = staticmethod(os.close)
    select = staticmethod(multiplexing.select)
    waitpid = staticmethod(os.waitpid)
    kill = staticmethod(os.kill)
    sleep = staticmethod(time.sleep)
    monotonic = staticmethod(time.monotonic)
    if sys.platform != "win32":  # where a call is missing, the import works all the same
        readv = staticmethod(os.readv)
        writev = staticmethod(os.writev)
        set_blocking = staticmethod(os.set_blocking)
        fork = staticmethod(os.fork)
    if LINUX:
        poll = staticmethod(multiplexing.poll)
        epoll = staticmethod(multiplexing.epoll)

    @staticmethod
    def accept(listener: int) -> int:
        """Return the fd of the next connection in the accept queue (accept(2)).

        The fd is close-on-exec and blocking: on Linux an accepted socket does not inherit
        O_NONBLOCK from its listener.
        """
        sock = borrowed(listener)
        try:
            return sock._accept()[0]  # type: ignore[attr-defined,no-any-return]
        finally:
            sock.detach()

    @staticmethod
    def shutdown(fd: int, how: int) -> None:
        """End one direction of a connection or both (shutdown(2)); whoever sleeps on it wakes.

        On a listener it empties the accept queue, and every accept after it fails with EINVAL.
        """
        sock = borrowed(fd)
        try:
            sock.shutdown(how)
        finally:
            sock.detach()

    @staticmethod
    def set_timeout(fd: int, option: int, seconds: float) -> None:
        """Let a blocking read or write of a socket sleep so long, and then say EAGAIN.

        `option` is SO_RCVTIMEO or SO_SNDTIMEO (man 7 socket); 0 seconds: for ever.
        """
        microseconds = 0 if seconds == 0 else max(1, round(seconds * 1e6))
        sock = borrowed(fd)
        try:
            timeval = struct.pack("ll", *divmod(microseconds, 1_000_000))
            sock.setsockopt(socket.SOL_SOCKET, option, timeval)
        finally:
            sock.detach()

    @staticmethod
    def established(fd: int) -> bool:
        """Tell whether neither end of a TCP connection has ended it (tcpi_state, man 7 tcp).

        When a read brings the end of the stream and this still holds, it was our end that was shut
        down for reading: the client has not left.
        """
        sock = borrowed(fd)
        try:
            return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO) == TCP_ESTABLISHED
        finally:
            sock.detach()

    @staticmethod
    def listens(fd: int) -> bool:
        """Tell whether a socket is a listener, which one that was shut down no longer is."""
        sock = borrowed(fd)
        try:
            return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        finally:
            sock.detach()

    @staticmethod
    def reset_on_close(fd: int) -> None:
        """Have close(2) reset the connection: what is not sent yet is thrown away (man 7 socket).

        Otherwise the kernel goes on sending after the close, for minutes if nobody takes it.
        """
        sock = borrowed(fd)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        finally:
            sock.detach()

    @staticmethod
    def set_async(fd: int, number: int) -> None:
        """Have the kernel send this thread the signal `number` whenever `fd` may have become ready.

        Signal-driven I/O: O_ASYNC switches it on, F_SETOWN_EX says to whom (a thread; F_SETOWN
        would be the process, and any of its threads), F_SETSIG which signal. With a real-time
        signal, each event is queued, with the fd in it (man 2 fcntl, "Managing signals"). 0
        switches it off.
        """
        fcntl.fcntl(fd, F_SETOWN_EX, struct.pack("ii", F_OWNER_TID, threading.get_native_id()))
        fcntl.fcntl(fd, F_SETSIG, number)
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        flags = flags | os.O_ASYNC if number else flags & ~os.O_ASYNC
        fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)

    @staticmethod
    def sigtimedwait(numbers: Iterable[int], timeout: float | None) -> tuple[int, int] | None:
        """Sleep until one of these blocked signals is there; return it and its fd, or None.

        Python has no name for si_fd; it lies where si_status lies, for both are parts of one
        union (siginfo_t, /usr/include/asm-generic/siginfo.h).
        """
        if timeout is None:
            info = signal.sigwaitinfo(numbers)
        elif (found := signal.sigtimedwait(numbers, timeout)) is not None:
            info = found
        else:
            return None
        return info.si_signo, info.si_status

    @staticmethod
    def io_uring(entries: int) -> Ring:
        """Return a new ring; see `uring.LiveRing`, also for the errors."""
        from iomodels.kernel.uring import LiveRing

        return LiveRing(entries)


live: Kernel = LiveKernel()
