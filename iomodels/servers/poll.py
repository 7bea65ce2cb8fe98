"""poll: the same question as select's, with a list and no limit on the number.

poll(2) takes an array of (fd, events wanted, events found). The question and the answer have a
field each, so the array need not be built again for every call, and an fd may have any number. It
also tells more apart: POLLHUP, POLLERR, and POLLNVAL for an fd that is not open, where select fails
as a whole with EBADF.

Where it hurts: the array is handed over at every call, and the kernel asks every fd in it. A
wake-up with one ready out of ten thousand costs ten thousand questions. What changes from one call
to the next is nearly nothing, and yet all of it is said again. epoll says it once.
"""

from __future__ import annotations

import contextlib
from select import POLLIN, POLLOUT

from iomodels.apps import App
from iomodels.kernel import Kernel
from iomodels.servers.accepting import accept_all, mind_listener
from iomodels.servers.connections import GONE, Connections


def serve(listener: int, app: App, kernel: Kernel) -> None:
    """Serve `app` on `listener` until it is shut down."""
    watched = kernel.poll()  # Python keeps the array for us; it is user memory all the same

    def unwatch(fd: int) -> None:
        with contextlib.suppress(KeyError):
            watched.unregister(fd)

    connections = Connections(app, kernel, unwatch)

    def newcomer(fd: int) -> None:
        if (outcome := connections.opened(fd)) != GONE:
            watched.register(fd, POLLOUT if outcome == POLLOUT else POLLIN)

    kernel.set_blocking(listener, False)
    watched.register(listener, POLLIN)
    try:
        while not connections.over:
            patience = connections.patience()
            events = watched.poll(None if patience is None else patience * 1000)
            if late := connections.overdue():
                events += [(fd, 0) for fd in late]
            for fd, event in events:
                if fd == listener:
                    verdict = accept_all(kernel, listener, newcomer)
                    if mind_listener(verdict, event, listener, POLLIN, watched, connections):
                        for blocked in connections.stop():
                            watched.modify(blocked, POLLOUT)
                    continue
                outcome = connections.ready(fd)
                if outcome != GONE:
                    watched.modify(fd, POLLOUT if outcome == POLLOUT else POLLIN)
            for fd in connections.deliver():
                watched.modify(fd, POLLOUT)
    finally:
        connections.hang_up_all()
