"""What the kernel says of a process's file descriptors.

Linux shows the descriptors of a process in two directories (man 5 proc):

    /proc/PID/fd/N      a link to what is open: a path, or a word such as "pipe:[15333]"
    /proc/PID/fdinfo/N  offset and flags, and for some kinds more: an epoll's interest list

`descriptors()` reads both. Neither says which numbers share one open file description, that is one
offset and one set of flags: after `dup` they do, after a second `open` they do not. Only kcmp(2)
tells, and `same_description()` asks it; `descriptors()` does so for the numbers of one process.

The module can be imported anywhere. Elsewhere than on Linux `descriptors()` raises OSError, and
`same_description()` returns None.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import itertools
import os
import platform
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

__all__ = ["Descriptor", "descriptors", "same_description"]

Process = int | Literal["self"]  # a process's number, or this one


@dataclass(frozen=True)
class Descriptor:
    """One descriptor of a process, as it was at the moment when it was looked at."""

    fd: int
    # "file", "directory", "pipe", "socket", "character device", "terminal", "memfd", "epoll",
    # "eventfd", "timerfd", "signalfd", "inotify", "pidfd", "io_uring" or "other"
    kind: str
    target: str  # what readlink says of /proc/PID/fd/N
    pos: int  # offset in bytes; always 0 where there is none, as in a pipe or a socket
    flags: int  # O_… of open(2), and O_CLOEXEC, which belongs to the number and not to what is open
    device: int  # st_dev; together with the inode's number it says which inode
    inode: int  # st_ino; one stands for all epolls, eventfds, timerfds, signalfds and inotifys
    interest: tuple[tuple[int, int], ...] = ()  # of an epoll: (fd, events), one for each watched
    # other numbers of the process for the same description, where the machine tells
    shares: tuple[int, ...] = field(default=(), compare=False)

    @property
    def access(self) -> str:
        """The access mode: "read", "write", "read, write", or "path" (O_PATH: neither)."""
        if self.flags & getattr(os, "O_PATH", 0):
            return "path"
        return {os.O_RDONLY: "read", os.O_WRONLY: "write"}.get(
            self.flags & os.O_ACCMODE, "read, write"
        )

    @property
    def nonblocking(self) -> bool:
        """O_NONBLOCK: a call that would sleep fails with EAGAIN instead."""
        return bool(self.flags & os.O_NONBLOCK)

    @property
    def append(self) -> bool:
        """O_APPEND: each write goes to the end of the file."""
        return bool(self.flags & os.O_APPEND)

    @property
    def close_on_exec(self) -> bool:
        """O_CLOEXEC: execve closes this number. A copy of it may differ."""
        return bool(self.flags & os.O_CLOEXEC)


def descriptors(pid: Process = "self") -> list[Descriptor]:
    """The descriptors of a process, in the order of their numbers.

    What this function itself opens is not among them. Other threads may open and close meanwhile:
    a descriptor that vanishes is left out. Takes about 30 µs for each.

    Raises ProcessLookupError when there is no such process, PermissionError when it is somebody
    else's, and OSError (ENOSYS) where there is no /proc of Linux's kind.
    """
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, f"descriptors() reads /proc, which {sys.platform} has not")
    try:
        process = os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY)
        own = process if pid in ("self", os.getpid()) else -1
        try:
            # To list opens one more descriptor, and lists it; it is closed by the time we look.
            numbers = sorted(int(name) for name in os.listdir(f"/proc/self/fd/{process}/fd"))
            found = (_look(process, fd) for fd in numbers if fd != own)
            return _with_shares([descriptor for descriptor in found if descriptor], pid)
        except PermissionError:
            if _has_memory(process):
                raise
            raise ProcessLookupError from None  # it is ending
        finally:
            os.close(process)
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(errno.ESRCH, f"there is no process {pid}") from None


def _has_memory(process: int) -> bool:
    """Whether the process whose /proc directory is open there has not begun to end."""
    statm = os.open("statm", os.O_RDONLY, dir_fd=process)
    with open(statm, encoding="ascii") as file:
        return not file.read().startswith("0 ")


def _look(process: int, fd: int) -> Descriptor | None:
    """Descriptor `fd` of the process whose /proc directory is open as `process`; None if gone."""
    try:
        target = os.readlink(f"fd/{fd}", dir_fd=process)
        status = os.stat(f"fd/{fd}", dir_fd=process)  # of what is open, even if it has no name
        info = os.open(f"fdinfo/{fd}", os.O_RDONLY, dir_fd=process)
        with open(info, encoding="ascii", errors="replace") as file:
            lines = [line.split() for line in file]
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None  # that is for root alone, once the process is ending
    fields = {line[0]: line[1] for line in lines if len(line) > 1}
    # tfd:        4 events: 80000019 data: … (events in hexadecimal)
    watched = sorted((int(line[1]), int(line[3], 16)) for line in lines if line[:1] == ["tfd:"])
    return Descriptor(
        fd=fd,
        kind=_kind(target, status),
        target=target,
        pos=int(fields["pos:"]),
        flags=int(fields["flags:"], 8),
        device=status.st_dev,
        inode=status.st_ino,
        interest=tuple(watched),
    )


# Character devices that are terminals, by major number (Documentation/admin-guide/devices.txt):
# consoles and serial lines, /dev/tty and /dev/ptmx, pseudo-terminals, USB, ARM and virtual lines.
_TERMINALS = {4, 5, *range(136, 144), 166, 188, 204, 229}

# What has no inode of its own is named by the kernel: anon_inode:[eventpoll], anon_inode:inotify.
_ANONYMOUS = {"eventpoll": "epoll"} | {
    name: name for name in ("eventfd", "timerfd", "signalfd", "inotify", "pidfd", "io_uring")
}


def _kind(target: str, status: os.stat_result) -> str:
    if target.startswith("anon_inode:"):
        return _ANONYMOUS.get(target.removeprefix("anon_inode:").strip("[]"), "other")
    mode = status.st_mode
    if stat.S_ISREG(mode):
        unnamed = status.st_nlink == 0 and target.startswith("/memfd:")
        return "memfd" if unnamed else "file"
    if stat.S_ISDIR(mode):
        return "directory"
    if stat.S_ISFIFO(mode):
        return "pipe"
    if stat.S_ISSOCK(mode):
        return "socket"
    if stat.S_ISCHR(mode):
        return "terminal" if os.major(status.st_rdev) in _TERMINALS else "character device"
    return "other"


# --- kcmp ---

_KCMP = {"x86_64": 312, "aarch64": 272, "riscv64": 272}  # the system call's number
_KCMP_FILE = 0  # compare two descriptors


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def same_description(
    fd1: int, fd2: int, pid1: Process = "self", pid2: Process = "self"
) -> bool | None:
    """Whether two numbers lead to one open file description (kcmp(2), KCMP_FILE).

    `pid1` and `pid2` say whose numbers they are. None where the machine does not tell: a kernel
    without kcmp, a container that forbids it, another user's process.

    Raises OSError (EBADF) for a number that is not open, ProcessLookupError for no process.
    """
    order = _order(fd1, fd2, pid1, pid2)
    return None if order is None else order == 0


def _with_shares(found: Sequence[Descriptor], pid: Process) -> list[Descriptor]:
    """The descriptors of a process, each with those that share its description."""
    alike: dict[tuple[int, int], list[int]] = {}
    for one in found:
        alike.setdefault((one.device, one.inode), []).append(one.fd)

    def order(fd1: int, fd2: int) -> int:
        return _order(fd1, fd2, pid, pid) or 0

    key = functools.cmp_to_key(order)
    shares: dict[int, list[int]] = {}
    for numbers in alike.values():
        try:
            if len(numbers) == 1 or _order(numbers[0], numbers[0], pid, pid) is None:
                continue
            for _, same in itertools.groupby(sorted(numbers, key=key), key):
                together = sorted(same)
                shares |= {fd: [other for other in together if other != fd] for fd in together}
        except OSError:  # one of them has been closed meanwhile
            continue
    return [replace(one, shares=tuple(shares.get(one.fd, ()))) for one in found]


def _order(fd1: int, fd2: int, pid1: Process, pid2: Process) -> int | None:
    """What kcmp(2) says of the descriptions of two numbers: 0 for the same one, else which of them
    comes first, in an order that is good for sorting: -1 or 1. See `same_description()`."""
    call = _KCMP.get(platform.machine()) if sys.platform == "linux" else None
    if call is None or sys.maxsize < 2**32:  # a 32-bit Python has other numbers
        return None
    me = os.getpid()
    whose = [me if pid == "self" else pid for pid in (pid1, pid2)]
    arguments = [ctypes.c_long(value) for value in (call, *whose, _KCMP_FILE, fd1, fd2)]
    order: int = _libc().syscall(*arguments)
    if order >= 0:
        return {0: 0, 1: -1}.get(order, 1)
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EPERM, errno.EACCES):
        return None
    raise OSError(code, f"kcmp of descriptors {fd1} and {fd2}: {os.strerror(code)}")
