"""What a process has used: CPU time, context switches, and system calls where they can be counted.

CPU time and context switches come from getrusage(2). System calls are counted by the kernel itself,
at the tracepoint raw_syscalls:sys_enter (man 2 perf_event_open). That takes root, or
kernel.perf_event_paranoid below 0, and costs a few nanoseconds a call. strace(1) could count them
too, at 80 µs each: what it counts is no longer what runs. Where the tracepoint is not to be had,
the count is None.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import resource
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Usage:
    """What a process and its children that have ended have used since they started."""

    cpu: float = 0.0  # seconds, user and system
    voluntary: int = 0  # context switches because it went to sleep
    involuntary: int = 0  # context switches because its time was up
    calls: int | None = None  # system calls; None where they cannot be counted

    def __sub__(self, before: Usage) -> Usage:
        calls = None if self.calls is None or before.calls is None else self.calls - before.calls
        return Usage(
            self.cpu - before.cpu,
            self.voluntary - before.voluntary,
            self.involuntary - before.involuntary,
            calls,
        )


def usage(counter: SyscallCounter | None = None) -> Usage:
    """What this process has used, all its threads and its waited-for children with it.

    System calls are those that `counter` has counted.
    """
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return Usage(
        sum(r.ru_utime + r.ru_stime for r in both),
        sum(r.ru_nvcsw for r in both),
        sum(r.ru_nivcsw for r in both),
        counter.count() if counter else None,
    )


# --- system calls ---

TRACEPOINT = "events/raw_syscalls/sys_enter/id"
PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
PERF_TYPE_TRACEPOINT = 2
PERF_ATTR_SIZE_VER5 = 112
INHERIT = 1 << 1  # bit field of perf_event_attr: count threads and children to come as well
PERF_FLAG_FD_CLOEXEC = 1 << 3


class SyscallCounter:
    """Counts the system calls of a thread and of what it starts from now on; `close()` it."""

    def __init__(self, pid: int) -> None:
        """`pid` names a thread; 0 is the calling one. Raises OSError where it cannot be counted."""
        number = PERF_EVENT_OPEN.get(platform.machine())
        if number is None:
            raise OSError(f"system calls are not counted on {platform.machine()}")
        attributes = struct.pack(
            "IIQQQQQ", PERF_TYPE_TRACEPOINT, PERF_ATTR_SIZE_VER5, tracepoint(), 0, 0, 0, INHERIT
        ).ljust(PERF_ATTR_SIZE_VER5, b"\0")
        libc = ctypes.CDLL(None, use_errno=True)
        any_cpu, no_group = -1, -1
        self.fd = libc.syscall(number, attributes, pid, any_cpu, no_group, PERF_FLAG_FD_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def count(self) -> int:
        """System calls so far."""
        return int.from_bytes(os.read(self.fd, 8), "little")

    def close(self) -> None:
        os.close(self.fd)


@functools.cache
def tracepoint() -> int:
    """The number of the tracepoint in this kernel. Raises OSError where it cannot be read."""
    for place in ("/sys/kernel/tracing", "/sys/kernel/debug/tracing"):
        with contextlib.suppress(FileNotFoundError):
            return int(Path(place, TRACEPOINT).read_text())
    # Not mounted. Mount it where nobody else sees it: in a namespace that ends with the command.
    look = f"mount -t tracefs none /sys/kernel/tracing && cat /sys/kernel/tracing/{TRACEPOINT}"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", look], capture_output=True, text=True)
    if done.returncode:
        raise OSError("tracefs is not there, and may not be mounted")
    return int(done.stdout)


@contextlib.contextmanager
def counting(pid: int) -> Iterator[SyscallCounter | None]:
    """A counter for the time of the block, or None where system calls cannot be counted."""
    try:
        counter = SyscallCounter(pid)
    except OSError:
        counter = None
    try:
        yield counter
    finally:
        if counter:
            counter.close()
