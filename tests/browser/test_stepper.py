"""The stepper in a page of its own with the network off, in JupyterLab, stored, and exported."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from anywidget import AnyWidget
from playwright.sync_api import Page, expect

from iomodels.course.store import store
from iomodels.servers import missing
from iomodels.trace import Scenario, record
from iomodels.views.stepper import html, stepper
from iomodels.views.stepper.static import moments
from tests.browser.axe import serious_faults
from tests.browser.conftest import Desk
from tests.browser.lab import run_all, theme
from tests.browser.recordings import five, long, toy

NASTY = "</script><img src=x onerror=\"document.title='taken'\">&amp;`"


def opened(page: Page, folder: Path, *recordings: Any, at: int = 1) -> Page:
    file = folder / "run.html"
    file.write_text(html(*recordings, at=at))
    page.goto(file.as_uri())
    expect(page.locator(".stepper")).to_be_visible()
    return page


def step(page: Page) -> int:
    return int(page.locator(".where b").inner_text())


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


# --- Python's side ---


def test_it_is_a_widget_whose_output_needs_no_kernel() -> None:
    shown = stepper(toy("epoll"))
    assert isinstance(shown, AnyWidget)
    many = len(toy("epoll")["steps"])
    assert repr(shown) == f"stepper: One slow client, epoll, {many} steps"
    bundle, _ = shown._repr_mimebundle_()
    assert bundle["text/plain"] == repr(shown)
    assert set(bundle) == {"text/html", "text/plain"}
    assert "http" not in re.sub(r"http://www\.w3\.org/2000/svg", "", bundle["text/html"])


def test_500_steps_fit_into_a_notebook() -> None:
    """Of a real server and six clients; and also two such runs side by side."""
    says = [f"{name} sends 'word {n}'; {name} reads" for n in range(12) for name in "ABCDEF"]
    acts = (
        [f"{name} connects" for name in "ABCDEF"] + says + [f"{name} closes" for name in "ABCDEF"]
    )
    run = record("epoll", Scenario("many", "Many clients", "They talk by turns.", "\n".join(acts)))
    assert len(run.steps) >= 500
    for runs in ([run], [run, run]):
        bundle, _ = stepper(*runs)._repr_mimebundle_()
        assert len(json.dumps(bundle)) < 300_000


def test_what_does_not_go_together_is_refused() -> None:
    one = toy("epoll")
    with pytest.raises(ValueError, match="not a recording in format 1"):
        stepper({"format": 2})
    with pytest.raises(ValueError, match="has no steps"):
        stepper(one | {"steps": []})
    with pytest.raises(ValueError, match="runs of one scenario"):
        stepper(one, toy("select", five(), "Five clients"))
    with pytest.raises(ValueError, match="at=900: the steps are 1 to"):
        stepper(one, at=900)


def test_without_a_script_a_pair_counts_moments() -> None:
    one, pair = (
        stepper(*runs, at=14)._repr_mimebundle_()[0]["text/html"]
        for runs in ([toy("epoll")], [toy("select"), toy("epoll")])
    )
    assert "<p>Step 14, epoll: " in one
    assert "<p>Moment 14, select: " in pair
    assert "<p>Moment 14, epoll: " in pair


# --- the state is a function of recording and step ---


def states(recording: dict[str, Any]) -> list[dict[str, Any]]:
    """The same sum, made here: what the viewer must show at each step."""
    result: list[dict[str, Any]] = []
    now: dict[str, Any] = {"actors": {}, "sockets": {}}
    for one in recording["steps"]:
        now = copy.deepcopy(now)
        for part, value in one["changed"].items():
            if part in ("actors", "sockets"):
                now[part] = {k: v for k, v in (now[part] | value).items() if v is not None}
            else:
                now[part] = value
        result.append(now)
    return result


@pytest.mark.parametrize("model", ["blocking", "select", "epoll"])
def test_each_step_shows_its_state_forward_and_backward(
    model: str, offline: Page, tmp_path: Path
) -> None:
    recording = toy(model)
    page = opened(offline, tmp_path, recording)
    page.locator(".stepper").focus()
    read = """() => {
        const root = document.querySelector(".iomodels").shadowRoot;
        const all = (what) => [...root.querySelectorAll(what)].map((e) => e.textContent);
        return {
            says: root.querySelector(".say").textContent,
            queue: all("[data-place^='queue:']"),
            bytes: [...root.querySelectorAll(".socket")].map((row) =>
                [...row.querySelectorAll(".in .cell")].map((e) => e.textContent).join("")),
            counters: all(".counters td b").map(Number),
            pill: root.querySelector(".pill").textContent,
            line: root.querySelector("[aria-current=step] .number").textContent,
        };
    }"""
    shown = []
    wanted = states(recording)
    for _ in recording["steps"]:
        shown.append(page.evaluate(read))
        press(page, "ArrowRight")
    line = None
    for seen, one, state in zip(shown, recording["steps"], wanted, strict=True):
        line = one.get("line", line)
        assert seen["says"] == one["says"].replace("`", "")
        assert seen["queue"] == state["queue"]["waiting"]
        assert seen["bytes"] == [state["sockets"].get(who, {}).get("in", "") for who in "ABC"]
        assert seen["counters"] == list(state["counters"].values())
        assert seen["pill"] == state["actors"]["server"]["state"]
        assert line is not None and int(seen["line"]) == line[1]
    press(page, "ArrowLeft")
    for seen in shown[-2::-1]:
        assert page.evaluate(read) == seen
        press(page, "ArrowLeft")


@pytest.mark.parametrize("model", ["threads", "processes", "signals", "io_uring", "workers-shared"])
def test_a_real_run_of_several_actors_is_shown(model: str, offline: Page, tmp_path: Path) -> None:
    trace = pytest.importorskip("iomodels.trace.recorder")
    if missing(model):
        pytest.skip(missing(model))
    recording = trace.record(model, "slow-client")
    page = opened(offline, tmp_path, recording)
    page.locator(".stepper").focus()
    for number, one in enumerate(recording.steps, 1):
        assert step(page) == number
        assert page.locator(".say").inner_text() == one["says"].replace("`", "")
        assert "undefined" not in page.locator(".stepper").inner_text()
        press(page, "ArrowRight")


# --- by keyboard, by mouse ---


def test_keys_step_jump_play_and_leave(offline: Page, tmp_path: Path) -> None:
    recording = toy("blocking")
    sleeps = [n for n, one in enumerate(recording["steps"], 1) if one["kind"] == "sleep"]
    page = opened(offline, tmp_path, recording)
    press(page, "Tab")
    expect(page.get_by_role("button", name="First step")).to_be_focused()
    for key, where in [
        ("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2), ("ArrowLeft", 1), ("ArrowLeft", 1),
        ("n", sleeps[0]), ("n", sleeps[1]), ("n", sleeps[2]), ("p", sleeps[1]),
        ("End", len(recording["steps"])), ("ArrowRight", len(recording["steps"])), ("Home", 1),
    ]:  # fmt: skip
        press(page, key)
        assert step(page) == where, key
    slider = page.get_by_role("slider", name="Step")
    slider.focus()
    press(page, "ArrowRight")
    assert step(page) == 2  # one step, not one by us and one by the browser
    expect(slider).to_have_attribute("aria-valuetext", re.compile("^step 2 of"))
    press(page, "Space")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(page.locator(".where b")).to_have_text("3", timeout=10_000)
    press(page, "Space")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    press(page, "Escape")
    assert page.evaluate("document.activeElement === document.body")


def test_playing_ends_at_the_end(offline: Page, tmp_path: Path) -> None:
    recording = toy("blocking")
    last = len(recording["steps"])
    page = opened(offline, tmp_path, recording, at=last - 1)
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.locator(".where b")).to_have_text(str(last), timeout=10_000)
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible(timeout=10_000)


def test_a_click_in_the_lanes_and_in_the_list_seeks(offline: Page, tmp_path: Path) -> None:
    recording = toy("epoll")
    page = opened(offline, tmp_path, recording)
    lanes = page.locator("svg.lanes")
    box = lanes.bounding_box()
    assert box
    lanes.click(position={"x": box["width"] * 9.5 / len(recording["steps"]), "y": 20})
    assert step(page) == 10
    page.get_by_text("Steps as text").click()
    items = page.locator(".steps li button")
    expect(items).to_have_count(len(recording["steps"]))
    items.nth(4).press("Enter")
    assert step(page) == 5
    expect(items.nth(4)).to_have_attribute("aria-current", "step")
    expect(page.locator(".steps [aria-current]")).to_have_count(1)


def test_every_control_can_be_reached_and_left_with_tab(offline: Page, tmp_path: Path) -> None:
    page = opened(offline, tmp_path, toy("epoll"))
    names = []
    for _ in range(30):
        press(page, "Tab")
        found = page.evaluate(
            """() => {
                const e = document.querySelector(".iomodels").shadowRoot.activeElement;
                const name = e?.getAttribute("aria-label") || e?.textContent;
                return e && [name, getComputedStyle(e).outlineStyle];
            }"""
        )
        if found is None:
            break
        names.append(found[0])
        assert found[1] != "none", f"no visible focus on {found[0]}"
    assert names[:5] == ["First step", "Step back", "Play", "Step forward", "Last step"]
    assert names[-2:] == ["Step", "Steps as text"]
    assert "Source: servers/epoll.py" in names


def test_what_changed_is_marked_and_nothing_else(offline: Page, tmp_path: Path) -> None:
    recording = toy("blocking")
    page = opened(offline, tmp_path, recording)
    number = next(n for n, one in enumerate(recording["steps"], 1) if "B connects" in one["says"])
    page.locator(".stepper").focus()
    press(page, *["ArrowRight"] * (number - 1))
    marked = page.locator(".new")
    assert sorted(marked.all_inner_texts()) == ["B", "B\nno fd", "connected"]
    corner = "(e) => getComputedStyle(e, '::after').borderTopStyle"  # not by colour alone
    assert marked.first.evaluate(corner) == "solid"


def test_a_learner_can_say_why_b_waits(offline: Page, tmp_path: Path) -> None:
    """In the blocking server it has no fd, and the server sleeps at A; epoll's sleeps at none."""
    page = opened(offline, tmp_path, toy("blocking"), toy("epoll"))
    said = "B sends hi\\n"
    page.get_by_text("Steps as text").click()
    page.locator(".steps button", has_text=said).first.click()
    press(page, *["ArrowRight"] * 6)
    blocking, epoll = page.locator(".side").all()
    expect(blocking.locator(".socket").nth(0)).to_contain_text("server sleeps here")
    expect(blocking.locator(".socket").nth(1)).to_contain_text("no fd")
    expect(blocking.locator("[data-place='queue:B']")).to_be_visible()
    expect(blocking.locator(".client").nth(1)).to_contain_text("waits")
    expect(epoll.locator(".client").nth(1)).to_contain_text("has its echo")
    expect(epoll.locator(".gate")).to_contain_text("server sleeps here")


def test_two_runs_share_the_moments_at_which_clients_act(offline: Page, tmp_path: Path) -> None:
    one, other = toy("select"), toy("epoll")
    page = opened(offline, tmp_path, one, other)
    acts = [step["says"].replace("`", "") for step in one["steps"] if step["kind"] == "act"]
    page.locator(".stepper").focus()
    met = []
    for _ in range(len(one["steps"]) + len(other["steps"])):
        says = page.locator(".say").all_inner_texts()
        if says[0] == says[1] and says[0] in acts and page.locator(".held:visible").count() == 0:
            met.append(says[0])
        press(page, "ArrowRight")
    assert met == acts
    press(page, "Home")
    order = moments([one, other])
    expect(page.get_by_role("slider")).to_have_attribute("max", str(len(order)))
    for steps in order:
        says = [run["steps"][n]["says"] for run, n in zip((one, other), steps, strict=True)]
        assert page.locator(".say").all_inner_texts() == [said.replace("`", "") for said in says]
        press(page, "ArrowRight")
    counted = page.locator(".counters tbody tr", has_text="fds looked at").locator("td b")
    assert [int(text) for text in counted.all_inner_texts()] == [
        states(run)[-1]["counters"]["looked"] for run in (one, other)
    ]


def test_bytes_that_were_read_and_answered_do_not_look_as_if_they_waited(
    offline: Page, tmp_path: Path
) -> None:
    recording = toy("blocking")
    calls = [one.get("call", {}).get("name") for one in recording["steps"]]
    page = opened(offline, tmp_path, recording, at=calls.index("writev") + 1)
    window = page.locator(".window")
    expect(window).to_have_text("he")
    page.locator(".stepper").focus()
    press(page, "ArrowRight")
    expect(window).to_have_text("heread before")
    press(page, "ArrowLeft")
    expect(window).to_have_text("he")


def test_of_a_long_read_the_window_says_how_many_bytes_there_are(
    offline: Page, tmp_path: Path
) -> None:
    recording = record("epoll", "full-buffer")
    texts = [one.get("text") for one in recording.steps]
    page = opened(offline, tmp_path, recording, at=texts.index("readv(5) → 8000 bytes") + 1)
    expect(page.locator(".window .cell")).to_have_count(12)
    expect(page.locator(".window .rest")).to_have_text("+ 7,988")


def test_who_waits_for_io_uring_waits_until_the_server_takes_note(
    offline: Page, tmp_path: Path
) -> None:
    """As with epoll, though its bytes are in the server's buffer at once."""
    if missing("io_uring"):
        pytest.skip(missing("io_uring"))
    runs = [record(model, "slow-client") for model in ("epoll", "io_uring")]
    page = opened(offline, tmp_path, *runs)
    page.get_by_text("Steps as text").click()
    for act in ("A connects", "A sends he", "B sends hi", "A sends llo"):
        page.locator(".steps button", has_text=f"epoll: {act}").first.click()
        waiting = page.locator(".client", has=page.locator(".waits"))
        expect(waiting).to_have_text([re.compile(f"^{act[0]}waits")] * 2)
    press(page, "End")
    expect(page.locator(".client .waits")).to_have_count(0)


def test_the_lists_of_several_workers_stand_by_worker(offline: Page, tmp_path: Path) -> None:
    recording = record("workers-shared", "herd")
    texts = [one.get("text") for one in recording.steps]
    page = opened(offline, tmp_path, recording, at=texts.index("A connects") + 1)
    rows = page.locator(".gate > :is(.what, .whose)").all_inner_texts()
    lists = ["interest list", "ready list"]
    assert rows == ["accept queue", "fd table", "wait queues"] + [
        row for worker in ("worker 1", "worker 2", "worker 3") for row in (worker, *lists)
    ]


def test_the_accept_queue_has_one_place_more_than_listen_was_told(
    offline: Page, tmp_path: Path
) -> None:
    recording = toy("blocking")
    assert recording["steps"][0]["changed"]["queue"]["backlog"] == 4
    page = opened(offline, tmp_path, recording)
    expect(page.locator(".chip.free")).to_have_count(5)


def test_a_ghost_is_not_taken_for_who_has_its_number_now(offline: Page, tmp_path: Path) -> None:
    recording = record("dup-forgotten", "dup-trap")
    steps = [step["says"] for step in recording.steps]
    at = next(n for n, says in enumerate(steps, 1) if "though B has sent nothing" in says)
    page = opened(offline, tmp_path, recording, at=at)
    chips = page.locator(".gate .chips").filter(has=page.locator(".chip")).all_inner_texts()
    assert [" ".join(line.split()) for line in chips[-2:]] == [
        "3 listener IN 5 B IN 5 closed IN", "5 closed"
    ]  # fmt: skip


# --- how it looks ---


@pytest.mark.parametrize("width", [1280, 900])
def test_of_a_long_message_whole_bytes_are_shown_and_how_many_there_are(
    width: int, offline: Page, tmp_path: Path
) -> None:
    offline.set_viewport_size({"width": width, "height": 800})
    script = [("A", "connect", ""), ("A", "send", "abcdefghijklmnopqrstuvwxyz0123\n")]
    recording = toy("epoll", script)
    at = next(n for n, one in enumerate(recording["steps"], 1) if "A sends" in one["says"])
    page = opened(offline, tmp_path, recording, at=at)
    expect(page.locator(".socket .in .count")).to_have_text("31 B")
    cut = page.locator(".socket .in").evaluate(
        """(buffer) => {
            const box = buffer.querySelector(".run").getBoundingClientRect();
            const seen = [...buffer.querySelectorAll(".cell")]
                .map((cell) => cell.getBoundingClientRect())
                .filter(({ top }) => top < box.bottom);
            const count = buffer.querySelector(".count").getBoundingClientRect();
            const isCut = ({ right, bottom }) => right > box.right + 1 || bottom > box.bottom + 1;
            const { right } = buffer.getBoundingClientRect();
            return [seen.length, right < count.right || seen.some(isCut)];
        }"""
    )
    assert cut[0] >= 3
    assert not cut[1]


def test_beside_another_run_it_is_moments_that_are_counted(offline: Page, tmp_path: Path) -> None:
    runs = [record(model, "slow-client") for model in ("blocking", "epoll")]
    page = opened(offline, tmp_path, *runs, at=26)
    asleep = page.locator(".side").first.locator(".actor")
    waits = page.locator(".side").first.locator(".waits")
    counted = []
    page.locator(".stepper").focus()
    for moment in range(27, 30):  # the left server sleeps on, and B waits; the right one works
        press(page, "ArrowRight")
        expect(page.locator(".where b")).to_have_text(str(moment))
        expect(asleep).to_contain_text(re.compile(r"for \d+ moments"))
        texts = [place.text_content() or "" for place in (asleep, waits)]
        counted.append([int(n) for text in texts for n in re.findall(r"(\d+) moments", text)])
    first = counted[0]
    assert counted == [[n + more for n in first] for more in range(3)] and len(first) == 2


def test_a_sentence_that_tells_of_a_waking_is_not_in_the_colour_of_sleep(
    offline: Page, tmp_path: Path
) -> None:
    recording = record("threads", "slow-client")
    at = next(i for i, one in enumerate(recording.steps) if one["says"].startswith("B connects"))
    page = opened(offline, tmp_path, recording, at=at + 1)
    expect(page.locator(".say")).to_contain_text("That wakes the server")
    expect(page.locator(".say")).not_to_have_class(re.compile("asleep"))


def test_two_rows_in_the_lane_of_a_client_are_told_apart(offline: Page, tmp_path: Path) -> None:
    page = opened(offline, tmp_path, toy("select"), toy("epoll"))
    expect(page.locator(".legend .waits")).to_have_text(
        "waits (above: for select, below: for epoll)"
    )


@pytest.mark.parametrize("width", [1280, 900, 400])
@pytest.mark.parametrize("several", [False, True])
def test_nothing_is_cut_off(width: int, several: bool, offline: Page, tmp_path: Path) -> None:
    offline.set_viewport_size({"width": width, "height": 800})
    models = ("select", "epoll") if several else ("epoll",)
    runs = [toy(model, five(), "Five clients") for model in models]
    page = opened(offline, tmp_path, *runs, at=40)
    wide, high = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    )
    assert wide <= width
    if width == 1280:
        assert high <= 800  # all of it is on the projector, the timeline too
    cut = page.evaluate(
        """() => [...document.querySelector(".iomodels").shadowRoot.querySelectorAll(
                ".place, .chip, .fd, .client p, .say, .counters, .socket .name, button")]
            .filter((e) => e.scrollWidth > e.clientWidth + 2 && e.clientWidth > 0)
            .map((e) => `${e.className}: ${e.textContent.slice(0, 40)}`)"""
    )
    assert cut == []


# What a learner could not read, with each moment's number: words of a sleeper's badge that are cut,
# or none that are seen; who sleeps, or a client's bytes, outside of their frame, or upon its line;
# headings of unequal height; code that begins with the rest of a line.
UNREADABLE = """() => {
    const root = document.querySelector(".iomodels").shadowRoot;
    const all = (what, from = root) => [...from.querySelectorAll(what)];
    const box = (e) => e.getBoundingClientRect();
    const sticksOut = (e, frame) =>
        box(e).right > box(frame).right + 1 || box(e).bottom > box(frame).bottom + 1;
    const isCut = (e) => e.scrollWidth > e.clientWidth + 1;
    const isSeen = (e, frame) => e.offsetParent && box(e).top < box(frame).bottom;
    const faults = [];
    for (const badge of all(".badge")) {
        const words = all("span:not(.moon)", badge).filter((e) => isSeen(e, badge));
        const isBad = (e) => isCut(e) || sticksOut(e, badge);
        if (!words.length || words.some(isBad)) faults.push(badge);
        if (sticksOut(badge, badge.parentElement)) faults.push(badge);
    }
    for (const client of all(".client")) {
        const [first, second] = client.children;
        const under = box(second).top + 0.5;
        faults.push(...[...first.children].filter((e) => box(e).bottom > under));
        faults.push(...all("*", client).filter((e) => sticksOut(e, client)));
    }
    const [one, other] = all(".model");
    if (one && box(one).height !== box(other).height) faults.push(one);
    faults.push(...all(".model, .model *").filter(isCut));
    for (const code of all(".code:has(.line)")) {
        const isFirst = (line) => Math.abs(line.offsetTop - code.scrollTop) <= 1;
        if (!all(".line", code).some(isFirst)) faults.push(code);
    }
    const at = root.querySelector(".where b").textContent;
    return faults.map((e) => `${at}: ${e.className} ${e.textContent.slice(0, 40)}`);
}"""


@pytest.mark.parametrize(
    ("models", "scenario"),
    [
        (("threads", "nonblocking"), "full-buffer"),
        (("threads", "processes"), "slow-client"),
        (("select", "workers-reuseport"), "reset"),
        (("epoll", "asyncio"), "slow-client"),
        (("blocking",), "accept-queue"),
    ],
)
def test_at_each_moment_all_of_it_can_be_read(
    models: tuple[str, ...], scenario: str, offline: Page, tmp_path: Path
) -> None:
    offline.set_viewport_size({"width": 1110, "height": 800})  # as wide as a notebook's cell
    offline.emulate_media(reduced_motion="reduce")
    runs = [record(model, scenario) for model in models]
    page = opened(offline, tmp_path, *runs)
    page.locator(".stepper").focus()
    faults = []
    for _ in moments([run.as_dict() for run in runs]):
        faults += page.evaluate(UNREADABLE)
        press(page, "ArrowRight")
    assert faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_acts_of_the_clock_are_seen(scheme: Any, offline: Page, tmp_path: Path) -> None:
    offline.emulate_media(color_scheme=scheme)
    page = opened(offline, tmp_path, record("epoll", "slow-loris"))
    expect(page.locator(".lane-name").last).to_have_text("clock")
    ink = page.locator(".stepper").evaluate("(e) => getComputedStyle(e).color")
    fill = page.locator(".dot").last.evaluate("(e) => getComputedStyle(e).fill")
    assert fill == ink


def test_larger_is_larger(offline: Page, tmp_path: Path) -> None:
    page = opened(offline, tmp_path, toy("epoll"))
    size = "(e) => parseFloat(getComputedStyle(e).fontSize)"
    before = page.locator(".say").evaluate(size)
    page.get_by_role("button", name="Larger").click()
    assert page.locator(".say").evaluate(size) >= 1.3 * before
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_bytes_fly_and_keep_nobody_waiting(offline: Page, tmp_path: Path) -> None:
    recording = toy("blocking")
    number = next(n for n, one in enumerate(recording["steps"], 1) if "A sends" in one["says"])
    page = opened(offline, tmp_path, recording, at=number - 1)
    page.locator(".stepper").focus()
    press(page, "ArrowRight")
    assert step(page) == number
    assert page.locator(".bird").count() == 1
    press(page, "ArrowRight")
    assert step(page) == number + 1
    expect(page.locator(".bird")).to_have_count(0)

    page.emulate_media(reduced_motion="reduce")
    press(page, "ArrowLeft", "ArrowLeft", "ArrowRight")
    assert step(page) == number
    assert page.locator(".bird").count() == 0


def test_text_of_a_recording_is_never_markup(offline: Page, tmp_path: Path) -> None:
    recording = toy("epoll", [("A", "connect", ""), ("A", "send", "<b>hi\n"), ("A", "close", "")])
    recording |= {"title": NASTY, "about": NASTY, "idea": NASTY, "made": NASTY}
    recording["files"]["servers/epoll.py"][0]["lines"][1] += NASTY
    for one in recording["steps"]:
        one["says"] += NASTY
        one["text"] = NASTY
    page = opened(offline, tmp_path, recording)
    page.get_by_text("Steps as text").click()
    page.locator(".stepper").focus()
    press(page, *["ArrowRight"] * len(recording["steps"]))
    assert page.title() == f"{NASTY}, epoll, {len(recording['steps'])} steps"
    expect(page.locator(".stepper img")).to_have_count(0)
    expect(page.locator("h2")).to_contain_text(NASTY)


def test_a_long_run_is_drawn_a_part_at_a_time(offline: Page, tmp_path: Path) -> None:
    page = opened(offline, tmp_path, long(500))
    count = "document.querySelector('.iomodels').shadowRoot.querySelectorAll('*').length"
    assert page.evaluate(count) < 2000  # not a picture per step
    page.locator(".stepper").focus()
    press(page, "End")
    assert step(page) == 500
    assert page.evaluate(count) < 2000


# --- for those who do not see it ---


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("several", [False, True])
def test_axe_finds_no_serious_fault(
    scheme: Any, several: bool, offline: Page, tmp_path: Path
) -> None:
    offline.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    runs = [toy("blocking"), toy("epoll")][: 2 if several else 1]
    page = opened(offline, tmp_path, *runs, at=14)
    page.get_by_text("Steps as text").click()
    assert serious_faults(page) == []


def test_it_is_told_in_words(offline: Page, tmp_path: Path) -> None:
    page = opened(offline, tmp_path, toy("blocking"), at=14)
    expect(page.get_by_role("region", name="Stepper: One slow client")).to_be_visible()
    expect(page.locator("[aria-live=polite]")).to_have_text(re.compile("C connects"))
    told = page.get_by_role("img", name=re.compile("^Timeline at 14 of"))
    expect(told).to_have_accessible_name(re.compile("server: sleeping since step 11"))
    expect(told).to_have_accessible_name(re.compile("B: sent hi.*, waits"))
    expect(page.get_by_role("table", name="Counters")).to_be_visible()


# --- in notebooks ---

CELL = """
from tests.browser.recordings import toy
from iomodels.views.stepper import stepper
stepper(toy("blocking"), {more}at=14)
"""


def cell(more: str = "") -> str:
    root = str(Path(__file__).parents[2])
    return f"import sys; sys.path.insert(0, {root!r})" + CELL.format(more=more)


def active_cell(page: Page) -> int:
    index: int = page.evaluate("jupyterapp.shell.currentWidget.content.activeCellIndex")
    return index


def test_in_jupyterlab_keys_stay_in_the_stepper(desk: Desk, page: Page) -> None:
    desk.lab.open(page, desk.write("live.ipynb", cell(), cell('toy("epoll"), '), "1").name)
    assert run_all(page) == []
    first = page.locator(".stepper").first
    first.get_by_role("button", name="Step forward").focus()
    at = active_cell(page)
    press(page, "ArrowRight", "n", "ArrowLeft", "Home", "End", "ArrowDown")
    assert active_cell(page) == at
    assert first.locator(".where b").inner_text() == str(len(toy("blocking")["steps"]))
    for dark in (True, False):
        theme(page, dark)
        ground = first.locator(".kernel").evaluate("(e) => getComputedStyle(e).backgroundColor")
        assert (ground == "rgb(26, 33, 43)") == dark
    # A theme that arrives late may take the focus along.
    first.get_by_role("button", name="Step forward").focus()
    press(page, "Shift+Enter")  # still runs the cell
    expect(first.locator(".where b")).to_have_text("14", timeout=60_000)


def test_saved_by_a_learner_it_works_without_running(desk: Desk, page: Page) -> None:
    path = desk.write("saved.ipynb", cell())
    desk.lab.open(page, path.name)
    assert run_all(page) == []
    page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("() => !jupyterapp.shell.currentWidget.context.model.dirty")
    page.evaluate("jupyterapp.serviceManager.sessions.shutdownAll()")
    page.goto("about:blank")
    desk.lab.open(page, path.name)
    expect(page.locator(".where b")).to_have_text("14")
    page.get_by_role("button", name="Step forward").press("ArrowRight")
    expect(page.locator(".where b")).to_have_text("15")


def test_stored_and_not_yet_trusted_it_can_be_read(desk: Desk, page: Page) -> None:
    path = desk.write("untrusted.ipynb", cell())
    store(path)
    desk.lab.open(page, path.name)
    expect(page.get_by_text("Step 14, blocking: C connects.")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("B acts at step 12, 13"))).to_be_visible()
    page.get_by_text("steps of blocking").click()
    expect(page.get_by_text("The server echoes he to A.")).to_be_visible()


def test_exported_it_needs_no_kernel_and_no_network(desk: Desk, offline: Page) -> None:
    page = offline
    path = desk.write("exported.ipynb", cell(), cell('toy("epoll"), '))
    store(path)
    subprocess.run([sys.executable, "-m", "nbconvert", "--to", "html", path], check=True)
    page.route(re.compile("^https?:"), lambda route: route.fulfill(body=""))  # there is no network
    page.goto(path.with_suffix(".html").as_uri(), wait_until="domcontentloaded")
    expect(page.locator(".stepper")).to_have_count(2)
    page.get_by_role("button", name="Step forward").first.press("ArrowRight")
    assert step(page.locator(".stepper").first) == 15  # type: ignore[arg-type]


def test_inside_another_widget_it_is_a_widget(desk: Desk, page: Page) -> None:
    box = f"import ipywidgets\n{cell()}".replace("stepper(toy", "ipywidgets.VBox([stepper(toy")
    path = desk.write("box.ipynb", box.rstrip() + "])")
    desk.lab.open(page, path.name)
    assert run_all(page) == []
    expect(page.locator(".where b")).to_have_text("14")
    page.get_by_role("button", name="Step forward").press("ArrowRight")
    expect(page.locator(".where b")).to_have_text("15")
