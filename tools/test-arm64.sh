#!/usr/bin/env bash
# Unit tests and fuzz corpora of a build for arm64, each by qemu: test-arm64.sh BUILD [JOBS]. Those that need no root: qemu-user knows neither nf_tables nor seccomp.
set -euo pipefail
cd "$(dirname "$0")/.."
ctest --test-dir "$1" --output-on-failure -j "${2:-$(nproc)}" -L '^fast$' --no-tests=error
