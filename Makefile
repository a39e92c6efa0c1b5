# The whole interface: type `make`. Needs Python 3.11 or newer (with venv and pip) and make;
# everything else goes into .venv, in the versions that constraints.txt names.

PYTHON ?= python3
WORKERS ?= 2

BIN := .venv/bin
INSTALLED := .venv/.installed
TORCHVISION := .torchvision/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check
PINNED := --constraint constraints.txt --build-constraint constraints.txt
BENCHMARKS := $(sort $(wildcard benchmarks/*.py))

# On models as small as the tests', torch's threads cost more than they bring.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest

.DEFAULT_GOAL := help
.PHONY: help venv demo test quick lint format bench clean

help: ## list these targets
	@echo "make PYTHON=python3.12 ... chooses the interpreter, WORKERS=4 the test processes"
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' Makefile

venv: $(INSTALLED) ## make or renew .venv

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) install --quiet --upgrade --constraint constraints.txt pip
	$(PIP) install --quiet $(PINNED) --editable '.[dev]'
	@touch $@

# Beside the environment, not in it: its build rarely fits torch's CPU build, and transformers trips
# over one that does not. tests/models/test_torchvision_environment.py alone looks here.
$(TORCHVISION): $(INSTALLED)
	rm -rf .torchvision
	$(PIP) install --quiet --no-deps --constraint constraints.txt --target .torchvision \
		torchvision==0.28.0
	@touch $@

demo: venv ## explain a few drawings: out/demo/report.html and pictures
	$(BIN)/sightline demo --out out/demo

test: lint $(TORCHVISION) ## lint, then every test, the slow ones too
	$(PYTEST) -n $(WORKERS)

quick: venv ## the tests that take no more than seconds
	$(PYTEST) -m "not slow"

lint: venv ## style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: venv ## put the code in shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: venv ## install the peers and compare with them
	$(PIP) install --quiet $(PINNED) --editable '.[bench]'
	@set -e; for script in $(BENCHMARKS); do echo "== $$script"; $(BIN)/python "$$script"; done

clean: ## remove caches, builds and the demo; .venv and other results stay
	rm -rf .mypy_cache .ruff_cache .pytest_cache build dist out/demo
	find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
