"""Which system calls a running process makes, by name, for the time of a block.

    with calls_by_name(server.pid) as calls:
        load(server.address)
    print(calls.by_name, calls.source)

Two ways. The kernel counts by itself, at the tracepoint raw_syscalls:sys_enter (usage.py): one
counter for each name, with a filter on the number of the call, and one more for all others.
Nothing is sampled, so nothing can be lost: a ring buffer of samples would overflow under a load,
and a count does not. It takes root, or kernel.perf_event_paranoid below 0, and tracefs.

Else strace(1) counts, if it is here and may attach (man 2 ptrace). It stops the process twice at
each call, 80 µs: the counts are true, the times of what runs meanwhile are not, and a server that
is slower makes other calls, for more comes between two of its wake-ups.

Where neither works there is no count, and `note` says why.

Where it hurts:
- Of the process named, all threads that it has are counted, and all threads and processes that
  these start. A child that it has already is not: give that one's pid.
- A call counts when it is entered, here; strace counts when it is left. One that sleeps at either
  end of the block is counted by one of them.
- Each counter takes a descriptor for each thread, 60 or so of them.
- What the kernel does itself for io_uring is no system call; nor is what the vDSO answers (man 7
  vdso: clock_gettime, most of all).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from iomodels.measure.usage import SyscallCounter

PERF_EVENT_IOC_SET_FILTER = 0x40082406  # include/uapi/linux/perf_event.h
OTHER = "other calls"  # whose number is not in NUMBERS
ATTACHES_WITHIN = 10.0  # seconds
SETTLES = 0.05  # seconds
STATUS = "task/*/status"  # of each thread, below /proc/PID

# What servers call. arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h
NUMBERS: dict[str, dict[str, int]] = {
    "x86_64": {
        "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "mmap": 9,
        "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14,
        "ioctl": 16, "pread64": 17, "readv": 19, "writev": 20, "select": 23, "sched_yield": 24,
        "madvise": 28, "sendfile": 40, "accept": 43, "sendto": 44, "recvfrom": 45, "sendmsg": 46,
        "recvmsg": 47, "shutdown": 48, "getsockname": 51, "setsockopt": 54, "getsockopt": 55,
        "clone": 56, "fork": 57, "exit": 60, "wait4": 61, "fcntl": 72, "rt_sigtimedwait": 128,
        "gettid": 186, "futex": 202, "clock_nanosleep": 230, "exit_group": 231,
        "epoll_wait": 232, "epoll_ctl": 233, "openat": 257, "pselect6": 270, "ppoll": 271,
        "splice": 275, "epoll_pwait": 281, "accept4": 288, "io_uring_enter": 426, "clone3": 435,
        "epoll_pwait2": 441,
    },
    "aarch64": {
        "epoll_ctl": 21, "epoll_pwait": 22, "fcntl": 25, "ioctl": 29, "openat": 56, "close": 57,
        "lseek": 62, "read": 63, "write": 64, "readv": 65, "writev": 66, "pread64": 67,
        "sendfile": 71, "pselect6": 72, "ppoll": 73, "splice": 76, "fstat": 80, "exit": 93,
        "exit_group": 94, "futex": 98, "clock_nanosleep": 115, "sched_yield": 124,
        "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigtimedwait": 137, "gettid": 178,
        "accept": 202, "getsockname": 204, "sendto": 206, "recvfrom": 207, "setsockopt": 208,
        "getsockopt": 209, "shutdown": 210, "sendmsg": 211, "recvmsg": 212, "brk": 214,
        "munmap": 215, "clone": 220, "mmap": 222, "mprotect": 226, "madvise": 233, "accept4": 242,
        "wait4": 260, "io_uring_enter": 426, "clone3": 435, "epoll_pwait2": 441,
    },
}  # fmt: skip


@dataclass
class Calls:
    """System calls by name; `by_name` is filled when the block ends."""

    source: str = ""  # "perf_event_open", "strace", or "" where they cannot be counted
    note: str = ""  # why not, or not in the better way
    by_name: Mapping[str, int] = field(default_factory=dict)  # the most frequent first; none is 0

    @property
    def total(self) -> int:
        return sum(self.by_name.values())

    def fill(self, counts: Mapping[str, int]) -> None:
        """Take over these counts, without those that are 0."""
        often = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        self.by_name = {name: count for name, count in often if count}


class CannotCount(Exception):
    """This way does not work here; the text says why, in one line."""


@contextlib.contextmanager
def calls_by_name(pid: int) -> Iterator[Calls]:
    """Count the calls of a process until the block ends, in the best way that works here.

    Raises ProcessLookupError when there is no such process.
    """
    if not os.path.exists(f"/proc/{pid}") and os.path.exists("/proc/self"):
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    reasons = []
    for way in (by_perf, by_strace):
        with contextlib.ExitStack() as stack:
            try:
                calls = stack.enter_context(way(pid))
            except CannotCount as why:
                reasons.append(str(why))
                continue
            calls.note = "; ".join(reasons)
            yield calls
            return
    yield Calls(note="system calls cannot be counted by name here: " + "; ".join(reasons))


# --- the kernel counts ---


@contextlib.contextmanager
def by_perf(pid: int) -> Iterator[Calls]:
    """A counter for each name and each thread. Raises CannotCount where there is no such thing."""
    numbers = NUMBERS.get(platform.machine(), {})
    filters = {name: f"id == {number}" for name, number in numbers.items()}
    filters[OTHER] = " && ".join(f"id != {number}" for number in numbers.values())
    counters: dict[str, list[SyscallCounter]] = {name: [] for name in filters}
    with contextlib.ExitStack() as stack:
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                for name, condition in filters.items():
                    try:
                        counter = SyscallCounter(int(thread))
                    except ProcessLookupError:
                        break  # it has just ended
                    stack.callback(counter.close)
                    fcntl.ioctl(counter.fd, PERF_EVENT_IOC_SET_FILTER, condition.encode() + b"\0")
                    counters[name].append(counter)
        except OSError as error:
            why = error.strerror or str(error)
            if error.errno in (errno.EACCES, errno.EPERM):
                why = "it takes root, or kernel.perf_event_paranoid below 0"
            raise CannotCount(f"perf_event_open: {why}") from None

        def read() -> dict[str, int]:
            return {name: sum(one.count() for one in each) for name, each in counters.items()}

        before = read()  # from when a counter was open and had no filter yet
        calls = Calls("perf_event_open")
        yield calls
        calls.fill({name: count - before[name] for name, count in read().items()})


# --- strace counts ---


@contextlib.contextmanager
def by_strace(pid: int) -> Iterator[Calls]:
    """strace -c, attached for the time of the block. Raises CannotCount when it cannot be."""
    program = shutil.which("strace")
    if program is None:
        raise CannotCount("strace is not installed")
    with tempfile.NamedTemporaryFile("r") as table, tempfile.TemporaryFile("w+") as errors:
        # Quiet, for it would say a line for each thread; and in a session of its own: Ctrl-C is
        # for us, and we end it when the block has ended.
        strace = subprocess.Popen(
            [program, "-c", "-f", "-q", "-o", table.name, "-p", str(pid)],
            stdin=subprocess.DEVNULL, stderr=errors, start_new_session=True,
        )  # fmt: skip
        try:
            if not attached(strace, pid):
                errors.seek(0)
                said = errors.readline().strip().rpartition("strace: ")[2]
                raise CannotCount(f"strace: {said or 'it did not attach'}")
            calls = Calls("strace")
            yield calls
            strace.send_signal(signal.SIGINT)  # it lets go, and writes its table
            strace.wait()
            calls.fill(read_table(table.read()))
        finally:
            strace.kill()  # the kernel lets go of what it traces
            strace.wait()


def attached(strace: subprocess.Popen[bytes], pid: int) -> bool:
    """Wait until it traces all threads, and tell whether it does."""
    end = time.monotonic() + ATTACHES_WITHIN
    while strace.poll() is None and time.monotonic() < end:
        time.sleep(SETTLES)
        with contextlib.suppress(FileNotFoundError):  # a thread has just ended
            if all(tracer(status) == strace.pid for status in Path(f"/proc/{pid}").glob(STATUS)):
                time.sleep(SETTLES)  # until each has stopped for the first time, and goes on
                return strace.poll() is None
    return False


def tracer(status: Path) -> int:
    """Who traces a thread; 0 is nobody."""
    found = re.search(r"^TracerPid:\s+(\d+)$", status.read_text(), re.M)
    return int(found[1]) if found else 0


def read_table(text: str) -> dict[str, int]:
    """The calls by name in what strace -c prints."""
    #      % time     seconds  usecs/call     calls    errors syscall
    row = r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$"
    found = {name: int(count) for count, name in re.findall(row, text, re.M)}
    found.pop("total", None)
    return found
