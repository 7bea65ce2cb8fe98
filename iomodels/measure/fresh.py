"""An instrument in a fresh child: it says how far it is, and at the end what it has found.

    found = fresh("iomodels.measure.multiplexing", order, "Multiplexing")

A notebook's own process has threads, sixty descriptors and a full heap, and all three change what a
system call costs. So an instrument runs as a module of its own. It gets its order as JSON, and
writes lines of JSON: `say(done=0.5, what="poll")` now and then, `say(found=…)` at the end. These
lines are its leash, too: when nobody is left to read them, the next one ends it (EPIPE).
"""

from __future__ import annotations

import json
from typing import Any

from iomodels.measure.progress import progress
from iomodels.measure.serving import Child, ServerError, child


class NotMeasured(Exception):
    """There is no result; the text says why, in one line."""


def fresh(module: str, order: object, title: str) -> Any:
    """Run a module in a child with `order` as its JSON argument; return what it has found.

    Shows progress meanwhile. Raises NotMeasured with its last line on stderr when it fails.
    """
    with progress(title) as step:
        try:
            with child(module, [json.dumps(order)]) as running:
                said = running.said
                while "found" not in said:
                    step(said["done"], said["what"])
                    said = next_line(running)
                return said["found"]
        except ServerError as error:
            raise NotMeasured(str(error)) from None


def next_line(running: Child) -> dict[str, Any]:
    """What the child says next."""
    assert running.process.stdout
    line = running.process.stdout.readline()
    if not line:
        lines = running.log().strip().splitlines()
        raise ServerError(lines[-1] if lines else "it ended without a word")
    said: dict[str, Any] = json.loads(line)
    return said
