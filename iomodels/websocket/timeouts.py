"""How long a client may take, by what is waited for.

The names and meanings are those of Go's net/http.Server, as far as a WebSocket has the same thing
to wait for. Each defends from a client of its own:

    read_header   sends its request a byte at a time (slow loris)
    read          begins a message, and does not end it
    write         does not read what it is sent
    idle, pong    is not there any more, and has not said so: its machine is off, a cable is out.
                  TCP cannot tell that from silence, so it is asked for a sign of life
    close         does not answer our Close frame

0 stands for "as long as it likes", as in Go.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timeouts:
    """Seconds. See above for what each defends from.

    read_header   from the connection to the end of the upgrade request: ReadHeaderTimeout
    read          from the first byte of a message to its last: ReadTimeout
    write         from when an answer could not be sent to when it is taken: WriteTimeout
    idle          of silence, until the client is sent a Ping; it comes at most half of that later.
                  Go's IdleTimeout closes then; a WebSocket is made for being idle
    pong          from the Ping to the next sign of life, whatever it is
    close         from our Close frame to the client's
    """

    read_header: float = 10.0
    read: float = 30.0
    write: float = 30.0
    idle: float = 120.0
    pong: float = 30.0
    close: float = 5.0


NEVER = Timeouts(0, 0, 0, 0, 0, 0)
