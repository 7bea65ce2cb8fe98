"""The picture of what a wake-up costs: a line for each way, on log axes, its slope beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iomodels.measure.multiplexing import Curves
from iomodels.views.style import figure, number, plain_ticks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

APART = 0.075  # of the axis: two labels at the end of their lines stand as far apart, at least


def draw(curves: Curves) -> Figure:
    """Draw the curves of `against_fds` or `against_ready`. Imports matplotlib.

    On log axes a power law is a straight line: ten times the size, ten times the cost, is slope 1.
    The slope beside a line is fitted to its larger sizes, where the size is what costs.
    """
    drawn = figure(9.0, 4.6)
    axes = drawn.subplots()
    axes.set_xscale("log")
    axes.set_yscale("log")
    for way in curves.ways:
        points = curves.of(way)
        sizes = [curves.size(point) for point in points]
        axes.plot(sizes, [point.seconds * 1e6 for point in points], label=way)
    label_ends(drawn, curves)
    plain_ticks(axes)
    axes.minorticks_off()
    axes.set_ylabel("µs for one wake-up · log scale")
    if curves.against == "fds":
        ready = curves.points[0].ready
        axes.set_xlabel(f"fds that are watched, {ready:,} of them ready · log scale")
        axes.set_title("What a wake-up costs, against what is watched")
    else:
        watched = curves.points[0].fds
        axes.set_xlabel(f"fds that are ready, of {watched:,} that are watched · log scale")
        axes.set_title("What a wake-up costs, against what is ready")
    return drawn


def label_ends(drawn: Figure, curves: Curves) -> None:
    """Write each way's name and slope at the end of its line, and none over another."""
    (axes,) = drawn.axes
    largest = max(curves.size(point) for point in curves.points)
    axes.set_xlim(right=largest * 1.15)
    drawn.draw_without_rendering()  # now the scales are known
    ends = []
    for way, line in zip(curves.ways, axes.lines, strict=True):
        last = curves.of(way)[-1]
        place = axes.transAxes.inverted().transform(
            axes.transData.transform((curves.size(last), last.seconds * 1e6))
        )
        ends.append((float(place[1]), float(place[0]), way, str(line.get_color())))
    lowest = -1.0
    for height, along, way, colour in sorted(ends):
        lowest = max(height, lowest + APART)
        axes.annotate(
            f"{way}, {slope(curves, way)}", (along, height), (1.02, lowest),
            xycoords="axes fraction", textcoords="axes fraction", va="center", fontsize=10,
            color=colour, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.8, "linestyle": ":"},
        )  # fmt: skip


def slope(curves: Curves, way: str) -> str:
    """The slope of a way, as a label. With z, what is rounded to zero has no sign."""
    return f"slope {curves.slope(way):z.2f}"


def alt(curves: Curves) -> str:
    """What the picture shows, in words."""
    against = "watched fds" if curves.against == "fds" else "ready fds"
    return f"Time of a wake-up against {against}, log axes: " + "; ".join(
        f"{way} goes from {number(points[0].seconds * 1e6)} µs at {curves.size(points[0]):,} to "
        f"{number(points[-1].seconds * 1e6)} µs at {curves.size(points[-1]):,}, "
        f"{slope(curves, way)} at its larger sizes"
        for way in curves.ways
        for points in [curves.of(way)]
    )
