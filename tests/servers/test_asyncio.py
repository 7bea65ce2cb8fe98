"""What asyncio does for the server, and what it must not do behind its back."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from iomodels.apps import CLOSE, NOTHING, Answer, App
from iomodels.apps import app as named
from iomodels.apps.echo import Echo
from iomodels.kernel import EpollPoller, LiveKernel, live
from iomodels.kernel.faulty import Faults, FaultyKernel
from iomodels.kernel.objects import KernelSelector, from_epoll, to_epoll
from iomodels.kernel.recording import RecordingKernel
from iomodels.servers.asyncio import Server, serve
from iomodels.servers.listening import listen
from tests.servers.harness import echoes, receive
from tests.servers.test_clients import PATTERN, send_until_stuck

Connect = Callable[[], socket.socket]


@contextlib.contextmanager
def serving(
    app: App,
    kernel: LiveKernel | RecordingKernel | None = None,
    listener: socket.socket | None = None,
) -> Iterator[Connect]:
    """A server in a thread, which must end by itself and leave no fd; yields how to connect."""
    with contextlib.ExitStack() as clients, listener or listen() as listener:
        before = set(os.listdir("/proc/self/fd"))
        thread = threading.Thread(target=serve, args=(listener.fileno(), app, kernel or live))
        thread.start()

        def connect() -> socket.socket:
            return clients.enter_context(socket.create_connection(listener.getsockname(), 10))

        try:
            yield connect
        finally:
            with contextlib.suppress(OSError):  # ENOTCONN: the app has done it
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(20)
        assert not thread.is_alive()
        clients.close()
        assert set(os.listdir("/proc/self/fd")) <= before


class Patient(Echo):
    """Echo with deadlines. What it does when one comes, a test may say."""

    deadline: Callable[[int, float], None]
    write_timeout = 0.0
    last_words: Answer = NOTHING

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.told: list[int] = []

    def opened(self, fd: int) -> Answer:
        self.deadline(fd, self.seconds)
        return NOTHING

    def expired(self, fd: int) -> Answer:
        self.told.append(fd)
        return (b"late", CLOSE)

    def goodbye(self, fd: int) -> Answer:
        return self.last_words


# --- the buffer ---


def test_what_must_wait_is_not_overwritten_by_the_next_read() -> None:
    with serving(Echo()) as connect:
        late, other = connect(), connect()
        sent = send_until_stuck(late)
        for _ in range(5):
            assert echoes(other, b"\xff" * 100_000), "over the whole window"
        late.settimeout(10)
        assert receive(late, sent) == PATTERN[:sent]


def test_an_answer_of_many_buffers_is_one_call() -> None:
    class Three(Echo):
        def received(self, fd: int, view: memoryview) -> Answer:
            return (b"<", view, b">")

    kernel = RecordingKernel()
    with serving(Three(), kernel) as connect:
        client = connect()
        client.sendall(b"hello")
        assert receive(client, 7) == b"<hello>"
    written = [call.data for call in kernel.calls if call.name in ("write", "writev")]
    assert written == [b"<hello>"]


# --- the seam ---


def test_every_call_of_a_conversation_goes_through_the_kernel_object() -> None:
    class Brief(Echo):
        def received(self, fd: int, view: memoryview) -> Answer:
            return (bytes(view), CLOSE)

    kernel = RecordingKernel()
    with serving(Brief(), kernel) as connect:
        client = connect()
        client.sendall(b"hello")
        assert receive(client, 100) == b"hello", "and the end"
        client.sendall(b"thrown away")
        client.close()
    calls = [call for call in kernel.calls if not isinstance(call.result, OSError)]
    fd = next(call.result for call in calls if call.name == "accept")
    about = [call for call in calls if call.arguments[:1] == (fd,) or fd in call.arguments[2:3]]
    assert [call.name for call in about] == [
        *("set_blocking", "epoll_ctl", "readv", "write", "shutdown", "readv", "readv"),
        *("epoll_ctl", "close"),
    ]


def test_the_selector_speaks_for_both_sides() -> None:
    reading, writing = 1, 2  # selectors.EVENT_READ, EVENT_WRITE
    for events in (reading, writing, reading | writing):
        assert from_epoll(to_epoll(events)) == events
    assert from_epoll(8) == from_epoll(16) == reading | writing, "EPOLLERR, EPOLLHUP"
    one, other = socket.socketpair()
    with one, other, contextlib.closing(KernelSelector(live)) as selector:
        selector.register(one.fileno(), reading | writing, "data")
        assert selector.select(0) == [(selector.get_key(one.fileno()), writing)]
        selector.modify(one.fileno(), reading, "other")
        assert selector.select(0) == []
        other.sendall(b"x")
        assert [(key.data, events) for key, events in selector.select(0)] == [("other", reading)]
        selector.unregister(one.fileno())
        assert selector.select(0) == []
        with pytest.raises(KeyError):
            selector.get_key(one.fileno())


class FullEpoll:
    """An epoll that takes no third TCP connection: fs.epoll.max_user_watches is reached."""

    def __init__(self, inner: EpollPoller) -> None:
        self.modify, self.unregister = inner.modify, inner.unregister
        self.poll, self.fileno, self.close = inner.poll, inner.fileno, inner.close
        self.inner = inner
        self.full = False

    def register(self, fd: int, eventmask: int) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.inner.register(fd, eventmask)


def test_who_cannot_be_watched_is_hung_up_on_and_the_others_are_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class FullKernel(LiveKernel):
        def epoll(self) -> EpollPoller:  # type: ignore[override]
            self.made = FullEpoll(live.epoll())
            return self.made

        def accept(self, listener: int) -> int:  # type: ignore[override]
            fd = live.accept(listener)
            self.accepted = getattr(self, "accepted", 0) + 1
            self.made.full = self.accepted == 2
            return fd

    kernel = FullKernel()
    with serving(Echo(), kernel) as connect:
        first = connect()
        assert echoes(first, b"hello")
        refused = connect()
        with contextlib.suppress(ConnectionError):
            assert refused.recv(1) == b""
        kernel.made.full = False
        assert echoes(first, b"still here") and echoes(connect(), b"me too")
    (record,) = caplog.records
    assert record.getMessage().startswith("epoll cannot watch fd ")


# --- errors ---


def test_an_app_that_raises_loses_one_connection_and_is_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Clumsy(Echo):
        def received(self, fd: int, view: memoryview) -> Answer:
            return (bytes([view[0] // (view[0] - ord("a"))]),)

    with serving(Clumsy()) as connect:
        other, victim = connect(), connect()
        victim.sendall(b"a")
        with contextlib.suppress(ConnectionError):
            assert victim.recv(1) == b""
        other.sendall(b"b")
        assert other.recv(1) == b"b"
    (record,) = caplog.records
    assert record.exc_info and record.exc_info[0] is ZeroDivisionError


def test_clients_that_are_gone_are_not_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    class Letters(Echo):
        publish: Callable[[bytes], None]

        def __init__(self) -> None:
            self.fds: set[int] = set()

        def opened(self, fd: int) -> Answer:
            self.fds.add(fd)
            return NOTHING

        def closed(self, fd: int) -> None:
            self.fds.discard(fd)

        def subscribed(self, fd: int) -> bool:
            return fd in self.fds

        def subscribers(self) -> tuple[int, ...]:
            return tuple(self.fds)

        def received(self, fd: int, view: memoryview) -> Answer:
            for _ in range(10):  # asyncio warns after five writes to one who is gone
                self.publish(b"x" * 10_000)
            return NOTHING

    caplog.set_level(logging.WARNING)
    with serving(Letters()) as connect:
        clients = [connect() for _ in range(20)]
        for rude in clients[1:]:
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        for rude in clients[1:]:
            rude.sendall(b"?")
            rude.close()
        clients[0].sendall(b"?")
        assert receive(clients[0], 100_000) == b"x" * 100_000
    assert not caplog.records


def test_an_interrupt_closes_everything_and_is_raised() -> None:
    script = """if True:
        import os
        from iomodels.apps import app
        from iomodels.kernel import live
        from iomodels.servers.asyncio import serve
        from iomodels.servers.listening import listen
        with listen() as listener:
            before = os.listdir("/proc/self/fd")
            print(listener.getsockname()[1], flush=True)
            try:
                serve(listener.fileno(), app("echo"), live)
            except KeyboardInterrupt:
                print("interrupted", os.listdir("/proc/self/fd") == before)"""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-X", "dev", "-c", script], stdout=pipe, stderr=pipe, text=True
    ) as child:
        try:
            assert child.stdout
            address = "127.0.0.1", int(child.stdout.readline())
            with socket.create_connection(address, 10) as client:
                assert echoes(client, b"hello")
                child.send_signal(signal.SIGINT)
                assert client.recv(1) == b""
            out, err = child.communicate(timeout=20)
        finally:
            child.kill()
    assert (out, err) == ("interrupted True\n", "")


# --- the end ---


def test_what_has_arrived_before_the_stop_is_answered() -> None:
    """It is read a byte at a time, so it takes several rounds of the loop."""

    class Stopper(Echo):
        def __init__(self) -> None:
            self.busy, self.go_on = threading.Event(), threading.Event()

        def received(self, fd: int, view: memoryview) -> Answer:
            if view == b"!":
                listener.shutdown(socket.SHUT_RDWR)
                self.busy.set()
                assert self.go_on.wait(10)
            return (view,)

    app, listener = Stopper(), listen()
    with serving(app, FaultyKernel(Faults(short_reads=1)), listener) as connect:
        first, second = connect(), connect()
        assert echoes(first, b"a") and echoes(second, b"b")
        first.sendall(b"!")
        assert app.busy.wait(10)
        second.sendall(b"in time")
        app.go_on.set()
        assert receive(first, 1) == b"!"
        assert receive(second, 7) == b"in time"


def test_a_timed_app_has_the_last_word_and_hears_what_the_client_says_to_it() -> None:
    class Polite(Patient):
        last_words = (b"bye",)

        def received(self, fd: int, view: memoryview) -> Answer:
            return (b"well", CLOSE) if view == b"bye" else (view,)

    def hear_and_return_it(client: socket.socket) -> bytes:
        heard = receive(client, 3)
        client.sendall(heard)
        return heard + receive(client, 100)

    with ThreadPoolExecutor() as pool:
        with serving(Polite()) as connect:
            client = connect()
            assert echoes(client, b"hello")
            heard = pool.submit(hear_and_return_it, client)
        assert heard.result() == b"byewell"


# --- deadlines ---


def test_who_is_late_is_told_and_hung_up_on() -> None:
    app = Patient(0.2)
    with serving(app) as connect:
        client = connect()
        asked = live.monotonic()
        assert receive(client, 100) == b"late"
        assert live.monotonic() - asked > 0.19
    assert len(app.told) == 1


def test_a_deadline_that_is_moved_or_gone_does_not_come() -> None:
    class Busy(Patient):
        def received(self, fd: int, view: memoryview) -> Answer:
            self.deadline(fd, 0.0 if view == b"stay" else 10.0)
            return (view,)

    app = Busy(2.0)
    with serving(app) as connect:
        witness, moved, gone = connect(), connect(), connect()
        assert echoes(moved, b"move") and echoes(gone, b"stay")
        connect().close()  # its number comes back, without its deadline
        assert receive(witness, 100) == b"late"
        assert echoes(moved, b"here") and echoes(gone, b"stay")
    assert len(app.told) == 1


def test_who_does_not_take_an_answer_is_hung_up_on() -> None:
    app = Patient()
    app.write_timeout = 0.3
    with serving(app) as connect:
        deaf, other = connect(), connect()
        with pytest.raises(ConnectionError):
            while True:
                deaf.sendall(b"x" * 65536)
        assert echoes(other, b"hello")
    assert app.told == []


class Clock(LiveKernel):
    now = 1000.0

    def monotonic(self) -> float:  # type: ignore[override]
        return self.now


class Told:
    """In place of a connection: takes down that it was told."""

    def __init__(self) -> None:
        self.calls: list[bool] = []

    def expired(self, *, ours: bool) -> None:
        self.calls.append(ours)


@contextlib.contextmanager
def server_at_rest(
    fds: Sequence[int],
) -> Iterator[tuple[Server, Clock, dict[int, Told], list[float]]]:
    """A server whose loop does not run: a clock that is set by hand, and the alarms it wound."""
    kernel, wound = Clock(), list[float]()
    with contextlib.closing(KernelSelector(kernel)) as selector:
        loop = asyncio.SelectorEventLoop(selector)
        call_later = loop.call_later

        def count(delay: float, *call: Callable[[], None]) -> asyncio.TimerHandle:
            wound.append(delay)
            return call_later(delay, *call)

        loop.call_later = count  # type: ignore[method-assign, assignment]
        with contextlib.closing(loop):
            server = Server(named("echo"), kernel, loop, selector)
            told = {fd: Told() for fd in fds}
            server.connections.update(told)  # type: ignore[arg-type]
            yield server, kernel, told, wound


def test_a_thousand_deadlines_are_one_timer() -> None:
    with server_at_rest(range(1000)) as (server, kernel, told, wound):
        for fd in told:
            kernel.now += 0.001
            server.set_deadline(2 * fd, 5.0)
        assert len(wound) <= 2, "for the first, and once for one that looks sooner"
        kernel.now += 7.0
        server.ring()
        assert all(each.calls == [False] for each in told.values())


def test_after_a_long_sleep_a_new_deadline_still_lies_ahead() -> None:
    """The slots of the wheel come round: whoever sets one must look at the time first."""
    with server_at_rest([5]) as (server, kernel, told, _):
        for slept in (0.0, 7.9, 100.0, 5000.0):
            for seconds in (0.5, 5.0, 20.0, 100.0):
                kernel.now += slept
                server.set_deadline(10, seconds)
                server.ring()
                kernel.now += seconds
                server.ring()
                assert told[5].calls == []
                kernel.now += seconds / 15 + 0.125
                server.ring()
                assert told[5].calls == [False]
                told[5].calls.clear()


def test_one_who_is_found_late_by_another_is_told_by_the_alarm() -> None:
    with server_at_rest([5, 6]) as (server, kernel, told, wound):
        server.set_deadline(11, 1.0)
        kernel.now += 2.0
        server.set_deadline(12, 1.0)
        assert told[5].calls == [], "not in the middle of something else"
        assert wound[-1] == 0.0
        server.ring()
        assert (told[5].calls, told[6].calls) == ([True], [])


def test_one_who_leaves_is_not_late() -> None:
    with server_at_rest([5, 6]) as (server, kernel, told, _):
        server.set_deadline(10, 1.0)
        kernel.now += 2.0
        server.set_deadline(12, 1.0)  # finds that 5 is late
        server.leave(5)
        server.connections[5] = told[5]  # type: ignore[assignment]
        server.ring()
        assert told[5].calls == []
