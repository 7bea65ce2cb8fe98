"""The million, a few thousand at a time: counts on both sides, little of everything, and the end.

A run takes seconds here. The whole million takes a minute and 7 GB: `iomodels million`.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from iomodels.measure.footprint import why_no_slabs
from iomodels.measure.million import NotMeasured, Progress, million, plan
from iomodels.measure.million import crowd as crowds
from iomodels.measure.million import planning as plans
from iomodels.measure.million.crowd import Crowd, Failed
from iomodels.measure.million.planning import Plan
from iomodels.measure.million.scores import CONNECTED, HEARD, LOST, STOP, Scores
from iomodels.websocket import TEXT, encode
from tests.limits import many_descriptors

NOBODY = 65534
GONE_WITHIN = 60.0  # seconds, on a busy machine

CONTROL = "iomodels.measure.million.control"


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it has started, as far as they are there."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def gone(processes: list[psutil.Process]) -> bool:
    """Whether all of them have ended, before time is over."""
    _, alive = psutil.wait_procs(processes, timeout=GONE_WITHIN)
    return not alive


@contextlib.contextmanager
def leaves_nothing() -> Iterator[None]:
    """This process has the children and the descriptors afterwards that it had before."""

    def here() -> tuple[set[int], list[str]]:
        return {child.pid for child in psutil.Process().children(recursive=True)}, sorted(
            os.listdir("/proc/self/fd")
        )

    before = here()
    yield
    assert here() == before


def in_child(script: str, *, descriptors: int = 0, nobody: bool = False) -> Any:
    """What a script prints as JSON; with fewer descriptors, and as somebody who is not root.

    Root stays root where Python itself lies where root alone may look.
    """
    options: dict[str, Any] = {"capture_output": True, "text": True}
    if nobody and os.geteuid() == 0:
        someone = options | {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        with contextlib.suppress(PermissionError, subprocess.CalledProcessError):
            subprocess.run([sys.executable, "-c", "import iomodels"], **someone, check=True)
            options = someone
    if descriptors:
        limits = (descriptors, descriptors)
        options["preexec_fn"] = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    done = subprocess.run([sys.executable, "-c", script], **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


RUN = """if True:
    import json
    from iomodels.measure.million import million
    print(json.dumps(million({}).as_dict()))"""


def is_true(found: dict[str, Any]) -> None:
    """What must hold of every report: the counts of both sides fit together."""
    connections = found["connections"]
    assert found["heard"] == connections and found["lost"] == 0
    assert found["echoed"] == found["sample"] > 0
    assert found["agree"]
    servers = found["servers"]
    assert (servers["opened"], servers["closed"]) == (connections, 0)
    assert servers["published"] == connections
    assert found["sample"] < servers["came"] <= found["sample"] + found["plan"]["pairs"]


# --- the plan ---


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A machine with so much of everything."""

    def made(descriptors: int = 20_000, free: float = 24e9, files: int = 1 << 40) -> None:
        monkeypatch.setattr(plans, "descriptors_each", lambda: descriptors)
        monkeypatch.setattr(plans, "free", lambda connections=0: int(free))
        monkeypatch.setattr(plans, "room_in_files", lambda: files)
        monkeypatch.setattr(plans, "watches", lambda: 1 << 40)
        monkeypatch.setattr(plans, "port_range", lambda: (32768, 60999))

    made()
    return made


def planned(connections: int = 1_000_000, floor: int = 1 << 30) -> Plan:
    return plan(connections, floor=floor)


def test_a_million_takes_as_many_processes_as_the_descriptors_ask_for(machine: Any) -> None:
    made = planned()
    assert made.connections == 1_000_000 and made.reason == ""
    assert made.pairs == -(-1_000_000 // (20_000 - plans.SPARE))
    assert made.each + plans.SPARE <= made.descriptors
    assert sum(map(made.share, range(made.pairs))) == 1_000_000
    assert max(map(made.share, range(made.pairs))) == made.each


def test_no_address_is_asked_for_more_than_half_of_its_ports(machine: Any) -> None:
    made = planned()
    assert made.per_address < (60999 - 32768 + 1) / 2
    assert made.addresses == 2
    assert planned(10_000).addresses == 1


def test_with_a_million_descriptors_there_is_a_pair_for_each_cpu(machine: Any) -> None:
    machine(descriptors=1 << 20)
    assert planned().pairs == min(len(os.sched_getaffinity(0)), 1_000)
    assert planned(100).pairs == 1


@pytest.mark.parametrize(
    ("has", "why"),
    [
        ({"descriptors": 256}, "RLIMIT_NOFILE"),
        ({"free": 3e9}, "memory"),
        ({"files": 100_000}, "fs.file-max"),
    ],
)
def test_with_too_little_it_plans_for_less_and_says_why(
    machine: Any, has: dict[str, int], why: str
) -> None:
    machine(**has)
    made = planned()
    assert 0 < made.connections < 1_000_000
    assert made.each <= max(1, made.descriptors - plans.SPARE)
    assert made.memory <= made.available - made.floor
    assert why in made.reason
    assert f"{made.connections:,} connections instead of 1,000,000" in made.lines()[0]
    assert any(why in line for line in made.lines())


def test_with_nothing_it_plans_for_nothing_and_makes_no_sense_of_none(machine: Any) -> None:
    machine(free=1e9)
    assert planned().connections == 0
    with pytest.raises(ValueError, match="begin at 1"):
        planned(0)


def test_no_room_for_a_connection_is_told_in_one_line() -> None:
    with leaves_nothing(), pytest.raises(NotMeasured, match=r"no room .* memory are free"):
        million(100, floor=1 << 50)


# --- runs ---


@many_descriptors
def test_two_thousand_over_three_pairs_of_processes() -> None:
    for _ in range(5):
        found = in_child(RUN.format(2_000), descriptors=800)
        assert (found["plan"]["pairs"], found["connections"]) == (3, 2_000)
        is_true(found)
        # A TCP socket has more than a kilobyte in the kernel, at each end. The kernel counts those
        # of the whole machine: thousands that another test closes meanwhile are too few here.
        if why_no_slabs() or found["slabs"].get("TCP", 0) > 2_000:
            break
    else:
        pytest.fail(f"no two kilobytes of TCP for a connection: {found['slabs']}")
    assert why_no_slabs() or found["kernel"] > found["slabs"]["TCP"]


def test_with_256_descriptors_and_without_root_the_answer_is_true() -> None:
    found = in_child(RUN.format(2_000), descriptors=256, nobody=True)
    assert found["plan"]["pairs"] == -(-2_000 // (256 - plans.SPARE))
    assert found["connections"] == 2_000
    is_true(found)
    left_out = any("slabs are left out" in note for note in found["notes"])
    assert left_out == (found["slabs"] is None)


def test_with_100_descriptors_the_answer_is_smaller_too() -> None:
    found = in_child(RUN.format(5_000), descriptors=100)
    assert found["connections"] == found["plan"]["connections"] == (100 - plans.SPARE) ** 2
    assert any("RLIMIT_NOFILE" in note for note in found["notes"])
    is_true(found)


def test_progress_tells_the_plan_first_and_then_only_more() -> None:
    heard: list[Progress] = []
    with leaves_nothing():
        report = million(6_000, tell=heard.append)
    is_true(report.as_dict())
    assert heard[0].phase == "plan" and heard[0].connections == 0
    assert heard[0].plan == report.plan and report.plan.shared is not None
    order = ["plan", "start", "connect", "message", "echo", "close"]
    phases = [now.phase for now in heard]
    assert phases == sorted(phases, key=order.index) and phases[-1] == "close"
    assert {"connect", "message", "echo"} < {*phases}, "a phase is told, however short it is"
    counts = [now.connections for now in heard]
    assert counts == sorted(counts) and counts[-1] == 6_000 == heard[-1].heard
    assert "6,000 of 6,000 connected" in str(heard[-1])


def test_on_a_shared_loopback_no_port_is_left_waiting() -> None:
    """In a namespace of the test's own, so that all that is in it is what was left there."""
    script = """if True:
        import json, os, subprocess, sys
        from iomodels.measure.million.network import private_network
        if why := private_network(100):
            print(json.dumps({"skip": why}))
            sys.exit()
        stays = '''if True:
            from iomodels.measure.million import control
            control.private_network = lambda sockets: "this is a test"
            control.main('{"connections": 3000, "floor": null}')'''
        child = subprocess.Popen(
            [sys.executable, "-c", stays], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        said = json.loads(child.stdout.read().splitlines()[-1])
        print(json.dumps(said | {"left": open("/proc/net/sockstat").read()}))"""
    found = in_child(script)
    if "skip" in found:
        pytest.skip(f"no namespace of one's own: {found['skip']}")
    assert found["found"]["plan"]["shared"] == "this is a test"
    assert found["found"]["connections"] == 3_000
    assert "TCP: inuse 0 orphan 0 tw 0 " in found["left"]


def test_whoever_may_not_have_a_namespace_is_told_why() -> None:
    script = """if True:
        import json, os
        from iomodels.measure.million import network
        def refused(flags):
            raise PermissionError(1, os.strerror(1))
        network.unshare = refused
        before = os.readlink("/proc/self/ns/net")
        why, after = network.private_network(100), os.readlink("/proc/self/ns/net")
        print(json.dumps([why, before == after]))"""
    assert in_child(script) == ["Operation not permitted", True]


# --- when memory runs short ---

SHORT = """if True:
    from iomodels.measure.million import control
    class Short(control.Controller):
        def mind_memory(self):
            if self.scores.total(control.CONNECTED) > 300:
                control.free = lambda connections=0: int(self.plan.floor * {part})
            super().mind_memory()
    control.Controller = Short
    control.main('{{"connections": 20000, "floor": null}}')"""


def controlled(script: str) -> list[dict[str, Any]]:
    """What a controller says, from its plan to its end."""
    done = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with done:
        assert done.stdout
        said = [json.loads(line) for line in done.stdout]
    assert done.returncode == 0
    return said


def test_it_stops_connecting_when_memory_runs_short_and_goes_on_with_those_it_has() -> None:
    found = controlled(SHORT.format(part=0.9))[-1]["found"]
    assert 300 < found["connections"] < 20_000
    assert any("connecting was stopped" in note and "memory" in note for note in found["notes"])
    is_true(found)


def test_it_gives_up_when_that_is_not_enough() -> None:
    assert "memory ran short" in controlled(SHORT.format(part=0.4))[-1]["failed"]


# --- the end, which may come at any time ---


@pytest.mark.parametrize("how", ["group", "group", "terminate", "kill", "kill controller"])
def test_interrupted_at_any_time_it_leaves_nothing(how: str) -> None:
    """Ctrl-C goes to the whole group; the rest to one process."""
    script = "from iomodels.measure.million import million; million(8_000, tell=print)"
    running = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    with running:
        assert running.stdout
        for _ in range(random.randrange(1, 12)):  # lines of progress
            running.stdout.readline()
        time.sleep(random.uniform(0, 0.2))
        there = family(running.pid)
        if how == "group":
            os.killpg(running.pid, signal.SIGINT)
        elif how == "kill controller" and len(there) > 1:
            there[1].kill()
        else:
            running.send_signal(signal.SIGTERM if how == "terminate" else signal.SIGKILL)
        running.stdout.read()
        assert gone(there)
    assert of_session(running.pid) == []  # nor is anybody who was forked in the meantime


def of_session(leader: int) -> list[psutil.Process]:
    """Who runs in a session. A zombie does not: it waits for whoever has inherited it."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def test_what_tell_raises_ends_it() -> None:
    def tell(now: Progress) -> None:
        if now.phase == "connect":
            raise RuntimeError("seen enough")

    with leaves_nothing(), pytest.raises(RuntimeError, match="seen enough"):
        million(5_000, tell=tell)


def test_a_process_that_dies_before_its_time_ends_it() -> None:
    def tell(now: Progress) -> None:
        if now.phase == "connect" and now.connections:
            (controller,) = (
                child for child in psutil.Process().children() if CONTROL in child.cmdline()
            )
            for shard in controller.children()[:2]:
                shard.kill()

    with leaves_nothing(), pytest.raises(NotMeasured, match=r"before (its|their) time"):
        million(15_000, tell=tell)


# --- the clients, against what a server should not do ---


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[int, int]]]:
    """Let a client for each of these hear them piece by piece; return who heard right, and not."""
    monkeypatch.setattr(crowds, "PATIENCE", 0.2)
    with contextlib.ExitStack() as opened:

        def hear(due: bytes, *said: list[bytes]) -> tuple[int, int]:
            row = Scores(1).row(0)
            crowd = Crowd(("127.0.0.1", 1), row, 100, 2)
            ends = []
            for _ in said:
                ours, theirs = (opened.enter_context(sock) for sock in socket.socketpair())
                ours.setblocking(False)
                crowd.fds.append(ours.fileno())
                ends.append(theirs)
            for theirs, pieces in zip(ends, said, strict=True):
                for piece in pieces:
                    theirs.sendall(piece)
            right = crowd.hear(crowd.fds, due)
            return right, len(said) - right

        yield hear


def test_only_the_right_bytes_count(heard: Callable[..., tuple[int, int]]) -> None:
    due = encode(TEXT, b"to everyone")
    wrong = encode(TEXT, b"to everyonf")
    assert heard(due, [due], [due], [due[:3], due[3:]]) == (3, 0)
    assert heard(due, [due], [wrong], [], [due, due], [due[:-1]]) == (1, 4)


def test_messages_that_are_lost_are_counted_as_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowds, "PATIENCE", 0.2)
    row = Scores(1).row(0)
    crowd = Crowd(("127.0.0.1", 1), row, 100, 2)
    pairs = [socket.socketpair() for _ in range(5)]
    with contextlib.ExitStack() as opened:
        for ours, theirs in pairs:
            opened.enter_context(ours).setblocking(False)
            opened.enter_context(theirs)
            crowd.fds.append(ours.fileno())
        for _, theirs in pairs[1:4]:
            theirs.sendall(encode(TEXT, b"hello"))
        crowd.message("hello")
    assert (row[HEARD], row[LOST]) == (3, 2)


def test_a_server_that_refuses_is_not_taken_for_one_that_upgrades() -> None:
    row = Scores(1).row(0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        crowd = Crowd(listener.getsockname(), row, 100, 4)
        pid = os.fork()
        if pid == 0:
            client, _ = listener.accept()
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            client.recv(4096)
            select.select([], [], [], 30)
            os._exit(0)
        try:
            with pytest.raises(Failed, match="1 of 1 requests"):
                crowd.connect(1)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            for fd in crowd.fds:
                os.close(fd)
    assert row[CONNECTED] == 0


def test_when_descriptors_run_out_the_clients_keep_what_they_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = Scores(1).row(0)

    def full(*how: int) -> socket.socket:
        raise OSError(24, os.strerror(24))

    crowd = Crowd(("127.0.0.1", 1), row, 100, 4)
    with monkeypatch.context() as changed:
        changed.setattr(crowds.socket, "socket", full)
        crowd.connect(10)
    assert "descriptors" in crowd.short and not crowd.fds
    row[STOP] = 1
    crowd.connect(10)
    assert row[CONNECTED] == 0


# --- in a notebook ---


def test_the_panel_runs_and_stops() -> None:
    pytest.importorskip("ipywidgets")
    from iomodels.views.million import Million, draw

    panel = Million(20_000)
    assert repr(panel) == "<million>"
    shown = panel._repr_mimebundle_()
    assert shown["text/plain"] == "<million>" and "In a live notebook" in shown["text/html"]
    assert "20,000 connections" in panel.words.value
    panel.slider.value = 3_000
    assert "3,000 connections" in panel.words.value
    with leaves_nothing():
        panel.run_button.click()
        assert panel.run_button.disabled and not panel.stop_button.disabled
        assert panel.thread
        panel.thread.join()
    assert panel.report and panel.report.connections == 3_000
    is_true(panel.report.as_dict())
    assert "3,000 WebSockets at once" in panel.words.value
    assert "are connected" in panel.chart.value and "heard" in draw(panel.points)
    assert not panel.run_button.disabled and panel.stop_button.disabled

    panel.slider.value = 50_000
    with leaves_nothing():
        panel.run_button.click()
        while not panel.points and panel.thread.is_alive():
            time.sleep(0.01)
        panel.stop_button.click()
        panel.thread.join()
    assert panel.report is None and "Stopped" in panel.words.value
