"""A server with faults in a process of its own: python -m tests.servers.child JSON

Says where it listens on stdout, serves until SIGTERM, then says which fds are left that were not
there before, and how often it has called accept. Each reset connection is told at once on fd
`resets`, as two bytes: the port of the client.
"""

from __future__ import annotations

import json
import logging
import os
import resource
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


def main(
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


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
