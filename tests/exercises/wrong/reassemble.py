"""Wrong answers to reassemble."""


# %% a control frame ends the message: yields ping b'one messthere?', where ping b'there?' was sent
def reassemble(frames):
    data = bytearray()
    kind = None
    for fin, opcode, payload in frames:
        if opcode != CONTINUATION:
            kind = opcode
        elif kind is None:
            raise ProtocolError(1002, "nothing to continue")
        data += payload
        if fin:
            yield kind, data.decode() if kind == TEXT else bytes(data)
            data, kind = bytearray(), None


# %% the opcode of the last frame: with opcode 0, that of its last frame: what a message is, its
def reassemble(frames):
    data = bytearray()
    for fin, opcode, payload in frames:
        if opcode >= CLOSE:
            yield opcode, bytes(payload)
            continue
        if opcode == CONTINUATION and not data:
            raise ProtocolError(1002, "nothing to continue")
        data += payload
        if fin:
            yield opcode, data.decode() if opcode != BINARY else bytes(data)
            data = bytearray()


# %% keeps views of the fragments: a view of a fragment was kept, and the window was used again
def reassemble(frames):
    kind, parts = 0, []
    for fin, opcode, payload in frames:
        if opcode >= CLOSE:
            yield opcode, bytes(payload)
            continue
        if (opcode == CONTINUATION) == (not kind):
            raise ProtocolError(1002, "out of order")
        kind = kind or opcode
        parts.append(payload)
        if fin:
            message = b"".join(parts)
            yield kind, message.decode() if kind == TEXT else message
            kind, parts = 0, []


# %% yields a view: it shows something else as soon as the window is used again
def reassemble(frames):
    kind, data = 0, bytearray()
    for fin, opcode, payload in frames:
        if opcode >= CLOSE:
            yield opcode, payload
            continue
        if (opcode == CONTINUATION) == (not kind):
            raise ProtocolError(1002, "out of order")
        kind = kind or opcode
        data += payload
        if fin:
            yield kind, data.decode() if kind == TEXT else bytes(data)
            kind, data = 0, bytearray()


# %% decodes each fragment: a character may be cut between two fragments
def reassemble(frames):
    kind, data = 0, None
    for fin, opcode, payload in frames:
        if opcode >= CLOSE:
            yield opcode, bytes(payload)
            continue
        if (opcode == CONTINUATION) == (not kind):
            raise ProtocolError(1002, "out of order")
        if not kind:
            kind, data = opcode, "" if opcode == TEXT else b""
        data += str(payload, "utf-8") if kind == TEXT else bytes(payload)
        if fin:
            yield kind, data
            kind, data = 0, None


# %% does not begin anew: yields text 'one messagenext', where text 'next' was sent
def reassemble(frames):
    kind, data = 0, bytearray()
    for fin, opcode, payload in frames:
        if opcode >= CLOSE:
            yield opcode, bytes(payload)
            continue
        if (opcode == CONTINUATION) == (not kind):
            raise ProtocolError(1002, "out of order")
        kind = kind or opcode
        data += payload
        if fin:
            yield kind, data.decode() if kind == TEXT else bytes(data)
            kind = 0


# %% takes any continuation: as if all were right: there is nothing to continue, ProtocolError 1002
def reassemble(frames):
    kind, data = TEXT, bytearray()
    for fin, opcode, payload in frames:
        if opcode >= CLOSE:
            yield opcode, bytes(payload)
            continue
        kind = opcode or kind
        data += payload
        if fin:
            yield kind, data.decode() if kind == TEXT else bytes(data)
            data = bytearray()


# %% a new message drops the one before it: a new message begins before the one before it has ended
def reassemble(frames):
    kind, data = 0, bytearray()
    for fin, opcode, payload in frames:
        if opcode >= CLOSE:
            yield opcode, bytes(payload)
            continue
        if opcode != CONTINUATION:
            kind, data = opcode, bytearray()
        elif not kind:
            raise ProtocolError(1002, "nothing to continue")
        data += payload
        if fin:
            try:
                yield kind, data.decode() if kind == TEXT else bytes(data)
            except UnicodeDecodeError:
                raise ProtocolError(1007, "not UTF-8") from None
            kind = 0


# %% one buffer for all clients: where text 'from A: hello' was sent
def reassemble(frames, data=bytearray()):  # noqa: B008
    kind = 0
    for fin, opcode, payload in frames:
        if opcode >= CLOSE:
            yield opcode, bytes(payload)
            continue
        if (opcode == CONTINUATION) == (not kind):
            raise ProtocolError(1002, "out of order")
        kind = kind or opcode
        data += payload
        if fin:
            try:
                yield kind, data.decode() if kind == TEXT else bytes(data)
            except UnicodeDecodeError:
                raise ProtocolError(1007, "not UTF-8") from None
            data.clear()
            kind = 0


# %% collects first: the ping was handed out only when 3 frames had been asked for
def reassemble(frames):
    messages, kind, data = [], 0, bytearray()
    for fin, opcode, payload in frames:
        if opcode >= CLOSE:
            messages.append((opcode, bytes(payload)))
            continue
        if (opcode == CONTINUATION) == (not kind):
            raise ProtocolError(1002, "out of order")
        kind = kind or opcode
        data += payload
        if fin:
            try:
                messages.append((kind, data.decode() if kind == TEXT else bytes(data)))
            except UnicodeDecodeError:
                raise ProtocolError(1007, "not UTF-8") from None
            kind, data = 0, bytearray()
    return messages


# %% puts up with what is not UTF-8: as if all were right: the text is not UTF-8, ProtocolError 1007
def reassemble(frames):
    kind, data = 0, bytearray()
    for fin, opcode, payload in frames:
        if opcode >= CLOSE:
            yield opcode, bytes(payload)
            continue
        if (opcode == CONTINUATION) == (not kind):
            raise ProtocolError(1002, "out of order")
        kind = kind or opcode
        data += payload
        if fin:
            yield kind, data.decode(errors="replace") if kind == TEXT else bytes(data)
            kind, data = 0, bytearray()


# %% takes the empty message for none: raises ProtocolError, 1002: nothing to continue, and no rule
def reassemble(frames):
    kind, data = 0, bytearray()
    for fin, opcode, payload in frames:
        if opcode >= CLOSE:
            yield opcode, bytes(payload)
            continue
        if opcode == CONTINUATION and not data:
            raise ProtocolError(1002, "nothing to continue")
        if opcode != CONTINUATION and data:
            raise ProtocolError(1002, "a new message begins before the one before it has ended")
        kind = opcode or kind
        data += payload
        if fin:
            try:
                yield kind, data.decode() if kind == TEXT else bytes(data)
            except UnicodeDecodeError:
                raise ProtocolError(1007, "not UTF-8") from None
            data = bytearray()
