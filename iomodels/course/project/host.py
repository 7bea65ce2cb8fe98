"""A chat server under test: `serve(listener, patience)` in a process of its own.

It is a fork of the process in which the case runs (trial.py): a function from a notebook exists in
memory only. So the server's descriptors, its memory and its system calls can be counted from
outside, and what it does wrong hurts nobody.

A case must not wait long for what will not come. When every thread of the server sleeps, and none
of them has run for QUIET seconds, all that was sent to it has long arrived, for on loopback the
sender's own system call puts it there: the server will say nothing more, and the case can tell so
at once. Else it waits for PATIENCE seconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

from iomodels.course import trial
from iomodels.kernel.descriptors import descriptors
from iomodels.measure.limits import raise_soft_limit
from iomodels.servers.listening import listen

Serve = Callable[[socket.socket, float], None]

PATIENCE = 2.0  # seconds within which a server must have done what it is asked
QUIET = 0.25  # seconds of sleep after which it will do nothing more
ADMISSION = 10.0  # seconds that a newcomer has for its request, where a case says nothing else


@dataclass
class Hosted:
    """A running server."""

    pid: int
    listener: socket.socket  # our copy: to shut it down is to ask the server to end
    news: int  # a pipe: where it is, when asked, and how it has ended
    _heard: list[dict[str, str]] = field(default_factory=list)
    _status: int | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self.listener.getsockname()
        return host, port

    def descriptors(self) -> int:
        """How many descriptors it has open, its children's not counted."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def pulse(self) -> int | None:
        """How often its threads were put to sleep or woken so far; None while one of them runs."""
        beats = 0
        for pid in family(self.pid):
            for status in Path(f"/proc/{pid}/task").glob("*/status"):
                try:
                    lines = dict(line.split(":\t", 1) for line in status.read_text().splitlines())
                except (OSError, ValueError):  # it has just ended
                    return None
                if not lines["State"].startswith("S"):
                    return None
                beats += int(lines["voluntary_ctxt_switches"])
                beats += int(lines["nonvoluntary_ctxt_switches"])
        return beats

    def awake(self, looks: int = 40) -> float:
        """In which part of so many looks, one in 10 ms, it runs or waits for a CPU.

        Who spins always does, however little of a CPU a busy machine gives it.
        """
        found = 0
        for _ in range(looks):
            time.sleep(0.01)
            found += self.pulse() is None
        return found / looks

    def wait(
        self, condition: Callable[[], bool], seconds: float = PATIENCE, quiet: float = QUIET
    ) -> bool:
        """Wait for something; False when `seconds` are over, or the server will do no more.

        It will do no more when it has ended, or has slept for so long.
        """
        give_up = time.monotonic() + seconds
        beats, since = -1, time.monotonic()
        while not condition():
            now = time.monotonic()
            pulse = None if self.has_ended() else self.pulse()
            if pulse is None or pulse != beats:
                beats, since = -1 if pulse is None else pulse, now
            if now > give_up or now > since + quiet or self.has_ended():
                return condition()
        return True

    def has_ended(self) -> bool:
        """Whether its process has."""
        if self._status is None:
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is not None:
                self._status = os.waitpid(self.pid, 0)[1]
        return self._status is not None

    def fate(self) -> str:
        """What the server does, in words, to go behind a complaint: where it is, how it ended."""
        if self.has_ended():
            ends = [told["ended"] for told in self._read(0) if "ended" in told]
            return ends[-1] if ends else f"your server is gone: {trial.how_it_ended(self._died())}"
        asleep = self.pulse() is not None
        os.kill(self.pid, trial.WHERE)
        lines = [told["where"] for told in self._read(trial.ANSWERS_WITHIN) if "where" in told]
        verb = "sleeps" if asleep else "is busy"
        return f"your server {verb}{lines[-1]}" if lines and lines[-1] else f"your server {verb}"

    def expect_alive(self) -> None:
        """Raise Wrong when it has ended, and go on otherwise."""
        if self.has_ended():
            raise trial.Wrong(self.fate())

    def _died(self) -> int:
        assert self._status is not None
        return self._status

    def _read(self, seconds: float) -> list[dict[str, str]]:
        """All that it has told; wait so long for one thing more."""
        if select.select([self.news], [], [], seconds)[0]:
            data = os.read(self.news, 65536)
            self._heard += map(json.loads, data.decode().splitlines())
        return self._heard

    def shut_down(self) -> None:
        """Shut the listener down, which asks it to end. Raises Wrong when it has ended before."""
        self.expect_alive()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)

    def expect_return(self, after: str) -> None:
        """Raise Wrong unless `serve` returns, and has closed what it has opened."""
        self.wait(self.has_ended)
        ends = [told for told in self._read(0) if "ended" in told] if self.has_ended() else []
        if not ends or ends[-1].get("kind") != "returned":
            raise trial.Wrong(f"{after}, and `serve` should return; {self.fate()}")


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    pids = [pid]
    for one in pids:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                pids += map(int, children.read_text().split())
    return pids


def cpu(pid: int) -> float:
    """Seconds of CPU that a process, its descendants and their threads have used."""
    used = 0  # nanoseconds, as schedstat has it; the clock ticks of stat are 10 ms
    for one in family(pid):
        for task in Path(f"/proc/{one}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                used += int(task.read_text().split()[0])
    return used / 1e9


@contextlib.contextmanager
def hosting(
    serve: Serve, *, patience: float = ADMISSION, more: int | None = None, send_buffer: int = 0
) -> Iterator[Hosted]:
    """Run `serve(listener, patience)` until the block ends. For a case that `trial` runs.

    `more` is how many descriptors the server may open, None: as many as this machine allows.
    `send_buffer` is the size of its connections' send buffers in bytes, 0: what is usual. When the
    server is not written yet, the case ends with that.
    """
    with listen() as listener:
        if send_buffer:  # accepted sockets inherit it
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        news, tells = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(news)
            _be_the_server(serve, listener, patience, more, tells)
        os.close(tells)
        server = Hosted(pid, listener, news)
        try:
            yield server
        finally:
            unwritten = any(told.get("kind") == "unwritten" for told in server._read(0))
            for kill in (os.killpg, os.kill):  # it and what it has started
                with contextlib.suppress(ProcessLookupError):
                    kill(pid, signal.SIGKILL)
            while not server.has_ended():
                time.sleep(0.001)
            os.close(news)
            if unwritten:
                assert trial.own_link
                trial.own_link.finish("unwritten", "not written yet")


# --- the server's process ---


def _be_the_server(
    serve: Serve, listener: socket.socket, patience: float, more: int | None, news: int
) -> NoReturn:
    def tell(**what: str) -> None:
        os.write(news, json.dumps(what).encode() + b"\n")

    def say_where(_signal: int, frame: FrameType | None) -> None:
        others = sys._current_frames()
        others.pop(threading.get_ident(), None)
        lines = [_line(traceback.walk_stack(top)) for top in (frame, *others.values()) if top]
        tell(where=next(filter(None, lines), ""))

    try:
        os.setpgid(0, 0)
        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(trial.WHERE, say_where)
        raise_soft_limit()
        if more is not None:
            leave_room_for(more)
        before = {(each.fd, each.target) for each in descriptors()}
        serve(listener, patience)
        left = [each for each in descriptors() if (each.fd, each.target) not in before]
        if left:
            tell(ended=f"`serve` has returned, and left {trial.kinds_of(left)} open", kind="leak")
        else:
            tell(ended="`serve` has returned, though nobody asked it to end", kind="returned")
    except NotImplementedError:
        tell(ended="your server is not written yet", kind="unwritten")
    except BaseException as error:
        said = f"{type(error).__name__}: {error}".removesuffix(": ")
        line = _line([*traceback.walk_tb(error.__traceback__)][::-1])
        tell(ended=f"your server has ended with {said}{line}", kind="raised")
    finally:
        os._exit(0)


def leave_room_for(more: int) -> None:
    """Lower the soft limit until so many numbers are free below it."""
    used = {each.fd for each in descriptors()}
    free = (number for number in itertools.count() if number not in used)
    limit = next(itertools.islice(free, more, None))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _line(frames: Iterable[tuple[FrameType, int]]) -> str:
    """Where the learner's code is, of some frames with their lines, the innermost first."""
    return trial.own_link.line(frames) if trial.own_link else ""
