"""WebSocket echo: each message goes back as it came, over the bytes that brought it.

All that is known of an idle connection is one byte, in an array indexed by fd
(websocket/connection.py). The two echoes are the two ways to be called: once for each message, or
once for all the messages of a read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from iomodels.apps import CLOSE
from iomodels.websocket import BatchApp, Buffer, MessageApp, Timeouts, WebSocket, reply

if TYPE_CHECKING:
    from iomodels.websocket.parser import Row
    from iomodels.websocket.scan import Array


class Echo(MessageApp):
    """Called for each message: the payload itself is the answer."""

    def message(self, fd: int, opcode: int, payload: memoryview) -> memoryview:
        return payload


class BatchEcho(BatchApp):
    """Called for each read: all messages of it become one buffer."""

    def batch(self, fd: int, window: memoryview, rows: Sequence[Row] | Array) -> Sequence[Buffer]:
        return reply(window, rows)


def echo(timeouts: Timeouts | None = None) -> WebSocket:
    """The echo that needs nothing but Python."""
    return WebSocket(Echo(), timeouts=timeouts, end=CLOSE)


def scanned_echo() -> WebSocket:
    """The same with the batch scanner, where numba is there; for many frames in a read."""
    return WebSocket(Echo(), end=CLOSE, scanner=True)


def batch_echo() -> WebSocket:
    """One call for each read, with the batch scanner."""
    return WebSocket(BatchEcho(), end=CLOSE, scanner=True)
