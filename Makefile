# make run: sets up and teaches kanji numerals.  make test: sets up and passes the whole suite.
.DEFAULT_GOAL := help
BIN := .venv/bin
ARGS ?=

.PHONY: help setup setup-dev run test lint check clean bench-numerals bench-recipes bench-verification bench-emoji bench-training bench-hub \
	bench-teacher torture-teacher torture-settings torture-run torture-sweep bench-audit bench-comparison bench-guards bench-startup results

help: ## what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

setup: ## .venv with what is needed to run
	@scripts/setup.sh run

setup-dev: ## .venv with what is needed to test, and a browser for the pages
	@scripts/setup.sh dev
	@scripts/install-browser.sh
	@scripts/install-tools.sh

run: setup ## teach kanji numerals to the built-in model and show the score
	@$(BIN)/terakoya run kannume $(ARGS)

test: setup-dev ## the whole test suite
	$(BIN)/python -m pytest -n 2 $(ARGS)

lint: setup-dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench-numerals: setup-dev ## kanji numerals from nothing: three seeds, 20,000 fresh numbers, the log's 160 rows
	$(BIN)/python benchmarks/numerals.py

bench-recipes: setup-dev ## recipe lines from nothing: three seeds, 20,000 fresh lines and 234 written by hand
	$(BIN)/python benchmarks/recipes.py

bench-verification: setup-dev ## verified and abstaining answers on kanji numerals, right and corrupted
	$(BIN)/python benchmarks/verification.py

bench-emoji: setup-dev ## sets without collapse: all seeds, baselines, ablations
	$(BIN)/python benchmarks/emoji_sets.py
	$(BIN)/python benchmarks/emoji_corpus.py
	$(BIN)/python benchmarks/emoji_ablations.py

bench-training: setup-dev ## training the built-in model against transformers' Trainer
	$(BIN)/python benchmarks/training_speed.py

bench-hub: setup-dev ## pretrained models: speed at real sizes against the usual tools, and whether it teaches as well
	$(BIN)/python benchmarks/hub_training.py
	$(BIN)/python benchmarks/hub_training.py --work emoji
	$(BIN)/python benchmarks/hub_decoding.py
	$(BIN)/python benchmarks/packed_products.py
	$(BIN)/python benchmarks/hub_launches.py
	$(BIN)/python benchmarks/hub_learning.py
	$(BIN)/python benchmarks/template_fuzz.py

bench-teacher: setup-dev ## throughput of the teacher client
	$(BIN)/python benchmarks/teacher_throughput.py

torture-sweep: setup-dev ## two hundred kills among four workers of a series
	TERAKOYA_KILLS=200 TERAKOYA_WORKERS=4 $(BIN)/python -m pytest -q -s tests/test_series_kills.py

torture-run: setup-dev ## a run killed at every single change that it makes on the disk
	TERAKOYA_CRASHES=1000 $(BIN)/python -m pytest -q tests/test_pipeline_crash.py

torture-settings: setup-dev ## a hundred and fifty runs with settings drawn by lot
	$(BIN)/python benchmarks/settings_by_lot.py --runs 150

torture-teacher: setup-dev ## a thousand kills while answers are paid for
	$(BIN)/python benchmarks/teacher_torture.py

bench-audit: setup-dev ## planted defects found, clean data left alone; five million rows
	$(BIN)/python benchmarks/audit_defects.py
	$(BIN)/python benchmarks/audit_speed.py

bench-comparison: setup-dev ## false alarms, power and coverage of compare
	$(BIN)/python benchmarks/comparison.py

bench-guards: setup-dev ## faults planted in training, stopped and named; healthy runs left alone
	$(BIN)/python benchmarks/guards.py

bench-startup: setup-dev ## `terakoya --help` beside a bare import of typer
	$(BIN)/python benchmarks/startup.py

results: setup-dev ## every shipped experiment, and the table of the README from their run folders
	$(BIN)/python benchmarks/experiments.py

check: lint test ## what CI runs

clean: ## throw the environment and caches away
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
