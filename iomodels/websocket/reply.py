"""The reply: an echo is built over the bytes that brought its message.

A server's header is the client's without the 4 bytes of mask. So there is room for it before every
payload in the window, and an echo is the payload with that header before it: no byte is copied
for one message. Of many, the second and later ones move up by 4 bytes each, so that all of them
are one buffer and one write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from iomodels.websocket.frames import encode_before

if TYPE_CHECKING:
    from iomodels.websocket.parser import Row
    from iomodels.websocket.scan import Array


def reply(window: memoryview, rows: Sequence[Row] | Array) -> list[memoryview]:
    """Return server frames with the payloads and opcodes of `rows`, built in place.

    `rows` are the parser's tuples, which give a buffer for each, or the scanner's array or a part
    of it, which gives one buffer for all. The window must have room before the first payload for
    a header: 10 bytes, or a client's frame.
    """
    if isinstance(rows, list):
        return [
            window[encode_before(window, offset, length, opcode) : offset + length]
            for offset, length, opcode, _ in rows
        ]
    if not len(rows):
        return []
    begin, stop = _gather()(window, rows)
    return [window[begin:stop]]


@cache
def _gather() -> Callable[[memoryview, Array], tuple[int, int]]:
    """Return the scanner's `gather`. Whoever has rows of its has paid for the import."""
    from iomodels.websocket.scan import gather

    return gather
