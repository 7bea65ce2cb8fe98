"""What a step says, in plain words.

The facts are those of the moment: what was called, what came back, and how all stood before and
after. Nothing is said here that is not in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iomodels.trace.moments import Moment
from iomodels.trace.words.acts import ACTS
from iomodels.trace.words.calls import CALLS, anything
from iomodels.trace.words.scene import Scene
from iomodels.trace.words.waits import WAITS

__all__ = ["says"]


def says(moment: Moment, before: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """The sentence, or the two or three, of one step."""
    scene = Scene(moment, before, names)
    if moment.kind == "start":
        return start(scene)
    if moment.act:
        text = ACTS[moment.act.verb](scene)
    else:
        text = (CALLS | WAITS).get(moment.told["name"], anything)(scene)
    if moment.times > 1:
        text += f" This happens {moment.times} times, and is shown once."
    if moment.spins:
        text += (
            " So it goes round and round without sleeping, until something happens: "
            "of all these rounds no more are shown."
        )
    return text


def start(scene: Scene) -> str:
    """Before anything happens."""
    backlog = scene.after["queue"]["backlog"]
    return (
        "A process with a socket that listens, descriptor 3. "
        f"Its accept queue has room for {backlog + 1}. Nobody has come yet."
    )
