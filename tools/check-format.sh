#!/usr/bin/env bash
# The house format (.clang-format) over all C sources: checks, or rewrites with --fix.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t files < <(git ls-files -co --exclude-standard '*.c' '*.h')
[ ${#files[@]} -eq 0 ] && exit 0
if [ "${1:-}" = "--fix" ]; then
    printf '%s\0' "${files[@]}" | xargs -0 -P 4 -n 16 clang-format-14 -i
    exit 0
fi
if ! printf '%s\0' "${files[@]}" | xargs -0 -P 4 -n 16 clang-format-14 --dry-run -Werror 2>/tmp/check-format.$$; then
    grep -E 'error:' /tmp/check-format.$$ | sed -E 's/:([0-9]+):.*/:\1/' | sort -u -t: -k1,1 | head -20
    rm -f /tmp/check-format.$$
    echo "check-format: run make format"
    exit 1
fi
rm -f /tmp/check-format.$$
echo "check-format: ${#files[@]} files"
