# One verb a task. Needs Python 3.11 or newer and make; everything else goes into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEPLOY_VENV ?= .venv-deploy
DEPLOY_BIN := $(DEPLOY_VENV)/bin
DATUMARO_VENV ?= .venv-datumaro
EXPORT_ENVIRONMENTS ?= $(CURDIR)/.venv-exports
FORMATS ?= openvino coreml litert paddle_inference paddle_lite
# Only for Paddle Lite's optimiser, whose last wheels are for this Python (docs/exports.md).
PYTHON37 ?= python3.7
DATA ?=
REPORT ?= demo-report
STAGE ?= dev
# Processes that run tests side by side.
WORKERS ?= 2

.PHONY: help demo test test-exports export-environments lint types unit local bench bench-train bench-build datumaro docs events lock deploy clean

help:
	@echo "make demo     the whole loop on real images, on this machine; writes $(REPORT)/index.html"
	@echo "make demo DATA=folder   the same with your own COCO folder"
	@echo "make test     everything that proves the project"
	@echo "make local    start the application on http://127.0.0.1:8000 (stop: make local-down)"
	@echo "make bench    the budgets, each against its rival in the same run"
	@echo "make bench-build  a million annotations become a dataset version, beside datumaro"
	@echo "make bench-train  what training, selection and compression reach on this CPU"
	@echo "make lint     ruff, mypy, import rules"
	@echo "make export-environments FORMATS=coreml   install heavy converters, one environment each (docs/exports.md)"
	@echo "make test-exports   prove every export format; prints the table of docs/exports.md"
	@echo "make docs     regenerate what is generated: OpenAPI, event schemas"
	@echo "make deploy   deploy to AWS with sam, from an environment of its own (docs/deploy.md)"

# torch goes first and alone: asked for by name and version, so that a machine with a CPU build of its own takes that.
$(READY): pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip==26.3"
	$(BIN)/python -m pip install --quiet --constraint requirements.lock torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable ".[cli,local,train,export,analytics,demo,dev]"
	@touch $(READY)

demo: $(READY)
	$(BIN)/python -m dataloop_demo --report "$(REPORT)" $(if $(DATA),--data "$(DATA)")

test: lint unit

# One process for each of WORKERS; the tests of a file stay together. Each process deploys a stack of its own.
unit: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

# One environment a format: the converters' pins contradict each other's and ours. torch first, as above.
export-environments: $(FORMATS:%=$(EXPORT_ENVIRONMENTS)/%/.ready)

$(EXPORT_ENVIRONMENTS)/%/.ready: jobs/exports/%.txt jobs/requirements.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --upgrade "pip==26.3"
	$(@D)/bin/python -m pip install --quiet torch==2.13.0
	$(@D)/bin/python -m pip install --quiet --requirement $<
	@touch $@

$(EXPORT_ENVIRONMENTS)/paddle_lite/.ready: $(EXPORT_ENVIRONMENTS)/paddle_lite/paddle_lite_opt/.ready
$(EXPORT_ENVIRONMENTS)/paddle_lite/paddle_lite_opt/.ready: jobs/exports/paddle_lite_opt.txt
	@$(PYTHON37) --version >/dev/null 2>&1 || { echo "paddle_lite needs Python 3.7 (PYTHON37=path); FORMATS='openvino …' leaves it out"; exit 1; }
	$(PYTHON37) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --requirement $<
	@touch $@

test-exports: $(READY) export-environments
	DATALOOP_EXPORT_ENVIRONMENTS=$(EXPORT_ENVIRONMENTS) $(BIN)/python -m pytest -s -m exports tests/exports

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

local: $(READY)
	$(BIN)/dataloop local up --detach

local-down: $(READY)
	$(BIN)/dataloop local down

bench: $(READY)
	$(BIN)/python -m benchmarks

bench-train: $(READY)
	$(BIN)/python -m benchmarks.training

bench-build: $(READY) datumaro
	$(BIN)/python -m benchmarks.building

# What builds and formats are compared with; its pins are not ours.
datumaro: $(DATUMARO_VENV)/.ready

$(DATUMARO_VENV)/.ready:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet datumaro==1.13.12
	@touch $@

docs events: $(READY)
	$(BIN)/python -m docs.generate
	$(BIN)/python -m docs.generate_customvision
	$(BIN)/python -m docs.generate_modelarts
	$(BIN)/python -m events.generate

# The versions everybody gets: what a fresh environment resolved to, without the project itself and torch's local tag.
lock: $(READY)
	$(BIN)/python -m pip freeze --exclude-editable --exclude pip | sed 's/+cpu$$//' > requirements.lock

deploy:
	$(PYTHON) -m venv $(DEPLOY_VENV)
	$(DEPLOY_BIN)/python -m pip install --quiet ".[deploy]"
	$(DEPLOY_BIN)/python -m deploy --stage $(STAGE) $(if $(REGION),--region $(REGION)) $(ARGS)

clean:
	rm -rf $(VENV) $(DEPLOY_VENV) $(DATUMARO_VENV) $(EXPORT_ENVIRONMENTS) .aws-sam build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
