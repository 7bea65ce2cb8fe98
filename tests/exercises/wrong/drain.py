"""Wrong answers to drain."""


# %% reads once for each event: they came as one event, and it does not come again
def serve(listener, clients):
    listener.setblocking(False)
    talks = {}
    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN | select.EPOLLET)
        while clients:
            for fd, _ in epoll.poll():
                if fd == listener.fileno():
                    accept_all(listener, talks, epoll)
                elif has_gone(*talks[fd]):
                    talks.pop(fd)[0].close()
                    clients -= 1


def accept_all(listener, talks, epoll):
    with contextlib.suppress(BlockingIOError):
        while True:
            sock, _ = listener.accept()
            sock.setblocking(False)
            talks[sock.fileno()] = sock, bytearray()
            epoll.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)


def has_gone(sock, owed):
    try:
        while owed:
            del owed[: sock.send(owed)]
        data = sock.recv(4096)
        owed += data
        while owed:
            del owed[: sock.send(owed)]
    except BlockingIOError:
        return False
    except OSError:
        return True
    return not data


# %% one large read for each event: waits for your end of it: `recv` says `b''`, once you ask
def serve(listener, clients):
    listener.setblocking(False)
    talks = {}
    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN | select.EPOLLET)
        while clients:
            for fd, _ in epoll.poll():
                if fd == listener.fileno():
                    accept_all(listener, talks, epoll)
                elif has_gone(*talks[fd]):
                    talks.pop(fd)[0].close()
                    clients -= 1


def accept_all(listener, talks, epoll):
    with contextlib.suppress(BlockingIOError):
        while True:
            sock, _ = listener.accept()
            sock.setblocking(False)
            talks[sock.fileno()] = sock, bytearray()
            epoll.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)


def has_gone(sock, owed):
    try:
        while owed:
            del owed[: sock.send(owed)]
        data = sock.recv(1 << 20)
        owed += data
        while owed:
            del owed[: sock.send(owed)]
    except BlockingIOError:
        return False
    except OSError:
        return True
    return not data


# %% accepts once for each event: of 3 clients, 2 still in the accept queue
def serve(listener, clients):
    listener.setblocking(False)
    talks = {}
    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN | select.EPOLLET)
        while clients:
            for fd, _ in epoll.poll():
                if fd == listener.fileno():
                    accept_all(listener, talks, epoll)
                elif has_gone(*talks[fd]):
                    talks.pop(fd)[0].close()
                    clients -= 1


def accept_all(listener, talks, epoll):
    sock, _ = listener.accept()
    sock.setblocking(False)
    talks[sock.fileno()] = sock, bytearray()
    epoll.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)


def has_gone(sock, owed):
    try:
        while True:
            while owed:
                del owed[: sock.send(owed)]
            data = sock.recv(4096)
            if not data:
                return True
            owed += data
    except BlockingIOError:
        return False
    except OSError:
        return True


# %% does not catch EAGAIN of accept: BlockingIOError: [Errno 11] Resource temporarily unavailable
def serve(listener, clients):
    listener.setblocking(False)
    talks = {}
    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN | select.EPOLLET)
        while clients:
            for fd, _ in epoll.poll():
                if fd == listener.fileno():
                    accept_all(listener, talks, epoll)
                elif has_gone(*talks[fd]):
                    talks.pop(fd)[0].close()
                    clients -= 1


def accept_all(listener, talks, epoll):
    while True:
        sock, _ = listener.accept()
        sock.setblocking(False)
        talks[sock.fileno()] = sock, bytearray()
        epoll.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)


def has_gone(sock, owed):
    try:
        while True:
            while owed:
                del owed[: sock.send(owed)]
            data = sock.recv(4096)
            if not data:
                return True
            owed += data
    except BlockingIOError:
        return False
    except OSError:
        return True


# %% accepted sockets block: The accepted sockets must be non-blocking too
def serve(listener, clients):
    listener.setblocking(False)
    talks = {}
    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN | select.EPOLLET)
        while clients:
            for fd, _ in epoll.poll():
                if fd == listener.fileno():
                    accept_all(listener, talks, epoll)
                elif has_gone(*talks[fd]):
                    talks.pop(fd)[0].close()
                    clients -= 1


def accept_all(listener, talks, epoll):
    with contextlib.suppress(BlockingIOError):
        while True:
            sock, _ = listener.accept()
            talks[sock.fileno()] = sock, bytearray()
            epoll.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)


def has_gone(sock, owed):
    try:
        while True:
            while owed:
                del owed[: sock.send(owed)]
            data = sock.recv(4096)
            if not data:
                return True
            owed += data
    except BlockingIOError:
        return False
    except OSError:
        return True


# %% never asks for EPOLLOUT: for what `send` did not take ask for EPOLLOUT
def serve(listener, clients):
    listener.setblocking(False)
    talks = {}
    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN | select.EPOLLET)
        while clients:
            for fd, _ in epoll.poll():
                if fd == listener.fileno():
                    accept_all(listener, talks, epoll)
                elif has_gone(*talks[fd]):
                    talks.pop(fd)[0].close()
                    clients -= 1


def accept_all(listener, talks, epoll):
    with contextlib.suppress(BlockingIOError):
        while True:
            sock, _ = listener.accept()
            sock.setblocking(False)
            talks[sock.fileno()] = sock, bytearray()
            epoll.register(sock, select.EPOLLIN | select.EPOLLET)


def has_gone(sock, owed):
    try:
        while True:
            while owed:
                del owed[: sock.send(owed)]
            data = sock.recv(4096)
            if not data:
                return True
            owed += data
    except BlockingIOError:
        return False
    except OSError:
        return True


# %% throws away what send did not take: what `send` did not take
def serve(listener, clients):
    listener.setblocking(False)
    talks = {}
    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN | select.EPOLLET)
        while clients:
            for fd, _ in epoll.poll():
                if fd == listener.fileno():
                    accept_all(listener, talks, epoll)
                elif has_gone(*talks[fd]):
                    talks.pop(fd)[0].close()
                    clients -= 1


def accept_all(listener, talks, epoll):
    with contextlib.suppress(BlockingIOError):
        while True:
            sock, _ = listener.accept()
            sock.setblocking(False)
            talks[sock.fileno()] = sock, bytearray()
            epoll.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)


def has_gone(sock, owed):
    try:
        while data := sock.recv(4096):
            sock.send(data)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


# %% sendall: what `send` did not take is still owed
def serve(listener, clients):
    listener.setblocking(False)
    talks = {}
    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN | select.EPOLLET)
        while clients:
            for fd, _ in epoll.poll():
                if fd == listener.fileno():
                    accept_all(listener, talks, epoll)
                elif has_gone(*talks[fd]):
                    talks.pop(fd)[0].close()
                    clients -= 1


def accept_all(listener, talks, epoll):
    with contextlib.suppress(BlockingIOError):
        while True:
            sock, _ = listener.accept()
            sock.setblocking(False)
            talks[sock.fileno()] = sock, bytearray()
            epoll.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)


def has_gone(sock, owed):
    while True:
        try:
            data = sock.recv(4096)
        except BlockingIOError:
            return False
        try:
            sock.sendall(data)
        except OSError:
            return True
        if not data:
            return True


# %% sends again and again until all is taken: a client that does not read keeps another one waiting
def serve(listener, clients):
    listener.setblocking(False)
    talks = {}
    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN | select.EPOLLET)
        while clients:
            for fd, _ in epoll.poll():
                if fd == listener.fileno():
                    accept_all(listener, talks, epoll)
                elif has_gone(*talks[fd]):
                    talks.pop(fd)[0].close()
                    clients -= 1


def accept_all(listener, talks, epoll):
    with contextlib.suppress(BlockingIOError):
        while True:
            sock, _ = listener.accept()
            sock.setblocking(False)
            talks[sock.fileno()] = sock, bytearray()
            epoll.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)


def has_gone(sock, owed):
    while True:
        try:
            while owed:
                del owed[: sock.send(owed)]
            data = sock.recv(4096)
        except BlockingIOError:
            if owed:
                continue
            return False
        except OSError:
            return True
        if not data:
            return True
        owed += data


# %% takes EAGAIN for the end: EAGAIN means that nothing is there now; the end is `b''`
def serve(listener, clients):
    listener.setblocking(False)
    talks = {}
    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN | select.EPOLLET)
        while clients:
            for fd, _ in epoll.poll():
                if fd == listener.fileno():
                    accept_all(listener, talks, epoll)
                elif has_gone(*talks[fd]):
                    talks.pop(fd)[0].close()
                    clients -= 1


def accept_all(listener, talks, epoll):
    with contextlib.suppress(BlockingIOError):
        while True:
            sock, _ = listener.accept()
            sock.setblocking(False)
            talks[sock.fileno()] = sock, bytearray()
            epoll.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)


def has_gone(sock, owed):
    try:
        while True:
            while owed:
                del owed[: sock.send(owed)]
            data = sock.recv(4096)
            if not data:
                return True
            owed += data
    except OSError:
        return True


# %% takes the end for nothing: waits for your end of it: `recv` says `b''`, once you ask
def serve(listener, clients):
    listener.setblocking(False)
    talks = {}
    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN | select.EPOLLET)
        while clients:
            for fd, _ in epoll.poll():
                if fd == listener.fileno():
                    accept_all(listener, talks, epoll)
                elif has_gone(*talks[fd]):
                    talks.pop(fd)[0].close()
                    clients -= 1


def accept_all(listener, talks, epoll):
    with contextlib.suppress(BlockingIOError):
        while True:
            sock, _ = listener.accept()
            sock.setblocking(False)
            talks[sock.fileno()] = sock, bytearray()
            epoll.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)


def has_gone(sock, owed):
    try:
        while True:
            while owed:
                del owed[: sock.send(owed)]
            data = sock.recv(4096)
            if not data:
                return False
            owed += data
    except BlockingIOError:
        return False
    except OSError:
        return True


# %% hangs up when RDHUP comes: what has come is still to be read, and answered
def serve(listener, clients):
    listener.setblocking(False)
    talks = {}
    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN | select.EPOLLET)
        while clients:
            for fd, event in epoll.poll():
                if fd == listener.fileno():
                    accept_all(listener, talks, epoll)
                elif event & select.EPOLLRDHUP or has_gone(*talks[fd]):
                    talks.pop(fd)[0].close()
                    clients -= 1


def accept_all(listener, talks, epoll):
    with contextlib.suppress(BlockingIOError):
        while True:
            sock, _ = listener.accept()
            sock.setblocking(False)
            talks[sock.fileno()] = sock, bytearray()
            events = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
            epoll.register(sock, events)


def has_gone(sock, owed):
    try:
        while True:
            while owed:
                del owed[: sock.send(owed)]
            data = sock.recv(4096)
            if not data:
                return True
            owed += data
    except BlockingIOError:
        return False
    except OSError:
        return True


# %% closes at the end and forgets what it owes: what `send` did not take is still owed
def serve(listener, clients):
    listener.setblocking(False)
    talks = {}
    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN | select.EPOLLET)
        while clients:
            for fd, _ in epoll.poll():
                if fd == listener.fileno():
                    accept_all(listener, talks, epoll)
                elif has_gone(*talks[fd]):
                    talks.pop(fd)[0].close()
                    clients -= 1


def accept_all(listener, talks, epoll):
    with contextlib.suppress(BlockingIOError):
        while True:
            sock, _ = listener.accept()
            sock.setblocking(False)
            talks[sock.fileno()] = sock, bytearray()
            epoll.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)


def has_gone(sock, owed):
    ended = False
    with contextlib.suppress(BlockingIOError):
        while data := sock.recv(4096):
            owed += data
        ended = True
    with contextlib.suppress(BlockingIOError):
        while owed:
            del owed[: sock.send(owed)]
    return ended


# %% a reset ends it all: ConnectionResetError: [Errno 104] Connection reset by peer, in line
def serve(listener, clients):
    listener.setblocking(False)
    talks = {}
    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN | select.EPOLLET)
        while clients:
            for fd, _ in epoll.poll():
                if fd == listener.fileno():
                    accept_all(listener, talks, epoll)
                elif has_gone(*talks[fd]):
                    talks.pop(fd)[0].close()
                    clients -= 1


def accept_all(listener, talks, epoll):
    with contextlib.suppress(BlockingIOError):
        while True:
            sock, _ = listener.accept()
            sock.setblocking(False)
            talks[sock.fileno()] = sock, bytearray()
            epoll.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)


def has_gone(sock, owed):
    try:
        while True:
            while owed:
                del owed[: sock.send(owed)]
            data = sock.recv(4096)
            if not data:
                return True
            owed += data
    except BlockingIOError:
        return False


# %% forgets to close: leaves a socket for the garbage collector to close
def serve(listener, clients):
    listener.setblocking(False)
    talks = {}
    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN | select.EPOLLET)
        while clients:
            for fd, _ in epoll.poll():
                if fd == listener.fileno():
                    accept_all(listener, talks, epoll)
                elif has_gone(*talks[fd]):
                    del talks[fd]
                    clients -= 1


def accept_all(listener, talks, epoll):
    with contextlib.suppress(BlockingIOError):
        while True:
            sock, _ = listener.accept()
            sock.setblocking(False)
            talks[sock.fileno()] = sock, bytearray()
            epoll.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)


def has_gone(sock, owed):
    try:
        while True:
            while owed:
                del owed[: sock.send(owed)]
            data = sock.recv(4096)
            if not data:
                return True
            owed += data
    except BlockingIOError:
        return False
    except OSError:
        return True


# %% does not count those who leave: and `serve` does not return
def serve(listener, clients):
    listener.setblocking(False)
    talks = {}
    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN | select.EPOLLET)
        while clients:
            for fd, _ in epoll.poll():
                if fd == listener.fileno():
                    accept_all(listener, talks, epoll)
                elif has_gone(*talks[fd]):
                    talks.pop(fd)[0].close()


def accept_all(listener, talks, epoll):
    with contextlib.suppress(BlockingIOError):
        while True:
            sock, _ = listener.accept()
            sock.setblocking(False)
            talks[sock.fileno()] = sock, bytearray()
            epoll.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)


def has_gone(sock, owed):
    try:
        while True:
            while owed:
                del owed[: sock.send(owed)]
            data = sock.recv(4096)
            if not data:
                return True
            owed += data
    except BlockingIOError:
        return False
    except OSError:
        return True


# %% level-triggered: the listener is watched without EPOLLET
def serve(listener, clients):
    listener.setblocking(False)
    talks = {}
    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN)
        while clients:
            for fd, _ in epoll.poll():
                if fd == listener.fileno():
                    sock, _ = listener.accept()
                    sock.setblocking(False)
                    talks[sock.fileno()] = sock, bytearray()
                    epoll.register(sock, select.EPOLLIN)
                elif has_gone(*talks[fd]):
                    talks.pop(fd)[0].close()
                    clients -= 1
                elif fd in talks:
                    epoll.modify(fd, select.EPOLLOUT if talks[fd][1] else select.EPOLLIN)


def has_gone(sock, owed):
    try:
        if not owed:
            data = sock.recv(4096)
            if not data:
                return True
            owed += data
        del owed[: sock.send(owed)]
    except BlockingIOError:
        return False
    except OSError:
        return True


# %% asks without sleeping: let `epoll.poll` sleep without a timeout
def serve(listener, clients):
    listener.setblocking(False)
    talks = {}
    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN | select.EPOLLET)
        while clients:
            for fd, _ in epoll.poll(0):
                if fd == listener.fileno():
                    accept_all(listener, talks, epoll)
                elif has_gone(*talks[fd]):
                    talks.pop(fd)[0].close()
                    clients -= 1


def accept_all(listener, talks, epoll):
    with contextlib.suppress(BlockingIOError):
        while True:
            sock, _ = listener.accept()
            sock.setblocking(False)
            talks[sock.fileno()] = sock, bytearray()
            epoll.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)


def has_gone(sock, owed):
    try:
        while True:
            while owed:
                del owed[: sock.send(owed)]
            data = sock.recv(4096)
            if not data:
                return True
            owed += data
    except BlockingIOError:
        return False
    except OSError:
        return True
