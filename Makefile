# make demo | test | lint | messages | docs: each builds .venv for itself the first time; the stamps make the second time quick.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt

# These tests compute on one thread and serve nothing, so that two run at one time.
COMPUTE := tests/calib tests/engine tests/scripts tests/trainers

.PHONY: demo test coverage lint audit messages docs clean

demo: .venv/run.stamp
	$(BIN)/merau demo --out out/demo

test: .venv/test.stamp
	scripts/debian_packages.sh
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(COMPUTE)
	$(BIN)/python -m pytest $(addprefix --ignore=,$(COMPUTE))

# The fast tests alone: tracing makes the others a sixth slower.
coverage: .venv/test.stamp
	$(BIN)/coverage run -m pytest tests/calib tests/engine tests/stream/store tests/stream/spotter \
		--ignore=tests/engine/cuda --ignore=tests/engine/runtimes --ignore=tests/stream/spotter/test_spotter.py
	$(BIN)/coverage report

lint: .venv/lint.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Known weaknesses of the locked packages; needs the network.
audit:
	scripts/audit.sh

docs: .venv/docs.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# The page's translations (gettext): new messages come untranslated into stream/ui/locale/*/LC_MESSAGES/merau.po
messages: .venv/run.stamp
	$(BIN)/python -m scripts.messages

# What it runs on is locked by hashes; the package itself is built by the locked setuptools.
.venv/run.stamp: pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	@echo "Installing merau-live and what it runs on into .venv (once)"
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/lint.stamp: .venv/run.stamp constraints.txt
	@echo "Installing what the checks need into .venv (once)"
	$(INSTALL) --editable '.[dev]'
	@touch $@

.venv/test.stamp: .venv/lint.stamp
	@echo "Installing what training and the GPU path need into .venv (once): PyTorch can be several GB, pycuda is compiled"
	$(INSTALL) "$$(scripts/pycuda_wheel.sh $(BIN)/python)"
	$(INSTALL) --editable '.[train,curves,gpu,service,ray,test]'
	scripts/eaf_schema.sh $(BIN)/python
	@touch $@

.venv/docs.stamp: .venv/run.stamp constraints.txt
	@echo "Installing what the documentation needs into .venv (once)"
	$(INSTALL) --editable '.[docs]'
	@touch $@

clean:
	rm -rf .venv build out *.egg-info
