"""What turns a notebook into a lesson: `predict()` before a measurement, `quiz()` after it.

`check()` says of an exercise's answer whether it is right. Importing the package also has the
instruments show their progress on the page.
"""

from iomodels.course.checking import check
from iomodels.course.prediction import Prediction, predict
from iomodels.course.questions import Question, quiz
from iomodels.course.waiting import use_in_notebooks

__all__ = ["Prediction", "Question", "check", "predict", "quiz"]

use_in_notebooks()
