# The menu. Every recipe is a line or a script under tests/tools; `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build release run test check fmt lint tidy deny sim soak bench bench-k8s k8s-up k8s-down k8s-test \
	k8s-faults clean

# Whatever can be made again lives outside the checkout, so that a clean clone starts warm.
export WEIR_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/weir
export CARGO_TARGET_DIR ?= $(WEIR_CACHE)/target
export PATH := $(PATH):$(HOME)/.cargo/bin

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## install what is missing (Debian packages, the Rust toolchain); nothing to do takes no time
	@tests/tools/setup

# The whole workspace decides about dependencies' features: otherwise what `make test` needs would be
# built a second time.
build: setup ## build the weir binary for development
	cargo build --locked --workspace --bin weir

release: setup ## build the weir binary for use: target/release/weir in the cache
	cargo build --locked --release --bin weir

run: build ## count the words of a book on one machine and show the result
	@tests/tools/run-wordcount "$(CARGO_TARGET_DIR)/debug/weir"

test: setup ## everything that continuous integration checks: format, lints, licences, all tests
	@tests/tools/test all

check: setup ## the quick part of `make test`: format, lints, unit and simulation tests, repository rules
	@tests/tools/test quick

fmt: setup ## format the Rust code
	cargo fmt --all

lint: setup ## clippy on everything; a warning is an error
	cargo clippy --locked --workspace --all-targets --keep-going -- -D warnings

tidy: setup ## the rules of the repository itself: layers, budgets, links
	cargo test --locked --quiet -p weir-tests-tidy

deny: setup ## licences, bans and sources of the dependencies
	@tests/tools/deny

sim: setup ## simulate jobs under faults: make sim SEEDS=1000000
	@cargo build --locked --quiet --workspace --bin weir-tests-sim
	"$(CARGO_TARGET_DIR)/debug/weir-tests-sim" --seeds $(or $(SEEDS),100000)

soak: build ## jobs on clusters under faults, for long: make soak MINUTES=60
	@cargo build --locked --quiet --workspace --bin weir-soak
	"$(CARGO_TARGET_DIR)/debug/weir-soak" $(or $(MINUTES),10)

bench: setup ## benchmarks: make bench WORKLOAD=wordcount ARGS="--parallelism=2"
	@benches/run $(or $(WORKLOAD),wordcount) $(ARGS)

k8s-up: setup ## start Kubernetes and an S3 server on this machine, with the images; prints the kubeconfig's path
	cargo build --locked --workspace --bin weir --bin weir-operator
	@tests/k8s/images >/dev/null
	@tests/k8s/stand up

k8s-down: ## end them
	@tests/k8s/stand down

k8s-test: setup ## the part of `make test` that needs a Kubernetes: images, jobs in pods, the chart
	@tests/tools/test k8s

k8s-faults: setup ## all that can happen to jobs on Kubernetes: nodes, servers, storage; for an hour
	@tests/tools/test k8s-faults

bench-k8s: setup ## figures on Kubernetes: start, savepoint, upgrades, takeovers: make bench-k8s N=20
	@tests/tools/bench-k8s $(or $(N),20)

clean: ## remove what builds and runs left in the cache
	rm -rf "$(CARGO_TARGET_DIR)" "$(WEIR_CACHE)/data" "$(WEIR_CACHE)/run"
