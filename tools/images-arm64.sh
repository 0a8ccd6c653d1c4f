#!/usr/bin/env bash
# The images for arm64, built on another machine: Debian's packages of arm64 unpacked into a folder, our programs cross-built against them. images-arm64.sh BUILD OUTPUT [REGISTRY]
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$1"
build=$(cd "$1" && pwd)
for tool in aarch64-linux-gnu-gcc qemu-aarch64-static; do
    command -v $tool >/dev/null || { echo "error: $tool is needed: apt-get install gcc-aarch64-linux-gnu qemu-user-static" >&2; exit 1; }
done
# shellcheck disable=SC2046 # words: the libraries of scripts/setup.sh
[ -e "$build/sysroot/var/lib/dpkg/status" ] ||
    tools/sysroot.sh arm64 "$build/sysroot" base-files ca-certificates libc6-dev $(grep -oE '\blib[a-z0-9-]+-dev\b' scripts/setup.sh | grep -v clang | sort -u)
cmake -G Ninja -B "$build" -DCMAKE_TOOLCHAIN_FILE="$PWD/cmake/arm64.cmake" -DSYSROOT="$build/sysroot" . >/dev/null
cmake --build "$build" --target fairlead-agent fairlead-control fairlead-proxy
for program in agent control proxy; do # it starts: on this machine, by qemu
    qemu-aarch64-static -L "$build/sysroot" "$build/bin/fairlead-$program" --version
done
IMAGE_FLAGS="--arch arm64 --sysroot $build/sysroot" tools/images.sh "$build/bin" "$2" "${3:-localhost}"
