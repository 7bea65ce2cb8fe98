"""The processes of the million: forked from one, and all ended by it.

Forked and not started afresh: a hundred Pythons would take a gigabyte and half a minute. Their
pages are those of the controller until one is written to (copy-on-write); gc.freeze() keeps the
garbage collector from writing to all of them.

How none is left behind:
- The controller blocks signals, and so do all that it forks (control.py). No signal comes between
  fork(2) and taking down the pid, and Ctrl-C in a terminal, which goes to every process of the
  group, ends none of them before its turn.
- At the end, whatever the reason, all are killed, and waited for. SIGKILL: there is nothing to save
  in them, and saying goodbye to a million clients takes longer than to connect them.
- When the controller itself is killed, the kernel kills them (PR_SET_PDEATHSIG, man 2 prctl).
- The listeners have SO_LINGER set to 0 seconds, and an accepted socket inherits that: the servers'
  ends are closed with a reset, and none lies in TIME_WAIT for a minute.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from iomodels.kernel import RESET_ON_CLOSE
from iomodels.measure.footprint import Slab, of_process, slabs
from iomodels.measure.million.crowd import Crowd, follow
from iomodels.measure.million.hall import serve_hall
from iomodels.measure.million.planning import Plan, free
from iomodels.measure.million.scores import CONNECTED, Scores
from iomodels.servers.listening import listen

PR_SET_PDEATHSIG = 1  # include/uapi/linux/prctl.h


@dataclass
class Pair:
    """A server and its clients, a process each."""

    number: int
    share: int  # connections that it is to hold
    server: int  # pids
    clients: int
    orders: socket.socket  # to the clients; a server hears from nobody but them

    def run_on(self, cpu: int) -> None:
        """Have both run on one CPU."""
        for pid in (self.server, self.clients):
            os.sched_setaffinity(pid, {cpu})

    def tell(self, order: Sequence[object]) -> None:
        """Give the clients an order. Whether they are there to hear it, their answer shows."""
        with contextlib.suppress(ConnectionError):
            self.orders.sendall(json.dumps(order).encode() + b"\n")

    def answer(self) -> bytes:
        """What the clients say, a line; b"" when they have ended."""
        with contextlib.suppress(ConnectionError):
            return self.orders.recv(4096)
        return b""


@dataclass(frozen=True)
class Look:
    """What is taken at one moment."""

    connections: int
    servers: int  # bytes of user memory
    clients: int
    free: int  # bytes that the machine has left
    available: int  # the same by the kernel's word, which is too large: see `free`
    slabs: dict[str, Slab] | None = None

    def slope(self, few: Look, name: str) -> float | None:
        """Bytes of `servers` or `clients` for each connection since another look."""
        if self.connections <= few.connections:
            return None
        more = self.connections - few.connections
        return (getattr(self, name) - getattr(few, name)) / more  # type: ignore[no-any-return]

    def objects(self, few: Look) -> dict[str, float] | None:
        """The kernel's objects, both ends, in bytes for each connection; what is below 1 is not."""
        if few.slabs is None or self.slabs is None or self.connections <= few.connections:
            return None
        grown = {
            name: (slab.objects - few.slabs[name].objects) * slab.size
            for name, slab in self.slabs.items()
        }
        more = self.connections - few.connections
        return {name: size / more for name, size in grown.items() if size >= more}


class Family:
    """All pairs of a plan."""

    def __init__(self, plan: Plan, scores: Scores) -> None:
        self.plan, self.scores = plan, scores
        self.pairs: list[Pair] = []
        self.pids: list[int] = []

    def start(self, between: Callable[[], None]) -> str:
        """Fork all, calling `between` before each pair; return why there are fewer, if so.

        Raises OSError when there is not even one.
        """
        gc.collect()
        gc.freeze()
        for number in range(self.plan.pairs):
            between()
            try:
                self.pairs.append(self.pair(number))
            except OSError as error:  # EAGAIN: RLIMIT_NPROC, or a container's pids.max; ENOMEM
                if not number:
                    raise
                return f"{number} pairs instead of {self.plan.pairs}: fork: {error.strerror}"
        return ""

    def pair(self, number: int) -> Pair:
        """Fork a server and its clients."""
        row = self.scores.row(number)
        ours, theirs = socket.socketpair()
        try:
            with theirs, listen() as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                fd, address = listener.fileno(), listener.getsockname()[:2]
                crowd = Crowd(address, row, self.plan.per_address, self.plan.window)
                server = self.fork(lambda: serve_hall(fd, row), fd)
                clients = self.fork(lambda: follow(theirs, crowd), theirs.fileno())
        except BaseException:
            ours.close()
            raise
        return Pair(number, self.plan.share(number), server, clients, ours)

    def fork(self, work: Callable[[], None], keeps: int) -> int:
        """Fork a process that does its work and ends; beside stderr it keeps one descriptor."""
        parent = os.getpid()
        pid = os.fork()
        if pid:
            self.pids.append(pid)
            return pid
        status = 1
        try:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it died before we could say so
                return os._exit(1)
            with contextlib.suppress(OSError):  # should memory run out all the same: these first
                Path("/proc/self/oom_score_adj").write_text("1000")
            # The end of a pipe is seen when nobody holds its other end any more: not the leash, not
            # the way to the controller's reader, nor the orders of the other pairs may stay.
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, 0)
            os.dup2(nothing, 1)
            for name in os.listdir("/proc/self/fd"):
                if int(name) > 2 and int(name) != keeps:
                    os.closerange(int(name), int(name) + 1)  # the one that listed them is gone
            work()
            status = 0
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(status)

    def ended(self) -> bool:
        """Tell whether any process has ended, which none should before its time."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return bool(self.pids) and os.waitid(os.P_ALL, 0, options) is not None

    def look(self) -> Look:
        """Look at the memory of all; at the kernel's objects too, where they are shown."""
        connections = self.scores.total(CONNECTED)
        return Look(
            connections,
            sum(of_process(pair.server).user for pair in self.pairs),
            sum(of_process(pair.clients).user for pair in self.pairs),
            free(connections),
            free(),
            slabs(),
        )

    def end(self) -> None:
        """Kill all, and wait until each is gone, with all its connections."""
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
        while self.pids:
            os.waitpid(self.pids.pop(), 0)
        while self.pairs:
            self.pairs.pop().orders.close()
