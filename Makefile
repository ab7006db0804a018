# make demo: installs, then tunes and evaluates on sample data.   make test: installs, then runs all tests.
# make bench: speed and memory, about nine minutes.   make bench-studies: whole studies, faults, search.   make audit-pins: known
# vulnerabilities of the pinned packages (needs a network).   make clean: removes the environments and caches.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

SPEED := training recipe packing ranking reranking decoding startup scaling
STUDIES := coverage sample_data memory overhead first_trials search_efficiency faults

.PHONY: demo test bench bench-studies audit-pins clean

demo: $(VENV)/installed
	$(BIN)/python run_study.py demo

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

bench: $(VENV)/installed-dev
	for name in $(SPEED); do $(BIN)/python benchmarks/$$name.py || exit 1; done

bench-studies: $(VENV)/installed-dev
	for name in $(STUDIES); do $(BIN)/python benchmarks/$$name.py || exit 1; done

# Not compiled: of 27,000 files a fifth is ever imported, and the first import compiles it.
$(VENV)/installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --no-compile -r requirements.txt
	touch $@

$(VENV)/installed-dev: requirements-dev.txt tests/requirements-dashboard.txt $(VENV)/installed
	$(BIN)/pip install --no-compile -r requirements-dev.txt
	$(BIN)/pip install --no-compile --no-deps --upgrade --target $(VENV)/ray_dashboard -r tests/requirements-dashboard.txt
	touch $@

audit-pins:
	$(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/pip install --quiet pip-audit
	$(VENV)-audit/bin/pip-audit --no-deps --disable-pip -r requirements.txt

clean:
	rm -rf $(VENV) $(VENV)-audit .pytest_cache .mypy_cache .ruff_cache
