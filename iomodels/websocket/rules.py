"""The rules of a message: fragments in order, text in UTF-8, nothing larger than the limit.

Frames may come cut at any byte, and a message may come in many frames with control frames between
(RFC 6455, section 5.4). `Unfinished` is what a connection owns while it is in the middle of that:
half a header, half a frame, half a message. It keeps what has arrived, with room for at most eight
times as much, however much was announced; and it is dropped as soon as the message is complete.

Text is checked as it arrives. A message that cannot become UTF-8 any more fails at its first bad
byte (section 8.1), though the rest of it may never come.
"""

from __future__ import annotations

import threading
from codecs import utf_8_decode
from collections.abc import Callable
from typing import Final

from iomodels.websocket.frames import (
    CLOSE,
    CONTINUATION,
    FIN,
    HEADROOM,
    LONGEST_HEADER,
    TEXT,
    CloseCode,
    ProtocolError,
    decode,
)
from iomodels.websocket.masking import Buffer, unmask

SPARE: Final = 64 * 1024  # bytes from which the room of a message is used again


class Spare(threading.local):
    """The room of the last large message of this thread, for the next one.

    Fresh memory costs twice what it takes to fill it: the kernel clears each page of it first.
    """

    def __init__(self) -> None:
        self.room = bytearray()
        self.lent = bytearray()  # holds a message whose answer is on its way

    def take(self, size: int) -> bytearray:
        """Return room for so many bytes, or for more."""
        if size < SPARE or size > len(self.room):
            return bytearray(size)
        room, self.room = self.room, bytearray()
        return room

    def lend(self, room: bytearray) -> None:
        """Take back the room of a message that was delivered, for later."""
        if len(room) >= SPARE:
            self.lent = room

    def reclaim(self) -> None:
        """A new read has come: whatever was an answer to the last one has been sent or copied."""
        if self.lent:
            self.room, self.lent = self.lent, bytearray()


spare = Spare()


def check_text(payload: memoryview) -> None:
    """Raise ProtocolError 1007 when a whole text message is not UTF-8."""
    check_piece(b"", payload, True)


def check_piece(split: bytes, piece: memoryview, final: bool) -> bytes:
    """Check the next piece of a text; return its last 1 to 3 bytes if they begin a character.

    `split` is what the piece before returned. With `final`, nothing may be left over.
    """
    text = split + piece if split else piece
    try:
        _, used = utf_8_decode(text, "strict", final)
    except UnicodeDecodeError as error:
        raise not_utf8(text[error.start]) from None
    left = bytes(text[used:])
    if left[:1] == b"\xed" and left[1:] >= b"\xa0":  # half a surrogate: Python waits for the rest,
        raise not_utf8(0xED)  # because with "surrogatepass" it could become right
    return left


def not_utf8(byte: int) -> ProtocolError:
    """Return what to raise for a text that goes wrong at this byte."""
    return ProtocolError(CloseCode.INVALID_PAYLOAD, f"text is not UTF-8: byte {byte:#04x}")


class Unfinished:
    """A connection in the middle of a frame or of a message."""

    __slots__ = (
        "control", "filled", "first", "header", "key", "kind", "length", "message", "most", "split",
        "taken", "total", "unmask",
    )  # fmt: skip

    def __init__(self, unmask: Callable[[memoryview, Buffer, int], None] = unmask) -> None:
        """`unmask` is masking.unmask, or does the same."""
        self.unmask = unmask
        self.header = b""  # a header that has not arrived whole
        # The frame whose payload has not arrived whole:
        self.first = -1  # its first byte; -1 when there is none
        self.length = self.taken = 0  # bytes of payload: in all, and so far
        self.key = b""
        self.control = b""  # its payload so far, when it is a control frame
        # The message whose last frame has not arrived whole:
        self.kind = 0  # its opcode; 0 when there is none
        self.message = bytearray()  # room: for a server's header, then for the payload
        # Bytes of it: so far, when this frame is whole, and as the limit allows.
        self.filled = self.total = self.most = HEADROOM
        self.split = b""  # the beginning of a character, at the end of a text so far

    def between_frames(self) -> bool:
        """Tell whether the next byte is the first of a frame."""
        return self.first < 0 and not self.header

    def is_empty(self) -> bool:
        """Tell whether there is nothing to keep."""
        return self.first < 0 and not self.header and not self.kind

    def begin(self, opcode: int, length: int, limit: int) -> None:
        """Take note of a data frame, by its header (section 5.4).

        Raises ProtocolError: 1002 for a frame out of order, 1009 for a message above the limit.
        """
        if opcode == CONTINUATION:
            if not self.kind:
                raise ProtocolError(
                    CloseCode.PROTOCOL_ERROR, "a continuation, and there is nothing to continue"
                )
        elif self.kind:
            raise ProtocolError(
                CloseCode.PROTOCOL_ERROR, "a new message before the one before it has ended"
            )
        else:
            self.kind = opcode
            self.message, self.filled = bytearray(), HEADROOM
        self.total, self.most = self.filled + length, HEADROOM + limit
        size = self.total - HEADROOM
        if size > limit:
            raise ProtocolError(
                CloseCode.MESSAGE_TOO_BIG, f"a message of {size} bytes, and {limit} are the limit"
            )

    def add(self, piece: memoryview, final: bool) -> None:
        """Keep a piece of the message; `final` when it is the last one. 1007: not UTF-8."""
        if self.kind == TEXT:
            self.split = check_piece(self.split, piece, final)
        stop = self.filled + len(piece)
        if stop > len(self.message):
            self.make_room(stop)
        memoryview(self.message)[self.filled : stop] = piece
        self.filled = stop

    def make_room(self, stop: int) -> None:
        """Make room for the whole frame, but for no more than eight times what is here.

        And for twice what is here, as the limit allows, or a message of many small frames would be
        copied with each of them.
        """
        twice = min(2 * self.filled, self.most)
        room = spare.take(max(stop, min(self.total, 8 * stop), twice))
        if self.filled > HEADROOM:
            memoryview(room)[: self.filled] = memoryview(self.message)[: self.filled]
        self.message = room

    def end(self) -> tuple[int, bytearray, int]:
        """Give up the message: its opcode, its room, and where in that it ends.

        The payload begins after HEADROOM bytes.
        """
        if not self.message:
            self.message = bytearray(HEADROOM)  # it was empty
        kind, message = self.kind, self.message
        self.kind, self.message = 0, bytearray()
        return kind, message, self.filled

    def open_frame(self, window: memoryview, start: int, limit: int) -> int:
        """Read the header that begins at `start`, or go on with the one that began earlier.

        Returns where the payload begins. A header that is still not whole is kept.
        """
        before = len(self.header)
        header = self.header + window[start : start + LONGEST_HEADER - before]
        decoded = decode(header, 0, len(header), limit)
        if decoded is None:
            self.header = header
            return start + len(header) - before
        first, length, size = decoded
        if first < FIN | CLOSE:
            self.begin(first & 0x0F, length, limit)
        self.header, self.first, self.length, self.taken = b"", first, length, 0
        self.key = header[size - 4 : size]
        return start + size - before

    def fill_frame(self, window: memoryview, start: int) -> int:
        """Take what has arrived of the open frame's payload; return where it ends in the window.

        The frame is complete when `taken` has come to `length`.
        """
        piece = window[start : start + self.length - self.taken]
        self.unmask(piece, self.key, self.taken)
        self.taken += len(piece)
        if self.first >= FIN | CLOSE:
            self.control += piece
        else:
            self.add(piece, self.first >= FIN and self.taken == self.length)
        return start + len(piece)
