"""WebSocket (RFC 6455) without I/O: bytes in, buffers out.

    handshake.py    the upgrade request, and its answer
    frames.py       the header of a frame; opcodes and close codes
    masking.py      the mask, on and off
    parser.py       the readable parser: frame by frame, plain Python
    scan.py         the batch scanner: a whole window at once, compiled; the same rows
    reply.py        an echo, built over its own request
    rules.py        messages from frames: fragments, UTF-8, limits
    timeouts.py     how long a client may take
    connection.py   all of it together, for a server: `WebSocket`
    anatomy.py      a frame taken apart, for people

Only scan.py and masking.py know of numpy, only scan.py of numba, and both do without.
"""

from iomodels.websocket.connection import (
    END,
    App,
    BatchApp,
    MessageApp,
    Reply,
    WebSocket,
)
from iomodels.websocket.frames import (
    BINARY,
    TEXT,
    Close,
    CloseCode,
    ProtocolError,
    encode,
)
from iomodels.websocket.handshake import Handshake, Request
from iomodels.websocket.masking import Buffer
from iomodels.websocket.reply import reply
from iomodels.websocket.timeouts import NEVER, Timeouts

__all__ = [
    "BINARY",
    "END",
    "NEVER",
    "TEXT",
    "App",
    "BatchApp",
    "Buffer",
    "Close",
    "CloseCode",
    "Handshake",
    "MessageApp",
    "ProtocolError",
    "Reply",
    "Request",
    "Timeouts",
    "WebSocket",
    "encode",
    "reply",
]
