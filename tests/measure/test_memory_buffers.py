"""Two buffers each: an idle connection costs what they take, and the echo is whole."""

from __future__ import annotations

import socket
import threading

import pytest

from iomodels.measure.footprint import footprint
from iomodels.measure.memory import crowd
from iomodels.measure.serving import child

SERVER = "iomodels.measure.memory_buffers"


def each(size: int, few: int = 40, many: int = 200) -> float:
    """Bytes of user memory for each idle connection with buffers of this size."""
    with (
        child(SERVER, [str(size)]) as running,
        crowd(running.said["address"], "echo", many) as grow_to,
    ):
        grow_to(few)
        before = footprint(running.process.pid).user
        grow_to(many)
        return (footprint(running.process.pid).user - before) / (many - few)


def test_an_idle_connection_costs_its_two_buffers() -> None:
    small, large = each(128), each(4096)
    assert large - small == pytest.approx(2 * (4096 - 128), rel=0.15)


def test_it_echoes_more_than_a_buffer_holds_to_a_client_who_reads_late() -> None:
    data = bytes(range(256)) * 40_000
    with (
        child(SERVER, ["4096"]) as running,
        socket.create_connection(tuple(running.said["address"]), timeout=10) as client,
        socket.create_connection(tuple(running.said["address"]), timeout=10) as other,
    ):
        sending = threading.Thread(target=client.sendall, args=(data,))
        sending.start()
        other.sendall(b"hi")  # whoever does not read holds up nobody else
        assert other.recv(10) == b"hi"
        heard = bytearray()
        while len(heard) < len(data) and (more := client.recv(1 << 16)):
            heard += more
        sending.join()
        assert heard == data
