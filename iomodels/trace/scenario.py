"""A scenario: a short script of what clients do, and what the server is set up with.

    A connects
    A sends 'he', and thinks
    B connects
    B sends 'hi'
    A sends 'llo'
    A closes

One act a line, or several with a semicolon between them; `#` begins a comment. A client is a
capital letter. What follows the last comma is an aside: it is shown, and nothing is done about it.
These are the acts:

    A connects                                            A's kernel shakes hands
    A connects with a receive buffer of 2048 bytes        SO_RCVBUF, set before the handshake
    A sends 'text'                                        escapes as in Python: \\r\\n, \\x81
    A sends 20000 bytes                                   letters, to fill buffers
    A sends upgrade                                       a WebSocket's opening request
    A sends frame 'hello'                                 a masked text frame
    A sends the first 3 bytes of frame 'hello'            what is left is kept
    A sends the next 3 bytes                              of what was left
    A sends the rest                                      all of it
    A sends upgrade and frame 'hello'                     in one segment
    A reads                                               all that has come
    A reads 100 bytes                                     of what has come
    A shuts down                                          shutdown(2), SHUT_WR: it has said all
    A closes                                              close(2)
    A resets                                              close(2) with SO_LINGER 0: a RST
    A asks again                                          A's kernel repeats a SYN that was dropped
    5 seconds pass                                        on the server's clock
"""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from iomodels.trace.plain import shown
from iomodels.websocket.frames import TEXT, encode

__all__ = ["Act", "Scenario", "ScriptError", "Settings", "parse"]

MASK = bytes.fromhex("37fa213d")  # the one of RFC 6455, 5.7: each run sends the same bytes
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

CLOCK = "clock"  # the actor of "5 seconds pass"


class ScriptError(ValueError):
    """A line of a script is wrong; the text says which one, and what would be right."""


@dataclass(frozen=True)
class Act:
    """One act of a script."""

    actor: str  # a client's letter, or CLOCK
    # "connects", "sends", "reads", "shuts down", "closes", "resets", "asks again" or "passes"
    verb: str
    line: str  # as it is written
    aside: str = ""
    data: bytes = b""  # what it sends
    number: float = 0  # bytes to read (0: all), or of the receive buffer (0: as usual), or seconds
    what: str = ""  # what it sends, in words

    @property
    def quoted(self) -> str:
        """What it sends, as it is told: "`he`", "the rest"."""
        if self.what.startswith(("'", '"')):
            return f"`{shown(self.data.decode('latin-1'), len(self.data))}`"
        return self.what.replace("'", "`").replace('"', "`")

    @property
    def done(self) -> str:
        """What the client has done then, as it is told: "has sent `he`, and thinks"."""
        words = {
            "connects": "has connected", "sends": f"has sent {self.quoted}", "reads": "has read",
            "shuts down": "has shut down its sending end", "closes": "has closed",
            "resets": "has reset", "asks again": "has asked again",
        }[self.verb]  # fmt: skip
        return f"{words}, {self.aside}" if self.aside else words


@dataclass(frozen=True)
class Settings:
    """What the server is set up with. 0 means: as the system has it."""

    app: str = "echo"  # as in apps.APPS
    backlog: int = 4  # listen(2): the queue holds one more
    send_buffer: int = 0  # bytes, SO_SNDBUF of each connection; the kernel doubles it
    receive_buffer: int = 0  # bytes, SO_RCVBUF of each connection; the kernel doubles it
    timeouts: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    occupied: int = 0  # fds below this number are taken before the first client comes
    workers: int = 2  # of the models that have some


@dataclass(frozen=True)
class Scenario:
    """What clients do, and why one should watch."""

    name: str  # as in "slow-client"
    title: str
    about: str  # one or two sentences: what to look for
    script: str
    settings: Settings = field(default_factory=Settings)
    models: tuple[str, ...] = ()  # those that it is for; (): all
    reason: str = ""  # why it is not for the others
    without: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    clients: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # A: "slow"

    @cached_property
    def acts(self) -> tuple[Act, ...]:
        """The script, parsed. Raises ScriptError."""
        return tuple(parse(self.script))

    def why_not(self, model: str) -> str:
        """Say why this scenario shows nothing with a model; "" when it does."""
        if self.models and model not in self.models:
            return self.reason
        return self.without.get(model, "")


# --- the parser ---

ACTOR = re.compile(r"([A-Z])\s+(.*)", re.DOTALL)
TIME = re.compile(r"(\d+(?:\.\d+)?) seconds? pass(?:es)?$")
STRING = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
ASIDE = re.compile(rf"((?:{STRING}|[^,'\"])*),\s*(.*)$")
KNOWN = "connects, sends, reads, shuts down, closes, resets, asks again"
ITEM = re.compile(
    rf"(?:the first (?P<first>\d+) bytes? of )?"
    rf"(?:(?P<text>{STRING})|frame (?P<frame>{STRING})|(?P<upgrade>upgrade)|(?P<many>\d+) bytes?)"
)
REST = re.compile(r"the (?:rest|next (?P<next>\d+) bytes?)")


def parse(script: str) -> Iterator[Act]:
    """Yield the acts of a script. Raises ScriptError for the first line that is wrong."""
    connected: set[str] = set()
    gone: set[str] = set()
    left: dict[str, bytes] = {}  # by client: what is left of something sent in part
    for number, line in lines_of(script):
        try:
            act = parse_act(line, left)
            if act.actor != CLOCK:
                check_order(act, connected, gone)
        except ValueError as error:
            raise ScriptError(f"line {number}, {line!r}: {error}") from None
        yield act


def lines_of(script: str) -> Iterator[tuple[int, str]]:
    """The acts as they are written, each with the number of its line; strings may hold anything."""
    for number, line in enumerate(script.splitlines(), 1):
        part = ""
        for piece in re.findall(rf"{STRING}|[;#]|[^;#'\"]+|['\"]", line):
            if piece in (";", "#"):
                if part.strip():
                    yield number, part.strip()
                part = ""
                if piece == "#":
                    break
            else:
                part += piece
        if part.strip():
            yield number, part.strip()


def parse_act(line: str, left: dict[str, bytes]) -> Act:
    """One act. Raises ValueError; the text says what would be right."""
    if found := TIME.match(line):
        return Act(CLOCK, "passes", line, number=float(found[1]))
    found = ACTOR.match(line)
    if not found:
        raise ValueError("an act is `A connects`, `A sends 'text'` …, or `5 seconds pass`")
    actor, rest = found.groups()
    said, aside = rest, ""
    if found := ASIDE.match(rest):
        said, aside = found[1].strip(), found[2].strip()
    if said.startswith("sends "):
        data, what = parse_data(actor, said.removeprefix("sends ").strip(), left)
        return Act(actor, "sends", line, aside, data, what=what)
    if said in ("connects", "reads", "shuts down", "closes", "resets", "asks again"):
        return Act(actor, said, line, aside)
    if found := re.fullmatch(r"reads (\d+) bytes?", said):
        return Act(actor, "reads", line, aside, number=int(found[1]))
    if found := re.fullmatch(r"connects with a receive buffer of (\d+) bytes", said):
        return Act(actor, "connects", line, aside, number=int(found[1]))
    raise ValueError(f"a client {KNOWN}; scenario.py shows how each is written")


def parse_data(actor: str, said: str, left: dict[str, bytes]) -> tuple[bytes, str]:
    """What is sent: items with `and` between them, in one segment. Returns it, also in words."""
    data, words, rest = b"", [], said
    while rest:
        if found := REST.match(rest):
            if not left.get(actor):
                raise ValueError("nothing was left of what it sent before")
            whole = left.pop(actor)
            size = int(found["next"] or len(whole))
            item, left[actor] = whole[:size], whole[size:]
        elif found := ITEM.match(rest):
            item = item_of(found)
            if found["first"]:
                size = int(found["first"])
                item, left[actor] = item[:size], item[size:]
        else:
            wanted = "'text', 20000 bytes, upgrade, frame 'text', the first 3 bytes of …, the rest"
            raise ValueError(f"what is sent is {wanted}")
        data += item
        words.append(found[0])
        rest = rest[found.end() :]
        if rest and not rest.startswith(" and "):
            raise ValueError(f"there is no sense in {rest.strip()!r}")
        rest = rest.removeprefix(" and ")
    if not data:
        raise ValueError("that is nothing to send")
    return data, " and ".join(words)


def item_of(found: re.Match[str]) -> bytes:
    """The bytes of one item."""
    if found["text"]:
        return literal(found["text"])
    if found["frame"]:
        return encode(TEXT, literal(found["frame"]), MASK)
    if found["upgrade"]:
        return UPGRADE
    letters = string.ascii_lowercase.encode()
    size = int(found["many"])
    return (letters * (size // len(letters) + 1))[:size]


def literal(text: str) -> bytes:
    """A quoted text with the escapes of Python's bytes."""
    try:
        value: bytes = ast.literal_eval("b" + text)
    except (SyntaxError, ValueError):
        raise ValueError(
            f"{text}: ASCII and the escapes of Python's bytes, such as \\x81"
        ) from None
    return value


def check_order(act: Act, connected: set[str], gone: set[str]) -> None:
    """Nobody speaks before it has connected, nor after it has closed."""
    if act.verb == "connects":
        if act.actor in connected:
            raise ValueError(f"{act.actor} has connected before; another client has another letter")
        connected.add(act.actor)
    elif act.actor not in connected:
        raise ValueError(f"{act.actor} has not connected")
    elif act.actor in gone:
        raise ValueError(f"{act.actor} has left")
    if act.verb in ("closes", "resets"):
        gone.add(act.actor)
