"""A load is honest: it notices every wrong byte, counts what it says, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import psutil
import pytest

from iomodels.measure import progress
from iomodels.measure.limits import sized, source
from iomodels.measure.load import LoadError, load
from iomodels.measure.serving import ServerError, child, serving
from iomodels.measure.usage import SyscallCounter, counting, usage
from iomodels.servers import MODELS


@pytest.fixture(params=["compiled", "plain"])
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both loops of the clients."""
    if request.param == "plain":
        monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    elif not find_spec("numba"):
        pytest.skip("numba is not installed")
    name: str = request.param
    return name


@contextlib.contextmanager
def liar(answer: Callable[[int, bytes], bytes]) -> Iterator[tuple[str, int]]:
    """A server that answers the n-th read of a connection with what it likes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def talk(sock: socket.socket) -> None:
        with sock:
            number = 0
            with contextlib.suppress(OSError):
                while data := sock.recv(65536):
                    number += 1
                    sock.sendall(answer(number, data))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=talk, args=[listener.accept()[0]], daemon=True).start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield listener.getsockname()
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()


def flipped(number: int, data: bytes) -> bytes:
    """The last byte of the 50th read has one wrong bit."""
    return data if number != 50 else data[:-1] + bytes([data[-1] ^ 1])


def doubled(number: int, data: bytes) -> bytes:
    return data if number != 50 else data + data


def swapped(number: int, data: bytes) -> bytes:
    return data if number != 50 else data[1:2] + data[0:1] + data[2:]


@pytest.mark.parametrize("lie", [flipped, doubled, swapped])
def test_every_lie_is_noticed(lie: Callable[[int, bytes], bytes], loop: str) -> None:
    with liar(lie) as address, pytest.raises(LoadError, match=r"wrong byte|more than was asked"):
        load(address, connections=3, seconds=5, size=31)


def test_who_says_the_truth_is_believed(loop: str) -> None:
    with liar(lambda number, data: data) as address:
        report = load(address, connections=3, seconds=0.5)
    assert report.served == report.connections == 3
    assert report.unanswered == report.lost == 0
    assert 0 < report.messages <= report.total
    assert 0 < report.p50 <= report.p99 <= report.longest * 1.03
    assert report.compiled == (loop == "compiled")


@pytest.mark.parametrize(("size", "in_flight"), [(1, 1), (64, 32), (5000, 3), (3_000_000, 2)])
def test_messages_of_any_size_come_back(size: int, in_flight: int, loop: str) -> None:
    """The largest do not fit into the kernel's buffers: writes are partial on both sides."""
    with serving("epoll") as server:
        report = load(
            server.address, connections=3, seconds=0.5, size=size, in_flight=in_flight
        )  # fmt: skip
    assert report.served == 3
    assert report.unanswered == report.lost == 0


def test_a_connection_that_the_server_ends_is_counted_as_lost(loop: str) -> None:
    def tired(number: int, data: bytes) -> bytes:
        if number == 10:
            raise OSError
        return data

    with liar(tired) as address:
        report = load(address, connections=3, seconds=5)
    assert report.lost == 3
    assert report.total == 27


def test_a_blocking_server_answers_one_and_the_others_are_counted(loop: str) -> None:
    with serving("blocking") as server:
        report = load(server.address, connections=5, seconds=0.3)
    assert report.served == 1
    assert report.unanswered == 4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"connections": 0}, "begin at 1"),
        ({"in_flight": 0}, "begin at 1"),
        ({"size": 0}, "begin at 1"),
        ({"seconds": 0}, "from 0 to 600"),
        ({"seconds": 1e9}, "from 0 to 600"),
        ({"size": 1 << 20, "in_flight": 1000}, "64 MiB"),
        ({"app": "nosuch"}, "no load for an app named 'nosuch'"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        load(("127.0.0.1", 9), **arguments)  # type: ignore[arg-type]


def test_a_load_goes_to_loopback_only() -> None:
    with pytest.raises(ValueError, match="not this machine's loopback"):
        load(("192.0.2.1", 80))


def test_nobody_there_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = gone.getsockname()
    with pytest.raises(LoadError, match=r"cannot connect to 127\.0\.0\.1:\d+: Connection refused"):
        load(address, seconds=0.1)


def test_with_fewer_descriptors_there_are_fewer_clients_and_the_report_says_so() -> None:
    script = """if True:
        import resource
        from iomodels.measure.load import load
        from iomodels.measure.serving import serving
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
        with serving("epoll") as server:
            report = load(server.address, connections=500, seconds=0.1)
        print(report.connections, report.served, report.note)"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.startswith("136 136 136 connections instead of 500: a process may hold 200")


def test_connections_beyond_half_a_port_range_come_from_another_address() -> None:
    assert source(0) == source(12_999) == "127.0.0.1"
    assert source(13_000) == "127.0.1.2"
    addresses = {source(number) for number in range(0, 1_000_000, 1000)}
    assert len(addresses) == 77
    assert str(sized(10)) == "10 connections"


# --- the server in a child ---


@pytest.mark.parametrize("model", MODELS)
def test_a_server_is_got_rid_of_and_has_used_something(model: str) -> None:
    with serving(model) as server:
        family = [psutil.Process(server.pid)]
        load(server.address, connections=4, seconds=0.2)
        family += family[0].children(recursive=True)
    assert not any(process.is_running() for process in family)
    assert server.used
    assert server.used.cpu > 0


def test_an_exception_in_the_block_ends_the_server_too() -> None:
    with pytest.raises(RuntimeError, match="mine"), serving("processes") as server:
        raise RuntimeError("mine")
    assert not psutil.pid_exists(server.pid)


def test_a_server_that_does_not_stop_is_named_in_one_line_and_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("iomodels.measure.serving.STOPS_WITHIN", 0.2)
    named = pytest.raises(ServerError, match=r"^epoll did not stop within 0\.2 s$")
    with named, serving("epoll") as server:
        os.kill(server.pid, signal.SIGSTOP)
    assert not psutil.pid_exists(server.pid)


def test_a_server_ends_when_its_parent_is_killed() -> None:
    script = """if True:
        import time
        from iomodels.measure.serving import serving
        with serving("processes") as server:
            print(server.pid, flush=True)
            time.sleep(60)"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        server = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    server.wait(20)


def test_a_module_that_fails_says_so_in_one_line() -> None:
    with pytest.raises(ServerError, match="No module named nosuch"), child("nosuch", []):
        pass
    with pytest.raises(ValueError, match="no model named 'nosuch'"), serving("nosuch"):
        pass


def test_no_descriptor_is_left_here() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with serving("epoll") as server, counting(server.pid):
        load(server.address, connections=3, seconds=0.1)
    assert len(os.listdir("/proc/self/fd")) == before


# --- what is counted ---


def test_system_calls_are_counted_one_by_one() -> None:
    try:
        counter = SyscallCounter(0)
    except OSError as error:
        pytest.skip(str(error))
    with contextlib.closing(counter), open(os.devnull) as somewhere:
        fd = somewhere.fileno()
        before = counter.count()
        for _ in range(1000):
            os.fstat(fd)
        assert counter.count() - before - 1 == 1000  # and the read of the counter


def test_context_switches_are_counted() -> None:
    before = usage()
    for _ in range(20):
        time.sleep(0.001)
    assert (usage() - before).voluntary >= 20


def test_a_server_makes_two_calls_a_message_and_one_for_the_waiting() -> None:
    with serving("epoll") as server, counting(server.pid) as counter:
        if counter is None:
            pytest.skip("system calls cannot be counted here")
        report = load(server.address, connections=1, seconds=0.3)
        assert 2.9 < counter.count() / report.total < 3.2


# --- while one waits ---


def test_only_the_outermost_bar_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    @contextlib.contextmanager
    def bar(title: str) -> Iterator[progress.Step]:
        shown.append(title)
        yield lambda done, what: shown.append(what)

    monkeypatch.setattr(progress, "bar", bar)
    with progress.progress("outer") as step:
        step(0.5, "half")
        with progress.progress("inner") as inner:
            inner(0.5, "not shown")
    with pytest.raises(RuntimeError), progress.progress("fails"):
        raise RuntimeError
    with progress.progress("again"):
        pass
    assert shown == ["outer", "half", "fails", "again"]


# --- what an import costs ---


def test_importing_iomodels_imports_nothing_heavy() -> None:
    heavy = "numpy numba matplotlib ipywidgets IPython click rich psutil".split()
    for module in ("iomodels", "iomodels.servers.epoll", "iomodels.kernel.recording"):
        script = f"import sys, {module}; print(*sys.modules)"
        loaded = subprocess.check_output([sys.executable, "-c", script], text=True).split()
        assert not set(heavy) & set(loaded), module
    script = "import sys, iomodels.measure.load; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", script], text=True).split()
    assert not {"numpy", "numba", "matplotlib"} & set(loaded)


def test_the_package_can_be_imported_where_there_is_no_linux() -> None:
    """As if this were Windows: no epoll, no readv, no fork, no resource limits."""
    script = """if True:
        import logging, os, select, shutil, subprocess, sys  # these ask for the platform, too
        sys.platform = "win32"
        for name in [n for n in dir(select) if n.lower().startswith(("epoll", "poll"))]:
            delattr(select, name)
        del os.readv, os.writev, os.fork
        sys.modules["resource"] = sys.modules["fcntl"] = sys.modules["termios"] = None
        import iomodels, iomodels.apps.echo, iomodels.kernel, iomodels.servers, iomodels.websocket
        import iomodels.measure.machine"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
