"""One hand for looks: colours that everybody can tell apart, charts with alt text."""

from __future__ import annotations

import base64
import itertools
import math
import re
import subprocess
import sys
from typing import Any
from xml.etree import ElementTree

import pytest

from iomodels.views import style

RGB = tuple[float, float, float]
ACCENTS = ("run", "sleep", "a", "b", "c")
PALETTES = {"light": style.LIGHT, "dark": style.DARK}

# Machado, Oliveira, Fernandes 2009: what is seen without one kind of cone, in linear RGB.
SEEN_BY = {
    "everybody": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protanopes": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216),
                   (-0.003882, -0.048116, 1.051998)),
    "deuteranopes": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413),
                     (-0.011820, 0.042940, 0.968881)),
    "tritanopes": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602),
                   (0.004733, 0.691367, 0.303900)),
}  # fmt: skip


def linear(colour: str) -> RGB:
    """#rrggbb as linear RGB, each 0 to 1 (IEC 61966-2-1)."""
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return r, g, b


def luminance(colour: str) -> float:
    r, g, b = linear(colour)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    """Contrast ratio, WCAG 2.2: 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def lab(colour: str, seen_by: str) -> RGB:
    """CIE L*a*b*: the distance between two points is the difference that is seen."""
    seen = (
        sum(m * part for m, part in zip(row, linear(colour), strict=True))
        for row in SEEN_BY[seen_by]
    )
    r, g, b = (min(1.0, max(0.0, part)) for part in seen)
    x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


@pytest.mark.parametrize("palette", PALETTES)
def test_text_and_marks_stand_out(palette: str) -> None:
    colours = PALETTES[palette]
    for text, ground in itertools.product(("ink", "dim"), ("panel", "kernel")):
        assert contrast(colours[text], colours[ground]) >= 4.5  # WCAG 1.4.3: text
    assert contrast(colours["ink"], colours["new"]) >= 4.5
    for accent in ACCENTS:
        assert contrast(colours[accent], colours["panel"]) >= 3  # WCAG 1.4.11: graphics
    for accent in ("run", "sleep", "a"):  # these carry text, or are text
        assert contrast(colours[accent], colours["panel"]) >= 4.4
        assert contrast(colours["on"], colours[accent]) >= 4.4


@pytest.mark.parametrize("seen_by", SEEN_BY)
@pytest.mark.parametrize("palette", PALETTES)
def test_accents_can_be_told_apart(palette: str, seen_by: str) -> None:
    colours = PALETTES[palette]
    for one, other in itertools.combinations(ACCENTS, 2):
        difference = math.dist(lab(colours[one], seen_by), lab(colours[other], seen_by))
        assert difference >= 14, f"{one} and {other}"


def test_the_palettes_name_the_same_colours_and_no_colour_twice() -> None:
    assert style.LIGHT.keys() == style.DARK.keys()
    assert len(set(style.LIGHT.values())) == len(style.LIGHT)  # picture() maps one to the other


def test_the_style_sheet_follows_the_page() -> None:
    sheet = style.css()
    assert f"--io-ink: var(--jp-content-font-color1, {style.LIGHT['ink']})" in sheet
    assert '[data-jp-theme-light="false"] .iomodels' in sheet
    assert sheet.count("{") == sheet.count("}")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"), (50, "50"), (65536, "65,536"), (812.4, "812"), (0.04321, "0.0432"),
        (1234567.0, "1,230,000"), (12.0, "12"), (-3.14159, "-3.14"), (99.95, "100"),
        (1e-7, "0.0000001"), (math.inf, "inf"),
    ],
)  # fmt: skip
def test_figures_are_written_to_be_read(value: float, written: str) -> None:
    assert style.number(value) == written


def test_code_in_a_text_is_code_and_markup_is_not() -> None:
    assert style.inline("`a<b` & <b>") == "<code>a&lt;b</code> &amp; &lt;b&gt;"


def test_a_sentence_breaks_before_no_percent_sign() -> None:
    assert "measured 1.06: 6\N{NO-BREAK SPACE}% more" in style.sentence("measured 1.06: 6 % more")


def pictures(html: str) -> list[tuple[str, str, ElementTree.Element]]:
    """Class, alt text and drawing of each picture in a page."""
    return [
        (kind, alt, ElementTree.fromstring(base64.b64decode(data)))
        for kind, alt, data in re.findall(
            r'<img class="([\w-]+)"[^>]* alt="([^"]*)" src="data:image/svg\+xml;base64,([^"]+)"',
            html,
        )
    ]


def test_a_picture_comes_in_both_palettes_with_its_alt_text() -> None:
    ink, paper = style.LIGHT["ink"], style.LIGHT["on"]
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path fill="{ink}"/></svg>'
    light, dark = pictures(style.picture(svg, 'poll "rises"'))
    assert (light[0], dark[0]) == ("io-light", "io-dark")
    assert light[1] == dark[1] == "poll &quot;rises&quot;"
    assert [element.get("fill") for element in light[2]] == [paper, ink]
    assert [element.get("fill") for element in dark[2]] == [style.DARK["ink"]]


def test_a_figure_is_shown_with_alt_text_and_leaves_none_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("matplotlib")
    shown: list[dict[str, str]] = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append(bundle))
    figure = style.figure()
    axes = figure.subplots()
    axes.plot([1, 1000, 100_000], [1, 2, 3], label="poll")
    axes.set(xscale="log", xlabel="fds")
    style.plain_ticks(axes)
    style.show(figure, "Poll rises.")

    (bundle,) = shown
    assert bundle["text/plain"] == "<chart>"
    (_, alt, light), (_, _, dark) = pictures(bundle["text/html"])
    assert alt == "Poll rises."
    assert {"fds", "1,000", "100,000"} <= {text.text for text in light.iterfind(".//{*}text")}
    drawn = ElementTree.tostring(light).decode(), ElementTree.tostring(dark).decode()
    assert style.LIGHT["a"] in drawn[0]
    assert style.DARK["a"] in drawn[1]
    assert style.LIGHT["a"] not in drawn[1]

    with pytest.raises(ValueError, match="alt is empty"):
        style.show(figure, " ")
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )


def test_what_was_measured_is_marked_for_nbval(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append(bundle))
    style.say("`poll` took 31 µs.")
    (bundle,) = shown
    assert bundle["text/plain"] == "<sentence>"
    kept = re.sub(r"(?s)<!-- measured -->.*?<!-- /measured -->", "", bundle["text/html"])
    assert "<code>poll</code> took 31 µs." in bundle["text/html"]
    assert "31" not in kept


def test_importing_the_style_imports_no_library() -> None:
    code = "import sys, iomodels.views.style as s; print({'matplotlib', 'IPython', 'numpy'} & "
    code += "set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "set()", result.stderr
