"""Clients from elsewhere, each talking with every server as its users do.

Text with umlauts and emoji, bytes, half a megabyte, fragments where the client can send them, a
ping, and a close with a code and a reason. All but websocket-client offer compression, and are
declined.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from iomodels.measure.serving import Served, serving
from iomodels.servers import MODELS

TEXT = "Grüße aus Köln 😀"
TEXTS = [TEXT, "", "x" * 126, "日本語" * 50_000]
BYTES = [b"", bytes(range(256)), random.Random(1).randbytes(500_000)]
CODE, REASON = 4000, "Tschüß"
NODE = Path(__file__).parent.parent / "node"
PATIENCE = 20.0  # seconds


@pytest.fixture(scope="module", params=MODELS)
def server(request: pytest.FixtureRequest) -> Iterator[Served]:
    with serving(request.param, "websocket") as running:
        yield running
        running.stop()
        assert running.log() == ""


def address(server: Served) -> str:
    return f"ws://127.0.0.1:{server.address[1]}/"


def test_websockets(server: Served) -> None:
    client = pytest.importorskip("websockets.asyncio.client")

    async def talk() -> None:
        async with client.connect(address(server), proxy=None) as ws:
            assert ws.protocol.extensions == []
            for said in TEXTS + BYTES:
                await ws.send(said)
                assert await ws.recv() == said
            await ws.send([TEXT[:3], "", TEXT[3:]])
            assert await ws.recv() == TEXT
            await ws.send([b"a", b"b"])
            assert await ws.recv() == b"ab"
            assert await (await ws.ping("there?")) >= 0  # seconds until the pong
            await ws.close(CODE, REASON)
            assert (ws.close_code, ws.close_reason) == (CODE, REASON)

    asyncio.run(asyncio.wait_for(talk(), PATIENCE))


def test_websockets_without_asyncio(server: Served) -> None:
    client = pytest.importorskip("websockets.sync.client")
    with client.connect(address(server), proxy=None) as ws:
        for said in TEXTS + BYTES:
            ws.send(said)
            assert ws.recv(PATIENCE) == said
        ws.send([TEXT[:3], "", TEXT[3:]])
        assert ws.recv(PATIENCE) == TEXT
        assert ws.ping("there?").wait(PATIENCE)
        ws.close(CODE, REASON)
        assert (ws.protocol.close_code, ws.protocol.close_reason) == (CODE, REASON)


def test_aiohttp(server: Served) -> None:
    aiohttp = pytest.importorskip("aiohttp")

    async def talk() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(address(server), autoping=False, compress=15) as ws,
        ):
            assert not ws.compress
            for said in TEXTS:
                await ws.send_str(said)
                assert await ws.receive_str() == said
            for said in BYTES:
                await ws.send_bytes(said)
                assert await ws.receive_bytes() == said
            await ws.ping(b"there?")
            pong = await ws.receive()
            assert (pong.type, bytes(pong.data)) == (aiohttp.WSMsgType.PONG, b"there?")
            assert await ws.close(code=CODE, message=REASON.encode())
            assert ws.close_code == CODE

    asyncio.run(asyncio.wait_for(talk(), PATIENCE))


def test_aiohttp_gets_a_page_and_a_refusal(server: Served) -> None:
    """Plain HTTP, from a client that keeps connections: the answer says that this one ends."""
    aiohttp = pytest.importorskip("aiohttp")

    async def talk() -> None:
        async with aiohttp.ClientSession() as session:
            for path, status in (("/", 200), ("/nosuch", 404), ("/", 200)):
                async with session.get(f"http://127.0.0.1:{server.address[1]}{path}") as answer:
                    assert answer.status == status and await answer.text()
            with pytest.raises(aiohttp.WSServerHandshakeError, match="426"):
                await session.ws_connect(address(server), headers={"Sec-WebSocket-Version": "12"})

    asyncio.run(asyncio.wait_for(talk(), PATIENCE))


def test_websocket_client(server: Served) -> None:
    websocket = pytest.importorskip("websocket")
    ws = websocket.create_connection(address(server), PATIENCE, http_no_proxy=["*"])
    for said in TEXTS:
        ws.send(said)
        assert ws.recv() == said
    for said in BYTES:
        ws.send_binary(said)
        assert ws.recv() == said
    data = TEXT.encode()
    for opcode, start, stop in ((1, 0, 3), (0, 3, 9), (0, 9, len(data))):  # cut inside the ü
        fin = int(stop == len(data))
        ws.send_frame(websocket.ABNF.create_frame(data[start:stop], opcode, fin))
    assert ws.recv() == TEXT
    ws.ping("there?")
    opcode, frame = ws.recv_data_frame(control_frame=True)
    assert (opcode, frame.data) == (websocket.ABNF.OPCODE_PONG, b"there?")
    ws.send_close(CODE, REASON.encode())
    opcode, frame = ws.recv_data_frame(control_frame=True)
    assert opcode == websocket.ABNF.OPCODE_CLOSE
    assert frame.data == CODE.to_bytes(2) + REASON.encode()
    ws.shutdown()


@pytest.mark.skipif(not shutil.which("node"), reason="there is no node here")
@pytest.mark.skipif(
    not (NODE / "node_modules/ws").is_dir(),
    reason="ws is not installed: npm ci --prefix tests/node",
)
def test_ws_of_node(server: Served) -> None:
    done = subprocess.run(
        ["node", NODE / "client.js", str(server.address[1])],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    heard = json.loads(done.stdout)
    assert heard.pop("close") == [CODE, REASON]
    assert set(heard) == {
        "text", "no text", "binary", "large", "large text", "fragments", "ping",
    }  # fmt: skip
    assert all(heard.values()), heard


def test_the_lock_file_of_node_names_no_registry() -> None:
    lock = (NODE / "package-lock.json").read_text()
    assert "://" not in lock and "resolved" not in lock
    wanted = json.loads((NODE / "package.json").read_text())["dependencies"]
    packages = json.loads(lock)["packages"]
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
