"""The calls of the clients' loop: from compiled.py where there is numba, else from plain.py."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

COMPILED: Final = bool(find_spec("numba")) and os.environ.get("NUMBA_DISABLE_JIT", "0") == "0"

if TYPE_CHECKING or not COMPILED:
    from iomodels.measure.plain import *  # noqa: F403, their __all__ is the same
else:
    from iomodels.measure.compiled import *  # noqa: F403
