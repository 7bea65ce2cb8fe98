"""Threads: a thread per connection.

The conversation stays as it is in blocking.py, word for word; each client gets somebody of its own
to hold it. A thread that waits sleeps in the kernel and holds up nobody. This is how most servers
were written until about the year 2000, and many still are, for good reason: the code is plain.

Where it hurts:
- Memory. Each thread reserves a stack (8 MiB of addresses, of which some 16 kB are touched), one
  more inside the kernel (16 kB), and page tables. Ten thousand idle clients are ten thousand each.
- The scheduler. Each message wakes a thread: a context switch there, and one back. Python's global
  interpreter lock lets one of them run at a time, and handing it over costs another switch.
- The app is now called from many threads at once. What it keeps for all clients needs a lock.
- The number of threads has a limit of its own (RLIMIT_NPROC, kernel.threads-max, pids.max of the
  control group). Then start() fails: the client is told by a closed connection, the operator by a
  line.
"""

from __future__ import annotations

import logging
import threading

from iomodels.apps import App
from iomodels.kernel import Kernel
from iomodels.servers.accepting import FULL, PAUSE, STOPPED, accept
from iomodels.servers.blocking import converse
from iomodels.servers.connections import close

log = logging.getLogger(__name__)


def serve(listener: int, app: App, kernel: Kernel) -> None:
    """Serve `app` on `listener`, a thread for each client, until the listener is shut down.

    Returns when the last client has left.
    """
    threads: set[threading.Thread] = set()

    def talk(fd: int) -> None:
        try:
            converse(fd, app, kernel)
        finally:
            threads.discard(threading.current_thread())

    kernel.set_blocking(listener, True)
    while (fd := accept(kernel, listener)) != STOPPED:
        if fd >= 0:
            thread = threading.Thread(target=talk, args=(fd,), name=f"connection-{fd}")
            threads.add(thread)
            try:
                thread.start()
            except RuntimeError:  # clone(2) said EAGAIN
                threads.discard(thread)
                log.warning("no thread for fd %d: %d run already; closed it", fd, len(threads))
                close(kernel, fd)
        elif fd == FULL:
            kernel.sleep(PAUSE)

    for thread in tuple(threads):
        thread.join()
