"""A faulty server in a child, and a crowd of clients that check every byte."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import random
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from iomodels.servers import MODELS
from iomodels.servers.listening import BACKLOG

WITHIN = 60.0  # seconds for a whole crowd: a test that takes longer hangs
MULTIPLEXING = [name for name in MODELS if name not in ("blocking", "threads", "processes")]


class Child:
    """The process of a server. It is not ours but the nursery's, which tells how it has ended."""

    def __init__(self, order: dict[str, Any], resets: int) -> None:
        self.stdout, write_end = os.pipe()
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115  closed by close()
        fds = [write_end, self.stderr.fileno(), resets]
        self.pid = nursery(json.dumps(order), fds)
        os.close(write_end)
        self.handle = os.pidfd_open(self.pid)  # until somebody asks how it has ended, it is there
        self.status: int | None = None

    def send_signal(self, number: int) -> None:
        signal.pidfd_send_signal(self.handle, number)

    def said(self, until: bytes = b"", within: float = WITHIN) -> bytes:
        """Its stdout, to the end or until it ends so. Raises TimeoutError."""
        said, ready = b"", select.poll()
        ready.register(self.stdout, select.POLLIN)
        while not (until and said.endswith(until)):
            if not ready.poll(within * 1000):
                raise TimeoutError(f"process {self.pid}, or a child of it, still runs")
            data = os.read(self.stdout, 65536)
            if not data:
                break
            said += data
        return said

    def wait(self) -> int:
        """How it has ended, once it has: its status, or the negative number of a signal."""
        if self.status is None:
            self.status = nursery(str(self.pid))
        return self.status

    def log(self) -> str:
        """Its stderr, when it has ended."""
        self.stderr.seek(0)
        return self.stderr.read().decode()

    def close(self) -> None:
        if self.status is None:
            self.send_signal(signal.SIGKILL)
            self.wait()
        os.close(self.handle)
        os.close(self.stdout)
        self.stderr.close()


ONE_ORDER_AT_A_TIME = threading.Lock()


def nursery(order: str, fds: Iterable[int] = ()) -> int:
    """Send an order to the process that has the servers for children (child.py)."""
    with ONE_ORDER_AT_A_TIME:
        channel = channel_to_nursery()
        socket.send_fds(channel, [order.encode()], list(fds))
        return int(channel.recv(100))


@functools.cache
def channel_to_nursery() -> socket.socket:
    """Start the nursery. It ends when this process does, and the channel with it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "tests.servers.child", str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], start_new_session=True)
    theirs.close()

    @atexit.register
    def end() -> None:
        ours.close()
        process.wait()

    return ours


@dataclass
class Running:
    """A server in a child: where it listens, whom it has reset, and its last words."""

    process: Child
    address: tuple[str, int]
    resets: int  # the end of a pipe from which to read the ports
    left: list[str] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)
    accepts: int = 0
    log: str = ""

    @property
    def pid(self) -> int:
        return self.process.pid

    def reset_ports(self) -> set[int]:
        """The ports of the clients that were reset since the last call."""
        os.set_blocking(self.resets, False)
        told = b""
        with contextlib.suppress(BlockingIOError):
            while more := os.read(self.resets, 4096):
                told += more
        return {int.from_bytes(told[i : i + 2], "big") for i in range(0, len(told), 2)}

    def stop(self, with_signal: int = signal.SIGTERM) -> None:
        """Ask it to end, and check that it does so cleanly: status 0, no fd and no thread left."""
        if self.process.status is not None:
            return  # it was stopped, and checked, before
        self.process.send_signal(with_signal)
        said = self.process.said(within=20)
        status, self.log = self.process.wait(), self.process.log()
        assert status == 0, self.log
        assert "Traceback" not in self.log, self.log
        for name, value in json.loads(said).items():
            setattr(self, name, value)
        assert self.left == []
        assert self.threads == []


@contextlib.contextmanager
def running(
    model: str,
    faults: dict[str, Any] | None = None,
    *,
    seed: int = 0,
    limit: int = 0,
    app: str = "echo",
    timeouts: dict[str, float] | None = None,
    backlog: int = BACKLOG,
    send_buffer: int = 0,
) -> Iterator[Running]:
    """Run a server until the block ends; `limit` caps its descriptors. Its end is checked too.

    With `timeouts`, it serves a WebSocket echo that has these. The app "unruly" is in unruly.py.
    `send_buffer` is the size of its sockets' send buffers, else the kernel's to choose.
    """
    order = {
        "model": model, "faults": faults or {}, "seed": seed, "limit": limit, "app_name": app,
        "timeouts": timeouts or {}, "backlog": backlog, "send_buffer": send_buffer,
    }  # fmt: skip
    resets, write_end = os.pipe()
    process = Child(order, write_end)
    os.close(write_end)
    try:
        line = process.said(until=b"\n")
        assert line, process.log()
        server = Running(process, tuple(json.loads(line)[:2]), resets)
        yield server
        server.stop()
    finally:
        process.close()
        os.close(resets)


# --- the crowd ---


@dataclass
class Client:
    """Says `said` in random pieces: the next one when the echo of all before it has come.

    Now and then, as its `haste` goes, it does not wait for that.
    """

    sock: socket.socket
    said: bytes
    cuts: list[int]
    chance: random.Random
    haste: float
    heard: bytearray = field(default_factory=bytearray)
    sent: int = 0
    gone: bool = False

    @property
    def done(self) -> bool:
        return self.gone or len(self.heard) >= len(self.said)

    def may_speak(self) -> bool:
        if self.sent == len(self.said):
            return False
        return len(self.heard) == self.sent or self.chance.random() < self.haste

    def speak(self) -> None:
        stop = next((cut for cut in self.cuts if cut > self.sent), len(self.said))
        try:
            self.sent += self.sock.send(self.said[self.sent : stop])
        except BlockingIOError:
            pass
        except OSError:
            self.gone = True

    def listen(self) -> None:
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.heard += data
        self.gone = self.gone or not data


def connect_knowing_the_port(
    address: tuple[str, int], known: Container[int]
) -> tuple[socket.socket, int, bool]:
    """Connect; return the socket, its port, and False when it was reset before connect returned.

    The port is none of the `known` ones: the kernel gives out that of a client which was reset
    again, and then nobody could tell which of the two it was. The address is one of many that lead
    here: of 127.0.0.1 the tests before have left nearly every port in TIME_WAIT, and bind(2) would
    look through them all for one that is free.
    """
    while True:
        sock = socket.socket()
        source = f"127.{random.randrange(1, 255)}.{random.randrange(256)}.1"
        sock.bind((source, 0))  # so the port is known, whatever becomes of it
        port: int = sock.getsockname()[1]
        if port not in known:
            break
        sock.close()
    sock.settimeout(10)
    try:
        sock.connect(address)
    except ConnectionResetError:
        return sock, port, False
    return sock, port, True


def crowd(
    address: tuple[str, int],
    seed: int,
    *,
    clients: int = 100,
    pieces: int = 30,
    haste: float = 0.2,
) -> dict[int, Client]:
    """Let a hundred clients talk at once; return them by port when all are done or gone."""
    chance = random.Random(seed)
    everybody: dict[int, Client] = {}
    with selectors.DefaultSelector() as selector:
        for number in range(clients):
            sock, port, is_in = connect_knowing_the_port(address, everybody)
            cuts = sorted(chance.sample(range(1, 600), pieces - 1))
            client = Client(sock, chance.randbytes(600), cuts, random.Random(number), haste)
            everybody[port] = client
            if not is_in:
                client.gone = True
                sock.close()
                continue
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(sock, selectors.EVENT_READ, client)
        deadline = time.monotonic() + WITHIN
        waiting = {id(client) for client in everybody.values() if not client.gone}
        while waiting:
            assert time.monotonic() < deadline, stuck(everybody)
            for client in everybody.values():
                if not client.done and client.may_speak():
                    client.speak()
            for key, _ in selector.select(0.01):
                client = key.data
                client.listen()
                if client.done:
                    selector.unregister(client.sock)
                    client.sock.close()
                    waiting.discard(id(client))
            for client in everybody.values():
                if client.gone and id(client) in waiting:  # noticed while speaking
                    selector.unregister(client.sock)
                    client.sock.close()
                    waiting.discard(id(client))
    return everybody


def stuck(everybody: dict[int, Client]) -> str:
    rest = [c for c in everybody.values() if not c.done]
    return (
        f"{len(rest)} clients wait; the first has sent {rest[0].sent}, heard {len(rest[0].heard)}"
    )


def connect(server: Running, timeout: float = 10.0) -> socket.socket:
    return socket.create_connection(server.address, timeout)


def receive(sock: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes, or what came before the end."""
    data = b""
    while len(data) < size and (more := sock.recv(size - len(data))):
        data += more
    return data


def echoes(sock: socket.socket, data: bytes) -> bool:
    """Send, and tell whether the same comes back."""
    sock.sendall(data)
    return receive(sock, len(data)) == data


def descriptors(pid: int) -> int:
    """How many fds a process and its children have open; those of one that has ended are none."""
    count = 0
    with contextlib.suppress(OSError):
        count = len(os.listdir(f"/proc/{pid}/fd"))
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as children:
                count += sum(descriptors(int(child)) for child in children.read().split())
    return count


def settled(pid: int) -> int:
    """How many fds a process and its children have open, once that has stayed the same a while."""
    counts = [descriptors(pid)]
    while len(counts) < 6 or len({*counts[-6:]}) > 1:
        time.sleep(0.05)
        counts.append(descriptors(pid))
    return counts[-1]


def comes_back_to(pid: int, count: int, within: float = 10.0) -> bool:
    """Wait until a process has no more fds open than `count`; False when that does not happen."""
    end = time.monotonic() + within
    while descriptors(pid) > count:
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
