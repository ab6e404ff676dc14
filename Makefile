# `make demo` and `make test` are all that a fresh machine needs; each makes .venv when there is none.
# VENV=/path/to/env uses an environment that you have; what is in it stays as it is, and only what is missing is added.

VENV ?= .venv
UPSTREAM ?= .venv-upstream
PYTHON ?= $(shell for p in python3.12 python3.11 python3.10 python3; do \
	$$p -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null && echo $$p && break; done)
RUN = $(VENV)/bin/python
READY = $(VENV)/.mmseg_g4seg_ready
KEPT = $(VENV)/.mmseg_g4seg_kept.txt

.PHONY: env demo photographs test test-slow test-upstream lint docs format clean

env: $(READY)

$(READY): $(wildcard requirements/detectron2*) requirements/app.txt requirements/tested.txt setup.py priors/pyproject.toml
	@test -n "$(PYTHON)" || { echo 'expected Python 3.10, 3.11 or 3.12 on the PATH, found none; set PYTHON=/path/to/python'; exit 1; }
	@test -x $(RUN) || { $(PYTHON) -m venv $(VENV) && touch $(VENV)/.mmseg_g4seg_made; }
	@if test -e $(VENV)/.mmseg_g4seg_made; then \
		requirements/tested.sh $(RUN) && requirements/detectron2.sh $(RUN); \
	else \
		echo 'an environment that make did not make: what is there stays, mmseg_g4seg, its tools and priors are added' && \
		$(RUN) -m pip list --format=freeze --exclude-editable --exclude mmseg_g4seg > $(KEPT) && \
		$(RUN) -m pip install -c $(KEPT) -e '.[clip,dev]' -e ./priors; \
	fi
	@touch $(READY)

demo: env
	$(RUN) -m projects.demo

# the README's table of photographs; DATA has the folders camvid and voc_animals (projects/experiments/README.md)
photographs: env
	@test -d '$(DATA)/camvid' -a -d '$(DATA)/voc_animals' || \
		{ echo 'expected DATA=folder with camvid and voc_animals, got "$(DATA)"'; exit 1; }
	DATA='$(DATA)' OMP_NUM_THREADS=1 $(RUN) -m projects.experiments projects/experiments/configs/photographs.py \
		--out work_dirs/photographs --processes 2

# a process a core, files whole, in the order of tests/conftest.py; more threads than cores only wait for each other
# compiled files are kept, whatever the shell says: the tests' processes would compile all of it anew, each time
PYTEST = OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(RUN) -m pytest -q -n auto --dist loadfile --no-loadscope-reorder tests projects

test: env
	$(PYTEST) -m 'not slow'

# whole programs: notebooks, trainings, browsers, processes that are killed
test-slow: env
	$(PYTEST) -m slow

# upstream mmsegmentation 1.2.2: an environment of its own, which costs 3 GB of downloads once and 6 GB of disk
test-upstream: $(UPSTREAM)/.ready
	UPSTREAM=$(UPSTREAM) .ci/upstream

$(UPSTREAM)/.ready: requirements/upstream.txt .ci/stub_mmcv_ops.py
	$(PYTHON) -m venv --clear $(UPSTREAM)
	@# pip takes three minutes of a core to unpack CUDA, each time; uv a minute, and later seconds, from its cache
	$(UPSTREAM)/bin/python -m pip install -q uv==0.13.9
	$(UPSTREAM)/bin/uv pip install -q --system-certs --python $(UPSTREAM)/bin/python -r requirements/upstream.txt
	$(UPSTREAM)/bin/python .ci/stub_mmcv_ops.py
	@touch $@

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
