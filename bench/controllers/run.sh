#!/usr/bin/env bash
# The controllers at 2,000 pods and 500 Services.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec python3 bench/controllers/bench.py "$@"
