# Two commands do everything on a fresh machine: `make demo` and `make test`.
# They need Python 3.11 or newer, make and a package index, and nothing else.

PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test test-crosstalk test-distributed test-provider check fix bench bench-sessions bench-proxy clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/all ## make the environment in .venv from uv.lock

# Two sizes of the one locked environment: what the demo runs, and everything.
.venv/demo: GROUPS := --no-default-groups --group embedded
.venv/all: GROUPS := --group dev

# With uv when there is one, else with a uv from the package index. Where that cannot
# reach its own, pip can: it knows the mirrors that a closed network is set up with.
.venv/demo .venv/all: uv.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Backoffice needs Python 3.11 or newer; name one with: make PYTHON=python3.11 …" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@command -v uv >/dev/null || test -x $(BIN)/uv || $(PIP) uv==$(UV_VERSION)
	@uv=$$(command -v uv || echo $(BIN)/uv); \
	said=$$($$uv sync --quiet --frozen --inexact $(GROUPS) 2>&1) || { \
	  echo "uv could not install the packages; trying pip instead."; \
	  { $$uv export --quiet --frozen $(GROUPS) --output-file .venv/requirements.txt \
	    && $(PIP) --require-hashes -r .venv/requirements.txt; } \
	  || { printf 'Neither uv nor pip could. uv said:\n%s\n' "$$said" >&2; exit 1; }; }
	@touch $@

RUNTIME := $(if $(wildcard .venv/all),.venv/all,.venv/demo)

demo: $(RUNTIME) ## run everything on this machine; needs nothing else (PORT=8000)
	@exec $(BIN)/python -m backoffice.demo

serve: $(RUNTIME) ## run the site alone, configured by the environment (docs/settings.md)
	@$(BIN)/python manage.py collectstatic --noinput --verbosity 0
	@exec $(BIN)/python -m gunicorn --config backoffice/server.py

test: setup ## run the tests, with real servers and a real browser
	@$(BIN)/python -m tests.browser
	@$(BIN)/python -m tests.nginx
	@$(BIN)/python -m tests.servers
	@$(BIN)/python -m tests.faketime
	@$(BIN)/python -m tests.tls_store
	@$(BIN)/python -m pytest -n 2 --dist loadfile

test-crosstalk: setup ## 200,000 responses of misbehaving upstreams at each entrance (an hour)
	@$(BIN)/python -m tests.nginx
	@$(BIN)/python -m tests.crosstalk

test-distributed: setup ## end 1,000 sessions through changes of primary (an hour)
	@$(BIN)/python -m tests.distributed

test-provider: setup tests/provider/node_modules/.package-lock.json ## the journeys with a certified OpenID provider (needs Node)
	@PROVIDER_JOURNEYS=1 $(BIN)/python -m pytest tests/provider

tests/provider/node_modules/.package-lock.json: tests/provider/package-lock.json
	@command -v npm >/dev/null || { echo "make test-provider needs Node 20 or newer, with npm." >&2; exit 1; }
	@npm ci --prefix tests/provider --ignore-scripts --no-audit --no-fund --loglevel error
	@touch $@

check: setup ## everything CI checks: format, lint, types, arrows, migrations, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/djangofmt --check templates
	$(BIN)/mypy
	$(BIN)/lint-imports
	DJANGO_SETTINGS_MODULE=tests.settings $(BIN)/python manage.py makemigrations --check --dry-run --skip-checks
	@$(MAKE) --no-print-directory test

fix: setup ## format and mend what can be mended by machine
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/djangofmt templates

bench: bench-sessions bench-proxy ## measure both; prints tables and writes benchmarks/README.md

bench-sessions: setup ## measure the session engine
	@$(BIN)/python -m benchmarks.sessions

bench-proxy: setup ## measure the doors beside their peers
	@$(BIN)/python -m benchmarks.proxy.parts
	@$(BIN)/python -m benchmarks.proxy
	@$(BIN)/python -m benchmarks.proxy.keepalive

clean: ## remove the environment and the demo's state
	rm -rf .venv .demo static
