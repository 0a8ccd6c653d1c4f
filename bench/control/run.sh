#!/usr/bin/env bash
# The control plane's figures, whole: see run.py for one of them. run.sh [BUILD [TRAEFIK]]; without the second nobody is beside us.
set -euo pipefail
build=${1:-${FAIRLEAD_BUILD:-build}}
run() { echo "== run.py $*"; python3 "$(dirname "$0")/run.py" "$build" "$@"; }
peer=()
[ -z "${2:-}" ] || peer=(--traefik "$2")
run --ingresses 1000 --changes 50 "${peer[@]}"
run --ingresses 5000 --changes 30 "${peer[@]}"
run --ingresses 3000 --changes 60
run --ingresses 5000 --changes 1000 --churn 100 --requests 100000 --roll 100000
