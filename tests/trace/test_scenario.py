"""The script language: what each act means, and what is said of a line that is wrong."""

from __future__ import annotations

import pytest

from iomodels.trace import ScriptError, models_for, record, scenarios
from iomodels.trace.scenario import UPGRADE, Scenario, parse
from iomodels.websocket.frames import TEXT, encode


def test_acts() -> None:
    acts = list(
        parse("""
        A connects with a receive buffer of 2048 bytes; A sends 'he', and thinks   # a comment
        B connects
        B sends "it's; #1\\r\\n\\x81" and 30 bytes
        5 seconds pass
        A reads 7 bytes
        A reads
        A shuts down, for now
        B resets
        """)
    )
    assert [(act.actor, act.verb) for act in acts] == [
        ("A", "connects"), ("A", "sends"), ("B", "connects"), ("B", "sends"), ("clock", "passes"),
        ("A", "reads"), ("A", "reads"), ("A", "shuts down"), ("B", "resets"),
    ]  # fmt: skip
    assert acts[0].number == 2048
    assert (acts[1].data, acts[1].aside) == (b"he", "and thinks")
    assert acts[3].data == b"it's; #1\r\n\x81abcdefghijklmnopqrstuvwxyzabcd"
    assert acts[4].number == 5
    assert [act.number for act in acts[5:7]] == [7, 0]
    assert acts[7].aside == "for now"


def test_what_is_sent_in_parts() -> None:
    script = """
    A connects
    A sends upgrade and frame 'hi'
    A sends the first 3 bytes of frame 'hello'
    A sends the next 2 bytes
    A sends the rest
    """
    _, both, first, second, rest = (act.data for act in parse(script))
    mask = bytes.fromhex("37fa213d")
    assert both == UPGRADE + encode(TEXT, b"hi", mask)
    assert (len(first), len(second)) == (3, 2)
    assert first + second + rest == encode(TEXT, b"hello", mask)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("A conects", "line 1, 'A conects': a client connects, sends, reads"),
        ("anna connects", "line 1, 'anna connects': an act is"),
        ("A sends 'x'", "A has not connected"),
        ("A connects\nA connects", "line 2, 'A connects': A has connected before"),
        ("A connects; A closes; A sends 'x'", "line 1, \"A sends 'x'\": A has left"),
        ("A connects; A sends the rest", "nothing was left"),
        ("A connects; A sends", "a client connects"),
        ("A connects; A sends ''", "nothing to send"),
        ("A connects; A sends hello", "what is sent is 'text'"),
        ("A connects; A sends 'a' or 'b'", "there is no sense in \"or 'b'\""),
        ("A connects; A sends 'ä'", "ASCII and the escapes"),
        ("A connects; A sends 'it", "what is sent is"),
        ("A connects; A reads twelve bytes", "a client connects"),
    ],
)
def test_a_wrong_line_is_one_clear_error(script: str, said: str) -> None:
    with pytest.raises(ScriptError) as caught:
        list(parse(script))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_that_there_are_not() -> None:
    with pytest.raises(ValueError, match="no model named 'fibers'; there are blocking"):
        record("fibers", "slow-client")
    with pytest.raises(ValueError, match="no scenario named 'lunch'; there are slow-client"):
        record("epoll", "lunch")
    with pytest.raises(ValueError, match="herd is not for epoll: it takes several processes"):
        record("epoll", "herd")


def test_the_library() -> None:
    for each in scenarios().values():
        assert each.acts
        assert each.about.endswith((".", "?"))
        assert models_for(each)
        assert bool(each.models) == bool(each.reason)


def test_a_scenario_of_ones_own() -> None:
    own = Scenario("own", "My own", "Is it as easy as that?", "A connects; A sends 'x'; A reads")
    last = record("epoll", own).steps[-1]
    assert last["says"].startswith("A reads 1 byte: `x`.")
