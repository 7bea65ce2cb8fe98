"""What is served: bytes in, buffers out. No app does I/O, so every server serves every app.

A server calls three methods, with the connection's fd as its name:

    opened(fd)            a connection is there
    received(fd, view)    bytes have arrived; `view` is a window on the server's one receive buffer
    closed(fd)            it is gone; the number may come back at once, as somebody else

The first two answer with the buffers to send, in order. An empty answer sends nothing. `CLOSE` as
the last buffer says: send what stands before it, then end the connection.

`view` is good until the call returns, and a buffer in the answer may be a part of it: the server
sends the answer before it reads again, and copies what the kernel would not take yet. An app that
must keep bytes for later copies them itself: the copy is then visible, and that is the lesson. What
is in an answer must not change afterwards: where the kernel does the sending (servers/io_uring.py),
it may be under way.

An app that has something to say to others than the one who has just spoken, a chat say, is a
`Publisher`: it calls `publish(data)`, which the server has put there, and the data goes to every
connection for which `subscribed(fd)` holds. A server that has all connections asks this only for
those in `subscribers()`, and sends in their order: a room of ten is not looked for among ten
thousand. Who does not read what is published to it is cut off when more than `BACKLOG` waits for
it.

An app that lets nobody take for ever is `Timed`: it calls `deadline(fd, seconds)`, which the server
has put there, and when the time is over the server calls `expired(fd)`. Each connection has one
deadline; setting it again moves it, 0 takes it away, and closing the connection does too. A server
that stops asks a Timed app for its last words, `goodbye(fd)`. How long a client may take to read an
answer, the server sees to: `write_timeout`.

A server with a thread per connection calls from many threads at once, never twice at once for the
same fd; one with a process per connection gives each its own copy of the app.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol, TypeGuard

__all__ = [
    "APPS",
    "BACKLOG",
    "CLOSE",
    "NOTHING",
    "Answer",
    "App",
    "Buffer",
    "Publisher",
    "Timed",
    "app",
    "is_timed",
    "publishes",
]

Buffer = bytes | bytearray | memoryview
Answer = Sequence[Buffer]

# An empty buffer: sending it changes nothing, so a server may pass it to writev with the rest. It
# is told apart by identity, so it must not be `b""`, which Python keeps only one of.
CLOSE: Final[Buffer] = memoryview(b"")
NOTHING: Final[Answer] = ()

BACKLOG: Final = 256 * 1024  # bytes published to a connection that may wait to be sent


class App(Protocol):
    """What a server needs of an app. Inherit it or not: the methods are what counts."""

    def opened(self, fd: int) -> Answer: ...
    def received(self, fd: int, view: memoryview) -> Answer: ...
    def closed(self, fd: int) -> None: ...


class Publisher(App, Protocol):
    """An app that also speaks to those who have not asked."""

    publish: Callable[[bytes], None]  # the server sets it before it calls anything else

    def subscribed(self, fd: int) -> bool: ...
    def subscribers(self) -> Collection[int]: ...  # may hold more, and must stay as it is


class Timed(App, Protocol):
    """An app that sets deadlines, and has last words for each connection."""

    deadline: Callable[[int, float], None]  # the server sets it before it calls anything else
    write_timeout: float  # seconds in which a client must take an answer; 0: as long as it likes

    def expired(self, fd: int) -> Answer: ...
    def goodbye(self, fd: int) -> Answer: ...


def publishes(app: App) -> TypeGuard[Publisher]:
    """Tell whether an app is a Publisher."""
    return hasattr(app, "subscribed")


def is_timed(app: App) -> TypeGuard[Timed]:
    """Tell whether an app is Timed."""
    return hasattr(app, "expired")


APPS = {
    "echo": ("iomodels.apps.echo", "Echo"),
    "websocket": ("iomodels.apps.websocket", "echo"),
    "websocket-scan": ("iomodels.apps.websocket", "scanned_echo"),
    "websocket-batch": ("iomodels.apps.websocket", "batch_echo"),
    "chat": ("iomodels.apps.chat", "ChatServer"),
}


def app(name: str) -> App:
    """Return a new app, by its name in APPS. Raises ValueError for a name that is not there."""
    if name not in APPS:
        raise ValueError(f"no app named {name!r}; there are {', '.join(APPS)}")
    module, made_by = APPS[name]
    made: App = getattr(importlib.import_module(module), made_by)()
    return made
