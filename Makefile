# Everything from a machine that has only Python 3.11 or newer, pip and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# A micro search of about three minutes on two cores. It goes into a new folder under runs/.
SEARCH ?= 'micro(blocks=3, channels=8, repeats=1)' --data digits \
	--set search.kept=12 --set search.iterations=2 --set training.epochs=2 --set training.batch=64 --set training.threads=1

# The paper's search and final training, for a GPU: a call does a piece of so many minutes and ends with
# "Error 3" until all is done. The whole, up to its end or to any other error, is
#   while make gpu-search 2>&1 | tee /dev/stderr | grep -q 'Error 3$'; do :; done
SPACE ?= micro
DATA ?= cifar10
MINUTES ?= 9
OPEN := (
RUN ?= runs/paper-$(firstword $(subst $(OPEN), ,$(SPACE)))
FINAL ?= $(if $(findstring macro,$(SPACE)),macro(channels=200),micro(channels=96, repeats=3))

.PHONY: help install search gpu-search gpu-final test bench check clean
.DELETE_ON_ERROR:

help:
	@echo "make search   search the micro space on the embedded digits (about 3 minutes)"
	@echo "make gpu-search   the paper's search on a GPU, in pieces (SPACE=macro DATA=imagefolder:PATH)"
	@echo "make gpu-final    the final training of what it found (FINAL='micro(channels=128, repeats=3)')"
	@echo "make test     run the tests"
	@echo "make bench    run the benchmarks: one table, benchmarks/results.json (QUICK=1: fewer rounds, 10 minutes)"
	@echo "make check    layout, lint, types, who imports whom"
	@echo "make clean    remove the virtual environment and everything else that is made here"

install: $(STAMP)

search: $(STAMP)
	$(BIN)/epnas search $(SEARCH)

gpu-search: $(STAMP)
	@if [ -e '$(RUN)/run.db' ]; then $(BIN)/epnas resume '$(RUN)' --minutes $(MINUTES); \
	else $(BIN)/epnas search '$(SPACE)' --config examples/paper_search.toml --data '$(DATA)' \
		--out '$(RUN)' --minutes $(MINUTES); fi

gpu-final: $(STAMP)
	@sed 's/^[^:]*:/$(FINAL):/' '$(RUN)/best.arch' | $(BIN)/epnas train - \
		--config examples/paper_final.toml --data '$(DATA)' --out '$(RUN)-final' --minutes $(MINUTES)

test: $(STAMP)
	$(BIN)/python -m pytest -n auto --maxprocesses 4

bench: $(STAMP)
	$(BIN)/python benchmarks/everything.py $(if $(QUICK),--quick)

check: $(STAMP)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy --strict
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find epnas_dsl tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the virtual environment ---

INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
# An interrupted installation can leave packages that pip takes for whole: importing them tells.
WHOLE = $(BIN)/python -c 'import click, lark, mypy, numpy, pygraphviz, pytest, torch, torchvision'
OLD = Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo '$(OLD)' >&2; exit 2; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo 'Installing into $(VENV) (with torch up to 6 GB; minutes, the first time)' >&2
	@$(INSTALL)
	@$(WHOLE) 2>/dev/null || { \
		echo 'The environment is damaged; making it anew' >&2; \
		$(PYTHON) -m venv --clear $(VENV) && $(INSTALL) && $(WHOLE); }
	@touch $@
