"""iomodels serve: one of the models, until a signal comes."""

from __future__ import annotations

import logging
import os
import socket

import click

from iomodels.apps import APPS, app
from iomodels.commands.common import needs_linux, written
from iomodels.kernel import live
from iomodels.servers import MODELS, SHARE_PORT, missing, server

SERVE_HELP = (
    "Serve with one of the models until SIGINT or SIGTERM.\n\n\b\nMODEL is one of\n"
    + "\n".join(f"  {name:{max(map(len, MODELS))}}  {idea}" for name, idea in MODELS.items())
)


@click.command(help=SERVE_HELP)
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
