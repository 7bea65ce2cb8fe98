"""Wrong answers to a timer in the loop."""


# %% seconds where milliseconds are wanted: `poll` takes milliseconds
class Loop:
    def __init__(self):
        self.readers = {}
        self.timers = []
        self.numbers = itertools.count()

    def add_reader(self, fd, callback):
        self.readers[fd] = callback

    def remove_reader(self, fd):
        del self.readers[fd]

    def call_later(self, seconds, callback):
        timer = [time.monotonic() + seconds, next(self.numbers), callback]
        heapq.heappush(self.timers, timer)
        return timer

    def cancel(self, timer):
        timer[2] = None

    def run(self):
        while True:
            while self.timers and self.timers[0][2] is None:
                heapq.heappop(self.timers)
            if not self.readers and not self.timers:
                return
            timeout = None
            if self.timers:
                timeout = max(0, self.timers[0][0] - time.monotonic())
            poller = select.poll()
            for fd in self.readers:
                poller.register(fd, select.POLLIN)
            for fd, _ in poller.poll(timeout):
                if fd in self.readers:
                    self.readers[fd]()
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                callback = heapq.heappop(self.timers)[2]
                if callback:
                    callback()


# %% cuts the fraction off and does not look at the clock: before its time: round the milliseconds
class Loop:
    def __init__(self):
        self.readers = {}
        self.timers = []
        self.numbers = itertools.count()

    def add_reader(self, fd, callback):
        self.readers[fd] = callback

    def remove_reader(self, fd):
        del self.readers[fd]

    def call_later(self, seconds, callback):
        timer = [time.monotonic() + seconds, next(self.numbers), callback]
        heapq.heappush(self.timers, timer)
        return timer

    def cancel(self, timer):
        timer[2] = None

    def run(self):
        while True:
            while self.timers and self.timers[0][2] is None:
                heapq.heappop(self.timers)
            if not self.readers and not self.timers:
                return
            timeout = None
            if self.timers:
                timeout = max(0, int(1000 * (self.timers[0][0] - time.monotonic())))
            poller = select.poll()
            for fd in self.readers:
                poller.register(fd, select.POLLIN)
            ready = poller.poll(timeout)
            for fd, _ in ready:
                if fd in self.readers:
                    self.readers[fd]()
            if not ready and self.timers:
                callback = heapq.heappop(self.timers)[2]
                if callback:
                    callback()


# %% cuts the fraction off, and spins for the rest of it: 0.9 ms rounded down are 0
class Loop:
    def __init__(self):
        self.readers = {}
        self.timers = []
        self.numbers = itertools.count()

    def add_reader(self, fd, callback):
        self.readers[fd] = callback

    def remove_reader(self, fd):
        del self.readers[fd]

    def call_later(self, seconds, callback):
        timer = [time.monotonic() + seconds, next(self.numbers), callback]
        heapq.heappush(self.timers, timer)
        return timer

    def cancel(self, timer):
        timer[2] = None

    def run(self):
        while True:
            while self.timers and self.timers[0][2] is None:
                heapq.heappop(self.timers)
            if not self.readers and not self.timers:
                return
            timeout = None
            if self.timers:
                timeout = max(0, int(1000 * (self.timers[0][0] - time.monotonic())))
            poller = select.poll()
            for fd in self.readers:
                poller.register(fd, select.POLLIN)
            for fd, _ in poller.poll(timeout):
                if fd in self.readers:
                    self.readers[fd]()
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                callback = heapq.heappop(self.timers)[2]
                if callback:
                    callback()


# %% calls what is due within a millisecond: before its time: round the milliseconds up
class Loop:
    def __init__(self):
        self.readers = {}
        self.timers = []
        self.numbers = itertools.count()

    def add_reader(self, fd, callback):
        self.readers[fd] = callback

    def remove_reader(self, fd):
        del self.readers[fd]

    def call_later(self, seconds, callback):
        timer = [time.monotonic() + seconds, next(self.numbers), callback]
        heapq.heappush(self.timers, timer)
        return timer

    def cancel(self, timer):
        timer[2] = None

    def run(self):
        while True:
            while self.timers and self.timers[0][2] is None:
                heapq.heappop(self.timers)
            if not self.readers and not self.timers:
                return
            timeout = None
            if self.timers:
                timeout = max(0, int(1000 * (self.timers[0][0] - time.monotonic())))
            poller = select.poll()
            for fd in self.readers:
                poller.register(fd, select.POLLIN)
            for fd, _ in poller.poll(timeout):
                if fd in self.readers:
                    self.readers[fd]()
            now = time.monotonic() + 0.001
            while self.timers and self.timers[0][0] <= now:
                callback = heapq.heappop(self.timers)[2]
                if callback:
                    callback()


# %% sleeps in time.sleep: it sleeps for the next timer, and hears no descriptor meanwhile
class Loop:
    def __init__(self):
        self.readers = {}
        self.timers = []
        self.numbers = itertools.count()

    def add_reader(self, fd, callback):
        self.readers[fd] = callback

    def remove_reader(self, fd):
        del self.readers[fd]

    def call_later(self, seconds, callback):
        timer = [time.monotonic() + seconds, next(self.numbers), callback]
        heapq.heappush(self.timers, timer)
        return timer

    def cancel(self, timer):
        timer[2] = None

    def run(self):
        while True:
            while self.timers and self.timers[0][2] is None:
                heapq.heappop(self.timers)
            if not self.readers and not self.timers:
                return
            if self.timers:
                time.sleep(max(0, self.timers[0][0] - time.monotonic()))
            poller = select.poll()
            for fd in self.readers:
                poller.register(fd, select.POLLIN)
            for fd, _ in poller.poll(0 if self.timers else None):
                if fd in self.readers:
                    self.readers[fd]()
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                callback = heapq.heappop(self.timers)[2]
                if callback:
                    callback()


# %% computes the timeout once: how long to wait has to be computed anew
class Loop:
    def __init__(self):
        self.readers = {}
        self.timers = []
        self.numbers = itertools.count()

    def add_reader(self, fd, callback):
        self.readers[fd] = callback

    def remove_reader(self, fd):
        del self.readers[fd]

    def call_later(self, seconds, callback):
        timer = [time.monotonic() + seconds, next(self.numbers), callback]
        heapq.heappush(self.timers, timer)
        return timer

    def cancel(self, timer):
        timer[2] = None

    def run(self):
        timeout = None
        if self.timers:
            timeout = max(0, math.ceil(1000 * (self.timers[0][0] - time.monotonic())))
        while True:
            while self.timers and self.timers[0][2] is None:
                heapq.heappop(self.timers)
            if not self.readers and not self.timers:
                return
            poller = select.poll()
            for fd in self.readers:
                poller.register(fd, select.POLLIN)
            for fd, _ in poller.poll(timeout):
                if fd in self.readers:
                    self.readers[fd]()
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                callback = heapq.heappop(self.timers)[2]
                if callback:
                    callback()


# %% may be negative: `poll` with a negative timeout waits | `for fd, _ in poller.poll(timeout):`
class Loop:
    def __init__(self):
        self.readers = {}
        self.timers = []
        self.numbers = itertools.count()

    def add_reader(self, fd, callback):
        self.readers[fd] = callback

    def remove_reader(self, fd):
        del self.readers[fd]

    def call_later(self, seconds, callback):
        timer = [time.monotonic() + seconds, next(self.numbers), callback]
        heapq.heappush(self.timers, timer)
        return timer

    def cancel(self, timer):
        timer[2] = None

    def run(self):
        while True:
            while self.timers and self.timers[0][2] is None:
                heapq.heappop(self.timers)
            if not self.readers and not self.timers:
                return
            timeout = None
            if self.timers:
                timeout = math.ceil(1000 * (self.timers[0][0] - time.monotonic()))
            poller = select.poll()
            for fd in self.readers:
                poller.register(fd, select.POLLIN)
            for fd, _ in poller.poll(timeout):
                if fd in self.readers:
                    self.readers[fd]()
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                callback = heapq.heappop(self.timers)[2]
                if callback:
                    callback()


# %% the heap compares the callbacks: two timers are due at the same time
class Loop:
    def __init__(self):
        self.readers = {}
        self.timers = []
        self.numbers = itertools.count()

    def add_reader(self, fd, callback):
        self.readers[fd] = callback

    def remove_reader(self, fd):
        del self.readers[fd]

    def call_later(self, seconds, callback):
        timer = [time.monotonic() + seconds, callback]
        heapq.heappush(self.timers, timer)
        return timer

    def cancel(self, timer):
        self.timers.remove(timer)
        heapq.heapify(self.timers)

    def run(self):
        while True:
            if not self.readers and not self.timers:
                return
            timeout = None
            if self.timers:
                timeout = max(0, math.ceil(1000 * (self.timers[0][0] - time.monotonic())))
            poller = select.poll()
            for fd in self.readers:
                poller.register(fd, select.POLLIN)
            for fd, _ in poller.poll(timeout):
                if fd in self.readers:
                    self.readers[fd]()
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                callback = heapq.heappop(self.timers)[1]
                callback()


# %% one timer for each moment: calls three, where it should call one, two, three
class Loop:
    def __init__(self):
        self.readers = {}
        self.timers = []
        self.numbers = itertools.count()

    def add_reader(self, fd, callback):
        self.readers[fd] = callback

    def remove_reader(self, fd):
        del self.readers[fd]

    def call_later(self, seconds, callback):
        when = time.monotonic() + seconds
        self.timers = [timer for timer in self.timers if timer[0] != when]
        timer = [when, 0, callback]
        heapq.heappush(self.timers, timer)
        return timer

    def cancel(self, timer):
        timer[2] = None

    def run(self):
        while True:
            while self.timers and self.timers[0][2] is None:
                heapq.heappop(self.timers)
            if not self.readers and not self.timers:
                return
            timeout = None
            if self.timers:
                timeout = max(0, math.ceil(1000 * (self.timers[0][0] - time.monotonic())))
            poller = select.poll()
            for fd in self.readers:
                poller.register(fd, select.POLLIN)
            for fd, _ in poller.poll(timeout):
                if fd in self.readers:
                    self.readers[fd]()
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                callback = heapq.heappop(self.timers)[2]
                if callback:
                    callback()


# %% calls a cancelled one: calls the cancelled one, the other, where it should call the other
class Loop:
    def __init__(self):
        self.readers = {}
        self.timers = []
        self.numbers = itertools.count()

    def add_reader(self, fd, callback):
        self.readers[fd] = callback

    def remove_reader(self, fd):
        del self.readers[fd]

    def call_later(self, seconds, callback):
        timer = [time.monotonic() + seconds, next(self.numbers), callback]
        heapq.heappush(self.timers, timer)
        return timer

    def cancel(self, timer):
        pass

    def run(self):
        while True:
            while self.timers and self.timers[0][2] is None:
                heapq.heappop(self.timers)
            if not self.readers and not self.timers:
                return
            timeout = None
            if self.timers:
                timeout = max(0, math.ceil(1000 * (self.timers[0][0] - time.monotonic())))
            poller = select.poll()
            for fd in self.readers:
                poller.register(fd, select.POLLIN)
            for fd, _ in poller.poll(timeout):
                if fd in self.readers:
                    self.readers[fd]()
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                callback = heapq.heappop(self.timers)[2]
                if callback:
                    callback()


# %% waits for a cancelled one: the only timer left is cancelled
class Loop:
    def __init__(self):
        self.readers = {}
        self.timers = []
        self.numbers = itertools.count()

    def add_reader(self, fd, callback):
        self.readers[fd] = callback

    def remove_reader(self, fd):
        del self.readers[fd]

    def call_later(self, seconds, callback):
        timer = [time.monotonic() + seconds, next(self.numbers), callback]
        heapq.heappush(self.timers, timer)
        return timer

    def cancel(self, timer):
        timer[2] = lambda: None

    def run(self):
        while True:
            while self.timers and self.timers[0][2] is None:
                heapq.heappop(self.timers)
            if not self.readers and not self.timers:
                return
            timeout = None
            if self.timers:
                timeout = max(0, math.ceil(1000 * (self.timers[0][0] - time.monotonic())))
            poller = select.poll()
            for fd in self.readers:
                poller.register(fd, select.POLLIN)
            for fd, _ in poller.poll(timeout):
                if fd in self.readers:
                    self.readers[fd]()
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                callback = heapq.heappop(self.timers)[2]
                if callback:
                    callback()


# %% calls them in the order in which they were set: calls third, first, second
class Loop:
    def __init__(self):
        self.readers = {}
        self.timers = []
        self.numbers = itertools.count()

    def add_reader(self, fd, callback):
        self.readers[fd] = callback

    def remove_reader(self, fd):
        del self.readers[fd]

    def call_later(self, seconds, callback):
        timer = [time.monotonic() + seconds, next(self.numbers), callback]
        self.timers.append(timer)
        return timer

    def cancel(self, timer):
        timer[2] = None

    def run(self):
        while True:
            while self.timers and self.timers[0][2] is None:
                self.timers.pop(0)
            if not self.readers and not self.timers:
                return
            timeout = None
            if self.timers:
                timeout = max(0, math.ceil(1000 * (self.timers[0][0] - time.monotonic())))
            poller = select.poll()
            for fd in self.readers:
                poller.register(fd, select.POLLIN)
            for fd, _ in poller.poll(timeout):
                if fd in self.readers:
                    self.readers[fd]()
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                callback = self.timers.pop(0)[2]
                if callback:
                    callback()


# %% a cancelled one must be on the list: ValueError
class Loop:
    def __init__(self):
        self.readers = {}
        self.timers = []
        self.numbers = itertools.count()

    def add_reader(self, fd, callback):
        self.readers[fd] = callback

    def remove_reader(self, fd):
        del self.readers[fd]

    def call_later(self, seconds, callback):
        timer = [time.monotonic() + seconds, next(self.numbers), callback]
        heapq.heappush(self.timers, timer)
        return timer

    def cancel(self, timer):
        self.timers.remove(timer)
        heapq.heapify(self.timers)

    def run(self):
        while True:
            while self.timers and self.timers[0][2] is None:
                heapq.heappop(self.timers)
            if not self.readers and not self.timers:
                return
            timeout = None
            if self.timers:
                timeout = max(0, math.ceil(1000 * (self.timers[0][0] - time.monotonic())))
            poller = select.poll()
            for fd in self.readers:
                poller.register(fd, select.POLLIN)
            for fd, _ in poller.poll(timeout):
                if fd in self.readers:
                    self.readers[fd]()
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                callback = heapq.heappop(self.timers)[2]
                if callback:
                    callback()


# %% looks at the clock for each timer: keeps every reader out
class Loop:
    def __init__(self):
        self.readers = {}
        self.timers = []
        self.numbers = itertools.count()

    def add_reader(self, fd, callback):
        self.readers[fd] = callback

    def remove_reader(self, fd):
        del self.readers[fd]

    def call_later(self, seconds, callback):
        timer = [time.monotonic() + seconds, next(self.numbers), callback]
        heapq.heappush(self.timers, timer)
        return timer

    def cancel(self, timer):
        timer[2] = None

    def run(self):
        while True:
            while self.timers and self.timers[0][2] is None:
                heapq.heappop(self.timers)
            if not self.readers and not self.timers:
                return
            timeout = None
            if self.timers:
                timeout = max(0, math.ceil(1000 * (self.timers[0][0] - time.monotonic())))
            poller = select.poll()
            for fd in self.readers:
                poller.register(fd, select.POLLIN)
            for fd, _ in poller.poll(timeout):
                if fd in self.readers:
                    self.readers[fd]()
            while self.timers and self.timers[0][0] <= time.monotonic():
                callback = heapq.heappop(self.timers)[2]
                if callback:
                    callback()


# %% calls a reader that has been removed: for a reader that a callback removed a moment ago
class Loop:
    def __init__(self):
        self.readers = {}
        self.timers = []
        self.numbers = itertools.count()

    def add_reader(self, fd, callback):
        self.readers[fd] = callback

    def remove_reader(self, fd):
        del self.readers[fd]

    def call_later(self, seconds, callback):
        timer = [time.monotonic() + seconds, next(self.numbers), callback]
        heapq.heappush(self.timers, timer)
        return timer

    def cancel(self, timer):
        timer[2] = None

    def run(self):
        while True:
            while self.timers and self.timers[0][2] is None:
                heapq.heappop(self.timers)
            if not self.readers and not self.timers:
                return
            timeout = None
            if self.timers:
                timeout = max(0, math.ceil(1000 * (self.timers[0][0] - time.monotonic())))
            poller = select.poll()
            for fd in self.readers:
                poller.register(fd, select.POLLIN)
            for fd, _ in poller.poll(timeout):
                self.readers[fd]()
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                callback = heapq.heappop(self.timers)[2]
                if callback:
                    callback()


# %% looks for POLLIN alone: a pipe has hung up, and its reader is not called
class Loop:
    def __init__(self):
        self.readers = {}
        self.timers = []
        self.numbers = itertools.count()

    def add_reader(self, fd, callback):
        self.readers[fd] = callback

    def remove_reader(self, fd):
        del self.readers[fd]

    def call_later(self, seconds, callback):
        timer = [time.monotonic() + seconds, next(self.numbers), callback]
        heapq.heappush(self.timers, timer)
        return timer

    def cancel(self, timer):
        timer[2] = None

    def run(self):
        while True:
            while self.timers and self.timers[0][2] is None:
                heapq.heappop(self.timers)
            if not self.readers and not self.timers:
                return
            timeout = None
            if self.timers:
                timeout = max(0, math.ceil(1000 * (self.timers[0][0] - time.monotonic())))
            poller = select.poll()
            for fd in self.readers:
                poller.register(fd, select.POLLIN)
            for fd, mask in poller.poll(timeout):
                if mask & select.POLLIN and fd in self.readers:
                    self.readers[fd]()
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                callback = heapq.heappop(self.timers)[2]
                if callback:
                    callback()
