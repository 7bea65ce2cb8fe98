"""What the tests share: apps that answer or write down, and clients that cut what they send."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest

from iomodels.websocket import (
    BINARY,
    END,
    TEXT,
    BatchApp,
    MessageApp,
    Request,
    WebSocket,
    reply,
)
from iomodels.websocket.masking import optional
from tests.websocket.rules import LIMIT, request

FAST = bool(optional("numba") and optional("numpy"))

# Name of a way to run, and the arguments of `serve`: the kind of app, and the scanner or not.
WAYS = {
    "readable, a call per message": (False, False),
    "readable, batches": (True, False),
    "scanner, a call per message": (False, True),
    "scanner, batches": (True, True),
}
every_way = pytest.mark.parametrize(
    "way",
    [
        pytest.param(
            way,
            id=name,
            marks=pytest.mark.skipif(way[1] and not FAST, reason="numba is not installed"),
        )
        for name, way in WAYS.items()
    ],
)


class Echo(MessageApp):
    """Sends messages back, and writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []

    def opened(self, fd: int, request: Request) -> None:
        self.events.append(("opened", fd))

    def message(self, fd: int, opcode: int, payload: memoryview) -> memoryview:
        self.events.append((opcode, bytes(payload)))
        return payload

    def closed(self, fd: int, code: int) -> None:
        self.events.append(("closed", fd, int(code)))


class BatchEcho(BatchApp):
    """The same, for batches."""

    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []

    def opened(self, fd: int, request: Request) -> None:
        self.events.append(("opened", fd))

    def batch(self, fd, window, rows):
        assert len(rows)
        for offset, length, opcode, fin in rows:
            assert fin == 1 and opcode in (TEXT, BINARY)
            self.events.append((int(opcode), bytes(window[offset : offset + length])))
        return reply(window, rows)

    def closed(self, fd: int, code: int) -> None:
        self.events.append(("closed", fd, int(code)))


class Client:
    """One connection to a WebSocket in memory, as a server would hold it."""

    def __init__(self, websocket: WebSocket, fd: int = 7, *, upgraded: bool = True) -> None:
        self.websocket, self.fd = websocket, fd
        self.ended = False
        # Bytes before and after what was read stand for other people's data.
        self.buffer = bytearray(b"\xa5" * (1 << 18))
        websocket.opened(fd)
        if upgraded:
            assert self.send(request()).startswith(b"HTTP/1.1 101 ")

    def send(self, data: bytes, cuts: Iterable[int] = ()) -> bytes:
        """Send `data`, cut at `cuts`; return what comes back, up to the end."""
        answers = []
        for piece in pieces(data, cuts):
            if self.ended:
                break
            at = len(data) % 9  # the window begins at any address
            window = memoryview(self.buffer)[at : at + len(piece)]
            window[:] = piece
            answer = self.websocket.received(self.fd, window)
            answers += [bytes(buffer) for buffer in answer]
            self.ended = bool(answer) and answer[-1] is END
            assert self.buffer[:at] == b"\xa5" * at
            after = at + len(piece)
            assert self.buffer[after : after + 16] == b"\xa5" * 16
            self.buffer[:after] = b"\xa5" * after
        return b"".join(answers)


def pieces(data: bytes, cuts: Iterable[int] = ()) -> Iterator[bytes]:
    """Cut `data` at the given places, and wherever a read of 128 KiB would end."""
    bounds = sorted({0, len(data), *range(0, len(data), 1 << 17), *cuts})
    return (data[a:b] for a, b in pairwise(bounds))


def serve(way: tuple[bool, bool], **options: object) -> WebSocket:
    """Return an echo with the limits of the rules."""
    batches, scanner = way
    app = BatchEcho() if batches else Echo()
    return WebSocket(app, scanner=scanner, **{"limit": LIMIT, **options})


def random_cuts(data: bytes, seed: int, count: int = 5) -> list[int]:
    """Return places to cut, most of them near the beginning, where the headers are."""
    chance = random.Random(seed)
    places = [int(len(data) * chance.random() ** 3) for _ in range(count)]
    return [place for place in places if 0 < place < len(data)]
