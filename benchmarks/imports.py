"""What an import costs: fresh interpreters with it and without, in turn; the least of each."""

from __future__ import annotations

import subprocess
import sys
import time

REPEATS = 15


def fresh(statement: str) -> float:
    """Milliseconds that a fresh interpreter takes to start, do this, and end."""
    start = time.perf_counter_ns()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return (time.perf_counter_ns() - start) / 1e6


def imports(modules: tuple[str, ...] = ("iomodels", "iomodels.servers.epoll")) -> dict[str, float]:
    """Milliseconds that each import adds to an interpreter's start."""
    least = dict.fromkeys(("", *modules), float("inf"))
    for _ in range(REPEATS):
        for module in least:
            least[module] = min(least[module], fresh(f"import {module}" if module else "pass"))
    nothing = least.pop("")
    return {module: took - nothing for module, took in least.items()}
