"""Wrong answers to EOF or reset."""


# %% never says that no more follows: say that no more follows, with `shutdown(SHUT_WR)`
def fetch(address, request):
    parts = []
    with socket.create_connection(address) as sock:
        try:
            sock.sendall(request)
            while part := sock.recv(1 << 16):
                parts.append(part)
        except OSError:
            raise Incomplete(b"".join(parts)) from None
    return b"".join(parts)


# %% shuts down both directions: bytes, and your function returns 0 bytes
def fetch(address, request):
    parts = []
    with socket.create_connection(address) as sock:
        try:
            sock.sendall(request)
            sock.shutdown(socket.SHUT_RDWR)
            while part := sock.recv(1 << 16):
                parts.append(part)
        except OSError:
            raise Incomplete(b"".join(parts)) from None
    return b"".join(parts)


# %% one recv: comes in pieces: the server has sent 9 bytes, and your function returns
def fetch(address, request):
    with socket.create_connection(address) as sock:
        try:
            sock.sendall(request)
            sock.shutdown(socket.SHUT_WR)
            return sock.recv(1 << 16)
        except OSError:
            raise Incomplete(b"") from None


# %% takes a reset for the end: returns b'an ans' as if it were whole; the connection was reset
def fetch(address, request):
    data = b""
    with socket.create_connection(address) as sock:
        try:
            sock.sendall(request)
            sock.shutdown(socket.SHUT_WR)
            while part := sock.recv(1 << 16):
                data += part
        except OSError:
            pass
    return data


# %% lets the reset through: where `Incomplete` should tell of the reset
def fetch(address, request):
    data = b""
    with socket.create_connection(address) as sock:
        sock.sendall(request)
        sock.shutdown(socket.SHUT_WR)
        while part := sock.recv(1 << 16):
            data += part
    return data


# %% knows two errors of three: raises OSError(107, 'Transport endpoint is not connected')
def fetch(address, request):
    data = b""
    with socket.create_connection(address) as sock:
        try:
            sock.sendall(request)
            sock.shutdown(socket.SHUT_WR)
            while part := sock.recv(1 << 16):
                data += part
        except (ConnectionResetError, BrokenPipeError):
            raise Incomplete(data) from None
    return data


# %% loses what had come: `Incomplete` holds b''; b'an ans' had come before the reset
def fetch(address, request):
    with socket.create_connection(address) as sock:
        try:
            sock.sendall(request)
            sock.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: sock.recv(1 << 16), b""))
        except OSError:
            raise Incomplete(b"") from None


# %% send once: bytes of a request of 8,388,608
def fetch(address, request):
    parts = []
    with socket.create_connection(address) as sock:
        try:
            sock.setblocking(False)
            sock.send(request)
            sock.setblocking(True)
            sock.shutdown(socket.SHUT_WR)
            while part := sock.recv(1 << 16):
                parts.append(part)
        except OSError:
            raise Incomplete(b"".join(parts)) from None
    return b"".join(parts)


# %% closes on the good way only: leaves a socket for the garbage collector to close
def fetch(address, request):
    data = b""
    sock = socket.create_connection(address)
    try:
        sock.sendall(request)
        sock.shutdown(socket.SHUT_WR)
        while part := sock.recv(1 << 16):
            data += part
    except OSError:
        raise Incomplete(data) from None
    sock.close()
    return data


# %% every trouble is Incomplete: where the caller should hear that nobody listens
def fetch(address, request):
    data = b""
    try:
        with socket.create_connection(address) as sock:
            sock.sendall(request)
            sock.shutdown(socket.SHUT_WR)
            while part := sock.recv(1 << 16):
                data += part
    except OSError:
        raise Incomplete(data) from None
    return data
