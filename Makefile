# `make` lists the targets. Targets create the virtual environment .venv and update it when a lock file changes.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
# Test processes, one more than processors: many tests wait for a server.
JOBS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1) + 1)))
RUN := .venv/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check
COMPILE := .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate
PYTEST := OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n $(JOBS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder

# Stamp files, named after a checksum of the lock files.
sum = $(shell cat $(1) 2>/dev/null | cksum | cut -d' ' -f1)
SERVER := .venv/server-$(call sum,requirements.txt)
TOOLS := .venv/tools-$(call sum,requirements.txt requirements-dev.txt)
TRAINERS := .venv/trainers-$(call sum,requirements.txt baseline/requirements.txt baseline/requirements-extras.txt)

ARCHIVERS := zip 7zip libarchive-tools libarchive-zip-perl fastjar advancecomp minizip ziptool tcllib ruby ruby-zip \
	php-cli php-zip zipalign strip-nondeterminism \
	hdf5-tools libhdf5-dev r-cran-hdf5r r-bioc-rhdf5 libpdl-io-hdf5-perl netcdf-bin octave
NODE_ARCHIVERS := jszip@3 yazl@3 archiver@8 adm-zip@0.6 fflate@0.8 @zip.js/zip.js@2 h5wasm@0.10

METHODS ?= unet
SEEDS ?= 0
PRESET ?= small
FLAGS ?=

.PHONY: help setup demo screenshots reference bench-scoring chaos chaos-long cluster test lint audit browser nginx prometheus r archivers compose image test-fast test-sqlite test-postgres test-slow lock
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:  ## list the targets
	@sed -n 's/^\([a-z -]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 48

setup: $(TOOLS) $(TRAINERS)  ## install everything for development into .venv: server, test tools, PyTorch

demo: $(SERVER)  ## run the leaderboard with a demo competition; set PORT and DATA_DIR to run it elsewhere
	@$(RUN) manage.py demo && exec $(RUN) manage.py serve --with-parent $$PPID

screenshots: $(TOOLS) browser  ## every page of a demo in four variants under var/screenshots, checked for accessibility; ONLY names some
	$(RUN) -m tests.browser.screenshots $(if $(ONLY),--only $(ONLY))

reference: $(TRAINERS)  ## train METHODS (unet) with SEEDS (0), PRESET (small) and FLAGS, and put them on the demo's board
	@$(RUN) manage.py demo_reference --methods $(METHODS) --seeds $(SEEDS) --preset $(PRESET) -- $(FLAGS)

test: lint audit browser nginx prometheus r archivers compose test-sqlite test-postgres  ## run all checks, as .ci/run does

lint: $(TOOLS) $(TRAINERS)  ## run linter, formatter and type checker; look for missing migrations
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy .
	DATA_DIR=.venv/lint $(RUN) manage.py makemigrations --check --dry-run

audit: $(TOOLS)  ## check pinned versions against public vulnerability lists; fails if one is known
	@$(RUN) -m tests.audit

# Installs a Debian package for the tests, where root may, without starting it as a service.
# (1) a command that succeeds where it is there; (2) the package; (3) the tests that are skipped without it.
define debian
	@PATH="$$PATH:/usr/sbin"; { $(1); } >/dev/null 2>&1 && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing Debian's $(2) ..."; policy=/usr/sbin/policy-rc.d; \
		[ -e $$policy ] || { printf '#!/bin/sh\nexit 101\n' > $$policy; chmod +x $$policy; trap "rm $$policy" EXIT; }; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(2) >/dev/null \
		|| echo "NO $(2): apt-get failed, so $(3) will be skipped."; \
	else echo "NO $(2) on this machine (on Debian: apt install $(2)), so $(3) will be skipped."; fi
endef

browser:
	$(call debian,command -v chromium || command -v chromium-browser || command -v google-chrome || command -v google-chrome-stable,chromium,the browser tests)

nginx:
	$(call debian,command -v nginx,nginx-light,the tests of deploy/nginx.conf)

prometheus:
	$(call debian,command -v promtool,prometheus,the tests of deploy/prometheus)

r:
	$(call debian,Rscript -e 'library(httr2)' -e 'library(jsonlite)',r-base-core r-cran-httr2 r-cran-jsonlite,the R example of docs/scripting.md)

compose: | .venv/bin/python
	@sh tests/compose.sh || echo "NO docker compose on this machine, and none could be fetched, so it does not read docker-compose.yml here."

archivers:  ## install the ZIP and HDF5 programs that the tests try: Debian's where root may, npm's into .venv
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! dpkg -s $(ARCHIVERS) >/dev/null 2>&1; then \
		echo "Installing Debian's archivers for the tests ..."; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(ARCHIVERS) >/dev/null \
		|| echo "NOT ALL ARCHIVERS: apt-get failed, so the tests skip those that are missing."; fi
	@if command -v npm >/dev/null && [ "$$(cat .venv/archivers/list 2>/dev/null)" != "$(NODE_ARCHIVERS)" ]; then \
		npm install --silent --no-save --no-audit --no-fund --prefix .venv/archivers $(NODE_ARCHIVERS) >/dev/null \
		&& echo "$(NODE_ARCHIVERS)" > .venv/archivers/list \
		|| { rm -rf .venv/archivers; echo "NOT ALL ARCHIVERS: npm failed, so the tests skip those of Node."; }; fi

test-fast: $(TOOLS)  ## under a minute: the tests of what you changed, and the quickest others
	OMP_NUM_THREADS=1 $(RUN) -m tests.fast -n $(JOBS) --maxprocesses 2 --dist loadfile --no-loadscope-reorder

test-sqlite: $(TOOLS) $(TRAINERS)  ## run all tests on SQLite, except slow ones
	$(PYTEST) -m "not slow" --backend=sqlite

test-postgres: $(TOOLS) $(TRAINERS)  ## run the tests that use a database on a real PostgreSQL with a real Redis
	$(PYTEST) -m "not slow" --backend=postgres

test-slow: $(TOOLS) $(TRAINERS)  ## run the long statistical and race tests that make test leaves out
	$(PYTEST) -m slow --backend=sqlite
	$(PYTEST) -m slow --backend=postgres

chaos: $(TOOLS)  ## kill, freeze, fill and disconnect everything, on both databases, and count what is lost
	$(RUN) -m benchmarks.chaos --backend sqlite
	$(RUN) -m benchmarks.chaos --backend postgres
	$(RUN) -m benchmarks.chaos --s3

chaos-long: $(TOOLS)  ## the same in random order until 10,000 faults have struck: hours
	$(RUN) -m benchmarks.chaos --backend sqlite --minutes 600 --faults 5000
	$(RUN) -m benchmarks.chaos --backend postgres --minutes 600 --faults 5000

image: $(TOOLS)  ## build the Dockerfile in a clean root and run compose's commands in it (root on Debian, with buildah and mmdebstrap; no daemon)
	$(RUN) -m tests.image $(FLAGS)

cluster: $(TOOLS) nginx  ## many hosts in network namespaces (root on Linux): cut off, kill, empty, stop and upgrade them, and count what is lost
	$(RUN) -m benchmarks.cluster

bench-statistics bench-synth: $(TOOLS)  ## measure speed and memory of the statistics and of the data generator
	$(RUN) -m benchmarks.$(@:bench-%=%)

bench-report: $(TOOLS)  ## measure the full-size report, from the database to the page, on both databases
	$(RUN) -m benchmarks.report --backend sqlite
	$(RUN) -m benchmarks.report --backend postgres

bench-board: $(TOOLS)  ## what each page, poll, claim and score costs with 85 teams and with 10,000; the first run fills the databases
	$(RUN) -m benchmarks.board --backend sqlite
	$(RUN) -m benchmarks.board --backend postgres

bench-locks: $(TOOLS)  ## for how long bulk acts and a switch of labels hold SQLite's one writer lock, with 7,775 submissions
	$(RUN) -m benchmarks.locks

bench-latency: $(TOOLS)  ## from POST to score on the demo, part by part; FLAGS="--long 10000" uploads so many without a pause
	$(RUN) -m benchmarks.latency $(FLAGS)

bench-upload: $(TOOLS)  ## what one submission costs, from the POST to the score, on both databases, part by part
	$(RUN) -m benchmarks.upload $(FLAGS)

bench-watchers: $(TOOLS)  ## what 300 watchers cost and how soon they see a score, on waitress and on gunicorn
	$(RUN) -m benchmarks.watchers

bench-day: $(TOOLS) nginx  ## the last day of 2022 against the cluster, in twelve minutes (root on Linux); FLAGS="--scale 100 --minutes 3" for a sample of one a hundred times as large
	$(RUN) -m benchmarks.day $(FLAGS)

bench-training: $(TRAINERS)  ## what a step of the training loop and of each method costs, beside a plain loop
	$(RUN) -m benchmarks.training $(FLAGS)

bench-scoring: $(TOOLS)  ## compare CPU time and memory from ZIP to counts with a C program and with other tools
	$(RUN) -m benchmarks.scoring --growth

lock: $(TOOLS)  ## update the lock files from requirements.in and requirements-dev.in
	$(COMPILE) --upgrade requirements.in -o requirements.txt
	$(COMPILE) --upgrade requirements-dev.in -o requirements-dev.txt

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer not found. Name yours: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "$(PYTHON) cannot make a virtual environment. On Debian: apt install python3-venv"; exit 1; }

$(SERVER): | .venv/bin/python
	@echo "Installing the server's dependencies into .venv (about a minute) ..."
	@$(PIP) --require-hashes -r requirements.txt
	@rm -f .venv/server-* && touch $@

$(TOOLS): $(SERVER)
	@echo "Installing the test tools into .venv ..."
	@$(PIP) --require-hashes -r requirements-dev.txt
	@rm -f .venv/tools-* && touch $@

$(TRAINERS): $(SERVER)
	@echo "Installing PyTorch and the other dependencies of baseline/ into .venv ..."
	@$(PIP) -r baseline/requirements-extras.txt
	@rm -f .venv/trainers-* && touch $@
