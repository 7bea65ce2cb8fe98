"""Servers with faults, each in a process of its own: python -m tests.servers.child CHANNEL

CHANNEL is an open descriptor, one end of a pair of sockets. An order that comes in on it is either
a server, as JSON with three descriptors: its stdout, its stderr, and where it tells of resets. It
is forked, which takes a millisecond, where a fresh Python takes a tenth of a second to import all
this; the answer is its process id. Or it is a process id: the answer is the status with which that
process has ended, which only its parent can ask for.

A server says where it listens on stdout, serves until SIGTERM, then says which fds are left that
were not there before, and how often it has called accept. Each reset connection is told at once on
`resets`, as two bytes: the port of the client.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import resource
import signal
import socket
import sys
import threading
from functools import partial
from typing import Any

from iomodels.apps import App, app
from iomodels.apps.websocket import echo
from iomodels.kernel.faulty import Faults, FaultyKernel
from iomodels.servers import SHARE_PORT, server
from iomodels.servers.listening import BACKLOG, listen
from iomodels.servers.stopping import stop_on_signals
from iomodels.websocket import Timeouts
from tests.servers.unruly import Unruly


class CountingKernel(FaultyKernel):
    accepts = 0

    def accept(self, listener: int) -> int:
        self.accepts += 1
        return super().accept(listener)


def open_fds() -> set[str]:
    """Every open fd but the one that the listing needs, with what it leads to."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except FileNotFoundError:
            pass
    return found


def made(app_name: str, timeouts: dict[str, float]) -> App:
    """The app of this name, or a WebSocket echo with such timeouts."""
    if app_name == "unruly":
        return Unruly(Timeouts(**timeouts))
    return echo(Timeouts(**timeouts)) if timeouts else app(app_name)


def serve(
    model: str,
    faults: dict[str, Any],
    seed: int,
    resets: int,
    limit: int,
    app_name: str,
    timeouts: dict[str, float],
    backlog: int = BACKLOG,
    send_buffer: int = 0,
) -> None:
    logging.basicConfig(format="%(message)s")
    if limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    tell = partial(int.to_bytes, length=2, byteorder="big")
    kernel = CountingKernel(Faults(**faults), seed, lambda port: os.write(resets, tell(port)))
    before = open_fds()
    share = model in SHARE_PORT
    with listen(share=share, backlog=backlog) as listener, stop_on_signals(listener.fileno()):
        if send_buffer:  # accepted sockets inherit it
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        print(json.dumps(listener.getsockname()), flush=True)
        server(model)(listener.fileno(), made(app_name, timeouts), kernel)
    left = sorted(open_fds() - before)
    threads = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
    print(json.dumps({"left": left, "threads": threads, "accepts": kernel.accepts}), flush=True)


def forked(channel: socket.socket, order: dict[str, Any], fds: list[int]) -> int:
    """Fork a server and return its process id; in the server, end with it."""
    if pid := os.fork():
        return pid
    channel.close()
    out, err, resets = fds
    for fd, number in ((out, 1), (err, 2)):
        os.dup2(fd, number)
        os.close(fd)
    serve(**order, resets=resets)
    sys.exit()


def main(channel: socket.socket) -> None:
    """Do as ordered until the other end is closed; then none is left."""
    alive = set()
    while True:
        data, fds, _, _ = socket.recv_fds(channel, 65536, 3)
        if not data:
            break
        order = json.loads(data)
        if isinstance(order, int):
            _, status = os.waitpid(order, 0)
            alive.discard(order)
            answer = os.waitstatus_to_exitcode(status)
        else:
            answer = forked(channel, order, list(fds))
            alive.add(answer)
        for fd in fds:
            os.close(fd)
        channel.send(str(answer).encode())
    for pid in alive:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    gc.freeze()  # a collection would write to each object, and so copy the page that it is on
    main(socket.socket(fileno=int(sys.argv[1])))
