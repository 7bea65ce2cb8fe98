"""One hand for everything that a notebook shows: its colours, its charts, its sentences.

Where the looks come from. A notebook is read in many places: JupyterLab (light or dark), VS Code,
an exported page, a code host. The colours are custom properties, `--io-ink` and so on, that `css()`
sets on the class `iomodels`: they follow JupyterLab's own variables where those exist and fall
back to the two palettes below where they do not. The five accents can be told apart with any of
the three kinds of colour blindness, in both palettes (a test simulates it); still, nothing is said
by colour alone.

How a chart is shown. `show(figure, alt)` draws it once, as SVG, and puts it into the page twice,
as an `<img>` in the light palette and one in the dark: the style sheet shows the one that fits.
That is more than needed where the page may be trusted; but JupyterLab strips an inline `<svg>`,
every `<style>` and every `aria-label` from the stored outputs of a notebook that this user has not
yet run, and a code host does so always. `<img alt>` survives both, and then the light one is seen.

What a test compares. Strict nbval compares every output of type text/plain and text/html with the
stored one. A measured figure differs in each run, so it stands between two comments (`measured()`),
and `tests/nbval_sanitize.cfg` removes what is between them from both sides.
"""

from __future__ import annotations

import base64
import html
import io
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# ink, dim: text; line: rules and axes; panel, kernel: backgrounds; on: text on an accent;
# new: behind what has just changed; run, sleep: a process that runs or sleeps, what is right or
# wrong; a, b, c: whatever there are several of, clients above all.
LIGHT = {
    "ink": "#22252b",
    "dim": "#5f656e",
    "line": "#d6d3ca",
    "panel": "#fefefe",
    "kernel": "#f1f4f8",
    "on": "#ffffff",
    "new": "#ffe9a8",
    "run": "#08704f",
    "sleep": "#a43f12",
    "a": "#2577d3",
    "b": "#84428f",
    "c": "#ab7600",
}
DARK = {
    "ink": "#e7e6e1",
    "dim": "#a0a5ad",
    "line": "#3d4249",
    "panel": "#1d2026",
    "kernel": "#1a212b",
    "on": "#15171b",
    "new": "#5a4a15",
    "run": "#54b988",
    "sleep": "#d87d48",
    "a": "#6fc3ff",
    "b": "#c283cc",
    "c": "#f3c158",
}
# What the page itself has a word for is taken from there.
PAGE = {
    "ink": "--jp-content-font-color1",
    "dim": "--jp-content-font-color2",
    "line": "--jp-border-color2",
    "panel": "--jp-layout-color1",
}
# Who is dark: JupyterLab and what nbconvert exports; VS Code; a Sphinx book.
_DARK_PAGES = ('[data-jp-theme-light="false"]', ".vscode-dark", '[data-theme="dark"]')


def css() -> str:
    """The style sheet that every view starts with: the custom properties, then the common rules.

    A view puts the class `iomodels` on its outermost element.
    """

    def properties(palette: dict[str, str]) -> str:
        return " ".join(
            f"--io-{name}: {f'var({PAGE[name]}, {colour})' if name in PAGE else colour};"
            for name, colour in palette.items()
        )

    def dark(inside: str) -> str:
        return ", ".join(f"{page} {inside}" for page in _DARK_PAGES)

    return (
        f".iomodels {{ {properties(LIGHT)} }}\n{dark('.iomodels')} {{ {properties(DARK)} }}\n"
        f"{Path(__file__).with_suffix('.css').read_text(encoding='utf-8')}"
        f"{dark('.iomodels img.io-dark')} {{ display: block; }}\n"
        f"{dark('.iomodels img.io-light')} {{ display: none; }}\n"
    )


# --- text ---


def inline(text: str) -> str:
    """Plain text as HTML; what stands between backquotes becomes code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def number(value: float) -> str:
    """A figure as one reads it: three significant digits, thousands apart, no exponent.

    An int stays exact: 65536 is "65,536". 0.04321 is "0.0432", 812.4 is "812", 1234567.0 is
    "1,230,000".
    """
    if isinstance(value, float):
        if value == 0 or not math.isfinite(value):
            return f"{value:g}"
        digits = 2 - math.floor(math.log10(abs(value)))
        value = round(value, digits)
        if digits > 0:
            return f"{value:,.{digits}f}".rstrip("0").rstrip(".")
        value = int(value)
    return f"{value:,}"


def measured(markup: str) -> str:
    """HTML which may differ in the next run: nbval leaves it out of its comparison.

    One such part does not stand within another.
    """
    return f"<!-- measured -->{markup}<!-- /measured -->"


def output(markup: str, plain: str, sheet: str = "") -> None:
    """Show HTML under the common style sheet (and one more); `plain` is what a terminal shows."""
    from IPython.display import display

    bundle = {"text/html": page(markup, sheet), "text/plain": plain}
    display(bundle, raw=True)  # type: ignore[no-untyped-call]


def page(markup: str, sheet: str = "") -> str:
    """The HTML of a whole output: style sheet and markup, under the class that the sheet is for."""
    return f'<div class="iomodels"><style>{css()}{sheet}</style>{markup}</div>'


def sentence(text: str, accent: str = "a") -> str:
    """HTML for a sentence that matters, with a bar in one of the accents; `code` is code."""
    text = text.replace(" %", "\N{NO-BREAK SPACE}%")  # no line begins with it
    return f'<p class="io-say" style="border-color: var(--io-{accent})">{inline(text)}</p>'


def say(text: str) -> None:
    """Show a sentence that was computed from the figures just measured; `code` is code."""
    output(measured(sentence(text)), "<sentence>")


# --- pictures ---


def picture(svg: str, alt: str) -> str:
    """HTML that shows an SVG drawn in the light palette, in whichever palette the page has.

    `svg` is a whole `<svg>` element with a viewBox; `alt` says in words what it shows.
    """
    dark_of = {LIGHT[name]: DARK[name] for name in LIGHT}
    dark = re.sub(r"#[0-9a-f]{6}\b", lambda found: dark_of.get(found[0], found[0]), svg)
    # Paper under the light one: where no style sheet applies, it may be seen on a dark page.
    paper = re.sub(
        r"<svg[^>]*>", rf'\g<0><rect width="100%" height="100%" fill="{LIGHT["on"]}"/>', svg
    )

    def img(drawing: str, attributes: str) -> str:
        data = base64.b64encode(drawing.encode()).decode()
        return f'<img {attributes} alt="{html.escape(alt)}" src="data:image/svg+xml;base64,{data}">'

    return img(paper, 'class="io-light"') + img(dark, 'class="io-dark" hidden="hidden"')


def charts() -> None:
    """Give every matplotlib figure made from now on the course's looks. Imports matplotlib."""
    import matplotlib
    from cycler import cycler

    lines = ("a", "c", "b", "run", "sleep")
    matplotlib.rcParams.update(
        {
            "axes.prop_cycle": cycler(color=[LIGHT[name] for name in lines])
            + cycler(marker=["o", "s", "^", "D", "v"]),
            "axes.axisbelow": True,
            "axes.edgecolor": LIGHT["dim"],
            "axes.facecolor": "none",
            "axes.grid": True,
            "axes.labelcolor": LIGHT["ink"],
            "axes.labelsize": 11,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlelocation": "left",
            "axes.titlesize": 13,
            "axes.titleweight": "bold",
            "axes.titlepad": 12,
            "figure.facecolor": "none",
            "figure.constrained_layout.use": True,
            "font.family": ["DejaVu Sans"],
            "font.size": 11,
            "grid.color": LIGHT["line"],
            "grid.linewidth": 0.8,
            "legend.frameon": False,
            "lines.linewidth": 2.2,
            "lines.markersize": 6,
            "patch.edgecolor": "none",
            "savefig.facecolor": "none",
            "svg.fonttype": "none",
            "text.color": LIGHT["ink"],
            "xtick.color": LIGHT["dim"],
            "xtick.labelcolor": LIGHT["ink"],
            "ytick.color": LIGHT["dim"],
            "ytick.labelcolor": LIGHT["ink"],
        }
    )


def figure(width: float = 8.0, height: float = 3.8) -> Figure:
    """An empty figure in the course's looks, in inches of 96 pixels; call its `subplots()`.

    It does not go through pyplot: nothing is kept open, and nothing is drawn a second time.
    """
    charts()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def plain_ticks(axes: Axes) -> None:
    """Write 1,000 on both axes, where matplotlib would write a power of ten on a log scale."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _position: number(float(value)))


def show(figure: Figure, alt: str) -> None:
    """Show a matplotlib figure; `alt` says in words, with its figures, what can be seen in it."""
    if not alt.strip():
        raise ValueError("show(): alt is empty; say in words what the chart shows")
    # The margin: a chart's title is not to touch what was printed above it.
    chart = f'<div style="margin-top: 10px">{picture(_svg(figure), alt)}</div>'
    output(measured(chart), "<chart>")


def _svg(figure: Figure) -> str:
    """The figure as one <svg> element, its text as text in the reader's own font."""
    buffer = io.StringIO()
    no_metadata: dict[str, Any] = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=no_metadata)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    # matplotlib lays out with the one font it brings along, which is wider than most.
    return svg.replace("'DejaVu Sans'", "system-ui, 'DejaVu Sans', sans-serif")
