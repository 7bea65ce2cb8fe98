"""What the child of a measurement runs: a server on a leash.

    python -m iomodels.measure.child MODEL APP [CPU]

It says on stdout where it listens and what it has used so far, then serves; at the end it says what
it has used in all. Its stdin is the leash: when that ends, because the parent let go of it or
because the parent is no more, the server stops as on SIGTERM. So a notebook kernel that is killed
leaves no server behind.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict

from iomodels import apps, servers
from iomodels.kernel import live
from iomodels.measure.limits import raise_soft_limit
from iomodels.measure.usage import counting, usage
from iomodels.servers.listening import listen
from iomodels.servers.stopping import GRACE, stop_on_signals


def say(**what: object) -> None:
    """One line of JSON on stdout, in one write."""
    os.write(1, json.dumps(what).encode() + b"\n")


def hold_leash() -> None:
    """Sleep until stdin ends; then end this process, by SIGTERM, and if need be without it."""
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE + 1)
    os._exit(1)


def run(serve: Callable[[int], None], cpu: str = "", *, share: bool = False) -> None:
    """Listen, say where, and let `serve` do the rest with the listener's fd until it returns.

    `share`: on a port that other sockets may share.
    """
    logging.basicConfig(format="%(message)s")
    if cpu:
        os.sched_setaffinity(0, {int(cpu)})
    raise_soft_limit()
    # Counting begins before there is a thread or a worker: it goes on in those that come later.
    with counting(0) as counter:
        with listen(share=share) as listener, stop_on_signals(listener.fileno()):
            threading.Thread(target=hold_leash, daemon=True).start()
            say(address=listener.getsockname(), used=asdict(usage(counter)))
            serve(listener.fileno())
        say(used=asdict(usage(counter)))


def main(model: str, app_name: str, cpu: str = "") -> None:
    """Serve an app with a model."""
    serve = servers.server(model)
    share = model in servers.SHARE_PORT
    run(lambda listener: serve(listener, apps.app(app_name), live), cpu, share=share)


if __name__ == "__main__":
    main(*sys.argv[1:])
