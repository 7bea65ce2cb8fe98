"""The chat on every server: what one says, everybody hears, once and in order."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from iomodels.apps.chat import LONGEST_TEXT, ChatServer
from iomodels.kernel import live
from iomodels.measure.dialogues import UPGRADE
from iomodels.servers import MODELS, missing
from iomodels.servers import server as named
from iomodels.servers.listening import listen
from iomodels.websocket import TEXT, encode
from tests.servers.harness import connect, running
from tests.servers.test_clients import anonymous_memory

TOGETHER = [model for model in MODELS if model != "blocking"]
LOOPS = ["epoll", "io_uring", "asyncio"]  # the first stands for all on servers/connections.py


class Guest:
    """A WebSocket client with a name."""

    def __init__(self, address: tuple[str, int], name: str) -> None:
        self.sock = socket.create_connection(address, 10)
        self.file = self.sock.makefile("rb")
        self.sock.sendall(UPGRADE)
        while self.file.readline() != b"\r\n":
            pass
        self.name = name
        self.say(name)

    def say(self, text: str) -> None:
        self.sock.sendall(encode(TEXT, text.encode(), random.randbytes(4)))

    def hear(self) -> str:
        """The next text; "" at the end, or when there is a Close frame."""
        head = self.file.read(2)
        if len(head) < 2 or head[0] != 0x81:
            return ""
        size = head[1]
        if size == 126:
            (size,) = struct.unpack("!H", self.file.read(2))
        return self.file.read(size).decode()

    def hear_until(self, text: str) -> list[str]:
        heard = []
        while not heard or heard[-1] != text:
            heard.append(self.hear())
            assert heard[-1], f"the end came before {text!r}: {heard[:-1]}"
        return heard

    def close(self) -> None:
        self.file.close()
        self.sock.close()


@contextlib.contextmanager
def guests(address: tuple[str, int], *names: str) -> Iterator[list[Guest]]:
    """Guests who all know of each other."""
    made: list[Guest] = []
    with contextlib.ExitStack() as stack:
        for name in names:
            made.append(Guest(address, name))
            stack.callback(made[-1].close)
            for guest in made:
                guest.hear_until(f"* {name} has come")
        yield made


@pytest.mark.parametrize("model", TOGETHER)
def test_everybody_hears_what_anybody_says(model: str) -> None:
    with (
        running(model, app="chat") as server,
        guests(server.address, "Ann", "Bob", "Cem") as everyone,
    ):
        for guest in everyone:
            guest.say(f"I am {guest.name} ☺")
            for other in everyone:
                assert other.hear() == f"{guest.name}: I am {guest.name} ☺"
        ann, bob, cem = everyone
        bob.close()
        for guest in (ann, cem):
            assert guest.hear() == "* Bob has gone"


def test_the_blocking_server_lets_one_talk_with_itself() -> None:
    with running("blocking", app="chat") as server:
        for name in ("Ann", "Bob"):
            with guests(server.address, name) as (guest,):
                guest.say("hello")
                assert guest.hear() == f"{name}: hello"


@pytest.mark.parametrize("model", TOGETHER)
def test_many_who_talk_at_once_are_all_heard_in_one_order(model: str) -> None:
    names = [f"guest {number}" for number in range(12)]
    with running(model, app="chat") as server, guests(server.address, *names) as everyone:
        for number in range(20):
            for guest in everyone:
                guest.say(f"{number}")
        due = sorted(f"{name}: {number}" for name in names for number in range(20))
        heard = [[guest.hear() for _ in due] for guest in everyone]
    assert sorted(heard[0]) == due
    for name in names:
        assert [t for t in heard[0] if t.startswith(f"{name}:")] == [
            f"{name}: {number}" for number in range(20)
        ]
    assert all(one == heard[0] for one in heard), "the same order for all"


@pytest.mark.parametrize("model", TOGETHER)
def test_who_is_not_in_the_room_hears_nothing_and_may_come_later(model: str) -> None:
    with (
        running(model, app="chat") as server,
        connect(server) as stranger,
        guests(server.address, "Ann") as (ann,),
    ):
        ann.say("is anybody there?")
        assert ann.hear() == "Ann: is anybody there?"
        stranger.sendall(UPGRADE)
        answer = stranger.recv(4096)
        assert answer.endswith(b"\r\n\r\n"), "the handshake's answer, and nothing after it"


@pytest.mark.parametrize("model", LOOPS)
def test_a_loop_asks_for_a_letter_only_those_who_are_in_the_room(model: str) -> None:
    if reason := missing(model):
        pytest.skip(reason)
    asked: list[int] = []

    class Asked(ChatServer):
        def subscribed(self, fd: int) -> bool:
            asked.append(fd)
            return super().subscribed(fd)

    with listen() as listener, contextlib.ExitStack() as strangers:
        serve, room = named(model), Asked()
        thread = threading.Thread(target=serve, args=(listener.fileno(), room, live))
        thread.start()
        try:
            for _ in range(20):
                strangers.enter_context(socket.create_connection(listener.getsockname(), 10))
            with guests(listener.getsockname(), "Ann", "Bob") as (ann, bob):
                asked.clear()
                ann.say("hello")
                assert ann.hear() == bob.hear() == "Ann: hello"
                assert sorted(asked) == sorted(room.room.names)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(20)
        assert not thread.is_alive()


@pytest.mark.parametrize("model", TOGETHER)
def test_who_does_not_read_is_cut_off_and_holds_up_nobody(model: str) -> None:
    with running(model, app="chat") as server, guests(server.address, "Ann", "deaf") as (ann, deaf):
        deaf.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        text = "x" * (LONGEST_TEXT - 10)
        ann.say(text)  # numpy comes with the first one that is long
        ann.hear()
        before = anonymous_memory(server.pid)
        deadline = time.monotonic() + 60
        heard = ""
        while heard != "* deaf has gone":
            assert time.monotonic() < deadline
            ann.say(text)
            heard = ann.hear()
        grown = anonymous_memory(server.pid) - before
        assert grown < 1 << 20
        ann.say("and on")
        assert "Ann: and on" in ann.hear_until("Ann: and on")


@pytest.mark.parametrize("model", MODELS)
def test_a_message_against_the_rules_ends_with_its_close_code(model: str) -> None:
    with running(model, app="chat") as server:
        for words, code in (("", 1008), ("x" * 33, 1008), ("a\nb", 1008), ("x" * 5000, 1009)):
            with contextlib.closing(Guest(server.address, words)) as guest:
                frame = guest.file.read(4)
                assert frame[0] == 0x88
                assert struct.unpack("!H", frame[2:])[0] == code


@pytest.mark.parametrize("model", MODELS)
def test_a_browser_gets_the_page(model: str) -> None:
    with running(model, app="chat") as server, connect(server) as browser:
        browser.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = browser.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"<title>Chat</title>" in answer


@pytest.mark.parametrize("model", TOGETHER)
def test_guests_who_come_and_go_in_a_hurry_leave_nothing_behind(model: str) -> None:
    """Numbers are used again at once: no letter may reach the next one who has the number."""
    with running(model, app="chat") as server, guests(server.address, "Ann") as (ann,):
        stop = threading.Event()

        def come_and_go() -> None:
            while not stop.is_set():
                with connect(server) as visitor:
                    visitor.sendall(UPGRADE)
                    assert visitor.recv(4096).startswith(b"HTTP/1.1 101 ")

        visitors = [threading.Thread(target=come_and_go) for _ in range(3)]
        for visitor in visitors:
            visitor.start()
        for number in range(100):
            ann.say(f"{number}")
            assert ann.hear() == f"Ann: {number}"
        stop.set()
        for visitor in visitors:
            visitor.join()


@pytest.mark.parametrize("model", TOGETHER)
def test_with_no_descriptor_left_the_room_goes_on(model: str) -> None:
    with (
        running(model, app="chat", limit=32) as server,
        guests(server.address, "Ann", "Bob") as room,
    ):
        with contextlib.ExitStack() as stack:
            for _ in range(40):  # some of them are in, and say nothing
                stack.enter_context(connect(server))
            for guest in room:
                guest.say("still there?")
                for other in room:
                    assert other.hear() == f"{guest.name}: still there?"
        with guests(server.address, "Cem"):
            pass
