# Every target sets up what it needs; `make demo` and `make test` work on a fresh machine with Python 3.11+.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed

.PHONY: demo test check format lint types generated docs notebooks slow benchmarks clean

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $(READY)

demo: $(READY)
	$(BIN)/weightlake demo

test: $(READY) lint types generated
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

check: format test

format: $(READY)
	$(BIN)/ruff format .

lint: $(READY)
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

generated: $(READY)
	$(BIN)/python docs/generate.py --check

docs: $(READY) generated
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "open site/index.html; links within are checked, links to other sites by their form alone: nothing is fetched"

notebooks: $(READY)
	$(BIN)/python docs/notebooks.py

slow: $(READY)
	$(BIN)/python -m pytest -m slow

benchmarks: $(READY)
	$(BIN)/python benchmarks/every.py $(if $(FULL),--full)

clean:
	rm -rf $(VENV) demo dist site
