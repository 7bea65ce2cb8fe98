"""A bar in a notebook while one waits, which vanishes when it is done.

`iomodels.course` puts it in the place of the terminal's. Nothing of it is stored that a reader
could see: the bar is a widget, and a widget that is closed leaves the page.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import traitlets

from iomodels.course.card import Card
from iomodels.measure import progress

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

ESM = """
export default {
  render({ model, el }) {
    const bar = document.createElement("progress");
    const label = document.createElement("span");
    bar.max = 1;
    const draw = () => {
      bar.value = model.get("done");
      label.textContent = `${model.get("title")} ${model.get("what")}`.trim();
    };
    bar.setAttribute("aria-label", model.get("title"));
    el.classList.add("iomodels");
    el.append(bar, " ", label);
    bar.style.accentColor = "var(--io-a)";
    label.style.color = "var(--io-dim)";
    model.on("change", draw);
    draw();
  },
};
"""


class ProgressCard(Card):
    """The widget: `done` from 0 to 1, and what is being done."""

    _esm = ESM
    title = traitlets.Unicode().tag(sync=True)
    what = traitlets.Unicode().tag(sync=True)
    done = traitlets.Float(0.0).tag(sync=True)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        bundle, metadata = super()._repr_mimebundle_(**options)
        return bundle | {"text/html": ""}, metadata


@contextlib.contextmanager
def notebook(title: str) -> Iterator[progress.Step]:
    """Show a bar below the cell that runs now, until the block ends."""
    card = ProgressCard(static="", text="<progress>", title=title)
    card.show()

    def step(done: float, what: str) -> None:
        card.done, card.what = done, what

    try:
        yield step
    finally:
        card.close()


def use_in_notebooks(shell: InteractiveShell) -> None:
    """Show this bar, and not the terminal's, in a kernel that has a page to show it on."""
    if hasattr(shell, "kernel"):
        progress.bar = notebook
