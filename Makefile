# The two commands of the README are `make quickstart` and `make test`; `make help` lists the rest.

CARGO ?= cargo
export GEOSAM_REFERENCE_ENV ?= $(HOME)/.cache/geosam-reference

.PHONY: help quickstart overlays test full-disk check check-gpu setup parity bench gpu-bench train-nano install

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

quickstart: setup ## Encode a generated raster, answer prompts from it, find the rest, write polygons and pictures
	$(CARGO) build --locked --workspace --example quickstart
	"$${CARGO_TARGET_DIR:-target}"/debug/examples/quickstart

overlays: setup ## Pictures of prompts on the rasters in $RASTERS, for docs/real-rasters
	$(CARGO) build --locked --workspace --example overlay_page
	"$${CARGO_TARGET_DIR:-target}"/debug/examples/overlay_page docs/real-rasters/prompts.json "$${RASTERS:-.}" docs/real-rasters

test: setup ## Run every test, documentation example and example program
	$(CARGO) test --locked --workspace --features train

full-disk: setup ## Run the tests that mount a small file system (Linux)
	scripts/test-full-disk

check: setup ## Formatting, lints, documentation and layering, with warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --features train -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --locked --workspace --no-deps --features train
	scripts/check-layering

check-gpu: ## Lints of the GPU features, without a GPU or a download of LLVM
	DOCS_RS=1 $(CARGO) clippy --locked --package geosam-models --all-targets --features cuda-nvrtc,wgpu -- --deny warnings

parity: setup ## Compare with live Python geosam, segment-anything and Hugging Face (a Python environment of 7 GB, checkpoints of 20 GB)
	tests/parity/setup.sh
	$(CARGO) build --locked --workspace --bins --examples
	$(GEOSAM_REFERENCE_ENV)/bin/python tests/parity/parity.py

bench: setup ## Measure speed and memory, with Python geosam beside it in the same run
	tests/parity/setup.sh
	$(CARGO) build --locked --release --workspace --bins --bench speed
	$(GEOSAM_REFERENCE_ENV)/bin/python benches/compare/bench.py

gpu-bench: ## Pack the bench of a GPU, with PyTorch beside us, for a machine that has one
	scripts/gpu-bench build

train-nano: setup ## Train the model in the box again, on scenes that are drawn meanwhile (four hours on two cores)
	$(CARGO) build --locked --release --workspace --features train --example train_nano
	"$${CARGO_TARGET_DIR:-target}"/release/examples/train_nano --out train-output

install: setup ## Build the geosam command for this machine and put it on the PATH
	$(CARGO) install --locked --path geosam-cli

setup:
	@scripts/setup
