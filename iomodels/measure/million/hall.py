"""What the servers of the million serve: an echo, and a voice that reaches everyone.

A binary message goes back as it came. A text is published: it goes to every connection of this
server, to the one who sent it too. The server under it is the course's own, servers/epoll.py, as
it is; so are its deadlines, but for one: a connection may be silent for longer than the million
takes, for a Ping in the middle would be one more message to account for.
"""

from __future__ import annotations

from collections.abc import Callable

from iomodels.apps import CLOSE
from iomodels.kernel import live
from iomodels.measure.million.scores import CAME, CLOSED, OPENED, PUBLISHED
from iomodels.servers.epoll import serve
from iomodels.websocket import TEXT, MessageApp, Request, Timeouts, WebSocket, encode

LIMIT = 200  # bytes of a message; from 256 on, unmasking loads numpy, 20 MB in each process
TIMEOUTS = Timeouts(idle=900)  # seconds of silence until the first Ping


class Talk(MessageApp):
    """Echoes, or passes on to `say`, and counts."""

    def __init__(self, say: Callable[[bytes], None], scores: memoryview) -> None:
        self.say, self.scores = say, scores

    def opened(self, fd: int, request: Request) -> None:
        self.scores[OPENED] += 1

    def message(self, fd: int, opcode: int, payload: memoryview) -> memoryview | None:
        self.scores[CAME] += 1
        if opcode != TEXT:
            return payload
        self.say(bytes(payload))
        return None

    def closed(self, fd: int, code: int) -> None:
        self.scores[CLOSED] += 1


class Hall(WebSocket):
    """Talk behind WebSockets: a Publisher, as the chat is."""

    publish: Callable[[bytes], None]

    def __init__(self, scores: memoryview) -> None:
        super().__init__(Talk(self.say, scores), limit=LIMIT, timeouts=TIMEOUTS, end=CLOSE)
        self.scores = scores

    def say(self, text: bytes) -> None:
        self.publish(encode(TEXT, text))

    def subscribed(self, fd: int) -> bool:
        if not self.is_open(fd):
            return False
        self.scores[PUBLISHED] += 1
        return True

    def subscribers(self) -> range:
        return range(len(self.states))  # everybody: a list of them would take memory for each


def serve_hall(listener: int, scores: memoryview) -> None:
    """What a server process runs, until it is killed."""
    serve(listener, Hall(scores), live)
