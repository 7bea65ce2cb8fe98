"""What a wake-up costs, against the fds that are watched and against those that are ready.

    curves = against_fds()
    print(curves.words("poll"))
    print(curves.ratio("poll"), curves.ratio("epoll"))

A wake-up is one call that asks who is ready: select(2), poll(2), epoll_wait(2), level- or
edge-triggered. Beside them stands what one does without any of these: a read of each fd, which says
EAGAIN for all but the ready ones. Before each call so many fds are made ready; after it, they are
emptied. Only the call is timed.

How it is timed. A machine does other things, too, and all of them make a call slower, none makes it
faster. So the figure is the least of many repeats, in several rounds in which the cases take turns.
Each case is warmed up first, the collector is off, and the process is a fresh one with a single
thread. Sizes go up within a round: the small case of epoll right after the large one of poll, which
has just filled the cache with its own, would look dear. To ask ten thousand fds takes longer than a
scheduler lets a process run on a busy machine; so that is timed in pieces, and the least times of
the pieces are added up.

What it is measured with. An eventfd(2) takes one fd and little memory, and gives a clean line as
long as all of them fit into the processor's cache. Then poll spends its time waiting for memory,
and the line bends upward: with some thousands of eventfds on a small machine, with a thousand of
sockets, which are larger.

Where it hurts:
- select stops at fd number 1023, and so does its curve.
- Python's part is in the figures: select(2) gets its sets from a list at each call, and a read that
  says EAGAIN raises an exception, which takes longer than the system call.
- Nobody sleeps here. A process that really waits is also woken by the scheduler, which costs
  microseconds, the same for all of them.
"""

from __future__ import annotations

import gc
import json
import math
import os
import select
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from iomodels.measure.child import say
from iomodels.measure.fresh import NotMeasured, fresh
from iomodels.measure.limits import raise_soft_limit, sized

__all__ = ["WAYS", "Curves", "NotMeasured", "Point", "against_fds", "against_ready"]

FDS = (10, 30, 100, 300, 1_000, 3_000, 10_000)
READY = (1, 3, 10, 30, 100, 300, 1_000)

# What may be claimed: for ten times as much, the cost is more than LINEAR times as high, or less
# than FLAT times. An unloaded machine gives 8 to 23, and 1.0 to 1.1; these hold with eight busy
# loops beside it.
LINEAR, FLAT = 4.0, 2.5

# What a curve is called: by its slope, up to which it is that.
SHAPES = {-0.2: "falling", 0.4: "flat", 0.8: "less than linear", 1.2: "linear"}

ROUNDS = 6
REPEATS = 12  # of a case in each round, at least
TURN = 4_000_000  # ns that a case has in each round, if its repeats are over sooner
WARM_UP = 3  # repeats that do not count
PIECE = 250  # fds that are asked between two looks at the clock
SELECT_MOST = 1024  # FD_SETSIZE: the fd numbers below it fit into a set


# --- the result ---


@dataclass(frozen=True)
class Point:
    """The cost of one wake-up, in seconds."""

    way: str
    fds: int  # that are watched
    ready: int  # of them, at each wake-up
    seconds: float

    @property
    def per_ready(self) -> float:
        """Seconds for each fd that was ready."""
        return self.seconds / self.ready


@dataclass(frozen=True)
class Curves:
    """The points of every way, against the "fds" or against those of them that are "ready"."""

    against: str
    points: tuple[Point, ...]
    notes: tuple[str, ...] = ()  # what was not as asked, and why

    @property
    def ways(self) -> list[str]:
        return list(dict.fromkeys(point.way for point in self.points))

    def of(self, way: str) -> list[Point]:
        """The points of one way, the smallest size first. Raises ValueError if it has none."""
        found = [point for point in self.points if point.way == way]
        if not found:
            raise ValueError(f"nothing was measured of {way!r}; there are {', '.join(self.ways)}")
        return sorted(found, key=self.size)

    def size(self, point: Point) -> int:
        """Where on the curve it is."""
        return point.fds if self.against == "fds" else point.ready

    def larger(self, way: str) -> list[Point]:
        """The points from about a tenth of the largest size on, where it is the size that costs."""
        points = self.of(way)
        tenth = self.size(points[-1]) / 10
        first = min(points[:-1], key=lambda point: abs(math.log(self.size(point) / tenth)))
        return points[points.index(first) :]

    def slope(self, way: str) -> float:
        """The exponent k of cost ~ size**k: a line through the logarithms of the larger sizes.

        1 is linear, 0 is flat. The line has the least squares of errors.
        """
        points = self.larger(way)
        xs = [math.log(self.size(point)) for point in points]
        ys = [math.log(point.seconds) for point in points]
        x0, y0 = sum(xs) / len(xs), sum(ys) / len(ys)
        both = sum((x - x0) * (y - y0) for x, y in zip(xs, ys, strict=True))
        return both / sum((x - x0) ** 2 for x in xs)

    def ratio(self, way: str) -> float:
        """How many times the cost is for ten times the size, between the ends of the larger part.

        Where these lie further apart or closer, it is scaled as a power law would be.
        """
        first, *_, last = self.larger(way)
        tens = math.log10(self.size(last) / self.size(first))
        return float((last.seconds / first.seconds) ** (1 / tens))

    def shape(self, way: str) -> str:
        """What to call it: one of SHAPES, or "more than linear"."""
        slope = self.slope(way)
        return next((name for most, name in SHAPES.items() if slope < most), "more than linear")

    def words(self, way: str) -> str:
        """What a curve says, as a sentence."""
        last = self.of(way)[-1]
        what = "fds" if self.against == "fds" else "ready fds"
        sentence = (
            f"{way}: {last.seconds * 1e6:,.1f} µs with {self.size(last):,} {what}; ten times the "
            f"{what}, {self.ratio(way):.1f} times the cost (slope {self.slope(way):z.2f}): "
            f"{self.shape(way)}"
        )
        if self.against == "ready":
            sentence += f"; {last.per_ready * 1e9:,.0f} ns for each ready fd"
        return sentence


# --- to be measured ---


def against_fds(
    fds: Sequence[int] = FDS, *, ready: int = 1, ways: Sequence[str] | None = None
) -> Curves:
    """Measure a wake-up with `ready` fds ready of so many, for each of `fds`.

    With fewer descriptors than the largest of them, all sizes shrink by the same factor, and the
    notes say so. Raises ValueError for what makes no sense, NotMeasured when there is no result.
    """
    largest = max(fds, default=0)
    check(ready, min(fds, default=0), ways, len(set(fds)))
    room = sized(largest)
    sizes = sorted({max(ready, n * room.connections // largest) for n in fds})
    notes = (f"{room.connections:,} fds instead of {largest:,}: {room.why}",) if room.why else ()
    return measure("fds", [(size, ready) for size in sizes], ways, notes)


def against_ready(
    ready: Sequence[int] = READY, *, fds: int = READY[-1], ways: Sequence[str] | None = None
) -> Curves:
    """Measure a wake-up with `fds` fds watched, for each number in `ready` of those ready.

    Sizes and errors are as in `against_fds`.
    """
    check(max(ready, default=1), fds, ways, len(set(ready)))
    check(min(ready, default=0), fds, ways)
    room = sized(fds)
    sizes = sorted({max(1, n * room.connections // fds) for n in ready})
    notes = (f"{room.connections:,} fds instead of {fds:,}: {room.why}",) if room.why else ()
    return measure("ready", [(room.connections, size) for size in sizes], ways, notes)


def check(ready: int, fds: int, ways: Sequence[str] | None, sizes: int = 2) -> None:
    """Raise ValueError for what makes no sense."""
    if sizes < 2:
        raise ValueError("a curve needs two sizes")
    if not 1 <= ready <= fds:
        raise ValueError(f"{ready} ready of {fds} fds: ready goes from 1 to all of them")
    if unknown := [way for way in ways or () if way not in WAYS]:
        raise ValueError(f"no way named {unknown[0]!r}; there are {', '.join(WAYS)}")


def measure(
    against: str,
    sizes: Sequence[tuple[int, int]],
    ways: Sequence[str] | None,
    notes: tuple[str, ...],
) -> Curves:
    """Let a child measure these sizes, (fds, ready) each, in turn."""
    order = {"sizes": sizes, "ways": list(WAYS if ways is None else ways)}
    found = fresh("iomodels.measure.multiplexing", order, "Multiplexing")
    points = tuple(Point(**point) for point in found["points"])
    return Curves(against, points, (*notes, *found["notes"]))


# --- the child: each way as a function that makes one wake-up and returns how long it took ---

Wake = Callable[[], list[int]]  # nanoseconds, in pieces


def by_select(fds: list[int], ready: int) -> tuple[Wake, Callable[[], None]]:
    """Ask about a set that is built anew at each call."""
    now, wait = time.perf_counter_ns, select.select

    def wake() -> list[int]:
        started = now()
        found, _, _ = wait(fds, [], [], 0)
        took = now() - started
        assert len(found) == ready
        return [took]

    return wake, lambda: None


def by_poll(fds: list[int], ready: int) -> tuple[Wake, Callable[[], None]]:
    """Hand over the whole list at each call."""
    poller = select.poll()
    for fd in fds:
        poller.register(fd, select.POLLIN)
    now, wait = time.perf_counter_ns, poller.poll

    def wake() -> list[int]:
        started = now()
        found = wait(0)
        took = now() - started
        assert len(found) == ready
        return [took]

    return wake, lambda: None


def by_epoll(fds: list[int], ready: int, trigger: int = 0) -> tuple[Wake, Callable[[], None]]:
    """Tell the kernel once; `trigger` is 0 or EPOLLET."""
    epoll = select.epoll()
    for fd in fds:
        epoll.register(fd, select.EPOLLIN | trigger)
    now, wait, most = time.perf_counter_ns, epoll.poll, len(fds)

    def wake() -> list[int]:
        started = now()
        found = wait(0, most)
        took = now() - started
        assert len(found) == ready
        return [took]

    return wake, epoll.close


def by_epoll_edge(fds: list[int], ready: int) -> tuple[Wake, Callable[[], None]]:
    """The same, edge-triggered."""
    return by_epoll(fds, ready, select.EPOLLET)


def by_asking(fds: list[int], ready: int) -> tuple[Wake, Callable[[], None]]:
    """Read each of them. Those which are ready are empty afterwards."""
    now, read = time.perf_counter_ns, os.read
    pieces = [fds[at : at + PIECE] for at in range(0, len(fds), PIECE)]

    def wake() -> list[int]:
        times = []
        for piece in pieces:
            started = now()
            for fd in piece:
                try:
                    read(fd, 8)
                except BlockingIOError:
                    pass
            times.append(now() - started)
        return times

    return wake, lambda: None


WAYS: dict[str, Callable[[list[int], int], tuple[Wake, Callable[[], None]]]] = {
    "select": by_select,
    "poll": by_poll,
    "epoll": by_epoll,
    "epoll-edge": by_epoll_edge,
    "asking": by_asking,
}


def turn(way: str, fds: list[int], ready: int) -> list[int]:
    """Repeat one case for a while; return the least time of each piece."""
    wake, close = WAYS[way](fds, ready)
    # The ready ones lie evenly among the others, the last fd is one: nobody may stop early.
    armed = [fds[(number + 1) * len(fds) // ready - 1] for number in range(ready)]
    try:
        for _ in range(WARM_UP):
            once(way, wake, armed)
        best = once(way, wake, armed)
        repeats, end = 1, time.perf_counter_ns() + TURN
        while repeats < REPEATS or time.perf_counter_ns() < end:
            best = [min(pair) for pair in zip(best, once(way, wake, armed), strict=True)]
            repeats += 1
    finally:
        close()
    return best


def once(way: str, wake: Wake, armed: list[int]) -> list[int]:
    """Make these fds ready, wake up, empty them."""
    for fd in armed:
        os.eventfd_write(fd, 1)
    times = wake()
    if way != "asking":
        for fd in armed:
            os.eventfd_read(fd)
    return times


def main(order: str) -> None:
    """Measure {"sizes": [[fds, ready], …], "ways": […]} and say the points."""
    asked = json.loads(order)
    sizes = [(fds, ready) for fds, ready in asked["sizes"]]
    raise_soft_limit()
    all_fds: list[int] = []
    for _ in range(max(fds for fds, _ in sizes)):
        all_fds.append(os.eventfd(0, os.EFD_NONBLOCK))
    # In the order of the sizes, for what a case leaves in the cache must not be another's burden.
    cases = [(way, fds, ready) for fds, ready in sizes for way in asked["ways"]]
    left_out = {
        case for case in cases if case[0] == "select" and all_fds[case[1] - 1] >= SELECT_MOST
    }
    cases = [case for case in cases if case not in left_out]
    best: dict[tuple[str, int, int], list[int]] = {}
    gc.disable()
    for number in range(ROUNDS):
        for place, case in enumerate(cases):
            way, fds, ready = case
            say(done=(number + place / len(cases)) / ROUNDS, what=f"{way}, {fds:,} fds")
            times = turn(way, all_fds[:fds], ready)
            best[case] = [min(pair) for pair in zip(best.get(case, times), times, strict=True)]
    notes = []
    if left_out:
        smallest = min(fds for _, fds, _ in left_out)
        notes.append(f"select is left out from {smallest:,} fds on: it takes fd numbers to 1023")
    points = [Point(*case, seconds=sum(times) / 1e9) for case, times in best.items()]
    say(found={"points": [asdict(point) for point in points], "notes": notes})


if __name__ == "__main__":
    main(*sys.argv[1:])
