"""Questions after a lesson: `quiz()` asks, and says at once whether an answer is right, and why.

Each wrong answer has an explanation of its own: it is wrong for a reason, and the reason is what
there is to learn. Answers stand in the order in which they are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import traitlets

from iomodels.course.card import Card, frame, module
from iomodels.views.style import inline


@dataclass(frozen=True)
class Question:
    """A question, its answers, and which of them is right.

    `answers` maps each answer to what it says when picked: why it is right, or why not. In all
    texts, `code` is code. Raises ValueError when `right` is none of the answers, when there are
    fewer than two, or when a text is empty.
    """

    text: str
    answers: Mapping[str, str]
    right: str

    def __post_init__(self) -> None:
        about = f"Question({self.text!r})"
        if not self.text.strip():
            raise ValueError("Question(): the text is empty")
        if len(self.answers) < 2:
            raise ValueError(f"{about}: give two answers or more, there are {len(self.answers)}")
        for answer, why in self.answers.items():
            if not answer.strip() or not why.strip():
                raise ValueError(f"{about}: the answer {answer!r} needs a text and an explanation")
        if self.right not in self.answers:
            raise ValueError(f"{about}: right is {self.right!r}, which is none of the answers")


def quiz(*questions: Question) -> None:
    """Show the questions on one card. Nothing waits for the answers."""
    if not questions:
        raise ValueError("quiz(): there is no question; give one Question or more")
    _QuizCard(
        static=_static(questions),
        text=f"<quiz: {len(questions)} question{'s' * (len(questions) > 1)}>",
        questions=[
            {
                "text": inline(question.text),
                "answers": [
                    {"text": inline(answer), "why": inline(why), "right": answer == question.right}
                    for answer, why in question.answers.items()
                ],
            }
            for question in questions
        ],
        picked=[-1] * len(questions),
    ).show()


class _QuizCard(Card):
    _esm = module("questions.js")
    questions: traitlets.List[Any] = traitlets.List().tag(sync=True)
    picked: traitlets.List[int] = traitlets.List().tag(
        sync=True
    )  # per question the answer's position, or -1


def _static(questions: tuple[Question, ...]) -> str:
    """The card where there is no kernel: an answer opens to show its explanation."""

    def answer(text: str, why: str, right: bool) -> str:
        verdict = "Right." if right else "No."
        return (
            f"<details><summary>{inline(text)}</summary>"
            f"<p><b>{verdict}</b> {inline(why)}</p></details>"
        )

    def asked(number: int, question: Question) -> str:
        answers = (answer(a, why, a == question.right) for a, why in question.answers.items())
        return (
            f'<div class="io-asked"><p class="io-question">{number}. {inline(question.text)}</p>'
            f"{''.join(answers)}</div>"
        )

    return frame("Quiz", "".join(asked(n, question) for n, question in enumerate(questions, 1)))
