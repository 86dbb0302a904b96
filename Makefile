# One command a job:
#
#   make demo     install into .venv-demo (no torch), diagnose both examples, print the verdicts
#   make check    lint, format, types, layers
#   make test     all tests
#   make weights  train, quantise and calibrate the default weights: DATA=… [IMAGENET=…] [WEIGHTS=…]; resumable
#   make format   let ruff format and sort imports
#   make docs     write the pages that are made from the code (docs/notices.md)
#   make lock     write requirements.lock anew: what JCS is installed with, by version and hash
#   make clean    remove what the above made
#
# check, test, format and docs share .venv, which holds every extra. Another place or interpreter: make test VENV=… PYTHON=…

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV ?= .venv
DEMO_VENV ?= .venv-demo
DEMO_OUTPUT ?= demo-output
PYTEST_ARGS ?=
DATA ?= ../shared/data
IMAGENET ?=
WEIGHTS ?= src/jcs_ct/weights
# Tests run in parallel, one process a core. A file stays in one process, so that its tests share their fixtures, and
# files start in the order of tests/conftest.py, the longest first.
PYTEST_WORKERS ?= logical
PYTEST_PARALLEL := -n $(PYTEST_WORKERS) --dist loadfile --no-loadscope-reorder
# Debian packages that the tests need; only root installs them. They validate DICOM objects (dciodvfy), print reports
# (dsrdump, pdftotext), serve as archive and peers (orthanc, dcmtk), make certificates (openssl), show the page
# (chromium) and have letters of all scripts for the PDF report (fonts).
DEBIAN_PACKAGES ?= dicom3tools dcmtk orthanc orthanc-dicomweb poppler-utils openssl chromium \
	fonts-noto-core fonts-droid-fallback fonts-nanum

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO_INSTALLED := $(DEMO_VENV)/.installed
PACKAGE_FILES := pyproject.toml README.md LICENSE NOTICE \
	$(shell find src -type f -not -path '*/__pycache__/*')

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo check quick test weights format docs lock clean

demo: $(DEMO_INSTALLED)
	scripts/demo.sh $(DEMO_VENV) $(DEMO_OUTPUT)

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(INSTALLED)
	scripts/debian-packages.sh $(DEBIAN_PACKAGES)
	$(BIN)/python -m pytest $(PYTEST_PARALLEL) $(PYTEST_ARGS)

# What a change needs again and again: no whole studies, no browser, no archive, no training. CI runs all tests.
quick: $(INSTALLED)
	$(BIN)/python -m pytest $(PYTEST_PARALLEL) -m "not slow" $(PYTEST_ARGS)

weights: $(INSTALLED)
	scripts/make-weights.sh $(BIN) $(DATA) $(WEIGHTS) $(IMAGENET)

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED)
	$(BIN)/python -m jcs_ct.notices.page > docs/notices.md

lock:
	scripts/make-lock.sh $(PYTHON)

clean:
	rm -rf $(VENV) $(DEMO_VENV) $(DEMO_OUTPUT) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

# The package is installed in place, so only a change of its requirements needs a new installation.
$(INSTALLED): pyproject.toml constraints.txt src/jcs_ct/_version.py
	scripts/make-venv.sh $(PYTHON) $(VENV)
	@echo "Installing jcs-ct with all extras into $(VENV) (torch included; the first time takes minutes)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,evaluate,serve,pacs,batch,parquet,cluster,benchmark,test,dev]'
	@touch $@

# As a user installs it: a copy of the package and the requirements for diagnosing.
$(DEMO_INSTALLED): $(PACKAGE_FILES)
	scripts/make-venv.sh $(PYTHON) $(DEMO_VENV)
	@echo "Installing jcs-ct into $(DEMO_VENV)"
	$(DEMO_VENV)/bin/python -m pip install --quiet .
	@touch $@
