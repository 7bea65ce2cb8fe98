"""Tests that hold more connections than a small machine lets a process have."""

from __future__ import annotations

import resource

import pytest

MANY = 2048  # descriptors
_hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

many_descriptors = pytest.mark.skipif(
    0 <= _hard < MANY,
    reason=f"a process may hold {_hard} descriptors here, and this takes up to {MANY:,}",
)
