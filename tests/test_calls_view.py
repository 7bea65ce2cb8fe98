"""A server's calls as a table: names for numbers, who slept, and what waited."""

from __future__ import annotations

import errno
import os
import re
import socket
import threading
import time
from html.parser import HTMLParser
from typing import Any

import pytest

from iomodels.apps.echo import Echo
from iomodels.kernel import live
from iomodels.kernel.recording import Call, Queues, RecordingKernel, Snapshot
from iomodels.servers import blocking
from iomodels.servers.listening import listen
from iomodels.views.calls import Row, rows, show_calls, table


def call(
    name: str, *arguments: Any, result: Any = None, data: bytes = b"", **after: Queues
) -> Call:
    """A call as it is recorded; `fd7=Queues(...)` says what waits in 7 after it."""
    queues = {int(fd.removeprefix("fd")): found for fd, found in after.items()}
    return Call(name, arguments, result, data, ("", 0), 0, Snapshot((), queues, {}, {}))


def listener(waiting: int) -> Queues:
    return Queues(waiting=waiting, backlog=16)


def connection(unread: int) -> Queues:
    return Queues(unread=unread, unsent=0)


class Cells(HTMLParser):
    """The texts of a table, row by row; a line break is a space."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "br":
            self.rows[-1][-1] += " "
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


def test_connections_get_letters_and_a_number_that_comes_back_gets_a_new_one() -> None:
    found = list(
        rows(
            [
                call("accept", 5, result=7, fd5=listener(0), fd7=connection(0)),
                call("close", 7, fd5=listener(1)),
                call("accept", 5, result=7, fd5=listener(0), fd7=connection(2)),
                call("readv", 7, result=2, data=b"hi", fd5=listener(0), fd7=connection(0)),
            ]
        )
    )
    assert found == [
        Row("accept(listener)", "A", 0, (("A", 0),)),
        Row("close(A)", "", 1, ()),
        Row("accept(listener)", "B", 0, (("B", 2),)),
        Row("readv(B)", "2 bytes: hi", 0, (("B", 0),)),
    ]


def test_letters_go_on_after_z() -> None:
    found = list(rows([call("accept", 3, result=fd) for fd in range(10, 40)]))
    assert [row.came_back for row in found[24:28]] == ["Y", "Z", "AA", "AB"]


@pytest.mark.parametrize(
    ("made", "said", "came_back"),
    [
        (call("set_blocking", 5, True), "set_blocking(listener, True)", ""),
        (call("accept", 5, result=OSError(errno.EINVAL, "")), "accept(listener)", "EINVAL"),
        (call("readv", 9, result=0), "readv(9)", "0: end of stream"),
        (call("readv", 9, result=1, data=b"\0"), "readv(9)", r"1 byte: \x00"),
        (call("readv", 9, result=4000, data=b"x" * 4000), "readv(9)", f"4,000 bytes: {'x' * 12}…"),
        (call("readv", 9, result=BlockingIOError(errno.EAGAIN, "")), "readv(9)", "EAGAIN"),
        (call("writev", 9, 5, result=2, data=b"he"), "writev(9, 5)", "2 bytes: he"),
        (call("shutdown", 9, socket.SHUT_WR), "shutdown(9, SHUT_WR)", ""),
        (call("select", [5], [], [], None, result=([5], [], [])), "select([5], [], [], None)",
         "([5], [], [])"),
        (call("epoll_wait", None, result=[(5, 1)]), "epoll_wait(None)", "[(5, 1)]"),
    ],
)  # fmt: skip
def test_each_kind_of_call_reads_well(made: Call, said: str, came_back: str) -> None:
    *_, row = rows([call("accept", 5, result=OSError(errno.EAGAIN, "")), made])
    assert (row.call, row.came_back) == (said, came_back)


def test_it_says_who_slept_and_marks_what_waits() -> None:
    markup = table(
        [
            call("accept", 5, result=7, fd5=listener(0), fd7=connection(0)),
            call("readv", 7, result=2, data=b"<b", fd5=listener(3), fd7=connection(4)),
        ],
        {1: ["B sends `<i>`", "A leaves"]},
        "a `note`",
    )
    cells = Cells(markup)
    assert not cells.open
    assert cells.rows[1:] == [
        ["1", "accept(listener)", "", "A", "0", "A: 0"],
        ["2", "readv(A)", "slept B sends <i> A leaves", "2 bytes: <b", "3", "A: 4"],
    ]
    assert re.findall('class="io-figure io-waits">(.*?)</td>', markup) == [
        "<b>3</b>",
        "A: <b>4</b>",
    ]
    assert "<code>&lt;i&gt;</code>" in markup and "a <code>note</code>" in markup


def test_a_call_may_sleep_with_nothing_happening() -> None:
    assert Cells(table([call("accept", 5, result=7)], {0: []})).rows[1][2] == "slept"


def test_without_a_listener_or_a_snapshot_there_is_a_dash() -> None:
    assert Cells(table([call("readv", 7, result=0)])).rows[1][4:] == ["–", "–"]


def test_no_call_is_refused() -> None:
    with pytest.raises(ValueError, match="no call"):
        table([])


def test_the_output_is_stable_and_has_a_text_form(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append(bundle))
    show_calls([call("accept", 5, result=7)])
    assert shown[0]["text/plain"] == "<calls>"
    inside = re.search(r"(?s)<!-- measured -->(.*)<!-- /measured -->", shown[0]["text/html"])
    assert inside and "accept(listener)" in inside[1]


def test_a_real_recording() -> None:
    kernel = RecordingKernel()
    with listen() as server:
        thread = threading.Thread(target=blocking.serve, args=(server.fileno(), Echo(), kernel))
        thread.start()
        for word in (b"one", b"two"):
            with socket.create_connection(server.getsockname(), timeout=10) as client:
                client.sendall(word)
                assert client.recv(10) == word
        deadline = time.monotonic() + 10
        while [made.name for made in kernel.calls].count("close") < 2:
            assert time.monotonic() < deadline
            os.sched_yield()
        live.shutdown(server.fileno(), socket.SHUT_RDWR)
        thread.join(10)
    found = list(rows(kernel.calls))
    assert [row.call for row in found] == [
        "set_blocking(listener, True)",
        *("accept(listener)", "readv(A)", "writev(A, 3)", "readv(A)", "close(A)"),
        *("accept(listener)", "readv(B)", "writev(B, 3)", "readv(B)", "close(B)"),
        "accept(listener)",
    ]
    assert [row.came_back for row in found if row.call.startswith("accept")] == ["A", "B", "EINVAL"]
