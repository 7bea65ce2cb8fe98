"""A read that holds one short message and nothing else, as most reads of most servers do.

Key and payload lie side by side. Taken as one number, little-endian, they are unmasked, checked
and given the header of a reply by a few operations on it:

    number ^= key * REPEAT        the payload comes out, and the key's own 4 bytes become 0
    number & NOT_ASCII            0 when all of it is ASCII, and so is UTF-8
    number | header << 16         into the last two of these 4 bytes goes a server's header

Written back, the message lies in the window unmasked, with what sends it back right before it.
"""

from __future__ import annotations

from typing import Final

from iomodels.websocket.masking import from_bytes

SHORTEST: Final = 6  # a header with its mask
LONGEST: Final = 6 + 125

# By length of the frame: 1 in every fourth byte of key and payload; a key times this is the key
# again and again.
REPEAT: Final = [sum(1 << 32 * i for i in range((size + 1) // 4)) for size in range(LONGEST + 1)]
# All bits of key and payload, for the last key may be longer than what is left of the payload.
WHOLE: Final = [(1 << 8 * max(0, size - 2)) - 1 for size in range(LONGEST + 1)]
# The highest bit of each byte of the payload.
NOT_ASCII: Final = [
    from_bytes(bytes(4) + b"\x80" * (size - 6), "little") for size in range(LONGEST + 1)
]


def one(view: memoryview, limit: int) -> int:
    """Open a read that is one whole message and nothing else.

    Unmasks the payload in place, writes a server's header right before it, which makes
    `view[4:]` the frame that sends it back, and returns offset << 4 | opcode. Returns 0, with the
    view as it was, for anything else: wrong, not whole, more than one frame, longer than `limit`
    or than 125 bytes.
    """
    size = len(view)
    if not SHORTEST <= size <= LONGEST or view[1] != size + 122 or size - 6 > limit:
        return 0
    first = view[0]
    if first != 0x81 and first != 0x82:
        return 0
    frame = view[2:]
    number = from_bytes(frame, "little")
    number ^= (number & 0xFFFFFFFF) * REPEAT[size]
    number &= WHOLE[size]
    if first == 0x81 and number & NOT_ASCII[size]:
        try:
            (number >> 32).to_bytes(size - 6, "little").decode()
        except UnicodeDecodeError:
            return 0
    frame[:] = (number | first << 16 | size - 6 << 24).to_bytes(size - 2, "little")
    return 6 << 4 | first & 0x0F
