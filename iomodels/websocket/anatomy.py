"""The anatomy of a frame: every field of it, with its bits, its value and what it means.

    for frame in dissect(data):
        for part in frame.parts:
            print(part.at, part.bits, part.name, part.value, part.meaning)

It is for people who want to look at bytes, not for a server: it explains what is wrong and goes on,
where a server must fail the connection at once. `Frame.broken` says which rule is broken at which
byte, in the order of the bytes; `Frame.missing`, how many bytes are still to come.

The bytes may come from a client (masked) or from a server (not masked), or from both: fragments,
text cut inside a character, and the last word are followed for each side by itself. If the bytes
begin with the handshake, it is shown as one part. Sections are those of RFC 6455.
"""

from __future__ import annotations

import re
from codecs import utf_8_decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from iomodels.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    MASK,
    PING,
    PONG,
    TEXT,
    CloseCode,
    may_be_sent,
)
from iomodels.websocket.masking import Buffer, unmask

NAMES: Final = {
    CONTINUATION: "continuation",
    TEXT: "text",
    BINARY: "binary",
    CLOSE: "close",
    PING: "ping",
    PONG: "pong",
}
FAILS: Final = CloseCode.PROTOCOL_ERROR
HANDSHAKE: Final = re.compile(rb"\r?\n?[A-Z]+ [!-~]+ HTTP/|HTTP/\d\.\d \d")


SHOWN = 16  # bytes of a payload that are written out, and three times as many letters of a text


class Part(NamedTuple):
    """A field: `width` bits from bit `bit` of byte `at` on, counted as in the RFC: 0 is highest."""

    at: int
    bit: int
    width: int
    name: str
    bits: str  # as they were sent; for a payload ""
    value: int | str | bytes  # a number, a text, or neither
    meaning: str
    section: str

    @property
    def stop(self) -> int:
        """The byte after its last one."""
        return self.at + (self.bit + self.width + 7) // 8


class Broken(NamedTuple):
    """A rule that is broken, the byte that breaks it, and the close code that it leads to."""

    at: int
    rule: str
    section: str
    code: int | None  # None: what comes here is passed over


@dataclass
class Frame:
    """A frame at `data[start:stop]`, as far as it is there, taken apart."""

    start: int
    stop: int
    about: str = "a frame"
    parts: list[Part] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    missing: int = 0  # bytes that are still to come
    at_least: bool = False  # ... or more: how many, the missing bytes will say


@dataclass
class Side:
    """What is known of one of the two sides so far."""

    kind: int = 0  # the opcode of the message that it is in the middle of; 0: of none
    split: bytes = b""  # the beginning of a character at the end of the last fragment
    compressed: bool = False  # the message, to judge by RSV1
    not_text: bool = False  # the message is not UTF-8, and that was said
    closed: bool = False  # it has sent a Close frame


def from_hex(text: str) -> bytes:
    """Read hexadecimal digits, in bytes or in longer words: `81 05`, `81:05`, `0x8105`.

    Raises ValueError for what is not hexadecimal, for half a byte, and for nothing.
    """
    words = re.split(r"[\s:,]+", text.strip(" \t\r\n:,"))
    digits = [re.sub(r"^0[xX]|\\x", "", word) for word in words]
    for word, digit in zip(words, digits, strict=True):
        if not re.fullmatch(r"[0-9a-fA-F]*", digit):
            raise ValueError(f"{shortened(word)!r} is not hexadecimal")
        if len(digit) % 2:
            raise ValueError(
                f"{shortened(word)!r} has an odd number of digits; a byte is two of them"
            )
    if not any(digits):
        raise ValueError("there are no bytes in it")
    return bytes.fromhex("".join(digits))


def written(part: Part) -> str:
    """The value of a part as one writes it, cut to what fits into a line."""
    value, most = part.value, 3 * SHOWN
    if isinstance(value, bytes):
        return value[:SHOWN].hex(" ") + " …" * (len(value) > SHOWN)
    if isinstance(value, str):
        letters = [c if c.isprintable() else ascii(c)[1:-1] for c in value[:most]]
        return f'"{"".join(letters)}"' + " …" * (len(value) > most)
    if part.name == "opcode":
        return f"{value:#x}"
    return f"{value:,}" if "length" in part.name else str(value)


def shortened(text: str) -> str:
    """Return a text that fits into a line."""
    return text if len(text) <= 40 else f"{text[:30]}…"


def dissect(data: Buffer) -> Iterator[Frame]:
    """Take the frames apart that lie in `data`, one after the other. The last may be cut."""
    sides = Side(), Side()
    data = bytes(data)
    start = 0
    if HANDSHAKE.match(data):
        yield (head := handshake(data))
        start = head.stop
    while start < len(data):
        yield (frame := take_apart(data, start, sides))
        start = frame.stop


def handshake(data: bytes) -> Frame:
    """Take the HTTP before the first frame for what it is."""
    at = data.find(b"\r\n\r\n")
    stop = at + 4 if at >= 0 else len(data)
    text = data[:stop].decode("latin-1")
    meaning = "the answer: from here on, frames" if data[:5] == b"HTTP/" else "the upgrade request"
    frame = Frame(0, stop, "the handshake, in HTTP")
    frame.parts.append(Part(0, 0, 8 * stop, "HTTP", "", text, meaning, "1.3"))
    if at < 0:
        tails = (b"\r\n\r", b"\r\n", b"\r", b"")
        frame.missing = next(4 - len(t) for t in tails if data.endswith(t))
        frame.at_least = True
    return frame


def take_apart(data: bytes, start: int, sides: tuple[Side, Side]) -> Frame:
    """Take one frame apart; `sides` are those of the server and of the client."""
    frame = Frame(start, len(data))

    def part(at: int, bit: int, width: int, name: str, meaning: str, section: str = "5.2") -> int:
        """Add a field of the header; return its value."""
        last = at + (bit + width + 7) // 8
        number = int.from_bytes(data[at:last])
        number = number >> (-(bit + width) % 8) & ((1 << width) - 1)
        frame.parts.append(
            Part(at, bit, width, name, f"{number:0{width}b}", number, meaning, section)
        )
        return number

    def breaks(at: int, rule: str, section: str = "5.2") -> None:
        frame.broken.append(Broken(at, rule, section, FAILS))

    # --- byte 0 ---
    first = data[start]
    opcode, final, control = first & 0x0F, bool(first & FIN), bool(first & CLOSE)
    name = NAMES.get(opcode, "not defined")
    part(start, 0, 1, "FIN", meaning_of_fin(opcode, final), "5.5" if control else "5.4")
    for number in (1, 2, 3):
        set_ = first >> (7 - number) & 1
        part(start, number, 1, f"RSV{number}", "see below" if set_ else "no extension")
        if set_:
            what = "; permessage-deflate, RFC 7692, has it on what is compressed" * (number == 1)
            breaks(start, f"RSV{number} is set, and only an extension may do that{what}")
    part(start, 4, 4, "opcode", name)
    if opcode not in NAMES:
        breaks(start, f"opcode {opcode:#x} is not defined")
    elif control and not final:
        breaks(start, "a control frame must not be fragmented", "5.5")
    frame.about = about(opcode, final, 0)
    if start + 1 == len(data):
        frame.missing, frame.at_least = 1, True
        return frame

    # --- byte 1, and the length ---
    masked = data[start + 1] >= MASK
    side = sides[masked]
    part(
        start + 1,
        0,
        1,
        "MASK",
        f"{'masked, as a client' if masked else 'not masked, as a server'} must",
    )
    length = data[start + 1] & 0x7F
    extended = {126: 2, 127: 8}.get(length, 0)
    told = f"{length} bytes of payload" if length != 1 else "1 byte of payload"
    part(
        start + 1, 1, 7, "length",
        f"it is in the next {extended} bytes" if extended else told if length else "no payload",
    )  # fmt: skip
    if control and length > 125:
        breaks(start + 1, "a control frame carries at most 125 bytes", "5.5")
    in_order(frame, side, opcode, final, bool(first & 0x40))
    if masked:
        frame.about += ", from a client"
    else:
        frame.about += ", from a server"
    at = start + 2
    there = len(data) - at
    if there < extended:
        if there:
            part(at, 0, 8 * there, "length, cut", f"{there} of its {extended} bytes")
        frame.missing, frame.at_least = extended - there + 4 * masked, True
        return frame
    if extended:
        length = int.from_bytes(data[at : at + extended])
        part(at, 0, 8 * extended, "length, continued", f"{length:,} bytes of payload")
        if length <= 125 or (extended == 8 and length <= 0xFFFF):
            shorter = "the 7 bits" if length <= 125 else "2 bytes"
            breaks(start + 1, f"the shortest form must be taken: {length:,} fits into {shorter}")
        if length >> 63:
            breaks(at, "the highest bit of an 8-byte length must be 0")
        at += extended

    # --- the mask, and the payload ---
    key = data[at : at + 4] if masked else b""
    if key:
        cut = f"{len(key)} of its 4 bytes" if len(key) < 4 else "for the payload, by XOR"
        bits = f"{int.from_bytes(key):0{8 * len(key)}b}"
        frame.parts.append(Part(at, 0, 8 * len(key), "masking key", bits, key, cut, "5.3"))
        at += len(key)
    frame.stop = min(len(data), at + length)
    frame.missing = (4 - len(key) if masked else 0) + at + length - frame.stop
    payload = data[at : frame.stop]
    if masked and payload:
        frame.parts.append(
            Part(at, 0, 8 * len(payload), "payload, masked", "", payload, "as sent", "5.3")
        )
        plain = bytearray(payload)
        unmask(memoryview(plain), key)
        payload = bytes(plain)
    if opcode == CLOSE:
        side.closed = True
        close_payload(frame, at, payload)
    elif not control and side.kind == TEXT and not side.compressed:
        text_payload(frame, side, at, payload, final and not frame.missing)
    elif payload:
        meaning, section = {
            PING: ("the pong brings it back", "5.5.3"),
            PONG: ("what the ping brought", "5.5.3"),
        }.get(opcode, ("any bytes", "5.6"))
        if not control and side.compressed:
            meaning = "compressed, if that was agreed on (RFC 7692)"
        frame.parts.append(Part(at, 0, 8 * len(payload), "payload", "", payload, meaning, section))
    if final and not control:
        side.kind, side.split = 0, b""
    frame.broken.sort(key=lambda broken: broken.at)
    return frame


def meaning_of_fin(opcode: int, final: bool) -> str:
    """Say what the first bit says, in this kind of frame."""
    if not final:
        return "more frames of this message follow"
    if opcode == CONTINUATION:
        return "the last frame of its message"
    return "a control frame is always whole" if opcode & CLOSE else "the message is whole"


def about(opcode: int, final: bool, kind: int) -> str:
    """Say what the frame is; `kind` is the opcode of the message that it goes on with."""
    if opcode not in NAMES:
        return "a frame of an unknown kind"
    if opcode & CLOSE:
        return {CLOSE: "a Close frame", PING: "a ping", PONG: "a pong"}[opcode]
    if opcode == CONTINUATION:
        which = "the last fragment" if final else "a fragment"
        return f"{which} of a {NAMES[kind]} message" if kind else f"{which} of a message"
    message = f"a {NAMES[opcode]} message"
    return message if final else f"the first fragment of {message}"


def in_order(frame: Frame, side: Side, opcode: int, final: bool, rsv1: bool) -> None:
    """Follow the message that the frame belongs to (section 5.4)."""
    if opcode & CLOSE or opcode not in NAMES:
        return
    if side.closed:
        frame.broken.append(
            Broken(frame.start, "after its Close frame a side sends no more data", "5.5.1", None)
        )
    if opcode == CONTINUATION:
        frame.about = about(opcode, final, side.kind)
        if not side.kind:
            rule = "a continuation, and there is nothing to continue"
            frame.broken.append(Broken(frame.start, rule, "5.4", FAILS))
        return
    if side.kind:
        rule = "a new message begins before the one before it has ended"
        frame.broken.append(Broken(frame.start, rule, "5.4", FAILS))
    side.kind, side.split, side.compressed, side.not_text = opcode, b"", rsv1, False


def text_payload(frame: Frame, side: Side, at: int, piece: bytes, final: bool) -> None:
    """Show a text, or a piece of one; say where it stops being UTF-8 (section 8.1)."""
    text = side.split + piece
    before, after = len(side.split), b""
    notes = []
    if side.not_text:
        notes.append("of a text that is not UTF-8")
    else:
        bad, used = first_bad_byte(text, final)
        if bad >= 0:
            side.not_text = True
            notes.append("not UTF-8")
            rule = "text ends inside a character"
            if bad < len(text):
                rule = f"text is not UTF-8: byte {text[bad]:#04x}"
            where = at - before + min(bad, len(text) - 1)
            frame.broken.append(Broken(where, rule, "8.1", CloseCode.INVALID_PAYLOAD))
        else:
            notes.append("UTF-8")
            after = text[used:]
    side.split = after
    if before:
        notes.append(f"begins with a character of which {before} of the bytes went before")
    if after:
        notes.append(f"ends inside a character, after {len(after)} of its bytes")
    if piece:
        shown = text[: len(text) - len(after)].decode(errors="replace")
        frame.parts.append(
            Part(at, 0, 8 * len(piece), "payload", "", shown, "; ".join(notes), "5.6")
        )


def first_bad_byte(text: bytes, final: bool) -> tuple[int, int]:
    """Return the first byte that makes `text` wrong, or -1; and where its whole characters end.

    The first is the length of `text` when it is `final` and its last character is not whole.
    """
    try:
        _, used = utf_8_decode(text, "strict", final)
    except UnicodeDecodeError as error:
        # after a good beginning of a character, it is the byte that does not go on with it
        return error.start if error.reason == "invalid start byte" else error.end, 0
    if text[used : used + 1] == b"\xed" and text[used + 1 :] >= b"\xa0":
        return used + 1, 0  # half a surrogate: Python would wait for the rest (rules.py)
    return -1, used


def close_payload(frame: Frame, at: int, payload: bytes) -> None:
    """Show code and reason of a Close frame (sections 5.5.1 and 7.4)."""
    if len(payload) == 1 and not frame.missing:
        frame.broken.append(Broken(at, "a close code takes 2 bytes, not 1", "5.5.1", FAILS))
    if len(payload) < 2:
        if payload:
            frame.parts.append(
                Part(at, 0, 8, "close code, cut", "", payload, "1 of its 2 bytes", "5.5.1")
            )
        return
    code = int.from_bytes(payload[:2])
    frame.parts.append(
        Part(at, 0, 16, "close code", f"{code:016b}", code, meaning_of_code(code), "7.4")
    )
    if not may_be_sent(code):
        frame.broken.append(Broken(at, f"close code {code} must not be sent", "7.4", FAILS))
    reason = payload[2:]
    if not reason:
        return
    bad, _ = first_bad_byte(reason, not frame.missing)
    if bad >= 0:
        where = at + 2 + min(bad, len(reason) - 1)
        rule = "the reason in a Close frame must be UTF-8"
        frame.broken.append(Broken(where, rule, "5.5.1", CloseCode.INVALID_PAYLOAD))
    shown = reason.decode(errors="replace")
    meaning = "for people who look for a fault, not for users" if bad < 0 else "not UTF-8"
    frame.parts.append(Part(at + 2, 0, 8 * len(reason), "reason", "", shown, meaning, "5.5.1"))


def meaning_of_code(code: int) -> str:
    """Name a close code."""
    try:
        name = CloseCode(code).name.lower().replace("_", " ")
    except ValueError:
        if 4000 <= code <= 4999:
            return "private: the application knows"
        if 3000 <= code <= 3999:
            return "registered with IANA, by a library or an application"
        return "not assigned"
    return name if may_be_sent(code) else f"{name}: said inside a program, never sent"
