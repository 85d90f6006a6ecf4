# make            set up, run the experiments, print where the dashboard is
# make test       set up, check style and types, run all tests
# make lowest     run the tests that use a dependency with the lowest versions that are allowed
# make newest     run them with another Python, NEWEST=python3.13 by default
# make coverage   run the tests, without the experiments, and fail if they execute less than 97 % of
#                 the branches of probes/ and model/
# make parity     compare the specimen with PyTorch and run the PyTorch example, in their own environment
# make bench      measure what steps, recording and the suite cost; takes minutes on an idle machine
# make mutants    change 200 places of probes/ at random, and list the changes that no test notices;
#                 takes an hour
# make fuzz       give the command line 20,000 logs that no trainer writes, and the property tests
#                 new examples; takes minutes
# make calibrate  train many runs per condition and publish how often the diagnosis is right; takes hours

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PARITY := .venv-parity
LOWEST := .venv-lowest
NEWEST ?= python3.13
WITH_NEWEST := .venv-newest

# The longest training first, so that the two workers finish together.
EXPERIMENTS := test_overfit.py test_breaks.py test_healthy.py
WORKERS     := --dist loadfile --no-loadscope-reorder --benchmark-disable
# Benchmarks need a process of their own: with workers beside them they are skipped.
OVERHEAD    := $(BIN)/python -m pytest -k "recording_costs or within_its_budget" --dashboard off --diagnosis-json off

# Each dependency is used by some of these files. They take a small part of the time of all tests.
QUICK := $(addprefix tests/test_, $(addsuffix .py, \
	cli common corpus detectors diagnose document files github gpt html json_report log_items panels \
	plugin plugin_outputs pytest_html readers_console readers_csv_log readers_tensorboard recorder \
	reducers run_cache sarif session_report spectral svg terminal watch))
QUICKLY := -m pytest $(QUICK) -n 2 --dist loadfile --benchmark-disable --dashboard off \
	--diagnosis-json off

# The tests that measure coverage. Tests are left out that measure time or memory, that train or
# install for minutes, that need other packages, or that try many inputs of one kind; and by -k,
# tests of which modules a command loads, because the measurement loads others.
SLOW := bench bench_peer calibration drawn_logs exercise_draw exercise_score hostile hostile_names \
	kills knowable lowest_versions memory no_decoration overhead parity public_logs selection \
	torch_example variation wheel
MEASURED := $(filter-out $(SLOW:%=tests/test_%.py), $(wildcard tests/test_*.py))

# The files with property tests.
PROPERTIES := $(shell grep -l "^from hypothesis" tests/test_*.py)

.DEFAULT_GOAL := experiments
.PHONY: experiments test lint types lowest newest coverage mutants parity bench sweep calibrate \
	fuzz clean

experiments: $(VENV)/ready
	$(BIN)/python -m pytest $(EXPERIMENTS) -n 2 $(WORKERS)
	$(OVERHEAD) test_healthy.py
	@echo "Open $(CURDIR)/reports/dashboard.html"

test: $(VENV)/ready lint types
	$(BIN)/python -m pytest $(EXPERIMENTS) test_zoo.py tests -n auto $(WORKERS)
	$(OVERHEAD) test_healthy.py tests/test_recorder_arrays.py

lint: $(VENV)/ready
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

types: $(VENV)/ready
	$(BIN)/python -m mypy

lowest: $(LOWEST)/ready
	$(LOWEST)/bin/python $(QUICKLY)

newest: $(WITH_NEWEST)/ready
	$(WITH_NEWEST)/bin/python $(QUICKLY)

coverage: $(VENV)/ready
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest $(MEASURED) -n auto --dist loadfile \
		-k "not loads_only and not imports_only" --benchmark-disable --dashboard off \
		--diagnosis-json off $(CONTEXTS)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

mutants:
	$(MAKE) coverage CONTEXTS="-p studies.mutants"
	$(BIN)/python -m studies.mutants --coverage .coverage --count 200

parity: $(PARITY)/ready
	$(PARITY)/bin/python -m pytest tests/test_parity.py tests/test_bench_peer.py tests/test_torch_example.py

bench: $(VENV)/ready $(PARITY)/ready
	$(PARITY)/bin/python -m bench
	$(PARITY)/bin/python -m bench --readme

sweep: $(VENV)/ready
	$(BIN)/python -m studies.sweep --write
	$(BIN)/python -m studies.overfit --eval-every 3 --write
	$(BIN)/python -m studies.warmup_figure

fuzz: $(VENV)/ready
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m studies.fuzz --inputs 20000
	$(BIN)/python -m pytest $(PROPERTIES) --hypothesis-profile search -n auto --dashboard off \
		--diagnosis-json off

calibrate: $(VENV)/ready
	$(BIN)/python -m pytest calibration -n auto --benchmark-disable -q
	$(BIN)/python -m calibration.judge

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test,lint,coverage]"
	touch $@

$(PARITY)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(PARITY)
	$(PARITY)/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[test,parity]"
	touch $@

$(LOWEST)/ready: pyproject.toml
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m testing.lowest_versions > $(LOWEST)/constraints.txt
	$(LOWEST)/bin/python -m pip install --quiet --constraint $(LOWEST)/constraints.txt \
		--editable ".[test]"
	touch $@

$(WITH_NEWEST)/ready: pyproject.toml constraints.txt
	$(NEWEST) -m venv $(WITH_NEWEST)
	$(WITH_NEWEST)/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $@

clean:
	rm -rf $(VENV) $(PARITY) $(LOWEST) $(WITH_NEWEST) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
