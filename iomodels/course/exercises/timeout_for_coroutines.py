"""A timeout for coroutines: wait for something, but not for longer than that.

    async timeout(loop, seconds, coroutine) -> what the coroutine returns

It runs a coroutine on the small loop of lesson 09. When that ends in time, `timeout` returns what
it returns, or raises what it raises. When it does not, it is cancelled, has the time to clean up,
and then `timeout` raises TimeoutError. Meanwhile the loop serves everybody else. When all is over,
nothing is left on the loop that `timeout` has put there.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from iomodels.course.cases import Wrong, connection, judge, within
from iomodels.course.small_loop import Cancelled, Loop

Timeout = Callable[[Loop, float, Coroutine[Any, Any, Any]], Awaitable[Any]]

SOON, LATE = 0.03, 60.0  # seconds
NO_RETURN = "the coroutine has ended, and your function has not returned"
NOT_ENDED = "its time was over, and your function has not raised TimeoutError"


class CountingLoop(Loop):
    """Counts how often it sleeps."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds = 0

    def wait(self) -> None:
        """One more round."""
        self.rounds += 1
        super().wait()


async def outcome(awaitable: Awaitable[Any]) -> Any:
    """What it returns, or the exception that it raises, as a value."""
    try:
        return await awaitable
    except NotImplementedError:
        raise
    except (Exception, Cancelled) as error:
        return error


def say(got: object) -> str:
    """What the function did, in words."""
    return f"raises {got!r}" if isinstance(got, BaseException) else f"returns {got!r}"


def play(main: Callable[[Any], Awaitable[None]], words: str, loop: Loop | None = None) -> None:
    """Run `main(loop)` on a loop, for two seconds at most. Raises Wrong with what it says.

    What the loop meets when it closes tasks that were left is not told: `main` knows more of it.
    """
    said: list[Wrong] = []
    loop = loop or Loop()

    async def listen() -> None:
        try:
            await main(loop)
        except Wrong as wrong:
            said.append(wrong)

    with within(2, words):
        try:
            loop.run(listen())
        except (OSError, RuntimeError):
            if not said:
                raise
    if said:
        raise said[0]


async def settle(loop: Loop) -> None:
    """Give those who were cancelled a few rounds to end."""
    for _ in range(5):
        await loop.sleep(0)


async def expect_nothing_left(loop: Loop) -> None:
    """Raise Wrong when there is anything on the loop but the task that asks."""
    await settle(loop)
    if loop.waiting:
        raise Wrong("a descriptor is still on the interest list: somebody still waits for it")
    if loop.tasks != {loop.current}:
        left = loop.tasks - {loop.current}
        names = ", ".join(f"`{getattr(task.coroutine, '__name__', task)}`" for task in left)
        raise Wrong(f"when all was over, a task was left on the loop: {names}")


def expect_timeout(got: object) -> None:
    """Raise Wrong unless it was TimeoutError."""
    if not isinstance(got, TimeoutError):
        raise Wrong(f"its time was over, and your function {say(got)}: TimeoutError is due")


def in_time(timeout: Timeout) -> None:
    """the coroutine ends in time"""

    async def quick(loop: Loop) -> str:
        await loop.sleep(0.001)
        return "the answer"

    async def main(loop: Loop) -> None:
        got = await outcome(timeout(loop, LATE, quick(loop)))
        if got != "the answer":
            raise Wrong(
                f"the coroutine returned 'the answer' in time, and your function {say(got)}"
            )
        await expect_nothing_left(loop)

    play(main, NO_RETURN)


def it_fails(timeout: Timeout) -> None:
    """the coroutine raises an error in time"""

    async def fails(loop: Loop) -> None:
        await loop.sleep(0.001)
        raise ConnectionResetError("by the peer")

    async def main(loop: Loop) -> None:
        got = await outcome(timeout(loop, LATE, fails(loop)))
        if not isinstance(got, ConnectionResetError):
            raise Wrong(f"the coroutine raised ConnectionResetError, and your function {say(got)}")
        await expect_nothing_left(loop)

    play(main, NO_RETURN)


def too_late(timeout: Timeout) -> None:
    """nothing comes: the time is over, and the next reader gets what comes then"""

    async def read(loop: Loop, sock: Any) -> bytes:
        await loop.readable(sock)
        data: bytes = sock.recv(100)
        return data

    async def main(loop: Loop) -> None:
        with connection() as (sock, peer):
            sock.setblocking(False)
            started = time.monotonic()
            expect_timeout(await outcome(timeout(loop, SOON, read(loop, sock))))
            if time.monotonic() - started < 0.9 * SOON:
                raise Wrong("raises TimeoutError before the time is over")
            if loop.waiting:
                raise Wrong(
                    "raises TimeoutError while the coroutine still waits: the descriptor is still"
                    " on the interest list; cancel it, and await its end"
                )
            peer.sendall(b"for the next one")
            if await outcome(loop.spawn(read(loop, sock))) != b"for the next one":
                raise Wrong("the coroutine that was too late has read what came afterwards")
            await expect_nothing_left(loop)

    play(main, NOT_ENDED)


def the_others_go_on(timeout: Timeout) -> None:
    """meanwhile the loop serves others, and sleeps when there is nothing to do"""

    async def for_ever(loop: Loop) -> None:
        await loop.sleep(LATE)

    async def neighbour(loop: CountingLoop) -> None:
        while True:
            await loop.sleep(0.01)
            turns.append(loop.rounds)

    turns: list[int] = []
    others = 0  # turns that the neighbour had meanwhile

    async def main(loop: CountingLoop) -> None:
        nonlocal others
        other = loop.spawn(neighbour(loop))
        await loop.sleep(0.015)
        before = loop.rounds, len(turns)
        expect_timeout(await outcome(timeout(loop, 0.2, for_ever(loop))))
        rounds, others = loop.rounds - before[0], len(turns) - before[1]
        other.cancel()
        if rounds > 3 * others + 30:
            raise Wrong(
                f"the loop has woken {rounds} times in 0.2 s, {others} of them for somebody else:"
                " your function asks again and again instead of waiting to be woken"
            )
        await expect_nothing_left(loop)

    def once() -> bool:
        play(main, NOT_ENDED, CountingLoop())
        return others >= 3  # a machine that stands still keeps the neighbour waiting, too

    judge(once, "while your function waits, nobody else goes on: it blocks the loop")


CASES = (in_time, it_fails, too_late, the_others_go_on)
