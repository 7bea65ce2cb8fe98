"""Wrong answers to more than the ports of one address."""


# %% one address only: raises EADDRNOTAVAIL, where it should go on from the next address
def hold(address, wanted, sources, new):
    held = []
    try:
        for _ in range(wanted):
            sock = new()
            held.append(sock)
            sock.bind((sources[0], 0))
            sock.connect(address)
    except BaseException:
        for sock in held:
            sock.close()
        raise
    return held


# %% stops where the first is used up: holds 20 connections, where it should be 50
def hold(address, wanted, sources, new):
    held = []
    for _ in range(wanted):
        sock = new()
        try:
            sock.bind((sources[0], 0))
            sock.connect(address)
        except OSError as error:
            sock.close()
            if error.errno == errno.EADDRNOTAVAIL:
                break
            raise
        held.append(sock)
    return held


# %% begins with the first again: times, though it has said that none is left
def hold(address, wanted, sources, new):
    held = []
    for _ in range(wanted):
        for source in sources:
            sock = new()
            try:
                sock.bind((source, 0))
                sock.connect(address)
            except OSError as error:
                sock.close()
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
            else:
                held.append(sock)
                break
    return held


# %% leaves the one that found no port: of the sockets open whose connect found no port
def hold(address, wanted, sources, new):
    held, sources = [], list(sources)
    while len(held) < wanted and sources:
        sock = new()
        try:
            sock.bind((sources[0], 0))
            sock.connect(address)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                sock.close()
                raise
            sources.pop(0)
        else:
            held.append(sock)
    return held


# %% loses a connection at each change: holds 48 connections, where it should be 50
def hold(address, wanted, sources, new):
    held, sources = [], list(sources)
    for _ in range(wanted):
        if not sources:
            break
        sock = new()
        try:
            sock.bind((sources[0], 0))
            sock.connect(address)
        except OSError as error:
            sock.close()
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            sources.pop(0)
        else:
            held.append(sock)
    return held


# %% every error is no port: returns []; connect said ECONNREFUSED, and nobody hears of it
def hold(address, wanted, sources, new):
    held, sources = [], list(sources)
    while len(held) < wanted and sources:
        sock = new()
        try:
            sock.bind((sources[0], 0))
            sock.connect(address)
        except OSError:
            sock.close()
            sources.pop(0)
        else:
            held.append(sock)
    return held


# %% does not look for EMFILE: raises EMFILE, where it should go on from the next address, or return
def hold(address, wanted, sources, new):
    held, sources = [], list(sources)
    try:
        while len(held) < wanted and sources:
            sock = new()
            try:
                sock.bind((sources[0], 0))
                sock.connect(address)
            except OSError as error:
                sock.close()
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                sources.pop(0)
            else:
                held.append(sock)
    except BaseException:
        for sock in held:
            sock.close()
        raise
    return held


# %% raises and leaves the others open: raises, and leaves 24 sockets open
def hold(address, wanted, sources, new):
    held, sources = [], list(sources)
    while len(held) < wanted and sources:
        try:
            sock = new()
        except OSError as error:
            if error.errno == errno.EMFILE:
                break
            raise
        try:
            sock.bind((sources[0], 0))
            sock.connect(address)
        except OSError as error:
            sock.close()
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            sources.pop(0)
        else:
            held.append(sock)
    return held


# %% one too many: holds 11 connections, where it should be 10
def hold(address, wanted, sources, new):
    held, sources = [], list(sources)
    while len(held) <= wanted and sources:
        sock = new()
        try:
            sock.bind((sources[0], 0))
            sock.connect(address)
        except OSError as error:
            sock.close()
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            sources.pop(0)
        else:
            held.append(sock)
    return held
