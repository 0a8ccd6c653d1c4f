#!/usr/bin/env bash
# lab up with 2 nodes and 10 ready pods, and lab down: median of 5, in seconds. Root.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=${FAIRLEAD_BIN:-build/bin}
manifest=$(mktemp --suffix=.yaml)
trap 'rm -f "$manifest"; "$bin/fairlead" lab down --name bench-lab --quiet' EXIT
cat >"$manifest" <<'YAML'
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 9
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: fairlead/echo
        args: ["--http", "80"]
        readinessProbe: {httpGet: {path: /ready, port: 80}}
YAML
up=() down=()
for _ in 1 2 3 4 5; do
    "$bin/fairlead" lab down --name bench-lab --quiet
    a=$(date +%s.%N)
    "$bin/fairlead" lab up --name bench-lab --nodes 2 -f "$manifest" >/dev/null
    b=$(date +%s.%N)
    pods=$(KUBECONFIG=$("$bin/fairlead" lab kubeconfig --name bench-lab --path) "$bin/fairlead" get pods -A --no-headers | grep -c ' 1/1 ')
    [ "$pods" -eq 10 ] || { echo "bench: $pods pods are ready, not 10" >&2; exit 1; }
    c=$(date +%s.%N)
    "$bin/fairlead" lab down --name bench-lab >/dev/null
    d=$(date +%s.%N)
    up+=("$(awk "BEGIN{print $b - $a}")") down+=("$(awk "BEGIN{print $d - $c}")")
done
median() { printf '%s\n' "$@" | sort -n | sed -n 3p; }
printf '%-44s %8s   %s\n' "what (median of 5)" "seconds" "budget"
printf '%-44s %8.2f   %s\n' "lab up, 2 nodes and 10 ready pods" "$(median "${up[@]}")" 2.00
printf '%-44s %8.2f   %s\n' "lab down" "$(median "${down[@]}")" 1.00
