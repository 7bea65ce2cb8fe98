"""The package's own servers with the chat, in the form of a learner's: `serve(listener, patience)`.

So the same tests and the same measurements are for all of them.
"""

from __future__ import annotations

import resource
import socket

from iomodels import servers
from iomodels.apps.chat import ChatServer
from iomodels.course.project.host import Serve
from iomodels.kernel import live
from iomodels.websocket import Timeouts


def model(name: str) -> Serve:
    """The chat on one of servers.MODELS. Raises ValueError for a name that is not there."""
    run = servers.server(name)

    def serve(listener: socket.socket, patience: float) -> None:
        # A thread's stack takes addresses, and a case has few of them (trial.py).
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        chat = ChatServer()
        chat.timeouts = Timeouts(read_header=patience)
        run(listener.fileno(), chat, live)

    return serve
