"""Deadlines: one byte for each connection, and one memchr(3) for each tick.

Most deadlines never come: they are set, moved and cancelled as messages go by, a million of them
for a million connections. So setting and cancelling must cost nothing, and finding those that have
come may cost a little, a few times a second.

A heap, as asyncio's `call_later` keeps, has it the other way round. Each entry is an object and a
place in the heap, over a hundred bytes; cancelling leaves it there until its time has come; and a
connection that hears a message each second adds an entry each second. A timing wheel with a list
for each slot (Varghese and Lauck, 1987) needs two links for each entry, to take it out again.

Here the wheel is turned inside out: not each slot has a list of its connections, but each
connection has the number of its slot, in one byte of a bytearray.

    set       slots[key] = number of the slot
    cancel    slots[key] = 0
    due       slots.find(number of this tick's slot), again and again: memchr(3) looks at a million
              bytes in some 20 µs

A byte has room for four levels of 63 slots. A tick of each level is four times as long as one of
the level before, and a deadline goes to the first level that reaches as far as it lies ahead. So
it comes late by at most one tick of its level, a fifteenth of what was asked for, and never early.
Linux's own timers do the same, for the same reason (kernel/time/timer.c: "the granularity of each
level").

    level    tick       reaches    late by at most
    0        0.125 s      7.6 s    0.125 s
    1        0.5 s       30.5 s    0.5 s
    2        2 s        122 s      2 s
    3        8 s        488 s      8 s
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable

TICK = 0.125  # seconds, of level 0
LEVELS = 4
SLOTS = 63  # of each level; 0 stands for "no deadline"
REACH = SLOTS - 2  # ticks of its level that a deadline may lie ahead
LONGEST = REACH * TICK * 4 ** (LEVELS - 1)  # seconds: 488


class Deadlines:
    """A deadline for each of many keys, which are small integers, such as fds.

    `wait` says how long one may sleep, `due` who is late. Both go by the time at which `due` was
    last called, so a loop that calls it each time it wakes asks for the time once a round.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` says the time in seconds, and never goes back."""
        self.clock = clock
        self.slots = bytearray(64)  # by key
        self.now = clock()
        self.tick = int(self.now / TICK)  # the last one that has been looked at
        self.next = math.inf  # when to look again
        self.last = [0] * LEVELS  # of each level: the last tick at which anything is due

    def set(self, key: int, seconds: float) -> None:
        """Have `key` be due in so many seconds, and no sooner; 0: never.

        Replaces the deadline that it has. Raises ValueError for more than LONGEST.
        """
        if not seconds:
            return self.cancel(key)
        level = level_of(seconds)
        at = (int((self.now + seconds) / TICK) >> 2 * level) + 1
        if key >= len(self.slots):
            self.slots.extend(bytes(key + 1))  # doubles: a byte per key, and few copies
        self.slots[key] = slot(level, at)
        if at > self.last[level]:
            self.last[level] = at
        if (look := self.boundary(level)) < self.next:
            self.next = look

    def cancel(self, key: int) -> None:
        """Forget the deadline of `key`, if it has one."""
        if key < len(self.slots):
            self.slots[key] = 0

    def wait(self) -> float | None:
        """Seconds to sleep before `due` can have anything to say; None: for ever."""
        return None if self.next == math.inf else max(0.0, self.next - self.now)

    def due(self) -> list[int]:
        """Return the keys whose deadline has come, and forget their deadlines."""
        self.now = self.clock()
        before, self.tick = self.tick, int(self.now / TICK)
        if self.now < self.next:
            return []
        keys: list[int] = []
        for level in range(LEVELS):
            last, now = before >> 2 * level, self.tick >> 2 * level
            for at in range(max(last, now - SLOTS) + 1, now + 1):
                if last < self.last[level]:
                    self.take(slot(level, at), keys)
        ahead = [n for n in range(LEVELS) if self.last[n] > self.tick >> 2 * n]
        self.next = min(map(self.boundary, ahead), default=math.inf)
        return keys

    def take(self, number: int, keys: list[int]) -> None:
        """Move all keys of a slot to `keys`."""
        key = self.slots.find(number)
        while key >= 0:
            self.slots[key] = 0
            keys.append(key)
            key = self.slots.find(number, key + 1)

    def boundary(self, level: int) -> float:
        """When the next tick of a level begins."""
        return ((self.tick >> 2 * level) + 1 << 2 * level) * TICK


def slot(level: int, at: int) -> int:
    """The byte for a tick of a level: 1 to 255, never 0."""
    return level << 6 | at % SLOTS + 1


@functools.lru_cache
def level_of(seconds: float) -> int:
    """The first level that reaches so far ahead."""
    for level in range(LEVELS):
        if seconds <= REACH * TICK * 4**level:
            return level
    raise ValueError(f"a deadline lies at most {LONGEST:g} s ahead, not {seconds:g}")
