"""Wrong answers to read all of many."""


# %% hangs up on POLLHUP before it reads: and not that nothing is there
def read_all(fds, seconds):
    poller, heard, results = select.poll(), {}, {}
    for fd in fds:
        poller.register(fd, select.POLLIN)
        heard[fd] = b""
    deadline = time.monotonic() + seconds
    while heard and (left := deadline - time.monotonic()) > 0:
        for fd, bits in poller.poll(1000 * left):
            try:
                if bits & select.POLLHUP and not bits & select.POLLERR:
                    data = b""
                else:
                    data = os.read(fd, 65536)
                if data:
                    heard[fd] += data
                    continue
                results[fd] = heard[fd]
            except OSError as error:
                results[fd] = error
            del heard[fd]
            poller.unregister(fd)
            if not bits & select.POLLNVAL:
                os.close(fd)
    for fd in heard:
        results[fd] = TimeoutError()
        os.close(fd)
    return results


# %% looks at POLLIN only: at the end of a pipe POLLHUP comes without POLLIN
def read_all(fds, seconds):
    poller, heard, results = select.poll(), {}, {}
    for fd in fds:
        poller.register(fd, select.POLLIN)
        heard[fd] = b""
    deadline = time.monotonic() + seconds
    while heard and (left := deadline - time.monotonic()) > 0:
        for fd, bits in poller.poll(1000 * left):
            if not bits & (select.POLLIN | select.POLLERR | select.POLLNVAL):
                continue
            try:
                if data := os.read(fd, 65536):
                    heard[fd] += data
                    continue
                results[fd] = heard[fd]
            except OSError as error:
                results[fd] = error
            del heard[fd]
            poller.unregister(fd)
            if not bits & select.POLLNVAL:
                os.close(fd)
    for fd in heard:
        results[fd] = TimeoutError()
        os.close(fd)
    return results


# %% hangs up on POLLRDHUP: what was sent is there to be read
def read_all(fds, seconds):
    poller, heard, results = select.poll(), {}, {}
    for fd in fds:
        poller.register(fd, select.POLLIN | select.POLLRDHUP)
        heard[fd] = b""
    deadline = time.monotonic() + seconds
    while heard and (left := deadline - time.monotonic()) > 0:
        for fd, bits in poller.poll(1000 * left):
            try:
                if bits & select.POLLRDHUP and not bits & select.POLLERR:
                    data = b""
                else:
                    data = os.read(fd, 65536)
                if data:
                    heard[fd] += data
                    continue
                results[fd] = heard[fd]
            except OSError as error:
                results[fd] = error
            del heard[fd]
            poller.unregister(fd)
            if not bits & select.POLLNVAL:
                os.close(fd)
    for fd in heard:
        results[fd] = TimeoutError()
        os.close(fd)
    return results


# %% one read at a hang-up: POLLHUP says that nothing more will come
def read_all(fds, seconds):
    poller, heard, results = select.poll(), {}, {}
    for fd in fds:
        poller.register(fd, select.POLLIN)
        heard[fd] = b""
    deadline = time.monotonic() + seconds
    while heard and (left := deadline - time.monotonic()) > 0:
        for fd, bits in poller.poll(1000 * left):
            try:
                data = os.read(fd, 4096)
                heard[fd] += data
                if data and not bits & select.POLLHUP:
                    continue
                results[fd] = heard[fd]
            except OSError as error:
                results[fd] = error
            del heard[fd]
            poller.unregister(fd)
            if not bits & select.POLLNVAL:
                os.close(fd)
    for fd in heard:
        results[fd] = TimeoutError()
        os.close(fd)
    return results


# %% a reset of one ends all: return it for that one, and read the others on
def read_all(fds, seconds):
    poller, heard, results = select.poll(), {}, {}
    for fd in fds:
        poller.register(fd, select.POLLIN)
        heard[fd] = b""
    deadline = time.monotonic() + seconds
    while heard and (left := deadline - time.monotonic()) > 0:
        for fd, bits in poller.poll(1000 * left):
            if bits & select.POLLNVAL:
                results[fd] = OSError("not open")
            elif data := os.read(fd, 65536):
                heard[fd] += data
                continue
            else:
                results[fd] = heard[fd]
                os.close(fd)
            del heard[fd]
            poller.unregister(fd)
    for fd in heard:
        results[fd] = TimeoutError()
        os.close(fd)
    return results


# %% events 0, to silence it: POLLHUP and POLLNVAL come also when `events` is 0
def read_all(fds, seconds):
    poller, heard, results = select.poll(), dict.fromkeys(fds, b""), {}
    for fd in fds:
        poller.register(fd, select.POLLIN)
    deadline = time.monotonic() + seconds
    while len(results) < len(fds) and (left := deadline - time.monotonic()) > 0:
        for fd, _ in poller.poll(1000 * left):
            if fd in results:
                continue
            try:
                if data := os.read(fd, 65536):
                    heard[fd] += data
                    continue
                results[fd] = heard[fd]
            except OSError as error:
                results[fd] = error
            poller.modify(fd, 0)
    for fd in fds:
        try:
            os.close(fd)
        except OSError:
            pass
        results.setdefault(fd, TimeoutError())
    return results


# %% seconds for milliseconds, and nobody in time: the timeout of `poll` is in milliseconds
def read_all(fds, seconds):
    poller, heard, results = select.poll(), {}, {}
    for fd in fds:
        poller.register(fd, select.POLLIN)
        heard[fd] = b""
    deadline = time.monotonic() + seconds
    while heard and (events := poller.poll(max(0, deadline - time.monotonic()))):
        for fd, bits in events:
            try:
                if data := os.read(fd, 65536):
                    heard[fd] += data
                    continue
                results[fd] = heard[fd]
            except OSError as error:
                results[fd] = error
            del heard[fd]
            poller.unregister(fd)
            if not bits & select.POLLNVAL:
                os.close(fd)
    for fd in heard:
        results[fd] = TimeoutError()
        os.close(fd)
    return results


# %% seconds for milliseconds, and again: nothing happens, there is time left
def read_all(fds, seconds):
    poller, heard, results = select.poll(), {}, {}
    for fd in fds:
        poller.register(fd, select.POLLIN)
        heard[fd] = b""
    deadline = time.monotonic() + seconds
    while heard and (left := deadline - time.monotonic()) > 0:
        for fd, bits in poller.poll(left):
            try:
                if data := os.read(fd, 65536):
                    heard[fd] += data
                    continue
                results[fd] = heard[fd]
            except OSError as error:
                results[fd] = error
            del heard[fd]
            poller.unregister(fd)
            if not bits & select.POLLNVAL:
                os.close(fd)
    for fd in heard:
        results[fd] = TimeoutError()
        os.close(fd)
    return results


# %% all the time anew at each wait: stop also when there is always something to read
def read_all(fds, seconds):
    poller, heard, results = select.poll(), {}, {}
    for fd in fds:
        poller.register(fd, select.POLLIN)
        heard[fd] = b""
    while heard and (events := poller.poll(1000 * seconds)):
        for fd, bits in events:
            try:
                if data := os.read(fd, 65536):
                    heard[fd] += data
                    continue
                results[fd] = heard[fd]
            except OSError as error:
                results[fd] = error
            del heard[fd]
            poller.unregister(fd)
            if not bits & select.POLLNVAL:
                os.close(fd)
    for fd in heard:
        results[fd] = TimeoutError()
        os.close(fd)
    return results


# %% closes, and leaves it on the list: its number was closed and still on the list
def read_all(fds, seconds):
    poller, results = select.poll(), {}
    heard, going = dict.fromkeys(fds, b""), set(fds)
    for fd in fds:
        poller.register(fd, select.POLLIN)
    deadline = time.monotonic() + seconds
    while going and (left := deadline - time.monotonic()) > 0:
        for fd, bits in poller.poll(1000 * left):
            try:
                if data := os.read(fd, 65536):
                    heard[fd] += data
                    continue
                results[fd] = heard[fd]
            except OSError as error:
                results[fd] = error
            if fd in going and not bits & select.POLLNVAL:
                os.close(fd)
            going.discard(fd)
    for fd in going:
        results[fd] = TimeoutError()
        os.close(fd)
    return results


# %% closes, and unregisters at the next sight of POLLNVAL: read what was not for it
def read_all(fds, seconds):
    poller, results = select.poll(), {}
    heard = dict.fromkeys(fds, b"")
    for fd in fds:
        poller.register(fd, select.POLLIN)
    deadline = time.monotonic() + seconds
    while len(results) < len(fds) and (left := deadline - time.monotonic()) > 0:
        for fd, bits in poller.poll(1000 * left):
            if bits & select.POLLNVAL:
                results.setdefault(fd, OSError("not open"))
                poller.unregister(fd)
                continue
            try:
                if data := os.read(fd, 65536):
                    heard[fd] += data
                    continue
                results[fd] = heard[fd]
            except OSError as error:
                results[fd] = error
            os.close(fd)
    for fd in set(fds) - results.keys():
        results[fd] = TimeoutError()
        os.close(fd)
    return results


# %% POLLNVAL is not handled: POLLNVAL stays until that one is off the list
def read_all(fds, seconds):
    poller, heard, results = select.poll(), {}, {}
    for fd in fds:
        poller.register(fd, select.POLLIN)
        heard[fd] = b""
    deadline = time.monotonic() + seconds
    while heard and (left := deadline - time.monotonic()) > 0:
        for fd, bits in poller.poll(1000 * left):
            if not bits & (select.POLLIN | select.POLLHUP | select.POLLERR):
                continue
            try:
                if data := os.read(fd, 65536):
                    heard[fd] += data
                    continue
                results[fd] = heard[fd]
            except OSError as error:
                results[fd] = error
            del heard[fd]
            poller.unregister(fd)
            os.close(fd)
    for fd in heard:
        results[fd] = TimeoutError()
        os.close(fd)
    return results


# %% closes what is not open: it can neither be read nor closed, and the others can
def read_all(fds, seconds):
    poller, heard, results = select.poll(), {}, {}
    for fd in fds:
        poller.register(fd, select.POLLIN)
        heard[fd] = b""
    deadline = time.monotonic() + seconds
    while heard and (left := deadline - time.monotonic()) > 0:
        for fd, _ in poller.poll(1000 * left):
            try:
                if data := os.read(fd, 65536):
                    heard[fd] += data
                    continue
                results[fd] = heard[fd]
            except OSError as error:
                results[fd] = error
            del heard[fd]
            poller.unregister(fd)
            os.close(fd)
    for fd in heard:
        results[fd] = TimeoutError()
        os.close(fd)
    return results


# %% reads one to its end, once it is ready: your function sleeps in `read` on one of them
def read_all(fds, seconds):
    poller, results = select.poll(), {}
    for fd in fds:
        poller.register(fd, select.POLLIN)
    deadline = time.monotonic() + seconds
    while len(results) < len(fds) and (left := deadline - time.monotonic()) > 0:
        for fd, bits in poller.poll(1000 * left):
            heard = b""
            try:
                while data := os.read(fd, 65536):
                    heard += data
                results[fd] = heard
            except OSError as error:
                results[fd] = error
            poller.unregister(fd)
            if not bits & select.POLLNVAL:
                os.close(fd)
    for fd in fds:
        if fd not in results:
            results[fd] = TimeoutError()
            os.close(fd)
    return results


# %% leaves open what is late: is still open
def read_all(fds, seconds):
    poller, heard, results = select.poll(), {}, {}
    for fd in fds:
        poller.register(fd, select.POLLIN)
        heard[fd] = b""
    deadline = time.monotonic() + seconds
    while heard and (left := deadline - time.monotonic()) > 0:
        for fd, bits in poller.poll(1000 * left):
            try:
                if data := os.read(fd, 65536):
                    heard[fd] += data
                    continue
                results[fd] = heard[fd]
            except OSError as error:
                results[fd] = error
            del heard[fd]
            poller.unregister(fd)
            if not bits & select.POLLNVAL:
                os.close(fd)
    return results | dict.fromkeys(heard, TimeoutError())


# %% all the time anew after each word: then nothing, and 2 s are given: its time is up
def read_all(fds, seconds):
    poller, heard, results = select.poll(), {}, {}
    for fd in fds:
        poller.register(fd, select.POLLIN)
        heard[fd] = b""
    deadline = time.monotonic() + seconds
    while heard and time.monotonic() < deadline:
        for fd, bits in poller.poll(1000 * seconds):
            try:
                if data := os.read(fd, 65536):
                    heard[fd] += data
                    continue
                results[fd] = heard[fd]
            except OSError as error:
                results[fd] = error
            del heard[fd]
            poller.unregister(fd)
            if not bits & select.POLLNVAL:
                os.close(fd)
    for fd in heard:
        results[fd] = TimeoutError()
        os.close(fd)
    return results
