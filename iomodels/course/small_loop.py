"""A small event loop: coroutines over epoll. A hundred lines of code or so.

    async def greet(loop, sock):
        await loop.readable(sock)
        sock.send(b"you said: " + sock.recv(100))

    loop = Loop()
    loop.run(greet(loop, sock))

A coroutine is a function that can stop in the middle. Where it cannot go on it says who shall wake
it, and *parks*. The loop wakes: it sleeps in epoll_wait, and lets go on whose descriptor is ready
or whose time has come. This is all there is to it, and it is what asyncio and Go's runtime do, too.

Read it from `park`, which gives up the CPU, to `Loop.resume`, which gives it back.

Whoever waits puts themselves on a list and takes themselves off it again, in `finally`: so it does
not matter whether what ends the wait is the thing waited for, `cancel`, or the end of the loop.

Where it hurts:
- To wait for a descriptor costs two calls of epoll_ctl, to get onto the interest list and off it.
- One task may wait for a descriptor at a time; the second gets FileExistsError (EEXIST).
- The error of a task that nobody awaits is kept in it, and nobody hears of it.
- Nothing interrupts a task: whoever computes or sleeps without `await` stops all of them.
"""

from __future__ import annotations

import heapq
import itertools
import select
import time
import types
from collections import deque
from collections.abc import Coroutine, Generator
from dataclasses import dataclass, field
from socket import socket
from typing import Any

__all__ = ["Cancelled", "Loop", "Task", "park"]

Run = Coroutine[Any, Any, Any]  # what a call of an `async def` returns


class Cancelled(BaseException):
    """Raised in a task, where it waits, when somebody has called its `cancel`.

    Not an Exception: a coroutine that catches all errors must not catch this by mistake.
    """


@types.coroutine
def park() -> Generator[None, None, None]:
    """Stop here. The loop goes on with others, and returns here once somebody calls `wake`."""
    yield


@dataclass(order=True)
class Timer:
    """When to wake a task; the order decides between two of the same moment."""

    when: float  # by time.monotonic
    order: int
    task: Task | None = field(compare=False)  # None: it does not wait any more


class Task:
    """A coroutine that a loop runs, and in the end what came of it. Await it to get that."""

    def __init__(self, loop: Loop, coroutine: Run) -> None:
        self.loop, self.coroutine = loop, coroutine
        self.done = self.queued = False  # queued: it stands in the loop's `ready`
        self.thrown: BaseException | None = None  # to be raised in it when it goes on
        self.waiters: list[Task] = []  # those who await it
        self.value: Any = None
        self.error: BaseException | None = None

    def cancel(self) -> None:
        """Raise Cancelled in it where it waits. What has ended stays as it is."""
        self.thrown = Cancelled()
        self.loop.wake(self)

    def result(self) -> Any:
        """What it has returned, or what it has raised, raised once more."""
        if self.error is not None:
            raise self.error
        return self.value

    def __await__(self) -> Generator[None, None, Any]:
        """Wait until it has ended; return what it returned, or raise what it raised."""
        me = self.loop.current
        self.waiters.append(me)
        try:
            while not self.done:
                yield
        finally:
            self.waiters.remove(me)
        return self.result()


class Loop:
    """Who waits for what, and who can go on."""

    current: Task  # the one that runs now

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.tasks: set[Task] = set()  # all that have not ended
        self.ready: deque[Task] = deque()  # those that can go on
        self.waiting: dict[int, Task] = {}  # by the descriptor that they wait for
        self.timers: list[Timer] = []  # a heap: the next one first
        self.order = itertools.count()

    # --- what a coroutine may ask for ---

    def spawn(self, coroutine: Run) -> Task:
        """Have a coroutine run beside the others, from the next round on."""
        task = Task(self, coroutine)
        self.tasks.add(task)
        self.wake(task)
        return task

    async def readable(self, sock: socket) -> None:
        """Wait until a read would not block."""
        await self.event(sock.fileno(), select.EPOLLIN)

    async def writable(self, sock: socket) -> None:
        """Wait until a write would not block."""
        await self.event(sock.fileno(), select.EPOLLOUT)

    async def event(self, fd: int, events: int) -> None:
        """Wait for one of these events of a descriptor, or for an error or a hang-up of it."""
        self.epoll.register(fd, events)
        self.waiting[fd] = self.current
        try:
            await park()
        finally:
            del self.waiting[fd]
            self.epoll.unregister(fd)

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds, and let the others go on meanwhile."""
        timer = Timer(time.monotonic() + seconds, next(self.order), self.current)
        heapq.heappush(self.timers, timer)
        try:
            await park()
        finally:
            timer.task = None

    # --- what the loop does ---

    def wake(self, task: Task) -> None:
        """Let a task go on in the next round. To wake it twice is to wake it once."""
        if not (task.done or task.queued):
            task.queued = True
            self.ready.append(task)

    def wait(self) -> None:
        """Sleep until somebody can go on: a descriptor is ready, or a timer has run out."""
        if not (self.ready or self.waiting or self.timers):
            raise RuntimeError("every task waits for another: nobody is left to wake one")
        seconds = None  # as long as it takes
        if self.ready or self.timers:
            seconds = 0.0 if self.ready else max(0.0, self.timers[0].when - time.monotonic())
        for fd, _ in self.epoll.poll(seconds):
            self.wake(self.waiting[fd])
        while self.timers and self.timers[0].when <= time.monotonic():
            if (task := heapq.heappop(self.timers).task) is not None:
                self.wake(task)

    def resume(self, task: Task) -> None:
        """Let a task go on until it parks again, or ends."""
        self.current, task.queued = task, False
        thrown, task.thrown = task.thrown, None
        try:
            if thrown is None:
                task.coroutine.send(None)
            else:
                task.coroutine.throw(thrown)
            return  # it has parked
        except StopIteration as end:
            task.value = end.value
        except (Exception, Cancelled) as error:
            task.error = error
        task.done = True
        self.tasks.discard(task)
        for waiter in task.waiters:
            self.wake(waiter)

    def run(self, coroutine: Run) -> Any:
        """Run a coroutine, and all that are spawned meanwhile, until it has ended.

        Returns what it returns, and raises what it raises. Those that have not ended by then are
        closed: GeneratorExit is raised where they wait. Raises RuntimeError when all of them wait
        and nothing can wake them.
        """
        main = self.spawn(coroutine)
        try:
            while not main.done:
                self.wait()
                for _ in range(len(self.ready)):  # who is woken meanwhile goes on in the next round
                    self.resume(self.ready.popleft())
        finally:
            for task in list(self.tasks):
                task.coroutine.close()
            self.epoll.close()
        return main.result()
