"""Find the leak: a function that serves a file, and leaves it open on some of its ways out.

    serve(sock, folder) -> None

It reads a file's name from a connected socket and sends the file's content back, or "not found", or
"too large" above LIMIT bytes. The caller owns the socket, hears of its errors, and closes it. The
file is opened by `serve`, and so closed by it, on every way out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket

from iomodels.course.cases import Wrong, connection, within

LIMIT = 1000  # bytes

Serve = Callable[[socket, Path], None]

NO_ANSWER = "the client has sent a name, and waits for an answer"


@contextmanager
def folder() -> Iterator[Path]:
    """A folder with a small file and a large one."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        (path / "small.txt").write_bytes(b"a few bytes")
        (path / "large.txt").write_bytes(bytes(LIMIT + 1))
        yield path


def expect_answer(serve: Serve, name: bytes, wanted: bytes) -> None:
    """Raise Wrong unless this is what a client that asks for `name` gets, and `sock` stays open."""
    with folder() as files, connection() as (sock, client):
        client.sendall(name)
        with within(2, NO_ANSWER):
            serve(sock, files)
        if sock.fileno() < 0:
            raise Wrong("closes the socket, which belongs to the caller")
        sock.close()
        got = b""
        while data := client.recv(4096):
            got += data
        if got != wanted:
            raise Wrong(f"the client asks for {name.decode()}, and gets {got!r}, not {wanted!r}")


def a_small_file(serve: Serve) -> None:
    """a small file is asked for"""
    expect_answer(serve, b"small.txt", b"a few bytes")


def no_such_file(serve: Serve) -> None:
    """a file is asked for that is not there"""
    expect_answer(serve, b"none.txt", b"not found")


def a_large_file(serve: Serve) -> None:
    """a file is asked for that is too large"""
    expect_answer(serve, b"large.txt", b"too large")


CASES = (a_small_file, no_such_file, a_large_file)
