"""A deadline for each line: an echo of lines on epoll that waits for nobody's next byte for ever.

    serve(listener, clients, seconds) -> None

It accepts from `listener`, sends back each line once it is whole, and returns when so many clients
have come and gone. A line must be whole `seconds` after its first byte; a client whose line is late
is hung up on, and not before. Between two lines a client may be silent as long as it likes. The
listener is the caller's; all else `serve` closes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from socket import SHUT_WR, create_connection, create_server, socket
from threading import Event

from iomodels.course.cases import Address, Wrong, judge, playing, within

Serve = Callable[[socket, int, float], None]

LIMIT = 0.3  # seconds that a line may take
PATIENCE = 2.0  # seconds that a case waits for what should come at once
NOT_OVER = "all clients have come and gone, and `serve` does not return"
NO_TIMEOUT = (
    "a line is late, nobody says anything, and your server sleeps on: `epoll.poll` needs a timeout,"
    " in seconds, until the next deadline"
)
MOVED = (
    "a client sends a byte now and then, its line was due long ago, and it is still there: the"
    " deadline is counted from the first byte of the line, no later byte moves it, and it is looked"
    " at after each wait"
)
BUSY = (
    "another client talks all the time, and the one whose line is late is still there: look for"
    " late lines after each wait, not only when `poll` has returned nobody"
)
IDLE = (
    "a client that is silent between two lines is hung up on: a deadline begins with the first byte"
    " of a line"
)
NOT_CLEARED = (
    "a line was whole in time, and its client is hung up on all the same: with the line, its"
    " deadline is over"
)
NEWCOMER = (
    "a client is hung up on for a line that another one had begun: that one had left, and its"
    " number came back; when a connection is closed, forget its deadline"
)
SPINS = (
    "wakes again and again, though nothing has happened and nothing is due: the timeout of"
    " `epoll.poll` is in seconds, and the deadline of one who is gone must be forgotten"
)


class Caller:
    """A client of the learner's server, which says what was wrong in words.

    It knows whether it was late itself, because the machine kept it waiting: then a server that
    hangs up is right.
    """

    def __init__(self, address: Address) -> None:
        self.sock = create_connection(address)
        self.sock.settimeout(PATIENCE)
        self.began: float | None = None  # when it said the first byte of the line under way
        self.next: float | None = None  # the same of the line after that one
        self.late = False  # whether a line took LIMIT to be heard, or a look at the end half of it

    def say(self, data: bytes, words: str) -> None:
        """Send. Raises Wrong with these words when the server has hung up."""
        now = time.monotonic()
        self.began = self.began or now
        self.next = None if data.endswith(b"\n") else now
        try:
            self.sock.sendall(data)
        except ConnectionError:
            self.look_at_the_clock()
            raise Wrong(words) from None

    def look_at_the_clock(self) -> None:
        """The line under way is over."""
        self.late |= self.began is not None and time.monotonic() - self.began >= LIMIT
        self.began = self.next

    def hear(self, line: bytes, words: str) -> None:
        """Read a line that must come back. Raises Wrong when another or none does."""
        got = b""
        try:
            while len(got) < len(line) and (data := self.sock.recv(len(line) - len(got))):
                got += data
        except TimeoutError:
            raise Wrong(f"the line {line!r} has not come back: {got!r} has") from None
        except ConnectionError:
            pass
        self.look_at_the_clock()
        if got != line:
            if line.startswith(got):
                raise Wrong(words)
            raise Wrong(f"{got!r} comes back, and not {line!r}")

    def is_hung_up(self, seconds: float) -> bool:
        """Tell whether the server hangs up within so long. Raises Wrong when it says something."""
        self.sock.settimeout(seconds)
        try:
            data = self.sock.recv(100)
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        finally:
            self.sock.settimeout(PATIENCE)
        if data:
            raise Wrong(f"{data!r} comes back, though that line is not whole")
        return True

    def expect_gone(self, began: float, words: str) -> None:
        """Raise Wrong unless the server hangs up, LIMIT seconds after `began` and not before."""
        gone, give_up = False, time.monotonic() + PATIENCE
        while not gone and (looked := time.monotonic()) < give_up:
            gone = self.is_hung_up(0.02)
            # When this look was late, a server that hangs up too soon may seem to be in time.
            self.late |= gone and time.monotonic() - looked >= 0.5 * LIMIT
        if not gone:
            raise Wrong(words)
        if (took := time.monotonic() - began) < LIMIT:
            raise Wrong(f"hangs up {took:.2f} s after the first byte of a line; it has {LIMIT:g} s")

    def leave(self) -> None:
        """Close, once the server has closed its end: then its number is free."""
        self.sock.shutdown(SHUT_WR)
        if not self.is_hung_up(PATIENCE):
            raise Wrong("a client has ended its stream, and your server does not close")
        self.sock.close()


Call = Callable[[], Caller]


@contextmanager
def calling(serve: Serve, clients: int, script: Callable[[Call], None]) -> Iterator[list[Caller]]:
    """Run the server here for so many clients, and the script beside it; it makes the clients."""
    with create_server(("127.0.0.1", 0)) as listener, ExitStack() as opened:
        address, played, callers = listener.getsockname(), Event(), list[Caller]()

        def call() -> Caller:
            callers.append(Caller(address))
            opened.callback(callers[-1].sock.close)
            return callers[-1]

        def play() -> None:
            try:
                script(call)
            except Wrong:
                if not any(caller.late for caller in callers):
                    raise
                for _ in range(clients - len(callers)):
                    call()
                for caller in callers:
                    caller.sock.close()
            played.set()

        with playing(play):
            serve(listener, clients, LIMIT)
            if not played.wait(PATIENCE):
                raise Wrong("`serve` returns before all clients have come and gone")
        yield callers


def try_it(
    serve: Serve,
    clients: int,
    script: Callable[[Call], None],
    shows: Callable[[], bool] = lambda: True,
) -> None:
    """Play a script against the server, which must return when all clients are gone.

    It is played again where a client was late, or when it says afterwards that it `shows` nothing.
    """

    def once() -> bool:
        with within(4.5, NOT_OVER), calling(serve, clients, script) as callers:
            pass
        return shows() and not any(caller.late for caller in callers)

    judge(once)


# --- the cases ---


def lines_come_back(serve: Serve) -> None:
    """lines come in pieces, and two of them in one piece"""

    def script(call: Call) -> None:
        ann = call()
        lost = "your server has hung up on a client that was never late"
        for data, line in ((b"one\ntw", b"one\n"), (b"o\nthree\n", b"two\nthree\n")):
            ann.say(data, lost)
            ann.hear(line, lost)
        ann.leave()

    try_it(serve, 1, script)


def half_a_line(serve: Serve) -> None:
    """half a line comes, and then nothing: from anybody"""

    def script(call: Call) -> None:
        ann = call()
        began = time.monotonic()
        ann.say(b"hel", IDLE)
        ann.expect_gone(began, NO_TIMEOUT)

    try_it(serve, 1, script)


def a_slow_loris(serve: Serve) -> None:
    """a byte comes every 40 ms, and no end of the line"""
    gap = 0.0  # the longest between two bytes

    def script(call: Call) -> None:
        nonlocal gap
        ann, gone, gap = call(), False, 0.0
        began = last = time.monotonic()
        while not gone and last - began < PATIENCE:
            try:
                ann.sock.sendall(b"x")
                gone = ann.is_hung_up(0.04)
            except ConnectionError:
                gone = True
            gap, last = max(gap, time.monotonic() - last), time.monotonic()
        if not gone:
            raise Wrong(MOVED)
        if last - began < LIMIT:
            raise Wrong(f"hangs up after {last - began:.2f} s, and a line has {LIMIT:g} s")

    # Else one who counts from the last byte would have hung up too.
    try_it(serve, 1, script, lambda: gap < LIMIT)


def silence_between_lines(serve: Serve) -> None:
    """a client says nothing for a while, then a line, then nothing, then a line"""

    def script(call: Call) -> None:
        ann = call()
        for line in (b"one\n", b"two\n"):
            if ann.is_hung_up(1.4 * LIMIT):
                raise Wrong(IDLE)
            ann.say(line, IDLE)
            ann.hear(line, IDLE)
        ann.leave()

    try_it(serve, 1, script)


def in_time(serve: Serve) -> None:
    """a line comes in two halves, in time; then there is silence"""

    def script(call: Call) -> None:
        ann = call()
        ann.say(b"hel", NOT_CLEARED)
        for _ in range(3):  # the server reads it meanwhile, though the machine stand still once
            time.sleep(0.1 * LIMIT)
        ann.say(b"lo\n", NOT_CLEARED)
        ann.hear(b"hello\n", NOT_CLEARED)
        if ann.is_hung_up(1.4 * LIMIT):
            raise Wrong(NOT_CLEARED)
        ann.leave()

    try_it(serve, 1, script)


def the_number_comes_back(serve: Serve) -> None:
    """one leaves in the middle of a line, and the next client gets its number"""

    def script(call: Call) -> None:
        ann = call()
        ann.say(b"one\nhalf of t", IDLE)
        ann.hear(b"one\n", IDLE)
        ann.leave()
        bob = call()
        if bob.is_hung_up(1.4 * LIMIT):
            raise Wrong(NEWCOMER)
        bob.say(b"two\n", NEWCOMER)
        bob.hear(b"two\n", NEWCOMER)
        bob.leave()

    try_it(serve, 2, script)


CASES = (
    lines_come_back,
    half_a_line,
    a_slow_loris,
    silence_between_lines,
    in_time,
    the_number_comes_back,
)
