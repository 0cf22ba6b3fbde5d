# From nothing but Python 3.11 to 3.13 and make:   make run    make test
# Everything is installed into .venv with the versions and hashes of constraints.txt. A stamp file per step makes each
# target idempotent; the steps form one chain, so `make -j` is safe.

VENV := .venv
PY := $(VENV)/bin/python
RUN_STAMP := $(VENV)/.installed-run
DEV_STAMP := $(VENV)/.installed-dev
KERNEL_STAMP := $(VENV)/.kernels-compiled
NPM_STAMP := $(VENV)/.installed-npm
FREEZE_STAMP := $(VENV)/.installed-freeze
NPM_PINS := $(addprefix tests/ray_cluster/masto/,package.json package-lock.json)
KERNELS := $(wildcard actors/core/*/*kernels.py actors/core/warm.py)

# Set PYTHON to choose the interpreter that .venv is made from.
PYTHON ?=
# HASHES=off is for mirrors that serve builds of their own, and for platforms without wheels: the same versions, whatever
# the files hold. Otherwise every file must have a hash that constraints.txt knows, and must be a wheel: building from
# source runs what the source says and fetches tools for it that nothing pins.
HASHES ?= on
ifeq ($(HASHES),on)
PIP_CHECKS := --require-hashes --only-binary :all:
CUT_HASHES :=
PYTHON_VERSIONS := (3, 11) <= sys.version_info < (3, 14)
PYTHON_WANTED := Python 3.11, 3.12 or 3.13
else ifeq ($(HASHES),off)
PIP_CHECKS :=
CUT_HASHES := -e '/^ *--hash=/d' -e 's/ *\\$$//'
PYTHON_VERSIONS := (3, 11) <= sys.version_info
PYTHON_WANTED := Python 3.11 or newer
else
$(error HASHES is on or off, not $(HASHES))
endif
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --no-input $(PIP_CHECKS)
HASHES_HINT = echo 'If the hashes differ because your mirror builds its own files: make HASHES=off (docs/deployment.md)' >&2
# The sections of constraints.txt down to a heading.
PINS_ABOVE = sed -n $(CUT_HASHES) -e '/^\# == $(1) ==$$/q' -e p constraints.txt

# Arguments for run_cluster.py, pytest and the simulator.
ARGS ?=
PYTEST_ARGS ?=
SEEDS ?= 200
ONLY ?=
DATA ?=

export RAY_USAGE_STATS_ENABLED := 0
export PYTHONUNBUFFERED := 1

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run test lint format bench smoke simulate chaos rounds stops real fuzz soak-streams pictures clean freeze audit audit-refresh notice

help:
	@echo 'make setup     create .venv, install the pinned dependencies, compile the kernels'
	@echo 'make run       setup, then serve a cluster (ARGS="--port 8001 --data /tmp/other")'
	@echo 'make test      setup, then all tests (PYTEST_ARGS="-k timeline")'
	@echo 'make lint      ruff, mypy --strict, import-linter, the web client (oxlint, tsc), audit'
	@echo 'make audit     licences and known holes of what is installed, by lists in the repository: no network'
	@echo 'make audit-refresh   the list of known holes, anew from OSV'
	@echo 'make notice    NOTICE, anew from constraints.txt and the policy of licences'
	@echo 'make format    rewrite the code in the house format'
	@echo 'make bench     benchmarks (ARGS="read --quick"; all of them by default)'
	@echo 'make smoke     every benchmark once with tiny data: does it work? (PYTEST_ARGS="-k recovery")'
	@echo 'make simulate  the seeded whole-cluster simulation (SEEDS=200)'
	@echo 'make chaos     a real cluster under load, kills and other faults (ARGS="--minutes 5 --seed 7 --replicas 1")'
	@echo 'make rounds    clients that read back what they write, while primaries die (ARGS="--minutes 5 --seed 7")'
	@echo 'make soak-streams  clients of streams that sleep, while processes are killed (ARGS="--minutes 30 --seed 7")'
	@echo 'make stops     every way to stop a cluster, at every moment of its life (ARGS="loading SIGINT-make")'
	@echo 'make real      a follow graph and tweets of people through the Mastodon API against the definition (DATA=FOLDER)'
	@echo 'make fuzz      the decoders against damaged and random bytes, for long (PYTEST_ARGS="-k journal")'
	@echo 'make pictures  those of the documents, taken anew in Chromium'
	@echo 'make freeze    renew constraints.txt (ONLY="certifi idna" for these packages alone)'
	@echo 'make clean     remove .venv and caches; data/ stays'

# --- set-up -----------------------------------------------------------------------------------------------------------

setup: $(KERNEL_STAMP)

setup-dev: $(KERNEL_STAMP) $(DEV_STAMP) $(NPM_STAMP)

$(PY):
	@for candidate in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	    if $$candidate -c 'import sys; sys.exit(not $(PYTHON_VERSIONS))' 2>/dev/null; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo 'Rookery needs $(PYTHON_WANTED) and found none; install one, or name it: make PYTHON=/path/to/python3' >&2; \
	    exit 1; \
	fi; \
	if ! $$found -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "$$found cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; \
	    exit 1; \
	fi; \
	echo "creating $(VENV) with $$($$found --version)"; \
	$$found -m venv --clear $(VENV)

$(RUN_STAMP): constraints.txt | $(PY)
	@echo 'installing dependencies (a minute or two the first time)'
	@$(call PINS_ABOVE,to develop) > $(VENV)/requirements-run.txt
	@$(PIP) -r $(VENV)/requirements-run.txt || { $(HASHES_HINT); exit 1; }
	@touch $@

$(DEV_STAMP): $(RUN_STAMP)
	@echo 'installing what tests, linters and benchmarks need'
	@$(call PINS_ABOVE,to renew this file) > $(VENV)/requirements-dev.txt
	@$(PIP) -r $(VENV)/requirements-dev.txt || { $(HASHES_HINT); exit 1; }
	@touch $@

# What tests drive a cluster with in JavaScript. Who has no npm, or doesn't reach its registry, does without those tests.
$(NPM_STAMP): $(NPM_PINS) | $(PY)
	@mkdir -p $(VENV)/npm
	@cp $(NPM_PINS) $(VENV)/npm
	@if ! command -v npm >/dev/null; then \
	    echo 'no npm: tests with masto.js are skipped, and types of the web client'; \
	elif (cd $(VENV)/npm && npm ci --ignore-scripts --no-audit --no-fund --silent); then \
	    touch $@; \
	else \
	    echo 'npm could not install what $(lastword $(NPM_PINS)) pins: tests with masto.js are skipped' >&2; \
	fi

$(FREEZE_STAMP): $(DEV_STAMP)
	@$(call PINS_ABOVE,) > $(VENV)/requirements-freeze.txt
	@$(PIP) -r $(VENV)/requirements-freeze.txt
	@touch $@

# Numba's cache looks at the file of the outer kernel only, and kernels call each other across files: hence the rm.
$(KERNEL_STAMP): $(RUN_STAMP) $(KERNELS)
ifneq ($(KERNELS),)
	@echo 'compiling the timeline kernels'
	@rm -f actors/core/*/__pycache__/*.nbi actors/core/*/__pycache__/*.nbc
	@$(PY) -m actors.core.warm
endif
	@touch $@

# --- use --------------------------------------------------------------------------------------------------------------

run: setup
	@$(PY) run_cluster.py serve $(ARGS)

bench: setup-dev
	@$(PY) run_cluster.py bench $(or $(ARGS),all)

# As in `make test`, which takes a few of the scenarios.
smoke: setup-dev
	@ROOKERY_SMOKE=all $(PY) -m pytest tests/bench/test_smoke.py $(PYTEST_ARGS)

simulate: setup-dev
	@$(PY) run_cluster.py simulate --seeds $(SEEDS) $(ARGS)

stops: setup-dev
	@$(PY) -m tests.stopping $(ARGS)

# As in `make test`, for longer and with more API workers.
rounds: setup-dev
	@$(PY) -m tests.ray_cluster.rounds_under_kills $(ARGS)

# As in `make test`, for longer, with shards that are added and given up.
soak-streams: setup-dev
	@$(PY) -m tests.live.soak $(ARGS)

chaos: setup-dev
	@$(PY) -m tests.chaos $(ARGS)

# Minutes for a graph of 355,000 follows; ARGS="--storm 0" for what is loaded alone.
real: setup-dev
	@$(if $(DATA),,echo 'make real DATA=FOLDER: it holds a graph, *.edges*, and tweets*' >&2; exit 2)
	@$(PY) -m tests.real_data $(DATA) $(ARGS)

# The same tests as in `make test`, with 2,000 examples each; of each operation of Mastodon's API 100 of both kinds.
fuzz: setup-dev
	@HYPOTHESIS_PROFILE=thorough FUZZ_EXAMPLES=100 $(PY) -m pytest tests/fuzz tests/core/test_hostile_arguments.py \
	    tests/persistence/test_segment_format.py tests/persistence/test_journal_machine.py \
	    tests/api/mastodon/test_schema.py --timeout 3600 $(PYTEST_ARGS)

# Tests start some two hundred Python processes, which had better not compile the same modules again and again. Three
# workers for two cores, as whoever starts a cluster mostly waits (tests/conftest.py says who takes what).
test: setup-dev
	@env -u PYTHONDONTWRITEBYTECODE $(PY) -m pytest --numprocesses 3 --dist loadgroup --no-loadscope-reorder \
	    $(PYTEST_ARGS)

pictures: setup-dev
	@$(PY) -m tests.browser.pictures

lint: setup-dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports
	@$(PY) -m tests.client_lint
	@$(MAKE) --no-print-directory audit

audit: setup-dev
	@$(PY) -m tests.supply_chain.licences
	@$(PY) -m tests.supply_chain.audit

audit-refresh: setup-dev
	@$(PY) -m tests.supply_chain.audit --refresh

notice: setup-dev
	@$(PY) -m tests.supply_chain.licences --notice

format: setup-dev
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

# Renews constraints.txt: the newest versions that pyproject.toml allows, or of some packages alone (ONLY="certifi idna").
freeze: $(FREEZE_STAMP)
	@$(PY) -m tests.supply_chain.freeze $(ONLY)

clean:
	rm -rf $(VENV) .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -not -path './data/*' -prune -exec rm -rf {} +
