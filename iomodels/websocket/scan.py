"""The batch scanner: all frames of a window in one pass, compiled by numba.

It gives the same rows as the readable parser (parser.py), into an array that was there before, and
unmasks each payload where it lies. Nothing is allocated, per frame or per call. numba compiles the
functions below to machine code; with NUMBA_DISABLE_JIT=1 the same lines run as plain Python.

It knows only what is right. At the first frame that is wrong or not whole it stops, and leaves it
as it was for the readable decoder, which knows what to say about it. So each rule's words stand in
one place.

What makes it quick:
- A payload is XORed in words of 8 bytes, through a second array over the same memory. Such an
  array must begin at an address that 8 divides, and payloads begin anywhere. So the first bytes of
  a payload, up to such an address, go one by one, and the key is rotated by as many.
- The bounds of that loop are unsigned. With signed ones the compiler must provide for an index
  below 0, which Python counts from the end, and gives up on wide registers: 14 GB/s, not 50.
- Whether a text is all ASCII, and so UTF-8, falls off by the way: one OR more for each word.

Importing this module imports numba, which takes a second and 100 MB: do it when it pays, for many
frames per read and for large ones. For one short frame per read the plain code is as good.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from iomodels.websocket.masking import Buffer, from_bytes, optional

numba, np = optional("numba"), optional("numpy")

Function = TypeVar("Function", bound=Callable[..., Any])
Array = Any  # a numpy array: numpy may be missing, and the name of its type with it

HIGH = 0x8080808080808080  # the highest bit of each byte: set in none of them, it is ASCII
CAPACITY = 1024  # rows that one scan fills; 32 KiB, so that they stay in the first-level cache


@cache
def available() -> bool:
    """Tell whether numba and numpy are there; when they are not, say so once in the log."""
    if not (numba and np):
        logging.getLogger(__name__).warning(
            "numba is not installed (the extra iomodels[fast]); "
            "WebSocket frames are parsed one by one in plain Python"
        )
    return bool(numba and np)


def compiled(signature: str) -> Callable[[Function], Function]:
    """Compile for exactly these types, now or from the cache of an earlier run."""

    def decorate(function: Function) -> Function:
        if not (numba and np):
            return function
        try:
            fast: Function = numba.njit(signature, cache=True)(function)
        except RuntimeError:  # no folder that it may write its cache to
            fast = numba.njit(signature)(function)
        return fast

    return decorate


def direct(function: Function) -> Function:
    """Return what numba compiled, without the part of numba that looks at the arguments' types.

    That part takes 250 ns for a memoryview, more than the work on a short frame. It also checks:
    whoever calls this hands over exactly the types of the signature, which is the case here.
    """
    if not hasattr(function, "overloads"):
        return function  # not compiled
    (compiled,) = function.overloads.values()
    entry: Function = compiled.entry_point
    return entry


# --- one frame ---


@compiled("UniTuple(int64, 2)(uint8[::1], int64, int64)")
def payload_of(window: Array, start: int, stop: int) -> tuple[int, int]:
    """Return offset and length of the payload of the frame that begins at `start`.

    The length is -1 when the frame is wrong, or has not arrived whole at `stop`.
    """
    if stop - start < 6:
        return 0, -1
    first = window[start]
    opcode = first & 0x0F
    length = np.int64(window[start + 1]) - 128  # below 0: not masked
    offset = start + 6
    if first & 0x70 or opcode > 10 or 2 < opcode < 8:
        return 0, -1
    if opcode >= 8 and (length > 125 or first < 128):
        return 0, -1
    if length == 126:
        if stop - start < 8:
            return 0, -1
        length = np.int64(window[start + 2]) << 8 | np.int64(window[start + 3])
        offset += 2
        if length < 126:
            return 0, -1
    elif length == 127:
        if stop - start < 14:
            return 0, -1
        length = np.int64(0)
        for i in range(8):
            length = length << 8 | np.int64(window[start + 2 + i])
        offset += 8
        if length < 65536:  # or the highest bit is set, which makes it negative
            return 0, -1
    if length > stop - offset:
        return 0, -1
    return offset, length


@compiled("Tuple((uint64[::1], int64))(uint8[::1])")
def words_of(window: Array) -> tuple[Array, int]:
    """Return the same memory in words of 8 bytes, and where in the window the first one is."""
    shift = -window.ctypes.data & 7
    return window[shift : shift + (max(0, window.size - shift) & ~7)].view(np.uint64), shift


@compiled("uint64(uint8[::1], uint64[::1], int64, int64, int64)")
def unmask(window: Array, words: Array, shift: int, offset: int, length: int) -> Any:
    """XOR `length` bytes at `offset` with the 4 before them; return the OR of what came out."""
    lead = min(length, (shift - offset) & 7)
    count = (length - lead) >> 3
    seen = np.uint64(0)
    for i in range(lead):
        window[offset + i] ^= window[offset - 4 + (i & 3)]
        seen |= np.uint64(window[offset + i])
    if count:
        key = np.uint64(0)
        for i in range(8):
            key |= np.uint64(window[offset - 4 + ((lead + i) & 3)]) << np.uint64(8 * i)
        first = (offset + lead - shift) >> 3
        for word in range(np.uint64(first), np.uint64(first + count)):
            words[word] ^= key
            seen |= words[word]
    for i in range(lead + 8 * count, length):
        window[offset + i] ^= window[offset - 4 + (i & 3)]
        seen |= np.uint64(window[offset + i])
    return seen


@compiled("uint8(uint8[::1], int64, int64)")
def unmask_short(window: Array, offset: int, length: int) -> Any:
    """The same byte by byte: quicker for a short payload than to find out where words begin."""
    first, second = window[offset - 4], window[offset - 3]
    third, fourth = window[offset - 2], window[offset - 1]
    seen = np.uint8(0)
    at, stop = offset, offset + length
    while at + 4 <= stop:
        a, b = window[at] ^ first, window[at + 1] ^ second
        c, d = window[at + 2] ^ third, window[at + 3] ^ fourth
        window[at], window[at + 1], window[at + 2], window[at + 3] = a, b, c, d
        seen |= a | b | c | d
        at += 4
    for i in range(at, stop):
        window[i] ^= window[offset - 4 + (i - at)]
        seen |= window[i]
    return seen


@compiled("void(MemoryView(uint8, 1, 'C'), uint64)")
def xor(view: memoryview, key: Any) -> None:
    """XOR all of a view with the 8 bytes of `key`, of which the lowest is the first one's."""
    window = np.frombuffer(view, np.uint8)
    words, shift = words_of(window)
    lead = min(shift, window.size)
    for i in range(lead):
        window[i] ^= (key >> np.uint64(8 * (i & 3))) & np.uint64(0xFF)
    turn = np.uint64(8 * (lead & 3))
    key = (key >> turn) | (key << (np.uint64(32) - turn))
    for word in range(np.uint64(words.size)):
        words[word] ^= key
    for i in range(lead + 8 * words.size, window.size):
        window[i] ^= (key >> np.uint64(8 * ((i - lead) & 3))) & np.uint64(0xFF)


@compiled("boolean(uint8[::1], int64, int64)")
def is_utf8(window: Array, at: int, stop: int) -> bool:
    """Tell whether `window[at:stop]` is UTF-8, by the grammar in RFC 3629, section 4."""
    while at < stop:
        byte = window[at]
        at += 1
        if byte < 0x80:
            continue
        low, high = 0x80, 0xBF  # bounds of the second byte: no character in too many bytes,
        if 0xC2 <= byte <= 0xDF:  # none of the surrogates, nothing above U+10FFFF
            more = 1
        elif 0xE0 <= byte <= 0xEF:
            more = 2
            if byte == 0xE0:
                low = 0xA0
            elif byte == 0xED:
                high = 0x9F
        elif 0xF0 <= byte <= 0xF4:
            more = 3
            if byte == 0xF0:
                low = 0x90
            elif byte == 0xF4:
                high = 0x8F
        else:
            return False
        if stop - at < more or not low <= window[at] <= high:
            return False
        for i in range(1, more):
            if window[at + i] & 0xC0 != 0x80:
                return False
        at += more
    return True


@compiled("int64(uint8[::1], int64, int64, int64)")
def write_header(window: Array, at: int, opcode: int, length: int) -> int:
    """Write a server's header at `at`; return where it ends."""
    extended = 0 if length <= 125 else 2 if length <= 0xFFFF else 8
    window[at] = 0x80 | opcode
    window[at + 1] = length if extended == 0 else 126 if extended == 2 else 127
    at += 2
    for i in range(extended):
        window[at + i] = (length >> (8 * (extended - 1 - i))) & 0xFF
    return at + extended


# --- one frame, and all of them ---


@compiled("int64(MemoryView(uint8, 1, 'C'), int64)")
def one(view: memoryview, limit: int) -> int:
    """Open a read that is one whole message and nothing else; see `short.one`, for any length."""
    window = np.frombuffer(view, np.uint8)
    offset, length = payload_of(window, 0, window.size)
    if offset + length != window.size or length > limit:
        return 0
    first = window[0]
    if first != 0x81 and first != 0x82:
        return 0
    if length <= 125:
        ascii = unmask_short(window, offset, length) < 0x80
    else:
        words, shift = words_of(window)
        ascii = unmask(window, words, shift, offset, length) & np.uint64(HIGH) == 0
    if first == 0x81 and not ascii and not is_utf8(window, offset, window.size):
        unmask_short(window, offset, length)  # once more puts the mask back on
        return 0
    write_header(window, 4, first & 0x0F, length)
    return int(offset << 4 | first & 0x0F)


@compiled("UniTuple(int64, 3)(MemoryView(uint8, 1, 'C'), int64, int64, int64, int64[:, ::1])")
def scan(view: memoryview, start: int, stop: int, limit: int, rows: Array) -> tuple[int, int, int]:
    """Fill `rows` with (offset, length, opcode, fin) for the frames in `view[start:stop]`.

    rows: int64, four columns. Payloads are unmasked in place. Returns how many rows were filled;
    how many of them, counted from the first, are plain: a whole message in one frame, binary, or
    text that is UTF-8; and where the next frame begins. Stops when `rows` is full, and before a
    frame that is not whole, is larger than `limit`, or is wrong.
    """
    window = np.frombuffer(view, np.uint8)
    words, shift = words_of(window)
    count = plain = 0
    while count < rows.shape[0]:
        offset, length = payload_of(window, start, stop)
        if length < 0 or length > limit:
            break
        first = window[start]
        start = offset + length
        seen = unmask(window, words, shift, offset, length)
        ascii = seen & np.uint64(HIGH) == 0
        good_text = first == 0x81 and (ascii or is_utf8(window, offset, start))
        if plain == count and (good_text or first == 0x82):
            plain += 1
        rows[count, 0] = offset
        rows[count, 1] = length
        rows[count, 2] = first & 0x0F
        rows[count, 3] = first >> 7
        count += 1
    return count, plain, start


@compiled("UniTuple(int64, 2)(MemoryView(uint8, 1, 'C'), int64[:, ::1])")
def gather(view: memoryview, rows: Array) -> tuple[int, int]:
    """Turn the messages in `rows` into server frames that lie one after the other, in place.

    Each frame gets a server's header over the bytes that held its client's, and moves up to the
    one before it, by the 4 bytes that each mask took. Returns where the first frame begins and
    where the last one ends. `rows` must be in order and not empty.
    """
    window = np.frombuffer(view, np.uint8)
    shift = -window.ctypes.data & 3  # from here on, the memory again in words of 4 bytes
    words = window[shift : shift + (max(0, window.size - shift) & ~3)].view(np.uint32)
    begin = stop = np.int64(-1)
    for row in range(rows.shape[0]):
        offset, length = rows[row, 0], rows[row, 1]
        if begin < 0:
            begin = stop = offset - (2 if length <= 125 else 4 if length <= 0xFFFF else 10)
        to = write_header(window, stop, rows[row, 2], length)
        stop = to + length
        back = offset - to
        if back == 0:
            continue
        done = 0
        if back & 3 == 0:  # as long as no frame between was left out
            lead = min(length, (shift - to) & 3)
            for i in range(lead):
                window[to + i] = window[offset + i]
            count = (length - lead) >> 2
            done = lead + 4 * count
            if count:
                at = (to + lead - shift) >> 2
                step = np.uint64(back >> 2)
                for word in range(np.uint64(at), np.uint64(at + count)):
                    words[word] = words[word + step]
        for i in range(done, length):
            window[to + i] = window[offset + i]
    return begin, stop


one, scan, gather, xor = direct(one), direct(scan), direct(gather), direct(xor)


def unmask_piece(piece: memoryview, key: Buffer, phase: int) -> None:
    """Do what masking.unmask does: any part of a payload, `phase` bytes after its beginning."""
    phase &= 3
    xor(piece, from_bytes((bytes(key) * 3)[phase : phase + 8], "little"))


class Scanner(threading.local):
    """The scanner with rows of its own, for each thread that uses it."""

    def __init__(self) -> None:
        self.rows = np.empty((CAPACITY, 4), np.int64)

    def scan(self, window: memoryview, start: int, stop: int, limit: int) -> tuple[Array, int, int]:
        """Scan `window[start:stop]`: return the rows, how many are plain, where it stopped.

        The rows are good until the next scan by this thread. When there are CAPACITY of them,
        there may be more: scan again from where it stopped.
        """
        count, plain, stopped = scan(window, start, stop, limit, self.rows)
        return self.rows[:count], plain, stopped
