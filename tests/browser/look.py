"""See a notebook as a learner does: run it in JupyterLab and take a picture of every screenful.

    python -m tests.browser.look NOTEBOOK OUTDIR [--dark] [--width 1280] [--stored]

Prints the pictures' names and every error; the exit status is 1 when there was one. The notebook
itself is not written. With --stored it is opened but not run: what a reader sees first.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.browser.lab import (
    NO_BROWSER,
    browser,
    browser_path,
    jupyter_lab,
    run_all,
    screens,
    theme,
    watch,
)


def look(notebook: Path, outdir: Path, dark: bool, width: int, stored: bool) -> list[str]:
    """Take the pictures; return the errors."""
    with jupyter_lab(notebook.parent) as lab, browser() as chromium:
        page = chromium.new_page(viewport={"width": width, "height": 900})
        problems = watch(page)
        lab.open(page, notebook.name)
        if dark:
            theme(page, dark)
        if not stored:
            problems += run_all(page)
        shade = "dark" if dark else "light"
        for picture in screens(page, outdir, f"{notebook.stem}-{shade}-"):
            print(picture)
    return problems


def main() -> int:
    assert __doc__
    parser = argparse.ArgumentParser(
        prog="python -m tests.browser.look", description=__doc__.splitlines()[0]
    )
    parser.add_argument("notebook", type=Path)
    parser.add_argument("outdir", type=Path)
    parser.add_argument("--dark", action="store_true", help="in JupyterLab's dark theme")
    parser.add_argument("--width", type=int, default=1280, help="of the window, in pixels")
    parser.add_argument("--stored", action="store_true", help="do not run it")
    chosen = parser.parse_args()
    if not chosen.notebook.is_file():
        parser.error(f"there is no notebook {chosen.notebook}")
    if browser_path() is None:
        parser.error(NO_BROWSER)
    problems = look(**vars(chosen))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
