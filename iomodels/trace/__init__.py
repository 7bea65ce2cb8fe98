"""Recorded, deterministic runs: what a server does, step by step, and how the kernel stands.

    print(text(record("epoll", "slow-client")))

A scenario is a short script of what clients do. It is run against a real server on real sockets,
and whenever the server would sleep, the script takes its next step. So a recording is the same each
time. Read them in this order:

    scenario.py     the script, and its words
    scenarios.py    the library, each built to show one thing
    broken.py       servers that are wrong on purpose, for two of them
    recorder.py     runs the script: the clients, the clock, and who goes on
    child.py        the process in which the server runs
    stage.py        how one thread at a time runs there
    stepping.py     the kernel object that the server makes its calls through
    recording.py    the result, as data and as JSON
    words.py        the sentence that goes with each step
    text.py         a recording as plain text
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iomodels.trace.models import MODELS
    from iomodels.trace.processes import RecordingError
    from iomodels.trace.recorder import record
    from iomodels.trace.recording import Recording
    from iomodels.trace.scenario import Scenario, ScriptError, Settings
    from iomodels.trace.scenarios import models_for, scenario, scenarios
    from iomodels.trace.text import text

__all__ = [
    "MODELS",
    "Recording",
    "RecordingError",
    "Scenario",
    "ScriptError",
    "Settings",
    "models_for",
    "record",
    "scenario",
    "scenarios",
    "text",
]

# Where each is. Imported when it is asked for: each recording starts a child (child.py), which is
# in this package, and needs none of them.
PLACES = {
    "models": ("MODELS",),
    "processes": ("RecordingError",),
    "recorder": ("record",),
    "recording": ("Recording",),
    "scenario": ("Scenario", "ScriptError", "Settings"),
    "scenarios": ("models_for", "scenario", "scenarios"),
    "text": ("text",),
}
MODULES = {name: module for module, names in PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # A module of the package may have the name of a function in it: ask for the function.
    found = getattr(importlib.import_module(f"{__name__}.{MODULES[name]}"), name)
    globals()[name] = found
    return found
