# Everything runs in .venv of this checkout; `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# A process a core, whole files: the tests of one file share what they start.
PYTEST := $(BIN)/pytest -q -n auto --maxprocesses 4 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help install serve demo test chaos check format lock sbom clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

# pip, not uv or poetry: it takes the torch and torchvision that match each other and this machine.
$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[worker,dev]'
	touch $(STAMP)

install: $(STAMP) ## Make .venv and install everything into it

serve: install ## Start the service on this machine, until Ctrl-C
	$(BIN)/secateur serve

demo: install ## Prune a real network through the real service and print the table
	$(BIN)/python -m examples.demo

check: install ## Format, lint, types, import rules, fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy app worker examples
	$(BIN)/lint-imports
	$(PYTEST) tests/unit

test: check ## Everything: `make check`, then properties and the tests that start real parts
	$(PYTEST) tests --ignore tests/unit

chaos: install ## Kill parts of a running service N times at random moments: make chaos N=100 SEED=0
	$(BIN)/python -m tests.chaos --runs $(or $(N),100) --seed $(or $(SEED),0)

format: install ## Rewrite the sources in house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What the images install, for Linux on x86-64, each file with its hash. The CPU image takes torch from
# PyTorch's own index, so its list leaves torch and what only torch's CUDA builds need out.
COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --generate-hashes --no-header --upgrade \
	--python-version 3.12 --python-platform x86_64-manylinux_2_28
CUDA := (torch|torchvision|triton|nvidia[a-z0-9-]*|cuda-[a-z-]+)

lock: install ## Pin what the images install, by version and hash
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[release]'
	$(COMPILE) -o requirements/app.txt
	$(COMPILE) --extra worker --constraint requirements/constraints.txt -o requirements/worker-gpu.txt
	$(COMPILE) --extra worker --constraint requirements/worker-gpu.txt \
		$$(grep -Eo '^$(CUDA)\b' requirements/worker-gpu.txt | sed 's/^/--no-emit-package /') \
		-o requirements/worker.txt
	$(BIN)/pip-licenses --no-version --with-urls --format=markdown --packages \
		$$(grep -Eho '^[a-z0-9-]+' requirements/*.txt | sort -u) > docs/licences.md

sbom: install ## Write a bill of materials (CycloneDX) for each image into build/
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[release]'
	mkdir -p build
	for image in app worker worker-gpu; do \
		$(BIN)/cyclonedx-py requirements requirements/$$image.txt --pyproject pyproject.toml \
			--output-file build/sbom-$$image.json; \
	done

clean: ## Remove what building and running left behind
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .secateur demo-output
