"""What the recorder writes down of one step, before it is told in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from iomodels.trace.scenario import Act


@dataclass
class Moment:
    """One step: what happened, and how all stood after it."""

    kind: str  # "start", "call", "sleep", "wake" or "act"
    actor: str
    told: dict[str, Any]  # of a call: its name, arguments, result, lines (stepping.py)
    state: dict[str, Any]  # see states.py
    act: Act | None = None
    number: int = -1  # of the act, in the script
    outcome: str = ""  # of the act
    wakes: tuple[str, ...] = ()  # who can go on after it
    sent: Mapping[str, str] = field(default_factory=dict)  # what each client sent last, in words
    times: int = 1  # the round that ends here came so often
    spins: bool = False  # after it the server goes round without sleeping, until the next act

    def essence(self) -> tuple[object, ...]:
        """What is the same when the same thing happens again."""
        told = self.told
        return self.kind, self.actor, told.get("name"), told.get("result"), told.get("where")
