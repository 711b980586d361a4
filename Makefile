# Builds go outside the checkout, shared by all checkouts of one person.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/evenkeel/target

CLUSTER := cargo run --quiet --package evenkeel-cluster --

.DEFAULT_GOAL := help
.PHONY: help cluster-up cluster-down

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

cluster-up: ## Start a real Kubernetes on this machine and leave it running
	@$(CLUSTER) up

cluster-down: ## End that Kubernetes and remove all it left
	@$(CLUSTER) down
