# Needs python3 (3.11 or newer) with pip, and make. Everything else goes into .venv, pinned by the lock files.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,$(shell \
	$(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
WORKERS ?= auto
VENV := .venv
BIN := $(VENV)/bin

# Where the venv has no pip of its own (Debian without python3-venv), the machine's pip installs into it.
PIP = $$(test -x $(BIN)/pip && echo $(BIN)/python -m pip || echo $(PYTHON) -m pip --python $(BIN)/python)
PIP_INSTALL = $(PIP) install --quiet --disable-pip-version-check --root-user-action=ignore

.PHONY: help run demo test check lint types floors security audit tests bench crash fix lock clean

help: ## Show this list
	@echo "Croft: a schema-per-tenant sync server for offline-first field data"
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "The first 'make run' or 'make test' installs what is needed into $(VENV)."

# Using it

run: $(VENV)/.installed ## Start the server at http://127.0.0.1:3000, with a database of its own unless POSTGRES is set
	@exec $(BIN)/croft serve

demo: $(VENV)/.installed ## Play a story of two phones against the server that 'make run' started
	@exec $(BIN)/croft demo

# Working on it

test: check tests ## Everything that must hold before a change is merged

check: lint types floors security ## The fast static checks: style, types, floors, security

lint: $(VENV)/.developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.developing
	$(BIN)/mypy

floors: $(VENV)/.developing
	$(BIN)/lint-imports --no-logo

security: $(VENV)/.developing
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive server

# Not part of check: it asks a database on the internet. What it could not look up fails it (--strict).
audit: $(VENV)/.auditing ## Look up the locked dependencies among known vulnerabilities; needs the internet
	@$(BIN)/pip-audit --strict --disable-pip --require-hashes --progress-spinner off $(AUDIT_OPTIONS) \
		-r requirements.lock -r requirements-build.lock -r requirements-dev.lock \
		|| { echo "Not clean: see above. AUDIT_OPTIONS='-s osv' asks another database." >&2; exit 1; }

tests: $(VENV)/.developing ## Only the tests, in parallel; WORKERS=4 sets how many at once
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup

converge: $(VENV)/.developing ## Devices at random for as long as you like; STEPS=100000 and SEED=7 say how long and which
	CROFT_STEPS=$(or $(STEPS),20000) CROFT_SEED=$(or $(SEED),1) $(BIN)/pytest -n $(WORKERS) -q tests/journeys/test_devices_converge.py

bench: $(VENV)/.developing ## Measure against a floor of plain SQL; OPTIONS=--quick takes a minute, not a quarter of an hour
	@$(BIN)/python -m tests.bench $(OPTIONS)

crash: $(VENV)/.developing ## Kill server and database under load, 100 times or CROFT_CRASHES
	CROFT_CRASHES=$${CROFT_CRASHES:-100} $(BIN)/pytest tests/journeys/test_crashes.py -s -k acknowledged_is_lost

fix: $(VENV)/.developing ## Mend style and order of imports where a tool can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# pip-compile reads the requirements from standard input, so that no path gets into the lock.
COMPILE = $(BIN)/pip-compile --quiet --no-config --generate-hashes --strip-extras --allow-unsafe --no-annotate \
	--no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options $(LOCK_OPTIONS)
REQUIREMENTS = $(BIN)/python .ci/requirements.py
RUNNING = project.dependencies
BUILDING = build-system.requires dependency-groups.build
DEVELOPING = dependency-groups.dev
AUDITING = dependency-groups.audit

lock: $(VENV)/.developing ## Pin the dependencies of pyproject.toml anew; LOCK_OPTIONS=--upgrade takes newer versions
	$(REQUIREMENTS) $(RUNNING) | $(COMPILE) --output-file requirements.lock -
	$(REQUIREMENTS) $(BUILDING) | $(COMPILE) --constraint requirements.lock --output-file requirements-build.lock -
	$(REQUIREMENTS) $(RUNNING) $(BUILDING) $(DEVELOPING) | $(COMPILE) --constraint requirements.lock \
		--constraint requirements-build.lock --output-file requirements-dev.lock -
	$(REQUIREMENTS) $(AUDITING) | $(COMPILE) --constraint requirements-dev.lock --output-file requirements-audit.lock -

clean: ## Remove what can be made again: .venv, caches, builds; the database in .croft stays
	rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache *.egg-info
	find server tests shared_migrations tenant_migrations -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: pip is asked only when what it was asked for has changed. A changed lock makes the venv anew.

$(VENV)/.locked: requirements.lock requirements-build.lock
	@test -n "$(PYTHON)" || { echo "Croft needs Python 3.11 or newer as python3." >&2; exit 1; }
	@echo "Installing what Croft needs into $(VENV); this takes a minute or two, once."
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || $(PYTHON) -m venv --clear --without-pip $(VENV)
	@$(PIP_INSTALL) --require-hashes -r requirements.lock -r requirements-build.lock
	@touch $@

$(VENV)/.installed: $(VENV)/.locked pyproject.toml
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.auditing: $(VENV)/.developing requirements-audit.lock
	@$(PIP_INSTALL) --require-hashes -r requirements-audit.lock
	@touch $@

$(VENV)/.developing: $(VENV)/.installed requirements-dev.lock
	@echo "Installing the tools for tests and checks into $(VENV)."
	@$(PIP_INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@
