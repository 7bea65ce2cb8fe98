"""Deadlines for conversations that sleep: the kernel wakes a read that takes too long.

A loop looks at its deadlines each time it wakes (deadlines.py). A thread that sleeps in readv looks
at nothing, so it must tell the kernel beforehand how long it may sleep: SO_RCVTIMEO and SO_SNDTIMEO
(man 7 socket). The call then says EAGAIN, as a non-blocking one does. Both are spans, not moments,
and begin again with each call: a client that sends a byte now and then would never be late. So
the moment is kept here, and the span is set anew when it has grown much too long for it.

Here a deadline costs an entry in a dict. A connection that has a thread has paid for more.
"""

from __future__ import annotations

import socket

from iomodels.apps import App, is_timed
from iomodels.kernel import Kernel

SLACK = 7 / 8  # set the span anew when what is left is so much shorter


class Alarms:
    """The deadlines of an app whose connections are served by conversations."""

    def __init__(self, app: App, kernel: Kernel) -> None:
        self.kernel = kernel
        self.until: dict[int, float] = {}  # by fd: the moment
        self.spans: dict[int, float] = {}  # by fd: what the kernel was told
        self.write_timeout = 0.0
        if is_timed(app):
            app.deadline = self.set
            self.write_timeout = app.write_timeout

    def opened(self, fd: int) -> None:
        """Limit the time of each write to a new connection."""
        if self.write_timeout:
            self.kernel.set_timeout(fd, socket.SO_SNDTIMEO, self.write_timeout)

    def closed(self, fd: int) -> None:
        """Forget a connection, before its number is free."""
        self.until.pop(fd, None)
        self.spans.pop(fd, None)

    def set(self, fd: int, seconds: float) -> None:
        """Have the next reads of `fd` end in so many seconds; 0: never."""
        if seconds:
            self.until[fd] = self.kernel.monotonic() + seconds
        else:
            self.until.pop(fd, None)

    def late(self, fd: int) -> bool:
        """Say whether the moment has come; if not, see to it that a read will not miss it."""
        until = self.until.get(fd)
        if until is None:
            return False
        left = until - self.kernel.monotonic()
        if left <= 0:
            del self.until[fd]
            return True
        span = self.spans.get(fd)
        if span is None or left < span * SLACK:
            self.kernel.set_timeout(fd, socket.SO_RCVTIMEO, left)
            self.spans[fd] = left
        return False
