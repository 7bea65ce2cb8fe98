"""What the recorder's child runs: one server, on a stage.

    python -m iomodels.trace.child CHANNEL ORDER

CHANNEL is the number of an open descriptor, one end of a pair of sockets; ORDER is JSON: the model
and the settings of the scenario. A fresh process, so that the listener is descriptor 3, and the
first connection the lowest free number after it, as for every server that has just been started.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys
import threading
import types
from typing import Any

from iomodels import apps
from iomodels.apps.chat import ChatServer
from iomodels.apps.websocket import echo
from iomodels.kernel import RESET_ON_CLOSE, accept_queue
from iomodels.measure.limits import raise_soft_limit
from iomodels.servers import mailboxes
from iomodels.servers.listening import listen
from iomodels.trace.looking import HOST, Looking, to_high
from iomodels.trace.models import SHARE_PORT, server
from iomodels.trace.stage import Stage
from iomodels.trace.stepping import StepKernel
from iomodels.trace.waking import Sleeper
from iomodels.websocket import NEVER, Timeouts

CLIENTS = 8  # of each worker, at most


def main(channel: socket.socket, order: dict[str, Any]) -> None:
    """Listen, say where, and serve until the recorder lets go of the channel."""
    settings = order["settings"]
    share = order["model"] in SHARE_PORT
    listener = listen(HOST, backlog=settings["backlog"], share=share)
    for option, size in (
        (socket.SO_SNDBUF, settings["send_buffer"]),
        (socket.SO_RCVBUF, settings["receive_buffer"]),
    ):
        if size:
            listener.setsockopt(socket.SOL_SOCKET, option, size)
    sources = spread(listener, settings["workers"]) if share else []
    looking = Looking(occupy(settings["occupied"]))
    stage = Stage(channel, looking.look)
    kernel = StepKernel(stage, looking, spins=order["model"] == "nonblocking")
    take_the_stage(stage, kernel)
    port = listener.getsockname()[1]
    stage.tell(say="listening", port=port, sources=sources, look=kernel.look())
    stage.sleep(lambda: True)
    serve = server(order["model"], settings["workers"])
    serve(listener.fileno(), app(settings["app"], settings["timeouts"]), kernel)


def app(name: str, timeouts: dict[str, float]) -> apps.App:
    """What is served; with no other deadlines than those of the scenario."""
    limits = Timeouts(**{**dict.fromkeys(vars(NEVER), 0), **timeouts})
    if name == "websocket":
        return echo(limits)
    made = apps.app(name)
    if isinstance(made, ChatServer):
        made.timeouts, made.write_timeout = limits, limits.write
    return made


def occupy(number: int) -> range:
    """Take all descriptors below `number` that are free."""
    taken: list[int] = []
    while number and taken[-1:] < [number - 1]:
        taken.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
    return range(taken[0], number) if taken else range(0)


def spread(listener: socket.socket, number: int) -> list[list[int]]:
    """Find source ports whose clients the kernel will give to each of `number` listeners.

    With SO_REUSEPORT it goes by a hash of addresses and ports, which is another one after each
    boot. So it is tried out, on as many listeners as there will be, in the same order.
    """
    address = listener.getsockname()
    others = [listen(*address, share=True) for _ in range(number - 1)]
    found: list[list[int]] = [[] for _ in range(number)]
    while min(map(len, found)) < CLIENTS:
        with socket.create_connection(address, source_address=(HOST, 0)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            for index, each in enumerate([listener, *others]):
                if accept_queue(each)[0]:
                    each.accept()[0].close()
                    found[index].append(client.getsockname()[1])
    for each in reversed(others):
        each.close()
    return found


class Meeting(threading.Condition):
    """A condition that threads of the stage wait at: one that is told hands over no lock."""

    def __init__(self, kernel: StepKernel) -> None:
        super().__init__()
        self.kernel = kernel
        self.waiting: list[list[bool]] = []

    def wait(self, timeout: float | None = None) -> bool:
        told = [False]
        self.waiting.append(told)
        state = self._release_save()  # type: ignore[attr-defined]
        self.kernel.wait_at("mailbox", lambda: told[0])
        self._acquire_restore(state)  # type: ignore[attr-defined]
        return True

    def notify_all(self) -> None:
        for told in self.waiting:
            told[0] = True
        self.waiting.clear()


def take_the_stage(stage: Stage, kernel: StepKernel) -> None:
    """In this process, which is for one server only: threads, time and end are the stage's."""
    start, join = threading.Thread.start, threading.Thread.join

    def enter_and_start(thread: threading.Thread) -> None:
        if not isinstance(thread, Sleeper):
            stage.enter(thread)
        start(thread)

    def wait_and_join(thread: threading.Thread, timeout: float | None = None) -> None:
        if thread in stage.threads and not stage.has_ended(thread):
            kernel.wait_at("thread", lambda: stage.has_ended(thread))
        join(thread, timeout)

    threading.Thread.start = enter_and_start  # type: ignore[assignment,method-assign]
    threading.Thread.join = wait_and_join  # type: ignore[assignment,method-assign]
    meetings = types.SimpleNamespace(**vars(threading))
    meetings.Condition = lambda: Meeting(kernel)
    mailboxes.threading = meetings  # type: ignore[attr-defined,assignment]
    asyncio.BaseEventLoop.time = lambda loop: stage.now  # type: ignore[assignment,method-assign]
    os._exit = kernel.exit  # type: ignore[assignment]


if __name__ == "__main__":
    raise_soft_limit()
    logging.basicConfig(format="%(message)s")
    main(to_high(socket.socket(fileno=int(sys.argv[1]))), json.loads(sys.argv[2]))
