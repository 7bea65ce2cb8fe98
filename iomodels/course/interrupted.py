"""Ctrl-C in a cell leaves nothing open.

IPython keeps the last exception, for %debug, and with its traceback the variables of each function
that it came through. A socket that was being connected at that moment is among them, and nobody
else has it: it would stay open until the next exception. So those variables are let go.
"""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def let_go() -> None:
    """After an interrupt: forget the variables of the functions that it has ended."""
    error: BaseException | None = getattr(sys, "last_value", None)
    if not isinstance(error, KeyboardInterrupt):
        return
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        for frame, _ in traceback.walk_tb(error.__traceback__):
            _ = frame.f_locals  # before 3.13 a copy, which is kept; brought up to date by asking
        error = error.__context__


def use_in_notebooks(shell: InteractiveShell) -> None:
    """Do so after each cell, once however often this is called."""
    if let_go not in shell.events.callbacks["post_execute"]:
        shell.events.register("post_execute", let_go)
