# Two commands do everything: `make run` (the hub, embedded) and `make test` (all tests). `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := UV_PYTHON_DOWNLOADS=never VIRTUAL_ENV=$(VENV) $(BIN)/uv
MEMBERS := $(wildcard shared/*/pyproject.toml services/*/pyproject.toml deploy/*/pyproject.toml)

.PHONY: help setup lock
help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.ready ## install everything into .venv

$(VENV)/.ready: requirements.lock $(MEMBERS)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	@$(UV) pip sync --quiet --require-hashes --compile-bytecode requirements.lock
	@$(UV) pip install --quiet --no-deps $(foreach m,$(MEMBERS),-e $(dir $(m)))
	@touch $@

lock: ## renew requirements.lock (hashes, no addresses)
	@$(UV) lock --quiet --upgrade
	@$(UV) export --quiet --format requirements-txt --no-header --no-emit-workspace --all-packages --all-groups --no-annotate -o requirements.lock
