# Two commands: `make lab` opens the course, `make test` checks all of it. Either first makes .venv,
# once: from the locked versions in constraints.txt, for the Python that PYTHON names.

PYTHON ?= python3
PORT ?= 8888
# pytest's processes. Half of its time a test waits, so there are two for each CPU; but the tests
# open many sockets, and more than eight would only get in each other's way. The notebooks measure,
# and wait for a third of their time: one more than there are CPUs.
CPUS := $(shell getconf _NPROCESSORS_ONLN)
WORKERS ?= $(shell echo $$(($(CPUS) < 4 ? 2 * $(CPUS) : 8)))
MEASURERS ?= $(shell echo $$(($(CPUS) < 4 ? $(CPUS) + 1 : 4)))

VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.made-for
SETTINGS := $(VENV)/share/jupyter/lab/settings
SERVER := $(VENV)/etc/jupyter/jupyter_server_config.d
NOTEBOOKS := $(wildcard notebooks/*.ipynb)

# The variables reach pip itself and the separate environment in which it builds this package.
PIP := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
       $(RUN) -m pip --disable-pip-version-check

# Kernels of .venv come before those in the home directory, which may be called python3 too.
export JUPYTER_PREFER_ENV_PATH := 1

# A server of a test is a process of its own; each would compile our modules again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help lab test lint bench exercises lock clean again

help:
	@echo "make lab     open the course in JupyterLab (PORT=8888)"
	@echo "make test    check style, types and spelling, run the unit tests, and the notebooks"
	@echo "             against their stored outputs (WORKERS=$(WORKERS), MEASURERS=$(MEASURERS))"
	@echo "make lint    check style, types and spelling alone"
	@echo "make bench   measure side by side with the peers"
	@echo "make exercises   write notebooks/exercises/ from notebooks/solutions/"
	@echo "make lock    resolve all dependencies afresh into constraints.txt"
	@echo "make clean   remove .venv and the tools' caches"
	@echo "The first five make .venv if need be, with PYTHON=python3 or the one that you name."

# No browser where there is no screen, nor a $BROWSER, which remote editors set to open one at home.
# A port that was asked for is used or refused; the default one gives way to the next that is free.
# The root is the project, so that a lesson's links to its source can be followed.
# Trusted, for JupyterLab runs no script of an output that it does not trust: the steppers' buttons.
# answer_yes: Ctrl-C ends JupyterLab at once, and its kernels with it.
lab: $(STAMP)
	@test "$(PORT)" -ge 0 2>/dev/null && test "$(PORT)" -le 65535 || { \
	    echo "PORT=$(PORT) is not a port: give a number from 0 to 65535" >&2; exit 1; }
	@echo "Starting JupyterLab in notebooks/ (Ctrl-C ends it)"
	@test -n "$$DISPLAY$$WAYLAND_DISPLAY$$BROWSER" || test "$$(uname)" = Darwin || set -- --no-browser; \
	test "$$(id -u)" -ne 0 || set -- "$$@" --allow-root; \
	$(RUN) -m jupyter trust $(NOTEBOOKS) >/dev/null; \
	exec $(RUN) -m jupyterlab --ServerApp.root_dir=. --ContentsManager.preferred_dir=notebooks \
	    --LabApp.default_url=/lab/tree/notebooks/index.ipynb \
	    --ServerApp.port=$(PORT) \
	    $(if $(filter file,$(origin PORT)),,--ServerApp.port_retries=0) \
	    --ServerApp.answer_yes=True --log-level=WARN --LabApp.log_level=WARN "$$@"

# The unit tests in the order of the files, in which those that take long come first
# (tests/conftest.py); the notebooks from the last one, for the later ones take longer.
#
# mypy keeps one CPU busy. Another one compiles meanwhile what the tests import, Python and numba,
# so that it is not done by each of pytest's processes.
test: $(STAMP)
	@$(RUN) -m pytest --collect-only -qq >/dev/null 2>&1 & \
	$(MAKE) --no-print-directory lint; status=$$?; wait; exit $$status
	@echo "Running the unit tests ($(WORKERS) at a time)"
	@$(RUN) -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder
ifneq ($(NOTEBOOKS),)
	@echo "Running the notebooks against their stored outputs ($(MEASURERS) at a time)"
	@missing=$$($(RUN) -m tests.complete); lax=; test -z "$$missing" || { lax=-lax; \
	    echo "Without $$missing lessons say other things: their cells are run, and not compared"; }; \
	$(RUN) -m pytest -n $(MEASURERS) --dist loadscope --no-loadscope-reorder -p tests.kernels \
	    --nbval$$lax --nbval-cell-timeout=120 --nbval-sanitize-with tests/nbval_sanitize.cfg \
	    $$(printf '%s\n' $(NOTEBOOKS) | sort -r)
endif

lint: $(STAMP)
	@echo "Checking style, format, types and spelling"
	@$(RUN) -m ruff check
	@$(RUN) -m ruff format --check
	@$(RUN) -m mypy
	@$(RUN) -m codespell_lib

bench: $(STAMP)
ifeq ($(wildcard benchmarks/__main__.py),)
	@echo "There are no benchmarks here yet."
else
	@echo "Measuring side by side with the peers (minutes; best on an idle machine)"
	@$(RUN) -m benchmarks
endif

exercises: $(STAMP)
	@$(RUN) -m iomodels.course.release notebooks/solutions notebooks/exercises

clean:
	@echo "Removing .venv and the tools' caches"
	@rm -rf $(VENV) build dist tests/node/node_modules .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

# --- .venv ---

# The stamp says where .venv was made, and with which Python. It is made again, from nothing, when
# the directory has moved (its scripts hold the path) or another PYTHON is asked for by name; when
# only the locked versions have changed, it is brought up to them.
CLEAR := --clear
ifneq ($(wildcard $(STAMP)),)
ASKED := $(if $(filter file,$(origin PYTHON)),$(RUN),$(PYTHON))
VERSION := $(shell $(ASKED) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
ifeq ($(shell cat $(STAMP)),$(CURDIR) $(VERSION))
CLEAR :=
PYTHON := $(ASKED)
else
$(STAMP): again
endif
endif

# pip itself comes first, for the one that Python brings along may take twice as long; where no newer
# one can be had, that one does it. The optional packages come as ready-made wheels only. Where all
# of them cannot be had at once, each is asked for alone: what this machine cannot have is named in
# one line, and the course says where it does without. pip would compile with one CPU; compileall
# does with all, and leaves out what nobody imports here. What cannot be compiled (examples in old
# Python) is nothing to us.
# The kernel keeps ipykernel's own name, python3, which Binder and VS Code have too; registering it
# again writes the full path of .venv's Python into it, so that no other one is run by mistake.
# The settings: no news, no looking for updates; the course talks to this machine alone. nbgrader's
# menus are for a teacher, and its part of the server adds seconds to every start of JupyterLab:
# docs/teaching.md has the two lines that bring them back.
$(STAMP): pyproject.toml constraints.txt Makefile
	@command -v "$(PYTHON)" >/dev/null || { echo "There is no '$(PYTHON)' here. Install Python" \
	    "3.11, 3.12 or 3.13, or name it, as in: make lab PYTHON=/opt/bin/python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) \
	    else "iomodels needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is %d.%d. Name another one," \
	    " as in: make lab PYTHON=python3.12" % v)'
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) comes without venv." \
	    "Add it, on Debian and Ubuntu by: apt install python3-venv" >&2; exit 1; }
	@echo "Setting up $(VENV) with $$("$(PYTHON)" -V)"
	@"$(PYTHON)" -m venv $(CLEAR) $(VENV)
	@echo "Installing the locked packages (a minute)"
	@$(PIP) install -qq --no-compile --upgrade pip 2>/dev/null || true
	@install() { $(PIP) install -qq --no-compile "$$@"; }; \
	optional() { install --only-binary=:all: "$$@" 2>/dev/null; }; \
	optional -e '.[lab,test,fast,uring,go,peers]' || { install -e '.[lab,test]' && \
	    for package in $$($(RUN) -c 'import tomllib; \
	        extras = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]; \
	        print(*(p.split(";")[0] for e in "fast uring go peers".split() for p in extras[e]))'); do \
	        optional $$package || echo "Not available here, and done without: $$package"; \
	    done; }
	@$(RUN) -m compileall -qq -j 0 -x '/(tests?|mypyc?|pip|setuptools)/' $(VENV)/lib || true
	@$(RUN) -m ipykernel install --sys-prefix >/dev/null
	@mkdir -p $(SETTINGS)
	@echo '{"@jupyterlab/apputils-extension:notification":' \
	    '{"fetchNews": "false", "checkForUpdates": false}}' >$(SETTINGS)/overrides.json
	@$(RUN) -m jupyter labextension disable --level=sys_prefix @jupyter/nbgrader 2>/dev/null
	@cd $(SERVER) && ! test -e nbgrader.json || mv nbgrader.json nbgrader.json.off
	@echo "$(CURDIR) $$($(RUN) -c 'import sys; print("%d.%d" % sys.version_info[:2])')" >$@

# Resolved for the first release of the oldest Python: what exists for it exists for all the later
# ones, not the reverse. Its number stands in for the one that runs, but for the dependencies' own
# conditions, which take the running one; hence the check.
lock: LOCK := build
lock:
	@"$(PYTHON)" -c 'import sys; sys.exit(None if sys.version_info[:2] == (3, 11) \
	    else "make lock needs Python 3.11: make lock PYTHON=python3.11")'
	@echo "Resolving every dependency afresh (a minute or two)"
	@"$(PYTHON)" -m venv --clear $(LOCK)
	@$(LOCK)/bin/python -m pip install -qq --dry-run --report $(LOCK)/report.json \
	    --python-version 3.11.0 --only-binary=:all: --target $(LOCK)/none \
	    pip hatchling editables '.[lab,fast,uring,go,test,peers]'
	@{ sed -n '/^#/p' constraints.txt; "$(PYTHON)" -c 'import json; \
	    found = [i["metadata"] for i in json.load(open("$(LOCK)/report.json"))["install"]]; \
	    found.sort(key=lambda package: package["name"].lower()); \
	    print(*("%(name)s==%(version)s" % p for p in found if p["name"] != "iomodels"), sep="\n")'; } \
	    >$(LOCK)/constraints.txt
	@mv $(LOCK)/constraints.txt constraints.txt
	@rm -rf $(LOCK)
	@echo "constraints.txt holds the newest versions; run make test, then commit it"
