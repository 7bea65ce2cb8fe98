"""Each scenario with each model that it is for: twice the same, and true at every step."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import pytest

from iomodels.measure.million.network import CLONE_NEWNET, enter
from iomodels.servers import missing
from iomodels.trace import models_for, record, scenarios
from iomodels.trace.recorder import no_room
from tests.trace.outside import compare

PAIRS = [(model, each.name) for each in scenarios().values() for model in models_for(each)]


@pytest.fixture(scope="module", autouse=True)
def _network_of_our_own() -> Iterator[None]:
    """Where we may have one: a machine's /proc/net/tcp can have ten thousand lines of others."""
    with open("/proc/thread-self/ns/net") as home:
        try:
            enter(sockets=1_000)
        except OSError:
            yield
            return
        yield
        assert ctypes.CDLL(None).setns(home.fileno(), CLONE_NEWNET) == 0


@pytest.mark.parametrize(("model", "name"), PAIRS, ids=lambda word: word)
def test_a_recording_is_the_same_each_time_and_true(model: str, name: str) -> None:
    if reason := missing(model) or no_room(scenarios()[name]):
        pytest.skip(reason)
    compared = []

    def look(*step: Any) -> None:
        compare(*step)
        compared.append(step)

    first = record(model, name, look)
    assert len(compared) >= len(first.steps) > 10
    again = record(model, name)
    for one, other in zip(first.steps, again.steps, strict=False):
        assert one == other
    assert first.to_json() == again.to_json()
    assert len(first.to_json()) < 600 * len(first.steps) + 30_000
