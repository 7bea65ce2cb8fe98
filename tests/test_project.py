"""The course's project: the tester tells right from wrong, scores are measured, the board is kept.

The servers here are small, and each is wrong in one thing. More of them, with the words that each
gets, are the wrong answers to the exercise (tests/exercises/wrong/chat.py).
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import select
import socket
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from iomodels.course import project
from iomodels.course.project import board, model, score, score_of_go, score_of_model
from iomodels.course.project.host import hosting
from iomodels.course.project.scores import Score, ScoreFailed, against_connected, machine
from iomodels.course.project.stages import STAGES
from iomodels.course.project.tester import tried
from iomodels.course.project.users import UPGRADE, User, frame, room
from iomodels.measure import gopeer
from iomodels.measure.limits import sized
from iomodels.websocket import TEXT, Handshake, encode
from iomodels.websocket.parser import parse
from tests.exercises.answers import notebook, role
from tests.limits import many_descriptors

Serve = Callable[[socket.socket, float], None]


def reference() -> Serve:
    """The exercise's solution."""
    space: dict[str, Any] = {"__name__": "a notebook"}
    for cell in notebook("15_chat").cells:
        if cell.id == "setup" or role(cell, "solution"):
            exec(compile(cell.source, f"<cell {cell.id}>", "exec"), space)
    serve: Serve = space["serve"]
    return serve


# --- the tester ---


@pytest.mark.parametrize("name", ["reference", "epoll", "poll", "asyncio"])
def test_a_right_server_passes_all_stages(name: str) -> None:
    report = tried(reference() if name == "reference" else model(name))
    assert report.problems == []
    assert report.failing == 0
    assert report.passed == report.tests == sum(len(stage.tests) for stage in STAGES)
    assert report.summary() == f"All {report.tests} tests pass."


def test_who_was_told_goodbye_is_hung_up_on_in_time_whatever_it_goes_on_sending() -> None:
    with (
        hosting(reference(), patience=0.3, send_buffer=4096) as server,
        room(server, "Ann") as (ann,),
        contextlib.closing(User(server, "Bob", receive_buffer=4096)) as bob,
    ):
        bob.send(UPGRADE + frame("Bob"))
        ann.expect("* Bob has come", "Bob had come in")
        for _ in range(10):  # Bob does not read: what he is told waits in the server
            ann.say("x" * 4000)
            ann.expect("Ann: " + "x" * 4000, "Ann had spoken")
        bob.send(encode(TEXT, b"no mask"))
        with pytest.raises(ConnectionError):
            for _ in range(100):  # each is against the rules, and none is a new beginning
                bob.sock.send(encode(TEXT, b"no mask"))
                time.sleep(0.05)
        ann.expect("* Bob has gone", "Bob had been told goodbye, and did not read it")


def answers_nobody(listener: socket.socket, patience: float) -> None:
    sock, _ = listener.accept()
    sock.recv(65536)
    sock.recv(9)


def returns(listener: socket.socket, patience: float) -> None:
    pass


def raises(listener: socket.socket, patience: float) -> None:
    listener.accept()
    raise ValueError("of its own")


def exits(listener: socket.socket, patience: float) -> None:
    os._exit(3)


def spins(listener: socket.socket, patience: float) -> None:
    while True:
        patience += 1.0


def says_no(listener: socket.socket, patience: float) -> None:
    while True:
        sock, _ = listener.accept()
        with sock:
            sock.recv(65536)
            sock.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")


def has_the_wrong_key(listener: socket.socket, patience: float) -> None:
    while True:
        sock, _ = listener.accept()
        with sock:
            sock.recv(65536)
            sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n")


@pytest.mark.parametrize(
    ("serve", "words"),
    [
        (
            answers_nobody,
            r"your server sleeps, in line \d+, in `answers_nobody`: `sock.recv\(9\)`$",
        ),
        (returns, "; `serve` has returned, though nobody asked it to end$"),
        (raises, r"your server has ended with ValueError: of its own, in line \d+, in `raises`"),
        (exits, "; your server is gone: the process ended with status 3"),
        (spins, r"; your server is busy, in line \d+, in `spins`: `"),
        (says_no, "was answered with b'HTTP/1.1 403 Forbidden'$"),
        (has_the_wrong_key, "has not the Sec-WebSocket-Accept of its key$"),
    ],
)
def test_a_wrong_server_is_told_what_is_wrong(serve: Serve, words: str) -> None:
    report = tried(serve)
    assert report.failing == 1
    assert any(re.search(words, problem) for problem in report.problems), report.problems
    assert not any(one.verdicts for one in report.tried[1:]), "later stages are not tried"


def echo_chat(listener: socket.socket, patience: float) -> None:
    """It talks with each, and with nobody about it; a frame that is cut is kept."""
    epoll, buffers, names, messages = select.epoll(), {}, {}, defaultdict(bytes)
    socks: dict[int, socket.socket] = {}
    epoll.register(listener, select.EPOLLIN)
    while True:
        for fd, _ in epoll.poll():
            if fd == listener.fileno():
                sock, _ = listener.accept()
                socks[sock.fileno()], buffers[sock.fileno()] = sock, bytearray()
                epoll.register(sock, select.EPOLLIN)
                continue
            data = socks[fd].recv(65536)
            if not data:
                epoll.unregister(fd)
                socks.pop(fd).close()
                names.pop(fd, None)
                continue
            buffers[fd] += data
            if fd not in names:
                answer = Handshake().answer(buffers[fd])
                if answer is None:
                    continue
                del buffers[fd][: answer.consumed]
                socks[fd].sendall(answer.response)
                names[fd] = ""
            end, whole = 0, []
            with memoryview(buffers[fd]) as window:
                for offset, length, _, fin in parse(window, 0, len(window), 4096):
                    end = offset + length
                    messages[fd] += bytes(window[offset:end])
                    if fin:
                        whole.append(messages.pop(fd).decode())
            del buffers[fd][:end]
            for text in whole:
                said = f"{names[fd]}: {text}" if names[fd] else f"* {text} has come"
                names[fd] = names[fd] or text
                socks[fd].sendall(encode(TEXT, said.encode()))


def test_the_first_stage_that_fails_is_the_next_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    report = project.tester(echo_chat, stage=2)
    said = capsys.readouterr().out
    assert report.failing == 3 and report.tried[0].passed
    assert said.startswith("Stage 2 passes. Next is stage 3: To everyone.\n")
    assert "✓ who has not given a name hears nothing" in said
    assert "Bob had come in, and Ann still waits for `* Bob has come`; your server sleeps" in said
    assert "4 · The reader who does not read: not tried yet" in said


def test_a_stub_is_not_written_yet() -> None:
    def serve(listener: socket.socket, patience: float) -> None:
        raise NotImplementedError

    report = tried(serve)
    assert report.summary().startswith("Not written yet")
    assert report.passed == 0


def test_a_stage_that_there_is_not_is_refused() -> None:
    for stage in (0, len(STAGES) + 1):
        with pytest.raises(ValueError, match="stages go from 1 to"):
            project.tester(echo_chat, stage)


# --- the score ---


@many_descriptors
@pytest.mark.parametrize("name", ["learner", "epoll"])
def test_a_score_is_measured(name: str) -> None:
    load = {"users": 1_500, "room": 30, "seconds": 0.2}
    if name == "learner":
        found = score(reference(), passed=22, **load)
    else:
        found = score_of_model(name, **load)
    assert found.held == found.wanted == sized(1_500).connections
    assert found.room == 30 and found.speakers == 10
    assert found.rate > 0 and 0 < found.p50 <= found.p99
    assert found.cpu is not None and 0 < found.cpu < 1e-3
    assert found.calls is None or 0.05 < found.calls < 1
    assert found.held < 1_000 or (found.memory is not None and found.memory < 5_000)
    assert found.machine == machine()
    assert "messages delivered a second" in str(found)


@many_descriptors
def test_the_chat_in_go_is_measured() -> None:
    try:
        gopeer.build()
    except gopeer.NoGo as why:
        with pytest.raises(ScoreFailed, match="Go"):
            score_of_go(users=50, room=20)
        pytest.skip(str(why))
    found = score_of_go(users=300, room=50, seconds=0.2)
    assert found.held == found.wanted and found.rate > 0 and not found.note


def test_a_server_that_serves_nobody_has_no_score() -> None:
    with pytest.raises(ScoreFailed, match=r"^user 1: "):
        score(hangs_up, users=20, passed=0)


def hangs_up(listener: socket.socket, patience: float) -> None:
    while True:
        sock, _ = listener.accept()
        sock.close()


def test_who_leaves_its_users_has_a_note_and_no_rate() -> None:
    found = score(hangs_up_on_all, users=12, room=12, speakers=2, seconds=0.1, passed=0)
    assert found.held == 0 and found.rate == 0
    assert "was due" in found.note


def hangs_up_on_all(listener: socket.socket, patience: float) -> None:
    socks = []
    while True:
        sock, _ = listener.accept()
        socks.append(sock)
        with contextlib.suppress(OSError):
            answer = Handshake().answer(sock.recv(65536))
            assert answer
            sock.sendall(answer.response)
            if len(socks) == 12:
                for each in socks:
                    each.close()


def test_sizes_that_make_no_sense_are_refused() -> None:
    for wrong in ({"users": 0}, {"speakers": 0}, {"seconds": 0.0}, {"seconds": 1e9}):
        with pytest.raises(ValueError, match=r"seconds go|begin at 1"):
            score(returns, passed=0, **wrong)  # type: ignore[arg-type]


@many_descriptors
def test_a_room_costs_the_same_however_many_are_connected_beside_it() -> None:
    few, many = against_connected(reference(), (50, 600))
    assert (few.connected, many.connected) == (50, 600)
    assert few.cpu > 0 and many.cpu > 0
    if few.calls is not None and many.calls is not None:
        assert few.calls < 0.5 and many.calls < 0.5, "ten messages in a write"


# --- the board ---

GOOD = Score(22, 10_000, 10_000, 200, 10, 5e5, 0.002, 0.01, 356.2, 9e-7, 0.18)


def test_results_stand_in_order_the_tests_first(tmp_path: Path) -> None:
    for name, found in {
        "Ann": GOOD,
        "Bob": replace(GOOD, passed=18, rate=9e9),
        "Cem": replace(GOOD, held=9_000, rate=9e9),
        "Dai": replace(GOOD, rate=6e5, memory=None, calls=None),
    }.items():
        board.add(name, found, tmp_path / "class")
    entries, problems = board.read(tmp_path)
    assert [entry.name for entry in entries] == ["Dai", "Ann", "Cem", "Bob"]
    assert entries[1].score == GOOD
    assert problems == []


def test_a_second_result_takes_the_place_of_the_first_and_of_nobody_else(tmp_path: Path) -> None:
    paths = [board.add(name, GOOD, tmp_path) for name in ("Ann", "ann", "Ann", "Żółw 3", "///")]
    assert paths[0] == paths[2] != paths[1]
    assert [path.name for path in paths] == [
        "ann.json", "ann-2.json", "ann.json", "żółw-3.json", "score.json",
    ]  # fmt: skip
    assert len(list(tmp_path.iterdir())) == 4, "nothing temporary is left"
    assert (paths[0].stat().st_mode & 0o777) == 0o644
    entries, _ = board.read(tmp_path)
    assert {entry.name for entry in entries} == {"Ann", "ann", "Żółw 3", "///"}


def test_a_name_must_be_one() -> None:
    for name in ("", "  ", "a\nb", "x" * 41, 5):
        with pytest.raises(ValueError, match="a name has"):
            board.add(name, GOOD)  # type: ignore[arg-type]


def text(**changes: Any) -> str:
    """A file as `add` writes it, but for these figures of the score."""
    return json.dumps({"what": board.WHAT, "name": "Eve", "score": asdict(GOOD) | changes})


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("notes.txt", b"collect by Friday", "its name does not end in .json"),
        ("half.json", text().encode()[:50], "it is not JSON"),
        ("latin.json", b'"\xe9"', "it is not JSON"),
        ("deep.json", b"[" * 60_000, "it is not JSON"),
        ("list.json", b"[]", "it does not say"),
        ("other.json", b'{"what": "something else"}', "it does not say"),
        ("large.json", b" " * 70_000, "it has 70,000 bytes"),
        ("nan.json", text(rate=math.nan).encode(), "its rate is 'nan', and that cannot be"),
        ("minus.json", text(held=-1).encode(), "its held is '-1'"),
        ("true.json", text(held=True).encode(), "its held is 'True'"),
        ("words.json", text(rate="fast").encode(), "its rate is 'fast'"),
        ("all.json", text(passed=23).encode(), "there are 22 tests"),
        ("more.json", text(bonus=1).encode(), "has not the figures that a score has"),
        ("who.json", text().replace("Eve", "E\\nve").encode(), "a name has 1 to 40 characters"),
    ],
)
def test_a_foreign_file_gets_a_line_and_is_passed_over(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    board.add("Ann", GOOD, tmp_path)
    (tmp_path / name).write_bytes(content)
    entries, problems = board.read(tmp_path)
    assert [entry.name for entry in entries] == ["Ann"]
    (problem,) = problems
    assert problem.startswith(f"{name}: ") and words in problem and "\n" not in problem


def test_a_pipe_a_dangling_link_and_what_is_hidden_hold_up_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / ".ipynb_checkpoints" / "old.json").write_text("x")
    entries, problems = board.read(tmp_path)
    assert entries == []
    assert problems == [
        "gone.json: it cannot be read: No such file or directory",
        "pipe.json: not a score: it is not a regular file",
    ]


def test_the_board_is_shown_and_guests_have_no_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board.show(tmp_path)
    assert capsys.readouterr().out == "nobody is on the board yet\n"
    board.add("<b>Ann</b>", GOOD, tmp_path)
    (tmp_path / "bad.json").write_text("?")
    board.show(tmp_path, beside={"epoll": replace(GOOD, passed=0, memory=None)})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["1", "<b>Ann</b>"]
    assert lines[1].split()[0] == "epoll"
    assert lines[2] == "bad.json: not a score: it is not JSON"


def test_the_picture_has_all_figures_and_no_markup_of_a_name(tmp_path: Path) -> None:
    board.add("<b>Ann</b>", GOOD, tmp_path)
    entries, _ = board.read(tmp_path)
    rows = [*entries, board.Entry("epoll", replace(GOOD, rate=1e5), guest=True)]
    table = board._table(rows)
    assert "&lt;b&gt;Ann" in table and "<b>" not in table
    assert board.alt(rows).endswith("<b>Ann</b> 500,000; epoll (for comparison) 100,000")
    axes = board.draw(rows).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["<b>Ann</b>", "epoll"]
    assert [bar.get_width() for bar in axes.patches] == [5e5, 1e5]
