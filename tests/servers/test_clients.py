"""What one client may do to the others, and to the server."""

from __future__ import annotations

import contextlib
import signal
import socket
import struct
import time
from pathlib import Path

import psutil
import pytest

from iomodels.kernel import live
from iomodels.servers import MODELS
from iomodels.servers.processes import end_of_stream
from tests.limits import many_descriptors
from tests.servers.harness import MULTIPLEXING, connect, crowd, echoes, receive, running

AT_ONCE = [model for model in MODELS if model != "blocking"]
MIB = 1 << 20


# --- who waits for whom ---


@pytest.mark.parametrize("model", AT_ONCE)
def test_a_silent_client_holds_up_nobody(model: str) -> None:
    with running(model) as server, connect(server), connect(server) as other:
        assert echoes(other, b"hello")


def test_a_silent_client_holds_up_everybody_on_the_blocking_server() -> None:
    with running("blocking") as server, connect(server) as silent, connect(server) as other:
        other.sendall(b"hello")
        other.settimeout(0.3)
        with pytest.raises(TimeoutError):
            other.recv(5)
        silent.close()
        other.settimeout(10)
        assert receive(other, 5) == b"hello"


@pytest.mark.parametrize("model", AT_ONCE)
def test_who_does_not_read_holds_up_nobody_and_costs_less_than_a_mebibyte(model: str) -> None:
    with running(model) as server, connect(server) as deaf, connect(server) as other:
        assert echoes(deaf, b"x") and echoes(other, b"x")  # all buffers are there
        before = anonymous_memory(server.pid)
        sent = send_until_stuck(deaf)
        assert sent > MIB, "more than the kernel's buffers hold"
        assert echoes(other, b"hello")
        assert anonymous_memory(server.pid) - before < MIB


@pytest.mark.parametrize("model", MODELS)
def test_who_reads_late_loses_nothing(model: str) -> None:
    with running(model) as server, connect(server) as late:
        sent = send_until_stuck(late)
        late.settimeout(10)
        assert receive(late, sent) == PATTERN[:sent]
        assert echoes(late, b"and on")


PATTERN = bytes(range(251)) * (64 * MIB // 251)


def send_until_stuck(sock: socket.socket) -> int:
    """Send without reading until nothing more goes for a quarter of a second."""
    sock.settimeout(0.25)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < len(PATTERN):
            sent += sock.send(PATTERN[sent : sent + 65536])
    assert sent < len(PATTERN), "the server reads on and on"
    return sent


def anonymous_memory(pid: int) -> int:
    """Bytes that a process and its children have written to and hold (man 5 proc, RssAnon)."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    lines = [Path(f"/proc/{p.pid}/status").read_text().splitlines() for p in family]
    return sum(int(line.split()[1]) * 1024 for s in lines for line in s if "RssAnon" in line)


# --- how clients leave ---


@pytest.mark.parametrize("model", MODELS)
def test_bytes_before_the_end_of_the_stream_are_answered(model: str) -> None:
    with running(model) as server, connect(server) as client:
        client.sendall(b"the last words")
        client.shutdown(socket.SHUT_WR)
        assert receive(client, 100) == b"the last words"


@pytest.mark.parametrize("model", MODELS)
def test_resets_are_survived(model: str) -> None:
    with running(model) as server:
        for _ in range(20):
            with connect(server) as rude:
                rude.sendall(b"x" * 1000)
                rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with connect(server) as client:
            assert echoes(client, b"hello")


# --- out of descriptors ---


@pytest.mark.parametrize("model", MODELS)
def test_with_too_few_descriptors_everybody_is_served_in_the_end(model: str) -> None:
    with running(model, limit=40) as server:
        clients = crowd(server.address, seed=3, pieces=5)
    assert all(client.heard == client.said for client in clients.values())


@pytest.mark.parametrize("model", [m for m in MODELS if m not in ("nonblocking", "blocking")])
def test_with_no_descriptor_left_a_server_does_not_spin(model: str) -> None:
    """Those in are served, those out wait in the queue; accept is tried 20 times a second."""
    with running(model, limit=24) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(40)]
        started = time.monotonic()
        for _ in range(10):
            assert echoes(clients[0], b"hello")
            time.sleep(0.1)
        waited = time.monotonic() - started
        for client in clients:
            client.close()
        server.stop()
    # 40 for the clients, each a try or two; and one for each PAUSE of 0.05 s, or wake-up, between.
    assert server.accepts < 150 + waited * 30


@many_descriptors
@pytest.mark.parametrize("model", [m for m in MODELS if m != "blocking"])
def test_with_no_descriptor_left_a_server_ends_all_the_same(model: str) -> None:
    """accept(2) looks for a number before it looks at the listener: EMFILE hides the EINVAL."""
    with running(model, limit=24) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(40)]
        assert echoes(clients[0], b"hello")
        time.sleep(0.2)  # it has taken as many as it can
        server.stop()


# --- select's limit ---


@many_descriptors
def test_select_refuses_numbers_from_1024_on_and_serves_the_others() -> None:
    """1,100 clients: those whose fd does not fit are hung up on, the others get their echo."""
    with running("select", limit=4096) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(1100)]
        served = refused = 0
        for client in clients:
            try:
                client.sendall(b"hello")
                answer = receive(client, 5)
            except ConnectionError:
                answer = b""
            served += answer == b"hello"
            refused += answer == b""
        assert served + refused == 1100
        assert 1000 < served < 1024
        for client in clients[::100]:
            client.close()
        assert echoes(clients[1], b"still here")
        server.stop()
    lines = server.log.splitlines()
    assert len(lines) == refused
    assert lines[0].startswith("select cannot watch fd 1024: its sets end at 1023. Closed")


@many_descriptors
@pytest.mark.parametrize("model", [m for m in MULTIPLEXING if m not in ("select", "nonblocking")])
def test_poll_and_epoll_have_no_such_limit(model: str) -> None:
    with running(model, limit=4096) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(1100)]
        assert all(echoes(client, b"hello") for client in clients)


# --- the end ---


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("model", MODELS)
def test_a_signal_ends_a_server_with_idle_busy_and_deaf_clients(model: str, number: int) -> None:
    with running(model) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(3)]
        assert echoes(clients[0], b"hello")
        send_until_stuck(clients[0])
        children = psutil.Process(server.pid).children(recursive=True)
        server.stop(number)  # checks its status, its fds and its threads
        assert not [child for child in children if child.is_running()]
        for client in clients[1:]:
            client.settimeout(10)
            with contextlib.suppress(ConnectionError):
                assert client.recv(1) == b""


@pytest.mark.parametrize("model", MODELS)
def test_a_second_signal_does_not_break_off_the_end_that_the_first_has_begun(model: str) -> None:
    with running(model) as server, connect(server) as client:
        assert echoes(client, b"hello")
        server.process.send_signal(signal.SIGSTOP)  # it finds both when it goes on
        server.process.send_signal(signal.SIGINT)
        server.process.send_signal(signal.SIGTERM)
        server.process.send_signal(signal.SIGCONT)
        server.stop(0)  # checks its status, its fds and its threads
        assert client.recv(1) == b""


@pytest.mark.parametrize("model", MODELS)
def test_a_signal_as_clients_leave_ends_a_server_without_a_complaint(model: str) -> None:
    for _ in range(3):
        with running(model) as server:
            clients = [connect(server) for _ in range(8)]
            assert echoes(clients[0], b"hello")
            server.process.send_signal(signal.SIGTERM)
            for client in clients:
                client.close()
            server.stop(0)  # no second signal
        assert server.log == ""


def test_a_child_that_is_stopped_when_its_client_has_left_makes_nothing_of_it() -> None:
    with socket.socket() as not_connected:
        end_of_stream(not_connected.fileno(), live)


@pytest.mark.parametrize("model", MODELS)
def test_a_signal_ends_a_server_that_nobody_talks_to(model: str) -> None:
    for _ in range(3):
        with running(model):
            pass
