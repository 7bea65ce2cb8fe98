"""More than the ports of one address: a client that goes on from the next one.

    hold(address, wanted, sources, new) -> list[socket]

It opens `wanted` connections to one listener, from the source addresses that it is given, and goes
on to the next address when one has no port left. When descriptors or addresses run out, it returns
what it has; whatever else goes wrong is the caller's to know, and then nothing stays open.

Here a source address has PORTS ports: `new()` makes a real socket, which connects for real, and
says EADDRNOTAVAIL when so many of its address are in use, as the kernel does after 28,232.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from iomodels.course.cases import Address, Wrong, within
from iomodels.measure.limits import IP_BIND_ADDRESS_NO_PORT

PORTS = 20  # of each source address

Hold = Callable[[Address, int, Sequence[str], Callable[[], socket.socket]], list[socket.socket]]

TOO_LONG = "your function has not returned, though there is nothing to wait for"


class Sockets:
    """Makes sockets whose source addresses have few ports, and counts what was tried."""

    def __init__(self, descriptors: int = 1 << 20) -> None:
        self.made: list[socket.socket] = []
        self.used: Counter[str] = Counter()  # ports in use, by source address
        self.refused: Counter[str] = Counter()  # connects that found no port
        self.descriptors = descriptors

    def new(self) -> socket.socket:
        """A socket of TCP; EMFILE when there are as many open as there may be."""
        if sum(sock.fileno() >= 0 for sock in self.made) >= self.descriptors:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        sock = Limited(self)
        self.made.append(sock)
        return sock


class Limited(socket.socket):
    """A socket that finds no port when PORTS of its source address are in use."""

    def __init__(self, sockets: Sockets) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        self.sockets = sockets

    def connect(self, address: Any) -> None:
        """connect(2), from the address that the socket was bound to."""
        source = self.getsockname()[0].replace("0.0.0.0", "127.0.0.1")
        if self.sockets.used[source] >= PORTS:
            self.sockets.refused[source] += 1
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        super().connect(address)
        self.sockets.used[source] += 1


@contextmanager
def listening() -> Iterator[Address]:
    """A server that accepts everybody, and keeps them until the block ends."""
    accepted = []

    def accept() -> None:
        with suppress(OSError):  # the listener was shut down
            while True:
                accepted.append(listener.accept()[0])

    with socket.create_server(("127.0.0.1", 0), backlog=200) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for sock in accepted:
                sock.close()


def held(
    hold: Hold, sockets: Sockets, wanted: int, sources: Sequence[str], address: Address
) -> list[socket.socket]:
    """What the function returns; raises Wrong when that is not a list of connected sockets."""
    try:
        with within(2, TOO_LONG):
            got = hold(address, wanted, sources, sockets.new)
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "an error")
        raise Wrong(
            f"raises {name}, where it should go on from the next address, or return what it has"
        ) from None
    if not isinstance(got, list) or not all(isinstance(sock, socket.socket) for sock in got):
        raise Wrong(f"returns {got!r:.60}, where it should return a list of sockets")
    return got


def expect(hold: Hold, wanted: int, sources: Sequence[str], most: int, room: int = 1 << 20) -> None:
    """Raise Wrong unless the function holds `most` connections, each from an address in order."""
    sockets = Sockets(room)
    with listening() as address:
        got = held(hold, sockets, wanted, sources, address)
        try:
            used = dict(sockets.used)
            if len(got) != most:
                spread = ", ".join(f"{used.get(source, 0)} from {source}" for source in sources)
                raise Wrong(f"holds {len(got)} connections, where it should be {most}: {spread}")
            for sock in got:
                try:
                    sock.getpeername()
                except OSError:
                    raise Wrong("returns a socket that is not connected") from None
            if stray := [sock for sock in sockets.made if sock.fileno() >= 0 and sock not in got]:
                for sock in stray:
                    sock.close()
                raise Wrong(
                    f"leaves {len(stray)} of the sockets open whose connect found no port: nobody"
                    " has them, and each is a descriptor"
                )
            if again := [source for source, times in sockets.refused.items() if times > 1]:
                raise Wrong(
                    f"asks {again[0]} for a port {sockets.refused[again[0]]} times, though it has"
                    " said that none is left: a walk past all ports each time"
                )
        finally:
            for sock in got:
                sock.close()


def from_one_address(hold: Hold) -> None:
    """10 connections, and the first address has 20 ports"""
    expect(hold, 10, ["127.0.0.1", "127.0.0.2"], 10)


def from_three_addresses(hold: Hold) -> None:
    """50 connections, from three addresses with 20 ports each"""
    expect(hold, 50, ["127.0.0.1", "127.0.0.2", "127.0.0.3"], 50)


def all_are_used_up(hold: Hold) -> None:
    """50 connections are wanted, and two addresses have 40 ports"""
    expect(hold, 50, ["127.0.0.1", "127.0.0.2"], 40)


def nobody_listens(hold: Hold) -> None:
    """nobody listens: the caller should hear of it"""
    sockets = Sockets()
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = gone.getsockname()
    try:
        with within(2, TOO_LONG):
            got = hold(address, 50, ["127.0.0.1", "127.0.0.2"], sockets.new)
    except ConnectionRefusedError:
        return
    except OSError as error:
        raise Wrong(f"raises {error!r}; connect said ConnectionRefusedError") from None
    raise Wrong(f"returns {got!r:.60}; connect said ECONNREFUSED, and nobody hears of it")


CASES = (from_one_address, from_three_addresses, all_are_used_up, nobody_listens)
