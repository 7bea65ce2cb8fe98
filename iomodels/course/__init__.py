"""What turns a notebook into a lesson: `predict()` before a measurement, `quiz()` after it."""

from iomodels.course.prediction import Prediction, predict
from iomodels.course.questions import Question, quiz

__all__ = ["Prediction", "Question", "predict", "quiz"]
