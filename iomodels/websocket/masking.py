"""Masking (RFC 6455, section 5.3): every byte a client sends is XORed with one of four.

The mask hides nothing, for it is sent along. It is there so that a page in a browser cannot choose
the bytes on the wire, and so cannot make a proxy between take them for an HTTP request.

Doing it again undoes it. Byte i of the payload goes with byte i mod 4 of the key, wherever the
payload lies in memory and in however many pieces it arrives: `phase` says how much of it has gone
before. A loop over bytes costs Python 30 ns a byte. So the bytes are made into one number, which
is XORed at once; from 256 bytes on, numpy does better still, where there is numpy: it needs no
copy. The batch scanner has a way of its own (scan.py).
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from sys import byteorder
from typing import Any, Final

Buffer = bytes | bytearray | memoryview
from_bytes = int.from_bytes

LARGE: Final = 256  # bytes from which numpy is quicker; it takes 0.7 µs to get going
HUGE: Final = 32 * 1024  # bytes from which it pays to find out where words begin, for 3 µs
CHUNK: Final = 16 * 1024  # bytes that one number holds; longer ones fall out of the cache


def unmask(payload: memoryview, key: Buffer, phase: int = 0) -> None:
    """XOR `payload` in place with the 4-byte `key`, beginning with the key's byte `phase` mod 4."""
    size = len(payload)
    phase &= 3
    if size >= LARGE:
        if numpy := optional("numpy"):
            key = bytes(key[phase:]) + bytes(key[:phase])
            if size >= HUGE:
                return unmask_words(numpy, payload, key)
            words = numpy.frombuffer(payload, numpy.uint32, size // 4)
            words ^= from_bytes(key, byteorder)
            if size & 3:
                unmask(payload[size & ~3 :], key)
            return
        if size > CHUNK:
            for start in range(0, size, CHUNK):
                unmask(payload[start : start + CHUNK], key, phase)
            return
    pattern = bytes(key) * (size // 4 + 2)
    number = from_bytes(payload, "little") ^ from_bytes(pattern[phase : phase + size], "little")
    payload[:] = number.to_bytes(size, "little")


def unmask_words(numpy: Any, payload: memoryview, key: bytes) -> None:
    """Do it in words of 8 bytes, of which the first begins where 8 divides the address.

    numpy takes words that begin anywhere, but at a quarter of the speed.
    """
    array = numpy.frombuffer(payload, numpy.uint8)
    first = -array.__array_interface__["data"][0] & 7
    last = first + (len(payload) - first & ~7)
    words = array[first:last].view(numpy.uint64)
    words ^= numpy.uint64(from_bytes((key * 3)[first & 3 :][:8], byteorder))
    for start, stop in ((0, first), (last, len(payload))):
        if start < stop:
            unmask(payload[start:stop], key, start)


@cache
def optional(name: str) -> Any:
    """Return a module, imported when it is first asked for; None when it is not installed."""
    try:
        return import_module(name)
    except ImportError:
        return None
