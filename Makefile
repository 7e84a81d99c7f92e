# make        what there is
# make demo   the main job on a generated data set: no download, no GPU, under 5 minutes on 2 cores
# make test   the test suite

PYTHON ?= python3
VENV   ?= .venv
POSE_PYTHON ?= $(PYTHON)
RUN    := $(VENV)/bin/python
READY  := $(VENV)/.ready
# Three test processes with one compute thread each suit two cores: many tests wait for processes of their own.
TEST   := OMP_NUM_THREADS=1 $(RUN) -m pytest tests -n 3 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help setup pose demo test coverage images smoke-images lint clean

help:  ## Show these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY)  ## Make the virtual environment .venv with everything the lab and its tests need

PIP := $(VENV)/bin/pip install --disable-pip-version-check

$(READY): requirements.txt requirements-dev.txt constraints.txt
	@echo "1/3 Python: the virtual environment $(VENV)"
	$(PYTHON) -m venv $(VENV)
	@echo "2/3 PyTorch: some hundred megabytes to some gigabytes, the longest part"
	$(PIP) torch -c constraints.txt
	@echo "3/3 The other packages"
	$(PIP) -r requirements.txt -r requirements-dev.txt -c constraints.txt
	touch $@

# mediapipe wants NumPy 1, so it has an environment of its own. It is there for Python 3.9 to 3.12, the lab's code for 3.10
# on: make pose POSE_PYTHON=python3.12 where python3 is another one.
pose: .venv-pose/.ready  ## Make the virtual environment .venv-pose, in which extract_poses.py finds people in videos

.venv-pose/.ready: requirements-pose.txt
	$(POSE_PYTHON) -m venv .venv-pose
	.venv-pose/bin/pip install --disable-pip-version-check -r requirements-pose.txt
	touch $@

demo: $(READY)  ## Generate data, train CTR-GCN's joint and bone streams, test, ensemble
	$(RUN) demo.py

test: $(READY)  ## Run the test suite
	$(TEST)

coverage: export COVERAGE_FILE := $(CURDIR)/.coverage
coverage: $(READY)  ## Run the test suite and list the lines and branches of skeleton_lab/ that it does not reach
	$(RUN) -m coverage erase
	OMP_NUM_THREADS=1 $(RUN) -m coverage run -m pytest tests -n 3 --dist loadfile
	$(RUN) -m coverage combine --quiet
	$(RUN) -m coverage report --show-missing

# Words for docker build, such as BUILD="--network=host --build-arg BASE_IMAGE=...".
BUILD ?=

images: $(patsubst %.docker,image-%,$(wildcard *.docker))  ## Build a Docker image of each model: skeleton-lab:ctrgcn, ...

image-%:
	docker build $(BUILD) -t skeleton-lab:$* -f $*.docker .

smoke-images: $(READY)  ## Try out the built images: contents, each model's job, docker stop
	$(RUN) -m pytest tests/docker -v

lint: $(READY)  ## Check style, and the engine's types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

clean:  ## Delete what `make demo` and `make setup` made
	rm -rf demo demo-[0-9]* $(VENV) .venv-pose
