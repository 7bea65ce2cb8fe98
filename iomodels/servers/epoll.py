"""epoll: tell the kernel once what to watch; hear only who is ready.

The interest list lives in the kernel. epoll_ctl adds an fd to it when the connection comes; when
the connection closes, the kernel takes it off by itself. epoll_wait then hands over the ready
list, and nothing else: the cost of a wake-up grows with those who have something to say, not with
those who are connected. With ten ready of a hundred thousand, it returns ten.

Level-triggered, the default, means: while there is something to read, the fd is reported at every
wait. Reading a little now and the rest later is fine. That is poll(2) with a better list.

Edge-triggered means: it is reported when something *arrives*. Then it is on us to read until the
kernel says EAGAIN; what we leave behind is not reported again, and if the client waits for our
answer before it sends more, it waits for ever. Reading one client until EAGAIN, on the other hand,
lets a fast client keep the server to itself. So the edge-triggered loop below keeps its own ready
list: whoever was reported and has not yet said EAGAIN gets one step in each round.

What edge-triggering saves is epoll_ctl: one registration holds for reading and writing alike. What
it costs is a read that says EAGAIN after each message.

Where it hurts:
- An fd is on the list until its *open file description* is closed, not the number. After dup(2) or
  fork(2), close(fd) leaves a ghost: it keeps reporting a number which may be somebody else's by
  now, and which epoll_ctl refuses, for it is closed (man 7 epoll, "Questions and answers", 6). The
  loop never sleeps again. So each fd is taken off the list before it is closed, a system call for
  each connection.
- Regular files are refused with EPERM: they are always ready.
- It tells who is ready; reading and writing is still ours. Compare io_uring.
"""

from __future__ import annotations

import contextlib
import logging
from select import EPOLLET, EPOLLIN, EPOLLOUT

from iomodels.apps import App
from iomodels.kernel import EpollPoller, Kernel
from iomodels.servers.accepting import accept_all, mind_listener
from iomodels.servers.connections import GONE, MORE, Connections

log = logging.getLogger(__name__)


def serve(
    listener: int,
    app: App,
    kernel: Kernel,
    trigger: str = "level",
    *,
    listens_for: int = EPOLLIN,
    guest: int = -1,
) -> None:
    """Serve `app` on `listener` until it is shut down; `trigger` is "level" or "edge".

    `listens_for` is how the listener is watched, `guest` an fd that is a client from the start: see
    workers.py, where several processes listen.
    """
    loop = {"level": level_triggered, "edge": edge_triggered}.get(trigger)
    if loop is None:
        raise ValueError(f'trigger is "level" or "edge", not {trigger!r}')
    epoll = kernel.epoll()

    def unwatch(fd: int) -> None:
        with contextlib.suppress(OSError):  # ENOENT: it was not on the list; EBADF: it is closed
            epoll.unregister(fd)

    connections = Connections(app, kernel, unwatch)
    kernel.set_blocking(listener, False)
    try:
        epoll.register(listener, listens_for)
        if guest >= 0:
            connections.opened(guest)
            epoll.register(guest, EPOLLIN)
        loop(listener, listens_for, kernel, epoll, connections)
    finally:
        connections.hang_up_all()
        epoll.close()


def level_triggered(
    listener: int, listens_for: int, kernel: Kernel, epoll: EpollPoller, connections: Connections
) -> None:
    """Do one step with each that is ready. Whoever has more to say is reported again."""
    wait, ready = epoll.poll, connections.ready

    def newcomer(fd: int) -> None:
        if (outcome := connections.opened(fd)) != GONE:
            register(epoll, fd, EPOLLOUT if outcome == EPOLLOUT else EPOLLIN, connections)

    while not connections.over:
        events = wait(connections.patience())
        if late := connections.overdue():
            events += [(fd, 0) for fd in late]
        for fd, event in events:
            if fd == listener:
                verdict = accept_all(kernel, listener, newcomer)
                if mind_listener(verdict, event, listener, listens_for, epoll, connections):
                    for blocked in connections.stop():
                        epoll.modify(blocked, EPOLLOUT)
                continue
            outcome = ready(fd)
            # Wait for room to send, or for something to read, never for both. Nearly always that
            # is the event which has just come, and then there is nothing to tell the kernel.
            wanted = EPOLLOUT if outcome == EPOLLOUT else EPOLLIN
            if not event & wanted and outcome != GONE:
                epoll.modify(fd, wanted)
        for fd in connections.deliver():
            epoll.modify(fd, EPOLLOUT)


def edge_triggered(
    listener: int, listens_for: int, kernel: Kernel, epoll: EpollPoller, connections: Connections
) -> None:
    """Keep whoever was reported in `hot` until it has said EAGAIN; one step each in a round."""
    wait, ready = epoll.poll, connections.ready
    hot: set[int] = set()

    def newcomer(fd: int) -> None:
        if connections.opened(fd) != GONE:
            register(epoll, fd, EPOLLIN | EPOLLOUT | EPOLLET, connections)

    while not connections.over:
        events = wait(0 if hot else connections.patience())
        if late := connections.overdue():
            events += [(fd, 0) for fd in late]
        for fd, event in events:
            if fd != listener:
                hot.add(fd)
                continue
            # The listener stays level-triggered: a client that is left in the queue for want of
            # room must be reported again.
            verdict = accept_all(kernel, listener, newcomer)
            if mind_listener(verdict, event, listener, listens_for, epoll, connections):
                connections.stop()
        for fd in tuple(hot):
            if ready(fd) != MORE:
                hot.discard(fd)
        connections.deliver()  # there is always an edge to come for those who must wait


def register(epoll: EpollPoller, fd: int, events: int, connections: Connections) -> None:
    """Put a connection on the interest list, or close it when the list is full."""
    try:
        epoll.register(fd, events)
    except OSError as error:  # ENOSPC: fs.epoll.max_user_watches; ENOMEM
        log.warning("epoll cannot watch fd %d (%s); closed the connection", fd, error)
        connections.hang_up(fd)
