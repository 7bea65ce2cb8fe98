"""The clients of a load, all in one process: an epoll loop that talks, listens, and checks.

    python -m iomodels.measure.client JSON

Closed loop: each client keeps `in_flight` messages under way, and sends a new one for each reply.
So a slow server is asked less, and the latencies are those of clients who wait their turn (an open
loop, which sends by the clock, would see longer ones).

Every byte that comes back is compared with the one that had to come. Replies are counted and timed
from the end of the warm-up, when each client has had its first reply (or half a second is over:
the blocking server never answers more than one), to the end of the time; what is still under way
then is waited for, and counted apart.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import socket
import struct
import sys
import time
from array import array
from collections import deque
from dataclasses import asdict, dataclass

from iomodels.measure.dialogues import DIALOGUES, Dialogue
from iomodels.measure.limits import raise_soft_limit, source
from iomodels.measure.usage import usage

CONNECTS_WITHIN = 5.0  # seconds for one connection
WARM_UP = 0.5  # seconds at most
PATIENCE = 0.5  # seconds without any reply after which the rest is given up
READ = 256 * 1024  # bytes in one read
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # no TIME_WAIT: the port is free for the next run


@dataclass(frozen=True)
class Result:
    """What the clients saw. Times in seconds."""

    connections: int
    served: int  # connections that had a reply
    messages: int  # replies within the time
    seconds: float
    p50: float
    p99: float
    longest: float
    unanswered: int  # messages still under way when the time was over that never came back
    lost: int  # connections that the server ended
    cpu: float  # seconds of CPU that the clients used within the time


class Failed(Exception):
    """The load makes no sense any more; the text says why, in one line."""


class Clients:
    """`connections` clients of one server, and what has become of each message."""

    def __init__(
        self, address: tuple[str, int], dialogue: Dialogue, connections: int, in_flight: int
    ) -> None:
        self.dialogue, self.in_flight = dialogue, in_flight
        self.request, self.reply = (
            len(ring) // dialogue.messages for ring in (dialogue.requests, dialogue.replies)
        )
        # What may be sent or come at once, from any place of the ring, lies in one piece.
        self.requests = dialogue.requests + dialogue.requests[: in_flight * self.request]
        self.replies = dialogue.replies + dialogue.replies[: in_flight * self.reply]
        self.epoll = select.epoll()
        self.sockets: dict[int, socket.socket] = {}
        self.next: dict[int, int] = {}  # by fd: the place in the ring of the next message to send
        self.heard: dict[int, int] = {}  # by fd: bytes of the ring of replies that have come
        self.under_way: dict[int, deque[tuple[int, int]]] = {}  # by fd: (messages, when sent, ns)
        self.unsent: dict[int, memoryview] = {}
        self.served: set[int] = set()
        self.lost = 0
        self.asking = True
        self.latencies, self.counts = array("q"), array("q")
        for number in range(connections):
            self.connect(address, number)

    def connect(self, address: tuple[str, int], number: int) -> None:
        """Connect one client, say its hello, and register it."""
        bound = (source(number), 0) if number >= 13_000 else None
        try:
            sock = socket.create_connection(address, CONNECTS_WITHIN, bound)
        except OSError as error:
            reason = error.strerror or str(error)
            raise Failed(f"cannot connect to {address[0]}:{address[1]}: {reason}") from None
        fd = sock.fileno()
        self.sockets[fd] = sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        if self.dialogue.hello:
            self.greet(sock)
        sock.setblocking(False)
        self.next[fd] = number % self.dialogue.messages
        self.heard[fd] = self.next[fd] * self.reply
        self.under_way[fd] = deque()
        self.epoll.register(fd, select.EPOLLIN)

    def greet(self, sock: socket.socket) -> None:
        """Say hello and hear the welcome, to its last byte."""
        sock.settimeout(CONNECTS_WITHIN)
        try:
            sock.sendall(self.dialogue.hello)
            heard = b""
            while not heard.endswith(b"\r\n\r\n"):
                if not (more := sock.recv(1)):
                    break
                heard += more
        except OSError as error:
            raise Failed(f"no answer to the hello: {error.strerror or error}") from None
        if not heard.startswith(self.dialogue.welcome):
            raise Failed(f"the hello was answered with {heard[:60]!r}")

    def start(self) -> None:
        """Send the first messages of everyone."""
        for fd in tuple(self.sockets):
            self.ask(fd, self.in_flight, time.perf_counter_ns())

    def ask(self, fd: int, count: int, now: int) -> None:
        """Send `count` messages; keep what the kernel does not take."""
        at = self.next[fd] * self.request
        data = self.requests[at : at + count * self.request]
        self.next[fd] = (self.next[fd] + count) % self.dialogue.messages
        self.under_way[fd].append((count, now))
        try:
            sent = os.write(fd, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return self.lose(fd)
        if sent < len(data):
            self.unsent[fd] = memoryview(data)[sent:]
            self.epoll.modify(fd, select.EPOLLIN | select.EPOLLOUT)

    def flush(self, fd: int) -> None:
        """Send more of what the kernel did not take."""
        rest = self.unsent[fd]
        with contextlib.suppress(BlockingIOError):
            rest = rest[os.write(fd, rest) :]
        self.unsent[fd] = rest
        if not rest:
            del self.unsent[fd]
            self.epoll.modify(fd, select.EPOLLIN)

    def hear(self, fd: int) -> None:
        """Take what has come, check it, and ask again as often as was answered."""
        try:
            data = os.read(fd, READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        now = time.perf_counter_ns()
        size = len(data)
        if size == 0:
            return self.lose(fd)
        at = self.heard[fd]
        if data != self.replies[at : at + size]:
            self.complain(data, at)
        place = at % self.reply + size
        self.heard[fd] = (at + size) % len(self.dialogue.replies)
        answered = place // self.reply
        if not answered:
            return
        left = answered
        under_way = self.under_way[fd]
        while left:
            count, sent = under_way[0]
            took = min(count, left)
            self.latencies.append(now - sent)
            self.counts.append(took)
            left -= took
            if took == count:
                under_way.popleft()
            else:
                under_way[0] = (count - took, sent)
        if self.asking and fd not in self.unsent:
            self.ask(fd, answered, now)

    def complain(self, data: bytes, at: int) -> None:
        """Say which byte is not the one that had to come."""
        due = self.replies[at : at + len(data)]
        if len(due) < len(data):
            raise Failed(f"{len(data) - len(due)} bytes came that nobody had asked for")
        wrong = next(i for i, (a, b) in enumerate(zip(data, due, strict=True)) if a != b)
        raise Failed(f"byte {wrong} of a read of {len(data)} came back as {data[wrong]:#04x}, "
                     f"not {due[wrong]:#04x}")  # fmt: skip

    def lose(self, fd: int) -> None:
        """The server has ended this connection."""
        self.lost += 1
        self.unsent.pop(fd, None)
        self.epoll.unregister(fd)
        del self.under_way[fd]
        self.sockets.pop(fd).close()

    def run(self, seconds: float, done: int = 0) -> float:
        """Talk for so long, or until `done` clients have been served; return how long it took."""
        start = time.perf_counter()
        end = start + seconds
        while (now := time.perf_counter()) < end and self.sockets:
            for fd, event in self.epoll.poll(min(end - now, 0.1)):
                if event & select.EPOLLOUT and fd in self.unsent:
                    self.flush(fd)
                if event & ~select.EPOLLOUT:
                    self.hear(fd)
                    if done:
                        self.served.add(fd)
            if done and len(self.served) >= done:
                break
        return time.perf_counter() - start

    def drain(self) -> int:
        """Wait for what is still under way; return how many messages never came back."""
        self.asking = False
        before = -1
        while (left := self.count_under_way()) and left != before:
            before = left
            self.run(PATIENCE)
        return left

    def count_under_way(self) -> int:
        return sum(count for runs in self.under_way.values() for count, _ in runs)

    def close(self) -> None:
        self.epoll.close()
        for sock in self.sockets.values():
            sock.close()


def percentile(latencies: array[int], counts: array[int], part: float) -> float:
    """The latency, in seconds, that `part` of all messages did not exceed."""
    total, seen = sum(counts) * part, 0
    for latency, count in sorted(zip(latencies, counts, strict=True)):
        seen += count
        if seen >= total:
            return latency / 1e9
    return 0.0


def run(
    address: tuple[str, int], app: str, connections: int, in_flight: int, size: int, seconds: float
) -> Result:
    """Put a load on a server. Raises Failed when it cannot be, or when a byte comes back wrong."""
    dialogue = DIALOGUES[app](size, in_flight)
    clients = Clients(address, dialogue, connections, in_flight)
    try:
        clients.start()
        clients.run(WARM_UP, done=connections)
        del clients.latencies[:], clients.counts[:]
        before = usage().cpu
        took = clients.run(seconds)
        cpu = usage().cpu - before
        latencies, counts = clients.latencies[:], clients.counts[:]
        unanswered = clients.drain()
    finally:
        clients.close()
    return Result(
        connections=connections,
        served=len(clients.served),
        messages=sum(counts),
        seconds=took,
        p50=percentile(latencies, counts, 0.50),
        p99=percentile(latencies, counts, 0.99),
        longest=max(latencies, default=0) / 1e9,
        unanswered=unanswered,
        lost=clients.lost,
        cpu=cpu,
    )


def main(order: str) -> int:
    """Print the Result as a line of JSON, or {"failed": why}."""
    raise_soft_limit()
    wanted = json.loads(order)
    if cpu := wanted.pop("cpu", None):
        os.sched_setaffinity(0, {cpu})
    try:
        result = asdict(run(tuple(wanted.pop("address")), **wanted))
    except Failed as error:
        result = {"failed": str(error)}
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
        result = {"failed": "out of descriptors (RLIMIT_NOFILE)"}
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
