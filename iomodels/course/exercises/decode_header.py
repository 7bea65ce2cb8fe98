"""Decode a header: what a WebSocket frame is, or how many bytes are missing to say so.

    decode_header(view) -> Header | int

`view` begins with the first byte of a frame and ends where the read ended: inside the header,
inside the payload, or behind several frames. When the header is there whole, the function returns
it. When it is not, it returns how many more bytes it needs, as far as it can tell: of an empty view
2, of one byte 1, and then what the second byte says (RFC 6455, 5.2). A header that breaks a rule
raises ValueError as soon as the byte is there that breaks it: a reserved bit, a length that would
have fitted into a shorter form, a length of 8 bytes whose highest bit is set. The payload is not
copied.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import NamedTuple

from iomodels.course.cases import Wrong, attempt
from iomodels.websocket.frames import BINARY, TEXT, encode_header

KEY = bytes.fromhex("37fa213d")  # that of the examples in RFC 6455, 5.7


class Header(NamedTuple):
    """The header of a frame."""

    fin: bool
    opcode: int
    length: int  # bytes of payload
    key: bytes  # 4 bytes, or b"" in a frame that is not masked
    size: int  # bytes of the header itself, the key among them


DecodeHeader = Callable[[memoryview], Header | int]

NUMBERS = {2: "two", 4: "four", 8: "eight"}


def form(head: bytes) -> str:
    """Say what the second byte of a header says of the bytes behind it."""
    if len(head) < 2:
        return "the second byte is not there, and only that says how long the header is"
    length, masked = head[1] & 0x7F, head[1] >> 7
    more = {126: 2, 127: 8}.get(length)
    what = f"so {NUMBERS[more]} bytes follow" if more else "and no byte of length follows"
    return f"the length was {length}, {what}, " + (
        "and four of mask" if masked else "and no mask, for MASK is 0"
    )


def more_bytes(number: object) -> str:
    """In words: "1 more byte", "8 more bytes"."""
    return f"{number!r} more byte{'s' * (number != 1)}"


def expect_need(got: object, head: bytes, wanted: int) -> None:
    """Raise Wrong, in words, unless the function says that so many bytes are missing."""
    here = f"of the header `{head.hex(' ')}`" if head else "of an empty view"
    needs = f"it needs {more_bytes(wanted)}"
    if isinstance(got, Exception):
        raise Wrong(f"raises {got!r} {here}; {needs}: {form(head)}")
    if isinstance(got, bool) or not isinstance(got, int):
        raise Wrong(f"returns {got!r} {here}; {needs}: {form(head)}")
    if got != wanted:
        raise Wrong(f"your parser waited for {more_bytes(got)} {here}: {form(head)}")


def expect(got: object, head: bytes, wanted: Header) -> None:
    """Raise Wrong, in words, unless the function has returned this header."""
    here = f"`{head.hex(' ')}`"
    if isinstance(got, Exception):
        raise Wrong(f"raises {got!r} of {here}, which is a whole header")
    if isinstance(got, int):
        raise Wrong(
            f"your parser waited for {more_bytes(got)} of {here}: {form(head)}; all are there"
        )
    if not isinstance(got, tuple) or len(got) != len(wanted):
        raise Wrong(f"returns {got!r} of {here}, where a `Header` is asked for")
    fin, opcode, length, key, size = got
    if length != wanted.length:
        raise Wrong(
            f"says that the payload behind {here} has {length!r} bytes: {why(head, length)}"
        )
    if size != wanted.size:
        raise Wrong(f"says that {here} has {size!r} bytes, and it has {wanted.size}: {form(head)}")
    if key != wanted.key:
        about = "it is the last four bytes of the header, and b'' without MASK"
        raise Wrong(f"says that the key of {here} is {key!r}: {about}")
    if opcode != wanted.opcode:
        raise Wrong(f"says that the opcode of {here} is {opcode!r}: it is the low four bits")
    if fin != wanted.fin:
        about = "it is the highest bit of the first byte"
        raise Wrong(f"says that fin of {here} is {fin!r}: {about}")


def why(head: bytes, length: object) -> str:
    """Say what has been taken for the length."""
    more = {126: 2, 127: 8}.get(head[1] & 0x7F, 0)
    if length == head[1] != head[1] & 0x7F:
        return "the highest bit of the second byte is MASK, and no part of it"
    if more and length == int.from_bytes(head[2 : 2 + more], "little"):
        return "the bytes of the length come in network order, highest first"
    return form(head)


def expect_refusal(got: object, head: bytes, about: str) -> None:
    """Raise Wrong, in words, unless the function has raised ValueError."""
    here = f"of `{head.hex(' ')}`"
    if isinstance(got, Exception) and not isinstance(got, ValueError):
        raise Wrong(f"raises {got!r} {here}, and not ValueError; {about}")
    if isinstance(got, int):
        waits = f"waits for {more_bytes(got)} {here}"
        raise Wrong(f"{waits}, where ValueError should be raised: {about}")
    if not isinstance(got, ValueError):
        raise Wrong(f"returns {got!r} {here}, where ValueError should be raised: {about}")


def whole(decode_header: DecodeHeader, opcode: int, length: int, key: bytes) -> None:
    """Try a whole header with the beginning of its payload behind it."""
    head = encode_header(opcode, length, key)
    view = memoryview(head + bytes(min(length, 100)))
    wanted = Header(True, opcode, length, key, len(head))
    expect(attempt(decode_header, view), head, wanted)


def in_pieces(decode_header: DecodeHeader, length: int, key: bytes) -> None:
    """Try each beginning of a header."""
    head = encode_header(BINARY, length, key)
    for there in range(len(head)):
        wanted = 2 - there if there < 2 else len(head) - there
        expect_need(attempt(decode_header, memoryview(head)[:there]), head[:there], wanted)


def a_short_frame(decode_header: DecodeHeader) -> None:
    """a short frame from a client, and one from a server: RFC 6455, 5.7"""
    for key in (KEY, b""):
        whole(decode_header, TEXT, 5, key)


def sixteen_bits(decode_header: DecodeHeader) -> None:
    """300 bytes of payload: the length takes 2 bytes more"""
    for key in (KEY, b""):
        whole(decode_header, BINARY, 300, key)


def sixty_four_bits(decode_header: DecodeHeader) -> None:
    """70,000 bytes of payload: the length takes 8 bytes more"""
    for key in (KEY, b""):
        whole(decode_header, BINARY, 70_000, key)


def byte_by_byte(decode_header: DecodeHeader) -> None:
    """the header of a client's frame comes byte by byte"""
    for length in (5, 300, 70_000):
        in_pieces(decode_header, length, KEY)


def reserved(decode_header: DecodeHeader) -> None:
    """a reserved bit is set: ValueError"""
    for bit in (0x40, 0x20, 0x10):
        head = bytes([0x81 | bit, 0x85]) + KEY
        about = f"the first byte, {head[0]:#04x}, has a reserved bit set"
        expect_refusal(attempt(decode_header, memoryview(head)), head, about)


def not_the_shortest(decode_header: DecodeHeader) -> None:
    """5 bytes of payload, and the length in 2 bytes: ValueError"""
    head = bytes.fromhex("82fe0005") + KEY
    about = "5 fits into the 7 bits, and the shortest form must be taken"
    expect_refusal(attempt(decode_header, memoryview(head)), head, about)


def copied(decode_header: DecodeHeader, view: memoryview) -> int:
    """The most bytes that Python had allocated at once while the function ran."""
    tracemalloc.start()
    try:
        attempt(decode_header, view)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


CASES = (
    a_short_frame,
    sixteen_bits,
    sixty_four_bits,
    byte_by_byte,
    reserved,
    not_the_shortest,
)
