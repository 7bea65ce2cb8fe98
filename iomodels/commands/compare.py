"""iomodels compare: the same load on every model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from iomodels.commands.common import (
    as_json,
    check_picture,
    load_options,
    needs_linux,
    print_json,
    save,
    show,
    table,
)
from iomodels.servers import MODELS, missing

if TYPE_CHECKING:
    from rich.table import Table

    from iomodels.measure.comparison import Row


class ModelList(click.ParamType[tuple[str, ...]]):
    """Models, separated by commas."""

    name = "MODEL,MODEL,..."

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, ...]:
        if not isinstance(value, str):
            return tuple(value)
        models = tuple(name.strip() for name in value.split(",") if name.strip())
        if unknown := [name for name in models if name not in MODELS]:
            self.fail(f"no model named {unknown[0]!r}; there are {', '.join(MODELS)}", param, ctx)
        if not models:
            self.fail("name one model or more", param, ctx)
        return models


@click.command("compare")
@click.option("--models", type=ModelList(), default=(), help="Default: all that run here.")
@load_options
@save
@as_json
def compare_command(
    models: tuple[str, ...], as_json: bool, save: Path | None, app_name: str, **load: Any
) -> None:
    """Put the same load on each model, one after the other."""
    from iomodels.measure.comparison import compare
    from iomodels.measure.load import LoadError

    needs_linux()
    if save:
        check_picture(save)
    try:
        rows = compare(models, app=app_name, **load)
    except (LoadError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if save:
        from iomodels.views.comparison import draw

        draw(rows).savefig(save, dpi=144, facecolor="white")
    if as_json:
        print_json([row.as_dict() for row in rows])
    else:
        show(compared(rows))
        for note in {row.report.note for row in rows} - {""}:
            click.echo(note)
        for model in () if models else MODELS:
            if reason := missing(model):
                click.echo(f"left out: {model}. {reason}")


def compared(rows: list[Row]) -> Table:
    """The table of a comparison."""
    some = rows[0].report
    result = table(
        "Model", "messages/s", "p50 µs", "p99 µs", "served", "syscalls", "switches", "CPU µs",
        title=f"{some.connections} clients on each; the last three are the server's, per message",
    )  # fmt: skip
    for row in rows:
        report = row.report
        result.add_row(
            row.model,
            f"{report.rate:,.0f}",
            f"{report.p50 * 1e6:,.0f}",
            f"{report.p99 * 1e6:,.0f}",
            f"{report.served} of {report.connections}",
            "–" if row.syscalls is None else f"{row.syscalls:.2f}",
            "–" if row.switches is None else f"{row.switches:.3f}",
            "–" if row.cpu is None else f"{row.cpu * 1e6:.1f}",
        )
    if rows[0].syscalls is None:
        result.caption = "System calls cannot be counted here: iomodels doctor says why."
    return result
