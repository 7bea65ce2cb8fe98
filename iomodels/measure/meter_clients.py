"""Clients who stay: they talk for a stretch, report, and talk on over the same connections.

    python -m iomodels.measure.meter_clients APP HOST PORT

They are those of client.py. A load that is started anew for each figure spends more time on
starting Python and on connecting than on talking; these are there already when the next order
comes. An order is a line of JSON on stdin, and its answer is a line on stdout:

    {"connections": 100, "in_flight": 1, "size": 64}    let these clients come, in place of the last
    {"seconds": 0.8}                                    let them talk, and tell what they saw

Between two stretches nobody reads. What lies there in the meantime would be answered late through
no fault of the server, so each stretch begins with a moment that counts as messages, but not as
time. At the end of stdin they leave, with a reset, and no port stays in TIME_WAIT.
"""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict

from iomodels.measure import calls, loop
from iomodels.measure.child import say
from iomodels.measure.client import WARM_UP, Clients, Failed
from iomodels.measure.dialogues import DIALOGUES
from iomodels.measure.limits import raise_soft_limit
from iomodels.measure.meter import Stretch
from iomodels.measure.usage import usage

SETTLES = 0.2  # seconds of a stretch that are not timed


def stretch(clients: Clients, seconds: float) -> Stretch:
    """Let them talk for so long. Raises Failed when a byte came back that should not have."""
    tally = clients.tally
    first = int(tally[loop.MESSAGES])
    clients.talk(SETTLES)
    clients.forget()
    begun, cpu = int(tally[loop.MESSAGES]), usage().cpu
    took = clients.talk(seconds)
    last = int(tally[loop.MESSAGES])
    return Stretch(
        messages=last - begun,
        seconds=took,
        p99=clients.percentile(0.99),
        total=last - first,
        served=int(tally[loop.SERVED]),
        lost=int(tally[loop.LOST]),
        busy=(usage().cpu - cpu) / took if took else 0.0,
    )


def come(
    address: tuple[str, int], app: str, connections: int, in_flight: int, size: int
) -> Clients:
    """Connect, and wait until each has had a reply, or half a second (as client.py does)."""
    clients = Clients(address, DIALOGUES[app](size, in_flight), connections, in_flight)
    try:
        clients.start()
        clients.talk(WARM_UP, enough=connections)
    except BaseException:
        clients.close()
        raise
    return clients


def main(app: str, host: str, port: str) -> None:
    """Do what stdin says until it ends, or until it cannot be done: then {"failed": why}."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C is for the one who gives the orders
    raise_soft_limit()
    clients: Clients | None = None
    say(compiled=calls.COMPILED)
    try:
        for line in sys.stdin:
            order = json.loads(line)
            if "seconds" in order:
                assert clients
                say(**asdict(stretch(clients, order["seconds"])))
                continue
            if clients:
                clients.close()
                clients = None
            clients = come((host, int(port)), app, **order)
            say(connections=len(clients.sockets))
    except Failed as error:
        say(failed=str(error))
    finally:
        if clients:
            clients.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
