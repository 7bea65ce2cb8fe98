"""How a server that sleeps in a system call is told to stop.

A signal wakes a sleeping call with EINTR. But Python runs the handler only between two bytecodes:
a signal that arrives after the last check and before the call falls asleep is not seen until the
call returns, which may be never. pselect(2) and signalfd(2) were made against this race.

Here the signals are blocked, and one thread does nothing but wait for them, in sigwait(3). When
one comes, it shuts sockets down, for shutdown(2) wakes whoever sleeps on them, with no race:

1. The listener: accept says EINVAL, select, poll and epoll report it, and the server begins to end.
   That resets the clients who still wait in its queue. So the queue is made as short as can be
   first, that nobody joins it, and the server has a moment to take those who are there.
2. After a second, every connection of the server, for reading: a server that sleeps in a read, as
   the blocking one does, reads the end of the stream, and says its last words.
3. After the grace period, for writing too: nobody sleeps any more.

A second signal changes nothing of that: the end is a matter of seconds already.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import threading
from collections.abc import Iterable, Iterator

from iomodels.kernel import accept_queue, borrowed, is_internet, live

SIGNALS = {signal.SIGINT, signal.SIGTERM}
MOMENT = 0.1  # seconds between two looks
QUEUE = 0.2  # seconds that the server has to empty the accept queue
READING = 1.0  # seconds until nothing more is read from any connection
GRACE = 2.0  # seconds until connections that cannot send are cut off


@contextlib.contextmanager
def stop_on_signals(listener: int) -> Iterator[None]:
    """While the block runs, SIGINT and SIGTERM stop the server on `listener` instead of Python.

    Enter it before anything starts a thread, as importing numpy does: a thread from before still
    takes these signals, and they end the process.
    """
    over = threading.Event()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    waiter = threading.Thread(target=wait_and_stop, args=(listener, over), daemon=True)
    waiter.start()
    try:
        yield
    finally:
        over.set()
        if waiter.is_alive():
            signal.pthread_kill(waiter.ident or 0, signal.SIGTERM)
        waiter.join()
        while signal.sigtimedwait(SIGNALS, 0):
            pass  # what still waits asks for what is done, and would end the process in place of it
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def wait_and_stop(listener: int, over: threading.Event) -> None:
    """Sleep until a signal comes; then shut down more and more, until the server is over."""
    signal.sigwait(SIGNALS)
    if over.is_set():
        return
    port = local_port(listener)
    empty_queue(listener)
    with contextlib.suppress(OSError):
        live.shutdown(listener, socket.SHUT_RDWR)
    waited = 0.0
    while not over.wait(MOMENT):
        waited += MOMENT
        if waited < READING:
            continue
        how = socket.SHUT_RD if waited < GRACE else socket.SHUT_RDWR
        for fd in numbers():
            if local_port(fd) == port:
                with contextlib.suppress(OSError):
                    live.shutdown(fd, how)


def numbers() -> Iterable[int]:
    """Return the fds that are open, and maybe some that are not.

    To look into /proc takes an fd. When there is none left, all below the limit are open.
    """
    try:
        return map(int, os.listdir("/proc/self/fd"))
    except OSError:  # EMFILE
        return range(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def empty_queue(listener: int) -> None:
    """Let nobody join the accept queue, and wait a while until the server has emptied it.

    listen(2) on a socket that listens changes the length of its queue.
    """
    sock = borrowed(listener)
    try:
        sock.listen(0)
        end = live.monotonic() + QUEUE
        while accept_queue(sock)[0] and live.monotonic() < end:
            live.sleep(0.005)
    except OSError:
        pass  # it has been shut down before
    finally:
        sock.detach()


def local_port(fd: int) -> int | None:
    """Return the local port of a TCP socket; None for anything else."""
    try:
        sock = borrowed(fd)
    except OSError:  # ENOTSOCK, EBADF
        return None
    try:
        return sock.getsockname()[1] if is_internet(sock) else None
    except OSError:
        return None
    finally:
        sock.detach()
