#!/usr/bin/env bash
# A build for arm64 on another machine: Debian's packages of arm64 unpacked into a folder, our programs cross-built against them; what has to run is run by qemu. build-arm64.sh BUILD [TARGET...]
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$1"
build=$(cd "$1" && pwd)
shift
for tool in aarch64-linux-gnu-gcc qemu-aarch64-static; do
    command -v $tool >/dev/null || { echo "error: $tool is needed: apt-get install gcc-aarch64-linux-gnu qemu-user-static" >&2; exit 1; }
done
# shellcheck disable=SC2046 # words: the libraries of scripts/setup.sh
[ -e "$build/sysroot/var/lib/dpkg/status" ] ||
    tools/sysroot.sh arm64 "$build/sysroot" base-files ca-certificates libc6-dev $(grep -oE '\blib[a-z0-9-]+-dev\b' scripts/setup.sh | grep -v clang | sort -u)
cmake -G Ninja -B "$build" -DCMAKE_TOOLCHAIN_FILE="$PWD/cmake/arm64.cmake" -DSYSROOT="$build/sysroot" . >/dev/null
cmake --build "$build" -j "${JOBS:-$(nproc)}" ${1:+--target "$@"}
