# make run: sets up and trains a model on kanji numerals.  make test: sets up and passes the whole suite.
.DEFAULT_GOAL := help
BIN := .venv/bin
ARGS ?=

.PHONY: messages docs test-fast help setup setup-dev run test lint check clean bench-numerals bench-recipes bench-verification bench-emoji bench-training \
	bench-pretrained bench-teacher bench-audit audit-tables bench-comparison bench-guards bench-startup bench-page bench-processes gpu crash-sweep kills-ray kills-slurm kills-local crash-run crash-teacher \
	crash-batches crash-training crash-disk bit-flips crash-tests \
	fuzz-config fuzz-cli torture torture-sweep torture-run torture-teacher torture-settings bench-hub results mutants

help: ## this list of targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

setup: ## .venv with what is needed to run
	@scripts/setup.sh run

setup-dev: ## .venv with what is needed to test, a browser for the report tests, and Gemma 3 270M
	@scripts/setup.sh dev
	@scripts/install-browser.sh
	@scripts/install-tools.sh
	@scripts/get-gemma.sh
	@scripts/get-converter.sh

run: setup ## train the built-in model on kanji numerals and show the score
	@$(BIN)/terakoya run kannume $(ARGS)

test: setup-dev ## the whole test suite
	$(BIN)/python -m pytest -n 2 $(ARGS)

# What takes long is left out: pretrained checkpoints, servers, browsers, kills, whole runs.
FAST := tests/test_*.py tests/codec tests/config tests/data tests/decoding tests/scoring tests/tasks tests/cli tests/runs tests/evaluation
test-fast: setup-dev ## the tests that need no server, browser, pretrained model or training of minutes
	$(BIN)/python -m pytest -n 2 -q $(FAST) $(ARGS)

docs: setup-dev ## the documentation as a site in site/, Japanese and English; pages made from code are made anew
	$(BIN)/python docs/make.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

lint: setup-dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench-numerals: setup-dev ## kanji numerals from scratch: three seeds, 20,000 fresh numbers, the log's 160 rows
	$(BIN)/python -m benchmarks.quality.numerals

bench-recipes: setup-dev ## recipe lines from scratch: three seeds, 20,000 fresh lines and 234 written by hand
	$(BIN)/python -m benchmarks.quality.recipes

bench-verification: setup-dev ## verified and abstaining predictions on kanji numerals, original and corrupted
	$(BIN)/python -m benchmarks.quality.verification

bench-emoji: setup-dev ## label sets without collapse: all seeds, baselines, ablations
	$(BIN)/python -m benchmarks.quality.emoji_sets
	$(BIN)/python -m benchmarks.quality.emoji_corpus
	$(BIN)/python -m benchmarks.quality.emoji_ablations

bench-training: setup-dev ## training the built-in model against transformers' Trainer
	$(BIN)/python -m benchmarks.speed.training_speed
	$(BIN)/python -m benchmarks.speed.shared_cores

bench-pretrained: setup-dev ## pretrained models: speed at real sizes against the usual tools, and learning
	$(BIN)/python -m benchmarks.speed.pretrained_training
	$(BIN)/python -m benchmarks.speed.pretrained_training --dataset emoji
	$(BIN)/python -m benchmarks.speed.pretrained_decoding
	$(BIN)/python -m benchmarks.speed.prepacked_matmuls
	$(BIN)/python -m benchmarks.speed.pretrained_launches
	$(BIN)/python -m benchmarks.quality.pretrained_learning
	$(BIN)/python -m benchmarks.faults.template_fuzz

bench-processes: setup-dev ## losses on 1, 2 and 4 processes: built-in, set head, every pretrained family, full and LoRA
	TERAKOYA_ALL_BASES=1 $(BIN)/python -m pytest -q -p no:xdist tests/models/test_distributed.py -k four_processes

gpu: setup-dev ## the first thing to run where a GPU is at hand: steps, decoding and memory, ten minutes
	$(BIN)/python -m benchmarks.speed.gpu --write

bench-teacher: setup-dev ## throughput of the teacher client
	$(BIN)/python -m benchmarks.speed.teacher_throughput

bench-audit: setup-dev ## injected defects detected, clean data without findings; five million rows
	$(BIN)/python -m benchmarks.faults.audit_defects
	$(BIN)/python -m benchmarks.speed.audit_speed

audit-tables: setup-dev ## ten thousand random tables audited in blocks and row by row: the same findings
	$(BIN)/python -m benchmarks.faults.audit_tables

bench-comparison: setup-dev ## false positives, power and coverage of compare
	$(BIN)/python -m benchmarks.quality.comparison

bench-guards: setup-dev ## injected training faults stopped and named; healthy runs left alone
	$(BIN)/python -m benchmarks.faults.guards

bench-startup: setup-dev ## `terakoya --help` against a bare import of typer; a pretrained base against transformers
	$(BIN)/python -m benchmarks.speed.startup
	$(BIN)/python -m benchmarks.speed.opening_base $$(dirname .models/cache/terakoya/gguf/*/config.json) --name gemma-3-270m

bench-page: setup-dev ## views of the local page with 10,000 exam rows
	$(BIN)/python -m benchmarks.speed.page_views

crash-sweep: setup-dev ## two hundred kills among four workers of a sweep
	TERAKOYA_KILLS=200 TERAKOYA_WORKERS=4 $(BIN)/python -m pytest -q -s tests/sweeps/test_sweep_kills.py

kills-ray kills-slurm kills-local: kills-%: setup-dev ## a hundred kills among workers and nodes of an engine of sweeps
	$(BIN)/python -m benchmarks.faults.sweep_kills $* --minutes 120 --write

crash-run: setup-dev ## a run killed at every single change that it makes on the disk
	TERAKOYA_CRASHES=1000 $(BIN)/python -m pytest -q tests/pipeline/test_pipeline_crash.py

crash-teacher: setup-dev ## a thousand kills while responses are paid for
	$(BIN)/python -m benchmarks.faults.teacher_crash_tests --write

crash-batches: setup-dev ## a thousand kills while batches of requests are paid for
	$(BIN)/python -m benchmarks.faults.batch_crash_tests --write

crash-training: setup-dev ## five hundred kills of training, over every family of models
	$(BIN)/python -m benchmarks.faults.training_crash_tests --write

crash-disk: setup-dev ## every write, fsync and rename fails once, by strace
	$(BIN)/python -m benchmarks.faults.disk_fault_injection --write

bit-flips: setup-dev ## a thousand flipped bits each in journals, results, checkpoints and models
	$(BIN)/python -m benchmarks.faults.bit_flips --write

crash-tests: bit-flips crash-disk crash-teacher crash-batches crash-run crash-training crash-sweep ## all of these; tables in benchmarks/results/

fuzz-config: setup-dev ## a hundred and fifty runs with random configurations
	$(BIN)/python -m benchmarks.faults.config_fuzzing --runs 150

fuzz-cli: setup-dev ## five hundred wrong command lines, over all commands
	$(BIN)/python -m benchmarks.faults.cli_fuzzing --runs 500

torture: crash-tests fuzz-config fuzz-cli # former names
torture-sweep: crash-sweep
torture-run: crash-run
torture-teacher: crash-teacher
torture-settings: fuzz-config
bench-hub: bench-pretrained

mutants: setup-dev ## mutation testing of scoring, codecs, split, ledger and training loop: half an hour
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt mutmut
	$(BIN)/python -m benchmarks.faults.mutation_testing

results: setup-dev ## every shipped experiment, and the table of the README from their run folders
	$(BIN)/python -m benchmarks.quality.experiments

messages: setup-dev ## message catalogues: extract, update, compile; NEW=de begins another language
	$(BIN)/python scripts/messages.py $(if $(NEW),--new $(NEW))

check: lint test ## what CI runs

clean: ## throw the environment and caches away
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
