# Two commands do everything: `make run` (the hub, embedded) and `make test` (all tests). `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := UV_PYTHON_DOWNLOADS=never VIRTUAL_ENV=$(VENV) $(BIN)/uv
MEMBERS := $(wildcard shared/*/pyproject.toml services/*/pyproject.toml deploy/*/pyproject.toml)
PACKAGES := send_statute ehcp_contracts service_kit case_service review_scheduler notification_service reporting_service ehcp_embedded
WORKERS ?= 3
ARGS ?=

.PHONY: help run test check bench chaos up setup lock machine format
help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: setup ## the hub, embedded: http://localhost:8000 (ARGS="--today 2026-09-01 --port 8000")
	@$(BIN)/ehcp run $(ARGS)

test: machine setup check ## all tests, with real Kafka and PostgreSQL where they can be had
	@deploy/test.sh $(WORKERS)

check: setup ## the quick part: format, lint, types, imports, contracts fresh
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy $(foreach p,$(PACKAGES),-p $(p)) --no-error-summary
	@$(BIN)/lint-imports --no-cache >.lint-imports.log 2>&1 || { cat .lint-imports.log; exit 1; }
	@$(BIN)/python -m ehcp_contracts check

bench: setup ## measure floors and product in one run: name | floor | ours | ratio | goal
	@$(BIN)/python -m tests.bench $(ARGS)

chaos: machine setup ## kill processes for minutes and check that nothing was lost (ROUNDS=, SEED=)
	@$(BIN)/python -m tests.chaos $(ARGS)

up: machine setup ## the composition of docker-compose.yml as plain processes
	@$(BIN)/python -m deploy.up.up $(ARGS)

machine: # what a bare Debian machine lacks (Java, Maven, PostgreSQL, nginx, Chromium)
	@deploy/install-debian.sh

setup: $(VENV)/.ready ## install everything into .venv

$(VENV)/.ready: requirements.lock $(MEMBERS)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	@$(UV) pip sync --quiet --require-hashes --compile-bytecode requirements.lock
	@$(UV) pip install --quiet --no-deps $(foreach m,$(MEMBERS),-e $(dir $(m)))
	@touch $@

format: setup ## put the code into shape
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

lock: ## renew requirements.lock (hashes, no addresses)
	@$(UV) lock --quiet --upgrade
	@$(UV) export --quiet --format requirements-txt --no-header --no-emit-workspace --all-packages --all-groups --no-annotate -o requirements.lock
