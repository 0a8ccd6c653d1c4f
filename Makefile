# The commands people use; CMake and Ninja do the work. `make help` lists them.
BUILD    ?= build
JOBS     ?= $(shell nproc)
PEERS    ?= $(CURDIR)/build/peers
REGISTRY ?= localhost
E2E       = scripts/e2e.sh
.DEFAULT_GOAL := build
.PHONY: help setup build image image-arm64 deb deb-arm64 test-deb test-arm64 manifests chart cluster bgp moving kernels upstream-real demo test test-fresh conform upstream upstream-h2 interop clients lint format unit fast golden e2e asan tsan clang fuzz bench bench-proxy bench-control clean

help:            ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup:           ## install what is missing from Debian packages
	@scripts/setup.sh

build: setup     ## build everything (gcc)
	@cmake --preset release -B $(BUILD) >/dev/null
	@cmake --build $(BUILD) -j $(JOBS)

image: build     ## images of agent, control, proxy and cni, OCI archives with SBOMs, in build/images (REGISTRY: what their names begin with)
	@tools/images.sh $(BUILD)/bin $(BUILD)/images $(REGISTRY)

image-arm64:     ## the same for arm64, cross-built, in build-arm64/images (gcc-aarch64-linux-gnu, qemu-user-static)
	@tools/images-arm64.sh build-arm64 build-arm64/images $(REGISTRY)

deb: build       ## Debian packages of CLI, agent, control, proxy, with units for systemd, in build/deb
	@tools/deb.py $(BUILD)/bin $(BUILD)/deb

deb-arm64:       ## the same for arm64, in build-arm64/deb, cross-built (gcc-aarch64-linux-gnu, qemu-user-static)
	@tools/build-arm64.sh build-arm64 fairlead fairlead-labd fairlead-echo fairlead-agent fairlead-control fairlead-proxy
	@tools/deb.py build-arm64/bin build-arm64/deb --arch arm64 --sysroot build-arm64/sysroot --strip aarch64-linux-gnu-strip --run "qemu-aarch64-static -L build-arm64/sysroot"

test-deb: build  ## the packages: lintian, systemd-analyze, installed and removed in a fresh Debian 12 (root; lintian, debootstrap, systemd)
	@FAIRLEAD_BIN=$(CURDIR)/$(BUILD)/bin python3 -m pytest tests/deb

test-arm64:      ## unit tests and fuzz corpora of an arm64 build, by qemu (gcc-aarch64-linux-gnu, qemu-user-static; half an hour)
	@tools/build-arm64.sh build-arm64
	@tools/test-arm64.sh build-arm64 $(JOBS)

manifests:       ## deploy/agent, deploy/ingress, deploy/mesh and dashboards from deploy/chart (Go builds Helm into PEERS)
	@tests/conformance/build-peers.sh $(PEERS) helm-v3
	@tools/dashboards.py
	@tools/manifests.py $(PEERS)/helm-v3

chart: build     ## the chart by Helm 3 and 4: lint, templates, and installed into labs (root; Go builds Helm into PEERS)
	@tests/conformance/build-peers.sh $(PEERS) helm-v3 helm-v4
	@PEERS=$(PEERS) FAIRLEAD_BIN=$(CURDIR)/$(BUILD)/bin python3 -m pytest tests/chart

cluster: build   ## a real cluster of two kubelets on this machine, without kube-proxy, the chart in it (root; Go builds Kubernetes into PEERS; KEEP=1 to look around)
	@tests/conformance/build-peers.sh $(PEERS) etcd-server kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy coredns helm-v3 runtime iptables podmonitors.yaml
	@PEERS=$(PEERS) FAIRLEAD_BIN=$(CURDIR)/$(BUILD)/bin python3 -m pytest $(if $(KEEP),-s) tests/cluster

bgp: build       ## addresses announced by BGP, with the real FRR of Debian in network namespaces (root; apt fetches it into PEERS, nothing is installed; two minutes)
	@tests/conformance/build-peers.sh $(PEERS) frr
	@cd tests/e2e/balancer && PEERS=$(PEERS) FAIRLEAD_BIN=$(CURDIR)/$(BUILD)/bin python3 -m pytest test_bgp.py

moving: build    ## on that cluster, from the real kube-proxy to Fairlead and back under traffic, in each of its modes (root; Go builds Kubernetes into PEERS)
	@tests/conformance/build-peers.sh $(PEERS) etcd-server kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy coredns helm-v3 runtime iptables podmonitors.yaml
	@PEERS=$(PEERS) FAIRLEAD_BIN=$(CURDIR)/$(BUILD)/bin python3 -m pytest -s tests/cluster/test_moving.py

upstream-real: build ## Kubernetes' own tests of Services, EndpointSlices and DNS on that cluster (root; Go builds them; FOCUS, SKIP)
	@tests/conformance/build-peers.sh $(PEERS) etcd-server kube-apiserver kube-controller-manager kube-scheduler kubelet coredns helm-v3 runtime podmonitors.yaml agnhost e2e.test
	@PEERS=$(PEERS) FAIRLEAD_BIN=$(CURDIR)/$(BUILD)/bin tests/cluster/upstream.py $(if $(FOCUS),'$(FOCUS)')

kernels: build   ## Debian's kernels, oldest to newest, in virtual machines of this machine's files: check, packet tests, the demo (root; qemu; KERNELS=names, UPDATE=1 writes docs/kernels.md; an hour without KVM)
	@UPDATE=$(UPDATE) tests/kernels/run.py $(BUILD)/kernels $(KERNELS)

demo: build      ## the first story, in a terminal (root)
	@scripts/demo.sh $(BUILD)/bin

unit: build      ## unit tests and fuzz corpora; T=kube/test_schema: those whose name has it
	@ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS) --no-tests=error $(if $(T),-R '$(T)')

fast: build      ## those that need no root, in seconds
	@ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS) -L '^fast$$'

golden: build    ## rewrite what the model's golden tests expect (read the diff)
	@GOLDEN_UPDATE=1 ctest --test-dir $(BUILD) -R '^model/' --output-on-failure

e2e: build       ## end-to-end tests over network namespaces (root)
	@FAIRLEAD_BIN=$(CURDIR)/$(BUILD)/bin $(E2E)

asan: setup      ## unit and e2e tests under ASan and UBSan
	@cmake --preset asan >/dev/null
	@cmake --build build-asan -j $(JOBS)
	@ctest --test-dir build-asan --output-on-failure -j $(JOBS)
	@rm -rf build-asan/reports && mkdir build-asan/reports
	@FAIRLEAD_BIN=$(CURDIR)/build-asan/bin FAIRLEAD_SANITIZED=1 FAIRLEAD_KILLS=10 FAIRLEAD_LAB_KILLS=4 \
	    ASAN_OPTIONS=log_path=$(CURDIR)/build-asan/reports/asan:quarantine_size_mb=64 UBSAN_OPTIONS=log_path=$(CURDIR)/build-asan/reports/ubsan:print_stacktrace=1 \
	    $(E2E)
	@! grep -r . build-asan/reports || { echo "asan: the reports above fail the run" >&2; exit 1; }

tsan: setup      ## unit tests, the packet tests and the proxy under TSan (root; without address randomization, which gcc 12's TSan cannot bear)
	@cmake --preset tsan >/dev/null
	@cmake --build build-tsan -j $(JOBS)
	@rm -rf build-tsan/reports && mkdir build-tsan/reports
	@TSAN_OPTIONS=log_path=$(CURDIR)/build-tsan/reports/tsan FAIRLEAD_BIN=$(CURDIR)/build-tsan/bin FAIRLEAD_SANITIZED=1 \
	    setarch -R sh -c 'ctest --test-dir build-tsan --output-on-failure -j $(JOBS) && python3 -m pytest tests/e2e/lab/test_packets.py tests/e2e/proxy'
	@! grep -r . build-tsan/reports || { echo "tsan: the reports above fail the run" >&2; exit 1; }

clang: setup     ## build with clang
	@cmake --preset clang >/dev/null
	@cmake --build build-clang -j $(JOBS)

test: unit clang asan tsan e2e ## everything CI runs but lint

test-fresh:      ## prove the two commands on a fresh Debian 12 (debootstrap; root)
	@scripts/test-fresh.sh

conform: build ## controllers, nodes, agents, DNS, the control plane beside real Kubernetes programs; a minute without an API server (root; Go builds them into PEERS)
	@tests/conformance/build-peers.sh $(PEERS) etcd-server kube-apiserver kube-controller-manager kube-scheduler coredns prometheus
	@PEERS=$(PEERS) FAIRLEAD_BIN=$(CURDIR)/$(BUILD)/bin python3 -m pytest tests/conformance
	@FAIRLEAD_AWAY_S=60 FAIRLEAD_BIN=$(CURDIR)/$(BUILD)/bin python3 -m pytest tests/e2e/control/test_failures.py -k api_server_is_away

upstream: build ## Kubernetes' own tests of Services against a lab (root; Go builds them, then about 20 minutes)
	@FAIRLEAD_BIN=$(CURDIR)/$(BUILD)/bin tests/conformance/upstream.sh $(PEERS)

upstream-h2: build ## h2spec, whole, against the proxy (Go builds it)
	@tests/conformance/build-peers.sh $(PEERS) h2spec
	@PEERS=$(PEERS) FAIRLEAD_BUILD=$(CURDIR)/$(BUILD) tests/conformance/h2spec.py

interop: build ## others' control planes drive the proxy, 1,000 snapshots; others' clients take what control gives (Go, pip, root; PARTS, SNAPSHOTS, SEED, ENVOY)
	@tests/interop/run.sh $(CURDIR)/$(BUILD) $(PEERS)

clients: build ## third-party clients against a lab (root; Python, npm, Maven, Go and Helm from their registries)
	@tests/e2e/clients/install.sh $(CURDIR)/build/clients
	@FAIRLEAD_CLIENTS=$(CURDIR)/build/clients FAIRLEAD_BIN=$(CURDIR)/$(BUILD)/bin python3 -m pytest tests/e2e/clients

lint: build      ## layers, sizes, headers, format; scripts of bash and Python
	@python3 tools/check-layers.py
	@python3 tools/check-size.py
	@cmake --build $(BUILD) --target all_verify_interface_header_sets >/dev/null
	@tools/check-format.sh
	@tools/check-scripts.sh
	@python3 tools/istio_crds.py --check
	@python3 tools/metallb_crds.py --check
	@tools/dashboards.py --check
	@tools/manifests.py --check

format:          ## rewrite sources in the house format
	@tools/check-format.sh --fix

fuzz: setup      ## build libFuzzer targets and run each for FUZZ_SECONDS (30)
	@tools/run-fuzz.sh

bench: build     ## all benchmarks (minutes)
	@bench/run-all.sh $(BUILD)

bench-proxy: build ## proxies beside one another: CPU time, instructions, latency per request
	@FAIRLEAD_BUILD=$(CURDIR)/$(BUILD) bench/proxy/run.sh

bench-control: build ## from an API write to served traffic, beside Traefik at 1,000 and 5,000 Ingresses; churn; rolls (root; Go builds it into PEERS; 20 minutes)
	@tests/conformance/build-peers.sh $(PEERS) traefik
	@bench/control/run.sh $(BUILD) $(PEERS)/traefik

clean:
	@rm -rf build build-asan build-tsan build-clang build-fuzz build-arm64
