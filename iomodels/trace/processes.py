"""The server's processes, as the recorder has them: a channel to each, and their end.

The first one is a fresh child (child.py). A forked one comes with a channel of its own (stage.py).
Whatever happens to the recorder, none of them outlives it: whose channel ends, ends.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

from iomodels.trace.scenario import Scenario
from iomodels.trace.stage import MESSAGE

PATIENCE = 30.0  # seconds for an answer of the server's process; it takes a moment
ENDS = 2000  # milliseconds in which a process ends


class RecordingError(Exception):
    """There is no recording; the text says why, in one line."""


class Again(RecordingError):
    """Something came in between that is no part of the scenario: it must be recorded again."""


@dataclass(eq=False)
class Process:
    """One process of the server."""

    channel: socket.socket
    pid: int
    index: int = 0
    told: int = 0  # the pid that its parent was told (stage.py)
    actors: dict[int, str] = field(
        default_factory=dict
    )  # by the stage's number: the recorder's key
    seen: dict[str, Any] = field(default_factory=dict)  # how the kernel stood at the last look
    until: float | None = None  # when the first of its timeouts is over
    ended: bool = False

    def receive(self) -> dict[str, Any]:
        """The next thing that it says. Raises EOFError when it has ended."""
        data, fds, _, _ = socket.recv_fds(self.channel, MESSAGE, 1)
        if not data:
            raise EOFError
        said: dict[str, Any] = json.loads(data)
        if fds:
            said["channel"] = socket.socket(fileno=fds[0])
            said["channel"].settimeout(PATIENCE)
        return said

    def order(self, do: str, now: float, **more: Any) -> None:
        """Tell it what to do, and what time it is."""
        self.channel.sendall(json.dumps({"do": do, "now": now, **more}).encode())

    def ask(self, what: str, now: float) -> dict[str, Any]:
        """Ask it while it waits. Raises EOFError when it ends instead of answering."""
        self.order(what, now)
        said = self.receive()
        if "say" in said:
            raise EOFError
        return said

    def see(self, now: float) -> None:
        """Look how the kernel stands for it."""
        self.seen = self.ask("see", now)["look"]

    def look(self, now: float) -> list[int]:
        """Look how the kernel stands for it, and who of it can go on."""
        said = self.ask("look", now)
        self.seen, self.until = said["look"], said["until"]
        return list(said["awake"])


@contextmanager
def running(model: str, scenario: Scenario, processes: list[Process]) -> Iterator[Process]:
    """Run a server; whatever happens, it and all in `processes` are gone at the end.

    Raises RecordingError with what it said last, if it ends before.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(PATIENCE)
    order = json.dumps({"model": model, "settings": settings(scenario)})
    command = [sys.executable, "-m", "iomodels.trace.child", str(theirs.fileno()), order]
    with tempfile.TemporaryFile() as errors, ours, theirs:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
            pass_fds=[theirs.fileno()], start_new_session=True,
        )  # fmt: skip
        try:
            theirs.close()
            yield Process(ours, child.pid)
        except (EOFError, ConnectionError, TimeoutError):
            child.kill()
            raise RecordingError(last_line(errors)) from None
        finally:
            for process in processes[1:]:
                process.channel.close()
                if not process.ended:
                    end(process.pid)
            child.kill()
            child.wait()


def settings(scenario: Scenario) -> dict[str, Any]:
    """What the child has to know."""
    given = scenario.settings
    return {
        **{k: v for k, v in vars(given).items() if k != "timeouts"},
        "timeouts": dict(given.timeouts),
    }


def end(pid: int, *, kill: bool = True) -> None:
    """Wait until a process of the server is no more; end it if it has to be."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if kill:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.poll(ENDS)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


def last_line(errors: IO[bytes]) -> str:
    """What a child that has failed said last."""
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "the server ended without a word"
