"""A thread for each, up to a limit: an echo server that never has more clients than it can hold.

    serve(listener, limit) -> None

It accepts from `listener` and gives each client a thread, which sends back what the client sends.
While `limit` clients are there, a further one hears b"busy\\n", is closed at once, and gets no
thread. When a client ends its stream or resets, its place is free again. When the listener has been
shut down, `accept` raises OSError: then `serve` ends the conversations that still go on, waits for
its threads, and returns. The listener is the caller's; all else `serve` closes.
"""

from __future__ import annotations

import dis
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from socket import SHUT_RDWR, SHUT_WR, SO_RCVBUF, SO_SNDBUF, SOL_SOCKET, create_server, socket
from types import FrameType
from typing import Any

from iomodels.course.cases import Wrong, hear, playing, reset, within

Serve = Callable[[socket, int], None]
Call = Callable[[], socket]
Hook = Callable[[FrameType, str, Any], Any]

BUSY, WORD = b"busy\n", b"hello"  # of the same length: one read tells which it is
SMALL = 4096  # bytes of a buffer that is soon full; the kernel doubles it
WAITS = 1.0  # seconds that a client waits for what should come at once
# What a thread of Python does when it changes what others see, and not a local name.
STORES = {"STORE_ATTR", "STORE_DEREF", "STORE_GLOBAL", "STORE_SUBSCR"}

NO_ANSWER = "a client has sent a word, and nothing comes back"
TURNED_AWAY = (
    "a client is turned away, and there was place for it: not all that you count are clients that"
    " are here now"
)
TOO_LATE = (
    "a client beyond the limit waits for its b'busy\\n' until a new thread gets a CPU: decide, and"
    " count the client, before you start a thread; or more threads run than the limit allows"
)
NOT_OVER = (
    "the listener has been shut down, and `serve` does not return: a thread that sleeps in `recv`"
    " or `send` ends when its connection is shut down, with `shutdown(SHUT_RDWR)`; then join it"
)
KEPT_WAITING = (
    "one client is silent, and another one gets no answer: somebody waits for the silent one who"
    " should not, or holds a lock that the others need while waiting in `recv`"
)
NOT_ENDED = (
    "a client has ended its stream, and waits for your end of it: at `b''` close the connection"
)
NOT_FREE = (
    "the only client has left, and the next one still hears b'busy\\n': one that has gone takes no"
    " place, nor does one that was turned away"
)
NOT_FREE_AFTER_RESET = (
    "the only client has reset, and its place is not free again: `recv` raises ConnectionResetError"
    " in its thread, and what frees the place is left out; put it into a `finally`"
)
LOST = (
    "four clients left at the same moment, and fewer than four places are free: `count -= 1` reads"
    " first and writes later, and another thread may come between; change it under a lock, always"
)


# --- what a client does ---


def say(client: socket) -> bytes | None:
    """Send a word, and return what is heard then: it, or b"busy\\n", b"" for the end, or None."""
    with suppress(ConnectionError):  # the server may have said something before, and left
        client.sendall(WORD)
    return hear(client, len(WORD))


def is_over(client: socket) -> bool:
    """Whether the server ends the connection, in whatever way, or has done so."""
    while data := hear(client, 1 << 16):
        pass
    return data is not None


def leave(client: socket) -> None:
    """End the stream, wait for the server's end, close. Raises Wrong when that does not come."""
    client.shutdown(SHUT_WR)
    if not is_over(client):
        raise Wrong(NOT_ENDED)
    client.close()


def in_words(heard: bytes | None) -> str:
    """What a client hears, for a sentence."""
    return {None: "nothing", b"": "the end"}.get(heard, repr(heard))


def expect_served(client: socket, words: str = NO_ANSWER) -> None:
    """Raise Wrong, with these words when nothing comes back, unless a word does."""
    got = say(client)
    if got is None:
        raise Wrong(words)
    if got == BUSY:
        raise Wrong(TURNED_AWAY)
    if got != WORD:
        raise Wrong(f"a client has sent {WORD!r}, and hears {in_words(got)}")


def expect_busy(client: socket, limit: int) -> None:
    """Raise Wrong unless a client beyond the limit hears b"busy\\n", and then the end."""
    got = hear(client, len(WORD))
    if got is None and say(client) == WORD:
        raise Wrong(f"one more client is served while {limit} are there, and that is the limit")
    if got is None:
        raise Wrong(
            "a client beyond the limit is made to wait, and hears nothing: tell it at once that"
            " there is no place"
        )
    if got != BUSY:
        raise Wrong(f"a client beyond the limit hears {in_words(got)}, and not {BUSY!r}")
    if not is_over(client):
        raise Wrong(f"a client beyond the limit has heard {BUSY!r}, and no end: close its socket")


def comes(call: Call, words: str) -> socket:
    """A client that is served. Raises Wrong with these words when there is no place for it.

    It tries more than once: between the end of another client and its place there may be a moment.
    """
    give_up = time.monotonic() + WAITS
    while say(client := call()) != WORD:
        client.close()
        if time.monotonic() > give_up:
            raise Wrong(words)
        time.sleep(0.02)
    return client


# --- what the scheduler does ---


def ends_late(frame: FrameType, event: str, _: object) -> None:
    """A profile function (sys.setprofile): the thread is not scheduled just before its end."""
    if event == "return" and frame.f_code is threading.Thread.run.__code__:
        time.sleep(0.1)


def begins_late(moment: threading.Event) -> Hook:
    """A profile function: a thread is not scheduled before this moment."""

    def wait(*_: object) -> None:
        sys.setprofile(None)
        moment.wait(2 * WAITS)

    return wait


def others_between(frame: FrameType, event: str, _: object) -> Hook:
    """A trace function (sys.settrace): others are scheduled before a thread stores what it shares.

    `count -= 1` is several instructions of Python's machine, of which the last one stores.
    """
    frame.f_trace_lines, frame.f_trace_opcodes = False, True
    if event == "opcode" and dis.opname[frame.f_code.co_code[frame.f_lasti]] in STORES:
        time.sleep(0.05)
    return others_between


# --- the cases ---


def try_it(
    serve: Serve,
    limit: int,
    script: Callable[[Call], None],
    *,
    early: int = 0,
    buffers: int = 0,
    profile: Hook | None = None,
    trace: Hook | None = None,
    grace: float = 0.3,
) -> None:
    """Run the server here and the script beside it, then shut the listener down: all must end.

    The script gets a function that connects, and returns the client. `early` of them have
    connected before the server first looks. `buffers`: bytes of the server's sending and of the
    clients' receiving ends, 0 for the kernel's choice. The hooks are for all threads of the server.
    After `serve` has returned, a thread that has nothing left to do has `grace` seconds to end.
    """
    with create_server(("127.0.0.1", 0)) as listener, ExitStack() as opened:
        clients = list[socket]()
        if buffers:  # accepted sockets inherit it
            listener.setsockopt(SOL_SOCKET, SO_SNDBUF, buffers)

        def connect() -> socket:
            client = opened.enter_context(socket())
            client.settimeout(WAITS)
            if buffers:
                client.setsockopt(SOL_SOCKET, SO_RCVBUF, buffers)
            client.connect(listener.getsockname())
            clients.append(client)
            return client

        waiting = [connect() for _ in range(early)]

        def play() -> None:
            script(lambda: waiting.pop(0) if waiting else connect())
            stopped.set()
            with within(2, NOT_OVER):
                listener.shutdown(SHUT_RDWR)
                returned.wait()

        stopped, returned = threading.Event(), threading.Event()
        with playing(play):
            before = set(threading.enumerate())
            threading.setprofile(profile)
            threading.settrace(trace)
            try:
                serve(listener, limit)
            except OSError as error:
                if stopped.is_set():
                    words = f"{error}: the listener has been shut down, and `serve` is to end now"
                    raise OSError(words).with_traceback(error.__traceback__) from None
                raise
            finally:
                returned.set()
            if not stopped.is_set():
                raise Wrong("`serve` returns, though the listener has not been shut down")
            expect_ended(set(threading.enumerate()) - before, grace)
        if listener.fileno() < 0:
            raise Wrong("closes the listener, which is the caller's")
        if not all(is_over(client) for client in clients if client.fileno() >= 0):
            raise Wrong("`serve` has returned, and a client's connection is not closed")


def expect_ended(threads: Iterable[threading.Thread], grace: float) -> None:
    """Raise Wrong unless these threads have ended, or do so within so many seconds."""
    give_up = time.monotonic() + grace
    for thread in threads:
        thread.join(max(0, give_up - time.monotonic()))
    if running := sum(thread.is_alive() for thread in threads):
        raise Wrong(f"`serve` has returned, and of its threads {running} did not end: join them")


def one_client(serve: Serve) -> None:
    """a client sends a word, reads it, sends another, and leaves"""

    def script(call: Call) -> None:
        client = call()
        expect_served(client)
        expect_served(client, "the first word came back, and the second does not")
        leave(client)

    try_it(serve, 2, script)


def one_is_silent(serve: Serve) -> None:
    """one client is silent, and another one sends a word"""

    def script(call: Call) -> None:
        expect_served(call())
        client = call()
        expect_served(client, KEPT_WAITING)
        leave(client)

    try_it(serve, 2, script)


def two_too_many(serve: Serve) -> None:
    """there is place for two, and four come: the other two hear `busy` and the end"""

    def script(call: Call) -> None:
        two = [call(), call()]
        for client in two:
            expect_served(client, KEPT_WAITING)
        for _ in range(2):
            expect_busy(call(), 2)
        for client in two:
            expect_served(client, "two clients were turned away, and one of the others is no more")

    try_it(serve, 2, script)


def a_place_is_free_again(serve: Serve) -> None:
    """there is place for one; it leaves, and another one comes"""

    def script(call: Call) -> None:
        client = call()
        expect_served(client)
        expect_busy(call(), 1)
        leave(client)
        comes(call, NOT_FREE)

    try_it(serve, 1, script)


def one_resets(serve: Serve) -> None:
    """there is place for one; it resets, and another one comes"""

    def script(call: Call) -> None:
        client = call()
        expect_served(client)
        reset(client)
        comes(call, NOT_FREE_AFTER_RESET)

    try_it(serve, 1, script)


def the_scheduler_is_slow(serve: Serve) -> None:
    """six come at once, there is place for two, and new threads have to wait for a CPU"""
    there_is_time = threading.Event()

    def script(call: Call) -> None:
        six = [call() for _ in range(6)]
        try:
            for client in six[2:]:
                if hear(client, len(WORD)) is None:
                    raise Wrong(TOO_LATE)
        finally:
            there_is_time.set()
        for client in six[:2]:
            expect_served(client)

    try_it(serve, 2, script, early=6, profile=begins_late(there_is_time))


def all_leave_at_once(serve: Serve) -> None:
    """four clients leave at the same moment: there is place for four"""

    def script(call: Call) -> None:
        four = [call() for _ in range(4)]
        for client in four:
            expect_served(client)
        for client in four:
            client.shutdown(SHUT_WR)
        if not all(map(is_over, four)):
            raise Wrong(NOT_ENDED)
        for _ in range(4):
            comes(call, LOST)
        expect_busy(call(), 4)

    try_it(serve, 4, script, trace=others_between)


def it_ends_while_clients_are_silent(serve: Serve) -> None:
    """the listener is shut down while two clients are silent"""

    def script(call: Call) -> None:
        for _ in range(2):
            expect_served(call(), KEPT_WAITING)

    try_it(serve, 2, script, profile=ends_late, grace=0)


CASES = (
    one_client,
    one_is_silent,
    two_too_many,
    a_place_is_free_again,
    one_resets,
    the_scheduler_is_slow,
    all_leave_at_once,
    it_ends_while_clients_are_silent,
)
