"""`score(serve)`: what a chat server achieves, measured: the learner's, a model's, or Go's.

    score(serve)                    a function of the learner's
    score_of_model("epoll")         one of servers.MODELS
    score_of_go()                   a goroutine for each user (measure/go/chat.go)

The server is a process of its own, and so are its users (measure/chat_clients.py). First a crowd
connects, as many as one process may hold here, and each sends a ping, which must be answered: those
are held. Some of them then go into the room, and talk. Not all: entering is announced to everyone
in the room, so a room of n has cost n²/2 messages before the first word is said.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import resource
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from iomodels.course.project.host import Serve, cpu, family, hosting
from iomodels.course.project.stages import STAGES
from iomodels.course.project.tester import tried
from iomodels.course.trial import Wrong, trial
from iomodels.measure.footprint import footprint
from iomodels.measure.gopeer import gopeer
from iomodels.measure.limits import Sized, sized
from iomodels.measure.progress import progress
from iomodels.measure.serving import Child, ServerError, child, serving
from iomodels.measure.usage import counting

HOLD = 10_000  # users, as the course promises
ROOM = 200  # of them in the room
SPEAKERS = 10  # of these say something in each round
TIMES = 5  # there are so many times more users at the second look at the memory than at the first
REPEATS = 3  # of a measurement of which the best counts: what else runs here can only add
CROWD = "iomodels.measure.chat_clients"
LONGEST = 120.0  # seconds that a measurement may take in all


Figures = dict[str, Any]


class ScoreFailed(Exception):
    """There is no score; the text says why, in one line."""


def machine() -> str:
    """What the figures depend on, in a few words: they compare within one machine only."""
    cores = len(os.sched_getaffinity(0))
    python = platform.python_version()
    return f"{cores} core{'s' * (cores > 1)}, {platform.machine()}, Python {python}"


@dataclass(frozen=True)
class Score:
    """What a server has achieved. A figure is None where it could not be measured."""

    passed: int = 0  # tests of stages.STAGES
    held: int = 0  # users connected at the same time, whose pings were all answered
    wanted: int = 0  # users that were tried
    room: int = 0  # users in the room
    speakers: int = 0  # of them speak in each round
    rate: float = 0.0  # messages delivered per second: one said to 200 counts as 200
    p50: float = 0.0  # seconds of a round: from the first word until all have heard everything
    p99: float = 0.0
    memory: float | None = None  # bytes of user memory for each user who is connected
    cpu: float | None = None  # seconds of the server's CPU time for each message delivered
    calls: float | None = None  # system calls for each message delivered
    machine: str = field(default_factory=machine)
    note: str = ""  # what was not as asked, and why

    @property
    def tests(self) -> int:
        """Tests that there are."""
        return sum(len(stage.tests) for stage in STAGES)

    def __str__(self) -> str:
        calls = "" if self.calls is None else f", {self.calls:.2f} system calls for each"
        return (
            f"{self.passed} of {self.tests} tests, {self.held:,} users held, "
            f"{self.rate:,.0f} messages delivered a second{calls}, p99 {self.p99 * 1e3:.1f} ms"
        )


def score(
    serve: Serve,
    *,
    users: int = HOLD,
    room: int = ROOM,
    speakers: int = SPEAKERS,
    seconds: float = 1.0,
    passed: int | None = None,
) -> Score:
    """Test and measure a learner's server. `passed` tests are taken for granted, if given.

    `users` connect, or as many as this machine allows; `room` of them enter and talk for so many
    seconds, `speakers` at a time; the best of three parts of that time counts. Raises ScoreFailed
    when there is nothing to measure, ValueError for numbers that make no sense.
    """
    sizes = checked(users, room, speakers, seconds)
    if passed is None:
        passed = tried(serve).passed
    with waiting(users):
        found = hosted(serve, lambda address, pid: measured(address, pid, *sizes))
    return Score(passed=passed, **found)


@contextlib.contextmanager
def waiting(users: int) -> Iterator[None]:
    """Say what there is to wait for."""
    with progress("Score") as step:
        step(0.0, f"up to {users:,} users connect and talk")
        yield


def hosted(serve: Serve, measure: Callable[[tuple[str, int], int], Figures]) -> Figures:
    """Run a learner's server, and measure it by its address and pid. Raises ScoreFailed."""
    with tempfile.TemporaryDirectory(prefix="iomodels-score-") as folder:
        result = Path(folder, "figures")

        def measurement(serve: Serve) -> None:
            with hosting(serve) as server:
                try:
                    found = measure(server.address, server.pid)
                except ScoreFailed as why:
                    raise Wrong(str(why)) from None
                server.expect_alive()
            result.write_text(json.dumps(found))

        verdict = trial(measurement, [serve], LONGEST)
        if verdict.problem:
            raise ScoreFailed(verdict.problem)
        figures: Figures = json.loads(result.read_text())
        return figures


def score_of_model(
    name: str,
    *,
    users: int = HOLD,
    room: int = ROOM,
    speakers: int = SPEAKERS,
    seconds: float = 1.0,
    passed: int = 0,
) -> Score:
    """Measure one of the package's own servers, as `score` does; its tests are not run."""
    sizes = checked(users, room, speakers, seconds)
    try:
        with waiting(users), serving(name, "chat") as server:
            return Score(passed=passed, **measured(server.address, server.pid, *sizes))
    except ServerError as error:
        raise ScoreFailed(str(error)) from None


def score_of_go(
    *,
    users: int = HOLD,
    room: int = ROOM,
    speakers: int = SPEAKERS,
    seconds: float = 1.0,
    passed: int = 0,
) -> Score:
    """Measure the chat in Go. Raises ScoreFailed where there is none."""
    sizes = checked(users, room, speakers, seconds)
    try:
        with waiting(users), gopeer("chat") as server:
            host, port = server.said["address"]
            return Score(passed=passed, **measured((host, port), server.process.pid, *sizes))
    except ServerError as error:
        raise ScoreFailed(str(error)) from None


def checked(users: int, room: int, speakers: int, seconds: float) -> tuple[int, int, int, float]:
    """The sizes, none larger than the one before it. Raises ValueError when they make no sense."""
    if min(users, room, speakers) < 1:
        raise ValueError("users, room and speakers begin at 1")
    if not 0 < seconds <= LONGEST / 4:
        raise ValueError(f"seconds go from 0 to {LONGEST / 4:g}")
    room = min(room, users)
    return users, room, min(speakers, room), seconds


@dataclass(frozen=True)
class Point:
    """What a message delivered costs the server while so many are connected."""

    connected: int
    cpu: float  # seconds of CPU time
    calls: float | None  # system calls; None where they cannot be counted


def against_connected(
    serve: Serve,
    connected: Sequence[int],
    *,
    room: int = 20,
    speakers: int = SPEAKERS,
    seconds: float = 0.1,
) -> list[Point]:
    """Measure a learner's server with the same room, while more and more are connected beside it.

    Each point is the best of 2 * REPEATS times so many seconds, for two points are compared. With
    fewer descriptors there are fewer points. Raises ScoreFailed when a user is not served.
    """
    checked(min(connected), room, speakers, seconds)

    def measure(address: tuple[str, int], pid: int) -> Figures:
        most = fitting(max(connected), pid).connections
        sizes = sorted({min(size, most) for size in connected})
        inside = min(room, sizes[0])
        points, notes = [], list[str]()
        with child(CROWD, [json.dumps(address)]) as crowd:
            for size in sizes:
                told = order(crowd, f"hold {size}", size)
                tries = [
                    talk(crowd, pid, inside, speakers, seconds, notes) for _ in range(2 * REPEATS)
                ]
                if "failed" in told or notes:
                    raise Wrong(told.get("failed") or notes[0])
                least = min(tries, key=lambda found: float(found["cpu"]))
                points.append(asdict(Point(size, least["cpu"], least["calls"])))
        return {"points": points}

    with waiting(max(connected)):
        return [Point(**point) for point in hosted(serve, measure)["points"]]


def fitting(users: int, pid: int) -> Sized:
    """As many users as the server may hold, beside the descriptors that it has open already.

    A learner's server is a copy of a notebook's kernel, which has sixty of them.
    """
    open_now = len(os.listdir(f"/proc/{pid}/fd"))
    both = sized(users + open_now)
    return Sized(max(1, both.connections - open_now), users, both.why)


def measured(
    address: tuple[str, int], pid: int, users: int, room: int, speakers: int, seconds: float
) -> Figures:
    """The figures of a server that runs. Raises ScoreFailed when nobody can talk with it."""
    size = fitting(users, pid)
    notes = [str(size)] * bool(size.why)
    many, room = size.connections, min(room, size.connections)
    found: dict[str, Any] = {"wanted": many, "room": room, "speakers": min(speakers, room)}
    with child(CROWD, [json.dumps(address)]) as crowd:
        few = max(room, many // TIMES)
        told = order(crowd, f"hold {few}", few)
        before = footprint(pid).user
        if "failed" not in told and many > few:
            told = order(crowd, f"hold {many}", many)
        held = told["connected"]
        if held >= few + 500:  # with fewer, a slope says nothing
            found["memory"] = max(0.0, (footprint(pid).user - before) / (held - few))
        if "failed" in told:
            notes.append(told["failed"])
        found["room"] = room = min(room, held)
        if not room:
            raise ScoreFailed(told.get("failed", "nobody could connect"))
        found["held"] = alive(crowd, notes)
        each = seconds / REPEATS
        tries = [talk(crowd, pid, room, found["speakers"], each, notes) for _ in range(REPEATS)]
        found |= best(tries)
    return found | {"machine": machine(), "note": "; ".join(dict.fromkeys(notes))}


def best(tries: Sequence[Figures]) -> Figures:
    """The try with the highest rate: what else runs on the machine can only take from it."""
    return max(tries, key=lambda found: float(found.get("rate", 0)))


def alive(crowd: Child, notes: list[str]) -> int:
    """How many users get an answer to a ping."""
    told = order(crowd, "ping")
    if "failed" in told:
        notes.append(f"a ping: {told['failed']}")
    return int(told.get("alive", 0))


def talk(
    crowd: Child, pid: int, room: int, speakers: int, seconds: float, notes: list[str]
) -> dict[str, Any]:
    """Let the room talk; the figures of that."""
    told = order(crowd, f"enter {room}")
    if "failed" not in told:
        told = order(crowd, f"talk 0.02 {speakers}")  # to warm up
    if "failed" not in told:
        with counted(pid) as calls:
            used = cpu(pid)
            told = order(crowd, f"talk {seconds} {speakers}")
            used = cpu(pid) - used
    if "failed" in told:
        notes.append(told["failed"])
        return {}
    rounds = sorted(told["rounds"])
    messages = len(rounds) * room * speakers
    return {
        "rate": messages / sum(rounds),
        "p50": statistics.median(rounds),
        "p99": rounds[int(len(rounds) * 0.99)],
        "cpu": used / messages,
        "calls": None if calls[0] is None else calls[0] / messages,
    }


def order(crowd: Child, words: str, until: int = 0) -> dict[str, Any]:
    """Have the crowd do something; what it says then. `until` so many are connected, it says more.

    Raises ScoreFailed when it has ended.
    """
    pipes = crowd.process
    assert pipes.stdin and pipes.stdout
    pipes.stdin.write(f"{words}\n".encode())
    pipes.stdin.flush()
    while True:
        line = pipes.stdout.readline()
        if not line:
            last = crowd.log().strip().splitlines()
            raise ScoreFailed(last[-1] if last else "the users have ended without a word")
        told: dict[str, Any] = json.loads(line)
        if "failed" in told or not until or told.get("connected", 0) >= until:
            return told


@contextlib.contextmanager
def counted(pid: int) -> Iterator[list[int | None]]:
    """Count the system calls of a process and its family; the first of the list, afterwards.

    None where they cannot be counted (measure/usage.py), or not for so many threads: each takes a
    descriptor of ours.
    """
    counts: list[int | None] = [None]
    threads = [int(thread) for one in family(pid) for thread in os.listdir(f"/proc/{one}/task")]
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as stack:
        counters = []
        if len(threads) < (soft - len(os.listdir("/proc/self/fd"))) // 2:
            counters = [stack.enter_context(counting(thread)) for thread in threads]
        yield counts
        if counters and all(counters):
            counts[0] = sum(counter.count() for counter in counters if counter)
