#!/usr/bin/env bash
# The images for arm64, built on another machine (build-arm64.sh). images-arm64.sh BUILD OUTPUT [REGISTRY]
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$1"
build=$(cd "$1" && pwd)
tools/build-arm64.sh "$build" fairlead-agent fairlead-control fairlead-proxy
for program in agent control proxy cni; do # it starts: on this machine, by qemu
    qemu-aarch64-static -L "$build/sysroot" "$build/bin/fairlead-$program" --version
done
IMAGE_FLAGS="--arch arm64 --sysroot $build/sysroot" tools/images.sh "$build/bin" "$2" "${3:-localhost}"
