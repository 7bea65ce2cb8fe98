"""Switches, system calls by name, bytes copied, allocations: each against an independent count."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from iomodels.kernel.descriptors import _KCMP
from iomodels.measure import copies, syscalls
from iomodels.measure.allocations import Allocated, allocations
from iomodels.measure.comparison import compare
from iomodels.measure.copies import Copied, Cost, bytes_copied, copied, cost_of
from iomodels.measure.dialogues import UPGRADE
from iomodels.measure.load import load
from iomodels.measure.serving import serving
from iomodels.measure.syscalls import (
    NUMBERS,
    OTHER,
    CannotCount,
    by_perf,
    by_strace,
    calls_by_name,
    read_table,
)
from iomodels.measure.usage import PERF_EVENT_OPEN
from iomodels.trace.waking import EPOLL_WAIT
from tests.websocket.harness import FAST

ON_A_CONNECTION = ("readv", "write", "writev", "epoll_ctl", "ioctl", "getsockname")


def works(way: Callable[[int], contextlib.AbstractContextManager[object]]) -> str:
    """Why a way to count does not work here; "" when it does."""
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        try:
            with way(sleeper.pid):
                return ""
        except CannotCount as why:
            return str(why)
        finally:
            sleeper.kill()


@pytest.fixture(scope="session")
def perf() -> None:
    if why := works(by_perf):
        pytest.skip(why)


@pytest.fixture(scope="session")
def strace() -> None:
    if why := works(by_strace):
        pytest.skip(why)


@contextlib.contextmanager
def without(name: str, value: object = None) -> Iterator[None]:
    """syscalls.py with one of its names replaced."""
    patch = pytest.MonkeyPatch()
    patch.setattr(syscalls, name, value)
    try:
        yield
    finally:
        patch.undo()


# --- system calls by name ---


@pytest.mark.usefixtures("perf", "strace")
@pytest.mark.parametrize("model", ["epoll", "threads", "processes"])
def test_the_kernel_and_strace_count_the_same_calls(model: str) -> None:
    """Both at once, on the same server, under the same load.

    A server that has served before: one that has just said where it listens may still be importing
    something, and the kernel begins to count it a moment before strace does.
    """
    with serving(model) as server:
        load(server.address, connections=3, seconds=0.05)
        time.sleep(0.3)
        with by_perf(server.pid) as ours, by_strace(server.pid) as its:
            report = load(server.address, connections=3, seconds=1.0)  # strace makes it slow
            time.sleep(0.3)  # until the server has closed the connections
    assert report.total > 50
    for name in ON_A_CONNECTION:
        assert ours.by_name.get(name, 0) == its.by_name.get(name, 0), (name, ours, its)
    # What sleeps while strace comes and goes is begun again by that, and the kernel counts it anew.
    assert ours.total == pytest.approx(its.total, rel=0.1, abs=40)


@pytest.mark.usefixtures("perf")
@pytest.mark.parametrize("model", ["epoll", "threads", "processes", "blocking"])
def test_a_message_is_a_read_and_a_write(model: str) -> None:
    """Against the load's own count; the last read of a connection says that it is over."""
    with serving(model) as server, calls_by_name(server.pid) as calls:
        report = load(server.address, connections=3, seconds=0.3)
        time.sleep(0.3)
    answered = report.total + report.unanswered
    writes = calls.by_name.get("write", 0) + calls.by_name.get("writev", 0)
    assert calls.source == "perf_event_open" and not calls.note
    assert answered <= writes <= answered + 3
    assert answered <= calls.by_name["readv"] <= answered + 2 * report.connections + 3


@pytest.mark.usefixtures("strace")
def test_strace_is_the_second_way_and_the_note_says_why() -> None:
    with (
        without("SyscallCounter", refused),
        serving("epoll") as server,
        calls_by_name(server.pid) as calls,
    ):
        report = load(server.address, connections=3, seconds=0.3)
        time.sleep(0.3)
    assert calls.source == "strace"
    assert calls.note == "perf_event_open: it takes root, or kernel.perf_event_paranoid below 0"
    assert report.total <= calls.by_name["readv"] <= report.total + 6


def refused(thread: int) -> object:
    """A counter that may not be had."""
    raise PermissionError(13, "Permission denied")


def test_where_nothing_works_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscalls, "SyscallCounter", refused)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with calls_by_name(os.getpid()) as calls:
        pass
    assert (calls.source, calls.by_name, calls.total) == ("", {}, 0)
    assert calls.note == (
        "system calls cannot be counted by name here: perf_event_open: it takes root, or "
        "kernel.perf_event_paranoid below 0; strace is not installed"
    )


@pytest.mark.usefixtures("strace")
def test_strace_that_may_not_attach_says_so() -> None:
    """It cannot trace a process which is traced already."""
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        try:
            with (
                by_strace(sleeper.pid),
                pytest.raises(CannotCount, match="Operation not permitted"),
                by_strace(sleeper.pid),
            ):
                pass
        finally:
            sleeper.kill()


def test_no_such_process() -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    with pytest.raises(ProcessLookupError), calls_by_name(gone.pid):
        pass


@pytest.mark.usefixtures("perf")
def test_a_call_without_a_name_is_counted_with_the_others() -> None:
    with calls_by_name(os.getpid()) as calls:
        for _ in range(100):
            os.getppid()  # not in NUMBERS
        for _ in range(200):
            os.sched_yield()
    assert calls.by_name[OTHER] == 100
    assert calls.by_name["sched_yield"] == 200
    assert calls.total == sum(calls.by_name.values())


@pytest.mark.usefixtures("perf")
def test_threads_and_children_that_come_later_are_counted() -> None:
    script = """if True:
        import os, sys, threading
        sys.stdin.readline()
        def work():
            for _ in range(100):
                os.sched_yield()
        thread = threading.Thread(target=work)
        thread.start(); thread.join()
        pid = os.fork()
        if pid == 0:
            work(); os._exit(0)
        os.waitpid(pid, 0)
        print("done", flush=True)
        sys.stdin.readline()"""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe) as process:
        assert process.stdin and process.stdout
        with calls_by_name(process.pid) as calls:
            process.stdin.write(b"\n")
            process.stdin.flush()
            process.stdout.readline()
        process.stdin.close()
    assert calls.by_name["sched_yield"] >= 200  # a lock of the interpreter may yield, too
    assert calls.by_name["wait4"] == 1


HEADERS = {
    "x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
    "aarch64": "/usr/include/asm-generic/unistd.h",
}


@pytest.mark.parametrize("machine", NUMBERS)
def test_the_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    header = Path(HEADERS[machine])
    if not header.exists():
        pytest.skip("there is no header here")
    # 3264: of a call that has a form for 32 bits and one for 64
    found = re.findall(r"define __NR(?:3264)?_(\w+) (\d+)", header.read_text())
    numbers = {name: int(number) for name, number in found}
    assert {name: numbers[name] for name in NUMBERS[machine]} == NUMBERS[machine]
    assert numbers["perf_event_open"] == PERF_EVENT_OPEN[machine]
    assert numbers["kcmp"] == _KCMP[machine]
    waits = {str(numbers[name]) for name in ("epoll_wait", "epoll_pwait") if name in numbers}
    assert waits <= EPOLL_WAIT


@pytest.mark.parametrize("machine", NUMBERS)
def test_no_two_names_have_one_number(machine: str) -> None:
    assert len(set(NUMBERS[machine].values())) == len(NUMBERS[machine])
    assert not {"fork", "poll", "select", "epoll_wait"} & set(NUMBERS["aarch64"])  # not there


def test_a_table_of_strace_is_read() -> None:
    table = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000030           1        20         5 readv
 40.00    0.000020           2        10           write
  0.00    0.000000           0         1         1 accept4
------ ----------- ----------- --------- --------- ----------------
100.00    0.000050           1        31         6 total
"""
    assert read_table(table) == {"readv": 20, "write": 10, "accept4": 1}
    assert read_table("") == {}


def until_asleep(pid: int) -> None:
    """Wait until a process sleeps: just after it was let go, it may still be running."""
    end = time.monotonic() + 10
    while (status := psutil.Process(pid).status()) != psutil.STATUS_SLEEPING:
        assert time.monotonic() < end, status
        time.sleep(0.01)


@pytest.mark.usefixtures("strace")
def test_no_process_and_no_descriptor_is_left_of_either() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        try:
            for way in (by_perf, by_strace):
                with (
                    contextlib.suppress(CannotCount),
                    pytest.raises(KeyboardInterrupt),
                    way(sleeper.pid),
                ):
                    raise KeyboardInterrupt
            assert [child.name() for child in psutil.Process().children()].count("strace") == 0
            until_asleep(sleeper.pid)  # not stopped
        finally:
            sleeper.send_signal(signal.SIGKILL)
    assert len(os.listdir("/proc/self/fd")) == before


# --- bytes copied ---


@pytest.mark.parametrize("model", ["epoll", "processes", "blocking", "asyncio"])
def test_every_byte_of_the_load_is_counted_on_both_sides(model: str) -> None:
    with serving(model) as server, copied(server.pid) as found:
        report = load(server.address, connections=3, seconds=0.3, size=100)
        time.sleep(0.3)
    assert report.total > 0
    if os.geteuid() and "a child has ended" in found.note:
        pytest.skip(found.note)
    # The first message makes Python read what it needs for it; that is a few files, if any.
    assert found.to_kernel is not None and found.to_user is not None
    # Whoever was not served in time may be answered after all, when the first one has left.
    assert 0 <= found.to_kernel - report.total * 100 <= report.unanswered * 100
    asked = (report.total + report.unanswered) * 100
    assert asked <= found.to_user < asked + 100_000


def test_masks_come_in_and_do_not_go_out() -> None:
    with serving("epoll", "websocket") as server, copied(server.pid) as found:
        report = load(server.address, app="websocket", connections=3, seconds=0.3, size=100)
    assert found.to_kernel is not None and found.to_user is not None
    answer = (found.to_kernel - report.total * 102) / 3  # a header of two bytes for each message
    assert answer == 129  # 101 Switching Protocols
    assert found.to_user >= report.total * 106 + 3 * len(UPGRADE)


def test_what_the_kernel_counts_and_what_not() -> None:
    """Reads and writes, on sockets too; recv, send and splice not; sendfile on both sides."""
    me = os.getpid()

    def difference(call: Callable[[], object]) -> tuple[int, int]:
        idle = bytes_copied(me), bytes_copied(me)
        before = bytes_copied(me)
        call()
        after = bytes_copied(me)
        looking = {name: idle[1][name] - idle[0][name] for name in before}
        return tuple(after[n] - before[n] - looking[n] for n in ("rchar", "wchar"))  # type: ignore

    a, b = socket.socketpair()
    file = os.memfd_create("file")
    os.ftruncate(file, 100_000)
    end, begin = os.pipe()
    slack = pytest.approx(0, abs=10_000)  # for other threads of this process, and longer figures
    with a, b, open(os.devnull, "wb") as null:
        data = bytes(50_000)
        read, written = difference(
            lambda: (os.write(a.fileno(), data), os.read(b.fileno(), 50_000))
        )
        assert (read - 50_000, written) == (slack, 50_000)
        assert difference(lambda: (a.send(data), b.recv(50_000))) == (slack, 0)
        read, written = difference(lambda: os.sendfile(null.fileno(), file, 0, 100_000))
        assert (read - 100_000, written) == (slack, 100_000)
        assert difference(lambda: os.splice(file, begin, 50_000, 0)) == (slack, 0)
    for fd in (file, end, begin):
        os.close(fd)


def test_where_proc_does_not_tell_there_is_one_line() -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    with copied(gone.pid) as found:
        pass
    assert found.to_user is None and found.to_kernel is None
    assert found.note == f"/proc/{gone.pid}/io: No such file or directory"


# --- what a message costs ---


def test_a_thread_for_each_switches_and_one_loop_does_not() -> None:
    threads, epoll = cost_of("threads", connections=50), cost_of("epoll", connections=50)
    assert threads.voluntary > 0.5
    # Clients in plain Python are slower than the server, which then sleeps between some messages.
    assert epoll.voluntary < (0.3 if FAST else threads.voluntary)
    assert epoll.copied_per_message == pytest.approx(128, rel=0.05)
    for cost in (threads, epoll):
        assert cost.words().startswith(f"{cost.model}, for each message: ")
        assert "bytes copied" in cost.words()


@pytest.mark.usefixtures("strace")
def test_what_strace_makes_the_server_do_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "calls_by_name", by_strace)
    cost = cost_of("epoll", connections=50, seconds=0.5)
    assert cost.calls.source == "strace"
    most = 0.5 if FAST else 1.5  # plain clients: see above; strace stops a server at each call
    assert cost.voluntary < most < sum(cost.calls_per_message.values())


@pytest.mark.usefixtures("perf")
def test_the_cost_agrees_with_the_comparison() -> None:
    """The same load, counted in another way: all calls together, at one counter."""
    (row,) = compare(["epoll"], connections=20, seconds=0.3)
    cost = cost_of("epoll", connections=20, seconds=0.3)
    assert row.syscalls is not None
    assert sum(cost.calls_per_message.values()) == pytest.approx(row.syscalls, rel=0.2)
    assert next(iter(cost.calls_per_message)) in ("readv", "write", "writev")


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="no model named 'nosuch'"):
        cost_of("nosuch")
    with pytest.raises(ValueError, match="begin at 1"):
        cost_of("epoll", connections=0)


def test_with_256_descriptors_the_answer_is_smaller_and_true() -> None:
    script = """if True:
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        from iomodels.measure.copies import cost_of
        cost = cost_of("epoll", connections=500, seconds=0.3)
        print(cost.report.connections, cost.calls.source or cost.calls.note, cost.report.note)
        print(cost.copied.to_kernel - 64 * cost.report.total)"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert re.match(
        r"192 .* 192 connections instead of 500: a process may hold 256", done.stdout
    ), done.stderr
    assert done.stdout.splitlines()[1] == "0"


def test_the_words_say_what_is_not_known() -> None:
    cost = cost_of("epoll", connections=3, seconds=0.1)
    less = Cost(
        cost.model, cost.report, cost.used, syscalls.Calls(note="no calls"), Copied(note="–"), 1
    )
    assert less.copied_per_message is None
    assert less.words().endswith("; no calls; –")


# --- allocations ---


@pytest.mark.parametrize("size", [16, 1024, 16_384])
def test_what_is_allocated_for_a_frame(size: int) -> None:
    found = {row.parser: row for row in allocations(size)}
    assert found["copying"].kept == sys.getsizeof(bytes(size))  # one bytes object and nothing else
    assert found["copying"].blocks == 1
    # A tuple of two ints that are made for it, the offset and a large length, and two that are not.
    large = [1_000_000] + [size] * (size > 256)
    kept = sys.getsizeof((0, 0, 0, 0)) + sum(map(sys.getsizeof, large))
    assert found["readable"].kept == pytest.approx(kept, abs=8)  # an int may be given 4 bytes more
    assert found["readable"].blocks == 1 + len(large)
    if find_spec("numba"):
        assert found["scanner"] == Allocated("scanner", size, 0, 0, found["scanner"].passing)
        assert found["scanner"].passing < 2000
    assert all(row.passing > 0 for row in found.values())


def test_a_size_that_makes_no_sense_is_refused() -> None:
    for size in (0, 65_537):
        with pytest.raises(ValueError, match="from 1 to 65,536"):
            allocations(size)


def test_without_numba_there_are_two_parsers() -> None:
    script = """if True:
        import sys
        sys.modules["numba"] = None
        from iomodels.measure import allocations
        allocations.main('{"size": 100}')"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert re.findall(r'"parser": "(\w+)"', done.stdout) == ["copying", "readable"], done.stderr
