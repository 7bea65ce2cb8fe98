"""The live meter: its figures against others' counts, and that nothing of it is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import psutil
import pytest

from iomodels.measure import meter as instrument
from iomodels.measure.limits import SPARE
from iomodels.measure.load import LoadError
from iomodels.measure.meter import Load, Meter, counters, fitting, metering
from iomodels.measure.serving import ServerError
from tests.limits import many_descriptors

pytest.importorskip("anywidget")

from iomodels.views.meter import LiveMeter, in_words, meter, steps


def family() -> set[int]:
    """Our servers and clients."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "iomodels.measure." in " ".join(child.cmdline()):
                found.add(child.pid)
    return found


@contextlib.contextmanager
def leaves_nothing() -> Iterator[None]:
    """No process and no descriptor that was not there before."""
    before, fds = family(), set(os.listdir("/proc/self/fd"))
    yield
    assert family() <= before
    assert len(os.listdir("/proc/self/fd")) <= len(fds)


def until(true: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait until it is so; a machine may be slow, but not for ever."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)


# --- the figures ---


@pytest.mark.parametrize(("in_flight", "size"), [(1, 64), (8, 1000)])
@pytest.mark.parametrize("model", ["epoll", "threads"])
def test_it_counts_the_messages_that_the_kernel_counts_in_bytes(
    model: str, in_flight: int, size: int
) -> None:
    load = Load(connections=20, in_flight=in_flight, size=size)
    with leaves_nothing(), metering(model) as server:
        server.sample(load, 0.2)
        before = written(server.server.pid)
        sample = server.sample(load, 0.3)
        after = written(server.server.pid)
    assert sample.messages > 100
    # What was under way at the beginning or at the end stands on one side only.
    assert abs((after - before) / size - sample.messages) <= 20 * in_flight
    assert 0 < sample.rate * 0.3 <= sample.messages
    assert sample.served == sample.connections == 20 and sample.lost == 0
    assert sample.p99 and sample.p99 > 0


def written(pid: int) -> int:
    """Bytes that a process has passed to write(2) and its kin (wchar, man 5 proc_pid_io)."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


@pytest.mark.parametrize("model", ["epoll", "threads", "processes", "workers-reuseport"])
def test_what_it_reads_from_outside_is_what_the_server_says_of_itself(model: str) -> None:
    with metering(model) as server:
        before = counters(server.server.pid)
        samples = [server.sample(Load(connections=20), 0.3) for _ in range(3)]
        after = counters(server.server.pid)
        cpu, switches = after.since(before)
    used = server.server.used
    assert used
    # It cannot see more; what it does not see is from before, and from when the clients leave.
    said = used.voluntary + used.involuntary
    assert 0.8 * said - 500 <= switches <= said
    assert 0.5 * used.cpu <= cpu * (after.at - before.at) <= 1.01 * used.cpu
    seen = sum((sample.switches or 0) * sample.messages for sample in samples)
    assert 0.5 * switches <= seen <= switches
    assert all(sample.cpu > 0 for sample in samples)


def test_a_thread_each_switches_for_each_message_and_a_batch_does_not() -> None:
    """Counts: one message for a wake-up at the most, against 64 of them."""
    with metering("threads") as server:
        one = server.sample(Load(connections=30, in_flight=1), 0.5)
        many = server.sample(Load(connections=30, in_flight=64), 0.5)
    assert one.switches and many.switches
    assert one.switches > 5 * many.switches


def test_memory_grows_with_the_processes() -> None:
    with metering("processes") as server:
        few = server.sample(Load(connections=1), 0.2)
        more = server.sample(Load(connections=11), 0.2)
        fewer = server.sample(Load(connections=2), 0.2)
    assert 10 * 300_000 < more.memory - few.memory < 10 * 10_000_000
    assert fewer.memory < more.memory  # those that have ended are not counted


def test_the_blocking_server_answers_one_and_it_is_said() -> None:
    with metering("blocking") as server:
        sample = server.sample(Load(connections=5), 0.2)
    assert (sample.served, sample.connections) == (1, 5)
    assert "4 of them have had no answer so far" in in_words(sample, "blocking")


@many_descriptors
def test_select_ends_those_it_cannot_watch_and_it_is_said() -> None:
    with metering("select") as server:
        sample = server.sample(Load(connections=1100), 0.2)
    assert 0 < sample.lost < 200
    assert f"The server has ended {sample.lost} connections" in in_words(sample, "select")


@many_descriptors
def test_a_load_is_what_fits_here() -> None:
    assert fitting("epoll", Load(100)).connections == 100
    assert str(fitting("processes", Load(1000))).startswith("200 connections instead of 1,000")
    assert fitting("epoll", Load(1000, 16, 65_536)).connections == 64
    for load in (Load(0), Load(1, 0), Load(1, 1, 0), Load(1, 64, 1 << 21)):
        with pytest.raises(ValueError, match=r"begin at 1|64 MiB"):
            fitting("epoll", load)


# --- when something goes wrong ---


@pytest.mark.parametrize("whom", ["server", "clients"])
def test_who_is_killed_is_missed(whom: str) -> None:
    with leaves_nothing(), pytest.raises((ServerError, LoadError), match=r"ended|connect"):  # noqa: SIM117
        with metering("epoll") as server:
            server.sample(Load(connections=3), 0.1)
            process = {"server": server.server.child, "clients": server.clients}[whom].process
            process.kill()
            process.wait()
            server.sample(Load(connections=3), 0.1)


def test_what_is_raised_while_one_waits_ends_both() -> None:
    def enough() -> None:
        raise KeyboardInterrupt

    with leaves_nothing(), pytest.raises(KeyboardInterrupt), metering("epoll") as server:
        server.while_waiting = enough
        server.sample(Load(), seconds=600)


# --- the card ---


@pytest.fixture(autouse=True)
def stopped() -> Iterator[None]:
    """No test leaves a meter that runs, whatever came of it."""
    yield
    if LiveMeter.active:
        LiveMeter.active.close()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples of a twentieth of a second: both CPUs are loaded meanwhile."""
    monkeypatch.setattr(Meter.sample, "__defaults__", (0.05,))


def test_it_starts_nothing_by_itself_and_is_the_same_each_time() -> None:
    with leaves_nothing():
        bundles = [meter("epoll")._repr_mimebundle_()[0] for _ in range(2)]
        assert family() == set()
    for bundle in bundles:
        assert bundle["text/plain"] == "meter: epoll"
        assert "Run the cell, then press Start." in bundle["text/html"]
        bundle.pop("application/vnd.jupyter.widget-view+json")
    assert bundles[0] == bundles[1]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"model": "kqueue"}, "no model named 'kqueue'; there are blocking, "),
        ({"app": "chat"}, "no load for an app named 'chat'"),
        ({"seconds": 0}, "seconds go from 0 to 600"),
        ({"seconds": 601}, "seconds go from 0 to 600"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        meter(**arguments)


def test_a_model_that_does_not_run_here_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(model: str) -> str:
        return "there is none" if model == "io_uring" else ""

    monkeypatch.setattr("iomodels.views.meter.missing", absent)
    assert "io_uring" not in [name for name, _ in meter().models]
    with pytest.raises(ValueError, match="io_uring does not run here: there is none"):
        meter("io_uring")


def test_one_sample_for_an_assertion() -> None:
    shown = meter("epoll", "websocket")
    shown.connections, shown.in_flight = 7, 2
    with leaves_nothing():
        sample = shown.sample()
    assert sample.connections == sample.served == 7 and sample.messages > 0
    assert [each["rate"] for each in shown.samples] == [sample.rate]
    assert shown.said.startswith("epoll, 7 clients: ")
    with pytest.raises(FrozenInstanceError):
        sample.rate = 0.0  # type: ignore[misc]


@pytest.mark.usefixtures("short")
def test_it_starts_follows_the_load_and_the_model_stops_and_starts_again() -> None:
    shown = meter("epoll")
    with leaves_nothing():
        shown.start()
        until(lambda: shown.samples)
        assert len(family()) == 2  # a server, and clients
        shown.connections = 20
        until(lambda: shown.samples[-1]["connections"] == 20)
        shown.model = "poll"
        until(lambda: shown.samples[-1]["model"] == "poll")
        assert len(family()) == 2
        assert shown.sample().connections == 20  # the running one's next
        assert not shown.problem
        shown.stop()
        assert family() == set() and not shown.running
        assert shown.news == "Stopped. Server and clients have ended."
        many = len(shown.samples)
        shown.start()
        until(lambda: len(shown.samples) > many)
        shown.close()
        assert family() == set()


@pytest.mark.usefixtures("short")
def test_stopped_and_started_in_one_breath_it_runs_once() -> None:
    shown = meter()
    with leaves_nothing():
        shown.start()
        until(lambda: len(family()) == 2)
        shown.running = False
        shown.running = True
        until(lambda: shown.samples and shown.running)
        assert len(family()) == 2
        shown.stop()


@pytest.mark.usefixtures("short")
def test_a_new_meter_stops_the_one_that_runs() -> None:
    first = meter()
    with leaves_nothing():
        first.start()
        until(lambda: first.samples)
        second = meter("poll")
        until(lambda: first.news.startswith("Stopped"))
        assert family() == set()
        first.start()
        second.start()
        until(lambda: second.samples)
        assert not first.running and len(family()) == 2
        second.stop()


def test_it_stops_by_itself_when_its_time_is_over() -> None:
    shown = meter(seconds=0.5)
    with leaves_nothing():
        shown.start()
        until(lambda: not shown.running)
        shown.stop()
    assert shown.news.startswith("Stopped")


@pytest.mark.usefixtures("short")
def test_an_error_in_the_thread_is_a_line_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("on purpose")

    shown = meter()
    with leaves_nothing():
        shown.start()
        until(lambda: shown.samples)
        monkeypatch.setattr(Meter, "sample", fail)
        until(lambda: not shown.running)
        shown.stop()
    assert shown.problem == "RuntimeError: on purpose" and shown.news == ""
    monkeypatch.undo()
    many = len(shown.samples)
    shown.start()
    assert shown.problem == ""
    until(lambda: len(shown.samples) > many)
    shown.stop()


def test_a_server_that_does_not_start_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def refuse(*_: object) -> Iterator[None]:
        raise ServerError("no room here")
        yield

    monkeypatch.setattr(instrument, "serving", refuse)
    shown = meter()
    with leaves_nothing():
        shown.start()
        until(lambda: not shown.running)
        shown.stop()
    assert shown.problem == "no room here"
    with pytest.raises(ServerError, match="no room here"):
        shown.sample()


def test_the_sliders_go_by_1_2_5_to_what_there_is() -> None:
    assert steps(36) == [1, 2, 5, 10, 20, 36]
    assert steps(10_000)[-3:] == [2000, 5000, 10_000]
    assert steps(1) == [1]


# --- processes that are killed ---

RUNS = """
import json, psutil, sys, time
from iomodels.views.meter import meter
shown = meter()
shown.start()
while not shown.samples:
    time.sleep(0.02)
print(json.dumps([child.pid for child in psutil.Process().children(recursive=True)]), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_kernel_that_is_ended_takes_both_with_it(number: signal.Signals) -> None:
    with running(RUNS) as process:
        assert process.stdout
        pids = json.loads(process.stdout.readline())
        assert len(pids) == 2
        process.send_signal(number)
        process.wait()
        until(lambda: not any(map(alive, pids)))


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@contextlib.contextmanager
def running(program: str, *before: str) -> Iterator[subprocess.Popen[str]]:
    """A Python program, which is killed at the end if it still runs."""
    process = subprocess.Popen(
        [*before, sys.executable, "-c", program],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            process.kill()


FEW = """
from iomodels.views.meter import meter
shown = meter()
print(shown.choices["connections"][-1])
shown.connections = 1000
print(shown.sample().note)
"""


def test_with_few_descriptors_there_are_fewer_clients_and_it_says_why() -> None:
    with running(FEW, "prlimit", "--nofile=200:200") as process:
        said, _ = process.communicate()
    most, note = said.splitlines()
    assert most == str(200 - SPARE)
    assert note.startswith(
        f"{200 - SPARE} connections instead of 1,000: a process may hold 200 descriptors here"
    )
