"""Drain: an echo on an edge-triggered epoll, in which nothing is left behind, in or out.

    serve(listener, clients) -> None

It accepts from `listener`, sends back to each client what that client sends, and returns when so
many clients have come and gone. Listener and connections are watched with EPOLLET: an event comes
once. So it accepts until EAGAIN, reads until EAGAIN or the end, keeps what `send` did not take, and
goes on with that when there is room. While there is nothing to do, it sleeps. A client that ends
its stream gets what it is owed, and then the end. No client keeps another one waiting. The listener
is the caller's; all else `serve` closes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from select import EPOLLET
from socket import SHUT_WR, SO_RCVBUF, SO_SNDBUF, SOL_SOCKET, create_server, socket
from termios import TIOCOUTQ

from iomodels.course.cases import Wrong, playing, unread, until, within
from iomodels.course.wakes import Wakes
from iomodels.kernel.descriptors import descriptors
from iomodels.kernel.recording import count, queues_of

Serve = Callable[[socket, int], None]

SMALL = 4096  # bytes of a buffer that is soon full; the kernel doubles it
WAITS = 2.0  # seconds that a client waits for its answer
NOT_OVER = "all clients have got all that they were owed and the end, and `serve` does not return"
NOT_CLOSED = (
    "the client has ended its stream, has got back all that it sent, and waits for your end of it:"
    " `recv` says `b''`, once you ask; read until EAGAIN or `b''`, and at `b''` close"
)
CLOSED = (
    "your server has closed the connection of a client that had not finished: EAGAIN means that"
    " nothing is there now; the end is `b''`"
)
KEPT_WAITING = (
    "a client that does not read keeps another one waiting: when `send` says EAGAIN, keep the rest,"
    " and go on with the others until EPOLLOUT comes"
)
LEVEL = (
    "is watched without EPOLLET: the kernel goes on telling you of it, which hides what is not"
    " drained"
)
SPINS = (
    "a client is there and silent, and your loop wakes again and again: let `epoll.poll` sleep"
    " without a timeout; with EPOLLET it is no matter that EPOLLOUT is asked for"
)


@contextmanager
def clients(many: int, buffers: int = 0) -> Iterator[tuple[socket, list[socket]]]:
    """A listener, and so many clients that have connected before anybody accepts.

    `buffers`: of the server's sending and of the clients' receiving ends; 0: the kernel's choice.
    """
    with ExitStack() as opened:
        listener = opened.enter_context(create_server(("127.0.0.1", 0)))
        if buffers:  # accepted sockets inherit it
            listener.setsockopt(SOL_SOCKET, SO_SNDBUF, buffers)
        connected = []
        for _ in range(many):
            client = opened.enter_context(socket())
            if buffers:
                client.setsockopt(SOL_SOCKET, SO_RCVBUF, buffers)
            client.settimeout(WAITS)
            client.connect(listener.getsockname())
            connected.append(client)
        yield listener, connected


def send(client: socket, data: bytes, *, end: bool = False) -> None:
    """Send it, and wait until all has arrived in the server's receive buffer."""
    client.sendall(data)
    if end:
        client.shutdown(SHUT_WR)
    give_up = time.monotonic() + WAITS
    while count(client.fileno(), TIOCOUTQ) and time.monotonic() < give_up:
        time.sleep(0.001)


def answer(client: socket, size: int) -> bytes:
    """What comes back: so many bytes, or fewer when the stream ends or nothing comes any more."""
    got = b""
    try:
        while len(got) < size and (data := client.recv(size - len(got))):
            got += data
    except (TimeoutError, ConnectionResetError):
        pass
    return got


def is_over(client: socket, seconds: float = WAITS) -> bool:
    """Whether the server has ended the connection, or does so within some time."""
    client.settimeout(seconds)
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True
    except (TimeoutError, BlockingIOError):
        return False
    finally:
        client.settimeout(WAITS)


def expect_word(client: socket, word: bytes, words: str) -> None:
    """Raise Wrong, with these words when nothing else is known, unless a word comes back."""
    try:
        send(client, word)
        got = answer(client, len(word))
    except (BrokenPipeError, ConnectionResetError):
        raise Wrong(CLOSED) from None
    if got != word:
        raise Wrong(CLOSED if is_over(client, 0) else words)


def expect_accepted(listener: socket, many: int) -> None:
    """Raise Wrong when clients are left in the accept queue."""
    queues = queues_of(listener.fileno())
    if queues and queues.waiting:
        raise Wrong(
            f"of {many} clients, {queues.waiting} still in the accept queue: the listener's event"
            " came once, for all of them; accept until EAGAIN"
        )


def leave(client: socket) -> None:
    """End the stream, and wait for the server's end. Raises Wrong when that does not come."""
    client.shutdown(SHUT_WR)
    if not is_over(client):
        raise Wrong(NOT_CLOSED)
    client.close()


def two_messages(serve: Serve) -> None:
    """a client sends a word, reads it, and sends another"""

    def script(client: socket) -> None:
        expect_word(client, b"hello", "the client has sent a word, and it does not come back")
        expect_word(client, b"again", "the first word came back, and the second does not")
        leave(client)

    with clients(1) as (listener, [client]), playing(script, client), within(4, NOT_OVER):
        serve(listener, 1)


def watched_and_silent(serve: Serve) -> None:
    """a client is connected and says nothing"""
    wakes = Wakes("epoll.poll")
    before = {descriptor.fd for descriptor in descriptors()}

    def interest() -> dict[int, int]:
        """What the epolls of `serve` watch: descriptor and events."""
        epolls = [each for each in descriptors() if each.fd not in before and each.interest]
        return dict(entry for epoll in epolls for entry in epoll.interest)

    def script(listener: socket, client: socket) -> None:
        expect_word(client, b"hello", "the client has sent a word, and it does not come back")
        until(
            lambda: listener.fileno() in interest() and len(interest()) > 1,
            "the listener and the connection are not both on the interest list of an epoll",
        )
        for fd, events in interest().items():
            if not events & EPOLLET:
                what = "the listener" if fd == listener.fileno() else "the connection"
                raise Wrong(f"{what} {LEVEL}")
        if wakes.in_vain():
            raise Wrong(SPINS)
        leave(client)

    with (
        clients(1) as (listener, [client]),
        playing(script, listener, client),
        within(4, NOT_OVER),
        wakes,
    ):
        serve(listener, 1)


def more_than_one_read_takes(serve: Serve) -> None:
    """30,000 bytes have come before your loop first looks"""
    data = random.Random(7).randbytes(30_000)

    def script(client: socket) -> None:
        got = answer(client, len(data))
        if got != data[: len(got)]:
            raise Wrong("what comes back is not what the client has sent")
        if len(got) < len(data):
            raise Wrong(
                f"the client has sent 30,000 bytes, got back {len(got):,}, and waits for the rest:"
                " they came as one event, and it does not come again; read until EAGAIN"
            )
        leave(client)

    with clients(1) as (listener, [client]):
        send(client, data)
        with playing(script, client), within(4, NOT_OVER):
            serve(listener, 1)


def the_end_comes_along(serve: Serve) -> None:
    """the last words and the end of the stream come as one event"""
    words = b"last words"

    def script(client: socket) -> None:
        got = answer(client, len(words))
        if got != words:
            raise Wrong(
                f"the client has sent {words!r}, ended its stream, and got back {got!r}: EPOLLRDHUP"
                " says that no more will come; what has come is still to be read, and answered"
            )
        if not is_over(client):
            raise Wrong(NOT_CLOSED)

    with clients(1) as (listener, [client]):
        send(client, words, end=True)
        with playing(script, client), within(4, NOT_OVER):
            serve(listener, 1)


def three_clients(serve: Serve) -> None:
    """three clients have connected before your loop first looks"""

    def script(listener: socket, three: list[socket]) -> None:
        for number, client in enumerate(three, 1):
            send(client, b"hello")
            if answer(client, 5) == b"hello":
                continue
            expect_accepted(listener, 3)
            if is_over(client, 0):
                raise Wrong(CLOSED)
            raise Wrong(
                f"client {number} was accepted, has sent a word, and waits for its answer: does"
                " your loop sleep on another client? The accepted sockets must be non-blocking too"
            )
        for client in three:
            leave(client)

    with clients(3) as (listener, three), playing(script, listener, three), within(4, NOT_OVER):
        serve(listener, 3)


def one_does_not_read(serve: Serve) -> None:
    """a client sends 60,000 bytes and does not read; another one sends a word"""
    data = random.Random(7).randbytes(60_000)  # all of it fits into the server's receive buffer

    def script(listener: socket, slow: socket, other: socket) -> None:
        until(lambda: unread(slow) > 0, "the first client has sent 60,000 bytes, and gets nothing")
        other.sendall(b"hi")
        if answer(other, 2) != b"hi":
            expect_accepted(listener, 2)
            raise Wrong(CLOSED if is_over(other, 0) else KEPT_WAITING)
        leave(other)
        expect_all(slow, data)

    with clients(2, SMALL) as (listener, [slow, other]):
        send(slow, data, end=True)
        with playing(script, listener, slow, other), within(4.5, NOT_OVER):
            serve(listener, 2)


def expect_all(slow: socket, data: bytes) -> None:
    """Raise Wrong unless the client, which reads at last, gets all, and then the end."""
    got = answer(slow, len(data))
    sent, came = f"{len(data):,}", f"{len(got):,}"
    if got != data[: len(got)]:
        raise Wrong(
            f"what comes back is not what was sent, {came} of {sent} bytes: what `send` did not"
            " take must go before anything else; it returns how many it took, `sendall` does not"
        )
    if len(got) == len(data) and is_over(slow):
        return
    if len(got) == len(data):
        raise Wrong(NOT_CLOSED)
    if is_over(slow, 0):
        raise Wrong(
            f"the client has sent {sent} bytes and ended its stream; it got back {came}, and then"
            " the end: what `send` did not take is still owed, also to a client that sends no more"
        )
    raise Wrong(
        f"the client has sent {sent} bytes, got back {came}, and now reads in vain: read until"
        " EAGAIN, and for what `send` did not take ask for EPOLLOUT"
    )


CASES = (
    two_messages,
    watched_and_silent,
    more_than_one_read_takes,
    the_end_comes_along,
    three_clients,
    one_does_not_read,
)
