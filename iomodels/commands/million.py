"""iomodels million: as many WebSockets at once as this machine holds."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from iomodels.commands.common import as_json, needs_linux, print_json, show, table

if TYPE_CHECKING:
    from iomodels.measure.million import Progress, Report


@click.command("million")
@click.option(
    "--connections", type=click.IntRange(1), default=1_000_000, show_default=True, help="At most."
)
@as_json
def million_command(connections: int, as_json: bool) -> None:
    """Hold a million WebSockets at once, or as many as fit, and send one message to each."""
    from iomodels.measure.million import NotMeasured, million

    needs_linux()
    try:
        with live_line() as tell:
            report = million(connections, tell=tell)
    except (NotMeasured, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        print_json(report.as_dict())
    else:
        about = table("", f"{report.connections:,} WebSockets at once")
        for name, value in held(report):
            about.add_row(name, value)
        show(about)
        for note in report.notes:
            click.echo(note)
    if report.lost or not report.agree:
        sys.exit(1)


@contextlib.contextmanager
def live_line() -> Iterator[Callable[[Progress], None]]:
    """The plan on stderr, and below it a line that says how far it is, if that is a terminal."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True, highlight=False)
    with Live(console=console, transient=True, auto_refresh=False) as shown:

        def tell(now: Progress) -> None:
            if now.phase == "plan":
                for line in now.plan.lines():
                    console.print(line)
            elif console.is_terminal:
                shown.update(f"{now.phase}: {now}", refresh=True)

        yield tell


def held(report: Report) -> list[tuple[str, str]]:
    """What was held, in words and figures."""
    from iomodels.views.style import number

    servers = report.servers
    lines = [
        ("connected and upgraded in", f"{report.connect_seconds:.1f} s"),
        (
            "a message to each in",
            f"{report.message_seconds:.1f} s: {report.heard:,} heard it, {report.lost:,} lost",
        ),
        ("echoes, all bytes checked", f"{report.echoed:,} of {report.sample:,}"),
        (
            "the servers' own counts",
            f"{servers['opened']:,} opened, {servers['closed']:,} closed,"
            f" {servers['came']:,} messages came, {servers['published']:,} were sent"
            + ("" if report.agree else ": NOT what the clients saw"),
        ),
        ("closed in", f"{report.close_seconds:.1f} s"),
    ]
    if report.user is not None:
        less = " or less" if report.user < report.resolution else ""
        seen = max(report.user, report.resolution)
        lines.append(("each takes of its server", f"{number(round(seen))} B{less}"))
    if report.slabs is not None and report.kernel is not None:
        largest = sorted(report.slabs.items(), key=lambda kind: -kind[1])[:4]
        kinds = ", ".join(f"{name} {number(round(size))}" for name, size in largest)
        lines.append(
            ("of the kernel, both ends", f"{number(round(report.kernel))} B: {kinds}, ...")
        )
    if report.each is not None:
        whole = f"{number(round(report.each))} B: {report.machine / 2**30:.2f} GiB in all"
        other = f"{report.by_available / 2**30:.2f} by MemAvailable, which leaves out inodes"
        lines.append(("of the machine, everything", f"{whole} ({other})"))
    return lines
