"""Signals: the kernel calls us, a signal for each event.

Signal-driven I/O (4.3BSD; the real-time kind is Linux's own). O_ASYNC on an fd says: do not wait
for me to ask, send me a signal when something happens to it. With F_SETSIG it is a real-time
signal: each event is queued, and carries the fd. The server blocks the signal and takes the events
out of the queue, in sigtimedwait(2). There is no interest list to hand over: it is in the sockets.

It is edge-triggered by nature: a signal tells that something has *come*. So it is on us to read
until EAGAIN, as with edge-triggered epoll, and a newcomer is read at once, for what it sent before
its O_ASYNC was set raised no signal.

Where it hurts:
- The queue has an end (RLIMIT_SIGPENDING, for all of a user's processes together). When it is full,
  the kernel sends a plain SIGIO in place of the event, which says: something was lost, I know not
  what. Then we step through everybody, as nonblocking does.
- A signal, a system call and a queue entry for each event, and there are many: bytes have come,
  room has come, the connection has ended. epoll hands over a thousand at once, and each fd once.
- A signal is sent to a thread or a process, not to a piece of code: a library cannot use it.
- A listener that is shut down raises no signal, so it is looked at ten times a second.

It was the answer to ten thousand clients for a year or two, until epoll came. It is here for its
model: not "who is ready?", but "tell me".
"""

from __future__ import annotations

import signal

from iomodels.apps import App
from iomodels.kernel import Kernel
from iomodels.servers.accepting import STOPPED, accept_all
from iomodels.servers.connections import GONE, MORE, Connections

LOOK = 0.1  # seconds between two looks at the listener
MANY = 1024  # events taken at one go; more would make those taken wait


def serve(listener: int, app: App, kernel: Kernel) -> None:
    """Serve `app` on `listener` until it is shut down; the signal SIGRTMIN goes to this thread."""
    event, overflow = signal.SIGRTMIN, signal.SIGIO
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (event, overflow))
    try:
        kernel.set_async(listener, event)
        loop(listener, event, overflow, app, kernel)
    finally:
        kernel.set_async(listener, 0)
        while kernel.sigtimedwait((event, overflow), 0):
            pass  # what still waits would end the process as soon as it is not blocked
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def loop(listener: int, event: int, overflow: int, app: App, kernel: Kernel) -> None:
    """Keep whoever had an event in `hot` until it has said EAGAIN; one step each in a round."""
    everybody: set[int] = set()
    hot = {listener}

    def unwatch(fd: int) -> None:
        everybody.discard(fd)
        hot.discard(fd)

    def newcomer(fd: int) -> None:
        if connections.opened(fd) != GONE:
            kernel.set_async(fd, event)
            everybody.add(fd)
            hot.add(fd)

    connections = Connections(app, kernel, unwatch)
    try:
        while not connections.over:
            timeout = 0 if hot else min(LOOK, connections.patience() or LOOK)
            for _ in range(MANY):
                told = kernel.sigtimedwait((event, overflow), timeout)
                if told is None:
                    hot.add(listener)
                    break
                number, fd = told
                hot.update(everybody if number == overflow else (fd,))
                timeout = 0
            hot.update(connections.overdue())
            listen = listener in hot and not connections.stopping
            if listen and accept_all(kernel, listener, newcomer) == STOPPED:
                connections.stop()
            for fd in hot & everybody:
                if connections.ready(fd) != MORE:
                    hot.discard(fd)
            hot &= everybody  # a signal may tell of one that has been closed since
            connections.deliver()
    finally:
        connections.hang_up_all()
