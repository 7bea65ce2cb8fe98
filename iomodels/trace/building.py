"""From what the recorder wrote down to a recording: words, changes, and the lines of the source."""

from __future__ import annotations

import ast
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from iomodels.trace.moments import Moment
from iomodels.trace.plain import shown
from iomodels.trace.recording import Recording, changes
from iomodels.trace.scenario import CLOCK, Scenario
from iomodels.trace.words import says

PACKAGE = Path(__file__).parent.parent
HELPERS = (  # files that serve several models
    "servers/accepting.py", "servers/connections.py", "servers/completions.py",
    "servers/alarms.py", "servers/mailboxes.py", "kernel/objects.py",
)  # fmt: skip


def build(
    model: str,
    idea: str,
    scenario: Scenario,
    made: str,
    names: dict[str, str],
    moments: Sequence[Moment],
) -> Recording:
    """Put a recording together; `names` are those of the server's threads and processes."""
    steps = []
    before: dict[str, Any] = {}
    for moment in moments:
        step = step_of(moment, before, names)
        step["changed"] = changes(before, moment.state)
        steps.append(step)
        before = moment.state
    return Recording(
        model=model,
        idea=idea,
        scenario=scenario.name,
        title=scenario.title,
        about=scenario.about,
        made=made,
        actors=actors_of(scenario, names),
        files=sources(moments),
        steps=steps,
    )


def actors_of(scenario: Scenario, names: dict[str, str]) -> list[dict[str, Any]]:
    """The lanes: the server's, then the clients', then the clock if it moves."""
    found = [{"id": key, "kind": "server", "name": name} for key, name in names.items()]
    for name in dict.fromkeys(act.actor for act in scenario.acts):
        about = scenario.clients.get(name, "")
        if name != CLOCK:
            found.append({"id": name, "kind": "client", "name": name, "about": about})
    if any(act.actor == CLOCK for act in scenario.acts):
        found.append({"id": CLOCK, "kind": "clock", "name": "clock"})
    return found


def step_of(moment: Moment, before: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """One step but for what it changed."""
    step: dict[str, Any] = {"actor": moment.actor, "kind": moment.kind}
    if moment.told:
        step["call"] = call_of(moment)
        step["text"] = text_of(step["call"], moment.kind)
        step |= lines_of(moment.told["where"])
    if moment.act:
        step["act"] = moment.number
        step["text"] = moment.act.line
    if moment.times > 1:
        step["times"] = moment.times
    step["says"] = says(moment, before, names)
    return step


def call_of(moment: Moment) -> dict[str, Any]:
    """A call, ready to show."""
    told = moment.told
    call = {"name": told["name"], "args": told["args"]}
    if moment.kind == "sleep":
        return call
    if "error" in told:
        return call | {"error": told["error"]}
    result = told["result"]
    if told["name"] in ("readv", "writev", "write"):
        result = f"{result} byte{'s' * (result != '1')}"
    call["result"] = result
    if told.get("moved"):
        call["data"] = shown(told["data"], told["moved"])
    return call


def text_of(call: dict[str, Any], kind: str) -> str:
    """A call as one line."""
    said = f"{call['name']}({call['args']})"
    if kind == "sleep":
        return f"{said} …"
    came = call.get("error") or call["result"]
    return f"{said} → {came}" if came else said


def lines_of(where: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """The line that made the call; and where that is a helper's, the line of the model's file."""
    if not where:
        return {}
    found = {"line": list(where[0])}
    own = next((list(line) for line in where if line[0] not in HELPERS), None)
    if own and own != found["line"]:
        found["via"] = own
    return found


# --- the source ---


def sources(moments: Sequence[Moment]) -> dict[str, list[dict[str, Any]]]:
    """The functions that steps point into, by file."""
    wanted: dict[str, set[int]] = {}
    for moment in moments:
        for _, (name, line) in lines_of(moment.told.get("where", ())).items():
            wanted.setdefault(name, set()).add(line)
    return {name: functions(name, lines) for name, lines in sorted(wanted.items())}


def functions(name: str, wanted: set[int]) -> list[dict[str, Any]]:
    """The stretches of a file that hold the functions around some of its lines."""
    text = PACKAGE.joinpath(name).read_text(encoding="utf-8")
    lines = text.splitlines()
    there = spans(text)
    found = {innermost(there, line) for line in wanted}
    return [
        {"first": first, "lines": lines[first - 1 : last]}
        for first, last in sorted(found)
        if not any(a <= first and last <= b and (a, b) != (first, last) for a, b in found)
    ]


@functools.lru_cache
def spans(text: str) -> list[tuple[int, int]]:
    """The first and the last line of each function in a source."""
    return [
        (node.lineno, node.end_lineno or node.lineno)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def innermost(there: list[tuple[int, int]], line: int) -> tuple[int, int]:
    """The smallest function around a line; the line itself where there is none."""
    return max((span for span in there if span[0] <= line <= span[1]), default=(line, line))
