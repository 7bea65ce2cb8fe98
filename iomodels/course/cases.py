"""What the cases of an exercise are made of: a connection, the other side, and words.

A case plays the network and the peer for the learner's function, on real sockets, and raises
`Wrong` when the answer is wrong. How it is run, and what is reported without the case's doing, is
in trial.py: exceptions, deadlines, descriptors and processes left behind.
"""

from __future__ import annotations

import contextlib
import socket
import termios
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from iomodels.course.trial import Case, Wrong, playing, within
from iomodels.kernel import RESET_ON_CLOSE
from iomodels.kernel.recording import count

__all__ = [
    "TOO_BUSY",
    "Address",
    "Case",
    "Wrong",
    "attempt",
    "connection",
    "hear",
    "judge",
    "playing",
    "reset",
    "send_in_pieces",
    "server",
    "unread",
    "until",
    "within",
]

Address = tuple[str, int]

PATIENCE = 4.0  # seconds that the case's own end waits before it gives up
TOO_BUSY = (
    "this machine has so much else to do that what a case does comes too late, and nothing can be"
    " told about your answer: run it again"
)


@contextlib.contextmanager
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A TCP connection over loopback: the end for the learner's function, and the case's own.

    Both are closed after the block. A call on the case's end raises TimeoutError after PATIENCE;
    the learner's blocks, as sockets do.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    ours.settimeout(PATIENCE)
    for sock in (ours, theirs):  # each piece leaves at once, and is not held back for the next
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with theirs, ours:
        yield theirs, ours


@contextlib.contextmanager
def server(script: Callable[[socket.socket], None]) -> Iterator[Address]:
    """Where a server listens, while it plays the script with one client, and then closes.

    Its calls raise TimeoutError after PATIENCE. A client that never comes is not waited for when
    the block has ended.
    """

    def serve() -> None:
        try:
            client, _ = listener.accept()
        except OSError:  # nobody came, and the block has ended
            return
        client.settimeout(PATIENCE)
        try:
            with client:
                script(client)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client has left: the case judges it by what it returned

    with socket.create_server(("127.0.0.1", 0)) as listener, playing(serve):
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)  # wakes accept; a close would not


def attempt(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns, or the exception that it raises, as a value.

    NotImplementedError goes through: the answer is not written yet.
    """
    try:
        return function(*arguments)
    except NotImplementedError:
        raise
    except Exception as error:
        return error


def hear(client: socket.socket, size: int) -> bytes | None:
    """So many bytes, or fewer when the server ends the connection; None when nothing comes."""
    got = b""
    try:
        while len(got) < size and (data := client.recv(size - len(got))):
            got += data
    except ConnectionError:
        pass
    except TimeoutError:
        return got or None
    return got


def unread(sock: socket.socket) -> int:
    """The bytes that wait in the socket's receive buffer (FIONREAD of ioctl(2))."""
    return count(sock.fileno(), termios.FIONREAD)


def until(condition: Callable[[], bool], words: str, seconds: float = 2.0) -> None:
    """Wait until the condition holds. Raises Wrong with these words when it does not."""
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            raise Wrong(words)
        time.sleep(0.001)


def judge(once: Callable[[], bool], words: str = TOO_BUSY) -> None:
    """Play what shows something only while the machine keeps up: `once` tells whether it did.

    Where what the case does is as late as a deadline, a wrong answer may look right, and a right
    one wrong. Raises Wrong with `words` when three plays show nothing, and what `once` raises.
    """
    for _ in range(3):
        if once():
            return
    raise Wrong(words)


def send_in_pieces(
    ours: socket.socket, theirs: socket.socket, pieces: Iterable[bytes], words: str
) -> None:
    """Send each piece when the one before has been read: `recv` cannot return two at once.

    For a script in `playing`. Raises Wrong with these words when a piece is not read in time.
    """
    for piece in pieces:
        ours.sendall(piece)
        until(lambda: _has_arrived_and_was_read(ours, theirs), words)


def _has_arrived_and_was_read(ours: socket.socket, theirs: socket.socket) -> bool:
    """Acknowledged by the other kernel, and no longer in its buffer; or nobody is there to read."""
    if theirs.fileno() < 0:
        return True
    return count(ours.fileno(), termios.TIOCOUTQ) == 0 and unread(theirs) == 0


def reset(sock: socket.socket) -> None:
    """Throw the connection away: the peer gets a RST, not the end of the stream (SO_LINGER, 0)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    sock.close()
