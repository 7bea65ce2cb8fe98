"""Clients that are slow, deaf, mute, rude or gone, against every server.

The patient part first: what a client does that takes its time, and what becomes of it when its time
is over. All of that happens once, for a few servers at a time (`outcomes`); a test for each
server and each client then says how it went. Lower bounds are a deadline less `EARLY`, for a server
counts from when it last looked at its clock; upper ones are `PATIENCE`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import select
import signal
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from iomodels.servers import MODELS, SHARE_PORT, missing
from iomodels.servers.connections import LINGER
from tests.servers.harness import (
    Running,
    comes_back_to,
    descriptors,
    receive,
    running,
    settled,
)
from tests.servers.test_clients import anonymous_memory
from tests.websocket.rules import (
    BINARY,
    CLOSE,
    CONTINUATION,
    ECHOED,
    HELLO,
    PING,
    PONG,
    TEXT,
    closing,
    frame,
    request,
    sent,
)

MIB = 1 << 20
PATIENCE = 10.0  # seconds: who waits longer has lost something
SECONDS = 1.0  # each of the timeouts
EARLY = 0.25
TIMEOUTS = dict.fromkeys(("read_header", "read", "write", "idle", "pong", "close"), SECONDS)
WELCOME = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
PINGED = sent(PING)
GOING_AWAY = sent(CLOSE, closing(1001))
MANY = frame(TEXT, b"x" * 125) * 2000
LONG = frame(BINARY, bytes(200 * 1024))
LONG_ECHOED = sent(BINARY, bytes(200 * 1024))
ONE_AT_A_TIME = "the blocking server serves one at a time"


class Peer:
    """One client, awake only when something has come."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.started = sock, time.monotonic()

    async def upgrade(self) -> None:
        await self.send(request())
        assert await self.read(len(WELCOME)) == WELCOME

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def some(self, most: int = 65536) -> bytes:
        """What has come, b"" at the end, or when the connection was reset."""
        loop = asyncio.get_running_loop()
        try:
            return await asyncio.wait_for(loop.sock_recv(self.sock, most), PATIENCE)
        except ConnectionError:
            return b""

    async def read(self, size: int) -> bytes:
        """`size` bytes, no more; fewer at the end."""
        data, loop = b"", asyncio.get_running_loop()
        while len(data) < size:
            more = loop.sock_recv(self.sock, size - len(data))
            data += (got := await asyncio.wait_for(more, PATIENCE))
            if not got:
                break
        return data

    async def rest(self) -> bytes:
        """All that comes until the end."""
        data = b""
        while more := await self.some():
            data += more
        return data

    async def is_served(self) -> bool:
        await self.send(HELLO)
        return await self.read(len(ECHOED)) == ECHOED

    def lasted(self, seconds: float) -> bool:
        """Tell whether it was there for so long, and not much longer."""
        return seconds - EARLY <= time.monotonic() - self.started < seconds + PATIENCE

    async def send_until_stuck(self) -> int:
        """Send messages and read nothing, until nothing more goes for a quarter of a second.

        By tries, not by the clock: on a busy machine the server may not have come to its turn.
        """
        data, count, tries = memoryview(MANY), 0, 0
        while tries < 25:
            try:
                count += self.sock.send(data[count % len(data) :])
                tries = 0
            except BlockingIOError:
                tries += 1
                await asyncio.sleep(0.01)
            except ConnectionError:
                break  # cut off so soon
            assert count < 64 * MIB, "the server reads on and on"
            await asyncio.sleep(0)
        return count


@contextlib.asynccontextmanager
async def peers(address: tuple[str, int], count: int = 1) -> AsyncIterator[list[Peer]]:
    """So many clients, connected, which have said nothing yet."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in socks:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(sock, address)
        yield [Peer(sock) for sock in socks]


def at_rest(server: Running) -> int:
    """How many fds it has when it has served somebody, and nobody is there.

    With a long message, which brings numpy in: on a busy machine that takes longer than a deadline,
    and whoever has sent it is hung up on. There may be several workers.
    """
    echoed = 0
    for _ in range(20):
        with upgraded(server) as first, contextlib.suppress(ConnectionError):
            first.sendall(LONG)
            echoed += receive(first, len(LONG_ECHOED)) == LONG_ECHOED
        if echoed == 4:
            return settled(server.pid)
    raise AssertionError("long messages are not echoed")


def upgraded(server: Running, buffer: int = 0) -> socket.socket:
    sock = socket.socket()
    sock.settimeout(PATIENCE)
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.connect(server.address)
    sock.sendall(request())
    assert receive(sock, len(WELCOME)) == WELCOME
    return sock


async def drip(peer: Peer, data: bytes) -> bytes:
    """Send a byte now and then until the server has enough of it; return what it has said."""
    said = asyncio.create_task(peer.rest())
    for byte in data:
        with contextlib.suppress(OSError):
            await peer.send(bytes([byte]))
        await asyncio.sleep(0.05)
        if said.done():
            break
    return await said


# --- those who take too long: each is gone after its deadline, and no sooner ---


async def drips_its_request(peer: Peer) -> None:
    assert (await drip(peer, request())).startswith(b"HTTP/1.1 408 ")
    assert peer.lasted(SECONDS)


async def sends_half_a_request(peer: Peer) -> None:
    await peer.send(request()[:60])
    head, _, body = (await peer.rest()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ") and f"Content-Length: {len(body)}" in head.decode()
    assert peer.lasted(SECONDS)


async def sends_nothing(peer: Peer) -> None:
    assert (await peer.rest()).startswith(b"HTTP/1.1 408 ")
    assert peer.lasted(SECONDS)


async def drips_a_frame(peer: Peer) -> None:
    await peer.upgrade()
    said = await drip(peer, frame(TEXT, b"slowly " * 17))
    assert said[:1] == b"\x88" and said[2:4] == struct.pack("!H", 1008)
    assert peer.lasted(SECONDS)


async def stops_in_a_frame(peer: Peer) -> None:
    await peer.upgrade()
    await peer.send(HELLO + HELLO[:7])
    said = (await peer.rest()).removeprefix(ECHOED)
    assert said[:1] == b"\x88" and said[2:4] == struct.pack("!H", 1008)
    assert peer.lasted(SECONDS)


async def sends_fragments_for_ever(peer: Peer) -> None:
    """With a ping after each; the pings are signs of life, and end no message."""
    await peer.upgrade()
    said = asyncio.create_task(peer.rest())
    await peer.send(frame(TEXT, b"once", fin=False))
    while not said.done():
        with contextlib.suppress(OSError):
            await peer.send(frame(CONTINUATION, b" more", fin=False) + frame(PING, b"?"))
        await asyncio.sleep(0.1)
    pongs, _, goodbye = (await said).rpartition(sent(PONG, b"?"))
    assert pongs, "and before that, pongs"
    assert goodbye[:1] == b"\x88" and goodbye[2:4] == struct.pack("!H", 1008)
    assert peer.lasted(SECONDS)


async def does_not_answer_a_ping(peer: Peer) -> None:
    """As far as the server can tell, it has vanished: half-open."""
    await peer.upgrade()
    assert await peer.read(len(PINGED)) == PINGED
    assert peer.lasted(SECONDS)
    assert await peer.rest() == b""
    assert peer.lasted(2 * SECONDS)


async def does_not_answer_our_close(peer: Peer) -> None:
    """It talks on, and nobody listens."""
    await peer.upgrade()
    peer.started = time.monotonic()
    await peer.send(frame(TEXT, b"close"))
    goodbye = sent(CLOSE, closing(1000))
    assert await peer.read(len(goodbye)) == goodbye
    await peer.send(HELLO)
    assert await peer.rest() == b""
    assert peer.lasted(SECONDS)


async def does_not_leave(peer: Peer) -> None:
    """Both have said goodbye, and it talks on: nobody waits longer than LINGER."""
    await peer.upgrade()
    peer.started = time.monotonic()
    await peer.send(frame(CLOSE, closing(1000)))
    assert await peer.rest() == sent(CLOSE, closing(1000))
    with contextlib.suppress(ConnectionError):
        while time.monotonic() < peer.started + LINGER + PATIENCE:
            await peer.send(HELLO)
            await asyncio.sleep(0.05)
    assert peer.lasted(LINGER)


# --- who does not read its answer ---


async def is_reset_when_it_reads_nothing(peer: Peer) -> None:
    """All it has said has been read; it reads nothing of the answer, a message of 200 KiB.

    close(2) would go on sending the rest, behind our back and for minutes: kernel memory for a
    client that is gone, and that is not told. So it has to be reset.
    """
    await peer.upgrade()
    await peer.send(LONG)
    reset = select.poll()
    reset.register(peer.sock, 0)  # POLLERR and POLLHUP, without reading
    while not reset.poll(0):
        assert time.monotonic() < peer.started + PATIENCE, "it has not been told"
        await asyncio.sleep(0.02)
    assert peer.lasted(SECONDS)


async def takes_its_answer_bit_by_bit(peer: Peer) -> None:
    """The write timeout is for an answer, not for each write: a byte now and then is no excuse."""
    await peer.upgrade()
    await peer.send(LONG)
    heard = 0
    while more := await peer.some(4096):
        heard += len(more)
        await asyncio.sleep(0.1)
    assert heard < len(LONG) // 2
    assert peer.lasted(SECONDS)


SLOW_READERS = [is_reset_when_it_reads_nothing, takes_its_answer_bit_by_bit]


# --- those who are slow, and have done nothing wrong: each stays ---


async def answers_pings(peer: Peer) -> None:
    await peer.upgrade()
    for _ in range(2):
        assert await peer.read(len(PINGED)) == PINGED
        await peer.send(frame(PONG))
    assert peer.lasted(2 * SECONDS)
    assert await peer.is_served()


async def says_something_after_a_ping(peer: Peer) -> None:
    await peer.upgrade()
    for _ in range(2):
        assert await peer.read(len(PINGED)) == PINGED
        assert await peer.is_served()
    assert peer.lasted(2 * SECONDS)


async def is_always_in_a_message(peer: Peer) -> None:
    """Each segment ends one and begins the next; no message takes long, all of them do."""
    await peer.upgrade()
    await peer.send(HELLO[:5])
    while time.monotonic() < peer.started + 3 * SECONDS:
        await asyncio.sleep(0.05)
        await peer.send(HELLO[5:] + HELLO[:5])
        assert await peer.read(len(ECHOED)) == ECHOED


async def sends_fragments_with_pings_between(peer: Peer) -> None:
    await peer.upgrade()
    whole = sent(PONG, b"1") + sent(PONG, b"2") + sent(TEXT, b"Hello")
    while time.monotonic() < peer.started + 3 * SECONDS:
        await peer.send(frame(TEXT, b"He", fin=False) + frame(PING, b"1"))
        await asyncio.sleep(0.1)
        await peer.send(frame(CONTINUATION, b"ll", fin=False) + frame(PING, b"2"))
        await asyncio.sleep(0.1)
        await peer.send(frame(CONTINUATION, b"o"))
        assert await peer.read(len(whole)) == whole


SLOW: list[Callable[[Peer], Awaitable[None]]] = [
    drips_its_request,
    sends_half_a_request,
    sends_nothing,
    drips_a_frame,
    stops_in_a_frame,
    sends_fragments_for_ever,
    does_not_answer_a_ping,
    does_not_answer_our_close,
    does_not_leave,
    *SLOW_READERS,
    answers_pings,
    says_something_after_a_ping,
    is_always_in_a_message,
    sends_fragments_with_pings_between,
]


# --- who does not read ---


async def does_not_read(peer: Peer, server: Running) -> None:
    """What the server keeps for it is bounded, and it is gone after the write timeout."""
    await peer.upgrade()
    assert await peer.is_served()
    before = await asyncio.to_thread(anonymous_memory, server.pid)
    fds = descriptors(server.pid)
    peer.started = time.monotonic()
    assert await peer.send_until_stuck() > MIB // 4, "more than it takes in at one read"
    assert await asyncio.to_thread(anonymous_memory, server.pid) - before < MIB
    while descriptors(server.pid) >= fds:
        assert time.monotonic() < peer.started + 2 * PATIENCE, "it is still there"
        await asyncio.sleep(0.02)
    assert peer.lasted(SECONDS)


# --- the end of the server, with all kinds of clients connected ---


async def hears_1001(peer: Peer, before: bytes = b"") -> None:
    """The goodbye comes last, and the end of the stream after our own."""
    said = b""
    while GOING_AWAY not in said:
        said += (more := await peer.some())
        assert more, f"the end, after {said!r}"
    assert said.replace(PINGED, b"") == before + GOING_AWAY
    await peer.send(frame(CLOSE, closing(1001)))
    assert await peer.rest() == b""


async def hears_1001_and_does_not_answer(peer: Peer) -> None:
    assert (await peer.rest()).replace(PINGED, b"") == GOING_AWAY


async def has_no_request_yet(peer: Peer) -> None:
    assert await peer.rest() == b""


async def ends(server: Running) -> None:
    """Checks the status, and that no fd and no thread is left."""
    started = time.monotonic()
    await asyncio.to_thread(server.stop, 0)  # no second signal
    assert time.monotonic() - started < PATIENCE


ASKED = "asked just before the signal"
AT_THE_END = [
    ASKED,
    "not accepted yet",
    "idle",
    "does not answer the 1001",
    "in the middle of a message",
    "in the middle of the request",
]


async def see_the_end(server: Running, one_at_a_time: bool) -> dict[str, Outcome]:
    """Have clients of each kind, and stop the server."""
    async with contextlib.AsyncExitStack() as stack:
        if not one_at_a_time:
            (deaf,) = await stack.enter_async_context(peers(server.address))
            await deaf.upgrade()
            await deaf.send_until_stuck()
        here = await stack.enter_async_context(peers(server.address, 1 if one_at_a_time else 4))
        for peer in here:
            await peer.upgrade()
        asks, *others = here
        # As long as it is stopped (SIGSTOP), it neither reads nor accepts: what comes now is before
        # the signal.
        os.kill(server.pid, signal.SIGSTOP)
        await asks.send(HELLO)
        newcomer, half = await stack.enter_async_context(peers(server.address, 2))
        await newcomer.send(request() + HELLO)
        await half.send(request()[:60])
        if others:
            await others[-1].send(HELLO[:7])
        server.process.send_signal(signal.SIGTERM)
        os.kill(server.pid, signal.SIGCONT)
        see = {ASKED: hears_1001(asks, ECHOED), ENDS: ends(server)}
        if others:
            idle, mute, busy = others
            see |= {
                "not accepted yet": hears_1001(newcomer, WELCOME + ECHOED),
                "idle": hears_1001(idle),
                "does not answer the 1001": hears_1001_and_does_not_answer(mute),
                "in the middle of a message": hears_1001(busy),
                "in the middle of the request": has_no_request_yet(half),
            }
        return dict(zip(see, await asyncio.gather(*map(outcome, see.values())), strict=True))


# --- all of it at once ---

Outcome = BaseException | None
MEANWHILE = "the others are served meanwhile"
NOTHING_LEFT = "afterwards its fds are what they were"
ENDS = "status 0, and nothing left"


async def is_served_meanwhile(peer: Peer, over: asyncio.Event) -> None:
    """Talk until all others are done."""
    count = 0
    while not over.is_set():
        assert await peer.is_served()
        count += 1
        await asyncio.sleep(0.02)
    assert count > 20


async def everybody(model: str, server: Running) -> dict[str, Outcome]:
    """All clients of one server: the deaf one before the others, for the sake of its memory."""
    fds = await asyncio.to_thread(at_rest, server)
    one_at_a_time = model == "blocking"
    let = functools.partial(outcome_of, server.address)
    found: dict[str, Outcome] = {}
    if one_at_a_time:
        found["does_not_read"] = await let(does_not_read, server)
        found |= {client.__name__: await let(client) for client in SLOW}
    else:
        over = asyncio.Event()
        async with peers(server.address) as (honest,):
            await honest.upgrade()
            talk = asyncio.create_task(outcome(is_served_meanwhile(honest, over)))
            found["does_not_read"] = await let(does_not_read, server)
            found |= dict(zip(NAMES, await asyncio.gather(*map(let, SLOW)), strict=True))
            over.set()
            found[MEANWHILE] = await talk
    left = await asyncio.to_thread(comes_back_to, server.pid, fds)
    found[NOTHING_LEFT] = None if left else AssertionError(f"{descriptors(server.pid)}, not {fds}")
    return found | await see_the_end(server, one_at_a_time)


async def outcome_of(
    address: tuple[str, int], client: Callable[..., Awaitable[None]], *more: object
) -> Outcome:
    """Connect somebody, and let it do what it does."""
    async with peers(address) as (peer,):
        return await outcome(client(peer, *more))


async def outcome(doing: Awaitable[None]) -> Outcome:
    try:
        await doing
    except Exception as error:
        return error
    return None


async def everybody_everywhere(stack: contextlib.ExitStack) -> dict[str, dict[str, Outcome]]:
    """A few servers at a time: all at once would keep this process so busy that it is late."""
    room = asyncio.Semaphore(4)

    async def one(model: str) -> dict[str, Outcome]:
        async with room:
            server = running(model, app="unruly", timeouts=TIMEOUTS, send_buffer=16384)
            try:
                return await everybody(model, await asyncio.to_thread(stack.enter_context, server))
            except Exception as error:
                return dict.fromkeys(CLIENTS, error)

    here = [model for model in MODELS if not missing(model)]
    return dict(zip(here, await asyncio.gather(*map(one, here)), strict=True))


@pytest.fixture(scope="module")
def outcomes() -> Iterator[dict[str, dict[str, Outcome]]]:
    """Run all servers, and all those clients with each of them."""
    with contextlib.ExitStack() as stack:
        yield asyncio.run(everybody_everywhere(stack))


NAMES = [client.__name__ for client in SLOW]
CLIENTS = [
    "does_not_read",
    *NAMES,
    MEANWHILE,
    NOTHING_LEFT,
    *AT_THE_END,
    ENDS,
]
NEED_SMALL_BUFFERS = {client.__name__ for client in SLOW_READERS}
NEED_OTHERS = {MEANWHILE, *AT_THE_END[1:]}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("model", MODELS)
def test_time(model: str, client: str, outcomes: dict[str, dict[str, Outcome]]) -> None:
    if model == "blocking" and client in NEED_OTHERS:
        pytest.skip(ONE_AT_A_TIME)
    if model in SHARE_PORT and client in NEED_SMALL_BUFFERS:
        pytest.skip("its workers' own listeners have the kernel's buffers; the loop is epoll's")
    error = outcomes[model][client]
    if error is not None:
        raise error
