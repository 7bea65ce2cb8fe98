"""Some thousands of clients in one process, on bare descriptors.

Connecting over loopback is no waiting game: when connect(2) returns, it is done, for the kernel
handles SYN and SYN-ACK one after the other before it comes back, in the caller's own time. So
nothing here sleeps for one connection. The clients connect by the window, send each request at
once, and only then look for the answers of the window before: they are there by now. A server
answers in the order in which it was asked, so when the last one is ready, so are nearly all;
poll(2) is called once for a window and not once for each.

The window bounds what waits in the server's accept queue. When that overflows, the kernel drops
the SYN, and the client tries again a second later.

A client has no object. Its descriptor is 4 bytes in an array, and all that it says and hears is
the same for all, or made when it is needed.

Where it hurts: ports. The kernel looks for a free one of one parity first, and the search gets
long when those are used up: at half of the range, 30 µs become 900. Each source address has a
range of its own, and all of 127.0.0.0/8 is this machine: after so many connections, the next
address is bound.
"""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import time
from array import array
from collections.abc import Iterator, Sequence

from iomodels.measure.dialogues import UPGRADE
from iomodels.measure.limits import PER_ADDRESS, leave_from, source
from iomodels.measure.million.scores import CONNECTED, ECHOED, HEARD, LOST, STOP
from iomodels.websocket import BINARY, TEXT, encode
from iomodels.websocket.handshake import accept_key

PATIENCE = 10.0  # seconds for a window of answers
ROOM = 4096  # bytes that a read may bring: more than is due, so that too much is seen
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # in UPGRADE
WELCOME = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Accept: {accept_key(KEY)}\r\n\r\n"
).encode()

# What the machine may run out of; the clients that there are go on with what they have.
SHORT = {
    errno.EADDRNOTAVAIL: "no port is free",
    errno.EMFILE: "this process is out of descriptors",
    errno.ENFILE: "the machine is out of descriptors (fs.file-max)",
    errno.ENOBUFS: "the kernel has no memory for sockets",
    errno.ENOMEM: "the kernel has no memory for sockets",
}


class Failed(Exception):
    """It makes no sense to go on; the text says why, in one line."""


class Crowd:
    """The clients of one server."""

    def __init__(
        self, address: tuple[str, int], scores: memoryview, per_address: int, window: int
    ) -> None:
        """`per_address`: connections from one source address; `window`: requests under way."""
        self.address, self.scores = address, scores
        self.per_address, self.window = per_address, window
        self.fds = array("i")
        self.short = ""  # what ran out

    # --- connecting ---

    def connect(self, until: int) -> None:
        """Connect until there are so many, or the controller says stop, or something runs out."""
        before: Sequence[int] = ()
        while len(self.fds) < until and not self.short and not self.scores[STOP]:
            asked = array("i")
            for fd in self.requests(min(self.window, until - len(self.fds))):
                asked.append(fd)
            self.welcome(before)
            before = asked
        self.welcome(before)

    def requests(self, many: int) -> Iterator[int]:
        """Connect so many, send the upgrade request of each, and yield its descriptor."""
        nonblocking = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
        for _ in range(many):
            try:
                sock = socket.socket(socket.AF_INET, nonblocking)
                # Our ACK of the SYN-ACK may wait for the request, a moment later, and travel with
                # it: a packet fewer (man 7 tcp).
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
                block = len(self.fds) // self.per_address
                if block:
                    leave_from(sock, source(block * PER_ADDRESS))
                if (error := sock.connect_ex(self.address)) not in (0, errno.EINPROGRESS):
                    sock.close()
                    raise OSError(error, os.strerror(error))
            except OSError as error:
                if error.errno not in SHORT:
                    raise Failed(f"cannot connect: {error.strerror or error}") from None
                self.short = SHORT[error.errno]
                return
            fd = sock.detach()
            self.fds.append(fd)
            self.write(fd, UPGRADE)
            yield fd

    def welcome(self, fds: Sequence[int]) -> None:
        """Hear that these were upgraded."""
        right = self.hear(fds, WELCOME)
        self.scores[CONNECTED] += right
        if right < len(fds):
            raise Failed(
                f"{len(fds) - right:,} of {len(fds):,} requests had no answer, or a wrong one"
            )

    # --- a message to everyone, and echoes ---

    def message(self, text: str) -> None:
        """Say something that all must hear, and count those that do."""
        if not self.fds:
            return
        self.write(self.fds[0], encode(TEXT, text.encode(), os.urandom(4)))
        frame = encode(TEXT, text.encode())
        for at in range(0, len(self.fds), self.window):
            fds = self.fds[at : at + self.window]
            right = self.hear(fds, frame)
            self.scores[HEARD] += right
            self.scores[LOST] += len(fds) - right

    def echo(self, sample: int) -> None:
        """Let so many clients, spread over all, send random bytes and hear the same."""
        many = min(sample, len(self.fds))
        for number in range(many):
            fd = self.fds[number * len(self.fds) // many]
            payload = os.urandom(64)
            self.write(fd, encode(BINARY, payload, os.urandom(4)))
            self.scores[ECHOED] += self.hear([fd], encode(BINARY, payload))

    # --- bytes ---

    def write(self, fd: int, data: bytes) -> None:
        """Send a few bytes, for which there is room unless the connection is not yet there."""
        try:
            try:
                sent = os.write(fd, data)
            except BlockingIOError:  # the SYN was dropped
                wait(fd, select.POLLOUT, PATIENCE)
                sent = os.write(fd, data)
        except OSError as error:
            raise Failed(f"cannot send: {error.strerror}") from None
        if sent < len(data):
            raise Failed("cannot send: there is no room for a few bytes")

    def hear(self, fds: Sequence[int], due: bytes) -> int:
        """Read from each of these; return how many brought what was due, and nothing else."""
        if not fds:
            return 0
        end = time.monotonic() + PATIENCE
        wait(fds[-1], select.POLLIN, PATIENCE)
        read, right = os.read, 0
        for fd in fds:
            try:
                heard = read(fd, ROOM)
            except BlockingIOError:
                heard = b""
            except OSError:  # ECONNRESET
                continue
            right += heard == due or heard_in_pieces(fd, heard, due, end)
        return right


def heard_in_pieces(fd: int, heard: bytes, due: bytes, end: float) -> bool:
    """Go on to read what has not come in one piece; tell whether it becomes what is due."""
    while len(heard) < len(due) and due.startswith(heard):
        if not wait(fd, select.POLLIN, max(0.0, end - time.monotonic())):
            return False
        try:
            more = os.read(fd, ROOM)
        except OSError:
            return False
        if not more:
            return False
        heard += more
    return heard == due


def wait(fd: int, event: int, seconds: float) -> bool:
    """Sleep until one descriptor is ready; tell whether it is."""
    poll = select.poll()
    poll.register(fd, event)
    return bool(poll.poll(seconds * 1000))


def follow(orders: socket.socket, crowd: Crowd) -> None:
    """What a client process runs: one order a line, [name, argument], and a line for each done."""
    with orders.makefile("r") as lines:
        for line in lines:
            name, argument = json.loads(line)
            try:
                getattr(crowd, name)(argument)
                answer = {"short": crowd.short}
            except Failed as why:
                answer = {"failed": str(why)}
            orders.sendall(json.dumps(answer).encode() + b"\n")
