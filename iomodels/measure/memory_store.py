"""Measure the Go servers here, and store the figures for machines without Go.

    python -m iomodels.measure.memory_store

The file is go/stored.json beside this one. It says on what machine, when, and with which Go.
"""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path

from iomodels.measure.gopeer import MODELS, STORED, toolchain, version
from iomodels.measure.machine import in_general
from iomodels.measure.memory import memory


def store(path: Path = STORED) -> None:
    """Write the figures of every Go server, or nothing when one could not be measured."""
    rows = memory([f"go-{model}" for model in MODELS])
    for row in rows:
        if row.user is None or row.stored:
            sys.exit(f"nothing was stored; {row.name}: {row.note}")
    text = {
        "machine": in_general(),
        "date": datetime.date.today().isoformat(),
        "go": version(toolchain()),
        "rows": [row.as_dict() for row in rows],
    }
    path.write_text(json.dumps(text, indent=2) + "\n")


if __name__ == "__main__":
    store()
