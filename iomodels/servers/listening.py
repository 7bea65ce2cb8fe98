"""The socket that a server is handed: bound to a port, with a queue for those who connect."""

from __future__ import annotations

import socket

BACKLOG = 4096  # clients that may wait to be accepted; the kernel caps it at net.core.somaxconn


def listen(
    host: str = "127.0.0.1", port: int = 0, backlog: int = BACKLOG, *, share: bool = False
) -> socket.socket:
    """Return a TCP socket that listens on `host` and `port`; port 0 lets the kernel choose.

    SO_REUSEADDR is set: without it, a server that was just stopped cannot start again until its
    old connections have left TIME_WAIT, a minute later. TCP_NODELAY is set, and accepted sockets
    inherit it on Linux: without it, a short answer waits until the one before it is acknowledged,
    up to 40 ms when the client has nothing to send (Nagle's algorithm, RFC 9293, 3.7.4). With
    `share`, other sockets of the same user may listen there too, and the kernel spreads the clients
    over them (SO_REUSEPORT, man 7 socket).

    Raises socket.gaierror for a host that does not resolve, OSError where it cannot be bound
    (EADDRINUSE, EACCES, EADDRNOTAVAIL), and OverflowError for a port that is not in 0..65535.
    """
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.create_server(address[:2], family=family, backlog=backlog, reuse_port=share)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
