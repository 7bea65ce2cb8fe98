"""What only the io_uring server does: orders instead of reads and writes, and a pool of buffers."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import psutil
import pytest

from iomodels.apps import CLOSE, NOTHING, Answer, App, Buffer, app
from iomodels.apps.echo import Echo
from iomodels.kernel import Kernel, live
from iomodels.kernel.faulty import Faults, FaultyKernel
from iomodels.kernel.recording import RecordingKernel
from iomodels.kernel.uring import Completion, Ring, available
from iomodels.measure.comparison import compare
from iomodels.servers import completions
from iomodels.servers.io_uring import serve
from iomodels.servers.listening import listen
from tests.servers.harness import connect, crowd, echoes, receive, running
from tests.servers.test_clients import PATTERN, anonymous_memory, send_until_stuck
from tests.servers.test_matrix import FAULTS

if available():
    pytest.skip(available(), allow_module_level=True)

MIB = 1 << 20
WITHIN = 10.0  # seconds


@dataclass
class Connected:
    """Call it for one more client of a server; all are closed with it."""

    address: tuple[str, int]
    clients: contextlib.ExitStack

    def __call__(self) -> socket.socket:
        return self.clients.enter_context(socket.create_connection(self.address, WITHIN))


@contextlib.contextmanager
def serving(app: App, kernel: Kernel = live) -> Iterator[Connected]:
    """Serve in a thread of this process; yields what connects."""
    with listen() as listener, contextlib.ExitStack() as clients:
        thread = threading.Thread(target=serve, args=(listener.fileno(), app, kernel))
        thread.start()
        try:
            yield Connected(listener.getsockname(), clients)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(WITHIN)
            assert not thread.is_alive()


# --- system calls ---


def test_it_makes_a_fraction_of_the_system_calls_that_epoll_makes() -> None:
    epoll, ring = compare(["epoll", "io_uring"], connections=50, seconds=0.5)
    if epoll.syscalls is None or ring.syscalls is None:
        pytest.skip("system calls cannot be counted here")
    assert epoll.syscalls > 2, "a read and a write for each message, and the waiting"
    assert ring.syscalls < epoll.syscalls / 4


def test_with_no_room_it_does_not_spin() -> None:
    """Accepting is ordered again after each PAUSE, 20 times a second, and no more often."""
    kernel = FaultyKernel(Faults(no_room=1))
    orders = []
    make = kernel.io_uring

    def counting(entries: int):
        ring = make(entries)
        accept = ring.accept
        ring.accept = lambda *request: (orders.append(request), accept(*request))
        return ring

    kernel.io_uring = counting
    started = time.monotonic()
    with serving(Echo(), kernel) as connected:
        connected()
        time.sleep(0.5)
        kernel.faults = Faults()
        assert echoes(connected(), b"hello"), "and then it goes on"
        waited = time.monotonic() - started
    assert 2 < len(orders) < 5 + waited * 25


# --- the pool of buffers ---


@pytest.mark.parametrize("buffers", [1, 3, completions.BUFFERS])
def test_more_clients_than_buffers_are_all_served(
    buffers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All speak, and none goes on before all are answered: a client that is lost stops them all."""
    monkeypatch.setattr(completions, "BUFFERS", buffers)
    with serving(Echo()) as connected:
        clients = [connected() for _ in range(3 * buffers + 20)]
        for number in range(10):
            for client in clients:
                client.sendall(b"%09d" % number)
            for client in clients:
                assert receive(client, 9) == b"%09d" % number


def test_more_clients_who_do_not_read_than_buffers_hold_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(completions, "BUFFERS", 3)
    with serving(Echo()) as connected:
        deaf = [connected() for _ in range(5)]
        sent = [send_until_stuck(sock) for sock in deaf]
        other = connected()
        for number in range(20):
            assert echoes(other, b"%d" % number)
        for sock, size in zip(deaf, sent, strict=True):
            sock.settimeout(WITHIN)
            assert receive(sock, size) == PATTERN[:size]
            assert echoes(sock, b"and on")


class Listening(Echo):
    """Takes down who has been heard, in order, once it may begin."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.begin = threading.Event()

    def received(self, fd: int, view: memoryview) -> Answer:
        self.begin.wait(WITHIN)
        self.heard.append(fd)
        return (view,)


def test_who_waits_for_a_buffer_is_not_overtaken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten clients who always have more to say, and one buffer: each is heard in its turn."""
    monkeypatch.setattr(completions, "BUFFERS", 1)
    monkeypatch.setattr(completions, "SIZE", 1024)
    listening = Listening()
    with serving(listening) as connected:
        clients = [connected() for _ in range(10)]
        for client in clients:
            client.sendall(b"x" * 50_000)
        listening.begin.set()
        for client in clients:
            assert receive(client, 50_000) == b"x" * 50_000
    everybody = set(listening.heard)
    rounds = listening.heard[20:400]  # from when all are there to when the first may be done
    assert all(set(rounds[i : i + 30]) == everybody for i in range(0, len(rounds) - 30, 10))


# --- what the kernel is told, and when ---


class Strict(RecordingKernel):
    """Checks each order against those that are under way."""

    def __init__(self, inner: Kernel = live) -> None:
        super().__init__(inner)
        self.receiving: set[int] = set()
        self.sending: dict[int, Sequence[Buffer]] = {}
        self.wrong: list[str] = []

    def io_uring(self, entries: int) -> Ring:
        return StrictRing(self, self.inner.io_uring(entries))

    def close(self, fd: int) -> None:
        if fd in self.receiving or fd in self.sending:
            self.wrong.append(f"close({fd}) before its requests have completed")
        self.inner.close(fd)


class StrictRing:
    def __init__(self, kernel: Strict, ring: Ring) -> None:
        self.kernel, self.ring = kernel, ring
        self.accept, self.cancel, self.close = ring.accept, ring.cancel, ring.close
        self.orders: dict[int, tuple[str, int]] = {}  # by user_data

    def provide(self, number: int, buffer: bytearray, user_data: int) -> None:
        for fd, answer in self.kernel.sending.items():
            if any(isinstance(part, memoryview) and part.obj is buffer for part in answer):
                self.kernel.wrong.append(f"provide({number}) while fd {fd} is sent what lies in it")
        self.ring.provide(number, buffer, user_data)

    def recv(self, fd: int, user_data: int, flags: int = 0, size: int = 0) -> None:
        if fd in self.kernel.receiving or fd in self.kernel.sending:
            self.kernel.wrong.append(f"recv({fd}) before the answer is out")
        self.kernel.receiving.add(fd)
        self.orders[user_data] = "recv", fd
        self.ring.recv(fd, user_data, flags, size)

    def send(self, fd: int, buffers: Sequence[Buffer], user_data: int) -> None:
        if fd in self.kernel.sending:
            self.kernel.wrong.append(f"send({fd}) twice at once")
        self.kernel.sending[fd] = buffers
        self.orders[user_data] = "send", fd
        self.ring.send(fd, buffers, user_data)

    def enter(self, timeout: float | None) -> list[Completion]:
        done = self.ring.enter(timeout)
        for user_data, _, _ in done:
            name, fd = self.orders.get(user_data, ("", -1))
            if name == "recv":
                self.kernel.receiving.discard(fd)
            if name == "send":
                self.kernel.sending.pop(fd, None)
        return done


@pytest.mark.parametrize("fault", ["none", "one byte written", "all at once"])
@pytest.mark.parametrize("buffers", [2, completions.BUFFERS])
def test_no_order_is_given_before_its_time(
    fault: str, buffers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completions, "BUFFERS", buffers)
    kernel = Strict(FaultyKernel(Faults(**FAULTS[fault]), seed=1))
    with serving(Echo(), kernel) as connected:
        deaf = connected()
        with contextlib.suppress(ConnectionError):
            send_until_stuck(deaf)
        crowd(connected.address, seed=1, clients=50)
    assert not kernel.wrong
    assert not kernel.receiving and not kernel.sending


def test_an_idle_connection_owns_next_to_nothing() -> None:
    with running("io_uring") as server, contextlib.ExitStack() as stack:
        for _ in range(200):
            assert echoes(stack.enter_context(connect(server)), b"hello")
        before = anonymous_memory(server.pid)
        for _ in range(2000):
            assert echoes(stack.enter_context(connect(server)), b"hello")
        assert (anonymous_memory(server.pid) - before) / 2000 < 100


def test_memory_stays_where_it_is_however_many_messages_come() -> None:
    with running("io_uring") as server, connect(server) as client:
        for _ in range(1000):
            assert echoes(client, b"hello")
        before = anonymous_memory(server.pid)
        for _ in range(10_000):
            assert echoes(client, b"hello")
        assert anonymous_memory(server.pid) - before < MIB / 4, "less than 26 bytes a message"


# --- how connections end ---


class Impatient(Echo):
    """Lets nobody be silent: says "bye" after a while, or nothing, and hangs up."""

    write_timeout = 0.0

    def __init__(self, says: bytes) -> None:
        self.says = says
        self.left: list[int] = []
        self.deadline: Callable[[int, float], None]

    def opened(self, fd: int) -> Answer:
        self.deadline(fd, 0.1)
        return NOTHING

    def expired(self, fd: int) -> Answer:
        return (self.says, CLOSE) if self.says else (CLOSE,)

    def goodbye(self, fd: int) -> Answer:
        return NOTHING

    def closed(self, fd: int) -> None:
        self.left.append(fd)


@pytest.mark.parametrize("says", [b"bye", b""])
def test_a_client_that_is_hung_up_on_sees_the_end(says: bytes) -> None:
    """A recv for it is with the kernel: it is cancelled before the fd is closed."""
    kernel, impatient = RecordingKernel(), Impatient(says)
    with serving(impatient, kernel) as connected:
        assert receive(connected(), 100) == says, "and then the end"
        deadline = time.monotonic() + WITHIN
        while not any(call.name == "close" for call in kernel.calls):
            assert time.monotonic() < deadline
            time.sleep(0.001)
    (fd,) = impatient.left
    told = [str(call) for call in kernel.calls]
    (cancelled,) = [n for n, text in enumerate(told) if f"recv({fd}) = -ECANCELED" in text]
    assert f"'cancel({fd})'" in told[cancelled]
    assert told.index(f"close({fd})") > cancelled


def test_each_connection_is_given_up_once_and_each_descriptor_closed() -> None:
    """Clients that come, speak and go in a hurry, in all ways, while numbers are used again."""
    before = psutil.Process().num_fds()
    kernel = RecordingKernel()
    with serving(app("echo"), kernel) as connected:
        for number in range(60):
            client = connected()
            if number % 3:
                client.sendall(b"hello")
            if number % 3 == 2:
                assert receive(client, 5) == b"hello"
            if number % 2:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # RST
            client.close()
    opened = [d for c in kernel.calls if c.name == "io_uring_enter" for d in c.result]
    accepted = [d[1] for d in opened if d.request.startswith("accept") and d[1] >= 0]
    closed = [c.arguments[0] for c in kernel.calls if c.name == "close"]
    assert len(accepted) == 60 and sorted(accepted) == sorted(closed)
    assert psutil.Process().num_fds() == before


def test_an_app_that_fails_leaves_nothing_open() -> None:
    class Broken(Echo):
        def received(self, fd: int, view: memoryview) -> Answer:
            raise ZeroDivisionError

    before = psutil.Process().num_fds()
    with listen() as listener, contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(listener.getsockname(), WITHIN))
            for _ in range(3)
        ]
        clients[1].sendall(b"hello")
        with pytest.raises(ZeroDivisionError):
            serve(listener.fileno(), Broken(), live)
        for client in clients:
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(1) == b""
    assert psutil.Process().num_fds() == before
