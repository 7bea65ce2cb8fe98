"""The ring: what it is told, what it says, and that those around it tell the truth."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from iomodels.kernel import live
from iomodels.kernel.faulty import Faults, FaultyKernel
from iomodels.kernel.recording import RecordingKernel
from iomodels.kernel.uring import BUFFER, MORE, SHIFT, Completion, LiveRing, Ring, available
from iomodels.servers.listening import listen
from tests.servers.harness import receive

if available():
    pytest.skip(available(), allow_module_level=True)

WITHIN = 10.0  # seconds: who waits longer has lost something
ACCEPT, RECV, SEND, CANCEL, PROVIDE = 1, 2, 3, 4, 5  # user_data


@pytest.fixture
def ring() -> Iterator[LiveRing]:
    made = LiveRing(8)
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client and the server's end of its connection, which blocks."""
    with listen() as listener:
        client = socket.create_connection(listener.getsockname(), WITHIN)
        served, _ = listener.accept()
    with client, served:
        yield client, served


def lend(ring: Ring, count: int, size: int = 64) -> list[bytearray]:
    buffers = [bytearray(size) for _ in range(count)]
    for number, buffer in enumerate(buffers):
        ring.provide(number, buffer, PROVIDE)
    return buffers


def wait_for(ring: Ring, count: int = 1) -> list[Completion]:
    """The next completions, `count` of them or more."""
    done: list[Completion] = []
    while len(done) < count:
        some = ring.enter(WITHIN)
        assert some, f"nothing after {done}"
        done += some
    return done


def results(done: list[Completion]) -> dict[int, int]:
    return {user_data: result for user_data, result, _ in done}


# --- the live one ---


def test_bytes_come_in_a_buffer_and_go_out_of_it(
    ring: LiveRing, pair: tuple[socket.socket, socket.socket]
) -> None:
    client, served = pair
    buffers = lend(ring, 2)
    ring.recv(served.fileno(), RECV)
    assert ring.enter(0) == [], "nothing has been said yet"
    client.sendall(b"hello")
    ((user_data, result, flags),) = wait_for(ring)
    assert (user_data, result, flags & BUFFER) == (RECV, 5, BUFFER)
    view = memoryview(buffers[flags >> SHIFT])[:result]
    assert view == b"hello"
    ring.send(served.fileno(), [view[:1], b"", bytearray(b"EL"), view[3:]], SEND)
    assert wait_for(ring) == [(SEND, 5, 0)]
    assert client.recv(10) == b"hELlo"


def test_one_order_accepts_everybody_and_ends_with_the_listener(ring: LiveRing) -> None:
    with listen() as listener:
        ring.accept(listener.fileno(), ACCEPT)
        clients = [socket.create_connection(listener.getsockname(), WITHIN) for _ in range(5)]
        fds = []
        for user_data, fd, flags in wait_for(ring, 5):
            assert user_data == ACCEPT and flags & MORE
            assert os.get_blocking(fd) and not os.get_inheritable(fd)
            fds.append(fd)
        listener.shutdown(socket.SHUT_RDWR)
        assert wait_for(ring) == [(ACCEPT, -errno.EINVAL, 0)]
    for end in [*map(socket.socket.detach, clients), *fds]:
        os.close(end)


def test_without_a_buffer_there_is_no_room(
    ring: LiveRing, pair: tuple[socket.socket, socket.socket]
) -> None:
    client, served = pair
    ring.recv(served.fileno(), RECV)
    client.sendall(b"hello")
    assert results(wait_for(ring)) == {RECV: -errno.ENOBUFS}
    lend(ring, 1)
    ring.recv(served.fileno(), RECV)
    assert results(wait_for(ring)) == {RECV: 5}, "nothing was lost"


def test_what_is_handed_over_is_held_until_it_is_done(
    ring: LiveRing, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Nobody but the ring holds these; freed, they would be used again at once."""
    client, served = pair
    lend(ring, 1)
    with pytest.raises(ValueError, match="buffer 0 is lent already"):
        lend(ring, 1)
    ring.send(served.fileno(), [bytearray(b"x" * 500)], SEND)
    other = [bytearray(b"-" * 500) for _ in range(100)]
    wait_for(ring)
    assert client.recv(500) == b"x" * 500
    ring.recv(served.fileno(), RECV)
    client.sendall(b"hello")
    wait_for(ring)
    assert all(buffer == b"-" * 500 for buffer in other)
    assert not ring.sending


def test_only_what_has_arrived_and_only_so_much(
    ring: LiveRing, pair: tuple[socket.socket, socket.socket]
) -> None:
    client, served = pair
    lend(ring, 3)
    client.sendall(b"hello")
    ring.recv(served.fileno(), RECV, 0, 1)
    assert results(wait_for(ring)) == {RECV: 1}
    ring.recv(served.fileno(), RECV, socket.MSG_DONTWAIT)
    assert results(wait_for(ring)) == {RECV: 4}
    ring.recv(served.fileno(), RECV, socket.MSG_DONTWAIT)
    assert results(wait_for(ring)) == {RECV: -errno.EAGAIN}


def test_a_recv_keeps_a_closed_connection_open_until_it_is_cancelled(
    ring: LiveRing, pair: tuple[socket.socket, socket.socket]
) -> None:
    client, served = pair
    lend(ring, 1)
    fd = os.dup(served.fileno())
    served.close()
    ring.recv(fd, RECV)
    ring.enter(0)
    another = os.dup(fd)  # to name the connection after its fd is closed
    os.close(fd)
    os.close(another)
    client.settimeout(0.05)
    with pytest.raises(TimeoutError):
        client.recv(1)
    ring.close()
    client.settimeout(WITHIN)
    assert client.recv(1) == b""


def test_what_is_cancelled_completes(
    ring: LiveRing, pair: tuple[socket.socket, socket.socket]
) -> None:
    _, served = pair
    lend(ring, 1)
    ring.recv(served.fileno(), RECV)
    ring.enter(0)
    ring.cancel(served.fileno(), CANCEL)
    assert results(wait_for(ring, 2)) == {RECV: -errno.ECANCELED, CANCEL: 1}


def test_who_waits_lets_other_threads_run(
    ring: LiveRing, pair: tuple[socket.socket, socket.socket]
) -> None:
    client, served = pair
    lend(ring, 1)
    ring.recv(served.fileno(), RECV)
    later = threading.Timer(0.05, client.sendall, [b"hello"])
    later.start()
    assert ring.enter(None)[0][:2] == (RECV, 5)
    later.join()
    assert ring.enter(0.01) == [], "the time is over"


def test_more_orders_than_the_queue_holds(
    ring: LiveRing, pair: tuple[socket.socket, socket.socket]
) -> None:
    """The queue has 8 places, that for completions 16; nothing is lost, and the order is kept."""
    client, served = pair
    for round_ in range(20):
        for number in range(50):
            ring.send(served.fileno(), [b"%02d" % number], number)
        done = wait_for(ring, 50)
        assert [user_data for user_data, _, _ in done] == list(range(50)), round_
        assert receive(client, 100) == b"".join(b"%02d" % number for number in range(50))


def test_a_ring_leaves_no_descriptor_behind() -> None:
    before = os.listdir("/proc/self/fd")
    for _ in range(50):
        ring = LiveRing(8)
        lend(ring, 4)
        ring.enter(0)
        ring.close()
        ring.close()
    assert os.listdir("/proc/self/fd") == before


# --- where there is none ---


def test_without_the_package_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "liburing", None)
    with pytest.raises(ImportError, match=r"pip install 'iomodels\[uring\]'"):
        live.io_uring(8)
    assert "pip install 'iomodels[uring]'" in available()


# Refuses one system call with an errno, as a container's profile does (man 2 seccomp).
REFUSE = """
import ctypes, struct, sys
number, errno = 425, int(sys.argv[1])  # io_uring_setup
LOAD, EQUAL, RETURN, ALLOW, ERRNO = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050000
refuse, allow = (RETURN, 0, 0, ERRNO | errno), (RETURN, 0, 0, ALLOW)
rules = [(LOAD, 0, 0, 0), (EQUAL, 0, 1, number), refuse, allow]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
program = struct.pack("HxxxxxxP", len(rules), ctypes.addressof(code))
prctl = ctypes.CDLL(None).prctl
assert prctl(38, 1, 0, 0, 0) == 0 and prctl(22, 2, program) == 0
from iomodels.kernel.uring import available
print(available())
"""


@pytest.mark.parametrize(
    ("number", "says"),
    [(errno.EPERM, "kernel.io_uring_disabled=0"), (errno.ENOSYS, "has no io_uring")],
)
def test_where_the_kernel_refuses_it_says_what_to_do(number: int, says: str) -> None:
    command = [sys.executable, "-c", REFUSE, str(number)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    assert says in done.stdout, done.stderr
    assert done.stdout.count("\n") == 1


def test_nothing_is_imported_before_it_is_used() -> None:
    look = "import sys, iomodels.servers.io_uring; print('liburing' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


# --- the faulty one ---


def faulty(faults: Faults, told: Callable[[int], None] = lambda port: None) -> Ring:
    return FaultyKernel(faults, seed=1, on_reset=told).io_uring(8)


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        (Faults(), {5}),
        (Faults(eintr=0.5), {5, -errno.EINTR}),
        (Faults(eagain=0.5), {5, -errno.EAGAIN}),
        (Faults(short_reads=0.5), {5, 1, 4}),
    ],
)
def test_a_recv_fails_or_falls_short_and_loses_nothing(
    faults: Faults, expected: set[int], pair: tuple[socket.socket, socket.socket]
) -> None:
    client, served = pair
    ring = faulty(faults)
    buffers = lend(ring, 1)
    seen = set()
    for _ in range(30):
        client.sendall(b"hello")
        heard = b""
        while len(heard) < 5:
            ring.recv(served.fileno(), RECV)
            for _, result, flags in wait_for(ring):
                seen.add(result)
                heard += buffers[0][: max(0, result)]
                if flags & BUFFER:
                    ring.provide(0, buffers[0], PROVIDE)
        assert heard == b"hello"
    ring.close()
    assert expected <= seen
    assert seen <= expected | ({1, 2, 3, 4} if 1 in expected else set())


def test_a_send_takes_one_byte(pair: tuple[socket.socket, socket.socket]) -> None:
    client, served = pair
    ring = faulty(Faults(short_writes=1))
    ring.send(served.fileno(), [b"", b"hello"], SEND)
    assert results(wait_for(ring)) == {SEND: 1}
    assert client.recv(10) == b"h"
    ring.close()


def test_a_wait_brings_nothing_and_the_next_one_brings_it(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    client, served = pair
    ring = faulty(Faults(spurious=0.5))
    client.sendall(b"hello")
    rounds = Counter[bool]()
    for _ in range(30):
        ring.send(served.fileno(), [b"x"], SEND)
        while not (done := ring.enter(WITHIN)):
            rounds[False] += 1
        rounds[True] += 1
        assert results(done) == {SEND: 1}
    assert rounds[True] == 30 and rounds[False] > 5
    ring.close()


def test_a_reset_connection_is_reset_for_both_ends() -> None:
    ports: list[int] = []
    ring = faulty(Faults(resets=True), ports.append)
    with listen() as listener:
        clients = [socket.create_connection(listener.getsockname(), WITHIN) for _ in range(2)]
        ring.accept(listener.fileno(), ACCEPT)
        _, doomed = (fd for _, fd, _ in wait_for(ring, 2))
        ring.recv(doomed, RECV)
        assert results(wait_for(ring)) == {RECV: -errno.ECONNRESET}, "at its first call"
        ring.recv(doomed, RECV)
        ring.send(doomed, [b"x"], SEND)
        assert results(wait_for(ring, 2)) == {RECV: 0, SEND: -errno.EPIPE}
        assert ports == [clients[1].getsockname()[1]]
        os.close(doomed)
        with pytest.raises(ConnectionResetError):
            clients[1].recv(1)
    ring.close()
    for client in clients:
        client.close()


def test_an_error_ends_accepting_and_the_client_stays_queued() -> None:
    ring = faulty(Faults(no_room=0.5, aborted=0.2, eintr=0.1))
    clients, served, errors = [], [], Counter[int]()
    with listen() as listener:
        ring.accept(listener.fileno(), ACCEPT)
        for _ in range(40):
            clients.append(socket.create_connection(listener.getsockname(), WITHIN))
            accepted = 0
            while not accepted:
                for _, result, flags in wait_for(ring):
                    if result >= 0:
                        served.append(result)
                    else:
                        errors[-result] += 1
                        assert not flags & MORE
                        ring.accept(listener.fileno(), ACCEPT)
                    accepted += result >= 0 or result == -errno.ECONNABORTED
    ring.close()
    assert len(served) + errors[errno.ECONNABORTED] == 40
    assert {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EINTR} <= errors.keys()
    for fd in [*served, *map(socket.socket.detach, clients)]:
        os.close(fd)


# --- the recording one ---


def test_each_enter_is_written_down_with_what_was_asked_and_what_was_done(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    client, served = pair
    kernel = RecordingKernel()
    ring = kernel.io_uring(8)
    fd = served.fileno()
    buffer, _ = lend(ring, 2)
    ring.recv(fd, RECV)
    client.sendall(b"hello")
    done = ring.enter(None)
    ring.send(fd, [memoryview(buffer)[:5], b" you"], SEND)
    ring.recv(fd, RECV, socket.MSG_DONTWAIT)
    ring.enter(0.5)
    ring.close()
    assert [str(call) for call in kernel.calls[1:]] == [
        f"io_uring_enter('provide(0)', 'provide(1)', 'recv({fd})', None) -> [recv({fd}) = 5]",
        f"io_uring_enter('send({fd}, 9)', 'recv({fd})', 0.5) -> "
        f"[send({fd}, 9) = 9, recv({fd}) = -EAGAIN]",
    ]
    assert kernel.calls[0].name == "io_uring_setup"
    assert [call.data for call in kernel.calls[1:]] == [b"hello", b"hello you"]
    assert kernel.calls[1].line[0] == __file__
    assert done == [(RECV, 5, BUFFER)], "as the ring itself says it"
