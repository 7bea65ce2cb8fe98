"""What /proc says of descriptors, and the pictures of it."""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as some

from iomodels.kernel import descriptors as kernel
from iomodels.kernel.descriptors import Descriptor, descriptors, same_description
from iomodels.views import descriptors as view
from iomodels.views import style

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc")

SLEEPER = [sys.executable, "-c", "import sys; sys.stdin.read()"]


@pytest.fixture
def own() -> Iterator[Callable[[int], int]]:
    """Takes descriptors, and closes them after the test."""
    taken: list[int] = []

    def take(fd: int) -> int:
        taken.append(fd)
        return fd

    yield take
    for fd in taken:
        os.close(fd)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    path = tmp_path.resolve() / "notes.txt"
    path.write_bytes(b"abcdefghij")
    return path


def look(fd: int, pid: Any = "self") -> Descriptor:
    (found,) = (descriptor for descriptor in descriptors(pid) if descriptor.fd == fd)
    return found


# --- descriptors() ---


def test_every_kind_is_told_apart(own: Callable[[int], int], notes: Path) -> None:
    libc = ctypes.CDLL(None)
    no_signals = (ctypes.c_ulong * 16)()
    master, slave = os.openpty()
    read_end, write_end = os.pipe()
    here, there = (end.detach() for end in socket.socketpair())
    expected = {
        os.open(notes, os.O_RDONLY): "file",
        os.open(notes.parent, os.O_RDONLY): "directory",
        os.open("/dev/null", os.O_RDONLY): "character device",
        master: "terminal",
        slave: "terminal",
        read_end: "pipe",
        write_end: "pipe",
        here: "socket",
        there: "socket",
        os.eventfd(0): "eventfd",
        os.memfd_create("scratch"): "memfd",
        libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_CLOEXEC): "timerfd",
        libc.signalfd(-1, ctypes.byref(no_signals), os.O_CLOEXEC): "signalfd",
        libc.inotify_init1(os.O_CLOEXEC): "inotify",
        libc.epoll_create1(os.O_CLOEXEC): "epoll",
        os.pidfd_open(os.getpid()): "pidfd",
    }
    for fd in expected:
        own(fd)
    assert {one.fd: one.kind for one in descriptors() if one.fd in expected} == expected


def test_a_file_called_like_a_memfd_is_a_file(notes: Path) -> None:
    assert kernel._kind("/memfd:x (deleted)", notes.stat()) == "file"


def test_the_listing_is_not_in_the_list_and_leaves_nothing_open(notes: Path) -> None:
    before = descriptors()
    fd = os.open(notes, os.O_RDONLY)
    with_one_more = descriptors()
    os.close(fd)
    after = descriptors()
    assert [one.fd for one in before] == [one.fd for one in after]
    assert {one.fd for one in with_one_more} - {one.fd for one in before} == {fd}
    assert not [one for one in after if one.target.startswith("/proc/")]
    assert [one.fd for one in after] == sorted(one.fd for one in after)


def test_by_number_this_process_lists_the_same() -> None:
    assert [one.fd for one in descriptors(os.getpid())] == [one.fd for one in descriptors()]


@pytest.mark.parametrize(
    ("how", "access"),
    [
        (os.O_RDONLY, "read"),
        (os.O_WRONLY, "write"),
        (os.O_RDWR, "read, write"),
        (getattr(os, "O_PATH", 0), "path"),
    ],
)
def test_access(own: Callable[[int], int], notes: Path, how: int, access: str) -> None:
    assert look(own(os.open(notes, how))).access == access


def test_flags_and_offset_follow_what_is_done(own: Callable[[int], int], notes: Path) -> None:
    fd = own(os.open(notes, os.O_RDWR))
    one = look(fd)
    assert (one.pos, one.nonblocking, one.append, one.close_on_exec) == (0, False, False, True)
    os.read(fd, 7)
    os.set_blocking(fd, False)
    os.set_inheritable(fd, True)
    one = look(fd)
    assert (one.pos, one.nonblocking, one.append, one.close_on_exec) == (7, True, False, False)
    assert look(own(os.open(notes, os.O_WRONLY | os.O_APPEND))).append


def test_target_and_inode_are_those_of_what_is_open(own: Callable[[int], int], notes: Path) -> None:
    one = look(own(os.open(notes, os.O_RDONLY)))
    status = notes.stat()
    assert (one.target, one.device, one.inode) == (str(notes), status.st_dev, status.st_ino)
    notes.unlink()
    gone = look(one.fd)
    assert gone.target == f"{notes} (deleted)" and gone.inode == one.inode


def test_the_interest_list_of_an_epoll(own: Callable[[int], int]) -> None:
    read_end, write_end = map(own, os.pipe())
    with select.epoll() as watcher:
        assert look(watcher.fileno()).interest == ()
        watcher.register(write_end, select.EPOLLOUT)
        watcher.register(read_end, select.EPOLLIN | select.EPOLLET)
        interest = look(watcher.fileno()).interest
    always = select.EPOLLERR | select.EPOLLHUP  # epoll_ctl(2): reported without being asked for
    assert interest == (
        (read_end, select.EPOLLIN | select.EPOLLET | always),
        (write_end, select.EPOLLOUT | always),
    )


def test_another_process(own: Callable[[int], int], notes: Path) -> None:
    fd = own(os.open(notes, os.O_RDONLY))
    with subprocess.Popen(SLEEPER, stdin=subprocess.PIPE, pass_fds=[fd]) as child:
        assert look(fd, child.pid).target == str(notes)
        assert look(0, child.pid).kind == "pipe"
        assert {0, 1, 2, fd} <= {one.fd for one in descriptors(child.pid)}


def test_a_process_that_is_not_there() -> None:
    with pytest.raises(ProcessLookupError, match="there is no process 99999999"):
        descriptors(99999999)


def test_a_process_that_ends_while_it_is_looked_at() -> None:
    seen = 0
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-S", "-c", ""]) as child:
            while child.poll() is None:
                try:
                    seen += len(descriptors(child.pid))
                except ProcessLookupError:
                    pass  # it has ended, and that is said
    assert seen


def test_descriptors_that_vanish_meanwhile_are_left_out(notes: Path) -> None:
    ended = threading.Event()

    def open_and_close() -> None:
        while not ended.is_set():
            os.close(os.open(notes, os.O_RDONLY))

    threads = [threading.Thread(target=open_and_close) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(200):
            assert len(descriptors()) >= 3
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_elsewhere_than_on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(OSError, match="reads /proc, which darwin has not") as caught:
        descriptors()
    assert caught.value.errno == errno.ENOSYS
    assert same_description(0, 0) is None


# --- same_description() ---

needs_kcmp = pytest.mark.skipif(
    sys.platform != "linux" or same_description(0, 0) is None, reason="kcmp is refused here"
)


@needs_kcmp
def test_dup_shares_and_a_second_open_does_not(own: Callable[[int], int], notes: Path) -> None:
    first = own(os.open(notes, os.O_RDONLY))
    assert same_description(first, own(os.dup(first))) is True
    assert same_description(first, own(os.open(notes, os.O_RDONLY))) is False


@needs_kcmp
def test_a_child_shares_what_it_was_given(own: Callable[[int], int], notes: Path) -> None:
    fd, other = own(os.open(notes, os.O_RDONLY)), own(os.open(notes, os.O_RDONLY))
    with subprocess.Popen(SLEEPER, stdin=subprocess.PIPE, pass_fds=[fd]) as child:
        assert same_description(fd, fd, pid2=child.pid) is True
        assert same_description(fd, fd, pid1=child.pid) is True
        assert same_description(other, fd, pid2=child.pid) is False


@needs_kcmp
def test_a_number_that_is_not_open_and_a_process_that_is_not_there() -> None:
    with pytest.raises(OSError, match="descriptors 0 and 9999: Bad file descriptor") as caught:
        same_description(0, 9999)
    assert caught.value.errno == errno.EBADF
    with pytest.raises(ProcessLookupError):
        same_description(0, 0, pid2=99999999)


@needs_kcmp
def test_who_shares_is_told_of_each_number(own: Callable[[int], int], notes: Path) -> None:
    first = own(os.open(notes, os.O_RDONLY))
    copy, third = own(os.dup(first)), own(os.dup(first))
    alone = own(os.open(notes, os.O_RDONLY))
    assert [look(fd).shares for fd in (first, copy, third, alone)] == [
        (copy, third), (first, third), (first, copy), ()
    ]  # fmt: skip
    assert f"same description as {first}, {third}" in view.table([look(copy)])
    with subprocess.Popen(SLEEPER, stdin=subprocess.PIPE, pass_fds=[first, alone, copy]) as child:
        seen = {one.fd: one.shares for one in descriptors(child.pid)}
        assert (seen[first], seen[copy], seen[alone]) == ((copy,), (first,), ())


def test_a_kernel_without_kcmp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "_KCMP", dict.fromkeys(kernel._KCMP, 99_999))
    assert same_description(0, 0) is None
    assert {one.shares for one in descriptors()} == {()}
    monkeypatch.setattr(kernel, "_KCMP", {})  # an architecture whose number is not known
    assert same_description(0, 0) is None


def test_a_container_that_forbids_kcmp(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forbidding:
        def syscall(self, *_: Any) -> int:
            ctypes.set_errno(errno.EPERM)
            return -1

    monkeypatch.setattr(kernel, "_libc", Forbidding)
    assert same_description(0, 0) is None


# --- the table ---


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """What was shown in the notebook."""
    bundles: list[dict[str, str]] = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: bundles.append(bundle))
    return bundles


def a_descriptor(fd: int, **fields: Any) -> Descriptor:
    plain = {"kind": "file", "target": "/home/ada/notes.txt", "pos": 0, "flags": os.O_RDONLY}
    return Descriptor(fd=fd, **(plain | {"device": 1, "inode": fd} | fields))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/home/ada/notes.txt", "…/notes.txt"),
        ("/home/ada/notes.txt (deleted)", "…/notes.txt (deleted)"),
        ("/tmp", "/tmp"),
        ("/", "/"),
        ("/dev/pts/0", "/dev/pts/0"),
        ("/memfd:scratch (deleted)", "/memfd:scratch (deleted)"),
        ("socket:[15334]", "socket:[15334]"),
    ],
)
def test_folders_are_not_shown(target: str, expected: str) -> None:
    assert view.short(target) == expected


def test_a_row_says_what_there_is_to_say() -> None:
    one = a_descriptor(7, pos=12345, flags=os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", view.table([one]))
    assert cells[-6:] == ["7", "file", "…/notes.txt", "write", "12,345", "O_APPEND O_CLOEXEC"]


def test_what_has_no_offset_shows_none_and_an_epoll_what_it_watches() -> None:
    pipe = a_descriptor(4, kind="pipe", target="pipe:[15333]")
    epoll = a_descriptor(
        5, kind="epoll", target="anon_inode:[eventpoll]", interest=((4, 1), (9, 1))
    )
    markup = view.table([pipe, epoll])
    assert markup.count(">–</td>") == 2 and "watches 4, 9" in markup


def test_many_rows_fold_away_and_none_is_lost() -> None:
    many = [a_descriptor(fd) for fd in range(10)] + [a_descriptor(10, kind="directory")]
    markup = view.table(many, rows=4)
    open_part, folded = markup.split("<details", 1)
    assert open_part.count('<th scope="row"') == 4 and folded.count('<th scope="row"') == 7
    assert "<summary>7 more: 6 files, 1 directory</summary>" in folded
    assert "<details" not in view.table(many, rows=11)


def test_kinds_in_words() -> None:
    kinds = ["directory", "directory", "directory", "other", "other", "epoll"]
    found = [a_descriptor(fd, kind=kind) for fd, kind in enumerate(kinds)]
    assert view.kinds(found) == "3 directories, 2 other, 1 epoll"


def test_a_file_name_is_no_markup() -> None:
    one = a_descriptor(3, target="/tmp/<script>alert(1)<x>", kind="file")
    assert "<script>" not in view.table([one], note="a <b>")
    assert "<b>" not in view.table([one], note="a <b>")


def test_nothing_to_show_is_said() -> None:
    with pytest.raises(ValueError, match="there is no descriptor"):
        view.show_table([])
    with pytest.raises(ValueError, match="there is no number"):
        view.show_descriptions([])


def test_two_runs_look_the_same_to_nbval(
    shown: list[dict[str, str]], own: Callable[[int], int], notes: Path
) -> None:
    for how in (os.O_RDONLY, os.O_RDWR):
        fd = own(os.open(notes, how))
        view.show_table([look(fd)], note=f"number {fd}")
        view.show_descriptions({"fd": fd}, note=f"number {fd}")
    pattern = r"(?s)<!-- measured -->.*?<!-- /measured -->"  # tests/nbval_sanitize.cfg
    table, drawing, other_table, other_drawing = (
        {kind: re.sub(pattern, "MEASURED", text) for kind, text in bundle.items()}
        for bundle in shown
    )
    assert table == other_table and drawing == other_drawing
    assert shown[0] != shown[2] and shown[1] != shown[3]


def test_no_output_names_a_folder(
    shown: list[dict[str, str]], own: Callable[[int], int], notes: Path
) -> None:
    fd = own(os.open(notes, os.O_RDONLY))
    view.show_table([look(fd)])
    view.show_descriptions([fd])
    svg = view.draw(view.graph([fd]))
    assert notes.name in svg
    for text in (shown[0]["text/html"], shown[1]["text/html"], svg):
        assert str(notes.parent) not in text


# --- numbers, descriptions, inodes ---


@pytest.fixture
def three(own: Callable[[int], int], notes: Path) -> dict[str, int]:
    """A file opened, the number dup'ed, and the file opened again."""
    first = own(os.open(notes, os.O_RDONLY))
    os.read(first, 5)
    return {"first": first, "copy": own(os.dup(first)), "second": own(os.open(notes, os.O_RDWR))}


@needs_kcmp
def test_the_graph_is_the_real_one(three: dict[str, int]) -> None:
    graph = view.graph(three)
    assert graph.told
    assert [(entry.name, entry.description) for entry in graph.entries] == [
        ("first", 0),
        ("copy", 0),
        ("second", 1),
    ]
    assert [one.pos for one in graph.descriptions()] == [5, 0]
    assert graph.inodes() == [[0, 1]]


@needs_kcmp
def test_both_ends_of_a_pipe_are_two_descriptions_of_one_inode(own: Callable[[int], int]) -> None:
    ends = [own(fd) for fd in os.pipe()]
    graph = view.graph(ends)
    assert [entry.description for entry in graph.entries] == [0, 1]
    assert graph.inodes() == [[0, 1]]


@needs_kcmp
def test_a_child_has_a_table_of_its_own(three: dict[str, int]) -> None:
    fd = three["copy"]
    with subprocess.Popen(SLEEPER, stdin=subprocess.PIPE, pass_fds=[fd]) as child:
        graph = view.graph(three, (child.pid, [0, fd]))
    assert [entry.description for entry in graph.entries] == [0, 0, 1, 2, 0]
    assert [entry.process for entry in graph.entries] == [0, 0, 0, 1, 1]
    words = view.describe(graph)
    assert f"fd {fd} (copy) and fd {fd} of the child lead to one open file description" in words
    drawing = view.draw(graph)
    assert "this process" in drawing and "the child" in drawing and "3 numbers" in drawing


@needs_kcmp
def test_the_picture_in_words(three: dict[str, int]) -> None:
    first, copy, second = three.values()
    assert view.describe(view.graph(three)) == (
        f"fd {first} (first) and fd {copy} (copy) lead to one open file description: offset 5,"
        f" read; and through it to file notes.txt."
        f" fd {second} (second) leads to one open file description: offset 0, read, write; and"
        " through it to file notes.txt. 2 descriptions lead to one inode, file notes.txt."
    )


def test_where_kcmp_is_refused_the_picture_says_so(
    three: dict[str, int], monkeypatch: pytest.MonkeyPatch, shown: list[dict[str, str]]
) -> None:
    monkeypatch.setattr(view, "same_description", lambda *_: None)
    graph = view.graph(three)
    assert not graph.told
    assert [entry.description for entry in graph.entries] == [0, 1, 2]
    assert view.draw(graph).count("stroke-dasharray") == 3
    assert view.REFUSED in view.describe(graph)
    view.show_descriptions(three, note="`first` has read")
    assert "<code>first</code> has read" in shown[0]["text/html"]
    assert f'<p class="io-fds-note">{view.REFUSED}</p>' in shown[0]["text/html"]


def test_a_number_that_is_not_open_is_named() -> None:
    with pytest.raises(ValueError, match="this process has no descriptor 9999"):
        view.graph({"x": 9999})


def boxes(svg: str) -> list[tuple[float, float, float, float]]:
    """The drawing's boxes but for the kernel: left, top, right, bottom."""
    found = []
    for rect in list(ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}rect"))[1:]:
        x, y, wide, high = (float(rect.get(name, "0")) for name in ("x", "y", "width", "height"))
        found.append((x, y, x + wide, y + high))
    return found


def test_nothing_overlaps_and_nothing_is_cut_off(own: Callable[[int], int], notes: Path) -> None:
    name = "a-name-that-is-far-too-long-for-its-box-and-for-any-other.txt"
    long = notes.rename(notes.with_name(name))
    fds = [own(os.open(long, os.O_RDONLY)) for _ in range(4)]
    fds += [own(os.dup(fds[1])), own(os.dup(fds[0]))]
    fds += [own(fd) for fd in os.pipe()] + [own(os.eventfd(0))]
    svg = view.draw(view.graph({f"name {fd} of a number": fd for fd in fds}))
    drawing = ElementTree.fromstring(svg)
    wide, high = (float(drawing.get(side, "0")) for side in ("width", "height"))
    found = boxes(svg)
    for left, top, right, bottom in found:
        assert left >= 0 and top >= 0 and right <= wide and bottom <= high
    for n, one in enumerate(found):
        for other in found[n + 1 :]:
            beside = one[2] <= other[0] or other[2] <= one[0]
            assert beside or one[3] <= other[1] or other[3] <= one[1], (one, other)
    texts = [text.text or "" for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert name not in texts and any(text.endswith("any-other.txt") for text in texts)
    assert max(map(len, texts)) <= 31


def test_only_colours_that_the_dark_palette_knows(three: dict[str, int]) -> None:
    used = set(re.findall(r"#[0-9a-f]{6}", view.draw(view.graph(three))))
    assert used <= set(style.LIGHT.values())


@given(some.lists(some.floats(0, 600), min_size=1, max_size=12))
def test_boxes_keep_their_order_and_their_distance(wanted: list[float]) -> None:
    placed = view._apart(wanted, 70, 500)
    step = view.BOX + view.APART
    in_order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    for before, after in itertools.pairwise(in_order):
        assert placed[after] - placed[before] >= step - 1e-6
    assert min(placed) >= 70 + view.BOX / 2 - 1e-6
    needed = 70 + view.BOX / 2 + step * (len(wanted) - 1)
    assert max(placed) <= max(500 - view.BOX / 2, needed) + 1e-6


def test_boxes_stay_where_they_want_to_be_when_there_is_room() -> None:
    assert view._apart([300.0, 120.0], 70, 500) == [300.0, 120.0]


def test_a_drawing_without_names_has_no_column_for_them(three: dict[str, int]) -> None:
    assert "its own names" in view.draw(view.graph(three))
    assert "its own names" not in view.draw(view.graph(three.values()))
