"""The picture of zero copy in the kernel: CPU time of each way, and the bytes that it copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from iomodels.measure.zerocopy import Row
from iomodels.views.style import LIGHT, figure, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MIB = 1 << 20


def draw(rows: Sequence[Row]) -> Figure:
    """Draw the rows of `zerocopy`, a panel for each place that the file goes to.

    A bar's length is the sender's CPU time, on one scale in all panels. A way without figures is
    left out. Raises ValueError when none has any. Imports matplotlib.
    """
    rows = [row for row in rows if not row.note]
    if not rows:
        raise ValueError("no row has a figure to draw")
    places = list(dict.fromkeys(row.to for row in rows))
    panels = [[row for row in rows if row.to == place] for place in places]
    drawn = figure(9.6, 4.0)
    for axes, panel in zip(drawn.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        fill(axes, panel)
        axes.set_xlim(0, max(row.cpu for row in rows) * 1e3 * 1.75)  # room for the labels
        axes.set_ylim(max(map(len, panels)) - 0.4, -0.6)
    drawn.suptitle(
        f"A file of {rows[0].size // MIB:,} MiB, at the sender: CPU time, and what is copied",
        x=0.01, ha="left", fontsize=12, fontweight="bold",
    )  # fmt: skip
    return drawn


def fill(axes: Axes, rows: Sequence[Row]) -> None:
    """Draw the ways to one place, the first row at 0."""
    places = range(len(rows))
    axes.barh(places, [row.cpu * 1e3 for row in rows], color=LIGHT["a"], height=0.5)
    for place, row in zip(places, rows, strict=True):
        axes.annotate(
            f"{number(row.cpu * 1e3)} ms\n{what_is_copied(row)}", (row.cpu * 1e3, place), (5, 0),
            textcoords="offset points", va="center", fontsize=9, linespacing=1.25,
        )  # fmt: skip
    axes.set_yticks(list(places), [row.way.replace(", MSG", ",\nMSG") for row in rows])
    to = rows[0].to
    where = "over TCP on loopback" if to == "TCP" else f"to {to}"
    axes.set_title(where, fontsize=10, pad=6)
    axes.set_xlabel("CPU time, ms", fontsize=10)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="both", labelsize=10)
    axes.grid(False)


def what_is_copied(row: Row) -> str:
    """The bytes copied, as a label."""
    if not row.bytes_copied:
        return "nothing copied"
    after_all = " after all" if row.copied else ""
    return f"{number(row.bytes_copied // MIB)} MiB copied{after_all}"


def alt(rows: Sequence[Row]) -> str:
    """What the picture shows, in words."""
    rows = [row for row in rows if not row.note]
    return f"CPU time of sending {rows[0].size // MIB:,} MiB: " + "; ".join(
        f"{row.way} to {row.to}: {number(row.cpu * 1e3)} ms, {what_is_copied(row)}" for row in rows
    )
