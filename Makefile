# Everything needs only Python 3.11 or newer: the first target that runs makes the virtual environment.
.DEFAULT_GOAL := help
SHELL := bash

# The distribution's Python first, if it can make virtual environments: it is built with profile-guided optimisation, which pyenv's
# is not unless asked, and does the same work with a fifth less CPU. `make clean install PYTHON=...` takes another one.
PYTHON ?= $(shell /usr/bin/python3.11 -c 'import ensurepip' 2>/dev/null && echo /usr/bin/python3.11 || \
	command -v python3.11 || command -v python3)
UV := $(shell command -v uv || echo .uv/bin/uv)
RUN := .venv/bin
# Compiled bytecode halves the time that every command takes to start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo audit test check lint bench fuzz install docs clean

help: ## Show this list.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

install: .venv/.installed ## Make the virtual environment from the lock file.

.uv/bin/uv:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'

.venv/.installed: pyproject.toml uv.lock | $(filter .uv/bin/uv,$(UV))
	$(UV) sync --quiet --frozen --compile-bytecode --python $(PYTHON)
	@touch $@

demo: .venv/.installed ## Two agents work together and draw a chart, on a fresh data folder.
	@$(RUN)/python examples/demo.py

audit: .venv/.installed ## A hostile tool, another customer and a flood attack a fresh server; all is contained and told.
	@$(RUN)/python examples/audit.py

# Three workers for two cores: tests often wait for processes that they have started. With more, tests that kill processes meet
# their time limits on a slow machine.
WORKERS ?= $(shell echo $$(((3 * $$(getconf _NPROCESSORS_ONLN) + 1) / 2)))

test: .venv/.installed ## All tests, in parallel (WORKERS=1 one after another), with one shared server.
	$(RUN)/python -m tests.again -n $(WORKERS) --dist loadgroup -q

check: lint test ## Lint, types, layers, built modules, tests.

lint: .venv/.installed
	$(RUN)/ruff check
	$(RUN)/ruff format --check
	$(RUN)/pyright
	$(RUN)/lint-imports
	$(RUN)/python wasm/build.py --check

fuzz: .venv/.installed ## Hostile requests for ten minutes, on a server of its own, against the description of the API.
	$(RUN)/python -m tests.fuzz

bench: .venv/.installed ## Every figure beside its target.
	$(RUN)/python -m benchmarks

docs: .venv/.installed ## Make the generated pages of docs/reference anew.
	$(RUN)/python -m caxton.cli.reference
	$(RUN)/python -m caxton.observability.reference
	$(RUN)/python -m caxton.definitions.schema
	$(RUN)/python -m caxton.api.reference
	$(RUN)/python -m caxton.api.typescript
	$(RUN)/python -m caxton.api.permissions_reference
	$(RUN)/python -m caxton.domain.errors_reference
	$(RUN)/python -m caxton.domain.events.reference
	$(RUN)/python -m caxton.runtime.limits_reference

clean: ## Remove what can be made again.
	rm -rf .venv .uv dist build .pytest_cache .ruff_cache .import_linter_cache
