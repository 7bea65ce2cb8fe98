"""Reassemble: messages from fragments, with control frames between them.

    reassemble(frames) -> iterator of (opcode, message)

`frames` gives (fin, opcode, payload) for each frame of one client. The payload is a memoryview of a
window, unmasked, and good until the next frame is asked for: then the window is used again. A
message is yielded as soon as its last frame is there, a control frame at once (RFC 6455, section
5.4). Text comes as `str`, everything else as `bytes`. What breaks a rule raises ProtocolError with
its close code: 1002 for frames out of order, 1007 for text that is not UTF-8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from iomodels.course.cases import Wrong, attempt
from iomodels.websocket.frames import BINARY, CONTINUATION, PING, TEXT, ProtocolError

Frame = tuple[int, int, bytes]  # FIN, 1 or 0; opcode; payload
Frames = Iterator[tuple[int, int, memoryview]]
Reassemble = Callable[[Frames], Iterable[tuple[int, Any]]]
Outcome = tuple[list[Any], Exception | None]  # what was yielded, and what was then raised

NAMES = {0: "continuation", 1: "text", 2: "binary", 8: "Close", 9: "ping", 10: "pong"}
OTHERS = b"#"  # fills the window between two frames: no payload has it


def given(frames: Iterable[Frame]) -> Frames:
    """The frames, each in the same window, which is filled with something else afterwards."""
    window = memoryview(bytearray(64))
    for fin, opcode, payload in frames:
        window[6 : 6 + len(payload)] = payload
        yield fin, opcode, window[6 : 6 + len(payload)]
        window[:] = OTHERS * len(window)


def outcome(reassemble: Reassemble, frames: Iterable[Frame]) -> Outcome:
    """All that becomes of these frames."""
    messages: list[Any] = []

    def run() -> None:
        for message in reassemble(given(frames)):
            messages.append(message)

    return messages, attempt(run)


def one_more(messages: Iterator[Any]) -> Outcome:
    """What becomes of it when one more message is asked for."""
    got: list[Any] = []
    return got, attempt(lambda: got.extend(islice(messages, 1)))


def expect(got: Outcome, wanted: Sequence[tuple[int, str | bytes]]) -> None:
    """Raise Wrong, in words, unless these messages have come, and nothing else."""
    messages, error = got
    for message, right in zip(messages, wanted, strict=False):
        expect_one(message, right)
    if isinstance(error, ProtocolError):
        raise Wrong(f"raises ProtocolError, {error}, and no rule was broken")
    if isinstance(error, UnicodeDecodeError):
        if BINARY in [kind for kind, _ in wanted[len(messages) :][:1]]:
            raise Wrong("raises UnicodeDecodeError for a binary message: its bytes may be anything")
        raise Wrong(
            "raises UnicodeDecodeError: a character may be cut between two fragments, and only the"
            " message as a whole is UTF-8"
        )
    if error:
        raise Wrong(f"raises {error!r}")
    if len(messages) < len(wanted):
        missing = told([wanted[len(messages)]])
        raise Wrong(f"yields {told(messages)}; after that, {missing} is missing")
    if len(messages) > len(wanted):
        raise Wrong(f"yields {told(messages[len(wanted) :])} beside what was sent")


def expect_one(got: Any, wanted: tuple[int, str | bytes]) -> None:
    """Raise Wrong unless this is the message."""
    if not isinstance(got, tuple) or len(got) != 2:
        raise Wrong(f"yields {got!r}, where a pair (opcode, message) should come")
    (opcode, message), kind = got, wanted[0]
    if isinstance(message, memoryview):
        raise Wrong(
            "yields a memoryview of the window: it shows something else as soon as the window is"
            " used again"
        )
    if (OTHERS.decode() if isinstance(message, str) else OTHERS[0]) in message:
        raise Wrong(
            f"yields {message!r}, in which '#' is what came into the window later: a view of a"
            " fragment was kept, and the window was used again"
        )
    if opcode == CONTINUATION and kind != CONTINUATION:
        raise Wrong(
            f"yields {message!r} with opcode 0, that of its last frame: what a message is, its"
            f" first frame says: {kind}, {NAMES[kind]}"
        )
    if got != wanted:
        raise Wrong(f"yields {told([got])}, where {told([wanted])} was sent")


def told(messages: Sequence[Any]) -> str:
    """Messages in words."""
    if not messages:
        return "nothing"
    return " and ".join(f"{NAMES.get(kind, kind)} {message!r}" for kind, message in messages)


def expect_failure(got: Outcome, code: int, why: str) -> None:
    """Raise Wrong unless it ends in a ProtocolError with this code."""
    messages, error = got
    if error is None:
        raise Wrong(f"yields {told(messages)}, as if all were right: {why}, ProtocolError {code}")
    if not isinstance(error, ProtocolError):
        raise Wrong(f"raises {error!r}: {why}, ProtocolError {code}")
    if error.code != code:
        raise Wrong(f"raises ProtocolError with code {error.code}: {why}, code {code}")


def one_frame(reassemble: Reassemble) -> None:
    """a text in one frame, then a binary message in one frame"""
    got = outcome(reassemble, [(1, TEXT, b"hello"), (1, BINARY, b"\x00\x01")])
    expect(got, [(TEXT, "hello"), (BINARY, b"\x00\x01")])


def three_fragments(reassemble: Reassemble) -> None:
    """a text in three fragments, and then another message"""
    frames = [(0, TEXT, b"one "), (0, CONTINUATION, b"mess"), (1, CONTINUATION, b"age")]
    got = outcome(reassemble, [*frames, (1, TEXT, b"next")])
    expect(got, [(TEXT, "one message"), (TEXT, "next")])


def a_ping_between(reassemble: Reassemble) -> None:
    """a ping comes between two fragments"""
    frames = [(0, TEXT, b"one mess"), (1, PING, b"there?"), (1, CONTINUATION, b"age")]
    got = outcome(reassemble, frames)
    expect(got, [(PING, b"there?"), (TEXT, "one message")])


def half_a_character(reassemble: Reassemble) -> None:
    """a character is cut: its first byte ends one fragment, its second begins the next"""
    text = "zwölf"
    data = text.encode()
    got = outcome(reassemble, [(0, TEXT, data[:3]), (1, CONTINUATION, data[3:])])
    expect(got, [(TEXT, text)])


def nothing_to_continue(reassemble: Reassemble) -> None:
    """a continuation comes, and no message has begun: ProtocolError 1002"""
    got = outcome(reassemble, [(1, TEXT, b"whole"), (1, CONTINUATION, b"more")])
    expect_failure(got, 1002, "there is nothing to continue")


CASES = (one_frame, three_fragments, a_ping_between, half_a_character, nothing_to_continue)
