"""Recorded, deterministic runs: what a server does, step by step, and how the kernel stands.

    print(text(record("epoll", "slow-client")))

A scenario is a short script of what clients do. It is run against a real server on real sockets,
and whenever the server would sleep, the script takes its next step. So a recording is the same each
time. Read them in this order:

    scenario.py     the script, and its words
    scenarios.py    the library, each built to show one thing
    broken.py       servers that are wrong on purpose, for two of them
    recorder.py     runs the script: the clients, the clock, and who goes on
    clients.py      the clients; settling.py: how far what they did has come
    processes.py    the server's processes, as the recorder has them
    child.py        the process in which the server runs
    stage.py        how one thread at a time runs there
    stepping.py     the kernel object that the server makes its calls through;
                    watching.py: the three that wait for many at once; waking.py: who wakes
    looking.py      how the kernel stands, seen from within the server's process
    states.py       the same, put together with what the clients know
    building.py     the recording, out of what was written down
    words/          the sentence that goes with each step
    recording.py    the result, as data and as JSON
    text.py         the result as plain text
"""

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
