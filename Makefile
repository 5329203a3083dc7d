# Run `make` to see what there is.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PROJECT := '{{cookiecutter.project_slug}}'
# Rendered projects are trees of their own: no tool leaves its cache in the template's.
export RUFF_CACHE_DIR := $(CURDIR)/.cache/ruff
export PYTHONDONTWRITEBYTECODE := 1

.DEFAULT_GOAL := help
.PHONY: help install demo delivery-demo test test-fast test-slow lint format guideline lock bench

help: ## Show these lines
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Install the template's tools in .venv

$(STAMP): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@echo "making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.txt
	@touch $@

demo: install ## Render a project and have it answer a spoken question
	@tools/system-packages.sh ffmpeg espeak-ng
	@$(BIN)/python -m tools.demo

delivery-demo: install ## Play a change's whole way: CI, staging, production under load, rollback
	@$(BIN)/python -m tools.delivery_demo

test: install ## Run every test, with trained weights, real servers and containers
	@tools/system-packages.sh ffmpeg espeak-ng pocketsphinx-testdata chromium-headless-shell
	$(BIN)/pytest -n 2 -m "not slow"

test-fast: install lint ## Run what needs no models: render, lint, types (2 minutes)
	$(BIN)/pytest -m "not service and not containers and not delivery and not slow"

test-slow: install ## Build the GPU images with their real CUDA: 4 GB of downloads, 30 GB of disk
	$(BIN)/pytest -m slow

lint: install ## Check style and types of the template itself
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cd $(PROJECT) && ../$(BIN)/ruff check app deploy tests tools main.py && ../$(BIN)/ruff format --check app deploy tests tools main.py
	$(BIN)/mypy

format: install ## Put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

guideline: install ## Write the pages that come from the table of clauses
	$(BIN)/python -m tools.guideline

lock: install ## Lock the newest versions: the template's own and every variant's
	$(BIN)/uv pip compile --quiet --universal --python-version=3.11 --generate-hashes --no-annotate \
		--no-header --no-emit-index-url --no-emit-find-links --upgrade pyproject.toml --group dev -o requirements-dev.txt
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python -m tools.lock

bench: install ## Measure rendering and serving against the bare tools, as ratios
	@tools/system-packages.sh ffmpeg espeak-ng pocketsphinx-testdata
	$(BIN)/python -m benchmarks
