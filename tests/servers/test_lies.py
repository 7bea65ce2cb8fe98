"""Readiness that lies, and numbers that mislead.

An fd that is reported and not ready; one that somebody else has closed; a number that comes back as
somebody else at once; a copy that keeps reporting an fd which is closed. Whatever happens, an app
is told of each end once, and nobody gets what is somebody else's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time

import psutil
import pytest

from iomodels.servers import MODELS
from tests.servers.harness import (
    MULTIPLEXING,
    Running,
    comes_back_to,
    connect,
    crowd,
    receive,
    running,
    settled,
)
from tests.servers.unruly import unpaired
from tests.websocket.rules import ECHOED, HELLO, TEXT, frame, request, sent

WELCOME = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
# An epoll loop for each process: two clients need not meet in the same one.
WORKERS = [model for model in MODELS if model.startswith("workers")]
IN_ONE_PROCESS = [model for model in MULTIPLEXING if model not in WORKERS]

# A request under way holds a connection open though its fd is closed. The client hears the end when
# the number comes back, and the server finds out.
HELD_OPEN = {"io_uring"}


def upgraded(server: Running) -> socket.socket:
    sock = connect(server)
    sock.sendall(request())
    assert receive(sock, len(WELCOME)) == WELCOME
    return sock


def is_served(sock: socket.socket) -> bool:
    sock.sendall(HELLO)
    return receive(sock, len(ECHOED)) == ECHOED


def number(sock: socket.socket) -> bytes:
    """The fd that this connection has in the server."""
    sock.sendall(frame(TEXT, b"number"))
    return receive(sock, receive(sock, 2)[1])


def is_over(sock: socket.socket) -> bool:
    """Wait for the end of the stream, or a reset."""
    with contextlib.suppress(ConnectionError):
        return sock.recv(100) == b""
    return True


@pytest.mark.parametrize("model", MULTIPLEXING)
def test_an_fd_that_is_reported_and_not_ready_costs_a_call_that_says_eagain(model: str) -> None:
    with running(model, {"spurious": 0.5}) as server, connect(server):  # and one who is silent
        clients = crowd(server.address, seed=1, clients=10, pieces=10)
    assert all(client.heard == client.said for client in clients.values())


# Not threads: there the number may be another thread's before the call returns, and what the server
# then does with it, it does to that one. Nobody can tell (man 2 close, "Multithreaded processes").
@pytest.mark.parametrize("model", [model for model in MODELS if model != "threads"])
def test_an_fd_that_the_app_has_closed_in_the_middle_of_its_own_call(model: str) -> None:
    with running(model, app="unruly") as server:
        for _ in range(3):
            with upgraded(server) as one:
                one.sendall(frame(TEXT, b"close number " + number(one)))
                if model not in HELD_OPEN:
                    assert is_over(one)
                with upgraded(server) as other:
                    assert is_served(other)
                    assert is_over(one)
        server.stop()
    assert unpaired(server.log) == []


@pytest.mark.parametrize("model", IN_ONE_PROCESS)
def test_an_fd_that_was_closed_while_nobody_looked_at_it(model: str) -> None:
    with running(model, app="unruly") as server:
        with upgraded(server) as one, upgraded(server) as idle, upgraded(server) as other:
            one.sendall(frame(TEXT, b"close number " + number(idle)))
            assert is_served(other)
            assert is_served(one)
            if model not in HELD_OPEN:
                assert is_over(idle)
            with upgraded(server) as next_one:  # it gets the number
                assert is_served(next_one) and is_served(other)
                assert is_over(idle)
        server.stop()
    assert unpaired(server.log) == []


@pytest.mark.parametrize("model", IN_ONE_PROCESS)
def test_a_number_that_comes_back_at_once_brings_nothing_of_the_one_before(model: str) -> None:
    """Closed in the middle of a message, and given to the next client in the same round."""
    with running(model, app="unruly") as server:
        with upgraded(server) as one, upgraded(server) as other:
            fd = number(one)
            os.kill(server.pid, signal.SIGSTOP)  # so that it hears of both at once
            one.sendall(frame(TEXT, b"close number " + fd) + HELLO[:7])
            with connect(server) as heir:
                heir.sendall(request())
                os.kill(server.pid, signal.SIGCONT)
                assert receive(heir, len(WELCOME)) == WELCOME
                assert is_over(one)
                assert is_served(heir) and is_served(other)
                heir.sendall(HELLO[:7])
                assert is_served(other)
                heir.sendall(HELLO[7:])
                assert receive(heir, len(ECHOED)) == ECHOED
        server.stop()
    assert unpaired(server.log) == []


@pytest.mark.parametrize("model", MODELS)
def test_a_copy_of_an_fd_does_not_keep_a_server_awake(model: str) -> None:
    """After close(2) the connection lives on in the copy, and is ready to be read for ever."""
    with running(model, app="unruly") as server:
        with upgraded(server) as first:
            assert is_served(first)
        before = settled(server.pid)
        with upgraded(server) as one:
            one.sendall(frame(TEXT, b"copy"))
            assert receive(one, 6) == sent(TEXT, b"copy")
            one.sendall(HELLO[:3])
        left = before if model == "processes" else before + 1  # the copy; a process takes it along
        assert comes_back_to(server.pid, left)
        with upgraded(server) as other:
            assert is_served(other)
            spent = cpu_within(0.5, server.pid)
            if model != "nonblocking":  # which never sleeps
                assert spent < 0.1, "it does not sleep any more"
            assert is_served(other)
            other.sendall(frame(TEXT, b"drop"))
            assert receive(other, 6) == sent(TEXT, b"drop")
        if model in WORKERS:
            return  # the copy lies in another process perhaps, and goes with it
        server.stop()
    assert unpaired(server.log) == []


def cpu_within(seconds: float, pid: int) -> float:
    """Seconds of CPU that a server and its children use within so many."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    before = [each.cpu_times() for each in family]
    time.sleep(seconds)
    after = [each.cpu_times() for each in family]
    return sum(b.user + b.system - a.user - a.system for a, b in zip(before, after, strict=True))
