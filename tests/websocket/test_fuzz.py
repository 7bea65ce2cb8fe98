"""A little of the fuzzing at every run. The whole: python -m tests.websocket.fuzz --seconds 600"""

from __future__ import annotations

import random

from tests.websocket.fuzz import attempt, broken


def test_fuzz() -> None:
    for seed in range(300):
        attempt(random.Random(seed))


def test_inputs_are_broken_in_many_ways() -> None:
    data = bytes(range(100))
    mutants = {broken(random.Random(seed), data) for seed in range(100)}
    assert len(mutants) > 70 and data in mutants
