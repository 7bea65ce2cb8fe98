"""What a recording is as data, as text and in words; and that nothing is left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from iomodels.trace import Recording, RecordingError, Scenario, record, text
from iomodels.trace.recording import changes
from iomodels.trace.scenario import Act
from iomodels.trace.settling import settle


@pytest.fixture(scope="module")
def slow() -> Recording:
    return record("blocking", "slow-client")


def test_saved_and_loaded(slow: Recording, tmp_path: Path) -> None:
    slow.save(tmp_path / "slow.json")
    again = Recording.load(tmp_path / "slow.json")
    assert again == slow
    assert json.loads((tmp_path / "slow.json").read_text()) == slow.as_dict()


@pytest.mark.parametrize("wrong", ["{}", "nonsense", '{"format": 99}'])
def test_what_is_no_recording(wrong: str, tmp_path: Path) -> None:
    (tmp_path / "wrong.json").write_text(wrong)
    with pytest.raises(ValueError, match=r"wrong.json is no recording|its format is 99"):
        Recording.load(tmp_path / "wrong.json")


def test_changes_add_up(slow: Recording) -> None:
    states = list(slow.states())
    assert len(states) == len(slow.steps)
    first, *others = slow.steps
    assert set(first["changed"]) == set(states[0])
    before = states[0]
    for step, state in zip(others, states[1:], strict=True):
        assert step["changed"] == changes(before, state)
        before = state


def test_every_line_is_in_the_files(slow: Recording) -> None:
    for step in slow.steps:
        for name, line in filter(None, (step.get("line"), step.get("via"))):
            stretches = slow.files[name]
            inside = [s for s in stretches if s["first"] <= line < s["first"] + len(s["lines"])]
            assert len(inside) == 1
            code = inside[0]["lines"][line - inside[0]["first"]]
            assert code in Path(sys.modules["iomodels"].__file__ or "").parent.joinpath(
                name
            ).read_text(encoding="utf-8")
    called = {step["call"]["name"] for step in slow.steps if "call" in step}
    lines = "".join(line for each in slow.files.values() for s in each for line in s["lines"])
    assert all(name in lines for name in called - {"fcntl"})


def steps(recording: Recording, **wanted: Any) -> list[dict[str, Any]]:
    return [s for s in recording.steps if all(s.get(key) == wanted[key] for key in wanted)]


def test_the_sentences_say_what_matters(slow: Recording) -> None:
    said = [step["says"] for step in slow.steps]
    assert (
        "The server sleeps in `readv(4)`: A has sent `llo`, and nothing more has come. B is "
        "connected and has sent `hi`, yet nobody has accepted it: its bytes wait in the kernel."
    ) in said
    assert "B looks for an answer: nothing has come." in said
    for sentence in said:
        assert sentence.endswith(".")
        assert "None" not in sentence


def test_head_of_line_blocking_and_its_cure(slow: Recording) -> None:
    """B is accepted after A has left, or at once."""

    def acts_before_b_is_accepted(recording: Recording) -> int:
        accepted = next(
            number for number, state in enumerate(recording.states())
            if state["sockets"].get("B", {}).get("fd")
        )  # fmt: skip
        return sum("act" in step for step in recording.steps[:accepted])

    assert acts_before_b_is_accepted(slow) == 8
    assert acts_before_b_is_accepted(record("epoll", "slow-client")) == 3


def test_the_accept_queue_drops_a_syn() -> None:
    states = list(record("blocking", "accept-queue").states())
    assert ["D"] in [state["queue"].get("dropped") for state in states]
    assert ["B", "C"] in [state["queue"]["waiting"] for state in states]
    assert states[-1]["counters"]["served"] == 2  # B and D


def test_who_has_only_knocked_is_not_said_to_have_connected() -> None:
    recording = record("blocking", "accept-queue")
    did = {
        step["text"]: state["actors"]["D"].get("did")
        for step, state in zip(recording.steps, recording.states(), strict=True)
        if step["kind"] == "act"
    }
    assert did["C connects"] is None
    assert did["D connects"] == did["A closes"] == "has sent a SYN"
    assert did["D asks again"] == "has asked again"


def test_an_edge_that_was_not_read_to_its_end_does_not_come_again() -> None:
    once, drained = record("edge-once", "edge-trigger"), record("edge-drained", "edge-trigger")
    left = [s for s in once.steps if s["says"].startswith("7 bytes from A are still unread")]
    assert {step["kind"] for step in left} == {"sleep"}
    assert list(once.states())[-1]["sockets"]["A"]["in"] == "rld!"
    assert list(drained.states())[-1]["sockets"]["A"]["in_bytes"] == 0


@pytest.mark.parametrize("model", ["select", "poll"])
def test_what_came_back_is_there_once_the_call_has_returned(model: str) -> None:
    run = record(model, "slow-client")
    came, within = [], []
    for step, state in zip(run.steps, run.states(), strict=True):
        (server,) = [
            it for it in state["actors"].values() if "in" in it or it["state"] == "running"
        ]
        ready = state["watch"].get("ready", [])
        if server.get("in", "").startswith(model):
            within.append(ready)
        elif step["kind"] == "wake" and step["call"]["name"] == model:
            came.append(ready)
    assert within and not any(within)  # woken, it still has to come out of the call
    assert came and all(came[:-1]) and [3] in came


def test_a_ghost_stays_on_the_list() -> None:
    wrong, right = record("dup-forgotten", "dup-trap"), record("dup-removed", "dup-trap")
    for step, state in zip(wrong.steps, wrong.states(), strict=True):
        if "a number that is closed" in step["says"]:  # what is reported is on the ready list
            assert 5 in state["watch"]["ready"]
            assert state["watch"]["interest"][1] == {"fd": 5, "events": "IN", "ghost": True}
    assert any("a number that is closed" in step["says"] for step in wrong.steps)
    assert any("round and round" in step["says"] for step in wrong.steps)
    interest = list(wrong.states())[-1]["watch"]["interest"]
    assert [(entry["fd"], "ghost" in entry) for entry in interest] == [
        (3, False), (5, False), (5, True)
    ]  # fmt: skip
    assert [entry["fd"] for entry in list(right.states())[-1]["watch"]["interest"]] == [3, 5]
    assert not any("round and round" in step["says"] for step in right.steps)


def test_who_wakes_for_a_client() -> None:
    woken = {
        model: [
            sum(step["says"].count(f"worker {n}") for n in (1, 2, 3))
            for step in record(model, "herd").steps
            if step["kind"] == "act" and "connects" in step["text"]
        ]
        for model in ("workers-shared", "workers-exclusive", "workers-reuseport")
    }
    assert woken["workers-shared"] == [3, 3, 3]
    assert woken["workers-exclusive"] == [1, 1, 1]


def test_a_client_in_the_queue_is_not_all_that_there_is_to_wait_for() -> None:
    """The kernel puts it there first, and then wakes those who sleep for it."""
    queued: dict[str, Any] = {"sockets": {}, "listeners": {3: (1, 128)}}
    worker: Any = SimpleNamespace(seen=queued)
    client: Any = SimpleNamespace(name="A", port=1, connected=True, acknowledge=lambda: None)
    woken = iter([[], [(worker, 0)], [(worker, 0)]])
    recorder: Any = SimpleNamespace(
        clients={"A": client}, accepted=set(), processes=[worker], alive=lambda: [worker],
        look_at_all=lambda: next(woken),
    )  # fmt: skip
    assert settle(recorder, Act("A", "connects", "A connects"), client) == [(worker, 0)]


def test_a_full_buffer_stops_the_reading() -> None:
    for state in record("epoll", "full-buffer").states():
        events = {entry["fd"]: entry["events"] for entry in state["watch"]["interest"]}
        a = state["sockets"].get("A", {})
        if a.get("in") == "more" and events.get(a["fd"]) == "OUT":
            assert a["out_bytes"] > 0  # what A sent is left where it is
            break
    else:
        pytest.fail("the server reads on")


def test_what_is_reported_is_told_whole() -> None:
    """ERR and HUP come unasked: they stand in the answer, and not in the question."""
    texts = [step.get("text", "") for step in record("poll", "reset").steps]
    assert "poll([3 IN, 4 IN, 5 IN]) → 4 IN|ERR|HUP" in texts


def test_who_has_read_nothing_is_not_said_to_have_read() -> None:
    said = [
        state["actors"].get("B", {}).get("did")
        for state in record("blocking", "slow-client").states()
    ]
    assert "has found nothing to read" in said and "has read" in said


def test_time_goes_by_the_script() -> None:
    recording = record("epoll", "slow-loris")
    clock = [state["clock"] for state in recording.states()]
    assert clock == sorted(clock)
    assert clock[-1] == 11
    late = next(s for s in recording.steps if "408" in s.get("call", {}).get("data", ""))
    assert 10 <= clock[recording.steps.index(late)] < 11


def test_text(slow: Recording) -> None:
    lines = text(slow).splitlines()
    assert len(lines) == len(slow.steps) + 5
    assert lines[0].startswith("One slow client: blocking")
    assert any("zz accept(3) …" in line for line in lines)
    (read,) = [line for line in lines if "! readv(4) → 2 bytes" in " ".join(line.split())]
    assert read.endswith("A: 0 bytes unread")
    assert lines[-1].endswith("2 clients served")


def children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def test_nothing_is_left_behind() -> None:
    before, open_before = children(), os.listdir("/proc/self/fd")
    record("processes", "slow-client")
    assert children() == before
    assert os.listdir("/proc/self/fd") == open_before


def test_nothing_is_left_of_an_interrupted_one() -> None:
    before, open_before = children(), os.listdir("/proc/self/fd")
    pids: list[int] = []

    def interrupt(recorder: Any, moment: Any) -> None:
        pids[:] = [process.pid for process in recorder.processes]
        if len(recorder.processes) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record("processes", "slow-client", interrupt)
    assert len(pids) == 3
    assert children() == before
    assert os.listdir("/proc/self/fd") == open_before
    assert not any(is_running(pid) for pid in pids)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_server_that_fails_is_one_clear_error() -> None:
    bad = Scenario("bad", "Bad", "No such app.", "A connects", clients={})
    object.__setattr__(bad.settings, "app", "nonsense")
    with pytest.raises(RecordingError, match="no app named 'nonsense'"):
        record("epoll", bad)


# --- the command ---


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "iomodels", "trace", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_command(tmp_path: Path) -> None:
    done = run("epoll", "slow-client", "--save", str(tmp_path / "run.json"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    recording = Recording.load(tmp_path / "run.json")
    assert run("epoll", "slow-client").stdout == text(recording)
    assert json.loads(run("epoll", "slow-client", "--json").stdout) == recording.as_dict()


def test_the_command_lists() -> None:
    done = run()
    assert done.returncode == 0
    assert done.stdout == run("--list").stdout
    for name in ("slow-client", "thundering herd", "epoll-edge", "dup-forgotten"):
        assert name in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["epoll"], "name a scenario too"),
        (["epoll", "lunch"], "no scenario named 'lunch'"),
        (["fibers", "slow-client"], "no model named 'fibers'"),
        (["epoll", "herd"], "herd is not for epoll"),
        (["epoll", "slow-client", "--save", "run.txt"], "ends in .html or .json"),
        (["epoll", "slow-client", "--save", "nowhere/run.html"], "no such folder"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
