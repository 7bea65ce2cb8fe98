"""What a server and an app see of a connection, and what it costs. The rules are in rules.py."""

from __future__ import annotations

import gc
import struct
import sys
import tracemalloc

import pytest

from iomodels.websocket import (
    BINARY,
    END,
    TEXT,
    BatchApp,
    Close,
    MessageApp,
    Request,
    WebSocket,
    reply,
)
from iomodels.websocket.connection import BUSY, CLOSING, ENDED, FREE, HANDSHAKE, MANY, OPEN
from iomodels.websocket.rules import Unfinished
from tests.websocket.harness import FAST, Client, every_way, serve
from tests.websocket.rules import (
    CLOSE,
    CONTINUATION,
    ECHOED,
    HELLO,
    LIMIT,
    PING,
    PONG,
    closing,
    frame,
    request,
    sent,
)


class Scripted(MessageApp):
    """Answers as it is told to, message by message."""

    def __init__(self, *replies: object, greeting: object = None) -> None:
        self.replies, self.greeting, self.got = list(replies), greeting, []

    def opened(self, fd: int, request: Request):
        return self.greeting

    def message(self, fd: int, opcode: int, payload: memoryview):
        self.got.append((opcode, bytes(payload)))
        reply = self.replies.pop(0)
        return payload if reply == "echo" else reply

    def closed(self, fd: int, code: int) -> None:
        self.got.append(("closed", int(code)))


scanner_or_not = pytest.mark.parametrize(
    "scanner",
    [
        False,
        pytest.param(True, marks=pytest.mark.skipif(not FAST, reason="numba is not installed")),
    ],
)


@scanner_or_not
@pytest.mark.parametrize("at_once", [True, False])
def test_replies_keep_their_order_and_kind(scanner: bool, at_once: bool) -> None:
    app = Scripted("echo", "echo", "täxt", b"bytes", None, "echo", memoryview(b"view"), "", "echo")
    client = Client(WebSocket(app, scanner=scanner))
    frames = [frame(TEXT, b"%d" % i * (i + 1)) for i in range(9)]
    if at_once:
        answer = client.send(b"".join(frames))
    else:
        answer = b"".join(map(client.send, frames))
    assert answer == b"".join(
        [
            sent(TEXT, b"0"),
            sent(TEXT, b"11"),
            sent(TEXT, "täxt".encode()),
            sent(BINARY, b"bytes"),
            sent(TEXT, b"555555"),
            sent(BINARY, b"view"),
            sent(TEXT, b""),
            sent(TEXT, b"888888888"),
        ]
    )
    assert app.got == [(TEXT, b"%d" % i * (i + 1)) for i in range(9)]


@scanner_or_not
@pytest.mark.parametrize("at_once", [True, False])
def test_an_app_ends_a_connection_in_order(scanner: bool, at_once: bool) -> None:
    app = Scripted("echo", Close(4000, "enough"))
    websocket = WebSocket(app, scanner=scanner)
    client = Client(websocket)
    rest = [HELLO, HELLO, HELLO, frame(TEXT, b"\xff"), frame(PING, b"?")]
    answer = client.send(b"".join(rest)) if at_once else b"".join(map(client.send, rest[:3]))
    goodbye = sent(CLOSE, closing(4000, b"enough"))
    if at_once:  # after our Close frame, a wrong frame ends it without another one
        assert answer == ECHOED + goodbye and client.ended
    else:
        assert answer == ECHOED + goodbye and not client.ended
        assert websocket.states[client.fd] == CLOSING and not websocket.unfinished
        assert client.send(frame(PING, b"?")) == sent(PONG, b"?")
        assert client.send(frame(CLOSE, closing(4000))) == b"" and client.ended
        assert app.got[-1] == ("closed", 4000)
    assert [got for got in app.got if got[0] != "closed"] == [(TEXT, b"Hello")] * 2


@scanner_or_not
def test_what_comes_while_closing_is_thrown_away(scanner: bool) -> None:
    app = Scripted()
    websocket = WebSocket(app, scanner=scanner)
    client = Client(websocket)
    assert client.send(frame(TEXT, b"half", fin=False)) == b""
    assert b"".join(websocket.close(client.fd, 1001, "bye")) == sent(CLOSE, closing(1001, b"bye"))
    assert websocket.close(client.fd) == ()
    assert client.send(frame(CONTINUATION, b"rest") + HELLO * 3, [5]) == b""
    assert client.send(frame(CLOSE, closing(1001))) == b"" and client.ended
    assert app.got == [("closed", 1001)]


def test_close_before_the_handshake_hangs_up() -> None:
    websocket = WebSocket(MessageApp())
    websocket.opened(3)
    websocket.received(3, memoryview(bytearray(b"GET / HT")))
    assert websocket.close(3) == (END,)
    assert not websocket.requests
    assert websocket.close(3) == ()
    with pytest.raises(ValueError, match="1006 must not be sent"):
        websocket.close(Client(websocket).fd, 1006)


@scanner_or_not
@pytest.mark.parametrize("greeting", ["hi", b"hi", Close(1013, "full"), None])
def test_greeting(greeting: object, scanner: bool) -> None:
    client = Client(WebSocket(Scripted("echo", greeting=greeting), scanner=scanner), upgraded=False)
    after = client.send(request() + HELLO).partition(b"\r\n\r\n")[2]
    assert (
        after
        == {
            "hi": sent(TEXT, b"hi") + ECHOED,
            b"hi": sent(BINARY, b"hi") + ECHOED,
            Close(1013, "full"): sent(CLOSE, closing(1013, b"full")),
            None: ECHOED,
        }[greeting]
    )


def test_a_batch_app_may_greet() -> None:
    class Greeter(BatchApp):
        def opened(self, fd, request):
            return f"hello, {request.target}"

    client = Client(WebSocket(Greeter()), upgraded=False)
    assert client.send(request()).endswith(sent(TEXT, b"hello, /chat"))


@every_way
def test_the_end_is_told_once(way) -> None:
    websocket = serve(way)
    for data, code in ((frame(CLOSE, closing(1001)), 1001), (frame(CLOSE), 1005), (b"\xff", 1002)):
        client = Client(websocket)
        client.send(data)
        assert client.ended
        assert websocket.states[client.fd] == ENDED
        assert list(websocket.received(client.fd, memoryview(bytearray(HELLO)))) == [END]
        websocket.closed(client.fd)
        assert websocket.states[client.fd] == FREE
        websocket.closed(client.fd)
        assert websocket.app.events == [("opened", 7), ("closed", 7, code)]
        websocket.app.events.clear()
    for data in (b"", HELLO[:3], HELLO[:8], frame(TEXT, fin=False)):  # and then the line is cut
        client = Client(websocket)
        client.send(data)
        websocket.closed(client.fd)
        assert websocket.app.events == [("opened", 7), ("closed", 7, 1006)]
        assert not websocket.unfinished
        websocket.app.events.clear()
    client = Client(websocket, upgraded=False)
    client.send(b"GET")
    websocket.closed(client.fd)
    assert websocket.app.events == [] and not websocket.requests


@every_way
def test_states(way) -> None:
    websocket = serve(way)
    client = Client(websocket, fd=100, upgraded=False)

    def state() -> tuple[int, int]:
        return websocket.states[100], len(websocket.unfinished) + len(websocket.requests)

    assert state() == (HANDSHAKE, 0)
    client.send(request()[:10])
    assert state() == (HANDSHAKE, 1)
    client.send(request()[10:])
    assert state() == (OPEN, 0)
    for half in (HELLO[:1], HELLO[:4], HELLO[:6], HELLO[:10]):
        client.send(half)
        assert state() == (BUSY, 1)
        client.send(HELLO[len(half) :])
        assert state() == (OPEN, 0)
    client.send(frame(TEXT, b"a", fin=False))
    assert state() == (BUSY, 1)
    client.send(frame(PING))
    assert state() == (BUSY, 1)
    client.send(frame(CONTINUATION))
    assert state() == (OPEN, 0)


@every_way
def test_connections_do_not_mix(way) -> None:
    """Fifty of them, in turn, each with its message cut at another place."""
    websocket = serve(way)
    clients = [Client(websocket, fd) for fd in range(5, 55)]
    frames = [
        frame(TEXT, b"%d, and more" % client.fd, mask=b"%04d" % client.fd) for client in clients
    ]
    for client, data in zip(clients, frames, strict=True):
        assert client.send(data[: client.fd % len(data)]) == b""
    for client, data in zip(clients, frames, strict=True):
        assert client.send(data[client.fd % len(data) :]) == sent(TEXT, b"%d, and more" % client.fd)
    assert not websocket.unfinished


@every_way
def test_one_window_one_answer(way) -> None:
    """However many messages a read holds, few buffers go to writev, in the best case one."""
    scanner = way[1]
    websocket = serve(way)
    client = Client(websocket)
    window = memoryview(bytearray(HELLO * 1000))
    answer = websocket.received(client.fd, window)
    assert b"".join(answer) == ECHOED * 1000
    assert len(answer) == 1
    window = memoryview(bytearray(HELLO * MANY))
    answer = websocket.received(client.fd, window)
    assert len(answer) == (1 if scanner else MANY)
    assert all(buffer.obj is window.obj for buffer in answer), "built in the window itself"


@every_way
@pytest.mark.parametrize("size", [0, 1, 125])
def test_a_short_echo_is_built_in_the_window(size: int, way) -> None:
    client = Client(websocket := serve(way))
    window = memoryview(bytearray(frame(BINARY, b"x" * size)))
    (answer,) = websocket.received(client.fd, window)
    assert answer == sent(BINARY, b"x" * size)
    assert answer.obj is window.obj


# --- what it costs ---


@every_way
def test_an_idle_connection_costs_one_byte(way) -> None:
    """After a handshake and two messages each. The array doubles, so it may be 2 bytes."""

    class Quiet(MessageApp):
        def message(self, fd, opcode, payload):
            return payload

    class QuietBatches(BatchApp):
        def batch(self, fd, window, rows):
            return reply(window, rows)

    batches, scanner = way
    websocket = WebSocket(QuietBatches() if batches else Quiet(), scanner=scanner)
    window = memoryview(bytearray(1 << 10))

    def connect(fds: range) -> None:
        for fd in fds:
            websocket.opened(fd)
            for data in (request(), HELLO, HELLO[:3], HELLO[3:]):
                window[: len(data)] = data
                websocket.received(fd, window[: len(data)])

    connect(range(100))
    gc.collect()
    tracemalloc.start()
    connect(range(100, 5100))
    gc.collect()
    cost = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert cost <= 5000 * 2.1


@every_way
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(HELLO[:1], id="one byte"),
        pytest.param(frame(BINARY, announce=LIMIT, form=64), id="a header, no payload"),
        pytest.param(
            frame(BINARY, fin=False) + frame(CONTINUATION, fin=False, announce=LIMIT, form=64),
            id="a header in a fragmented message",
        ),
        pytest.param(frame(TEXT, b"abc", fin=False), id="an unfinished fragment"),
        pytest.param(frame(BINARY, announce=(1 << 63) - 1, form=64), id="a length of 2^63-1"),
    ],
)
def test_nothing_is_reserved_for_what_is_only_announced(way, data: bytes) -> None:
    client = Client(websocket := serve(way))
    window = memoryview(bytearray(data))
    client.send(HELLO * 3)
    tracemalloc.start()
    websocket.received(client.fd, window)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3000


@every_way
def test_a_message_that_never_ends_is_bounded(way) -> None:
    client = Client(websocket := serve(way, limit=100_000))
    client.send(frame(BINARY, b"x" * 50_000, fin=False))
    data = frame(CONTINUATION, b"x" * 10_000, fin=False)
    sizes = []
    while not client.ended:
        answer = client.send(data)
        if websocket.unfinished:
            sizes.append(len(websocket.unfinished[client.fd].message))
    assert struct.unpack("!H", answer[2:4]) == (1009,)
    assert max(sizes) <= 100_000 + 10
    assert not websocket.unfinished


@every_way
def test_one_slow_sender_holds_up_nobody(way) -> None:
    """One byte of a frame, then silence: the others are answered all the same."""
    websocket = serve(way)
    slow, other = Client(websocket, 5), Client(websocket, 6)
    for byte in HELLO[:-1]:
        assert slow.send(bytes([byte])) == b""
        assert other.send(HELLO) == ECHOED
    assert slow.send(HELLO[-1:]) == ECHOED


def test_threads_have_rows_of_their_own() -> None:
    pytest.importorskip("numba")
    import threading

    from iomodels.websocket.scan import Scanner

    scanner, found = Scanner(), []
    rows, _, _ = scanner.scan(memoryview(bytearray(HELLO * 3)), 0, len(HELLO) * 3, LIMIT)

    def other() -> None:
        found.append(scanner.scan(memoryview(bytearray(HELLO[:-1])), 0, len(HELLO) - 1, LIMIT))
        found.append(scanner.scan(memoryview(bytearray(frame(BINARY))), 0, 6, LIMIT))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert rows.tolist() == [[11 * i + 6, 5, 1, 1] for i in range(3)]
    assert [len(f[0]) for f in found] == [0, 1]


@every_way
def test_a_view_that_cannot_be_written_is_refused_at_the_first_read(way) -> None:
    websocket = serve(way)
    websocket.opened(7)
    with pytest.raises(TypeError, match="must be writable"):
        websocket.received(7, memoryview(b"GET / HTTP/1.1\r\n"))


@every_way
def test_many_small_fragments_are_not_copied_again_and_again(way, monkeypatch) -> None:
    grown = []
    make_room = Unfinished.make_room
    monkeypatch.setattr(
        Unfinished, "make_room", lambda self, stop: (grown.append(stop), make_room(self, stop))[1]
    )
    client = Client(serve(way))
    pieces = [bytes([i & 0x7F]) * 16 for i in range(4096)]
    data = frame(BINARY, pieces[0], fin=False)
    data += b"".join(frame(CONTINUATION, piece, fin=False) for piece in pieces[1:])
    answer = client.send(data + frame(CONTINUATION, b""))
    assert answer == sent(BINARY, b"".join(pieces))
    assert len(grown) < 20


@every_way
def test_large_messages_put_together_in_one_read_do_not_share_room(way) -> None:
    """Both answers are views, and must hold until the read is answered."""
    client = Client(serve(way))
    size = 100_000  # the room of a message of this size is used again
    for _ in range(3):
        first, second = (bytes([letter]) * size for letter in b"12")
        head = frame(BINARY, first, fin=False)
        tail = frame(CONTINUATION, b"") + frame(BINARY, second, fin=False)
        rest = frame(CONTINUATION, b"")
        window = memoryview(bytearray(head + tail + rest))
        answer = client.websocket.received(client.fd, window)
        assert b"".join(answer) == sent(BINARY, first) + sent(BINARY, second)


@pytest.mark.skipif(not FAST, reason="numba is not installed")
def test_payloads_are_views_of_the_window_and_no_copies() -> None:
    from iomodels.websocket.payloads import payloads
    from iomodels.websocket.scan import Scanner

    sizes = [0, 1, 5, 125, 126, 70_000]
    data = bytearray(b"".join(frame(BINARY, bytes([n]) * size) for n, size in enumerate(sizes)))
    window = memoryview(data)
    rows, _, _ = Scanner().scan(window, 0, len(window), 1 << 20)
    views = payloads(window, rows)
    assert [bytes(view) for view in views] == [bytes([n]) * s for n, s in enumerate(sizes)]
    assert payloads(window, rows[2:4]) == views[2:4]
    assert payloads(window, [tuple(row) for row in rows.tolist()]) == views
    data[rows[2][0]] = 0xEE
    assert views[2][0] == 0xEE
    views[3][0] = 0xDD
    assert data[rows[3][0]] == 0xDD
    count = sys.getrefcount(views[1])
    assert count == 2, "the list has the only reference"
    assert payloads(window, rows[:0]) == []
