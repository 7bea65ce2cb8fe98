"""What accept(2) can answer, and what a server should do about it.

Besides a connection, accept has about twenty answers. They fall into three kinds:

- Nobody to talk to: the queue is empty (EAGAIN), a signal came first (EINTR), or the client left
  while it waited (ECONNABORTED, and the network's own errors, which Linux passes on from the
  connection that failed). The listener is fine: go on.
- No room: this process is out of fds (EMFILE), the machine is (ENFILE), or memory is short. The
  client stays in the queue, so the listener stays ready: a server that asks again at once spins at
  100 % and serves nobody faster. Leave the listener alone for `PAUSE` seconds and serve the
  connections that there are. Nobody is turned away; they wait in the kernel's queue.
- The listener was shut down (EINVAL). That is how every server here is told to stop: shutdown(2)
  on the listener wakes whoever sleeps on it, in accept, select, poll or epoll alike.

The second hides the third: accept takes a number first, and looks at the listener only then. A
server with no number left would never hear that it is to stop. So at EMFILE the listener is asked.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from iomodels.kernel import Kernel, Poller

if TYPE_CHECKING:
    from iomodels.servers.connections import Connections

NOBODY, FULL, STOPPED = -1, -2, -3  # no fd is negative

PAUSE = 0.05  # seconds without the listener when there is no room
BURST = 64  # connections taken at one wake-up; more would make those already here wait

NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
SHUT_DOWN = {errno.EINVAL, errno.EBADF}


def accept(kernel: Kernel, listener: int) -> int:
    """Return the next connection's fd, or NOBODY, FULL or STOPPED (man 2 accept, "Errors")."""
    try:
        return kernel.accept(listener)
    except OSError as error:
        if error.errno in NO_ROOM:
            return FULL if kernel.listens(listener) else STOPPED
        if error.errno in SHUT_DOWN:
            return STOPPED
        return NOBODY


def accept_all(kernel: Kernel, listener: int, newcomer: Callable[[int], None]) -> int:
    """Hand everyone who waits to `newcomer`, at most BURST of them; return why it ended.

    For a non-blocking listener: NOBODY (or enough for now), FULL or STOPPED.
    """
    for _ in range(BURST):
        fd = accept(kernel, listener)
        if fd < 0:
            return fd
        newcomer(fd)
    return NOBODY


def mind_listener(
    verdict: int,
    event: int,
    listener: int,
    listens_for: int,
    poller: Poller,
    connections: Connections,
) -> bool:
    """Watch the listener, or for a while do not; return True when it was shut down.

    Off the list and on again, for to modify it would not do: poll(2) reports a shutdown (POLLHUP)
    of an fd that it is to watch for nothing, and an exclusive one cannot be modified (man 2
    epoll_ctl, EPOLLEXCLUSIVE).
    """
    if verdict in (STOPPED, FULL):
        connections.unwatch(listener)
    if verdict == FULL:
        connections.pause(listener, PAUSE)
    elif verdict != STOPPED and not event:  # the pause is over
        poller.register(listener, listens_for)
    return verdict == STOPPED
