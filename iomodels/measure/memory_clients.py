"""Clients that connect, have one message echoed, and then say nothing.

    python -m iomodels.measure.memory_clients JSON

They live in a process of their own, for what they take must not count as the server's. Each line on
stdin is a number: connect until there are so many. They say how far they are, and at the end of
stdin they leave, with a reset, so that no port stays in TIME_WAIT.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable

from iomodels.kernel import RESET_ON_CLOSE
from iomodels.measure.child import say
from iomodels.measure.dialogues import DIALOGUES, Dialogue
from iomodels.measure.limits import PER_ADDRESS, raise_soft_limit, source

WITHIN = 10.0  # seconds for one connection and its echo
EVERY = 50  # connections after which they say how far they are
SIZE = 64  # bytes of the message


def connect(address: tuple[str, int], number: int) -> socket.socket:
    """Connect client `number`. Past half a port range, the next source address is taken."""
    bound = (source(number), 0) if number >= PER_ADDRESS else None
    sock = socket.create_connection(address, WITHIN, bound)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    return sock


def talk(sock: socket.socket, dialogue: Dialogue) -> None:
    """Say hello where there is one, and have one message echoed."""
    request = dialogue.requests[: len(dialogue.requests) // dialogue.messages]
    reply = dialogue.replies[: len(dialogue.replies) // dialogue.messages]
    if dialogue.hello:
        sock.sendall(dialogue.hello)
        welcome = hear(sock, lambda heard: heard.endswith(b"\r\n\r\n"))
        if not welcome.startswith(dialogue.welcome):
            raise OSError(f"the hello was answered with {welcome[:60]!r}")
    sock.sendall(request)
    heard = hear(sock, lambda heard: len(heard) >= len(reply))
    if heard != reply:
        raise OSError(f"the echo of {request!r} was {heard!r}")


def hear(sock: socket.socket, whole: Callable[[bytes], bool]) -> bytes:
    """Read until it is whole."""
    heard = b""
    while not whole(heard):
        more = sock.recv(4096)
        if not more:
            raise OSError("the server hung up")
        heard += more
    return heard


def main(order: str) -> None:
    """Connect as many as stdin asks for: {"address": [host, port], "app": name or null}."""
    asked = json.loads(order)
    host, port = asked["address"]
    # Without an app they connect and wait: a server that serves one at a time answers no other.
    dialogue = DIALOGUES[asked["app"]](SIZE, 1) if asked["app"] else None
    raise_soft_limit()
    clients: list[socket.socket] = []
    say(connected=0)
    for line in sys.stdin:
        many = int(line)
        while len(clients) < many:
            try:
                clients.append(connect((host, port), len(clients)))
                if dialogue:
                    talk(clients[-1], dialogue)
            except OSError as error:
                say(failed=f"client {len(clients):,}: {error.strerror or error}")
                return
            if len(clients) % EVERY == 0 or len(clients) == many:
                say(connected=len(clients))


if __name__ == "__main__":
    main(*sys.argv[1:])
