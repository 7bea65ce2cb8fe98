"""Interrupt the cells of a notebook, and look at what is left.

    python -m tests.interrupting NOTEBOOK... [--times 2]

Each cell is run and timed. One that takes longer than a fifth of a second is run again, and from
its start on interrupted at some moment of that time, twice unless --times says otherwise. Then
nothing may be left that was not there before: no process, thread, listening socket, descriptor or
temporary file. After that it must run through again. Prints a line for each interrupt, with an
arrow where something is wrong; the exit status is the number of these, at most 255.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import queue
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
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
ANSWERS_WITHIN = 2.0  # seconds for the reply of a cell that is over

# The kernel's own code had it, just before the cell or just after: there is no reply then.
OUTSIDE = "KeyboardInterrupt outside the cell"
PR_SET_CHILD_SUBREAPER = 36  # man 2 prctl
ARROW = "   <--"


def left(kernel: psutil.Process) -> dict[str, Any]:
    """What there is: processes; the kernel's threads, listeners and descriptors; temporary files.

    A thread that sleeps in accept keeps its port, though the descriptor has been closed.
    """
    started = psutil.Process().children(recursive=True)
    return {
        "processes": sorted(process.pid for process in started if alive(process)),
        "threads": sorted(thread.id for thread in kernel.threads()),
        "listeners": sorted(c.laddr.port for c in kernel.net_connections() if c.status == "LISTEN"),
        "files": sorted(path.name for path in Path(tempfile.gettempdir()).iterdir()),
        "descriptors": sorted(descriptors(kernel.pid)),
    }


def alive(process: psutil.Process) -> bool:
    """Whether it runs. One that has ended may wait to be asked for its status.

    Python's subprocess.run leaves it so when it is interrupted, until another child is started.
    """
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE  # type: ignore[no-any-return]
    return False


def descriptors(pid: int) -> Iterator[tuple[int, str]]:
    """Each open fd of a process, and what it is."""
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed in the meantime
            yield int(path.name), os.readlink(path)


def more(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What there is more of now than before, in words; "" when there is nothing.

    It is counted, for a cell that is run again may replace what it keeps: its folder, or a socket.
    """
    said = []
    for name, kept in before.items():
        if (many := len(now[name]) - len(kept)) > 0:
            said.append(f"{many} more {name} of {sorted(set(now[name]) - set(kept))}")
    return ", ".join(said)


def seen(client: BlockingKernelClient, message: str, what: str) -> None:
    """Wait until the kernel says `what` of a cell: "execute_input", it starts; "idle", it is over.

    Raises queue.Empty when the kernel says nothing for as long as its cell may take.
    """
    while True:
        said = client.get_iopub_msg(timeout=PATIENCE)
        kinds = said["msg_type"], said["content"].get("execution_state")
        if said["parent_header"].get("msg_id") == message and what in kinds:
            return


def run(
    client: BlockingKernelClient, source: str, started: Callable[[], object] = lambda: None
) -> str:
    """Run a cell, and `started` while it runs: the name of the error that it ends with, or ""."""
    message = client.execute(source, stop_on_error=False)
    try:
        seen(client, message, "execute_input")
        started()
        seen(client, message, "idle")
    except queue.Empty:
        return "no end"
    while True:
        try:
            reply = client.get_shell_msg(timeout=ANSWERS_WITHIN)
        except queue.Empty:
            return OUTSIDE
        if reply["parent_header"].get("msg_id") == message:
            return str(reply["content"].get("ename", ""))


def timed(client: BlockingKernelClient, source: str) -> tuple[str, float]:
    """Run a cell: the name of its error or "", and its seconds."""
    started = time.monotonic()
    return run(client, source), time.monotonic() - started


def tried(manager: KernelManager, client: BlockingKernelClient, source: str, after: float) -> str:
    """Interrupt a cell so long after its start: what came of it, with an arrow when it is bad."""
    kernel = psutil.Process(manager.provisioner.pid)  # type: ignore[union-attr]

    def interrupt() -> None:
        time.sleep(after)
        manager.interrupt_kernel()  # a kernel whose cell has ended ignores it

    before = left(kernel)
    said = run(client, source, interrupt)
    give_up = time.monotonic() + SETTLES_WITHIN
    while (found := more(before, left(kernel))) and time.monotonic() < give_up:
        time.sleep(0.1)
    again = run(client, source)
    bad = found or again or said not in ("", OUTSIDE, "KeyboardInterrupt")
    return (
        f"{said or 'it had ended'}; left: {found or 'nothing'}; again: {again or 'runs'}"
        f"{ARROW if bad else ''}"
    )


def faults_of(path: Path, times: int) -> int:
    """Try one notebook's cells; return how many faults there were."""
    cells = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    manager, client = start_new_kernel(
        startup_timeout=PATIENCE,
        cwd=str(path.parent),
        extra_arguments=["--HistoryManager.enabled=False"],  # it opens its file now and then
    )
    faults = 0
    try:
        for number, source in enumerate(cells):
            error, seconds = timed(client, source)
            if not error and seconds >= MEASURES:  # the first time pays for imports
                error, seconds = timed(client, source)
            if error:
                print(f"{path.stem} [{number}]: {error} before any interrupt{ARROW}", flush=True)
                return faults + 1
            for _ in range(times if seconds >= MEASURES else 0):
                after = random.uniform(0, seconds)
                told = tried(manager, client, source, after)
                faults += told.endswith(ARROW)
                when = f"after {after:.2f} of {seconds:.2f} s"
                print(f"{path.stem} [{number}]: {when}: {told}", flush=True)
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
    # Whose parent has gone becomes a child of this process, and does not get out of sight.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory() as nobody_elses:
        os.environ["TMPDIR"] = tempfile.tempdir = nobody_elses
        return min(255, sum(faults_of(path, chosen.times) for path in chosen.notebooks))


if __name__ == "__main__":
    sys.exit(main())
