"""The picture of what idle connections cost: user memory beside the kernel's, on a log axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from iomodels.measure.memory import Row
from iomodels.views.style import LIGHT, figure, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIRST = 0.7  # byte, where the axis begins
NEAR = 10  # times the user memory: a diamond up to there is where the label of the dot would be


def words(row: Row) -> str:
    """The user memory of a row, as far as it can be seen."""
    if row.user is None:
        return "–"
    return number(round(row.user)) if row.user > row.resolution else f"{least(row):,} or less"


def least(row: Row) -> int:
    """The fewest bytes that can be seen in a row, a whole number of them."""
    return max(1, round(row.resolution))


def figures(rows: Sequence[Row]) -> list[Row]:
    """The rows that have figures, the dearest first."""
    return sorted(
        (row for row in rows if row.user is not None), key=lambda row: row.user or 0, reverse=True
    )


def draw(rows: Sequence[Row]) -> Figure:
    """Draw the rows of `memory`. Imports matplotlib.

    A dot is the user memory of an idle connection, a diamond what the kernel has for it, where that
    is known; a hollow dot is a stored figure, or one below which nothing can be seen. Rows without
    figures are left out. Raises ValueError when no row has any.
    """
    rows = figures(rows)
    if not rows:
        raise ValueError("no row has a figure to draw")
    drawn = figure(8.6, 1.9 + 0.3 * len(rows))
    axes = drawn.subplots()
    places = range(len(rows))[::-1]
    seen = [max(row.user or 0, least(row)) for row in rows]
    hollow = [bool(row.stored) or (row.user or 0) <= row.resolution for row in rows]
    kernel = [(row.kernel, place) for row, place in zip(rows, places, strict=True) if row.kernel]
    largest = max(*seen, *(size for size, _ in kernel), 1)
    axes.set_xscale("log")
    axes.set_xlim(FIRST, largest * 12)  # room for the label of the largest
    axes.set_xticks([10**power for power in range(12) if 10**power < 3 * largest])
    axes.hlines(places, FIRST, seen, color=LIGHT["line"], linewidth=1.5, zorder=1)
    if kernel:  # before the dots: where both fall together, the dot is on top
        sizes, at = zip(*kernel, strict=True)
        axes.scatter(sizes, at, s=34, marker="D", color=LIGHT["c"], label="in the kernel")
    axes.scatter(
        seen, places, s=60, zorder=3, label="user memory", edgecolor=LIGHT["a"], linewidth=1.5,
        color=[LIGHT["on"] if empty else LIGHT["a"] for empty in hollow],
    )  # fmt: skip
    for row, size, place in zip(rows, seen, places, strict=True):
        text = words(row) + (", stored" if row.stored else "")
        before = size < (row.kernel or 0) < NEAR * size
        axes.annotate(
            text, (size, place), (-8 if before else 8, 3), textcoords="offset points", fontsize=9,
            ha="right" if before else "left",
        )  # fmt: skip
    axes.xaxis.set_major_formatter(lambda value, _position: number(float(value)))
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_yticks(list(places), [row.name for row in rows])
    axes.tick_params(axis="both", which="both", length=0)
    axes.grid(axis="y", visible=False)
    what = "bytes" if kernel else "bytes of user memory"
    axes.set_xlabel(f"{what} for each idle connection · log scale")
    axes.set_title("What a connection costs that says nothing", pad=32 if kernel else None)
    if kernel:  # between the title and the rows, where its marks cannot be taken for figures
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderpad=0.2, borderaxespad=0.2,
            handletextpad=0.2,
        )  # fmt: skip
    return drawn


def alt(rows: Sequence[Row]) -> str:
    """What the picture shows, in words."""
    return "Bytes per idle connection: " + "; ".join(
        f"{row.name}: {words(row)} in user memory"
        + (f" and {number(round(row.kernel))} in the kernel" if row.kernel else "")
        + (f", stored: {row.stored}" if row.stored else "")
        for row in figures(rows)
    )
