"""The command line: `iomodels`, and `python -m iomodels`, which is the same.

An error is one line on stderr and an exit status that is not 0; a traceback is a bug. Each command
imports what it needs when it runs, so that the others start at once.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from iomodels.apps import APPS, app
from iomodels.kernel import LINUX, live
from iomodels.measure.dialogues import DIALOGUES
from iomodels.servers import MODELS, SHARE_PORT, missing, server

if TYPE_CHECKING:
    from rich.table import Table

    from iomodels.measure.comparison import Row
    from iomodels.measure.load import Report
    from iomodels.websocket.anatomy import Frame, Part

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


class Address(click.ParamType[tuple[str, int]]):
    """HOST:PORT, as `serve` prints it."""

    name = "HOST:PORT"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, int]:
        host, _, port = str(value).rpartition(":")
        if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
            self.fail(f"{value!r} is not HOST:PORT, as in 127.0.0.1:8000", param, ctx)
        return host.strip("[]"), int(port)


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


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="iomodels", message="%(version)s")
def cli() -> None:
    """From one file descriptor to a million connections: servers, load, and measurements."""


# --- doctor ---


@cli.command()
@as_json
def doctor(as_json: bool) -> None:
    """Say what this machine can do, which lessons run in full, and what to change."""
    from dataclasses import asdict

    from iomodels.measure.machine import examine, lessons

    findings = examine()
    ready = lessons(findings)
    if as_json:
        print_json(
            {"findings": [asdict(f) for f in findings], "lessons": [asdict(r) for r in ready]}
        )
        return
    about = table("This machine", "", "", "what to change")
    for finding in findings:
        about.add_row(
            finding.name, SIGNS[finding.state], finding.value, finding.advice.replace("`", "")
        )
    course = table("Lessons", "", "why not in full")
    for lesson in ready:
        why = "; ".join(finding.name for finding in lesson.because)
        course.add_row(f"{lesson.number:02} {lesson.title}", SIGNS[lesson.state], why)
    show(about, course)


SIGNS = {"full": "✓", "less": "~ less", "missing": "✗ missing"}


# --- serve ---

SERVE_HELP = (
    "Serve with one of the models until SIGINT or SIGTERM.\n\n\b\nMODEL is one of\n"
    + "\n".join(f"  {name:{max(map(len, MODELS))}}  {idea}" for name, idea in MODELS.items())
)


@cli.command(help=SERVE_HELP)
@click.argument("model", type=click.Choice(list(MODELS)), metavar="MODEL")
@click.option("--app", "app_name", type=click.Choice(list(APPS)), default="echo", show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="0, the default: one that is free."
)
def serve(model: str, app_name: str, host: str, port: int) -> None:
    """Listen, say where, and serve until a signal comes."""
    from iomodels.measure.limits import raise_soft_limit
    from iomodels.servers.listening import listen
    from iomodels.servers.stopping import stop_on_signals

    needs_linux()
    if reason := missing(model):
        raise click.ClickException(reason)
    logging.basicConfig(format="iomodels: %(message)s")
    raise_soft_limit()
    try:
        listener = listen(host, port, share=model in SHARE_PORT)
    except (OSError, UnicodeError) as error:
        raise click.ClickException(why_not_listening(host, port, error)) from None
    with listener, stop_on_signals(listener.fileno()):
        print(f"listening on {written(listener.getsockname())}", flush=True)
        server(model)(listener.fileno(), app(app_name), live)


def why_not_listening(host: str, port: int, error: OSError | UnicodeError) -> str:
    """One line that says what to do."""
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"the host {host!r} does not resolve: {getattr(error, 'strerror', None) or error}"
    reason = os.strerror(error.errno) if error.errno else str(error)
    if isinstance(error, PermissionError):
        return f"cannot listen on {host}:{port}: {reason}; ports below 1024 are root's"
    return f"cannot listen on {host}:{port}: {reason}; --port 0 takes one that is free"


# --- load and compare ---


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


@cli.command("load")
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


@cli.command("compare")
@click.option("--models", type=ModelList(), default=(), help="Default: all that run here.")
@load_options
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="Draw it: .svg, .png")
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


def check_picture(path: Path) -> None:
    """Say before the measurement, not after it, what would stand in the way of the picture."""
    from importlib.util import find_spec

    if path.suffix not in (".svg", ".png", ".pdf"):
        raise click.ClickException(f"--save {path}: name a file that ends in .svg, .png or .pdf")
    if not path.absolute().parent.is_dir():
        raise click.ClickException(f"--save {path}: there is no such folder")
    if not find_spec("matplotlib"):
        raise click.ClickException("--save needs matplotlib: pip install iomodels[lab]")


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


# --- dissect ---

MOST_BYTES = 1 << 24  # of a file
SHOWN = 16  # bytes of a payload, and three times as many letters of a text


@cli.command("dissect")
@click.argument("what", nargs=-1, required=True, metavar="HEX|FILE")
@click.option("--frames", type=click.IntRange(1), default=100, show_default=True, help="At most.")
@as_json
def dissect_command(what: tuple[str, ...], frames: int, as_json: bool) -> None:
    """Take WebSocket frames apart, bit by bit.

    HEX is written as 81 05 48, as 81:05:48 or as 0x810548. A FILE holds the bytes themselves, or
    hexadecimal digits. What is wrong or not whole is explained.
    """
    from itertools import islice

    from iomodels.websocket.anatomy import dissect

    data = bytes_of(" ".join(what))
    found = list(islice(dissect(data), frames))
    rest = len(data) - found[-1].stop
    if as_json:
        print_json({"frames": [as_dict(frame) for frame in found], "rest": rest})
        return
    show(*map(dissected, found))
    if rest:
        click.echo(f"{rest:,} more bytes follow: --frames shows more than {frames} frames.")


def bytes_of(what: str) -> bytes:
    """The bytes that an argument means: a file's, or those that it is."""
    from iomodels.websocket.anatomy import from_hex, shortened

    if not what.strip():
        raise click.ClickException("there is nothing to dissect: give bytes, or a file with bytes")
    text, otherwise = what, f"{shortened(what)!r} is a folder"
    if not os.path.isdir(what):
        otherwise = "nor is there a file of that name"
    if os.path.exists(what) and not os.path.isdir(what):
        try:
            with open(what, "rb") as file:
                data = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise click.ClickException(f"cannot read {what}: {error.strerror}") from None
        if not data:
            raise click.ClickException(f"{what} is empty")
        if len(data) > MOST_BYTES:
            raise click.ClickException(f"{what} is too large: {MOST_BYTES >> 20} MiB are the limit")
        if data.translate(None, b"0123456789abcdefABCDEFxX\\:, \t\r\n"):
            return data
        text, otherwise = data.decode(), f"in {what}"
    try:
        return from_hex(text)
    except ValueError as error:
        raise click.ClickException(f"{error}; {otherwise}") from None


def as_dict(frame: Frame) -> dict[str, Any]:
    """A frame for JSON: bytes in hexadecimal."""
    from dataclasses import asdict

    def value(part: Part) -> int | str:
        return part.value.hex() if isinstance(part.value, bytes) else part.value

    return asdict(frame) | {
        "parts": [p._asdict() | {"stop": p.stop, "value": value(p)} for p in frame.parts],
        "broken": [broken._asdict() for broken in frame.broken],
    }


def dissected(frame: Frame) -> Table:
    """The table of a frame, and under it what is wrong and what is missing."""
    from rich.text import Text

    title = f"Byte {frame.start:,}: {frame.about}"
    result = table("bytes", "bits", "field", "value", "meaning", "RFC 6455", title=title)
    for column in result.columns:
        column.justify = "left"
    result.columns[1].max_width = 2 * len("00000000") + 1
    for part in frame.parts:
        last = part.stop - 1
        where = f"{part.at:,}" if part.at == last else f"{part.at:,}–{last:,}"
        cells = (where, drawn(part), part.name, valued(part), part.meaning, part.section)
        result.add_row(*(Text(cell) for cell in cells))
    notes = [
        f"✗ byte {at:,}: {rule} ({section}); "
        + (f"fails the connection with {code:d}" if code else "it is passed over")
        for at, rule, section, code in frame.broken
    ]
    if frame.missing:
        more = "at least " if frame.at_least else ""
        bytes_are = "byte is" if frame.missing == 1 else "bytes are"
        notes.append(f"… {more}{frame.missing:,} {bytes_are} missing")
    if notes:
        result.caption, result.caption_style = Text("\n".join(notes)), ""
        result.caption_justify = "left"
    return result


def drawn(part: Part) -> str:
    """Its bits, in their places: a point for each bit of the byte that belongs to another field."""
    if not part.bits:
        return ""
    bits = "." * part.bit + part.bits + "." * (-(part.bit + part.width) % 8)
    return " ".join(bits[i : i + 8] for i in range(0, len(bits), 8))


def valued(part: Part) -> str:
    """Its value as one writes it, cut to what fits."""
    value, most = part.value, 3 * SHOWN
    if isinstance(value, bytes):
        return value[:SHOWN].hex(" ") + " …" * (len(value) > SHOWN)
    if isinstance(value, str):
        letters = [c if c.isprintable() else ascii(c)[1:-1] for c in value[:most]]
        return f'"{"".join(letters)}"' + " …" * (len(value) > most)
    if part.name == "opcode":
        return f"{value:#x}"
    return f"{value:,}" if "length" in part.name else str(value)


# --- what all of them share ---


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


def main() -> None:
    """Run a command; whatever goes wrong is told in one line."""
    try:
        sys.exit(cli.main(prog_name="iomodels", standalone_mode=False) or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.ClickException as error:
        click.echo(f"iomodels: {' '.join(error.format_message().split())}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("iomodels: interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:  # `iomodels compare | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(141)


if __name__ == "__main__":
    main()
