"""The anatomy of a frame, to point at: its bytes, its bits, and what each field says.

    anatomy("81 85 37 fa 21 3d 7f 9f 4d 51 58")

Point at a bit, or go through the fields with the arrow keys: the field and its bits are marked
together. Like the stepper, the output is HTML that needs neither kernel nor network, and a table
where no script may run; inside other widgets it is an anywidget.

A payload is long, and its bits say nothing: of it only the first bytes are drawn.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import traitlets
from anywidget import AnyWidget

from iomodels.views import style
from iomodels.views.style import number
from iomodels.websocket.anatomy import SHOWN, Frame, Part, dissect, from_hex, written

__all__ = ["Anatomy", "anatomy"]

FRAMES = 20  # more are not shown
TONES = ("a", "c", "b", "run", "sleep")  # of the fields, in turn

HERE = Path(__file__)
MODULE = HERE.with_suffix(".js").read_text(encoding="utf-8")
SHEET = HERE.with_suffix(".css").read_text(encoding="utf-8")


def anatomy(data: str | bytes) -> Anatomy:
    """Take WebSocket frames apart, given as hexadecimal digits or as the bytes themselves.

    What is broken or missing is explained, and what follows is taken apart all the same. Raises
    ValueError for text that is not hexadecimal, and where there are no bytes.
    """
    raw = from_hex(data) if isinstance(data, str) else bytes(data)
    if not raw:
        raise ValueError("anatomy(): there are no bytes in it")
    return Anatomy(raw)


class Anatomy(AnyWidget):
    """What `anatomy()` returns."""

    _esm = MODULE
    _css = style.css()
    markup = traitlets.Unicode().tag(sync=True)
    sheet = traitlets.Unicode(SHEET).tag(sync=True)

    def __init__(self, raw: bytes) -> None:
        """`raw` holds at least one byte."""
        self.frames = list(dissect(raw))
        super().__init__(markup=_markup(raw, self.frames))

    def __repr__(self) -> str:
        many = len(self.frames)
        return f"anatomy: {self.frames[0].about}{f', {many} frames' * (many > 1)}"

    def _repr_mimebundle_(self, **_options: Any) -> Any:
        program = MODULE.replace("export default { render };", "")
        start = "enliven(document.currentScript.parentElement.querySelector('.anatomy'));"
        page = (
            f'<div class="iomodels"><style>{style.css()}</style>'
            f"<div><template><style>{SHEET}</style></template>{self.markup}"
            f"<script>(() => {{\n{program}\n{start}\n}})();</script></div></div>"
        )
        return {"text/html": page, "text/plain": repr(self)}, {}


def _markup(raw: bytes, frames: Sequence[Frame]) -> str:
    parts = [_frame(raw, frame) for frame in frames[:FRAMES]]
    if len(frames) > FRAMES:
        parts.append(f"<p>{number(len(frames) - FRAMES)} more frames follow.</p>")
    return f'<div class="anatomy">{"".join(parts)}</div>'


def _frame(raw: bytes, frame: Frame) -> str:
    title = f"Byte {number(frame.start)}: {html.escape(frame.about)}"
    notes = [
        f"<p>✗ byte {number(at)}: {html.escape(rule)} (RFC 6455, {section}); "
        + (f"fails the connection with {code:d}</p>" if code else "it is passed over</p>")
        for at, rule, section, code in frame.broken
    ]
    if frame.missing:
        more = "at least " * frame.at_least
        notes.append(f"<p>… {more}{number(frame.missing)} bytes are still to come</p>")
    heads = "".join(
        f'<th scope="col" style="text-align: left">{head}</th>'
        for head in ("field", "bits", "value", "meaning", "RFC 6455")
    )
    rows = "".join(_row(place, part) for place, part in enumerate(frame.parts))
    return (
        f'<div class="frame" role="group" aria-label="{title}"><h4>{title}</h4>'
        f'<p class="bytes">{_bytes(raw, frame)}</p><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table>{''.join(notes)}</div>"
    )


def _bytes(raw: bytes, frame: Frame) -> str:
    """Every byte of the head with its bits; of a payload, the first ones without them."""
    payload = min((p.at for p in frame.parts if not p.bits), default=frame.stop)
    last = min(frame.stop, payload + SHOWN)
    drawn = []
    for at in range(frame.start, last):
        bits = "".join(_bit(frame, at, bit, raw[at]) for bit in range(8)) if at < payload else ""
        whole = " ".join(_parts_of(frame, at, None))
        drawn.append(
            f'<span class="byte"><code data-part="{whole}">{raw[at]:02x}</code>'
            f"{f' <code>{bits}</code>' if bits else ''}</span> "
        )
    if last < frame.stop:
        drawn.append(f"<span>… {number(frame.stop - last)} more</span>")
    return "".join(drawn)


def _bit(frame: Frame, at: int, bit: int, byte: int) -> str:
    names = _parts_of(frame, at, bit)
    tone = TONES[int(names[0]) % len(TONES)] if names else ""
    value = byte >> (7 - bit) & 1
    return f'<span class="bit {tone}" data-part="{" ".join(names)}">{value}</span>'


def _parts_of(frame: Frame, at: int, bit: int | None) -> list[str]:
    """The fields, by their place, to which a bit belongs; or a whole byte."""
    found = []
    for place, part in enumerate(frame.parts):
        if not part.at <= at < part.stop:
            continue
        first = 8 * part.at + part.bit
        if bit is None or first <= 8 * at + bit < first + part.width:
            found.append(str(place))
    return found


def _row(place: int, part: Part) -> str:
    bits = " ".join(part.bits[i : i + 8] for i in range(0, len(part.bits), 8))
    tone = TONES[place % len(TONES)] if part.bits else "whole"
    cells = (f"<code>{bits}</code>", html.escape(written(part)), html.escape(part.meaning))
    return (
        f'<tr class="{tone}" data-part="{place}"><th scope="row" style="text-align: left">'
        f"{html.escape(part.name)}</th>"
        f"{''.join(f'<td>{cell}</td>' for cell in cells)}<td>{part.section}</td></tr>"
    )
