#!/usr/bin/env bash
# A fresh Debian 12 with systemd in FOLDER, by debootstrap and this machine's package sources: root.sh FOLDER. What is there is kept.
set -euo pipefail
root=$1
[ ! -e "$root/ready" ] || exit 0
mirror=$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d/ 2>/dev/null | grep -v security | head -1 | tr -d ' ' || true)
[ -n "$mirror" ] || { echo "error: no Debian mirror in /etc/apt/sources.list or sources.list.d" >&2; exit 1; }
mkdir -p "$root"
[ -x "$root/usr/bin/apt-get" ] || debootstrap --variant=minbase --include=systemd,init-system-helpers,ca-certificates bookworm "$root" "$mirror" >"$root.log" 2>&1 || { tail -20 "$root.log"; exit 1; }
cp -a /etc/apt/apt.conf.d "$root/etc/apt/" 2>/dev/null || true
rm -rf "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*
for list in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    [ -f "$list" ] && grep -qE '/debian(-security)?/?( |$)' "$list" && cp -a "$list" "$root$list"
done
cp -a /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/" 2>/dev/null || true
cp -aL /etc/resolv.conf "$root/etc/resolv.conf"
touch "$root/ready"
