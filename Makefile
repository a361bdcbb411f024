# make app   open the dashboard (PORT=8501; LAN=1: for everyone on your network)
# make test  run the test suite
# make quick run its fast part: minutes less, for between two edits
# make check formatter, linter, type checker
# OMP_WAIT_POLICY=PASSIVE: threads that wait leave their core to the processes beside them.
PYTHON ?= python3
PORT ?= 8501
BIN := .venv/bin
RUNTIME := .venv/.installed
TESTS := .venv/.installed-tests
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PYTEST := OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest
PARALLEL := --numprocesses auto --dist loadfile
# What is compiled once is not compiled again by every test process and server that is started.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: app test quick check
app: $(RUNTIME)
	$(BIN)/robust-lab app --port $(PORT) $(if $(filter-out 0,$(LAN)),--lan)

test: $(TESTS)
	OMP_NUM_THREADS=1 $(PYTEST) -m "not browser" $(PARALLEL)
	$(PYTEST) -m "browser and not alone" --numprocesses 2 --maxschedchunk 1
	$(PYTEST) -m "browser and alone"  # one after the other: they measure what a person waits

quick: $(TESTS)
	OMP_NUM_THREADS=1 $(PYTEST) -m "not browser and not slow" $(PARALLEL)

check: $(TESTS)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

$(RUNTIME): requirements.txt pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, $$($(PYTHON) --version) found: make PYTHON=python3.11" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --editable .
	@touch $@

$(TESTS): $(RUNTIME) tests/requirements.txt robust_core/importing/requirements.txt
	$(PIP) --editable ".[test]"
	@touch $@
