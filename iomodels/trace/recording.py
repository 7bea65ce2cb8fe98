"""A recording: what one model did in one scenario, step by step, as data.

A step says what happened, in words too, and what it changed; `states()` adds the changes up. As
JSON it can be stored beside a lesson. The format, with all its keys:

    model, idea, scenario, title, about, made    what was recorded, and on what
    actors     the lanes, in order: {"id", "kind": "server" | "client" | "clock", "name", "about"}
    files      the functions that steps point into, by file: [{"first": line, "lines": [...]}]
    steps      {"actor", "kind", "says", "changed"}, and where they have one "call", "text",
               "line", "via", "act", "times"

`kind` is "start" (once, at the beginning), "call" (made and returned), "sleep" (begun, and the
caller sleeps in it), "wake" (that call returns) or "act" (of a client, or of the clock). "act" is
the number of the act in the script: the same moment for every model. "via" is the line of the
model's own file, where the call itself stands in a helper's. "times": this round came so often.

`changed` holds what differs from the step before: "actors" and "sockets" by key, null takes a key
away; "fds", "queue", "watch", "counters" and "clock" as a whole.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["FORMAT", "Recording", "changes"]

FORMAT = 1
BY_KEY = ("actors", "sockets")  # merged; whatever else changes is replaced


@dataclass
class Recording:
    """One run; see above for what the fields hold."""

    model: str
    idea: str
    scenario: str
    title: str
    about: str
    made: str
    actors: list[dict[str, Any]]
    files: dict[str, list[dict[str, Any]]]
    steps: list[dict[str, Any]]
    format: int = FORMAT

    def as_dict(self) -> dict[str, Any]:
        """The recording as JSON has it."""
        found = dict(vars(self))
        return {"format": found.pop("format"), **found}

    def to_json(self) -> str:
        """The recording as JSON: a line for each step, so that a change shows as one."""
        head = self.as_dict()
        steps = ",\n".join(compact(step) for step in head.pop("steps"))
        return f'{compact(head)[:-1]},"steps":[\n{steps}\n]}}\n'

    def save(self, path: str | Path) -> None:
        """Write it to a file. Raises OSError."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Recording:
        """Read it from a file. Raises OSError, and ValueError for what is no recording."""
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
            if found["format"] != FORMAT:
                raise ValueError(f"its format is {found['format']}, and this is for {FORMAT}")
            return cls(**found)
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is no recording: {error}") from None

    def states(self) -> Iterator[dict[str, Any]]:
        """How all stood after each step."""
        state: dict[str, Any] = {}
        for step in self.steps:
            for key, value in step["changed"].items():
                if key in BY_KEY:
                    merged = {**state.get(key, {}), **value}
                    state[key] = {k: v for k, v in merged.items() if v is not None}
                else:
                    state[key] = value
            yield copy.deepcopy(state)


def changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What has to be told of a state to one who knows the one before."""
    told = {}
    for key, value in after.items():
        if key in BY_KEY:
            old = before.get(key, {})
            part = {k: v for k, v in value.items() if old.get(k) != v}
            part |= {k: None for k in old if k not in value}
            if part or not before:
                told[key] = part
        elif before.get(key) != value or not before:
            told[key] = value
    return told


def compact(what: object) -> str:
    """JSON without blanks."""
    return json.dumps(what, ensure_ascii=False, separators=(",", ":"))
