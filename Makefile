# Everything a developer does, by name. Works on a fresh Debian 12 that has nothing but git, make and python3;
# a second run is quick: what was done is remembered in .stamps/, and done again when what it was made from changes.

PYTHON ?= python3
BIN := .venv/bin
STAMPS := .stamps
FUZZ_SECONDS ?= 60
BEGAN := $(shell date +%s)

COMPILED := $(shell sed -n 's/^    "\(gateway.*\.py\)",$$/\1/p' setup.py)
IN_C := $(wildcard gateway/*.pyx gateway/*.pxd)

.PHONY: help debian venv build demo demo-check test test-slow suites lint bench bench-ssh soak fuzz lock deb ansible lint-ansible lock-ansible roots acceptance clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

debian: $(STAMPS)/debian ## the Debian packages that are missing (root or sudo)

$(STAMPS)/debian: .ci/debian-packages
	@mkdir -p $(STAMPS)
	.ci/debian-packages
	@touch $@

venv: $(STAMPS)/venv ## the virtual environment, from the hash-locked requirements

$(STAMPS)/venv: requirements-dev.txt pyproject.toml setup.py | $(STAMPS)/debian
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements-dev.txt
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

build: $(STAMPS)/build ## the modules that gain from it, compiled in place with Cython

$(STAMPS)/build: $(COMPILED) $(wildcard $(COMPILED:.py=.pxd)) $(IN_C) setup.py $(STAMPS)/venv
	find gateway -name "*.so" -delete  # a module that is compiled no more would be shadowed by what it was
	OSTIARY_COMPILE=1 $(BIN)/python setup.py --quiet build_ext --inplace --parallel $(shell nproc)
	@touch $@

demo: build ## a gateway in the foreground, with everything around it and commands to try
	@$(BIN)/python demo/demo.py

demo-check: build ## does what the demo prints, and asserts each outcome
	@$(BIN)/python demo/demo.py --check

test: build ## all tests but the slow ones
	$(BIN)/python -m pytest -n 3 --dist loadfile --durations 40 --durations-min 2 -m "not slow and not appliance"

test-slow: build ## the slow ones
	$(BIN)/python -m pytest -m "slow and not appliance" --override-ini faulthandler_timeout=1800

suites: build ## the suites of asyncpg, pg8000 and psycopg2, directly and through the gateway
	$(BIN)/python tests/suites/run.py

lint: venv ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: build ## direct, pgbouncer and Ostiary side by side; ARGS=--quick only prints; ARGS=--quick for a minute of it
	$(BIN)/python -m bench.run $(ARGS)

bench-ssh: build ## SSH: direct, a jump host and Ostiary side by side; prints; ARGS=--write for bench/RESULTS.md
	$(BIN)/python -m bench.ssh $(ARGS)

soak: build ## ten minutes of steady load, then memory and evidence are looked at
	$(BIN)/python -m bench.run --soak $(ARGS)

fuzz: build ## each fuzz target for FUZZ_SECONDS
	@mkdir -p .fuzz
	set -e; for target in tests/fuzz/fuzz_*.py; do \
	    name=$$(basename $$target .py); mkdir -p .fuzz/$$name; \
	    $(BIN)/python $$target -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=.fuzz/$$name- .fuzz/$$name; \
	done

# Names neither this machine's paths nor a registry's host. Commit what changes.
PIP_COMPILE = $(BIN)/pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe --no-header \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

lock: venv ## requirements*.txt again, from pyproject.toml; ARGS=--upgrade for newer releases
	$(PIP_COMPILE) $(ARGS) --output-file requirements.txt pyproject.toml
	$(PIP_COMPILE) $(ARGS) --extra dev --constraint requirements.txt --output-file requirements-dev.txt pyproject.toml

deb: debian ## dist/ostiary_VERSION_ARCHITECTURE.deb, for the Debian release that this is
	/usr/bin/python3 packaging/build.py

ANSIBLE := .cache/ansible/bin

ansible: $(STAMPS)/ansible ## ansible-core and ansible-lint, hash-locked, in an environment of their own

$(STAMPS)/ansible: ansible/requirements.txt | $(STAMPS)/debian
	test -x $(ANSIBLE)/python || $(PYTHON) -m venv .cache/ansible
	$(ANSIBLE)/python -m pip install --quiet --no-deps --require-hashes -r ansible/requirements.txt
	@touch $@

lint-ansible: ansible ## ansible-lint, production profile
	cd ansible && PATH=$(CURDIR)/$(ANSIBLE):$$PATH ansible-lint

lock-ansible: venv ## ansible/requirements.txt again; ARGS=--upgrade for newer releases
	$(PIP_COMPILE) $(ARGS) --output-file ansible/requirements.txt ansible/requirements.in

roots: venv
	@PYTHONPATH=tests $(BIN)/python -m appliance.host

acceptance: venv ## package, booted hosts, role, callers, SIEM, failures (root); under ten minutes
	@# the one computes while the other waits for the network; the package is compiled, this checkout needn't be
	+$(MAKE) --jobs 2 --output-sync deb ansible roots
	OSTIARY_BEGAN=$(BEGAN) $(BIN)/python -m pytest -s -v -m appliance --override-ini faulthandler_timeout=600 tests/appliance

clean: ## everything that was made here; Debian packages stay
	rm -rf .venv .stamps build dist .fuzz .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
	find gateway tests bench demo -name __pycache__ -prune -exec rm -rf {} +
	find gateway -name '*.so' -delete
