# Everything sets itself up: plain Python (>= 3.11) and a package index are all a machine needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INSTALL := $(PIP) install --require-hashes --only-binary :all:
CODE := domain projections services protos deploy tests
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev

BROKERS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-cluster run kafka postgresql test test-faults check format proto lock bench wheels clean

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Our code is compiled here as pip compiles what it installs: where Python writes no such files itself, each start would do it anew.
$(RUNTIME): requirements/runtime.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.x")'
	@test -x $(BIN)/python || { echo "setting up $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing dependencies"
	@$(INSTALL) -r requirements/build.txt -r requirements/runtime.txt
	@PYTHONWARNINGS=ignore $(PIP) install --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q domain projections services protos/buf protos/safeguarding
	@touch $@

$(DEV): requirements/dev.txt $(RUNTIME)
	@echo "installing development tools"
	@$(INSTALL) -r requirements/dev.txt
	@touch $@

setup: $(DEV) ## make the virtual environment and install everything into it

demo: $(RUNTIME) ## see the hub do what it is for, in about a minute
	@$(BIN)/hub demo $(ARGS)

demo-cluster: $(RUNTIME) ## the same on three Kafka brokers, PostgreSQL and two nodes, of which some are killed
	@$(BIN)/hub demo --cluster $(ARGS)

run: $(RUNTIME) ## serve a hub from ./hub-data, founded there if there is none
	@$(BIN)/hub serve --found $(ARGS)

kafka: $(RUNTIME) ## serve an Apache Kafka for the hub; BROKERS=3 for three, DIR=folder to keep its data
	@$(BIN)/python -m deploy.kafka --brokers $(BROKERS) $(if $(DIR),--dir "$(DIR)")

postgresql: $(RUNTIME) ## serve a PostgreSQL for the hub; DIR=folder to keep its data
	@$(BIN)/python -m deploy.postgresql $(if $(DIR),--dir "$(DIR)")

# Kafka's jars are fetched before the tests, since a test has less time than a slow network takes. Without Java the tests say what is missing.
test: $(DEV) ## run all tests
	@$(BIN)/python -m deploy.kafka.jars || true
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile $(ARGS)

# A row takes 10 to 30 seconds a seed. The table at the end goes to build/faults.json as well.
test-faults: $(DEV) ## break brokers, nodes, networks and disks under load, and see that nothing is lost; HUBTEST_SEED, HUBTEST_SEEDS
	@$(BIN)/python -m deploy.kafka.jars
	@HUBTEST_REQUIRE_KAFKA=1 HUBTEST_MEASURED=build/faults.json $(BIN)/python -m pytest -q -s -m 'faults or not faults' $(or $(ARGS),tests/faults tests/e2e/test_demo_on_cluster.py)

check: $(DEV) ## format, lint, types, layers, contract and generated code
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/mypy domain projections services protos deploy tests/support tests/architecture
	@$(BIN)/lint-imports
	@$(BIN)/python protos/generate.py --check
	@$(BIN)/python protos/generate.py --image build/image.binpb
	@cd protos && ../$(BIN)/buf lint ../build/image.binpb --path safeguarding
	@cd protos && ../$(BIN)/buf breaking ../build/image.binpb --against baseline.binpb --path safeguarding

format: $(DEV) ## format the code and mend what the linter can
	@$(BIN)/ruff format $(CODE)
	@$(BIN)/ruff check --fix $(CODE)

proto: $(DEV) ## generate the Python code of the contract
	@$(BIN)/python protos/generate.py

lock: $(DEV) ## pin the newest dependencies that pyproject.toml allows
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command 'make lock' --upgrade pyproject.toml -o requirements/runtime.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command 'make lock' --upgrade --extra dev -c requirements/runtime.txt pyproject.toml -o requirements/dev.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command 'make lock' --upgrade requirements/build.in -o requirements/build.txt

bench: $(RUNTIME) ## measure, side by side with a peer and the raw floor
	@$(BIN)/hub bench $(ARGS)

wheels: $(DEV) ## build the hub's wheel and the client's into dist/
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist .
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist protos

clean: ## remove what was made, the virtual environment included
	@rm -rf $(VENV) build dist *.egg-info
