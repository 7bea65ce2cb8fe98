"""Non-blocking: ask everybody, all the time.

O_NONBLOCK turns "sleep until there is something" into "say EAGAIN if there is nothing". One thread
can then talk with many clients: it asks each in turn, and nobody who is silent holds up the rest.

Where it hurts:
- It never sleeps. With nobody to serve it burns a whole core, asking. Each round costs one system
  call for each client, ready or not: a thousand idle clients are a thousand times EAGAIN.
- The more it asks, the later it comes round to the one who has something to say.

A pause in each round would spare the core and make every answer late: no length of it is right.
What is wanted is to sleep until *somebody* is ready. That question is select, in the next file.
"""

from __future__ import annotations

from iomodels.apps import App
from iomodels.kernel import Kernel
from iomodels.servers.accepting import STOPPED, accept_all
from iomodels.servers.connections import GONE, Connections


def serve(listener: int, app: App, kernel: Kernel) -> None:
    """Serve `app` on `listener`, asking every client in turn, until the listener is shut down."""
    everybody: set[int] = set()
    connections = Connections(app, kernel, everybody.discard)

    def newcomer(fd: int) -> None:
        if connections.opened(fd) != GONE:
            everybody.add(fd)

    kernel.set_blocking(listener, False)
    try:
        while not connections.over:
            if not connections.stopping and accept_all(kernel, listener, newcomer) == STOPPED:
                connections.stop()
            connections.overdue()
            for fd in tuple(everybody):
                connections.ready(fd)
            connections.deliver()
    finally:
        connections.hang_up_all()
