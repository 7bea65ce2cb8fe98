"""The small loop: who goes on when, what ends a wait, and that nothing is left behind."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from iomodels.course import small_echo
from iomodels.course.small_loop import Cancelled, Loop
from iomodels.kernel.descriptors import descriptors
from iomodels.measure.serving import child


@pytest.fixture
def loop() -> Iterator[Loop]:
    before = [descriptor.fd for descriptor in descriptors()]
    loop = Loop()
    yield loop
    loop.epoll.close()
    assert [descriptor.fd for descriptor in descriptors()] == before


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


def settled(loop: Loop) -> bool:
    """Nobody is left, and nobody is waited for."""
    return not (loop.tasks or loop.waiting or [t for t in loop.timers if t.task])


def test_what_a_coroutine_returns_and_raises_comes_out_of_run(loop: Loop) -> None:
    async def returns() -> int:
        return 7

    async def fails() -> None:
        raise ValueError("no")

    assert loop.run(returns()) == 7
    with pytest.raises(ValueError, match="no"):
        Loop().run(fails())


def test_sleepers_wake_in_the_order_of_their_times(loop: Loop) -> None:
    woken = []

    async def sleeper(seconds: float) -> None:
        await loop.sleep(seconds)
        woken.append(seconds)

    async def main() -> None:
        for task in [loop.spawn(sleeper(seconds)) for seconds in (0.03, 0.01, 0.02, 0.0)]:
            await task

    started = time.monotonic()
    loop.run(main())
    assert woken == [0.0, 0.01, 0.02, 0.03]
    assert time.monotonic() - started >= 0.03
    assert settled(loop)


def test_a_reader_goes_on_when_there_is_something_and_not_before(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    happened: list[Any] = []

    async def reader() -> bytes:
        await loop.readable(ours)
        happened.append("readable")
        return ours.recv(100)

    async def main() -> Any:
        task = loop.spawn(reader())
        await loop.sleep(0.01)
        assert list(loop.waiting) == [ours.fileno()]
        happened.append("sent")
        theirs.send(b"hello")
        return await task

    assert loop.run(main()) == b"hello"
    assert happened == ["sent", "readable"]
    assert settled(loop)


def test_a_writer_waits_for_room(loop: Loop, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    data = bytes(range(256)) * 8192

    async def read_all() -> bytes:
        theirs.setblocking(False)
        heard = b""
        while len(heard) < len(data):
            heard += await small_echo.read(loop, theirs)
        return heard

    async def main() -> Any:
        task = loop.spawn(read_all())
        await small_echo.write(loop, ours, data)
        return await task

    assert loop.run(main()) == data


def test_cancelled_it_takes_itself_off_the_lists_and_can_clean_up(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    happened = []

    async def waits(how: str) -> None:
        try:
            if how == "sleeps":
                await loop.sleep(1000)
            elif how == "reads":
                await loop.readable(pair[0])
            else:
                await loop.current
        except Exception:
            happened.append("must not catch it")
        finally:
            await loop.sleep(0)
            happened.append(how)

    async def main() -> None:
        for how in ("sleeps", "reads", "awaits itself"):
            task = loop.spawn(waits(how))
            await loop.sleep(0)
            task.cancel()
            task.cancel()
            with pytest.raises(Cancelled):
                await task
            task.cancel()  # it has ended: nothing happens
        assert loop.tasks == {loop.current}

    loop.run(main())
    assert happened == ["sleeps", "reads", "awaits itself"]
    assert settled(loop)


def test_cancelled_before_it_has_begun_it_never_begins(loop: Loop) -> None:
    begun = []

    async def never() -> None:
        begun.append(True)

    async def main() -> None:
        task = loop.spawn(never())
        task.cancel()
        with pytest.raises(Cancelled):
            await task

    loop.run(main())
    assert not begun


def test_a_task_is_awaited_by_many_and_its_error_is_raised_in_each(loop: Loop) -> None:
    async def fails() -> None:
        await loop.sleep(0)
        raise KeyError("x")

    async def awaits(task: Any) -> str:
        try:
            await task
        except KeyError:
            return "heard"
        return "not heard"

    async def main() -> list[Any]:
        task = loop.spawn(fails())
        others = [loop.spawn(awaits(task)) for _ in range(3)]
        return [await other for other in others]

    assert loop.run(main()) == ["heard"] * 3


def test_a_wait_that_is_over_wakes_nobody_later(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    """The timer of a cancelled sleep must not end the next wait of the same task."""
    resumed = 0

    async def main() -> None:
        nonlocal resumed
        me = loop.current
        for other in (loop.sleep(0.01), loop.readable(pair[0])):
            me.cancel()
            with pytest.raises(Cancelled):
                await other
        started = time.monotonic()
        await loop.sleep(0.05)
        assert time.monotonic() - started >= 0.05

    loop.run(main())


def test_tasks_of_one_round_take_turns(loop: Loop) -> None:
    turns = []

    async def takes_turns(name: str) -> None:
        for _ in range(3):
            turns.append(name)
            await loop.sleep(0)

    async def main() -> None:
        for task in [loop.spawn(takes_turns(name)) for name in "ab"]:
            await task

    loop.run(main())
    assert turns == list("ababab")


def test_two_may_not_wait_for_one_descriptor(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    async def main() -> None:
        loop.spawn(loop.readable(pair[0]))
        await loop.sleep(0)
        with pytest.raises(FileExistsError):
            await loop.readable(pair[0])
        assert list(loop.waiting) == [pair[0].fileno()], "the first one still waits"

    loop.run(main())


def test_when_nobody_is_left_to_wake_anybody_it_says_so(loop: Loop) -> None:
    async def main() -> None:
        await loop.current

    with pytest.raises(RuntimeError, match="every task waits for another"):
        loop.run(main())


def test_what_has_not_ended_is_closed(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    happened = []

    async def for_ever() -> None:
        try:
            await loop.readable(pair[0])
        finally:
            happened.append("closed")

    async def main() -> None:
        loop.spawn(for_ever())
        await loop.sleep(0)

    loop.run(main())
    assert happened == ["closed"]
    assert not loop.waiting


def test_an_interrupt_goes_through_and_leaves_nothing(loop: Loop) -> None:
    closed = []

    async def other() -> None:
        try:
            await loop.sleep(1000)
        finally:
            closed.append(True)

    async def main() -> None:
        loop.spawn(other())
        await loop.sleep(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.run(main())
    assert closed and loop.epoll.closed


def test_the_echo_server_serves_several_and_stops_with_its_leash() -> None:
    with child("iomodels.course.small_echo", []) as server:
        address = tuple(server.said["address"])
        clients = [socket.create_connection(address, timeout=10) for _ in range(20)]
        for round_ in range(3):
            for number, client in enumerate(clients):
                client.sendall(b"%d:%d" % (round_, number))
            for number, client in enumerate(clients):
                assert client.recv(100) == b"%d:%d" % (round_, number)
        clients[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        clients[0].close()  # a reset
        clients[1].close()
        clients[2].sendall(b"still there?")
        assert clients[2].recv(100) == b"still there?"
        for client in clients:
            client.close()
        assert server.process.stdin
        server.process.stdin.close()
        server.process.wait(10)
        assert server.log() == ""


def test_it_watches_only_while_somebody_waits(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    loop = Loop()

    async def main() -> None:
        theirs.send(b"x")
        await loop.readable(ours)
        assert not loop.epoll.poll(0), "what is readable is on no list now"
        loop.epoll.register(ours, select.EPOLLIN)
        assert loop.epoll.poll(0)
        loop.epoll.unregister(ours)

    loop.run(main())
