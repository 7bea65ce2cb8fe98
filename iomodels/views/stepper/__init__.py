"""The stepper: a recorded run of a server, step by step, as a place where things happen.

    stepper(recording)             in a notebook
    stepper(select, epoll)         two servers, the same clients, one timeline
    html(recording)                a page of its own, for a file

A recording is what `iomodels.trace` makes, or the same as plain data: the steps of one run, each
with the sentence that says what happened and whatever it changed. The viewer adds the changes up.

How it travels. Nothing in it needs a kernel, or a network: recording, program and style sheet stand
in the output itself, as HTML. So a stepper works where it was made, in the notebook that was saved
and is opened again, in an exported page, and in a file. That is why its output has no entry for
the widget manager, which says "model not found" when the kernel is gone; inside other widgets
(`HBox` and so on) it is an anywidget like any other. JupyterLab runs no script from a notebook that
this user has not yet run or trusted, nor does a code host: there the output shows the sentence, the
lanes of time as a picture, and all steps as text (see static.py).

The program: states.js adds up and aligns; source.js, kernel.js and picture.js draw one run, and
moves.js lets its bytes fly; timeline.js draws the lanes; stepper.js has the buttons and the keys.
They are joined into one module; there is no bundler.
"""

from __future__ import annotations

import base64
import gzip
import html as markup
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import traitlets
from anywidget import AnyWidget

from iomodels.views import style
from iomodels.views.stepper.static import Recording, heading, moments, plain, static

__all__ = ["Stepper", "html", "stepper"]

FORMAT = 1

HERE = Path(__file__).parent
PARTS = (
    "states.js",
    "elements.js",
    "source.js",
    "kernel.js",
    "picture.js",
    "moves.js",
    "timeline.js",
    "stepper.js",
)
MODULE = "\n".join((HERE / part).read_text(encoding="utf-8") for part in PARTS)
SHEET = (HERE / "stepper.css").read_text(encoding="utf-8")
PAGE = """
body { margin: 0; background: #fbfaf7; }
[data-theme="dark"] body { background: #15171b; }
main { max-width: 1560px; margin: 0 auto; padding: 8px 16px; }
"""
# Which palette a page of its own has: the reader's system says.
THEME = """
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => { document.documentElement.dataset.theme = dark.matches ? "dark" : "light"; };
dark.addEventListener("change", follow);
follow();
"""


def stepper(recording: Recording, other: Recording | None = None, *, at: int = 1) -> Stepper:
    """A widget that shows one run, or two of the same scenario side by side.

    It begins at step `at`, counted from 1; with two runs, at that moment of the common timeline.
    Raises ValueError for what is not a recording, for two that do not go together, and for a step
    that is not there.
    """
    return Stepper(_checked(recording, other, at), at)


def html(recording: Recording, other: Recording | None = None, *, at: int = 1) -> str:
    """One HTML page that shows the same, without kernel and network. Raises as `stepper()` does."""
    recordings = _checked(recording, other, at)
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{markup.escape(heading(recordings))}</title>"
        f"<style>{PAGE}</style><script>{THEME}</script></head>\n"
        f"<body><main>{_output(recordings, at)}</main></body>\n</html>\n"
    )


class Stepper(AnyWidget):
    """What `stepper()` returns; its output is HTML that needs no kernel."""

    _esm = MODULE
    _css = style.css()
    packed = traitlets.Unicode().tag(sync=True)
    sheet = traitlets.Unicode(SHEET).tag(sync=True)

    def __init__(self, recordings: Sequence[Recording], at: int = 1) -> None:
        """`recordings` are one or two that were checked."""
        super().__init__(packed=pack(recordings, at))
        self._recordings, self._at = recordings, at

    def __repr__(self) -> str:
        return f"stepper: {heading(self._recordings)}"

    def _repr_mimebundle_(self, **_options: Any) -> Any:
        shown = style.measured(_output(self._recordings, self._at))
        return {"text/html": shown, "text/plain": repr(self)}, {}


def pack(recordings: Sequence[Recording], at: int) -> str:
    """The recordings as the viewer reads them: JSON, compressed, in base64."""
    data = json.dumps({"recordings": list(recordings), "at": at}, separators=(",", ":"))
    return base64.b64encode(gzip.compress(data.encode(), mtime=0)).decode()


def _output(recordings: Sequence[Recording], at: int) -> str:
    """The static form, and the script that puts the stepper in its place."""
    program = MODULE.replace("export default { render };", "")
    start = (
        f"const host = document.currentScript.parentElement;\n{program}\n"
        f'unpack("{pack(recordings, at)}").then((data) => mount(host, data, {_js(SHEET)}));'
    )
    return (
        f'<div class="iomodels"><style>{style.css()}</style>{static(recordings, at)}'
        f"<script>(() => {{\n{start}\n}})();</script></div>"
    )


def _js(text: str) -> str:
    """A text as a string of JavaScript that may stand within a <script>."""
    return json.dumps(text).replace("<", "\\u003c")


def _checked(recording: Recording, other: Recording | None, at: int) -> list[Recording]:
    recordings = [plain(one) for one in (recording, other) if one is not None]
    for one in recordings:
        if not isinstance(one, Mapping) or one.get("format") != FORMAT:
            raise ValueError(f"this is not a recording in format {FORMAT}, as iomodels.trace makes")
        if not one["steps"]:
            raise ValueError(f"the recording {one['title']!r} has no steps")
    scenarios = [one["scenario"] for one in recordings]
    if len(set(scenarios)) > 1:
        raise ValueError(
            f"side by side go two runs of one scenario, not {' and '.join(map(repr, scenarios))}"
        )
    last = len(moments(recordings))
    if not 1 <= at <= last:
        raise ValueError(f"at={at}: the steps are 1 to {last}")
    return recordings
