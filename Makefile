# `make demo` walks the whole road, `make test` checks everything; both install what they need first, once.

PY := .venv/bin/python
LINT := $(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy \
	&& $(PY) -m bandit --quiet --configfile pyproject.toml --severity-level medium --recursive platform jobs models serve_apps
# A make variable on the command line (`make demo SCENES="a.tif 'b c.tif'"`) is split by the shell, so quotes in it work.
SCENES ?=
WORKSPACE ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow lint format bench docs deploy pins clean

help: ## Show what can be made.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

install: ## Make .venv ready; nothing happens when nothing changed.
	@scripts/install.sh

demo: install ## Walk the road from scenes to answers: SCENES="a.tif b.tif" takes your own, WORKSPACE=… puts it elsewhere.
	@$(PY) -m jobs.demo $(if $(WORKSPACE),--workspace "$(WORKSPACE)") $(if $(SCENES),--scenes $(SCENES))

test: install ## Lint, check types and run the tests.
	@status=0; { $(LINT); } || status=1; $(PY) -m pytest -n 2 --dist loadgroup || status=1; exit $$status

test-slow: install ## Run the tests that take minutes: the README typed in, kills in every stage, parity of worker counts.
	@$(PY) -m pytest -m slow

lint: install ## Check style, types and security.
	@$(LINT)

format: install ## Mend what can be mended by itself.
	@$(PY) -m ruff check --fix . ; $(PY) -m ruff format .

bench: install ## Run the measured comparisons; figures go to benchmarks/results.jsonl and the README.
	@status=0; for bench in $$(grep -l '^if __name__ == "__main__"' benchmarks/*.py); do \
		echo "== $$bench"; $(PY) "$$bench" || { status=1; echo "== $$bench failed"; }; \
	done; $(PY) scripts/measured.py || status=1; exit $$status

docs: install ## Build the documentation into build/docs, strictly: a link that leads nowhere fails it.
	@NO_MKDOCS_2_WARNING=1 PYTHONPATH=platform:. $(PY) -m mkdocs build --quiet && echo build/docs/index.html

deploy: install ## Write deploy/kuberay/ and deploy/on-premises.yaml anew from deploy/site.yaml.
	@$(PY) deploy/generate.py

pins: ## Resolve every dependency anew and write constraints.txt.
	@scripts/pins.sh

clean: ## Remove what was built and cached; the workspaces and .venv stay.
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
