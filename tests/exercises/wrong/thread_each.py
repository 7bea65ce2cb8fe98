"""Wrong answers to a thread for each, up to a limit."""


# %% counts in the new thread: before you start a thread
def serve(listener, limit):
    here, lock, threads = set(), threading.Lock(), []

    def talk(client):
        with lock:
            here.add(client)
        try:
            with client, contextlib.suppress(OSError):
                while data := client.recv(4096):
                    client.sendall(data)
        finally:
            with lock:
                here.remove(client)

    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            break
        with lock:
            full = len(here) >= limit
        if full:
            with client, contextlib.suppress(OSError):
                client.sendall(b"busy\n")
        else:
            threads.append(threading.Thread(target=talk, args=(client,)))
            threads[-1].start()
    with lock:
        for client in here:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()


# %% the thread itself says busy: before you start a thread
def serve(listener, limit):
    here, lock, threads = set(), threading.Lock(), []

    def talk(client):
        with client, contextlib.suppress(OSError):
            with lock:
                if full := len(here) >= limit:
                    client.sendall(b"busy\n")
                else:
                    here.add(client)
            while not full and (data := client.recv(4096)):
                client.sendall(data)
        with lock:
            here.discard(client)

    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            break
        threads.append(threading.Thread(target=talk, args=(client,)))
        threads[-1].start()
    with lock:
        for client in here:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()


# %% counts without a lock: another thread may come between; change it under a lock
def serve(listener, limit):
    count, talks = 0, {}

    def talk(client):
        nonlocal count
        with client, contextlib.suppress(OSError):
            while data := client.recv(4096):
                client.sendall(data)
        count -= 1

    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            break
        if count < limit:
            count += 1
            thread = threading.Thread(target=talk, args=(client,))
            talks[thread] = client
            thread.start()
        else:
            with client, contextlib.suppress(OSError):
                client.sendall(b"busy\n")
    for thread, client in talks.items():
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        thread.join()


# %% a reset frees no place: put it into a `finally`
def serve(listener, limit):
    here, lock, threads = set(), threading.Lock(), []

    def talk(client):
        with client:
            while data := client.recv(4096):
                client.sendall(data)
        with lock:
            here.remove(client)

    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            break
        with lock:
            if room := len(here) < limit:
                here.add(client)
        if room:
            threads.append(threading.Thread(target=talk, args=(client,)))
            threads[-1].start()
        else:
            with client, contextlib.suppress(OSError):
                client.sendall(b"busy\n")
    with lock:
        for client in here:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()


# %% a client that was turned away takes a place: nor does one that was turned away
def serve(listener, limit):
    count, lock, talks = 0, threading.Lock(), {}

    def talk(client):
        nonlocal count
        try:
            with client, contextlib.suppress(OSError):
                while data := client.recv(4096):
                    client.sendall(data)
        finally:
            with lock:
                count -= 1

    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            break
        with lock:
            count += 1
            full = count > limit
        if full:
            with client, contextlib.suppress(OSError):
                client.sendall(b"busy\n")
        else:
            thread = threading.Thread(target=talk, args=(client,))
            talks[thread] = client
            thread.start()
    for thread, client in talks.items():
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        thread.join()


# %% holds the lock while it waits in recv: holds a lock that the others need
def serve(listener, limit):
    here, lock, threads = set(), threading.Lock(), []

    def talk(client):
        with client, contextlib.suppress(OSError):
            while True:
                with lock:
                    data = client.recv(4096)
                if not data:
                    break
                client.sendall(data)
        with lock:
            here.remove(client)

    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            break
        with lock:
            if room := len(here) < limit:
                here.add(client)
        if room:
            threads.append(threading.Thread(target=talk, args=(client,)))
            threads[-1].start()
        else:
            with client, contextlib.suppress(OSError):
                client.sendall(b"busy\n")
    with lock:
        for client in here:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()


# %% a pool: is made to wait, and hears nothing
def serve(listener, limit):
    from concurrent.futures import ThreadPoolExecutor

    clients = set()
    with ThreadPoolExecutor(max(limit, 1)) as pool:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                break
            clients.add(client)
            pool.submit(echo, client)
        for client in clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)


def echo(client):
    with client, contextlib.suppress(OSError):
        while data := client.recv(4096):
            client.sendall(data)


# %% off by one: one more client is served while 2 are there
def serve(listener, limit):
    talks = {}
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            break
        talks = {thread: its for thread, its in talks.items() if thread.is_alive()}
        if len(talks) > limit:
            with client, contextlib.suppress(OSError):
                client.sendall(b"busy\n")
        else:
            thread = threading.Thread(target=echo, args=(client,))
            talks[thread] = client
            thread.start()
    for thread, client in talks.items():
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        thread.join()


def echo(client):
    with client, contextlib.suppress(OSError):
        while data := client.recv(4096):
            client.sendall(data)


# %% counts threads that are not its own: not all that you count are clients
def serve(listener, limit):
    talks = {}
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            break
        if threading.active_count() - 1 < limit:
            thread = threading.Thread(target=echo, args=(client,))
            talks[thread] = client
            thread.start()
        else:
            with client, contextlib.suppress(OSError):
                client.sendall(b"busy\n")
    for thread, client in talks.items():
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        thread.join()


def echo(client):
    with client, contextlib.suppress(OSError):
        while data := client.recv(4096):
            client.sendall(data)


# %% says busy and does not close: and no end: close its socket
def serve(listener, limit):
    talks = {}
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            break
        talks = {thread: its for thread, its in talks.items() if thread.is_alive()}
        if len(talks) < limit:
            thread = threading.Thread(target=echo, args=(client,))
            talks[thread] = client
            thread.start()
        else:
            with contextlib.suppress(OSError):
                client.sendall(b"busy\n")
    for thread, client in talks.items():
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        thread.join()


def echo(client):
    with client, contextlib.suppress(OSError):
        while data := client.recv(4096):
            client.sendall(data)


# %% closes without a word: hears the end, and not b'busy\n'
def serve(listener, limit):
    talks = {}
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            break
        talks = {thread: its for thread, its in talks.items() if thread.is_alive()}
        if len(talks) < limit:
            thread = threading.Thread(target=echo, args=(client,))
            talks[thread] = client
            thread.start()
        else:
            client.close()
    for thread, client in talks.items():
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        thread.join()


def echo(client):
    with client, contextlib.suppress(OSError):
        while data := client.recv(4096):
            client.sendall(data)


# %% joins threads that sleep in recv: and `serve` does not return: a thread that sleeps in `recv`
def serve(listener, limit):
    threads = []
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            break
        threads = [thread for thread in threads if thread.is_alive()]
        if len(threads) < limit:
            threads.append(threading.Thread(target=echo, args=(client,)))
            threads[-1].start()
        else:
            with client, contextlib.suppress(OSError):
                client.sendall(b"busy\n")
    for thread in threads:
        thread.join()


def echo(client):
    with client, contextlib.suppress(OSError):
        while data := client.recv(4096):
            client.sendall(data)


# %% wakes recv and not send: with `shutdown(SHUT_RDWR)`
def serve(listener, limit):
    talks = {}
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            break
        talks = {thread: its for thread, its in talks.items() if thread.is_alive()}
        if len(talks) < limit:
            thread = threading.Thread(target=echo, args=(client,))
            talks[thread] = client
            thread.start()
        else:
            with client, contextlib.suppress(OSError):
                client.sendall(b"busy\n")
    for thread, client in talks.items():
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RD)
        thread.join()


def echo(client):
    with client, contextlib.suppress(OSError):
        while data := client.recv(4096):
            client.sendall(data)


# %% closes the sockets under its threads: and `serve` does not return
def serve(listener, limit):
    talks = {}
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            break
        talks = {thread: its for thread, its in talks.items() if thread.is_alive()}
        if len(talks) < limit:
            thread = threading.Thread(target=echo, args=(client,))
            talks[thread] = client
            thread.start()
        else:
            with client, contextlib.suppress(OSError):
                client.sendall(b"busy\n")
    for thread, client in talks.items():
        client.close()
        thread.join()


def echo(client):
    with client, contextlib.suppress(OSError):
        while data := client.recv(4096):
            client.sendall(data)


# %% leaves its threads behind: did not end: join them
def serve(listener, limit):
    threads = []
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threads = [thread for thread in threads if thread.is_alive()]
        if len(threads) < limit:
            threads.append(threading.Thread(target=echo, args=(client,), daemon=True))
            threads[-1].start()
        else:
            with client, contextlib.suppress(OSError):
                client.sendall(b"busy\n")


def echo(client):
    with client, contextlib.suppress(OSError):
        while data := client.recv(4096):
            client.sendall(data)


# %% shuts down and does not join: did not end: join them
def serve(listener, limit):
    talks = {}
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            break
        talks = {thread: its for thread, its in talks.items() if thread.is_alive()}
        if len(talks) < limit:
            thread = threading.Thread(target=echo, args=(client,))
            talks[thread] = client
            thread.start()
        else:
            with client, contextlib.suppress(OSError):
                client.sendall(b"busy\n")
    for client in talks.values():
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


def echo(client):
    with client, contextlib.suppress(OSError):
        while data := client.recv(4096):
            client.sendall(data)


# %% takes the shutdown for a failure: the listener has been shut down, and `serve` is to end
def serve(listener, limit):
    talks = {}
    while True:
        client, _ = listener.accept()
        talks = {thread: its for thread, its in talks.items() if thread.is_alive()}
        if len(talks) < limit:
            thread = threading.Thread(target=echo, args=(client,))
            talks[thread] = client
            thread.start()
        else:
            with client, contextlib.suppress(OSError):
                client.sendall(b"busy\n")


def echo(client):
    with client, contextlib.suppress(OSError):
        while data := client.recv(4096):
            client.sendall(data)


# %% falls over a client too many that has gone: a client too many has gone
def serve(listener, limit):
    talks = {}
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            break
        talks = {thread: its for thread, its in talks.items() if thread.is_alive()}
        if len(talks) < limit:
            thread = threading.Thread(target=echo, args=(client,))
            talks[thread] = client
            thread.start()
        else:
            with client:
                client.sendall(b"busy\n")
    for thread, client in talks.items():
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        thread.join()


def echo(client):
    with client, contextlib.suppress(OSError):
        while data := client.recv(4096):
            client.sendall(data)
