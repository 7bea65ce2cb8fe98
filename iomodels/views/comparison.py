"""The picture of a comparison: four figures for each model, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from iomodels.measure.comparison import Row
from iomodels.views.style import LIGHT, figure, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Title, the figure of a row, and whether the figures lie decades apart.
PANELS: tuple[tuple[str, Callable[[Row], float | None], bool], ...] = (
    ("messages per second", lambda row: row.report.rate, False),
    ("p99, milliseconds", lambda row: row.report.p99 * 1000, False),
    ("syscalls a message", lambda row: row.syscalls, False),
    ("switches a message", lambda row: row.switches, True),
)


def draw(rows: Sequence[Row]) -> Figure:
    """Draw the rows of a comparison. Imports matplotlib.

    A bar's length is its figure. Figures that lie decades apart are dots on a log axis.
    """
    drawn = figure(9.6, 1.5 + 0.33 * len(rows))
    panels = [panel for panel in PANELS if any(panel[1](row) for row in rows)]
    for axes, panel in zip(drawn.subplots(1, len(panels)), panels, strict=True):
        fill(axes, rows, *panel)
    for axes in drawn.axes[1:]:
        axes.set_yticklabels([])
    report = rows[0].report
    drawn.suptitle(
        f"Echo of {report.connections} clients: what each model makes of the same load",
        x=0.01, ha="left", fontsize=12, fontweight="bold",
    )  # fmt: skip
    return drawn


def fill(
    axes: Axes,
    rows: Sequence[Row],
    title: str,
    figure_of: Callable[[Row], float | None],
    decades: bool,
) -> None:
    """Draw one figure of each row; the first row is on top."""
    values = [figure_of(row) or 0.0 for row in rows]
    places = range(len(rows))[::-1]
    if decades:
        low, high = min(filter(None, values)), max(values)
        axes.set_xscale("log")
        axes.set_xlim(low / 2, high * (high / low) ** 0.6 * 3)
        axes.hlines(places, low / 2, values, color=LIGHT["line"], linewidth=1.5)
        axes.plot(values, places, "o", color=LIGHT["a"], markersize=8)
    else:
        axes.set_xlim(0, max(values) * 1.5)
        axes.barh(places, values, color=LIGHT["a"], height=0.6)
    for place, value in zip(places, values, strict=True):
        axes.annotate(
            number(float(value)), (value, place), (8 if decades else 4, 0),
            textcoords="offset points", va="center", fontsize=9,
        )  # fmt: skip
    axes.set_title(title, fontsize=10, pad=6)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_yticks(list(places), [row.model for row in rows])
    axes.tick_params(axis="both", which="both", length=0)
    axes.tick_params(axis="x", which="both", labelbottom=False)
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)


def alt(rows: Sequence[Row]) -> str:
    """What the picture shows, in words."""
    return "; ".join(
        f"{row.model}: {number(row.report.rate)} messages per second, "
        f"99 of 100 within {number(row.report.p99 * 1000)} ms"
        for row in rows
    )
