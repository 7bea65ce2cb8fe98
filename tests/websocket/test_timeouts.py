"""What a WebSocket waits for, and what becomes of it when the deadline comes; without a socket."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from iomodels.websocket import END, NEVER, TEXT, Close, MessageApp, Timeouts, WebSocket, encode
from tests.websocket.harness import FAST

FD = 7
T = Timeouts(read_header=1, read=2, write=3, idle=8, pong=5, close=6)
KEY = b"\1\2\3\4"
HELLO = (
    b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
MESSAGE = encode(TEXT, b"a whole message", KEY)
FIRST, MIDDLE, LAST = (
    bytes([first]) + encode(TEXT, b"piece", KEY)[1:] for first in (0x01, 0x00, 0x80)
)
PONG = encode(10, b"", KEY)


class App(MessageApp):
    def __init__(self) -> None:
        self.closes: list[int] = []

    def message(self, fd: int, opcode: int, payload: memoryview) -> memoryview | Close:
        return Close(1000) if payload == b"bye" else payload

    def closed(self, fd: int, code: int) -> None:
        self.closes.append(code)


class Server:
    """Keeps the deadline as a server does."""

    def __init__(self, timeouts: Timeouts = T, scanner: bool = False) -> None:
        self.app = App()
        self.websocket = WebSocket(self.app, timeouts=timeouts, scanner=scanner)
        self.websocket.deadline = self.set
        self.seconds = 0.0
        self.moved = 0
        self.websocket.opened(FD)

    def set(self, fd: int, seconds: float) -> None:
        assert fd == FD
        self.seconds, self.moved = seconds, self.moved + 1

    def hear(self, data: bytes) -> bytes:
        return self.sent(self.websocket.received(FD, memoryview(bytearray(data))))

    def expire(self) -> bytes:
        assert self.seconds, "there is no deadline"
        self.seconds = 0.0
        return self.sent(self.websocket.expired(FD))

    def sent(self, answer: Sequence[object]) -> bytes:
        self.ended = bool(answer) and answer[-1] is END
        return b"".join(bytes(buffer) for buffer in answer)  # type: ignore[call-overload]


@pytest.fixture(
    params=[False, True] if FAST else [False], ids=lambda scan: "scan" * scan or "plain"
)
def server(request: pytest.FixtureRequest) -> Server:
    server = Server(scanner=request.param)
    assert server.seconds == T.read_header
    server.hear(HELLO)
    return server


def test_a_request_has_so_long_however_it_comes() -> None:
    server = Server()
    for byte in HELLO[:-1]:
        server.hear(bytes([byte]))
    assert (server.seconds, server.moved) == (T.read_header, 1)
    answer = server.expire()
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"Connection: close" in answer
    assert server.ended and not server.websocket.requests and not server.seconds
    assert server.app.closes == [], "it was never open"


def test_messages_do_not_move_the_deadline(server: Server) -> None:
    assert server.seconds == T.idle / 2
    moved = server.moved
    for _ in range(10):
        server.hear(MESSAGE * 3)
    assert server.moved == moved


def test_who_is_silent_is_asked_for_a_sign_of_life_and_then_is_gone(server: Server) -> None:
    assert server.expire() == b""
    assert server.seconds == T.idle / 2
    assert server.expire() == b"\x89\x00", "a Ping"
    assert server.seconds == T.pong
    assert server.expire() == b""
    assert server.ended and not server.seconds
    assert server.app.closes == [1006]


@pytest.mark.parametrize("sign", [PONG, MESSAGE, MESSAGE[:3], FIRST])
def test_any_sign_of_life_will_do(server: Server, sign: bytes) -> None:
    server.expire()
    server.expire()
    server.hear(sign)
    assert server.websocket.is_open(FD)
    assert server.seconds == (T.idle / 2 if sign in (PONG, MESSAGE) else T.read)


def test_one_who_speaks_now_and_then_is_not_asked(server: Server) -> None:
    for _ in range(10):
        assert server.expire() == b""
        server.hear(MESSAGE)


def test_who_is_silent_is_open_all_the_same(server: Server) -> None:
    server.expire()
    assert server.websocket.is_open(FD)
    server.expire()
    assert server.websocket.is_open(FD)
    assert server.websocket.goodbye(FD)[0][2:4] == (1001).to_bytes(2, "big")


def test_a_message_has_so_long_from_its_first_byte(server: Server) -> None:
    moved = server.moved
    for byte in MESSAGE[:-1]:
        server.hear(bytes([byte]))
    assert (server.seconds, server.moved) == (T.read, moved + 1)
    server.hear(MESSAGE[-1:])
    assert server.seconds == T.idle / 2


def test_fragments_are_one_message_and_pings_between_do_not_help(server: Server) -> None:
    moved = server.moved
    for piece in (FIRST, MIDDLE, encode(9, b"?", KEY), MIDDLE):
        server.hear(piece)
    assert (server.seconds, server.moved) == (T.read, moved + 1)
    server.hear(LAST)
    assert server.seconds == T.idle / 2


def test_the_next_message_has_its_own_time(server: Server) -> None:
    server.hear(MESSAGE[:5])
    moved = server.moved
    for _ in range(3):  # each read ends one message, and begins another
        server.hear(MESSAGE[5:] + MESSAGE[:5])
    assert (server.seconds, server.moved) == (T.read, moved + 3)


@pytest.mark.parametrize("begun", [MESSAGE[:1], MESSAGE[:9], FIRST, FIRST + MIDDLE[:4]])
def test_who_does_not_end_a_message_is_told_and_gone(server: Server, begun: bytes) -> None:
    server.hear(begun)
    answer = server.expire()
    assert answer[0] == 0x88 and answer[2:4] == (1008).to_bytes(2, "big")
    assert answer[4:] == b"a message took longer than 2 s"
    assert server.ended and not server.websocket.unfinished and not server.seconds
    assert server.app.closes == [1008]


def test_our_close_frame_must_be_answered(server: Server) -> None:
    server.hear(encode(TEXT, b"bye", KEY))
    assert server.seconds == T.close
    moved = server.moved
    server.hear(MESSAGE * 2 + MESSAGE[:4])
    assert server.moved == moved, "what it says now does not count"
    assert server.expire() == b""
    assert server.ended
    assert server.app.closes == [1006]


def test_an_answered_close_frame_leaves_no_deadline(server: Server) -> None:
    server.hear(encode(TEXT, b"bye", KEY))
    server.hear(encode(8, (1000).to_bytes(2, "big"), KEY))
    assert server.ended and not server.seconds


def test_as_long_as_it_likes() -> None:
    server = Server(NEVER)
    for data in (HELLO[:5], HELLO[5:], MESSAGE[:5], MESSAGE[5:], encode(TEXT, b"bye", KEY)):
        server.hear(data)
        assert not server.seconds
