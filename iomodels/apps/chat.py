"""A chat: what one says, everybody hears. A page to join it with is served at `/`.

Clients speak WebSocket. A client's first message is its name; each one after that goes to everyone
who has a name, as "name: text". Who comes and who goes is said too, as "* name has come".

The chat keeps one thing for each client: its name. Those who have one are its `subscribers`, and
the server does the rest (apps/__init__.py): nobody's slowness holds up the others, and who does not
read is cut off.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from iomodels.apps import CLOSE
from iomodels.websocket import TEXT, Close, CloseCode, Handshake, MessageApp, WebSocket, encode

LONGEST_NAME = 32  # characters
LONGEST_TEXT = 4096  # bytes a message may have
PAGE = Path(__file__).with_name("chat.html")


class Chat(MessageApp):
    """The room. `names` holds those who are in it, by fd."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.names: dict[int, str] = {}
        self.say = say  # to everybody

    def message(self, fd: int, opcode: int, payload: memoryview) -> Close | None:
        if opcode != TEXT:
            return Close(CloseCode.UNSUPPORTED_DATA, "this chat takes text")
        text = str(payload, "utf-8").strip()
        name = self.names.get(fd)
        if name is not None:
            if text:
                self.say(f"{name}: {text}")
        elif not text or len(text) > LONGEST_NAME or not text.isprintable():
            reason = f"a name has 1 to {LONGEST_NAME} characters, all of them visible"
            return Close(CloseCode.POLICY_VIOLATION, reason)
        else:
            self.names[fd] = text
            self.say(f"* {text} has come")
        return None

    def closed(self, fd: int, code: int) -> None:
        name = self.names.pop(fd, None)
        if name is not None:
            self.say(f"* {name} has gone")


class ChatServer(WebSocket):
    """The room behind WebSockets: a Publisher, and so something for every server."""

    publish: Callable[[bytes], None]

    def __init__(self) -> None:
        page = PAGE.read_bytes()
        self.room = Chat(self.say)
        super().__init__(
            self.room,
            handshake=Handshake(page=lambda target: page if target == "/" else None),
            limit=LONGEST_TEXT,
            end=CLOSE,
        )

    def say(self, text: str) -> None:
        self.publish(encode(TEXT, text.encode()))

    def subscribed(self, fd: int) -> bool:
        return fd in self.room.names and self.is_open(fd)

    def subscribers(self) -> tuple[int, ...]:
        return tuple(self.room.names)
