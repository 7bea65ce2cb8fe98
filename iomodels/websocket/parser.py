"""The readable parser: plain Python on a memoryview, one frame after the other.

It looks at a window and gives a row for each frame that lies in it whole: where the payload is,
and what it is. The payload is unmasked where it lies; nothing is copied. What is left at the end,
half a header or half a payload, is not touched, and begins where the last row ends.

The batch scanner (scan.py) gives the same rows, many at once. Rows say what was sent. Whether it
was allowed, in this order and at this moment, is for the rules (rules.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from iomodels.websocket.frames import decode
from iomodels.websocket.masking import unmask

# offset and length of the payload in the window, in bytes; opcode; FIN, 1 or 0
Row = tuple[int, int, int, int]


def parse(window: memoryview, start: int, stop: int, limit: int) -> Iterator[Row]:
    """Yield a row for each whole frame in `window[start:stop]`, its payload unmasked in place.

    Raises ProtocolError, after the rows before it, for a header that breaks a rule (1002) or
    announces more than `limit` bytes (1009).
    """
    while (header := decode(window, start, stop, limit)) is not None:
        first, length, size = header
        offset = start + size
        start = offset + length
        if start > stop:
            return
        unmask(window[offset:start], window[offset - 4 : offset])
        yield offset, length, first & 0x0F, first >> 7
