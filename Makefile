# One-command entry points. Each makes the environment first where it is missing or out of date.
# Nothing exported here is load-bearing: in the activated .venv plain `dvc repro` does the same.
.DEFAULT_GOAL := help
.PHONY: help setup repro paper test test-services lint ui real remote push pull tunnel server droplet storage storage-stop clean-venv
.DELETE_ON_ERROR:
SHELL := /bin/bash

# PIPELINE=tdlas restricts `repro`, `real`, `push` and `pull` to one pipeline; `paper`, which stands on all
# pipelines, can be reproduced, pushed and pulled.
PIPELINE ?=
PIPELINES := $(filter-out paper,$(sort $(shell sed -n 's/^  \([a-z]*\)-[a-z-]*:$$/\1/p' dvc.yaml)))
ifneq ($(filter-out $(PIPELINES) paper,$(PIPELINE)),)
$(error dvc.yaml has no stages named '$(PIPELINE)-…'; PIPELINE is one of: $(PIPELINES) paper)
endif
# Stages are named <pipeline>-<verb>; the last of the paper is called `paper`.
STAGES := $(shell sed -n '/^  $(firstword $(PIPELINE) none)[a-z-]*:$$/s/[ :]//gp' dvc.yaml)
GLOB := $(if $(filter paper,$(PIPELINE)),paper*,$(PIPELINE)-*)
PORT ?= 5000
# What a user types after these is never part of a recipe: the shell reads it from the environment.
# Where `remote` keeps artifacts (default: a folder beside this one), and the machine of `tunnel` and
# `droplet`, as ssh knows it: root@203.0.113.7 or a name of ~/.ssh/config.
URL ?=
HOST ?=
# Further options of `earthsignals tunnel`, as --background.
TUNNEL ?=
# Folder of the real data of all pipelines; default: the setting real_data.
DATA ?=

VENV := $(CURDIR)/.venv
# The environment is known by what was asked of it and by where it lies (a venv cannot be moved).
KEY := $(shell { cat requirements.lock pyproject.toml; pwd; } | git hash-object --stdin)
STAMP := .venv/.installed-$(KEY)
# Python 3.11 is what requirements.lock was resolved for; the search runs only when needed.
PYTHON ?= $(shell for python in python3.11 python3 python; do \
    $$python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null \
    && { echo $$python; break; }; done)

export VIRTUAL_ENV := $(VENV)
export PATH := $(VENV)/bin:$(PATH)
unexport PYTHONPATH PYTHONHOME
# No usage statistics leave this machine.
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

setup: $(STAMP) ## make .venv from requirements.lock; does nothing when it is up to date

$(STAMP):
	@test -n "$(PYTHON)" || { echo "Python 3.11 was not found; install it, or name it:" \
	    "make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@# An environment that was moved with its folder, or whose Python is gone, is made anew.
	@test "$$(.venv/bin/python -c 'import sys; print(sys.prefix)' 2>/dev/null)" = "$(VENV)" \
	    && .venv/bin/python -m pip --version >/dev/null 2>&1 \
	    || $(PYTHON) -m venv --clear .venv
	@# Mirrors of an index do not always agree at once, and networks fail: ask again before giving up.
	@for wait in 10 30 0; do \
	    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock && break; \
	    [ $$wait != 0 ] || exit 1; \
	    echo "the installation failed; trying again in $$wait s" >&2; sleep $$wait; done
	@# The lock pins the build backend too, so nothing else is fetched to build our own package.
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	    --no-build-isolation -e .
	@rm -f .venv/.installed-*
	@touch $@

repro: setup ## reproduce all pipelines, or PIPELINE=tdlas, then show the headline figures
	dvc repro $(if $(PIPELINE),--glob '$(GLOB)')
	@earthsignals $(if $(filter paper,$(PIPELINE)),claims,summary $(PIPELINE))

paper: ## every figure, number, claim, the PDF and the pages of all pipelines; fails where a claim got worse
	@$(MAKE) --no-print-directory repro PIPELINE=paper
	@earthsignals claims --check >/dev/null
	@echo "look at reports/paper/paper.pdf and reports/index.html; figures with data and lineage: data/paper/figures"

test: setup ## run all tests
	@# A file stays in one process, and each process computes on one thread: files run side by side.
	OMP_NUM_THREADS=1 python -m pytest -q -n logical --maxprocesses 4 --dist loadfile --ignore tests/services

test-services: setup ## install and run real servers (PostgreSQL, sshd, S3, SLURM, Chromium) and test with them
	@for name in sshd s3 postgres slurm chromium; do \
	    services/$$name.sh check 2>/dev/null || services/$$name.sh install || exit 1; done
	REQUIRE_SERVICES=1 python -m pytest -q tests/services

lint: setup ## check style and import rules
	ruff check .
	lint-imports

ui: setup ## browse runs, pulled ones too, at http://127.0.0.1:5000 (PORT=…)
	@case "$$MLFLOW_TRACKING_URI" in http*) echo "a server keeps the runs (MLFLOW_TRACKING_URI): open it"; exit 1;; esac
	@earthsignals runs import
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
	MLFLOW_BACKEND_STORE_URI="$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}" \
	    mlflow ui --host 127.0.0.1 --port $(PORT) --workers 1

real: setup ## evaluate on real data outside the repository (PIPELINE=…, DATA=folder)
	@data="$$DATA"; : "$${data:=$$(python -c \
	    'from earthsignals.settings import load_settings; print(load_settings().real_data)')}"; \
	for pipeline in $(or $(PIPELINE),$(PIPELINES)); do \
	    earthsignals $$pipeline evaluate-real "$$data/$$pipeline" || exit 1; done

remote: setup ## say where artifacts are kept (URL=folder, ssh://…, s3://…)
	@earthsignals remote add $${URL:+"$$URL"}

push: setup ## send artifacts and run records to the remote
	@earthsignals remote check
	dvc push --run-cache $(STAGES)
	@# What is in no local cache cannot be pushed, and dvc calls that success.
	@earthsignals remote verify --sizes $(if $(PIPELINE),--pipeline $(PIPELINE)) \
	    || echo "Not all that dvc.lock names is at the remote, see above; PIPELINE=… asks for one pipeline alone."

pull: setup ## fetch artifacts and run records, show pulled runs in MLflow
	@earthsignals remote check
	@# What nobody pushed yet is named, and does not keep the rest from coming.
	dvc pull --run-cache --allow-missing $(STAGES)
	@earthsignals runs import
	@dvc status -q $(STAGES) || echo "Some outputs are not here yet, or differ: \`dvc status\` names them," \
	    "\`earthsignals remote verify\` says whether the remote has them."

tunnel: setup ## one ssh connection with host-key checking for the remote and for MLflow (HOST=…)
	@earthsignals tunnel $${HOST:+"$$HOST"} $(TUNNEL)

server: setup ## an MLflow server for a team, with PostgreSQL and S3 (docs/experiments.md)
	earthsignals server

droplet: setup ## what a rented GPU costs; with HOST=… make it ready (docs/droplet.md)
	@if [ -n "$$HOST" ]; then earthsignals droplet setup "$$HOST"; else earthsignals droplet cost; fi

storage: setup ## a local S3 store for radar records on this machine's loopback (docs/superdarn-storage.md)
	@deploy/storage.sh start .storage

storage-stop: ## end it; its objects stay
	@deploy/storage.sh stop .storage

clean-venv: ## remove the environment
	rm -rf .venv
