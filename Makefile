# Builds go outside the checkout, one place for each: cargo takes what was built from the same file of
# another checkout for up to date whenever that is the newer one.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/evenkeel/target-$(firstword $(shell printf %s '$(CURDIR)' | cksum))

CLUSTER := cargo run --quiet --package evenkeel-cluster --
BUILD := cargo build --workspace --bins
DEV := $(CARGO_TARGET_DIR)/debug/evenkeel-dev

.DEFAULT_GOAL := help
.PHONY: help up down restart status demo test fault soak bench lint cluster-up cluster-down

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: ## Start everything and leave it running; EVENKEEL_COOLDOWN=15s and other settings go to the services, TEKTON=1 adds Tekton
	@$(BUILD)
	@$(DEV) up $(if $(TEKTON),--tekton)

down: ## End everything and remove all it left, also after a crash
	@test -x $(DEV) || cargo build --package evenkeel-test-kit --bin evenkeel-dev
	@$(DEV) down

restart: ## Start one service again, as it is built now: make restart SERVICE=controller
	@$(if $(SERVICE),,$(error name it: make restart SERVICE=controller, executor or audit))
	@$(BUILD)
	@$(DEV) restart $(SERVICE)

status: ## Show what runs
	@$(DEV) status

demo: ## Show one story from executions to proofs, and check that all of it is true; TEKTON=1 adds a pipeline
	@$(BUILD)
	@$(DEV) demo $(if $(TEKTON),--tekton)

test: ## Run every test, on a real cluster that is ended afterwards
	@$(BUILD)
	@$(DEV) up --tests
	@cargo test --workspace --no-fail-fast; code=$$?; $(DEV) down --tests; exit $$code

fault: ## Kill and pause the services around every effect they have; ONLY=executor.create for some of it
	@$(BUILD)
	@$(CARGO_TARGET_DIR)/debug/evenkeel-fault "$(ONLY)"

soak: ## Run many executions for MINUTES=10 while services are killed and paused, and see whether anything grows
	@$(BUILD)
	@$(CARGO_TARGET_DIR)/debug/evenkeel-soak $(MINUTES)

bench: ## Measure what the services cost and how fast they are; ONLY=scale for some of it
	@cargo build --release --bins $(addprefix --package evenkeel-,audit executor controller test-bench)
	@$(CARGO_TARGET_DIR)/release/evenkeel-bench $(ONLY)

lint: ## Check format, lints, contracts and, with cargo-deny, dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --quiet --package evenkeel-test-contract --test contract protocol
	@if command -v cargo-deny >/dev/null; then cargo deny check; else echo "cargo-deny is not installed: dependencies were not checked"; fi

cluster-up: ## Start a real Kubernetes on this machine and leave it running; TEKTON=1 adds Tekton and a registry
	@$(CLUSTER) up $(if $(TEKTON),--tekton)

cluster-down: ## End that Kubernetes and remove all it left
	@$(CLUSTER) down
