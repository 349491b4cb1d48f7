# make run     the whole thing on this machine, with samples; ONCE=1 exits when they are found
# make test    lint, types and every suite but the slow ones
# make test-more   the slow suites, and the tests and clients of other people against our AWS; but for the model of scale
#              beside the laptop, which does not pass yet: pytest -s tests/more/test_simulation.py
# make permissions   what each role used of what it is granted, on every road through the system
# make bench   the index path against the plain way, queries against one pass over the vectors, what a search takes for
#              itself, what each function uses on its worst inputs, and three hundred files dropped at once
# make simulate   a model of 10,000 files at once, of 100,000 hours of sound, of 100,000 files of all kinds: some minutes
# make chaos   files of every kind while calls fail, functions crash and files change; then an account from outside.
#              SEED, FILES, DATA (an empty folder), TIME_SCALE and the ports, all of which it chooses where it is not told
# PORT, AWS_PORT, DATA, SAMPLES=0, ONCE=1, AUTH=enforce and TIME_SCALE=20 are for `make run`.

PYTHON ?= python3
PORT ?= 8080
AWS_PORT ?= 4566
DATA ?= .local
SAMPLES ?= 1
ONCE ?=

BIN := .venv/bin
export PYTHONPATH := .

.PHONY: setup run test test-more permissions chaos bench simulate clean

setup: .venv/.installed .venv/bin/lens
	@$(BIN)/python -m infra.layers

# The command line works in any folder; what it imports is this checkout's, and never what lies in that folder.
.venv/bin/lens: .venv/.installed Makefile
	@printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s/$(BIN)/python" -P -m lens "$$@"\n' "$(CURDIR)" "$(CURDIR)" > $@
	@chmod +x $@

# The Python that made .venv is only used for this; uv, pinned and hashed, does the rest.
.venv/.installed: requirements.txt requirements-setup.txt
	@echo "installing into .venv …"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-setup.txt
	@$(BIN)/uv pip install --quiet --require-hashes --python $(BIN)/python -r requirements.txt
	@touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.txt
	@$(BIN)/uv pip install --quiet --require-hashes --python $(BIN)/python -r requirements-dev.txt
	@touch $@

run: setup
	@exec $(BIN)/python -m samples.tour --port $(PORT) --aws-port $(AWS_PORT) --data "$(DATA)" \
		$(if $(filter 0,$(SAMPLES)),--no-samples) $(if $(filter-out 0,$(ONCE)),--once)

test: setup .venv/.installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not slow"

test-more: setup .venv/.installed-dev .more/.installed
	@$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m slow tests/more tests --ignore tests/more/test_simulation.py

# Other people's programs get an environment of their own: what they need must not change what we run on. The tests of
# two of them are in no wheel, so their source distributions are taken too.
.more/.installed: .venv/.installed tests/more/requirements.txt tests/more/sources.txt
	@echo "installing into .more …"
	@rm -rf .more && $(BIN)/python -m venv .more/venv
	@$(BIN)/uv pip install --quiet --require-hashes --python .more/venv/bin/python -r tests/more/requirements.txt
	@.more/venv/bin/python -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps \
		--no-binary :all: --no-build-isolation --dest .more/sources -r tests/more/sources.txt
	@mkdir .more/src && for each in .more/sources/*.tar.gz; do tar xzf $$each -C .more/src || exit 1; done
	@touch $@

permissions: setup
	@$(BIN)/python -m samples.permissions --data "$(DATA)"

# What the file says of DATA and the ports is for `make run`: a storm never comes over the user's own state.
told = $(if $(filter-out file undefined,$(origin $(1))),--$(2) "$($(1))")

chaos: setup
	@exec $(BIN)/python -m chaos $(call told,SEED,seed) $(call told,FILES,files) $(call told,DATA,data) \
		$(call told,PORT,port) $(call told,AWS_PORT,aws-port)

bench: setup
	@$(BIN)/python -m benchmarks.index_path
	@$(BIN)/python -m benchmarks.vector_query
	@$(BIN)/python -m benchmarks.search
	@$(BIN)/python -m benchmarks.functions
	@$(BIN)/python -m benchmarks.drop

simulate: setup
	@$(BIN)/python -m simulation

clean:
	rm -rf .venv .layers .more .local cdk.out .mypy_cache .ruff_cache .pytest_cache .hypothesis
