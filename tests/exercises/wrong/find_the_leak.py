"""Wrong answers to find the leak."""

# %% as it was: leaves 1 descriptor open: a file
serve = leaky


# %% closes at each return: leaves 1 descriptor open: a file
def serve(sock, folder):
    name = sock.recv(100).decode()
    try:
        fd = os.open(folder / name, os.O_RDONLY)
    except FileNotFoundError:
        sock.sendall(b"not found")
        return
    if os.fstat(fd).st_size > LIMIT:
        os.close(fd)
        sock.sendall(b"too large")
        return
    sock.sendall(os.read(fd, LIMIT))
    os.close(fd)


# %% closes twice: OSError: [Errno 9] Bad file descriptor
def serve(sock, folder):
    name = sock.recv(100).decode()
    try:
        fd = os.open(folder / name, os.O_RDONLY)
    except FileNotFoundError:
        sock.sendall(b"not found")
        return
    try:
        if os.fstat(fd).st_size > LIMIT:
            sock.sendall(b"too large")
            os.close(fd)
            return
        sock.sendall(os.read(fd, LIMIT))
    finally:
        os.close(fd)


# %% closes what was never opened: UnboundLocalError
def serve(sock, folder):
    name = sock.recv(100).decode()
    try:
        fd = os.open(folder / name, os.O_RDONLY)
        if os.fstat(fd).st_size > LIMIT:
            sock.sendall(b"too large")
        else:
            sock.sendall(os.read(fd, LIMIT))
    except FileNotFoundError:
        sock.sendall(b"not found")
    finally:
        os.close(fd)


# %% closes the socket too: closes the socket, which belongs to the caller
def serve(sock, folder):
    with sock:
        name = sock.recv(100).decode()
        try:
            file = open(folder / name, "rb")
        except FileNotFoundError:
            sock.sendall(b"not found")
            return
        with file:
            data = file.read(LIMIT + 1)
        sock.sendall(b"too large" if len(data) > LIMIT else data)


# %% leaves it to Python: leaves a file for the garbage collector to close
def serve(sock, folder):
    name = sock.recv(100).decode()
    try:
        data = open(folder / name, "rb").read(LIMIT + 1)
    except FileNotFoundError:
        sock.sendall(b"not found")
        return
    sock.sendall(b"too large" if len(data) > LIMIT else data)


# %% swallows every error: the client cannot be sent to, and your function returns None
def serve(sock, folder):
    name = sock.recv(100).decode()
    try:
        with open(folder / name, "rb") as file:
            data = file.read(LIMIT + 1)
        sock.sendall(b"too large" if len(data) > LIMIT else data)
    except FileNotFoundError:
        sock.sendall(b"not found")
    except OSError:
        pass


# %% closes before it sends, and not when read fails: not read: leaves 1 descriptor open
def serve(sock, folder):
    name = sock.recv(100).decode()
    try:
        fd = os.open(folder / name, os.O_RDONLY)
    except FileNotFoundError:
        sock.sendall(b"not found")
        return
    if os.fstat(fd).st_size > LIMIT:
        os.close(fd)
        sock.sendall(b"too large")
        return
    data = os.read(fd, LIMIT)
    os.close(fd)
    sock.sendall(data)
