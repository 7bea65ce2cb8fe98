"""The users of a chat that is measured: a process of its own, with thousands of connections.

    python -m iomodels.measure.chat_clients '["127.0.0.1", 8000]'

Each line on stdin is an order, and is answered with a line of JSON:

    hold 10000        connect until there are so many, and be upgraded
    ping              ask each for a sign of life
    enter 200         so many give their names, and are in the room
    talk 2.0 10       for so many seconds, round after round: that many say something at once, and
                      a round lasts until each in the room has heard all of it

What is heard is compared, byte by byte: everybody must hear the same, in the same order, and it
must be what was said. At the end of stdin they leave with a reset, so that no port stays in
TIME_WAIT.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Sequence

from iomodels.kernel import RESET_ON_CLOSE
from iomodels.measure.child import say
from iomodels.measure.dialogues import UPGRADE
from iomodels.measure.limits import PER_ADDRESS, raise_soft_limit, source
from iomodels.websocket.frames import PING, PONG, TEXT, encode

WITHIN = 10.0  # seconds for one connection, and for what must come
TOGETHER = 64  # connections that are upgraded at the same time
SIZE = 64  # bytes of a text
MASK = b"mask"


class Failed(Exception):
    """What was due has not come; the text says what, in one line."""


class Crowd:
    """Connections, of which the first ones are in the room."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.users: list[socket.socket] = []
        self.room: list[socket.socket] = []
        self.said = 0  # rounds so far: no two texts are the same

    def hold(self, many: int) -> None:
        """Connect until there are so many."""
        while len(self.users) < many:
            numbers = range(len(self.users), min(many, len(self.users) + TOGETHER))
            newcomers = []
            try:
                for number in numbers:
                    newcomers.append(connect(self.address, number))
                for sock in newcomers:
                    sock.sendall(UPGRADE)
                for sock in newcomers:
                    answer = b""
                    while not answer.endswith(b"\r\n\r\n"):
                        answer += some(sock, "its upgrade")
                    if not answer.startswith(b"HTTP/1.1 101 "):
                        raise Failed(f"the upgrade was answered with {answer[:40]!r}")
                    self.users.append(sock)
            except (Failed, OSError) as error:
                for sock in newcomers:
                    if sock not in self.users[-TOGETHER:]:
                        sock.close()
                why = getattr(error, "strerror", None) or error
                raise Failed(f"user {len(self.users) + 1:,}: {why}") from None
            say(connected=len(self.users))

    def ping(self) -> int:
        """Ask each for a sign of life; how many answer."""
        due = encode(PONG, b"there?")
        for sock in self.users:
            sock.sendall(encode(PING, b"there?", MASK))
        return sum(exactly(sock, len(due), "a pong") == due for sock in self.users)

    def enter(self, many: int) -> None:
        """Let so many be in the room; each is announced to all who are in it."""
        for number in range(len(self.room), many):
            name = f"u{number:05}"
            self.users[number].sendall(encode(TEXT, name.encode(), MASK))
            self.room.append(self.users[number])
            due = encode(TEXT, f"* {name} has come".encode())
            for sock in self.room:
                if (heard := exactly(sock, len(due), f"`* {name} has come`")) != due:
                    raise Failed(f"`* {name} has come` was due, and {heard!r} has come")

    def talk(self, seconds: float, speakers: int) -> list[float]:
        """Talk for so long; how long each round took, in seconds."""
        rounds: list[float] = []
        until = time.perf_counter() + seconds
        while not rounds or time.perf_counter() < until:
            texts = [f"{self.said:08} {number:05}".ljust(SIZE, ".") for number in range(speakers)]
            self.said += 1
            frames = [encode(TEXT, text.encode(), MASK) for text in texts]
            due = [
                encode(TEXT, f"u{number:05}: {text}".encode()) for number, text in enumerate(texts)
            ]
            began = time.perf_counter()
            for sock, frame in zip(self.room, frames, strict=False):
                sock.sendall(frame)
            heard = [exactly(sock, len(due) * len(due[0]), "what was said") for sock in self.room]
            rounds.append(time.perf_counter() - began)
            check(heard, due)
        return rounds

    def leave(self) -> None:
        """End all connections with a reset."""
        for sock in self.users:
            sock.close()


def check(heard: Sequence[bytes], due: Sequence[bytes]) -> None:
    """Raise Failed unless all have heard the same, and that is what was said."""
    first, size = heard[0], len(due[0])
    if sorted(first[at : at + size] for at in range(0, len(first), size)) != sorted(due):
        raise Failed("what was heard is not what was said")
    if different := sum(one != first for one in heard):
        raise Failed(f"{different} of {len(heard)} users have heard it in another order")


def connect(address: tuple[str, int], number: int) -> socket.socket:
    """Connect one; past half a port range, from the next source address."""
    bound = (source(number), 0) if number >= PER_ADDRESS else None
    sock = socket.create_connection(address, WITHIN, bound)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def some(sock: socket.socket, due: str, size: int = 4096) -> bytes:
    """What comes next, a byte or more. Raises Failed."""
    try:
        data = sock.recv(size)
    except TimeoutError:
        raise Failed(f"{due} has not come within {WITHIN:g} s") from None
    except OSError as error:
        raise Failed(f"{error.strerror}, where {due} was due") from None
    if not data:
        raise Failed(f"the server has hung up, where {due} was due")
    return data


def exactly(sock: socket.socket, size: int, due: str) -> bytes:
    """So many bytes. Raises Failed."""
    data = some(sock, due, size)
    while len(data) < size:
        data += some(sock, due, size - len(data))
    return data


def main(address: str) -> None:
    """Do what stdin says."""
    host, port = json.loads(address)
    raise_soft_limit()
    crowd = Crowd((host, port))
    say(connected=0)
    for line in sys.stdin:
        order, *numbers = line.split()
        try:
            if order == "hold":
                crowd.hold(int(numbers[0]))
            elif order == "ping":
                say(alive=crowd.ping())
            elif order == "enter":
                crowd.enter(int(numbers[0]))
                say(room=len(crowd.room))
            elif order == "talk":
                say(rounds=crowd.talk(float(numbers[0]), int(numbers[1])))
        except (Failed, OSError) as error:
            say(failed=str(error), connected=len(crowd.users))
    crowd.leave()


if __name__ == "__main__":
    main(sys.argv[1])
