"""io_uring(7): the part of the seam where a server does not ask who is ready, but orders the work.

A ring is two queues in memory that user space and the kernel share. Into the submission queue goes
what we want done: an entry (SQE) says accept, recv or send, on which fd, with which buffer. Out of
the completion queue comes what was done: an entry (CQE) holds the result, as the system call would
have returned it, an error as a negative errno, and the 64 bits of `user_data` that we put into the
SQE and by which we know it again. To write an SQE or to read a CQE is no system call. One
io_uring_enter(2) hands over all that has been written since the last one.

The live ring is made of `liburing` from PyPI, whose functions have the names of the C library's
(man 3 io_uring_queue_init and so on). Four things in it are as they are because of the package
(version 2026.3.30):

- Its calls that wait keep the GIL, so every other thread of the process stands still, also the one
  that waits for SIGTERM. So the package submits, which takes no time, and when nothing is done yet,
  we wait in a second io_uring_enter of our own: through ctypes, which lets go of the GIL.
- A ring of buffers (man 3 io_uring_setup_buf_ring) cannot be made with it. Buffers are handed over
  with an SQE each (man 3 io_uring_prep_provide_buffers), which is no system call either.
- It takes memoryviews for an iovec, but never lets go of them: a leak of 193 bytes for each message
  that is sent back. It takes `bytes` without harm. So what is sent is copied, once, and that it is
  copied is this ring's affair: whoever uses it keeps to the rule that what is handed over must not
  change until it is sent.
- `cqe[n]` does not wrap around at the end of the queue: the iterator does.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any, Protocol

__all__ = ["BUFFER", "MORE", "SHIFT", "Buffer", "Completion", "LiveRing", "Ring", "available"]

Buffer = bytes | bytearray | memoryview
Completion = tuple[int, int, int]  # user_data, result or negative errno, flags

# Flags of a completion (include/uapi/linux/io_uring.h, IORING_CQE_F_...)
BUFFER = 1  # a provided buffer was used; its number is flags >> SHIFT
MORE = 2  # the request stays in the kernel, and will complete again
SHIFT = 16

IO_URING_ENTER = 426  # its number, the same for all architectures
GETEVENTS_EXT_ARG = 1 << 0 | 1 << 3  # flags: wait; the argument is a struct io_uring_getevents_arg
FOR_EVER = 1e9  # seconds

INSTALL = "io_uring needs the package liburing: pip install 'iomodels[uring]'"
REFUSED = {
    errno.ENOSYS: "this kernel has no io_uring, or a container's seccomp profile hides it",
    errno.EPERM: "io_uring is switched off: sysctl kernel.io_uring_disabled=0 as root switches it "
    "on; in a container, its seccomp profile must allow it",
    errno.EINVAL: "this kernel's io_uring is too old: it takes Linux 6.1",
    errno.ENOMEM: "io_uring gets no memory: raise the limit on locked memory (ulimit -l)",
}


class Ring(Protocol):
    """What `kernel.io_uring()` returns. All but `enter` and `close` only write an SQE."""

    def accept(self, listener: int, user_data: int, multishot: bool = True, /) -> None: ...
    def provide(self, number: int, buffer: bytearray, user_data: int, /) -> None: ...
    def recv(self, fd: int, user_data: int, flags: int = 0, size: int = 0, /) -> None: ...
    def send(self, fd: int, buffers: Sequence[Buffer], user_data: int, /) -> None: ...
    def cancel(self, fd: int, user_data: int, /) -> None: ...
    def cancel_request(self, target: int, user_data: int, /) -> None: ...
    def enter(self, timeout: float | None, /) -> list[Completion]: ...
    def close(self) -> None: ...


class LiveRing:
    """The kernel's own.

    Memory that is handed over is the kernel's until the completion: it must not change, and it must
    not be freed, or the kernel writes into what has become something else. So the ring holds on to
    it, to a sent one under its `user_data`, which no other send under way may have.

    It belongs to the thread that makes it: another one gets EEXIST from `enter`.

    The sockets must be blocking: with O_NONBLOCK, the kernel completes with EAGAIN at once instead
    of waiting for us (man 2 io_uring_enter, IORING_OP_RECV).
    """

    def __init__(self, entries: int) -> None:
        """Make room for so many SQEs between two calls of `enter`, and twice as many CQEs.

        Raises ImportError without the package, and OSError where the kernel has no io_uring for
        us; the text says what to do.
        """
        try:
            import liburing
        except ImportError:
            raise ImportError(INSTALL) from None
        self.u: Any = liburing
        self.ring = liburing.Ring()
        # Submit what comes after an SQE that fails as well. And complete only when we ask for it:
        # else a connection is accepted at the end of any system call, and its number may be one
        # that was closed a moment ago and stands in an SQE that the kernel has not yet taken.
        flags = (
            liburing.IORING_SETUP_SUBMIT_ALL
            | liburing.IORING_SETUP_DEFER_TASKRUN
            | liburing.IORING_SETUP_SINGLE_ISSUER
        )
        try:
            liburing.io_uring_queue_init(entries, self.ring, flags)
        except OSError as error:
            number = error.errno or 0
            raise OSError(number, REFUSED.get(number, os.strerror(number))) from None
        self.cqe = liburing.Cqe()
        self.syscall = ctypes.CDLL(None, use_errno=True).syscall
        self.lent: dict[int, bytearray] = {}  # by number: what is received goes there
        self.sending: dict[int, bytes] = {}  # by user_data

    # --- what to do ---

    def accept(self, listener: int, user_data: int, multishot: bool = True) -> None:
        """Accept connections: one after the other, for ever, each with a completion of its own.

        With MORE in its flags the request lives on; an error ends it. Not `multishot`: only one.
        """
        u, sqe = self.u, self._sqe()
        prepare = u.io_uring_prep_multishot_accept if multishot else u.io_uring_prep_accept
        prepare(sqe, listener, None, socket.SOCK_CLOEXEC)
        sqe.user_data = user_data

    def provide(self, number: int, buffer: bytearray, user_data: int) -> None:
        """Lend a buffer for what is received next, by whomsoever. It completes only if it fails.

        Raises ValueError for a number that is lent already.
        """
        if number in self.lent:
            raise ValueError(f"buffer {number} is lent already")
        u, sqe = self.u, self._sqe()
        u.io_uring_prep_provide_buffers(sqe, buffer, 1, 0, number)
        self.lent[number] = buffer
        sqe.flags = u.IOSQE_CQE_SKIP_SUCCESS
        sqe.user_data = user_data

    def recv(self, fd: int, user_data: int, flags: int = 0, size: int = 0) -> None:
        """Receive into one of the buffers, chosen when bytes are there; ENOBUFS: none was left.

        `flags` as in recv(2); `size`: so many bytes at most, 0: as many as the buffer holds.
        """
        u, sqe = self.u, self._sqe()
        # Only the length of the buffer that is named here counts.
        u.io_uring_prep_recv(sqe, fd, bytearray(size) if size else None, flags)
        sqe.flags = u.IOSQE_BUFFER_SELECT
        sqe.user_data = user_data

    def send(self, fd: int, buffers: Sequence[Buffer], user_data: int) -> None:
        """Send some of these bytes, at least one; how many, the completion says."""
        u, sqe = self.u, self._sqe()
        data = b"".join(buffers)
        u.io_uring_prep_send(sqe, fd, data, socket.MSG_NOSIGNAL)
        sqe.user_data = user_data
        self.sending[user_data] = data

    def cancel(self, fd: int, user_data: int) -> None:
        """Have all requests for `fd` complete now, with ECANCELED (man 3 io_uring_prep_cancel)."""
        u, sqe = self.u, self._sqe()
        u.io_uring_prep_cancel_fd(sqe, fd, u.IORING_ASYNC_CANCEL_ALL)
        sqe.user_data = user_data

    def cancel_request(self, target: int, user_data: int) -> None:
        """Have the request whose `user_data` was `target` complete now, with ECANCELED."""
        sqe = self._sqe()
        self.u.io_uring_prep_cancel64(sqe, target, 0)
        sqe.user_data = user_data

    def _sqe(self) -> Any:
        """The next free entry. When there is none, the kernel must take those that are there."""
        while (sqe := self.u.io_uring_get_sqe(self.ring)) is None:
            self.u.io_uring_submit(self.ring)
        return sqe

    # --- what is done ---

    def enter(self, timeout: float | None) -> list[Completion]:
        """Hand over all that is to do; sleep until something is done, and return all that is.

        `timeout` in seconds, None: for ever. May return nothing, as every wait may.
        """
        u, ring = self.u, self.ring
        try:
            u.io_uring_submit_and_get_events(ring)  # first takes all that is to do, then completes
        except (InterruptedError, BlockingIOError):  # nothing was taken: the next call tries again
            timeout = 0
        if timeout != 0 and not u.io_uring_cq_ready(ring):
            self._wait(timeout)
        return self._completions()

    def _wait(self, timeout: float | None) -> None:
        """Sleep until there is a completion, the time is over, or a signal has come."""
        seconds, rest = divmod(FOR_EVER if timeout is None else timeout, 1)
        timespec = ctypes.create_string_buffer(struct.pack("qq", int(seconds), int(rest * 1e9)))
        argument = struct.pack("QIIQ", 0, 0, 0, ctypes.addressof(timespec))
        size = ctypes.c_size_t(len(argument))
        submit, wait_for = 0, 1
        if self.syscall(
            IO_URING_ENTER, self.ring.ring_fd, submit, wait_for, GETEVENTS_EXT_ARG, argument, size
        ):
            number = ctypes.get_errno()
            if number not in (errno.ETIME, errno.EINTR):
                raise OSError(number, os.strerror(number))

    def _completions(self) -> list[Completion]:
        """Take everything out of the completion queue."""
        u, cqe = self.u, self.cqe
        done: list[Completion] = []
        entries = u.io_uring_cqe_iter_init(self.ring)
        while u.io_uring_cqe_iter_next(entries, cqe):
            entry = cqe[0]
            try:
                result = entry.res
            except OSError as error:  # that is how the package says a negative number
                result = -(error.errno or 0)
            user_data, flags = entry.user_data, entry.flags
            done.append((user_data, result, flags))
            if flags & BUFFER:
                del self.lent[flags >> SHIFT]
            else:
                self.sending.pop(user_data, None)
        u.io_uring_cq_advance(self.ring, len(done))
        return done

    def close(self) -> None:
        """Give the ring back; what is still to be done is not done. A second call does nothing."""
        if self.ring.ring_fd > 0:
            self.u.io_uring_queue_exit(self.ring)


def available() -> str:
    """Return "" when a ring can be made here, else why not, in a line. Takes some milliseconds."""
    try:
        LiveRing(2).close()
    except ImportError as error:
        return str(error)
    except OSError as error:
        return error.strerror or str(error)
    return ""
