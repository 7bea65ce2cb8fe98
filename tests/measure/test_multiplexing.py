"""What a wake-up costs: the claims hold, under load too, and the arithmetic is right."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from iomodels.measure import multiplexing
from iomodels.measure.fresh import NotMeasured, fresh
from iomodels.measure.multiplexing import (
    FLAT,
    LINEAR,
    WAYS,
    Curves,
    Point,
    against_fds,
    against_ready,
)
from iomodels.views.multiplexing import alt, draw, slope
from tests.limits import many_descriptors

LOADS = 8  # busy loops beside the instrument


def power_law(exponent: float, fixed: float = 0.0, *sizes: int) -> Curves:
    """Curves of one way whose cost is known."""
    points = [Point("poll", n, 1, fixed + 1e-8 * n**exponent) for n in sizes]
    return Curves("fds", tuple(points))


def claims(curves: Curves) -> list[str]:
    """Those of the lesson's claims that do not hold."""
    linear = {way: curves.ratio(way) for way in ("select", "poll", "asking")}
    flat = {way: curves.ratio(way) for way in ("epoll", "epoll-edge")}
    wrong = [f"{way}: {ratio:.2f}, not linear" for way, ratio in linear.items() if ratio <= LINEAR]
    return wrong + [f"{way}: {ratio:.2f}, not flat" for way, ratio in flat.items() if ratio >= FLAT]


# --- what is claimed ---


def test_epoll_is_flat_and_the_others_are_linear() -> None:
    curves = against_fds()
    assert claims(curves) == []
    assert curves.ways == list(WAYS)
    assert curves.of("poll")[-1].fds == curves.of("asking")[-1].fds
    for way in ("select", "poll", "asking"):
        assert "linear" in curves.words(way)
    assert curves.of("asking")[-1].seconds > 4 * curves.of("poll")[-1].seconds


def test_what_is_ready_costs_epoll_and_hardly_anybody_else() -> None:
    curves = against_ready()
    assert min(curves.ratio("epoll"), curves.ratio("epoll-edge")) > LINEAR
    for way in ("select", "poll"):  # how little it is differs between processors
        assert curves.ratio(way) < LINEAR and curves.ratio(way) < curves.ratio("epoll") / 2
    first, *_, last = curves.of("epoll")
    assert (first.ready, last.ready) == (1, last.fds)
    assert last.per_ready < first.per_ready  # one call, many answers
    # With one ready of them all, epoll is far ahead; with all of them ready, it is not.
    assert curves.of("poll")[0].seconds > 4 * first.seconds
    assert "for each ready fd" in curves.words("epoll")


@many_descriptors
def test_select_ends_where_its_numbers_end_and_the_notes_say_so() -> None:
    curves = against_fds((100, 1000, 1100))
    assert [point.fds for point in curves.of("select")] == [100, 1000]
    assert [point.fds for point in curves.of("poll")] == [100, 1000, 1100]
    assert curves.notes == ("select is left out from 1,100 fds on: it takes fd numbers to 1023",)


def test_only_the_ways_that_are_asked_for() -> None:
    assert against_fds((10, 100), ways=["poll"]).ways == ["poll"]
    with pytest.raises(ValueError, match="nothing was measured of 'epoll'; there are poll"):
        power_law(1, 0, 10, 100).of("epoll")


@pytest.mark.skipif(not os.environ.get("IOMODELS_LONG"), reason="IOMODELS_LONG is not set")
@pytest.mark.timeout(1800)
def test_the_claims_hold_20_times_of_20_beside_eight_busy_loops() -> None:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(LOADS)]
    wrong, ratios = [], []
    try:
        for number in range(20):
            curves = against_fds()
            ratios.append({way: round(curves.ratio(way), 2) for way in curves.ways})
            print(number, ratios[-1], f"load {os.getloadavg()[0]:.1f}")
            wrong += [f"run {number}: {what}" for what in claims(curves)]
        assert all(loop.poll() is None for loop in busy)
    finally:
        for loop in busy:
            loop.kill()
            loop.wait()
    assert wrong == []
    print({way: (min(r[way] for r in ratios), max(r[way] for r in ratios)) for way in WAYS})


# --- a small machine ---


def test_with_256_descriptors_the_answer_is_smaller_and_true() -> None:
    script = """if True:
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        from iomodels.measure.multiplexing import against_fds, against_ready
        for curves in (against_fds(), against_ready()):
            print(max(point.fds for point in curves.points), curves.ways, *curves.notes)
            print(curves.shape("poll"), curves.shape("epoll"))"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    fds, shapes, ready, shapes_of_ready = done.stdout.splitlines()
    why = "a process may hold 256 descriptors here (RLIMIT_NOFILE, ulimit -Hn)"
    assert fds.endswith(f"192 fds instead of 10,000: {why}"), done.stderr
    assert ready.endswith(f"192 fds instead of 1,000: {why}")
    assert fds.startswith(f"192 {list(WAYS)}")
    # With so few, the fixed part of a call is a good part of all; epoll's is all there is.
    assert shapes in ("linear flat", "less than linear flat")
    assert shapes_of_ready in ("flat linear", "less than linear linear")


def test_it_needs_no_privilege() -> None:
    """The child, as nobody: its lines, of which the last holds the points."""
    script = """if True:
        import os
        from iomodels.measure import multiplexing
        os.getuid() or os.setuid(65534)
        multiplexing.main('{"sizes": [[10, 1], [100, 1]], "ways": ["poll", "epoll"]}')"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    last = json.loads(done.stdout.splitlines()[-1])
    assert [point["fds"] for point in last["found"]["points"]] == [10, 10, 100, 100], done.stderr


# --- the arithmetic ---


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 1.3])
def test_the_slope_of_a_power_law_is_its_exponent(exponent: float) -> None:
    for sizes in [(10, 100), (10, 30, 100, 300, 1000), (7, 90), (5, 2000), (100, 150)]:
        curves = power_law(exponent, 0, *sizes)
        assert curves.slope("poll") == pytest.approx(exponent)
        assert curves.ratio("poll") == pytest.approx(10**exponent)


def test_the_fit_is_of_the_larger_sizes() -> None:
    curves = power_law(1, 1e-6, 10, 30, 100, 300, 1000, 3000, 10000)
    assert [point.fds for point in curves.larger("poll")] == [1000, 3000, 10000]
    assert curves.ratio("poll") == pytest.approx((1e-6 + 1e-4) / (1e-6 + 1e-5))
    assert 0.94 < curves.slope("poll") < 0.98


@pytest.mark.parametrize(
    ("exponent", "shape"),
    [
        (1.26, "more than linear"),  # 18 times for ten times
        (1.19, "linear"),
        (1, "linear"),
        (0.81, "linear"),
        (0.6, "less than linear"),  # 4 times
        (0.39, "flat"),
        (0, "flat"),
        (-0.5, "falling"),
    ],
)
def test_a_shape_has_a_name(exponent: float, shape: str) -> None:
    curves = power_law(exponent, 0, 10, 100, 1000)
    assert curves.shape("poll") == shape
    assert curves.words("poll").endswith(f"(slope {exponent:.2f}): {shape}")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: against_fds((10,)), "a curve needs two sizes"),
        (lambda: against_fds((10, 10)), "a curve needs two sizes"),
        (lambda: against_fds(()), "a curve needs two sizes"),
        (lambda: against_fds((0, 10)), "1 ready of 0 fds"),
        (lambda: against_fds((10, 100), ready=11), "11 ready of 10 fds"),
        (lambda: against_fds((10, 100), ready=0), "0 ready of 10 fds"),
        (lambda: against_ready((1, 11), fds=10), "11 ready of 10 fds"),
        (lambda: against_ready((0, 1), fds=10), "0 ready of 10 fds"),
        (lambda: against_ready(()), "a curve needs two sizes"),
        (lambda: against_fds(ways=["kqueue"]), "no way named 'kqueue'; there are select, poll"),
    ],
)
def test_what_makes_no_sense_is_refused(call: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()  # type: ignore[operator]


# --- the child ---


def test_every_way_finds_as_many_as_are_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: a way that missed one, or saw one too many, fails its assertion."""
    monkeypatch.setattr(multiplexing, "TURN", 0)
    fds = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(40)]
    before = len(os.listdir("/proc/self/fd"))
    try:
        for way in WAYS:
            for ready in (1, 3, 40):
                assert all(piece > 0 for piece in multiplexing.turn(way, fds, ready))
                for fd in fds:  # and all are empty again
                    with pytest.raises(BlockingIOError):
                        os.read(fd, 8)
        assert len(os.listdir("/proc/self/fd")) == before
    finally:
        for fd in fds:
            os.close(fd)


def test_a_child_that_fails_says_so_in_one_line() -> None:
    with pytest.raises(NotMeasured, match=r"^KeyError: 'sizes'$"):
        fresh("iomodels.measure.multiplexing", {}, "")


def test_nothing_is_left_after_an_interrupt() -> None:
    before = len(os.listdir("/proc/self/fd"))
    script = """if True:
        import sys
        from iomodels.measure import progress
        from iomodels.measure.multiplexing import against_fds
        import contextlib, psutil
        @contextlib.contextmanager
        def bar(title):
            def step(done, what):
                if done > 0.3:
                    print(*(child.pid for child in psutil.Process().children()), flush=True)
                    raise KeyboardInterrupt
            yield step
        progress.bar = bar
        try:
            against_fds()
        except KeyboardInterrupt:
            print(psutil.Process().children())"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    pid, left = done.stdout.splitlines()
    assert left == "[]", done.stderr
    assert not psutil.pid_exists(int(pid))
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_child_ends_when_its_parent_is_killed() -> None:
    script = "from iomodels.measure.multiplexing import against_fds\nwhile True: against_fds()"
    with subprocess.Popen([sys.executable, "-c", script]) as parent:
        family = psutil.Process(parent.pid)
        while not (children := family.children()):
            time.sleep(0.01)
        parent.kill()
    for child in children:
        child.wait(20)


# --- what is shown ---


def test_the_picture_and_its_words(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    points = [Point("poll", n, 1, 1e-7 * n) for n in (10, 100, 1000)]
    points += [Point("epoll", n, 1, 1e-6) for n in (10, 100, 1000)]
    curves = Curves("fds", tuple(points))
    assert alt(curves) == (
        "Time of a wake-up against watched fds, log axes: poll goes from 1 µs at 10 to 100 µs at "
        "1,000, slope 1.00 at its larger sizes; epoll goes from 1 µs at 10 to 1 µs at 1,000, "
        "slope 0.00 at its larger sizes"
    )
    draw(curves).savefig(tmp_path / "chart.svg")
    text = (tmp_path / "chart.svg").read_text()
    for words in ("poll, slope 1.00", "epoll, slope 0.00", "1 of them ready", "1,000"):
        assert re.search(f">{words}<|{words}", text), words
    falls = power_law(-0.001, 0, 10, 100, 1000)
    assert "-0.00" not in alt(falls) and slope(falls, "poll") == "slope 0.00"
    assert slope(power_law(-0.5, 0, 10, 100, 1000), "poll") == "slope -0.50"
    ready = Curves("ready", tuple(Point("poll", 10, n, 1e-7 * n) for n in (1, 10)))
    draw(ready).savefig(tmp_path / "chart.svg")
    assert "of 10 that are watched" in (tmp_path / "chart.svg").read_text()
