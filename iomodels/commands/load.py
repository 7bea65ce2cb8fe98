"""iomodels load: many clients, and every byte of the answers checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from iomodels.commands.common import (
    as_json,
    load_options,
    needs_linux,
    print_json,
    show,
    table,
    written,
)

if TYPE_CHECKING:
    from iomodels.measure.load import Report


class Address(click.ParamType[tuple[str, int]]):
    """HOST:PORT, as `serve` prints it."""

    name = "HOST:PORT"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, int]:
        host, _, port = str(value).rpartition(":")
        if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
            self.fail(f"{value!r} is not HOST:PORT, as in 127.0.0.1:8000", param, ctx)
        return host.strip("[]"), int(port)


@click.command("load")
@click.argument("address", type=Address())
@load_options
@as_json
def load_command(address: tuple[str, int], as_json: bool, app_name: str, **load: Any) -> None:
    """Let many clients talk with a server on this machine, and check every byte of the answers."""
    from dataclasses import asdict

    from iomodels.measure.load import LoadError
    from iomodels.measure.load import load as put_load

    needs_linux()
    try:
        report = put_load(address, app=app_name, **load)
    except (LoadError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        print_json(asdict(report) | {"rate": report.rate, "busy": report.busy})
        return
    about = table(f"Load on {written(address)}", "")
    for name, value in told(report):
        about.add_row(name, value)
    show(about)


def told(report: Report) -> list[tuple[str, str]]:
    """A report in words and figures."""
    from iomodels.views.style import number

    lines = [
        ("messages per second", number(report.rate)),
        ("half answered within", f"{number(report.p50 * 1e6)} µs"),
        ("99 of 100 answered within", f"{number(report.p99 * 1e6)} µs"),
        ("longest", f"{number(report.longest * 1e6)} µs"),
        ("messages, all checked", f"{report.total:,}"),
        ("clients that had an answer", f"{report.served:,} of {report.connections:,}"),
        ("messages never answered", f"{report.unanswered:,}"),
        ("connections lost", f"{report.lost:,}"),
        ("the clients used", f"{report.busy:.0%} of a CPU"),
    ]
    return [*lines, ("note", report.note)] if report.note else lines
