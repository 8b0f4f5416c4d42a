# Everything runs in .venv of this checkout; `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
# Stamp files: WORKER for serving and the demo, DEV also for tests and documentation.
WORKER := .venv/.installed-worker
DEV := .venv/.installed
COMPILED := .venv/.compiled
# PyPI's torch includes CUDA. For CPUs only: https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
# loadfile: the tests of a file share the services they start.
PYTEST := $(BIN)/pytest -q --dist loadfile --no-loadscope-reorder
# Tests with real services spend two thirds of their time waiting for them: with 4 processes on two
# cores, a third of the machine was idle.
PROCESSES ?= 6
# Every process would compile our modules, and pytest the tests, anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install serve demo test chaos check static unit every docs format async lock audit sbom vendor \
	screenshots clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv

# pip, not uv or poetry: it picks torch and torchvision builds that match each other and this machine.
$(WORKER): pyproject.toml | $(BIN)/python
	@TORCH_INDEX=$(TORCH_INDEX) .ci/install worker 6100
	@touch $(WORKER)

$(DEV): pyproject.toml | $(BIN)/python
	@TORCH_INDEX=$(TORCH_INDEX) .ci/install worker,dev 7200
	@touch $(WORKER) $(DEV)

# After an installation one process compiles what tests import, beside the linters. Each process of
# the tests would spend 26 s of CPU on it.
$(COMPILED): $(DEV)
	@$(BIN)/pytest -q --collect-only tests > /dev/null || true # the tests themselves say what is wrong
	@touch $(COMPILED)

install: $(DEV) ## Create .venv and install everything, including tests and documentation

serve: $(WORKER) ## Run the service on this machine until Ctrl-C
	$(BIN)/secateur serve

demo: $(WORKER) ## Prune a trained network end to end and print the results
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python -u -m examples.demo

check: install ## Format, lint, types, import rules, fast tests
	@$(MAKE) --no-print-directory --jobs=2 unit static

static:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m tools.unasync --check
	$(BIN)/mypy app worker secateur examples docs tools tests/unit/client/consumer.py
	$(BIN)/lint-imports

unit: $(COMPILED)
	$(PYTEST) -n auto --maxprocesses 4 tests/unit

docs: install ## Build the documentation into build/site; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# Fast tests run in the pauses of the others.
test: install ## Format, lint, types, import rules, all tests; one of them builds the documentation
	@$(MAKE) --no-print-directory --jobs=2 every static

every: $(COMPILED)
	$(PYTEST) -n $(PROCESSES) tests

chaos: install ## Disturb a running service at random, N times, as root: make chaos N=100 SEED=0
	$(BIN)/python -m tests.chaos --runs $(or $(N),100) --seed $(or $(SEED),0)

format: install ## Format the sources and apply automatic fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

async: install ## Generate the asynchronous client from the synchronous one
	$(BIN)/python -m tools.unasync

# Requirements of the images for Linux on x86-64, with hashes. The CPU image installs torch from
# PyTorch's own index, so its list omits torch and the packages of its CUDA builds.
COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --generate-hashes --no-header --upgrade \
	--python-version 3.12 --python-platform x86_64-manylinux_2_28 \
	--extra tracing --constraint requirements/constraints.txt
# onnxruntime and onnxruntime-gpu own one folder: an image has one of them.
GPU := requirements/gpu.in --no-emit-package onnxruntime
CUDA := (torch|torchvision|triton|nvidia[a-z0-9-]*|cuda-[a-z-]+)

lock: install ## Pin the images' requirements by version and hash
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[release]'
	$(COMPILE) $(GPU) --extra worker -o requirements/worker-gpu.txt
	$(COMPILE) $(GPU) --extra service --constraint requirements/worker-gpu.txt -o requirements/app-gpu.txt
	$(COMPILE) --extra service --constraint requirements/worker-gpu.txt -o requirements/app.txt
	$(COMPILE) --extra worker --constraint requirements/worker-gpu.txt \
		$$(grep -Eo '^$(CUDA)\b' requirements/worker-gpu.txt | sed 's/^/--no-emit-package /') \
		-o requirements/worker.txt
	$(BIN)/pip-licenses --no-version --with-urls --format=markdown --packages \
		$$(grep -Eho '^[a-z0-9-]+' requirements/*.txt | sort -u) > docs/licences.md

# Fails if a package has a known vulnerability, or (--strict) if one could not be looked up.
audit: install ## Look up known vulnerabilities of the images' requirements (needs PyPI)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[release]'
	for image in app app-gpu worker-gpu; do \
		$(BIN)/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
			--requirement requirements/$$image.txt || exit 1; \
	done

sbom: install ## Write a bill of materials (CycloneDX) for each image into build/
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[release]'
	mkdir -p build
	for image in app app-gpu worker worker-gpu; do \
		$(BIN)/cyclonedx-py requirements requirements/$$image.txt --pyproject pyproject.toml \
			--output-file build/sbom-$$image.json; \
	done

# Third-party files of the dashboard. They are committed with their licence, so running needs no npm.
UPLOT := 1.6.32
UPLOT_SHA512 := 2883159c6ebccefbb95d751b0b82d010f9e1c0ec41b8bc96d401eda66e882935c89a46cb824332fa369b8cb8122cc6ac36e186cd09bf7a9ded3a4c93c6989023
VENDOR := app/web/static/vendor

vendor: ## Fetch the dashboard's chart library with npm and verify it
	mkdir -p build/vendor
	npm pack --silent --pack-destination build/vendor uplot@$(UPLOT) > /dev/null
	echo '$(UPLOT_SHA512)  build/vendor/uplot-$(UPLOT).tgz' | sha512sum --check --quiet
	tar -xzf build/vendor/uplot-$(UPLOT).tgz -C build/vendor
	cp build/vendor/package/dist/uPlot.iife.min.js build/vendor/package/dist/uPlot.min.css $(VENDOR)/
	cp build/vendor/package/LICENSE $(VENDOR)/uPlot.LICENSE
	cd $(VENDOR) && sha256sum uPlot.* > SHA256SUMS

screenshots: install ## Take the screenshots of docs/dashboard.md from a real job (needs Chromium)
	$(BIN)/python -m tests.screenshots

clean: ## Remove build products, caches and demo output
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .secateur demo-output
