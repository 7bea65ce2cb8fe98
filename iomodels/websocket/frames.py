"""The frame: its header in and out of a buffer (RFC 6455, section 5.2), and its codes.

    byte 0    FIN, three reserved bits, and the opcode
    byte 1    MASK, and a length of 7 bits: 0 to 125 is the length itself,
              126 says that 2 bytes of length follow, 127 that 8 follow
    then      those 2 or 8 bytes, in network byte order
    then      4 bytes of masking key; a client sends them, a server does not
    then      the payload

Both directions work in place. `decode` reads a header where it lies, and complains at the first
byte that is wrong, not when the frame is complete. `encode_before` writes a server's header into
the bytes that stand before a payload: they held the client's header, which was the same length and
4 bytes of mask, so there is always room, and an echo needs no second buffer.
"""

from __future__ import annotations

from enum import IntEnum
from struct import pack, pack_into, unpack_from
from typing import Final, NamedTuple

from iomodels.websocket.masking import Buffer, unmask

# Opcodes (section 5.2). The ones from CLOSE up are control frames.
CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

FIN: Final = 0x80
MASK: Final = 0x80
RESERVED: Final = 0x70

HEADROOM: Final = 10  # the longest header that a server writes
LONGEST_HEADER: Final = 14  # the longest that a client writes: the same and the mask

# Every first byte that a frame may have: known opcode, no reserved bit, control frames whole.
FIRST_BYTES: Final = frozenset(
    [CONTINUATION, TEXT, BINARY]
    + [FIN | opcode for opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG)]
)


class CloseCode(IntEnum):
    """Why a connection ends (section 7.4.1, and the registry that IANA keeps since)."""

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS_RECEIVED = 1005  # never sent: the Close frame had no code
    ABNORMAL_CLOSURE = 1006  # never sent: there was no Close frame
    INVALID_PAYLOAD = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014
    TLS_HANDSHAKE = 1015  # never sent


class ProtocolError(Exception):
    """The peer broke a rule; the connection fails with this close code and reason (7.1.7)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code, self.reason = code, reason


class Close(NamedTuple):
    """What a Close frame says. An app may answer with one: it ends the connection in order."""

    code: int = CloseCode.NORMAL_CLOSURE
    reason: str = ""


def may_be_sent(code: int) -> bool:
    """Tell whether a Close frame may carry this code (section 7.4).

    1004, 1005, 1006 and 1015 are reserved and never travel; IANA has assigned nothing between 1016
    and 2999; libraries and applications agree among themselves on 3000 to 4999.
    """
    return code in (1000, 1001, 1002, 1003) or 1007 <= code <= 1014 or 3000 <= code <= 4999


# --- in ---


def decode(window: Buffer, start: int, stop: int, limit: int) -> tuple[int, int, int] | None:
    """Read the header of the client's frame that begins at `start`.

    Returns the first byte (FIN and opcode), the length of the payload, and the length of the
    header with its mask, in bytes; None when the header has not arrived whole. Raises
    ProtocolError at the first byte that breaks a rule, however little has arrived: 1002, or 1009
    for a payload of more than `limit` bytes.
    """
    there = stop - start
    if there < 1:
        return None
    first = window[start]
    if first not in FIRST_BYTES:
        raise ProtocolError(CloseCode.PROTOCOL_ERROR, wrong_first_byte(first))
    if there < 2:
        return None
    length = window[start + 1] - MASK
    if length < 0:
        raise ProtocolError(CloseCode.PROTOCOL_ERROR, "a client must mask its frames")
    if length <= 125:
        size = 6
    elif first >= FIN | CLOSE:
        raise ProtocolError(CloseCode.PROTOCOL_ERROR, "a control frame carries at most 125 bytes")
    elif length == 126:
        size = 8
        if there < 4:
            return None
        (length,) = unpack_from("!H", window, start + 2)
        if length < 126:
            raise ProtocolError(
                CloseCode.PROTOCOL_ERROR, f"a length of {length} must not take 2 more bytes"
            )
    else:
        size = 14
        if there < 10:
            return None
        (length,) = unpack_from("!Q", window, start + 2)
        if length < 65536:
            raise ProtocolError(
                CloseCode.PROTOCOL_ERROR, f"a length of {length} must not take 8 more bytes"
            )
        if length >> 63:
            raise ProtocolError(
                CloseCode.PROTOCOL_ERROR, "the highest bit of an 8-byte length must be 0"
            )
    if length > limit:
        raise ProtocolError(
            CloseCode.MESSAGE_TOO_BIG, f"a frame of {length} bytes, and {limit} are the limit"
        )
    return (first, length, size) if there >= size else None


def wrong_first_byte(first: int) -> str:
    """Say what is wrong with the first byte of a frame."""
    opcode = first & 0x0F
    if first & RESERVED:
        return "a reserved bit is set, and no extension was agreed on"
    if opcode > PONG or BINARY < opcode < CLOSE:
        return f"opcode {opcode:#x} is not defined"
    return "a control frame must not be fragmented"


def parse_close(payload: Buffer) -> Close:
    """Read the payload of a Close frame (section 5.5.1); without one, the code is 1005.

    Raises ProtocolError: 1002 for half a code or a code that must not be sent, 1007 for a reason
    that is not UTF-8.
    """
    if not payload:
        return Close(CloseCode.NO_STATUS_RECEIVED)
    if len(payload) == 1:
        raise ProtocolError(CloseCode.PROTOCOL_ERROR, "a close code takes 2 bytes, not 1")
    (code,) = unpack_from("!H", payload)
    if not may_be_sent(code):
        raise ProtocolError(CloseCode.PROTOCOL_ERROR, f"close code {code} must not be sent")
    try:
        return Close(code, str(payload[2:], "utf-8"))
    except UnicodeDecodeError:
        raise ProtocolError(
            CloseCode.INVALID_PAYLOAD, "the reason in a Close frame must be UTF-8"
        ) from None


# --- out ---


def encode_header(opcode: int, length: int, mask: Buffer = b"") -> bytes:
    """Return the header of a whole (FIN) frame; with a 4-byte `mask`, as a client sends it."""
    masked = MASK if mask else 0
    if length <= 125:
        header = pack("!BB", FIN | opcode, masked | length)
    elif length <= 0xFFFF:
        header = pack("!BBH", FIN | opcode, masked | 126, length)
    else:
        header = pack("!BBQ", FIN | opcode, masked | 127, length)
    return header + mask


def encode(opcode: int, payload: Buffer, mask: bytes = b"") -> bytes:
    """Return a whole frame; with a 4-byte `mask`, as a client sends it. Copies the payload."""
    header = encode_header(opcode, len(payload), mask)
    if not mask:
        return header + payload
    masked = bytearray(payload)
    unmask(memoryview(masked), mask)
    return header + masked


def encode_close(code: int, reason: str = "") -> bytes:
    """Return a server's Close frame. A reason is cut to the 123 bytes that fit (section 5.5).

    Raises ValueError for a code that must not be sent.
    """
    if not may_be_sent(code):
        raise ValueError(f"close code {code} must not be sent; see RFC 6455, 7.4")
    text = reason.encode()[:123].decode(errors="ignore").encode()  # never half a character
    return encode(CLOSE, pack("!H", code) + text)


def encode_before(window: bytearray | memoryview, offset: int, length: int, opcode: int) -> int:
    """Write a server's header right before a payload; return where the frame begins.

    The payload is `window[offset : offset + length]`. Needs 2, 4 or 10 bytes before it.
    """
    if length <= 125:
        window[offset - 2] = FIN | opcode
        window[offset - 1] = length
        return offset - 2
    if length <= 0xFFFF:
        pack_into("!BBH", window, offset - 4, FIN | opcode, 126, length)
        return offset - 4
    pack_into("!BBQ", window, offset - 10, FIN | opcode, 127, length)
    return offset - 10
