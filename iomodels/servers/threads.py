"""Threads: a thread per connection.

The conversation stays as it is in blocking.py, word for word; each client gets somebody of its own
to hold it. A thread that waits sleeps in the kernel and holds up nobody. This is how most servers
were written until about the year 2000, and many still are, for good reason: the code is plain.

Where it hurts:
- Memory. Each thread reserves a stack (8 MiB of addresses, of which some 16 kB are touched), one
  more inside the kernel (16 kB), page tables, and a buffer to read into (16 kB), where a loop has
  one for all. Ten thousand idle clients are ten thousand of each.
- The scheduler. Each message wakes a thread: a context switch there, and one back. Python's global
  interpreter lock lets one of them run at a time, and handing it over costs another switch.
- The app is now called from many threads at once. What it keeps for all clients needs a lock.
- The number of threads has a limit of its own (RLIMIT_NPROC, kernel.threads-max, pids.max of the
  control group). Then start() fails: the client is told by a closed connection, the operator by a
  line.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading

from iomodels.apps import App, Publisher, publishes
from iomodels.kernel import Kernel
from iomodels.servers.accepting import FULL, PAUSE, STOPPED, accept
from iomodels.servers.alarms import Alarms
from iomodels.servers.blocking import converse
from iomodels.servers.connections import close
from iomodels.servers.mailboxes import Mailbox, Posted

log = logging.getLogger(__name__)


def serve(listener: int, app: App, kernel: Kernel) -> None:
    """Serve `app` on `listener`, a thread for each client, until the listener is shut down.

    Then each thread hears the end of the stream, and says its last words.
    """
    threads: dict[threading.Thread, int] = {}  # and the fd of each
    ended: set[threading.Thread] = set()
    alarms = Alarms(app, kernel)
    hold = Publication(app, kernel).converse if publishes(app) else converse

    def talk(fd: int) -> None:
        try:
            hold(fd, app, kernel, alarms)
        finally:
            close(kernel, fd)
            ended.add(threading.current_thread())

    kernel.set_blocking(listener, True)
    while (fd := accept(kernel, listener)) != STOPPED:
        while ended:  # what is left of a thread is let go of when it is joined
            thread = ended.pop()
            thread.join()
            del threads[thread]
        if fd >= 0:
            thread = threading.Thread(target=talk, args=(fd,), name=f"connection-{fd}")
            threads[thread] = fd
            try:
                thread.start()
            except RuntimeError:  # clone(2) said EAGAIN
                del threads[thread]
                log.warning("no thread for fd %d: %d run already; closed it", fd, len(threads))
                close(kernel, fd)
        elif fd == FULL:
            kernel.sleep(PAUSE)

    for thread, fd in threads.items():
        if thread not in ended:
            with contextlib.suppress(OSError):  # it ends just now
                kernel.shutdown(fd, socket.SHUT_RD)  # wakes the read that it sleeps in
    for thread in threads:
        thread.join()


class Publication:
    """For an app that publishes: the mailboxes of all clients (see mailboxes.py)."""

    def __init__(self, app: Publisher, kernel: Kernel) -> None:
        self.app = app
        self.mailboxes: dict[int, Mailbox] = {}
        self.mine = threading.local()  # each thread keeps what the app publishes in it
        self.order = threading.Lock()  # all clients get all letters in the same order
        app.publish = lambda data: self.mine.letters.append(data)

    def converse(self, fd: int, app: App, kernel: Kernel, alarms: Alarms) -> None:
        """Hold one conversation by mailbox."""
        self.mine.letters = []
        mailbox = self.mailboxes[fd] = Mailbox(fd, kernel, alarms.write_timeout)
        try:
            posted = Posted(self.app, mailbox, self.mine.letters, self.publish)
            converse(fd, posted, kernel, alarms)
        finally:
            del self.mailboxes[fd]
            mailbox.close()

    def publish(self, data: bytes) -> None:
        """Put a letter into the mailbox of everyone who has subscribed."""
        with self.order:
            for mailbox in tuple(self.mailboxes.values()):
                with mailbox.changed:
                    if self.app.subscribed(mailbox.fd):
                        mailbox.put(data)
