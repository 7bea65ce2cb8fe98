"""An app that does to its server what an app must not, when a client tells it to.

It is a WebSocket echo that obeys a few messages:

    close                 sends a Close frame, as an app may
    number                answers with the connection's fd
    close number N        closes fd N itself, under the server's feet
    copy                  keeps a dup(2) of its fd, which stays open when the server closes its own
    drop                  closes all copies

It says on stderr when the server tells it of a connection, and when of its end: `unpaired` reads
that, and finds what was told twice, or never. Not in memory, for with a process for each
connection, each has an app of its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from iomodels.apps import CLOSE
from iomodels.websocket import Buffer, Close, MessageApp, Reply, Timeouts, WebSocket


class Obedient(MessageApp):
    """The echo."""

    def __init__(self) -> None:
        self.copies: list[int] = []

    def message(self, fd: int, opcode: int, payload: memoryview) -> Reply:
        match bytes(payload).split():
            case [b"close"]:
                return Close(1000)
            case [b"number"]:
                return str(fd)
            case [b"close", b"number", number]:
                os.close(int(number))
                return None
            case [b"copy"]:
                self.copies.append(os.dup(fd))
            case [b"drop"]:
                while self.copies:
                    os.close(self.copies.pop())
        return payload


class Unruly(WebSocket):
    """Obeys, and says what it is told."""

    def __init__(self, timeouts: Timeouts) -> None:
        super().__init__(Obedient(), timeouts=timeouts, end=CLOSE)

    def opened(self, fd: int) -> Sequence[Buffer]:
        os.write(2, b"opened %d in %d\n" % (fd, os.getpid()))
        return super().opened(fd)

    def closed(self, fd: int) -> None:
        os.write(2, b"closed %d in %d\n" % (fd, os.getpid()))
        super().closed(fd)


def unpaired(log: str) -> list[str]:
    """Find in what an Unruly has said: an end with no beginning, or the other way round."""
    is_open: set[str] = set()
    wrong = []
    for line in log.splitlines():
        what, _, fd = line.partition(" ")
        if (what == "opened") == (fd in is_open):
            wrong.append(f"{line}, twice")
        (is_open.add if what == "opened" else is_open.discard)(fd)
    return wrong + [f"opened {fd}, and never closed" for fd in sorted(is_open)]
