"""The seam: the live kernel is the system's own functions; the other two wrap them truthfully."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from iomodels.apps import app
from iomodels.kernel import live
from iomodels.kernel.faulty import Faults, FaultyKernel
from iomodels.kernel.recording import RecordingKernel, queues_of, snapshot
from iomodels.servers import MODELS, server
from iomodels.servers.listening import listen
from iomodels.servers.stopping import local_port

# Not those that fork, nor io_uring, which makes no calls but one: see test_uring.py.
SEEN = [m for m in MODELS if m not in ("processes", "io_uring") and not m.startswith("workers")]


def test_the_live_kernel_is_not_a_wrapper() -> None:
    assert live.readv is os.readv
    assert live.writev is os.writev
    assert live.close is os.close
    assert live.select is select.select
    assert live.epoll is select.epoll


def test_accept_returns_a_blocking_close_on_exec_fd() -> None:
    with listen() as listener, socket.create_connection(listener.getsockname()):
        listener.setblocking(False)
        fd = live.accept(listener.fileno())
        try:
            assert os.get_blocking(fd)
            assert not os.get_inheritable(fd)
        finally:
            os.close(fd)
        with pytest.raises(BlockingIOError):
            live.accept(listener.fileno())
        assert listener.getsockname()  # still open


# --- recording ---


@contextlib.contextmanager
def recorded(model: str) -> Iterator[tuple[RecordingKernel, tuple[str, int]]]:
    """A server in a thread of this process, and what it does."""
    kernel = RecordingKernel()
    listener = listen()
    serve = server(model)
    thread = threading.Thread(target=serve, args=(listener.fileno(), app("echo"), kernel))
    thread.start()
    try:
        yield kernel, listener.getsockname()
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


def wait_for(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("model", SEEN)
def test_each_call_is_written_down_with_what_it_moved(model: str) -> None:
    with recorded(model) as (kernel, address):
        with socket.create_connection(address, 10) as client:
            client.sendall(b"hello")
            assert client.recv(5, socket.MSG_WAITALL) == b"hello"
        wait_for(lambda: any(call.name == "close" for call in kernel.calls))
    calls = [call for call in kernel.calls if not isinstance(call.result, OSError)]
    (accept,) = [c for c in calls if c.name == "accept"]
    fd = accept.result
    (read,) = [c for c in calls if c.name == "readv" and c.result]
    (written,) = [c for c in calls if c.name in ("write", "writev")]
    assert (read.arguments, read.data, str(read)) == ((fd,), b"hello", f"readv({fd}) -> 5")
    assert (written.arguments, written.data) == ((fd, 5), b"hello")
    assert str(written) == f"{written.name}({fd}, 5) -> 5"
    (closed,) = [c for c in calls if c.name == "close"]
    assert closed.arguments == (fd,)
    assert read.line[0].endswith(("blocking.py", "connections.py", "objects.py"))
    order = [c.name for c in calls if c in (accept, read, written) or c.name in ("readv", "close")]
    assert order == ["accept", "readv", written.name, "readv", "close"]
    assert kernel.calls[-1].name in ("accept", "close", "epoll_ctl", "sigtimedwait")
    errors = [c for c in kernel.calls if isinstance(c.result, OSError)]
    assert any("InvalidArgument" in str(c) or "OSError" in str(c) for c in errors), "the shutdown"


def test_what_waits_in_the_kernel_is_seen_after_each_call() -> None:
    with recorded("blocking") as (kernel, address), contextlib.ExitStack() as stack:
        first = stack.enter_context(socket.create_connection(address, 10))
        wait_for(lambda: [c for c in kernel.calls if c.name == "accept"])
        second = stack.enter_context(socket.create_connection(address, 10))
        second.sendall(b"wait")
        third = stack.enter_context(socket.create_connection(address, 10))
        first.sendall(b"hello")
        assert first.recv(5, socket.MSG_WAITALL) == b"hello"
        wait_for(lambda: [c for c in kernel.calls if c.name == "writev"])
        (written,) = [c for c in kernel.calls if c.name == "writev"]
        (listening,) = [q for q in written.after.queues.values() if q.backlog]
        assert listening.waiting == 2
        fd = written.arguments[0]
        assert written.after.queues[fd].unread == 0
        third.close()


def test_a_snapshot_sees_bytes_interest_and_readiness_and_changes_nothing() -> None:
    one, other = socket.socketpair()
    tcp = listen()
    client = socket.create_connection(tcp.getsockname())
    served, _ = tcp.accept()
    epoll = select.epoll()
    with one, other, tcp, client, served, epoll:
        epoll.register(served, select.EPOLLIN | select.EPOLLET)
        epoll.register(one, select.EPOLLIN)
        client.sendall(b"12345")
        wait_for(lambda: snapshot().queues[served.fileno()].unread == 5)
        seen = snapshot()
        assert seen.ready[epoll.fileno()] == (served.fileno(),)
        watched = seen.interest[epoll.fileno()]
        assert watched.keys() == {served.fileno(), one.fileno()}
        assert watched[served.fileno()] & select.EPOLLET
        assert one.fileno() not in seen.queues, "not TCP"
        assert seen.queues[tcp.fileno()].waiting == 0
        assert [fd for fd, _ in epoll.poll(0)] == [served.fileno()], "the edge was not taken"
        assert epoll.poll(0) == []
        fds = {d.fd for d in seen.descriptors}
        assert {one.fileno(), tcp.fileno(), epoll.fileno()} <= fds


# --- faults ---


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection."""
    with listen() as listener:
        client = socket.create_connection(listener.getsockname())
        return client, listener.accept()[0]


def test_without_faults_it_is_the_live_kernel() -> None:
    kernel = FaultyKernel(Faults())
    client, served = pair()
    with client, served:
        buffer = bytearray(10)
        assert kernel.writev(served.fileno(), [b"he", b"llo"]) == 5
        assert kernel.readv(client.fileno(), [buffer]) == 5
        assert buffer[:5] == b"hello"


def test_one_byte_is_one_byte() -> None:
    kernel = FaultyKernel(Faults(short_reads=1, short_writes=1))
    client, served = pair()
    with client, served:
        assert kernel.writev(served.fileno(), [b"", b"hello"]) == 1
        served.sendall(b"ello")
        buffer = bytearray(10)
        assert kernel.readv(client.fileno(), [buffer]) == 1
        assert buffer[:2] == b"h\0"


def test_an_interrupted_call_has_moved_nothing() -> None:
    kernel = FaultyKernel(Faults(eintr=1))
    client, served = pair()
    with client, served:
        client.sendall(b"hello")
        with pytest.raises(InterruptedError):
            kernel.readv(served.fileno(), [bytearray(10)])
        assert served.recv(5, socket.MSG_WAITALL) == b"hello"


def test_a_blocking_fd_never_says_eagain_and_a_non_blocking_one_is_reported_again() -> None:
    kernel = FaultyKernel(Faults(eagain=1))
    client, served = pair()
    with client, served, contextlib.closing(kernel.epoll()) as epoll:
        client.sendall(b"hello")
        assert kernel.readv(served.fileno(), [bytearray(2)]) == 2
        epoll.register(served.fileno(), select.EPOLLIN | select.EPOLLET)
        assert epoll.poll(1) == [(served.fileno(), select.EPOLLIN)]
        assert epoll.poll(0) == [], "an edge comes once"
        kernel.set_blocking(served.fileno(), False)
        with pytest.raises(BlockingIOError):
            kernel.readv(served.fileno(), [bytearray(2)])
        assert epoll.poll(0) == [(served.fileno(), select.EPOLLIN)], "and again after EAGAIN"


def test_a_reset_reaches_both_ends() -> None:
    told: list[int] = []
    kernel = FaultyKernel(Faults(resets=True), on_reset=told.append)
    with listen() as listener, contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(listener.getsockname())) for _ in range(2)
        ]
        spared, victim = (kernel.accept(listener.fileno()) for _ in clients)
        for client in clients:
            client.sendall(b"x")
        assert kernel.readv(spared, [bytearray(1)]) == 1
        with pytest.raises(ConnectionResetError):
            kernel.readv(victim, [bytearray(1)])
        assert told == [clients[1].getsockname()[1]]
        assert kernel.readv(victim, [bytearray(1)]) == 0, "the error is reported once"
        with pytest.raises(BrokenPipeError):
            kernel.writev(victim, [b"x"])
        kernel.close(victim)
        with pytest.raises(ConnectionResetError):
            clients[1].recv(1)
        kernel.close(spared)


def test_no_room_leaves_the_client_in_the_queue() -> None:
    with listen() as listener, socket.create_connection(listener.getsockname()):
        with pytest.raises(OSError) as full:
            FaultyKernel(Faults(no_room=1)).accept(listener.fileno())
        assert full.value.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
        fd = live.accept(listener.fileno())
        live.close(fd)


def test_the_same_seed_gives_the_same_faults() -> None:
    def run(seed: int) -> list[bool]:
        kernel = FaultyKernel(Faults(), seed)
        return [kernel.strikes(0.5) for _ in range(64)]

    assert run(1) == run(1) != run(2)


def test_only_internet_sockets_have_a_port_and_looking_takes_no_number() -> None:
    """A server may hold others: the relay's, or a service manager's at its stderr."""
    one, other = socket.socketpair()
    with one, other, listen() as listener, open(os.devnull) as file:
        before = os.listdir("/proc/self/fd")
        assert local_port(one.fileno()) is None
        assert local_port(file.fileno()) is None
        assert local_port(listener.fileno()) == listener.getsockname()[1]
        assert queues_of(one.fileno()) is None
        assert queues_of(file.fileno()) is None
        assert queues_of(listener.fileno()) is not None
        assert os.listdir("/proc/self/fd") == before
