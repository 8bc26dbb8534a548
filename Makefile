# Needs GNU make and python3; everything else is installed into .venv.
PYTHON ?= python3
OLD_PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# What runs pytest; `coverage` has another.
RUN := $(BIN)/python

# On CI a skipped test is a failure (tests/conftest.py). tests/test_peers*.py are
# skipped without other frameworks, so `test` ignores them.
NO_SKIPS := $(if $(CI),--no-skips)

# The real CuPy on emulated GPUs. Two processes, with one thread each for BLAS: more
# would oversubscribe two cores.
EMULATED = OPENBLAS_NUM_THREADS=1 $(RUN) -m pytest -p tinyalex.emulator.pytest_plugin -n 2 \
  --ignore-glob='tests/test_peers*.py' --no-skips

# More processes would disturb the lessons that compare times.
PROCESSES := -n 2

# The tests that need neither a GPU nor another framework.
PLAIN := -m "not peers and not gpu and not cuda and not emulated and not lessons and not parallel and not fuzz and not site" --ignore-glob='tests/test_peers*.py'

# Without the tests that only launch the same kernels many times, for gradients.
FEW_LAUNCHES := -k "naive or not gradcheck"

# Tests of each kernel and of a whole network, for the build that checks every access.
CHECKED := $(addprefix tests/test_,activation.py convolution.py dropout.py kernels.py loss.py normalization.py optim.py pooling.py) \
  "tests/test_gpu.py::test_a_network_computes_in_each_floating_dtype[float32]"

.DELETE_ON_ERROR:
.PHONY: help try lint format test lessons notebooks site test-site test-parallel test-fuzz torture test-peers test-cuda coverage benchmarks-peers clean

help: ## print this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1@\2/p' Makefile | while IFS=@ read -r name what; do printf '%-23s%s\n' "$$name" "$$what"; done

try: $(VENV)/.package ## train a small network on synthetic shapes, in about a minute; figures in runs/try
	rm -rf runs/try
	$(BIN)/python train_cifar.py --data shapes --model quick --epochs 4 --output runs/try

lint: $(VENV)/.test ## run ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.test ## format the code and apply ruff's fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: lint ## lint, and run all tests that need neither a GPU nor another framework
	$(BIN)/python -m pytest $(PROCESSES) $(PLAIN) $(NO_SKIPS)

lessons: $(VENV)/.cuda $(VENV)/.lessons ## run every lesson and check its claims (needs g++); SEEDS=3: with three seeds
	$(BIN)/python -m pytest $(PROCESSES) -m lessons --ignore-glob='tests/test_peers*.py' $(NO_SKIPS)

notebooks: $(VENV)/.lessons ## convert the lessons to notebooks for Jupyter and Colab, in runs/notebooks
	$(BIN)/python lessons/notebooks.py

site: $(VENV)/.cuda $(VENV)/.site ## build the site: runs/site/html/index.html; runs the lessons that have no current outputs
	$(BIN)/python lessons/notebooks.py --execute
	$(BIN)/python docs/site/build.py

test-site: site ## build the site, and check every page in Chromium (which must be installed)
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit; done; \
	  echo "The site is checked in Chromium, which is missing. On Debian and Ubuntu: apt install chromium" >&2; exit 1
	$(BIN)/python -m pytest -m site tests/test_site.py --no-skips

test-parallel: $(VENV)/.parallel ## train with several processes (installs mpi4py and mpich)
	$(BIN)/python -m pytest $(PROCESSES) -m parallel tests/test_parallel*.py tests/test_scale.py tests/test_benchmarks.py --no-skips

test-fuzz: $(VENV)/.fuzz ## read mutated files of each format; kill, stop and resume runs; train 2,000 steps
	$(BIN)/python -m pytest $(PROCESSES) -m fuzz --ignore-glob='tests/test_peers*.py' $(NO_SKIPS)

torture: $(VENV)/.fuzz ## the long form: 100,000 mutated files, 50 killed runs, a full disk; half an hour
	$(BIN)/python tests/torture.py

test-peers: $(VENV)/.peers ## compare with torch, keras, onnxruntime, openvino and jax (installs them)
	$(BIN)/python -m pytest $(PROCESSES) -m "peers and not gpu" --no-skips

test-cuda: $(VENV)/.cuda ## check the CUDA code without a GPU (needs g++; installs CuPy and NVRTC)
	$(BIN)/python -m pytest $(PROCESSES) -m cuda --ignore-glob='tests/test_peers*.py' --no-skips
	$(EMULATED) -m emulated
	TINYALEX_DEVICE=cuda $(EMULATED) -m gpu
	TINYALEX_DEVICE=cuda:1 TINYALEX_EMULATOR_ORDER=7 TINYALEX_EMULATOR_LAZY=1 TINYALEX_EMULATOR_POOL=0 $(EMULATED) -m gpu $(FEW_LAUNCHES)
	TINYALEX_DEVICE=cuda TINYALEX_EMULATOR_CHECK=1 $(EMULATED) -m gpu $(FEW_LAUNCHES) $(CHECKED)

coverage: RUN := $(BIN)/coverage run
coverage: $(VENV)/.cuda ## measure the lines of tinyalex that tests run, also on emulated GPUs (needs g++)
	$(BIN)/coverage erase
	$(RUN) -m pytest $(PLAIN)
	$(RUN) -m pytest -m cuda --ignore-glob='tests/test_peers*.py'
	$(EMULATED) -m emulated -k "not a_lesson_runs_on_cuda"
	TINYALEX_DEVICE=cuda $(EMULATED) -m gpu
	$(RUN) -m pytest -m parallel tests/test_parallel*.py tests/test_scale.py
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=0 | awk 'NR == 1 || /^TOTAL/ || $$4 + 0 < 95'
	@$(BIN)/coverage report --format=total >/dev/null

benchmarks-peers: $(VENV)/.old-numpy ## install Chainer and DeZero for benchmarks/, with NumPy 1.23 (Python 3.8 to 3.11)

clean: ## remove .venv and the tools' caches; keep runs/
	rm -rf $(VENV) dist .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp file for each set of packages, so that a second run installs nothing.

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "tinyalex needs Python 3.11 or newer. Choose it with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)

$(VENV)/.package: pyproject.toml | $(VENV)/pyvenv.cfg
	$(PIP) --editable .
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/pyvenv.cfg
	$(PIP) --editable '.[test]'
	@touch $@

$(VENV)/.lessons: pyproject.toml | $(VENV)/pyvenv.cfg
	$(PIP) --editable '.[lessons]'
	@touch $@

$(VENV)/.site: pyproject.toml | $(VENV)/pyvenv.cfg
	$(PIP) --editable '.[site]'
	@touch $@

$(VENV)/.parallel: $(VENV)/.test
	$(PIP) --editable '.[mpi]'
	@touch $@

$(VENV)/.fuzz: $(VENV)/.test
	$(PIP) --editable '.[fuzz]'
	@touch $@

$(VENV)/.peers: $(VENV)/.test
	$(PIP) --editable '.[peers]'
	@touch $@

$(VENV)/.cuda: $(VENV)/.test
	@command -v g++ >/dev/null || { echo "The checks run CUDA kernels on the CPU with g++, which is missing. On Debian and Ubuntu: apt install g++" >&2; exit 1; }
	$(PIP) --editable '.[cuda-check]'
	@touch $@

# NumPy 1.23 is the last with the names (np.int, ...) that Chainer and DeZero use; it
# has no wheels after Python 3.11. setuptools below 81 has the pkg_resources that
# Chainer imports; DeZero imports matplotlib and Pillow.
$(VENV)/.old-numpy: | $(VENV)/pyvenv.cfg
	$(OLD_PYTHON) -m venv --clear $(VENV)/old-numpy
	$(VENV)/old-numpy/bin/python -m pip install --quiet --disable-pip-version-check 'numpy==1.23.*' 'setuptools<81' chainer==7.8.1 \
	  dezero==0.0.13 'matplotlib<3.8' 'contourpy<1.2' pillow threadpoolctl
	@touch $@
