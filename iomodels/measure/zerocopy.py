"""Zero copy in the kernel: a file sent without its bytes ever being in user space.

    for row in zerocopy():
        print(row.way, row.to, row.cpu, row.to_user)

read(2) copies a piece of the file from the page cache into a buffer, write(2) copies it out again.
sendfile(2) hands the pages themselves from file to socket, within the kernel; splice(2) does it in
two steps, with a pipe between. MSG_ZEROCOPY (man 2 send) is for bytes which are in user space
already: the kernel pins the pages and sends from them, and says later, through the socket's error
queue, when it is done with them.

Two places to send to. /dev/null takes everything and copies nothing: what is left is the cost of
getting the bytes there, and here the difference can be seen. Over TCP on loopback somebody
receives, and copies each byte to user space; that receiver is the larger part of the work, and how
the two fall into step decides more than the way of sending. So nothing is claimed about it.

On loopback MSG_ZEROCOPY saves nothing: a packet that comes back to the same machine is copied
before it is received, for otherwise the sender could change what the receiver has already. The
kernel says so, in each completion (SO_EE_CODE_ZEROCOPY_COPIED, linux/errqueue.h).

How it is timed. The ways take turns. CPU time is the median over the rounds of what getrusage(2)
says, user and system: a minimum of it lies, for now and then the CPU clock says too little. Wall
time, to /dev/null, is the least of each piece of the file, added up: a piece is over before a busy
scheduler takes the CPU away. Over TCP it is the least of the whole. CPU time is the sender's; over
TCP it has a part of the receiver's in it, for on loopback the sender's own system call carries a
packet up to the receiving socket.

Bytes copied are what the calls returned: read(2) to user space, send(2) and write(2) to the kernel,
but for /dev/null, which does not look at them. What MSG_ZEROCOPY copied after all is counted from
the completions.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import mmap
import os
import select
import socket
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from iomodels.measure.child import say
from iomodels.measure.fresh import NotMeasured, fresh
from iomodels.measure.usage import usage

__all__ = ["NotMeasured", "Row", "words", "zerocopy"]

SIZE = 64 << 20  # bytes of the file
PIECE = 2 << 20  # bytes of it that are timed at once
CHUNK = 64 << 10  # bytes for one call; a pipe holds as many (man 7 pipe)
ROUNDS = 9

SO_ZEROCOPY, MSG_ZEROCOPY = 60, 0x4000000  # include/uapi/asm-generic/socket.h, linux/socket.h
IP_RECVERR = 11  # include/uapi/linux/in.h
EXTENDED_ERROR = struct.Struct("IBBBBII")  # struct sock_extended_err, linux/errqueue.h
SO_EE_ORIGIN_ZEROCOPY, SO_EE_CODE_ZEROCOPY_COPIED = 5, 1


@dataclass(frozen=True)
class Row:
    """What it takes to send the file once, one way. Times in seconds, the sender's alone."""

    way: str
    to: str  # "/dev/null" or "TCP"
    size: int  # bytes of the file
    wall: float = 0.0
    cpu: float = 0.0
    to_user: int = 0  # bytes copied from the kernel to user space
    to_kernel: int = 0  # and the other way
    completions: int = 0  # of MSG_ZEROCOPY: sends that the kernel is done with
    copied: int = 0  # of these, sends that it has copied after all
    note: str = ""  # why there are no figures

    @property
    def bytes_copied(self) -> int:
        """Both ways together."""
        return self.to_user + self.to_kernel


def zerocopy(size: int = SIZE) -> list[Row]:
    """Send a file of `size` bytes every way that this kernel has, in a fresh child.

    The file has no name, so nothing is left of it, however this ends. It is in the page cache; no
    disk is measured. Raises ValueError for less than a piece (2 MiB) or more than 1 GiB,
    NotMeasured when there is no result, for want of room among others.
    """
    if not PIECE <= size <= 1 << 30:
        raise ValueError(f"{size} bytes: a file goes from 2 MiB to 1 GiB")
    size -= size % PIECE
    return [Row(**row) for row in fresh("iomodels.measure.zerocopy", {"size": size}, "Zero copy")]


def words(rows: list[Row]) -> str:
    """What the rows say, in sentences computed from their figures."""
    null = {row.way: row for row in rows if row.to == "/dev/null" and not row.note}
    plain = null["read, write"]
    said = [
        f"To /dev/null, {way} takes {row.cpu / plain.cpu:.2f} of the CPU time of read and write, "
        f"and copies {row.bytes_copied:,} bytes where these copy {plain.bytes_copied:,}."
        for way, row in null.items()
        if row is not plain
    ]
    for row in rows:
        if row.completions:
            said.append(
                f"Over TCP on loopback, MSG_ZEROCOPY has copied after all in {row.copied:,} of "
                f"{row.completions:,} sends."
            )
    return " ".join(said)


# --- the child ---


class Sender:
    """A file, and somewhere to send it; the ways to do it, each for one piece of the file.

    Each returns how many bytes were copied to user space and how many to the kernel.
    """

    def __init__(self, file: int, to: int, sock: socket.socket | None = None) -> None:
        """`sock` is the socket whose fd `to` is, if it is one; else `to` copies nothing."""
        self.file, self.to, self.sock = file, to, sock
        self.buffer = memoryview(bytearray(CHUNK))
        self.pipe = os.pipe()
        self.memory = mmap.mmap(file, 0, prot=mmap.PROT_READ)
        self.pages = memoryview(self.memory)
        self.completions = self.copied = self.pending = 0

    def close(self) -> None:
        self.pages.release()
        self.memory.close()
        for fd in self.pipe:
            os.close(fd)

    def read_write(self, at: int) -> tuple[int, int]:
        """To user space, and back."""
        to_user = to_kernel = 0
        while to_user < PIECE:
            got = os.preadv(self.file, [self.buffer], at + to_user)
            to_user += got
            left = self.buffer[:got]
            while left:
                left = left[os.write(self.to, left) :]
            to_kernel += got if self.sock else 0
        return to_user, to_kernel

    def sendfile(self, at: int) -> tuple[int, int]:
        """From the page cache to where it goes, in the kernel."""
        sent = 0
        while sent < PIECE:
            sent += os.sendfile(self.to, self.file, at + sent, PIECE - sent)
        return 0, 0

    def splice(self, at: int) -> tuple[int, int]:
        """From the page cache into a pipe, and from there to where it goes."""
        end, begin = self.pipe
        sent = 0
        while sent < PIECE:
            left = got = os.splice(self.file, begin, CHUNK, offset_src=at + sent)
            while left:
                left -= os.splice(end, self.to, left)
            sent += got
        return 0, 0

    def send(self, at: int) -> tuple[int, int]:
        """From memory that holds the file (man 2 mmap): copied once, to the kernel."""
        assert self.sock
        sent = 0
        while sent < PIECE:
            sent += self.sock.send(self.pages[at + sent : at + min(PIECE, sent + CHUNK)])
        return 0, sent

    def send_zerocopy(self, at: int) -> tuple[int, int]:
        """The same, with the pages lent to the kernel. What it copied after all is counted."""
        assert self.sock
        self.sock.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)  # else the flag is ignored
        before, calls, sent = self.copied, 0, 0
        while sent < PIECE:
            chunk = self.pages[at + sent : at + min(PIECE, sent + CHUNK)]
            try:
                sent += self.sock.send(chunk, MSG_ZEROCOPY)
            except OSError as error:
                if error.errno != errno.ENOBUFS or not self.pending:
                    raise
                self.hear()  # too many pages are lent already (RLIMIT_MEMLOCK, optmem_max)
                continue
            calls += 1
            self.pending += 1
        while self.pending:
            self.hear()
        return 0, sent * (self.copied - before) // calls

    def hear(self) -> None:
        """Take what the kernel says about sends that it is done with, from the error queue."""
        assert self.sock
        waiting = select.poll()
        waiting.register(self.sock, 0)  # POLLERR comes unasked
        waiting.poll()
        try:
            _, control, _, _ = self.sock.recvmsg(0, 512, socket.MSG_ERRQUEUE)
        except BlockingIOError:
            return
        for level, kind, data in control:
            if (level, kind) != (socket.IPPROTO_IP, IP_RECVERR):
                continue
            number, origin, _, code, _, low, high = EXTENDED_ERROR.unpack_from(data)
            if (number, origin) != (0, SO_EE_ORIGIN_ZEROCOPY):
                raise OSError(number, os.strerror(number))
            done = high - low + 1  # the kernel puts those in a row into one notice
            self.completions += done
            self.copied += done * (code == SO_EE_CODE_ZEROCOPY_COPIED)
            self.pending -= done


@contextlib.contextmanager
def to_a_receiver() -> Iterator[socket.socket]:
    """A TCP connection to a process that reads all that comes, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pid = os.fork()
        if pid == 0:
            receive(listener.getsockname())
        try:
            sock, _ = listener.accept()
            with sock:
                yield sock
        finally:  # the connection is closed, and so the receiver comes to its end
            os.waitpid(pid, 0)


def receive(address: tuple[str, int]) -> None:
    """Read until the other side hangs up; then this process ends."""
    try:
        with socket.create_connection(address) as sock:
            room = bytearray(1 << 20)
            while sock.recv_into(room):
                pass
    finally:
        os._exit(0)


Way = Callable[[int], tuple[int, int]]
Ways = dict[tuple[str, str], tuple[Sender, Way]]


def measure(ways: Ways, size: int) -> list[Row]:
    """Send the file every way, in turns; a way that fails has a row that says why."""
    rows: dict[tuple[str, str], Row] = {}
    pieces: dict[tuple[str, str], list[int]] = {}
    cpus: dict[tuple[str, str], list[float]] = {}
    for number in range(ROUNDS + 1):  # the first one is the warm-up
        for place, (key, (sender, send)) in enumerate(list(ways.items())):
            say(done=(number + place / len(ways)) / (ROUNDS + 1), what=f"{key[0]}, {key[1]}")
            sender.completions = sender.copied = 0
            try:
                times, cpu, (to_user, to_kernel) = send_once(send, size)
            except OSError as error:
                rows[key] = Row(*key, size, note=f"not here: {error.strerror}")
                del ways[key]
                continue
            if number == 0:
                continue
            if sender.sock:  # its buffer takes one piece at once, and has the next one wait
                times = [sum(times)]
            pieces[key] = [min(pair) for pair in zip(times, pieces.get(key, times), strict=True)]
            cpus.setdefault(key, []).append(cpu)
            rows[key] = Row(
                *key, size, sum(pieces[key]) / 1e9, statistics.median(cpus[key]),
                to_user, to_kernel, sender.completions, sender.copied,
            )  # fmt: skip
    return list(rows.values())


def send_once(send: Way, size: int) -> tuple[list[int], float, tuple[int, int]]:
    """Send the whole file: ns for each piece, seconds of CPU, bytes copied to user and kernel."""
    now = time.perf_counter_ns
    times, to_user, to_kernel = [], 0, 0
    cpu = usage().cpu
    for at in range(0, size, PIECE):
        started = now()
        read, written = send(at)
        times.append(now() - started)
        to_user += read
        to_kernel += written
    return times, usage().cpu - cpu, (to_user, to_kernel)


def main(order: str) -> None:
    """Measure {"size": bytes} and say the rows."""
    size = json.loads(order)["size"]
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(tempfile.TemporaryFile())
        for _ in range(size // PIECE):
            file.write(os.urandom(PIECE))
        file.flush()
        sock = stack.enter_context(to_a_receiver())
        null = Sender(file.fileno(), stack.enter_context(open(os.devnull, "wb")).fileno())
        stack.callback(null.close)
        tcp = Sender(file.fileno(), sock.fileno(), sock)
        stack.callback(tcp.close)
        ways: Ways = {
            ("read, write", "/dev/null"): (null, null.read_write),
            ("splice", "/dev/null"): (null, null.splice),
            ("sendfile", "/dev/null"): (null, null.sendfile),
            ("read, write", "TCP"): (tcp, tcp.read_write),
            ("splice", "TCP"): (tcp, tcp.splice),
            ("sendfile", "TCP"): (tcp, tcp.sendfile),
            ("send", "TCP"): (tcp, tcp.send),
            ("send, MSG_ZEROCOPY", "TCP"): (tcp, tcp.send_zerocopy),
        }
        gc.disable()
        say(found=[asdict(row) for row in measure(ways, size)])


if __name__ == "__main__":
    main(*sys.argv[1:])
