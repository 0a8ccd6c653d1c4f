#!/usr/bin/env bash
# CPU of a pair of sidecars for each request, with mutual TLS and in plain text, beside that of a gateway. Needs root: it starts a lab.
set -euo pipefail
cd "$(dirname "$0")/../.."
export FAIRLEAD_BIN=${FAIRLEAD_BIN:-$(cd "${FAIRLEAD_BUILD:-build}" && pwd)/bin}
exec python3 bench/mesh/pair.py "$@"
