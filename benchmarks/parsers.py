"""The parsers, each behind the object that a server of its own would feed: reads in, payloads out.

A maker takes the bytes of a stream of frames and `see`, a function that every payload is handed to;
what it returns feeds the stream once, in reads of up to 256 KiB. The same is counted for all:

- One copy of the stream, which stands for the kernel's. Where a server gets `bytes` from its event
  loop (websockets, wsproto, aiohttp), into new bytes; otherwise to where the kernel writes: into
  the parser's own buffer (picows) or the server's window (ours).
- Whatever the library does until a whole payload is there, in the form that it has for it; for
  picows a view that is good within its callback, for ours a view that is good until the next read.
- One call of `see` for each payload, a C function that drops it (or, in the check, compares it).

picows parses within its asyncio protocol. It is made by its own `ws_create_server`, on a transport
that does nothing, and fed by get_buffer and buffer_updated, the calls that uvloop makes. There is
no socket, and no event loop, in its time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from iomodels.measure.dialogues import UPGRADE
from iomodels.servers.connections import WINDOW
from iomodels.websocket import BatchApp, Buffer, MessageApp, WebSocket
from iomodels.websocket.payloads import payloads

LIMIT = 1 << 20  # bytes that a message may have
See = Callable[[Any], object]
Maker = Callable[[bytes, See], Callable[[], None]]

drop: See = deque(maxlen=0).append  # the cheapest call there is


def reads(stream: bytes) -> Iterator[memoryview]:
    """The stream as reads bring it. A view, so that whoever copies it copies it once."""
    view = memoryview(stream)
    return (view[at : at + WINDOW] for at in range(0, len(view), WINDOW))


# --- the libraries ---


def websockets(stream: bytes, see: See) -> Callable[[], None]:
    from websockets.protocol import State
    from websockets.server import ServerProtocol

    protocol = ServerProtocol(state=State.OPEN, max_size=LIMIT)

    def feed() -> None:
        for read in reads(stream):
            protocol.receive_data(bytes(read))
            for frame in protocol.events_received():
                see(frame.data)

    return feed


def wsproto(stream: bytes, see: See) -> Callable[[], None]:
    from wsproto.connection import Connection, ConnectionType

    connection = Connection(ConnectionType.SERVER)
    parts: list[bytes] = []  # of a message that one read did not bring whole

    def feed() -> None:
        for read in reads(stream):
            connection.receive_data(bytes(read))
            for event in connection.events():
                if not event.message_finished:
                    parts.append(event.data)
                elif parts:
                    see(b"".join([*parts, event.data]))
                    parts.clear()
                else:
                    see(event.data)

    return feed


def aiohttp(stream: bytes, see: See) -> Callable[[], None]:
    from aiohttp._websocket.reader import WebSocketDataQueue, WebSocketReader

    class Queue(WebSocketDataQueue):
        """Hands a message on at once: quicker than to queue it and have it awaited."""

        def feed_data(self, data: Any, size: int) -> None:
            see(data.data)

    reader = WebSocketReader(Queue(None, LIMIT, loop=None), LIMIT + 1, False, False)

    def feed() -> None:
        for read in reads(stream):
            failed, _ = reader.feed_data(bytes(read))
            assert not failed

    return feed


class NoTransport:
    """What picows asks of a transport, and of its socket."""

    def get_extra_info(self, name: str) -> Any:
        return self if name == "socket" else None

    def fileno(self) -> int:
        return -1

    def getsockopt(self, *_: object) -> int:
        return 0

    def get_write_buffer_size(self) -> int:
        return 1  # so that it hands what it sends to `write`, and not to the socket

    def setsockopt(self, *_: object) -> None: ...
    def write(self, data: object) -> None: ...
    def close(self) -> None: ...


def picows(stream: bytes, see: See) -> Callable[[], None]:
    import picows as library

    class Listener(library.WSListener):
        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            see(frame.get_payload_as_memoryview())

    async def protocol() -> Any:
        made = []

        async def create_server(factory: Callable[[], Any], **_: object) -> None:
            made.append(factory())

        asyncio.get_running_loop().create_server = create_server  # type: ignore[method-assign]
        # Room for a read and the rest of the one before; it grows by itself for larger frames.
        await library.ws_create_server(
            lambda request: Listener(), read_buffer_init_size=2 * WINDOW, use_aiofastnet=False,
            websocket_handshake_timeout=None,
        )  # fmt: skip
        made[0].connection_made(NoTransport())
        return made[0]

    parser = asyncio.run(protocol())
    get_buffer, buffer_updated = parser.get_buffer, parser.buffer_updated

    def receive(read: memoryview) -> None:
        while read:
            room = get_buffer(-1)
            taken = min(len(room), len(read))
            room[:taken] = read[:taken]
            buffer_updated(taken)
            read = read[taken:]

    def feed() -> None:
        for read in reads(stream):
            receive(read)

    receive(memoryview(UPGRADE))
    return feed


# --- ours ---


class Rows(BatchApp):
    """Has the rows of a read, and makes no object of any."""

    def batch(self, fd: int, window: memoryview, rows: Any) -> Sequence[Buffer]:
        return ()


class Views(BatchApp):
    """Makes a view for each row of a read."""

    def __init__(self, see: See) -> None:
        self.see = see

    def batch(self, fd: int, window: memoryview, rows: Any) -> Sequence[Buffer]:
        see = self.see
        for view in payloads(window, rows):
            see(view)
        return ()


class Calls(MessageApp):
    """Is called for each message."""

    def __init__(self, see: See) -> None:
        self.see = see

    def message(self, fd: int, opcode: int, payload: memoryview) -> None:
        self.see(payload)


def ours(app: Callable[[See], BatchApp | MessageApp], scanner: bool) -> Maker:
    """A connection of ours, open, behind a server's window."""

    def maker(stream: bytes, see: See) -> Callable[[], None]:
        fd = 0
        websocket = WebSocket(app(see), limit=LIMIT, scanner=scanner)
        websocket.opened(fd)
        assert websocket.received(fd, memoryview(bytearray(UPGRADE)))[0].startswith(b"HTTP/1.1 101")
        window = memoryview(bytearray(WINDOW))
        received = websocket.received

        def feed() -> None:
            for read in reads(stream):
                size = len(read)
                window[:size] = read
                assert not received(fd, window[:size])

        return feed

    return maker


def rows_only(stream: bytes, see: See) -> Callable[[], None]:
    """No payload is handed out, but in the check, which compares what the rows point at."""
    return ours(lambda see: Rows() if see is drop else Views(see), scanner=True)(stream, see)


def scan_in_place(stream: bytes, see: See) -> Callable[[], None]:
    """The scanner alone, on bytes that are already where it wants them: nothing is copied."""
    from iomodels.websocket.scan import Scanner

    memory = memoryview(bytearray(stream))
    scan = Scanner().scan

    def feed() -> None:
        start = 0
        while start < len(memory):
            rows, _, start = scan(memory, start, len(memory), LIMIT)
            if see is not drop:
                for offset, length, _, _ in rows.tolist():
                    see(memory[offset : offset + length])

    return feed


# --- the limits ---


def copy(stream: bytes, see: See) -> Callable[[], None]:
    """Nothing but the copy that stands for the kernel's."""
    window = memoryview(bytearray(WINDOW))

    def feed() -> None:
        for read in reads(stream):
            window[: len(read)] = read

    return feed


def xor(stream: bytes, see: See) -> Callable[[], None]:
    """One XOR over all of it, in place: what unmasking would cost if there were no frames."""
    import numpy

    words = numpy.frombuffer(bytearray(stream[: len(stream) & ~7]), numpy.uint64)
    key = numpy.uint64(0x9E3779B97F4A7C15)

    def feed() -> None:
        numpy.bitwise_xor(words, key, out=words)

    return feed


LIMITS: dict[str, Maker] = {"copy alone": copy, "XOR alone, in place": xor}
OURS: dict[str, Maker] = {
    "ours, scan in place": scan_in_place,
    "ours, rows only": rows_only,
    "ours, a view each": ours(Views, scanner=True),
    "ours, a call each": ours(Calls, scanner=True),
    "ours, readable": ours(Calls, scanner=False),
}
PEERS: dict[str, Maker] = {
    "picows": picows,
    "aiohttp": aiohttp,
    "websockets": websockets,
    "wsproto": wsproto,
}
