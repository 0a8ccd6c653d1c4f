#!/usr/bin/env bash
# The agent beside a real API server: resident memory at 10,000 services / 100,000 endpoints, and the time from an event to the
# kernel. In a lab of its own with one node; bounded in count. Root.
set -euo pipefail
cd "$(dirname "$0")"
bin=${FAIRLEAD_BIN:-../../build/bin}
lab=bench-agent
trap '"$bin/fairlead" lab down --name $lab --quiet' EXIT
"$bin/fairlead" lab down --name $lab --quiet
"$bin/fairlead" lab up --name $lab --nodes 1 >/dev/null
config=$("$bin/fairlead" lab kubeconfig --name $lab --path)
pid=$(pgrep -f "fairlead-agent --kubeconfig=${config%/*}/" | head -1)
ip netns exec "fl.$lab.node-1" python3 drive.py "$config" "$pid"
