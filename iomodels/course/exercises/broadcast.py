"""Broadcast with back-pressure: one source, many readers, and no reader who harms the others.

    broadcast(source, members, limit) -> None

Whatever comes from the socket `source` is sent to each of `members`, sockets too. A member that
does not keep up has its bytes kept for it, at most `limit` of them; one for whom more would have to
be kept is closed, and so is one that has left. No member waits for another one. When the source has
ended and all that was kept is sent, the members are closed, and `broadcast` returns. The source is
the caller's.
"""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET, create_server

from iomodels.course.cases import Wrong, connection, playing, reset, within

Broadcast = Callable[[socket.socket, list[socket.socket], int], None]

KIB = 1024
SMALL = 4 * KIB  # bytes of a buffer that is soon full; the kernel doubles it
LIMIT = 256 * KIB
CHUNK = 8 * KIB  # bytes that the source sends at once
NOT_OVER = (
    "the source has ended, and every member has left or has got everything, and `broadcast` does"
    " not return"
)
WAITS = (
    "one member does not read, and another one waits: when `send` says EAGAIN, keep the rest for"
    " that member, and go on with the others and with the source"
)
NOT_KEPT = "closes a member that lags behind, for whom fewer bytes than the limit had to be kept"
NO_LIMIT = (
    "one member never reads, more than the limit has to be kept for it, and it is still a member:"
    " close it"
)
NEVER_SENT = (
    "a member reads again, and what was kept for it does not come: the source says nothing just"
    " then, so wait for POLLOUT of that member too"
)
ONE_LEFT = "one member has left, and with it another one's bytes have ended"
SPINS = (
    "wakes again and again while nothing happens: wait for POLLOUT only of those for whom something"
    " is kept"
)


@dataclass
class Member:
    """The two ends of a member's connection: the learner's, and its own."""

    theirs: socket.socket
    ours: socket.socket

    @property
    def is_closed(self) -> bool:
        """Whether the learner's code has closed it."""
        return self.theirs.fileno() < 0


@contextmanager
def member(*, small: bool = False) -> Iterator[Member]:
    """A member; with `small` buffers, hardly anything fits between the two ends."""
    with create_server(("127.0.0.1", 0)) as listener, ExitStack() as opened:
        ours = opened.enter_context(socket.socket())
        if small:  # accepted sockets inherit it
            listener.setsockopt(SOL_SOCKET, SO_SNDBUF, SMALL)
            ours.setsockopt(SOL_SOCKET, SO_RCVBUF, SMALL)
        ours.settimeout(2.0)
        ours.connect(listener.getsockname())
        theirs, _ = listener.accept()
        opened.callback(theirs.close)
        yield Member(theirs, ours)


def some_bytes(size: int) -> bytes:
    """So many bytes, of which no two stretches are alike."""
    return random.Random(size).randbytes(size)


def expect(member: Member, data: bytes, words: str, at: int = 0, size: int = 0) -> None:
    """Read what a member is due: `size` bytes of `data` from `at` on, or all the rest of it.

    Raises Wrong when other bytes come, and with these words when too few do.
    """
    size = size or len(data) - at
    got = bytearray()
    try:
        while len(got) < size and (part := member.ours.recv(size - len(got))):
            got += part
    except TimeoutError:
        pass
    except ConnectionError:
        words = f"{words} (a reset)"
    for n, byte in enumerate(got, at):
        if byte != data[n]:
            what = what_came(got[n - at : n - at + 16], data, n)
            raise Wrong(f"what a member gets is wrong from byte {n:,} on: {what}")
    if len(got) < size:
        raise Wrong(f"{words}; {at + len(got):,} bytes have come to it, and {at + size:,} are due")


def what_came(got: bytearray, data: bytes, at: int) -> str:
    """What came in place of the byte that was due: an earlier one again, or a later one."""
    found = data.find(got)
    if 0 <= found < at:
        return (
            f"there, what stands at {found:,} comes a second time; `send` returns how many bytes it"
            " took, and only the rest is to be kept"
        )
    if found > at:
        return (
            f"there comes what stands at {found:,}: bytes were dropped, or later ones have"
            " overtaken those that are kept"
        )
    return "it is not what the source has sent there"


def expect_end(member: Member) -> None:
    """Raise Wrong unless the stream of this member ends, with nothing more in it."""
    try:
        rest = member.ours.recv(100)
    except TimeoutError:
        raise Wrong("the source has ended, all is sent, and a member hears no end: close") from None
    if rest:
        raise Wrong(f"a member gets {len(rest)} bytes more than the source has sent")


def try_it(
    broadcast: Broadcast,
    members: list[Member],
    script: Callable[[socket.socket], None],
    limit: int = LIMIT,
) -> None:
    """Run the learner's function here; beside it the script, which writes to the source."""
    played = threading.Event()
    with connection() as (source, writer):

        def play() -> None:
            with writer:
                script(writer)
            played.set()

        with within(4.5, NOT_OVER), playing(play):
            broadcast(source, [each.theirs for each in members], limit)
            if not played.wait(2):
                raise Wrong("`broadcast` returns before the source has ended")
        if source.fileno() < 0:
            raise Wrong("closes the source, which is the caller's")


# --- the cases ---


def everybody_hears(broadcast: Broadcast) -> None:
    """three members hear what the source says, and then the end"""
    with member() as ann, member() as bob, member() as cem:

        def script(writer: socket.socket) -> None:
            for text in (b"one", b"two", b"three"):
                writer.sendall(text)
                for each in (ann, bob, cem):
                    expect(each, text, "the source has sent something, and a member waits for it")

        try_it(broadcast, [ann, bob, cem], script)
        for each in (ann, bob, cem):
            expect_end(each)


def one_sleeps(broadcast: Broadcast) -> None:
    """one sleeps while 160 KiB come, of which 256 may be kept, and then reads"""
    data = some_bytes(160 * KIB)
    with member(small=True) as slow, member() as good:

        def script(writer: socket.socket) -> None:
            for at in range(0, len(data), CHUNK):
                writer.sendall(data[at : at + CHUNK])
                expect(good, data[at : at + CHUNK], WAITS)
            if slow.is_closed:
                raise Wrong(NOT_KEPT)
            expect(slow, data, NEVER_SENT)  # the source is silent, and has not ended

        try_it(broadcast, [slow, good], script)
        expect_end(slow)


def one_never_reads(broadcast: Broadcast) -> None:
    """one never reads: it is closed, and not too soon; the other hears everything"""
    data = some_bytes(2 * LIMIT)
    with member(small=True) as deaf, member() as good:

        def script(writer: socket.socket) -> None:
            closed_at = 0
            for at in range(0, len(data), CHUNK):
                writer.sendall(data[at : at + CHUNK])
                expect(good, data[at : at + CHUNK], WAITS)
                if deaf.is_closed and not closed_at:
                    closed_at = at + CHUNK
            if not closed_at:
                raise Wrong(NO_LIMIT)
            if closed_at < LIMIT:
                raise Wrong(NOT_KEPT)

        try_it(broadcast, [deaf, good], script)


def one_leaves(broadcast: Broadcast) -> None:
    """one resets its connection; the others hear on"""
    with member() as ann, member() as bob, member() as cem:

        def script(writer: socket.socket) -> None:
            for number in range(5):
                text = b"message %d" % number
                writer.sendall(text)
                for each in (ann, bob):
                    expect(each, text, ONE_LEFT)
                if number == 1:
                    reset(cem.ours)

        try_it(broadcast, [cem, ann, bob], script)


CASES = (everybody_hears, one_sleeps, one_never_reads, one_leaves)
