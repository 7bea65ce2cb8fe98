"""Wrong answers to echo without blocking."""


# %% ignores what send returns: those between are lost
def turn(listener, clients):
    with contextlib.suppress(BlockingIOError):
        sock, _ = listener.accept()
        sock.setblocking(False)
        clients[sock] = None
    for sock in list(clients):
        try:
            data = sock.recv(4096)
            sock.send(data)
        except BlockingIOError:
            continue
        except OSError:
            data = b""
        if not data:
            del clients[sock]
            sock.close()


# %% sendall: does not say how much; `send` does
def turn(listener, clients):
    with contextlib.suppress(BlockingIOError):
        sock, _ = listener.accept()
        sock.setblocking(False)
        clients[sock] = None
    for sock in list(clients):
        try:
            data = sock.recv(4096)
        except BlockingIOError:
            continue
        except OSError:
            data = b""
        if data:
            sock.sendall(data)
        else:
            del clients[sock]
            sock.close()


# %% sendall, and all of it again: once more: only what `send` did not take
def turn(listener, clients):
    with contextlib.suppress(BlockingIOError):
        sock, _ = listener.accept()
        sock.setblocking(False)
        clients[sock] = b""
    for sock, owed in list(clients.items()):
        try:
            clients[sock] = owed = owed or sock.recv(4096)
            sock.sendall(owed)
            clients[sock] = b""
        except BlockingIOError:
            continue
        except OSError:
            owed = b""
        if not owed:
            del clients[sock]
            sock.close()


# %% the whole rest again after a short send: once more: only what `send` did not take
def turn(listener, clients):
    with contextlib.suppress(BlockingIOError):
        sock, _ = listener.accept()
        sock.setblocking(False)
        clients[sock] = b""
    for sock, owed in list(clients.items()):
        try:
            clients[sock] = owed = owed or sock.recv(4096)
            if sock.send(owed) == len(owed):
                clients[sock] = b""
        except BlockingIOError:
            continue
        except OSError:
            owed = b""
        if not owed:
            del clients[sock]
            sock.close()


# %% takes EAGAIN for the end: EAGAIN means that nothing is there now; the end is
def turn(listener, clients):
    with contextlib.suppress(BlockingIOError):
        sock, _ = listener.accept()
        sock.setblocking(False)
        clients[sock] = bytearray()
    for sock, owed in list(clients.items()):
        try:
            if not owed:
                owed += sock.recv(4096)
            gone = not owed
            del owed[: sock.send(owed)]
        except OSError:
            gone = True
        if gone:
            del clients[sock]
            sock.close()


# %% takes the end for nothing yet: is not EAGAIN, nothing more will ever come; close
def turn(listener, clients):
    with contextlib.suppress(BlockingIOError):
        sock, _ = listener.accept()
        sock.setblocking(False)
        clients[sock] = bytearray()
    for sock, owed in list(clients.items()):
        try:
            if not owed:
                owed += sock.recv(4096)
            if owed:
                del owed[: sock.send(owed)]
        except BlockingIOError:
            pass
        except OSError:
            del clients[sock]
            sock.close()


# %% accepted sockets block: on Linux it does not inherit O_NONBLOCK
def turn(listener, clients):
    with contextlib.suppress(BlockingIOError):
        sock, _ = listener.accept()
        clients[sock] = bytearray()
    for sock, owed in list(clients.items()):
        gone = False
        try:
            if not owed:
                owed += sock.recv(4096)
                gone = not owed
            del owed[: sock.send(owed)]
        except BlockingIOError:
            pass
        except OSError:
            gone = True
        if gone:
            del clients[sock]
            sock.close()


# %% a short timeout: may wait, however short | in `turn`: `owed += sock.recv(4096)`
def turn(listener, clients):
    with contextlib.suppress(BlockingIOError):
        sock, _ = listener.accept()
        sock.settimeout(0.001)
        clients[sock] = bytearray()
    for sock, owed in list(clients.items()):
        gone = False
        try:
            if not owed:
                owed += sock.recv(4096)
                gone = not owed
            del owed[: sock.send(owed)]
        except (BlockingIOError, TimeoutError):
            pass
        except OSError:
            gone = True
        if gone:
            del clients[sock]
            sock.close()


# %% what has just come goes before what is owed: what is owed goes first
def turn(listener, clients):
    with contextlib.suppress(BlockingIOError):
        sock, _ = listener.accept()
        sock.setblocking(False)
        clients[sock] = bytearray()
    for sock, owed in list(clients.items()):
        try:
            data = sock.recv(4096)
            if not data and not owed:
                del clients[sock]
                sock.close()
                continue
            try:
                sent = sock.send(data)
            except BlockingIOError:
                sent = 0
            owed += data[sent:]
        except BlockingIOError:
            pass
        except OSError:
            del clients[sock]
            sock.close()
            continue
        with contextlib.suppress(BlockingIOError):
            del owed[: sock.send(owed)]


# %% one rest for all: a client hears what another one has sent
rest = bytearray()


def turn(listener, clients):
    with contextlib.suppress(BlockingIOError):
        sock, _ = listener.accept()
        sock.setblocking(False)
        clients[sock] = None
    for sock in list(clients):
        gone = False
        try:
            if not rest:
                rest.extend(sock.recv(4096))
                gone = not rest
            del rest[: sock.send(rest)]
        except BlockingIOError:
            pass
        except OSError:
            gone = True
        if gone:
            del clients[sock]
            sock.close()


# %% tries until all is sent: keep what `send` does not take, and go on
def turn(listener, clients):
    with contextlib.suppress(BlockingIOError):
        sock, _ = listener.accept()
        sock.setblocking(False)
        clients[sock] = None
    for sock in list(clients):
        try:
            data = owed = sock.recv(4096)
        except BlockingIOError:
            continue
        except OSError:
            data = owed = b""
        while owed:
            with contextlib.suppress(BlockingIOError):
                owed = owed[sock.send(owed) :]
        if not data:
            del clients[sock]
            sock.close()


# %% closes at the end of the stream, whatever is owed: first send what is owed, then close
def turn(listener, clients):
    with contextlib.suppress(BlockingIOError):
        sock, _ = listener.accept()
        sock.setblocking(False)
        clients[sock] = bytearray()
    for sock, owed in list(clients.items()):
        gone = False
        try:
            if data := sock.recv(4096):
                owed += data
            else:
                gone = True
        except BlockingIOError:
            pass
        except OSError:
            gone = True
        with contextlib.suppress(OSError):
            del owed[: sock.send(owed)]
        if gone:
            del clients[sock]
            sock.close()


# %% reads on from one who does not read: is read and kept in your memory
def turn(listener, clients):
    with contextlib.suppress(BlockingIOError):
        sock, _ = listener.accept()
        sock.setblocking(False)
        clients[sock] = bytearray(), []
    for sock, (owed, ended) in list(clients.items()):
        try:
            with contextlib.suppress(BlockingIOError):
                data = sock.recv(4096)
                owed += data
                if not data:
                    ended.append(True)
            with contextlib.suppress(BlockingIOError):
                del owed[: sock.send(owed)]
        except OSError:
            owed.clear()
            ended.append(True)
        if ended and not owed:
            del clients[sock]
            sock.close()


# %% leaves the round at the first EAGAIN: EAGAIN is about one socket; go on
def turn(listener, clients):
    with contextlib.suppress(BlockingIOError):
        sock, _ = listener.accept()
        sock.setblocking(False)
        clients[sock] = bytearray()
    with contextlib.suppress(BlockingIOError):
        for sock, owed in list(clients.items()):
            try:
                if not owed:
                    owed += sock.recv(4096)
                gone = not owed
                del owed[: sock.send(owed)]
            except ConnectionError:
                gone = True
            if gone:
                del clients[sock]
                sock.close()


# %% asks nobody when nobody has connected: the first word has come back, and the second does not
def turn(listener, clients):
    try:
        sock, _ = listener.accept()
    except BlockingIOError:
        return
    sock.setblocking(False)
    clients[sock] = bytearray()
    for sock, owed in list(clients.items()):
        gone = False
        try:
            if not owed:
                owed += sock.recv(4096)
                gone = not owed
            del owed[: sock.send(owed)]
        except BlockingIOError:
            pass
        except OSError:
            gone = True
        if gone:
            del clients[sock]
            sock.close()


# %% a reset comes out: one client has gone, and the round is over for all other clients
def turn(listener, clients):
    with contextlib.suppress(BlockingIOError):
        sock, _ = listener.accept()
        sock.setblocking(False)
        clients[sock] = bytearray()
    for sock, owed in list(clients.items()):
        with contextlib.suppress(BlockingIOError):
            if not owed:
                owed += sock.recv(4096)
            if not owed:
                del clients[sock]
                sock.close()
            else:
                del owed[: sock.send(owed)]


# %% closes and does not forget: take out those that you close
def turn(listener, clients):
    with contextlib.suppress(BlockingIOError):
        sock, _ = listener.accept()
        sock.setblocking(False)
        clients[sock] = bytearray()
    for sock, owed in clients.items():
        try:
            if not owed:
                owed += sock.recv(4096)
            if not owed:
                sock.close()
            del owed[: sock.send(owed)]
        except BlockingIOError:
            pass
        except OSError:
            sock.close()


# %% forgets and does not close: for the garbage collector to close
def turn(listener, clients):
    with contextlib.suppress(BlockingIOError):
        sock, _ = listener.accept()
        sock.setblocking(False)
        clients[sock] = bytearray()
    for sock, owed in list(clients.items()):
        gone = False
        try:
            if not owed:
                owed += sock.recv(4096)
                gone = not owed
            del owed[: sock.send(owed)]
        except BlockingIOError:
            pass
        except OSError:
            gone = True
        if gone:
            del clients[sock]
