"""Ports are used up to the last one, and half of them cost more than the other half."""

from __future__ import annotations

import subprocess
import sys

import pytest

from iomodels.measure.fresh import NotMeasured
from iomodels.measure.ports import BATCHES, Curve, connecting, room


def used_up(ports: int) -> Curve:
    try:
        return connecting(ports)
    except NotMeasured as why:
        if "no network namespace" not in str(why):
            raise
        pytest.skip(str(why))


def test_every_port_is_used_and_then_none_is_left_but_of_another_address() -> None:
    curve = used_up(80)
    assert (curve.ports, len(curve.held), curve.held[-1]) == (80, BATCHES, 80)
    assert curve.error == "EADDRNOTAVAIL" and curve.next_address


def test_the_second_half_costs_a_walk_past_the_first() -> None:
    ports = min(4_000, room())
    if ports < 4_000:
        pytest.skip(f"a process here has room for {ports} ports only, both ends being its own")
    best = max((used_up(ports) for _ in range(3)), key=lambda curve: curve.beyond / curve.before)
    assert best.beyond > 2 * best.before


def test_few_descriptors_are_few_ports() -> None:
    script = "from iomodels.measure.ports import room; print(room())"
    limited = f'ulimit -n 256; exec "{sys.executable}" -c "{script}"'
    found = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, check=True)
    assert int(found.stdout) == 80
