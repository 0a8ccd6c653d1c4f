#!/usr/bin/env bash
# Builds the libFuzzer targets with clang, ASan and UBSan and runs each for FUZZ_SECONDS (default 30) on a scratch copy of
# its corpus. A crash stops the run and leaves its input beside the build; copy it into tests/fuzz/corpus/NAME/.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-30}
cmake --preset fuzz >/dev/null
cmake --build build-fuzz -j "$(nproc)"
for target in build-fuzz/fuzz/fuzz_*; do
    name=${target##*/fuzz_}
    work=build-fuzz/work/$name
    mkdir -p "$work"
    echo "== $name"
    "$target" -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="build-fuzz/$name-" "$work" "tests/fuzz/corpus/$name" 2>&1 |
        grep -E 'stat::number_of_executed|stat::average|ERROR|SUMMARY|crash' || true
    ls build-fuzz/"$name"-* >/dev/null 2>&1 && { echo "fuzz: $name found something: $(ls build-fuzz/"$name"-*)"; exit 1; }
done
echo "fuzz: no findings"
