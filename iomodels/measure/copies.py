"""What a message costs a server: switches, system calls by name, and bytes copied.

    cost = cost_of("epoll", connections=100)
    print(cost.switches, cost.calls_per_message, cost.copied)

Context switches are getrusage(2)'s, voluntary when the server went to sleep, involuntary when its
time was up; calls by name are syscalls.py's.

Bytes copied between the kernel and user space are those of /proc/PID/io (man 5 proc): rchar adds up
what read(2), readv(2) and pread(2) returned, wchar what write(2) and its like did. Our servers make
no other calls on a connection, so for them that is every byte. It takes no privilege beyond owning
the process.

Where it hurts:
- recv(2) and send(2) go another way through the kernel and are not counted, nor is splice(2).
- sendfile(2) is counted on both sides, and copies nothing to user space.
- All files count, not only sockets: a thread that starts reads 200 bytes of configuration, and who
  reads /proc/PID/io of himself reads that.
- A process that has ended is in its parent's figures once it was waited for. Until then it is asked
  itself; one that ended within the block and was reaped by somebody else is missing.
"""

from __future__ import annotations

import contextlib
import errno
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from iomodels.measure.load import LoadError, Report, load
from iomodels.measure.serving import ServerError, serving
from iomodels.measure.syscalls import Calls, calls_by_name
from iomodels.measure.usage import Usage

__all__ = ["Copied", "Cost", "bytes_copied", "copied", "cost_of"]

ENDING = 50  # looks at a child that is ending


@dataclass
class Copied:
    """Bytes that were copied; filled when the block ends. None where /proc does not tell."""

    to_user: int | None = None  # returned by read(2) and its like
    to_kernel: int | None = None  # returned by write(2) and its like
    note: str = ""  # why not


@dataclass(frozen=True)
class Cost:
    """What one model used under a load. Per message it is divided by all that were answered."""

    model: str
    report: Report
    used: Usage
    calls: Calls
    copied: Copied
    counted: int  # messages that were answered while the calls were counted

    @property
    def voluntary(self) -> float:
        """Context switches for each message because the server went to sleep."""
        return self.used.voluntary / self.report.total

    @property
    def involuntary(self) -> float:
        """Context switches for each message because its time was up."""
        return self.used.involuntary / self.report.total

    @property
    def calls_per_message(self) -> dict[str, float]:
        """System calls for each message, by name, the most frequent first."""
        return {name: n / self.counted for name, n in self.calls.by_name.items()}

    @property
    def copied_per_message(self) -> float | None:
        """Bytes for each message, both ways together."""
        if self.copied.to_user is None or self.copied.to_kernel is None:
            return None
        return (self.copied.to_user + self.copied.to_kernel) / self.report.total

    def words(self) -> str:
        """The figures as a sentence."""
        often = [
            f"{n:.2f} {name}" for name, n in list(self.calls_per_message.items())[:3] if n >= 0.005
        ]
        calls = ", ".join(often) if self.calls.source else self.calls.note
        both = self.copied_per_message
        size = f"{both:,.0f} bytes copied" if both is not None else self.copied.note
        return (
            f"{self.model}, for each message: {self.voluntary:.3f} voluntary and "
            f"{self.involuntary:.3f} involuntary switches; {calls}; {size}"
        )


def cost_of(
    model: str,
    *,
    app: str = "echo",
    connections: int = 100,
    in_flight: int = 1,
    size: int = 64,
    seconds: float = 1.0,
) -> Cost:
    """Put a load on a model in a fresh child, and count; see `load` for the arguments.

    strace(1) stops the server at each call, and each stop is a switch. Where the calls are counted
    by it, all else comes from a second run, without it.

    Raises ValueError for a model that there is not, LoadError when it could not be measured.
    """

    def run(counting: bool) -> Cost:
        nobody = contextlib.nullcontext(Calls())
        with (
            serving(model, app) as server,
            calls_by_name(server.pid) if counting else nobody as calls,
            copied(server.pid) as bytes_,
        ):
            report = load(
                server.address, app=app, connections=connections, in_flight=in_flight,
                size=size, seconds=seconds,
            )  # fmt: skip
        if not report.total:
            raise LoadError(f"{model}: no message was answered")
        return Cost(model, report, server.used or Usage(), calls, bytes_, report.total)

    try:
        cost = run(counting=True)
        if cost.calls.source != "strace":
            return cost
        return replace(run(counting=False), calls=cost.calls, counted=cost.counted)
    except ServerError as error:
        raise LoadError(f"{model}: {error}") from None


@contextlib.contextmanager
def copied(pid: int) -> Iterator[Copied]:
    """Count the bytes that a process and its children copy until the block ends."""
    found = Copied()
    before = counted(pid, found)
    yield found
    after = counted(pid, found)
    if before and after:
        found.to_user = after["rchar"] - before["rchar"]
        found.to_kernel = after["wchar"] - before["wchar"]


def counted(pid: int, found: Copied) -> Mapping[str, int]:
    """What `bytes_copied` says; nothing, and a note in `found`, where it cannot."""
    try:
        return bytes_copied(pid)
    except OSError as error:
        found.note = f"/proc/{pid}/io: {error.strerror}"
        return {}


def bytes_copied(pid: int) -> Mapping[str, int]:
    """rchar and wchar of a process and its children so far. Raises OSError where it cannot be.

    A child that has ended tells root alone, until its parent has asked for its status and has its
    figures. That is waited for, but not for long.
    """
    of_process(pid)  # complains when it is somebody else's
    for _ in range(ENDING):
        try:
            return of_family(pid)
        except PermissionError:
            time.sleep(0.01)
    raise PermissionError(errno.EACCES, "a child has ended, which root alone may look at then")


def of_family(pid: int) -> dict[str, int]:
    """rchar and wchar of a process and its children, at this moment."""
    import psutil

    sums = of_process(pid)
    with contextlib.suppress(psutil.NoSuchProcess):
        for one in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                its = of_process(one.pid)
                sums = {name: sums[name] + its[name] for name in sums}
    return sums


def of_process(pid: int) -> dict[str, int]:
    """rchar and wchar of a process, and of its children that were waited for."""
    text = Path(f"/proc/{pid}/io").read_text()
    return {name: int(n) for name, n in re.findall(r"^([rw]char): (\d+)$", text, re.M)}
