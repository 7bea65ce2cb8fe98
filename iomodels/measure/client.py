"""The clients of a load, all in one process, which talk, listen, and check what they hear.

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

import errno
import json
import os
import select
import socket
import sys
from dataclasses import asdict
from typing import Any

from iomodels.kernel import RESET_ON_CLOSE
from iomodels.measure import calls, loop
from iomodels.measure.dialogues import DIALOGUES, Dialogue
from iomodels.measure.limits import PER_ADDRESS, raise_soft_limit, source
from iomodels.measure.load import Result
from iomodels.measure.usage import usage

CONNECTS_WITHIN = 5.0  # seconds for one connection
WARM_UP = 0.5  # seconds at most
PATIENCE = 0.5  # seconds without any reply after which the rest is given up


class Failed(Exception):
    """The load makes no sense any more; the text says why, in one line."""


class Clients:
    """`connections` clients of one server. The arrays are those of `loop.talk`."""

    def __init__(
        self, address: tuple[str, int], dialogue: Dialogue, connections: int, in_flight: int
    ) -> None:
        self.dialogue, self.in_flight = dialogue, in_flight
        self.request = len(dialogue.requests) // dialogue.messages
        self.reply = len(dialogue.replies) // dialogue.messages
        # What may be sent or come at once, from any place of the ring, lies in one piece.
        ahead = in_flight + 1
        self.requests = dialogue.requests + dialogue.requests[: ahead * self.request]
        self.replies = dialogue.replies + dialogue.replies[: ahead * self.reply]
        self.epoll = select.epoll()
        self.sockets: list[socket.socket] = []
        try:
            for number in range(connections):
                self.connect(address, number)
            size = max(sock.fileno() for sock in self.sockets) + 1
            names = "place unsent blocked heard oldest under_way served".split()
            self.by_fd = {name: calls.integers(size) for name in names}
            self.times = calls.integers(size * in_flight)
            self.histogram = calls.integers(loop.BUCKETS)
            self.tally = calls.integers(loop.TALLY)
            self.buffer, self.events = calls.room_for_bytes(), calls.room_for_events()
        except BaseException:
            self.close()
            raise

    def connect(self, address: tuple[str, int], number: int) -> None:
        """Connect one client and say its hello."""
        bound = (source(number), 0) if number >= PER_ADDRESS else None
        try:
            sock = socket.create_connection(address, CONNECTS_WITHIN, bound)
        except OSError as error:
            if error.errno == errno.EMFILE:
                raise Failed("out of descriptors (RLIMIT_NOFILE): ask for fewer clients") from None
            reason = error.strerror or str(error)
            raise Failed(f"cannot connect to {address[0]}:{address[1]}: {reason}") from None
        self.sockets.append(sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        if self.dialogue.hello:
            self.greet(sock)
        sock.setblocking(False)
        self.epoll.register(sock, select.EPOLLIN)

    def greet(self, sock: socket.socket) -> None:
        """Say hello and hear the welcome, to its last byte and no further."""
        try:
            sock.sendall(self.dialogue.hello)
            heard = b""
            while not heard.endswith(b"\r\n\r\n") and (more := sock.recv(1)):
                heard += more
        except OSError as error:
            raise Failed(f"no answer to the hello: {error.strerror or error}") from None
        if not heard.startswith(self.dialogue.welcome):
            raise Failed(f"the hello was answered with {heard[:60]!r}")

    def start(self) -> None:
        """Send the first messages of everyone, each from a place of its own in the ring."""
        ring = len(self.dialogue.requests)
        each = self.by_fd
        handle = calls.handle_of(self.epoll)
        requests = calls.bytes_of(self.requests)
        for number, sock in enumerate(self.sockets):
            fd, message = sock.fileno(), number % self.dialogue.messages
            each["place"][fd] = message * self.request
            each["heard"][fd] = message * self.reply
            loop.ask(
                fd, self.in_flight, calls.now(), each["place"], each["unsent"], each["oldest"],
                each["under_way"], self.times, self.in_flight, self.request, ring,
            )  # fmt: skip
            loop.flush(handle, fd, each["place"], each["unsent"], each["blocked"], requests, ring)
        self.tally[loop.OPEN] = len(self.sockets)

    def talk(self, seconds: float, *, enough: int = 0, asking: bool = True) -> float:
        """Talk for so long, or until `enough` clients were served; return how long it took.

        Raises Failed when a byte came back that should not have.
        """
        started = calls.now()
        loop.talk(
            calls.handle_of(self.epoll),
            times=self.times, histogram=self.histogram, tally=self.tally,
            requests=calls.bytes_of(self.requests), replies=calls.bytes_of(self.replies),
            request_ring=len(self.dialogue.requests), reply_ring=len(self.dialogue.replies),
            request=self.request, reply=self.reply, in_flight=self.in_flight,
            buffer=self.buffer, events=self.events,
            until=started + int(seconds * 1e9), enough=enough, asking=asking, **self.by_fd,
        )  # fmt: skip
        if self.tally[loop.WRONG]:
            self.complain(int(self.tally[loop.WRONG]), int(self.tally[loop.WRONG_AT]))
        return float(calls.now() - started) / 1e9

    def complain(self, size: int, at: int) -> None:
        """Say which byte is not the one that had to come."""
        came = bytes(self.buffer[0] if isinstance(self.buffer, list) else self.buffer)[:size]
        due = self.replies[at : at + size]
        for i, (byte, right) in enumerate(zip(came, due, strict=False)):
            if byte != right:
                raise Failed(
                    f"wrong byte: number {i} of a read of {size} is {byte:#04x}, not {right:#04x}"
                )
        raise Failed(f"a read of {size} bytes holds more than was asked for")

    def drain(self) -> int:
        """Wait for what is still under way; return how many messages never came back."""
        before = -1
        while (left := int(sum(self.by_fd["under_way"]))) and left != before:
            before = left
            self.talk(PATIENCE, asking=False)
        return left

    def forget(self) -> None:
        """Begin to count and time anew."""
        for bucket in range(loop.BUCKETS):
            self.histogram[bucket] = 0
        self.tally[loop.LONGEST] = 0

    def percentile(self, part: float) -> float:
        """The latency, in seconds, that `part` of the messages did not exceed."""
        enough, seen = sum(self.histogram) * part, 0
        for bucket, count in enumerate(self.histogram):
            seen += count
            if count and seen >= enough:
                return float(2 ** ((bucket + 0.5) / loop.PER_OCTAVE) / 1e9)
        return 0.0

    def close(self) -> None:
        self.epoll.close()
        for sock in self.sockets:
            sock.close()


def run(
    address: tuple[str, int], app: str, connections: int, in_flight: int, size: int, seconds: float
) -> Result:
    """Put a load on a server. Raises Failed when it cannot be, or when a byte comes back wrong."""
    clients = Clients(address, DIALOGUES[app](size, in_flight), connections, in_flight)
    tally = clients.tally
    try:
        clients.start()
        clients.talk(WARM_UP, enough=connections)
        clients.forget()
        before, cpu = int(tally[loop.MESSAGES]), usage().cpu
        took = clients.talk(seconds)
        messages, cpu = int(tally[loop.MESSAGES]) - before, usage().cpu - cpu
        p50, p99, longest = clients.percentile(0.5), clients.percentile(0.99), tally[loop.LONGEST]
        unanswered = clients.drain()
    finally:
        clients.close()
    return Result(
        connections=connections,
        served=int(tally[loop.SERVED]),
        messages=messages,
        seconds=took,
        p50=p50,
        p99=p99,
        longest=int(longest) / 1e9,
        total=int(tally[loop.MESSAGES]),
        unanswered=unanswered,
        lost=int(tally[loop.LOST]),
        cpu=cpu,
        compiled=calls.COMPILED,
    )


def main(order: str) -> None:
    """Print the Result as a line of JSON, or {"failed": why}."""
    raise_soft_limit()
    wanted: dict[str, Any] = json.loads(order)
    cpu = wanted.pop("cpu")
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    try:
        result = asdict(run(tuple(wanted.pop("address")), **wanted))
    except Failed as error:
        result = {"failed": str(error)}
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
