"""Bytes per idle connection: every model, and the peers that are here.

    for row in memory():
        print(row.name, row.user, row.note)

One after the other, each in a fresh process: connections that come one by one, echo one message,
and then say nothing. A figure is the slope between so few of them and five times as many, which
leaves out what a server costs before the first one comes. The clients are a process of their own,
so the server's memory is the server's alone.

What is counted, and how, footprint.py tells. Where it hurts:
- A process grows by whole pages. With many connections the slope shows single bytes; with 200 it
  shows 25, and `Row.resolution` says so.
- User memory is what the kernel has given, with the garbage that Go or Python has not collected
  yet: that is what a server takes in production, too.
- The slabs are the whole machine's. What else opens files or starts processes in that second is
  counted. Sockets cost the most, and the kernel counts them: when others come or go beside ours,
  the server is measured once more; when that happens again, there is no figure for the slabs.
- Both ends of each connection are here. What the client's end takes is measured beforehand, with a
  listener that accepts nobody, and taken off.
- Go first looks for garbage when its heap has 4 MB. Until then a slope shows garbage and little
  else, so the servers that need little have more connections.
- Where transparent huge pages are set to "always", a stack or a heap may grow by 2 MiB at once.
"""

from __future__ import annotations

import contextlib
import json
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from types import MappingProxyType
from typing import Any

from iomodels.measure import gopeer, memory_peers
from iomodels.measure.footprint import Footprint, Slab, footprint, slabs, sockets
from iomodels.measure.limits import sized
from iomodels.measure.progress import progress
from iomodels.measure.serving import Child, ServerError, child, serving
from iomodels.servers import MODELS
from iomodels.servers.listening import BACKLOG, listen

__all__ = ["MemoryFailed", "Row", "Server", "memory", "servers"]

TIMES = 5  # there are so many times more connections at the second look than at the first
FEWEST = 10  # connections below which a slope says nothing
PAUSE = 0.2  # seconds in which the kernel gets back what the last server and its clients had
TRIES = 2  # while others open or close sockets
DISTURBED = 0.05  # sockets of others for each connection, from which on the slabs are wrong


class MemoryFailed(Exception):
    """There is no figure; the text says why, in one line."""


@dataclass(frozen=True)
class Row:
    """What one idle connection costs a server, in bytes.

    A figure is None where there is none, and `note` says why.
    """

    name: str
    few: int = 0  # connections at the first look
    many: int = 0  # and at the second
    user: float | None = None  # heaps and stacks
    virtual: float | None = None  # addresses
    page_tables: float | None = None
    kernel_stacks: float | None = None
    slabs: Mapping[str, float] | None = None  # by name; None where only root may see them
    stored: str = ""  # where and when it was measured, if that was not here and now
    note: str = ""  # what was not as asked, and why

    @property
    def resolution(self) -> float:
        """Bytes of user memory per connection below which nothing can be seen."""
        return resource.getpagesize() / (self.many - self.few) if self.many > self.few else 0.0

    @property
    def kernel(self) -> float | None:
        """Bytes in the kernel: page tables, stacks and slabs; None without one of these."""
        if self.page_tables is None or self.kernel_stacks is None or self.slabs is None:
            return None
        return self.page_tables + self.kernel_stacks + sum(self.slabs.values())

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self) | {"resolution": self.resolution, "kernel": self.kernel}


@dataclass(frozen=True)
class Server:
    """What can be measured: how it is started, and how many connections it is given."""

    about: str
    start: Callable[[], AbstractContextManager[Child]]
    app: str | None = "echo"  # what the clients speak; None: they connect and wait
    many: int = 5_000  # by default
    most: int = 1_000_000  # that it is given at all
    clients: bool = True  # False: it makes itself what is counted
    note: str = ""


# What is not cheap with 5,000 connections gets fewer: many, and most.
SIZES = {
    "threads": (1_000, 10_000),
    "threads-64k": (1_000, 10_000),
    "processes": (100, 200),
    "nonblocking": (1_000, 1_000),  # each message costs a call for every connection
    "select": (900, 900),  # fd numbers end at 1023
    "poll": (5_000, 5_000),
    "websockets": (2_500, 20_000),
}
OF_GO = {"epoll": 15_000, "epoll-fds": 15_000, "idle": 50_000}  # by default, beside 5,000


def servers() -> dict[str, Server]:
    """Everything that can be measured, by name: our models, the peers in Python, those in Go."""
    known = {}
    for name, about in MODELS.items():
        known[name] = plain(name, about, partial(ours, name, "echo"))
    one_at_a_time = replace(
        known["blocking"], app=None, many=1_000, most=accept_queue(),
        note="one is served, the others wait in the kernel's accept queue",
    )  # fmt: skip
    known["blocking"] = one_at_a_time
    known["epoll-websocket"] = Server(
        "epoll, the WebSocket app", partial(ours, "epoll", "websocket"), "websocket"
    )
    for name, (_, about) in memory_peers.PEERS.items():
        known[name] = plain(name, about, partial(child, "iomodels.measure.memory_peers", [name]))
    known["websockets"] = replace(known["websockets"], app="websocket")
    for model, about in gopeer.MODELS.items():
        known[f"go-{model}"] = Server(
            f"Go: {about}", partial(gopeer.gopeer, model), "websocket",
            many=OF_GO.get(model, 5_000), clients=model != "idle",
            note="" if model != "idle" else "for each goroutine: there is no connection",
        )  # fmt: skip
    return known


def plain(name: str, about: str, start: Callable[[], AbstractContextManager[Child]]) -> Server:
    """A server that echoes, with the connections that it can cope with."""
    if name in SIZES:
        many, most = SIZES[name]
        return Server(about, start, many=many, most=most)
    return Server(about, start)


def accept_queue() -> int:
    """Connections that may wait to be accepted."""
    try:
        with open("/proc/sys/net/core/somaxconn") as file:
            return min(BACKLOG, int(file.read()))
    except OSError:
        return 128


@contextlib.contextmanager
def ours(model: str, app: str) -> Iterator[Child]:
    """One of our models in a child."""
    with serving(model, app) as server:
        yield server.child


def memory(names: Sequence[str] | None = None, *, connections: int | None = None) -> list[Row]:
    """Measure the servers of these names, or all, with `connections` at the second look.

    A server gets no more connections than it, and this machine, can cope with, and the row's note
    says so. One that cannot be had here has a row without figures, and a note that says how to get
    it; a Go server then has the figures that are stored. Without `connections`, each gets a number
    that takes a few seconds.

    Raises ValueError for a name that there is not and for fewer than 10 connections, MemoryFailed
    where /proc does not tell what a process takes.
    """
    known = servers()
    names = [*known] if names is None else names
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"no server named {unknown[0]!r}; there are {', '.join(known)}")
    if connections is not None and connections < FEWEST:
        raise ValueError(f"connections begin at {FEWEST}: a slope needs two numbers of them")
    rows = []
    with progress("Memory") as step:
        step(0.0, "")
        no_go = why_no_go(names)
        of_client = client_end() if any(known[name].clients for name in names) else {}
        for place, name in enumerate(names):

            def tell(part: float, place: int = place, name: str = name) -> None:
                step((place + part) / len(names), name)

            tell(0.0)
            if name.startswith("go-") and no_go:
                rows.append(stored(name, no_go))
            elif why := memory_peers.missing(name):
                rows.append(Row(name, note=why))
            else:
                rows.append(measure(name, known[name], connections, of_client, tell))
    return rows


def why_no_go(names: Sequence[str]) -> str:
    """Why the Go servers cannot run; "" when they can, or are not asked for."""
    if any(name.startswith("go-") for name in names):
        try:
            gopeer.build()
        except gopeer.NoGo as why:
            return str(why)
    return ""


def stored(name: str, why: str) -> Row:
    """The stored row of a Go server, marked as that."""
    found = gopeer.stored()
    source = f"{found['date']}, {found['go']}, {found['machine']}"
    for row in found["rows"]:
        if row["name"] == name:
            own = {field.name: row[field.name] for field in fields(Row)}
            return Row(**own | {"stored": source, "note": f"stored: {source}; {why}"})
    return Row(name, note=why)


def client_end() -> dict[str, int] | None:
    """The objects in slabs that the client's end of a connection takes; None: others disturbed us.

    The server's end of one that nobody has accepted is a TCP socket, and no file.
    """
    if slabs() is None:
        return {}
    many = sized(min(1_000, accept_queue())).connections
    few = max(1, many // TIMES)
    for _ in range(TRIES):
        with listen() as listener, crowd(listener.getsockname(), None, many) as grow_to:
            grow_to(few)
            before, there = slabs(), sockets()
            grow_to(many)
            each = objects(before, slabs(), many - few)
            others = strangers(there, sockets(), 2 * (many - few))
        if others <= DISTURBED * (many - few):
            found = {name: round(number) for name, number in each.items()}
            return found | {"TCP": found.get("TCP", 1) - 1}
    return None


def measure(
    name: str,
    server: Server,
    connections: int | None,
    of_client: Mapping[str, int] | None,
    tell: Callable[[float], None],
) -> Row:
    """Measure one server. What goes wrong with it goes into the row's note."""
    wanted = server.many if connections is None else connections
    many, notes = min(wanted, server.most), [server.note]
    if many < wanted:
        notes.append(f"{many:,} connections instead of {wanted:,}: it is not given more")
    if server.clients:
        room = sized(many)
        many = room.connections
        notes.append(str(room) if room.why else "")
    few = max(1, many // TIMES)
    more = many - few
    ours = 2 * more if server.clients else 0  # sockets: both ends
    for _ in range(TRIES):
        try:
            before, after = look_twice(server, few, many, tell)
        except ServerError as error:
            return Row(name, note=f"not measured: {error}")
        quiet = strangers(before.sockets, after.sockets, ours) <= DISTURBED * more
        if quiet or after.slabs is None:
            break
    if of_client is None or not (quiet or after.slabs is None):
        notes.append("kernel slabs are left out: others opened or closed sockets meanwhile")
        after = replace(after, slabs=None)
    note = "; ".join(filter(None, notes))
    return Row(name, few, many, note=note, **figures(before, after, more, of_client or {}))


def figures(before: Look, after: Look, more: int, of_client: Mapping[str, int]) -> dict[str, Any]:
    """What each of `more` connections takes: fields of a row."""
    each: dict[str, Any] = {
        field.name: (getattr(after.own, field.name) - getattr(before.own, field.name)) / more
        for field in fields(Footprint)
    }
    each["user"] = max(0.0, each["user"])
    if after.slabs is not None:
        found = objects(before.slabs, after.slabs, more, of_client)
        each["slabs"] = {name: number * after.slabs[name].size for name, number in found.items()}
    return each


@dataclass(frozen=True)
class Look:
    """What there is at one moment: of the server, and on the machine."""

    own: Footprint
    slabs: dict[str, Slab] | None
    sockets: tuple[int, ...]


def look_twice(
    server: Server, few: int, many: int, tell: Callable[[float], None]
) -> tuple[Look, Look]:
    """Run a server, and look when it has few connections, and when it has many."""
    with server.start() as running, clients(server, running, many, tell) as grow_to:
        time.sleep(PAUSE)
        grow_to(few)
        before = Look(look(running), slabs(), sockets())
        grow_to(many)
        return before, Look(look(running), slabs(), sockets())


def strangers(before: Sequence[int], after: Sequence[int], ours: int) -> int:
    """How many sockets have come or gone beside so many of ours; 0 where nobody tells."""
    both = zip(before, after, strict=True)
    return max((abs(now - then - ours) for then, now in both), default=0)


def objects(
    before: dict[str, Slab] | None,
    after: dict[str, Slab] | None,
    more: int,
    without: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, float]:
    """Objects in slabs for each of `more` connections, without so many of each kind.

    Left out is what has grown by less than half an object for each: that was somebody else.
    """
    found = {}
    for name, slab in (after or {}).items():
        grown = slab.objects - (before or {})[name].objects
        each = grown / more - without.get(name, 0)
        if each > 0.5:
            found[name] = each
    return found


def look(running: Child) -> Footprint:
    """What the server takes now."""
    try:
        return footprint(running.process.pid)
    except OSError as error:
        raise MemoryFailed(f"/proc does not tell what a process takes: {error}") from None


def clients(
    server: Server, running: Child, most: int, tell: Callable[[float], None]
) -> AbstractContextManager[Callable[[int], None]]:
    """What makes the connections of a server, or the goroutines that there are instead."""
    if server.clients:
        return crowd(running.said["address"], server.app, most, tell)
    return contextlib.nullcontext(partial(grow, running, most, tell))


@contextlib.contextmanager
def crowd(
    address: Sequence[Any],
    app: str | None,
    most: int,
    tell: Callable[[float], None] = lambda part: None,
) -> Iterator[Callable[[int], None]]:
    """Clients in a process of their own: a function that makes them more.

    Raises ServerError when one has not got its echo.
    """
    order = json.dumps({"address": address[:2], "app": app})
    with child("iomodels.measure.memory_clients", [order]) as running:
        yield partial(grow, running, most, tell)


def grow(running: Child, most: int, tell: Callable[[float], None], many: int) -> None:
    """Let there be so many, and return when all have had their echo."""
    pipes = running.process
    assert pipes.stdin and pipes.stdout
    pipes.stdin.write(f"{many}\n".encode())
    pipes.stdin.flush()
    connected = 0
    while connected < many:
        line = pipes.stdout.readline()
        if not line:
            lines = running.log().strip().splitlines()
            raise ServerError(lines[-1] if lines else "the clients ended without a word")
        said = json.loads(line)
        if "failed" in said:
            raise ServerError(said["failed"])
        connected = said["connected"]
        tell(connected / most)
