"""How much this machine allows: descriptors, ports, and what that means for a measurement.

Each connection takes a descriptor at both ends. A process has a soft limit, which it may raise by
itself up to the hard one (man 2 getrlimit, RLIMIT_NOFILE); above the hard one only root may go, and
in a container often not even root.
"""

from __future__ import annotations

import resource
import socket
from dataclasses import dataclass

SPARE = 64  # descriptors that a process needs beside its connections

# Connecting gets slow past half of the port range, for the kernel tries ports of one parity first.
# Each source address has a port range of its own, and all of 127.0.0.0/8 is this machine.
PER_ADDRESS = 13_000
IP_BIND_ADDRESS_NO_PORT = 24  # include/uapi/linux/in.h; Python names it from 3.12 on


def raise_soft_limit() -> int:
    """Raise this process's soft limit on descriptors to the hard one; return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = 1 << 20  # fs.nr_open's default, which the kernel enforces all the same
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@dataclass(frozen=True)
class Sized:
    """How many connections a measurement takes, and why not more."""

    connections: int
    wanted: int
    why: str  # empty when it is as many as wanted

    def __str__(self) -> str:
        if not self.why:
            return f"{self.connections:,} connections"
        return f"{self.connections:,} connections instead of {self.wanted:,}: {self.why}"


def sized(wanted: int) -> Sized:
    """Return `wanted`, or as many connections as one process here may hold."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or wanted + SPARE <= hard:
        return Sized(wanted, wanted, "")
    why = f"a process may hold {hard:,} descriptors here (RLIMIT_NOFILE, ulimit -Hn)"
    return Sized(max(1, hard - SPARE), wanted, why)


def source(number: int) -> str:
    """The loopback address from which connection `number` should connect."""
    block = number // PER_ADDRESS
    return f"127.0.{1 + block // 250}.{1 + block % 250}" if block else "127.0.0.1"


def leave_from(sock: socket.socket, address: str) -> None:
    """Have a socket connect from this address, and leave its port to connect(2).

    connect(2) knows the other end too, and takes a port that is free towards it; bind(2) alone
    would have to find one that nobody uses at all (man 7 ip, IP_BIND_ADDRESS_NO_PORT).
    """
    sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind((address, 0))
