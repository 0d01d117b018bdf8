# Every target sets up what it needs: a virtual environment in .venv with the exact versions of constraints.txt.
.PHONY: demo test slow hour fuzz ray browser three lint format

PYTHON ?= $(shell command -v python3.11 || command -v python3)
READY := .venv/.ready

# People found, tracked, lifted to 3D and drawn, from a clip that is fetched at first use, into out/demo.
demo: $(READY)
	.venv/bin/occlupose demo -o out/demo

test: $(READY)  # a process for each core, so that none of them needs threads
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -q -n auto --dist loadfile -m "not slow and not hour and not browser"

slow: $(READY)
	.venv/bin/python -m pytest -q -m "slow and not hour"

hour: $(READY)  # an hour with 300 people within 1 GiB of memory; takes hours
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -q -m hour

fuzz: $(READY)  # 20,000 mutated files of all kinds
	PYTHONPATH=tests .venv/bin/python -m fuzz --count 20000

ray: $(READY)  # archives on two nodes of a Ray cluster on this machine, and killed runs of 40 videos
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ray]'
	.venv/bin/python -m pytest -q tests/cli/archive/test_cluster.py tests/cli/archive/test_killed.py

browser: $(READY)  # the page in Debian's chromium, drawn in software
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]'
	.venv/bin/python -m pytest -q -m browser

# The parts of three.js that the page needs, in one file; needs npm.
WEB := src/occlupose/viewer/page/web
three:
	npm install --silent --no-save --prefix .three three@0.187.0 esbuild@0.28.2
	cp $(WEB)/three.entry.js .three/entry.js
	.three/node_modules/.bin/esbuild .three/entry.js --bundle --minify --format=esm --target=es2021 --charset=utf8 \
		--legal-comments=inline --log-level=warning --outfile=$(WEB)/three.min.js
	rm -r .three

lint: $(READY)
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/lint-imports --no-logo
	.venv/bin/mypy

format: $(READY)
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ...")'
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
