"""What a process and its children take of the machine's memory, as the kernel's books have it.

User memory is what no file is behind: heaps and stacks, no code, no library. The kernel finds it
in the page tables when /proc/PID/smaps_rollup is read. `Anonymous` there counts each page of a
process; but after fork(2) parent and child have many pages in common, and a sum over both would
count them twice. `Pss_Anon` divides each page by the number of processes that have it, so that the
sum over a family is what the family takes. For a process alone the two are equal. (RssAnon in
/proc/PID/status would be quicker, but the kernel adds it up in batches, and may be off by more than
all that is measured here.) What was swapped out is counted too.

The kernel's side: page tables (`VmPTE`), a stack for each thread, and the objects that it keeps in
slabs, a cache of its own for each kind. /proc/slabinfo counts those by name, for the whole machine,
and shows them to root alone. Total `Slab` in /proc/meminfo is no measure: it moves with every file
that anybody looks at.
"""

from __future__ import annotations

import errno
import functools
import os
import re
from dataclasses import astuple, dataclass, replace
from pathlib import Path

# Bytes of a thread's stack in the kernel, on 64-bit machines: THREAD_SIZE in
# arch/x86/include/asm/page_64_types.h and arch/arm64/include/asm/memory.h.
KERNEL_STACK = 16 * 1024

# What a connection, a thread or a process is made of in the kernel, as /proc/slabinfo spells it.
SLABS = (
    "TCP", "sock_inode_cache", "dentry", "filp", "tcp_bind_bucket", "tcp_bind2_bucket",
    "eventpoll_epi", "eventpoll_pwq", "fasync_cache", "io_kiocb", "task_struct", "signal_cache",
    "sighand_cache", "files_cache", "fs_cache", "pid", "cred", "mm_struct", "vm_area_struct",
    "anon_vma", "anon_vma_chain",
)  # fmt: skip


@dataclass(frozen=True)
class Footprint:
    """Bytes of a process and of all its descendants."""

    user: int = 0
    virtual: int = 0  # addresses, whether there is memory behind them or not
    page_tables: int = 0
    kernel_stacks: int = 0

    def __add__(self, other: Footprint) -> Footprint:
        return Footprint(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def footprint(pid: int) -> Footprint:
    """Look at a process and its descendants. Raises OSError where /proc does not tell."""
    import psutil

    total = of_process(pid)
    for child in psutil.Process(pid).children(recursive=True):
        try:
            total += of_process(child.pid)
        except (FileNotFoundError, ProcessLookupError):  # it has just ended: it has nothing left
            pass
    return total


def of_process(pid: int) -> Footprint:
    """Look at one process. Raises ProcessLookupError when it has ended, or FileNotFoundError."""
    status = sizes(f"/proc/{pid}/status")
    rollup = sizes(f"/proc/{pid}/smaps_rollup")
    if "VmSize" not in status:  # nobody has waited for it yet, but its memory is gone
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    anonymous = rollup.get("Pss_Anon", rollup["Anonymous"])  # before Linux 5.3 there is no Pss_Anon
    return Footprint(
        anonymous + rollup.get("SwapPss", 0),
        status["VmSize"],
        status["VmPTE"],
        len(os.listdir(f"/proc/{pid}/task")) * KERNEL_STACK,
    )


def sizes(path: str) -> dict[str, int]:
    """The lines of a file in /proc that are sizes, in bytes."""
    found = re.findall(r"^(\w+):\s+(\d+) kB$", Path(path).read_text(), re.M)
    return {name: int(kilobytes) * 1024 for name, kilobytes in found}


@dataclass(frozen=True)
class Slab:
    """The objects of one kind that are alive in the kernel."""

    objects: int
    size: int  # bytes of one


def slabs() -> dict[str, Slab] | None:
    """Each of SLABS that there is, on the whole machine; None where that is hidden from us.

    Kinds that the kernel keeps together cannot be told apart, and have all their names. A dentry of
    /proc is not counted: whoever looks there makes one, with an inode, for each file that is seen.
    A monitor that lists /proc/*/fd would give a connection a second one, and a third.
    """
    try:
        lines = Path("/proc/slabinfo").read_text().splitlines()[2:]
    except OSError:
        return None
    there = {}
    for line in lines:
        name, active, _, size, *_ = line.split()  # the third: objects, alive or not
        there[cache(name)] = Slab(int(active), int(size))
    together: dict[str, list[str]] = {}
    for name in SLABS:
        together.setdefault(cache(name), []).append(name)
    found = {"/".join(names): there[kind] for kind, names in together.items() if kind in there}
    if "dentry" in found and (of_proc := there.get("proc_inode_cache")):
        found["dentry"] = replace(
            found["dentry"], objects=found["dentry"].objects - of_proc.objects
        )
    return found


@functools.cache
def cache(name: str) -> str:
    """The cache that holds objects of this kind: the kernel merges caches of equal size."""
    try:
        return os.readlink(f"/sys/kernel/slab/{name}")
    except OSError:  # it is a folder, which has not been merged; or there is no such thing
        return name


def sockets() -> tuple[int, ...]:
    """Sockets that there are: of all kinds in this network namespace, and of TCP on the machine.

    () where the kernel does not tell.
    """
    try:
        text = Path("/proc/net/sockstat").read_text()
    except OSError:
        return ()
    return tuple(map(int, re.findall(r"(?:sockets: used|alloc) (\d+)", text)))


def why_no_slabs() -> str:
    """Why `slabs` has nothing to say, in one line; "" where it has."""
    if not os.path.exists("/proc/slabinfo"):
        return "kernel slabs are left out: this kernel has no /proc/slabinfo"
    if slabs() is None:
        return "kernel slabs are left out: only root may read /proc/slabinfo"
    return ""
