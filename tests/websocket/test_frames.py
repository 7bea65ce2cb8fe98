"""Headers in and out of a buffer, close codes, and the mask."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iomodels.websocket import CloseCode, ProtocolError, encode, masking
from iomodels.websocket.frames import (
    BINARY,
    CLOSE,
    HEADROOM,
    TEXT,
    Close,
    decode,
    encode_before,
    encode_close,
    encode_header,
    may_be_sent,
    parse_close,
)
from tests.websocket.rules import KEY, MAY_BE_SENT, MUST_NOT_BE_SENT, frame, sent

SIZES = [0, 1, 2, 3, 125, 126, 127, 65535, 65536, 100_000]


@pytest.mark.parametrize("size", SIZES)
def test_decode_reads_what_encode_writes(size: int) -> None:
    data = encode(TEXT, b"x" * size, KEY)
    assert data == frame(TEXT, b"x" * size)
    first, length, header = decode(data, 0, len(data), 1 << 20)
    assert (first, length, header) == (0x81, size, len(data) - size)
    assert encode(TEXT, b"x" * size) == sent(TEXT, b"x" * size)
    assert encode_header(TEXT, size) + b"x" * size == sent(TEXT, b"x" * size)


@pytest.mark.parametrize("size", SIZES)
def test_decode_says_none_until_the_header_is_whole(size: int) -> None:
    data = b"??" + frame(BINARY, bytes(size))
    whole = len(data) - size
    for stop in range(2, whole):
        assert decode(data, 2, stop, 1 << 20) is None
    assert decode(data, 2, whole, 1 << 20) == (0x82, size, whole - 2)


def test_decode_fails_at_the_length_not_at_the_mask() -> None:
    with pytest.raises(ProtocolError, match="a frame of 126 bytes, and 125 are the limit") as info:
        decode(b"\x82\xfe\x00\x7e", 0, 4, 125)
    assert info.value.code == CloseCode.MESSAGE_TOO_BIG


@pytest.mark.parametrize("size", SIZES)
def test_a_server_s_header_fits_where_the_client_s_was(size: int) -> None:
    window = bytearray(b"before" + frame(BINARY, b"x" * size, mask=b"\0\0\0\0"))
    offset = len(window) - size
    start = encode_before(window, offset, size, BINARY)
    assert window[start:] == sent(BINARY, b"x" * size)
    assert start == 6 + 4, "4 bytes later: those of the mask"
    assert window.startswith(b"before")
    assert offset - start <= HEADROOM


def test_close_codes() -> None:
    allowed = [code for code in range(65536) if may_be_sent(code)]
    assert allowed == [*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)]
    assert all(map(may_be_sent, MAY_BE_SENT))
    assert not any(map(may_be_sent, MUST_NOT_BE_SENT))


def test_close_payload() -> None:
    assert parse_close(b"") == Close(1005, "")
    assert parse_close(b"\x03\xe9na\xc3\xafve") == Close(1001, "naïve")
    assert encode_close(1001, "naïve") == sent(CLOSE, b"\x03\xe9na\xc3\xafve")


def test_a_long_reason_is_cut_between_characters() -> None:
    data = encode_close(1000, "ä" * 100)
    assert data[1] == len(data) - 2 == 2 + 122
    assert data[4:].decode() == "ä" * 61


@pytest.mark.parametrize("code", [0, 1005, 1006, 1015, 2000, 5000])
def test_a_code_that_must_not_be_sent_is_not(code: int) -> None:
    with pytest.raises(ValueError, match=f"close code {code} must not be sent"):
        encode_close(code)


# --- the mask ---


def masked(payload: bytes, key: bytes, phase: int) -> bytes:
    """Do it byte by byte, as section 5.3 has it."""
    return bytes(byte ^ key[(i + phase) % 4] for i, byte in enumerate(payload))


@pytest.fixture(params=["numpy", "without numpy"])
def with_and_without_numpy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without numpy":
        monkeypatch.setattr(masking, "optional", lambda name: None)
    elif masking.optional("numpy") is None:
        pytest.skip("numpy is not installed")


MASK = b"\x01\x82\xf3\x04"


def check_everywhere(unmask: Callable[[memoryview, bytes, int], object], size: int) -> None:
    """At any address, in any phase, and not a byte beside it."""
    payload = bytes(i * 7 & 0xFF for i in range(size))
    for phase in range(5):
        clear = masked(payload, MASK, phase)
        for at in range(9):
            buffer = bytearray(b"\xa5" * at + payload + b"\xa5" * 9)
            unmask(memoryview(buffer)[at : at + size], MASK, phase)
            assert buffer == b"\xa5" * at + clear + b"\xa5" * 9, f"at {at}, phase {phase}"


@pytest.mark.usefixtures("with_and_without_numpy")
@pytest.mark.parametrize(
    "size", [*range(10), 125, 255, 256, 257, 258, 259, 1000, 16384, 32768, 50_001]
)
def test_unmask_at_any_address_in_any_phase(size: int) -> None:
    check_everywhere(masking.unmask, size)


@pytest.mark.parametrize("size", [*range(40), 1000, 1001])
def test_the_compiled_unmask_does_the_same(size: int) -> None:
    scan = pytest.importorskip("iomodels.websocket.scan")
    if not scan.available():
        pytest.skip("numba is not installed")
    check_everywhere(scan.unmask_piece, size)


@given(payload=st.binary(max_size=600), key=st.binary(min_size=4, max_size=4), data=st.data())
def test_unmask_in_pieces_is_unmask_at_once(
    payload: bytes, key: bytes, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(payload)), max_size=4)))
    buffer = bytearray(payload)
    view = memoryview(buffer)
    for start, stop in zip([0, *cuts], [*cuts, len(payload)], strict=True):
        masking.unmask(view[start:stop], memoryview(key), start)
    assert buffer == masked(payload, key, 0)
