"""select: ask the kernel about a set; rebuild it each time; fd numbers below 1024.

The first answer to "sleep until somebody is ready" (4.2BSD, 1983). The call takes three sets of
bits, one bit for each fd number: who is to be watched for reading, for writing, for exceptions. It
sleeps until one of them is ready, and overwrites the sets with the answer. So the question has to
be put again, whole, at every call; Python builds the sets from whatever iterables it is given.

Where it hurts:
- The sets end at fd 1023 (FD_SETSIZE). What counts is the *number* of an fd, not how many there
  are. In C a larger number writes past the end of the set; Python raises ValueError. This server
  closes such a connection at once, and says so to the operator.
- Cost grows with those watched: the kernel asks each one of them, and so do we when we build the
  sets. It does not matter how many are ready.

It is level-triggered by nature: the question is "is there something?", and not "has something
come?". Reading half of what there is and asking again is fine.
"""

from __future__ import annotations

import logging
from select import POLLOUT

from iomodels.apps import App
from iomodels.kernel import Kernel
from iomodels.servers.accepting import FULL, PAUSE, STOPPED, accept_all
from iomodels.servers.connections import GONE, Connections, close

log = logging.getLogger(__name__)

FD_SETSIZE = 1024  # bits in an fd_set (man 2 select)


def serve(listener: int, app: App, kernel: Kernel) -> None:
    """Serve `app` on `listener` until it is shut down. ValueError if its number is too high."""
    if listener >= FD_SETSIZE:
        raise ValueError(f"select cannot watch fd {listener}: its sets end at {FD_SETSIZE - 1}")
    reading, writing = {listener}, set[int]()

    def unwatch(fd: int) -> None:
        reading.discard(fd)
        writing.discard(fd)

    connections = Connections(app, kernel, unwatch)

    def watch(fd: int, outcome: int) -> None:
        to, away = (writing, reading) if outcome == POLLOUT else (reading, writing)
        to.add(fd)
        away.discard(fd)

    def newcomer(fd: int) -> None:
        if fd >= FD_SETSIZE:
            refuse(fd, kernel)
        elif (outcome := connections.opened(fd)) != GONE:
            watch(fd, outcome)

    kernel.set_blocking(listener, False)
    try:
        while not connections.over:
            ready = ask(reading, writing, connections.patience(), kernel)
            for fd in ready + connections.overdue():
                if fd == listener:
                    verdict = accept_all(kernel, listener, newcomer)
                    reading.add(listener)
                    if verdict == FULL:
                        reading.discard(listener)
                        connections.pause(listener, PAUSE)
                    elif verdict == STOPPED:
                        reading.discard(listener)
                        for blocked in connections.stop():
                            watch(blocked, POLLOUT)
                elif (outcome := connections.ready(fd)) != GONE:
                    watch(fd, outcome)
            for fd in connections.deliver():
                watch(fd, POLLOUT)
    finally:
        connections.hang_up_all()


def ask(reading: set[int], writing: set[int], patience: float | None, kernel: Kernel) -> list[int]:
    """Return those that are ready. Where one of them is not open, select says EBADF, and not who.

    Then each is asked about alone. It was closed by somebody else, for we take ours off first.
    """
    try:
        readable, writable, _ = kernel.select(reading, writing, (), patience)
        return readable + writable
    except OSError:
        return [fd for fd in (*reading, *writing) if not is_open(fd, kernel)]


def is_open(fd: int, kernel: Kernel) -> bool:
    """Tell whether select can watch an fd."""
    try:
        kernel.select((fd,), (), (), 0)
    except OSError:
        return False
    return True


def refuse(fd: int, kernel: Kernel) -> None:
    """Close a connection whose number does not fit into the sets."""
    log.warning(
        "select cannot watch fd %d: its sets end at %d. Closed the connection; "
        "poll and epoll have no such limit",
        fd,
        FD_SETSIZE - 1,
    )
    close(kernel, fd)
