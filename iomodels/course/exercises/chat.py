"""The chat: a server on epoll, from an empty cell.

    serve(listener, patience) -> None

It speaks the protocol of apps/chat.py on a listening socket, until that is shut down, and closes
what it has opened. A newcomer has `patience` seconds for its request. The cases are the tests of
the project, in the order of its seven stages (iomodels/course/project/stages.py).
"""

from __future__ import annotations

from iomodels.course.project.stages import STAGES

CASES = tuple(test for stage in STAGES for test in stage.tests)
