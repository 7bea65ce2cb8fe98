"""WebSocket echo, end to end: our epoll server, the peers' servers, and a floor under all of them.

100 clients, 64 bytes. With one message in flight each, a server does as many system calls as it
answers messages, and they are most of what it does. With 32, one read brings many frames, and what
counts is the work for each frame, and whether the answers leave in one write.

The floor is the smallest epoll loop, which parses nothing (loops.py), under an echo of 64 bytes.
Server and clients have a CPU each, Go's server too. The clients compare every byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from benchmarks.echo import SERVER, Address, Candidates, best_rates, loop, model
from benchmarks.peers import missing, peer

FLOOR = "floor: parses nothing"
OURS = {
    "ours, plain Python": "websocket",
    "ours, scanner, a call each": "websocket-scan",
    "ours, scanner, batch": "websocket-batch",
}
PEERS = ("picows", "aiohttp", "websockets", "Go")


@contextmanager
def running(name: str) -> Iterator[Address]:
    """A peer's server."""
    with peer(name, SERVER) as child:
        host, port = child.said["address"]
        yield host, port


def candidates() -> Candidates:
    """The floor, ours, and the peers that are here."""
    made: Candidates = {FLOOR: lambda: loop("bare")}

    def ours(app: str) -> AbstractContextManager[Address]:
        return model("epoll", app)

    for name, app in OURS.items():
        made[name] = lambda app=app: ours(app)  # type: ignore[misc]
    for name in PEERS:
        if not missing(name):
            made[name] = lambda name=name: running(name)  # type: ignore[misc]
    return made


def websocket_echo(in_flight: int, rounds: int = 6, seconds: float = 0.5) -> dict[str, float]:
    """Messages per second of each."""
    return best_rates(
        candidates(), rounds=rounds, seconds=seconds, in_flight=in_flight, app="websocket",
        floor=FLOOR,
    )  # fmt: skip
