"""What a recording claims, read once more from outside: out of /proc, by hand, by another process.

The recorder asks the server's own process, by ioctl, TCP_INFO and MSG_PEEK. Here the same is read
from /proc/net/tcp, /proc/PID/fd and /proc/PID/fdinfo while the server stands still.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from iomodels.trace.looking import HIGH, HOST
from iomodels.trace.moments import Moment
from iomodels.trace.processes import Process
from iomodels.trace.recorder import Recorder

LISTEN, CLOSE_WAIT = "0A", "08"
ENDED = ("06", "07")  # TIME_WAIT, CLOSE
STATES = {
    "01": "ESTABLISHED", "04": "FIN_WAIT1", "05": "FIN_WAIT2", "08": "CLOSE_WAIT",
    "09": "LAST_ACK",
}  # fmt: skip
KINDS = {"listener": "socket:", "connection": "socket:", "socket": "socket:", "epoll": "eventpoll",
         "io_uring": "io_uring"}  # fmt: skip


def compare(recorder: Recorder, moment: Moment) -> None:
    """Raise AssertionError where the kernel does not show what a step says.

    /proc/net/tcp is read a page at a time. While others open and close sockets, a row may be left
    out, or come twice: so it is read again before anybody is called a liar.
    """
    for _ in range(20):
        try:
            return compare_once(recorder, moment)
        except AssertionError:
            time.sleep(0.002)
    compare_once(recorder, moment)


def compare_once(recorder: Recorder, moment: Moment) -> None:
    state = moment.state
    rows = rows_of(recorder.port)
    compare_descriptors(recorder, state)
    compare_queue(state, rows)
    for name, client in recorder.clients.items():
        compare_connection(name, client.port, len(client.sent), state, rows)
    for process in recorder.alive():
        if process.told or len(recorder.processes) == 1:
            compare_interest(process, state)


def rows_of(port: int) -> list[tuple[int, int, str, int, int]]:
    """/proc/net/tcp, both ends: local and remote port, state, bytes to send and to read."""
    rows = []
    ours = "".join(reversed([f"{int(part):02X}" for part in HOST.split(".")]))
    ending = f":{port:04X} "  # of an address; a busy machine has thousands of lines
    for line in Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]:
        if ending not in line:
            continue
        words = line.split()
        (_, local), (_, remote) = words[1].split(":"), words[2].split(":")
        if ours in (words[1][:8], words[2][:8]) and port in (int(local, 16), int(remote, 16)):
            sent, received = words[4].split(":")
            rows.append(
                (int(local, 16), int(remote, 16), words[3], int(sent, 16), int(received, 16))
            )
    return rows


def compare_queue(state: dict[str, Any], rows: list[tuple[int, int, str, int, int]]) -> None:
    """The receive queue of a socket that listens is its accept queue (net/ipv4/tcp_ipv4.c)."""
    assert any(its == LISTEN for _, _, its, _, _ in rows)
    waiting = sum(received for _, _, its, _, received in rows if its == LISTEN)
    assert waiting == len(state["queue"]["waiting"])


def compare_connection(
    name: str,
    port: int,
    sent: int,
    state: dict[str, Any],
    rows: list[tuple[int, int, str, int, int]],
) -> None:
    """Bytes and state at the server's end, and what waits for the client at its own."""
    claimed = state["sockets"].get(name)
    server = next((row for row in rows if row[1] == port), None)
    client = next((row for row in rows if row[0] == port), None)
    if claimed is None:
        return
    if claimed["state"] in ("RESET", "CLOSE", "CLOSED"):
        assert server is None or server[2] in ENDED or claimed["fd"] is None
    else:
        assert server
        _, _, its, unsent, unread = server
        assert STATES[its] == claimed["state"]
        assert unsent == claimed["out_bytes"]
        assert unread - claimed["in_bytes"] in ((0, 1) if its == CLOSE_WAIT else (0,))
    if claimed["fd"] is None and claimed["state"] == "ESTABLISHED":
        assert claimed["in_bytes"] == sent  # nobody has read any of it
    if client and client[2] == "01":
        assert client[4] == claimed.get("client_in_bytes", 0)


def compare_descriptors(recorder: Recorder, state: dict[str, Any]) -> None:
    """The descriptor table of each process."""
    occupied = range(3, recorder.scenario.settings.occupied)
    for process in recorder.alive():
        folder = Path(f"/proc/{process.pid}/fd")
        targets = {int(each): os.readlink(folder / each) for each in os.listdir(folder)}
        there = {
            fd: target
            for fd, target in targets.items()
            if 3 <= fd < HIGH and not (fd in occupied and target == "/dev/null")
        }
        claimed = [fd for fd in state["fds"] if fd.get("pid", 0) == process.index]
        assert [fd["fd"] for fd in claimed] == sorted(there)
        for fd in claimed:
            assert KINDS[fd["what"]] in there[fd["fd"]]


def compare_interest(process: Process, state: dict[str, Any]) -> None:
    """An epoll's list: the lines `tfd:` of its fdinfo."""
    watches = state["watch"].get("all", [{"pid": 0, **state["watch"]}])
    for watch in watches:
        if watch["pid"] != process.index or watch["kind"] != "epoll":
            continue
        lines = Path(f"/proc/{process.pid}/fdinfo/{watch['fd']}").read_text().splitlines()
        listed = sorted(
            (int(words[1]), int(words[3], 16))
            for words in (line.split() for line in lines)
            if words[:1] == ["tfd:"]
        )
        assert [entry["fd"] for entry in watch["interest"]] == [fd for fd, _ in listed]
        for entry, (_, mask) in zip(watch["interest"], listed, strict=True):
            events = entry["events"].split("|")
            assert ("IN" in events, "OUT" in events) == (bool(mask & 1), bool(mask & 4))
            assert ("ET" in events) == bool(mask >> 31)
            assert ("EXCLUSIVE" in events) == bool(mask >> 28 & 1)
