"""What the commands share: options, tables, and errors in one line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from iomodels.kernel import LINUX
from iomodels.measure.dialogues import DIALOGUES

if TYPE_CHECKING:
    from rich.table import Table

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
save = click.option(
    "--save", type=click.Path(dir_okay=False, path_type=Path), help="Draw it: .svg, .png"
)


def load_options(command: Any) -> Any:
    """The options that say what load to make."""
    for option in (
        click.option("--seconds", type=float, default=2.0, show_default=True, help="How long."),
        click.option("--size", type=int, default=64, show_default=True, help="Bytes a message."),
        click.option(
            "--in-flight", type=int, default=1, show_default=True,
            help="Messages that each client keeps under way.",
        ),
        click.option(
            "--connections", type=int, default=100, show_default=True, help="Clients at once."
        ),
        click.option(
            "--app", "app_name", type=click.Choice(list(DIALOGUES)), default="echo",
            show_default=True, help="What the clients speak.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def check_picture(path: Path) -> None:
    """Say before the measurement, not after it, what would stand in the way of the picture."""
    from importlib.util import find_spec

    if path.suffix not in (".svg", ".png", ".pdf"):
        raise click.ClickException(f"--save {path}: name a file that ends in .svg, .png or .pdf")
    if not path.absolute().parent.is_dir():
        raise click.ClickException(f"--save {path}: there is no such folder")
    if not find_spec("matplotlib"):
        raise click.ClickException("--save needs matplotlib: pip install iomodels[lab]")


def needs_linux() -> None:
    """Refuse in one line where the servers cannot run."""
    if not LINUX:
        raise click.ClickException(
            f"the servers need Linux, and this is {sys.platform}; WSL2 or a container will do"
        )


def written(address: Any) -> str:
    """An address as one writes it: IPv6 in brackets."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def table(*columns: str, title: str | None = None) -> Table:
    """A table whose columns of figures stand to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    figures = len(columns) > 4
    for number, name in enumerate(columns):
        made.add_column(name, justify="right" if figures and number else "left")
    return made


def show(*tables: Table) -> None:
    """Print tables; into a file, as wide as they want to be."""
    from rich.console import Console

    console = Console() if sys.stdout.isatty() else Console(width=120)
    for each in tables:
        console.print(each)


def print_json(what: Any) -> None:
    """Print it as a program wants it."""
    click.echo(json.dumps(what, indent=2))
