"""Echo without blocking: one round of a server that asks everybody and waits for nobody.

    turn(listener, clients) -> None

`listener` is non-blocking. `clients` is a dict, empty before the first round: its keys are the
sockets of the clients, its values are the learner's. Each call is a round: whoever has connected is
accepted, each client is asked once, and sent what it will take. What `send` does not take is owed;
as long as a client is owed something, nothing more is read from it. One that has ended its stream
and is owed nothing, or has reset, is closed and taken out of the dict. Nothing in a round sleeps.

All happens in one thread: a case does something as a client, has the learner's function do its
rounds, and looks at what has come. So nothing depends on who is quick.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from socket import SHUT_WR, SO_RCVBUF, SO_SNDBUF, SOL_SOCKET, create_server, socket
from termios import TIOCOUTQ
from typing import Any

from iomodels.course.cases import Wrong, until, within
from iomodels.kernel.recording import count

Turn = Callable[[socket, dict[socket, Any]], None]

SMALL = 4096  # bytes of a buffer that is soon full; the kernel doubles it
LONG, MANY = 0.5, 50  # seconds, and rounds: when nothing comes in both, nothing will

SLEEPS = (
    "a round does not end, and all clients wait: a socket that `accept` returns blocks; on Linux it"
    " does not inherit O_NONBLOCK from the listener (accept(2))"
)
NAPS = "nobody says anything, and a round sleeps {} times: nothing in it may wait, however short"
EAGAIN = (
    "EAGAIN, and the round is over for all other clients: catch it, and go on with the next one"
    " (`sendall` has sent a part by then, and does not say how much; `send` does)"
)
GONE = "{}: one client has gone, and the round is over for all other clients"
HUNG_UP = (
    "a client that was silent for a moment hears the end: EAGAIN means that nothing is there now;"
    " the end is `b''`"
)
SILENT_FIRST = (
    "one client is silent, and another one gets no answer: EAGAIN is about one socket; go on with"
    " the next one"
)
NOT_CLOSED = (
    "a client has ended its stream, has got all that it was owed, and hears no end of yours: `b''`"
    " is not EAGAIN, nothing more will ever come; close"
)
LISTED = "all clients have gone, and `clients` is not empty: take out those that you close"
SLEEPS_OR_SPINS = (
    "a round does not end as long as a client does not read: keep what `send` does not take, and go"
    " on with the next client (and no socket may block, also none that `accept` returns)"
)
KEPT_WAITING = (
    "a client does not read, and another one gets no answer: keep what `send` does not take, and go"
    " on with the next client"
)
SOMEBODY_ELSES = "a client hears what another one has sent: each needs a rest of its own"
READS_ON = (
    "a client sends and does not read, and all that it sends is read and kept in your memory: as"
    " long as a client is owed something, read no more from it"
)


def lines(mark: bytes, size: int) -> bytes:
    """So many bytes, eight to a line, each line another one: b"a000017\\\\n"."""
    return b"".join(b"%b%06d\n" % (mark, number) for number in range(size // 8))


class Rounds:
    """The learner's server, which runs only when a case says so, and those who connect to it."""

    def __init__(self, turn: Turn, opened: ExitStack, buffers: int) -> None:
        self.turn, self.opened, self.buffers = turn, opened, buffers
        self.late = SLEEPS_OR_SPINS if buffers else SLEEPS
        self.clients: dict[socket, Any] = {}
        self.connected: list[socket] = []
        self.listener = opened.enter_context(create_server(("127.0.0.1", 0)))
        self.listener.setblocking(False)
        if buffers:  # accepted sockets inherit it
            self.listener.setsockopt(SOL_SOCKET, SO_SNDBUF, buffers)

    def connect(self) -> socket:
        """A client. Its end does not block either."""
        client = self.opened.enter_context(socket())
        if self.buffers:
            client.setsockopt(SOL_SOCKET, SO_RCVBUF, self.buffers)
        client.connect(self.listener.getsockname())
        client.setblocking(False)
        self.connected.append(client)
        return client

    def run(self, many: int = 1) -> None:
        """Do so many rounds. An exception that comes out gets words, and keeps its line."""
        with within(2, self.late):
            for _ in range(many):
                try:
                    self.turn(self.listener, self.clients)
                except BlockingIOError as error:
                    raise BlockingIOError(EAGAIN).with_traceback(error.__traceback__) from None
                except ConnectionError as error:
                    words = GONE.format(error)
                    raise type(error)(words).with_traceback(error.__traceback__) from None
        if not all(isinstance(sock, socket) for sock in self.clients):
            raise Wrong("the keys of `clients` are to be the sockets of the clients")

    def heard(self, client: socket, size: int) -> bytes:
        """What a client hears, round after round: so many bytes, or fewer; at the end, or none."""
        got, rounds, give_up = b"", 0, time.monotonic() + LONG
        while len(got) < size and (rounds < MANY or time.monotonic() < give_up):
            self.run()
            rounds += 1
            with suppress(BlockingIOError):
                try:
                    data = client.recv(size - len(got))
                except ConnectionError:
                    data = b""
                if not data:
                    break
                got, rounds, give_up = got + data, 0, time.monotonic() + LONG
        return got

    def expect(self, client: socket, word: bytes, words: str) -> None:
        """Raise Wrong, with these words when nothing comes, unless a word comes back."""
        with suppress(ConnectionError):  # the server may have left it
            client.send(word)
        got = self.heard(client, len(word))
        if not got:
            raise Wrong(HUNG_UP if is_over(client) else words)
        if got != word:
            raise Wrong(f"a client has sent {word!r}, and hears {got!r}")

    def leave(self, client: socket) -> None:
        """End a client's stream. Raises Wrong when no end comes back."""
        with suppress(OSError):  # it has ended before, or has been reset
            client.shutdown(SHUT_WR)
        if self.heard(client, 1):
            raise Wrong("a client hears more than it has sent")
        if not is_over(client):
            raise Wrong(NOT_CLOSED)
        client.close()


def is_over(client: socket) -> bool:
    """Whether a client, which has read all, has heard the end."""
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@contextmanager
def rounds(turn: Turn, buffers: int = 0) -> Iterator[Rounds]:
    """The learner's server. When the block has ended, all clients leave, and nothing must be left.

    `buffers`: of the server's sending and of the clients' receiving ends; 0: the kernel's choice.
    """
    with ExitStack() as opened:
        server = Rounds(turn, opened, buffers)
        yield server
        for client in server.connected:
            if client.fileno() >= 0:
                server.leave(client)
        server.run()
        if server.clients:
            raise Wrong(LISTED)
        if server.listener.fileno() < 0:
            raise Wrong("closes the listener, which is the caller's")


def send(client: socket, data: bytes) -> None:
    """Send it, and wait until all of it is in the server's receive buffer, where there is room."""
    client.settimeout(2)
    client.sendall(data)
    client.setblocking(False)
    until(lambda: count(client.fileno(), TIOCOUTQ) == 0, f"{len(data):,} bytes do not arrive")


def expect_all(server: Rounds, client: socket, data: bytes) -> None:
    """Raise Wrong unless a client, which reads now, hears all this, in order."""
    got = server.heard(client, len(data))
    if got == data:
        return
    right = next((n for n in range(len(got)) if got[n] != data[n]), len(got))
    said = f"a client has sent {len(data):,} bytes, gets {right:,} of them, and then"
    if right == len(got) and is_over(client):
        raise Wrong(f"{said} the end: first send what is owed, then close")
    if right == len(got):
        raise Wrong(f"{said} no more: what `send` does not take is owed, until there is room")
    then = data.find(got[right : right + 16])
    if then < 0:
        raise Wrong(SOMEBODY_ELSES)
    said += f" those from {then:,} on"
    if then < right:
        raise Wrong(f"{said} once more: only what `send` did not take is still to be sent")
    if data[right : right + 16] in got:
        raise Wrong(f"{said}, and the others later: what is owed goes first")
    raise Wrong(
        f"{said}; those between are lost: `send` returns how many bytes it took, and the rest is"
        " owed"
    )


# --- the cases ---


def two_words(turn: Turn) -> None:
    """a client sends a word, hears it, and sends another"""
    with rounds(turn) as server:
        client = server.connect()
        server.expect(client, b"hello", "a client has sent a word, and nothing comes back")
        server.expect(client, b"again", "the first word has come back, and the second does not")


def silence(turn: Turn) -> None:
    """twenty clients are silent for thirty rounds, and then speak"""
    with rounds(turn) as server:
        twenty = [server.connect() for _ in range(20)]
        server.run(25)  # all are accepted
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        server.run(30)
        slept = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before
        for number, client in enumerate(twenty, 1):
            word = b"%d" % number
            server.expect(
                client,
                word,
                f"twenty clients are there, and number {number} hears nothing: EAGAIN from one must"
                " not end the round for the others",
            )
        if slept > 15:  # some may be the machine's doing
            raise Wrong(NAPS.format(slept))


def one_is_silent(turn: Turn) -> None:
    """two clients: the first is silent, the second sends a word"""
    with rounds(turn) as server:
        server.connect()
        second = server.connect()
        server.expect(second, b"hello", SILENT_FIRST)


def one_leaves(turn: Turn) -> None:
    """two clients: the first ends its stream, the second sends a word"""
    with rounds(turn) as server:
        first, second = server.connect(), server.connect()
        server.expect(first, b"hello", "a client has sent a word, and nothing comes back")
        server.leave(first)
        server.expect(second, b"hello", "one client has left, and the other gets no answer")


def one_does_not_read(turn: Turn) -> None:
    """a client sends 60,000 bytes and does not read; another one sends a word"""
    data = lines(b"a", 60_000)
    with rounds(turn, SMALL) as server:
        slow, other = server.connect(), server.connect()
        send(slow, data)
        server.run(8)  # enough to fill the buffers, and something is left to read
        other.send(b"hello")
        got = server.heard(other, 5)
        if got and got != b"hello":
            raise Wrong(SOMEBODY_ELSES)
        if not got:
            raise Wrong(HUNG_UP if is_over(other) else KEPT_WAITING)
        expect_all(server, slow, data)


def it_ends_its_stream_first(turn: Turn) -> None:
    """a client sends 60,000 bytes, ends its stream, and reads only then"""
    data = lines(b"a", 60_000)
    with rounds(turn, SMALL) as server:
        client = server.connect()
        send(client, data)
        client.shutdown(SHUT_WR)
        server.run(30)
        expect_all(server, client, data)


CASES = (
    two_words,
    silence,
    one_is_silent,
    one_leaves,
    one_does_not_read,
    it_ends_its_stream_first,
)
