"""The command line: `iomodels`, and `python -m iomodels`, which is the same.

An error is one line on stderr and an exit status that is not 0; a traceback is a bug. Each command
(commands/) imports what it needs when it runs, so that the others start at once.
"""

from __future__ import annotations

import os
import sys

import click

from iomodels.commands.compare import compare_command
from iomodels.commands.dissect import dissect_command
from iomodels.commands.doctor import doctor
from iomodels.commands.load import load_command
from iomodels.commands.memory import memory_command
from iomodels.commands.million import million_command
from iomodels.commands.serve import serve
from iomodels.commands.trace import trace_command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="iomodels", message="%(version)s")
def cli() -> None:
    """From one file descriptor to a million connections: servers, load, and measurements."""


for command in (
    doctor, serve, load_command, compare_command, memory_command, million_command, dissect_command,
    trace_command,
):  # fmt: skip
    cli.add_command(command)


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
