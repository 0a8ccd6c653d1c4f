#!/usr/bin/env bash
# The API server's figures, beside a kube-apiserver if there is one: see run.py.
set -euo pipefail
exec python3 "$(dirname "$0")/run.py" "$@"
