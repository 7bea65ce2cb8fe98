"""The same load on every model, one after the other.

    for row in compare():
        print(row.model, row.report.rate, row.switches)

Each server runs in a fresh child, the clients in another. What is counted of the server goes from
the moment when it listens to its end, and is divided by all messages of that time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from iomodels.measure.load import LoadError, Report, load
from iomodels.measure.progress import progress
from iomodels.measure.serving import ServerError, serving
from iomodels.measure.usage import Usage
from iomodels.servers import MODELS, missing


@dataclass(frozen=True)
class Row:
    """One model under the load. Per message: None where nothing came back, or is not countable."""

    model: str
    report: Report
    used: Usage  # by the server

    def per_message(self, amount: float | None) -> float | None:
        return amount / self.report.total if amount is not None and self.report.total else None

    @property
    def syscalls(self) -> float | None:
        """System calls of the server; None where they cannot be counted."""
        return self.per_message(self.used.calls)

    @property
    def switches(self) -> float | None:
        """Context switches of the server, voluntary and not."""
        return self.per_message(self.used.voluntary + self.used.involuntary)

    @property
    def cpu(self) -> float | None:
        """CPU time of the server, in seconds."""
        return self.per_message(self.used.cpu)

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        report = asdict(self.report) | {"rate": self.report.rate}
        each = {"syscalls": self.syscalls, "switches": self.switches, "cpu": self.cpu}
        return {"model": self.model, **report, "used": asdict(self.used), "per_message": each}


def compare(
    models: Sequence[str] = (),
    *,
    app: str = "echo",
    connections: int = 100,
    in_flight: int = 1,
    size: int = 64,
    seconds: float = 2.0,
) -> list[Row]:
    """Put the same load on each model; see `load` for what the other arguments mean.

    No models: all that run here.
    Raises ValueError for a model that there is not, LoadError when one could not be measured.
    """
    models = models or [model for model in MODELS if not missing(model)]
    if unknown := [model for model in models if model not in MODELS]:
        raise ValueError(f"no model named {unknown[0]!r}; there are {', '.join(MODELS)}")
    rows = []
    with progress("Comparing") as step:
        for done, model in enumerate(models):
            step(done / len(models), model)
            try:
                with serving(model, app) as server:
                    report = load(
                        server.address, app=app, connections=connections, in_flight=in_flight,
                        size=size, seconds=seconds,
                    )  # fmt: skip
            except (LoadError, ServerError) as error:
                raise LoadError(f"{model}: {error}") from None
            rows.append(Row(model, report, server.used or Usage()))
        step(1.0, "done")
    return rows
