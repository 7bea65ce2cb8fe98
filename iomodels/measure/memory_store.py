"""Measure the Go servers here, and store the figures for machines without Go.

    python -m iomodels.measure.memory_store

The file is go/stored.json beside this one. It says on what machine, when, and with which Go.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import platform
import sys
from pathlib import Path

from iomodels.measure.gopeer import MODELS, STORED, toolchain, version
from iomodels.measure.memory import memory


def machine() -> str:
    """This machine in general words: cores, processor, kernel."""
    processor = platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    major, minor = platform.release().split(".")[:2]
    return f"{os.cpu_count()} cores of {processor}, {platform.system()} {major}.{minor}"


def store(path: Path = STORED) -> None:
    """Write the figures of every Go server, or nothing when one could not be measured."""
    rows = memory([f"go-{model}" for model in MODELS])
    for row in rows:
        if row.user is None or row.stored:
            sys.exit(f"nothing was stored; {row.name}: {row.note}")
    text = {
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
        "go": version(toolchain()),
        "rows": [row.as_dict() for row in rows],
    }
    path.write_text(json.dumps(text, indent=2) + "\n")


if __name__ == "__main__":
    store()
