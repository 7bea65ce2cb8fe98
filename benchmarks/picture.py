"""The figures of a run as one picture: time per frame, echo rates, and memory.

What is ours is blue (and the bare scan green) among grey peers. Times and memory lie decades apart:
a log axis, and so points. Rates are bars.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks import idle
from iomodels.views.style import LIGHT, figure, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# In the picture of parsing: who is drawn, and how.
LINES = {
    "wsproto": ("dim", "v", "-"),
    "websockets": ("dim", "s", "-"),
    "aiohttp": ("dim", "^", "-"),
    "picows": ("sleep", "D", "-"),
    "ours, readable": ("a", "o", ":"),
    "ours, a view each": ("a", "o", "-"),
    "ours, scan in place": ("run", "o", "-"),
    "XOR alone, in place": ("dim", "", ":"),
}


def size(count: int) -> str:
    """A number of bytes, as one says it: 125 B, 16 KiB."""
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            return f"{count // unit} {name}"
    return f"{count} B"


def colour(name: str) -> str:
    if name.startswith("ours"):
        return LIGHT["a"]
    return LIGHT["line"] if name.startswith("floor") else "#a9aeb6"


def parsing(axes: Axes, result: dict[str, Any]) -> None:
    """Nanoseconds per frame, by size: both axes logarithmic."""
    for name, (ink, marker, line) in LINES.items():
        if took := result["ns"].get(name):
            axes.plot(
                list(took), list(took.values()), line, color=LIGHT[ink], marker=marker,
                label=name, linewidth=1.8, markersize=5,
            )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    sizes = list(next(iter(result["ns"].values())))
    axes.set_xticks(sizes, map(size, sizes))
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: number(float(value)))
    axes.set_title("ns to parse a frame, by its payload")
    axes.legend(fontsize=9.5, handlelength=2.4, loc="upper left", bbox_to_anchor=(1, 1))


def rates(axes: Axes, result: dict[str, float], title: str) -> None:
    """Messages per second, the first on top."""
    bars(axes, result, title)
    axes.barh(places(result), list(result.values()), color=[*map(colour, result)], height=0.62)
    axes.set_xlim(0, max(result.values()) * 1.3)


def memory(axes: Axes, result: dict[str, float]) -> None:
    """Bytes per connection, on a log axis."""
    bars(axes, result, "bytes of user memory per idle WebSocket", idle.words)
    axes.set_xscale("log")
    axes.set_xlim(0.5, max(result.values()) * 8)
    axes.hlines(places(result), 0.5, list(result.values()), color=LIGHT["line"], linewidth=1.5)
    for name, place in zip(result, places(result), strict=True):
        axes.plot(result[name], place, "o", color=colour(name), markersize=9)
    axes.tick_params(which="both", labelbottom=False)


def places(result: dict[str, float]) -> list[int]:
    return [*range(len(result))][::-1]


def bars(
    axes: Axes,
    result: dict[str, float],
    title: str,
    words: Callable[[float], str] = number,
) -> None:
    """What bars and points have in common: a name before, and a figure behind."""
    axes.set_title(title)
    axes.set_yticks(places(result), [name.removeprefix("floor: ") for name in result])
    for value, place in zip(result.values(), places(result), strict=True):
        axes.annotate(
            words(value), (value, place), (8, 0), textcoords="offset points", va="center",
            fontsize=9.5,
        )  # fmt: skip
    axes.set_ylim(-0.6, len(result) - 0.4)
    axes.grid(False)
    axes.tick_params(axis="both", which="both", length=0)
    axes.tick_params(axis="x", labelbottom=False)
    axes.spines["bottom"].set_visible(False)


# What each section draws: one panel, or more.
PANELS: dict[str, Callable[[Any], list[Callable[[Axes], None]]]] = {
    "parse": lambda result: [lambda axes: parsing(axes, result)],
    "websocket": lambda result: [
        lambda axes, n=n, found=found: rates(  # type: ignore[misc]
            axes, found, f"messages per second, {n} in flight"
        )
        for n, found in result.items()
    ],
    "idle": lambda result: [lambda axes: memory(axes, result)],
}


def draw(figures: dict[str, Any]) -> Figure:
    """Draw the sections that were measured, one below the other. Imports matplotlib."""
    there = [name for name in PANELS if figures.get(name)]
    panels = [panel for name in there for panel in PANELS[name](figures[name])]
    heights = [2.8] * len(panels)
    if there[0] == "parse":
        heights[0] = 4.2
    drawn = figure(9.4, sum(heights) + 0.3 * (len(panels) - 1))
    drawn.get_layout_engine().set(hspace=0.06)  # type: ignore[union-attr]
    axes = drawn.subplots(len(panels), 1, height_ratios=heights, squeeze=False)
    for place, panel in zip(axes.flat, panels, strict=True):
        panel(place)
    return drawn
