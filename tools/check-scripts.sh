#!/usr/bin/env bash
# What shellcheck and pyflakes find in scripts, tests, benchmarks and tools.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t files < <(git ls-files -co --exclude-standard)
shell=() python=()
for file in "${files[@]}"; do
    [ -f "$file" ] || continue
    case "$file" in
        *.py) python+=("$file") ;;
        *) if read -r line <"$file" 2>/dev/null && [[ $line == '#!'*bash ]]; then shell+=("$file"); fi ;;
    esac
done
shellcheck -S warning "${shell[@]}"
pyflakes3 "${python[@]}"
echo "check-scripts: ${#shell[@]} of bash, ${#python[@]} of Python"
