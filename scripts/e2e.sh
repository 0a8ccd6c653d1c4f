#!/usr/bin/env bash
# The end-to-end suites against FAIRLEAD_BIN, two at a time, for all of them wait most of the time; longest first. One pytest per suite: each has a conftest of its own.
# Not clients, nor interop: they need registries. What a suite says is shown when it has ended; what failed, once more at the very end.
set -euo pipefail
cd "$(dirname "$0")/.."
FAILED=$(mktemp -d)
trap 'rm -rf "$FAILED"' EXIT
export FAILED
one() {
    log=$(mktemp)
    result=0
    python3 -m pytest "tests/e2e/$1" >"$log" 2>&1 || result=$?
    printf '== tests/e2e/%s (%d s)\n' "$1" "$SECONDS"
    cat "$log"
    [ "$result" = 0 ] || cp "$log" "$FAILED/$1"
    rm -f "$log"
    return "$result"
}
export -f one
first="mesh proxy install api control lab"
rest=$(cd tests/e2e && for suite in [a-z]*/; do echo "${suite%/}"; done | grep -vwE "clients|interop|__pycache__|${first// /|}")
result=0
# shellcheck disable=SC2086 # words
printf '%s\n' $first $rest | xargs -P "${E2E_JOBS:-2}" -I{} bash -c 'SECONDS=0; one {}' || result=$?
for suite in "$FAILED"/*; do
    [ -e "$suite" ] || continue
    printf '== failed: tests/e2e/%s\n' "${suite##*/}"
    grep -E '^E  ' "$suite" | tail -n 40 || true
    sed -n '/short test summary info/,$p' "$suite" | grep -v ^SKIPPED | tail -n 40
done
[ "$result" = 0 ]
