"""The project that ends the course: a chat server, tested, measured, and put on a board.

    tester(serve)                what it can do by now, stage by stage, and what fails, in words
    score(serve)                 users held, messages delivered, bytes and system calls: measured
    board.add("Ann", score)      one small file for each learner
    board.show()                 all of them, best first

`serve(listener, patience)` speaks the protocol of apps/chat.py on a listening socket until that is
shut down. The files, in the order to read them: host.py, users.py, stages.py, tester.py; scores.py
and measure/chat_clients.py; board.py.
"""

from iomodels.course.project import board
from iomodels.course.project.models import model
from iomodels.course.project.scores import (
    Score,
    ScoreFailed,
    score,
    score_of_go,
    score_of_model,
)
from iomodels.course.project.tester import Report, tester

__all__ = [
    "Report",
    "Score",
    "ScoreFailed",
    "board",
    "model",
    "score",
    "score_of_go",
    "score_of_model",
    "tester",
]
