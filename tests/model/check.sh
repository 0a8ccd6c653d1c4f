#!/usr/bin/env bash
# Compares what golden says of DIR/input.yaml with DIR/expected.txt; with GOLDEN_UPDATE=1 writes it there. Usage: check.sh GOLDEN DIR
set -euo pipefail
got=$("$1" "$2/input.yaml")
if [ -n "${GOLDEN_UPDATE:-}" ]; then
    printf '%s\n' "$got" >"$2/expected.txt"
else
    diff -u --label expected --label got "$2/expected.txt" - <<<"$got" || { echo "if that is right: make golden" >&2; exit 1; }
fi
