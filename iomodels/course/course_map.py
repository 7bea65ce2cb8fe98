"""The map of the course: a box for each lesson, a row for each part, lines to what it builds on."""

from __future__ import annotations

import html
from collections.abc import Sequence

from iomodels.course.contents import PARTS, Entry, hours, needed
from iomodels.views.style import LIGHT, output, picture

BOX, GAP, TALL, ROW = 158, 20, 62, 100  # pixels: a box, between two, its height, a row
LEFT, TOP, MARGIN = 136, 14, 24


def show_map(lessons: Sequence[Entry]) -> None:
    """Show the map of these lessons, which are all of the course or its beginning."""
    output(picture(draw(lessons), alt(lessons)), "<map>")


def alt(lessons: Sequence[Entry]) -> str:
    """The map in words."""
    said = [f"A map of {len(lessons)} lessons, {hours(sum(e.minutes for e in lessons))} in all."]
    after = {
        number: f", after {' and '.join(f'{n:02}' for n in before)}" if before else ""
        for number, before in needed(lessons).items()
    }
    for name, numbers in PARTS:
        here = [e for e in lessons if e.number in numbers]
        if here:
            listed = "; ".join(f"{e.number:02} {e.title}{after[e.number]}" for e in here)
            said.append(f"{name}: {listed}.")
    return " ".join(said)


def places(lessons: Sequence[Entry]) -> dict[int, tuple[int, int]]:
    """Where each lesson's box stands: its upper left corner."""
    spots = {}
    for row, (_, numbers) in enumerate(PARTS):
        for column, entry in enumerate(e for e in lessons if e.number in numbers):
            spots[entry.number] = (LEFT + column * (BOX + GAP), TOP + row * ROW)
    return spots


def draw(lessons: Sequence[Entry]) -> str:
    """The map as SVG."""
    spots = places(lessons)
    wide = max(x for x, _ in spots.values()) + BOX + MARGIN
    high = max(y for _, y in spots.values()) + TALL + MARGIN
    rows = {y: name for name, numbers in PARTS for n, (_, y) in spots.items() if n in numbers}
    parts = [
        _text(MARGIN, y + TALL / 2 + 4, name, LIGHT["dim"], bold=True) for y, name in rows.items()
    ]
    parts += [
        _line(spots[before], spots[number])
        for number, all_before in needed(lessons).items()
        for before in all_before
    ]
    for entry in lessons:
        x, y = spots[entry.number]
        parts.append(
            f'<rect x="{x}" y="{y}" width="{BOX}" height="{TALL}" rx="7"'
            f' fill="{LIGHT["kernel"]}" stroke="{LIGHT["a"]}" stroke-width="1.4"/>'
        )
        first, second = _two_lines(entry.title)
        parts.append(_text(x + 10, y + 20, f"{entry.number:02} · {first}", LIGHT["ink"], bold=True))
        parts.append(_text(x + 10, y + 36, second, LIGHT["ink"], bold=True))
        parts.append(_text(x + BOX - 9, y + TALL - 7, f"{entry.minutes} min", end=True))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}"'
        f' height="{high}" font-family="system-ui, sans-serif" font-size="12">'
        f"{''.join(parts)}</svg>"
    )


def _two_lines(title: str) -> tuple[str, str]:
    """Break a title that is too long for a box."""
    words, first = title.split(), ""
    while words and len(first) + len(words[0]) < 15:
        first = f"{first} {words.pop(0)}".strip()
    return first, " ".join(words)


def _text(
    x: float,
    y: float,
    words: str,
    colour: str = LIGHT["dim"],
    bold: bool = False,
    end: bool = False,
) -> str:
    weight = ' font-weight="600"' if bold else ""
    anchor = ' text-anchor="end"' if end else ""
    return f'<text x="{x}" y="{y}" fill="{colour}"{weight}{anchor}>{html.escape(words)}</text>'


def _line(source: tuple[int, int], target: tuple[int, int]) -> str:
    """From a box's right side to the left of the next one, or from its foot down to another."""
    (x0, y0), (x1, y1) = source, target
    if y0 == y1 and x1 == x0 + BOX + GAP:
        path = f"M{x0 + BOX} {y0 + TALL / 2} H{x1}"
    elif y0 == y1:  # below the boxes between
        path = f"M{x0 + BOX / 2} {y0 + TALL} v12 H{x1 + BOX / 2} v-12"
    else:
        start, end = x0 + BOX / 2, x1 + BOX / 2
        path = f"M{start} {y0 + TALL} C{start} {y1} {end} {y0 + TALL} {end} {y1}"
    return f'<path d="{path}" fill="none" stroke="{LIGHT["dim"]}" stroke-width="1.4"/>'
