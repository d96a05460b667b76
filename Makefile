# make run: sets up and teaches kanji numerals.  make test: sets up and passes the whole suite.
.DEFAULT_GOAL := help
BIN := .venv/bin
ARGS ?=

.PHONY: help setup setup-dev run test lint check clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

setup: ## .venv with what is needed to run
	@scripts/setup.sh run

setup-dev: ## .venv with what is needed to test, and a browser for the pages
	@scripts/setup.sh dev
	@scripts/install-browser.sh

run: setup ## teach kanji numerals to the built-in model and show the score
	@$(BIN)/terakoya run kannume $(ARGS)

test: setup-dev ## the whole test suite
	$(BIN)/python -m pytest -n 2 $(ARGS)

lint: setup-dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test ## what CI runs

clean: ## throw the environment and caches away
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
