"""Processes: a forked process per connection.

The same conversation once more, each in a process of its own. fork(2) copies the caller: the child
has the same memory (shared until one of the two writes to a page) and the same open fds. So each
side closes what is not its own: the child the listener, the parent the connection. A parent that
forgets keeps the connection open after the child has closed it, and the client never sees the end.

What it buys is isolation: a crash, a leak or a hang takes one client with it. Several can run at
the same time in spite of the interpreter lock. What it costs:
- Memory. Python touches its reference counts when it reads, so the shared pages do not stay shared:
  some 1.3 MB for each client. A few hundred is what this model is for.
- Nothing is shared: what one child learns, no other knows.
- A child that has ended stays in the process table until its parent asks for its status (a zombie).
  Here the parent asks whenever somebody connects, and at the end.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import traceback
from typing import NoReturn

from iomodels.apps import App, Publisher, publishes
from iomodels.kernel import Kernel, live
from iomodels.servers.accepting import FULL, PAUSE, STOPPED, accept
from iomodels.servers.alarms import Alarms
from iomodels.servers.blocking import converse
from iomodels.servers.connections import close
from iomodels.servers.mailboxes import Mailbox, Posted, Relay, hear

log = logging.getLogger(__name__)

GRACE = 2.0  # seconds that the children have, once they were asked to stop
ROUND = 0.02  # seconds between two requests


def serve(listener: int, app: App, kernel: Kernel) -> None:
    """Serve `app` on `listener`, a process for each client, until the listener is shut down."""
    children: set[int] = set()
    relay = Relay() if publishes(app) else None
    kernel.set_blocking(listener, True)
    try:
        while (fd := accept(kernel, listener)) != STOPPED:
            reap(children, kernel)
            if fd >= 0:
                fork(fd, listener, app, kernel, children, relay)
            elif fd == FULL:
                kernel.sleep(PAUSE)
    finally:
        stop(children, kernel)
        if relay:
            relay.close()


def fork(
    fd: int, listener: int, app: App, kernel: Kernel, children: set[int], relay: Relay | None
) -> None:
    """Give one client a process; the parent keeps its pid, and not its fd."""
    end = -1
    try:
        if relay:
            end = relay.new_end()  # EMFILE: a client takes two more, as long as it is here
        pid = kernel.fork()
    except OSError as error:  # EAGAIN, ENOMEM: the limit on processes, or memory
        log.warning("no process for fd %d (%s); %d run; closed it", fd, error, len(children))
        pid = -1
    if pid == 0:
        if relay:
            relay.leave_to_parent()
        child(fd, listener, app, kernel, end)
    if pid > 0:
        children.add(pid)
    close(kernel, fd)
    if end >= 0:
        close(kernel, end)


def child(fd: int, listener: int, app: App, kernel: Kernel, end: int) -> NoReturn:
    """Be the child: hold one conversation, then end without any of the parent's clean-up."""
    status = 1
    try:
        close(kernel, listener)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches us too
        signal.signal(signal.SIGTERM, lambda *_: end_of_stream(fd, kernel))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        alarms = Alarms(app, kernel)
        if publishes(app):
            app = by_mail(fd, app, kernel, end, alarms.write_timeout)
        converse(fd, app, kernel, alarms)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def end_of_stream(fd: int, kernel: Kernel) -> None:
    """Have the next read say that this was all."""
    with contextlib.suppress(OSError):  # ENOTCONN: the client has left in the meantime
        kernel.shutdown(fd, socket.SHUT_RD)


def by_mail(fd: int, app: Publisher, kernel: Kernel, end: int, write_timeout: float) -> App:
    """In a child: connect an app that publishes with the other children (see mailboxes.py)."""
    mailbox, letters = Mailbox(fd, kernel, write_timeout), list[bytes]()
    app.publish = letters.append
    threading.Thread(target=hear, args=(end, app, mailbox), daemon=True).start()

    def publish(data: bytes) -> None:
        with contextlib.suppress(OSError):  # the parent has stopped
            live.write(end, data)

    return Posted(app, mailbox, letters, publish)


def reap(children: set[int], kernel: Kernel) -> None:
    """Ask for the status of those that have ended. Ours by pid: the caller may have others."""
    for pid in tuple(children):
        ended, status = kernel.waitpid(pid, os.WNOHANG)
        if ended:
            children.discard(pid)
            if status:
                exit_code = os.waitstatus_to_exitcode(status)
                log.warning("process %d ended with status %d", pid, exit_code)


def stop(children: set[int], kernel: Kernel, grace: float = GRACE) -> None:
    """End all children: SIGTERM lets each finish what it has read, SIGKILL ends the rest.

    SIGTERM goes out again and again for `grace` seconds, for one that arrives just before the child
    goes to sleep in readv is handled only when it wakes (the race that pselect(2) was made for).
    """
    for number in (signal.SIGTERM,) * int(grace / ROUND) + (signal.SIGKILL,) * 50:
        reap(children, kernel)
        if not children:
            return
        for pid in children:
            kernel.kill(pid, number)
        kernel.sleep(ROUND)
