"""Read all of many: the last words of several pipes and sockets, with one poll object.

    read_all(fds, seconds) -> dict[int, bytes | OSError]

It reads from all of `fds` at the same time, each to its end, and returns for each either all its
bytes or the error that reading it gave. One that has not come to its end `seconds` after the call
gets TimeoutError. One that is not open gets the OSError with EBADF. The descriptors are handed over
for good: it closes each, once it is off the list. They are blocking, and nobody else reads them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from fcntl import F_DUPFD_CLOEXEC, F_SETPIPE_SZ, fcntl
from select import POLLOUT, poll
from socket import SHUT_WR
from termios import FIONREAD
from threading import Event

from iomodels.course.cases import Wrong, connection, playing, reset, until, within
from iomodels.course.wakes import Wakes
from iomodels.kernel.recording import count

ReadAll = Callable[[list[int], float], dict[int, bytes | OSError]]

LONG, SHORT = 60.0, 0.4  # seconds that the learner's function is given
WAITS = 1.5  # seconds that a case waits for what should happen at once
MORE = bytes(range(256)) * 1000  # more than one read takes, and more than a pipe holds as a rule

NOT_READ = (
    "one says nothing, another one has said something, and it is not read: your function sleeps in"
    " `read` on one of them; sleep in `poll` alone, and read once for each answer"
)
IN_READ = (
    "your function sleeps, and not in `poll`: a `read` that finds nothing sleeps until its writer"
    " says something; read once for each answer of `poll`"
)
NOT_OVER = "all have come to their ends, and your function does not return"
HUP_SPINS = (
    "all have come to their ends, and your function asks again and again: at the end of a pipe"
    " POLLHUP comes without POLLIN; read on POLLHUP too, and at `b''` it is over"
)
NVAL_SPINS = (
    "a number is not open, and your function asks again and again: POLLNVAL stays until that one is"
    " off the list; a read says EBADF"
)
ENDED_SPINS = (
    "one has come to its end, the other one is silent, and your loop wakes again and again: POLLHUP"
    " and POLLNVAL come also when `events` is 0; take the one that has ended off the list"
)
RESET_SPINS = (
    "a connection was reset, the other one is silent, and your loop wakes again and again: POLLERR"
    " and POLLHUP stay until that one is off the list"
)
TIMEOUT_SPINS = (
    "nothing happens, there is time left, and your loop wakes again and again: the timeout of"
    " `poll` is in milliseconds"
)
TOO_LATE = (
    "its time is up, and your function does not return: give `poll` the milliseconds that are left"
    " of the whole time, each time anew, and stop also when there is always something to read"
)

# What is added to an exception that comes out of `read_all`.
EXPLAINED = {
    ConnectionError: "that is about one of them; return it for that one, and read the others on",
    TimeoutError: "return it for each that is late, beside what the others have said",
    OSError: "one number is not open; it can neither be read nor closed, and the others can",
}


@dataclass
class Source:
    """A descriptor that is handed over, what it is called, and what is to be heard from it."""

    fd: int
    name: str
    wanted: bytes | type[OSError]
    # What is wrong, in words, when something else is heard.
    words: str = "`read` returns what is there now; it is over at `b''`, and not before"

    def __post_init__(self) -> None:
        self.inode = os.fstat(self.fd).st_ino

    @property
    def is_open(self) -> bool:
        """Whether its number still stands for the same thing."""
        try:
            return os.fstat(self.fd).st_ino == self.inode
        except OSError:
            return False

    @property
    def unread(self) -> int:
        """The bytes that wait in it; 0 when it is closed."""
        try:
            return count(self.fd, FIONREAD)
        except OSError:
            return 0


@dataclass
class Stage:
    """What a script sees of the learner's function: what its loop does, and when it returned."""

    wakes: Wakes = field(default_factory=lambda: Wakes("poll.poll"))
    returned: Event = field(default_factory=Event)

    def must_return(self, spins: str = HUP_SPINS, words: str = NOT_OVER) -> None:
        """Raise Wrong unless the function returns now; other words when it wakes in vain."""
        if not self.returned.wait(WAITS):
            if self.wakes.in_vain():
                raise Wrong(spins)
            raise Wrong(words if self.wakes.asleep else IN_READ)

    def must_sleep(self, words: str) -> None:
        """Raise Wrong unless the function sleeps in `poll` while nothing happens."""
        if self.wakes.in_vain():
            raise Wrong(words)
        until(lambda: self.wakes.asleep or self.returned.is_set(), NOT_READ)


# --- the other side ---


def pipe(name: str, wanted: bytes | type[OSError], size: int = 0) -> tuple[Source, int]:
    """A pipe: its reading end to be handed over, its writing end. `size`: of its buffer."""
    reader, writer = os.pipe()
    if size:
        with suppress(PermissionError):  # beyond /proc/sys/fs/pipe-max-size: then less fits
            fcntl(writer, F_SETPIPE_SZ, size)
    return Source(reader, name, wanted), writer


def fill(writer: int, data: bytes) -> None:
    """Write as much as there is room for now, and as there is of `data`; close."""
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        os.write(writer, data)
    os.close(writer)


def write_all(writer: int, data: bytes, words: str) -> None:
    """Write all. Raises Wrong with these words when there is no room for long, and none comes."""
    os.set_blocking(writer, False)
    room = poll()
    room.register(writer, POLLOUT)
    while data:
        if not room.poll(1000 * WAITS):
            raise Wrong(words)
        data = data[os.write(writer, data) :]


def say(source: Source, writer: int, data: bytes) -> None:
    """Write something that fits, and wait until it is read. Raises Wrong when it is not."""
    with suppress(BrokenPipeError):  # the learner's function has closed it: the case will tell
        os.write(writer, data)
        until(lambda: source.unread == 0, NOT_READ, WAITS)


# --- the cases ---


def try_it(
    read_all: ReadAll,
    sources: list[Source],
    script: Callable[[Stage], None],
    seconds: float = LONG,
) -> None:
    """Run the learner's function here and the script beside it, and look at what is returned."""
    stage = Stage()
    opened = [source for source in sources if source.is_open]
    with playing(script, stage), within(4.5, NOT_OVER):
        started = time.monotonic()
        try:
            with stage.wakes:
                heard = read_all([source.fd for source in sources], seconds)
        except OSError as error:
            raise explained(error).with_traceback(error.__traceback__) from None
        took = time.monotonic() - started
        stage.returned.set()
        expect(heard, sources, took, seconds)
    if sources and not stage.wakes.count:
        raise Wrong("does not call `poll` of a poll object at all")
    for source in opened:
        if source.is_open:
            raise Wrong(f"returns, and {source.name} is still open: close each, whatever it said")


def explained(error: OSError) -> OSError:
    """The same exception, with words on what it means here."""
    why = next(words for kind, words in EXPLAINED.items() if isinstance(error, kind))
    return type(error)(f"{error}: {why}")


def expect(heard: object, sources: list[Source], took: float, seconds: float) -> None:
    """Raise Wrong, in words, unless this is what should be returned."""
    if not isinstance(heard, dict):
        raise Wrong(f"returns {heard!r}: a dictionary is asked for")
    for source in sources:
        if source.fd not in heard:
            raise Wrong(f"returns nothing about {source.name}")
        expect_one(heard[source.fd], source, took, seconds)
    if len(heard) > len(sources):
        raise Wrong(f"returns something about {len(heard)} descriptors, and got {len(sources)}")


def expect_one(got: object, source: Source, took: float, seconds: float) -> None:
    """Raise Wrong, in words, unless this is what should be returned for one of them."""
    said = f"returns {shortened(got)} for {source.name}"
    if isinstance(got, type):
        raise Wrong(
            f"{said}: that is the class, and an exception of it is asked for, `TimeoutError()`"
        )
    if isinstance(got, TimeoutError) and took < seconds - 0.005:
        raise Wrong(
            f"{said} after {took:.3f} s, though there were {seconds:g} s: the timeout of `poll` is"
            " in milliseconds"
        )
    if isinstance(got, OSError) and "Bad file" in str(got) and source.wanted is not OSError:
        raise Wrong(f"{said}: its number was closed and still on the list; unregister first")
    if isinstance(source.wanted, bytes):
        if isinstance(got, bytearray | memoryview | list):
            raise Wrong(f"{said}: `bytes` are asked for")
        if got != source.wanted:
            raise Wrong(f"{said}, where {shortened(source.wanted)} came: {source.words}")
    elif not isinstance(got, source.wanted):
        raise Wrong(f"{said}, where {source.wanted.__name__} is right: {source.words}")


def shortened(value: object) -> str:
    """Bytes as their number, when there are many; anything else as Python writes it."""
    if isinstance(value, bytes | bytearray) and len(value) > 40:
        return f"{len(value):,} bytes"
    return repr(value)


def two_pipes(read_all: ReadAll) -> None:
    """two pipes: words come now from one, now from the other, and then the ends"""
    first, out = pipe("the first pipe", b"one, two, three")
    second, err = pipe("the second pipe", b"ready, steady")

    def script(stage: Stage) -> None:
        say(first, out, b"one, ")
        say(second, err, b"ready, ")
        say(first, out, b"two, ")
        say(first, out, b"three")
        os.close(out)
        say(second, err, b"steady")
        os.close(err)
        stage.must_return()

    try_it(read_all, [first, second], script)


def the_second_is_full(read_all: ReadAll) -> None:
    """one program writes both: 256,000 bytes to the second pipe, and only then to the first"""
    first, out = pipe("the first pipe", b"done")
    second, err = pipe("the second pipe", MORE)

    def script(stage: Stage) -> None:
        write_all(
            err,
            MORE,
            "the second pipe is full, its writer waits for room, and your function waits for the"
            " first: read from whichever `poll` names",
        )
        os.close(err)
        say(first, out, b"done")
        os.close(out)
        stage.must_return()

    try_it(read_all, [first, second], script)


def the_writer_has_gone(read_all: ReadAll) -> None:
    """a writer has left its last words, more than one read takes, and gone"""
    first, out = pipe("the first pipe", MORE, 1 << 20)
    second, err = pipe("the second pipe", b"hello")
    fill(out, MORE)
    first.wanted = MORE[: first.unread]
    first.words = (
        "POLLHUP says that nothing more will come, and not that nothing is there; read until `b''`"
    )

    def script(stage: Stage) -> None:
        say(second, err, b"hello")
        os.close(err)
        stage.must_return()

    try_it(read_all, [first, second], script)


def one_ends_early(read_all: ReadAll) -> None:
    """one pipe comes to its end, and the other is silent for a while"""
    first, out = pipe("the first pipe", b"early")
    second, err = pipe("the second pipe", b"late")

    def script(stage: Stage) -> None:
        say(first, out, b"early")
        os.close(out)
        stage.must_sleep(ENDED_SPINS)
        say(second, err, b"late")
        os.close(err)
        stage.must_return()

    try_it(read_all, [first, second], script)


def a_half_close(read_all: ReadAll) -> None:
    """a connection: the peer has said 40,000 bytes, and shut down its sending end"""
    with connection() as (theirs, peer):
        sock = Source(theirs.detach(), "the connection", MORE[:40_000])
        sock.words = "POLLRDHUP says that no more will be sent; what was sent is there to be read"
        second, err = pipe("the pipe", b"hello")
        peer.sendall(MORE[:40_000])
        peer.shutdown(SHUT_WR)

        def script(stage: Stage) -> None:
            say(second, err, b"hello")
            os.close(err)
            stage.must_return()

        try_it(read_all, [sock, second], script)


def one_resets(read_all: ReadAll) -> None:
    """a connection is reset; a pipe has something to say after that"""
    with connection() as (theirs, peer):
        sock = Source(theirs.detach(), "the connection", ConnectionResetError)
        sock.words = "the error belongs to this one, and is what is returned for it"
        second, err = pipe("the pipe", b"hello")

        def script(stage: Stage) -> None:
            reset(peer)
            stage.must_sleep(RESET_SPINS)
            say(second, err, b"hello")
            os.close(err)
            stage.must_return()

        try_it(read_all, [sock, second], script)


def one_is_not_open(read_all: ReadAll) -> None:
    """one number is not open; a pipe has something to say"""
    second, err = pipe("the pipe", b"hello")
    number = fcntl(err, F_DUPFD_CLOEXEC, 200)  # not the lowest free one, which is soon taken again
    first = Source(number, "the number that is not open", OSError, "a read of it says EBADF")
    os.close(number)

    def script(stage: Stage) -> None:
        stage.must_sleep(NVAL_SPINS)
        say(second, err, b"hello")
        os.close(err)
        stage.must_return(NVAL_SPINS)

    try_it(read_all, [first, second], script)


def time_is_up(read_all: ReadAll) -> None:
    """one has said a word and says nothing more, and 0.4 s are given"""
    first, out = pipe("the pipe", TimeoutError)
    first.words = "it has not come to its end in time"
    os.write(out, b"hel")

    def script(stage: Stage) -> None:
        if stage.wakes.in_vain(looks=10):
            raise Wrong(TIMEOUT_SPINS)
        stage.must_return(TOO_LATE, TOO_LATE)
        if stage.wakes.count > SHORT / 0.01:  # the looks may have come too late
            raise Wrong(TIMEOUT_SPINS)
        os.close(out)

    try_it(read_all, [first], script, SHORT)


CASES = (
    two_pipes,
    the_second_is_full,
    the_writer_has_gone,
    one_ends_early,
    a_half_close,
    one_resets,
    one_is_not_open,
    time_is_up,
)
