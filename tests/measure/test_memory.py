"""Bytes per idle connection: against what the kernel says, with little, and without Go."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from iomodels.measure import footprint as kernels_books
from iomodels.measure import gopeer, memory_peers
from iomodels.measure import memory as instrument
from iomodels.measure.dialogues import UPGRADE, websocket
from iomodels.measure.footprint import KERNEL_STACK, Footprint, footprint, slabs, why_no_slabs
from iomodels.measure.load import load
from iomodels.measure.memory import Row, Server, crowd, memory, servers
from iomodels.measure.serving import Child, child
from iomodels.servers import MODELS
from iomodels.views.memory import alt, draw, words
from iomodels.websocket import BINARY, encode
from tests.limits import many_descriptors

GO_SERVERS = [model for model in gopeer.MODELS if model != "idle"]
NOBODY = 65534


def seen(row: Row) -> float:
    """Its user memory, or the least that could be seen."""
    assert row.user is not None, row.note
    return max(row.user, row.resolution)


@pytest.fixture(scope="session")
def go() -> Path:
    """The Go peer, for tests that need it."""
    try:
        return gopeer.build()
    except gopeer.NoGo as why:
        pytest.skip(str(why))


# --- what is measured ---


def test_every_model_is_known_and_each_has_its_words() -> None:
    known = servers()
    assert set(MODELS) | set(memory_peers.PEERS) <= set(known)
    assert {f"go-{model}" for model in gopeer.MODELS} <= set(known)
    assert all(server.about for server in known.values())
    assert not any("," in name or " " in name for name in known)  # for a list on the command line


@many_descriptors
def test_the_ways_to_hold_a_connection_stand_apart() -> None:
    threads, asyncio, objects, fds = memory(
        ["threads", "asyncio-protocol", "epoll-objects", "epoll-websocket"], connections=1000
    )
    assert (threads.few, threads.many) == (200, 1000)
    assert seen(threads) > 4 * seen(asyncio)
    assert seen(asyncio) > 3 * seen(objects)  # 4.7 times
    assert seen(objects) > 4 * seen(fds)
    assert seen(fds) <= 32
    assert threads.virtual and fds.virtual is not None
    assert threads.virtual > 1 << 20 > fds.virtual  # a stack of 8 MiB, of addresses
    assert threads.kernel_stacks == pytest.approx(KERNEL_STACK, rel=0.05)
    assert fds.kernel_stacks == 0
    assert threads.page_tables and threads.page_tables > 100


def test_small_stacks_spare_addresses_and_no_memory() -> None:
    large, small = memory(["threads", "threads-64k"], connections=100)
    assert large.virtual and small.virtual
    assert large.virtual > 4 * small.virtual
    assert seen(large) < 2 * seen(small)


def test_who_waits_in_the_accept_queue_costs_the_server_nothing() -> None:
    (row,) = memory(["blocking"], connections=100)
    assert seen(row) < 1000
    assert "accept queue" in row.note


def test_a_process_for_each_is_summed_over_all_of_them() -> None:
    (row,) = memory(["processes"], connections=20)
    assert seen(row) > 100_000
    assert row.kernel_stacks == KERNEL_STACK


def test_go_beside_us(go: Path) -> None:
    default, tuned, epoll, idle = memory(
        ["go-goroutines", "go-tuned", "go-epoll", "go-idle"], connections=1000
    )
    assert seen(default) > 1.5 * seen(tuned)
    assert seen(tuned) > 1.5 * seen(epoll)
    assert 2048 < seen(idle) < seen(default)  # its stack begins with 2 KiB
    assert not any(row.stored for row in (default, tuned, epoll, idle))


# --- against what the kernel says ---


def by_hand(pid: int, field: str) -> int:
    """Bytes of a field of smaps_rollup."""
    found = re.search(rf"^{field}: +(\d+) kB$", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
    assert found
    return int(found[1]) * 1024


def two_looks(name: str, few: int, many: int, look: Callable[[psutil.Process], int]) -> float:
    """The slope of something that is looked at here."""
    server = servers()[name]
    with server.start() as running, crowd(running.said["address"], server.app, many) as grow_to:
        grow_to(few)
        before = look(psutil.Process(running.process.pid))
        grow_to(many)
        return (look(psutil.Process(running.process.pid)) - before) / (many - few)


@many_descriptors
@pytest.mark.parametrize("name", ["epoll-objects", "asyncio-streams"])
def test_one_process_against_smaps_rollup_read_by_hand(name: str) -> None:
    slope = two_looks(name, 200, 1000, lambda server: by_hand(server.pid, "Anonymous"))
    (row,) = memory([name], connections=1000)
    assert row.user == pytest.approx(slope, rel=0.25)
    # And area by area, as psutil reads them. (PSS would not do: of a library it counts the more,
    # the fewer other programs have it, and those come and go.)
    assert two_looks(name, 200, 1000, anonymous_areas) == pytest.approx(slope, rel=0.25)


def anonymous_areas(server: psutil.Process) -> int:
    return sum(area.anonymous for area in server.memory_maps(grouped=False))


def test_a_family_against_what_psutil_finds_private_to_each() -> None:
    def private(server: psutil.Process) -> int:
        family = [server, *server.children()]
        return sum(process.memory_full_info().uss for process in family)

    (row,) = memory(["processes"], connections=20)
    assert row.user == pytest.approx(two_looks("processes", 4, 20, private), rel=0.25)


def test_a_look_at_a_process_that_sleeps() -> None:
    with child("iomodels.measure.memory_peers", ["epoll-objects"]) as running:
        pid = running.process.pid
        time.sleep(0.1)
        status = Path(f"/proc/{pid}/status").read_text()
        found = dict(re.findall(r"^(\w+):\s+(\d+)", status, re.M))
        assert footprint(pid) == Footprint(
            user=by_hand(pid, "Anonymous"),
            virtual=int(found["VmSize"]) * 1024,
            page_tables=int(found["VmPTE"]) * 1024,
            kernel_stacks=int(found["Threads"]) * KERNEL_STACK,
        )


def once_of_many(look: Callable[[], float], about: float, within: float = 0.3) -> None:
    """What counts for the whole machine: others may do something meanwhile, but not always."""
    found = []
    for _ in range(20):
        found.append(look())
        if found[-1] == pytest.approx(about, rel=within):
            return
    raise AssertionError(f"{found}, none of them about {about}")


def test_a_thread_has_a_stack_in_the_kernel() -> None:
    def kernel_stacks() -> int:
        found = re.search(r"KernelStack: +(\d+)", Path("/proc/meminfo").read_text())
        assert found
        return int(found[1]) * 1024

    def for_each_thread() -> float:
        over, before = threading.Event(), kernel_stacks()
        threads = [threading.Thread(target=over.wait) for _ in range(400)]
        try:
            for thread in threads:
                thread.start()
            return (kernel_stacks() - before) / len(threads)
        finally:
            over.set()
            for thread in threads:
                thread.join()

    once_of_many(for_each_thread, KERNEL_STACK)


@many_descriptors
def test_slabs_count_the_sockets_that_one_makes() -> None:
    """Of the TCP sockets only: their inodes are given back a grace period later (RCU)."""
    if why := why_no_slabs():
        pytest.skip(why)

    def grown() -> float:
        with ExitStack() as sockets:
            before = slabs()
            for _ in range(900):
                sockets.enter_context(socket.socket())
            after = slabs()
        assert before and after
        return after["TCP"].objects - before["TCP"].objects

    once_of_many(grown, 900)


@many_descriptors
def test_who_lists_descriptors_in_proc_adds_no_names() -> None:
    if why := why_no_slabs():
        pytest.skip(why)

    def grown(first: int) -> float:  # numbers that nobody has looked at yet
        with open(os.devnull) as null, ExitStack() as copies:
            for number in range(first, first + 900):
                copies.callback(os.close, os.dup2(null.fileno(), number))
            before = slabs()
            assert len(os.listdir("/proc/self/fd")) > 900
            after = slabs()
        assert before and after
        return after["dentry"].objects - before["dentry"].objects

    assert min(map(grown, (200, 1100))) < 300  # not 900; others may make some meanwhile


@many_descriptors
def test_a_connection_has_one_tcp_socket_here() -> None:
    """The client's is taken off."""
    if why := why_no_slabs():
        pytest.skip(why)

    def tcp() -> float:
        (row,) = memory(["epoll"], connections=1000)
        return row.slabs.get("TCP", 0.0) if row.slabs else 0.0

    found = slabs()
    assert found
    once_of_many(tcp, found["TCP"].size)


# --- with others on the machine ---


LEFT_OUT = "kernel slabs are left out: others opened or closed sockets meanwhile"


@many_descriptors
def test_the_slabs_are_left_out_when_others_open_sockets_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if why := why_no_slabs():
        pytest.skip(why)
    grow = instrument.grow
    with ExitStack() as others:

        def disturbed(running: Child, most: int, tell: Callable[[float], None], many: int) -> None:
            grow(running, most, tell, many)
            if many == most:
                for _ in range(300):
                    others.enter_context(socket.socket())

        monkeypatch.setattr(instrument, "grow", disturbed)
        (row,) = memory(["epoll"], connections=1000)
        assert instrument.client_end() is None
    assert row.user is not None and row.kernel_stacks == 0
    assert row.slabs is None and row.kernel is None
    assert row.note == LEFT_OUT


@many_descriptors
@pytest.mark.parametrize(
    ("at_each_look", "left_out"),
    [
        ([0, 1600], False),  # two ends of 800 connections
        ([0, 1640], False),  # 5 in a hundred is not worth another try
        ([0, 1560], False),
        ([0, 1641, 0, 1600], False),  # measured again
        ([0, 1641, 0, 1559], True),
    ],
)
def test_a_server_is_measured_once_more_when_sockets_come_or_go_that_are_not_ours(
    at_each_look: list[int], left_out: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why := why_no_slabs():
        pytest.skip(why)
    monkeypatch.setattr(instrument, "client_end", dict)
    monkeypatch.setattr(instrument, "sockets", lambda: (at_each_look.pop(0),))
    (row,) = memory(["epoll"], connections=1000)
    assert at_each_look == []
    assert row.note == (LEFT_OUT if left_out else "")
    assert (row.slabs is None) == left_out


# --- with less ---


def as_nobody(script: str, **options: Any) -> Any:
    """What a script prints as JSON; root becomes somebody else for it, if it can be read then."""
    if os.geteuid() == 0:
        someone = options | {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        probe = [sys.executable, "-c", "import iomodels, psutil"]
        with contextlib.suppress(PermissionError):  # Python itself lies where root alone may look
            if subprocess.run(probe, **someone, capture_output=True).returncode == 0:
                options = someone
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, **options, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_with_256_descriptors_and_without_root_the_answer_is_smaller_and_true() -> None:
    script = """if True:
        import json
        from iomodels.measure.footprint import slabs, why_no_slabs
        from iomodels.measure.memory import memory
        rows = memory(["threads", "asyncio-protocol", "epoll-objects", "epoll-websocket"])
        told = slabs() is not None, why_no_slabs()
        print(json.dumps({"rows": [row.as_dict() for row in rows], "told": told}))"""
    found = as_nobody(
        script, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    )
    rows = found["rows"]
    for row in rows:
        assert (row["few"], row["many"]) == (38, 192)
        assert re.fullmatch(
            r"192 connections instead of [15],000: a process may hold 256 descriptors here .*",
            row["note"],
        )
    threads, asyncio, objects, fds = (max(row["user"], row["resolution"]) for row in rows)
    assert threads > 4 * asyncio > 8 * objects > 8 * fds
    assert fds <= 32
    readable, why = found["told"]
    assert readable == (why == "")
    for row in rows:
        assert (row["slabs"] is None) == (not readable or "slabs are left out" in row["note"])
    if not readable:
        assert why.startswith("kernel slabs are left out: ")


def test_without_slabs_the_rest_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels_books, "Path", lambda path: Path(f"/nowhere{path}"))
    assert slabs() is None
    monkeypatch.setattr(instrument, "footprint", lambda pid: Footprint(user=0))
    (row,) = memory(["epoll"], connections=10)
    assert row.slabs is None
    assert row.kernel is None
    assert row.user == 0


def test_a_proc_that_tells_nothing_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels_books, "sizes", lambda path: Path("/nowhere").read_text())
    with pytest.raises(instrument.MemoryFailed, match=r"/proc does not tell .* No such file"):
        memory(["epoll"], connections=10)


def test_who_is_not_installed_is_left_out_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_peers, "find_spec", lambda name: None)
    assert memory(["gevent"]) == [
        Row("gevent", note="gevent is not installed: pip install iomodels[peers]")
    ]


def test_a_server_that_does_not_start_or_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Server("does not start", lambda: child("nosuch", []))
    known = servers()
    echo = known["epoll"].start  # it echoes an upgrade, which is no answer to it
    monkeypatch.setattr(
        instrument, "servers",
        lambda: {"broken": broken, "deaf": Server("is no WebSocket server", echo, "websocket")},
    )  # fmt: skip
    rows = memory(["broken", "deaf"], connections=10)
    assert [row.user for row in rows] == [None, None]
    assert "not measured: " in rows[0].note and "No module named nosuch" in rows[0].note
    assert "client 1: the hello was answered with b'GET / HTTP" in rows[1].note


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="no server named 'nosuch'; there are blocking, "):
        memory(["nosuch"])
    with pytest.raises(ValueError, match="connections begin at 10"):
        memory(["epoll"], connections=9)
    (row,) = memory(["select"], connections=20_000)
    assert "900 connections instead of 20,000" in row.note


def test_interrupted_it_leaves_nothing() -> None:
    script = "from iomodels.measure.memory import memory; memory(['threads'])"
    with subprocess.Popen(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, text=True
    ) as measuring:
        family: list[psutil.Process] = []
        while len(family) < 2:  # the server, and the clients
            assert measuring.poll() is None
            family = psutil.Process(measuring.pid).children()
            time.sleep(0.01)
        time.sleep(0.2)
        measuring.send_signal(signal.SIGINT)
        assert measuring.stderr
        assert measuring.stderr.read().rstrip().endswith("KeyboardInterrupt")
    assert not any(process.is_running() for process in family)


def test_no_descriptor_is_left_here() -> None:
    memory(["epoll"], connections=10)  # what psutil and the like keep open
    before = len(os.listdir("/proc/self/fd"))
    memory(["epoll", "epoll-objects"], connections=10)
    assert len(os.listdir("/proc/self/fd")) == before


# --- Go ---


@pytest.fixture
def no_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Go."""
    monkeypatch.setitem(sys.modules, "go", None)
    monkeypatch.setenv("PATH", "")


@pytest.mark.usefixtures("no_go")
def test_without_go_the_stored_figures_are_shown_as_stored() -> None:
    with pytest.raises(gopeer.NoGo, match="no Go here: pip install iomodels"):
        gopeer.build()
    rows = memory([f"go-{model}" for model in gopeer.MODELS])
    found = gopeer.stored()
    for row in rows:
        assert row.user and row.many > row.few
        assert row.stored == f"{found['date']}, {found['go']}, {found['machine']}"
        assert row.note.startswith(f"stored: {row.stored}; there is no Go here")
    assert alt(rows).count("stored: ") == len(gopeer.MODELS)


def test_it_is_built_once(go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_go_cache(monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    peer = gopeer.build()
    assert list((tmp_path / "iomodels").iterdir()) == [peer]
    assert os.access(peer, os.X_OK)

    def once_is_enough(*_: object) -> None:
        raise AssertionError("it was built again")

    monkeypatch.setattr(gopeer, "compile_to", once_is_enough)
    assert gopeer.build() == peer
    monkeypatch.setattr(gopeer, "version", lambda go: "go9.99")
    with pytest.raises(AssertionError, match="built again"):
        gopeer.build()


def keep_go_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Go find what it has compiled before, wherever our own cache is."""
    asked = subprocess.run(
        [gopeer.toolchain(), "env", "GOCACHE"], capture_output=True, text=True, check=True
    )
    monkeypatch.setenv("GOCACHE", asked.stdout.strip())


def test_a_build_that_fails_is_one_line_and_leaves_nothing(
    go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_go_cache(monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "go.mod").write_text("module peer\n\ngo 1.21\n")
    (tmp_path / "main.go").write_text("package main\n\nfunc main() { nosuch() }\n")
    monkeypatch.setattr(gopeer, "SOURCES", tmp_path)
    with pytest.raises(gopeer.NoGo, match=r"^go build: \./main\.go:3:15: undefined: nosuch$"):
        gopeer.build()
    assert list((tmp_path / "cache" / "iomodels").iterdir()) == []
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(gopeer.NoGo, match="Not a directory"):
        gopeer.build()


def test_an_interrupted_build_leaves_no_compiler(go: Path, tmp_path: Path) -> None:
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "GOCACHE": str(tmp_path / "go")}
    script = "from iomodels.measure.gopeer import build; build()"
    with subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stderr=subprocess.PIPE, text=True
    ) as building:
        family: list[psutil.Process] = []
        while len(family) < 2:  # go, and a compiler
            assert building.poll() is None
            family = psutil.Process(building.pid).children(recursive=True)
            time.sleep(0.01)
        building.send_signal(signal.SIGINT)
        assert building.stderr
        assert building.stderr.read().rstrip().endswith("KeyboardInterrupt")
    assert psutil.wait_procs(family, 5)[1] == []
    assert list((tmp_path / "iomodels").iterdir()) == []


@pytest.mark.parametrize("model", GO_SERVERS)
@pytest.mark.parametrize(("size", "in_flight"), [(64, 32), (5000, 2), (200_000, 2)])
def test_the_go_servers_echo_every_byte(
    go: Path, model: str, size: int, in_flight: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")  # clients that start at once
    with gopeer.gopeer(model) as server:
        report = load(
            tuple(server.said["address"]), app="websocket", connections=10, in_flight=in_flight,
            size=size, seconds=0.2,
        )  # fmt: skip
    assert report.served == 10
    assert report.lost == report.unanswered == 0


@pytest.fixture(params=GO_SERVERS)
def address(request: pytest.FixtureRequest, go: Path) -> Iterator[tuple[str, int]]:
    with gopeer.gopeer(request.param) as server:
        host, port = server.said["address"]
        yield host, port


def client(address: tuple[str, int], and_more: bytes = b"") -> socket.socket:
    """A WebSocket that is open; what comes after the request comes in the same segment."""
    sock = socket.create_connection(address, 10)
    sock.sendall(UPGRADE + and_more)
    heard = b""
    while b"\r\n\r\n" not in heard:
        heard += sock.recv(1)
    return sock


def exactly(sock: socket.socket, size: int) -> bytes:
    heard = b""
    while len(heard) < size:
        more = sock.recv(size - len(heard))
        assert more
        heard += more
    return heard


def test_half_a_frame_and_then_silence_holds_up_nobody(address: tuple[str, int]) -> None:
    """The servers of the talk do not survive this, nor the two below."""
    frame, echo = encode(BINARY, b"hello", b"mask"), encode(BINARY, b"hello")
    with client(address) as slow, client(address) as other:
        slow.sendall(frame[:1])
        other.sendall(frame)
        assert exactly(other, len(echo)) == echo
        slow.sendall(frame[1:])
        assert exactly(slow, len(echo)) == echo


def test_a_frame_that_comes_with_the_handshake_is_answered(address: tuple[str, int]) -> None:
    two = websocket(20, 1)
    with client(address, two.requests[:52]) as sock:  # two frames of 26 bytes
        assert exactly(sock, 44) == two.replies[:44]


def test_a_long_request_line_fits_into_a_small_buffer(address: tuple[str, int]) -> None:
    with socket.create_connection(address, 10) as sock:
        sock.sendall(UPGRADE.replace(b"\r\n\r\n", b"\r\nCookie: " + b"x" * 3000 + b"\r\n\r\n"))
        assert sock.recv(100).startswith(b"HTTP/1.1 101 ")


def test_who_does_not_read_holds_up_nobody(address: tuple[str, int]) -> None:
    frame, echo = encode(BINARY, b"hello", b"mask"), encode(BINARY, b"hello")
    large = encode(BINARY, bytes(60_000), b"mask")
    with client(address) as deaf, client(address) as other:
        deaf.settimeout(0.5)
        sent = 0
        with pytest.raises(TimeoutError):  # until nothing more is read from it
            while sent < 1 << 28:
                sent += deaf.send(large[sent % len(large) :])
        other.sendall(frame)
        assert exactly(other, len(echo)) == echo
        deaf.settimeout(10)  # and then it reads, and has lost nothing
        whole = sent // len(large)
        expected = encode(BINARY, bytes(60_000))
        for _ in range(whole):
            assert exactly(deaf, len(expected)) == expected


# --- what is shown ---


def test_the_picture_and_its_words(tmp_path: Path) -> None:
    rows = [
        Row(
            "a", 200, 1000, user=16_600.0, page_tables=1.0, kernel_stacks=16384.0, slabs={"TCP": 9}
        ),
        Row("b", 200, 1000, user=0.0, page_tables=0.0, kernel_stacks=0.0, slabs={"TCP": 2368.0}),
        Row("c", note="not here"),
    ]
    assert [words(row) for row in rows] == ["16,600", "5 or less", "–"]
    assert alt(rows) == (
        "Bytes per idle connection: a: 16,600 in user memory and 16,394 in the kernel; "
        "b: 5 or less in user memory and 2,368 in the kernel"
    )
    pytest.importorskip("matplotlib")
    draw(rows).savefig(tmp_path / "memory.svg")
    text = (tmp_path / "memory.svg").read_text()
    assert all(word in text for word in ("16,600", "5 or less", "in the kernel"))
    with pytest.raises(ValueError, match="no row has a figure"):
        draw(rows[2:])
    assert draw(rows[:1])


def drawable(user: float, kernel: float | None) -> Row:
    slabs = None if kernel is None else {"TCP": kernel}
    return Row(f"{user:g}", 200, 1000, user, page_tables=0.0, kernel_stacks=0.0, slabs=slabs)


def test_a_legend_stands_above_the_rows_and_only_where_there_are_two_marks() -> None:
    pytest.importorskip("matplotlib")
    (axes,) = draw([drawable(9_000.0, None), drawable(50.0, None)]).axes
    assert axes.get_legend() is None
    assert axes.get_xlabel() == "bytes of user memory for each idle connection · log scale"

    drawn = draw([drawable(9_000.0, 4_000.0), drawable(50.0, 4_000.0)])
    drawn.draw_without_rendering()
    (axes,) = drawn.axes
    legend = axes.get_legend()
    assert legend is not None
    place = legend.get_window_extent()
    assert place.y0 >= axes.bbox.y1 and place.y1 <= axes.title.get_window_extent().y0


def test_no_label_lies_on_a_diamond_and_no_tick_beyond_the_axis() -> None:
    pytest.importorskip("matplotlib")
    rows = [drawable(user, 4_000.0) for user in (1_300_000.0, 4_500.0, 3_900.0, 1_587.0, 341.0)]
    for shown in (rows, rows[3:], rows[4:]):
        drawn = draw(shown)
        drawn.draw_without_rendering()
        (axes,) = drawn.axes
        diamonds = axes.transData.transform([(4_000, place) for place in range(len(shown))])
        labels = [text.get_window_extent() for text in axes.texts]
        assert not [label for label in labels if label.count_contains(diamonds)]
        ticks = [tick.get_window_extent() for tick in axes.get_xticklabels()]
        assert ticks[-1].x1 <= axes.bbox.x1
        assert all(right.x0 - left.x1 > 8 for left, right in itertools.pairwise(ticks))
        assert axes.bbox.contains(*diamonds[0])


def test_the_stored_figures_are_whole() -> None:
    found = gopeer.stored()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"])
    assert found["go"].startswith("go1.")
    assert [row["name"] for row in found["rows"]] == [f"go-{model}" for model in gopeer.MODELS]
    assert not re.search(r"/home|/root|/tmp", json.dumps(found))


def test_a_process_that_has_ended_is_said_to_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = kernels_books.sizes

    def just_before(path: str) -> dict[str, int]:
        return {"Anonymous": 0} if path.endswith("smaps_rollup") else sizes(path)

    monkeypatch.setattr(kernels_books, "sizes", just_before)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)  # a zombie: it has a status left
        with pytest.raises(ProcessLookupError, match="No such process"):
            kernels_books.of_process(ended.pid)
