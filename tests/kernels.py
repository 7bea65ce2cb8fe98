"""A pytest plugin: kernels listen on ports that the kernel hands to no connection.

    pytest -p tests.kernels --nbval …

Jupyter binds a port to find it free, lets it go, and tells the kernel to bind it. Between the two,
seconds on a busy machine, any of the connections that the tests make may get it as its own port,
and the notebook's kernel dies before its first cell. Below the ephemeral range (ip(7),
ip_local_port_range) nobody gets a port without asking for it by number.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

from jupyter_client.connect import LocalPortCache

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST = 10_000


def quiet_port(ip: str = "127.0.0.1") -> int:
    """A free port below the ephemeral range, at random."""
    first = int(RANGE.read_text().split()[0])
    while True:
        port = random.randrange(LOWEST, first)
        with socket.socket() as sock:
            try:
                sock.bind((ip, port))
            except OSError:  # somebody listens there
                continue
        return port


def find_available_port(self: LocalPortCache, ip: str) -> int:
    """In place of LocalPortCache's own."""
    while (port := quiet_port(ip)) in self.currently_used_ports:
        pass
    self.currently_used_ports.add(port)
    return port


if RANGE.exists() and int(RANGE.read_text().split()[0]) > 2 * LOWEST:
    LocalPortCache.find_available_port = find_available_port  # type: ignore[method-assign]
