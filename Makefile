# make demo   the main job on embedded data, about two minutes on two cores
# make test   every check: style, types, import direction, examples, documentation, tests
# make docs   the documentation site, into site/
#
# All prepare .venv in this folder first. Needs Python 3.11 or newer, make, and a C++ compiler.

# An activated environment, or variables that steer Python, must not leak into .venv.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP VIRTUAL_ENV CONDA_PREFIX PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV
export PYTHONNOUSERSITE = 1

PYTHONS = $(PYTHON) python3 python3.11 python3.12 python3.13 python3.14
RECENT = import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))
IN_VENV = .venv/bin/python -m

.PHONY: help venv demo test lint format types imports docs tests clean

help:
	@sed -n 's/^# make/make/p' Makefile

venv: .venv/.ready
	@:

.venv/.ready: pyproject.toml constraints.txt
	@for python in $(PYTHONS); do \
	  if "$$python" -c '$(RECENT)' >/dev/null 2>&1; then found="$$python"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "make: edgewise needs Python 3.11 or newer with the venv module; found none among: $(PYTHONS)." \
	    "Install one (Debian: apt-get install python3 python3-venv), or say which: make venv PYTHON=/path/to/python3" >&2; \
	  exit 1; \
	fi; \
	echo "preparing .venv with $$found (once; some minutes, about 6 GB with PyTorch)"; \
	.venv/bin/python -c '$(RECENT)' >/dev/null 2>&1 || "$$found" -m venv --clear .venv
	@$(IN_VENV) pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all,dev]'
	@echo '$(CURDIR)' > $@

# A checkout that was moved is prepared again: the stamp holds the folder it was made in.
ifneq ($(shell cat .venv/.ready 2>/dev/null),$(CURDIR))
.PHONY: .venv/.ready
endif

demo: venv
	@$(IN_VENV) edgewise demo

test: lint types imports docs tests

lint: venv
	$(IN_VENV) ruff check .
	$(IN_VENV) ruff format --check .

format: venv
	$(IN_VENV) ruff check --fix .
	$(IN_VENV) ruff format .

types: venv
	$(IN_VENV) mypy

imports: venv
	.venv/bin/python -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

docs: venv
	NO_MKDOCS_2_WARNING=1 $(IN_VENV) mkdocs build --quiet

tests: venv docs
	OMP_NUM_THREADS=1 EDGEWISE_SITE=$(CURDIR)/site $(IN_VENV) pytest -q -n 2 --dist loadfile

clean:
	rm -rf site .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
