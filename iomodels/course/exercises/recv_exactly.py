"""recv exactly n: a function that reads n bytes from a stream, no fewer and no more.

    recv_exactly(sock, n) -> bytes

`recv(n)` returns what is there, from one byte to n. The function asks again until it has all n. A
stream that ends before the first byte is a normal end, and the answer is `b""`, as from `recv`. One
that ends after it is cut off: EOFError. What comes after the n bytes belongs to the next reader.
"""

from __future__ import annotations

from collections.abc import Callable
from socket import SHUT_WR, socket

from iomodels.course.cases import Wrong, attempt, connection, playing, send_in_pieces, within

RecvExactly = Callable[[socket, int], bytes]

WAITS = "your function waits for more, though all bytes that it was asked for had come"
NO_END = (
    "the stream has ended, and your function still asks for more: `recv` returns `b''` at the end,"
    " again and again"
)
NOT_READ = "your function has stopped reading before it had all bytes"


def expect(got: object, wanted: bytes) -> None:
    """Raise Wrong, in words, unless the function has returned these bytes."""
    if isinstance(got, Exception):
        raise Wrong(f"raises {got!r}, where it should return {len(wanted)} bytes")
    if not isinstance(got, bytes):
        raise Wrong(f"returns {got!r}, where it should return bytes")
    if len(got) != len(wanted):
        raise Wrong(f"returns {len(got)} bytes, where {len(wanted)} were asked for")
    if got != wanted:
        raise Wrong("returns the right number of bytes, and not those that were sent")


def in_one_piece(recv_exactly: RecvExactly) -> None:
    """5 bytes come at once"""
    with connection() as (sock, peer):
        peer.sendall(b"hello")
        with within(2, WAITS):
            got = attempt(recv_exactly, sock, 5)
        expect(got, b"hello")


def in_three_pieces(recv_exactly: RecvExactly) -> None:
    """5 bytes come in three pieces"""
    pieces = [b"he", b"l", b"lo"]
    with connection() as (sock, peer), playing(send_in_pieces, peer, sock, pieces, NOT_READ):
        expect(attempt(recv_exactly, sock, 5), b"hello")


def the_rest_stays(recv_exactly: RecvExactly) -> None:
    """of 8 bytes, 5 are asked for; the other 3 stay in the socket"""
    with connection() as (sock, peer):
        peer.sendall(b"hellobye")
        peer.shutdown(SHUT_WR)
        expect(attempt(recv_exactly, sock, 5), b"hello")
        expect_rest(sock, b"bye")


def expect_rest(sock: socket, wanted: bytes) -> None:
    """Raise Wrong unless these bytes, and then the end, are what is left to read."""
    rest = b""
    while data := sock.recv(100):
        rest += data
    if taken := len(wanted) - len(rest):
        raise Wrong(f"takes {taken} bytes too many: they belong to the next reader")


def ends_before_the_first_byte(recv_exactly: RecvExactly) -> None:
    """the stream ends before the first byte: `b""`"""
    with connection() as (sock, peer):
        peer.shutdown(SHUT_WR)
        with within(2, NO_END):
            got = attempt(recv_exactly, sock, 5)
        if isinstance(got, EOFError):
            raise Wrong("raises EOFError, though nothing is cut off: an end at a boundary is `b''`")
        expect(got, b"")


def ends_in_the_middle(recv_exactly: RecvExactly) -> None:
    """the stream ends after 2 of 5 bytes: EOFError"""
    with connection() as (sock, peer):
        peer.sendall(b"he")
        peer.shutdown(SHUT_WR)
        with within(2, NO_END):
            got = attempt(recv_exactly, sock, 5)
        if not isinstance(got, EOFError):
            said = f"raises {got!r}" if isinstance(got, Exception) else f"returns {got!r}"
            raise Wrong(f"{said}, though the stream was cut off after 2 of 5 bytes: EOFError")


CASES = (
    in_one_piece,
    in_three_pieces,
    the_rest_stays,
    ends_before_the_first_byte,
    ends_in_the_middle,
)
