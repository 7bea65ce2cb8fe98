"""iomodels dissect: WebSocket frames, bit by bit."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from iomodels.commands.common import as_json, print_json, show, table

if TYPE_CHECKING:
    from rich.table import Table

    from iomodels.websocket.anatomy import Frame, Part

MOST_BYTES = 1 << 24  # of a file


@click.command("dissect")
@click.argument("what", nargs=-1, required=True, metavar="HEX|FILE")
@click.option("--frames", type=click.IntRange(1), default=100, show_default=True, help="At most.")
@as_json
def dissect_command(what: tuple[str, ...], frames: int, as_json: bool) -> None:
    """Take WebSocket frames apart, bit by bit.

    HEX is written as 81 05 48, as 81:05:48 or as 0x810548. A FILE holds the bytes themselves, or
    hexadecimal digits. What is wrong or not whole is explained.
    """
    from itertools import islice

    from iomodels.websocket.anatomy import dissect

    data = bytes_of(" ".join(what))
    found = list(islice(dissect(data), frames))
    rest = len(data) - found[-1].stop
    if as_json:
        print_json({"frames": [as_dict(frame) for frame in found], "rest": rest})
        return
    show(*map(dissected, found))
    if rest:
        click.echo(f"{rest:,} more bytes follow: --frames shows more than {frames} frames.")


def bytes_of(what: str) -> bytes:
    """The bytes that an argument means: a file's, or those that it is."""
    from iomodels.websocket.anatomy import from_hex, shortened

    if not what.strip():
        raise click.ClickException("there is nothing to dissect: give bytes, or a file with bytes")
    text, otherwise = what, f"{shortened(what)!r} is a folder"
    if not os.path.isdir(what):
        otherwise = "nor is there a file of that name"
    if os.path.exists(what) and not os.path.isdir(what):
        try:
            with open(what, "rb") as file:
                data = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise click.ClickException(f"cannot read {what}: {error.strerror}") from None
        if not data:
            raise click.ClickException(f"{what} is empty")
        if len(data) > MOST_BYTES:
            raise click.ClickException(f"{what} is too large: {MOST_BYTES >> 20} MiB are the limit")
        if data.translate(None, b"0123456789abcdefABCDEFxX\\:, \t\r\n"):
            return data
        text, otherwise = data.decode(), f"in {what}"
    try:
        return from_hex(text)
    except ValueError as error:
        raise click.ClickException(f"{error}; {otherwise}") from None


def as_dict(frame: Frame) -> dict[str, Any]:
    """A frame for JSON: bytes in hexadecimal."""
    from dataclasses import asdict

    def value(part: Part) -> int | str:
        return part.value.hex() if isinstance(part.value, bytes) else part.value

    return asdict(frame) | {
        "parts": [p._asdict() | {"stop": p.stop, "value": value(p)} for p in frame.parts],
        "broken": [broken._asdict() for broken in frame.broken],
    }


def dissected(frame: Frame) -> Table:
    """The table of a frame, and under it what is wrong and what is missing."""
    from rich.text import Text

    from iomodels.websocket.anatomy import written

    title = f"Byte {frame.start:,}: {frame.about}"
    result = table("bytes", "bits", "field", "value", "meaning", "RFC 6455", title=title)
    for column in result.columns:
        column.justify = "left"
    result.columns[1].max_width = 2 * len("00000000") + 1
    for part in frame.parts:
        last = part.stop - 1
        where = f"{part.at:,}" if part.at == last else f"{part.at:,}–{last:,}"
        cells = (where, drawn(part), part.name, written(part), part.meaning, part.section)
        result.add_row(*(Text(cell) for cell in cells))
    notes = [
        f"✗ byte {at:,}: {rule} ({section}); "
        + (f"fails the connection with {code:d}" if code else "it is passed over")
        for at, rule, section, code in frame.broken
    ]
    if frame.missing:
        more = "at least " if frame.at_least else ""
        bytes_are = "byte is" if frame.missing == 1 else "bytes are"
        notes.append(f"… {more}{frame.missing:,} {bytes_are} missing")
    if notes:
        result.caption, result.caption_style = Text("\n".join(notes)), ""
        result.caption_justify = "left"
    return result


def drawn(part: Part) -> str:
    """Its bits, in their places: a point for each bit of the byte that belongs to another field."""
    if not part.bits:
        return ""
    bits = "." * part.bit + part.bits + "." * (-(part.bit + part.width) % 8)
    return " ".join(bits[i : i + 8] for i in range(0, len(bits), 8))
