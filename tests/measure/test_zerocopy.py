"""Zero copy in the kernel: what is claimed of it holds, and what arrives is the file."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from iomodels.measure import zerocopy as instrument
from iomodels.measure.zerocopy import PIECE, Row, Sender, words, zerocopy
from iomodels.views.zerocopy import alt, draw, what_is_copied

WAYS = ("read_write", "sendfile", "splice", "send", "send_zerocopy")


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return zerocopy()


def test_sendfile_and_splice_to_dev_null_take_less_than_read_and_write(rows: list[Row]) -> None:
    null = {row.way: row for row in rows if row.to == "/dev/null"}
    plain = null["read, write"]
    assert null["sendfile"].wall < 0.7 * plain.wall
    assert null["splice"].wall < 0.7 * plain.wall
    assert plain.to_user == plain.size and plain.to_kernel == 0
    assert null["sendfile"].bytes_copied == null["splice"].bytes_copied == 0
    assert all(row.cpu > 0 for row in rows)


def test_over_tcp_each_byte_that_is_copied_is_counted(rows: list[Row]) -> None:
    tcp = {row.way: row for row in rows if row.to == "TCP"}
    size = tcp["send"].size
    assert (tcp["read, write"].to_user, tcp["read, write"].to_kernel) == (size, size)
    assert (tcp["send"].to_user, tcp["send"].to_kernel) == (0, size)
    assert tcp["sendfile"].bytes_copied == tcp["splice"].bytes_copied == 0


def test_on_loopback_the_kernel_copies_what_was_lent_to_it(rows: list[Row]) -> None:
    (lent,) = [row for row in rows if "ZEROCOPY" in row.way]
    if lent.note:
        pytest.skip(lent.note)
    assert lent.copied == lent.completions > 0
    assert lent.to_kernel == lent.size


def test_the_sentences_are_of_these_figures(rows: list[Row]) -> None:
    said = words(rows)
    assert "To /dev/null, sendfile takes 0." in said
    assert f"copies 0 bytes where these copy {rows[0].size:,}" in said
    assert words([Row("read, write", "/dev/null", 9, cpu=2.0, to_user=9),
                  Row("splice", "/dev/null", 9, cpu=1.0)]) == (
        "To /dev/null, splice takes 0.50 of the CPU time of read and write, and copies 0 bytes "
        "where these copy 9."
    )  # fmt: skip


# --- one way after the other, against what arrives ---


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, list[bytes], threading.Thread]]:
    """A TCP connection; what arrives at its other end, and the thread that reads it."""
    arrived: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        here = socket.create_connection(listener.getsockname())
        there, _ = listener.accept()

    def read() -> None:
        with there:
            while data := there.recv(1 << 20):
                arrived.append(data)

    reading = threading.Thread(target=read)
    reading.start()
    with here:
        yield here, arrived, reading
    reading.join()


@pytest.mark.parametrize("way", WAYS)
def test_what_arrives_is_the_file(
    way: str, connection: tuple[socket.socket, list[bytes], threading.Thread]
) -> None:
    sock, arrived, reading = connection
    before = len(os.listdir("/proc/self/fd"))
    with tempfile.TemporaryFile() as file:
        data = os.urandom(2 * PIECE)
        file.write(data)
        file.flush()
        sender = Sender(file.fileno(), sock.fileno(), sock)
        sends = [getattr(sender, way)(at) for at in (0, PIECE)]
        sender.close()
    assert len(os.listdir("/proc/self/fd")) == before
    sock.close()
    reading.join()
    assert b"".join(arrived) == data
    copied = {"read_write": (PIECE, PIECE), "send": (0, PIECE), "send_zerocopy": (0, PIECE)}
    assert sends == [copied.get(way, (0, 0))] * 2


def test_the_bytes_copied_are_those_that_the_kernel_has_in_its_books() -> None:
    """rchar and wchar of /proc/self/io, for the way that is counted there as it is here."""
    from iomodels.measure.copies import bytes_copied

    with tempfile.TemporaryFile() as file, open(os.devnull, "wb") as null:
        file.truncate(PIECE)
        sender = Sender(file.fileno(), null.fileno())
        overhead = bytes_copied(os.getpid()), bytes_copied(os.getpid())
        before = bytes_copied(os.getpid())
        to_user, _ = sender.read_write(0)
        after = bytes_copied(os.getpid())
        sender.close()
    looking = overhead[1]["rchar"] - overhead[0]["rchar"]
    assert abs(after["rchar"] - before["rchar"] - looking - to_user) < 1000
    assert to_user == PIECE


def test_a_way_that_is_not_here_says_why_and_the_others_go_on() -> None:
    def refused(at: int) -> tuple[int, int]:
        raise OSError(22, "Invalid argument")

    with tempfile.TemporaryFile() as file, open(os.devnull, "wb") as null:
        file.truncate(PIECE)
        sender = Sender(file.fileno(), null.fileno())
        quiet = pytest.MonkeyPatch()
        quiet.setattr(instrument, "say", lambda **what: None)
        ways: instrument.Ways = {
            ("splice", "/dev/null"): (sender, refused),
            ("sendfile", "/dev/null"): (sender, sender.sendfile),
        }
        rows = {row.way: row for row in instrument.measure(ways, PIECE)}
        quiet.undo()
        sender.close()
    assert rows["splice"].note == "not here: Invalid argument"
    assert rows["sendfile"].wall > 0 and not rows["sendfile"].note


@pytest.mark.parametrize("size", [0, -1, PIECE - 1, 1 << 31])
def test_what_makes_no_sense_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="from 2 MiB to 1 GiB"):
        zerocopy(size)


# --- nothing is left ---


def test_with_256_descriptors_it_runs_and_leaves_no_file(tmp_path: Path) -> None:
    script = f"""if True:
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        from iomodels.measure.zerocopy import zerocopy
        print(sum(not row.note for row in zerocopy({4 * PIECE})))"""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert int(done.stdout) >= 7, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_kill_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    script = "from iomodels.measure.zerocopy import zerocopy\nwhile True: zerocopy()"
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", script], env=environment) as parent:
        family = psutil.Process(parent.pid)
        while len(children := family.children(recursive=True)) < 2:  # sender and receiver
            time.sleep(0.01)
        parent.kill()
    for child in children:
        child.wait(20)
    assert list(tmp_path.iterdir()) == []


# --- what is shown ---


def test_the_picture_and_its_words(tmp_path: Path) -> None:
    rows = [
        Row("read, write", "/dev/null", 2 << 20, 0.1, 0.004, 2 << 20),
        Row("splice", "/dev/null", 2 << 20, note="not here: Invalid argument"),
        Row("send, MSG_ZEROCOPY", "TCP", 2 << 20, 0.1, 0.002, 0, 2 << 20, 32, 32),
    ]
    assert alt(rows) == (
        "CPU time of sending 2 MiB: read, write to /dev/null: 4 ms, 2 MiB copied; "
        "send, MSG_ZEROCOPY to TCP: 2 ms, 2 MiB copied after all"
    )
    assert what_is_copied(Row("sendfile", "TCP", 1)) == "nothing copied"
    pytest.importorskip("matplotlib")
    draw(rows).savefig(tmp_path / "chart.svg")
    text = (tmp_path / "chart.svg").read_text()
    assert "over TCP on loopback" in text and "2 MiB copied after all" in text
    assert "splice" not in text
    null, tcp = draw(rows).axes  # one scale, and named: their bars can be compared
    assert null.get_xlim() == tcp.get_xlim() and null.get_ylim() == tcp.get_ylim()
    assert null.get_xlabel() == tcp.get_xlabel() == "CPU time, ms"
    with pytest.raises(ValueError, match="no row has a figure"):
        draw(rows[1:2])
