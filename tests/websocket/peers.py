"""What other libraries make of the same bytes: websockets and wsproto, driven without I/O.

Each function takes what a client sends, in pieces, and returns what happened, in the words of
`ours`: (opcode, payload) for each message, (PONG, payload) for each ping answered, and
("closed", code) at the end, if it came to that.
"""

from __future__ import annotations

from collections.abc import Iterable

from iomodels.websocket import WebSocket
from tests.websocket.harness import Client
from tests.websocket.rules import CLOSE, LIMIT, PONG, TEXT

Events = list[tuple[object, ...]]


def ours(websocket: WebSocket, data: bytes, cuts: Iterable[int]) -> Events:
    """Return what an Echo or a BatchEcho was told, and the pongs that went out, in between."""
    client = Client(websocket)
    notes = websocket.app.events
    notes.clear()
    answer = client.send(data, cuts)
    events: Events = []
    for opcode, payload in server_frames(answer):
        if opcode == PONG:
            events.append((PONG, payload))
        elif opcode == CLOSE:
            break
        else:
            assert notes.pop(0) == (opcode, payload), "echoes come in the order of the messages"
            events.append((opcode, payload))
    if notes:
        (_, _, code) = notes.pop(0)
        events.append(("closed", code))
    assert not notes
    websocket.closed(client.fd)
    assert not websocket.unfinished and not websocket.requests
    return events


def server_frames(data: bytes) -> list[tuple[int, bytes]]:
    """Take a server's bytes apart, strictly: whole frames, not masked, of minimal length."""
    frames, at = [], 0
    while at < len(data):
        first, length = data[at], data[at + 1]
        opcode = first & 0x0F
        assert first & 0xF0 == 0x80 and opcode in (1, 2, 8, 10), hex(first)
        at += 2
        if length == 126:
            length = int.from_bytes(data[at : at + 2])
            assert length > 125 and opcode < 8
            at += 2
        elif length == 127:
            length = int.from_bytes(data[at : at + 8])
            assert length > 0xFFFF and opcode < 8
            at += 8
        assert length <= LIMIT and at + length <= len(data)
        frames.append((opcode, data[at : at + length]))
        at += length
    return frames


def by_websockets(pieces: Iterable[bytes]) -> Events:
    """websockets: its protocol gives frames; messages and UTF-8 are left to its callers."""
    from websockets.frames import Opcode
    from websockets.protocol import State
    from websockets.server import ServerProtocol

    protocol = ServerProtocol(state=State.OPEN, max_size=LIMIT)
    events: Events = []
    kind, message = 0, b""
    for piece in pieces:
        protocol.receive_data(piece)
        for frame in protocol.events_received():
            if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                kind, message = frame.opcode or kind, message + bytes(frame.data)
                if frame.fin:
                    if kind == TEXT:
                        try:
                            message.decode()
                        except UnicodeDecodeError:
                            return [*events, ("closed", 1007)]
                    events.append((int(kind), message))
                    message = b""
            elif frame.opcode == Opcode.PING:
                events.append((PONG, bytes(frame.data)))
            elif frame.opcode == Opcode.CLOSE:
                return [*events, ("closed", int(protocol.close_rcvd.code))]
        if protocol.parser_exc is not None:
            return [*events, ("closed", int(protocol.close_sent.code))]
    return events


def by_wsproto(pieces: Iterable[bytes]) -> Events:
    """wsproto: its connection gives messages in parts, UTF-8 checked; it knows no limit."""
    from wsproto import events as said
    from wsproto.connection import Connection, ConnectionType

    connection = Connection(ConnectionType.SERVER)
    events: Events = []
    message = b""
    for piece in pieces:
        connection.receive_data(piece)
        for event in connection.events():
            if isinstance(event, said.Message):
                text = isinstance(event, said.TextMessage)
                message += event.data.encode() if text else bytes(event.data)
                if event.message_finished:
                    events.append((1 if text else 2, message))
                    message = b""
            elif isinstance(event, said.Ping):
                events.append((PONG, bytes(event.payload)))
            elif isinstance(event, said.CloseConnection):
                return [*events, ("closed", int(event.code))]
    return events
