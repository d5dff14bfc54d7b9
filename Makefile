# `make` lists the targets. The virtual environment is .venv; it is made, and renewed when a lock file changes, by itself.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
JOBS ?= auto
RUN := .venv/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check
COMPILE := .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate
PYTEST := OMP_NUM_THREADS=1 $(RUN) -m pytest -q -m "not slow" -n $(JOBS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder

# Stamps whose names hold the content of the lock files.
sum = $(shell cat $(1) 2>/dev/null | cksum | cut -d' ' -f1)
SERVER := .venv/server-$(call sum,requirements.txt)
TOOLS := .venv/tools-$(call sum,requirements.txt requirements-dev.txt)
TRAINERS := .venv/trainers-$(call sum,requirements.txt baseline/requirements.txt)

METHODS ?= unet
SEEDS ?= 0
PRESET ?= small
FLAGS ?=

.PHONY: help demo reference bench-scoring chaos test lint audit browser test-sqlite test-postgres lock
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:  ## list the targets
	@sed -n 's/^\([a-z -]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 48

demo: $(SERVER)  ## run the leaderboard with a demo competition; PORT and DATA_DIR are taken from the environment
	@$(RUN) manage.py demo && exec $(RUN) manage.py serve --with-parent $$PPID

reference: $(TRAINERS)  ## train METHODS (unet) with SEEDS (0) at PRESET (small), with FLAGS of training, and put them on the demo's board
	@$(RUN) manage.py demo_reference --methods $(METHODS) --seeds $(SEEDS) --preset $(PRESET) -- $(FLAGS)

test: lint audit browser test-sqlite test-postgres  ## check everything: what .ci/run does

lint: $(TOOLS)  ## linter, formatter, type checker, missing migrations
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy .
	DATA_DIR=.venv/lint $(RUN) manage.py makemigrations --check --dry-run

audit: $(TOOLS)  ## look the pinned versions up in the public lists of known vulnerabilities (reports, never fails)
	@$(RUN) -m tests.audit

browser:  # a Chromium for the browser tests: Debian's where root may install it
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do \
		command -v $$name >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "No Chromium on the PATH: installing Debian's."; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null \
		|| echo "NO BROWSER: apt-get failed, so the browser tests will be skipped."; \
	else echo "NO BROWSER: no Chromium on the PATH, so the browser tests will be skipped."; fi

test-sqlite: $(TOOLS) $(TRAINERS)  ## all tests, on SQLite
	$(PYTEST) --backend=sqlite

test-postgres: $(TOOLS) $(TRAINERS)  ## the tests that use a database again, on a real PostgreSQL with a real Redis
	$(PYTEST) --backend=postgres

chaos: $(TOOLS)  ## kill, freeze, fill and cut everything, on SQLite and on PostgreSQL with Redis; count what was lost
	$(RUN) -m benchmarks.chaos --backend sqlite
	$(RUN) -m benchmarks.chaos --backend postgres

bench-statistics bench-synth: $(TOOLS)  ## speed and memory of the statistics and of the generator
	$(RUN) -m benchmarks.$(@:bench-%=%)

bench-report: $(TOOLS)  ## the report at full size, from the database to the page, on SQLite and on PostgreSQL
	$(RUN) -m benchmarks.report --backend sqlite
	$(RUN) -m benchmarks.report --backend postgres

bench-training: $(TRAINERS)  ## patches a second of the training loop beside a plain one
	$(RUN) -m benchmarks.training

bench-scoring: $(TOOLS)  ## CPU time and memory from ZIP to counts: the floor in C, the ways of our peers, ours
	$(RUN) -m benchmarks.scoring --growth

lock: $(TOOLS)  ## renew the lock files from requirements.in and requirements-dev.in
	$(COMPILE) --upgrade requirements.in -o requirements.txt
	$(COMPILE) --upgrade requirements-dev.in -o requirements-dev.txt

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found. Name yours: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "$(PYTHON) cannot make a virtual environment. On Debian: apt install python3-venv"; exit 1; }

$(SERVER): | .venv/bin/python
	@echo "Installing what the server needs into .venv (about a minute) ..."
	@$(PIP) --require-hashes -r requirements.txt
	@rm -f .venv/server-* && touch $@

$(TOOLS): $(SERVER)
	@echo "Installing what the tests need into .venv ..."
	@$(PIP) --require-hashes -r requirements-dev.txt
	@rm -f .venv/tools-* && touch $@

$(TRAINERS): $(SERVER)
	@echo "Installing PyTorch and what else baseline/ needs into .venv ..."
	@$(PIP) -r baseline/requirements.txt
	@rm -f .venv/trainers-* && touch $@
