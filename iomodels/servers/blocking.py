"""Blocking: one connection at a time; the next client waits.

The oldest server, and the shortest. Each call sleeps until it has something to say: accept until
somebody connects, readv until bytes arrive, writev until there is room for what we send. The code
reads like the conversation it holds, there is no state to keep, and an idle server costs nothing:
it is asleep in the kernel.

Where it hurts:
- While it talks with one client, it hears nobody else. The others are connected all the same: the
  kernel shakes hands for us, and keeps them, and what they have sent, in the accept queue. One that
  connects and says nothing holds up everybody, for as long as it likes (head-of-line blocking).
- A client that does not read its replies does the same: writev sleeps until it does.

What follows in the other files is a list of ways out of this one problem.
"""

from __future__ import annotations

import math
import socket

from iomodels.apps import CLOSE, NOTHING, Answer, App, Publisher, is_timed, publishes
from iomodels.kernel import Kernel
from iomodels.servers.accepting import FULL, PAUSE, STOPPED, accept
from iomodels.servers.alarms import Alarms
from iomodels.servers.connections import IOV_MAX, LINGER, close, remainder, reset_on_close

WINDOW = 16 * 1024  # bytes that one read may bring: here each conversation has a window of its own
LATE = -1  # what `read` says when the app's deadline has come


def serve(listener: int, app: App, kernel: Kernel) -> None:
    """Serve `app` on `listener`, one client after the other, until the listener is shut down."""
    alarms = Alarms(app, kernel)
    if publishes(app):
        app = Alone(app)
    kernel.set_blocking(listener, True)
    while (fd := accept(kernel, listener)) != STOPPED:
        if fd >= 0:
            converse(fd, app, kernel, alarms)
            close(kernel, fd)
        elif fd == FULL:
            kernel.sleep(PAUSE)


def converse(fd: int, app: App, kernel: Kernel, alarms: Alarms) -> None:
    """Talk with one client until one of the two leaves; to close the fd is for the caller."""
    window = memoryview(bytearray(WINDOW))
    try:
        alarms.opened(fd)
        answer = app.opened(fd)
        send(fd, answer, kernel, alarms.write_timeout)
        while not (answer and answer[-1] is CLOSE):
            n = read(fd, window, kernel, alarms)
            if n > 0:
                answer = app.received(fd, window[:n])
            elif n == LATE and is_timed(app):
                answer = app.expired(fd)
            elif not (answer := last_words(fd, app, kernel)):
                break
            send(fd, answer, kernel, alarms.write_timeout)
        else:  # we leave first: say so, and wait for the client to close (see connections.py)
            kernel.shutdown(fd, socket.SHUT_WR)
            alarms.set(fd, LINGER)
            while read(fd, window, kernel, alarms) > 0:
                pass
    except OSError:  # ECONNRESET, EPIPE: the client is gone, and there is nobody left to tell
        pass
    finally:
        alarms.closed(fd)
        app.closed(fd)


def read(fd: int, window: memoryview, kernel: Kernel, alarms: Alarms) -> int:
    """Sleep until bytes arrive, and return how many; 0 is the end of the stream."""
    while not alarms.late(fd):
        try:
            return kernel.readv(fd, [window])
        except InterruptedError:
            continue
        except BlockingIOError:  # SO_RCVTIMEO: have a look at the alarms
            continue
    return LATE


def last_words(fd: int, app: App, kernel: Kernel) -> Answer:
    """Say goodbye at the end of the stream, if the client is still there.

    Then it was our end that was shut down for reading: we are told to stop (stopping.py).
    """
    return app.goodbye(fd) if is_timed(app) and kernel.established(fd) else NOTHING


def send(fd: int, answer: Answer, kernel: Kernel, within: float) -> None:
    """Sleep until the kernel has taken all of an answer: it may take it a part at a time.

    Raises TimeoutError when that takes longer than `within` seconds, if that is not 0. One call
    cannot take longer, for it has SO_SNDTIMEO (alarms.py); several could.
    """
    if not answer:
        return
    end = kernel.monotonic() + within if within else math.inf
    try:
        sent = kernel.writev(fd, answer if len(answer) <= IOV_MAX else answer[:IOV_MAX])
        if sent == sum(map(len, answer)):
            return
    except InterruptedError:
        sent = 0
    except BlockingIOError:
        end = sent = 0
    rest = remainder(answer, sent)
    while rest and kernel.monotonic() < end:
        try:
            del rest[: kernel.write(fd, rest)]
        except InterruptedError:
            continue
        except BlockingIOError:
            break
    if rest:  # it is cut off, and told so (see connections.py)
        reset_on_close(kernel, fd)
        raise TimeoutError


class Alone:
    """An app that publishes, to the one client who is here: its letters follow its answers."""

    def __init__(self, app: Publisher) -> None:
        self.app = app
        self.letters: list[bytes] = []
        app.publish = self.letters.append

    def opened(self, fd: int) -> Answer:
        self.letters.clear()  # from the one before: nobody was here to read them
        return self.app.opened(fd)

    def received(self, fd: int, view: memoryview) -> Answer:
        answer = self.app.received(fd, view)
        if not self.letters or not self.app.subscribed(fd) or (answer and answer[-1] is CLOSE):
            return answer
        answer = [*answer, *self.letters]
        self.letters.clear()
        return answer

    def expired(self, fd: int) -> Answer:
        return self.app.expired(fd) if is_timed(self.app) else NOTHING

    def goodbye(self, fd: int) -> Answer:
        return self.app.goodbye(fd) if is_timed(self.app) else NOTHING

    def closed(self, fd: int) -> None:
        self.app.closed(fd)
