"""Unmask in place: take the mask off a payload where it lies, however many pieces it comes in.

    unmask(piece, key, phase=0) -> None

`piece` is a bytearray, or a writable memoryview of a part of one. Byte i of it is XORed with byte
(phase + i) mod 4 of the key, and the result stands where the byte stood. `phase` says how many
bytes of the payload have gone before. What lies beside the piece is not touched, and no more than
ROOM is allocated, however long the piece is.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

from iomodels.course.cases import Wrong, attempt

Unmask = Callable[..., Any]

KEY = bytes.fromhex("37fa213d")  # that of the examples in RFC 6455, section 5.7
ROOM = 256 * 1024  # bytes that may be allocated at once
LARGE = 1 << 20  # bytes of a large payload

SAME_NAME = (
    "returns None, and the buffer is as it was: to give the parameter another value changes a name,"
    " and not the memory that it stood for"
)


def xor(data: bytes, phase: int = 0, key: bytes = KEY) -> bytes:
    """The mask put on, or taken off: as a copy, which is the easy way."""
    pattern = key * (len(data) // 4 + 2)
    phase %= 4
    number = int.from_bytes(data) ^ int.from_bytes(pattern[phase : phase + len(data)])
    return number.to_bytes(len(data))


def expect(got: object, masked: bytes, now: bytes, phase: int = 0, key: bytes = KEY) -> None:
    """Raise Wrong, in words, unless `masked` has become what it should, and `now` is it."""
    if isinstance(got, Exception):
        raise Wrong(f"raises {got!r}")
    plain = xor(masked, phase, key)
    if now == plain:
        return
    size = len(masked)
    if now == masked and got is not None:
        raise Wrong(
            f"returns {type(got).__name__}, and the buffer is as it was: the result must go to"
            " where the payload is"
        )
    if now == masked and size > 3:  # a shorter one may be all rest
        raise Wrong(SAME_NAME)
    at = next(i for i in range(size) if now[i] != plain[i])
    which = f"byte {at:,} of {size:,}, counted from 0,"
    used = masked[at] ^ now[at]
    before = f": this piece begins at byte {phase:,} of the payload" if phase else ""
    if used == 0:
        rest = f": {size:,} is not a multiple of 4" if at >= size & ~3 else ""
        raise Wrong(f"{which} is still masked{rest}{before}")
    if used not in key:
        raise Wrong(f"{which} was changed, and not by an XOR with a byte of the key")
    raise Wrong(
        f"{which} was XORed with byte {key.index(used)} of the key, and it was the turn of byte"
        f" {(phase + at) % 4}{before}"
    )


def in_window(unmask: Unmask, plain: bytes, phase: int = 0, *, before: int = 6) -> None:
    """Unmask a payload in the middle of a window, and see what became of all of it."""
    masked = xor(plain, phase)
    left, right = b"<" * before, b">" * 9
    window = bytearray(left + masked + right)
    got = attempt(unmask, memoryview(window)[before : before + len(plain)], KEY, phase)
    stop = before + len(plain)
    for beside, was, where in (
        (window[:before], left, "before"),
        (window[stop:], right, "after"),
    ):
        if beside != was:
            raise Wrong(f"changes what stands {where} the payload in the same window")
    expect(got, masked, bytes(window[before:stop]), phase)


def in_pieces(unmask: Unmask, plain: bytes, cuts: tuple[int, ...]) -> None:
    """Unmask a payload that comes in pieces, cut at these places."""
    masked = xor(plain)
    for start, stop in zip((0, *cuts), (*cuts, len(plain)), strict=True):
        piece = bytearray(masked[start:stop])
        got = attempt(unmask, memoryview(piece), KEY, start)
        expect(got, masked[start:stop], bytes(piece), start)


def with_little_room(unmask: Unmask, size: int, phase: int = 0) -> None:
    """Unmask so many bytes, and see how much was allocated meanwhile."""
    masked = bytes(range(256)) * (size // 256) + bytes(size % 256)
    piece = bytearray(masked)
    tracemalloc.start()
    try:
        got = attempt(unmask, memoryview(piece), KEY, phase)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    expect(got, masked, bytes(piece), phase)
    if most > ROOM:
        raise Wrong(
            f"allocates {most / (1 << 20):.1f} MiB at once for a payload of"
            f" {size / (1 << 20):.4g} MiB, and {ROOM >> 10} KiB are allowed: go through it in"
            " parts, or in smaller ones"
        )


def five_bytes(unmask: Unmask) -> None:
    """5 bytes in a bytearray: the example of RFC 6455"""
    masked = bytes.fromhex("7f9f4d5158")
    payload = bytearray(masked)
    got = attempt(unmask, payload, KEY)
    expect(got, masked, bytes(payload))


def between_two_others(unmask: Unmask) -> None:
    """12 bytes in the middle of a window: what lies beside them stays as it is"""
    in_window(unmask, b"hello, world")


def three_pieces(unmask: Unmask) -> None:
    """a payload in pieces of 5, 2 and 6 bytes: the key goes on"""
    in_pieces(unmask, b"hello, again.", (5, 7))


def a_large_one(unmask: Unmask) -> None:
    """1 MiB, with room for 256 KiB"""
    with_little_room(unmask, LARGE)


CASES = (five_bytes, between_two_others, three_pieces, a_large_one)
