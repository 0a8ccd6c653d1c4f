#!/usr/bin/env bash
# Kubernetes' own end-to-end tests of Services, EndpointSlices and DNS (e2e.test of the release in build-peers.sh) against a lab: its API
# server, controllers, nodes and agents. Root, Go, some minutes to build and about twenty to run. FOCUS and SKIP are Ginkgo's.
#
# Left out by default: SCTP (no such program here), LoadBalancer and Disruptive (a cloud, a systemd), "evicted" (no disk limits), "configMap nameserver" (sets
# CoreDNS up), "Provider:gce" (a name of that cloud).
# Pods see the host's files, and the suite runs /agnhost and /coredns (of agnhost's image) by these names: they are put there and taken away again. Without words the image pauses.
set -euo pipefail
cd "$(dirname "$0")/../.."
dir=${1:-$PWD/build/peers}
bin=${FAIRLEAD_BIN:-$PWD/build/bin}
focus=${FOCUS:-'\[sig-network\] (Services|EndpointSlice|DNS)'}
skip=${SKIP:-'Disruptive|SCTP|LoadBalancer|evicted|configMap nameserver|Provider:gce'}
lab=upstream

tests/conformance/build-peers.sh "$dir" e2e.test agnhost coredns
command -v nc >/dev/null || apt-get install -y -qq netcat-openbsd >/dev/null # what the suite runs inside its pods
for file in /agnhost /agnhost.bin /coredns; do
    [ ! -e $file ] || { echo "error: $file is there already" >&2; exit 1; }
done
trap '"$bin/fairlead" lab down --name $lab; rm -f /agnhost /agnhost.bin /coredns' EXIT
cp "$dir/agnhost" /agnhost.bin
cp "$dir/coredns" /coredns
printf '#!/bin/sh\n[ $# -gt 0 ] || set -- pause\nexec /agnhost.bin "$@"\n' >/agnhost
chmod 755 /agnhost
"$bin/fairlead" lab up --name $lab --nodes 2 --image e2e-test-images/agnhost=/agnhost \
    --image e2e-test-images/glibc-dns-testing='sleep infinity' # what it stands for runs the command that the suite gives
"$dir/e2e.test" --ginkgo.no-color --provider=skeleton --kubeconfig "$("$bin/fairlead" lab kubeconfig --name $lab --path)" \
    --ginkgo.focus="$focus" --ginkgo.skip="$skip" --minStartupPods=0 --report-dir= 2>&1 |
    grep -vE '^S+$|^$' | tail -n "${LINES_SHOWN:-60}"
