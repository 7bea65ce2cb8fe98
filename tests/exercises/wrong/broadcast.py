"""Wrong answers to broadcast with back-pressure."""


# %% sendall to blocking sockets: one member does not read, and another one waits
def broadcast(source, members, limit):
    members = list(members)
    while data := source.recv(65536):
        for member in list(members):
            try:
                member.sendall(data)
            except ConnectionError:
                members.remove(member)
                member.close()
    for member in members:
        member.close()


# %% a queue without a bound: more than the limit has to be kept for it
def broadcast(source, members, limit):
    kept = {member: bytearray() for member in members}
    for member in members:
        member.setblocking(False)
    ended = False
    while not ended or any(kept.values()):
        poller = select.poll()
        if not ended:
            poller.register(source, select.POLLIN)
        for member, rest in kept.items():
            if rest:
                poller.register(member, select.POLLOUT)
        ready = {fd for fd, _ in poller.poll()}
        data = source.recv(65536) if source.fileno() in ready else b""
        ended = ended or (source.fileno() in ready and not data)
        for member, rest in list(kept.items()):
            if data or member.fileno() in ready:
                rest += data
                try:
                    del rest[: member.send(rest)]
                except BlockingIOError:
                    pass
                except ConnectionError:
                    del kept[member]
                    member.close()
    for member in kept:
        member.close()


# %% closes at the first EAGAIN: closes a member that lags behind
def broadcast(source, members, limit):
    kept = {member: bytearray() for member in members}
    for member in members:
        member.setblocking(False)
    ended = False
    while not ended or any(kept.values()):
        poller = select.poll()
        if not ended:
            poller.register(source, select.POLLIN)
        for member, rest in kept.items():
            if rest:
                poller.register(member, select.POLLOUT)
        ready = {fd for fd, _ in poller.poll()}
        data = source.recv(65536) if source.fileno() in ready else b""
        ended = ended or (source.fileno() in ready and not data)
        for member, rest in list(kept.items()):
            if data or member.fileno() in ready:
                rest += data
                try:
                    del rest[: member.send(rest)]
                except BlockingIOError:
                    rest += bytes(limit + 1)
                except ConnectionError:
                    rest += bytes(limit + 1)
                if len(rest) > limit:
                    del kept[member]
                    member.close()
    for member in kept:
        member.close()


# %% drops what the kernel does not take: bytes were dropped
def broadcast(source, members, limit):
    for member in members:
        member.setblocking(False)
    members = list(members)
    while True:
        select.select([source], [], [])
        data = source.recv(65536)
        if not data:
            break
        for member in list(members):
            try:
                member.send(data)
            except BlockingIOError:
                pass
            except ConnectionError:
                members.remove(member)
                member.close()
    for member in members:
        member.close()


# %% drops instead of closing when the limit is reached: it is still a member
def broadcast(source, members, limit):
    kept = {member: bytearray() for member in members}
    for member in members:
        member.setblocking(False)
    ended = False
    while not ended or any(kept.values()):
        poller = select.poll()
        if not ended:
            poller.register(source, select.POLLIN)
        for member, rest in kept.items():
            if rest:
                poller.register(member, select.POLLOUT)
        ready = {fd for fd, _ in poller.poll()}
        data = source.recv(65536) if source.fileno() in ready else b""
        ended = ended or (source.fileno() in ready and not data)
        for member, rest in list(kept.items()):
            if data or member.fileno() in ready:
                rest += data[: limit - len(rest)]
                try:
                    del rest[: member.send(rest)]
                except BlockingIOError:
                    pass
                except ConnectionError:
                    rest += bytes(limit + 1)
                if len(rest) > limit:
                    del kept[member]
                    member.close()
    for member in kept:
        member.close()


# %% sends the whole again after a short write: comes a second time
def broadcast(source, members, limit):
    kept = {member: bytearray() for member in members}
    for member in members:
        member.setblocking(False)
    ended = False
    while not ended or any(kept.values()):
        poller = select.poll()
        if not ended:
            poller.register(source, select.POLLIN)
        for member, rest in kept.items():
            if rest:
                poller.register(member, select.POLLOUT)
        ready = {fd for fd, _ in poller.poll()}
        data = source.recv(65536) if source.fileno() in ready else b""
        ended = ended or (source.fileno() in ready and not data)
        for member, rest in list(kept.items()):
            if data or member.fileno() in ready:
                rest += data
                try:
                    if member.send(rest) == len(rest):
                        rest.clear()
                except BlockingIOError:
                    pass
                except ConnectionError:
                    rest += bytes(limit + 1)
                if len(rest) > limit:
                    del kept[member]
                    member.close()
    for member in kept:
        member.close()


# %% what is new overtakes what is kept: later ones have overtaken
def broadcast(source, members, limit):
    kept = {member: bytearray() for member in members}
    for member in members:
        member.setblocking(False)
    ended = False
    while not ended or any(kept.values()):
        poller = select.poll()
        if not ended:
            poller.register(source, select.POLLIN)
        for member, rest in kept.items():
            if rest:
                poller.register(member, select.POLLOUT)
        ready = {fd for fd, _ in poller.poll()}
        data = source.recv(65536) if source.fileno() in ready else b""
        ended = ended or (source.fileno() in ready and not data)
        for member, rest in list(kept.items()):
            if data or member.fileno() in ready:
                try:
                    sent = member.send(data or rest)
                    if data:
                        rest += data[sent:]
                    else:
                        del rest[:sent]
                except BlockingIOError:
                    rest += data
                except ConnectionError:
                    rest += bytes(limit + 1)
                if len(rest) > limit:
                    del kept[member]
                    member.close()
    for member in kept:
        member.close()


# %% reads no more from the source while something is kept: and another one waits
def broadcast(source, members, limit):
    kept = {member: bytearray() for member in members}
    for member in members:
        member.setblocking(False)
    ended = False
    while not ended or any(kept.values()):
        poller = select.poll()
        if not ended and not any(kept.values()):
            poller.register(source, select.POLLIN)
        for member, rest in kept.items():
            if rest:
                poller.register(member, select.POLLOUT)
        ready = {fd for fd, _ in poller.poll()}
        data = source.recv(65536) if source.fileno() in ready else b""
        ended = ended or (source.fileno() in ready and not data)
        for member, rest in list(kept.items()):
            if data or member.fileno() in ready:
                rest += data
                try:
                    del rest[: member.send(rest)]
                except BlockingIOError:
                    pass
                except ConnectionError:
                    rest += bytes(limit + 1)
                if len(rest) > limit:
                    del kept[member]
                    member.close()
    for member in kept:
        member.close()


# %% goes on sending only when the source speaks: wait for POLLOUT of that member too
def broadcast(source, members, limit):
    kept = {member: bytearray() for member in members}
    for member in members:
        member.setblocking(False)
    ended = False
    while not ended or any(kept.values()):
        poller = select.poll()
        if not ended:
            poller.register(source, select.POLLIN)
        for member, rest in kept.items():
            if rest and ended:
                poller.register(member, select.POLLOUT)
        ready = {fd for fd, _ in poller.poll()}
        data = source.recv(65536) if source.fileno() in ready else b""
        ended = ended or (source.fileno() in ready and not data)
        for member, rest in list(kept.items()):
            if data or member.fileno() in ready:
                rest += data
                try:
                    del rest[: member.send(rest)]
                except BlockingIOError:
                    pass
                except ConnectionError:
                    rest += bytes(limit + 1)
                if len(rest) > limit:
                    del kept[member]
                    member.close()
    for member in kept:
        member.close()


# %% one that has left ends it for all: one member has left, and with it another
def broadcast(source, members, limit):
    kept = {member: bytearray() for member in members}
    for member in members:
        member.setblocking(False)
    ended = False
    while not ended or any(kept.values()):
        poller = select.poll()
        if not ended:
            poller.register(source, select.POLLIN)
        for member, rest in kept.items():
            if rest:
                poller.register(member, select.POLLOUT)
        ready = {fd for fd, _ in poller.poll()}
        data = source.recv(65536) if source.fileno() in ready else b""
        ended = ended or (source.fileno() in ready and not data)
        for member, rest in list(kept.items()):
            if data or member.fileno() in ready:
                rest += data
                try:
                    del rest[: member.send(rest)]
                except BlockingIOError:
                    pass
                except ConnectionError:
                    for each in members:
                        each.close()
                    return
                if len(rest) > limit:
                    del kept[member]
                    member.close()
    for member in kept:
        member.close()


# %% POLLOUT of everybody, always: wait for POLLOUT only of those for whom something is kept
def broadcast(source, members, limit):
    kept = {member: bytearray() for member in members}
    for member in members:
        member.setblocking(False)
    ended = False
    while not ended or any(kept.values()):
        poller = select.poll()
        if not ended:
            poller.register(source, select.POLLIN)
        for member in kept:
            poller.register(member, select.POLLOUT)
        ready = {fd for fd, _ in poller.poll()}
        data = source.recv(65536) if source.fileno() in ready else b""
        ended = ended or (source.fileno() in ready and not data)
        for member, rest in list(kept.items()):
            if data or member.fileno() in ready:
                rest += data
                try:
                    del rest[: member.send(rest)]
                except BlockingIOError:
                    pass
                except ConnectionError:
                    rest += bytes(limit + 1)
                if len(rest) > limit:
                    del kept[member]
                    member.close()
    for member in kept:
        member.close()


# %% the end of the source is the end of all: what was kept is not sent any more
def broadcast(source, members, limit):
    kept = {member: bytearray() for member in members}
    for member in members:
        member.setblocking(False)
    ended = False
    while not ended:
        poller = select.poll()
        if not ended:
            poller.register(source, select.POLLIN)
        for member, rest in kept.items():
            if rest:
                poller.register(member, select.POLLOUT)
        ready = {fd for fd, _ in poller.poll()}
        data = source.recv(65536) if source.fileno() in ready else b""
        ended = ended or (source.fileno() in ready and not data)
        for member, rest in list(kept.items()):
            if data or member.fileno() in ready:
                rest += data
                try:
                    del rest[: member.send(rest)]
                except BlockingIOError:
                    pass
                except ConnectionError:
                    rest += bytes(limit + 1)
                if len(rest) > limit:
                    del kept[member]
                    member.close()
    for member in kept:
        member.close()


# %% counts what has ever been sent: closes a member that lags behind
def broadcast(source, members, limit):
    kept = {member: bytearray() for member in members}
    for member in members:
        member.setblocking(False)
    ended = False
    total = 0
    while not ended or any(kept.values()):
        poller = select.poll()
        if not ended:
            poller.register(source, select.POLLIN)
        for member, rest in kept.items():
            if rest:
                poller.register(member, select.POLLOUT)
        ready = {fd for fd, _ in poller.poll()}
        data = source.recv(65536) if source.fileno() in ready else b""
        ended = ended or (source.fileno() in ready and not data)
        total += len(data)
        for member, rest in list(kept.items()):
            if data or member.fileno() in ready:
                rest += data
                try:
                    del rest[: member.send(rest)]
                except BlockingIOError:
                    pass
                except ConnectionError:
                    rest += bytes(limit + 1)
                if (rest and total > limit) or len(rest) > limit:
                    del kept[member]
                    member.close()
    for member in kept:
        member.close()
