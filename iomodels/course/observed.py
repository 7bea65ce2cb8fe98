"""A server in a process of its own, that can be looked at, and squeezed, while it serves.

    with observed("epoll", "websocket", Timeouts(read_header=0.5)) as server:
        server.allow(40)                    # it may open so many descriptors more
        before = server.woken()
        ...
        print(server.woken() - before)      # how often epoll_wait has returned meanwhile

Lesson 14 looks at two of them: the course's own, with a client's deadlines made short, and the one
that trusts everybody (naive.py). measure/serving.py runs a server as well; what is added here is
the choice of timeouts, the limit, and the counter.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import resource
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial

from iomodels import apps, servers
from iomodels.apps.websocket import echo
from iomodels.course import naive
from iomodels.kernel import EpollPoller, LiveKernel
from iomodels.measure.child import hold_leash, say
from iomodels.measure.footprint import of_process
from iomodels.measure.serving import STOPS_WITHIN, Child, child
from iomodels.servers import Serve
from iomodels.servers.listening import listen
from iomodels.servers.stopping import stop_on_signals
from iomodels.websocket import Timeouts

__all__ = ["Observed", "observed"]

NAIVE: dict[str, Serve] = {
    "naive": naive.serve,
    "naive with a spare": partial(naive.serve, spare=True),
}


@dataclass
class Observed:
    """A running server: where it listens, and what can be asked of it."""

    child: Child
    address: tuple[str, int]
    counter: int  # an fd: the eight bytes that the server counts in

    @property
    def pid(self) -> int:
        return self.child.process.pid

    def woken(self) -> int:
        """How often its epoll_wait has returned since it began."""
        return int.from_bytes(os.pread(self.counter, 8, 0), sys.byteorder)

    def memory(self) -> int:
        """Bytes of its memory that no file is behind."""
        return of_process(self.pid).user

    def cpu(self) -> float:
        """Seconds of CPU that it has used, to 10 ms."""
        import psutil

        times = psutil.Process(self.pid).cpu_times()
        return times.user + times.system

    def descriptors(self) -> set[int]:
        """The numbers that it has open."""
        return {int(name) for name in os.listdir(f"/proc/{self.pid}/fd")}

    def allow(self, more: int) -> None:
        """Have it open so many descriptors more, and then hear EMFILE (man 2 prlimit)."""
        taken, limit = self.descriptors(), 0
        while more:
            more -= limit not in taken
            limit += 1
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (limit, hard))

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the process for the time of the block, as Ctrl-Z would: SIGSTOP and SIGCONT."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.child.process.terminate()

    def wait(self) -> None:
        """Wait until it has ended. Raises subprocess.TimeoutExpired when it does not."""
        self.child.process.wait(STOPS_WITHIN)


@contextlib.contextmanager
def observed(
    name: str = "epoll", app: str = "echo", timeouts: Timeouts | None = None
) -> Iterator[Observed]:
    """Run a server until the block ends: "naive", "naive with a spare", or a model of the course.

    `timeouts` are for the WebSocket echo. Raises ServerError when it does not start.
    """
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(8))
        file.flush()
        order = {"name": name, "app": app, "file": file.name}
        if timeouts:
            order["timeouts"] = json.dumps(asdict(timeouts))
        with child("iomodels.course.observed", [json.dumps(order)]) as running:
            host, port = running.said["address"][:2]
            yield Observed(running, (host, port), file.fileno())


# --- in the child ---


class CountingEpoll:
    """epoll, with a count of how often it has returned."""

    def __init__(self, inner: EpollPoller, count: memoryview) -> None:
        self.inner, self.count = inner, count
        self.register, self.modify, self.unregister = inner.register, inner.modify, inner.unregister
        self.fileno, self.close = inner.fileno, inner.close

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        events = self.inner.poll(timeout)
        self.count[0] += 1
        return events


class CountingKernel(LiveKernel):
    """Hands out a CountingEpoll, and says where the server listens: now it is about to serve."""

    def __init__(self, count: memoryview, address: object) -> None:
        self.count, self.address = count, address

    def epoll(self) -> EpollPoller:  # type: ignore[override]
        inner = super().epoll()
        say(address=self.address)
        return CountingEpoll(inner, self.count)


def main(order: str) -> None:
    """Serve until SIGTERM; when stdin ends, because the parent is no more, as well."""
    wanted = json.loads(order)
    with open(wanted["file"], "r+b") as file:
        count = memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")
    timeouts = wanted.get("timeouts")
    app = echo(Timeouts(**json.loads(timeouts))) if timeouts else apps.app(wanted["app"])
    serve = NAIVE.get(wanted["name"]) or servers.server(wanted["name"])
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(listen())
        if wanted["name"] not in NAIVE:  # those know of no signals
            stack.enter_context(stop_on_signals(listener.fileno()))
        threading.Thread(target=hold_leash, daemon=True).start()
        serve(listener.fileno(), app, CountingKernel(count, listener.getsockname()))


if __name__ == "__main__":
    main(sys.argv[1])
