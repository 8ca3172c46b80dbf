# `make demo` to try it, `make test` to trust it. Nothing needs to be there but Python 3.12 or newer.

PYTHON ?= python3
IN_VENV := .venv/bin/python
SHELL := /bin/sh
.DEFAULT_GOAL := help
# Where it is set, each of the many processes that are started would compile the code anew.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help demo test soak check screenshots messages bench lock clean

help: ## Show these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

demo: ## Start the whole service on 127.0.0.1 (PORT, STRIPE_PORT, DEMO_PASSWORD, DATABASE_URL); Ctrl-C ends it
	@$(PYTHON) deploy/install.py
	@exec $(IN_VENV) -m deploy.demo

test: ## Install what is missing, check the code, run every test (ARGS="-k quota" for some)
	@$(PYTHON) deploy/install.py --dev
	@$(IN_VENV) -m deploy.packages
	@$(IN_VENV) -m tests.template & making=$$!; $(IN_VENV) -m deploy.check || { kill $$making; exit 1; }; wait $$making
	@$(IN_VENV) -m pytest -n 2 $(ARGS)

soak: ## Search longer for deliveries that leave our rows wrong (SOAK_EXAMPLES, 500 if not given)
	@$(PYTHON) deploy/install.py --dev
	@$(IN_VENV) -m deploy.packages
	@SOAK_EXAMPLES=$${SOAK_EXAMPLES:-500} $(IN_VENV) -m pytest -s tests/billing/stripe/soak.py $(ARGS)

check: ## Lint, types, import rules, migrations, translations, production settings, API description, compose file
	@$(PYTHON) deploy/install.py --dev
	@$(IN_VENV) -m deploy.packages
	@$(IN_VENV) -m deploy.check

screenshots: ## Write pictures of every page to .data/screenshots: narrow and wide, light and dark
	@$(PYTHON) deploy/install.py --dev
	@$(IN_VENV) -m deploy.packages
	@$(IN_VENV) -m pytest -q -s tests/browser/pictures.py $(ARGS)

messages: ## Bring the catalogues of translations up to date with the sources, and compile them
	@$(PYTHON) deploy/install.py --dev
	@$(IN_VENV) -m deploy.packages
	@$(IN_VENV) -m deploy.translations --update

bench: ## Measure, print the table and write .data/bench.json
	@$(PYTHON) deploy/install.py --dev
	@$(IN_VENV) -m deploy.packages
	@$(IN_VENV) -m tests.bench $(ARGS)

# The machine's own mirrors and folders of wheels must leave no mark in the pins.
COMPILE = PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS= PIP_EXTRA_INDEX_URL= CUSTOM_COMPILE_COMMAND="make lock" \
	$(IN_VENV) -m piptools compile --quiet --cache-dir=.data/cache/pip-tools --generate-hashes \
	--strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

lock: ## Pin the packages that pyproject.toml names (ARGS=--upgrade for newer ones)
	@$(PYTHON) deploy/install.py --dev
	@$(COMPILE) $(ARGS) --output-file=requirements.txt pyproject.toml
	@$(COMPILE) $(ARGS) --extra=dev --constraint=requirements.txt --output-file=requirements-dev.txt pyproject.toml

clean: ## Remove .venv and every cache; the demo's data in .data stays
	@rm -rf .venv .data/cache .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
