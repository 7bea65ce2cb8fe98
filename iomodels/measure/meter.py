"""A running server, measured stretch by stretch, while its load changes.

    with metering("epoll") as meter:
        print(meter.sample(Load(connections=100)))
        print(meter.sample(Load(connections=1_000)))

What the clients see, they report (meter_clients.py). What the server uses is read from outside,
just before a stretch and just after it, so that both go over the same time and a figure per message
is the one divided by the other. `usage.py` asks the server itself, and only at its end;
here it has to go on serving.

Where it hurts:
- /proc/PID/status gives the context switches of one thread, the first. A server with a thread for
  each client has a file for each, /proc/PID/task/TID/status, and all have to be read.
- A thread that has ended is no longer there to be read. So each is compared with itself, and one
  that ends within a stretch is left out of it.
- CPU time in /proc/PID/stat goes by the clock tick, 10 ms: two hundred processes that have used
  3 ms each have used nothing. So each is asked for its CPU clock, which has nanoseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import select
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from iomodels.measure.footprint import footprint
from iomodels.measure.limits import Sized, sized
from iomodels.measure.load import BUSY, NUMBA, LoadError
from iomodels.measure.serving import Child, Served, ServerError, child, serving

STRETCH = 0.8  # seconds; with what meter_clients.py lets pass before, a sample takes one
UNDER_WAY = 64 << 20  # bytes that all clients together may have under way
# Where a connection costs the server a thread or a process, fewer show the same.
ENOUGH = {"threads": 2_000, "processes": 200}


@dataclass(frozen=True)
class Load:
    """What is asked of the server: each client keeps `in_flight` messages of `size` bytes going."""

    connections: int = 100
    in_flight: int = 1
    size: int = 64


@dataclass(frozen=True)
class Stretch:
    """What the clients saw in one stretch. Times in seconds."""

    messages: int  # replies within the time
    seconds: float
    p99: float  # 0.0 when there was no reply
    total: int  # replies before and within the time
    served: int  # connections that ever had a reply
    lost: int  # connections that the server has ended
    busy: float  # the part of the time for which the clients had a CPU


@dataclass(frozen=True)
class Sample:
    """What a server made of a load in one stretch. None where no message came back."""

    rate: float  # messages per second
    p99: float | None  # seconds; 99 of 100 messages came back within that
    cpu: float  # of the server: CPU seconds per second, 1.0 is a whole core
    memory: int  # of the server: bytes that no file is behind
    switches: float | None  # of the server: context switches per message, voluntary and not
    messages: int  # those that `switches` goes by; some more than were timed
    connections: int  # as many as asked for, or as many as may be
    served: int  # connections that ever had a reply
    lost: int  # connections that the server has ended
    note: str = ""  # what is not as asked, and why


def fitting(model: str, load: Load) -> Sized:
    """How many connections this load may have with this model on this machine, and why not more.

    Raises ValueError for what makes no sense.
    """
    if min(asdict(load).values()) < 1:
        raise ValueError("connections, in_flight and size begin at 1")
    if (each := load.in_flight * load.size) > UNDER_WAY:
        raise ValueError("a client may have 64 MiB under way: size times in_flight is more")
    fits = sized(load.connections)
    if fits.connections > (enough := ENOUGH.get(model, fits.connections)):
        fits = Sized(enough, load.connections, f"so many {model} show the same")
    if fits.connections > UNDER_WAY // each:
        why = "all clients together may have 64 MiB under way"
        fits = Sized(UNDER_WAY // each, load.connections, why)
    return fits


@contextlib.contextmanager
def metering(
    model: str, app: str = "echo", while_waiting: Callable[[], None] = lambda: None
) -> Iterator[Meter]:
    """Run a server, and clients for it, until the block ends.

    Ten times a second while one waits for the clients, `while_waiting` is called; what it raises
    ends the waiting. Raises ValueError for a model that there is not, ServerError when the server
    does not start, LoadError when the clients do not.
    """
    with serving(model, app) as server:
        host, port = server.address
        arguments = [app, host, str(port)]
        module = "iomodels.measure.meter_clients"
        with child(module, arguments, while_waiting) as clients:
            yield Meter(server, clients, while_waiting)


class Meter:
    """A running server and its clients. `metering()` makes it, and ends it."""

    def __init__(self, server: Served, clients: Child, while_waiting: Callable[[], None]) -> None:
        self.server, self.clients, self.while_waiting = server, clients, while_waiting
        self.here: Load | None = None  # the load for which the clients have connected

    def sample(self, load: Load, seconds: float = STRETCH) -> Sample:
        """Put a load on the server for so long. Clients connect anew when it is another load.

        Raises ValueError for a load that makes no sense, LoadError or ServerError when there is no
        result: a wrong byte, too few descriptors, a server that has died.
        """
        fits = fitting(self.server.model, load)
        if load != self.here:
            self.here = None
            self.order(**asdict(load) | {"connections": fits.connections})
            self.here = load
        before = counters(self.server.pid)
        saw = Stretch(**self.order(seconds=seconds))
        cpu, switches = counters(self.server.pid).since(before)
        if saw.lost == fits.connections:
            raise LoadError(f"the server has ended all of {fits.connections:,} connections")
        notes = [str(fits)] * bool(fits.why)
        if saw.busy > BUSY:
            compiled = self.clients.said["compiled"]
            notes.append("the clients were the limit, not the server" + NUMBA * (not compiled))
        return Sample(
            rate=saw.messages / saw.seconds,
            p99=saw.p99 if saw.messages else None,
            cpu=cpu,
            memory=footprint(self.server.pid).user,
            switches=switches / saw.total if saw.total else None,
            messages=saw.total,
            connections=fits.connections,
            served=saw.served,
            lost=saw.lost,
            note="; ".join(notes),
        )

    def order(self, **what: object) -> dict[str, Any]:
        """Have the clients do something, and return their answer."""
        process = self.clients.process
        assert process.stdin and process.stdout
        line = b""
        with contextlib.suppress(BrokenPipeError):
            # Past the buffer: what it could not get rid of, it would try to once more on closing.
            os.write(process.stdin.fileno(), json.dumps(what).encode() + b"\n")
            ready = select.poll()
            ready.register(process.stdout, select.POLLIN)
            while not ready.poll(100):
                self.while_waiting()
            line = process.stdout.readline()
        answer: dict[str, Any] = json.loads(line or '{"failed": "the clients were ended"}')
        if self.server.child.process.poll() is not None:
            lines = self.server.log().strip().splitlines()
            raise ServerError(lines[-1] if lines else f"{self.server.model} was ended")
        if "failed" in answer:
            raise LoadError(answer["failed"])
        return answer


@dataclass(frozen=True)
class Counters:
    """What a process and its descendants have used at a moment."""

    at: float  # monotonic seconds
    cpu: dict[int, float]  # seconds, by process
    switches: dict[int, int]  # voluntary and not, by thread

    def since(self, before: Counters) -> tuple[float, int]:
        """CPU seconds per second from `before` on, and context switches."""
        cpu = sum(now - before.cpu.get(pid, 0.0) for pid, now in self.cpu.items())
        switches = sum(now - before.switches.get(tid, 0) for tid, now in self.switches.items())
        return cpu / (self.at - before.at), switches


def counters(pid: int) -> Counters:
    """Read them. Who has just ended is left out; of a process that there is not, there is nothing.

    Linux numbers threads and processes in one series, so no two threads have the same number.
    """
    import psutil

    at, cpu, switches = time.monotonic(), dict[int, float](), dict[int, int]()
    with contextlib.suppress(psutil.NoSuchProcess):
        server = psutil.Process(pid)
        for process in (server, *server.children(recursive=True)):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                cpu[process.pid] = cpu_of(process.pid)
                for tid in os.listdir(f"/proc/{process.pid}/task"):
                    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                        switches[int(tid)] = switches_of(process.pid, int(tid))
    return Counters(at, cpu, switches)


def cpu_of(pid: int) -> float:
    """CPU seconds of a process so far, all its threads, those too that have ended.

    Its CPU clock shows them (man 3 clock_getcpuclockid). Raises ProcessLookupError.
    """
    clock = ctypes.c_int()
    if error := ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise ProcessLookupError(error, os.strerror(error))
    try:
        return time.clock_gettime(clock.value)
    except OSError as error:  # EINVAL: it has ended since
        raise ProcessLookupError(error.errno, error.strerror) from None


def switches_of(pid: int, tid: int) -> int:
    """Context switches of one thread so far (man 5 proc_pid_status)."""
    status = Path(f"/proc/{pid}/task/{tid}/status").read_text()
    return sum(map(int, re.findall(r"^(?:non)?voluntary_ctxt_switches:\s+(\d+)$", status, re.M)))
