"""The rules through real sockets: every server must keep them, however the bytes arrive.

One server per model, for all tests of this file.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from iomodels.measure.serving import Served, serving
from iomodels.servers import MODELS
from iomodels.websocket.anatomy import dissect
from tests.servers.harness import MULTIPLEXING, connect_knowing_the_port, running
from tests.servers.test_matrix import FAULTS
from tests.websocket.harness import FAST, pieces, random_cuts
from tests.websocket.rules import (
    BINARY,
    CONTINUATION,
    ECHOED,
    HANDSHAKES,
    HELLO,
    LIMIT,
    NO_CODE,
    PING,
    PONG,
    RULES,
    TEXT,
    HandshakeRule,
    Rule,
    frame,
    request,
    sent,
)

MIB = 1 << 20
PATIENCE = 10.0  # seconds: who waits longer has lost something
MOST = 5  # failures of one server that are looked for

SERVERS = [(model, "websocket") for model in MODELS]
if FAST:
    SERVERS += [("epoll", "websocket-scan"), ("epoll", "websocket-batch")]
scope = {"scope": "module", "indirect": True}
every_server = pytest.mark.parametrize(
    "server", SERVERS, ids=["-".join(dict.fromkeys(each)) for each in SERVERS], **scope
)
every_multiplexing_server = pytest.mark.parametrize(
    "server", [each for each in SERVERS if each[0] in MULTIPLEXING], ids="-".join, **scope
)


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Served]:
    with serving(*request.param) as running:
        with Client(running) as client:  # numpy comes with the first long payload; not counted
            client.send(frame(BINARY, bytes(1000)))
            assert len(client.read(1004)) == 1004
        yield running
        running.stop()  # and says so when it does not end well
        assert running.log() == ""


class Client:
    """A client that sends as it is told, and reads what comes."""

    def __init__(self, server: Served, *, upgraded: bool = True) -> None:
        self.sock = socket.create_connection(server.address, PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if upgraded:
            self.sock.sendall(request())
            assert self.head().startswith("HTTP/1.1 101 ")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes, cuts: Iterable[int] = ()) -> None:
        for piece in pieces(data, cuts):
            self.sock.sendall(piece)

    def read(self, size: int) -> bytes:
        """Read `size` bytes; fewer at the end of the stream."""
        data = b""
        while len(data) < size and (more := self.sock.recv(size - len(data))):
            data += more
        return data

    def rest(self) -> bytes:
        """Read until the server ends the connection."""
        data = b""
        while more := self.sock.recv(65536):
            data += more
        return data

    def head(self) -> str:
        """Read the head of an HTTP answer."""
        data = b""
        while not data.endswith(b"\r\n\r\n") and (more := self.sock.recv(1)):
            data += more
        return data.decode()

    def is_left_alone(self, seconds: float = 0.05) -> bool:
        """Tell whether for a while nothing comes, nor the end."""
        self.sock.settimeout(seconds)
        try:
            self.sock.recv(1)
            return False
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(PATIENCE)

    def is_served(self) -> bool:
        self.send(HELLO)
        return self.read(len(ECHOED)) == ECHOED


# --- the tables ---

# A byte at a time; long ones in pieces.
CUTS: dict[str, Callable[[bytes], Iterable[int]]] = {
    "whole": lambda data: (),
    "cut": lambda data: (
        range(1, len(data)) if len(data) < 300 else random_cuts(data, seed=len(data), count=20)
    ),
}
every_cut = pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())


@every_server
@every_cut
def test_every_rule(server: Served, cut: Callable[[bytes], Iterable[int]]) -> None:
    failed = {}
    for rule in RULES:
        with Client(server) as client:
            client.send(rule.client, cut(rule.client))
            if wrong := what_is_wrong(rule, client):
                failed[rule.name] = wrong
        if len(failed) == MOST:
            break
    assert not failed


def what_is_wrong(rule: Rule, client: Client) -> str:
    try:
        answer = client.read(len(rule.server))
        if answer != rule.server:
            return f"answered {answer[:200]!r}"
        if rule.close is None:
            return "" if is_open(rule, client) else "did not stay open"
        goodbye = client.rest()
    except TimeoutError:
        return "no answer, or no end"
    except ConnectionError as error:
        return f"{error}, and no answer"
    if rule.close == NO_CODE:
        right = goodbye == b"\x88\x00"
    else:
        right = goodbye[:1] == b"\x88" and len(goodbye) == 2 + goodbye[1] <= 127
        right = right and struct.unpack("!H", goodbye[2:4]) == (rule.close,)
    return "" if right else f"said goodbye with {goodbye!r}"


def is_open(rule: Rule, client: Client) -> bool:
    """Ask for a pong; in the middle of a frame that is not possible, so wait there."""
    *_, last = dissect(rule.client)
    if last.missing:
        return client.is_left_alone()
    client.send(frame(PING, b"there?"))
    return client.read(8) == sent(PONG, b"there?")


@every_server
@every_cut
def test_every_rule_of_the_handshake(server: Served, cut: Callable[[bytes], Iterable[int]]) -> None:
    failed = {}
    for rule in HANDSHAKES:
        with Client(server, upgraded=False) as client:
            client.send(rule.client, cut(rule.client))
            if wrong := what_is_wrong_with_the_handshake(rule, client):
                failed[rule.name] = wrong
        if len(failed) == MOST:
            break
    assert not failed


def what_is_wrong_with_the_handshake(rule: HandshakeRule, client: Client) -> str:
    try:
        head = client.head()
        status, *fields = head.split("\r\n")[:-2] or [""]
        if not status.startswith(f"HTTP/1.1 {rule.status} "):
            return status
        if not set(rule.has) <= set(fields) or any(name in head for name in rule.lacks):
            return head
        if rule.status == 101:
            after = client.read(len(rule.after))
            return "" if after == rule.after and client.is_served() else f"then {after!r}"
        body = client.rest()
    except TimeoutError:
        return "no answer, or no end"
    except ConnectionError as error:
        return f"{error}, and no answer"
    return "" if f"Content-Length: {len(body)}" in fields else f"a body of {len(body)} bytes"


# --- what the epoll server in the article gets wrong ---

SILENT = {
    "one byte of a frame": HELLO[:1],
    "half a header": HELLO[:4],
    "a header and no payload": HELLO[:6],
    "all but the last byte": HELLO[:-1],
    "an unfinished fragment": frame(TEXT, b"Hel", fin=False),
    "the header of a large frame": frame(BINARY, announce=LIMIT, form=64),
}


@every_multiplexing_server
@pytest.mark.parametrize("said", SILENT.values(), ids=SILENT.keys())
def test_half_a_message_then_silence_holds_up_nobody(server: Served, said: bytes) -> None:
    with Client(server) as slow, Client(server) as other:
        slow.send(said)
        for _ in range(20):
            assert other.is_served()
        assert slow.is_left_alone(0.02)


@every_multiplexing_server
def test_half_a_request_then_silence_holds_up_nobody(server: Served) -> None:
    with Client(server, upgraded=False) as slow, Client(server) as other:
        for byte in request()[:-1]:
            slow.send(bytes([byte]))
            assert other.is_served()
        slow.send(request()[-1:])
        assert slow.head().startswith("HTTP/1.1 101 ") and slow.is_served()


@every_multiplexing_server
def test_a_byte_at_a_time_is_a_message_in_the_end(server: Served) -> None:
    with Client(server) as slow, Client(server) as other:
        for byte in HELLO:
            slow.send(bytes([byte]))
            assert other.is_served()
        assert slow.read(len(ECHOED)) == ECHOED


@every_multiplexing_server
def test_a_lone_ping_is_answered_and_holds_up_nobody(server: Served) -> None:
    with Client(server) as one, Client(server) as other:
        one.send(frame(PING, b"alone"))
        assert one.read(7) == sent(PONG, b"alone")
        assert other.is_served() and one.is_served()


@every_multiplexing_server
@pytest.mark.parametrize("count", [1, 2, 1000])
def test_frames_in_the_same_segment_as_the_handshake(server: Served, count: int) -> None:
    with Client(server, upgraded=False) as eager, Client(server) as other:
        eager.send(request() + HELLO * count)
        assert eager.head().startswith("HTTP/1.1 101 ")
        assert eager.read(len(ECHOED) * count) == ECHOED * count
        assert other.is_served() and eager.is_served()


@every_multiplexing_server
@pytest.mark.parametrize("count", [2, 5000])
def test_frames_in_one_segment_do_not_wait_for_the_next(server: Served, count: int) -> None:
    with Client(server) as one, Client(server) as other:
        one.send(HELLO * count + HELLO[:3])
        assert one.read(len(ECHOED) * count) == ECHOED * count
        assert other.is_served()
        one.send(HELLO[3:])
        assert one.read(len(ECHOED)) == ECHOED


# --- what it may cost ---


def anonymous_memory(server: Served) -> int:
    """Bytes that the server has written to and holds (man 5 proc, RssAnon)."""
    for line in Path(f"/proc/{server.pid}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


@every_multiplexing_server
@pytest.mark.parametrize(
    ("length", "code"),
    [((1 << 63) - 1, 1009), (1 << 63, 1002), ((1 << 64) - 1, 1002), (LIMIT + 1, 1009)],
    ids=["2^63-1", "2^63", "2^64-1", "limit+1"],
)
def test_nothing_is_reserved_for_a_length_that_is_refused(
    server: Served, length: int, code: int
) -> None:
    with contextlib.ExitStack() as stack:
        other = stack.enter_context(Client(server))
        assert other.is_served()
        before = anonymous_memory(server)
        for _ in range(20):
            greedy = stack.enter_context(Client(server))
            greedy.send(frame(BINARY, b"x" * 100, form=64, announce=length))
            goodbye = greedy.rest()
            assert goodbye[:1] == b"\x88" and struct.unpack("!H", goodbye[2:4]) == (code,)
            assert other.is_served()
        assert anonymous_memory(server) - before < MIB


@every_multiplexing_server
def test_nothing_is_reserved_for_a_length_that_is_allowed(server: Served) -> None:
    """A hundred clients announce a MiB each, in one frame or at the end of fragments."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(server)) for _ in range(100)]
        assert all(client.is_served() for client in clients)
        before = anonymous_memory(server)
        for number, client in enumerate(clients):
            client.send(
                frame(BINARY, announce=LIMIT, form=64)
                if number % 2
                else frame(BINARY, b"x", fin=False)
                + frame(CONTINUATION, announce=LIMIT - 1, form=64)
            )
        with Client(server) as other:
            assert other.is_served()
        assert all(client.is_left_alone(0.001) for client in clients)
        assert anonymous_memory(server) - before < MIB


@every_multiplexing_server
@pytest.mark.parametrize("size", [65536, 1000])
def test_a_message_that_never_ends_is_ended(server: Served, size: int) -> None:
    with Client(server) as endless, Client(server) as other:
        assert endless.is_served() and other.is_served()
        before, most = anonymous_memory(server), 0
        endless.send(frame(BINARY, b"x" * size, fin=False))
        more = frame(CONTINUATION, b"x" * size, fin=False)
        for sent_ in range(2 * size, LIMIT + 1, size):
            endless.send(more)
            if sent_ % (LIMIT // 8) < size:
                assert other.is_served()
                most = max(most, anonymous_memory(server))
        assert most - before < 3 * LIMIT
        endless.send(more)
        goodbye = endless.rest()
        assert goodbye[:1] == b"\x88" and struct.unpack("!H", goodbye[2:4]) == (1009,)
        assert other.is_served()
        endless.send(more * 10)  # to nobody
    assert anonymous_memory(server) - before < 2 * LIMIT


@every_multiplexing_server
def test_a_message_of_empty_fragments_that_never_ends_costs_nothing(server: Served) -> None:
    with Client(server) as endless, Client(server) as other:
        endless.send(frame(TEXT, fin=False))
        assert other.is_served()
        before = anonymous_memory(server)
        for _ in range(20):
            endless.send(frame(CONTINUATION, fin=False) * 5000)
            assert other.is_served()
        assert anonymous_memory(server) - before < MIB
        endless.send(frame(CONTINUATION, b"end"))
        assert endless.read(5) == sent(TEXT, b"end")


@every_multiplexing_server
def test_who_pings_and_does_not_read_holds_up_nobody(server: Served) -> None:
    """Its pongs fill the kernel's buffers; then nothing more is read from it."""
    pings = frame(PING, b"x" * 125) * 500
    with Client(server) as deaf, Client(server) as other:
        assert other.is_served()
        before = anonymous_memory(server)
        deaf.sock.settimeout(0.25)
        count = 0
        with contextlib.suppress(TimeoutError):
            while count < 64 * MIB:
                count += deaf.sock.send(pings)
        assert MIB < count < 64 * MIB, "the server reads on and on"
        assert other.is_served()
        assert anonymous_memory(server) - before < MIB
        deaf.sock.settimeout(PATIENCE)
        pongs = count // len(frame(PING, b"x" * 125)) * 127
        assert deaf.read(pongs) == sent(PONG, b"x" * 125) * (pongs // 127)


# --- a hundred clients, and a kernel that does what kernels do ---

WELCOME = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


class Talker:
    """Says messages in pieces, some with the next one in the same segment; knows what must come."""

    def __init__(self, number: int, seed: int) -> None:
        chance = random.Random(f"{seed} {number}")
        self.said, self.expected = [request()], [WELCOME]
        for _ in range(12):
            opcode = chance.choice((TEXT, BINARY))
            size = chance.choice((0, 1, 5, 125, 126, 300))
            payload = b"%d: " % number + bytes(chance.choices(b"abcdefgh", k=size))
            cut = chance.randrange(len(payload))
            mask = chance.randbytes(4)
            said, expected = frame(opcode, payload, mask=mask), sent(opcode, payload)
            if chance.random() < 0.3:
                said = frame(opcode, payload[:cut], fin=False, mask=mask) + frame(PING, b"?")
                said += frame(CONTINUATION, payload[cut:])
                expected = sent(PONG, b"?") + expected
            self.said.append(said)
            self.expected.append(expected)
        self.chance = chance
        self.port = 0
        self.heard = b""
        self.gone = False

    async def talk(self, address: tuple[str, int], known: set[int]) -> None:
        sock, self.port, is_in = connect_knowing_the_port(address, known)
        known.add(self.port)
        if not is_in:
            self.gone = True
            sock.close()
            return
        reader, writer = await asyncio.open_connection(sock=sock)
        wanted = 0
        try:
            for said, expected in zip(self.said, self.expected, strict=True):
                for piece in pieces(said, random_cuts(said, self.chance.randrange(99), count=3)):
                    writer.write(piece)
                    await writer.drain()
                    if self.chance.random() < 0.5:
                        await asyncio.sleep(0)
                wanted += len(expected)
                if self.chance.random() < 0.7:  # else the next message comes at once
                    await self.hear(reader, wanted)
            await self.hear(reader, wanted)
        except ConnectionError:
            self.gone = True
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def hear(self, reader: asyncio.StreamReader, wanted: int) -> None:
        while len(self.heard) < wanted:
            data = await reader.read(65536)
            if not data:
                raise ConnectionResetError
            self.heard += data


CROWDS = [(model, "websocket") for model in MODELS]
if FAST:
    CROWDS += [(model, "websocket-scan") for model in MODELS if model.startswith("epoll")]


@pytest.mark.parametrize(("model", "app"), CROWDS)
def test_every_message_to_every_client(model: str, app: str) -> None:
    talkers = [Talker(number, seed=1) for number in range(100)]

    async def crowd(address: tuple[str, int]) -> None:
        known = set[int]()
        talking = asyncio.gather(*(each.talk(address, known) for each in talkers))
        await asyncio.wait_for(talking, 60)

    with running(model, FAULTS["all at once"], seed=1, app=app) as server:
        asyncio.run(crowd(server.address))
        resets = server.reset_ports()
    for each in talkers:
        expected = b"".join(each.expected)
        if each.port in resets:
            assert expected.startswith(each.heard)
        else:
            assert each.heard == expected and not each.gone
    assert 10 < len(resets) < 90
