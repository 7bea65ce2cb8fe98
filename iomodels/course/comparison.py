"""Guess and measurement, side by side: the sentence that is computed from both, and the chart.

A bar that begins at zero has an honest length, so figures within a decade of each other are drawn
as bars on a linear axis. Further apart, the smaller bar would be a hair: then they are dots on a
log axis, whose distance is the ratio. Guess and measurement differ in shape (hollow and solid) and
in where they stand, not in colour.
"""

from __future__ import annotations

import html
import math
import re

from iomodels.views.style import LIGHT, number, picture, sentence


def of_numbers(guess: float, found: float, unit: str, committed: bool) -> str:
    """HTML: the sentence, and the chart with the sentence in its alt text."""
    who = "You guessed" if committed else "No guess was committed: the default was"
    said = f"{who} {amount(guess, unit)}; measured {amount(found, unit)}: {relation(guess, found)}."
    drawing = chart("your guess" if committed else "default", guess, found, unit)
    scale = "log scale" if decades_apart(guess, found) else "linear scale from zero"
    return sentence(said) + picture(drawing, f"Guess and measurement on one axis, {scale}. {said}")


def of_choices(guess: str, found: str, committed: bool) -> str:
    """HTML: a sentence that says whether the guess was right, in words, sign and colour."""
    who = "You said" if committed else "No guess was committed: the default was"
    if guess == found:
        return sentence(f"✓ {who} “{guess}”: right.", "run")
    return sentence(f"✗ {who} “{guess}”. It is “{found}”.", "sleep")


def amount(value: float, unit: str) -> str:
    """A figure with its unit: "20 calls", "1 call"; "ms" is no plural."""
    if value == 1:
        unit = re.sub(r"(?<=ch)es\b|(?<=\w\w)s\b", "", unit, count=1)
    return f"{number(value)} {unit}".strip()


def relation(guess: float, found: float) -> str:
    """What was measured, as seen from the guess: "16 times as much", "8 % less", "the same"."""
    if guess == found:
        return "the same"
    if guess <= 0 or found <= 0:
        return f"{number(abs(found - guess))} {'more' if found > guess else 'less'}"
    ratio = found / guess
    if ratio >= 1.95:
        return f"{_times(ratio)} times as much"
    if ratio <= 1 / 1.95:
        return f"{_times(1 / ratio)} times less"
    percent = round(abs(ratio - 1) * 100)
    if percent == 0:
        return "nearly the same"
    return f"{percent} % {'more' if ratio > 1 else 'less'}"


def _times(ratio: float) -> str:
    return f"{ratio:.1f}".removesuffix(".0") if ratio < 9.95 else number(float(f"{ratio:.2g}"))


def decades_apart(guess: float, found: float) -> bool:
    """Whether the two need a log axis: both above zero, and more than ten times apart."""
    low, high = sorted((guess, found))
    return low > 0 and high > 10 * low


# --- the chart: an SVG of 720 by 136 units ---

WIDTH, LEFT = 720, 104  # the axis begins at LEFT, and ends where the longer figure still has room
GUESS, FOUND, AXIS = 22, 58, 88  # the rows, from the top


def chart(label: str, guess: float, found: float, unit: str) -> str:
    """The two figures as an <svg>, in the light palette."""
    log = decades_apart(guess, found)
    ticks = _decades(guess, found) if log else _steps(guess, found)
    first, last = ticks[0], ticks[-1]
    right = WIDTH - 20 - 9 * max(len(number(guess)), len(number(found)))

    def x(value: float) -> float:
        if log:
            part = math.log(value / first) / math.log(last / first)
        else:
            part = (value - first) / (last - first)
        return round(LEFT + part * (right - LEFT), 1)

    def text(at: float, y: float, words: str, more: str = "") -> str:
        return f'<text x="{at}" y="{y}" {more}>{html.escape(words)}</text>'

    def mark(value: float, y: float, fill: str) -> str:
        style = f'fill="{fill}" stroke="{LIGHT["a"]}" stroke-width="2"'
        if log:
            line = f'<path d="M{LEFT} {y}H{x(value)}" stroke="{LIGHT["line"]}" stroke-width="2"/>'
            return f'{line}<circle cx="{x(value)}" cy="{y}" r="7" {style}/>'
        start, end = sorted((x(0), x(value)))
        return f'<rect x="{start}" y="{y - 9}" width="{end - start}" height="18" rx="3" {style}/>'

    def row(y: float, name: str, value: float, fill: str) -> str:
        end = max(x(value), x(0)) if not log else x(value)
        return (
            text(LEFT - 14, y + 5, name, 'text-anchor="end"')
            + mark(value, y, fill)
            + text(end + 13, y + 5, number(value), 'font-weight="600"')
        )

    grid = "".join(f"M{x(tick)} 6V{AXIS}" for tick in ticks)
    between = f"M{x(guess)} {GUESS + 9}V{AXIS}"
    name = " · ".join(filter(None, (unit, "log scale" if log else "")))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="136"'
        f' viewBox="0 0 {WIDTH} 136" font-family="system-ui, sans-serif" font-size="14"'
        f' fill="{LIGHT["ink"]}">'
        f'<path d="{grid}" stroke="{LIGHT["line"]}"/>'
        f'<path d="{between}" stroke="{LIGHT["a"]}" stroke-width="1.5" stroke-dasharray="3 4"/>'
        + row(GUESS, label, guess, LIGHT["on"])
        + row(FOUND, "measured", found, LIGHT["a"])
        + f'<path d="M{LEFT} {AXIS}H{right}" stroke="{LIGHT["dim"]}"/>'
        + f'<g fill="{LIGHT["dim"]}" font-size="13" text-anchor="middle">'
        + "".join(text(x(tick), AXIS + 18, number(tick)) for tick in ticks)
        + text((LEFT + right) / 2, AXIS + 40, name)
        + "</g></svg>"
    )


def _steps(guess: float, found: float) -> list[float]:
    """Round figures, equally far apart, from zero or below to past the larger one."""
    low, high = min(0, guess, found), max(0, guess, found) or 1
    span = high - low
    size = 10.0 ** math.floor(math.log10(span / 4))
    step = next(n * size for n in (1, 2, 5, 10) if span / (n * size) <= 5)
    return [
        _whole(round(n * step, 12))
        for n in range(math.floor(low / step), math.ceil(high / step) + 1)
    ]


def _decades(guess: float, found: float) -> list[float]:
    """Powers of ten around both; every second, third, ... one where there are many."""
    low, high = sorted((guess, found))
    first, last = math.floor(math.log10(low / 1.5)), math.ceil(math.log10(high * 1.2))
    every = math.ceil((last - first) / 6)
    return [_whole(10.0**power) for power in range(first, last + every, every)]


def _whole(value: float) -> float:
    return int(value) if value == int(value) else value
