"""The command line: what it prints, and the one line that bad input gets."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from iomodels.servers import MODELS, missing
from tests.kernels import quiet_port
from tests.websocket.harness import FAST

IOMODELS = [sys.executable, "-m", "iomodels"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*IOMODELS, *words], capture_output=True, text=True, timeout=120)


@contextlib.contextmanager
def started(*words: str) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [*IOMODELS, *words], stdout=pipe, stderr=pipe, text=True, start_new_session=True,
        # As from a terminal: what a script starts in the background is born deaf to SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def port_of(line: str) -> int:
    assert line.startswith("listening on 127.0.0.1:")
    return int(line.rpartition(":")[2])


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


@pytest.fixture
def empty() -> int:
    """A port that nobody listens on, and that no connection gets meanwhile."""
    return quiet_port()


# --- one line, and a status that is not 0 ---

BAD = [
    (["serve", "nosuch"], "'nosuch' is not one of 'blocking', 'threads'"),
    (["serve"], "Missing argument 'MODEL'"),
    (["serve", "epoll", "--port", "70000"], "70000 is not in the range 0<=x<=65535"),
    (["serve", "epoll", "--port", "-1"], "-1 is not in the range 0<=x<=65535"),
    (["serve", "epoll", "--port", "http"], "'http' is not a valid integer range"),
    (["serve", "epoll", "--port", "TAKEN"], "Address already in use; --port 0 takes one that is"),
    (["serve", "epoll", "--host", "nosuch.invalid"], "'nosuch.invalid' does not resolve"),
    (["serve", "epoll", "--host", "a..b"], "'a..b' does not resolve"),
    (["serve", "epoll", "--host", "192.0.2.1"], "cannot listen on 192.0.2.1:0: Cannot assign"),
    (["serve", "epoll", "--app", "nosuch"], "'nosuch' is not"),
    (["load", "127.0.0.1:EMPTY"], "cannot connect to 127.0.0.1:EMPTY: Connection refused"),
    (["load", "127.0.0.1"], "'127.0.0.1' is not HOST:PORT"),
    (["load", "127.0.0.1:0"], "is not HOST:PORT"),
    (["load", "127.0.0.1:70000"], "is not HOST:PORT"),
    (["load", "192.0.2.1:80"], "192.0.2.1 is not this machine's loopback"),
    (["load", "nosuch.invalid:80"], "nosuch.invalid:80 is no address"),
    (["load", "127.0.0.1:9", "--seconds", "0"], "seconds go from 0 to 600"),
    (["load", "127.0.0.1:9", "--connections", "0"], "begin at 1"),
    (["compare", "--models", "epoll,nosuch"], "no model named 'nosuch'; there are blocking"),
    (["compare", "--models", ","], "name one model or more"),
    (["compare", "--save", "picture.doc"], "name a file that ends in .svg, .png or .pdf"),
    (["compare", "--save", "no/such/folder/picture.png"], "there is no such folder"),
    (["dissect"], "Missing argument 'HEX|FILE'"),
    (["dissect", ""], "there is nothing to dissect"),
    (["dissect", "0x"], "there are no bytes in it"),
    (["dissect", "818"], "'818' has an odd number of digits; a byte is two of them"),
    (["dissect", "81", "8"], "'8' has an odd number of digits"),
    (["dissect", "nosuch.bin"], "'nosuch.bin' is not hexadecimal; nor is there a file of that"),
    (["dissect", "z" * 300], "is not hexadecimal; nor is there a file"),
    (["dissect", "."], "'.' is a folder"),
    (["dissect", "/dev/null"], "/dev/null is empty"),
    (["dissect", "/dev/zero"], "/dev/zero is too large: 16 MiB are the limit"),
    (["dissect", "8180", "--frames", "0"], "0 is not in the range x>=1"),
    (["nosuch"], "No such command 'nosuch'"),
    (["doctor", "--nosuch"], "No such option"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "says"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_bad_input_gets_one_line(words: list[str], says: str, taken: int, empty: int) -> None:
    def filled(text: str) -> str:
        return text.replace("TAKEN", str(taken)).replace("EMPTY", str(empty))

    done = run(*map(filled, words))
    assert done.returncode not in (0, None)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("iomodels: ")
    assert filled(says) in line


def test_alone_it_says_what_there_is() -> None:
    done = run()
    assert done.returncode == 2
    for command in ("doctor", "serve", "load", "compare", "dissect"):
        assert f"\n  {command} " in done.stderr


def test_the_help_of_serve_names_every_model() -> None:
    done = run("serve", "--help")
    assert done.returncode == 0
    assert all(f"\n    {model} " in done.stdout for model in MODELS)


# --- serve ---


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("model", MODELS)
def test_it_serves_until_it_is_told_to_stop(model: str, number: int) -> None:
    with started("serve", model) as server:
        assert server.stdout
        address = "127.0.0.1", port_of(server.stdout.readline())
        with socket.create_connection(address, 10) as client:
            client.sendall(b"hello")
            assert client.recv(5, socket.MSG_WAITALL) == b"hello"
        server.send_signal(number)
        out, err = server.communicate(timeout=10)
    assert (server.returncode, out, err) == (0, "", "")


def test_a_port_can_be_used_again_at_once(empty: int) -> None:
    for _ in range(2):
        with started("serve", "epoll", "--port", str(empty)) as server:
            assert server.stdout
            assert port_of(server.stdout.readline()) == empty
            with socket.create_connection(("127.0.0.1", empty), 10) as client:
                client.sendall(b"x")
                assert client.recv(1) == b"x"
                server.terminate()
                assert server.wait(10) == 0


@pytest.mark.skipif(not socket.has_ipv6 or not os.path.exists("/proc/net/if_inet6"), reason="IPv6")
def test_ipv6_is_written_with_brackets() -> None:
    with started("serve", "poll", "--host", "::1") as server:
        assert server.stdout
        line = server.stdout.readline()
        if not line:
            pytest.skip("there is no ::1 here")
        assert line.startswith("listening on [::1]:")
        address = line.split()[-1]
        report = json.loads(run("load", address, "--seconds", "0.2", "--json").stdout)
        assert report["served"] == 100


# --- load, compare, doctor ---


def test_load_reports_in_words_and_in_json() -> None:
    with started("serve", "epoll") as server:
        assert server.stdout
        address = f"127.0.0.1:{port_of(server.stdout.readline())}"
        words = run("load", address, "--connections", "5", "--seconds", "0.2")
        assert words.returncode == 0
        assert "messages per second" in words.stdout
        assert "5 of 5" in words.stdout
        report = json.loads(
            run("load", address, "--connections", "5", "--seconds", "0.2", "--json").stdout
        )
    assert report["connections"] == report["served"] == 5
    assert report["rate"] == pytest.approx(report["messages"] / report["seconds"])


def test_compare_measures_every_model_and_draws_it(tmp_path: Path) -> None:
    picture = tmp_path / "picture.svg"
    done = run("compare", "--seconds", "0.2", "--save", str(picture), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    rows = {row["model"]: row for row in json.loads(done.stdout)}
    assert list(rows) == [model for model in MODELS if not missing(model)]
    for model, row in rows.items():
        assert row["served"] == (1 if model == "blocking" else 100)
        assert row["per_message"]["cpu"] > 0
    text = picture.read_text()
    assert "<svg" in text
    # A thread for each client means a switch for each message; one loop for all does not.
    switches = {model: row["per_message"]["switches"] for model, row in rows.items()}
    # Clients in plain Python are slower than epoll, which then sleeps between some messages.
    assert switches["threads"] > (2 if FAST else 1) * switches["epoll"]
    # Who asks everybody makes more system calls than who is told.
    calls = {model: row["per_message"]["syscalls"] for model, row in rows.items()}
    assert calls["epoll"] is None or calls["epoll"] < 3.5


def test_compare_prints_a_table() -> None:
    done = run("compare", "--models", "poll, epoll", "--seconds", "0.2")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert any(line.split()[:2] == ["Model", "messages/s"] for line in lines)
    assert [line.split()[0] for line in lines if "100 of 100" in line] == ["poll", "epoll"]


@pytest.mark.parametrize("after", [0.1, 0.7, 1.7])
def test_compare_interrupted_leaves_no_process(after: float) -> None:
    with started("compare", "--models", "processes,threads") as command:
        family = [psutil.Process(command.pid)]
        while not family[0].children():  # what is interrupted before that may be Python's start
            assert command.poll() is None
            time.sleep(0.02)
        deadline = time.monotonic() + after
        while time.monotonic() < deadline:
            with contextlib.suppress(psutil.NoSuchProcess):
                family += family[0].children(recursive=True)
            time.sleep(0.02)
        os.killpg(command.pid, signal.SIGINT)  # as Ctrl-C does: to all of them
        _, err = command.communicate(timeout=30)
    assert command.returncode == 130
    assert err.splitlines()[-1] == "iomodels: interrupted"
    assert "Traceback" not in err
    _, alive = psutil.wait_procs(set(family), timeout=10)
    assert not alive


def test_doctor_says_what_it_found() -> None:
    done = run("doctor")
    assert done.returncode == 0
    for found in ("This machine", "descriptors", "Lessons", "00 Start here"):
        assert found in done.stdout
    report = json.loads(run("doctor", "--json").stdout)
    assert [lesson["number"] for lesson in report["lessons"]][:3] == [0, 1, 2]
    assert {finding["state"] for finding in report["findings"]} <= {"full", "less", "missing"}


def test_a_run_that_takes_more_descriptors_than_there_are_is_refused_in_a_line() -> None:
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256));"
    go_on = "sys.argv[0:1] = []; from iomodels.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", limit + go_on, "iomodels", "trace", "select", "select-limit"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "iomodels: select-limit takes the first 1,023 descriptors, and a process may hold 256"
        " here: see `ulimit -n`\n"
    )


# --- dissect ---

HELLO = "81 85 37 fa 21 3d 7f 9f 4d 51 58"  # RFC 6455, section 5.7


def test_dissect_shows_a_frame_bit_by_bit() -> None:
    done = run("dissect", HELLO)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["0", "....0001", "opcode", "0x1", "text", "5.2"] in lines
    assert ["6–10", "payload", '"Hello"', "UTF-8", "5.6"] in lines
    assert "a text message, from a client" in done.stdout


@pytest.mark.parametrize("write", ["bytes", "hexadecimal", "as arguments"])
def test_dissect_takes_files_and_digits(write: str, tmp_path: Path) -> None:
    data = bytes.fromhex(HELLO) * 2
    file = tmp_path / "frames"
    file.write_bytes(data if write == "bytes" else data.hex(":").encode() + b"\n")
    words = data.hex(" ").split() if write == "as arguments" else [str(file)]
    report = json.loads(run("dissect", *words, "--json").stdout)
    assert [frame["start"] for frame in report["frames"]] == [0, 11] and report["rest"] == 0
    values = {part["name"]: part["value"] for part in report["frames"][0]["parts"]}
    assert values["masking key"] == "37fa213d" and values["payload"] == "Hello"


def test_dissect_explains_what_is_wrong_and_what_is_missing() -> None:
    done = run("dissect", "c3 85 37 fa 21 3d 7f")
    assert done.returncode == 0
    assert "✗ byte 0: RSV1 is set, and only an extension may do that" in done.stdout
    assert "✗ byte 0: opcode 0x3 is not defined (5.2); fails the connection with" in done.stdout
    assert "… 4 bytes are missing" in done.stdout
    (frame,) = json.loads(run("dissect", "c3 85 37 fa 21 3d 7f", "--json").stdout)["frames"]
    assert frame["missing"] == 4 and [broken["code"] for broken in frame["broken"]] == [1002] * 2


def test_dissect_prints_what_was_sent_as_text_only() -> None:
    """Neither a terminal's control characters nor the markup of a table."""
    text = "[red]\x1b[31m\n\u202e[/red]".encode()
    done = run("dissect", (bytes([0x81, len(text)]) + text).hex())
    assert r'"[red]\x1b[31m\n\u202e[/red]"' in done.stdout


def test_dissect_says_how_much_it_has_not_shown() -> None:
    done = run("dissect", "8100" * 101)
    assert done.stdout.count("RFC 6455") == 100
    assert done.stdout.endswith("2 more bytes follow: --frames shows more than 100 frames.\n")


def test_a_reader_that_leaves_is_no_error() -> None:
    done = subprocess.run(
        f"{' '.join(IOMODELS)} doctor --json | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""


def test_the_script_and_the_module_are_the_same() -> None:
    script = Path(sys.executable).with_name("iomodels")
    if not script.exists():
        pytest.skip("not installed with its script")
    assert subprocess.check_output([script, "--version"]) == subprocess.check_output(
        [*IOMODELS, "--version"]
    )
