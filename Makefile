# Two commands do everything on a fresh machine with Python 3.11+, venv and make:  make demo   make test
# The rest: `make bench` (speed, as ratios), `make models` (rebuild the models from their scripts), `make readme` (put
# what its commands print into the README).

PYTHON ?= python3
BIN := .venv/bin
# Written last, so that an install cut off half way is begun anew; while it is newer than what it
# depends on, nothing here needs a network.
INSTALLED := .venv/.installed

.PHONY: demo test lint bench models readme clean

demo: $(INSTALLED)
	$(BIN)/lastbit run one-in-ten-thousand

test: $(INSTALLED) lint
	$(BIN)/python -m pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks

readme: $(INSTALLED)
	$(BIN)/python docs/readme.py

models: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group recipes
	$(BIN)/python models/build.py

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lastbit needs Python 3.11 or later; this is " + sys.version.split()[0] + ". Name another: make $(MAKECMDGOALS) PYTHON=python3.12")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable . --group dev
	@touch $(INSTALLED)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
