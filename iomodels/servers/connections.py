"""One step with a connection that may be ready. How the server came to know is its model's affair.

nonblocking, select, poll and epoll differ in how they wait, and in nothing else: once a connection
may be ready, they all read once, hand the bytes to the app, and send its answer. That step is
here, `Connections.ready`. Four rules keep one client from hurting the others:

1. Nothing sleeps. Every fd is non-blocking, for readiness is a hint: between the kernel's word and
   the call, the data can be gone (man 2 select, "Bugs"). EAGAIN then says: wait again.
2. One read at a step. A client that sends without pause gets its turn, not the server.
3. What the kernel does not take is kept, and until it is out, nothing more is read from that
   client. So the server holds at most one answer for a client that does not read, and TCP's own
   flow control stops the client from sending.
4. A connection that does nothing costs one byte: its place in `open`. Only one that is in the
   middle of something owns more.
"""

from __future__ import annotations

import contextlib
import socket
from select import POLLIN, POLLOUT

from iomodels.apps import BACKLOG, CLOSE, Answer, App, publishes
from iomodels.kernel import Kernel

# What `ready` says. POLLIN and POLLOUT mean that the kernel said EAGAIN: wait for that event.
MORE = 0  # something was done, and there may be more to do at once
GONE = -1  # the connection is closed, and its fd with it

WINDOW = 256 * 1024  # bytes that one read may bring; larger windows fall out of the CPU's cache
IOV_MAX = 1024  # buffers that one writev may take (man 3 sysconf, _SC_IOV_MAX)


class Connections:
    """The connections of one server: which fds are open, and what could not be sent yet."""

    def __init__(self, app: App, kernel: Kernel) -> None:
        self.app, self.kernel = app, kernel
        self.received = app.received
        self.readv, self.writev, self.write = kernel.readv, kernel.writev, kernel.write
        self.window = memoryview(bytearray(WINDOW))
        self.into = [self.window]
        self.open = bytearray(64)  # by fd: 1 while it is ours
        self.unsent: dict[int, bytearray] = {}  # by fd: what the kernel has not taken yet
        self.closing: set[int] = set()  # the app said CLOSE; waits in `unsent` for the rest to go
        self.leaving: set[int] = set()  # our end is shut down; waits for the client to leave
        self.letters: list[bytes] = []  # published in this round
        if publishes(app):
            app.publish, self.subscribed = self.letters.append, app.subscribed

    def opened(self, fd: int) -> int:
        """Take over an accepted fd, send the app's greeting; return as `ready` does."""
        self.kernel.set_blocking(fd, False)
        if fd >= len(self.open):
            self.open.extend(bytes(fd + 1))  # doubles: a byte per fd, and few copies
        self.open[fd] = 1
        answer = self.app.opened(fd)
        return self.send(fd, answer) if answer else MORE

    def ready(self, fd: int) -> int:
        """Do one step; return MORE, GONE, or the event to wait for: POLLIN or POLLOUT."""
        if fd in self.unsent and (outcome := self.flush(fd)) != MORE:
            return outcome
        try:
            n = self.readv(fd, self.into)
        except BlockingIOError:
            return POLLIN
        except InterruptedError:
            return MORE
        except OSError:  # ECONNRESET, ETIMEDOUT: there is nobody left to tell
            n = 0
        if n == 0:
            return self.hang_up(fd)
        if self.leaving and fd in self.leaving:
            return MORE  # what it says after our goodbye is thrown away
        answer = self.received(fd, self.window[:n])
        return self.send(fd, answer) if answer else MORE

    def send(self, fd: int, answer: Answer) -> int:
        """Send an answer: one call when the kernel takes it all, which is nearly always.

        write(2) for one buffer: writev(2) first reads a list, and that takes 0.1 µs.
        """
        last = answer[-1]
        try:
            if len(answer) == 1:
                sent = self.write(fd, last)
                if sent == len(last) and last is not CLOSE:
                    return MORE
            else:
                sent = self.writev(fd, answer if len(answer) <= IOV_MAX else answer[:IOV_MAX])
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:  # EPIPE, ECONNRESET
            return self.hang_up(fd)
        if last is CLOSE:
            self.closing.add(fd)
        elif sent == sum(map(len, answer)):
            return MORE
        self.unsent[fd] = remainder(answer, sent)
        return self.flush(fd)

    def flush(self, fd: int) -> int:
        """Send the rest of an answer until it is out or the kernel says EAGAIN."""
        rest = self.unsent[fd]
        while rest:
            try:
                del rest[: self.write(fd, rest)]
            except InterruptedError:
                continue
            except BlockingIOError:
                return POLLOUT
            except OSError:
                return self.hang_up(fd)
        del self.unsent[fd]
        return self.say_goodbye(fd) if fd in self.closing else MORE

    def deliver(self) -> list[int]:
        """Send what was published in this round to all who have subscribed; end each round so.

        Not at once, for then it would come before the answer to the one who is speaking. Returns
        those for whom there was no room: they must be watched for POLLOUT.
        """
        if not self.letters:
            return []
        data = b"".join(self.letters)
        self.letters.clear()
        return [fd for fd, is_open in enumerate(self.open) if is_open and not self.push(fd, data)]

    def push(self, fd: int, data: bytes) -> bool:
        """Send something to one who has not asked; return False when some of it must wait.

        Whoever does not read is cut off in the end. Nothing is closed here: a connection that is
        shut down is reported as ready, and ends in a step of its own.
        """
        if fd in self.closing or fd in self.leaving or not self.subscribed(fd):
            return True
        rest = self.unsent.get(fd)
        if rest is not None:
            if len(rest) + len(data) <= BACKLOG:
                rest += data
            else:
                with contextlib.suppress(OSError):
                    self.kernel.shutdown(fd, socket.SHUT_RDWR)
            return False
        try:
            sent = self.write(fd, data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            return True  # it is gone; its own step will find that out
        if sent == len(data):
            return True
        self.unsent[fd] = bytearray(data[sent:])
        return False

    def say_goodbye(self, fd: int) -> int:
        """Shut down our end, and wait for the client to close its own.

        Closing at once would be wrong: when bytes lie unread in our receive buffer, or still
        arrive, close(2) sends a reset (RFC 1122, 4.2.2.13). With it goes what our send buffer
        still holds of the answer, and the client reads ECONNRESET where the end should be.
        """
        self.closing.remove(fd)
        self.leaving.add(fd)
        try:
            self.kernel.shutdown(fd, socket.SHUT_WR)
        except OSError:
            return self.hang_up(fd)
        return MORE

    def hang_up(self, fd: int) -> int:
        """Close a connection and forget it. Tell the app first: the number is free at once."""
        if not self.open[fd]:
            return GONE  # an event from before it was closed
        self.open[fd] = 0
        self.unsent.pop(fd, None)
        self.closing.discard(fd)
        self.leaving.discard(fd)
        self.app.closed(fd)
        close(self.kernel, fd)
        return GONE

    def hang_up_all(self) -> None:
        """Close every connection that is open."""
        for fd, is_open in enumerate(self.open):
            if is_open:
                self.hang_up(fd)


def close(kernel: Kernel, fd: int) -> None:
    """Close an fd, whatever close(2) says of it.

    Linux frees the number before it reports an error such as EINTR or EIO. To try again would
    close the next connection that was given the same number (man 2 close, "Notes").
    """
    with contextlib.suppress(OSError):
        kernel.close(fd)


def remainder(answer: Answer, sent: int) -> bytearray:
    """Return a copy of what is left of an answer after its first `sent` bytes.

    A copy, because the buffers may lie in the window, which the next read overwrites.
    """
    left = bytearray()
    for buffer in answer:
        left += memoryview(buffer)[sent:]
        sent = max(0, sent - len(buffer))
    return left
