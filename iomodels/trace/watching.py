"""The three that wait for many at once, through the recorder: poll, epoll and io_uring.

Each call that waits is made with a timeout of zero, to see whether it would sleep. What it finds is
kept until its turn comes, for an edge is reported once, and a completion taken out once.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from iomodels.kernel import EpollPoller, Poller
from iomodels.kernel.recording_uring import Completed, RecordingRing
from iomodels.trace.looking import is_ready, ready
from iomodels.trace.plain import events_in_words, found_in_words, seconds
from iomodels.trace.waking import Herd

if TYPE_CHECKING:
    from iomodels.kernel.uring import Ring
    from iomodels.trace.stepping import StepKernel

__all__ = ["StepEpoll", "StepPoller", "StepRing"]

ONCE = select.EPOLLET | select.EPOLLONESHOT  # what is reported once, so that asking would take it


class StepPoller:
    """poll(2). Its list is user memory: only the waiting is a system call."""

    kind = "poll"

    def __init__(self, kernel: StepKernel, inner: Poller) -> None:
        self.kernel, self.inner = kernel, inner
        self.watched: dict[int, int] = {}
        self.came_back: list[int] = []  # fds, of the last call that has returned

    def register(self, fd: int, eventmask: int) -> None:
        self.inner.register(fd, eventmask)
        self.watched[fd] = eventmask

    modify = register

    def unregister(self, fd: int) -> None:
        self.inner.unregister(fd)
        del self.watched[fd]

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        self.kernel.begin_round(f"poll({timeout})")
        found: list[tuple[int, int]] = []
        self.came_back = []

        def awake() -> bool:
            nonlocal found
            found = self.inner.poll(0)
            return bool(found)

        def returned() -> list[tuple[int, int]]:
            events = found if span != 0 else self.inner.poll(0)
            self.came_back = [fd for fd, _ in events]
            return events

        listed = ", ".join(f"{fd} {events_in_words(e)}" for fd, e in sorted(self.watched.items()))
        span = None if timeout is None else timeout / 1000
        return self.kernel.call(  # type: ignore[no-any-return]
            "poll", [f"[{listed}]", *([] if span is None else [seconds(span)])],
            returned,
            awake=awake, timeout=span, late=list, words=reported, looked=len(self.watched),
        )  # fmt: skip

    def look(self, found: dict[str, Any]) -> dict[str, Any]:
        """What is watched now, and who of it the last call has reported."""
        came_back = [fd for fd in self.came_back if fd in self.watched]
        return {"kind": "poll", "interest": sorted(self.watched.items()), "ready": came_back}


class StepEpoll:
    """epoll(7). Its list is the kernel's: each change of it is a system call."""

    def __init__(self, kernel: StepKernel, inner: EpollPoller) -> None:
        self.kernel, self.inner = kernel, inner
        self.fileno = inner.fileno
        self.edges: set[int] = set()  # edge-triggered, and not yet reported
        self.found: list[tuple[int, int]] = []
        self.herd: Herd | None = None

    def register(self, fd: int, eventmask: int) -> None:
        self.control("ADD", fd, eventmask, lambda: self.inner.register(fd, eventmask))
        if eventmask & select.EPOLLET and is_ready(fd, eventmask & 0xFFFF):
            self.edges.add(fd)
        if eventmask & select.EPOLLEXCLUSIVE:
            self.herd = Herd(self.inner)

    def modify(self, fd: int, eventmask: int) -> None:
        self.control("MOD", fd, eventmask, lambda: self.inner.modify(fd, eventmask))

    def unregister(self, fd: int) -> None:
        self.edges.discard(fd)
        self.control("DEL", fd, None, lambda: self.inner.unregister(fd))

    def control(self, operation: str, fd: int, mask: int | None, make: Callable[[], None]) -> None:
        wanted = [] if mask is None else [events_in_words(mask)]
        args = [self.fileno(), operation, fd, *wanted]
        self.kernel.call("epoll_ctl", args, make, fd=fd, depth=3)

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        self.kernel.begin_round(f"epoll_wait({timeout})")
        span = [] if timeout is None else [seconds(timeout)]
        found: list[tuple[int, int]] = self.kernel.call(
            "epoll_wait", [self.fileno(), *span],
            self.take if timeout != 0 else lambda: self.inner.poll(0),
            awake=self.awake, timeout=timeout, late=list, words=reported,
        )  # fmt: skip
        return found

    def awake(self) -> bool:
        """Whether the call would return: what it has found is kept, for it is reported once."""
        if not self.found:
            self.found = sorted(self.herd.found() if self.herd else self.inner.poll(0))
        return bool(self.found)

    def take(self) -> list[tuple[int, int]]:
        """What it has found; with that it is reported."""
        found, self.found = self.found, []
        self.edges.clear()
        return found

    def look(self, found: dict[str, Any]) -> dict[str, Any]:
        """The interest list from fdinfo, and the ready list.

        Nothing shows an epoll's ready list. Level-triggered, it is what poll(2) reports; of ghosts
        only the epoll itself does. An edge is there from the event until it has been reported.
        """
        watched = found["interest"].get(self.fileno(), [])
        level = [(fd, mask) for fd, mask, ghost in watched if not (mask & select.EPOLLET or ghost)]
        edges = self.edges.union(fd for fd, _ in self.found)
        there = [fd for fd in ready(level) if not self.herd or self.found]
        if any(ghost for *_, ghost in watched) and not any(mask & ONCE for _, mask, _ in watched):
            there = [fd for fd, _ in self.inner.poll(0)]
        return {
            "kind": "epoll",
            "fd": self.fileno(),
            "interest": watched,
            "ready": sorted({*there, *(fd for fd, *_ in watched if fd in edges)}),
        }

    def close(self) -> None:
        self.inner.close()


class StepRing(RecordingRing):
    """io_uring: what is handed over with one io_uring_enter, and what is done."""

    def __init__(self, kernel: StepKernel, inner: Ring) -> None:
        super().__init__(kernel, inner)  # type: ignore[arg-type]
        self.stepping = kernel
        self.done: list[Completed] = []

    def look(self) -> dict[str, Any]:
        """The orders that are with the kernel, and what is done and not yet taken."""
        orders = [request for request, _ in self.pending.values() if "provide" not in request]
        written = [request for request in self.fresh if "provide" not in request]
        with_kernel = [order for order in orders if order not in written]
        return {"ready": [], "queue": with_kernel, "done": list(map(repr, self.done))}

    def enter(self, timeout: float | None) -> list[Any]:
        asked = [request for request in self.fresh if "provide" not in request]
        self.fresh = []
        self.collect()
        span = [] if timeout is None else [seconds(timeout)]
        return self.stepping.call(  # type: ignore[no-any-return]
            "io_uring_enter", [f"[{', '.join(asked)}]", *span],
            self.take, awake=self.awake, timeout=timeout, late=list,
            words=lambda done: ", ".join(map(repr, done)) or "nothing",
            data=lambda done: b"".join(each.data for each in done),
            looked=0, moves=True,
        )  # fmt: skip

    def collect(self) -> None:
        """Hand over what is to do, and see what is done."""
        self.done += [self._completed(*each) for each in self.inner.enter(0)]

    def awake(self) -> bool:
        self.collect()
        return bool(self.done)

    def take(self) -> list[Completed]:
        self.collect()
        done, self.done = self.done, []
        return done


def reported(found: list[tuple[int, int]]) -> str:
    """Who is ready, and for what."""
    return ", ".join(f"{fd} {found_in_words(mask)}" for fd, mask in found) or "nobody"
