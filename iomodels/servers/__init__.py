"""The servers: one file per I/O model, each with the same function.

    serve(listener: int, app: App, kernel: Kernel) -> None

`listener` is the fd of a listening socket (see listening.py), `app` says what is served, `kernel`
makes the system calls. It serves until the listener is shut down, closes every connection that it
has accepted, and leaves the listener to the caller. There is no base class and no shared loop: open
two files side by side, and what differs is the model.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable

from iomodels.apps import App
from iomodels.kernel import Kernel

__all__ = ["MODELS", "SHARE_PORT", "Serve", "missing", "server"]

Serve = Callable[[int, App, Kernel], None]

MODELS = {
    "blocking": "one connection at a time; the next client waits",
    "threads": "a thread per connection",
    "processes": "a forked process per connection",
    "nonblocking": "ask everybody, all the time",
    "select": "ask the kernel about a set; rebuild it each time; fd numbers below 1024",
    "poll": "the same, with a list and no such limit",
    "epoll": "tell the kernel once; hear only who is ready",
    "epoll-edge": "the same, edge-triggered: hear once, then read until EAGAIN",
    "signals": "be told: a signal for each event",
    "workers-exclusive": "epoll in several processes, woken one at a time (EPOLLEXCLUSIVE)",
    "workers-reuseport": "epoll in several processes, each with a listener on the same port",
    "io_uring": "completion, not readiness: ask for the work, hear when it is done",
    "asyncio": "the same epoll, under async and await",
}

SHARE_PORT = {"workers-reuseport"}  # these need a listener made by listen(share=True)
VARIANT = {"epoll": "trigger", "workers": "share"}  # what stands behind the hyphen


def server(model: str) -> Serve:
    """Return the `serve` function of a model, by its name in MODELS.

    Raises ValueError for a name that is not there, ImportError where the operating system lacks
    what the model is made of.
    """
    if model not in MODELS:
        raise ValueError(f"no model named {model!r}; there are {', '.join(MODELS)}")
    name, _, variant = model.partition("-")
    serve: Serve = importlib.import_module(f"iomodels.servers.{name}").serve
    return functools.partial(serve, **{VARIANT[name]: variant}) if variant else serve


def missing(model: str) -> str:
    """Say in a line why a model does not run on this machine; "" when it does."""
    if model != "io_uring":
        return ""
    from iomodels.kernel.uring import available

    return available()
