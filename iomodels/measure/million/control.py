"""The controller of the million: it starts the others, gives orders, watches, and ends them all.

    python -m iomodels.measure.million.control JSON

What ends it early: the end of stdin, which is its leash; SIGINT and SIGTERM, which are blocked and
looked for ten times a second, so that they never come in the middle of something; and what it sees
itself, that memory runs short, that a process has died, that nothing moves.

A pair works on one CPU, its server and its clients in turn, and there are as many pairs at work as
there are CPUs: a loopback packet is handled on the CPU that sent it, so what one of them has
written, the other finds in that CPU's cache. The other pairs sleep, and hold what they have.

Memory is a slope, between a tenth of the connections and all of them: what a process costs before
it has any falls out.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, NoReturn

from iomodels.measure.child import say
from iomodels.measure.footprint import why_no_slabs
from iomodels.measure.limits import raise_soft_limit
from iomodels.measure.million.family import Family, Look, Pair
from iomodels.measure.million.network import private_network
from iomodels.measure.million.planning import Plan, free, plan
from iomodels.measure.million.scores import (
    CAME,
    CLOSED,
    CONNECTED,
    ECHOED,
    HEARD,
    LOST,
    OPENED,
    PUBLISHED,
    Scores,
)
from iomodels.servers.stopping import SIGNALS

TICK = 0.1  # seconds between two looks at signals, leash and memory
TELL = 0.2  # seconds between two lines of progress
LOOK = 2.0  # seconds between two looks at the processes' memory
STALLED = 30.0  # seconds without any progress after which it is given up
SAMPLE = 10_000  # connections of all that have a message echoed
FEW = 0.1  # of the connections: where the slopes begin
ENDED = "a process of the million has ended before its time"


class Left(Exception):
    """Nobody wants to know any more: a signal came, or the leash was let go."""


class Failed(Exception):
    """There is no result; the text says why, in one line."""


class Controller:
    """A plan that is carried out."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.scores = plan, Scores(plan.pairs)
        self.family = Family(plan, self.scores)
        self.notes = [plan.reason] * bool(plan.reason)
        self.free = free()  # before there is any process
        self.phase, self.started = "start", time.monotonic()
        self.few: Look | None = None  # where the slopes begin
        self.latest: Look | None = None
        self.told = self.looked = self.moved = self.started
        self.points: deque[tuple[float, int]] = deque(maxlen=6)  # of a second: when, how many
        self.done = 0

    # --- watching ---

    def tick(self) -> None:
        """Look at all that could end this; say how far it is, when it is time to."""
        leash = select.poll()
        leash.register(0, select.POLLIN)
        if signal.sigpending() & SIGNALS or (leash.poll(0) and not os.read(0, 1024)):
            raise Left
        if self.family.ended():
            raise Failed(ENDED)
        self.mind_memory()
        now = time.monotonic()
        self.mind_progress(now)
        if self.few and now - self.looked >= LOOK:
            self.latest, self.looked = self.look(), now
        if now - self.told >= TELL:
            column = HEARD if self.phase == "message" else CONNECTED
            self.points.append((now, self.scores.total(column)))
            self.tell()
            self.told = now

    def look(self) -> Look:
        """Look at the processes' memory, while all are there."""
        try:
            return self.family.look()
        except (ProcessLookupError, FileNotFoundError):
            raise Failed(ENDED) from None

    def mind_memory(self) -> None:
        """Stop connecting when memory runs short; give up when that is not enough."""
        left, floor = free(self.scores.total(CONNECTED)), self.plan.floor
        if left >= floor:
            return
        short = f"{left / 1e9:.1f} GB of memory were free, and {floor / 1e9:.1f} GB must stay"
        if left < floor / 2 or not self.scores.total(CONNECTED):
            raise Failed(f"memory ran short: {short}")
        if self.phase == "connect" and not self.scores.stopped:
            self.scores.stop()
            self.notes.append(f"connecting was stopped: {short}")

    def mind_progress(self, now: float) -> None:
        """Give up when nothing moves any more."""
        done = sum(map(self.scores.total, (CONNECTED, HEARD, LOST, ECHOED)))
        if done != self.done:
            self.done, self.moved = done, now
        elif now - self.moved > STALLED:
            raise Failed(f"in the phase {self.phase!r} nothing has moved for {STALLED:g} s")

    def tell(self) -> None:
        """Say how far it is."""
        user = kernel = None
        if self.few and self.latest and self.latest.connections > 2 * self.few.connections:
            user = self.latest.slope(self.few, "servers")
            objects = self.latest.objects(self.few)
            kernel = sum(objects.values()) if objects else None
        rate = 0.0
        if len(self.points) > 1:
            (then, before), (now, done) = self.points[0], self.points[-1]
            rate = (done - before) / (now - then)
        left = free(self.scores.total(CONNECTED))
        say(
            now={
                "phase": self.phase, "seconds": time.monotonic() - self.started, "rate": rate,
                "connections": self.scores.total(CONNECTED), "heard": self.scores.total(HEARD),
                "user": user, "kernel": kernel,
                "machine": self.free - left, "free": left,
            }
        )  # fmt: skip

    # --- orders ---

    def order(self, phase: str, order: Callable[[Pair], Sequence[object]]) -> float:
        """Give each pair an order, to as many at once as there are CPUs; return the seconds."""
        started = time.monotonic()
        self.phase = phase
        self.points.clear()
        self.tell()  # of each phase once, however short it is
        waiting, idle = deque(self.family.pairs), list(os.sched_getaffinity(0))
        at_work: dict[int, tuple[Pair, int]] = {}
        answers = select.poll()
        answers.register(0, select.POLLIN)  # the leash
        while waiting or at_work:
            while waiting and idle:
                pair, cpu = waiting.popleft(), idle.pop()
                pair.run_on(cpu)
                pair.tell(order(pair))
                at_work[pair.orders.fileno()] = pair, cpu
                answers.register(pair.orders, select.POLLIN)
            for fd, _ in answers.poll(TICK * 1000):
                if fd in at_work:
                    pair, cpu = at_work.pop(fd)
                    answers.unregister(fd)
                    idle.append(cpu)
                    self.answered(pair, pair.answer())
            self.tick()
        return time.monotonic() - started

    def answered(self, pair: Pair, line: bytes) -> None:
        """Take note of what the clients of a pair say."""
        if not line:
            raise Failed(f"the clients of pair {pair.number} have ended before their time")
        said = json.loads(line)
        if "failed" in said:
            raise Failed(f"pair {pair.number}: {said['failed']}")
        if said["short"] and (note := f"connecting was stopped: {said['short']}") not in self.notes:
            self.notes.append(note)

    # --- the whole ---

    def carry_out(self) -> dict[str, Any]:
        """Start, connect, send, echo; return what was found, all but how it ended."""
        try:
            why = self.family.start(self.tick)
        except OSError as error:
            raise Failed(f"cannot start a pair of processes: {error.strerror}") from None
        self.notes += [why] * bool(why)
        pairs = self.family.pairs
        self.started = self.moved = time.monotonic()
        seconds = self.order("connect", lambda pair: ("connect", round(pair.share * FEW)))
        self.few = few = self.look()
        seconds += self.order("connect", lambda pair: ("connect", pair.share))
        self.latest = many = self.look()
        held = [self.scores.row(pair.number)[CONNECTED] for pair in pairs]
        if not sum(held):
            raise Failed(self.notes[-1] if self.notes else "there is no connection")

        word = secrets.token_hex(8)  # nobody has heard it before
        message_seconds = self.order("message", lambda p: ("message", f"{word} to {p.number}"))
        sample = [min(-(-SAMPLE // len(pairs)), each) for each in held]
        self.order("echo", lambda pair: ("echo", sample[pair.number]))
        return {
            "connections": sum(held),
            "connect_seconds": seconds,
            "message_seconds": message_seconds,
            "sample": sum(sample),
            "speakers": sum(each > 0 for each in held),  # of the message: one in each pair
            "user": many.slope(few, "servers"),
            "clients": many.slope(few, "clients"),
            "resolution": os.sysconf("SC_PAGE_SIZE")
            * len(pairs)
            / max(1, many.connections - few.connections),
            "machine": self.free - many.free,
            "by_available": self.free - many.available,
            "slabs": many.objects(few),
        }

    def run(self) -> dict[str, Any]:
        """Carry it out, end all, and return the report."""
        scores = self.scores
        try:
            found = self.carry_out()
            columns = {"opened": OPENED, "closed": CLOSED, "came": CAME, "published": PUBLISHED}
            counts = {name: scores.total(column) for name, column in columns.items()}
            self.phase = "close"
            self.tell()
        finally:
            closing = time.monotonic()
            self.family.end()
        connections, speakers = found["connections"], found.pop("speakers")
        due = {
            "opened": connections, "closed": 0, "came": speakers + found["sample"],
            "published": connections,
        }  # fmt: skip
        return found | {
            "plan": asdict(self.plan),
            "close_seconds": time.monotonic() - closing,
            "heard": scores.total(HEARD),
            "lost": scores.total(LOST),
            "echoed": scores.total(ECHOED),
            "servers": counts,
            "agree": counts == due,
            "notes": [*self.notes, *filter(None, [why_no_slabs()])],
        }


def main(order: str) -> NoReturn:
    """Plan, say so, carry it out, say what was found."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    raise_soft_limit()
    asked = json.loads(order)
    shared = private_network(2 * plan(**asked).connections)
    made = replace(plan(**asked), shared=shared)  # again: ports and queues are the namespace's
    zeros = dict.fromkeys(("seconds", "rate", "connections", "heard", "machine"), 0)
    start = {"phase": "plan", "user": None, "kernel": None, "free": made.available}
    say(plan=asdict(made), now=zeros | start)
    try:
        if not made.connections:
            raise Failed(f"there is no room for a connection: {made.reason}")
        say(found=Controller(made).run())
    except Failed as why:
        say(failed=str(why))
    except (Left, BrokenPipeError):
        os._exit(1)
    os._exit(0)  # the signals that are pending would end it otherwise, and look like a failure


if __name__ == "__main__":
    main(*sys.argv[1:])
