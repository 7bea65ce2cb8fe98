"""Who wakes when a client comes: the workers of one port, counted one by one.

    for found in wakeups():
        print(found.share, found.woken, found.accepted)

Each of the three ways to share a port (servers/workers.py) gets the same clients, one after the
other: each connects, hears its echo, and leaves before the next one comes. So all workers sleep
when a client comes, and whoever wakes has been woken by it. A worker wakes as often as it has gone
to sleep: that is its voluntary context switches, which the kernel counts (man 5 proc, status).

The herd does not show in what epoll_wait returns. A worker that is woken, and finds on its way out
of the kernel that another has taken the client, goes back to sleep without a word.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
import sys
import time
from dataclasses import dataclass

from iomodels.apps import app
from iomodels.kernel import LiveKernel, live
from iomodels.measure.child import run, say
from iomodels.measure.progress import progress
from iomodels.measure.serving import child
from iomodels.servers.workers import WAYS, serve

SETTLE = 0.002  # seconds for all workers to be asleep again


@dataclass(frozen=True)
class Woken:
    """What became of so many clients; the tuples have a figure for each worker."""

    share: str
    clients: int
    woken: tuple[int, ...]
    accepted: tuple[int, ...]

    @property
    def each(self) -> float:
        """How many wake-ups each client took; one worker needs one or two for it."""
        return sum(self.woken) / self.clients


def wakeups(clients: int = 200, workers: int = 4) -> list[Woken]:
    """Let so many clients come to so many workers, one at a time, for each way to share a port.

    Raises ServerError when the workers cannot be started.
    """
    found = []
    with progress("Waking") as step:
        for done, share in enumerate(WAYS):
            step(done / len(WAYS), share)
            with child("iomodels.measure.wakeups", [share, str(workers)]) as running:
                host, port = running.said["address"][:2]
                visit((host, port))
                while len(before := sleeps(running.process.pid)) < workers:
                    time.sleep(SETTLE)  # the first ones serve while the others are being forked
                for _ in range(clients):
                    visit((host, port))
                after = sleeps(running.process.pid)
                running.process.terminate()
                assert running.process.stdout
                accepted = json.loads(running.process.stdout.readline())["accepted"]
            woken = tuple(a - b for a, b in zip(after, before, strict=True))
            found.append(Woken(share, clients, woken, tuple(accepted)))
        step(1.0, "done")
    return found


def visit(address: tuple[str, int]) -> None:
    """Be one client: connect, hear the echo of a byte, leave, and let everybody fall asleep."""
    with socket.create_connection(address, 10) as client:
        client.sendall(b"x")
        client.recv(1)
    time.sleep(SETTLE)


def sleeps(parent: int) -> list[int]:
    """How often each worker has gone to sleep, in the order in which they were forked."""
    import psutil

    workers = sorted(psutil.Process(parent).children(), key=lambda worker: worker.pid)
    return [worker.num_ctx_switches().voluntary for worker in workers]


# --- in the child ---


class CountingKernel(LiveKernel):
    """Counts the clients of each worker: its number is that of the fork that made it.

    The counters lie in memory that the workers share with their parent (man 2 mmap, MAP_SHARED).
    """

    def __init__(self, workers: int) -> None:
        self.worker = -1
        self.accepted = memoryview(mmap.mmap(-1, 8 * workers)).cast("q")

    def fork(self) -> int:
        self.worker += 1
        return os.fork()

    def accept(self, listener: int) -> int:  # type: ignore[override]
        fd = live.accept(listener)
        self.accepted[self.worker] += 1
        return fd


def main(share: str, workers: int) -> None:
    """Serve an echo until SIGTERM, then say what was counted."""

    def serve_and_count(listener: int) -> None:
        kernel = CountingKernel(workers)
        serve(listener, app("echo"), kernel, share, workers)
        say(accepted=kernel.accepted.tolist())

    run(serve_and_count, share=share == "reuseport")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
