"""A kernel whose calls never sleep: whoever would sleep in one hands over to the recorder.

It stands between a server and the live kernel, as the other kernels do. Each call first looks
whether it would sleep: poll(2) without waiting for accept, readv and writev; the call itself with
a timeout of zero for select, poll, epoll, sigtimedwait and io_uring_enter. If it would, that is
written down, and the caller waits its turn on the stage (stage.py) until the call can return.

Two things are known here that nobody could see from outside:

- A blocking write of more than there is room for sleeps in the middle. So it is made in parts, each
  as large as the kernel takes without waiting: after each part the caller sleeps, as it would.
- Some never sleep: who asks everybody all the time, and who waits on a list with a ghost on it.
  When a round has brought nothing, or the same as the one before, it gets no further round until
  something has happened. One stands for thousands.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iomodels.kernel import EpollPoller, Poller, borrowed, live
from iomodels.kernel.recording import TIMEOUTS, first
from iomodels.trace.looking import SHOWN, Looking, is_ready, wait_for_acknowledgement
from iomodels.trace.plain import seconds
from iomodels.trace.stage import Stage
from iomodels.trace.watching import StepEpoll, StepPoller, StepRing

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from iomodels.kernel.uring import Ring

PACKAGE = Path(__file__).parent.parent
SHOW_FILES = ("servers/", "kernel/objects.py", "trace/broken.py")

HOW = {socket.SHUT_RD: "SHUT_RD", socket.SHUT_WR: "SHUT_WR", socket.SHUT_RDWR: "SHUT_RDWR"}
AGAIN = {errno.EAGAIN, errno.ECANCELED}


class StepKernel:
    """The calls of one process's threads, told to the recorder one by one."""

    def __init__(self, stage: Stage, looking: Looking, *, spins: bool = False) -> None:
        """`spins`: the server asks all the time, and a round begins with accept."""
        self.stage, self.looking, self.spins = stage, looking, spins
        self.spans: dict[tuple[int, int], float] = {}  # by fd and option: SO_RCVTIMEO, in seconds
        self.watch: dict[str, Any] = {"kind": None}
        self.pollers: list[StepPoller | StepEpoll] = []
        self.ring: StepRing | None = None
        self.round: list[str] = []  # the calls since the last wait, in words
        self.last_round: list[str] = []
        self.quiet = True  # they have all said EAGAIN
        self.waits = ""  # the call with which this round began
        stage.look = self.look

    def look(self) -> dict[str, Any]:
        """How the kernel stands."""
        found = self.looking.look()
        found["watch"] = self.look_at_watch(found)
        return found

    def look_at_watch(self, found: dict[str, Any]) -> dict[str, Any]:
        """What is watched, and who of it is ready, as the model has it."""
        if self.ring:
            return {"kind": "io_uring", "fd": None, "interest": [], **self.ring.look()}
        if self.pollers:
            return self.pollers[-1].look(found)
        if self.watch["kind"] == "signals":
            watched = [(fd, 1) for fd, _, flags in found["fds"] if flags & os.O_ASYNC]
            pending = [signal.Signals(n).name for n in signal.sigpending()]
            return {"kind": "signals", "interest": watched, "ready": [], "queue": sorted(pending)}
        if self.watch["kind"] == "select":
            return self.watch
        return {"kind": None, "interest": [], "ready": []}

    # --- one call ---

    def call(
        self,
        name: str,
        args: Sequence[Any],
        make: Callable[[], Any],
        *,
        awake: Callable[[], bool] | None = None,
        timeout: float | None = None,
        late: Callable[[], Any] = lambda: None,
        words: Callable[[Any], str] = lambda result: "" if result is None else str(result),
        data: Callable[[Any], bytes] = lambda result: b"",
        looked: int = 0,
        fd: int = -1,
        moves: bool = False,
        depth: int = 2,
    ) -> Any:
        """Make a call, and tell of it; if it would sleep, tell that, and wait first.

        `awake()` says whether it would return now; None: it never sleeps. When the time is over,
        `late()` is what it returns or raises. `moves`: the clients' ends may differ after it.
        """
        told = {
            "name": name,
            "args": ", ".join(map(str, args)),
            "fd": fd,
            "where": where(sys._getframe(depth)),
            "looked": looked,
        }
        kind, in_time = "call", True
        if awake is not None and timeout != 0 and not awake():
            self.tell("sleep", told)
            self.new_round()
            until = None if timeout is None else self.stage.now + timeout
            in_time = self.stage.sleep(awake, until)
            kind = "wake"
        try:
            result = make() if in_time else late()
        except OSError as error:
            result = error
        if moves:
            self.settle(name, fd, result)
        outcome = self.outcome(result, words, data)
        self.round.append(f"{told['name']}({told['args']}) {outcome}")
        if not (isinstance(result, OSError) and result.errno in AGAIN):
            self.quiet = False
        self.tell(kind, told | outcome, timed_out=not in_time)
        if isinstance(result, OSError):
            raise result
        return result

    def settle(self, name: str, fd: int, result: Any) -> None:
        """Have what was sent come to the clients, before anybody looks."""
        self.stage.tell(say="settle")
        if isinstance(result, OSError):
            return
        if name in ("writev", "write", "shutdown"):
            wait_for_acknowledgement(fd)
        for done in result if name == "io_uring_enter" else ():
            if done.request.startswith("send(") and done[1] > 0:
                wait_for_acknowledgement(int(done.request[5:].split(",")[0]))

    def outcome(
        self, result: Any, words: Callable[[Any], str], data: Callable[[Any], bytes]
    ) -> dict[str, Any]:
        """What a call came to, for the recorder."""
        if isinstance(result, OSError):
            return {"error": errno.errorcode.get(result.errno or 0, str(result))}
        moved = data(result)
        return {
            "result": words(result),
            "raw": result if isinstance(result, int | list | tuple) else None,
            "data": moved[: SHOWN + 1].decode("latin-1"),
            "moved": len(moved),
        }

    def tell(self, kind: str, told: dict[str, Any], **more: Any) -> None:
        actor = self.stage.current.number
        self.stage.tell(say="step", kind=kind, actor=actor, look=self.look(), **told, **more)

    # --- rounds of those who never sleep ---

    def new_round(self) -> None:
        self.round, self.last_round, self.quiet, self.waits = [], [], True, ""

    def begin_round(self, wait: str) -> None:
        """Call this before the call that a round begins with: wait if one more brings nothing new.

        Nothing new is a round in which everybody said EAGAIN, of one who asks all the time, or one
        that was as the last one, of one who waits, with the same words, for what is there always.
        """
        nothing = self.spins and self.round and self.quiet
        same = self.round and self.round == self.last_round and self.waits == wait
        if nothing or same:
            self.stage.tell(say="spins", actor=self.stage.current.number)
            self.stage.sleep(lambda: True)
        self.round, self.last_round, self.quiet, self.waits = [], self.round, True, wait

    # --- the calls that take an fd ---

    def accept(self, listener: int) -> int:
        if self.spins:
            self.begin_round(f"accept({listener})")
        blocking = os.get_blocking(listener)
        return self.call(  # type: ignore[no-any-return]
            "accept", [listener], lambda: self.make_accept(listener),
            awake=(lambda: is_ready(listener, select.POLLIN)) if blocking else None,
            looked=self.spins, fd=listener,
        )  # fmt: skip

    def make_accept(self, listener: int) -> int:
        """accept(2); what it tells of the client is noted, for after a reset nobody tells it."""
        sock = borrowed(listener)
        try:
            fd, address = sock._accept()  # type: ignore[attr-defined]
        finally:
            sock.detach()
        self.looking.ports[os.fstat(fd).st_ino] = address[1]
        return int(fd)

    def readv(self, fd: int, buffers: Sequence[WriteableBuffer]) -> int:
        return self.call(  # type: ignore[no-any-return]
            "readv", [fd], lambda: live.readv(fd, buffers),
            awake=(lambda: is_ready(fd, select.POLLIN)) if os.get_blocking(fd) else None,
            timeout=self.spans.get((fd, socket.SO_RCVTIMEO)), late=say_again,
            data=lambda n: first(buffers, n), looked=self.spins, fd=fd, moves=True,
        )  # fmt: skip

    def writev(self, fd: int, buffers: Sequence[ReadableBuffer]) -> int:
        return self.send("writev", fd, buffers)

    def write(self, fd: int, data: ReadableBuffer) -> int:
        return self.send("write", fd, [data])

    def send(self, name: str, fd: int, buffers: Sequence[ReadableBuffer]) -> int:
        """A write; a blocking one in as many parts as the kernel makes of it."""
        asked = sum(memoryview(buffer).nbytes for buffer in buffers)
        if not os.get_blocking(fd):
            return self.call(  # type: ignore[no-any-return]
                name, [fd, asked], lambda: live.writev(fd, buffers),
                data=lambda n: first(buffers, n), fd=fd, moves=True, depth=3,
            )  # fmt: skip
        data, sent, timeout = first(buffers, asked), 0, self.spans.get((fd, socket.SO_SNDTIMEO))

        def some() -> bool:
            """Have the kernel take what it has room for; whether that is all, or an error."""
            nonlocal sent
            while sent < asked and not failed and is_ready(fd, select.POLLOUT):
                try:
                    sent += send_without_waiting(fd, data[sent:])
                except BlockingIOError:
                    break
                except OSError as error:
                    failed.append(error)
                else:
                    wait_for_acknowledgement(fd)
            return bool(failed) or sent == asked

        def result() -> int:
            if failed:
                raise failed[0]
            return sent or say_again()

        failed: list[OSError] = []
        return self.call(  # type: ignore[no-any-return]
            name, [fd, asked], result, awake=some, timeout=timeout, late=result,
            data=lambda n: data[:n], fd=fd, moves=True, depth=3,
        )  # fmt: skip

    def shutdown(self, fd: int, how: int) -> None:
        make = lambda: live.shutdown(fd, how)  # noqa: E731
        self.call("shutdown", [fd, HOW[how]], make, fd=fd, moves=True)

    def close(self, fd: int) -> None:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.spans.pop((fd, option), None)
        self.call("close", [fd], lambda: live.close(fd), fd=fd, moves=True)

    def dup(self, fd: int) -> int:
        """dup(2): for a server that is wrong about it (broken.py)."""
        return self.call("dup", [fd], lambda: os.dup(fd), fd=fd)  # type: ignore[no-any-return]

    def set_blocking(self, fd: int, blocking: bool) -> None:
        flag = "blocking" if blocking else "O_NONBLOCK"
        self.call("fcntl", [fd, flag], lambda: live.set_blocking(fd, blocking), fd=fd)

    def set_timeout(self, fd: int, option: int, seconds: float) -> None:
        make = lambda: live.set_timeout(fd, option, seconds)  # noqa: E731
        if seconds:
            self.spans[fd, option] = seconds
        else:
            self.spans.pop((fd, option), None)
        self.call("setsockopt", [fd, TIMEOUTS[option], f"{seconds:g} s"], make, fd=fd)

    def established(self, fd: int) -> bool:
        return self.call("getsockopt", [fd, "TCP_INFO"], lambda: live.established(fd), fd=fd)  # type: ignore[no-any-return]

    def listens(self, fd: int) -> bool:
        return self.call("getsockopt", [fd, "SO_ACCEPTCONN"], lambda: live.listens(fd), fd=fd)  # type: ignore[no-any-return]

    def reset_on_close(self, fd: int) -> None:
        make = lambda: live.reset_on_close(fd)  # noqa: E731
        self.call("setsockopt", [fd, "SO_LINGER", "0 s"], make, fd=fd)

    def set_async(self, fd: int, number: int) -> None:
        self.watch["kind"] = "signals"
        what = ["O_ASYNC", signal.Signals(number).name] if number else ["no O_ASYNC"]
        self.call("fcntl", [fd, *what], lambda: live.set_async(fd, number), fd=fd)

    # --- the calls that wait ---

    def sigtimedwait(self, numbers: Iterable[int], timeout: float | None) -> tuple[int, int] | None:
        wanted = set(numbers)
        span = [] if timeout is None else [seconds(timeout)]
        return self.call(  # type: ignore[no-any-return]
            "sigtimedwait", ["SIGRTMIN", *span], lambda: live.sigtimedwait(wanted, 0),
            awake=lambda: bool(wanted & signal.sigpending()), timeout=timeout,
            words=lambda told: f"{signal.Signals(told[0]).name}: {told[1]}" if told else "nothing",
            looked=1,
        )  # fmt: skip

    def select(
        self,
        read: Iterable[int],
        write: Iterable[int],
        error: Iterable[int],
        timeout: float | None = None,
    ) -> tuple[list[int], list[int], list[int]]:
        sets = sorted(read), sorted(write), sorted(error)
        watched = [(fd, 1) for fd in sets[0]] + [(fd, 4) for fd in sets[1]]
        self.watch = {"kind": "select", "interest": watched, "ready": []}  # until it returns
        self.begin_round(f"select({sets}, {timeout})")
        found: tuple[list[int], list[int], list[int]] = [], [], []

        def awake() -> bool:
            nonlocal found
            found = live.select(*sets, 0)
            return any(found)

        def returned() -> tuple[list[int], list[int], list[int]]:
            came_back = found if timeout != 0 else live.select(*sets, 0)
            self.watch = self.watch | {"ready": sorted({fd for fds in came_back for fd in fds})}
            return came_back

        return self.call(  # type: ignore[no-any-return]
            "select", [sets[0], sets[1], *([] if timeout is None else [seconds(timeout)])],
            returned,
            awake=awake, timeout=timeout, late=lambda: ([], [], []),
            words=lambda f: f"{f[0]}, {f[1]}" if f[1] else str(f[0]) if f[0] else "nobody",
            looked=len(watched),
        )  # fmt: skip

    def poll(self) -> Poller:
        poller = StepPoller(self, live.poll())
        self.pollers.append(poller)
        return poller

    def epoll(self) -> EpollPoller:
        epoll = self.call("epoll_create1", [], live.epoll, words=lambda made: str(made.fileno()))
        poller = StepEpoll(self, epoll)
        self.pollers.append(poller)
        return poller

    def io_uring(self, entries: int) -> Ring:
        make = lambda: live.io_uring(entries)  # noqa: E731
        ring = self.call("io_uring_setup", [entries], make, words=lambda made: "a ring")
        self.ring = StepRing(self, ring)
        return self.ring

    def sleep(self, seconds: float) -> None:
        self.call(
            "clock_nanosleep", [f"{seconds:g} s"], lambda: None, awake=lambda: False,
            timeout=seconds,
        )  # fmt: skip

    def monotonic(self) -> float:
        return self.stage.now

    # --- processes ---

    def fork(self) -> int:
        told = {"name": "fork", "args": "", "fd": -1, "where": where(sys._getframe(1)), "looked": 0}
        pid = self.stage.fork()
        if pid == 0:
            self.new_round()
        self.tell(
            "call" if pid else "wake", told | {"result": f"<{pid}>" if pid else "0", "moved": 0}
        )
        return pid

    def waitpid(self, pid: int, options: int) -> tuple[int, int]:
        def make() -> tuple[int, int]:
            ended, status = live.waitpid(self.stage.pids[pid], os.WNOHANG)
            return pid if ended else 0, status

        return self.call(  # type: ignore[no-any-return]
            "waitpid", [f"<{pid}>", "WNOHANG"], make,
            words=lambda found: f"<{found[0]}>" if found[0] else "0",
        )  # fmt: skip

    def kill(self, pid: int, number: int) -> None:
        name = signal.Signals(number).name
        self.call("kill", [f"<{pid}>", name], lambda: live.kill(self.stage.pids[pid], number))

    def wait_at(self, what: str, awake: Callable[[], bool]) -> None:
        """Sleep until another thread of this process has done something (man 2 futex)."""
        self.call("futex", [what], lambda: None, awake=awake, depth=3)

    def exit(self, status: int) -> None:
        """_exit(2): the recorder waits until the process is no more."""
        found = where(sys._getframe(1))
        self.stage.send({"say": "exit", "status": status, "where": found})
        HARD_EXIT(status)


HARD_EXIT = os._exit


def where(frame: Any) -> list[tuple[str, int]]:
    """The lines of the server that led to a call, the innermost first."""
    lines = []
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(PACKAGE):
            name = str(path.relative_to(PACKAGE))
            if name.startswith(SHOW_FILES):
                lines.append((name, frame.f_lineno))
        frame = frame.f_back
    return lines


def say_again() -> int:
    """What a blocking call says when SO_RCVTIMEO or SO_SNDTIMEO is over."""
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def send_without_waiting(fd: int, data: bytes) -> int:
    """send(2) with MSG_DONTWAIT: what a blocking write gives the kernel before it sleeps."""
    sock = borrowed(fd)
    try:
        return sock.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    finally:
        sock.detach()
