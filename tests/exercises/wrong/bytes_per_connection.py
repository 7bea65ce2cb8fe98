"""Wrong answers to bytes per connection."""


# %% divides the whole by the number: you looked at one number of connections only
def bytes_per_connection(pid, address, few, many):
    if not 0 < few < many:
        raise ValueError("few and many")
    with contextlib.ExitStack() as clients:
        for _ in range(many):
            client = clients.enter_context(socket.create_connection(address))
            client.sendall(b"x")
            if not client.recv(1):
                raise ConnectionError
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * int(re.search(r"Anonymous: +(\d+)", text)[1]) / many


# %% takes addresses for memory: these are addresses, as VmSize counts them
def bytes_per_connection(pid, address, few, many):
    if not 0 < few < many:
        raise ValueError("few and many")
    looks = []
    with contextlib.ExitStack() as clients:
        for number in range(1, many + 1):
            client = clients.enter_context(socket.create_connection(address))
            client.sendall(b"x")
            if not client.recv(1):
                raise ConnectionError
            if number in (few, many):
                text = Path(f"/proc/{pid}/status").read_text()
                looks.append(1024 * int(re.search(r"VmSize:\s+(\d+)", text)[1]))
    return (looks[1] - looks[0]) / (many - few)


# %% forgets that the sizes are in kB: the sizes in /proc are in kB, and bytes are asked for
def bytes_per_connection(pid, address, few, many):
    if not 0 < few < many:
        raise ValueError("few and many")
    looks = []
    with contextlib.ExitStack() as clients:
        for number in range(1, many + 1):
            client = clients.enter_context(socket.create_connection(address))
            client.sendall(b"x")
            if not client.recv(1):
                raise ConnectionError
            if number in (few, many):
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                looks.append(int(re.search(r"Anonymous: +(\d+)", text)[1]))
    return (looks[1] - looks[0]) / (many - few)


# %% looks at itself: this is some other process
def bytes_per_connection(pid, address, few, many):
    if not 0 < few < many:
        raise ValueError("few and many")
    looks = []
    with contextlib.ExitStack() as clients:
        for number in range(1, many + 1):
            client = clients.enter_context(socket.create_connection(address))
            client.sendall(b"x")
            if not client.recv(1):
                raise ConnectionError
            if number in (few, many):
                text = Path("/proc/self/smaps_rollup").read_text()
                looks.append(1024 * int(re.search(r"Anonymous: +(\d+)", text)[1]))
    return (looks[1] - looks[0]) / (many - few)


# %% takes the looks the wrong way round: the memory with many connections less the memory with few
def bytes_per_connection(pid, address, few, many):
    if not 0 < few < many:
        raise ValueError("few and many")
    looks = []
    with contextlib.ExitStack() as clients:
        for number in range(1, many + 1):
            client = clients.enter_context(socket.create_connection(address))
            client.sendall(b"x")
            if not client.recv(1):
                raise ConnectionError
            if number in (few, many):
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                looks.append(1024 * int(re.search(r"Anonymous: +(\d+)", text)[1]))
    return (looks[0] - looks[1]) / (many - few)


# %% leaves the connections open: for the garbage collector to close
def bytes_per_connection(pid, address, few, many):
    if not 0 < few < many:
        raise ValueError("few and many")
    clients, looks = [], []
    for number in range(1, many + 1):
        clients.append(socket.create_connection(address))
        clients[-1].sendall(b"x")
        if not clients[-1].recv(1):
            raise ConnectionError
        if number in (few, many):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            looks.append(1024 * int(re.search(r"Anonymous: +(\d+)", text)[1]))
    return (looks[1] - looks[0]) / (many - few)


# %% closes them only when all went well: for the garbage collector to close
def bytes_per_connection(pid, address, few, many):
    if not 0 < few < many:
        raise ValueError("few and many")
    clients, looks = [], []
    for number in range(1, many + 1):
        clients.append(socket.create_connection(address))
        clients[-1].sendall(b"x")
        if not clients[-1].recv(1):
            raise ConnectionError
        if number in (few, many):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            looks.append(1024 * int(re.search(r"Anonymous: +(\d+)", text)[1]))
    for client in clients:
        client.close()
    return (looks[1] - looks[0]) / (many - few)


# %% only connects: `connect` returns before the server accepts
def bytes_per_connection(pid, address, few, many):
    if not 0 < few < many:
        raise ValueError("few and many")
    looks = []
    with contextlib.ExitStack() as clients:
        for number in range(1, many + 1):
            clients.enter_context(socket.create_connection(address))
            if number in (few, many):
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                looks.append(1024 * int(re.search(r"Anonymous: +(\d+)", text)[1]))
    return (looks[1] - looks[0]) / (many - few)


# %% sends and does not wait for the echo: wait until each has had its echo
def bytes_per_connection(pid, address, few, many):
    if not 0 < few < many:
        raise ValueError("few and many")
    looks = []
    with contextlib.ExitStack() as clients:
        for number in range(1, many + 1):
            client = clients.enter_context(socket.create_connection(address))
            client.sendall(b"x")
            if number in (few, many):
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                looks.append(1024 * int(re.search(r"Anonymous: +(\d+)", text)[1]))
    return (looks[1] - looks[0]) / (many - few)


# %% opens many more instead of many in all: the first 10 are among the 50
def bytes_per_connection(pid, address, few, many):
    if not 0 < few < many:
        raise ValueError("few and many")
    looks = []
    with contextlib.ExitStack() as clients:
        for number in range(1, few + many + 1):
            client = clients.enter_context(socket.create_connection(address))
            client.sendall(b"x")
            if not client.recv(1):
                raise ConnectionError
            if number in (few, few + many):
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                looks.append(1024 * int(re.search(r"Anonymous: +(\d+)", text)[1]))
    return (looks[1] - looks[0]) / (many - few)


# %% divides by many: between your two looks came 40 connections, and not 50
def bytes_per_connection(pid, address, few, many):
    if not 0 < few < many:
        raise ValueError("few and many")
    looks = []
    with contextlib.ExitStack() as clients:
        for number in range(1, many + 1):
            client = clients.enter_context(socket.create_connection(address))
            client.sendall(b"x")
            if not client.recv(1):
                raise ConnectionError
            if number in (few, many):
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                looks.append(1024 * int(re.search(r"Anonymous: +(\d+)", text)[1]))
    return (looks[1] - looks[0]) / many


# %% begins at no connection: what the first one makes once is in it
def bytes_per_connection(pid, address, few, many):
    if not 0 < few < many:
        raise ValueError("few and many")

    def look():
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return 1024 * int(re.search(r"Anonymous: +(\d+)", text)[1])

    before = look()
    with contextlib.ExitStack() as clients:
        for _ in range(many):
            client = clients.enter_context(socket.create_connection(address))
            client.sendall(b"x")
            if not client.recv(1):
                raise ConnectionError
        return (look() - before) / many


# %% takes the end of the stream for an echo: though the server hung up on the ninth client
def bytes_per_connection(pid, address, few, many):
    if not 0 < few < many:
        raise ValueError("few and many")
    looks = []
    with contextlib.ExitStack() as clients:
        for number in range(1, many + 1):
            client = clients.enter_context(socket.create_connection(address))
            client.sendall(b"x")
            client.recv(1)
            if number in (few, many):
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                looks.append(1024 * int(re.search(r"Anonymous: +(\d+)", text)[1]))
    return (looks[1] - looks[0]) / (many - few)


# %% does not look at the numbers: it should raise ValueError
def bytes_per_connection(pid, address, few, many):
    looks = [0, 0]
    with contextlib.ExitStack() as clients:
        for place, wanted in enumerate((few, many)):
            for _ in range(wanted - (few if place else 0)):
                client = clients.enter_context(socket.create_connection(address))
                client.sendall(b"x")
                if not client.recv(1):
                    raise ConnectionError
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            looks[place] = 1024 * int(re.search(r"Anonymous: +(\d+)", text)[1])
    return (looks[1] - looks[0]) / (many - few)
