"""Deadlines against a plain list of them: none too soon, none lost, and late by a tick at most."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iomodels.servers.deadlines import LEVELS, LONGEST, REACH, TICK, Deadlines


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def tick_of(seconds: float) -> float:
    """The tick of the level to which a deadline so far ahead belongs."""
    return next(t for n in range(LEVELS) if seconds <= REACH * (t := TICK * 4**n))


steps = st.lists(
    st.tuples(
        st.integers(0, 40),  # a key
        st.one_of(st.just(0.0), st.floats(0.001, 20), st.floats(0.001, LONGEST)),  # its deadline
        st.one_of(st.just(0.0), st.floats(0, 0.3), st.floats(0, 30), st.just(1e4)),  # then sleep
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(steps)
def test_against_a_list(steps: list[tuple[int, float, float]]) -> None:
    clock = Clock()
    deadlines = Deadlines(clock)
    known: dict[int, tuple[float, float]] = {}  # by key: when, and how far ahead that was
    for key, seconds, sleep in steps:
        deadlines.set(key, seconds)
        if seconds:
            known[key] = clock.now + seconds, tick_of(seconds)
        else:
            known.pop(key, None)
        clock.now += sleep
        due = deadlines.due()
        assert len(due) == len(set(due))
        for key in due:
            assert known.pop(key)[0] <= clock.now, "too soon"
        assert all(clock.now <= when + tick for when, tick in known.values()), "too late"
    while known:  # one who sleeps as long as `wait` says, and no longer, misses nothing
        wait = deadlines.wait()
        assert wait is not None
        clock.now += wait
        for key in deadlines.due():
            when, tick = known.pop(key)
            assert when <= clock.now <= when + tick + 1e-6
    clock.now += LONGEST + TICK * 4**LEVELS
    assert deadlines.due() == []
    assert deadlines.wait() is None, "nothing to wait for, when what was cancelled is past"


def test_a_server_that_has_no_deadline_sleeps_for_ever() -> None:
    deadlines = Deadlines()
    assert deadlines.wait() is None
    deadlines.set(5, 1.0)
    assert 0 < (deadlines.wait() or 0) <= TICK


def test_a_closed_connection_is_not_late() -> None:
    clock = Clock()
    deadlines = Deadlines(clock)
    deadlines.set(5, 1.0)
    deadlines.set(6, 1.0)
    deadlines.cancel(5)
    deadlines.cancel(500)
    clock.now += 2
    assert deadlines.due() == [6]
    assert deadlines.due() == []


def test_too_far_ahead_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 488 s ahead, not 489"):
        Deadlines().set(5, 489)


def test_a_deadline_takes_one_byte() -> None:
    deadlines = Deadlines()
    deadlines.set(200_000, 10.0)  # the array has room now
    room = len(deadlines.slots)
    chance = random.Random(1)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for key in range(100_000):
            deadlines.set(key, chance.choice((1.0, 10.0, 100.0)))
        assert tracemalloc.get_traced_memory()[0] - before < 2000
    finally:
        tracemalloc.stop()
    assert len(deadlines.slots) == room < 2.1 * 200_000
