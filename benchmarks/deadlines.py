"""A million deadlines: what it costs to set one, to cancel one, and to see that none has come.

Ours is a byte for each (iomodels/servers/deadlines.py). Beside it, on the same work:

    heapq      a list of [when, key] for each, and a dict to find it by its key; to cancel is to
               mark it, and it stays in the heap until its time has come
    asyncio    `call_later` and `cancel` of the loop's own timers, which are a heap too

Times are the best of a few rounds. Bytes are those that Python has allocated for all of them when
each has been set, and again when each has then been set anew nine times, as a connection does that
moves its deadline with each message. Our array, a byte for each key, is there before.

A heap knows its next one without looking, and `due` costs it nothing; ours looks at every byte, a
few times a second.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import heapq
import time
import tracemalloc
from collections.abc import Callable

from iomodels.measure.progress import progress
from iomodels.servers.deadlines import TICK, Deadlines

ENTRIES = 1_000_000
FEWER = 100_000  # entries for the bytes, which are counted slowly
AGAIN = 9  # times that each is set anew
SECONDS = 5.0
REPEATS = 3
TICKS = 30


class Clock:
    """Goes only when it is told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Ours(Deadlines):
    """With room for all of them, as a server's is after its first connections."""

    def __init__(self, entries: int) -> None:
        self.clock: Clock = Clock()
        super().__init__(self.clock)
        self.slots.extend(bytes(entries))

    def close(self) -> None:
        pass


class Heap:
    """The usual way, with lazy deletion."""

    def __init__(self, entries: int) -> None:
        self.clock = Clock()
        self.heap: list[list[float]] = []
        self.entry: dict[int, list[float]] = {}

    def set(self, key: int, seconds: float) -> None:
        self.cancel(key)
        entry = [self.clock.now + seconds, key]
        self.entry[key] = entry
        heapq.heappush(self.heap, entry)

    def cancel(self, key: int) -> None:
        if entry := self.entry.pop(key, None):
            entry[1] = -1

    def due(self) -> list[float]:
        found = []
        while self.heap and (self.heap[0][0] <= self.clock.now or self.heap[0][1] < 0):
            _, key = heapq.heappop(self.heap)
            if key >= 0:
                found.append(key)
        return found

    def close(self) -> None:
        pass


class Asyncio:
    """The loop's timers, one for each, and where to find it."""

    def __init__(self, entries: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.loop.time = self.clock  # type: ignore[method-assign]
        self.handles: dict[int, asyncio.TimerHandle] = {}

    def set(self, key: int, seconds: float) -> None:
        self.cancel(key)
        self.handles[key] = self.loop.call_later(seconds, self.late, key)

    def cancel(self, key: int) -> None:
        if handle := self.handles.pop(key, None):
            handle.cancel()

    def late(self, key: int) -> None:
        raise AssertionError("none is due")

    def due(self) -> None:
        """One round of the loop, which looks at its timers."""
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def close(self) -> None:
        self.loop.close()


WAYS: dict[str, Callable[[int], Ours | Heap | Asyncio]] = {
    "a byte each": Ours,
    "heapq": Heap,
    "asyncio": Asyncio,
}


def timed(work: Callable[[int], object], times: int) -> float:
    """Nanoseconds for each call."""
    started = time.perf_counter_ns()
    for key in range(times):
        work(key)
    return (time.perf_counter_ns() - started) / times


def times(name: str) -> dict[str, float]:
    """What each operation takes, with a million entries; the best of a few rounds."""
    best: dict[str, float] = {}
    for _ in range(REPEATS):
        timers = WAYS[name](ENTRIES)
        gc.disable()
        try:
            took = {
                "set": timed(functools.partial(set_one, timers), ENTRIES),
                "due": timed(functools.partial(tick, timers), TICKS),
                "cancel": timed(timers.cancel, ENTRIES),
            }
        finally:
            gc.enable()
            timers.close()
        best = {what: min(ns, best.get(what, ns)) for what, ns in took.items()}
    return best


def set_one(timers: Ours | Heap | Asyncio, key: int) -> None:
    timers.set(key, SECONDS)


def tick(timers: Ours | Heap | Asyncio, number: int) -> None:
    """Let a tick go by; nobody is late before SECONDS have."""
    timers.clock.now += TICK
    timers.due()


def bytes_each(name: str) -> tuple[float, float]:
    """Bytes for each entry when it was set once, and when it was set nine times more."""
    timers = WAYS[name](FEWER)
    timers.set(0, SECONDS)  # what is made once
    tracemalloc.start()
    try:
        before, sizes = tracemalloc.get_traced_memory()[0], []
        for rounds in (1, AGAIN):
            for _ in range(rounds):
                for key in range(FEWER):
                    timers.set(key, SECONDS)
            sizes.append((tracemalloc.get_traced_memory()[0] - before) / FEWER)
    finally:
        tracemalloc.stop()
        timers.close()
    return sizes[0], sizes[1]


def deadlines() -> dict[str, dict[str, float]]:
    """By way: "set", "cancel", "due" in ns, "bytes" and "bytes, moved" for each."""
    found = {}
    with progress("Deadlines") as step:
        for place, name in enumerate(WAYS):
            step(place / len(WAYS), name)
            once, moved = bytes_each(name)
            found[name] = times(name) | {"bytes": once, "bytes, moved": moved}
    return found
