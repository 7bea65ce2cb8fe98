"""Clients that come in crowds, and leave as they like, against every server.

Afterwards a server has no more fds open than before, and serves the next one.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections import Counter
from collections.abc import Callable

import pytest

from benchmarks.hostile import burst, churn
from iomodels.servers import MODELS
from tests.limits import many_descriptors
from tests.servers.harness import Running, comes_back_to, connect, receive, running
from tests.servers.test_hostile import MANY, WELCOME, at_rest, upgraded
from tests.websocket.rules import (
    CLOSE,
    ECHOED,
    HELLO,
    TEXT,
    closing,
    frame,
    request,
    sent,
)

MIB = 1 << 20

# --- resets ---


def having_sent(data: bytes, answer: bytes = b"") -> Callable[[Running], socket.socket]:
    """A client that has sent something after the upgrade, and heard the answer."""

    def client(server: Running) -> socket.socket:
        sock = upgraded(server)
        sock.sendall(data)
        assert receive(sock, len(answer)) == answer
        return sock

    return client


def in_the_request(server: Running) -> socket.socket:
    sock = connect(server)
    sock.sendall(request()[:60])
    return sock


def while_it_does_not_read(server: Running) -> socket.socket:
    sock = upgraded(server, buffer=4096)
    sock.settimeout(0.05)
    with contextlib.suppress(TimeoutError):
        while True:
            sock.send(MANY)
    return sock


GOODBYE = sent(CLOSE, closing(1000))
STATES: dict[str, Callable[[Running], socket.socket]] = {
    "before a byte": connect,
    "in the request": in_the_request,
    "after the upgrade": having_sent(b""),
    "inside a header": having_sent(HELLO[:3]),
    "inside a payload": having_sent(HELLO[:8]),
    "inside a long payload": having_sent(frame(TEXT, b"x" * 300)[:200]),
    "between fragments": having_sent(frame(TEXT, b"Hel", fin=False)),
    "before it reads the answer": having_sent(HELLO * 100),
    "after our Close": having_sent(frame(TEXT, b"close"), GOODBYE),
    "after both have said goodbye": having_sent(frame(CLOSE, closing(1000)), GOODBYE),
}


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("model", MODELS)
def test_resets_in_every_state_leave_nothing_behind(model: str) -> None:
    with running(model, app="unruly") as server, contextlib.ExitStack() as stack:
        fds = at_rest(server)
        other = None if model == "blocking" else stack.enter_context(upgraded(server))
        for state in STATES.values():
            for _ in range(10):
                reset(state(server))
            if other:
                other.sendall(HELLO)
                assert receive(other, len(ECHOED)) == ECHOED
        for _ in range(2):
            reset(while_it_does_not_read(server))
        stack.close()
        assert comes_back_to(server.pid, fds)
        assert at_rest(server) == fds


# --- too many at once ---


@pytest.mark.parametrize("model", MODELS)
def test_a_burst_into_a_small_queue_is_served_in_the_end(model: str) -> None:
    """Who does not fit into the queue asks again, after 1 s, 3 s, 7 s: the kernel does that for it.

    Each time a queueful gets in at least, so all have after 7 s.
    """
    with running(model, app="websocket", backlog=16) as server:
        fds = at_rest(server)
        became = burst(server.address, 60, within=20)
        assert became == Counter(served=60)
        assert comes_back_to(server.pid, fds)
        assert at_rest(server) == fds


@pytest.mark.parametrize("model", MODELS)
def test_out_of_descriptors_others_get_in_as_some_leave(model: str) -> None:
    """A hundred connect to a server with room for thirty. Nobody is lost, nothing is mixed up."""
    with running(model, app="websocket", limit=40) as server, contextlib.ExitStack() as stack:
        fds = at_rest(server)
        clients = [stack.enter_context(connect(server)) for _ in range(100)]
        for number, client in enumerate(clients):
            client.sendall(request() + frame(TEXT, b"%3d" % number))
        for number, client in enumerate(clients):  # who is in holds its place until it is its turn
            whole = WELCOME + sent(TEXT, b"%3d" % number)
            assert receive(client, len(whole)) == whole
            client.close()
        assert comes_back_to(server.pid, fds)


@many_descriptors
def test_churn_costs_the_others_nothing() -> None:
    """Clients that are killed at a random moment, hundreds at a time; benchmarks/hostile.py has
    the thousands."""
    with running("epoll", app="websocket") as server:
        result = churn(server.address, server.pid, 300, 3.0, warm_up=1.0, connections=20)
    assert result.lives > 500
    assert result.honest_messages > 100 and result.honest_lost == 0
    assert result.fds[0] == result.fds[1]
    assert result.bytes[1] - result.bytes[0] < MIB
