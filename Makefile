# Two commands do all set-up:   make demo   (the main job)     make test   (the tests)
# Everything lives in .venv; PYTHON chooses the interpreter that makes it.
PYTHON ?= python3
VENV   := .venv
VENV_SAGEMAKER := .venv-sagemaker
VENV_KERAS := .venv-keras
VENV_SPARK := .venv-spark
BIN    := $(VENV)/bin
# `make UV=uv` installs by uv, in a quarter of the time; pip is what every Python has.
UV     ?=
packages = $(if $(UV),$(UV) pip install -q --python $(1)/bin/python,$(1)/bin/python -m pip install -q --no-compile)
# One more than CI has cores: tests wait for servers and daemons about as often as they compute.
WORKERS ?= 3
# Of requests, and as many of files.
FUZZ_SECONDS ?= 60
# A file at a time, in the order of tests/conftest.py: what a file's fixtures made is made once.
# A worker that dies is told with its test and not replaced: xdist 3.8 gives a new one no files, and waits for it or fails.
SPREAD := -n $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart=0
# NIGHTLY=1 adds what is marked nightly: further cases of kinds of which CI runs one.
NIGHTLY ?=
SLOW := --slow $(if $(NIGHTLY),--nightly)
# Packages are installed without bytecode, so that only what is imported is ever compiled: once, not by every process.
# Containers often forbid Python to keep it: what every command imports is compiled as it is installed.
export PYTHONDONTWRITEBYTECODE :=
COMPILED := botocore dateutil httpcore httpx jmespath msgspec numpy platformdirs pulumi pydantic ruamel typer urllib3
compile = packages=$$($(1)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))") && \
	$(1)/bin/python -m compileall -q -x /tests/ cli stacks infra modelpack ecomdeploy.py $(addprefix "$$packages"/,$(COMPILED))

.PHONY: help demo test nightly test-fast test-sagemaker test-keras test-spark test-gpu test-reality chaos fuzz check lint types arrows imports format install lock audit clean bench facts

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 17

# torch with CUDA comes from the plain package index. TORCH_INDEX names an index that has CPU builds of it:
#   make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Only torch itself comes from there; what is installed already satisfies what is asked for after it.
TORCH_INDEX ?=
TORCH := $(shell sed -n 's/^train = .*"\(torch==[0-9.]*\)".*/\1/p' pyproject.toml)
SIZE := $(if $(TORCH_INDEX),2.0 GB with torch for CPU from $(TORCH_INDEX),5.8 GB with torch for CUDA; TORCH_INDEX=... takes a CPU build: README.md)

$(VENV)/.installed: pyproject.toml locks/dev.txt locks/torch.txt
	@echo "Setting up $(VENV), the first time or anew: $(SIZE)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
ifneq ($(TORCH_INDEX),)
	@$(call packages,$(VENV)) --no-deps --index-url $(TORCH_INDEX) $(TORCH)
else
	@$(call packages,$(VENV)) --no-deps --require-hashes -r locks/torch.txt
endif
	@$(call packages,$(VENV)) --no-deps --require-hashes -r locks/dev.txt
	@$(call packages,$(VENV)) --no-deps --no-build-isolation -e .
	@$(call compile,$(VENV))
	@touch $@

install: $(VENV)/.installed ## make .venv and install everything

demo: $(VENV)/.installed ## the main job: train, pack, ship, break, roll back on the local cloud
	@$(BIN)/python examples/demo.py

test: $(VENV)/.installed ## the test suite, in parallel, and its 30 slowest tests; not what the targets below run
	@$(BIN)/python -m pytest $(SPREAD) $(SLOW) -m 'not reality and not kubernetes' --durations=30

nightly: ## all tests, with the further cases of each kind that CI leaves out: some two hours on two cores
	@$(MAKE) -k test test-sagemaker test-kubernetes test-keda test-reality test-keras test-spark fuzz NIGHTLY=1

test-fast: $(VENV)/.installed ## without the tests marked slow
	@$(BIN)/python -m pytest $(SPREAD) -m 'not kubernetes'

# The SDK's pins are not ours, so it lives apart; only one file of tests needs it.
SAGEMAKER := 'sagemaker-core>=2.9,<3' 'hypothesis>=6.120' 'pytest>=8.3' 'pytest-timeout>=2.3'
$(VENV_SAGEMAKER)/.installed: locks/sagemaker.txt
	@echo "Setting up $(VENV_SAGEMAKER): the SageMaker SDK's client is 49 packages, about 0.3 GB"
	@test -x $(VENV_SAGEMAKER)/bin/python || $(PYTHON) -m venv $(VENV_SAGEMAKER)
	@$(call packages,$(VENV_SAGEMAKER)) --no-deps --require-hashes -r locks/sagemaker.txt
	@touch $@

test-sagemaker: $(VENV)/.installed $(VENV_SAGEMAKER)/.installed ## the real SageMaker SDK as a client of the local cloud
	@ECOMDEPLOY_TEST_PYTHON=$(abspath $(BIN)/python) $(VENV_SAGEMAKER)/bin/python -m pytest --slow tests/conformance/test_sagemaker_sdk.py

# TensorFlow is 0.7 GB that nothing else needs: it lies on top of the main environment, not in it; locks/keras.txt holds
# what that lacks. Of hostile files those are tried again that are read otherwise where TensorFlow or transformers is.
$(VENV_KERAS)/.installed: $(VENV)/.installed locks/keras.txt
	@echo "Setting up $(VENV_KERAS): TensorFlow and transformers are about 0.7 GB of packages"
	@test -x $(VENV_KERAS)/bin/python || $(PYTHON) -m venv $(VENV_KERAS)
	@$(BIN)/python -c "import site; print(f'import site; site.addsitedir({site.getsitepackages()[0]!r})')" \
		> "$$($(VENV_KERAS)/bin/python -c 'import site; print(site.getsitepackages()[0])')/main.pth"
	@$(call packages,$(VENV_KERAS)) --no-deps --require-hashes -r locks/keras.txt
	@touch $@

test-keras: $(VENV_KERAS)/.installed ## models trained by real TensorFlow and transformers, brought in by ONNX
	@ECOMDEPLOY_FUZZ_SECONDS=$(FUZZ_SECONDS) $(VENV_KERAS)/bin/python -m pytest $(SLOW) tests/modelpack/sources/test_keras.py \
		tests/modelpack/sources/test_hostile.py tests/modelpack/sources/test_benign.py tests/fuzz/test_fuzz_readers.py \
		tests/modelpack/sources/test_huggingface.py tests/modelpack/language/test_transformers.py \
		tests/scenarios/test_own_keras.py tests/scenarios/test_own_models.py tests/modelpack/gate/test_served_as_asked.py \
		-k 'keras or hdf5 or savedmodel or huggingface or transformers or own_models or catboost or scikit_learn or sklearn'

# Spark lies on top of the main environment, which builds it: of its makers there is no wheel.
$(VENV_SPARK)/.installed: $(VENV)/.installed locks/spark.txt
	@echo "Setting up $(VENV_SPARK): Spark is about 0.5 GB"
	@test -x $(VENV_SPARK)/bin/python || $(PYTHON) -m venv --without-pip $(VENV_SPARK)
	@$(BIN)/python -c "import site; print(f'import site; site.addsitedir({site.getsitepackages()[0]!r})')" \
		> "$$($(VENV_SPARK)/bin/python -c 'import site; print(site.getsitepackages()[0])')/main.pth"
	@$(BIN)/python -m pip --python $(VENV_SPARK)/bin/python install -q --no-compile --no-deps --no-build-isolation \
		--require-hashes -r locks/spark.txt
	@touch $@

test-spark: $(VENV)/.installed ## how data is prepared, on a real Spark in this machine's Java; skipped where there is none
	@if command -v java >/dev/null; then $(MAKE) -s $(VENV_SPARK)/.installed && \
		$(VENV_SPARK)/bin/python -m pytest $(SLOW) tests/conformance/test_spark_engine.py; \
	else echo "skipped: there is no Java here"; fi

test-gpu: $(VENV)/.installed ## a GPU pack without a GPU: fetches 1.6 GB; see docs/gpu.md
	@ECOMDEPLOY_TEST_GPU=1 $(BIN)/python -m pytest --slow tests/scenarios/test_gpu.py

# Built by whoever comes first, into the user's cache: 5 to 10 minutes of CPU, once for each set of pins.
# KILLS=all (or 12-37) only cuts off, at every point, and keeps the tally: docs/testing.md.
REALITY := tests/reality tests/infra/engine tests/stacks/test_automation_driver.py
CUT_OFF := tests/reality/test_kills.py tests/reality/test_commands.py
test-reality: $(VENV)/.installed ## our driver and engine against the real Pulumi CLI, built from Go modules; ALL=1: every point
	@$(BIN)/python tests/reality/pulumi/build.py
	@ECOMDEPLOY_TEST_ALL=$(ALL) ECOMDEPLOY_TEST_KILLS=$(KILLS) $(BIN)/python -m pytest $(SLOW) $(if $(ALL)$(KILLS),--nightly) \
		-m reality --durations=10 \
		$(if $(KILLS),$(CUT_OFF),$(REALITY))

# By one process: each that runs tests has a control plane of its own, of half a gigabyte. Only files with such tests are read.
KEDA := tests/scenarios/test_keda.py
KUBERNETES = $(filter-out $(KEDA),$(shell grep -rlE --include='test_*.py' 'mark\.kubernetes' tests))
test-kubernetes: $(VENV)/.installed ## what runs on a real control plane: built once from Go modules, about 8 minutes of CPU
	@$(BIN)/python -m infra.rehearsal.cloud.kubernetes.build
	@$(BIN)/python tests/conformance/kubectl/build.py
	@$(BIN)/python -m pytest $(SLOW) -m kubernetes --durations=10 $(KUBERNETES)

test-keda: $(VENV)/.installed ## scaling by the real KEDA: it and the control plane built once from Go modules, about 13 minutes of CPU
	@$(BIN)/python -m infra.rehearsal.cloud.kubernetes.build
	@$(BIN)/python -m infra.rehearsal.cloud.kubernetes.addons keda
	@$(BIN)/python -m pytest $(SLOW) -m kubernetes $(KEDA)

chaos: $(VENV)/.installed ## kills, power cuts, two at once, damage at every point: an hour or more, goes on where it was ended; docs/reliability.md
	@$(BIN)/python -m infra.rehearsal.cloud.kubernetes.build
	@PYTHONPATH=tests/support $(BIN)/python -m tests.chaos $(ROWS)

fuzz: $(VENV)/.installed ## hostile requests and files: FUZZ_SECONDS (60) of the server, as many of the readers
	@ECOMDEPLOY_FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m pytest -q -rP tests/fuzz

check: lint types arrows ## what CI runs besides the tests

lint: $(VENV)/.installed ## ruff
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/.installed ## mypy, strict
	@$(BIN)/mypy

arrows: imports ## cli -> stacks -> infra -> modelpack, and whose packages these are
	@$(BIN)/python -m pytest -q tests/contracts -p no:cacheprovider

imports: $(VENV)/.installed
	@$(BIN)/lint-imports --no-cache

format: $(VENV)/.installed ## let ruff format
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

# Versions stay as they are where pyproject.toml allows it; `rm locks/*.txt` before it takes the newest.
# Versions that are there already are kept where pyproject.toml and these words allow it.
locked = $(or $(UV),uv) pip compile --generate-hashes --universal --python-version 3.11 --no-header --no-annotate -q \
	-o build/locks/$(1).txt
lock: ## write locks/*.txt from pyproject.toml, by uv: versions with their hashes
	@rm -rf build/locks && mkdir -p build/locks
	@cat locks/dev.txt locks/torch.txt > build/locks/main.txt 2>/dev/null || true
	@for one in keras sagemaker spark uv; do cp locks/$$one.txt build/locks 2>/dev/null || true; done
	@$(call locked,main) pyproject.toml --extra dev
	@$(call locked,keras) pyproject.toml --extra tensorflow --extra huggingface --extra originals \
		--constraints build/locks/main.txt
	@printf '%s\n' $(SAGEMAKER) | $(call locked,sagemaker) -
	@echo 'pyspark>=4,<5' | $(call locked,spark) -
	@echo uv | $(call locked,uv) -
	@$(PYTHON) locks/split.py build/locks

# Strict: a package about which PyPI tells nothing is no package without holes. A list at a time, for they differ in versions.
audit: ## known holes in the locked versions, by pip-audit: asks PyPI's advisories
	@failed=; for list in locks/*.txt; do echo $$list; $(or $(UV),uv) tool run pip-audit@2.10.1 --strict \
		--progress-spinner off --disable-pip --require-hashes -r $$list || failed=yes; done; test -z "$$failed"

facts: $(VENV)/.installed ## regenerate infra/rehearsal/providers/aws/facts.json from cfn-lint's schemas
	@$(BIN)/python -m infra.rehearsal.providers.aws.facts_make

bench: $(VENV)/.installed ## the benchmarks; results in benchmarks/results
	@$(BIN)/python -m benchmarks

clean: ## remove .venv and what tools left
	@rm -rf $(VENV) $(VENV_SAGEMAKER) $(VENV_KERAS) $(VENV_SPARK) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
