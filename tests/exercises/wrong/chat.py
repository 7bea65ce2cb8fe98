"""Wrong answers to the chat. Most of them leave out the later stages as well."""


# %% one client at a time: the request was sent, and client 3 still waits for the answer to it
def serve(listener, patience):
    while True:
        sock, _ = listener.accept()
        with sock:
            buffer, is_open, name = bytearray(), False, ""
            while data := sock.recv(65536):
                buffer += data
                if not is_open:
                    answer = HANDSHAKE.answer(buffer)
                    if answer is None:
                        continue
                    del buffer[: answer.consumed]
                    sock.sendall(answer.response)
                    is_open = True
                end = 0
                with memoryview(buffer) as window:
                    for offset, length, _, _ in parse(window, 0, len(window), LIMIT):
                        end = offset + length
                        text = bytes(window[offset:end]).decode()
                        said = f"{name}: {text}" if name else f"* {text} has come"
                        name = name or text
                        sock.sendall(encode(TEXT, said.encode()))
                del buffer[:end]


# %% throws away what follows the request: in one segment, and Ann still waits for `* Ann has come`
def serve(listener, patience):
    listener.setblocking(False)
    epoll, users = select.epoll(), {}
    epoll.register(listener, EPOLLIN)

    class User:
        def __init__(self, sock):
            self.sock, self.name, self.open = sock, "", False
            self.buffer, self.message, self.unsent = bytearray(), b"", b""

    def send(user, data):
        user.sock.send(data)

    def publish(text):
        for user in list(users.values()):
            if user.name:
                send(user, encode(TEXT, text.encode()))

    def leave(user):
        del users[user.sock.fileno()]
        epoll.unregister(user.sock)
        user.sock.close()
        if user.name:
            publish(f"* {user.name} has gone")

    def take(user):
        if not user.open:
            answer = HANDSHAKE.answer(user.buffer)
            if answer is None:
                return
            user.buffer.clear()
            send(user, answer.response)
            user.open = True
        end = 0
        with memoryview(user.buffer) as window:
            for offset, length, opcode, fin in parse(window, 0, len(window), LIMIT):
                end = offset + length
                if opcode in (TEXT, CONTINUATION):
                    user.message += bytes(window[offset:end])
                    if fin:
                        text, user.message = user.message.decode(), b""
                        said(user, text)
        del user.buffer[:end]

    def said(user, text):
        if user.name:
            publish(f"{user.name}: {text}")
        else:
            user.name = text
            publish(f"* {text} has come")

    def ready(user, events):
        try:
            data = user.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        user.buffer += data
        if data:
            take(user)
        else:
            leave(user)

    while True:
        for fd, events in epoll.poll():
            if fd != listener.fileno():
                ready(users[fd], events)
                continue
            sock, _ = listener.accept()
            sock.setblocking(False)
            epoll.register(sock, EPOLLIN)
            users[sock.fileno()] = User(sock)


# %% throws away half a frame: your server has ended with ProtocolError: 1002: opcode 0x5
def serve(listener, patience):
    listener.setblocking(False)
    epoll, users = select.epoll(), {}
    epoll.register(listener, EPOLLIN)

    class User:
        def __init__(self, sock):
            self.sock, self.name, self.open = sock, "", False
            self.buffer, self.message, self.unsent = bytearray(), b"", b""

    def send(user, data):
        user.sock.send(data)

    def publish(text):
        for user in list(users.values()):
            if user.name:
                send(user, encode(TEXT, text.encode()))

    def leave(user):
        del users[user.sock.fileno()]
        epoll.unregister(user.sock)
        user.sock.close()
        if user.name:
            publish(f"* {user.name} has gone")

    def take(user):
        if not user.open:
            answer = HANDSHAKE.answer(user.buffer)
            if answer is None:
                return
            del user.buffer[: answer.consumed]
            send(user, answer.response)
            user.open = True
        end = 0
        with memoryview(user.buffer) as window:
            for offset, length, opcode, fin in parse(window, 0, len(window), LIMIT):
                end = offset + length
                if opcode in (TEXT, CONTINUATION):
                    user.message += bytes(window[offset:end])
                    if fin:
                        text, user.message = user.message.decode(), b""
                        said(user, text)
        user.buffer.clear()

    def said(user, text):
        if user.name:
            publish(f"{user.name}: {text}")
        else:
            user.name = text
            publish(f"* {text} has come")

    def ready(user, events):
        try:
            data = user.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        user.buffer += data
        if data:
            take(user)
        else:
            leave(user)

    while True:
        for fd, events in epoll.poll():
            if fd != listener.fileno():
                ready(users[fd], events)
                continue
            sock, _ = listener.accept()
            sock.setblocking(False)
            epoll.register(sock, EPOLLIN)
            users[sock.fileno()] = User(sock)


# %% sends to everybody who is connected: who gave no name heard `* Ann has come`: it is not for it
def serve(listener, patience):
    listener.setblocking(False)
    epoll, users = select.epoll(), {}
    epoll.register(listener, EPOLLIN)

    class User:
        def __init__(self, sock):
            self.sock, self.name, self.open = sock, "", False
            self.buffer, self.message, self.unsent = bytearray(), b"", b""

    def send(user, data):
        user.sock.send(data)

    def publish(text):
        for user in list(users.values()):
            if user.open:
                send(user, encode(TEXT, text.encode()))

    def leave(user):
        del users[user.sock.fileno()]
        epoll.unregister(user.sock)
        user.sock.close()
        if user.name:
            publish(f"* {user.name} has gone")

    def take(user):
        if not user.open:
            answer = HANDSHAKE.answer(user.buffer)
            if answer is None:
                return
            del user.buffer[: answer.consumed]
            send(user, answer.response)
            user.open = True
        end = 0
        with memoryview(user.buffer) as window:
            for offset, length, opcode, fin in parse(window, 0, len(window), LIMIT):
                end = offset + length
                if opcode in (TEXT, CONTINUATION):
                    user.message += bytes(window[offset:end])
                    if fin:
                        text, user.message = user.message.decode(), b""
                        said(user, text)
        del user.buffer[:end]

    def said(user, text):
        if user.name:
            publish(f"{user.name}: {text}")
        else:
            user.name = text
            publish(f"* {text} has come")

    def ready(user, events):
        try:
            data = user.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        user.buffer += data
        if data:
            take(user)
        else:
            leave(user)

    while True:
        for fd, events in epoll.poll():
            if fd != listener.fileno():
                ready(users[fd], events)
                continue
            sock, _ = listener.accept()
            sock.setblocking(False)
            epoll.register(sock, EPOLLIN)
            users[sock.fileno()] = User(sock)


# %% does not send to the one who speaks: Ann had come in, and Ann still waits for `* Ann has come`
def serve(listener, patience):
    listener.setblocking(False)
    epoll, users = select.epoll(), {}
    epoll.register(listener, EPOLLIN)

    class User:
        def __init__(self, sock):
            self.sock, self.name, self.open = sock, "", False
            self.buffer, self.message, self.unsent = bytearray(), b"", b""

    def send(user, data):
        user.sock.send(data)

    def publish(text):
        for other in list(users.values()):
            if other.name and not text.startswith((other.name, f"* {other.name}")):
                send(other, encode(TEXT, text.encode()))

    def leave(user):
        del users[user.sock.fileno()]
        epoll.unregister(user.sock)
        user.sock.close()
        if user.name:
            publish(f"* {user.name} has gone")

    def take(user):
        if not user.open:
            answer = HANDSHAKE.answer(user.buffer)
            if answer is None:
                return
            del user.buffer[: answer.consumed]
            send(user, answer.response)
            user.open = True
        end = 0
        with memoryview(user.buffer) as window:
            for offset, length, opcode, fin in parse(window, 0, len(window), LIMIT):
                end = offset + length
                if opcode in (TEXT, CONTINUATION):
                    user.message += bytes(window[offset:end])
                    if fin:
                        text, user.message = user.message.decode(), b""
                        said(user, text)
        del user.buffer[:end]

    def said(user, text):
        if user.name:
            publish(f"{user.name}: {text}")
        else:
            user.name = text
            publish(f"* {text} has come")

    def ready(user, events):
        try:
            data = user.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        user.buffer += data
        if data:
            take(user)
        else:
            leave(user)

    while True:
        for fd, events in epoll.poll():
            if fd != listener.fileno():
                ready(users[fd], events)
                continue
            sock, _ = listener.accept()
            sock.setblocking(False)
            epoll.register(sock, EPOLLIN)
            users[sock.fileno()] = User(sock)


# %% waits until each has taken it: `user.sock.sendall(data)`
def serve(listener, patience):
    listener.setblocking(False)
    epoll, users = select.epoll(), {}
    epoll.register(listener, EPOLLIN)

    class User:
        def __init__(self, sock):
            self.sock, self.name, self.open = sock, "", False
            self.buffer, self.message, self.unsent = bytearray(), b"", b""

    def send(user, data):
        user.sock.setblocking(True)
        user.sock.sendall(data)
        user.sock.setblocking(False)

    def publish(text):
        for user in list(users.values()):
            if user.name:
                send(user, encode(TEXT, text.encode()))

    def leave(user):
        del users[user.sock.fileno()]
        epoll.unregister(user.sock)
        user.sock.close()
        if user.name:
            publish(f"* {user.name} has gone")

    def take(user):
        if not user.open:
            answer = HANDSHAKE.answer(user.buffer)
            if answer is None:
                return
            del user.buffer[: answer.consumed]
            send(user, answer.response)
            user.open = True
        end = 0
        with memoryview(user.buffer) as window:
            for offset, length, opcode, fin in parse(window, 0, len(window), LIMIT):
                end = offset + length
                if opcode in (TEXT, CONTINUATION):
                    user.message += bytes(window[offset:end])
                    if fin:
                        text, user.message = user.message.decode(), b""
                        said(user, text)
        del user.buffer[:end]

    def said(user, text):
        if user.name:
            publish(f"{user.name}: {text}")
        else:
            user.name = text
            publish(f"* {text} has come")

    def ready(user, events):
        try:
            data = user.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        user.buffer += data
        if data:
            take(user)
        else:
            leave(user)

    while True:
        for fd, events in epoll.poll():
            if fd != listener.fileno():
                ready(users[fd], events)
                continue
            sock, _ = listener.accept()
            sock.setblocking(False)
            epoll.register(sock, EPOLLIN)
            users[sock.fileno()] = User(sock)


# %% forgets what the kernel has not taken: Cem reads at last, and this is message
def serve(listener, patience):
    listener.setblocking(False)
    epoll, users = select.epoll(), {}
    epoll.register(listener, EPOLLIN)

    class User:
        def __init__(self, sock):
            self.sock, self.name, self.open = sock, "", False
            self.buffer, self.message, self.unsent = bytearray(), b"", b""

    def send(user, data):
        try:
            user.sock.send(data)
        except BlockingIOError:
            pass

    def publish(text):
        for user in list(users.values()):
            if user.name:
                send(user, encode(TEXT, text.encode()))

    def leave(user):
        del users[user.sock.fileno()]
        epoll.unregister(user.sock)
        user.sock.close()
        if user.name:
            publish(f"* {user.name} has gone")

    def take(user):
        if not user.open:
            answer = HANDSHAKE.answer(user.buffer)
            if answer is None:
                return
            del user.buffer[: answer.consumed]
            send(user, answer.response)
            user.open = True
        end = 0
        with memoryview(user.buffer) as window:
            for offset, length, opcode, fin in parse(window, 0, len(window), LIMIT):
                end = offset + length
                if opcode in (TEXT, CONTINUATION):
                    user.message += bytes(window[offset:end])
                    if fin:
                        text, user.message = user.message.decode(), b""
                        said(user, text)
        del user.buffer[:end]

    def said(user, text):
        if user.name:
            publish(f"{user.name}: {text}")
        else:
            user.name = text
            publish(f"* {text} has come")

    def ready(user, events):
        try:
            data = user.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        user.buffer += data
        if data:
            take(user)
        else:
            leave(user)

    while True:
        for fd, events in epoll.poll():
            if fd != listener.fileno():
                ready(users[fd], events)
                continue
            sock, _ = listener.accept()
            sock.setblocking(False)
            epoll.register(sock, EPOLLIN)
            users[sock.fileno()] = User(sock)


# %% keeps all that is not read: wait for Cem, and Ann still waits for `* Cem has gone`
def serve(listener, patience):
    listener.setblocking(False)
    epoll, users = select.epoll(), {}
    epoll.register(listener, EPOLLIN)

    class User:
        def __init__(self, sock):
            self.sock, self.name, self.open = sock, "", False
            self.buffer, self.message, self.unsent = bytearray(), b"", b""

    def send(user, data):
        user.unsent += data
        flush(user)

    def flush(user):
        try:
            user.unsent = user.unsent[user.sock.send(user.unsent) :]
        except BlockingIOError:
            pass
        epoll.modify(user.sock, EPOLLIN | EPOLLOUT if user.unsent else EPOLLIN)

    def publish(text):
        for user in list(users.values()):
            if user.name:
                send(user, encode(TEXT, text.encode()))

    def leave(user):
        del users[user.sock.fileno()]
        epoll.unregister(user.sock)
        user.sock.close()
        if user.name:
            publish(f"* {user.name} has gone")

    def take(user):
        if not user.open:
            answer = HANDSHAKE.answer(user.buffer)
            if answer is None:
                return
            del user.buffer[: answer.consumed]
            send(user, answer.response)
            user.open = True
        end = 0
        with memoryview(user.buffer) as window:
            for offset, length, opcode, fin in parse(window, 0, len(window), LIMIT):
                end = offset + length
                if opcode in (TEXT, CONTINUATION):
                    user.message += bytes(window[offset:end])
                    if fin:
                        text, user.message = user.message.decode(), b""
                        said(user, text)
        del user.buffer[:end]

    def said(user, text):
        if user.name:
            publish(f"{user.name}: {text}")
        else:
            user.name = text
            publish(f"* {text} has come")

    def ready(user, events):
        if events & EPOLLOUT:
            flush(user)
        if not events & ~EPOLLOUT:
            return
        try:
            data = user.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        user.buffer += data
        if data:
            take(user)
        else:
            leave(user)

    while True:
        for fd, events in epoll.poll():
            if fd != listener.fileno():
                ready(users[fd], events)
                continue
            sock, _ = listener.accept()
            sock.setblocking(False)
            epoll.register(sock, EPOLLIN)
            users[sock.fileno()] = User(sock)


# %% closes the one who speaks: Ann's connection has ended while it waited for | waited for `* user
def serve(listener, patience):
    listener.setblocking(False)
    epoll, users = select.epoll(), {}
    epoll.register(listener, EPOLLIN)

    class User:
        def __init__(self, sock):
            self.sock, self.name, self.open = sock, "", False
            self.buffer, self.message, self.unsent = bytearray(), b"", b""

    def send(user, data):
        user.sock.send(data)

    def publish(text):
        for user in list(users.values()):
            if user.name:
                send(user, encode(TEXT, text.encode()))

    def leave(user):
        del users[user.sock.fileno()]
        epoll.unregister(user.sock)
        user.sock.close()
        if user.name:
            publish(f"* {user.name} has gone")

    def take(user):
        if not user.open:
            answer = HANDSHAKE.answer(user.buffer)
            if answer is None:
                return
            del user.buffer[: answer.consumed]
            send(user, answer.response)
            user.open = True
        end = 0
        with memoryview(user.buffer) as window:
            for offset, length, opcode, fin in parse(window, 0, len(window), LIMIT):
                end = offset + length
                if opcode in (TEXT, CONTINUATION):
                    user.message += bytes(window[offset:end])
                    if fin:
                        text, user.message = user.message.decode(), b""
                        said(user, text)
        del user.buffer[:end]

    def said(user, text):
        if user.name:
            publish(f"{user.name}: {text}")
        else:
            user.name = text
            publish(f"* {text} has come")

    def ready(user, events):
        try:
            data = user.sock.recv(65536)
            user.buffer += data
            if data:
                take(user)
            else:
                leave(user)
        except OSError:
            try:
                leave(user)
            except OSError:
                pass

    while True:
        for fd, events in epoll.poll():
            if fd != listener.fileno():
                ready(users[fd], events)
                continue
            sock, _ = listener.accept()
            sock.setblocking(False)
            epoll.register(sock, EPOLLIN)
            users[sock.fileno()] = User(sock)


# %% spins when there is no room: EMFILE, and your server asks again at once, without end
def serve(listener, patience):
    listener.setblocking(False)
    epoll, users = select.epoll(), {}
    epoll.register(listener, EPOLLIN)

    class User:
        def __init__(self, sock):
            self.sock, self.name, self.open = sock, "", False
            self.buffer, self.message, self.unsent = bytearray(), b"", b""

    def send(user, data):
        user.sock.send(data)

    def publish(text):
        for user in list(users.values()):
            if user.name:
                send(user, encode(TEXT, text.encode()))

    def leave(user):
        del users[user.sock.fileno()]
        epoll.unregister(user.sock)
        user.sock.close()
        if user.name:
            publish(f"* {user.name} has gone")

    def take(user):
        if not user.open:
            answer = HANDSHAKE.answer(user.buffer)
            if answer is None:
                return
            del user.buffer[: answer.consumed]
            send(user, answer.response)
            user.open = True
        end = 0
        with memoryview(user.buffer) as window:
            for offset, length, opcode, fin in parse(window, 0, len(window), LIMIT):
                end = offset + length
                if opcode in (TEXT, CONTINUATION):
                    user.message += bytes(window[offset:end])
                    if fin:
                        text, user.message = user.message.decode(), b""
                        said(user, text)
        del user.buffer[:end]

    def said(user, text):
        if user.name:
            publish(f"{user.name}: {text}")
        else:
            user.name = text
            publish(f"* {text} has come")

    def ready(user, events):
        try:
            data = user.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        user.buffer += data
        if data:
            take(user)
        else:
            leave(user)

    while True:
        for fd, events in epoll.poll():
            if fd != listener.fileno():
                ready(users[fd], events)
                continue
            try:
                sock, _ = listener.accept()
            except OSError:
                continue
            sock.setblocking(False)
            epoll.register(sock, EPOLLIN)
            users[sock.fileno()] = User(sock)


# %% has no deadline: a slow client is still connected
def serve(listener, patience):
    listener.setblocking(False)
    epoll, users = select.epoll(), {}
    epoll.register(listener, EPOLLIN)

    class User:
        def __init__(self, sock):
            self.sock, self.name, self.open = sock, "", False
            self.buffer, self.message, self.unsent = bytearray(), b"", b""

    def send(user, data):
        user.sock.send(data)

    def publish(text):
        for user in list(users.values()):
            if user.name:
                send(user, encode(TEXT, text.encode()))

    def leave(user):
        del users[user.sock.fileno()]
        epoll.unregister(user.sock)
        user.sock.close()
        if user.name:
            publish(f"* {user.name} has gone")

    def take(user):
        if not user.open:
            answer = HANDSHAKE.answer(user.buffer)
            if answer is None:
                return
            del user.buffer[: answer.consumed]
            send(user, answer.response)
            user.open = True
        end = 0
        with memoryview(user.buffer) as window:
            for offset, length, opcode, fin in parse(window, 0, len(window), LIMIT):
                end = offset + length
                if opcode in (TEXT, CONTINUATION):
                    user.message += bytes(window[offset:end])
                    if fin:
                        text, user.message = user.message.decode(), b""
                        said(user, text)
        del user.buffer[:end]

    def said(user, text):
        if user.name:
            publish(f"{user.name}: {text}")
        else:
            user.name = text
            publish(f"* {text} has come")

    def ready(user, events):
        try:
            data = user.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        user.buffer += data
        if data:
            take(user)
        else:
            leave(user)

    while True:
        for fd, events in epoll.poll():
            if fd != listener.fileno():
                ready(users[fd], events)
                continue
            sock, _ = listener.accept()
            sock.setblocking(False)
            epoll.register(sock, EPOLLIN)
            users[sock.fileno()] = User(sock)
