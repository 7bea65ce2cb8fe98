"""Lesson 14's two servers: looked at from outside, squeezed, stopped, and ended."""

from __future__ import annotations

import contextlib
import os
import socket
import time

import pytest

from iomodels.course.observed import Observed, observed
from iomodels.websocket import Timeouts


def client(server: Observed) -> socket.socket:
    return socket.create_connection(server.address, 10)


@pytest.mark.parametrize("name", ["naive", "naive with a spare", "epoll"])
def test_it_may_open_so_many_descriptors_and_no_more(name: str) -> None:
    with observed(name) as server, contextlib.ExitStack() as stack:
        before = server.descriptors()
        server.allow(3)
        clients = [stack.enter_context(client(server)) for _ in range(5)]
        give_up = time.monotonic() + 10
        while len(server.descriptors()) < len(before) + 3:
            assert time.monotonic() < give_up
            time.sleep(0.01)
        time.sleep(0.1)
        woken = server.woken()
        clients[0].sendall(b"hi")
        assert clients[0].recv(10) == b"hi"
        time.sleep(0.3)
        assert len(server.descriptors()) == len(before) + 3
        if name == "naive":
            assert server.woken() - woken > 300, "it spins"
        else:
            assert 1 <= server.woken() - woken < 20


def test_the_naive_one_keeps_what_is_not_taken() -> None:
    with observed("naive") as server, client(server) as deaf:
        before = server.memory()
        deaf.sendall(bytes(24 << 20))
        give_up = time.monotonic() + 10
        while server.memory() < before + (8 << 20):
            assert time.monotonic() < give_up
            time.sleep(0.01)


def test_timeouts_are_those_that_were_asked_for() -> None:
    with (
        observed("epoll", "websocket", Timeouts(read_header=0.3)) as server,
        client(server) as slow,
    ):
        began = time.monotonic()
        assert slow.recv(100).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - began >= 0.3


def test_stopped_it_does_nothing_and_after_the_block_nothing_is_left() -> None:
    with observed("epoll") as server, client(server) as one:
        with server.stopped():
            one.sendall(b"hi")
            one.settimeout(0.2)
            with pytest.raises(TimeoutError):
                one.recv(10)
        one.settimeout(10)
        assert one.recv(10) == b"hi"
        server.terminate()
        assert one.recv(10) == b""
        server.wait()
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)
