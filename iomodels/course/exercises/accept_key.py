"""Accept key: what a server answers to a key, from the head of the request as clients write it.

    accept(head) -> str

`head` is the request, from its first byte to the empty line. The function finds the field
Sec-WebSocket-Key in it and returns the value of Sec-WebSocket-Accept (RFC 6455, 4.2.2): base64 of
the SHA-1 of key and GUID. A field is written as HTTP allows it: its name in capitals or not, with
spaces and tabs around its value or none, anywhere in the head (RFC 9112, 5). A request whose key is
missing, is there twice, or is not 16 bytes in base64 is refused: ValueError.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable

from iomodels.course.cases import Wrong, attempt
from iomodels.websocket.handshake import GUID, accept_key

Accept = Callable[[bytes], str]

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # of RFC 6455, 1.3
OTHER = b64encode(bytes(range(16)))


def request(*fields: bytes) -> bytes:
    """The head of an upgrade request with these fields besides the usual ones."""
    usual = (
        b"GET /chat HTTP/1.1",
        b"Host: server.example.com",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
    )
    return b"\r\n".join((*usual, *fields, b"Sec-WebSocket-Version: 13", b"", b""))


def mistakes(key: bytes) -> dict[str, str]:
    """Values that are not the right one, and what has gone wrong for each."""
    sha1 = hashlib.sha1
    return {
        b64encode(sha1(key).digest()).decode(): "the digest is of the key alone: the GUID goes"
        " behind it",
        b64encode(sha1(GUID + key).digest()).decode(): "the GUID goes behind the key, not before"
        " it",
        b64encode(sha1(b64decode(key) + GUID).digest()).decode(): "the key was decoded first: it is"
        " taken as the text that was sent",
        b64encode(sha1(key.lower() + GUID).digest()).decode(): "the key was made lower case: only"
        " the names of fields may be written either way, not their values",
        b64encode(sha1(b" " + key + GUID).digest()).decode(): "a space before the key was taken for"
        " a part of it",
        b64encode(sha1(key + GUID).hexdigest().encode()).decode(): "the digest's 20 bytes go into"
        " base64, not its 40 hexadecimal digits",
        sha1(key + GUID).hexdigest(): "the digest is right, and it is in hexadecimal: base64 is"
        " asked for",
    }


def expect(got: object, key: bytes, about: str) -> None:
    """Raise Wrong, in words, unless this is the answer to the key."""
    wanted = accept_key(key)
    if isinstance(got, Exception):
        raise Wrong(f"raises {got!r}, where {about}")
    if isinstance(got, bytes) and got.strip() == wanted.encode():
        raise Wrong("returns bytes; the right ones, but `str` is asked for")
    if not isinstance(got, str):
        raise Wrong(f"returns {got!r}, where {about}")
    if got.strip() == wanted != got:
        raise Wrong(f"returns {got!r}: there is white space around the value")
    if got != wanted:
        why = mistakes(key).get(got, about)
        raise Wrong(f"returns {got!r}, where {wanted!r} is right: {why}")


def expect_refusal(got: object, about: str) -> None:
    """Raise Wrong, in words, unless the function has raised ValueError."""
    if isinstance(got, Exception) and not isinstance(got, ValueError):
        raise Wrong(f"raises {got!r}, and not ValueError; {about}")
    if not isinstance(got, ValueError):
        raise Wrong(f"returns {got!r}, where ValueError should be raised: {about}")


def the_example(accept: Accept) -> None:
    """the example of RFC 6455, section 1.3"""
    got = attempt(accept, request(b"Sec-WebSocket-Key: " + KEY))
    expect(got, KEY, "the key stands in the field Sec-WebSocket-Key")


def another_key(accept: Accept) -> None:
    """another key"""
    got = attempt(accept, request(b"Sec-WebSocket-Key: " + OTHER))
    expect(got, OTHER, "each key has an answer of its own")


def lower_case(accept: Accept) -> None:
    """the names of the fields are written in lower case, as some proxies do"""
    head = request(b"Sec-WebSocket-Key: " + KEY)
    names = [line.split(b":")[0] for line in head.splitlines()[1:-1]]
    for name in names:
        head = head.replace(name + b":", name.lower() + b":")
    about = "the field is there as `sec-websocket-key`: names are the same in capitals and not"
    expect(attempt(accept, head), KEY, about)


def it_is_missing(accept: Accept) -> None:
    """there is no key: ValueError"""
    got = attempt(accept, request())
    expect_refusal(got, "the request has no Sec-WebSocket-Key")


CASES = (the_example, another_key, lower_case, it_is_missing)
