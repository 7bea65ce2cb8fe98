"""The peers' echo servers, one in a process:  python -m benchmarks.peers NAME [CPU]

Each is what its own documentation shows, with its defaults; no client here offers compression, so
there is none. It says where it listens and then serves until its leash, stdin, ends
(iomodels.measure.child).
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from iomodels.measure.child import hold_leash, say
from iomodels.measure.gopeer import NoGo, become, build
from iomodels.measure.limits import raise_soft_limit
from iomodels.measure.serving import Child, child
from iomodels.servers.listening import listen


def listening() -> socket.socket:
    sock = listen()
    say(address=sock.getsockname())
    return sock


def picows() -> None:
    import picows
    import uvloop

    class Echo(picows.WSListener):
        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            if frame.msg_type == picows.WSMsgType.CLOSE:
                transport.send_close(frame.get_close_code(), frame.get_close_message())
                transport.disconnect()
            else:
                transport.send(frame.msg_type, frame.get_payload_as_memoryview())

    async def serve() -> None:
        server = await picows.ws_create_server(lambda request: Echo(), sock=listening())
        await server.serve_forever()

    uvloop.run(serve())


def aiohttp() -> None:
    import uvloop
    from aiohttp import WSMsgType, web

    async def echo(request: web.Request) -> web.WebSocketResponse:
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        async for message in answer:
            if message.type == WSMsgType.TEXT:
                await answer.send_str(message.data)
            elif message.type == WSMsgType.BINARY:
                await answer.send_bytes(message.data)
        return answer

    async def serve() -> None:
        app = web.Application()
        app.router.add_get("/", echo)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.SockSite(runner, listening()).start()
        await asyncio.Event().wait()

    uvloop.run(serve())


def websockets() -> None:
    from websockets.asyncio.server import ServerConnection, serve

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async def run() -> None:
        async with serve(echo, sock=listening()) as server:
            await server.serve_forever()

    asyncio.run(run())


SERVERS: dict[str, Callable[[], None]] = {
    "picows": picows,
    "aiohttp": aiohttp,
    "websockets": websockets,
    "Go": lambda: become("goroutines"),
    "Go, epoll": lambda: become("epoll"),
}
NEEDS = {"picows": ("picows", "uvloop"), "aiohttp": ("aiohttp", "uvloop")}


def missing(name: str) -> str:
    """Why a peer cannot be had here, in a few words; empty when it can."""
    if name.startswith("Go"):
        try:
            build()
        except NoGo as why:
            return str(why)
        return ""
    lacking = [module for module in NEEDS.get(name, (name,)) if not find_spec(module)]
    return f"pip install {' '.join(lacking)}" if lacking else ""


@contextmanager
def peer(name: str, cpu: int | None = None) -> Iterator[Child]:
    """Run a peer's server in a child until the block ends; `said["address"]` is where."""
    with child("benchmarks.peers", [name, *([] if cpu is None else [str(cpu)])]) as running:
        yield running


def main(name: str, cpu: str = "") -> None:
    if cpu:
        os.sched_setaffinity(0, {int(cpu)})
    raise_soft_limit()
    if not name.startswith("Go"):
        threading.Thread(target=hold_leash, daemon=True).start()
    SERVERS[name]()


if __name__ == "__main__":
    main(*sys.argv[1:])
