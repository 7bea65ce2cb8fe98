"""check(): whatever the learner's code does, it is said in words, and nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import psutil
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

from iomodels.course import trial as trial_module
from iomodels.course.cases import Wrong, connection, playing, server, within
from iomodels.course.checking import CheckFailed, check
from iomodels.course.trial import PRINTED, Verdict, trial
from iomodels.kernel.descriptors import descriptors

Answer = Callable[[], object]


def calls(answer: Answer) -> None:
    """it is called"""
    answer()


def verdict(answer: Answer, seconds: float = 20.0) -> Verdict:
    """What is said of an answer; nothing may be left of the child that tried it."""
    before = left()
    found = trial(calls, (answer,), seconds)
    assert left() == before
    return found


def left() -> tuple[object, object]:
    """What a trial may not add to: descriptors and children."""
    return [(d.fd, d.target) for d in descriptors()], psutil.Process().children(recursive=True)


# --- what the learner's code may do ---


def stub() -> None:
    raise NotImplementedError


def spins() -> None:
    while True:
        pass


# As the compiler leaves some instructions: without a line. One byte stands for up to eight of them.
spins_without_a_line = FunctionType(
    spins.__code__.replace(co_linetable=b"\xff" * len(spins.__code__.co_code)), globals()
)


def sleeps_through_everything() -> None:
    while True:
        try:
            time.sleep(100)
        except BaseException:
            pass


def waits_for_a_byte() -> None:
    here, there = socket.socketpair()
    with here, there:
        here.recv(1)


def raises() -> None:
    print("about to look it up")
    {}["missing"]


KEPT: list[object] = []  # what is in here is not closed by the collector


def leaks_a_socket() -> None:
    KEPT.append(socket.socket())


def leaks_five() -> None:
    os.pipe(), os.pipe(), os.eventfd(0)


def closes_a_strangers() -> None:
    os.close(0)


def leaves_it_to_the_collector() -> None:
    socket.socket()


def exits() -> None:
    sys.exit(3)


def exits_at_once() -> None:
    os._exit(4)


def crashes() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def stops() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def forgets_to_end_its_child() -> None:
    os.fork()


def leaves_a_child() -> None:
    if os.fork() == 0:
        time.sleep(100)
        os._exit(0)


def leaves_a_daemon() -> None:
    """It has a session of its own, and its parent is gone."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(100)
        os._exit(0)
    os.wait()


def asks() -> None:
    input("How many? ")


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (stub, "unwritten", "not written yet"),
        (raises, "wrong", "KeyError: 'missing', in line "),
        (leaks_a_socket, "wrong", "leaves 1 descriptor open: a socket"),
        (leaks_five, "wrong", "leaves 5 descriptors open: an eventfd and 4 pipes"),
        (closes_a_strangers, "wrong", "closes 1 descriptor that it did not open: a character"),
        (leaves_it_to_the_collector, "wrong", "leaves a socket for the garbage collector"),
        (exits, "wrong", "your code called `sys.exit(3)`, in line "),
        (exits_at_once, "wrong", "the process ended with status 4"),
        (crashes, "wrong", "the process was killed by SIGSEGV (Segmentation fault)"),
        (forgets_to_end_its_child, "wrong", "a child process that your code has forked came back"),
        (leaves_a_child, "wrong", "leaves 1 child process running"),
        (leaves_a_daemon, "wrong", "leaves 1 child process running"),
        (asks, "wrong", "EOFError: input() has nobody to ask here, in line "),
    ],
)
def test_it_is_said_in_words(answer: Answer, kind: str, words: str) -> None:
    found = verdict(answer)
    assert (found.title, found.kind) == ("it is called", kind)
    assert words in found.problem


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (spins, "in line "),
        (spins_without_a_line, f"in line {spins.__code__.co_firstlineno}, in `spins`: `def spins("),
        (sleeps_through_everything, "`time.sleep(100)`"),
        (waits_for_a_byte, "`here.recv(1)`"),
        (stops, ""),
    ],
)
def test_what_does_not_end_is_ended_and_its_line_named(answer: Answer, line: str) -> None:
    found = verdict(answer, seconds=0.5)
    assert found.kind == "late"
    assert found.problem.startswith("took longer than 0.5 s")
    assert line in found.problem


def test_a_right_answer_passes_and_what_it_prints_is_kept_and_bounded() -> None:
    def prints() -> None:
        print("by print")
        print("to stderr", file=sys.stderr)
        os.write(1, b"by write\n")
        subprocess.run(["echo", "by a child"], check=True)

    found = verdict(prints)
    assert (found.kind, found.problem) == ("passed", "")
    assert found.printed == "by print\nto stderr\nby write\nby a child\n"

    def floods() -> None:
        print("x" * 5_000_000)

    text = verdict(floods).printed
    assert text.startswith("x" * PRINTED + "\n… cut off here; 5,000,001 bytes")
    assert len(text) < PRINTED + 100


def test_what_was_printed_before_an_end_is_kept_too() -> None:
    assert verdict(raises).printed == "about to look it up\n"


def test_a_temporary_file_that_is_left_is_removed() -> None:
    def leaves_a_file() -> None:
        fd, name = tempfile.mkstemp()
        os.close(fd)
        print(name)

    name = Path(verdict(leaves_a_file).printed.strip())
    assert name.parent.name.startswith("iomodels-check-")
    assert not name.parent.exists()


# --- what cases are made of ---


def test_a_case_says_what_a_time_out_means() -> None:
    def case(answer: Answer) -> None:
        with within(0.3, "your function waits for ever"):
            answer()

    found = trial(case, (waits_for_a_byte,), 20)
    assert found.kind == "late"
    assert found.problem.startswith("your function waits for ever, in line ")
    assert "`here.recv(1)`" in found.problem


def test_a_deadline_ends_with_its_block() -> None:
    def case(answer: Answer) -> None:
        with within(0.2, "too long"):
            pass
        time.sleep(0.5)

    assert trial(case, (stub,), 20).problem == ""


def test_what_the_other_side_finds_wrong_ends_the_case_at_once() -> None:
    def script() -> None:
        raise Wrong("nothing has come")

    def case(answer: Answer) -> None:
        with playing(script):
            answer()

    assert trial(case, (waits_for_a_byte,), 60).problem == "nothing has come"


def test_what_the_block_finds_wrong_comes_before_what_the_script_makes_of_it() -> None:
    def case(answer: Answer) -> None:
        with connection() as (_, peer), playing(peer.recv, 1):
            raise Wrong("the block")

    assert trial(case, (stub,), 20).problem == "the block"


def test_an_exception_that_closes_the_sockets_is_told_and_not_that_they_were_closed() -> None:
    def closes_and_raises(sock: socket.socket) -> None:
        with sock:
            sock.shutdown(socket.SHUT_RDWR)
            time.sleep(0.02)  # the other side has the time to see it
            raise ValueError("of its own")

    def case(answer: Callable[[socket.socket], None]) -> None:
        def script() -> None:
            if not peer.recv(1):
                raise Wrong("the connection was closed")

        with connection() as (sock, peer), playing(script):
            answer(sock)

    assert "ValueError: of its own" in trial(case, (closes_and_raises,), 20.0).problem


def test_a_client_that_never_comes_is_not_waited_for() -> None:
    def case(answer: Answer) -> None:
        with server(lambda client: None):
            pass

    started = time.monotonic()
    assert trial(case, (stub,), 60).problem == ""
    assert time.monotonic() - started < 30


# --- check() ---


def test_a_terminal_gets_lines_and_an_exception(capsys: pytest.CaptureFixture[str]) -> None:
    def wrong(answer: Answer) -> None:
        """it is wrong"""
        raise Wrong("as it must")

    with pytest.raises(CheckFailed, match=r"^1 case fails: it is wrong: as it must\.$"):
        check(lambda: print("hello"), calls, wrong, calls)
    assert capsys.readouterr().out.splitlines() == [
        "2 of 3 cases pass.",
        "✓ it is called",
        "    | hello",
        "✗ it is wrong: as it must",
        "✓ it is called",
        "    | hello",
    ]


def test_after_a_time_out_the_others_are_not_tried(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CheckFailed, match=r"took longer than 0\.2 s"):
        check(spins, calls, calls, calls, seconds=0.2)
    assert capsys.readouterr().out.startswith(
        "0 of 3 cases pass. 2 after that were not tried.\n✗ it is called: took longer"
    )


def test_several_answers_go_to_each_case_together() -> None:
    def case(one: Answer, other: Answer) -> None:
        if (one(), other()) != (1, 2):
            raise Wrong("not both")

    check((lambda: 1, lambda: 2), case)
    with pytest.raises(CheckFailed, match="not both"):
        check((lambda: 1, lambda: 3), case)


@pytest.mark.parametrize("arguments", [(spins,), (3, calls), ((), calls)])
def test_what_is_no_answer_is_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match=r"^check\(\) takes a function"):
        check(*arguments)


def test_elsewhere_than_on_linux_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(CheckFailed, match=r"^check\(\) needs Linux; this is darwin\.$"):
        check(spins, calls)


# --- in a notebook ---

BY_DEFINITION = """
import asyncio, time
from IPython.display import HTML, display
from iomodels.course import check

def spins():
    while True:
        pass

def prints():
    print("from the child")
    display(HTML("<b>shown</b>"))
    return asyncio.run(asyncio.sleep(0, "done"))

def case(answer):
    "it is called"
    assert answer() == "done"
"""


@pytest.fixture(scope="module")
def kernel() -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    manager, client = start_new_kernel(startup_timeout=120)
    try:
        assert run(client, BY_DEFINITION)[0] == "ok"
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run(client: BlockingKernelClient, code: str) -> tuple[str, list[dict[str, Any]]]:
    """Run a cell: its status, and the content of its outputs."""
    outputs: list[dict[str, Any]] = []
    reply = client.execute_interactive(
        code,
        timeout=120,
        output_hook=lambda message: outputs.append(message["content"]),
    )
    return reply["content"]["status"], outputs


def pages(outputs: list[dict[str, Any]]) -> str:
    return "".join(output.get("data", {}).get("text/html", "") for output in outputs)


def test_functions_of_a_notebook_are_tried_and_their_card_shown(kernel: Any) -> None:
    _, client = kernel
    status, outputs = run(client, "check(prints, case)")
    assert status == "ok", outputs
    assert "1 case passes." in pages(outputs)
    assert "<pre>from the child" in pages(outputs)


def test_an_endless_loop_in_a_notebook_is_one_line_and_the_kernel_lives(kernel: Any) -> None:
    _, client = kernel
    status, outputs = run(client, "check(spins, case, seconds=0.5)")
    assert status == "error"
    assert re.search("took longer than 0.5 s, in line [67], in <code>spins</code>", pages(outputs))
    (error,) = [output for output in outputs if "ename" in output]
    assert error["ename"] == "CheckFailed"
    assert len(error["traceback"]) == 1 and "\n" not in error["traceback"][0]
    assert run(client, "1 + 1")[0] == "ok"


def pipes(pid: int) -> int:
    """How many ends of pipes a process holds. The kernel's sockets come and go by themselves."""
    return sum(descriptor.kind == "pipe" for descriptor in descriptors(pid))


def test_an_interrupted_check_leaves_nothing(kernel: Any) -> None:
    manager, client = kernel
    assert run(client, "import os; print(os.getpid())")[0] == "ok"
    process = psutil.Process(manager.provisioner.pid)
    before = pipes(process.pid)
    message = client.execute("check(spins, case, seconds=100)")
    give_up = time.monotonic() + 60
    while not process.children():
        assert time.monotonic() < give_up
        time.sleep(0.01)
    manager.interrupt_kernel()
    reply = {}
    while reply.get("parent_header", {}).get("msg_id") != message:
        with contextlib.suppress(queue.Empty):
            reply = client.get_shell_msg(timeout=60)
        assert time.monotonic() < give_up
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert process.children() == []
    assert pipes(process.pid) == before
    assert run(client, "1 + 1")[0] == "ok"


@pytest.mark.parametrize("name", ["_wait_for", "_end"])
def test_an_interrupt_at_any_moment_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    its_own = getattr(trial_module, name)

    def interrupted(*arguments: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return its_own(*arguments)

    monkeypatch.setattr(trial_module, name, interrupted)
    before = left()
    with pytest.raises(KeyboardInterrupt):
        trial(calls, (sleeps_through_everything,), 0.5)
    assert left() == before
