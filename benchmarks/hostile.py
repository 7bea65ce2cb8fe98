"""Bad clients, and what the good ones notice of them.

    slow     a thousand that send a byte of their request each second. The hundred honest ones talk
             in rounds, in turn with the slow ones there and without: the ratio of their p99. And
             how long after its deadline each slow one was gone.
    burst    ten thousand that connect at once, to a queue of 1,024
    churn    five thousand at a time, each killed at a random moment of its life and followed by the
             next, for a minute. What the server holds afterwards, against what it held after a
             first round, which grows its arrays; and what the honest ones have lost.

The honest ones are the load of `iomodels load`, in a process of its own: every byte is compared.
"""

from __future__ import annotations

import errno
import heapq
import os
import random
import select
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from iomodels import servers
from iomodels.apps.websocket import echo
from iomodels.kernel import RESET_ON_CLOSE, borrowed, live
from iomodels.measure.child import run
from iomodels.measure.dialogues import UPGRADE, websocket
from iomodels.measure.footprint import footprint
from iomodels.measure.limits import leave_from, raise_soft_limit, sized, source
from iomodels.measure.load import Report, load
from iomodels.measure.progress import progress
from iomodels.measure.serving import child, serving
from iomodels.servers.listening import BACKLOG
from iomodels.websocket import Timeouts

HONEST = 100
SLOW, HEADER_TIMEOUT, ROUNDS = 1000, 5.0, 5
BURST, QUEUE = 10_000, 1024
CHURN, SECONDS, WARM_UP = 5_000, 60.0, 15.0
GROWTH = 256  # KiB: what a second round may add, by where malloc happens to put things

TALK = websocket(64, 1)
MESSAGES = TALK.requests[:2000]
REPLY = TALK.replies[: len(TALK.replies) // TALK.messages]
FIRST = TALK.requests[: len(TALK.requests) // TALK.messages]
Address = tuple[str, int]


@contextmanager
def epoll_server(read_header: float, queue: int) -> Iterator[tuple[Address, int]]:
    """Run `serve` in a child; yield its address and its pid."""
    with child("benchmarks.hostile", [str(read_header), str(queue)]) as server:
        host, port = server.said["address"][:2]
        yield (host, port), server.process.pid


def honest(address: Address, seconds: float, connections: int = HONEST) -> Report:
    return load(address, app="websocket", connections=connections, seconds=seconds)


# --- the slow ones ---


class SlowOnes(threading.Thread):
    """Clients that send a byte of their request each second, until all are gone."""

    def __init__(self, address: Address, count: int) -> None:
        super().__init__(daemon=True)
        self.lived: list[float] = []  # seconds from connecting to the end, of each that is gone
        self.socks: dict[int, socket.socket] = {}
        self.begun: dict[int, float] = {}  # by fd
        self.sent: dict[int, int] = {}  # by fd: bytes
        self.ended = select.epoll()
        for _ in range(count):
            sock = socket.create_connection(address, 10)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self.socks[sock.fileno()] = sock
            self.begun[sock.fileno()] = time.monotonic()
            self.sent[sock.fileno()] = 0
            self.ended.register(sock, select.EPOLLIN)

    def run(self) -> None:
        """Spread the bytes over the second, so that they come one by one."""
        turn = 0
        while self.socks:
            for fd, _ in self.ended.poll(0.01):
                self.lived.append(time.monotonic() - self.begun[fd])
                self.socks.pop(fd).close()
            for fd in [*self.socks][turn % 100 :: 100]:
                with suppress(OSError):  # it is gone, and the next poll tells
                    self.socks[fd].send(UPGRADE[self.sent[fd] :][:1])
                    self.sent[fd] += 1
            turn += 1
        self.ended.close()


def slow(rounds: int = ROUNDS, count: int = SLOW) -> dict[str, float]:
    """Honest p99 with and without the slow ones, in turn, and how late those are gone."""
    alone, beside, late, lost = [], [], list[float](), 0
    with epoll_server(HEADER_TIMEOUT, BACKLOG) as (address, _), progress("Slow clients") as step:
        for number in range(rounds):
            step(number / rounds, f"round {number + 1}")
            report = honest(address, 2)
            alone.append(report.p99)
            lost += report.unanswered + report.lost
            bad = SlowOnes(address, sized(count).connections)
            bad.start()
            report = honest(address, 2)
            assert len(bad.lived) == 0, "the slow ones were gone before the honest ones had ended"
            beside.append(report.p99)
            lost += report.unanswered + report.lost
            bad.join(4 * HEADER_TIMEOUT)
            assert not bad.socks, f"{len(bad.socks)} slow clients are still connected"
            late += [lived - HEADER_TIMEOUT for lived in bad.lived]
    return {
        "alone": median(alone), "beside": median(beside), "ratio": median(beside) / median(alone),
        "soonest": min(late), "latest": max(late), "gone": len(late), "lost": lost,
    }  # fmt: skip


# --- the burst ---


def burst(address: Address, count: int, within: float = 60.0) -> Counter[str]:
    """Connect so many clients at once, echo a message with each; count what became of them.

    "served", "refused" by the kernel, or "waiting" when the time was over.
    """
    became: Counter[str] = Counter()
    socks: dict[int, socket.socket] = {}
    heard: dict[int, bytes] = {}
    end = time.monotonic() + within
    with select.epoll() as epoll:
        for number in range(count):
            sock = connecting(address, number)
            socks[sock.fileno()] = sock
            heard[sock.fileno()] = b""
            epoll.register(sock, select.EPOLLOUT)
        while socks and time.monotonic() < end:
            for fd, event in epoll.poll(0.1):
                try:
                    if event & select.EPOLLOUT and not event & select.EPOLLERR:
                        socks[fd].send(UPGRADE + FIRST)
                        epoll.modify(fd, select.EPOLLIN)
                        continue
                    heard[fd] += (data := socks[fd].recv(1000))
                except OSError:
                    data = b""
                if done := heard[fd].endswith(REPLY) and heard[fd].startswith(TALK.welcome):
                    became["served"] += 1
                elif not data:
                    became["refused"] += 1
                if done or not data:
                    socks.pop(fd).close()
    if socks:
        became["waiting"] = len(socks)
    for sock in socks.values():
        sock.close()
    return became


def connecting(address: Address, number: int) -> socket.socket:
    """A socket that connects meanwhile, from the source address with this number."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    leave_from(sock, source(number))
    if (error := sock.connect_ex(address)) not in (0, errno.EINPROGRESS):
        sock.close()
        raise OSError(error, os.strerror(error))
    return sock


PORTS = 8  # source addresses, as a multiple of what `source` puts on one


# --- the churn ---


@dataclass
class Life:
    """What one client says, how it is cut, whether it listens, and how it ends."""

    sock: socket.socket
    pieces: list[bytes]
    pace: float  # seconds between two pieces
    reads: bool
    by_reset: bool
    dies: float


@dataclass
class Crowd:
    """So many clients at a time; each that has died is followed by the next."""

    address: Address
    count: int
    seed: int = 1
    born: int = 0
    early: int = 0  # those that the server ended
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.agenda: list[tuple[float, int, Life]] = []

    def bear(self, now: float) -> None:
        """Begin a life: up to two seconds, of which any moment may be the last."""
        sock = connecting(self.address, self.born * PORTS)
        chance, born = self.chance, self.born
        self.born += 1
        said = UPGRADE + MESSAGES[: chance.randrange(len(MESSAGES))]
        pieces = chance.choice((1, 3, 10))
        cuts = sorted(chance.sample(range(1, len(said)), pieces - 1))
        life = Life(
            sock, [said[a:b] for a, b in zip([0, *cuts], [*cuts, len(said)], strict=True)][::-1],
            pace=chance.uniform(0.01, 0.3), reads=chance.random() < 0.7,
            by_reset=chance.random() < 0.8, dies=now + chance.uniform(0, 2),
        )  # fmt: skip
        heapq.heappush(self.agenda, (now + life.pace, born, life))

    def go_on(self, now: float, number: int, life: Life) -> bool:
        """Say the next piece; return False when it is dead."""
        if now < life.dies:
            try:
                if life.pieces:
                    life.sock.send(life.pieces[-1])  # a short one: it fits
                    life.pieces.pop()
                if life.reads:
                    life.sock.recv(65536)
            except BlockingIOError:
                pass  # not connected yet, or nothing to read
            except OSError:
                self.early += 1
                life.dies = now
        if now < life.dies:
            heapq.heappush(self.agenda, (min(now + life.pace, life.dies), number, life))
            return True
        self.end(life)
        return False

    def end(self, life: Life) -> None:
        if not life.by_reset:
            life.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
        life.sock.close()

    def live(self, seconds: float) -> None:
        """Keep `count` clients alive for so long, then end them all."""
        begun = now = time.monotonic()
        try:
            while now < begun + seconds:
                while len(self.agenda) < self.count * min(1, (now - begun) / 0.5):
                    self.bear(now)  # half a second for the first ones to come
                while self.agenda and self.agenda[0][0] <= now:
                    self.go_on(now, *heapq.heappop(self.agenda)[1:])
                time.sleep(0.001)
                now = time.monotonic()
        finally:
            for _, _, life in self.agenda:
                self.end(life)
            self.agenda.clear()


@dataclass(frozen=True)
class Churned:
    """What was held before and after, and what the honest ones saw."""

    lives: int
    fds: tuple[int, int]
    bytes: tuple[int, int]
    honest_messages: int
    honest_lost: int


def churn(
    address: Address, pid: int, count: int, seconds: float, warm_up: float, connections: int
) -> Churned:
    """Let clients come and die in the presence of honest ones, twice; compare the ends."""
    Crowd(address, count, seed=1).live(warm_up)
    before = held(pid)
    crowd = Crowd(address, count, seed=2)
    reports: list[Report] = []
    talk = threading.Thread(
        target=lambda: reports.append(honest(address, seconds + 2, connections))
    )
    talk.start()
    crowd.live(seconds)
    talk.join()
    after = held(pid)
    return Churned(
        crowd.born, (before[0], after[0]), (before[1], after[1]),
        reports[0].total, reports[0].unanswered + reports[0].lost,
    )  # fmt: skip


def held(pid: int) -> tuple[int, int]:
    """The fds and the bytes of user memory of a server, once its last client has left."""
    count, last = open_fds(pid), -1
    while count != last:  # all are gone when for a quarter of a second none has left
        time.sleep(0.25)
        count, last = open_fds(pid), count
    return count, footprint(pid).user


def open_fds(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def hostile() -> dict[str, dict[str, Any]]:
    """All three, on the epoll server."""
    raise_soft_limit()
    found: dict[str, dict[str, Any]] = {"slow": slow()}
    with epoll_server(10, QUEUE) as (address, pid):
        burst(address, 1)  # what a server opens with its first client is open
        before, began = held(pid)[0], time.monotonic()
        became = burst(address, sized(BURST).connections)
        took = time.monotonic() - began
        counts = {what: became[what] for what in ("served", "refused", "waiting")}
        found["burst"] = {**counts, "seconds": took, "left": held(pid)[0] - before}
    with serving("epoll", "websocket") as server, progress("Churn") as step:
        step(0.0, f"{CHURN:,} at a time")
        count = sized(CHURN).connections
        found["churn"] = asdict(churn(server.address, server.pid, count, SECONDS, WARM_UP, HONEST))
    return found


def serve(listener: int, read_header: float, queue: int) -> None:
    """An epoll server that gives a client so long for its request, and so many may wait."""
    sock = borrowed(listener)
    sock.listen(queue)  # on a socket that listens it changes the length of the queue
    sock.detach()
    servers.server("epoll")(listener, echo(Timeouts(read_header=read_header)), live)


if __name__ == "__main__":
    run(lambda listener: serve(listener, float(sys.argv[1]), int(sys.argv[2])))
