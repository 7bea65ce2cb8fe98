"""A view of each payload of a batch, made by compiled code.

`window[offset : offset + length]` costs 110 ns: two numbers and a slice are made for it, looked at,
and thrown away. Most of that is gone when the loop over the rows is compiled and calls Python's own
PyMemoryView_FromMemory for each (Python/C API, "MemoryView Objects").

The price: such a view knows an address, and nothing of the window. It does not keep the window
alive. Within the call of a batch app the server holds the window; a view that is kept for longer
reads what comes next, and after the server's end, memory that is no longer there. Whoever must keep
a payload copies it: bytes(view).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from iomodels.websocket.scan import compiled, direct, np, numba

if TYPE_CHECKING:
    from iomodels.websocket.parser import Row
    from iomodels.websocket.scan import Array

WRITABLE = 0x200  # PyBUF_WRITE

if numba and np:
    from numba.core import types

    external: Any = types.ExternalFunction
    view_of = external("PyMemoryView_FromMemory", types.intp(types.intp, types.intp, types.int32))
    set_item = external("PyList_SetItem", types.int32(types.intp, types.intp, types.intp))


@compiled("int64(MemoryView(uint8, 1, 'C'), int64[:, ::1], intp)")
def fill(window: memoryview, rows: Array, views: int) -> int:
    """Put a view for each row into the list at this address; return how many could be made."""
    memory = np.frombuffer(window, np.uint8).ctypes.data
    for row in range(rows.shape[0]):
        view = view_of(memory + rows[row, 0], rows[row, 1], WRITABLE)
        if view == 0:
            return row
        set_item(views, row, view)  # the list owns it now
    return int(rows.shape[0])


fill_directly = direct(fill)


def payloads(window: memoryview, rows: Sequence[Row] | Array) -> list[memoryview]:
    """Return a view of each payload; good until the batch app returns, and no longer.

    `rows` are the scanner's array, all of it or a part, or the parser's list.
    """
    if isinstance(rows, list):
        return [window[offset : offset + length] for offset, length, _, _ in rows]
    views: list[Any] = [None] * len(rows)
    if fill_directly(window, rows, id(views)) < len(views):
        raise MemoryError("no memory for a view")
    return views
