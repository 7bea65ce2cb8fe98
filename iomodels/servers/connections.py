"""One step with a connection that may be ready. How the server came to know is its model's affair.

nonblocking, select, poll, epoll and signals differ in how they wait, and in nothing else: once a
connection may be ready, they all read once, hand the bytes to the app, and send its answer. That
step is here, `Connections.ready`. Six rules keep one client from hurting the others:

1. Nothing sleeps. Every fd is non-blocking, for readiness is a hint: between the kernel's word and
   the call, the data can be gone (man 2 select, "Bugs"). EAGAIN then says: wait again.
2. One read at a step. A client that sends without pause gets its turn, not the server.
3. What the kernel does not take is kept, and until it is out, nothing more is read from that
   client. So the server holds at most one answer for a client that does not read, and TCP's own
   flow control stops the client from sending.
4. Nobody takes for ever. What an app waits for has the app's deadline; an answer that the client
   does not take, and a goodbye that it does not return, have ours.
5. An event is about a number, and a number may be somebody else's by now. It is looked up in
   `states`; when it is not ours, nothing is read. An fd is taken off the list of what is watched
   before it is closed: a copy of it somewhere would keep it on epoll's list (servers/epoll.py).
6. A connection that does nothing costs one byte, its place in `states`, and two more for deadlines
   if there are any. Only one that is in the middle of something owns more.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from select import POLLIN, POLLOUT

from iomodels.apps import BACKLOG, CLOSE, Answer, App, is_timed, publishes
from iomodels.kernel import Kernel
from iomodels.servers.deadlines import TICK, Deadlines

# What `ready` says. POLLIN and POLLOUT mean that the kernel said EAGAIN: wait for that event.
MORE = 0  # something was done, and there may be more to do at once
GONE = -1  # the connection is closed, and its fd with it

# What a connection's byte says. All but the first two are out of the ordinary.
FREE = 0  # not ours
OPEN = 1
BLOCKED = 2  # something in `unsent` must go first
LAST = 3  # so it must, and then we leave
LEAVING = 4  # our end is shut down; waits for the client to leave
LATE = 8  # added to one of the others: a deadline has come

WINDOW = 256 * 1024  # bytes that one read may bring; larger windows fall out of the CPU's cache
IOV_MAX = 1024  # buffers that one writev may take (man 3 sysconf, _SC_IOV_MAX)
LINGER = 2.0  # seconds that a client has to return our goodbye
LAST_READS = 16  # reads from each connection when the server stops: 4 MiB


class Connections:
    """The connections of one server: which fds are open, and what could not be sent yet."""

    def __init__(
        self, app: App, kernel: Kernel, unwatch: Callable[[int], None] = lambda fd: None
    ) -> None:
        """`unwatch(fd)` takes an fd off the list of what is watched; it may not be on it."""
        self.app, self.kernel, self.unwatch = app, kernel, unwatch
        self.received = app.received
        self.readv, self.writev, self.write = kernel.readv, kernel.writev, kernel.write
        self.window = memoryview(bytearray(WINDOW))
        self.into = [self.window]
        self.states = bytearray(64)  # by fd
        self.unsent: dict[int, bytearray] = {}  # by fd: what the kernel has not taken yet
        self.letters: list[bytes] = []  # published in this round
        self.deadlines = Deadlines(kernel.monotonic)  # of fd: the app's at 2 * fd, then ours
        self.write_timeout = 0.0
        self.here = 0  # connections that are open
        self.stopping = self.over = False
        if publishes(app):
            app.publish = self.letters.append
            self.subscribed, self.subscribers = app.subscribed, app.subscribers
        if is_timed(app):
            self.write_timeout = app.write_timeout
            app.deadline = lambda fd, seconds: self.deadlines.set(2 * fd, seconds)

    def opened(self, fd: int) -> int:
        """Take over an accepted fd, send the app's greeting; return as `ready` does."""
        self.kernel.set_blocking(fd, False)
        if fd >= len(self.states):
            self.states.extend(bytes(fd + 1))  # doubles: a byte per fd, and few copies
        if self.states[fd]:
            self.forget(fd)  # somebody else has closed it, and the number has come back
        self.states[fd] = OPEN
        self.here += 1
        answer = self.app.opened(fd)
        return self.send(fd, answer) if answer else MORE

    def ready(self, fd: int) -> int:
        """Do one step; return MORE, GONE, or the event to wait for: POLLIN or POLLOUT."""
        if (state := self.states[fd]) != OPEN:
            outcome = self.unusual(fd, state)
            if self.states[fd] != OPEN:
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
        answer = self.received(fd, self.window[:n])
        return self.send(fd, answer) if answer else MORE

    def unusual(self, fd: int, state: int) -> int:
        """Do what stands before reading; it may be that nothing stands there any more."""
        if state == FREE:
            return GONE  # an event from before it was closed
        if state & LATE:
            self.states[fd] = state & ~LATE
            return self.expired(fd)
        if state == LEAVING:
            return self.discard(fd)
        return self.flush(fd)

    def discard(self, fd: int) -> int:
        """Throw away what a client says after our goodbye; it ends with its own."""
        try:
            if self.readv(fd, self.into):
                return MORE
        except BlockingIOError:
            return POLLIN
        except InterruptedError:
            return MORE
        except OSError:
            pass
        return self.hang_up(fd)

    # --- sending ---

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
            self.states[fd] = LAST
        elif sent == sum(map(len, answer)):
            return MORE
        self.keep(fd, remainder(answer, sent))
        return self.flush(fd)

    def keep(self, fd: int, rest: bytearray) -> None:
        """Keep what could not be sent; the client has so long to take it."""
        self.unsent[fd] = rest
        if self.states[fd] == OPEN:
            self.states[fd] = BLOCKED
        if self.write_timeout:
            self.deadlines.set(2 * fd + 1, self.write_timeout)

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
        self.deadlines.cancel(2 * fd + 1)
        if self.states[fd] == LAST:
            return self.say_goodbye(fd)
        self.states[fd] = OPEN
        return MORE

    def deliver(self) -> list[int]:
        """Send what was published in this round to all who have subscribed; end each round so.

        Not at once, for then it would come before the answer to the one who is speaking. Returns
        those for whom there was no room: they must be watched for POLLOUT.
        """
        if not self.letters:
            return []
        data = b"".join(self.letters)
        self.letters.clear()
        return [fd for fd in self.subscribers() if not self.push(fd, data)]

    def push(self, fd: int, data: bytes) -> bool:
        """Send something to one who has not asked; return False when some of it must wait.

        Whoever does not read is cut off in the end. Nothing is closed here: it ends in a step of
        its own.
        """
        if self.states[fd] & ~LATE not in (OPEN, BLOCKED) or not self.subscribed(fd):
            return True
        rest = self.unsent.get(fd)
        if rest is not None:
            if len(rest) + len(data) <= BACKLOG:
                rest += data
            elif not self.states[fd] & LATE:  # its time is over
                self.states[fd] |= LATE
                self.deadlines.set(2 * fd + 1, TICK)
            return False
        try:
            sent = self.write(fd, data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            return True  # it is gone; its own step will find that out
        if sent == len(data):
            return True
        self.keep(fd, bytearray(data[sent:]))
        return False

    # --- deadlines ---

    def patience(self) -> float | None:
        """Seconds for which the server may sleep; None: until something happens."""
        return self.deadlines.wait()

    def pause(self, fd: int, seconds: float) -> None:
        """Have `overdue` name `fd`, which is not a connection, in so many seconds: the listener."""
        self.deadlines.set(2 * fd, seconds)

    def overdue(self) -> list[int]:
        """Name those whose deadline has come; each then needs a step, as if it were ready."""
        fds = []
        for key in self.deadlines.due():
            fd, ours = divmod(key, 2)
            state = self.states[fd] if fd < len(self.states) else FREE
            if state > OPEN and not ours:
                # The app waits for a client from whom we do not read: that is not its fault.
                self.deadlines.set(key, 1.0)
                continue
            if state:
                self.states[fd] = state | LATE
            if state or not self.stopping:
                fds.append(fd)
        return fds

    def expired(self, fd: int) -> int:
        """Hang up, if the deadline was ours; otherwise ask the app. Nobody waits for the late."""
        if self.stopping or self.states[fd] != OPEN or not is_timed(self.app):
            return self.hang_up(fd)
        answer = self.app.expired(fd)
        outcome = self.send(fd, answer) if answer else MORE
        return self.hang_up(fd) if self.states[fd] == LEAVING else outcome

    # --- the end ---

    def say_goodbye(self, fd: int) -> int:
        """Shut down our end, and wait for the client to close its own.

        Closing at once would be wrong: when bytes lie unread in our receive buffer, or still
        arrive, close(2) sends a reset (RFC 1122, 4.2.2.13). With it goes what our send buffer
        still holds of the answer, and the client reads ECONNRESET where the end should be.
        """
        self.states[fd] = LEAVING
        self.deadlines.set(2 * fd + 1, LINGER)
        try:
            self.kernel.shutdown(fd, socket.SHUT_WR)
        except OSError:
            return self.hang_up(fd)
        return MORE

    def hang_up(self, fd: int) -> int:
        """Close a connection and forget it. Tell the app first: the number is free at once."""
        if self.states[fd]:
            if self.unsent.get(fd):
                reset_on_close(self.kernel, fd)
            self.forget(fd)
            close(self.kernel, fd)
        return GONE

    def forget(self, fd: int) -> None:
        """Let go of everything that goes by this number."""
        self.states[fd] = FREE
        self.here -= 1
        self.over = self.stopping and not self.here
        self.unsent.pop(fd, None)
        self.deadlines.cancel(2 * fd)
        self.deadlines.cancel(2 * fd + 1)
        self.unwatch(fd)
        self.app.closed(fd)

    def stop(self) -> list[int]:
        """Begin to end: answer what has arrived, say goodbye, and be `over` when all are gone.

        Returns those who must be watched for POLLOUT.
        """
        self.stopping, self.over = True, not self.here
        for fd, state in enumerate(self.states):
            if state:
                self.last_words(fd)
        return list(self.unsent)

    def last_words(self, fd: int) -> None:
        """Answer what one client has sent so far, and say that we leave."""
        for _ in range(LAST_READS):
            if self.ready(fd) != MORE:
                break
        answer = self.app.goodbye(fd) if self.states[fd] and is_timed(self.app) else ()
        if self.states[fd] == OPEN:
            if answer:
                self.send(fd, answer)
            else:
                self.hang_up(fd)
        elif self.states[fd] == BLOCKED:
            if answer:
                self.unsent[fd] += b"".join(answer)
            else:
                self.states[fd] = LAST
        if self.states[fd]:  # it has so long, whatever is still to be done
            self.deadlines.set(2 * fd + 1, LINGER)

    def hang_up_all(self) -> None:
        """Close every connection that is open."""
        for fd, state in enumerate(self.states):
            if state:
                self.hang_up(fd)


def reset_on_close(kernel: Kernel, fd: int) -> None:
    """Have `close` tell a client that it is cut off, for it has not taken what was for it."""
    with contextlib.suppress(OSError):
        kernel.reset_on_close(fd)


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
