# make demo       train on E. coli for two minutes, score, sample, compare: everything lands in demo/
# make test       lint and the default tests
# make lint       ruff alone
# make gpu-check  the tests that need an accelerator
# make benchmarks the quick benchmarks, and docs/benchmarks.md from them, within a quarter of an hour
#
# Each makes .venv with pinned versions when it is missing or the pins have changed; otherwise nothing is installed.

PYTHON := .venv/bin/python
PIP := $(PYTHON) -m pip install -qq --disable-pip-version-check --constraint constraints.txt
STAMP := .venv/.installed
ECOLI := data/ecoli_k12_mg1655.fa.gz

.PHONY: demo test lint gpu-check benchmarks

demo: $(STAMP)
	rm -rf demo
	$(PYTHON) -m dnadiff train experiment=demo -o demo/run
	$(PYTHON) -m dnadiff evaluate demo/run
	$(PYTHON) -m dnadiff sample demo/run -n 100 --tokens-per-step 4 --seed 7 -o demo/synthetic.fa
	$(PYTHON) -m dnadiff compare $(ECOLI) demo/synthetic.fa --run demo/run --seed 7 --picture demo/picture.png

test: lint
	$(PYTHON) -m pytest -n auto

lint: $(STAMP)
	$(PYTHON) -m ruff check .

gpu-check: $(STAMP)
	$(PYTHON) -m pytest -m gpu

benchmarks: $(STAMP)
	$(PYTHON) -m benchmarks.all

$(STAMP): pyproject.toml constraints.txt
	@echo "installing the pinned versions into .venv (once)" >&2
	@test -x $(PYTHON) || { \
		for python in python3.11 python3 python3.12 python3.13; do \
			$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && exec $$python -m venv .venv; \
		done; \
		echo "make: Python 3.11 or newer is needed; none of python3.11, python3, python3.12, python3.13 is" >&2; \
		exit 2; \
	}
	$(PIP) torch==2.13.0
	$(PIP) --editable '.[dev]'
	@touch $@
