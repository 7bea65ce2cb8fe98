"""The handshake: an HTTP request becomes a WebSocket, or is refused (RFC 6455, section 4).

The request is read where it lies, by regular expressions that run on the buffer. Of its fields,
the nine that matter end up in variables; there is no dict of headers, and no object for a line.
The request may come in pieces: until its empty line is there, all that is needed is to look for
that line again. What follows it in the same buffer is the first frame, and is not lost: the
answer says how many bytes the request took.

Strict: what HTTP forbids in a request is refused, for two programs that read the same bytes in
two ways are how requests are smuggled (RFC 9112, section 11.2).
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha1
from http import HTTPStatus
from typing import Final, NamedTuple

from iomodels.websocket.masking import Buffer

GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
NAME: Final = re.compile(TOKEN)
# An empty line before the request is allowed for (RFC 9112, 2.2). A target is visible ASCII; a
# fragment, #..., is never sent (RFC 6455, section 3).
REQUEST_LINE: Final = re.compile(
    rb"(?:\r\n)?(" + TOKEN + rb') ([!-"$-~]+) HTTP/([0-9])\.([0-9])\r\n'
)
FIELD: Final = re.compile(rb"(" + TOKEN + rb"):([\t -~\x80-\xff]*)\r\n")
EMPTY_LINE: Final = re.compile(rb"\r\n\r\n")
ABSOLUTE: Final = re.compile(r"https?://[^/?]+", re.IGNORECASE)  # the long form of a target
MAY_BEGIN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z\r]")
FIELDS: Final = frozenset(
    (
        b"connection",
        b"content-length",
        b"host",
        b"origin",
        b"sec-websocket-key",
        b"sec-websocket-protocol",
        b"sec-websocket-version",
        b"transfer-encoding",
        b"upgrade",
    )
)
KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")  # 16 bytes in base64
# One name of a comma-separated list. HTTP compares these in any case.
WEBSOCKET: Final = re.compile(rb"(?:^|,)[ \t]*websocket[ \t]*(?:,|$)", re.IGNORECASE)
UPGRADE: Final = re.compile(rb"(?:^|,)[ \t]*upgrade[ \t]*(?:,|$)", re.IGNORECASE)

HELP: Final = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>A WebSocket server</title>
<h1>This is a WebSocket server</h1>
<p>It answers to a WebSocket client. In the console of this browser, type:</p>
<pre>ws = new WebSocket(location.href.replace(/^http/, "ws"))
ws.onmessage = event => console.log(event.data)
ws.onopen = () => ws.send("hello")</pre>
"""


class Refusal(Exception):
    """The request is refused, with this HTTP status; `fields` go into the answer's head."""

    def __init__(self, status: HTTPStatus, reason: str, fields: str = "") -> None:
        super().__init__(f"{status.value} {status.phrase}: {reason}")
        self.status, self.reason, self.fields = status, reason, fields


class Request(NamedTuple):
    """What an upgrade request asked for.

    A tuple, for there is one for each connection: a frozen dataclass takes twice as long to make.
    """

    target: str  # path and query, as sent: "/chat?room=1"
    host: str
    origin: str | None  # the page's, when a browser asks
    key: bytes
    offered: tuple[str, ...]  # subprotocols, the client's favourite first
    subprotocol: str | None = None  # the one that was chosen


class Answer(NamedTuple):
    """What to send, how many bytes the request took, and the request; None: close after sending."""

    response: bytes
    consumed: int
    request: Request | None


def accept_key(key: bytes) -> str:
    """Return the Sec-WebSocket-Accept that belongs to a Sec-WebSocket-Key (section 4.2.2)."""
    return b64encode(sha1(key + GUID).digest()).decode()


def helpful_page(target: str) -> bytes | None:
    """Return what a browser that asks for `/` is shown; None, not found, for the rest."""
    return HELP if target.partition("?")[0] == "/" else None


@dataclass(frozen=True)
class Handshake:
    """How a server answers requests. Each hook is optional.

    allow   is told the Origin, None when there is none; false refuses with 403 (section 10.2)
    choose  is told the subprotocols on offer, and returns one of them or None
    page    is told the target of a plain GET, and returns an HTML page, or None for 404
    limit   bytes that a request may have; above it is refused with 431
    """

    allow: Callable[[str | None], bool] | None = None
    choose: Callable[[Sequence[str]], str | None] | None = None
    page: Callable[[str], bytes | None] = helpful_page
    limit: int = 8192

    def answer(self, data: Buffer, searched: int = 0) -> Answer | None:
        """Answer the request at the beginning of `data`; None until it is there whole.

        When more has come, call again with all of it, and `searched`: how many bytes were there
        the time before.
        """
        end = EMPTY_LINE.search(data, max(0, searched - 3))
        size = end.end() if end else len(data)
        try:
            if not MAY_BEGIN.match(data):
                raise bad("This is not HTTP.")
            if size > self.limit:
                raise Refusal(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                    f"A request may have {self.limit} bytes here.",
                )
            if end is None:
                return None
            request = parse(data, size)
            if isinstance(request, str):
                return self._plain(request, size)
            return self._upgrade(request, size)
        except Refusal as refusal:
            body = f"{refusal.reason}\n".encode()
            return Answer(response(refusal.status, body, refusal.fields), size, None)

    def _plain(self, target: str, size: int) -> Answer:
        """Answer a plain GET with the page."""
        body = self.page(target)
        if body is None:
            raise Refusal(HTTPStatus.NOT_FOUND, "There is no such page here.")
        fields = "Content-Type: text/html; charset=utf-8\r\n"
        return Answer(response(HTTPStatus.OK, body, fields), size, None)

    def _upgrade(self, request: Request, size: int) -> Answer:
        """Accept an upgrade, if the hooks agree."""
        if self.allow is not None and not self.allow(request.origin):
            raise Refusal(HTTPStatus.FORBIDDEN, "Pages of this origin may not connect here.")
        protocol = ""
        if self.choose is not None and request.offered:
            chosen = self.choose(request.offered)
            if chosen is not None:
                if chosen not in request.offered:
                    raise ValueError(f"{chosen!r} was chosen, and only {request.offered} offered")
                request = request._replace(subprotocol=chosen)
                protocol = f"Sec-WebSocket-Protocol: {chosen}\r\n"
        head = (
            "HTTP/1.1 101 Switching Protocols\r\n"
            "Upgrade: websocket\r\n"
            "Connection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept_key(request.key)}\r\n{protocol}\r\n"
        )
        return Answer(head.encode(), size, request)


def parse(data: Buffer, size: int) -> Request | str:
    """Read the request in `data[:size]`, which ends with an empty line.

    Returns the target of a plain GET, or the Request of an upgrade. Raises Refusal.
    """
    line = REQUEST_LINE.match(data, 0, size)
    if line is None:
        raise bad("The request line is wrong.")
    host = origin = key = version = None
    upgrade = connection = protocols = b""  # lists, which may be spread over several fields
    at, stop = line.end(), size - 2
    while at < stop:
        field = FIELD.match(data, at, stop)
        if field is None:
            raise bad("A header field is wrong.")
        at = field.end()
        name = field[1].lower()
        if name not in FIELDS:
            continue
        value = field[2].strip(b" \t")
        match name:
            case b"connection":
                connection += b"," + value
            case b"upgrade":
                upgrade += b"," + value
            case b"sec-websocket-protocol":
                protocols += b"," + value
            case b"host":
                host = once("Host", host, value)
            case b"origin":
                origin = once("Origin", origin, value)
            case b"sec-websocket-key":
                key = once("Sec-WebSocket-Key", key, value)
            case b"sec-websocket-version":
                version = once("Sec-WebSocket-Version", version, value)
            case _ if value != b"0" or name == b"transfer-encoding":
                raise bad("A request with a body is not taken here.")

    method, target = line[1], line[2].decode()
    if target[0] != "/":
        target = ABSOLUTE.sub("", target) or "/"
    if line[3] != b"1":
        raise Refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP/1.1 is spoken here.")
    if method != b"GET":
        raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET is known here.", "Allow: GET\r\n")
    if target[0] not in "/?":
        raise bad("The target must be a path.")
    if host is None and line[4] != b"0":
        raise bad("Host is missing.")
    if not WEBSOCKET.search(upgrade):
        if key is not None:
            raise bad("Upgrade: websocket is missing.")
        return target
    if line[4] == b"0" or host is None:
        raise bad("A WebSocket needs HTTP/1.1, and Host.")
    if not UPGRADE.search(connection):
        raise bad("Connection: Upgrade is missing.")
    if version != b"13":
        raise Refusal(
            HTTPStatus.UPGRADE_REQUIRED,
            "Sec-WebSocket-Version 13 is spoken here.",
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n",
        )
    if key is None or not KEY.fullmatch(key):
        raise bad("Sec-WebSocket-Key must be 16 bytes in base64.")
    return Request(
        target=target,
        host=host.decode("latin-1"),
        origin=None if origin is None else origin.decode("latin-1"),
        key=key,
        offered=subprotocols(protocols),
    )


def once(name: str, old: bytes | None, value: bytes) -> bytes:
    """Return the value of a field that must not be given twice."""
    if old is not None:
        raise bad(f"{name} is given twice.")
    return value


def subprotocols(values: bytes) -> tuple[str, ...]:
    """Return the subprotocols on offer, in order (section 4.1, item 10)."""
    if not values:
        return ()
    parts = [part for part in (part.strip(b" \t") for part in values.split(b",")) if part]
    if len(set(parts)) < len(parts) or not all(NAME.fullmatch(part) for part in parts):
        raise bad("Sec-WebSocket-Protocol must be a list of different names.")
    return tuple(part.decode() for part in parts)


def bad(reason: str) -> Refusal:
    """Return a refusal with 400."""
    return Refusal(HTTPStatus.BAD_REQUEST, reason)


def response(status: HTTPStatus, body: bytes, fields: str = "") -> bytes:
    """Return an HTTP answer after which the connection ends."""
    if "Content-Type" not in fields:
        fields += "Content-Type: text/plain; charset=utf-8\r\n"
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n{fields}"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
