# Two commands on a fresh machine: `make quickstart` and `make test`. They need Python ≥ 3.11, make and a package index.
PYTHON ?= python3
# Another build of PyTorch: make TORCH_INDEX=<address from pytorch.org/get-started>
TORCH_INDEX ?=
OUT ?= out/quickstart
WORKERS ?= 2

BIN := .venv/bin
READY := .venv/ready

.PHONY: quickstart test faults check format benchmarks clean help
help:
	@echo "make quickstart   the whole house in a few minutes, offline; the report lands in $(OUT)"
	@echo "make test         unit tests and oracles"
	@echo "make faults       real processes, real kills"
	@echo "make check        formatter, linter, types, floors, dead code"
	@echo "make format       repair what the formatter and the linter can"

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("gpt2lab needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(if $(TORCH_INDEX),$(BIN)/pip install --quiet --index-url $(TORCH_INDEX) -c constraints.txt --no-deps torch)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch numpy
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,fast]'
	@touch $@

quickstart: $(READY)
	$(BIN)/gpt2lab quickstart --out $(OUT)
	@echo "to use gpt2lab by hand: source .venv/bin/activate"

# One thread a worker: two workers with two threads each on two cores only wait for each other.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile --ignore tests/faults $(TESTFLAGS)

faults: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) tests/faults $(TESTFLAGS)

check: $(READY)
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/pyrefly check --output-format min-text
	$(BIN)/lint-imports --no-cache
	$(BIN)/vulture

format: $(READY)
	$(BIN)/ruff format --quiet
	$(BIN)/ruff check --fix --quiet

benchmarks: $(READY)
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/tokenizers.py
	$(BIN)/python benchmarks/prepare.py
	$(BIN)/python benchmarks/train.py
	$(BIN)/python benchmarks/generate.py
	$(BIN)/python benchmarks/evaluate.py
	$(BIN)/python benchmarks/finetune.py
	$(BIN)/python benchmarks/equal_accuracy.py out/equal-accuracy --seeds 1 2 3
	$(BIN)/python benchmarks/tuning.py out/tuning
	$(BIN)/python benchmarks/studies.py

clean:
	rm -rf .venv out dist build
