"""iomodels trace: what a model does in a scenario, step by step."""

from __future__ import annotations

from pathlib import Path

import click

from iomodels.commands.common import as_json, needs_linux, show, table


@click.command("trace")
@click.argument("model", required=False)
@click.argument("scenario", required=False)
@click.option(
    "--save", type=click.Path(dir_okay=False, path_type=Path),
    help="Write it: .html to step through it in a browser, .json as data.",
)  # fmt: skip
@click.option("--list", "listed", is_flag=True, help="Name the scenarios and the models.")
@as_json
def trace_command(
    model: str | None, scenario: str | None, save: Path | None, listed: bool, as_json: bool
) -> None:
    """Record what a MODEL does in a SCENARIO, step by step, on real sockets.

    Each step is a line: a system call, what came of it, and what it changed in the kernel. zz marks
    a call that sleeps, ! the same call when it returns. Without arguments, the models and the
    scenarios are listed.
    """
    needs_linux()
    from iomodels.trace import RecordingError, record, text

    if listed or model is None:
        return list_all()
    if scenario is None:
        raise click.ClickException("name a scenario too; `iomodels trace --list` lists them")
    if save:
        check_target(save)
    try:
        recording = record(model, scenario)
    except (ValueError, RecordingError) as error:
        raise click.ClickException(str(error)) from None
    if save and save.suffix == ".html":
        from iomodels.views.stepper import html

        save.write_text(html(recording), encoding="utf-8")
    elif save:
        recording.save(save)
    if as_json:
        click.echo(recording.to_json(), nl=False)
    elif not save:
        click.echo(text(recording), nl=False)


def check_target(path: Path) -> None:
    """Say before the recording, not after it, what would stand in the way of the file."""
    if path.suffix not in (".html", ".json"):
        raise click.ClickException(f"--save {path}: name a file that ends in .html or .json")
    if not path.absolute().parent.is_dir():
        raise click.ClickException(f"--save {path}: there is no such folder")


def list_all() -> None:
    """Name all scenarios and models."""
    from iomodels.trace import MODELS, models_for, scenarios

    found = table("Scenario", "shows", "models", title="Scenarios: iomodels trace MODEL SCENARIO")
    for column in found.columns:
        column.justify = "left"
    for each in scenarios().values():
        few = ", ".join(models_for(each)) if each.models else "all"
        if each.without and not each.models:
            few = f"all but {', '.join(each.without)}"
        found.add_row(each.name, each.title, few)
    models = table("Model", "its one idea", title="Models")
    for column in models.columns:
        column.justify = "left"
    for name, idea in MODELS.items():
        models.add_row(name, idea)
    show(found, models)
