"""EOF or reset: a client that knows whether it has got everything.

    fetch(address, request) -> bytes

It connects, sends the request, says that no more follows, and reads to the end. The end of the
stream means that the answer is whole. A reset means that it is not: then `fetch` raises
`Incomplete`, which holds what had come. What keeps it from connecting at all is the caller's to
know. On every way out, the socket is closed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from socket import IPPROTO_TCP, TCP_INFO, socket
from typing import Any
from unittest.mock import patch

from iomodels.course.cases import Address, Wrong, attempt, reset, server, until, within

Fetch = Callable[[Address, bytes], bytes]

NO_SHUTDOWN = (
    "the server reads your request to its end, and you wait for the answer: say that no more"
    " follows, with `shutdown(SHUT_WR)`"
)
CLOSED = 7  # TCP_CLOSE, the state in the first byte of TCP_INFO (include/net/tcp_states.h)
NO_RETURN = "the server has sent its answer and closed, and your function has not returned"


def read_to_the_end(client: socket) -> bytes:
    """All that the client sends before it shuts down its sending direction."""
    parts = []
    try:
        while data := client.recv(1 << 16):
            parts.append(data)
    except TimeoutError:
        raise Wrong(NO_SHUTDOWN) from None
    return b"".join(parts)


def expect_answer(got: object, wanted: bytes) -> None:
    """Raise Wrong unless the function has returned this."""
    if isinstance(got, Exception):
        raise Wrong(f"the answer was whole, and your function raises {got!r}")
    if not isinstance(got, bytes) or len(got) != len(wanted):
        what = f"{len(got)} bytes" if isinstance(got, bytes) else repr(got)
        raise Wrong(f"the server has sent {len(wanted)} bytes, and your function returns {what}")
    if got != wanted:
        raise Wrong("returns the right number of bytes, and not those that were sent")


def expect_incomplete(got: object, Incomplete: Any, wanted: bytes) -> None:
    """Raise Wrong unless the function has raised Incomplete with this."""
    if not isinstance(got, Exception):
        raise Wrong(f"returns {got!r} as if it were whole; the connection was reset")
    if not isinstance(got, Incomplete):
        raise Wrong(f"raises {got!r}, where `Incomplete` should tell of the reset")
    if (data := getattr(got, "data", None)) != wanted:
        raise Wrong(f"`Incomplete` holds {data!r}; {wanted!r} had come before the reset")


def it_closes(fetch: Fetch, Incomplete: Any) -> None:
    """the server answers and closes"""

    def script(client: socket) -> None:
        client.recv(100)
        client.sendall(b"an answer")

    with within(2, NO_RETURN), server(script) as address:
        got = attempt(fetch, address, b"a request")
    expect_answer(got, b"an answer")


def it_reads_to_the_end(fetch: Fetch, Incomplete: Any) -> None:
    """the server reads the request to its end, and then answers"""

    def script(client: socket) -> None:
        client.sendall(b"you said: " + read_to_the_end(client))

    with within(2, NO_SHUTDOWN), server(script) as address:
        got = attempt(fetch, address, b"a request")
    expect_answer(got, b"you said: a request")


def it_resets(fetch: Fetch, Incomplete: Any) -> None:
    """the server resets the connection in the middle of its answer"""

    def script(client: socket) -> None:
        read_to_the_end(client)  # so that all is sent: a reset during the request is another case
        client.sendall(b"an ans")
        reset(client)

    with within(2, NO_RETURN), server(script) as address:
        got = attempt(fetch, address, b"a request")
    expect_incomplete(got, Incomplete, b"an ans")


def it_resets_early(fetch: Fetch, Incomplete: Any) -> None:
    """the server resets before you say that no more follows"""
    begun = threading.Event()

    def script(client: socket) -> None:
        client.recv(100)
        begun.wait(2)
        reset(client)

    def late(sock: socket, how: int) -> None:
        """`shutdown`, when the reset has come: without this it depends on who is quicker."""
        begun.set()
        until(lambda: sock.getsockopt(IPPROTO_TCP, TCP_INFO, 1)[0] == CLOSED, "no reset has come")
        shutdown(sock, how)

    shutdown = socket.shutdown
    with within(3, NO_RETURN), server(script) as address, patch.object(socket, "shutdown", late):
        got = attempt(fetch, address, b"a request")
    expect_incomplete(got, Incomplete, b"")


CASES = (it_closes, it_reads_to_the_end, it_resets, it_resets_early)
