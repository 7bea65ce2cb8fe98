"""What a million takes, what this machine has, and what follows: the plan.

    descriptors   one at each end. A process may hold so many (RLIMIT_NOFILE), so the connections
                  are spread over pairs of processes, a server and its clients. The machine has a
                  limit too (fs.file-max), and so has epoll (fs.epoll.max_user_watches).
    ports         one for each connection of a source address to a listener, out of
                  net.ipv4.ip_local_port_range; past half of them, connecting gets slow (crowd.py).
                  There are as many source addresses as one wants.
    memory        nearly all of it the kernel's: two sockets, two files, two inodes.

Where there is too little of something, fewer connections are planned, and the plan says why.
"""

from __future__ import annotations

import math
import os
import resource
from dataclasses import asdict, dataclass
from typing import Any

from iomodels.measure.footprint import sizes
from iomodels.measure.limits import SPARE
from iomodels.measure.machine import file_cache, read

EACH = 7_900  # bytes of memory that a connection takes of the machine, both ends together
PINNED = 2 * (832 + 192)  # of these, what MemAvailable does not see: sock_inode_cache, dentry
PAIR = 6 << 20  # bytes that two forked processes take beside their connections
MOST_PAIRS = 128  # of processes
LEAST_EACH = 1_000  # connections that are worth a pair of their own, to keep another CPU busy
WINDOW = 256  # requests under way in a pair
BELOW_THE_CLIFF = 0.921  # of half the port range: 13,000 of Linux's usual 28,232


@dataclass(frozen=True)
class Plan:
    """How many connections, over how many processes, and why not more."""

    asked: int
    connections: int
    pairs: int  # of a server and its clients, a process each
    descriptors: int  # that a process may hold
    per_address: int  # connections from one source address to one server
    window: int  # requests under way in a pair
    available: int  # bytes of memory that are free now
    floor: int  # bytes of memory below which it stops
    reason: str = ""  # why not as many as asked
    shared: str | None = None  # why there is no network namespace of its own; "" when there is one

    @property
    def each(self) -> int:
        """Connections of a pair, at most."""
        return math.ceil(self.connections / self.pairs)

    @property
    def addresses(self) -> int:
        """Source addresses that the clients connect from."""
        return math.ceil(self.each / self.per_address)

    @property
    def memory(self) -> int:
        """Bytes of memory that it will take."""
        return self.connections * EACH + self.pairs * PAIR

    def share(self, pair: int) -> int:
        """Connections of one pair; some have one less than others."""
        return self.connections * (pair + 1) // self.pairs - self.connections * pair // self.pairs

    def lines(self) -> list[str]:
        """The plan in words."""
        fewer = f" instead of {self.asked:,}" if self.connections < self.asked else ""
        network = "a network namespace of its own, if the kernel allows it"
        if self.shared is not None:
            network = "a network namespace of its own"
            if self.shared:
                network = f"the machine's own loopback: no namespace of its own ({self.shared})"
        return [
            f"{self.connections:,} connections{fewer}",
            *[f"  because {self.reason}"] * bool(self.reason),
            f"over {counted(self.pairs, 'pair')} of processes, a server and its clients,"
            f" {self.each:,} each (a process may hold {self.descriptors:,} descriptors)",
            f"from {counted(self.addresses, 'source address', 'es')},"
            f" {self.per_address:,} ports of each at most",
            f"in {network}",
            f"about {self.memory / 1e9:.1f} GB of memory; {self.available / 1e9:.1f} GB are free,"
            f" and it stops when less than {self.floor / 1e9:.1f} GB are",
        ]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {
            "each": self.each, "addresses": self.addresses, "memory": self.memory,
        }  # fmt: skip


def counted(many: int, name: str, plural: str = "s") -> str:
    """ "1 pair", "2 pairs"."""
    return f"{many:,} {name}{plural * (many != 1)}"


def plan(connections: int = 1_000_000, *, floor: int | None = None) -> Plan:
    """Plan for so many connections. Takes a millisecond, and changes nothing.

    `floor`: bytes of memory that stay free; a tenth of the machine's when it is not given. Raises
    ValueError for less than one connection; `connections` of the plan is 0 when nothing fits.
    """
    if connections < 1:
        raise ValueError("connections begin at 1")
    total = sizes("/proc/meminfo")["MemTotal"]
    floor = total // 10 if floor is None else floor
    descriptors, available = descriptors_each(), free()
    per_process = max(1, descriptors - SPARE)
    # The controller holds one descriptor for each pair.
    most_pairs = max(1, min(MOST_PAIRS, per_process))
    most = {
        most_pairs * per_process:
            f"{most_pairs} pairs of processes with {descriptors:,} descriptors each hold no more"
            " (RLIMIT_NOFILE, ulimit -Hn)",
        room_in_files() // 2: "the machine holds no more open files (fs.file-max)",
        watches(): "epoll watches no more descriptors for one user (fs.epoll.max_user_watches)",
        int((available - floor - PAIR) / (EACH + PAIR / per_process)):
            f"{available / 1e9:.1f} GB of memory are free, and {floor / 1e9:.1f} GB must stay so",
    }  # fmt: skip
    fits = max(0, min(connections, *most))
    low, high = port_range()
    return Plan(
        asked=connections,
        connections=fits,
        pairs=pairs_for(fits, per_process, most_pairs),
        descriptors=descriptors,
        per_address=max(1, int((high - low + 1) / 2 * BELOW_THE_CLIFF)),
        window=max(1, min(WINDOW, int(read("/proc/sys/net/core/somaxconn") or 128) // 4)),
        available=available,
        floor=floor,
        reason=most[min(most)] if fits < connections else "",
    )


def pairs_for(connections: int, per_process: int, most: int) -> int:
    """As many as the descriptors ask for, and as many as keep all CPUs busy."""
    needed = math.ceil(connections / per_process)
    useful = min(len(os.sched_getaffinity(0)), connections // LEAST_EACH)
    return max(1, min(most, max(needed, useful)))


def descriptors_each() -> int:
    """How many descriptors a process may hold, once it has raised its own limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = int(read("/proc/sys/fs/nr_open") or 1 << 20)
    return most if hard == resource.RLIM_INFINITY else min(hard, most)


def room_in_files() -> int:
    """How many more files the machine may have open (man 5 proc, file-nr)."""
    there = read("/proc/sys/fs/file-nr").split()
    return int(there[2]) - int(there[0]) if len(there) == 3 else 1 << 40


def watches() -> int:
    """How many descriptors epoll watches for one user, in all instances together."""
    return int(read("/proc/sys/fs/epoll/max_user_watches") or 1 << 40)


def port_range() -> tuple[int, int]:
    """The ports that the kernel chooses from."""
    low, high = read("/proc/sys/net/ipv4/ip_local_port_range").split() or ("32768", "60999")
    return int(low), int(high)


def free(connections: int = 0) -> int:
    """Bytes of memory that can be had: the machine's, or the container's where that is less.

    The kernel counts inodes and names as available, for it can forget those of files that nobody
    has open. Those of sockets it cannot: MemAvailable goes on to promise what `connections` hold.
    """
    available = sizes("/proc/meminfo")["MemAvailable"] - connections * PINNED
    limit, used = (read(f"/sys/fs/cgroup/memory.{what}") for what in ("max", "current"))
    if limit.isdecimal() and used.isdecimal():
        available = min(available, int(limit) - int(used) + file_cache())
    return available
