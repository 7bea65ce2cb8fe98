"""What holds for every test, and how many cases of the matrix were run."""

from __future__ import annotations

import gc
import os
import signal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import tests.kernels  # noqa: F401  the ports of the kernels that tests start
from iomodels.servers import MODELS, missing

# Nothing is timed: on a busy machine any example may take long, and that says nothing about it.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# Wherever numpy is imported, OpenBLAS would start a thread for each CPU, to spin for a while.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A shell starts what runs in the background with SIGINT ignored, and every child inherits that. The
# tests send it to children of theirs, who must hear it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# They take a minute or more, the first ones most. A file is for one process, and the last one
# should not run alone.
LONG = (
    "test_recordings", "test_wrong_answers", "test_matrix", "test_copies", "test_clients",
    "test_servers", "test_load", "test_command_line", "test_meter", "test_nbgrader", "test_memory",
    "test_crowds", "test_project",
)  # fmt: skip


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: Any, log: Any) -> Any:
    """A file is for one process, and the browser's for two: each starts a Chromium and its labs."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            folder, _, name = nodeid.partition("::")[0].rpartition("/")
            return f"{folder} {name < 'test_m'}" if folder.endswith("browser") else folder + name

    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the browser's tests first, then those of other files that take long.

    Skip those of a server that this machine cannot run.
    """

    def place(item: pytest.Item) -> int:
        if item.path.parent.name == "browser":
            return -1
        return LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG)

    items.sort(key=place)
    absent = {model: reason for model in MODELS if (reason := missing(model))}
    for item in items:
        given = getattr(item, "callspec", None)
        for value in given.params.values() if given else ():
            for each in value if isinstance(value, tuple) else (value,):
                if isinstance(each, str) and each in absent:
                    item.add_marker(pytest.mark.skip(absent[each]))


def pytest_collection_finish() -> None:
    """Leave ten thousand tests out of each garbage collection from now on."""
    gc.freeze()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    def ran(test: str) -> int:
        return sum(
            test in getattr(report, "nodeid", "")
            for outcome in ("passed", "failed")
            for report in terminalreporter.stats.get(outcome, ())
        )

    if cases := ran("tests/servers/test_matrix.py"):
        terminalreporter.write_line(
            f"Servers and faults: {cases} cases were run, a hundred clients in each"
        )
    if pairs := ran("test_a_recording_is_the_same_each_time_and_true"):
        terminalreporter.write_line(
            f"Recordings: {pairs} pairs of a scenario and a model, each recorded twice"
        )
    if wrong := ran("test_a_wrong_answer_is_told_what_is_wrong"):
        terminalreporter.write_line(
            f"Exercises: {wrong} wrong answers to {ran('test_an_exercise_has_its_parts')} of them"
        )
