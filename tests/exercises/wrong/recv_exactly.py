"""Wrong answers to recv exactly n."""


# %% one recv: returns 2 bytes, where 5 were asked for
def recv_exactly(sock, n):
    return sock.recv(n)


# %% asks for all n each time: takes 2 bytes too many: they belong to the next reader
def recv_exactly(sock, n):
    data = b""
    while len(data) < n:
        part = sock.recv(n)
        if not part:
            break
        data += part
    if data and len(data) < n:
        raise EOFError
    return data[:n]


# %% reads what there is, and cuts: takes 3 bytes too many: they belong to the next reader
def recv_exactly(sock, n):
    data = b""
    while len(data) < n:
        part = sock.recv(4096)
        if not part:
            break
        data += part
    if data and len(data) < n:
        raise EOFError
    return data[:n]


# %% never looks for the end: the stream has ended, and your function still asks for more
def recv_exactly(sock, n):
    data = b""
    while len(data) < n:
        data += sock.recv(n - len(data))
    return data


# %% returns a part: returns b'he', though the stream was cut off after 2 of 5 bytes: EOFError
def recv_exactly(sock, n):
    data = b""
    while len(data) < n and (part := sock.recv(n - len(data))):
        data += part
    return data


# %% every end is an error: raises EOFError, though nothing is cut off
def recv_exactly(sock, n):
    data = b""
    while len(data) < n:
        part = sock.recv(n - len(data))
        if not part:
            raise EOFError("the stream ended")
        data += part
    return data


# %% MSG_WAITALL alone: returns b'he', though the stream was cut off after 2 of 5 bytes: EOFError
def recv_exactly(sock, n):
    return sock.recv(n, socket.MSG_WAITALL)


# %% takes a reset for the end: the caller should hear of the reset: ConnectionResetError
def recv_exactly(sock, n):
    data = b""
    try:
        while len(data) < n and (part := sock.recv(n - len(data))):
            data += part
    except OSError:
        pass
    if data and len(data) < n:
        raise EOFError
    return data


# %% waits for one byte more: your function waits for more, though all bytes
def recv_exactly(sock, n):
    data = b""
    while len(data) <= n:
        part = sock.recv(n + 1 - len(data))
        if not part:
            break
        data += part
    return data[:n]
