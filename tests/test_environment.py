"""The set-up: its three files agree with each other, and make says in one line what is wrong."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from rattler import MatchSpec, Version, VersionSpec

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([0-9][A-Za-z0-9.!+]*)")

CONDA, (PIP,) = (
    [
        line
        for line in yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
        if test(line)
    ]
    for test in (lambda line: isinstance(line, str), lambda line: isinstance(line, dict))
)
CONDA_NAMES = {"matplotlib-base": "matplotlib"}  # the same package without the Qt window
NOT_IN_CONDA = {"playwright"}


def pins() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def locked() -> dict[str, str]:
    """The version of each package in constraints.txt, by its canonical name."""
    return {
        canonicalize_name(name): version for name, version in (pin.split("==") for pin in pins())
    }


def needed(*extras: str) -> set[str]:
    """The names that pyproject.toml asks for: the package's own, and those of the extras."""
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]
    return {canonicalize_name(Requirement(line).name) for line in lines}


# --- the three files ---


def test_every_constraint_is_a_name_and_a_version_and_nothing_else():
    assert [line for line in pins() if not PIN.fullmatch(line)] == []
    assert len(locked()) == len(pins()), "a package is pinned twice"


def test_every_dependency_is_pinned():
    assert needed(*EXTRAS) - locked().keys() == set()


def test_what_the_dependencies_need_is_pinned_too():
    """Of those that are installed here, all that pip would install with them."""

    def below(package: str, extras: set[str]) -> Iterator[tuple[str, str]]:
        try:
            lines = requires(package) or []
        except PackageNotFoundError:  # an optional one, which this machine cannot have
            return
        for requirement in map(Requirement, lines):
            environments = [{"extra": extra} for extra in extras | {""}]
            if requirement.marker is None or any(map(requirement.marker.evaluate, environments)):
                for extra in requirement.extras | {""}:
                    yield canonicalize_name(requirement.name), extra

    reached, todo = set(), {("iomodels", extra) for extra in EXTRAS}
    while todo:
        reached |= todo
        todo = {found for name, extra in todo for found in below(name, {extra})} - reached
    assert len(reached) > 100, "the walk went wrong: JupyterLab alone needs more"
    names = {name for name, _ in reached}
    assert names - locked().keys() == {"iomodels"}
    assert [name for name in sorted(names) if not takes_the_oldest_python(name)] == []


def takes_the_oldest_python(package: str) -> bool:
    """Debian 12 has 3.11.2, and some packages ask for a later 3.11."""
    try:
        asked = metadata(package).get("Requires-Python") or ""
    except PackageNotFoundError:
        return True
    return "3.11.0" in SpecifierSet(asked)


def test_the_build_backend_is_pinned():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert {canonicalize_name(Requirement(line).name) for line in build} <= locked().keys()


def test_the_version_that_is_installed_is_the_one_in_the_source():
    import iomodels

    assert version("iomodels") == iomodels.__version__


@pytest.mark.parametrize("file", ["pyproject.toml", "constraints.txt", "environment.yml"])
def test_no_file_names_an_index_a_host_or_a_place_on_a_disk(file):
    lines = [line.split("#")[0] for line in (ROOT / file).read_text().splitlines()]
    told = re.compile(r"://|index-url|find-links|trusted-host|\bfile:|(^|[\s\"'=@])(/|~)\w| @ ")
    assert [line for line in lines if told.search(line)] == []


# --- environment.yml ---


@pytest.mark.parametrize("line", CONDA)
def test_a_conda_line_is_a_valid_spec_and_its_version_the_locked_one(line):
    spec = MatchSpec(line, strict=True)
    name = canonicalize_name(spec.name.normalized)
    if name == "python":
        assert any(
            VersionSpec(spec.version).matches(Version(minor))
            and minor in SpecifierSet(PROJECT["requires-python"])
            for minor in ("3.11.0", "3.12.0", "3.13.0")
        )
    elif name != "pip":
        assert VersionSpec(spec.version).matches(Version(locked()[CONDA_NAMES.get(name, name)]))


def test_conda_has_what_pyproject_asks_for_and_no_more():
    names = [canonicalize_name(MatchSpec(line).name.normalized) for line in CONDA]
    assert len(names) == len(set(names)), "a package stands there twice"
    asked = needed("lab", "fast", "test") - NOT_IN_CONDA
    assert {CONDA_NAMES.get(name, name) for name in names} - {"python", "pip"} == asked


def test_pip_adds_the_package_with_all_its_extras_under_the_constraints():
    constraint, package = PIP["pip"]
    assert constraint == "-c constraints.txt"
    extras = re.fullmatch(r"-e \.\[([a-z,]+)\]", package)
    assert extras and sorted(extras[1].split(",")) == sorted(EXTRAS)


# --- make ---

needs_make = pytest.mark.skipif(not shutil.which("make"), reason="there is no make here")


@pytest.fixture
def clone(tmp_path):
    """A place with the Makefile and what it looks at, and no .venv."""
    for file in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / file, tmp_path)
    return tmp_path


def make(clone: Path, *words: str) -> tuple[int, list[str]]:
    """Run make; return its exit status, and what it said in lines, without its own last one."""
    # The make that runs these tests hands down its level, flags and variables: not to this one.
    ours = ("MAKE", "MFLAGS", "PYTHON", "PORT")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    command = ["make", "--no-print-directory", *words]
    done = subprocess.run(command, cwd=clone, env=environ, capture_output=True, text=True)
    lines = (done.stdout + done.stderr).splitlines()
    return done.returncode, [line for line in lines if not line.startswith("make: ***")]


def python_with(clone: Path, before: str) -> str:
    """This Python, but that it runs `before` ahead of any -c."""
    script = clone / "other-python"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{before}; $2"\n')
    script.chmod(0o755)
    return f"./{script.name}"


def make_as_if_set_up(clone: Path) -> None:
    """What make takes for a finished .venv, made here and with this Python."""
    (clone / ".venv/bin").mkdir(parents=True)
    (clone / ".venv/bin/python").symlink_to(sys.executable)
    stamp = clone / ".venv/.made-for"
    stamp.write_text(f"{clone} {sys.version_info.major}.{sys.version_info.minor}\n")


@needs_make
def test_make_alone_lists_what_it_can_do_and_makes_nothing(clone):
    status, lines = make(clone)
    assert status == 0
    rules = re.findall(r"^([a-z]+):", (clone / "Makefile").read_text(), re.MULTILINE)
    assert {line.split()[1] for line in lines if line.startswith("make ")} == {*rules} - {"help"}
    assert not (clone / ".venv").exists()


@needs_make
@pytest.mark.parametrize("release", [(2, 7), (3, 10), (3, 14)])
def test_a_python_too_old_or_too_new_is_refused_in_one_line(clone, release):
    other = python_with(clone, f"import sys; sys.version_info = ({release[0]}, {release[1]}, 0)")
    status, lines = make(clone, "lab", f"PYTHON={other}")
    assert status != 0
    assert lines == [
        f"iomodels needs Python 3.11, 3.12 or 3.13, and {other} is {release[0]}.{release[1]}."
        " Name another one, as in: make lab PYTHON=python3.12"
    ]
    assert not (clone / ".venv").exists()


@needs_make
def test_no_python_is_one_line(clone):
    status, lines = make(clone, "lab", "PYTHON=no-such-python")
    assert status != 0 and len(lines) == 1
    assert lines[0].startswith("There is no 'no-such-python' here.")


@needs_make
def test_a_python_without_venv_is_one_line(clone):
    other = python_with(clone, "import sys; sys.modules['ensurepip'] = None")
    status, lines = make(clone, "lab", f"PYTHON={other}")
    assert status != 0 and len(lines) == 1
    assert lines[0].startswith(f"{other} comes without venv.")


@needs_make
@pytest.mark.parametrize("port", ["99999", "-1", "http", ""])
def test_a_port_that_is_none_is_one_line(clone, port):
    make_as_if_set_up(clone)
    status, lines = make(clone, "lab", f"PORT={port}")
    assert status != 0
    assert lines == [f"PORT={port} is not a port: give a number from 0 to 65535"]


@needs_make
def test_what_is_set_up_is_left_as_it_is_and_what_is_not_is_made_again(clone):
    """With nothing installed in it, this .venv gets as far as ruff, which is not there."""
    make_as_if_set_up(clone)
    plan = make(clone, "--dry-run", "lint")[1]
    assert not [line for line in plan if "pip" in line]

    named = make(clone, "--dry-run", "lint", f"PYTHON={sys.executable}")[1]
    assert named == plan, "the Python that it was made with, by name"

    os.utime(clone / "constraints.txt", (2**32, 2**32))
    newer = make(clone, "--dry-run", "lint")[1]
    assert [line for line in newer if line.endswith("-m venv  .venv")], (
        "brought up to the new versions"
    )
    os.utime(clone / "constraints.txt", (0, 0))

    other = python_with(clone, "import sys; sys.version_info = (3, 99)")
    another = make(clone, "--dry-run", "lint", f"PYTHON={other}")[1]
    assert [line for line in another if "-m venv --clear .venv" in line], "for another Python"

    (clone / ".venv/.made-for").write_text("/elsewhere 3.11\n")
    moved = make(clone, "--dry-run", "lint")[1]
    assert [line for line in moved if "-m venv --clear .venv" in line], "in another directory"
