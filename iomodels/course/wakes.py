"""Wakes: how often a loop wakes up, told from outside, and a moment just after it has.

    wakes = Wakes("select")                 # select.select; for a poll object "poll.poll"
    with wakes:
        serve(listener)                     # in this thread

Meanwhile another thread looks: `wakes.count`, `wakes.asleep`, `wakes.in_vain()`. A case of an
exercise does so, for a loop that spins is right in all that a client sees.

Python calls a profile function (sys.setprofile) when its thread enters a function of C, and when
that returns. So it does not matter under which name the learner's code calls it. CPU time would
tell less: on a busy machine a loop that spins gets little of it, and counts all the same.

`after_waking` is called between the answer and whatever the loop makes of it. What the loop was
told is true at that moment, and need not be any more when it acts: there somebody else may come
first.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

ALLOWED = 10  # wake-ups while nothing happens: a loop may have a timeout, if not a short one


class Wakes:
    """What a thread does in one function of C that sleeps."""

    def __init__(self, name: str) -> None:
        """`name` is the function's `__qualname__` in the module `select`."""
        self.name = name
        self.count = 0  # how often the function has returned
        self.asleep = False  # whether the thread is in it
        self.after_waking: Callable[[], object] = lambda: None

    def __enter__(self) -> Wakes:
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _profile(self, _frame: FrameType, event: str, called: Any) -> None:
        if not event.startswith("c_") or called.__qualname__ != self.name:
            return
        self.asleep = event == "c_call"
        if event == "c_return":
            self.count += 1
            self.after_waking()

    def in_vain(self, looks: int = 25) -> bool:
        """Whether it wakes more than ALLOWED times meanwhile. For a time when nothing happens.

        By looks, one in 10 ms, and not by the clock: on a busy machine both threads are late.
        """
        time.sleep(0.05)  # what is still under way may end
        enough = self.count + ALLOWED
        for _ in range(looks):
            if self.count > enough:
                return True
            time.sleep(0.01)
        return self.count > enough
