# Every target says what it is for: `make help`.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo demo-tui demo-real docs-tui test check soak bench servers promqltest wheel clean
VENV := .venv
BIN := $(VENV)/bin
FAULT ?= promo-surge
SEED ?= 7
STAY ?= 0
EPISODES ?= 10000
comma := ,
DIR ?= $(or $(OPSCTL_TEST_DATA),../shared/data)/promqltest

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r t h; do printf '  make %-12s %s\n' "$$t" "$$h"; done

demo: $(VENV)/run.stamp ## the whole main job on an embedded platform: FAULT=name SEED=n
	@$(BIN)/opsctl demo --fault '$(FAULT)' --seed '$(SEED)'

demo-tui: $(VENV)/run.stamp ## the board on that platform, with a fault under way: FAULT=name SEED=n
	@$(BIN)/opsctl demo --tui --fault '$(FAULT)' --seed '$(SEED)'

demo-real: $(VENV)/dev.stamp ## the same on a real Prometheus, Jaeger and Elasticsearch: FAULT=name STAY=1 leaves them up
	@STAY='$(STAY)' $(BIN)/python -m tests.demo_real --fault '$(FAULT)' --seed '$(SEED)'

test: $(VENV)/dev.stamp ## every test; builds the real servers it needs once, into the user's cache
	@$(BIN)/python -m tests.servers
	@$(BIN)/python -m pytest tests

check: $(VENV)/dev.stamp ## import contracts, mypy --strict, ruff
	@$(BIN)/lint-imports
	@$(BIN)/mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

docs-tui: $(VENV)/dev.stamp ## paint the pictures of docs/tui.md anew, from the demo
	@$(BIN)/python -m tests.tui.pictures docs/tui

soak: $(VENV)/dev.stamp ## kill runs, lose requests, fill disks: no page is lost, doubled or stuck: EPISODES=n SEED=n
	@$(BIN)/python -m tests.soak --episodes '$(EPISODES)' --seed '$(SEED)'

bench: $(VENV)/bench.stamp ## ratios measured in one run, to the terminal and build/bench.json
	@$(BIN)/python -m tests.servers
	@$(BIN)/python -m benchmarks

servers: $(VENV)/dev.stamp ## build or fetch the real servers of the tests
	@$(BIN)/python -m tests.servers

promqltest: $(VENV)/dev.stamp ## run a folder of promqltest files: DIR=folder
	@$(BIN)/python -m tests.promqltest '$(DIR)'

wheel: $(VENV)/dev.stamp ## build the wheel and the sdist into dist/
	@$(BIN)/python -m build --outdir dist . >&2 && ls dist

clean: ## remove what the other targets made in this folder
	rm -rf $(VENV) build dist

# A Python that runs and is new enough; PYTHON=… names one. What installing says goes to stderr.
define make_venv
	@set -e; \
	for p in $(PYTHON) python3.14 python3.13 python3.12 python3.11 python3 python; do \
	  if "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found="$$p"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "opsctl needs Python 3.11 or newer and found none that runs (looked for python3.14 … python3, python)." >&2; \
	  echo "Get one: apt install python3 python3-venv; brew install python; uv python install 3.12; or make PYTHON=/path/to/python3" >&2; \
	  exit 2; \
	fi; \
	if ! "$$found" -c 'import venv, ensurepip' >/dev/null 2>&1; then \
	  echo "$$found has no venv module. Get it: apt install python3-venv (Debian, Ubuntu), or use another Python: make PYTHON=…" >&2; \
	  exit 2; \
	fi; \
	if ! $(BIN)/python -c '' >/dev/null 2>&1; then rm -rf $(VENV); "$$found" -m venv $(VENV) >&2; fi; \
	echo "installing $(1) into $(VENV) (once) …" >&2; \
	$(BIN)/python -m pip install --disable-pip-version-check -q -e '$(1)' >&2 || \
	  { echo "installing failed: the lines above say why; is the package index reachable?" >&2; exit 2; }; \
	touch $@
endef

$(VENV)/run.stamp: pyproject.toml
	$(call make_venv,.)

$(VENV)/dev.stamp: pyproject.toml
	$(call make_venv,.[dev])
	@touch $(VENV)/run.stamp

$(VENV)/bench.stamp: pyproject.toml
	$(call make_venv,.[dev$(comma)bench])
	@touch $(VENV)/dev.stamp $(VENV)/run.stamp
