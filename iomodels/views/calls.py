"""A server's system calls as a table: what was asked, what came back, and what waited meanwhile.

`show_calls()` lists what a `RecordingKernel` wrote down, a row for each call. Connections get
letters in the order in which they were accepted, because a number comes back: after a close, the
next connection often has the fd of the last one.

The recording knows when a call returned and not when it began, so it cannot tell whether the call
slept. Whoever directs the clients can: it waits until the server's thread is asleep before it takes
a step. What it did meanwhile it hands over here, by the place of the call that slept.
"""

from __future__ import annotations

import errno
import html
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from iomodels.kernel.recording import Call
from iomodels.views.style import inline, measured, number, output

WITH_FD = {"accept", "readv", "writev", "write", "shutdown", "close", "set_blocking"}
HOW = {socket.SHUT_RD: "SHUT_RD", socket.SHUT_WR: "SHUT_WR", socket.SHUT_RDWR: "SHUT_RDWR"}

TABLE = """
.iomodels table.io-calls { width: 100%; max-width: 860px; margin: 6px 0; table-layout: fixed;
  border-collapse: collapse; font-size: 14px; color: var(--io-ink); }
.iomodels table.io-calls tr { background: none; }
.iomodels table.io-calls th, .iomodels table.io-calls td { padding: 4px 10px; text-align: left;
  vertical-align: baseline; border: 0; border-bottom: 1px solid var(--io-line);
  white-space: normal; overflow-wrap: anywhere; font-weight: 400; }
.iomodels table.io-calls thead th { font-size: 12px; font-weight: 600; color: var(--io-dim);
  overflow-wrap: normal; }
.iomodels table.io-calls .io-figure { text-align: right; font-variant-numeric: tabular-nums; }
.iomodels table.io-calls code { background: none; padding: 0; }
.iomodels table.io-calls .io-waits { background: var(--io-new); }
.iomodels table.io-calls b.io-slept { color: var(--io-sleep); }
.iomodels .io-calls-note { max-width: 860px; margin: 6px 0; color: var(--io-dim); }
"""
COLUMNS = {
    "": "5%",
    "system call": "31%",
    "while it slept": "25%",
    "came back with": "17%",
    "accept queue": "10%",
    "unread bytes": "12%",
}


@dataclass(frozen=True)
class Row:
    """One call, with names in place of numbers."""

    call: str  # "readv(A)"
    came_back: str  # "2 bytes: he", "EINVAL", or ""
    waiting: int | None  # connections in the accept queue afterwards, where there is a listener
    unread: tuple[tuple[str, int], ...]  # per connection that is open afterwards


def show_calls(
    calls: Sequence[Call], meanwhile: Mapping[int, Sequence[str]] | None = None, note: str = ""
) -> None:
    """Show calls as a table, a row each, with what waits in the kernel after it.

    `meanwhile` says which calls slept: by the call's place in the list, what happened until it came
    back. `note` stands below; in both, `code` is code. Raises ValueError where there is no call.
    """
    output(measured(table(calls, meanwhile, note)), "<calls>", TABLE)


def table(
    calls: Sequence[Call], meanwhile: Mapping[int, Sequence[str]] | None = None, note: str = ""
) -> str:
    """The HTML of `show_calls()`."""
    if not calls:
        raise ValueError("show_calls(): there is no call to show")
    slept = meanwhile or {}
    body = "".join(_row(place, row, slept.get(place)) for place, row in enumerate(rows(calls)))
    headings = "".join(
        f'<th scope="col" style="width: {width}"{_figure(name)}>{name}</th>'
        for name, width in COLUMNS.items()
    )
    markup = (
        f'<table class="io-calls"><thead><tr>{headings}</tr></thead><tbody>{body}</tbody></table>'
    )
    return markup + (f'<p class="io-calls-note">{inline(note)}</p>' if note else "")


def rows(calls: Sequence[Call]) -> Iterator[Row]:
    """The calls with names in place of numbers: the listener, and A, B, C for the connections."""
    listeners = {call.arguments[0] for call in calls if call.name == "accept"}
    names: dict[int, str] = dict.fromkeys(listeners, "listener")
    letters = map(_letters, count())
    for call in calls:
        said = _said(call, names)
        if call.name == "accept" and not isinstance(call.result, OSError):
            names[call.result] = next(letters)
        came_back = _came_back(call, names)
        if call.name == "close" and call.arguments[0] not in listeners:
            names.pop(call.arguments[0], None)
        queues = call.after.queues
        waiting = [queues[fd].waiting for fd in listeners if fd in queues]
        unread = (
            (name, queues[fd].unread)
            for fd, name in names.items()
            if fd not in listeners and fd in queues
        )
        yield Row(
            said,
            came_back,
            sum(filter(None, waiting)) if waiting else None,
            tuple((name, left) for name, left in unread if left is not None),
        )


def _letters(place: int) -> str:
    """A, B, ... Z, AA, AB, ..."""
    before, last = divmod(place, 26)
    return (_letters(before - 1) if before else "") + chr(ord("A") + last)


def _said(call: Call, names: Mapping[int, str]) -> str:
    arguments = list(map(repr, call.arguments))
    if call.name in WITH_FD:
        fd = call.arguments[0]
        arguments[0] = names.get(fd, str(fd))
    if call.name == "shutdown":
        arguments[1] = HOW[call.arguments[1]]
    return f"{call.name}({', '.join(arguments)})"


def _came_back(call: Call, names: Mapping[int, str]) -> str:
    if isinstance(call.result, OSError):
        return errno.errorcode.get(call.result.errno or 0, str(call.result))
    if call.result is None:
        return ""
    if call.name == "accept":
        return names[call.result]
    if call.name in ("readv", "writev", "write"):
        if call.name == "readv" and call.result == 0:
            return "0: end of stream"
        several = f"{number(call.result)} byte{'s' * (call.result != 1)}"
        return f"{several}: {_text(call.data)}"
    return repr(call.result)


def _text(data: bytes, most: int = 12) -> str:
    """Bytes as one reads them, and no more of them than fit."""
    shown = repr(data[:most])[2:-1]
    return f"{shown}…" if len(data) > most else shown


def _figure(column: str) -> str:
    return ' class="io-figure"' if column in ("", "accept queue", "unread bytes") else ""


def _waits(many: int) -> str:
    """A figure, bold if something waits: by markup, which a page without style sheets keeps."""
    return f"<b>{number(many)}</b>" if many else "0"


def _row(place: int, row: Row, slept: Sequence[str] | None) -> str:
    asleep = ""
    if slept is not None:
        steps = "<br>".join(map(inline, slept))
        asleep = f'<b class="io-slept">slept</b>{"<br>" * bool(steps)}{steps}'
    waiting = "–" if row.waiting is None else _waits(row.waiting)
    unread = "<br>".join(f"{name}: {_waits(left)}" for name, left in row.unread) or "–"
    return (
        f'<tr><td class="io-figure io-dim">{place + 1}</td>'
        f"<td><code>{html.escape(row.call)}</code></td><td>{asleep}</td>"
        f"<td>{html.escape(row.came_back)}</td>"
        f'<td class="io-figure{" io-waits" * bool(row.waiting)}">{waiting}</td>'
        f'<td class="io-figure{" io-waits" * any(left for _, left in row.unread)}">{unread}</td>'
        "</tr>"
    )
