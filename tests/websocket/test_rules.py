"""Every rule of the table, with both decoders and both kinds of app, however it is cut."""

from __future__ import annotations

import struct

import pytest

from tests.websocket.harness import Client, every_way, random_cuts, serve
from tests.websocket.rules import HANDSHAKES, NO_CODE, RULES, HandshakeRule, Rule

CUTS = {
    "whole": lambda data: [],
    "byte by byte": lambda data: range(1, min(len(data), 3000)),
    "cut in two": lambda data: [len(data) // 2],
    "cut anywhere": lambda data: random_cuts(data, seed=len(data)),
}


@every_way
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule(rule: Rule, way) -> None:
    for cut, cuts in CUTS.items():
        websocket = serve(way)
        client = Client(websocket)
        answer = client.send(rule.client, cuts(rule.client))
        assert answer[: len(rule.server)] == rule.server, cut
        check_close(answer[len(rule.server) :], rule.close, cut)
        assert client.ended == (rule.close is not None), cut
        if rule.close is not None:
            assert not websocket.unfinished, f"{cut}: what was unfinished goes with the connection"
            assert client.websocket.app.events[-1][0] == "closed", cut


def check_close(answer: bytes, code: int | None, cut: str) -> None:
    if code is None:
        assert answer == b"", cut
    elif code == NO_CODE:
        assert answer == b"\x88\x00", cut
    else:
        assert answer[0] == 0x88 and answer[1] == len(answer) - 2 <= 125, cut
        assert struct.unpack("!H", answer[2:4]) == (code,), cut
        answer[4:].decode()


FAILURES = [
    rule
    for rule in RULES
    if rule.close in (1002, 1007, 1009) and "is answered with itself" not in rule.name
]


@pytest.mark.parametrize("rule", FAILURES, ids=lambda rule: rule.name)
def test_failure_says_what_was_wrong(rule: Rule) -> None:
    answer = Client(serve((False, False))).send(rule.client)
    reason = answer[len(rule.server) + 4 :].decode()
    assert len(reason.split()) > 3


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())
@pytest.mark.parametrize("rule", HANDSHAKES, ids=lambda rule: rule.name)
def test_handshake(rule: HandshakeRule, cut) -> None:
    client = Client(serve((False, False)), upgraded=False)
    answer = client.send(rule.client, cut(rule.client))
    head, _, after = answer.partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    assert status.startswith(f"HTTP/1.1 {rule.status} ")
    assert set(rule.has) <= set(fields)
    assert not [name for name in rule.lacks if name in head.decode()]
    assert client.ended == (rule.status != 101)
    if rule.status == 101:
        assert after == rule.after
    else:
        assert f"Content-Length: {len(after)}" in fields
        assert "Connection: close" in fields
        assert after.strip()


def test_names_are_unique() -> None:
    names = [rule.name for rule in [*RULES, *HANDSHAKES]]
    assert len(set(names)) == len(names)
