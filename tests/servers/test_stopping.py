"""A server that is stopped while it leaves its listener alone, for want of descriptors."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from iomodels.apps import app
from iomodels.kernel import LiveKernel
from iomodels.servers import server
from iomodels.servers.accepting import PAUSE
from iomodels.servers.deadlines import TICK
from iomodels.servers.listening import listen


class Full(LiveKernel):
    """Has a descriptor for one client, and shuts the listener down as the pause after it ends."""

    def __init__(self, listener: int) -> None:
        self.listener = listener
        self.accepted = self.paused = False

    def accept(self, listener: int) -> int:  # type: ignore[override]
        self.paused = self.accepted
        if self.paused:
            raise OSError(errno.EMFILE, "no descriptor is left")
        self.accepted = True
        return super().accept(listener)

    def poll(self) -> Any:
        return Poller(super().poll(), self.wait)

    def epoll(self) -> Any:
        return Poller(super().epoll(), self.wait)

    def select(self, *arguments: Any) -> Any:  # type: ignore[override]
        self.wait()
        return super().select(*arguments)

    def wait(self) -> None:
        if self.paused:
            self.paused = False
            self.shutdown(self.listener, socket.SHUT_RDWR)
            time.sleep(PAUSE + 2 * TICK)


class Poller:
    """A poll or epoll object that calls a function before each wait."""

    def __init__(self, real: Any, before: Callable[[], None]) -> None:
        self.real, self.before = real, before

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def poll(self, *timeout: Any) -> Any:
        self.before()
        return self.real.poll(*timeout)


@pytest.mark.parametrize("model", ["select", "poll", "epoll", "epoll-edge"])
def test_it_ends_when_it_is_stopped_as_the_pause_ends(model: str) -> None:
    raised: list[BaseException] = []

    def serve() -> None:
        try:
            server(model)(listener.fileno(), app("echo"), Full(listener.fileno()))
        except BaseException as error:
            raised.append(error)

    with listen() as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        with socket.create_connection(listener.getsockname()) as client:
            thread.join(30)
            assert client.recv(1) == b""
    assert not thread.is_alive()
    assert raised == []
