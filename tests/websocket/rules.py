"""The rules of RFC 6455 that a server must keep, as a table: what a client sends, what comes back.

Each rule is named by its section. The tables can be played against anything that serves an echo
over WebSockets: a parser in memory (test_rules.py), or a real server through a socket.

    HANDSHAKES   a request, the status of the answer, and what the answer must hold
    RULES        what is sent after the upgrade, what is sent back, and the code of the Close frame

An echo sends each message back as it came, in one frame. The server takes messages of up to LIMIT
bytes and requests of up to REQUEST_LIMIT.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

LIMIT = 1 << 20  # bytes a message may have
REQUEST_LIMIT = 8192  # bytes a request may have

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
KEY = b"\x37\xfa\x21\x3d"  # the mask of the examples in section 5.7
NO_CODE = 1005  # a Close frame without a code


@dataclass(frozen=True)
class Rule:
    """A client sends `client`, however it is cut. The server sends exactly `server`, and then:

    close is None       the connection stays open
    close is NO_CODE    a Close frame without a payload, and the end of the connection
    close is a code     a Close frame with this code and any reason, and the end of the connection
    """

    name: str
    client: bytes
    server: bytes = b""
    close: int | None = None


@dataclass(frozen=True)
class HandshakeRule:
    """A client sends `client`, however it is cut.

    The head of the answer has this status, has each of `has` as a line and none of `lacks` in it.
    With status 101 the connection stays open, and `after` follows the head; with any other the
    connection ends after the answer.
    """

    name: str
    client: bytes
    status: int
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    after: bytes = b""


# --- how the tables are written ---


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes | None = KEY,
    form: int | None = None,
    announce: int | None = None,
) -> bytes:
    """Return a client's frame, right or wrong.

    form       how to write the length: 7, 16 or 64 bits; by default the shortest
    announce   the length to write, whatever the payload's is
    """
    length = len(payload) if announce is None else announce
    if form is None:
        form = 7 if length <= 125 else 16 if length <= 0xFFFF else 64
    first = fin << 7 | reserved | opcode
    masked = 0x80 if mask is not None else 0
    head = {
        7: lambda: struct.pack("!BB", first, masked | length),
        16: lambda: struct.pack("!BBH", first, masked | 126, length),
        64: lambda: struct.pack("!BBQ", first, masked | 127, length),
    }[form]()
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def sent(opcode: int, payload: bytes = b"") -> bytes:
    """Return a server's frame."""
    return frame(opcode, payload, mask=None)


def closing(code: int, reason: bytes = b"") -> bytes:
    """Return the payload of a Close frame."""
    return struct.pack("!H", code) + reason


def request(
    *fields: str, line: str = "GET /chat HTTP/1.1", without: str | tuple[str, ...] = ()
) -> bytes:
    """Return the upgrade request of section 1.2, `without` some fields and with others."""
    names = (without,) if isinstance(without, str) else without
    usual = [
        "Host: server.example.com",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ]
    kept = [field for field in usual if field.partition(":")[0] not in names]
    return "\r\n".join([line, *kept, *fields, "", ""]).encode("latin-1")


ACCEPT = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
HELLO = frame(TEXT, b"Hello")
ECHOED = sent(TEXT, b"Hello")

# --- section 4, and what HTTP asks of a request ---

HANDSHAKES = [
    HandshakeRule(
        "4.2.2 a right request is answered with 101 and the accept key",
        request(),
        101,
        has=("Upgrade: websocket", "Connection: Upgrade", ACCEPT),
    ),
    HandshakeRule(
        "4.2.2 a frame in the same segment as the request is not lost",
        request() + HELLO + HELLO,
        101,
        has=(ACCEPT,),
        after=ECHOED + ECHOED,
    ),
    HandshakeRule(
        "4.2.2 no extension is accepted, for none is known",
        request("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"),
        101,
        has=(ACCEPT,),
        lacks=("Sec-WebSocket-Extensions",),
    ),
    HandshakeRule(
        "4.2.2 a subprotocol that nobody chose is not in the answer",
        request("Sec-WebSocket-Protocol: chat, superchat"),
        101,
        has=(ACCEPT,),
        lacks=("Sec-WebSocket-Protocol",),
    ),
    HandshakeRule(
        "4.2.1 fields that mean nothing to the server are passed over",
        request("X-Whatever: \t a: b, c \xe9 ", "Cookie: a=b", "X-Empty:"),
        101,
        has=(ACCEPT,),
    ),
    HandshakeRule(
        "4.2.1 names of fields are compared without case",
        request().replace(b"Upgrade:", b"uPGRADE:").replace(b"Sec-WebSocket-", b"SEC-WEBSOCKET-"),
        101,
        has=(ACCEPT,),
    ),
    HandshakeRule(
        "4.2.1 (1) only GET upgrades",
        request(line="POST /chat HTTP/1.1"),
        405,
        has=("Allow: GET",),
    ),
    HandshakeRule("4.2.1 (1) not with HTTP/1.0", request(line="GET /chat HTTP/1.0"), 400),
    HandshakeRule("4.2.1 (1) HTTP/1.2 would do", request(line="GET / HTTP/1.2"), 101),
    HandshakeRule("4.2.1 (1) HTTP/2 is another thing", request(line="GET / HTTP/2.0"), 505),
    HandshakeRule(
        "4.2.1 (1) the target may be an absolute URI",
        request(line="GET http://server.example.com/chat HTTP/1.1"),
        101,
        has=(ACCEPT,),
    ),
    HandshakeRule("4.2.1 (1) a target is a path", request(line="GET chat HTTP/1.1"), 400),
    HandshakeRule("3 a target has no fragment", request(line="GET /chat#top HTTP/1.1"), 400),
    HandshakeRule("4.2.1 (2) Host is required", request(without="Host"), 400),
    HandshakeRule("4.2.1 (2) Host comes once", request("Host: other.example.com"), 400),
    HandshakeRule("4.2.1 (3) Upgrade: websocket is required", request(without="Upgrade"), 400),
    HandshakeRule(
        "4.2.1 (3) Upgrade to something else is not for us",
        request("Upgrade: h2c", without="Upgrade"),
        400,
    ),
    HandshakeRule(
        "4.2.1 (3) Upgrade is compared without case, and may be a list",
        request("Upgrade: h2c , WebSocket", without="Upgrade"),
        101,
        has=(ACCEPT,),
    ),
    HandshakeRule("4.2.1 (4) Connection: Upgrade is required", request(without="Connection"), 400),
    HandshakeRule(
        "4.2.1 (4) Connection: keep-alive is not enough",
        request("Connection: keep-alive", without="Connection"),
        400,
    ),
    HandshakeRule(
        "4.2.1 (4) Connection is compared without case, and may be a list",
        request("Connection: keep-alive, UPGRADE", without="Connection"),
        101,
        has=(ACCEPT,),
    ),
    HandshakeRule(
        "4.2.1 (5) Sec-WebSocket-Key is required", request(without="Sec-WebSocket-Key"), 400
    ),
    HandshakeRule(
        "4.2.1 (5) the key is 16 bytes in base64, not 15",
        request("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA", without="Sec-WebSocket-Key"),
        400,
    ),
    HandshakeRule(
        "4.2.1 (5) the key is 16 bytes in base64, not 17",
        request("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=", without="Sec-WebSocket-Key"),
        400,
    ),
    HandshakeRule(
        "4.2.1 (5) the key is base64",
        request("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ$==", without="Sec-WebSocket-Key"),
        400,
    ),
    HandshakeRule(
        "11.3.1 Sec-WebSocket-Key comes once",
        request("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
        400,
    ),
    HandshakeRule(
        "4.2.2 (4.4) another version is told which one is spoken",
        request("Sec-WebSocket-Version: 8", without="Sec-WebSocket-Version"),
        426,
        has=("Sec-WebSocket-Version: 13", "Upgrade: websocket"),
    ),
    HandshakeRule(
        "4.2.1 (6) Sec-WebSocket-Version is required",
        request(without="Sec-WebSocket-Version"),
        426,
        has=("Sec-WebSocket-Version: 13",),
    ),
    HandshakeRule(
        "11.3.5 Sec-WebSocket-Version comes once", request("Sec-WebSocket-Version: 13"), 400
    ),
    HandshakeRule(
        "4.2.1 (7) a page of any origin may connect, as long as nobody objects",
        request("Origin: http://example.com"),
        101,
        has=(ACCEPT,),
    ),
    HandshakeRule(
        "4.2.1 (7) Origin comes once", request("Origin: http://a", "Origin: http://b"), 400
    ),
    HandshakeRule(
        "4.1 (10) subprotocols are different from each other",
        request("Sec-WebSocket-Protocol: chat, chat"),
        400,
    ),
    HandshakeRule(
        "4.1 (10) subprotocols are names", request("Sec-WebSocket-Protocol: a chat"), 400
    ),
    HandshakeRule(
        "RFC 9112 2.2 an empty line before the request is passed over",
        b"\r\n" + request(),
        101,
        has=(ACCEPT,),
    ),
    HandshakeRule("RFC 9112 3 garbage is told that it is not HTTP", b"\x16\x03\x01\x02", 400),
    HandshakeRule("RFC 9112 3 a request line has three parts", b"GET /\r\n\r\n", 400),
    HandshakeRule("RFC 9112 3.2 a plain GET needs Host too", b"GET / HTTP/1.1\r\n\r\n", 400),
    HandshakeRule("RFC 9112 5.1 no space before a colon", request("X : y"), 400),
    HandshakeRule("RFC 9112 5.2 a field is on one line", request("X: y", " z"), 400),
    HandshakeRule("RFC 9110 5.5 no control characters in a field", request("X: \0"), 400),
    HandshakeRule("RFC 9112 2.2 a line ends with CR and LF", request("X: y\nZ: z"), 400),
    HandshakeRule("RFC 9112 5 a field has a name", request(": y"), 400),
    HandshakeRule(
        "RFC 9112 6 a request with a body is refused", request("Content-Length: 5") + b"12345", 400
    ),
    HandshakeRule(
        "RFC 9112 6.1 a request with a coded body is refused",
        request("Transfer-Encoding: chunked") + b"0\r\n\r\n",
        400,
    ),
    HandshakeRule("RFC 9112 6.2 a body of 0 bytes is none", request("Content-Length: 0"), 101),
    HandshakeRule(
        "RFC 6585 5 a request above the limit is refused",
        request("X: " + "y" * REQUEST_LIMIT),
        431,
    ),
    HandshakeRule(
        "RFC 6585 5 so is one that never ends, as soon as it is above the limit",
        b"GET / HTTP/1.1\r\nX: " + b"y" * REQUEST_LIMIT,
        431,
    ),
    HandshakeRule(
        "RFC 6585 5 a request of as many bytes as the limit is taken",
        request("X: " + "y" * (REQUEST_LIMIT - len(request("X: ")))),
        101,
    ),
    HandshakeRule(
        "RFC 9110 15.3.1 plain HTTP gets a page",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        200,
        has=("Content-Type: text/html; charset=utf-8", "Connection: close"),
    ),
    HandshakeRule(
        "RFC 9110 15.5.5 but not every page", b"GET /favicon.ico HTTP/1.1\r\nHost: x\r\n\r\n", 404
    ),
    HandshakeRule("RFC 1945 5.1 also the oldest browser", b"GET / HTTP/1.0\r\n\r\n", 200),
]

# --- section 5: frames ---

FRAMES = [
    Rule("5.1 a frame that is not masked is 1002", frame(TEXT, b"Hello", mask=None), close=1002),
    Rule("5.1 so is a control frame", frame(PING, mask=None), close=1002),
    Rule("5.1 it fails at its second byte", b"\x81\x05", close=1002),
    Rule("5.7 a masked text message", HELLO, ECHOED),
    Rule("5.2 two frames in one segment are answered both", HELLO + HELLO, ECHOED + ECHOED),
    Rule("5.2 one byte of a frame, then silence: nothing is wrong yet", HELLO[:1]),
    Rule("5.2 a header without its payload: nothing is wrong yet", HELLO[:6]),
    *[
        Rule(
            f"5.2 reserved bit {name} of {kind} is 1002",
            frame(TEXT, fin=False) * (kind == "a continuation") + frame(opcode, b"x", reserved=bit),
            close=1002,
        )
        for name, bit in (("RSV1", 0x40), ("RSV2", 0x20), ("RSV3", 0x10))
        for kind, opcode in (("text", TEXT), ("a continuation", CONTINUATION), ("a ping", PING))
    ],
    Rule("5.2 a reserved bit fails at the first byte", b"\xc1", close=1002),
    *[
        Rule(f"5.2 opcode {opcode:#x} is 1002", HELLO + frame(opcode, b"x"), ECHOED, 1002)
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    ],
    *[
        Rule(
            f"5.2 a payload of {size} bytes",
            frame(BINARY, bytes(i & 0xFF for i in range(size))),
            sent(BINARY, bytes(i & 0xFF for i in range(size))),
        )
        for size in (0, 1, 2, 3, 4, 5, 7, 8, 9, 125, 126, 127, 128, 255, 256, 65535, 65536, 70001)
    ],
    *[
        Rule(
            f"5.2 a length of {size} in {form} bits is not minimal, 1002",
            frame(BINARY, bytes(size), form=form),
            close=1002,
        )
        for size, form in ((0, 16), (125, 16), (0, 64), (125, 64), (126, 64), (65535, 64))
    ],
    Rule(
        "5.2 the highest bit of a 64-bit length is 0, else 1002",
        frame(BINARY, form=64, announce=1 << 63),
        close=1002,
    ),
    *[
        Rule(
            f"5.3 the mask may be any: {mask.hex()}",
            frame(TEXT, b"any mask", mask=mask),
            sent(TEXT, b"any mask"),
        )
        for mask in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\x02\x03\x04", b"\x80\0\0\x80")
    ],
    Rule(
        "5.3 each frame has a mask of its own",
        frame(TEXT, b"He", fin=False, mask=b"abcd") + frame(CONTINUATION, b"llo", mask=b"efgh"),
        ECHOED,
    ),
    Rule(
        "5.4 a message in two frames is one message",
        frame(TEXT, b"Hel", fin=False) + frame(CONTINUATION, b"lo"),
        ECHOED,
    ),
    Rule(
        "5.4 a message in frames of one byte is one message",
        frame(TEXT, b"H", fin=False)
        + b"".join(frame(CONTINUATION, b"ello"[i : i + 1], fin=i == 3) for i in range(4)),
        ECHOED,
    ),
    Rule(
        "5.4 fragments may be empty",
        frame(TEXT, fin=False)
        + frame(CONTINUATION, b"Hello", fin=False)
        + frame(CONTINUATION, fin=False)
        + frame(CONTINUATION),
        ECHOED,
    ),
    Rule(
        "5.4 a message of empty fragments is an empty message",
        frame(BINARY, fin=False) + frame(CONTINUATION),
        sent(BINARY),
    ),
    Rule(
        "5.4 control frames come between fragments, and are answered at once",
        frame(TEXT, b"Hel", fin=False) + frame(PING, b"now") + frame(CONTINUATION, b"lo"),
        sent(PONG, b"now") + ECHOED,
    ),
    Rule(
        "5.4 a ping between fragments does not wait for the last one",
        frame(TEXT, b"Hel", fin=False) + frame(PING, b"now"),
        sent(PONG, b"now"),
    ),
    Rule(
        "5.4 an unfinished fragment, then silence: nothing is wrong", frame(TEXT, b"x", fin=False)
    ),
    Rule(
        "5.4 after a fragmented message comes the next",
        (frame(TEXT, b"Hel", fin=False) + frame(CONTINUATION, b"lo")) * 2 + HELLO,
        ECHOED * 3,
    ),
    Rule("5.4 a continuation of nothing is 1002", frame(CONTINUATION, b"x"), close=1002),
    Rule(
        "5.4 a continuation that goes on is no better",
        frame(CONTINUATION, b"x", fin=False),
        close=1002,
    ),
    Rule(
        "5.4 a continuation after a whole message is 1002",
        HELLO + frame(CONTINUATION, b"x"),
        ECHOED,
        1002,
    ),
    Rule(
        "5.4 a continuation after the last fragment is 1002",
        frame(TEXT, b"Hel", fin=False) + frame(CONTINUATION, b"lo") + frame(CONTINUATION, b"x"),
        ECHOED,
        1002,
    ),
    Rule(
        "5.4 a new text before the last fragment is 1002",
        frame(TEXT, b"x", fin=False) + HELLO,
        close=1002,
    ),
    Rule(
        "5.4 a new binary message before the last fragment is 1002",
        frame(TEXT, b"x", fin=False) + frame(BINARY, b"y", fin=False),
        close=1002,
    ),
    *[
        Rule(
            f"5.5 a {name} of 125 bytes is allowed",
            frame(opcode, b"x" * 125),
            sent(PONG, b"x" * 125) if opcode == PING else b"",
        )
        for name, opcode in (("ping", PING), ("pong", PONG))
    ],
    *[
        Rule(f"5.5 a {name} of 126 bytes is 1002", frame(opcode, b"x" * 126), close=1002)
        for name, opcode in (("close", CLOSE), ("ping", PING), ("pong", PONG))
    ],
    *[
        Rule(
            f"5.5 a {name} with a length in 64 bits fails at its second byte",
            frame(opcode, form=64, announce=1 << 40)[:2],
            close=1002,
        )
        for name, opcode in (("close", CLOSE), ("ping", PING), ("pong", PONG))
    ],
    *[
        Rule(f"5.5 a fragmented {name} is 1002", frame(opcode, b"", fin=False), close=1002)
        for name, opcode in (("close", CLOSE), ("ping", PING), ("pong", PONG))
    ],
    Rule("5.5.1 a close without payload is answered without", frame(CLOSE), close=NO_CODE),
    Rule("5.5.1 close payload of one byte is 1002", frame(CLOSE, b"\x03"), close=1002),
    Rule("5.5.1 a close is answered with its code", frame(CLOSE, closing(1000)), close=1000),
    Rule(
        "5.5.1 a close may have a reason",
        frame(CLOSE, closing(1001, "Auf Wiedersehen, Käthe".encode())),
        close=1001,
    ),
    Rule("5.5.1 a reason may have 123 bytes", frame(CLOSE, closing(1000, b"x" * 123)), close=1000),
    Rule(
        "5.5.1 a reason that is not UTF-8 is 1007",
        frame(CLOSE, closing(1000, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xed\xa0\x80")),
        close=1007,
    ),
    Rule("5.5.1 what follows a close is not answered", frame(CLOSE) + HELLO, close=NO_CODE),
    Rule(
        "5.5.1 what follows a close is not even looked at",
        frame(CLOSE, closing(1000)) + b"\xff\xff\xff",
        close=1000,
    ),
    Rule("5.5.1 what comes before a close is answered", HELLO + frame(CLOSE), ECHOED, NO_CODE),
    Rule(
        "5.5.1 a close between fragments ends the connection",
        frame(TEXT, b"Hel", fin=False) + frame(CLOSE, closing(1000)) + frame(CONTINUATION, b"lo"),
        close=1000,
    ),
    Rule("5.5.2 a lone ping is answered at once", frame(PING), sent(PONG)),
    Rule("5.5.2 a pong has the ping's payload", frame(PING, b"\0\xff x"), sent(PONG, b"\0\xff x")),
    Rule(
        "5.5.2 pings and messages are answered in order",
        frame(PING, b"1") + HELLO + frame(PING, b"2") + HELLO + HELLO,
        sent(PONG, b"1") + ECHOED + sent(PONG, b"2") + ECHOED + ECHOED,
    ),
    Rule("5.5.3 a pong that nobody asked for is passed over", frame(PONG, b"x") + HELLO, ECHOED),
    Rule("5.6 binary goes back as binary", frame(BINARY, b"\xff\0"), sent(BINARY, b"\xff\0")),
    Rule("5.6 an empty text", frame(TEXT), sent(TEXT)),
    Rule(
        "5.6 text and binary in turn",
        (HELLO + frame(BINARY, b"\xff") + frame(BINARY)) * 40,
        (ECHOED + sent(BINARY, b"\xff") + sent(BINARY)) * 40,
    ),
]

# --- section 7: closing ---

MAY_BE_SENT = (1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3001, 3999, 4000, 4999)
MUST_NOT_BE_SENT = (
    *(0, 1, 999),  # 7.4.2: not used
    *(1004, 1005, 1006, 1015),  # 7.4.1: reserved, for use on one side only
    *(1016, 1017, 1100, 1999, 2000, 2999),  # 7.4.2: for the protocol, and IANA assigned none
    *(5000, 10000, 65535),  # 7.4.2: beyond all ranges
)

CLOSING = [
    *[
        Rule(
            f"7.4 close code {code} is answered with itself",
            frame(CLOSE, closing(code)),
            close=code,
        )
        for code in MAY_BE_SENT
    ],
    *[
        Rule(f"7.4 close code {code} is 1002", frame(CLOSE, closing(code, b"x")), close=1002)
        for code in MUST_NOT_BE_SENT
    ],
    Rule(
        "7.1.7 after a failed frame, nothing is answered any more",
        HELLO + frame(3) + HELLO + frame(PING),
        ECHOED,
        1002,
    ),
]

# --- section 8.1: text is UTF-8, and fails as soon as it is not ---

UTF8 = [  # each is a whole text
    "κόσμε".encode(),
    "\x00\x7f\x80\u07ff\u0800\uffff\U00010000\U0010ffff".encode(),
    "\ud7ff\ue000\ufffd\ufdd0".encode(),  # next to the surrogates; non-characters are characters
    "日本語, and some ASCII after it, more than eight bytes of it".encode(),
]
NOT_UTF8 = [  # what comes before the first bad byte, the bad byte
    (b"", b"\x80"),  # a continuation byte that continues nothing
    (b"ok", b"\xbf"),
    (b"", b"\xc0"),  # "/" in 2 bytes would begin so
    (b"", b"\xc1"),
    (b"\xe0", b"\x80"),  # U+0000 to U+07FF in 3 bytes
    (b"\xe0", b"\x9f"),
    (b"\xf0", b"\x80"),  # U+0000 to U+FFFF in 4 bytes
    (b"\xf0", b"\x8f"),
    (b"\xed", b"\xa0"),  # a surrogate
    (b"\xed", b"\xbf"),
    (b"\xf4", b"\x90"),  # above U+10FFFF
    (b"", b"\xf5"),
    (b"", b"\xff"),
    (b"\xc3", b"("),  # a character that is broken off
    (b"\xe2\x82", b"("),
    (b"\xf0\x9f\x98", b"("),
    (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed", b"\xa0"),  # κόσμε, then a surrogate
    (b"more than eight bytes of ASCII ", b"\xfe"),
]

TEXTS = [
    *[
        Rule(f"8.1 text {text.hex()} is UTF-8", frame(TEXT, text), sent(TEXT, text))
        for text in UTF8
    ],
    *[
        Rule(
            f"8.1 text {text.hex()} may be cut anywhere, also inside a character: at {at}",
            frame(TEXT, text[:at], fin=False) + frame(CONTINUATION, text[at:]),
            sent(TEXT, text),
        )
        for text in UTF8[:3]
        for at in range(len(text) + 1)
    ],
    *[
        Rule(
            f"8.1 text {(good + bad).hex()} is 1007",
            HELLO + frame(TEXT, good + bad + b" and more"),
            ECHOED,
            1007,
        )
        for good, bad in NOT_UTF8
    ],
    *[
        Rule(
            f"8.1 text {(good + bad).hex()} is 1007 before its frame ends",
            frame(TEXT, good + bad + b"x" * 50)[: 6 + len(good + bad)],
            close=1007,
        )
        for good, bad in NOT_UTF8
    ],
    *[
        Rule(
            f"8.1 text {(good + bad).hex()} in two fragments is 1007 before the message ends",
            frame(TEXT, good, fin=False) + frame(CONTINUATION, bad, fin=False),
            close=1007,
        )
        for good, bad in NOT_UTF8
    ],
    *[
        Rule(
            f"8.1 text that ends inside a character is 1007: {text.hex()}",
            frame(TEXT, text),
            close=1007,
        )
        for text in (b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"ASCII, then \xf0\x9f")
    ],
    Rule(
        "8.1 a message that ends inside a character is 1007",
        frame(TEXT, b"\xe2\x82", fin=False) + frame(CONTINUATION),
        close=1007,
    ),
    Rule("8.1 binary is not text", frame(BINARY, b"\xff\xfe\x80"), sent(BINARY, b"\xff\xfe\x80")),
    Rule(
        "8.1 fragmented binary is not text",
        frame(BINARY, b"\xff", fin=False) + frame(CONTINUATION, b"\x80"),
        sent(BINARY, b"\xff\x80"),
    ),
]

# --- section 10.4: limits, known from the header, before the payload comes ---

LIMITS = [
    Rule(
        "10.4 a message of as many bytes as the limit",
        frame(BINARY, b"x" * LIMIT, mask=b"\0\0\0\0"),
        sent(BINARY, b"x" * LIMIT),
    ),
    Rule(
        "10.4 a frame above the limit is 1009 at its length",
        frame(BINARY, announce=LIMIT + 1, form=64, mask=None)[:1]
        + b"\xff"
        + struct.pack("!Q", LIMIT + 1),
        close=1009,
    ),
    Rule(
        "10.4 a length of 2^63-1 is 1009",
        frame(BINARY, announce=(1 << 63) - 1, form=64),
        close=1009,
    ),
    Rule(
        "10.4 fragments that come to more than the limit are 1009 at the header",
        frame(BINARY, b"x" * 65536, fin=False, mask=b"\0\0\0\0")
        + frame(CONTINUATION, announce=LIMIT - 65535, form=64),
        close=1009,
    ),
    Rule(
        "10.4 a message that never ends is 1009",
        frame(BINARY, b"x" * 65536, fin=False, mask=b"\0\0\0\0")
        + frame(CONTINUATION, b"x" * 65536, fin=False, mask=b"\0\0\0\0") * (LIMIT // 65536),
        close=1009,
    ),
]

RULES = [*FRAMES, *CLOSING, *TEXTS, *LIMITS]
