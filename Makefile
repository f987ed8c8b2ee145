# `make help` lists the targets. Everything is set up on the way: Python 3.11, git, make and a compiler are enough.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
AIRFLOW := .venv-airflow
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

# From complete pins nothing is left to resolve (--no-deps). Byte code is made on all cores rather than by pip on one;
# without it every task would compile torch and MLflow anew wherever Python may not write beside them.
INSTALL = pip install --no-deps --no-compile --disable-pip-version-check --progress-bar off
# A lock file's packages; one whose SHA-256 is not in the file is refused.
LOCKED = $(INSTALL) --require-hashes
COMPILE = python -m compileall -q -j 0
# Of pip's output only the large downloads and the last steps: enough to see that it moves.
BRIEFLY = 2>&1 | { grep -E --line-buffered '[0-9]{2,}\.[0-9] MB|GB\)|^Installing|^Successfully|^ERROR|error:' || true; } | cut -c1-110

.PHONY: help setup run test test-services soak compose-check lint format repro up down status bench day-zero events lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: ## make both environments from the lock files (run and test do it when needed)
	@$(MAKE) -q $(VENV)/.ready $(AIRFLOW)/.ready 2>/dev/null || $(MAKE) -j2 $(VENV)/.ready $(AIRFLOW)/.ready

run: setup ## the main job: sample frames, retrain and score_uploads through Airflow
	@python -m tasks.main_job

# One thread for each worker: two that share the cores with another two spend their time waiting for each other.
test: setup lint ## lint and tests, under 10 minutes on 2 cores
	@OMP_NUM_THREADS=1 python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --ignore=tests/services

SERVICES = tests/services
test-services: setup ## tests against real servers (S3, PostgreSQL, Redis, Docker), started and stopped by them
	@$(LOCKED) --quiet -r requirements/services.txt
	@python -m pytest $(SERVICES)

# Races, killed processes, resumed runs and failing stores: what may go wrong once in a hundred times.
SOAK = tests/dags/test_process_operator.py tests/pipeline/test_resume.py tests/pipeline/test_run_stage.py \
    tests/unit/base/test_storage.py tests/unit/registry/test_journal.py tests/unit/scoring/test_once.py \
    tests/services/test_faults_airflow.py tests/services/test_faults_storage.py tests/services/test_scoring_s3.py
ROUNDS = 20
soak: setup ## repeat the tests of races and faults ROUNDS=20 times; takes hours
	@$(LOCKED) --quiet -r requirements/services.txt
	@for round in $$(seq $(ROUNDS)); do echo "round $$round of $(ROUNDS)"; python -m pytest -q $(SOAK) || exit 1; done

compose-check: $(VENV)/.ready ## check docker/compose.yaml; needs no Docker
	@python docker/check_compose.py

lint: $(VENV)/.ready ## style (ruff), layers (import-linter), types (mypy)
	@ruff check .
	@ruff format --check .
	@lint-imports --no-logo
	@mypy

format: $(VENV)/.ready ## let ruff mend what it can
	@ruff check --fix .
	@ruff format .

repro: $(VENV)/.ready ## the same stages without Airflow, on this machine (dvc repro)
	@[ -f data/raw.dvc ] || pageflip synthesize
	@dvc repro

up: setup ## Airflow and MLflow in the background, on loopback
	@python -m tasks.services up

down: $(VENV)/.ready ## stop what `make up` started
	@python -m tasks.services down

status: $(VENV)/.ready ## what is up
	@python -m tasks.services status

bench: setup ## run benchmarks/, write benchmarks/results/latest.json
	@python -m benchmarks

day-zero: $(VENV)/.ready ## draw, train and judge pageflip/inference/pretrained anew: the model there is before any labels
	@$(LOCKED) --quiet -r requirements/day-zero.txt
	@python -m tasks.day_zero

events: $(VENV)/.ready ## draw videos and learn pageflip/inference/pretrained/events.json from them: once day-zero and its cnn are made anew
	@python -m tasks.learn_events

LOCK = uv pip compile --quiet --no-header --universal --python-version 3.11 --generate-hashes
PINS = requirements
lock: ## resolve the lock files anew, keeping today's versions where they fit (needs uv: pip install uv)
	$(LOCK) --extra train pyproject.toml -o $(PINS)/pipeline.txt
	$(LOCK) pyproject.toml --constraint $(PINS)/pipeline.txt -o $(PINS)/base.txt
	$(LOCK) --group dev --constraint $(PINS)/pipeline.txt -o $(PINS)/dev.txt
	$(LOCK) $(PINS)/orchestrator.in -o $(PINS)/orchestrator.txt
	$(LOCK) --group servers --no-deps -o $(PINS)/servers.txt
	$(LOCK) --group mlflow-server --constraint $(PINS)/pipeline.txt --constraint $(PINS)/servers.txt -o $(PINS)/mlflow-server.txt
	$(LOCK) --group services --no-deps -o $(PINS)/services.txt
	$(LOCK) --group day-zero --no-deps -o $(PINS)/day-zero.txt
	$(LOCK) --group piffler -o $(PINS)/piffler.txt

clean: ## remove what `dvc repro` left in the working tree; frames, models in MLflow and runs stay
	rm -rf data/frames data/split models reports/validation reports/evaluation reports/report reports/promotion.json

$(VENV)/.ready: requirements/pipeline.txt requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version if sys.version_info < (3, 11) else 0)'
	@echo "making $(VENV): the pipeline (torch with CUDA and the rest, 6.5 GB; one to ten minutes)"
	@[ -x $(VENV)/bin/python ] || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/$(LOCKED) -r requirements/pipeline.txt -r requirements/dev.txt $(BRIEFLY)
	@$(VENV)/bin/$(COMPILE) $(VENV)/lib >/dev/null 2>&1 || true # a few packages ship templates that are no Python
	@$(VENV)/bin/$(INSTALL) --no-build-isolation --quiet --editable . $(BRIEFLY)
	@touch $@

$(AIRFLOW)/.ready: requirements/orchestrator.txt
	@echo "making $(AIRFLOW): the orchestrator (Airflow, 0.5 GB; one to five minutes)"
	@[ -x $(AIRFLOW)/bin/python ] || $(PYTHON) -m venv $(AIRFLOW)
	@$(AIRFLOW)/bin/$(LOCKED) -r requirements/orchestrator.txt $(BRIEFLY)
	@$(AIRFLOW)/bin/$(COMPILE) $(AIRFLOW)/lib >/dev/null 2>&1 || true
	@touch $@
