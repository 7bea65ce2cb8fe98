"""Run notebooks and store them as a reader should find them: executed, with cards that can be read.

    python -m iomodels.course.store notebooks/*.ipynb

Left out of what is stored: the entries of widgets, whose kernel will be gone when the notebook is
opened again (JupyterLab would say "model not found" where the card's HTML can stand), and times
and versions, which would differ each time. On which machine and what day it was, a lesson says
once, at its top.
"""

from __future__ import annotations

import datetime
import platform
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbformat.reader import NotJSONError

from iomodels.measure.machine import in_general

WIDGET = "application/vnd.jupyter.widget-view+json"
CELL_WITHIN = 120  # seconds


def store(path: Path) -> None:
    """Run a notebook in a kernel of its own, started in the notebook's folder, and write it back.

    Raises CellExecutionError, and writes nothing, when a cell fails, and CellTimeoutError when one
    takes longer than CELL_WITHIN.
    """
    notebook: Any = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(
        notebook,
        timeout=CELL_WITHIN,
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    stamp(notebook)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop(WIDGET, None)
    notebook.metadata.pop("widgets", None)
    notebook.metadata.get("language_info", {}).pop("version", None)
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]


def stamp(notebook: Any) -> None:
    """Say below a lesson's title where and when its figures were measured."""
    title = notebook.cells[0]
    if "**Time:**" not in title.source:
        return
    today = datetime.date.today()
    title.source = re.sub(r"\n\n\*Stored on [^\n]*", "", title.source) + (
        f"\n\n*Stored on {today.day} {today:%B %Y}: {in_general()},"
        f" Python {platform.python_version()}. Run the cells, and the figures are yours.*"
    )


def main(paths: list[str]) -> int:
    """Store each notebook; the exit status is 1 when one could not be stored."""
    if not paths:
        print("name the notebooks to run and store", file=sys.stderr)
        return 2
    failed = 0
    for path in map(Path, paths):
        try:
            store(path)
        except CellTimeoutError:
            print(f"{path}: not stored, a cell took longer than {CELL_WITHIN} s", file=sys.stderr)
            failed = 1
        except (OSError, NotJSONError) as error:
            reason = getattr(error, "strerror", None) or "this is not a notebook"
            print(f"{path}: not stored, {reason}", file=sys.stderr)
            failed = 1
        except CellExecutionError as error:
            print(f"{path}: not stored, a cell failed\n{error}", file=sys.stderr)
            failed = 1
        else:
            print(f"{path}: stored")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
