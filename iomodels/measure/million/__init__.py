"""A million WebSockets on one machine, or as many as it holds: `million()`.

    report = million(1_000_000, tell=lambda now: print(now.connections))
    print(report.user, report.lost)

They connect and are upgraded; then each hears one message, and a sample has one echoed. Every
byte is compared, and the servers' own counts must agree with what the clients saw.

    planning.py   what it takes, what there is, and so how many
    control.py    the controller, a child: it gives orders and watches
    family.py     the processes that it forks, and how none is left behind
    hall.py       what a server process serves
    crowd.py      the clients of one server, in one process
    scores.py     the counters that all of them share
    network.py    a network namespace of one's own

Everything runs below one child, the controller. It is on a leash, its stdin; the others are its
children, and the kernel kills them when it dies. So there is no end of this process, kind or not,
that leaves any of them behind.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from iomodels.measure.fresh import NotMeasured, next_line
from iomodels.measure.million.planning import Plan, plan
from iomodels.measure.serving import ServerError, child

__all__ = ["NotMeasured", "Plan", "Progress", "Report", "million", "plan"]

ENOUGH_TO_SEE = 100_000  # connections; what fewer take drowns in what other programs do
ENDS_WITHIN = 300.0  # seconds; a million connections are closed in some twenty


@dataclass(frozen=True)
class Progress:
    """How far it is. Bytes are per connection, and None until they can be told."""

    plan: Plan  # as it is carried out
    phase: str  # "plan", "start", "connect", "message", "echo", "close"
    seconds: float  # since the first connection
    connections: int  # upgraded so far
    rate: float  # connections, or in the phase "message" deliveries, per second just now
    heard: int  # clients that have heard the message
    user: float | None  # of the servers
    kernel: float | None  # both ends; None as well where only root may look
    machine: int  # bytes that the machine has less than before
    free: int  # bytes that are left

    def __str__(self) -> str:
        said = [f"{self.connections:,} of {self.plan.connections:,} connected"]
        if self.phase in ("connect", "message"):
            said.append(f"{self.rate:,.0f} a second")
        if self.heard:
            said.append(f"{self.heard:,} have heard the message")
        if self.user is not None:
            said.append(f"each {self.user:.0f} B of the server")
        if self.kernel is not None:
            said.append(f"{self.kernel:,.0f} B of the kernel")
        return "; ".join([*said, f"{self.free / 1e9:.1f} GB free"])


@dataclass(frozen=True)
class Report:
    """What was held, and what it cost."""

    plan: Plan
    connections: int  # upgraded, and held until the end
    connect_seconds: float  # from the first connection to the last
    message_seconds: float  # from the first order to speak to the last client that heard it
    close_seconds: float  # until every process was gone
    heard: int  # clients that heard the message, and nothing else
    lost: int  # clients that did not
    sample: int  # clients that had random bytes echoed
    echoed: int  # those that heard the same bytes
    servers: dict[str, int]  # the servers' own counts: opened, closed, came, published
    agree: bool  # whether those are what the clients saw
    user: float | None  # bytes of the servers' memory for each connection
    resolution: float  # bytes below which `user` says nothing: memory grows by pages
    clients: float | None  # bytes of the clients' memory for each connection
    machine: int  # bytes that the machine had less while all were there, all processes included
    by_available: int  # the same by MemAvailable, which leaves out sockets' inodes (planning.free)
    slabs: dict[str, float] | None  # bytes of each kind of kernel object for each connection
    notes: tuple[str, ...] = ()  # what was not as asked, and why

    @property
    def each(self) -> float | None:
        """Bytes of the machine's memory for each connection; None when there are too few to see."""
        return self.machine / self.connections if self.connections >= ENOUGH_TO_SEE else None

    @property
    def kernel(self) -> float | None:
        """Bytes of kernel objects for each connection, both ends; None where they are hidden."""
        return None if self.slabs is None else sum(self.slabs.values())

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {
            "plan": self.plan.as_dict(), "each": self.each, "kernel": self.kernel,
        }  # fmt: skip


def million(
    connections: int = 1_000_000,
    *,
    tell: Callable[[Progress], None] = lambda now: None,
    floor: int | None = None,
) -> Report:
    """Hold so many WebSockets at once, send one message to each, and report.

    `tell` is called in the phase "plan" before anything starts, then at the start of each phase and
    some five times a second. What it raises ends everything, and is raised here once nothing is
    left; so does KeyboardInterrupt. `floor`: see `plan`. Raises ValueError for what makes no sense,
    NotMeasured when there is no result.
    """
    plan(connections, floor=floor)  # it complains here rather than in the child
    order = {"connections": connections, "floor": floor}
    try:
        with child("iomodels.measure.million.control", [json.dumps(order)]) as running:
            try:
                said = running.said
                while "found" not in said:
                    if "plan" in said:
                        carried_out = Plan(**said["plan"])
                    if "failed" in said:
                        raise NotMeasured(said["failed"])
                    tell(Progress(plan=carried_out, **said["now"]))
                    said = next_line(running)
                found = said["found"]
                return Report(
                    **found | {"plan": Plan(**found["plan"]), "notes": tuple(found["notes"])}
                )
            finally:
                end(running.process)
    except ServerError as error:
        raise NotMeasured(str(error)) from None


def end(process: subprocess.Popen[bytes]) -> None:
    """Let go of the leash and wait until the controller has ended all the others.

    Two million sockets are not closed at once; `child` would lose patience, and kill it.
    """
    assert process.stdin
    process.stdin.close()
    try:
        process.wait(ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        pass  # then `child` kills it, and the kernel the others
