"""What the clients of a load say, and what they must hear: for each app, bytes against bytes.

A dialogue is a ring of messages. Every client goes round it, each from a place of its own, so a
byte that is lost, doubled, out of order, or sent to somebody else is not the byte expected.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

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


DIALOGUES: dict[str, Callable[[int, int], Dialogue]] = {"echo": echo}
