# make app   open the dashboard (PORT=8501)
# make test  run the test suite
# make check formatter, linter, type checker
# OMP_WAIT_POLICY=PASSIVE: threads that wait leave their core to the processes beside them.
PYTHON ?= python3
PORT ?= 8501
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: app test check
app: $(INSTALLED)
	OMP_WAIT_POLICY=PASSIVE $(BIN)/streamlit run app/main.py --server.port $(PORT)

test: $(INSTALLED)
	OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not browser" --numprocesses auto --dist loadfile
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -m browser  # one after the other: they measure what a person waits

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

$(INSTALLED): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, $$($(PYTHON) --version) found: make PYTHON=python3.11" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@touch $@
