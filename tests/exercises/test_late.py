"""A case that goes by time, on a machine that keeps its client waiting: it does not judge."""

from __future__ import annotations

import time
from socket import socket

import pytest

from iomodels.course.cases import TOO_BUSY
from iomodels.course.exercises import line_deadline
from iomodels.course.exercises.line_deadline import LIMIT, Caller, a_slow_loris
from iomodels.course.trial import Verdict, trial


def from_the_last_byte(listener: socket, clients: int, seconds: float) -> None:
    """Count from the last byte: a wrong answer."""
    for _ in range(clients):
        sock, _ = listener.accept()
        sock.settimeout(seconds)
        with sock:
            try:
                while sock.recv(4096):
                    pass
            except TimeoutError:
                pass


def judged() -> Verdict:
    return trial(a_slow_loris, (from_the_last_byte,), 20.0)


@pytest.fixture
def kept_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it take longer to look than a line may take, as on a machine with too much to do."""
    look = Caller.is_hung_up

    def late(self: Caller, seconds: float) -> bool:
        time.sleep(1.2 * LIMIT)
        return look(self, seconds)

    monkeypatch.setattr(line_deadline.Caller, "is_hung_up", late)


def test_a_client_that_keeps_its_times_shows_what_is_wrong() -> None:
    assert line_deadline.MOVED in judged().problem


@pytest.mark.usefixtures("kept_waiting")
def test_a_client_that_was_kept_waiting_shows_nothing() -> None:
    assert TOO_BUSY in judged().problem
