# Everything starts here: `make help` lists it. Needs Python 3.11, pip and a package registry; `make test` also apt-get.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TEST_STAMP := $(VENV)/.test-tools
PYTEST := $(BIN)/python -m pytest

# pytest compiles every test with its checks; kept, that is done once instead of in each process.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo serve check test test-fast bench format clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/bin/uv:
	@command -v $(PYTHON) >/dev/null || { echo "Heliostat needs Python 3.11: install it, or name it with PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(STAMP): pyproject.toml $(VENV)/bin/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --editable .
	@touch $@

install: $(STAMP) ## make the environment in .venv

demo: install ## start a server, run a Ray job on 1 head + 2 workers, clean up (KEEP=1 keeps it)
	@$(BIN)/heliostat demo

serve: install ## run the server until Ctrl-C
	@$(BIN)/heliostat serve

$(TEST_STAMP): pyproject.toml scripts/test-tools.sh $(STAMP)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --editable '.[postgres]' --group dev
	sh scripts/test-tools.sh
	@touch $@

check: $(TEST_STAMP) ## formatting, lint, types, layers
	$(BIN)/ruff format --check src tests bench
	$(BIN)/ruff check src tests bench
	$(BIN)/mypy
	$(BIN)/lint-imports

# What starts real Ray for long, or measures time, has the machine to itself.
test: $(TEST_STAMP) ## the whole suite: real Ray, real databases, the real SDKs, a real browser
	@failed=0; $(PYTEST) -m "not (alone or (slow and ray))" -n 2 || failed=1; \
	$(PYTEST) -m "alone or (slow and ray)" || failed=1; exit $$failed

test-fast: $(TEST_STAMP) ## what takes under two minutes
	$(PYTEST) -m "not slow" -n 4

bench: $(TEST_STAMP) ## the figures of docs/performance.md
	$(BIN)/python bench/run.py

format: $(TEST_STAMP) ## put the code into its form
	$(BIN)/ruff format src tests bench
	$(BIN)/ruff check --fix src tests bench

clean: ## remove what tests and builds made here
	rm -rf .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests bench -name __pycache__ -prune -exec rm -rf {} +
