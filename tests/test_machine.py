"""The doctor: what it finds, and what it says where a machine can do less."""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import threading
from dataclasses import asdict

import pytest

from iomodels.measure import machine, usage
from iomodels.measure.machine import LESSONS, Finding, Lesson, Readiness, examine, lessons
from iomodels.views.findings import show_findings, show_lessons

LINUX_ONLY = {
    "user", "descriptors", "outgoing ports", "accept queue", "system calls", "sleeping threads",
    "kcmp", "strace", "Chromium", "models",
}  # fmt: skip
EVERYWHERE = {
    "operating system", "Python", "cores", "memory", "Go", "numpy and numba", "notebook",
}  # fmt: skip


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def one_line(text: str) -> bool:
    return bool(text) and text.isprintable() and len(text) <= 200 and text.count("`") % 2 == 0


# --- this machine ---


def test_everything_is_looked_at_once_and_said_in_one_line_each() -> None:
    findings = examine()
    assert len(by_name(findings)) == len(findings)
    assert by_name(findings).keys() == EVERYWHERE | LINUX_ONLY
    for finding in findings:
        assert one_line(finding.value), finding
        assert finding.state in ("full", "less", "missing")
        assert (finding.advice == "") == (finding.state == "full"), finding
        assert not (finding.lessons and finding.state == "full"), finding


def test_it_leaves_nothing_behind() -> None:
    def held() -> tuple[int, int, tuple[int, int]]:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        return len(os.listdir("/proc/self/fd")), threading.active_count(), limit

    examine()  # psutil opens what it keeps
    before = held()
    examine()
    assert held() == before


def test_the_findings_are_plain_json() -> None:
    findings = examine()
    written = json.dumps([asdict(one) for one in (*findings, *lessons(findings))])
    assert json.loads(written)[0]["name"] == "operating system"


def test_it_imports_nothing_that_it_looks_for() -> None:
    code = (
        "import sys; from iomodels.measure.machine import examine; first = set(sys.modules); "
        "examine(); print(first & {'psutil', 'resource', 'iomodels.kernel'}, "
        "{'numpy', 'numba', 'matplotlib', 'anywidget', 'go'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "set() set()", result.stderr


def test_what_is_counted_and_compared_here_is_found_here() -> None:
    findings = by_name(examine())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        assert findings["descriptors"].value == f"{soft:,} soft, {hard:,} hard"
    with usage.counting(0) as counter:
        assert (findings["system calls"].state == "full") == (counter is not None)
    assert findings["cores"].value.startswith(str(len(os.sched_getaffinity(0))))
    assert platform.release() in findings["operating system"].value


# --- other machines ---


@pytest.mark.parametrize(
    ("hard", "value", "state", "held_up"),
    [
        (1_048_576, "1,024 soft, 1,048,576 hard", "full", ()),
        (resource.RLIM_INFINITY, "1,024 soft, no limit hard", "full", ()),
        (4_096, "1,024 soft, 4,096 hard", "less", ()),
        (200, "1,024 soft, 200 hard", "less", (0, 1, 2)),
    ],
)
def test_a_low_limit_on_descriptors(
    monkeypatch: pytest.MonkeyPatch, hard: int, value: str, state: str, held_up: tuple[int, ...]
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_024, hard))
    finding = by_name(examine())["descriptors"]
    assert (finding.value, finding.state) == (value, state)
    assert tuple(number for number in finding.lessons if number <= 2) == held_up
    assert state == "full" or one_line(finding.advice)


@pytest.mark.parametrize(
    ("inside", "advice"), [("Docker", "--ulimit nofile="), ("", "limits.conf")]
)
def test_advice_on_the_limit_fits_the_place(
    monkeypatch: pytest.MonkeyPatch, inside: str, advice: str
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    monkeypatch.setattr(machine, "container", lambda: inside)
    findings = by_name(examine())
    assert advice in findings["descriptors"].advice
    assert ("in a container" in findings["operating system"].value) == bool(inside)


def test_no_tracepoint_holds_up_a_lesson_that_counts_system_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(_: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(usage, "SyscallCounter", refused)
    monkeypatch.setattr(machine, "LESSONS", (*LESSONS, Lesson(97, "Calls", ("system calls",))))
    for inside in ("Docker", ""):
        monkeypatch.setattr(machine, "container", lambda inside=inside: inside)
        findings = examine()
        finding = by_name(findings)["system calls"]
        assert (finding.state, 97 in finding.lessons) == ("missing", True)
        assert one_line(finding.advice)
        assert ("--privileged" in finding.advice) == bool(inside)
    counting = lessons(findings)[-1]
    assert (counting.number, counting.state) == (97, "less")
    assert finding in counting.because


def test_a_counter_that_counts_too_few_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck:
        def __init__(self, _: int) -> None: ...
        def count(self) -> int:
            return 7

        def close(self) -> None: ...

    monkeypatch.setattr(usage, "SyscallCounter", Stuck)
    finding = machine.system_calls()
    assert (finding.state, finding.value) == ("less", "0 of 1,000 counted")


@pytest.mark.parametrize(
    ("said", "state"),
    [({"wchan": "0", "syscall": ""}, "missing"), ({"wchan": "0"}, "less"), ({}, "full")],
)
def test_a_kernel_that_does_not_tell_where_a_thread_sleeps(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, str], state: str
) -> None:
    if machine.sleeping_threads().state != "full":
        pytest.skip("this kernel does not tell")
    read = machine.read
    monkeypatch.setattr(machine, "read", lambda path: said.get(path.rpartition("/")[2], read(path)))
    finding = machine.sleeping_threads()
    assert finding.state == state
    assert (2 in finding.lessons) == (state != "full")


@pytest.mark.parametrize("answer", [None, True])
def test_kcmp_that_does_not_answer_or_not_rightly(
    monkeypatch: pytest.MonkeyPatch, answer: bool | None
) -> None:
    monkeypatch.setattr("iomodels.kernel.descriptors.same_description", lambda *_: answer)
    finding = machine.comparing()
    assert (finding.state, 1 in finding.lessons) == ("missing", True)


@pytest.mark.parametrize("name", ["Darwin", "Windows", "FreeBSD", ""])
def test_without_linux_one_line_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def none(*_: object) -> str:
        raise AssertionError("this is there on Linux alone")

    monkeypatch.setattr(platform, "system", lambda: name)
    monkeypatch.setattr(resource, "getrlimit", none)
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.delattr(os, "geteuid")
    monkeypatch.setattr(machine, "read", lambda _: "")
    findings = by_name(examine())
    assert findings.keys() == EVERYWHERE
    assert findings["operating system"].state == "missing"
    assert one_line(findings["operating system"].advice)
    assert {lesson.state for lesson in lessons(list(findings.values()))} == {"missing"}


@pytest.mark.parametrize(
    ("release", "says", "state"),
    [
        ("5.15.153.1-microsoft-standard-WSL2", "in WSL2", "full"),
        ("4.4.0-19041-Microsoft", "in WSL1", "less"),
        ("6.1.0-18-amd64", "Linux 6.1.0-18-amd64", "full"),
    ],
)
def test_windows_subsystem_for_linux(
    monkeypatch: pytest.MonkeyPatch, release: str, says: str, state: str
) -> None:
    monkeypatch.setattr(platform, "release", lambda: release)
    finding = machine.system()
    assert says in finding.value
    assert finding.state == state
    assert ("WSL" in finding.value) == ("icrosoft" in release)


@pytest.mark.parametrize(
    ("groups", "maker"),
    [
        ("0::/kubepods/besteffort/pod1", "kubepods"), ("1:cpu:/docker/4f", "docker"), ("0::/", ""),
    ],
)  # fmt: skip
def test_containers(monkeypatch: pytest.MonkeyPatch, groups: str, maker: str) -> None:
    monkeypatch.setattr(os.path, "exists", lambda path: False)
    monkeypatch.delenv("container", raising=False)
    monkeypatch.setattr(machine, "read", lambda _: groups)
    assert machine.container() == maker
    monkeypatch.setattr(os.path, "exists", lambda path: path == "/run/.containerenv")
    assert machine.container() == "Podman"


def test_narrow_ports_a_short_queue_and_a_small_container(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        "/proc/sys/net/ipv4/ip_local_port_range": "50000\t59999",
        "/proc/sys/net/core/somaxconn": "128",
        "/sys/fs/cgroup/cpu.max": "150000 100000",
        "/sys/fs/cgroup/memory.max": "1000000000",
        "/sys/fs/cgroup/memory.current": "900000000",
        "/sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 100000000",
    }
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(machine, "read", lambda path: said.get(path, ""))
    findings = by_name(examine())
    assert "10,000 connections" in findings["outgoing ports"].value
    assert findings["accept queue"].value == "at most 128 clients wait"
    assert findings["memory"].value == "1.0 GB, 0.2 of them free"
    assert findings["memory"].lessons[:1] == (0,)
    assert findings["cores"].value.endswith("with the time of 1.5")
    for name in ("outgoing ports", "accept queue", "memory", "cores"):
        assert findings[name].state == "less"
        assert one_line(findings[name].advice)


def test_a_proc_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "read", lambda _: "")
    for finding in examine():
        assert one_line(finding.value)
        assert finding.state == "full" or one_line(finding.advice)


def test_packages_and_programs_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    findings = examine()
    missing = by_name([finding for finding in findings if finding.state == "missing"])
    assert {"strace", "Chromium", "Go", "numpy and numba", "notebook"} <= missing.keys()
    assert "pip install numpy numba" in missing["numpy and numba"].advice
    assert all(one_line(finding.advice) for finding in missing.values())
    assert {lesson.state for lesson in lessons(findings)} == {"missing"}  # without the notebook


# --- the table of lessons ---


def test_lessons_are_numbered_and_need_what_is_looked_at() -> None:
    assert [lesson.number for lesson in LESSONS] == list(range(len(LESSONS)))
    assert {need for lesson in LESSONS for need in lesson.needs} <= EVERYWHERE | LINUX_ONLY
    assert set(machine.ALL_NEED) <= EVERYWHERE


def test_a_machine_that_can_do_everything_runs_every_lesson_in_full() -> None:
    ready = lessons([Finding(name, "there", "full") for name in EVERYWHERE | LINUX_ONLY])
    assert [lesson.title for lesson in ready] == [lesson.title for lesson in LESSONS]
    assert {(lesson.state, lesson.because) for lesson in ready} == {("full", ())}


def test_a_lesson_is_added_by_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (4_096, 4_096))
    added = Lesson(98, "Goroutines", needs=("Go",), descriptors=30_000, gigabytes=1e6)
    monkeypatch.setattr(machine, "LESSONS", (*LESSONS, added))
    last = lessons(examine())[-1]
    assert (last.number, last.title) == (98, "Goroutines")
    assert {"Go", "descriptors", "memory"} <= {finding.name for finding in last.because}


# --- in a notebook ---


def test_the_view_tells_states_apart_by_word_and_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append(bundle))
    full = Finding("cores", "2 < 4", "full")
    less = Finding("descriptors", "256 hard", "less", (0, 1, 2), "write `* hard nofile 9`")
    missing = Finding("kcmp", "not allowed", "missing", (), "none")
    show_findings([full, less, missing])
    show_lessons([Readiness(0, "Start here", "full"), Readiness(1, "Files", "less", (less,))])
    findings, ready = (re.sub(r"<[^>]+>", "", bundle["text/html"]) for bundle in shown)
    for words in ("✓ full", "◐ less", "✗ missing", "2 &lt; 4", "holds up no lesson"):
        assert words in findings
    assert "holds up lessons 00, 01 and 02" in findings
    assert "<code>* hard nofile 9</code>" in shown[0]["text/html"]
    for words in ("✓ in full", "◐ with less", "00 · Start here", "descriptors: 256 hard"):
        assert words in ready
    for bundle in shown:  # nothing of it is compared by nbval
        kept = re.sub(r"(?s)<!-- measured -->.*?<!-- /measured -->", "", bundle["text/html"])
        assert "<table" not in kept
