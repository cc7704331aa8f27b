# AiDb's commands. `make help` lists them; each installs what it needs under target/ and touches nothing outside
# this checkout. scripts/ does the work, so that every step can be run alone.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help tools build test torture fuzz mutants miri demo coverage bench bench-bindings tune guard install uninstall clean

# Where to install; the lower-case names are GNU's. scripts/install.sh explains each.
PREFIX ?= $(or $(prefix),/usr/local)
DESTDIR ?=
LIBDIR ?= $(libdir)
INCLUDEDIR ?= $(includedir)
DOCDIR ?= $(docdir)
STRIP ?= strip
places = LIBDIR="$(LIBDIR)" INCLUDEDIR="$(INCLUDEDIR)" PKGCONFIGDIR="$(PKGCONFIGDIR)" CMAKEDIR="$(CMAKEDIR)" \
	DOCDIR="$(DOCDIR)" DEBUGDIR="$(DEBUGDIR)" STRIP="$(STRIP)"

help: ## this list
	@echo 'AiDb: an embedded, ordered key-value store'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'Sections of make test, for make test ONLY="...":'
	@scripts/test.sh --list | sed 's/^/  /'

tools: ## check that the tools are there, and say what is missing
	@scripts/check-tools.sh

build: ## the C library, the Python wheel and the Node package
	@scripts/check-tools.sh
	@scripts/build.sh c python node

test: ## everything that must hold; ONLY="rust c" runs some sections
	@scripts/test.sh $(ONLY)

torture: ## crashes, faults, damage, kills, full disks, histories, models for MINUTES=30, sanitizer, valgrind, benches; PARTS="power lives", SEED=
	@scripts/torture.sh "$(or $(MINUTES),30)" $(PARTS)

fuzz: ## fuzz each target for SECONDS=600; TARGETS="wal table" chooses some
	@scripts/fuzz.sh "$(or $(SECONDS),600)" $(TARGETS)

mutants: ## change core an operator at a time; does a test notice? MODULE=iterator; SHARD=0/4 SAMPLE=200 FILE=span.rs AGAIN=1 EACH=1
	@scripts/check-tools.sh rust
	@MODULE="$(MODULE)" SHARD="$(SHARD)" SAMPLE="$(SAMPLE)" SEED="$(SEED)" FILE="$(FILE)" AGAIN="$(AGAIN)" \
		EACH="$(EACH)" scripts/mutants.sh

miri: ## the modules with unsafe code under Miri, where a nightly toolchain has it
	@scripts/miri.sh

demo: ## index the Python standard library from four languages in one database
	@scripts/check-tools.sh
	@scripts/demo.sh

coverage: ## line coverage of core and ffi by the Rust tests
	@scripts/check-tools.sh rust
	@scripts/coverage.sh

bench: ## AiDb beside rivals: N=1000000 ROUNDS=3 SECONDS=2 ENGINES="aidb fjall" WORKLOADS="..." WITHOUT=rocksdb OUT=
	@scripts/check-tools.sh rust
	@N="$(N)" ROUNDS="$(ROUNDS)" READ_SECONDS="$(SECONDS)" ENGINES="$(ENGINES)" WORKLOADS="$(WORKLOADS)" \
		WITHOUT="$(WITHOUT)" OUT="$(OUT)" scripts/bench.sh

bench-bindings: ## the wheel and the npm package beside plyvel, rocksdict and classic-level: N=200000 ROUNDS=5
	@scripts/check-tools.sh
	@N="$(N)" ROUNDS="$(ROUNDS)" scripts/bench-bindings.sh

tune: ## what each option changes, beside the defaults: N=1000000 ROUNDS=3 SECONDS=1 TRIALS="block_size=1KiB:scan,readrandom"
	@scripts/check-tools.sh rust
	@N="$(N)" ROUNDS="$(ROUNDS)" READ_SECONDS="$(SECONDS)" TRIALS="$(TRIALS)" scripts/bench.sh --tune

guard: ## instructions per operation beside the recorded ones; RECORD=1 records them anew
	@scripts/check-tools.sh rust
	@RECORD="$(RECORD)" scripts/guard.sh

install: ## headers, libraries, pkg-config and CMake files below PREFIX (/usr/local); LIBDIR= INCLUDEDIR= DESTDIR= STRIP=
	@$(places) scripts/install.sh "$(DESTDIR)" "$(PREFIX)"

uninstall: ## remove what install put there, with the same PREFIX and so on
	@$(places) scripts/install.sh --remove "$(DESTDIR)" "$(PREFIX)"

clean: ## remove everything that was built or installed into the checkout
	rm -rf target bench/target scripts/coverage/target
	find . -name node_modules -type d -prune -exec rm -rf {} +
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f bindings/node/*.node bindings/node/*.tgz
