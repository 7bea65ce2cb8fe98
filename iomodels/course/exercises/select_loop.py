"""A select loop: an echo server for many clients that sleeps in one place only.

    serve(listener) -> None

It accepts from `listener` and sends back to each client what that client sends, in order. It sleeps
in `select.select` and nowhere else, and does not wake in vain. What `send` does not take is kept,
and sent when there is room; meanwhile nothing more is read from that client. A client that ends its
stream or resets is closed, and the others are served on. When the listener has been shut down,
`accept` raises OSError: then `serve` closes the connections, and returns. The listener is the
caller's.

The answer of `select` is a hint. In one case somebody else accepts the client between the answer
and what the learner's code makes of it (`Wakes.after_waking`).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from socket import SHUT_RDWR, SHUT_WR, SO_RCVBUF, SO_SNDBUF, SOL_SOCKET, create_server, socket
from threading import Event

from iomodels.course.cases import Wrong, hear, playing, reset, unread, until, within
from iomodels.course.wakes import Wakes
from iomodels.kernel.recording import queues_of

Serve = Callable[[socket], None]

WORD = b"hello"
SMALL = 4096  # bytes of a buffer that is soon full; the kernel doubles it
PIECE = 500  # bytes, that `send` takes whole or not at all
LOOKS = 200  # at a server that has been sent a piece, one in a millisecond
WAITS = 1.5  # seconds that a client waits for what should come at once

NO_ANSWER = "a client has sent a word, and nothing comes back"
CLOSED = (
    "your server has hung up on a client that had not left: the end is `b''` from `recv`, and"
    " BlockingIOError says only that there is nothing at this moment"
)
KEPT_WAITING = (
    "a client is silent, and another one gets no answer: your server sleeps in a call on the silent"
    " one, or leaves those who came later out of the lists for `select`"
)
DOES_NOT_READ = (
    "a client that does not read keeps another one waiting: make the sockets non-blocking, keep"
    " what `send` did not take, and wait for room in `select`"
)
NOT_ENDED = (
    "a client has ended its stream, and waits for your end of it: at `b''` take the socket off your"
    " lists, and close it"
)
ONE_LEFT = "one client has left, and another one gets no answer"
ONE_RESET = "one client has reset its connection, and another one gets no answer"
NOT_OVER = (
    "the listener has been shut down, and `serve` does not return: `accept` raises an OSError that"
    " is not BlockingIOError; then close all connections, and return"
)
TOO_SOON = "`serve` returns, though the listener has not been shut down"
ACCEPT_SLEEPS = (
    "somebody else has accepted the client of whom `select` told, and now your server sleeps in"
    " `accept`: readable is a hint; make the listener non-blocking too"
)
TAKEN_FOR_SHUT_DOWN = (
    f"{TOO_SOON}: somebody else has accepted the client of whom `select` told, so that `accept`"
    " raised BlockingIOError, which is an OSError too, and means: nobody is there at this moment"
)
SPINS = (
    "nothing happens, and your loop wakes again and again: a socket is nearly always writable;"
    " watch it for writing only as long as it is owed something, and let `select` sleep without a"
    " timeout"
)
OWED_SPINS = (
    "one client does not read what it is owed, nothing else happens, and your loop wakes again and"
    " again: that one is to be watched for writing alone, and the others for reading alone"
)
ELSEWHERE = "nothing happens, and your server is not asleep in `select.select`"

# What is added to an exception that comes out of `serve`: the kind, a word of it, and the words.
EXPLAINED = (
    (ValueError, "negative", "a closed socket is still in one of your lists: take it off first"),
    (OSError, "Bad file", "a closed number is still in one of your lists: take it off first"),
    (BlockingIOError, "", "readable and writable are hints; there is nothing now, so go on"),
    (ConnectionError, "", "that one client has gone; the others are to be served on"),
    (OSError, "Invalid", "the listener has been shut down, and that says it is over"),
)


@dataclass
class Stage:
    """What a script plays on: a listener, its clients, and what the learner's loop does."""

    listener: socket
    wakes: Wakes
    connect: Callable[[], socket]
    stopped: Event


# --- what a client does ---


def expect_answer(client: socket, words: str = NO_ANSWER) -> None:
    """Raise Wrong, with these words when nothing comes back, unless a word does."""
    with suppress(ConnectionError):
        client.sendall(WORD)
    got = hear(client, len(WORD))
    if got is None:
        raise Wrong(words)
    if not got:
        time.sleep(0.2)  # should `serve` have ended, its exception says more: let it be first
        raise Wrong(CLOSED)
    if got != WORD:
        raise Wrong(f"a client has sent {WORD!r}, and {got!r} comes back")


def leave(client: socket) -> None:
    """End the stream, wait for the server's end, close. Raises Wrong when that does not come."""
    client.shutdown(SHUT_WR)
    if hear(client, 1) is None:
        raise Wrong(NOT_ENDED)
    client.close()


def expect_all(slow: socket, data: bytes) -> None:
    """Raise Wrong unless the client, which reads at last, gets all of it."""
    expect_same(hear(slow, len(data)) or b"", data)


def expect_same(got: bytes, data: bytes) -> None:
    """Raise Wrong unless all that a client has sent has come back to it."""
    of = f"{len(got):,} of {len(data):,} bytes"
    if got != data[: len(got)]:
        raise Wrong(
            f"a client that is slow to read gets {of}, and not as it sent them, with bytes lost or"
            " out of order: what `send` did not take goes before anything that is read later"
        )
    if len(got) < len(data):
        raise Wrong(
            f"a client that is slow to read has got {of}, and no more comes: `send` returns how"
            " many bytes it took, and with BlockingIOError it took none; keep the others, and send"
            " them when there is room"
        )


def fill(stage: Stage, slow: socket, data: bytes) -> None:
    """Send piece by piece, each when the server sleeps again; when it reads no more, the rest.

    So `send` refuses a piece with EAGAIN first, and takes a part of the rest afterwards.
    """
    sent = looks = 0
    while looks < LOOKS and sent < len(data):
        count, looks = stage.wakes.count, 0
        slow.sendall(data[sent : sent + PIECE])
        sent += PIECE
        while looks < LOOKS and not (stage.wakes.count > count and stage.wakes.asleep):
            looks += 1
            time.sleep(0.001)
    slow.sendall(data[sent:])


def expect_sleep(wakes: Wakes, words: str) -> None:
    """Raise Wrong, with these words when it spins, unless the loop sleeps in `select`."""
    if wakes.in_vain():
        raise Wrong(words)
    until(lambda: wakes.asleep, ELSEWHERE)


# --- the cases ---


def try_it(
    serve: Serve,
    script: Callable[[Stage], None],
    *,
    early: int = 0,
    buffers: int = 0,
    too_soon: str = TOO_SOON,
) -> None:
    """Run the server here and the script beside it, then shut the listener down: it must return.

    `early` clients have connected before the server first looks. `buffers`: of the server's sending
    and the clients' receiving ends; 0: the kernel's choice. `too_soon`: what is wrong when the
    server returns before the script has ended.
    """
    with create_server(("127.0.0.1", 0)) as listener, ExitStack() as opened:
        if buffers:  # accepted sockets inherit it
            listener.setsockopt(SOL_SOCKET, SO_SNDBUF, buffers)

        def connect() -> socket:
            client = opened.enter_context(socket())
            if buffers:
                client.setsockopt(SOL_SOCKET, SO_RCVBUF, buffers)
            client.settimeout(WAITS)
            client.connect(listener.getsockname())
            return client

        waiting = [connect() for _ in range(early)]
        stage = Stage(
            listener,
            Wakes("select"),
            lambda: waiting.pop(0) if waiting else connect(),
            Event(),
        )

        def play() -> None:
            script(stage)
            stage.stopped.set()
            listener.shutdown(SHUT_RDWR)

        with playing(play), within(4.5, NOT_OVER):
            try:
                with stage.wakes:
                    serve(listener)
            except (OSError, ValueError) as error:
                raise explained(error).with_traceback(error.__traceback__) from None
            if not stage.stopped.is_set():
                raise Wrong(too_soon)
        if listener.fileno() < 0:
            raise Wrong("closes the listener, which is the caller's")


def explained(error: OSError | ValueError) -> OSError | ValueError:
    """The same exception, with words on what it means in a loop like this."""
    for kind, word, why in EXPLAINED:
        if isinstance(error, kind) and word in str(error):
            return type(error)(f"{error}: {why}")
    return error


def one_client(serve: Serve) -> None:
    """a client sends a word, reads it, sends another, and leaves"""

    def script(stage: Stage) -> None:
        client = stage.connect()
        expect_answer(client)
        expect_answer(client, "the first word came back, and the second does not")
        leave(client)

    try_it(serve, script)


def one_is_silent(serve: Serve) -> None:
    """three have connected before your loop first looks, and the first is silent"""

    def script(stage: Stage) -> None:
        _, *others = (stage.connect() for _ in range(3))
        for client in others:
            expect_answer(client, KEPT_WAITING)
        expect_answer(stage.connect(), KEPT_WAITING)

    try_it(serve, script, early=3)


def nobody_says_anything(serve: Serve) -> None:
    """two clients have their answers, and say nothing more: the loop sleeps"""

    def script(stage: Stage) -> None:
        for client in (stage.connect(), stage.connect()):
            expect_answer(client, KEPT_WAITING)
        expect_sleep(stage.wakes, SPINS)

    try_it(serve, script)


def one_does_not_read(serve: Serve) -> None:
    """a client sends 60,000 bytes and does not read yet; another one sends a word"""
    data = random.Random(7).randbytes(60_000)  # all of it fits into the server's receive buffer

    def script(stage: Stage) -> None:
        slow, other = stage.connect(), stage.connect()
        fill(stage, slow, data)
        until(lambda: unread(slow) > 0, "a client has sent 60,000 bytes, and nothing comes back")
        expect_answer(other, DOES_NOT_READ)
        expect_sleep(stage.wakes, OWED_SPINS)
        expect_all(slow, data)
        expect_answer(slow)

    try_it(serve, script, buffers=SMALL)


def some_leave(serve: Serve) -> None:
    """one leaves, one resets, one stays, and one comes"""

    def script(stage: Stage) -> None:
        ann, bob, cem = (stage.connect() for _ in range(3))
        for client in (ann, bob, cem):
            expect_answer(client, KEPT_WAITING)
        leave(ann)
        expect_answer(cem, ONE_LEFT)
        reset(bob)
        expect_answer(cem, ONE_RESET)
        expect_answer(stage.connect(), ONE_LEFT)

    try_it(serve, script)


def somebody_is_quicker(serve: Serve) -> None:
    """a client knocks, and somebody else accepts it just before your server does"""

    def script(stage: Stage) -> None:
        accepted = list[socket]()

        def accept_first() -> None:  # in the learner's thread, when `select` has returned
            queues = queues_of(stage.listener.fileno())
            if queues and queues.waiting and not accepted:
                accepted.append(stage.listener.accept()[0])

        client = stage.connect()
        expect_answer(client)
        until(lambda: stage.wakes.asleep, ELSEWHERE)
        stage.wakes.after_waking = accept_first
        stage.connect()
        until(lambda: bool(accepted), "a client knocks, and `select` does not watch the listener")
        expect_answer(client, ACCEPT_SLEEPS)
        expect_answer(stage.connect(), ACCEPT_SLEEPS)
        accepted[0].close()

    try_it(serve, script, too_soon=TAKEN_FOR_SHUT_DOWN)


CASES = (
    one_client,
    one_is_silent,
    nobody_says_anything,
    one_does_not_read,
    some_leave,
    somebody_is_quicker,
)
