"""a timer in the loop: one wait that hears descriptors and keeps appointments.

    loop = Loop()
    loop.add_reader(fd, callback)              called whenever `fd` is readable
    timer = loop.call_later(0.5, callback)     called once, in half a second, never before
    loop.cancel(timer)                         not called
    loop.run()                                 until there is neither a reader nor a timer

There is one thread, and one call in which it sleeps: `poll`, until a descriptor is readable, at
most until the next timer is due. How long that is has to be computed anew for each wait.
"""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol
from unittest import mock

from iomodels.course.cases import Wrong, attempt, connection, playing, send_in_pieces, within


class Loop(Protocol):
    """What the learner writes."""

    def add_reader(self, fd: int, callback: Callable[[], None], /) -> None: ...
    def remove_reader(self, fd: int, /) -> None: ...
    def call_later(self, seconds: float, callback: Callable[[], None], /) -> Any: ...
    def cancel(self, timer: Any, /) -> None: ...
    def run(self) -> None: ...


Make = Callable[[], Loop]

FAR = 60.0  # seconds: no case waits for it
DOES_NOT_RETURN = "`run` does not return, though neither a timer nor a reader is left"
NOT_ENDED = "`run` does not return, though the only timer was due after 50 ms"
NOT_HEARD = (
    "a byte has come, and your loop does not hear of it: it sleeps for the next timer, and hears no"
    " descriptor meanwhile; let `poll` do both"
)
OVERDUE = (
    "a timer is overdue, and your loop sleeps: the time that is left is negative, and `poll` with a"
    " negative timeout waits for ever"
)
NOT_ANEW = (
    "a timer was set while the loop ran, and your loop does not wake for it: how long to wait has"
    " to be computed anew for each wait"
)
NEXT_ONE = (
    "a timer that a callback has set is not called: compute how long to wait anew for each wait,"
    " and never less than 0"
)
LINGERS = "the only timer left is cancelled, and your loop waits for it all the same"


@contextlib.contextmanager
def the_clock_stands_still() -> Iterator[None]:
    """All clocks of `time` say the same for the time of the block."""
    with contextlib.ExitStack() as stack:
        for name in ("monotonic", "perf_counter", "time"):
            for clock in (name, f"{name}_ns"):
                now = getattr(time, clock)()
                stack.enter_context(mock.patch.object(time, clock, return_value=now))
        yield


class Used:
    """What this thread has used since it was made."""

    def __init__(self) -> None:
        self.before = resource.getrusage(resource.RUSAGE_THREAD)
        self.began = time.thread_time()

    @property
    def cpu(self) -> float:
        """Seconds on a CPU."""
        return time.thread_time() - self.began

    @property
    def sleeps(self) -> int:
        """How often it went to sleep: voluntary context switches."""
        return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - self.before.ru_nvcsw


def expect(log: list[str], wanted: list[str]) -> None:
    """Raise Wrong, in words, unless the callbacks were called in this order."""
    if log != wanted:
        called = ", ".join(log) or "nothing"
        raise Wrong(f"calls {called}, where it should call {', '.join(wanted) or 'nothing'}")


def expect_not_early(due: float) -> None:
    """Raise Wrong when it is not yet `due`."""
    if (early := due - time.monotonic()) > 0:
        raise Wrong(
            f"calls a timer {1000 * early:.2f} ms before its time: round the milliseconds up, and"
            " look at the clock when the wait is over"
        )


def one_timer(make: Make) -> None:
    """a timer is called once, and `run` returns"""
    loop, log = make(), list[str]()
    due = time.monotonic() + 0.05

    def callback() -> None:
        expect_not_early(due)
        log.append("the timer")

    loop.call_later(0.05, callback)
    with within(2, NOT_ENDED):
        loop.run()
    expect(log, ["the timer"])


def an_overdue_one(make: Make) -> None:
    """a callback sets a timer, and takes so long that it is overdue then"""
    loop, log = make(), list[str]()

    def slow() -> None:
        log.append("the slow one")
        loop.call_later(0.01, partial(log.append, "the overdue one"))
        time.sleep(0.05)

    loop.call_later(0.01, slow)
    with within(2, OVERDUE):
        loop.run()
    expect(log, ["the slow one", "the overdue one"])


def never_early(make: Make) -> None:
    """ten timers of 2.9 ms, one after the other: none is early"""
    loop, log = make(), list[str]()

    def again(due: float = 0.0) -> None:
        if due:
            expect_not_early(due)
            log.append("a timer")
        if len(log) < 10:
            due = time.monotonic() + 0.0029
            loop.call_later(0.0029, partial(again, due))

    again()
    with within(2, NEXT_ONE):
        loop.run()
    expect(log, ["a timer"] * 10)


def it_sleeps(make: Make) -> None:
    """the next timer is 0.3 s away: the loop sleeps, once"""
    loop = make()
    loop.call_later(0.3, lambda: None)
    used = Used()
    with within(2, DOES_NOT_RETURN):
        loop.run()
    if used.cpu > 0.03 or used.sleeps > 20:
        raise Wrong(
            f"wakes again and again before anything has happened ({used.sleeps} times,"
            f" {1000 * used.cpu:.0f} ms on a CPU): `poll` takes milliseconds"
        )


def in_order(make: Make) -> None:
    """three timers, set in another order than they are due in"""
    loop, log = make(), list[str]()
    with the_clock_stands_still():  # else a machine that does not keep up may set the first last
        for name, seconds in (("third", 0.06), ("first", 0.02), ("second", 0.04)):
            loop.call_later(seconds, partial(log.append, name))
    with within(2, DOES_NOT_RETURN):
        loop.run()
    expect(log, ["first", "second", "third"])


def at_the_same_time(make: Make) -> None:
    """three timers for the same moment: all are called, in the order in which they were set"""
    loop, log = make(), list[str]()
    with the_clock_stands_still():
        for name in ("one", "two", "three"):
            got = attempt(loop.call_later, 0.02, partial(log.append, name))
            if isinstance(got, TypeError):
                raise Wrong(
                    f"raises {got!r}: two timers are due at the same time, and so the heap"
                    " compares what comes behind the time; put a number there that counts up"
                )
            if isinstance(got, Exception):
                raise got
    with within(2, DOES_NOT_RETURN):
        loop.run()
    expect(log, ["one", "two", "three"])


def a_cancelled_one(make: Make) -> None:
    """of two timers, the first is cancelled"""
    loop, log = make(), list[str]()
    timer = loop.call_later(0.01, partial(log.append, "the cancelled one"))
    loop.call_later(0.02, partial(log.append, "the other"))
    loop.cancel(timer)
    with within(2, DOES_NOT_RETURN):
        loop.run()
    expect(log, ["the other"])


def hears_while_it_waits(make: Make) -> None:
    """bytes come while the next timer is a minute away; then that timer is cancelled"""
    loop, log = make(), list[str]()
    with connection() as (sock, peer):
        timer = loop.call_later(FAR, partial(log.append, "the timer"))

        def readable() -> None:
            log.append(sock.recv(1).decode())
            if log == ["a", "b"]:
                loop.remove_reader(sock.fileno())
                loop.cancel(timer)

        loop.add_reader(sock.fileno(), readable)
        with playing(send_in_pieces, peer, sock, [b"a", b"b"], NOT_HEARD), within(4, LINGERS):
            loop.run()
    expect(log, ["a", "b"])


def set_by_a_reader(make: Make) -> None:
    """a reader sets a timer that is due before the one that the loop waits for"""
    loop, log = make(), list[str]()
    with connection() as (sock, peer):
        far = loop.call_later(FAR, partial(log.append, "the far one"))

        def soon() -> None:
            log.append("the near one")
            loop.cancel(far)

        def readable() -> None:
            log.append(f"the reader of {sock.recv(1)!r}")
            loop.remove_reader(sock.fileno())
            loop.call_later(0.02, soon)

        loop.add_reader(sock.fileno(), readable)
        peer.sendall(b"x")
        with within(2, NOT_ANEW):
            loop.run()
    expect(log, ["the reader of b'x'", "the near one"])


CASES = (
    one_timer,
    an_overdue_one,
    never_early,
    it_sleeps,
    in_order,
    at_the_same_time,
    a_cancelled_one,
    hears_while_it_waits,
    set_by_a_reader,
)
