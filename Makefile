# What is built or downloaded is kept outside the checkout, keyed by what it is built from.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/batch-inference-operator
export CARGO_TARGET_DIR ?= $(CACHE)/target

CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(CACHE)/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
export CARGO_DENY

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "%-14s %s\n", $$1, $$2}'

.PHONY: quickstart
quickstart: ## Run a real job with a real model on a one-node cluster (or on KUBECONFIG's), and show it live
	examples/quickstart/start

.PHONY: test
test: $(CARGO_DENY) ## Run everything: lint, unit, storage, real-cluster tests
	tests/run all

.PHONY: test-unit
test-unit: ## Run the tests that need no cluster
	tests/run unit

.PHONY: lint
lint: $(CARGO_DENY) ## Check format, clippy and licences
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
