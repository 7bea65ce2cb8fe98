"""One case of an exercise, tried in a process of its own.

A learner's code may loop for ever, wait for a byte that never comes, call os._exit, close what is
not its own, or leave children behind. The kernel of a notebook must live through all of it. So each
case runs in a forked child: fork, because a function from a notebook exists in memory only and is
there in the copy too. The parent waits for one line that says how it went, until a deadline, and
then ends the child, its process group, and whatever it has started.

The child tells the parent through a pipe: a line of JSON for each deadline of the case's own
(`within`), and a last one with the outcome. After that one it waits to be killed; were it to exit,
its children would become somebody else's, and nobody could find them.

Where it hurts: fork copies one thread only, the one that calls it. A lock that another thread held
at that moment stays locked in the child for ever. The child therefore writes to a plain pipe and
not through the notebook's streams, and leaves by SIGKILL, so that nothing of the parent's is
flushed or finalized twice.
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import faulthandler
import fcntl
import gc
import inspect
import io
import json
import linecache
import os
import resource
import select
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, FunctionType
from typing import Any, NoReturn

from iomodels.kernel.descriptors import Descriptor, descriptors

Case = Callable[..., None]

PRINTED = 2000  # characters of what a case prints that are kept
ANSWERS_WITHIN = 0.5  # seconds that a child has to say where it is, before it is killed
MOMENT = 0.1  # seconds in which an exception, once it has closed its sockets, comes out
MEMORY = 4 << 30  # bytes that a case may take: a runaway list ends as MemoryError
# At the deadline the parent sends it, and the child says in which line it is. A signal that no
# lesson uses.
WHERE = signal.SIGRTMAX if sys.platform == "linux" else 0


class Wrong(Exception):
    """What a case raises when the answer is wrong. The text says what is wrong, to the learner."""


@dataclass(frozen=True)
class Verdict:
    """What became of one case."""

    title: str
    problem: str = ""  # what is wrong, in words; "" when nothing is
    kind: str = "passed"  # "passed", "wrong", "late", or "unwritten": the stub is still there
    printed: str = ""


def title(case: Case) -> str:
    """What a case is called: the first line of its docstring, or else its name."""
    return (inspect.getdoc(case) or "").partition("\n")[0] or case.__name__.replace("_", " ")


def trial(case: Case, answers: Sequence[Any], seconds: float) -> Verdict:
    """Call `case(*answers)` in a forked child, and say what became of it within `seconds`.

    Needs Linux. Whatever ends the wait, an exception such as KeyboardInterrupt too: the child is
    gone when this returns, and so is what it has put into the folder for temporary files.
    """
    with (
        _uninterrupted() as interrupted,
        tempfile.TemporaryDirectory(prefix="iomodels-check-") as folder,
    ):
        return _trial_in(folder, case, answers, seconds, interrupted)


def _trial_in(
    folder: str, case: Case, answers: Sequence[Any], seconds: float, interrupted: list[int]
) -> Verdict:
    ours, theirs = os.pipe()
    printed, prints = os.pipe()
    output, pid = _Output(printed), 0
    sys.stdout.flush()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # 3.12: fork with threads; see above
            pid = os.fork()
        if pid == 0:
            os.close(ours)
            os.close(printed)
            tempfile.tempdir = folder
            _be_the_child(case, answers, theirs, prints)
        os.close(theirs)
        os.close(prints)
        outcome = _wait_for(pid, ours, output, seconds, interrupted)
    finally:
        status = _end(pid) if pid else 0
        output.read()  # what is still in the pipe
        os.close(ours)
        os.close(printed)
    if outcome is None:
        outcome = {"kind": "wrong", "problem": how_it_ended(status)}
    return Verdict(title(case), outcome["problem"], outcome["kind"], output.text())


# --- the parent ---


@contextlib.contextmanager
def _uninterrupted() -> Iterator[list[int]]:
    """Have Ctrl-C wait until the block ends. The list is empty until it has come.

    Were it to come just as the child is forked, or as it is ended, the child would be left.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # no signal comes here
        yield came
        return
    handler = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            signal.raise_signal(signal.SIGINT)


def _wait_for(
    pid: int, link: int, output: _Output, seconds: float, interrupted: list[int]
) -> dict[str, str] | None:
    """The child's outcome; None when it has ended without one, or nobody waits for it any more."""
    poller = select.poll()
    poller.register(link, select.POLLIN)
    poller.register(output.fd, select.POLLIN)
    # Until when, and what it means when it is later. `within` adds to them and takes away.
    deadlines = [(time.monotonic() + seconds, f"took longer than {seconds:g} s")]
    late, gone, heard = "", False, b""
    while not interrupted:
        until, words = min(deadlines)
        left = until - time.monotonic()
        if left <= 0 and late:
            return {"kind": "late", "problem": late}  # it does not even say where it is
        if left <= 0:
            late = words
            deadlines = [(time.monotonic() + ANSWERS_WITHIN, late)]
            os.kill(pid, WHERE)
            continue
        # Not longer than 50 ms: children that it has left may hold the pipes open when it is gone,
        # and a signal whose handler raises nothing does not end a poll (PEP 475).
        ready = {fd for fd, _ in poller.poll(min(left, 0.05) * 1000 + 1)}
        if output.fd in ready and not output.read():
            poller.unregister(output.fd)
        if link in ready:
            data = os.read(link, 65536)
            heard += data
            gone = gone or not data
        *lines, heard = heard.split(b"\n")
        for message in map(json.loads, lines):
            if "kind" in message:
                if message["kind"] == "late":
                    message["problem"] = late + message["problem"]
                return dict(message)
            if late:
                continue
            if "within" in message:
                deadlines.append((time.monotonic() + message["within"], message["words"]))
            else:
                deadlines.pop()
        if gone:
            return None
        gone = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return None


class _Output:
    """The first PRINTED characters of what comes out of a pipe, and how many more there were."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self.fd, self.kept, self.size = fd, b"", 0

    def read(self) -> bool:
        """Take what is there; False when all ends of the pipe are closed."""
        try:
            while data := os.read(self.fd, 65536):
                self.kept += data[: 4 * PRINTED - len(self.kept)]
                self.size += len(data)
        except BlockingIOError:
            return True
        return False

    def text(self) -> str:
        text = self.kept.decode(errors="replace")
        if len(text) <= PRINTED and self.size == len(self.kept):
            return text
        return f"{text[:PRINTED]}\n… cut off here; {self.size:,} bytes were printed"


def _end(pid: int) -> int:
    """End the child and all that it has started; return its status, as waitpid gives it."""
    import psutil

    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)  # so that it starts no more of them meanwhile
    started = []
    with contextlib.suppress(psutil.Error):
        started = psutil.Process(pid).children(recursive=True)
    for kill in (os.kill, os.killpg):  # the group: those who outlived an exit of the child
        with contextlib.suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)
    for process in started:  # those who made a group or a session of their own
        with contextlib.suppress(psutil.Error):
            process.kill()
    return os.waitpid(pid, 0)[1]


def how_it_ended(status: int) -> str:
    """In words, what a status of waitpid(2) says of a process that has told nothing itself."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        number = signal.Signals(-code)
        return f"the process was killed by {number.name} ({signal.strsignal(number)})"
    return f"the process ended with status {code}, without an exception: `os._exit`, for one, does"


# --- the child ---


class Link:
    """The child's side: how it tells the parent, and which code is the learner's."""

    def __init__(self, pipe: int, case: Case, answers: Sequence[Any]) -> None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # Out of the way of code that closes numbers which are not its own.
        self.fd = fcntl.fcntl(pipe, fcntl.F_DUPFD_CLOEXEC, min(soft, 1000) - 10)
        os.close(pipe)
        self.pid = os.getpid()
        functions = [function for answer in answers for function in _functions(answer)]
        self.learners = [id(function.__globals__) for function in functions]
        # A hidden case is in the notebook too, but in another cell, which to Python is a file.
        self.own = inspect.unwrap(case).__code__.co_filename
        if self.own in [function.__code__.co_filename for function in functions]:
            self.own = ""

    def tell(self, **message: Any) -> None:
        """Tell the parent one thing, as a line of JSON."""
        os.write(self.fd, json.dumps(message).encode() + b"\n")

    def finish(self, kind: str, problem: str = "") -> NoReturn:
        """Tell the outcome, and wait to be killed. May be called in any thread."""
        sys.stdout.flush()
        self.tell(kind=kind, problem=problem)
        while True:
            time.sleep(3600)

    def line(self, frames: Iterable[tuple[FrameType, int | None]]) -> str:
        """Where the learner's code is, of some frames with their lines, the innermost first."""
        for frame, number in frames:
            file = frame.f_code.co_filename
            if id(frame.f_globals) in self.learners and file != self.own:
                number = number or _line_before(frame)
                text = linecache.getline(file, number).strip()
                return f", in line {number}, in `{frame.f_code.co_name}`" + f": `{text}`" * bool(
                    text
                )
        return ""


def _line_before(frame: FrameType) -> int:
    """Where a frame is that says None: the compiler adds instructions of no line, to end a `for`.

    The last one before it that has a line is meant.
    """
    line = frame.f_code.co_firstlineno
    for start, _, number in frame.f_code.co_lines():
        if start <= frame.f_lasti and number:
            line = number
    return line


own_link: Link | None = None  # in a child, its own; in the parent, None


def _functions(answer: Any) -> list[FunctionType]:
    """The functions of which an answer consists: itself, or the methods of a class."""
    parts = vars(answer).values() if inspect.isclass(answer) else [inspect.unwrap(answer)]
    return [part for part in parts if isinstance(part, FunctionType)]


def _be_the_child(case: Case, answers: Sequence[Any], link: int, prints: int) -> NoReturn:
    """Everything that happens in the child; it does not return, whatever happens."""
    global own_link
    try:
        os.setpgid(0, 0)
        _settle(prints)
        own_link = Link(link, case, answers)
        signal.signal(WHERE, _say_where)
        _play(own_link, case, answers)
    except BaseException:  # a fault of this module: rather a traceback than a second notebook
        traceback.print_exc()
    finally:
        os._exit(70)


def _settle(prints: int) -> None:
    """Cut what ties a copy of a kernel to the kernel, and limit what it may do."""
    PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # should the kernel be killed, so is its copy
    prctl(PR_SET_CHILD_SUBREAPER, 1)  # grandchildren without a parent become its children
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    faulthandler.disable()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or hard > used + MEMORY:
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))

    nothing = os.open(os.devnull, os.O_RDONLY)
    for fd, number in ((nothing, 0), (prints, 1), (prints, 2)):
        os.dup2(fd, number)
    os.close(nothing)
    os.close(prints)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stderr = io.TextIOWrapper(
        io.FileIO(1, "w", closefd=False), errors="backslashreplace", write_through=True
    )
    builtins.input = _no_input
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is not None:  # display() would write to the notebook's own sockets
        shell.display_pub.publish = lambda data, *_, **__: print(data.get("text/plain", ""))


def _no_input(prompt: object = "") -> str:
    raise EOFError("input() has nobody to ask here")


def _play(link: Link, case: Case, answers: Sequence[Any]) -> NoReturn:
    """Call the case, and tell how it went and what it has left behind."""
    gc.freeze()  # the notebook's own garbage: its closing would not be the learner's doing
    before = descriptors()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            case(*answers)
        except BaseException as error:
            if os.getpid() == link.pid:
                _tell_of(link, error)
            raise
        gc.collect()
    if os.getpid() != link.pid:
        link.finish(
            "wrong",
            "a child process that your code has forked came back from it, and two go on: end the"
            " child with `os._exit`",
        )
    for warning in warned:
        if warning.category is not ResourceWarning:
            print(f"{warning.category.__name__}: {warning.message}")
    left = [_left_open(before, descriptors()), _left_to_collector(warned), _left_running()]
    problem = "; ".join(filter(None, left))
    link.finish("wrong" if problem else "passed", problem)


def _tell_of(link: Link, error: BaseException) -> NoReturn:
    if isinstance(error, Wrong):
        link.finish("wrong", str(error))
    frames = [*traceback.walk_tb(error.__traceback__)][::-1]
    line = link.line(frames)
    if isinstance(error, NotImplementedError) and (line or not frames):
        link.finish("unwritten", "not written yet")
    if isinstance(error, SystemExit):
        code = "" if error.code is None else repr(error.code)
        link.finish("wrong", f"your code called `sys.exit({code})`{line}")
    said = f"{type(error).__name__}: {error}".removesuffix(": ")
    if not line and frames:
        frame, number = frames[0]
        name = os.path.basename(frame.f_code.co_filename)
        line = f" (in line {number} of {name}, which plays the other side)"
    link.finish("wrong", said + line)


def _say_where(_signal: int, frame: FrameType | None) -> None:
    """At the deadline: tell in which line the learner's code is, in this thread or in another."""
    assert own_link
    others = sys._current_frames()
    others.pop(threading.get_ident(), None)
    for top in filter(None, (frame, *others.values())):
        stack = []
        for inner, number in traceback.walk_stack(top):
            if inner.f_code is _play.__code__:  # further out is the notebook
                break
            stack.append((inner, number))
        if line := own_link.line(stack):
            own_link.finish("late", line)
    own_link.finish("late")


# --- what the case has left behind ---


def _left_open(before: list[Descriptor], after: list[Descriptor]) -> str:
    """In words, what is open that was not, and what is closed that was open."""
    was = {(d.fd, d.target): d for d in before}
    now = {(d.fd, d.target): d for d in after}
    opened = [now[key] for key in now.keys() - was.keys()]
    closed = [was[key] for key in was.keys() - now.keys()]
    said = []
    if opened:
        said.append(f"leaves {_count(len(opened), 'descriptor')} open: {kinds_of(opened)}")
    if closed:
        said.append(
            f"closes {_count(len(closed), 'descriptor')} that it did not open: {kinds_of(closed)}"
        )
    return "; ".join(said)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def kinds_of(found: list[Descriptor]) -> str:
    """ "a socket", "2 pipes and an eventfd"."""
    kinds = Counter(descriptor.kind for descriptor in found)
    named = [
        _count(number, kind) if number > 1 else f"{'an' if kind[0] in 'aeio' else 'a'} {kind}"
        for kind, number in sorted(kinds.items())
    ]
    return " and ".join(filter(None, (", ".join(named[:-1]), named[-1])))


def _left_to_collector(warned: Iterable[warnings.WarningMessage]) -> str:
    """In words, what was closed only because Python's garbage collector came by."""
    texts = [str(w.message) for w in warned if w.category is ResourceWarning]
    what = next((kind for kind in ("socket", "file", "transport") if kind in " ".join(texts)), "")
    if not what:  # a subprocess that still runs is counted below
        return ""
    return f"leaves a {what} for the garbage collector to close: close it, or use `with`"


def _left_running() -> str:
    """In words, how many children are still alive. One that is just ending has a moment for it."""
    import psutil

    for _ in range(100):
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return ""
        time.sleep(0.01)
    alive = len(psutil.Process().children(recursive=True))
    return f"leaves {alive} child process{'es' * (alive != 1)} running"


# --- for cases ---


@contextlib.contextmanager
def within(seconds: float, words: str) -> Iterator[None]:
    """For a block of a case: when it takes longer, this is what is wrong, in words.

        with within(2, "your function waits for more, though all 5 bytes had come"):
            data = recv_exactly(sock, 5)

    The report adds the line in which the learner's code was.
    """
    if own_link is None:
        raise RuntimeError("within() is for a case that check() runs")
    own_link.tell(within=seconds, words=words)
    try:
        yield
    finally:
        own_link.tell(done=True)


@contextlib.contextmanager
def playing(script: Callable[..., None], *arguments: Any) -> Iterator[None]:
    """Call `script(*arguments)` in a thread beside the block: the other side of a connection.

    What the script raises ends the case: it may be that the learner's code would wait for ever for
    what the script has not done. But when the block raises too, within a moment, that is told: an
    exception that comes out of the learner's code closes its sockets, and the script has only seen
    them close. When the block has ended, the script is waited for.
    """
    link = own_link
    if link is None:
        raise RuntimeError("playing() is for a case that check() runs")

    failed, over = False, threading.Event()

    def run() -> None:
        try:
            script(*arguments)
        except BaseException as error:
            over.wait(MOMENT)
            if not failed:
                _tell_of(link, error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    except BaseException:  # this is what will be told, and not what the script makes of it
        failed = True
        raise
    finally:
        over.set()
    thread.join()
