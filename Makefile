# Two commands matter: `make demo` and `make test`. Both build .venv first, from a fresh clone, with pinned versions.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CODE := gossipfl topology nodes sims bench tests docs
# Without compiling: Python does that for what is imported, when it is, and that is a small part.
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt
DEMO ?=
MINUTES ?= 20
# As the command line has it; on two cores, threads for small matrices take twice as long as none.
export OPENBLAS_NUM_THREADS := 1

.PHONY: help setup demo test lint docs package fuzz bench lab interop page soak clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## create .venv with gossipfl in it

demo: setup ## eight real daemons learn together (DEMO="--kill 2 --html report.html" passes options)
	$(BIN)/gossipfl demo $(DEMO)

test: lint ## every check
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

lint: $(VENV)/.installed-dev ## style, types, and the floors between packages
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.installed-docs ## the documentation as a site in build/docs, and every page's commands, run
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	$(BIN)/python -m pytest tests/docs -m "docs or not docs"

package: $(VENV)/.installed-dev ## a wheel and an sdist in dist/, and the wheel with its dependencies in a fresh environment
	$(BIN)/python -m hatchling build
	$(BIN)/python -m pytest tests/test_package.py -m "package or not package"

fuzz: $(VENV)/.installed-dev ## a million malformed frames (FUZZ="--frames N --seed S")
	$(BIN)/python tests/fuzz/fuzz_frames.py $(FUZZ)

bench: $(VENV)/.installed-dev ## the figures that the README and the docs claim
	$(BIN)/python -m bench

lab: $(VENV)/.installed-dev ## twelve daemons behind a switch: partitions, kills, loss, moves, sleep; as root, seven minutes
	$(BIN)/python -m pytest tests/lab -m lab

interop: $(VENV)/.installed-dev ## js-libp2p in a mesh of ours; needs node and npm
	npm install --silent --prefix tests/interop --no-audit --no-fund --no-package-lock
	$(BIN)/python -m pytest tests/interop -m interop

page: $(VENV)/.installed-dev ## the page in a browser, over eight daemons; needs chromium and npm
	npm install --silent --prefix tests/nodes/page --no-audit --no-fund --no-package-lock
	$(BIN)/python -m pytest tests/nodes/page -m "page or not page"

soak: $(VENV)/.installed-dev ## ten thousand seeds of chaos, and more (SOAK="--seeds N" or "--seconds S", MINUTES=20 of kills)
	$(BIN)/python -m tests.sims.gate $(SOAK)
	$(BIN)/python -m pytest tests -m soak
	$(BIN)/python -m tests.lab.soak --minutes $(MINUTES)

clean: ## remove what was built
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(VENV)/.installed: pyproject.toml constraints.txt setup.sh
	@PYTHON="$(PYTHON)" sh setup.sh $(VENV)
	@echo "installing gossipfl and what it needs into $(VENV), about a minute …"
	@$(INSTALL) --upgrade pip || echo "going on with the pip that is there, which takes twice as long"
	@$(INSTALL) --editable '.[demo,sim]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "installing torch and what the checks need, about a minute …"
	@$(INSTALL) --editable '.[demo,sim,torch,dev]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed-dev
	@$(INSTALL) --editable '.[docs]'
	@touch $@
