"""Bytes per connection: what one idle connection costs a server that runs.

    bytes_per_connection(pid, address, few, many) -> float

The server is the process `pid`, listens at `address`, and sends back what it is sent. The answer is
the slope of its user memory (`Anonymous` in /proc/PID/smaps_rollup) between `few` and `many` open
connections, of which each has had a byte echoed. Whatever the function opens, it closes.

Each case starts a server that takes a known number of pages for each connection. Where the answer
is not that, the case says why. It knows: whenever a file of /proc/PID is opened, it notes how many
connections the server has (an audit hook, PEP 578).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

from iomodels.course.cases import Address, Wrong, attempt, within

BytesPerConnection = Callable[[int, Address, int, int], float]

PAGE = os.sysconf("SC_PAGE_SIZE")
SERVER = Path(__file__).with_name("bytes_per_connection_server.py")
TOO_SLOW = (
    "the measurement takes too long: every byte that your clients sent has long been sent back"
)


@dataclass
class Server:
    """A server that runs, and at how many connections somebody has looked into /proc/PID."""

    pid: int
    address: Address
    each: int  # bytes that a connection takes
    reserved: int  # addresses
    looks: list[int] = field(default_factory=list)


@contextmanager
def running(
    *, each: int, reserved: int = 0, fixed: int = PAGE, once: int = 0, pause: float = 0.0,
    last: int = 0,
) -> Iterator[Server]:  # fmt: skip
    """A server that takes these bytes for each connection, always, and once at the first one.

    `pause`: seconds that it needs for a new connection; `last`: clients after which it hangs up.
    """
    counter = os.memfd_create("connections")
    order = {
        "counter": counter, "each": each, "reserved": reserved, "fixed": fixed, "once": once,
        "pause": pause, "last": last,
    }  # fmt: skip
    command = [sys.executable, "-I", "-S", str(SERVER), json.dumps(order)]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, pass_fds=[counter]
    )
    try:
        assert process.stdout
        port = int(process.stdout.readline())
        server = Server(process.pid, ("127.0.0.1", port), each, reserved)
        note_looks(server, counter)
        yield server
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
        os.close(counter)


def note_looks(server: Server, counter: int) -> None:
    """From now on, note how many connections there are when a file of /proc/PID is opened."""
    folder = f"/proc/{server.pid}/"

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and str(arguments[0]).startswith(folder):
            server.looks.append(int.from_bytes(os.pread(counter, 4, 0), "little"))

    sys.addaudithook(note)  # it cannot be taken off; the process of the case ends soon


def expect(got: object, server: Server, few: int, many: int) -> None:
    """Raise Wrong, in words, unless this is what a connection takes, a tenth more or less."""
    right = server.each
    if isinstance(got, Exception):
        raise Wrong(f"raises {got!r}, where it should return about {right:,}")
    if not isinstance(got, Real) or isinstance(got, bool):
        raise Wrong(f"returns {got!r}, where it should return a number of bytes")
    size = float(got)
    if near(size, right):
        return
    raise Wrong(
        f"returns {size:,.0f}, where about {right:,} are right: {why(size, server, few, many)}"
    )


def near(size: float, right: float) -> bool:
    """Whether it is right, as far as one can tell who sees whole pages and a socket object."""
    return abs(size - right) < 0.1 * right


def why(size: float, server: Server, few: int, many: int) -> str:
    """What must have happened for this wrong figure to come out."""
    right, looks = server.each, server.looks
    if near(-size, right):
        return "the memory with many connections less the memory with few, not the other way round"
    if near(size * 1024, right):
        return "the sizes in /proc are in kB, and bytes are asked for"
    if not looks:
        return f"you have not looked into /proc/{server.pid}; this is some other process"
    if server.reserved and near(size, server.reserved):
        return "these are addresses, as VmSize counts them; ask for memory: Anonymous"
    first, last = looks[0], looks[-1]
    if last > many:
        return (
            f"at your last look there were {last} connections: the first {few} are among the {many}"
        )
    if last < many:
        return (
            f"at your last look the server had {last} of {many} connections: `connect` returns"
            " before the server accepts; wait until each has had its echo"
        )
    if first == last:
        return "you looked at one number of connections only; what the server takes anyway is in it"
    if first == 0:
        return "at your first look there was no connection: what the first one makes once is in it"
    if first < few:
        return f"at your first look the server had {first} connections, and not {few}"
    if near(size, right * (many - few) / many):
        return f"between your two looks came {many - few} connections, and not {many}"
    return "the slope of `Anonymous` between your two looks is not that"


def measure(answer: BytesPerConnection, few: int, many: int, **costs: Any) -> None:
    """Let a server with these costs be measured, and judge what comes out."""
    with running(**costs) as server:
        with within(5, TOO_SLOW):
            got = attempt(answer, server.pid, server.address, few, many)
        expect(got, server, few, many)


def a_server_with_an_interpreter(answer: BytesPerConnection) -> None:
    """5 pages a connection, in a process that takes 8 MB without any"""
    measure(answer, 10, 50, each=5 * PAGE, fixed=8 << 20)


def addresses(answer: BytesPerConnection) -> None:
    """each connection reserves 1 MiB of addresses, and touches 6 pages of them"""
    measure(answer, 10, 40, each=6 * PAGE, reserved=1 << 20)


def made_once(answer: BytesPerConnection) -> None:
    """with the first client, the server makes a table of 4 MB"""
    measure(answer, 5, 30, each=8 * PAGE, once=4 << 20)


def a_slow_server(answer: BytesPerConnection) -> None:
    """the server needs 5 ms for each new connection"""
    measure(answer, 10, 40, each=5 * PAGE, pause=0.005)


CASES = (a_server_with_an_interpreter, addresses, made_once, a_slow_server)
