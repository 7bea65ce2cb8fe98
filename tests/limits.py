"""Tests that hold more connections than a small machine lets a process have."""

from __future__ import annotations

import pytest

from iomodels.measure.limits import SPARE, sized

_room = sized(2048 - SPARE)
many_descriptors = pytest.mark.skipif(bool(_room.why), reason=_room.why)
