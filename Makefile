# Everything a newcomer or a developer runs. `make help` lists it.

# The first of these that is 3.11, 3.12 or 3.13, can make a virtual environment, and really runs.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$python && break; done)
VENV := .venv/bin/python

# Exported, so that a prompt with quotes or dollars reaches the program as it was typed.
PROMPT ?= three red apples on a beach
SEED ?= 7
ARGS ?=
export PROMPT SEED

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test faults soak check format lock bench bench-gpu bench-recovery fuzz

help: ## list what make can do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv from requirements.lock; packages are shared between checkouts
	@if [ -z "$(PYTHON)" ]; then \
		echo "unclip needs Python 3.11, 3.12 or 3.13 with venv (on Debian and Ubuntu: the package python3-venv)." >&2; \
		echo "If one is installed elsewhere: make setup PYTHON=/path/to/python3.12" >&2; exit 1; fi
	@$(PYTHON) scripts/setup.py

demo: setup ## draw PROMPT="three red apples on a beach" with SEED=7 through a service of its own
	@$(VENV) -m unclip generate --own-service --seed "$$SEED" -- "$$PROMPT"

serve: setup ## run everything on http://127.0.0.1:8000 until Ctrl-C
	@exec $(VENV) -m unclip serve $(ARGS)

test: setup ## run the whole test suite (ARGS="-k name" for a part)
	@$(VENV) -m pytest -n logical --maxprocesses 4 $(ARGS)

check: setup ## formatting, lint, types, and who may import whom
	@$(VENV) -m ruff format --check .
	@$(VENV) -m ruff check .
	@$(VENV) -m mypy
	@$(VENV) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

faults: setup ## 200 rounds of seeded faults over a whole installation, about an hour (ARGS="--rounds 1 --seed 7" for one)
	@$(VENV) -m tests.faults $(ARGS)

soak: setup ## ten thousand tiny jobs: memory, open files and keys must stay flat
	@$(VENV) -m tests.faults.soak $(ARGS)

fuzz: setup ## fuzz the whole HTTP API, more than 10,000 cases (ARGS="--examples 50 --seed 2" for another run)
	@$(VENV) -m tests.service.fuzzing $(ARGS)

bench: setup ## speed as ratios of arms measured in one run, on the CPU (ARGS="submit filters overload flood bombs" for some); 10 to 20 minutes
	@$(VENV) -m bench $(ARGS)

bench-recovery: setup ## seconds until a killed worker's job runs again, against stock RQ; up to 20 minutes
	@$(VENV) -m bench recovery

bench-gpu: setup ## mixed load and join delay on a CUDA device
	@$(VENV) -m pytest -q -m cuda
	@$(VENV) -m bench mixed join --device cuda

format: setup ## format the code and mend what lint can mend
	@$(VENV) -m ruff format .
	@$(VENV) -m ruff check --fix .

lock: ## lock the newest allowed packages with hashes (needs uv)
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		-o requirements.lock
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--constraint requirements.lock -o docker/api.lock
	uv pip compile pyproject.toml --extra worker --extra openvino --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--constraint requirements.lock -o docker/worker.lock
