"""The calls of the clients' loop: from compiled.py where there is numba, else from plain.py."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

COMPILED: Final = bool(find_spec("numba")) and os.environ.get("NUMBA_DISABLE_JIT", "0") == "0"

if TYPE_CHECKING or not COMPILED:
    from iomodels.measure.plain import (
        bits_of,
        bytes_of,
        compiled,
        fd_of,
        handle_of,
        integers,
        now,
        read,
        room_for_bytes,
        room_for_events,
        same,
        wait,
        watch,
        write,
    )
else:
    from iomodels.measure.compiled import (
        bits_of,
        bytes_of,
        compiled,
        fd_of,
        handle_of,
        integers,
        now,
        read,
        room_for_bytes,
        room_for_events,
        same,
        wait,
        watch,
        write,
    )

__all__ = (
    "COMPILED bits_of bytes_of compiled fd_of handle_of integers now read "
    "room_for_bytes room_for_events same wait watch write"
).split()
