"""The two decoders: the same rows, the same bytes, nothing allocated."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iomodels.websocket import ProtocolError, reply
from iomodels.websocket.frames import decode
from iomodels.websocket.parser import parse
from tests.websocket.harness import FAST
from tests.websocket.rules import BINARY, CLOSE, PING, RULES, TEXT, frame, sent

LIMIT = 70_000
needs_numba = pytest.mark.skipif(not FAST, reason="numba is not installed")

payloads = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=50).map(str.encode),
    st.integers(0, 70_001).map(lambda size: b"x" * size),
)
masks = st.binary(min_size=4, max_size=4)
good_frames = st.builds(
    frame, st.sampled_from([0, 1, 2]), payloads, fin=st.booleans(), mask=masks
) | st.builds(frame, st.sampled_from([8, 9, 10]), st.binary(max_size=125), mask=masks)
any_frames = good_frames | st.binary(max_size=20)
streams = st.lists(any_frames, max_size=12).map(b"".join)


def readable(data: bytes, at: int) -> tuple[list[tuple[int, ...]], int, bytearray, bool]:
    """Return rows, where they end, the window after it, and whether the next frame is wrong."""
    window = bytearray(at) + data
    rows, wrong = [], False
    try:
        for row in parse(memoryview(window), at, len(window), LIMIT):
            rows.append(row)
    except ProtocolError:
        wrong = True
    return rows, sum(rows[-1][:2]) if rows else at, window, wrong


def scanned(data: bytes, at: int) -> tuple[list[tuple[int, ...]], int, bytearray, bool]:
    from iomodels.websocket.scan import CAPACITY, Scanner

    window = bytearray(at) + data
    rows: list[tuple[int, ...]] = []
    stopped, count = at, CAPACITY
    while count == CAPACITY:
        found, _, stopped = Scanner().scan(memoryview(window), stopped, len(window), LIMIT)
        count = len(found)
        rows += map(tuple, found.tolist())
    try:
        decode(window, stopped, len(window), LIMIT)
    except ProtocolError:
        return rows, stopped, window, True
    return rows, stopped, window, False


@needs_numba
@given(data=streams, at=st.integers(0, 16))
def test_both_decoders_give_the_same(data: bytes, at: int) -> None:
    assert scanned(data, at) == readable(data, at)


@needs_numba
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_both_decoders_give_the_same_for_each_rule(rule) -> None:
    for at in range(8):
        assert scanned(rule.client, at) == readable(rule.client, at)


def test_the_tail_is_left_as_it_was() -> None:
    data = frame(TEXT, b"one") + frame(TEXT, b"two")[:-1]
    for decoder in (readable, scanned) if FAST else (readable,):
        rows, stop, window, wrong = decoder(data, 0)
        assert rows == [(6, 3, TEXT, 1)] and stop == 9 and not wrong
        assert window[6:9] == b"one" and window[9:] == data[9:]


def test_a_wrong_frame_is_reported_after_the_right_ones() -> None:
    window = memoryview(bytearray(frame(TEXT, b"one") + frame(3)))
    frames = parse(window, 0, len(window), LIMIT)
    assert next(frames) == (6, 3, TEXT, 1)
    with pytest.raises(ProtocolError, match="opcode 0x3 is not defined"):
        next(frames)


@needs_numba
def test_more_frames_than_rows() -> None:
    from iomodels.websocket.scan import CAPACITY

    data = frame(BINARY) * (2 * CAPACITY + 1)
    assert scanned(data, 3) == readable(data, 3)


@needs_numba
@pytest.mark.parametrize(
    ("data", "plain"),
    [
        (frame(TEXT, b"ASCII"), 1),
        (frame(TEXT, "ünïcödé, 日本語 😀".encode()), 1),
        (frame(TEXT, b"\xff"), 0),
        (frame(BINARY, b"\xff"), 1),
        (frame(TEXT, b"x", fin=False), 0),
        (frame(PING), 0),
        (frame(CLOSE), 0),
        (frame(TEXT) + frame(BINARY) + frame(PING) + frame(TEXT), 2),
    ],
)
def test_plain_messages_are_counted(data: bytes, plain: int) -> None:
    from iomodels.websocket.scan import Scanner

    assert Scanner().scan(memoryview(bytearray(data)), 0, len(data), LIMIT)[1] == plain


@needs_numba
@given(st.binary(max_size=12) | st.text(max_size=12).map(str.encode))
def test_utf8_by_the_scanner_is_utf8_by_python(data: bytes) -> None:
    from iomodels.websocket.scan import is_utf8, np

    try:
        data.decode()
        right = True
    except UnicodeDecodeError:
        right = False
    assert is_utf8(np.frombuffer(bytearray(data), np.uint8), 0, len(data)) == right


@needs_numba
def test_utf8_by_the_scanner_for_every_short_sequence() -> None:
    """All that can begin a character, with every second byte, and the bounds of the third."""
    from iomodels.websocket.scan import is_utf8, np

    for first in range(0x70, 0x100):
        for second in range(0x100):
            for rest in (b"", b"\x7f", b"\x80", b"\xbf", b"\xc0", b"\x80\x80", b"\xbf\xbf"):
                data = bytes([first, second]) + rest
                try:
                    data.decode()
                    right = True
                except UnicodeDecodeError:
                    right = False
                array = np.frombuffer(data, np.uint8).copy()
                assert is_utf8(array, 0, len(data)) == right, data.hex()


@needs_numba
@pytest.mark.parametrize("size", [16, 1024, 16384])
def test_nothing_is_allocated_per_frame(size: int) -> None:
    from iomodels.websocket.scan import np, scan

    data = frame(BINARY, b"x" * size) * ((1 << 18) // (size + 14))
    window = memoryview(bytearray(data))
    rows = np.empty((16_384, 4), np.int64)

    def peak(stop: int) -> tuple[int, int, int]:
        window[:] = data
        gc.collect()
        tracemalloc.start()
        blocks = sys.getallocatedblocks()
        count, _, _ = scan(window, 0, stop, 1 << 20, rows)
        blocks = sys.getallocatedblocks() - blocks
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return count, size, blocks

    peak(len(data))
    one, few, one_block = peak(len(data) // ((1 << 18) // (size + 14)))
    many, all_of_it, many_blocks = peak(len(data))
    assert one == 1 and many > 10
    # The three numbers that the call returns, and the tuple around them: no more for many frames.
    assert few < 1000 and all_of_it - few <= 100
    assert many_blocks - one_block <= 3


# --- replies ---


@given(data=st.lists(st.builds(frame, st.sampled_from([1, 2]), payloads, mask=masks), min_size=1))
def test_replies_are_the_same_frames_without_their_masks(data: list[bytes]) -> None:
    stream = b"".join(data)
    for decoder in (readable, scanned) if FAST else (readable,):
        rows, _, window, _ = decoder(stream, 5)
        expected = b"".join(sent(op, bytes(window[at : at + n])) for at, n, op, _ in rows)
        if decoder is scanned:
            from iomodels.websocket.scan import np

            rows = np.array(rows, np.int64).reshape(-1, 4)
        buffers = reply(memoryview(window), rows)
        assert b"".join(buffers) == expected
        assert decoder is readable or len(buffers) <= 1


@needs_numba
@given(
    data=st.lists(st.builds(frame, st.just(2), payloads, mask=masks), min_size=1, max_size=8),
    keep=st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_replies_to_some_of_the_messages(data: list[bytes], keep: list[bool]) -> None:
    from iomodels.websocket.scan import np

    rows, _, window, _ = readable(b"".join(data), 3)
    rows = [row for row, kept in zip(rows, keep, strict=False) if kept]
    expected = b"".join(sent(op, bytes(window[at : at + n])) for at, n, op, _ in rows)
    array = np.array(rows, np.int64).reshape(-1, 4)
    assert b"".join(reply(memoryview(window), array)) == expected


# --- with less ---


def test_without_numba_it_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from iomodels.websocket import MessageApp, WebSocket, scan

    monkeypatch.setattr(scan, "numba", None)
    scan.available.cache_clear()
    try:
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                WebSocket(MessageApp(), scanner=True)
        assert len(caplog.records) == 1
        assert "numba is not installed" in caplog.text
    finally:
        scan.available.cache_clear()


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


@needs_numba
def test_the_same_lines_run_as_plain_python() -> None:
    code = """
import numpy
numpy.seterr(all="raise")
from iomodels.websocket import scan
assert type(scan.scan).__name__ == "function"
from tests.websocket.test_decoders import frame, payloads, readable, scanned
from tests.websocket.test_decoders import test_replies_are_the_same_frames_without_their_masks
from tests.websocket.rules import RULES
for rule in RULES:
    if len(rule.client) < 3000:
        for at in (0, 3):
            assert scanned(rule.client, at) == readable(rule.client, at), rule.name
for size in (0, 1, 9, 300, 70000):
    data = frame(1, b"x" * size) * 3
    assert scanned(data, 1) == readable(data, 1)
from hypothesis import settings
settings(max_examples=10, deadline=None)(test_replies_are_the_same_frames_without_their_masks)()
print("the same")
"""
    assert run(code, NUMBA_DISABLE_JIT="1") == "the same\n"


@pytest.mark.parametrize("missing", [("numba",), ("numpy", "numba")], ids=" and ".join)
def test_without_numba_and_numpy_all_is_parsed_and_echoed(missing: tuple[str, ...]) -> None:
    """In memory in every way, asked for the scanner or not; and by a server with its app."""
    code = f"""
import socket, sys, threading
for name in {missing}:
    sys.modules[name] = None
from iomodels import apps, servers
from iomodels.kernel import live
from iomodels.servers.listening import listen
from tests.websocket.harness import FAST, WAYS, Client, random_cuts, serve
from tests.websocket.rules import BINARY, RULES, frame, request, sent
assert not FAST
for rule in RULES:
    answers = {{
        Client(serve(way)).send(rule.client, cuts)
        for way in WAYS.values() for cuts in ((), random_cuts(rule.client, seed=1))
    }}
    (answer,) = answers
    assert answer.startswith(rule.server) and (answer > rule.server) == (rule.close is not None)
large = bytes(range(256)) * 500
with listen() as listener:
    work = (listener.fileno(), apps.app("websocket-batch"), live)
    thread = threading.Thread(target=servers.server("epoll"), args=work)
    thread.start()
    with socket.create_connection(listener.getsockname(), 10) as client:
        client.sendall(request() + frame(BINARY, large) * 2)
        answer = client.makefile("rb").read(129 + 2 * len(sent(BINARY, large)))
    listener.shutdown(socket.SHUT_RDWR)
    thread.join()
assert answer.endswith(sent(BINARY, large) * 2)
print("all of it")
"""
    assert run(code) == "all of it\n"


def test_importing_costs_neither_numpy_nor_numba() -> None:
    code = """
import sys
from iomodels.websocket import MessageApp, WebSocket
WebSocket(MessageApp())
print(sorted({"numpy", "numba", "logging"} & set(sys.modules)))
"""
    assert run(code) == "[]\n"


def test_the_package_knows_nothing_else() -> None:
    code = """
import sys
import iomodels.websocket.scan
print(sorted(name for name in sys.modules if name.startswith("iomodels.")
             and not name.startswith("iomodels.websocket")))
"""
    assert run(code) == "[]\n"
