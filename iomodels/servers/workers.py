"""Workers: epoll in several processes, on one port.

One loop uses one core. To use them all, the server forks a worker for each, and every worker runs
the loop of epoll.py. They share the port, and then the question is who wakes when a client comes.
There are three answers:

    shared       All watch one listener. A client wakes every worker; one of them gets it from
                 accept, and for the others it is EAGAIN. That is the thundering herd: with n
                 workers, n - 1 wake-ups for nothing.
    exclusive    The same listener, watched with EPOLLEXCLUSIVE (Linux 4.5): the kernel wakes one of
                 those who sleep, or a few. It asks them in the same order each time, so with little
                 to do the same worker gets nearly all.
    reuseport    A listener for each worker, all on the same port (SO_REUSEPORT, Linux 3.9). The
                 kernel spreads the clients by a hash of their address, and wakes the one owner. The
                 spread is even, but blind: a client is put into the queue of a worker that is
                 busy, or has hung, as readily as into any other; and a listener that is closed
                 takes those in its queue with it.

Where it hurts:
- What one worker knows, the others do not. What is published goes by the parent (mailboxes.py).
- A long-lived connection stays where it was accepted: a worker may have all the busy ones.
- A worker that dies takes its clients with it, and nobody takes its place here.

The parent serves nobody. It sleeps until the listener is shut down, or a worker has died; a worker
hears from it by a socket, and ends when that does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import traceback
from collections.abc import Callable
from select import EPOLLEXCLUSIVE, EPOLLIN, POLLHUP
from typing import NoReturn

from iomodels.apps import NOTHING, Answer, App, Publisher, is_timed, publishes
from iomodels.kernel import Kernel, borrowed, live
from iomodels.servers import epoll
from iomodels.servers.connections import LINGER, close
from iomodels.servers.listening import listen
from iomodels.servers.mailboxes import Relay
from iomodels.servers.processes import reap, stop
from iomodels.servers.stopping import empty_queue

WAYS = {"shared": EPOLLIN, "exclusive": EPOLLIN | EPOLLEXCLUSIVE, "reuseport": EPOLLIN}
PR_SET_PDEATHSIG = 1  # man 2 prctl
GRACE = LINGER + 0.5  # seconds that the workers have for their last words
LOOK = 1000  # milliseconds between two looks at whether they live


def serve(
    listener: int, app: App, kernel: Kernel, share: str = "exclusive", workers: int = 0
) -> None:
    """Serve `app` on `listener` until it is shut down, by `workers` processes; 0: one for each CPU.

    `share` is one of WAYS. Raises ValueError for any other, and for "reuseport" on a listener that
    was not made by `listen(share=True)`; ChildProcessError when all workers have died.
    """
    if share not in WAYS:
        raise ValueError(f"share is one of {', '.join(WAYS)}, not {share!r}")
    number = workers or max(2, len(os.sched_getaffinity(0)))
    listeners = [listener]
    relay = Relay() if publishes(app) else None
    children: set[int] = set()
    try:
        if share == "reuseport":
            listeners += [beside(listener) for _ in range(number - 1)]
        for index in range(number):
            own = listeners[index % len(listeners)]
            children.add(fork(own, listeners, WAYS[share], app, kernel, relay))
        sleep_until_shut_down(listener, children, kernel)
        for own in listeners[1:]:
            empty_queue(own)
            kernel.shutdown(own, socket.SHUT_RDWR)
    finally:
        stop(children, kernel, GRACE)
        for own in listeners[1:]:
            close(kernel, own)
        if relay:
            relay.close()


def beside(listener: int) -> int:
    """Make one more listener on the same address, with a queue of its own."""
    sock = borrowed(listener)
    try:
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT):
            raise ValueError("workers with a listener each need one made by listen(share=True)")
        host, port = sock.getsockname()[:2]
    finally:
        sock.detach()
    return listen(host, port, share=True).detach()


def fork(
    own: int, listeners: list[int], listens_for: int, app: App, kernel: Kernel, relay: Relay | None
) -> int:
    """Start a worker and return its pid."""
    end = relay.new_end() if relay else -1
    pid = kernel.fork()
    if pid == 0:
        if relay:
            relay.leave_to_parent()
        work(own, listeners, listens_for, app, kernel, end)
    if relay:
        close(kernel, end)
    return pid


def work(
    own: int, listeners: list[int], listens_for: int, app: App, kernel: Kernel, end: int
) -> NoReturn:
    """Be a worker: run the loop of epoll.py, then end without any of the parent's clean-up."""
    status = 1
    try:
        # SIGKILL, for a worker without a parent has nobody who would end it otherwise.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches us too
        for other in listeners:
            if other != own:
                close(kernel, other)
        if publishes(app):
            app = Member(app, end)
        epoll.serve(own, app, kernel, listens_for=listens_for, guest=end)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def sleep_until_shut_down(listener: int, children: set[int], kernel: Kernel) -> None:
    """Sleep until the listener is shut down: that is reported to whoever asks for nothing else."""
    watched = kernel.poll()
    watched.register(listener, 0)
    while not any(event & POLLHUP for _, event in watched.poll(LOOK)):
        reap(children, kernel)
        if not children:
            raise ChildProcessError("all workers have died")


class Member:
    """An app that publishes, as a worker has it. The parent is one more client, at fd `end`.

    What the app publishes goes to the parent, who tells all workers, this one too: so all clients
    hear all letters in the same order.
    """

    def __init__(self, app: Publisher, end: int) -> None:
        self.app, self.end = app, end
        self.subscribed, self.subscribers = app.subscribed, app.subscribers
        app.publish = self.tell_parent

    publish: Callable[[bytes], None]  # set by the loop: to the clients that are here

    def tell_parent(self, letter: bytes) -> None:
        try:
            live.write(self.end, letter)
        except BlockingIOError:  # it has much to pass on, and never sleeps for long
            live.select((), (self.end,), (), None)
            self.tell_parent(letter)
        except OSError:
            pass  # it stops, and so shall we

    def opened(self, fd: int) -> Answer:
        return NOTHING if fd == self.end else self.app.opened(fd)

    def received(self, fd: int, view: memoryview) -> Answer:
        if fd != self.end:
            return self.app.received(fd, view)
        self.publish(bytes(view))
        return NOTHING

    def closed(self, fd: int) -> None:
        if fd != self.end:
            self.app.closed(fd)

    # --- Timed; the loop sets the deadline function in both ---

    @property
    def write_timeout(self) -> float:
        return self.app.write_timeout if is_timed(self.app) else 0.0

    @property
    def deadline(self) -> Callable[[int, float], None]:
        return self.app.deadline if is_timed(self.app) else lambda fd, seconds: None

    @deadline.setter
    def deadline(self, setter: Callable[[int, float], None]) -> None:
        if is_timed(self.app):
            self.app.deadline = setter

    def expired(self, fd: int) -> Answer:
        return self.app.expired(fd) if is_timed(self.app) else NOTHING

    def goodbye(self, fd: int) -> Answer:
        return self.app.goodbye(fd) if fd != self.end and is_timed(self.app) else NOTHING
