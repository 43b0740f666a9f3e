# Panocast: the commands people use. `make help` lists them.
#
# Build products live outside the checkout, so that every clone and CI run reuses the compiled dependencies.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/panocast/target
export PANOCAST_VENV ?= $(HOME)/.cache/panocast/venv
export CARGO_TERM_COLOR ?= auto

.DEFAULT_GOAL := help
.PHONY: help live page test lint test-rust test-player test-deploy bench projections fuzz glass steady shots players pairing soak package try-packages clean

help: ## List these commands
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

live: ## Install what is missing, build, run everything with the test source: open the address it prints
	@scripts/install live
	@$(MAKE) --no-print-directory page
	cargo build --profile live --locked --bin panocast
	@$(CARGO_TARGET_DIR)/live/panocast up $(ARGS)

page: ## Build the player page into player/dist
	cd player && npm run --silent build

test: ## Install what is missing, run every test
	@scripts/install test
	@$(MAKE) --no-print-directory page lint test-rust test-player test-deploy fuzz SECONDS_EACH=5

lint: ## Formatting and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --features aws --locked -- -D warnings

# The same cases each time; another number looks at others.
export PROPTEST_RNG_SEED ?= 20260101
test-rust: ## Unit, property and end-to-end tests with real peers
	cargo test --workspace --features aws --locked

test-player: ## Type check, unit tests and pixels of the page in Chromium
	cd player && npm test

test-deploy: ## Templates, units and policies against a simulated AWS
	$(PANOCAST_VENV)/bin/python -m pytest -q deploy/tests

bench: ## Compare with nginx-rtmp, ffmpeg, nginx and Varnish in one run; writes docs/ref/benchmarks.md
	@scripts/install bench
	cargo build --release --locked --workspace --bins --examples
	$(PANOCAST_VENV)/bin/python bench/run.py

projections: ## Quality on the sphere per bit of each projection, with plots (about ten minutes)
	@scripts/install test
	cargo build --release --locked -p encode --example sphere_source --example sphere_psnr
	node bench/projections.mjs

SECONDS_EACH ?= 600
fuzz: ## Fuzz every parser, SECONDS_EACH=600 per target
	scripts/fuzz $(SECONDS_EACH)

glass: ## Join time, latency and stalls over ten minutes, every projection, in Chromium; ONLY="join watch shapes"
	@scripts/install test
	@$(MAKE) --no-print-directory page
	cargo build --release --locked --bin panocast
	node e2e/browser/glass.mjs $(ONLY)

players: ## Other people's players through faults, each alone; writes docs/ref/players.md; ONLY="--players VLC"
	@scripts/install players
	cargo build --release --locked --workspace --bins
	node e2e/browser/players.mjs --write docs/ref/players.md $(ONLY)

DEATHS ?= 10
pairing: ## Kill, freeze and replace origins behind an edge, DEATHS=10 times in random order, before viewers and Chromium
	@scripts/install test
	@$(MAKE) --no-print-directory page
	PANOCAST_PAIR_DEATHS=$(DEATHS) PANOCAST_BROWSER=1 cargo test --workspace --features aws --locked --quiet \
	  --test pairing --test pairing_edge --test pairing_rungs -- --nocapture --test-threads=1
	cargo test --workspace --features aws --locked --quiet paired::
	cargo test -p pairing --locked --quiet

ODD_SEEDS ?= 500
soak: ## Publish ODD_SEEDS=500 valid but odd streams and decode what viewers get of each
	@scripts/install test
	PANOCAST_ODD_SEEDS=$(ODD_SEEDS) cargo test --workspace --features aws --locked --quiet \
	  --test odd_streams -- --nocapture --test-threads=1 --ignored

MINUTES ?= 10
steady: ## Watch a live stream in Chromium for MINUTES=10 and see that memory does not grow, with a plot
	@scripts/install test
	@$(MAKE) --no-print-directory page
	node player/test/steady.mjs --minutes $(MINUTES)

shots: ## The player with every projection and stereo layout, desk and phone, on one sheet in docs/images
	@scripts/install test
	@$(MAKE) --no-print-directory page
	cd player && node test/sheet.mjs

package: ## Debian packages per role into CARGO_TARGET_DIR/package
	deploy/package

try-packages: ## Install and run those on a clean Debian 12 (as root, with debootstrap and systemd-container)
	deploy/try-packages

clean: ## Remove build products
	cargo clean
	rm -rf player/dist player/node_modules e2e/browser/node_modules
