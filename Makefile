# `make book` builds the study and its book, `make test` proves the code; both install into .venv first.
# `make gpu` runs with the torch at hand, without network or Jupyter; `lowbit import runs/gpu` takes what it leaves.
PYTHON ?= python3
GPU ?= runs/gpu
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
STUDY ?= tour
BIN := .venv/bin
BOOK := _build/html/index.html
unexport PYTHONDONTWRITEBYTECODE  # hundreds of processes start, each from compiled modules

.PHONY: book test run html gpu lint clean

book: run html

run: .venv/installed
	$(BIN)/lowbit run $(STUDY) --jobs $(JOBS) || test $$? -eq 3  # 3: all is drawn, and a run diverged, which the book says

html: .venv/installed
	$(BIN)/lowbit tables
	$(BIN)/jupyter-book build book --config _config.yml --path-output . --all -W -n --keep-going
	@echo "The book: file://$(CURDIR)/$(BOOK)"

test: .venv/installed
	$(BIN)/ruff format --check . && $(BIN)/ruff check .
	$(BIN)/pytest -n $(JOBS)

gpu:
	PYTHONPATH=$(CURDIR) $(PYTHON) benchmarks/gpu.py $(GPU)

lint: .venv/installed
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -qq -r requirements.lock
	$(BIN)/pip install -qq --no-deps --no-build-isolation --editable .
	touch $@

clean:
	rm -rf _build book/pages runs results/smoke results/tour
