"""A card in a notebook: a widget for a live kernel, and the same as plain HTML for everywhere else.

An output holds both. JupyterLab takes the widget; an exported page, a code host, and a notebook
that was opened but not yet run take the HTML. That HTML and the text beside it are the same in
every run, and nbval does not compare the widget's own entry, whose id is random: a card needs no
help to be stable under strict nbval.

For storing a notebook: JupyterLab says "model not found" for a widget whose kernel is gone.
`iomodels.course.store` therefore leaves the widget's entry out, and a reader sees the HTML until
the cell is run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anywidget import AnyWidget
from IPython.display import display

from iomodels.views import style


def source(name: str) -> str:
    """The text of a file beside this one."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def module(name: str) -> str:
    """A card's JavaScript module: what all cards share, then its own file. There is no bundler."""
    return source("card.js") + source(name)


SHEET = source("card.css")


class Card(AnyWidget):
    """A widget that knows its static form. A subclass sets `_esm` to `module("its.js")`."""

    _css = style.css() + SHEET

    def __init__(self, static: str, text: str, **state: Any) -> None:
        """`static` is the HTML where there is no kernel, `text` what a terminal shows."""
        super().__init__(**state)
        self.static = static
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **options: Any) -> Any:
        bundle, metadata = super()._repr_mimebundle_(**options)  # type: ignore[misc]
        return bundle | {"text/html": style.page(self.static, SHEET)}, metadata

    def show(self) -> None:
        """Show the card below the cell that runs now."""
        display(self)  # type: ignore[no-untyped-call]


def frame(kind: str, markup: str) -> str:
    """The HTML of a card that says at its top what kind of card it is."""
    return (
        f'<div class="io-card" role="group" aria-label="{kind}">'
        f'<p class="io-kind"><b>{kind}</b></p>{markup}</div>'
    )
