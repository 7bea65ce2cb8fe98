"""Wrong answers to a deadline for each line."""


# %% each byte moves the deadline: no later byte moves it
def serve(listener, clients, seconds):
    socks, parts, due = {}, {}, {}

    def hang_up(fd):
        epoll.unregister(fd)
        socks.pop(fd).close()
        parts.pop(fd), due.pop(fd, None)

    def read(fd):
        try:
            data = socks[fd].recv(4096)
        except ConnectionError:
            data = b""
        if not data:
            return hang_up(fd)
        whole, newline, rest = (parts[fd] + data).rpartition(b"\n")
        if newline:
            socks[fd].sendall(whole + newline)
        due.pop(fd, None)
        parts[fd] = rest
        if rest:
            due[fd] = time.monotonic() + seconds

    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN)
        while clients or socks:
            left = min(due.values()) - time.monotonic() if due else None
            for fd, _ in epoll.poll(left if left is None else max(left, 0)):
                if fd in socks:
                    read(fd)
                elif clients:
                    sock, _ = listener.accept()
                    clients -= 1
                    socks[sock.fileno()], parts[sock.fileno()] = sock, b""
                    epoll.register(sock, select.EPOLLIN)
            now = time.monotonic()
            for fd in [fd for fd, moment in due.items() if moment <= now]:
                hang_up(fd)


# %% the deadline begins when the client comes: a deadline begins with the first byte of a line
def serve(listener, clients, seconds):
    socks, parts, due = {}, {}, {}

    def hang_up(fd):
        epoll.unregister(fd)
        socks.pop(fd).close()
        parts.pop(fd), due.pop(fd, None)

    def read(fd):
        try:
            data = socks[fd].recv(4096)
        except ConnectionError:
            data = b""
        if not data:
            return hang_up(fd)
        whole, newline, rest = (parts[fd] + data).rpartition(b"\n")
        if newline:
            socks[fd].sendall(whole + newline)
            due[fd] = time.monotonic() + seconds
        parts[fd] = rest

    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN)
        while clients or socks:
            left = min(due.values()) - time.monotonic() if due else None
            for fd, _ in epoll.poll(left if left is None else max(left, 0)):
                if fd in socks:
                    read(fd)
                elif clients:
                    sock, _ = listener.accept()
                    clients -= 1
                    socks[sock.fileno()], parts[sock.fileno()] = sock, b""
                    due[sock.fileno()] = time.monotonic() + seconds
                    epoll.register(sock, select.EPOLLIN)
            now = time.monotonic()
            for fd in [fd for fd, moment in due.items() if moment <= now]:
                hang_up(fd)


# %% no timeout for poll: `epoll.poll` needs a timeout
def serve(listener, clients, seconds):
    socks, parts, due = {}, {}, {}

    def hang_up(fd):
        epoll.unregister(fd)
        socks.pop(fd).close()
        parts.pop(fd), due.pop(fd, None)

    def read(fd):
        try:
            data = socks[fd].recv(4096)
        except ConnectionError:
            data = b""
        if not data:
            return hang_up(fd)
        whole, newline, rest = (parts[fd] + data).rpartition(b"\n")
        if newline:
            socks[fd].sendall(whole + newline)
            due.pop(fd, None)
        parts[fd] = rest
        if rest:
            due.setdefault(fd, time.monotonic() + seconds)

    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN)
        while clients or socks:
            for fd, _ in epoll.poll():
                if fd in socks:
                    read(fd)
                elif clients:
                    sock, _ = listener.accept()
                    clients -= 1
                    socks[sock.fileno()], parts[sock.fileno()] = sock, b""
                    epoll.register(sock, select.EPOLLIN)
            now = time.monotonic()
            for fd in [fd for fd, moment in due.items() if moment <= now]:
                hang_up(fd)


# %% looks only when poll has returned nobody: look for late lines after each wait
def serve(listener, clients, seconds):
    socks, parts, due = {}, {}, {}

    def hang_up(fd):
        epoll.unregister(fd)
        socks.pop(fd).close()
        parts.pop(fd), due.pop(fd, None)

    def read(fd):
        try:
            data = socks[fd].recv(4096)
        except ConnectionError:
            data = b""
        if not data:
            return hang_up(fd)
        whole, newline, rest = (parts[fd] + data).rpartition(b"\n")
        if newline:
            socks[fd].sendall(whole + newline)
            due.pop(fd, None)
        parts[fd] = rest
        if rest:
            due.setdefault(fd, time.monotonic() + seconds)

    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN)
        while clients or socks:
            events = epoll.poll(seconds if due else None)
            for fd, _ in events:
                if fd in socks:
                    read(fd)
                elif clients:
                    sock, _ = listener.accept()
                    clients -= 1
                    socks[sock.fileno()], parts[sock.fileno()] = sock, b""
                    epoll.register(sock, select.EPOLLIN)
            if not events:
                now = time.monotonic()
                for fd in [fd for fd, moment in due.items() if moment <= now]:
                    hang_up(fd)


# %% a closed one keeps its deadline: when a connection is closed, forget its deadline
def serve(listener, clients, seconds):
    socks, parts, due = {}, {}, {}

    def hang_up(fd):
        epoll.unregister(fd)
        socks.pop(fd).close()
        parts.pop(fd)

    def read(fd):
        try:
            data = socks[fd].recv(4096)
        except ConnectionError:
            data = b""
        if not data:
            return hang_up(fd)
        whole, newline, rest = (parts[fd] + data).rpartition(b"\n")
        parts[fd] = rest
        if newline:
            socks[fd].sendall(whole + newline)
            if not rest:
                due.pop(fd, None)
                return None
            due[fd] = time.monotonic() + seconds
        due.setdefault(fd, time.monotonic() + seconds)

    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN)
        while clients or socks:
            left = min(due.values()) - time.monotonic() if due else None
            for fd, _ in epoll.poll(left if left is None else max(left, 0)):
                if fd in socks:
                    read(fd)
                elif clients:
                    sock, _ = listener.accept()
                    clients -= 1
                    socks[sock.fileno()], parts[sock.fileno()] = sock, b""
                    epoll.register(sock, select.EPOLLIN)
            now = time.monotonic()
            for fd in [fd for fd, moment in due.items() if moment <= now]:
                del due[fd]
                if fd in socks:
                    hang_up(fd)


# %% the deadlines of those who left stay: the deadline of one who is gone must be forgotten
def serve(listener, clients, seconds):
    socks, parts, due, number = {}, {}, {}, {}

    def hang_up(fd):
        epoll.unregister(fd)
        socks.pop(fd).close()
        parts.pop(fd)

    def read(fd):
        try:
            data = socks[fd].recv(4096)
        except ConnectionError:
            data = b""
        if not data:
            return hang_up(fd)
        whole, newline, rest = (parts[fd] + data).rpartition(b"\n")
        if newline:
            socks[fd].sendall(whole + newline)
            due.pop((fd, number[fd]), None)
        parts[fd] = rest
        if rest:
            due.setdefault((fd, number[fd]), time.monotonic() + seconds)

    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN)
        while clients or socks:
            left = min(due.values()) - time.monotonic() if due else None
            for fd, _ in epoll.poll(left if left is None else max(left, 0)):
                if fd in socks:
                    read(fd)
                elif clients:
                    sock, _ = listener.accept()
                    clients -= 1
                    number[sock.fileno()] = clients
                    socks[sock.fileno()], parts[sock.fileno()] = sock, b""
                    epoll.register(sock, select.EPOLLIN)
            now = time.monotonic()
            for fd, its in [key for key, moment in due.items() if moment <= now]:
                if fd in socks and number[fd] == its:
                    hang_up(fd)


# %% milliseconds for poll: `epoll.poll` needs a timeout, in seconds
def serve(listener, clients, seconds):
    socks, parts, due = {}, {}, {}

    def hang_up(fd):
        epoll.unregister(fd)
        socks.pop(fd).close()
        parts.pop(fd), due.pop(fd, None)

    def read(fd):
        try:
            data = socks[fd].recv(4096)
        except ConnectionError:
            data = b""
        if not data:
            return hang_up(fd)
        whole, newline, rest = (parts[fd] + data).rpartition(b"\n")
        if newline:
            socks[fd].sendall(whole + newline)
            due.pop(fd, None)
        parts[fd] = rest
        if rest:
            due.setdefault(fd, time.monotonic() + seconds)

    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN)
        while clients or socks:
            left = min(due.values()) - time.monotonic() if due else None
            for fd, _ in epoll.poll(left if left is None else 1000 * max(left, 0)):
                if fd in socks:
                    read(fd)
                elif clients:
                    sock, _ = listener.accept()
                    clients -= 1
                    socks[sock.fileno()], parts[sock.fileno()] = sock, b""
                    epoll.register(sock, select.EPOLLIN)
            now = time.monotonic()
            for fd in [fd for fd, moment in due.items() if moment <= now]:
                hang_up(fd)


# %% not cleared when the line is whole: with the line, its deadline is over
def serve(listener, clients, seconds):
    socks, parts, due = {}, {}, {}

    def hang_up(fd):
        epoll.unregister(fd)
        socks.pop(fd).close()
        parts.pop(fd), due.pop(fd, None)

    def read(fd):
        try:
            data = socks[fd].recv(4096)
        except ConnectionError:
            data = b""
        if not data:
            return hang_up(fd)
        whole, newline, rest = (parts[fd] + data).rpartition(b"\n")
        if newline:
            socks[fd].sendall(whole + newline)
        parts[fd] = rest
        due.setdefault(fd, time.monotonic() + seconds)

    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN)
        while clients or socks:
            left = min(due.values()) - time.monotonic() if due else None
            for fd, _ in epoll.poll(left if left is None else max(left, 0)):
                if fd in socks:
                    read(fd)
                elif clients:
                    sock, _ = listener.accept()
                    clients -= 1
                    socks[sock.fileno()], parts[sock.fileno()] = sock, b""
                    epoll.register(sock, select.EPOLLIN)
            now = time.monotonic()
            for fd in [fd for fd, moment in due.items() if moment <= now]:
                hang_up(fd)


# %% the next line inherits the deadline: s after the first byte of a line; it has 0.3 s
def serve(listener, clients, seconds):
    socks, parts, due = {}, {}, {}

    def hang_up(fd):
        epoll.unregister(fd)
        socks.pop(fd).close()
        parts.pop(fd), due.pop(fd, None)

    def read(fd):
        try:
            data = socks[fd].recv(4096)
        except ConnectionError:
            data = b""
        if not data:
            return hang_up(fd)
        whole, newline, rest = (parts[fd] + data).rpartition(b"\n")
        if newline:
            socks[fd].sendall(whole + newline)
        parts[fd] = rest
        if rest:
            due.setdefault(fd, time.monotonic() + seconds)
        else:
            due.pop(fd, None)

    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN)
        while clients or socks:
            left = min(due.values()) - time.monotonic() if due else None
            for fd, _ in epoll.poll(left if left is None else max(left, 0)):
                if fd in socks:
                    read(fd)
                elif clients:
                    sock, _ = listener.accept()
                    clients -= 1
                    socks[sock.fileno()], parts[sock.fileno()] = sock, b""
                    epoll.register(sock, select.EPOLLIN)
            now = time.monotonic()
            for fd in [fd for fd, moment in due.items() if moment <= now]:
                hang_up(fd)


# %% a timeout on the socket instead: the deadline is counted from the first byte of the line
def serve(listener, clients, seconds):
    import threading

    def talk(sock):
        sock.settimeout(None)
        rest = b""
        with sock:
            try:
                while data := sock.recv(4096):
                    whole, newline, rest = (rest + data).rpartition(b"\n")
                    if newline:
                        sock.sendall(whole + newline)
                    sock.settimeout(seconds if rest else None)
            except (TimeoutError, ConnectionError):
                pass

    threads = []
    for _ in range(clients):
        sock, _ = listener.accept()
        threads.append(threading.Thread(target=talk, args=(sock,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
