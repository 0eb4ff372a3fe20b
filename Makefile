# Everyday commands of Watchbell. `make` lists them.
#
# All but `release` and `install` use Cargo's dev profile and one target directory, so that nothing is
# compiled twice. A first build takes some minutes, later ones seconds.

PREFIX ?= /usr/local
CARGO ?= cargo
# The tests to run, by a part of their names: make test TESTS=daylight
TESTS ?=
# Seconds that the tests are to take at most, once they are compiled, on two cores that do nothing else.
TESTS_WITHIN := 300
# Lines in each window of the evaluator's test, and the seed they are drawn from: make evaluate SEED=7
COUNT ?= 200
SEED ?= 1
# What is fuzzed, and for how many seconds: make fuzz FUZZ=crontab SECONDS_EACH=600
FUZZ ?= cron configuration crontab register
SECONDS_EACH ?= 120
# What is measured, where and how often: make bench WORKLOADS=burst,trigger DATABASES=sqlite REPEATS=5
# QUICK=1 makes everything smaller, to see that it works. Without REPEATS each workload has its own number.
WORKLOADS ?=
DATABASES ?=
REPEATS ?=
QUICK ?=
# The peers that are measured: make bench-peers PEERS=celery,apalis WORKLOADS=throughput REPEATS=3
PEERS ?=

CARGO_FLAGS := --workspace --locked
TARGET := $(or $(CARGO_TARGET_DIR),target)
BELLCTL := $(TARGET)/debug/bellctl
CONFIG := examples/watchbell.toml
# Documents for a data directory that `make run` makes.
REGISTER := examples/register.csv
ADDRESS := 127.0.0.1:7420
DATA := watchbell-data
BENCH := $(TARGET)/release/watchbell-bench
BENCH_FLAGS = $(if $(WORKLOADS),--workloads '$(WORKLOADS)') $(if $(REPEATS),--repeats '$(REPEATS)') $(if $(QUICK),--quick)
BUF := npx --yes --package=@bufbuild/buf@1.75.0 -- buf

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run build test chaos evaluate fuzz bench bench-peers check fmt lint docs lint-proto release install clean needs

help: ## Show this list
	@echo 'Watchbell: make TARGET, where TARGET is one of'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) \
		| while IFS='|' read -r name text; do printf '  %-11s %s\n' "$$name" "$$text"; done

run: build ## Build, and serve on SQLite below ./watchbell-data
	@echo
	@echo 'Watchbell serves on $(ADDRESS) until Ctrl-C. In another terminal, in this directory:'
	@echo
	@echo '  $(BELLCTL) status                      how everything is'
	@echo '  $(BELLCTL) task list                   what there is to run'
	@echo '  $(BELLCTL) agenda                      what runs when'
	@echo '  $(BELLCTL) task trigger NAME --wait    run one now, and see it end'
	@echo '  $(BELLCTL) run watch                   see runs as they happen'
	@echo '  $(BELLCTL) document list               documents; some are due today'
	@echo '  $(BELLCTL) backup run daily-full --wait   back up, and see it read back'
	@echo
	@echo 'or without a client, by reflection:'
	@echo
	@echo '  $(BUF) curl --protocol grpc --http2-prior-knowledge \'
	@echo '    -H "authorization: Bearer $$(cat $(DATA)/token)" \'
	@echo '    http://$(ADDRESS)/watchbell.v1.SchedulerService/GetStatus'
	@echo
	@if [ ! -e $(DATA) ]; then scripts/first-register $(BELLCTL) $(DATA)/token $(REGISTER) & fi; \
		exec $(TARGET)/debug/watchbell serve --config $(CONFIG)

build: needs ## Build the server and bellctl, unoptimised
	$(CARGO) build $(CARGO_FLAGS) --bins

# Stories wait half of their time, for the disk and for other processes: two at a time keep a core busy.
test: export RUST_TEST_THREADS ?= $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN))))
test: build ## Run all tests, on SQLite and on a PostgreSQL of their own
	$(CARGO) test $(CARGO_FLAGS) --no-run
	scripts/test-postgres --in-memory -- scripts/test-cronsim -- scripts/test-faketime -- scripts/test-restic -- \
		scripts/test-within $(TESTS_WITHIN) -- scripts/test-again -- $(CARGO) test $(CARGO_FLAGS) $(TESTS)

# One after the other, so that each is measured alone: a quarter of an hour.
chaos: build ## Ill-treat servers at length, and tell what they do; TESTS=killed for one file of it
	$(CARGO) test --locked --package watchbell --test it --no-run
	rm -f $(TARGET)/chaos.json $(TARGET)/chaos.txt
	code=0; WATCHBELL_TEST_CHAOS=long scripts/test-postgres -- scripts/test-faketime -- \
		$(CARGO) test --locked --package watchbell --test it chaos::$(TESTS) -- \
		--nocapture --test-threads=1 || code=$$?; \
	if [ -e $(TARGET)/chaos.txt ]; then echo; cat $(TARGET)/chaos.txt; fi; \
	echo; echo 'Every figure is in $(TARGET)/chaos.json.'; exit $$code

evaluate: needs ## Try the schedule evaluator on more lines, COUNT=200 and SEED=1 unless you say so
	WATCHBELL_TEST_LINES='$(COUNT)' WATCHBELL_TEST_SEED='$(SEED)' scripts/test-cronsim -- \
		$(CARGO) test --locked --package watchbell --test it evaluator::every_change

# Without a sanitizer, since there is no unsafe code of ours; so the stable compiler does.
fuzz: needs ## Fuzz what reads text from outside, guided by coverage, for some minutes
	@cargo-fuzz --version >/dev/null 2>&1 || { \
		echo 'Fuzzing needs cargo-fuzz, and it is not here: cargo install cargo-fuzz'; exit 1; }
	for target in $(FUZZ); do \
		mkdir -p fuzz/corpus/$$target && \
		$(CARGO) fuzz run --sanitizer none $$target fuzz/corpus/$$target tests/corpus/$$target -- \
			-max_total_time=$(SECONDS_EACH) -max_len=4096 -timeout=20 || exit 1; \
	done

# Optimised, and with each server's files on this disk. Leave the machine alone meanwhile.
bench: release ## Measure the server on both databases, into bench/results.json and bench/results.md
	scripts/test-postgres -- $(BENCH) $(BENCH_FLAGS) $(if $(DATABASES),--databases '$(DATABASES)')

# Fetches the peers into a temporary place; bench/peers/README.md tells more. Takes most of an hour.
bench-peers: release ## Measure it beside other schedulers, into bench/peers.json and bench/peers.md
	scripts/test-postgres -- $(BENCH) peers $(BENCH_FLAGS) $(if $(PEERS),--peers '$(PEERS)')

check: fmt lint docs lint-proto ## Check formatting, lints, documentation and the API's definition

fmt: needs
	$(CARGO) fmt --all --check

lint: needs
	$(CARGO) clippy $(CARGO_FLAGS) --all-targets -- -D warnings

docs: needs
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc $(CARGO_FLAGS) --no-deps

# Buf is no part of the build, so a machine without Node.js, or off the net, goes without.
lint-proto: ## Check the API's definition with buf, where there is Node.js
	@if ! command -v npx >/dev/null; then \
		echo 'lint-proto: SKIPPED, since there is no npx; install Node.js to check proto/ with buf'; \
	elif ! $(BUF) --version >/dev/null; then \
		echo 'lint-proto: SKIPPED, since npx could not fetch buf'; \
	else \
		echo '$(BUF) lint' && $(BUF) lint; \
	fi

release: needs ## Build the optimised programs into target/release
	$(CARGO) build $(CARGO_FLAGS) --bins --release

# Does not build what is there already: `make release && sudo make install`.
install: ## Install them into PREFIX (/usr/local); build them first by `make release`
	@test -x $(TARGET)/release/watchbell -a -x $(TARGET)/release/bellctl || $(MAKE) release
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/share/doc/watchbell'
	install -m 0755 $(TARGET)/release/watchbell $(TARGET)/release/bellctl '$(DESTDIR)$(PREFIX)/bin'
	install -m 0644 README.md CHANGELOG.md LICENSE LICENSE-APACHE LICENSE-MIT $(CONFIG) \
		contrib/watchbell.service '$(DESTDIR)$(PREFIX)/share/doc/watchbell'

clean: ## Remove what was built; keeps ./watchbell-data
	$(CARGO) clean

# What Cargo itself would only complain of in the middle of a build.
needs:
	@command -v $(CARGO) >/dev/null || { \
		echo 'Watchbell is built by Cargo, which is not here. Install Rust: https://rustup.rs'; exit 1; }
	@command -v cc >/dev/null || { \
		echo 'SQLite needs a C compiler, and there is none here. Install one:'; \
		echo '  Debian, Ubuntu:  apt-get install gcc libc6-dev'; \
		echo '  Fedora:          dnf install gcc'; \
		echo '  macOS:           xcode-select --install'; exit 1; }
