"""A load in a process of its own, on a server that runs somewhere on this machine.

    report = load(server.address, connections=100, in_flight=1, size=64, seconds=2)
    print(report.rate, report.p99)

What the clients do, and what their figures mean, is told in client.py.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import time
from dataclasses import dataclass, replace

from iomodels.measure.dialogues import DIALOGUES
from iomodels.measure.limits import sized
from iomodels.measure.progress import progress
from iomodels.measure.serving import ServerError, child

LONGEST = 600.0  # seconds: a load is bounded
BUSY = 0.95  # of a CPU: clients that use more than that are the limit
NUMBA = " (they are four times faster with numba: pip install iomodels[fast])"


class LoadError(Exception):
    """There is no result; the text says why, in one line."""


@dataclass(frozen=True)
class Result:
    """What the clients saw. Times in seconds, latencies to 2 %."""

    connections: int
    served: int  # connections that had a reply
    messages: int  # replies within the time
    seconds: float
    p50: float
    p99: float
    longest: float
    total: int  # replies before, within and after the time
    unanswered: int  # messages still under way when the time was over that never came back
    lost: int  # connections that the server ended
    cpu: float  # seconds of CPU that the clients used within the time
    compiled: bool  # whether the clients' loop was (loop.py)


@dataclass(frozen=True)
class Report(Result):
    """A Result with what follows from it."""

    note: str = ""  # what was not as asked, and why

    @property
    def rate(self) -> float:
        """Messages per second."""
        return self.messages / self.seconds if self.seconds else 0.0

    @property
    def busy(self) -> float:
        """The part of the time for which the clients had a CPU: near 1, they were the limit."""
        return self.cpu / self.seconds if self.seconds else 0.0


def load(
    address: tuple[str, int],
    *,
    app: str = "echo",
    connections: int = 100,
    in_flight: int = 1,
    size: int = 64,
    seconds: float = 2.0,
    cpu: int | None = None,
) -> Report:
    """Let `connections` clients talk with a server for so many seconds, and report.

    Each keeps `in_flight` messages of `size` bytes under way. `address` must be this machine's
    loopback. With fewer descriptors than connections there are fewer connections, and `note` says
    so. Raises ValueError for what makes no sense, LoadError when there is no result.
    """
    check(address, app, connections, in_flight, size, seconds)
    room = sized(connections)
    order = {
        "address": address, "app": app, "connections": room.connections, "in_flight": in_flight,
        "size": size, "seconds": seconds, "cpu": cpu,
    }  # fmt: skip
    started = time.monotonic()
    with progress("Load") as step:

        def tell() -> None:
            done = (time.monotonic() - started) / (seconds + 1)  # they also connect and warm up
            step(min(done, 1.0), f"{room.connections} clients")

        try:
            with child("iomodels.measure.client", [json.dumps(order)], tell) as clients:
                said = clients.said
        except ServerError as error:
            raise LoadError(str(error)) from None
    if "failed" in said:
        raise LoadError(said["failed"])
    report = Report(**said)
    notes = [str(room)] * bool(room.why)
    if report.busy > BUSY:
        notes.append("the clients were the limit, not the server" + NUMBA * (not said["compiled"]))
    return replace(report, note="; ".join(notes))


def check(
    address: tuple[str, int], app: str, connections: int, in_flight: int, size: int, seconds: float
) -> None:
    """Raise ValueError for what makes no sense."""
    if app not in DIALOGUES:
        raise ValueError(f"no load for an app named {app!r}; there are {', '.join(DIALOGUES)}")
    if min(connections, in_flight, size) < 1:
        raise ValueError("connections, in-flight and size begin at 1")
    if not 0 < seconds <= LONGEST:
        raise ValueError(f"seconds go from 0 to {LONGEST:g}")
    if size * in_flight > 1 << 26:
        raise ValueError("a client may have 64 MiB under way: size times in-flight is more")
    try:
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][4][0]
    except (OSError, OverflowError) as error:
        raise ValueError(f"{address[0]}:{address[1]} is no address: {error}") from None
    if not ipaddress.ip_address(found).is_loopback:
        raise ValueError(f"{address[0]} is not this machine's loopback; a load goes nowhere else")
