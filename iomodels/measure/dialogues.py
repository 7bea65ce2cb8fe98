"""What the clients of a load say, and what they must hear: for each app, bytes against bytes.

A dialogue is a ring of messages. Every client goes round it, each from a place of its own, so a
byte that is lost, doubled, out of order, or sent to somebody else is not the byte expected.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from iomodels.websocket import BINARY, encode

RING = 64 * 1024  # bytes that a ring has at least


@dataclass(frozen=True)
class Dialogue:
    """`messages` requests of equal size one after the other, and the reply to each."""

    messages: int
    requests: bytes
    replies: bytes
    hello: bytes = b""  # what a client sends first, and
    welcome: bytes = b""  # how what it hears then must begin; it ends with an empty line


def echo(size: int, in_flight: int) -> Dialogue:
    """Random bytes, and the same bytes back."""
    messages = max(2 * in_flight, RING // size)
    data = random.Random(size).randbytes(messages * size)
    return Dialogue(messages, data, data)


def websocket(size: int, in_flight: int) -> Dialogue:
    """Binary messages of `size` bytes, each with a mask of its own, and the same without."""
    messages = max(2 * in_flight, RING // size)
    chance = random.Random(size)
    payloads = [chance.randbytes(size) for _ in range(messages)]
    return Dialogue(
        messages,
        b"".join(encode(BINARY, payload, chance.randbytes(4)) for payload in payloads),
        b"".join(encode(BINARY, payload) for payload in payloads),
        hello=UPGRADE,
        welcome=b"HTTP/1.1 101 ",
    )


UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

DIALOGUES: dict[str, Callable[[int, int], Dialogue]] = {
    "echo": echo,
    "websocket": websocket,
    "websocket-scan": websocket,
    "websocket-batch": websocket,
}
