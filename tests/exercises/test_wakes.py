"""Wakes: it counts how often a loop wakes, whatever the loop calls the function."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from select import select as under_another_name

import pytest

from iomodels.course.wakes import ALLOWED, Wakes

Wait = Callable[[int], object]


def by_select(fd: int) -> object:
    return select.select([fd], [], [])


def by_another_name(fd: int) -> object:
    return under_another_name([fd], [], [])


def by_poll(fd: int) -> object:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return poller.poll()


WAYS = [(by_select, "select"), (by_another_name, "select"), (by_poll, "poll.poll")]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.001)


@pytest.mark.parametrize(("wait", "name"), WAYS)
def test_it_sleeps_and_wakes_and_meanwhile_somebody_is_quicker(
    wait: Wait, name: str, pipe: tuple[int, int]
) -> None:
    reader, writer = pipe
    wakes, woken = Wakes(name), list[int]()

    def loop() -> None:
        with wakes:
            while not woken:
                wait(reader)
        wait(reader)  # is not counted any more

    thread = threading.Thread(target=loop)
    thread.start()
    until(lambda: wakes.asleep)
    assert wakes.count == 0
    assert not wakes.in_vain(looks=5)
    wakes.after_waking = lambda: woken.append(len(os.read(reader, 100)))
    os.write(writer, b"three")
    until(lambda: bool(woken))
    assert (woken, wakes.count, wakes.asleep) == ([5], 1, False)
    os.write(writer, b"x")
    thread.join(10)
    assert not thread.is_alive() and wakes.count == 1


@pytest.mark.parametrize(("wait", "name"), WAYS)
def test_a_loop_that_spins_is_told(wait: Wait, name: str, pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.write(writer, b"x")  # and nobody reads it
    wakes, over = Wakes(name), threading.Event()

    def loop() -> None:
        with wakes:
            while not over.is_set():
                wait(reader)

    thread = threading.Thread(target=loop)
    thread.start()
    assert wakes.in_vain(looks=1000)
    over.set()
    thread.join(10)
    assert wakes.count > ALLOWED


def test_a_call_that_fails_is_no_wake_up() -> None:
    wakes = Wakes("select")
    with wakes, pytest.raises(ValueError):
        select.select([-1], [], [])
    assert (wakes.count, wakes.asleep) == (0, False)
