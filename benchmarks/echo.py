"""Echo: the live kernel's cost, and what the real servers make of the smallest loop's rate.

Server and clients have a CPU each, where there are two. The candidates take turns, round after
round, for the machine is faster at one time than at another; of each the best round counts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from iomodels.measure.load import load
from iomodels.measure.progress import progress
from iomodels.measure.serving import child, serving

Address = tuple[str, int]
Candidates = dict[str, Callable[[], AbstractContextManager[Address]]]

CPUS = sorted(os.sched_getaffinity(0))
SERVER, CLIENTS = (CPUS[0], CPUS[1]) if len(CPUS) > 1 else (None, None)


@contextmanager
def loop(name: str) -> Iterator[Address]:
    """One of the two smallest loops."""
    pinned = [] if SERVER is None else [str(SERVER)]
    with child("benchmarks.loops", [name, *pinned]) as running:
        host, port = running.said["address"]
        yield host, port


@contextmanager
def model(name: str, app: str = "echo") -> Iterator[Address]:
    """One of the servers."""
    with serving(name, app, cpu=SERVER) as server:
        yield server.address


def best_rates(
    candidates: Candidates,
    *,
    rounds: int,
    seconds: float,
    in_flight: int = 1,
    app: str = "echo",
    floor: str = "",
) -> dict[str, float]:
    """Messages per second of each candidate in its best round: 100 clients, 64 bytes.

    The one called `floor` is loaded as an echo, whatever the app of the others.
    """
    best = dict.fromkeys(candidates, 0.0)
    with progress("Echo") as step:
        for number in range(rounds):
            for place, (name, start) in enumerate(candidates.items()):
                step((number + place / len(candidates)) / rounds, f"{name}, round {number + 1}")
                with start() as address:
                    report = load(
                        address, app="echo" if name == floor else app,
                        in_flight=in_flight, seconds=seconds, cpu=CLIENTS,
                    )  # fmt: skip
                assert report.served == report.connections, f"{name} served {report.served}"
                assert not report.unanswered and not report.lost, f"{name} lost messages"
                best[name] = max(best[name], report.rate)
    return best


def seam(rounds: int = 12, seconds: float = 0.5) -> dict[str, float]:
    """The same loop through the live kernel and on bare calls."""
    candidates: Candidates = {
        "bare calls": lambda: loop("bare"),
        "through the seam": lambda: loop("seam"),
    }
    return best_rates(candidates, rounds=rounds, seconds=seconds)


def servers(rounds: int = 3, seconds: float = 0.5, in_flight: int = 1) -> dict[str, float]:
    """The smallest loop, and the real servers: partial writes, bounds, an app, a clean end."""
    candidates: Candidates = {"smallest loop": lambda: loop("bare")}
    for name in ("select", "poll", "epoll", "epoll-edge"):
        candidates[name] = lambda name=name: model(name)  # type: ignore[misc]
    return best_rates(candidates, rounds=rounds, seconds=seconds, in_flight=in_flight)
