"""Idle WebSockets: the bytes of user memory that each costs its server.

A fresh server; connections that come one by one, echo one message, and then say nothing. The figure
is the slope between 1,000 of them and 5,000: what a server costs before the first one falls out.

What is counted, and why so, is told in iomodels/measure/footprint.py. Go's figure holds the garbage
that Go has not collected, as it does in production; peers have their defaults.
"""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from benchmarks.peers import missing, peer
from iomodels.kernel import RESET_ON_CLOSE
from iomodels.measure.dialogues import websocket
from iomodels.measure.footprint import footprint
from iomodels.measure.limits import raise_soft_limit, sized
from iomodels.measure.progress import progress
from iomodels.measure.serving import Child, serving
from iomodels.views.style import number

FEW, MANY = 1_000, 5_000
RESOLUTION = resource.getpagesize() / (MANY - FEW)  # a process grows by whole pages
OURS = {"ours, plain Python": "websocket", "ours, scanner, batch": "websocket-batch"}
PEERS = ("picows", "aiohttp", "websockets", "Go", "Go, epoll")
TALK = websocket(64, 1)
REQUEST = TALK.requests[: len(TALK.requests) // TALK.messages]
REPLY = TALK.replies[: len(TALK.replies) // TALK.messages]


def words(size: float) -> str:
    """A figure, as far as it can be seen."""
    return number(round(size)) if size > RESOLUTION else "1 or less"


@contextmanager
def ours(app: str) -> Iterator[Child]:
    with serving("epoll", app) as server:
        yield server.child


def client(address: tuple[str, int]) -> socket.socket:
    """A WebSocket that has echoed one message."""
    sock = socket.create_connection(address, 10)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        sock.sendall(TALK.hello)
        heard = b""
        while not heard.endswith(b"\r\n\r\n"):
            heard += (more := sock.recv(1024))
            assert more, f"the hello was answered with {heard!r}"
        assert heard.startswith(TALK.welcome), heard
        sock.sendall(REQUEST)
        heard = b""
        while len(heard) < len(REPLY):
            heard += (more := sock.recv(1024))
            assert more, "it hung up"
        assert heard == REPLY, f"the echo of a message was {heard!r}"
    except BaseException:
        sock.close()
        raise
    return sock


def slope(running: Child, few: int, many: int, step: Callable[[float], None]) -> float:
    """Bytes per connection between so few and so many."""
    host, port = running.said["address"][:2]
    with ExitStack() as clients:
        bytes_at = {}
        for number in range(1, many + 1):
            clients.enter_context(client((host, port)))
            if number in (few, many):
                bytes_at[number] = footprint(running.process.pid).user
            if number % 100 == 0:
                step(number / many)
        return max(RESOLUTION, (bytes_at[many] - bytes_at[few]) / (many - few))


def idle() -> dict[str, float]:
    """Bytes per idle connection of each server that is here."""
    raise_soft_limit()
    many = sized(MANY).connections
    servers: dict[str, AbstractContextManager[Child]] = {
        name: ours(app) for name, app in OURS.items()
    }
    servers |= {name: peer(name) for name in PEERS if not missing(name)}
    found = {}
    with progress("Idle") as step:
        for place, (name, server) in enumerate(servers.items()):

            def tell(part: float, place: int = place, name: str = name) -> None:
                step((place + part) / len(servers), name)

            with server as running:
                found[name] = slope(running, many * FEW // MANY, many, tell)
    return found
