"""Who wakes: for that, somebody must really sleep.

When several processes watch one listener with EPOLLEXCLUSIVE, the kernel wakes one of those that
sleep in epoll_wait at that moment (man 2 epoll_ctl). Nobody who looks in from time to time could
tell whom. So here a second thread of the process sleeps in the very call, while the first one waits
its turn on the stage; for the kernel it is what it is, a sleeper on this epoll.

Whether it sleeps, the kernel says (man 5 proc, /proc/PID/task/TID/syscall): the number of the call
in which it sleeps, or "running" from the moment when it has been woken.
"""

from __future__ import annotations

import threading
import time

from iomodels.kernel import EpollPoller

EPOLL_WAIT = {"232", "281", "22"}  # epoll_wait and epoll_pwait on x86-64; epoll_pwait on arm64


class Sleeper(threading.Thread):
    """The thread that sleeps in epoll_wait. It is not part of the server."""

    def __init__(self, epoll: EpollPoller) -> None:
        super().__init__(daemon=True)
        self.epoll = epoll
        self.events: list[tuple[int, int]] = []

    def run(self) -> None:
        self.events = self.epoll.poll()

    def sleeps(self) -> bool:
        """Whether it is asleep in epoll_wait; wait until that can be told."""
        while self.is_alive():
            try:
                with open(f"/proc/self/task/{self.native_id}/syscall", encoding="ascii") as file:
                    if file.read().split()[0] in EPOLL_WAIT:
                        return True
            except (OSError, IndexError):  # it has just ended
                pass
            time.sleep(0.0002)
        return False


class Herd:
    """An epoll with somebody asleep on it, whenever its server would be."""

    def __init__(self, epoll: EpollPoller) -> None:
        self.epoll = epoll
        self.sleeper: Sleeper | None = None

    def found(self) -> list[tuple[int, int]]:
        """What the call would have returned by now; put somebody to sleep in it if it would not."""
        if self.sleeper is None:
            if now := self.epoll.poll(0):
                return now
            self.sleeper = Sleeper(self.epoll)
            self.sleeper.start()
        if self.sleeper.sleeps():
            return []
        self.sleeper.join()
        events, self.sleeper = self.sleeper.events, None
        return events
