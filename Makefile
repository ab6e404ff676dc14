# `make demo` and `make test` are all that a fresh machine needs; each makes .venv when there is none.
# VENV=/path/to/env uses an environment that you have; one that already has mmseg keeps it.

VENV ?= .venv
PYTHON ?= $(shell for p in python3.12 python3.11 python3.10 python3; do \
	$$p -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null && echo $$p && break; done)
RUN = $(VENV)/bin/python
READY = $(VENV)/.mmseg_g4seg_ready

.PHONY: env demo test lint docs format clean

env: $(READY)

$(READY): $(wildcard requirements/detectron2*) requirements/tested.txt setup.py
	@test -n "$(PYTHON)" || { echo 'expected Python 3.10, 3.11 or 3.12 on the PATH, found none; set PYTHON=/path/to/python'; exit 1; }
	@test -x $(RUN) || { $(PYTHON) -m venv $(VENV) && touch $(VENV)/.mmseg_g4seg_made; }
	@if test ! -e $(VENV)/.mmseg_g4seg_made && $(RUN) -c 'import mmseg' 2>/dev/null; then \
		echo 'this environment has mmseg: adding mmseg_g4seg alone'; \
		$(RUN) -m pip install -e '.[clip,dev,docs]'; \
	else \
		$(RUN) -m pip install -r requirements/tested.txt && $(RUN) -m pip install --no-deps -e . && requirements/detectron2.sh $(RUN); \
	fi
	@touch $(READY)

demo: env
	$(RUN) -m projects.demo

test: env
	@# a process a core, files whole; more threads than cores only wait for each other
	OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n auto --dist loadfile tests projects

lint: env
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) .ci/style.py

docs: env
	$(RUN) -m mkdocs build --strict

format: env
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

clean:
	rm -rf work_dirs data/scenes
