# Every target sets itself up: the machine needs Python 3.11 or newer, make and git. The tests of the storages in Redis
# and PostgreSQL need redis-server, postgres and pgbouncer besides, which root on Debian or Ubuntu gets by itself.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint types floors unit test-faults fmt bench clean redis-server postgres

# The first Python that is new enough; `make PYTHON=/path/to/python test` chooses another.
PYTHON ?= $(shell for name in python3.11 python3 python3.12 python3.13 python3.14; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)
BIN := .venv/bin

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.ready ## Digest this repository's spec/ with a simulated provider, kill a worker, go on; costs nothing
	@$(BIN)/python examples/digest.py --prove

test: lint types floors unit ## Lint, types, floors and all tests but the slow fault tests

lint: .venv/.ready ## Lint and format, without changing anything
	@echo "== lint"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "The format differs: run \`make fmt\`."; exit 1; }

types: .venv/.ready ## mypy --strict
	@echo "== types"
	@$(BIN)/mypy

floors: .venv/.ready ## Imports go down the floors only
	@echo "== floors"
	@answer=$$($(BIN)/lint-imports --no-logo --no-cache) || { echo "$$answer"; exit 1; }

unit: .venv/.ready redis-server postgres ## All tests but the slow fault tests, on all cores
	@echo "== tests"
	@$(BIN)/python -m pytest -m "not faults" --numprocesses auto --dist worksteal

test-faults: .venv/.ready redis-server postgres ## The slow tests: kill processes, build the package, a cluster, sentinels, pgbouncer
	@echo "== fault tests"
	@$(BIN)/python -m pytest -m faults
	@echo "== the suite on a Redis cluster, behind sentinels and through pgbouncer"
	@$(BIN)/python -m pytest tests/conformance --numprocesses auto --dist worksteal -k "not test_model_" \
		--aiq-backend=tests.stores:redis_cluster --aiq-backend=tests.stores:redis_sentinel \
		--aiq-backend=tests.stores:postgres_pooled

fmt: .venv/.ready ## Format and mend what can be mended
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format .

bench: .venv/.ready ## Measure throughput and latency on a SQLite file of its own
	@$(BIN)/python -m benchmarks.throughput --store sqlite
	@$(BIN)/python -m benchmarks.latency --store sqlite

clean: ## Remove caches and build output; .venv stays
	@rm -rf build dist aiq.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

# Nothing is skipped for the want of a server. RUNLEVEL=1: the package must not start one of its own at port 6379.
redis-server:
	@command -v "$${AIQ_REDIS_SERVER:-redis-server}" >/dev/null || { \
		[ -z "$$AIQ_REDIS_SERVER" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		echo "Installing redis-server" && apt-get update -qq && \
		RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq redis-server >/dev/null; } || { \
		echo "The tests start Redis servers of their own, and there is no redis-server on the PATH: as root, run" \
		"\`apt-get install redis-server\` (7.0 or newer), or name one with AIQ_REDIS_SERVER=/path/to/redis-server."; \
		exit 1; }
	@told=$$("$${AIQ_REDIS_SERVER:-redis-server}" --version) && case "$$told" in *v=[1-6].*) \
		echo "$$told is too old for the tests: 7.0 or newer is needed. Install one, or name it with" \
		"AIQ_REDIS_SERVER=/path/to/redis-server."; exit 1;; esac

# As above: RUNLEVEL=1, so that neither package starts what it installs. Debian puts no server on the PATH; which of
# several is taken, and whether it is new enough, is said where the tests start it.
postgres:
	@{ [ -n "$$AIQ_POSTGRES_BIN" ] || command -v postgres || ls /usr/lib/postgresql/*/bin/postgres; } >/dev/null 2>&1 && \
		PATH="$$PATH:/usr/sbin" command -v pgbouncer >/dev/null || { \
		[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		echo "Installing postgresql and pgbouncer" && apt-get update -qq && \
		RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql pgbouncer >/dev/null; } || { \
		echo "The tests start PostgreSQL servers and poolers of their own, and there is no postgres, or no pgbouncer: as" \
		"root, run \`apt-get install postgresql pgbouncer\` (PostgreSQL 13 or newer), or name the folder of a server's" \
		"programs with AIQ_POSTGRES_BIN=/path/to/bin, and put pgbouncer on the PATH."; \
		exit 1; }

.venv/.ready: pyproject.toml setup.py requirements/dev.txt
	@echo "== setting up .venv"
	@$(MAKE) --no-print-directory --silent .venv/bin/pip
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Debian splits venv off from Python. Root may install what is missing; anybody else is told what to ask for.
.venv/bin/pip:
	@[ -n "$(PYTHON)" ] || { echo "aiq needs Python 3.11 or newer, and there is none on the PATH." \
		"Install one, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "aiq needs Python 3.11 or newer; PYTHON=$(PYTHON) is not."; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip' 2>/dev/null || { \
		package=$$("$(PYTHON)" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); \
		[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "Installing $$package" && \
		apt-get update -qq && apt-get install -y -qq "$$package" >/dev/null; } || { \
		echo "$(PYTHON) cannot make virtual environments: as root, run \`apt-get install python3-venv\`."; exit 1; }
	@"$(PYTHON)" -m venv .venv
