"""iomodels memory: what an idle connection costs, under every model and beside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from iomodels.commands.common import (
    as_json,
    check_picture,
    needs_linux,
    print_json,
    save,
    show,
    table,
)

if TYPE_CHECKING:
    from rich.table import Table

    from iomodels.measure.memory import Row


@click.command("memory")
@click.option("--models", metavar="NAME,NAME,...", help="As in the table. Default: all of them.")
@click.option(
    "--connections", type=int, help="At most. Default: what takes a few seconds for each."
)
@save
@as_json
def memory_command(
    models: str | None, connections: int | None, save: Path | None, as_json: bool
) -> None:
    """Measure what an idle connection costs: every model, and the peers that are here."""
    from iomodels.measure.footprint import why_no_slabs
    from iomodels.measure.memory import MemoryFailed, memory
    from iomodels.views.memory import draw

    needs_linux()
    if save:
        check_picture(save)
    names = [n.strip() for n in models.split(",") if n.strip()] if models is not None else None
    if names == []:
        raise click.ClickException("--models: name one or more")
    try:
        rows = memory(names, connections=connections)
    except (MemoryFailed, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        print_json({"rows": [row.as_dict() for row in rows], "missing": why_no_slabs()})
    else:
        show(remembered(rows))
        notes: dict[str, list[str]] = {}  # what holds for many is said once
        for row in rows:
            for note in filter(None, row.note.split("; ")):
                notes.setdefault(note, []).append(row.name)
        for note in filter(None, (why_no_slabs(), *(f"{', '.join(notes[n])}: {n}" for n in notes))):
            click.echo(note)
    if save and any(row.user is not None for row in rows):
        draw(rows).savefig(save, dpi=144, facecolor="white")
    elif save:
        raise click.ClickException(f"--save {save}: there is no figure to draw")


def remembered(rows: list[Row]) -> Table:
    """The table of idle connections."""
    from iomodels.views.memory import words

    result = table(
        "Model", "connections", "user", "virtual", "page tables", "kernel stacks", "slabs",
        title="Bytes for each idle connection: what the server takes, and what the kernel takes",
    )  # fmt: skip
    for row in rows:
        size = f"{row.few:,} to {row.many:,}" if row.many else "–"
        slabs = None if row.slabs is None else sum(row.slabs.values())
        kernel = (row.virtual, row.page_tables, row.kernel_stacks, slabs)
        cells = ("–" if each is None else f"{each:,.0f}" for each in kernel)
        result.add_row(row.name, size, words(row) + (" stored" if row.stored else ""), *cells)
    return result
