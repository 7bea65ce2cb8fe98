"""Other ways to hold a connection, each a server in a process of its own.

    python -m iomodels.measure.memory_peers NAME

Each is written as its own documentation shows, with its defaults. The echo of epoll with objects is
here to be compared with iomodels/servers/epoll.py: the same calls, and for each connection what
one would write without a second thought, a socket object and an object of one's own with a buffer
for each direction.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol

from iomodels import apps, servers
from iomodels.kernel import live
from iomodels.measure.child import hold_leash, say
from iomodels.measure.limits import raise_soft_limit
from iomodels.servers.listening import listen

SMALL_STACK = 64 * 1024


class Echoing(Protocol):
    """What the loop asks of a connection's object."""

    sock: socket.socket

    @property
    def unsent(self) -> object: ...  # true when something waits to be sent
    def ready(self) -> bool: ...


class Client:
    """A connection as an object: its socket, and what waits in either direction."""

    __slots__ = ("received", "sock", "unsent")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received, self.unsent = bytearray(), bytearray()

    def ready(self) -> bool:
        """Read unless something waits to be sent, answer, and return whether it goes on."""
        try:
            if not self.unsent:
                self.received += self.sock.recv(65536)
                if not self.received:
                    return False
                self.unsent += self.received
                self.received.clear()
            del self.unsent[: self.sock.send(self.unsent)]
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True


def epoll_with_objects(
    listener: socket.socket, make: Callable[[socket.socket], Echoing] = Client
) -> None:
    """Echo; for each fd there is an object in a dict, which `make` makes."""
    clients: dict[int, Echoing] = {}
    listener.setblocking(False)
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    while True:
        for fd, _ in epoll.poll():
            if fd == listener.fileno():
                with contextlib.suppress(BlockingIOError):
                    sock, _ = listener.accept()
                    sock.setblocking(False)
                    clients[sock.fileno()] = make(sock)
                    epoll.register(sock, select.EPOLLIN)
                continue
            client = clients[fd]
            if not client.ready():
                clients.pop(fd).sock.close()
            else:
                epoll.modify(fd, select.EPOLLOUT if client.unsent else select.EPOLLIN)


def threads_with_small_stacks(listener: socket.socket) -> None:
    """Our own threads, with 64 KiB of addresses for each stack instead of 8 MiB."""
    threading.stack_size(SMALL_STACK)
    servers.server("threads")(listener.fileno(), apps.app("echo"), live)


def asyncio_protocol(listener: socket.socket) -> None:
    """Callbacks: https://docs.python.org/3/library/asyncio-protocol.html#tcp-echo-server."""

    class Echo(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            assert isinstance(self.transport, asyncio.Transport)
            self.transport.write(data)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, sock=listener)
        await server.serve_forever()

    asyncio.run(run())


def asyncio_streams(listener: socket.socket) -> None:
    """A coroutine per connection: https://docs.python.org/3/library/asyncio-stream.html."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(echo, sock=listener)
        await server.serve_forever()

    asyncio.run(run())


def greenlets(listener: socket.socket) -> None:
    """A greenlet per connection: https://www.gevent.org/examples/echoserver.html."""
    gevent_server, gevent_socket = map(import_module, ("gevent.server", "gevent.socket"))

    def echo(sock: socket.socket, address: object) -> None:
        while data := sock.recv(65536):
            sock.sendall(data)

    own = gevent_socket.socket(fileno=listener.detach())
    gevent_server.StreamServer(own, echo).serve_forever()


def websockets(listener: socket.socket) -> None:
    """The library's asyncio server; no client here offers compression, so there is none."""
    from websockets.asyncio.server import ServerConnection, serve

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async def run() -> None:
        async with serve(echo, sock=listener) as server:
            await server.serve_forever()

    asyncio.run(run())


PEERS: dict[str, tuple[Callable[[socket.socket], None], str]] = {
    "epoll-objects": (epoll_with_objects, "epoll, a socket object and one of our own each"),
    "threads-64k": (threads_with_small_stacks, "a thread per connection, stacks of 64 KiB"),
    "asyncio-protocol": (asyncio_protocol, "asyncio, callbacks"),
    "asyncio-streams": (asyncio_streams, "asyncio, a coroutine and two streams each"),
    "gevent": (greenlets, "a greenlet per connection"),
    "websockets": (websockets, "the WebSocket library of that name"),
}


def missing(name: str) -> str:
    """What to do to have a peer that cannot be had here; "" when it can."""
    if name in ("gevent", "websockets") and not find_spec(name):
        return f"{name} is not installed: pip install iomodels[peers]"
    return ""


def main(name: str) -> None:
    """Listen, say where, and serve until the leash, stdin, ends (child.py)."""
    raise_soft_limit()
    with listen() as listener:
        threading.Thread(target=hold_leash, daemon=True).start()
        say(address=listener.getsockname())
        PEERS[name][0](listener)


if __name__ == "__main__":
    main(*sys.argv[1:])
