"""Interrupt the cells of a notebook, and look at what is left.

    python -m tests.interrupting NOTEBOOK... [--times 2]

Each cell is run once and timed. One that takes longer than a fifth of a second is run again and
interrupted at some moment of that time, twice unless --times says otherwise. Then nothing may be
left that was not there before: no child process, listening socket, descriptor or temporary file.
After that it must run through again. Prints a line for each such cell; the exit status is the
number of faults, at most 255.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
import psutil
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

import tests.kernels  # noqa: F401  the ports of kernels

MEASURES = 0.2  # seconds from which on a cell is interrupted
SETTLES_WITHIN = 5.0  # seconds for what an interrupt has ended to be gone
PATIENCE = 120  # seconds for a cell


def left(kernel: psutil.Process) -> dict[str, Any]:
    """What there is: children, what the kernel listens on, its descriptors, temporary files."""
    return {
        "children": sorted(child.pid for child in kernel.children(recursive=True)),
        "listeners": sorted(c.laddr.port for c in kernel.net_connections() if c.status == "LISTEN"),
        "descriptors": kernel.num_fds(),
        "files": sorted(path.name for path in Path(tempfile.gettempdir()).glob("iomodels*")),
    }


def more(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What is there now and was not before, in words; "" when nothing is."""
    said = [
        f"{name}: {sorted(set(now[name]) - set(before[name]))}"
        for name in ("children", "listeners", "files")
        if set(now[name]) - set(before[name])
    ]
    if now["descriptors"] > before["descriptors"]:
        said.append(f"descriptors: {now['descriptors'] - before['descriptors']} more")
    return ", ".join(said)


def run(client: BlockingKernelClient, source: str) -> tuple[str, float]:
    """Run a cell to its end: the name of its error or "", and its seconds."""
    started = time.monotonic()
    reply = client.execute_interactive(source, timeout=PATIENCE, output_hook=lambda message: None)
    return reply["content"].get("ename", ""), time.monotonic() - started


def interrupted(
    manager: KernelManager, client: BlockingKernelClient, source: str, after: float
) -> str:
    """Run a cell and interrupt it: the name of the error that it ends with."""
    message = client.execute(source)
    time.sleep(after)
    manager.interrupt_kernel()
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        reply = client.get_shell_msg(timeout=PATIENCE)
        if reply["parent_header"].get("msg_id") == message:
            return str(reply["content"].get("ename", ""))
    return "no end"


def faults_of(path: Path, times: int) -> int:
    """Try one notebook's cells; return how many faults there were."""
    cells = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    manager, client = start_new_kernel(startup_timeout=PATIENCE, cwd=str(path.parent))
    kernel, faults = psutil.Process(manager.provisioner.pid), 0  # type: ignore[attr-defined]
    try:
        for number, source in enumerate(cells):
            error, seconds = run(client, source)
            if error:
                print(f"{path.stem} [{number}]: {error} before any interrupt", flush=True)
                return faults + 1
            if seconds < MEASURES:
                continue
            for _ in range(times):
                before, after = left(kernel), random.uniform(0, seconds)
                said = interrupted(manager, client, source, after)
                give_up = time.monotonic() + SETTLES_WITHIN
                while (found := more(before, left(kernel))) and time.monotonic() < give_up:
                    time.sleep(0.1)
                again, _ = run(client, source)
                bad = found or again or said not in ("", "KeyboardInterrupt")
                faults += bool(bad)
                print(
                    f"{path.stem} [{number}]: after {after:.2f} of {seconds:.2f} s:"
                    f" {said or 'it had ended'}; left: {found or 'nothing'};"
                    f" again: {again or 'runs'}{'   <--' if bad else ''}",
                    flush=True,
                )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return faults


def main() -> int:
    assert __doc__
    parser = argparse.ArgumentParser(
        prog="python -m tests.interrupting", description=__doc__.splitlines()[0]
    )
    parser.add_argument("notebooks", type=Path, nargs="+")
    parser.add_argument("--times", type=int, default=2, help="interrupts of each cell")
    chosen = parser.parse_args()
    return min(255, sum(faults_of(path, chosen.times) for path in chosen.notebooks))


if __name__ == "__main__":
    sys.exit(main())
