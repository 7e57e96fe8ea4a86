# `make` lists the targets. CI calls the same ones.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
UV := $(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --no-deps
# each file in one process, which makes once what its tests share
PYTEST := $(BIN)/pytest --dist loadfile --no-loadscope-reorder
LOCK := --quiet --universal --generate-hashes --no-emit-index-url --no-header
export DAGSTER_HOME ?= $(CURDIR)/.dagster_home
export DAGSTER_DISABLE_TELEMETRY := yes
# memory that threads and Arrow give back is shared by all (docs/scale.md)
export MALLOC_ARENA_MAX ?= 2
export ARROW_DEFAULT_MEMORY_POOL ?= system
# Dagster's advice to call its other command line, `dg`
export PYTHONWARNINGS ?= ignore:Function

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# by uv, which is itself in the lock and takes a tenth of pip's time; by pip where uv does not run or finds no index.
# Both take the exact versions and hashes of the lock.
define install
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: make PYTHON=python3.12 …"'
	@$(PYTHON) -m venv .venv
	@if $(PIP) --require-hashes -r <(sed -n '/^uv==/,/[^\\]$$/p' $(1)) && \
	  export UV_DEFAULT_INDEX="$${PIP_INDEX_URL:-$$($(BIN)/pip config get global.index-url 2>/dev/null)}" && \
	  { [ "$$UV_DEFAULT_INDEX" ] || unset UV_DEFAULT_INDEX; } && \
	  $(UV) --require-hashes -r $(1) && \
	  $(UV) --no-build-isolation --editable .; \
	then :; else \
	  $(PIP) --no-compile --require-hashes -r $(1) && \
	  $(PIP) --no-build-isolation --editable .; \
	fi
endef

.venv/.ready: requirements.lock pyproject.toml
	$(call install,requirements.lock)
	@touch $@

.venv/.ready-dev: requirements-dev.lock pyproject.toml
	$(call install,requirements-dev.lock)
	@touch .venv/.ready $@

.PHONY: setup
setup: .venv/.ready ## Make .venv with the exact versions of requirements.lock

.PHONY: setup-dev
setup-dev: .venv/.ready-dev ## Make .venv with what the tests need, too (requirements-dev.lock)

$(DAGSTER_HOME)/dagster.yaml:
	@mkdir -p $(@D) && cp deploy/dagster.local.yaml $@

.PHONY: demo
demo: setup $(DAGSTER_HOME)/dagster.yaml ## Load the bundled sandbox (or your workspace) and show what came
	@$(BIN)/dagster job execute -m mode_dagster.definitions -j mode_sync
	@$(BIN)/mode-dagster loaded
	@$(BIN)/mode-dagster answers

.PHONY: ui
ui: setup $(DAGSTER_HOME)/dagster.yaml ## Start Dagster's UI on http://localhost:3000
	@$(BIN)/dagster dev -m mode_dagster.definitions

.PHONY: test
test: setup-dev ## Run the linters and the tests
	@$(MAKE) --no-print-directory style
	@# types are checked meanwhile: that takes a minute of one core
	@$(MAKE) --no-print-directory types & types=$$!; tests=0; \
	  $(PYTEST) -n 3 -m "not slow" || tests=$$?; \
	  wait $$types || { echo 'make types: failed, see above' >&2; exit 1; }; \
	  exit $$tests

.PHONY: test-slow
test-slow: setup-dev ## Run what takes long: whole deployments, days of syncs, the tutorial
	@$(PYTEST) -n 2 -m slow

.PHONY: kills
kills: setup-dev ## Kill syncs at 50 moments instead of a few, and cut 20 histories of syncs
	@MODE_KILLS=50 MODE_HISTORIES=20 $(BIN)/pytest mode_dagster_tests/test_kills.py mode_dagster_tests/test_interrupted.py

.PHONY: coverage
coverage: setup-dev ## Measure what all tests cover; fails under 95 %, under 100 % of extract/ and models/
	@$(PYTEST) -n 2 --cov=mode_dagster --cov-report=term:skip-covered
	@$(BIN)/coverage report --include='mode_dagster/extract/*,mode_dagster/models/*' --fail-under=100

.PHONY: lint
lint: style types ## Check style, format and types

.PHONY: style
style: setup-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

.PHONY: types
types: setup-dev
	@$(BIN)/mypy

.PHONY: fix
fix: setup-dev ## Mend what the linter can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: docs
docs: setup-dev ## Write the generated pages of docs/ and build the site
	@$(BIN)/mode-dagster docs docs
	@$(BIN)/python benchmarks/bench_scale.py --page docs/scale.md
	@RENEW_DOCS=yes $(BIN)/pytest mode_dagster_tests/test_docs_models.py mode_dagster_tests/test_tutorial.py
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "The site is in site/: open site/index.html"

.PHONY: lock
lock: setup-dev ## Renew all locks
	@$(BIN)/uv pip compile $(LOCK) --upgrade --group dev -o requirements-dev.lock pyproject.toml
	@$(BIN)/uv pip compile $(LOCK) --upgrade --group setup -c requirements-dev.lock -o requirements.lock pyproject.toml
	@$(BIN)/uv pip compile $(LOCK) --upgrade --extra deploy --extra postgres --extra celery --extra k8s --group image \
	  -c requirements-dev.lock -o deploy/requirements.lock pyproject.toml

.PHONY: clean
clean: ## Remove the environment, Dagster's home and the loaded data
	@rm -rf .venv .dagster_home site mode_analytics.duckdb mode_analytics.duckdb.wal mode_analytics.duckdb.*.lock mode_workspace_report*.html
