#!/usr/bin/env bash
# Installs what building, testing and the demo need, from Debian packages, if it is missing. Idempotent; says what it does.
set -euo pipefail

packages=(
    gcc clang-14 libclang-rt-14-dev clang-format-14 cmake ninja-build make git pkg-config
    libssl-dev libc-ares-dev libjansson-dev libyaml-dev libxxhash-dev libsqlite3-dev zlib1g-dev libcmocka-dev libnghttp2-dev libpcre2-dev libcrypt-dev libprotobuf-c-dev protobuf-c-compiler
    kubernetes-client openssl python3 python3-pytest python3-h2 python3-yaml pyflakes3 shellcheck valgrind iproute2 nftables netbase bind9-dnsutils iputils-ping curl ca-certificates procps
)

# One query for all of them: this runs before every make target.
missing=()
installed=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null || true)
for p in "${packages[@]}"; do
    grep -qx "$p installed" <<<"$installed" || missing+=("$p")
done
# A toolchain that came from elsewhere (a newer cmake, another pytest) serves as well as the package.
wanted=()
for p in "${missing[@]}"; do
    case "$p" in
        cmake|make|git|curl|gcc) command -v "$p" >/dev/null 2>&1 && continue ;;
        ninja-build) command -v ninja >/dev/null 2>&1 && continue ;;
        python3) command -v python3 >/dev/null 2>&1 && continue ;;
        kubernetes-client) command -v kubectl >/dev/null 2>&1 && continue ;;
        python3-pytest) python3 -c 'import pytest' >/dev/null 2>&1 && continue ;;
        python3-yaml) python3 -c 'import yaml' >/dev/null 2>&1 && continue ;;
    esac
    wanted+=("$p")
done
[ ${#wanted[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "setup: missing packages: ${wanted[*]}" >&2
    echo "hint: run as root, or: sudo apt-get install ${wanted[*]}" >&2
    exit 1
fi
echo "setup: installing ${wanted[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
