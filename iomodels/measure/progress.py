"""What is shown while something takes more than a second.

    with progress("8 servers, 2 s each") as step:
        step(0.5, "epoll")

In a terminal it is a bar on stderr; in a notebook, one that vanishes when it is done
(`iomodels.course` sees to that); where stderr goes into a file, nothing. Whoever is called while a
bar is shown shows none: the outer one knows better how far it is.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

Step = Callable[[float, str], None]  # how much is done, 0 to 1; and what is being done
Bar = Callable[[str], contextlib.AbstractContextManager[Step]]

_shown = False


@contextlib.contextmanager
def progress(title: str) -> Iterator[Step]:
    """Show a bar until the block ends, however it ends."""
    global _shown
    if _shown:
        yield lambda done, what: None
        return
    _shown = True
    try:
        with bar(title) as step:
            yield step
    finally:
        _shown = False


@contextlib.contextmanager
def terminal(title: str) -> Iterator[Step]:
    """A bar on stderr, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, what: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(title, total=1.0)
        yield lambda done, what: shown.update(task, completed=done, description=f"{title}: {what}")


bar: Bar = terminal  # a notebook puts its own here
