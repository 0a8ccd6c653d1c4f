#!/usr/bin/env bash
# The agent beside a real API server: resident memory at 10,000 services / 100,000 endpoints, and the time from an event to the
# kernel. In a lab of its own with one node; bounded in count. Root.
#   run.sh --peer [DIR]     beside kube-proxy instead, on a real kube-apiserver; DIR (or $PEERS, or build/peers) holds what
#                           tests/conformance/build-peers.sh made. Needs nft. SIZES, COLD, ADDED and ADDED_THEIRS bound it.
set -euo pipefail
cd "$(dirname "$0")"
bin=${FAIRLEAD_BIN:-../../build/bin}
if [ "${1:-}" = --peer ]; then
    exec python3 peer.py "${2:-${PEERS:-../../build/peers}}" "$bin/fairlead-agent"
fi
lab=bench-agent
trap '"$bin/fairlead" lab down --name $lab --quiet' EXIT
"$bin/fairlead" lab down --name $lab --quiet
"$bin/fairlead" lab up --name $lab --nodes 1 >/dev/null
config=$("$bin/fairlead" lab kubeconfig --name $lab --path)
pid=$(pgrep -f "fairlead-agent --kubeconfig=${config%/*}/" | head -1)
ip netns exec "fl.$lab.node-1" python3 drive.py "$config" "$pid"
