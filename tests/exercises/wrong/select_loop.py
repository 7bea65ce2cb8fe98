"""Wrong answers to a select loop."""


# %% a closed socket stays in the set: a closed socket is still in one of your lists
def serve(listener):
    listener.setblocking(False)
    owed, clients = {}, []
    try:
        while True:
            reading = [sock for sock in clients if not owed.get(sock)]
            writing = [sock for sock in clients if owed.get(sock)]
            readable, writable, _ = select.select([listener, *reading], writing, [])
            if listener in readable:
                readable.remove(listener)
                try:
                    newcomer, _ = listener.accept()
                    newcomer.setblocking(False)
                    clients.append(newcomer)
                except BlockingIOError:
                    pass
                except OSError:
                    return
            for sock in readable + writable:
                try:
                    owed[sock] = owed.get(sock) or sock.recv(65536)
                    gone = not owed[sock]
                    owed[sock] = owed[sock][sock.send(owed[sock]) :]
                except BlockingIOError:
                    continue
                except OSError:
                    gone = True
                if gone:
                    del owed[sock]
                    sock.close()
    finally:
        for sock in clients:
            sock.close()


# %% a blocking sendall in the loop: a client that does not read keeps another one waiting
def serve(listener):
    listener.setblocking(False)
    clients = []
    try:
        while True:
            readable, _, _ = select.select([listener, *clients], [], [])
            for sock in readable:
                try:
                    if sock is listener:
                        clients.append(sock.accept()[0])
                        clients[-1].setblocking(True)
                        continue
                    data = sock.recv(65536)
                    sock.sendall(data)
                except BlockingIOError:
                    continue
                except OSError:
                    if sock is listener:
                        return
                    data = b""
                if not data:
                    clients.remove(sock)
                    sock.close()
    finally:
        for sock in clients:
            sock.close()


# %% every client always in the write set: watch it for writing only as long as it is owed something
def serve(listener):
    listener.setblocking(False)
    owed = {}
    try:
        while True:
            readable, writable, _ = select.select([listener, *owed], list(owed), [])
            if listener in readable:
                readable.remove(listener)
                try:
                    newcomer, _ = listener.accept()
                    newcomer.setblocking(False)
                    owed[newcomer] = b""
                except BlockingIOError:
                    pass
                except OSError:
                    return
            for sock in list(owed):
                try:
                    if sock in readable and not owed[sock]:
                        owed[sock] = sock.recv(65536)
                        if not owed[sock]:
                            raise EOFError
                    if sock in writable and owed[sock]:
                        owed[sock] = owed[sock][sock.send(owed[sock]) :]
                except BlockingIOError:
                    pass
                except (OSError, EOFError):
                    del owed[sock]
                    sock.close()
    finally:
        for sock in owed:
            sock.close()


# %% watched for reading while it is owed: that one is to be watched for writing alone
def serve(listener):
    listener.setblocking(False)
    owed = {}
    try:
        while True:
            writing = [sock for sock in owed if owed[sock]]
            readable, writable, _ = select.select([listener, *owed], writing, [])
            if listener in readable:
                readable.remove(listener)
                try:
                    newcomer, _ = listener.accept()
                    newcomer.setblocking(False)
                    owed[newcomer] = b""
                except BlockingIOError:
                    pass
                except OSError:
                    return
            for sock in {*readable, *writable}:
                try:
                    owed[sock] = owed[sock] or sock.recv(4096)
                    if not owed[sock]:
                        raise EOFError
                    owed[sock] = owed[sock][sock.send(owed[sock]) :]
                except BlockingIOError:
                    pass
                except (OSError, EOFError):
                    del owed[sock]
                    sock.close()
    finally:
        for sock in owed:
            sock.close()


# %% the rest of a short send is lost: `send` returns how many bytes it took
def serve(listener):
    listener.setblocking(False)
    clients = []
    try:
        while True:
            readable, _, _ = select.select([listener, *clients], [], [])
            for sock in readable:
                try:
                    if sock is listener:
                        clients.append(sock.accept()[0])
                        clients[-1].setblocking(False)
                        continue
                    data = sock.recv(65536)
                    sock.send(data)
                except BlockingIOError:
                    continue
                except OSError:
                    if sock is listener:
                        return
                    data = b""
                if not data:
                    clients.remove(sock)
                    sock.close()
    finally:
        for sock in clients:
            sock.close()


# %% new bytes overtake those that are owed: with bytes lost or out of order
def serve(listener):
    listener.setblocking(False)
    owed = {}
    try:
        while True:
            writing = [sock for sock in owed if owed[sock]]
            readable, writable, _ = select.select([listener, *owed], writing, [])
            if listener in readable:
                readable.remove(listener)
                try:
                    newcomer, _ = listener.accept()
                    newcomer.setblocking(False)
                    owed[newcomer] = b""
                except BlockingIOError:
                    pass
                except OSError:
                    return
            for sock in readable:
                if not talk(sock, owed):
                    del owed[sock]
                    sock.close()
            for sock in writable:
                try:
                    owed[sock] = owed[sock][sock.send(owed[sock]) :]
                except (OSError, KeyError):
                    pass
    finally:
        for sock in owed:
            sock.close()


def talk(sock, owed):
    try:
        data = sock.recv(1024)
        try:
            sent = sock.send(data)
        except BlockingIOError:
            sent = 0
        owed[sock] += data[sent:]
    except BlockingIOError:
        return True
    except OSError:
        return False
    return bool(data)


# %% reads on while bytes are owed: your server reads all of it, and keeps it
def serve(listener):
    listener.setblocking(False)
    owed = {}
    try:
        while True:
            writing = [sock for sock in owed if owed[sock]]
            readable, writable, _ = select.select([listener, *owed], writing, [])
            if listener in readable:
                readable.remove(listener)
                try:
                    newcomer, _ = listener.accept()
                    newcomer.setblocking(False)
                    owed[newcomer] = bytearray()
                except BlockingIOError:
                    pass
                except OSError:
                    return
            for sock in {*readable, *writable}:
                try:
                    if sock in readable:
                        data = sock.recv(65536)
                        if not data:
                            raise EOFError
                        owed[sock] += data
                    del owed[sock][: sock.send(owed[sock])]
                except BlockingIOError:
                    pass
                except (OSError, EOFError):
                    del owed[sock]
                    sock.close()
    finally:
        for sock in owed:
            sock.close()


# %% what send refuses with EAGAIN is lost: with BlockingIOError it took none | with bytes lost or
def serve(listener):
    listener.setblocking(False)
    owed = {}
    try:
        while True:
            reading = [sock for sock in owed if not owed[sock]]
            writing = [sock for sock in owed if owed[sock]]
            readable, writable, _ = select.select([listener, *reading], writing, [])
            if listener in readable:
                readable.remove(listener)
                try:
                    newcomer, _ = listener.accept()
                    newcomer.setblocking(False)
                    owed[newcomer] = b""
                except BlockingIOError:
                    pass
                except OSError:
                    return
            for sock in readable + writable:
                try:
                    data = owed[sock] or sock.recv(65536)
                    owed[sock] = data[sock.send(data) :]
                except BlockingIOError:
                    continue
                except OSError:
                    data = b""
                if not data:
                    del owed[sock]
                    sock.close()
    finally:
        for sock in owed:
            sock.close()


# %% a blocking accept: now your server sleeps in `accept`
def serve(listener):
    owed = {}
    try:
        while True:
            reading = [sock for sock in owed if not owed[sock]]
            writing = [sock for sock in owed if owed[sock]]
            readable, writable, _ = select.select([listener, *reading], writing, [])
            if listener in readable:
                readable.remove(listener)
                try:
                    newcomer, _ = listener.accept()
                except OSError:
                    return
                newcomer.setblocking(False)
                owed[newcomer] = b""
            for sock in readable + writable:
                try:
                    owed[sock] = owed[sock] or sock.recv(65536)
                    gone = not owed[sock]
                    owed[sock] = owed[sock][sock.send(owed[sock]) :]
                except BlockingIOError:
                    continue
                except OSError:
                    gone = True
                if gone:
                    del owed[sock]
                    sock.close()
    finally:
        for sock in owed:
            sock.close()


# %% takes EAGAIN from accept for the end: which is an OSError too, and means
def serve(listener):
    listener.setblocking(False)
    owed = {}
    try:
        while True:
            reading = [sock for sock in owed if not owed[sock]]
            writing = [sock for sock in owed if owed[sock]]
            readable, writable, _ = select.select([listener, *reading], writing, [])
            if listener in readable:
                readable.remove(listener)
                try:
                    newcomer, _ = listener.accept()
                except OSError:
                    return
                newcomer.setblocking(False)
                owed[newcomer] = b""
            for sock in readable + writable:
                try:
                    owed[sock] = owed[sock] or sock.recv(65536)
                    gone = not owed[sock]
                    owed[sock] = owed[sock][sock.send(owed[sock]) :]
                except BlockingIOError:
                    continue
                except OSError:
                    gone = True
                if gone:
                    del owed[sock]
                    sock.close()
    finally:
        for sock in owed:
            sock.close()


# %% the end is not looked for: waits for your end of it: at `b''` take the socket off your lists
def serve(listener):
    listener.setblocking(False)
    owed = {}
    try:
        while True:
            reading = [sock for sock in owed if not owed[sock]]
            writing = [sock for sock in owed if owed[sock]]
            readable, writable, _ = select.select([listener, *reading], writing, [])
            if listener in readable:
                readable.remove(listener)
                try:
                    newcomer, _ = listener.accept()
                    newcomer.setblocking(False)
                    owed[newcomer] = b""
                except BlockingIOError:
                    pass
                except OSError:
                    return
            for sock in readable + writable:
                try:
                    owed[sock] = owed[sock] or sock.recv(65536)
                    owed[sock] = owed[sock][sock.send(owed[sock]) :]
                except BlockingIOError:
                    pass
                except OSError:
                    del owed[sock]
                    sock.close()
    finally:
        for sock in owed:
            sock.close()


# %% a reset ends the server: that one client has gone; the others are to be served on
def serve(listener):
    listener.setblocking(False)
    owed = {}
    try:
        while True:
            reading = [sock for sock in owed if not owed[sock]]
            writing = [sock for sock in owed if owed[sock]]
            readable, writable, _ = select.select([listener, *reading], writing, [])
            if listener in readable:
                readable.remove(listener)
                try:
                    newcomer, _ = listener.accept()
                    newcomer.setblocking(False)
                    owed[newcomer] = b""
                except BlockingIOError:
                    pass
                except OSError:
                    return
            for sock in readable + writable:
                try:
                    owed[sock] = owed[sock] or sock.recv(65536)
                    gone = not owed[sock]
                    owed[sock] = owed[sock][sock.send(owed[sock]) :]
                except BlockingIOError:
                    continue
                if gone:
                    del owed[sock]
                    sock.close()
    finally:
        for sock in owed:
            sock.close()


# %% EAGAIN from recv ends the server: readable and writable are hints
def serve(listener):
    listener.setblocking(False)
    owed = {}
    try:
        while True:
            reading = [sock for sock in owed if not owed[sock]]
            writing = [sock for sock in owed if owed[sock]]
            readable, writable, _ = select.select([listener, *reading], writing, [])
            if listener in readable:
                readable.remove(listener)
                try:
                    newcomer, _ = listener.accept()
                    newcomer.setblocking(False)
                    owed[newcomer] = b""
                except BlockingIOError:
                    pass
                except OSError:
                    return
            for sock in readable + writable:
                try:
                    owed[sock] = owed[sock] or sock.recv(65536)
                    gone = not owed[sock]
                    owed[sock] = owed[sock][sock.send(owed[sock]) :]
                except ConnectionError:
                    gone = True
                if gone:
                    del owed[sock]
                    sock.close()
    finally:
        for sock in owed:
            sock.close()


# %% asks without sleeping: and let `select` sleep without a timeout
def serve(listener):
    listener.setblocking(False)
    owed = {}
    try:
        while True:
            select.select([listener, *owed], [], [], 0.001)
            try:
                newcomer, _ = listener.accept()
                newcomer.setblocking(False)
                owed[newcomer] = b""
            except BlockingIOError:
                pass
            except OSError:
                return
            for sock in list(owed):
                try:
                    owed[sock] = owed[sock] or sock.recv(65536)
                    gone = not owed[sock]
                    owed[sock] = owed[sock][sock.send(owed[sock]) :]
                except BlockingIOError:
                    continue
                except OSError:
                    gone = True
                if gone:
                    del owed[sock]
                    sock.close()
    finally:
        for sock in owed:
            sock.close()
