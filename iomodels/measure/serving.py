"""A server in a fresh child, which is always got rid of.

    with serving("epoll") as server:
        load(server.address)
    print(server.used.cpu)

Fresh, because a notebook's own process already holds sixty descriptors, eight threads and 80 MB: in
it no count begins at zero. The child is ended by its pid, and it ends by itself when its parent is
gone (child.py).
"""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

from iomodels.measure.usage import Usage
from iomodels.servers import MODELS

STOPS_WITHIN = 10.0  # seconds; a server takes 2 at most when clients do not read


class ServerError(Exception):
    """The server did not start, or did not end well; the text is what it said."""


@dataclass
class Child:
    """A Python module that runs in a process of its own, and the first line that it said."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes]  # a file, for a pipe that nobody reads would fill up and stop the child
    said: dict[str, Any]

    def log(self) -> str:
        """What it has written to stderr so far."""
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")


@dataclass
class Served:
    """A running server: its model and where it listens; once stopped, what it has used."""

    model: str
    child: Child
    address: tuple[str, int]
    used: Usage | None = None  # since it began to listen; None until it has stopped

    @property
    def pid(self) -> int:
        return self.child.process.pid

    def log(self) -> str:
        """What it has told its operator so far."""
        return self.child.log()

    def stop(self) -> None:
        """Stop it as Ctrl-C would, and take down what it has used. Safe to call twice."""
        process = self.child.process
        if process.returncode is not None:
            return
        process.terminate()
        try:
            process.wait(STOPS_WITHIN)  # not communicate(): that lets go of the leash
        except subprocess.TimeoutExpired:
            raise ServerError(f"{self.model} did not stop within {STOPS_WITHIN:g} s") from None
        if process.returncode:
            raise ServerError(f"{self.model} ended with status {process.returncode}: {self.log()}")
        assert process.stdout
        self.used = Usage(**json.loads(process.stdout.read())["used"]) - Usage(
            **self.child.said["used"]
        )


@contextlib.contextmanager
def serving(model: str, app: str = "echo", *, cpu: int | None = None) -> Iterator[Served]:
    """Run a server until the block ends, on one CPU if it is named.

    Raises ValueError for a model that there is not, ServerError when it does not start.
    """
    if model not in MODELS:
        raise ValueError(f"no model named {model!r}; there are {', '.join(MODELS)}")
    pinned = [] if cpu is None else [str(cpu)]
    with child("iomodels.measure.child", [model, app, *pinned]) as running:
        host, port = running.said["address"][:2]
        server = Served(model, running, (host, port))
        yield server
        server.stop()


@contextlib.contextmanager
def child(
    module: str, arguments: Sequence[str], while_waiting: Callable[[], None] = lambda: None
) -> Iterator[Child]:
    """Run a Python module in a child until the block ends, and yield it once it has said a line.

    Ten times a second until then, `while_waiting` is called. Raises ServerError with the child's
    last line on stderr when it ends without a word.
    """
    command = [sys.executable, "-m", module, *arguments]
    pipe = subprocess.PIPE
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors)
        try:
            assert process.stdout
            ready = select.poll()
            ready.register(process.stdout, select.POLLIN)
            while not ready.poll(100):
                while_waiting()
            line = process.stdout.readline()
            running = Child(process, errors, json.loads(line or "{}"))
            if not line:
                lines = running.log().strip().splitlines()
                raise ServerError(lines[-1] if lines else f"{module} said nothing")
            yield running
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a child that may still run, by SIGTERM or else SIGKILL, and close its pipes."""
    try:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOPS_WITHIN)
    finally:  # it has not ended, or we are interrupted once more: there is no time for manners
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
