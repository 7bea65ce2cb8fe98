"""The handshake's hooks, and a request that comes in pieces. Its rules are in rules.py."""

from __future__ import annotations

import pytest

from iomodels.websocket import Handshake, MessageApp, WebSocket
from iomodels.websocket.handshake import Request, accept_key
from tests.websocket.harness import Client
from tests.websocket.rules import ECHOED, HELLO, REQUEST_LIMIT, request


def test_the_accept_key_of_section_1_3() -> None:
    assert accept_key(b"dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_what_the_request_said() -> None:
    data = request(
        "Origin: http://example.com",
        "Sec-WebSocket-Protocol: chat, superchat",
        "Sec-WebSocket-Protocol: \tmore",
        line="GET /chat?room=1 HTTP/1.1",
    )
    answer = Handshake().answer(data + b"frames")
    assert answer.consumed == len(data)
    assert answer.request == Request(
        target="/chat?room=1",
        host="server.example.com",
        origin="http://example.com",
        key=b"dGhlIHNhbXBsZSBub25jZQ==",
        offered=("chat", "superchat", "more"),
        subprotocol=None,
    )


@pytest.mark.parametrize("buffer", [bytes, bytearray, memoryview])
def test_any_buffer_and_any_cut(buffer) -> None:
    data, handshake = request(), Handshake()
    whole = handshake.answer(data)
    for cut in range(1, len(data)):
        assert handshake.answer(buffer(data[:cut])) is None
        assert handshake.answer(buffer(data + HELLO), searched=cut) == whole


@pytest.mark.parametrize("cut", range(1, len(request()) + len(HELLO)))
def test_a_frame_in_the_same_segment_however_it_is_cut(cut: int) -> None:
    class Echo(MessageApp):
        def message(self, fd, opcode, payload):
            return payload

    websocket = WebSocket(Echo())
    answer = Client(websocket, upgraded=False).send(request() + HELLO, [cut])
    assert answer.endswith(b"\r\n\r\n" + ECHOED)
    assert not websocket.requests and not websocket.unfinished


def test_a_line_that_ends_the_request_is_looked_for_only_in_what_is_new() -> None:
    class Counted(bytearray):
        pass

    data = request("X: " + "y" * 4000)
    for searched in (0, 100, len(data) - 4):
        assert Handshake().answer(data, searched).consumed == len(data)
    assert Handshake().answer(data, len(data)) is None, "it was not there before"


def test_the_origin_is_for_the_server_to_judge() -> None:
    asked = []

    def allow(origin: str | None) -> bool:
        asked.append(origin)
        return origin == "http://good"

    handshake = Handshake(allow=allow)
    assert handshake.answer(request("Origin: http://good")).request is not None
    refused = handshake.answer(request("Origin: http://bad"))
    assert refused.response.startswith(b"HTTP/1.1 403 ") and refused.request is None
    assert handshake.answer(request()).request is None
    assert asked == ["http://good", "http://bad", None]


def test_the_server_chooses_the_subprotocol() -> None:
    def choose(offered):
        return "superchat" if "superchat" in offered else None

    handshake = Handshake(choose=choose)
    chosen = handshake.answer(request("Sec-WebSocket-Protocol: chat, superchat"))
    assert b"\r\nSec-WebSocket-Protocol: superchat\r\n" in chosen.response
    assert chosen.request.subprotocol == "superchat"
    none = handshake.answer(request("Sec-WebSocket-Protocol: chat"))
    assert b"Sec-WebSocket-Protocol" not in none.response and none.request.subprotocol is None
    assert handshake.answer(request()).request is not None


def test_a_subprotocol_that_was_not_offered_is_the_hook_s_mistake() -> None:
    handshake = Handshake(choose=lambda offered: "mine")
    with pytest.raises(ValueError, match="'mine' was chosen"):
        handshake.answer(request("Sec-WebSocket-Protocol: chat"))


def test_the_page_is_the_server_s() -> None:
    handshake = Handshake(page=lambda target: b"<p>chat</p>" if target == "/?x=1" else None)
    page = handshake.answer(b"GET /?x=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert page.response.endswith(b"\r\n\r\n<p>chat</p>") and page.request is None
    assert b" 404 " in handshake.answer(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").response


def test_the_limit_counts_the_request_and_not_what_follows() -> None:
    data = request()
    assert Handshake(limit=len(data)).answer(data + HELLO * 100).request is not None
    assert b" 431 " in Handshake(limit=len(data) - 1).answer(data).response


def test_a_half_request_is_not_kept_beyond_the_limit() -> None:
    websocket = WebSocket(MessageApp())
    client = Client(websocket, upgraded=False)
    data = b"GET / HTTP/1.1\r\nX: " + b"y" * REQUEST_LIMIT
    assert client.send(data[:REQUEST_LIMIT]) == b""
    assert len(websocket.requests[client.fd]) == REQUEST_LIMIT
    assert b" 431 " in client.send(data[REQUEST_LIMIT:])
    assert client.ended and not websocket.requests
