# What is built or downloaded is kept outside the checkout, keyed by what it is built from.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/batch-inference-operator
export CARGO_TARGET_DIR ?= $(CACHE)/target

CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(CACHE)/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
export CARGO_DENY
CARGO_FUZZ_VERSION := 0.13.2
CARGO_FUZZ := $(CACHE)/cargo-fuzz-$(CARGO_FUZZ_VERSION)/bin/cargo-fuzz
FUZZ_TARGETS ?= lines row index segment manifest result_line
FUZZ_SECONDS ?= 600

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "%-14s %s\n", $$1, $$2}'

.PHONY: quickstart
quickstart: ## Run a real job with a real model on a one-node cluster (or on KUBECONFIG's), and show it live
	examples/quickstart/start

.PHONY: plugin
plugin: ## Build the kubectl plugin (docs/plugin.md), and print where it is
	cargo build --release --locked --quiet --bin kubectl-bij
	@echo "$(CARGO_TARGET_DIR)/release/kubectl-bij"

.PHONY: test
test: $(CARGO_DENY) ## Run everything: lint, unit, storage, real-cluster tests
	tests/run all

.PHONY: test-unit
test-unit: ## Run the tests that need no cluster
	tests/run unit

.PHONY: lint
lint: $(CARGO_DENY) ## Check format, clippy, fuzz targets and licences
	tests/run lint

.PHONY: audit
audit: $(CARGO_DENY) ## Check dependencies for known vulnerabilities (needs the internet)
	$(CARGO_DENY) check advisories

.PHONY: bench
bench: ## Measure the figures of docs/benchmarks.md and write them there: ten minutes on a quiet machine
	benches/run

.PHONY: bench-full
bench-full: ## Measure those that take long: ten million rows, and a real model
	benches/run full

.PHONY: bench-controller
bench-controller: ## Measure the controller with a thousand and ten thousand jobs: half an hour
	benches/controller/run

.PHONY: soak
soak: ## Kill the feeder in 100 seeded runs, and run the tests that take minutes
	tests/run soak

.PHONY: test-vllm
test-vllm: ## Run a job with adapters on a real vLLM on the processor: 6 GB, ten minutes the first time
	tests/run vllm

.PHONY: fuzz
fuzz: $(CARGO_FUZZ) ## Fuzz whatever reads a user's bucket, each reader for FUZZ_SECONDS (600)
	set -e; for target in $(FUZZ_TARGETS); do \
		mkdir -p $(CACHE)/fuzz/$$target; \
		PATH=$(dir $(CARGO_FUZZ)):$$PATH cargo fuzz run --sanitizer none --target-dir $(CARGO_TARGET_DIR)/fuzz \
			$$target $(CACHE)/fuzz/$$target fuzz/seeds/$$target -- -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1; \
	done

.PHONY: cluster
cluster: ## Start a one-node Kubernetes and leave it running
	tests/cluster/build
	tests/cluster/up

.PHONY: cluster-down
cluster-down: ## Stop it again
	tests/cluster/down

.PHONY: generate
generate: ## Write the CustomResourceDefinition from the Rust types
	cargo run --quiet -- crd > crds/batchinferencejobs.yaml
	cp crds/batchinferencejobs.yaml charts/batch-inference-operator/crd.yaml

$(CARGO_DENY):
	CARGO_TARGET_DIR=$(CACHE)/build/cargo-deny cargo install cargo-deny --locked --quiet \
		--version $(CARGO_DENY_VERSION) --root $(CACHE)/cargo-deny-$(CARGO_DENY_VERSION)
	rm -rf $(CACHE)/build/cargo-deny

$(CARGO_FUZZ):
	CARGO_TARGET_DIR=$(CACHE)/build/cargo-fuzz cargo install cargo-fuzz --locked --quiet \
		--version $(CARGO_FUZZ_VERSION) --root $(CACHE)/cargo-fuzz-$(CARGO_FUZZ_VERSION)
	rm -rf $(CACHE)/build/cargo-fuzz
