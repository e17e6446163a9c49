# make demo [BACKEND=jax]   set up .venv, train on digits, write demo/*.png
# make test [BACKEND=jax]   set up .venv, run the tests on all backends (or on one)
# make test-all             exhaustive tests too, JAX compiled as for users; takes hours
# make test-slow            the long trainings, on PyTorch or on BACKEND
# make test-lower-bounds    core tests with the oldest versions that setup.cfg allows, an environment for each backend
# make fuzz                 wrong inputs by the thousand, on PyTorch or on BACKEND; some minutes
# make study [BACKEND=jax]  the study of the state space model, into output/is_ssm_needed; under two hours
# make lint, make format    ruff
# make notebooks            write notebooks/ anew from examples/

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-all test-slow test-lower-bounds fuzz study lint format notebooks clean

demo: BACKEND ?= tensorflow
demo: .venv/.demo-$(or $(BACKEND),tensorflow)
	KERAS_BACKEND=$(BACKEND) $(BIN)/python examples/00_digits_demo.py

test: .venv/.dev
	$(BIN)/python tests/run_backends.py $(BACKEND)

test-all: .venv/.dev
	$(BIN)/python tests/run_backends.py --all $(BACKEND)

test-slow: .venv/.dev
	KERAS_BACKEND=$(or $(BACKEND),torch) $(BIN)/python -m pytest -m slow -s tests

test-lower-bounds:
	$(PYTHON) tests/lower_bounds.py $(BACKEND)

fuzz: .venv/.dev
	KERAS_BACKEND=$(or $(BACKEND),torch) $(BIN)/python tests/fuzz/fuzz.py

study: .venv/.dev
	KERAS_BACKEND=$(or $(BACKEND),torch) $(BIN)/python studies/is_ssm_needed/study.py

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

notebooks: .venv/.dev
	for script in examples/0[1-9]_*.py; do \
	  $(BIN)/python -m jupytext --to ipynb --update --output notebooks/$$(basename $$script .py).ipynb $$script || exit 1; \
	done

clean:
	rm -rf .venv .venv-lower demo output

.venv/bin/python:
	$(PYTHON) -m venv .venv

# Done once: a second run skips what is installed, unless the requirements have changed.
.venv/.demo-%: requirements/%.txt requirements/demo.txt requirements/base.txt setup.cfg | .venv/bin/python
	$(PIP) -r requirements/$*.txt -r requirements/demo.txt -e .
	touch $@

.venv/.dev: $(wildcard requirements/*.txt) setup.cfg | .venv/bin/python
	$(PIP) -r requirements/dev.txt -e .
	touch $@
