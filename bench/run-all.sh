#!/usr/bin/env bash
# Every benchmark, one after the other; each prints its table. Results that are kept stand in docs/perf/.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(cd "${1:-build}" && pwd)
export FAIRLEAD_BIN=$build/bin FAIRLEAD_BUILD=$build
for bench in bench/*/run.sh; do
    echo "== $bench"
    "$bench"
done
