#!/usr/bin/env bash
# The end-to-end suites against FAIRLEAD_BIN, one behind another; that of the proxy, which needs no lab, beside them: all of them wait most of the time.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
python3 -m pytest tests/e2e/proxy >"$log" 2>&1 &
proxy=$!
trap 'kill "$proxy" 2>/dev/null || true; rm -f "$log"' EXIT
for suite in tests/e2e/[a-z]*/; do
    case $suite in
    */clients/ | */interop/ | */proxy/) continue ;;
    esac
    echo "== $suite"
    python3 -m pytest "$suite"
done
echo "== tests/e2e/proxy/"
result=0
wait "$proxy" || result=$?
cat "$log"
exit "$result"
