"""What turns a notebook into a lesson: `predict()` before a measurement, `quiz()` after it.

`check()` says of an exercise's answer whether it is right. Importing the package in a notebook also
has the instruments show their progress on the page, and an interrupted cell leave nothing open.
"""

from IPython.core.getipython import get_ipython

from iomodels.course import interrupted, waiting
from iomodels.course.checking import check
from iomodels.course.prediction import Prediction, predict
from iomodels.course.questions import Question, quiz

__all__ = ["Prediction", "Question", "check", "predict", "quiz"]

if (shell := get_ipython()) is not None:
    interrupted.use_in_notebooks(shell)
    waiting.use_in_notebooks(shell)
