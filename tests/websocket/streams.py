"""Streams of frames by chance: what a client might send, and what it must not."""

from __future__ import annotations

import random

from tests.websocket.rules import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MUST_NOT_BE_SENT,
    NOT_UTF8,
    PING,
    PONG,
    TEXT,
    closing,
    frame,
)

SIZES = (0, 1, 2, 3, 4, 7, 8, 9, 16, 60, 124, 125, 126, 127, 128, 255, 256, 257, 1000)
LARGE = (4096, 65535, 65536, 65537, 131_072)
LETTERS = "abc xyz äöü κόσμε 日本語 😀 \x00\x7f\u07ff\u0800\uffff\U0010ffff"
GOOD_CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 4999)


def mask(rng: random.Random) -> bytes:
    """Return a mask; now and then one that shows what it hides."""
    return b"\0\0\0\0" if rng.random() < 0.1 else rng.randbytes(4)


def payload(rng: random.Random, opcode: int) -> bytes:
    """Return a payload; for TEXT it is UTF-8."""
    size = rng.choice(LARGE) if rng.random() < 0.02 else rng.choice(SIZES)
    if opcode != TEXT:
        return rng.randbytes(size)
    if rng.random() < 0.5:
        return b"x" * size
    return "".join(rng.choice(LETTERS) for _ in range(size)).encode()


def control(rng: random.Random) -> bytes:
    """Return a ping or a pong."""
    return frame(
        rng.choice((PING, PONG)), rng.randbytes(rng.choice((0, 1, 4, 125))), mask=mask(rng)
    )


def message(rng: random.Random) -> bytes:
    """Return a message in one frame or more, cut anywhere, with control frames in between."""
    opcode = rng.choice((TEXT, BINARY))
    data = payload(rng, opcode)
    if rng.random() < 0.6:
        return frame(opcode, data, mask=mask(rng))
    cuts = sorted(rng.randint(0, len(data)) for _ in range(rng.randint(1, 4)))
    parts = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    frames = []
    for i, part in enumerate(parts):
        fin = i == len(parts) - 1
        frames.append(frame(CONTINUATION if i else opcode, part, fin=fin, mask=mask(rng)))
        if not fin and rng.random() < 0.3:
            frames.append(control(rng))
    return b"".join(frames)


def ending(rng: random.Random) -> bytes:
    """Return what ends a connection: a Close frame, or one of many mistakes."""
    good, bad = rng.choice(NOT_UTF8)
    return rng.choice(
        (
            lambda: frame(CLOSE, mask=mask(rng)),
            lambda: frame(CLOSE, closing(rng.choice(GOOD_CODES), b"bye"), mask=mask(rng)),
            lambda: frame(CLOSE, closing(rng.choice(MUST_NOT_BE_SENT)), mask=mask(rng)),
            lambda: frame(CLOSE, b"\x03", mask=mask(rng)),
            lambda: frame(CLOSE, closing(1000, good + bad), mask=mask(rng)),
            lambda: frame(TEXT, good + bad + b"!", mask=mask(rng)),
            lambda: frame(TEXT, b"x", mask=None),
            lambda: frame(rng.choice((3, 4, 5, 6, 7, 11, 12, 13, 14, 15)), b"x"),
            lambda: frame(rng.choice((TEXT, PING)), b"x", reserved=rng.choice((16, 32, 64))),
            lambda: frame(PING, b"x", fin=False),
            lambda: frame(rng.choice((PING, PONG, CLOSE)), b"x" * 126),
            lambda: frame(CONTINUATION, b"x", fin=rng.random() < 0.5),
            lambda: frame(TEXT, b"x", fin=False) + frame(BINARY, b"y"),
        )
    )()


def stream(rng: random.Random) -> bytes:
    """Return messages and control frames, and in one case of two something that ends them."""
    parts = [
        message(rng) if rng.random() < 0.8 else control(rng) for _ in range(rng.randint(0, 12))
    ]
    if rng.random() < 0.5:
        parts += [ending(rng), message(rng)]
    return b"".join(parts)


def cuts(rng: random.Random, data: bytes) -> list[int]:
    """Return places to cut: none, every byte, or some, more of them near the beginning."""
    how = rng.random()
    if how < 0.2 or not data:
        return []
    if how < 0.3 and len(data) < 3000:
        return list(range(1, len(data)))
    power = rng.choice((1, 3))
    return [int(len(data) * rng.random() ** power) for _ in range(rng.randint(1, 20))]
