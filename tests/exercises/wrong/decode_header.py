"""Wrong answers to decode a header."""


# %% takes 8 bytes whenever it is not short: the length was 126, so two bytes follow
def decode_header(view):
    if view and view[0] & 0x70:
        raise ValueError("a reserved bit is set")
    if len(view) < 2:
        return 2 - len(view)
    masked, length = view[1] >> 7, view[1] & 0x7F
    more = 8 if length >= 126 else 0
    size = 2 + more + 4 * masked
    if len(view) < size:
        return size - len(view)
    if more:
        length = int.from_bytes(view[2 : 2 + more], "big")
        if length < 126:
            raise ValueError("too long a form")
    key = bytes(view[size - 4 : size]) if masked else b""
    return Header(view[0] >= 0x80, view[0] & 0x0F, length, key, size)


# %% forgets the mask: and four of mask
def decode_header(view):
    if view and view[0] & 0x70:
        raise ValueError("a reserved bit is set")
    if len(view) < 2:
        return 2 - len(view)
    length = view[1] & 0x7F
    more = {126: 2, 127: 8}.get(length, 0)
    size = 2 + more
    if len(view) < size:
        return size - len(view)
    if more:
        length = int.from_bytes(view[2:size], "big")
        if length < (126 if more == 2 else 65_536) or length >> 63:
            raise ValueError("a wrong length")
    return Header(view[0] >= 0x80, view[0] & 0x0F, length, bytes(view[size : size + 4]), size)


# %% reads the length lowest byte first: come in network order, highest first
def decode_header(view):
    if view and view[0] & 0x70:
        raise ValueError("a reserved bit is set")
    if len(view) < 2:
        return 2 - len(view)
    masked, length = view[1] >> 7, view[1] & 0x7F
    more = {126: 2, 127: 8}.get(length, 0)
    size = 2 + more + 4 * masked
    if len(view) < size:
        return size - len(view)
    if more:
        length = int.from_bytes(view[2 : 2 + more], "little")
        if length < 126:
            raise ValueError("too long a form")
    key = bytes(view[size - 4 : size]) if masked else b""
    return Header(view[0] >= 0x80, view[0] & 0x0F, length, key, size)


# %% leaves MASK in the length: the highest bit of the second byte is MASK
def decode_header(view):
    if view and view[0] & 0x70:
        raise ValueError("a reserved bit is set")
    if len(view) < 2:
        return 2 - len(view)
    length = view[1]
    more = {126: 2, 127: 8}.get(length & 0x7F, 0)
    size = 2 + more + (4 if length & 0x80 else 0)
    if len(view) < size:
        return size - len(view)
    if more:
        length = int.from_bytes(view[2 : 2 + more], "big")
    key = bytes(view[size - 4 : size]) if view[1] & 0x80 else b""
    return Header(view[0] >= 0x80, view[0] & 0x0F, length, key, size)


# %% reads what is not there: on dimension 1') of an empty view
def decode_header(view):
    if view[0] & 0x70:
        raise ValueError("a reserved bit is set")
    masked, length = view[1] >> 7, view[1] & 0x7F
    more = {126: 2, 127: 8}.get(length, 0)
    size = 2 + more + 4 * masked
    if more and len(view) >= 2 + more:
        length = int.from_bytes(view[2 : 2 + more], "big")
        if length < (126 if more == 2 else 65_536) or length >> 63:
            raise ValueError("a wrong length")
    if len(view) < size:
        return size - len(view)
    key = bytes(view[size - 4 : size]) if masked else b""
    return Header(view[0] >= 0x80, view[0] & 0x0F, length, key, size)


# %% does not say how many: returns None of an empty view; it needs 2 more bytes
def decode_header(view):
    if view and view[0] & 0x70:
        raise ValueError("a reserved bit is set")
    if len(view) < 2:
        return None
    masked, length = view[1] >> 7, view[1] & 0x7F
    more = {126: 2, 127: 8}.get(length, 0)
    size = 2 + more + 4 * masked
    if more and len(view) >= 2 + more:
        length = int.from_bytes(view[2 : 2 + more], "big")
        if length < (126 if more == 2 else 65_536) or length >> 63:
            raise ValueError("a wrong length")
    if len(view) < size:
        return None
    key = bytes(view[size - 4 : size]) if masked else b""
    return Header(view[0] >= 0x80, view[0] & 0x0F, length, key, size)


# %% waits for the payload: all are there
def decode_header(view):
    if view and view[0] & 0x70:
        raise ValueError("a reserved bit is set")
    if len(view) < 2:
        return 2 - len(view)
    masked, length = view[1] >> 7, view[1] & 0x7F
    more = {126: 2, 127: 8}.get(length, 0)
    size = 2 + more + 4 * masked
    if len(view) < size:
        return size - len(view)
    if more:
        length = int.from_bytes(view[2 : 2 + more], "big")
        if length < (126 if more == 2 else 65_536) or length >> 63:
            raise ValueError("a wrong length")
    if len(view) < size + length:
        return size + length - len(view)
    key = bytes(view[size - 4 : size]) if masked else b""
    return Header(view[0] >= 0x80, view[0] & 0x0F, length, key, size)


# %% waits for a header of the longest form: and four of mask
def decode_header(view):
    if len(view) < 14:
        return 14 - len(view)
    raise ValueError("never comes so far with a short frame")


# %% does not look at the reserved bits: has a reserved bit set
def decode_header(view):
    if len(view) < 2:
        return 2 - len(view)
    masked, length = view[1] >> 7, view[1] & 0x7F
    more = {126: 2, 127: 8}.get(length, 0)
    size = 2 + more + 4 * masked
    if more and len(view) >= 2 + more:
        length = int.from_bytes(view[2 : 2 + more], "big")
        if length < (126 if more == 2 else 65_536) or length >> 63:
            raise ValueError("a wrong length")
    if len(view) < size:
        return size - len(view)
    key = bytes(view[size - 4 : size]) if masked else b""
    return Header(view[0] >= 0x80, view[0] & 0x0F, length, key, size)


# %% complains only when the header is whole: nothing that comes later can mend it
def decode_header(view):
    if len(view) < 2:
        return 2 - len(view)
    masked, length = view[1] >> 7, view[1] & 0x7F
    more = {126: 2, 127: 8}.get(length, 0)
    size = 2 + more + 4 * masked
    if len(view) < size:
        return size - len(view)
    if view[0] & 0x70:
        raise ValueError("a reserved bit is set")
    if more:
        length = int.from_bytes(view[2 : 2 + more], "big")
        if length < (126 if more == 2 else 65_536) or length >> 63:
            raise ValueError("a wrong length")
    key = bytes(view[size - 4 : size]) if masked else b""
    return Header(view[0] >= 0x80, view[0] & 0x0F, length, key, size)


# %% takes any form of a length: 5 fits into the 7 bits
def decode_header(view):
    if view and view[0] & 0x70:
        raise ValueError("a reserved bit is set")
    if len(view) < 2:
        return 2 - len(view)
    masked, length = view[1] >> 7, view[1] & 0x7F
    more = {126: 2, 127: 8}.get(length, 0)
    size = 2 + more + 4 * masked
    if len(view) < size:
        return size - len(view)
    if more:
        length = int.from_bytes(view[2 : 2 + more], "big")
    key = bytes(view[size - 4 : size]) if masked else b""
    return Header(view[0] >= 0x80, view[0] & 0x0F, length, key, size)


# %% has one bound for both forms: 65,535 fits into 2 bytes
def decode_header(view):
    if view and view[0] & 0x70:
        raise ValueError("a reserved bit is set")
    if len(view) < 2:
        return 2 - len(view)
    masked, length = view[1] >> 7, view[1] & 0x7F
    more = {126: 2, 127: 8}.get(length, 0)
    size = 2 + more + 4 * masked
    if more and len(view) >= 2 + more:
        length = int.from_bytes(view[2 : 2 + more], "big")
        if length < 126 or length >> 63:
            raise ValueError("a wrong length")
    if len(view) < size:
        return size - len(view)
    key = bytes(view[size - 4 : size]) if masked else b""
    return Header(view[0] >= 0x80, view[0] & 0x0F, length, key, size)


# %% copies the window first: bytes were allocated for a header of
def decode_header(view):
    data = bytes(view)
    if data and data[0] & 0x70:
        raise ValueError("a reserved bit is set")
    if len(data) < 2:
        return 2 - len(data)
    masked, length = data[1] >> 7, data[1] & 0x7F
    more = {126: 2, 127: 8}.get(length, 0)
    size = 2 + more + 4 * masked
    if more and len(data) >= 2 + more:
        length = int.from_bytes(data[2 : 2 + more], "big")
        if length < (126 if more == 2 else 65_536) or length >> 63:
            raise ValueError("a wrong length")
    if len(data) < size:
        return size - len(data)
    key = data[size - 4 : size] if masked else b""
    return Header(data[0] >= 0x80, data[0] & 0x0F, length, key, size)


# %% takes 127 for a length: the length was 127, so eight bytes follow
def decode_header(view):
    if view and view[0] & 0x70:
        raise ValueError("a reserved bit is set")
    if len(view) < 2:
        return 2 - len(view)
    masked, length = view[1] >> 7, view[1] & 0x7F
    more = 2 if length == 126 else 0
    size = 2 + more + 4 * masked
    if more and len(view) >= 2 + more:
        length = int.from_bytes(view[2 : 2 + more], "big")
        if length < 126:
            raise ValueError("a wrong length")
    if len(view) < size:
        return size - len(view)
    key = bytes(view[size - 4 : size]) if masked else b""
    return Header(view[0] >= 0x80, view[0] & 0x0F, length, key, size)
