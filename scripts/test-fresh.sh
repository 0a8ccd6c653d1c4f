#!/usr/bin/env bash
# Proves the README's two commands on a fresh Debian 12: debootstrap into a folder with the host's package sources, then, in mount
# and PID namespaces of its own, clone and run `make demo` and `make test` with nothing installed but git and make. Root; about as
# long as the tests take, plus the download of packages. FRESH_DIR names the folder (default: a temporary one, removed after).
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" -eq 0 ] || { echo "error: test-fresh needs root (debootstrap, chroot)" >&2; exit 1; }
command -v debootstrap >/dev/null || { apt-get update -qq; apt-get install -y -qq debootstrap >/dev/null; }

dir=${FRESH_DIR:-$(mktemp -d /var/tmp/fairlead-fresh.XXXXXX)}
mkdir -p "$dir"
root=$dir/root
mirror=$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d/ 2>/dev/null | grep -v security | head -1 | tr -d ' ' || true)
[ -n "$mirror" ] || { echo "error: no Debian mirror in /etc/apt/sources.list or sources.list.d" >&2; exit 1; }
cleanup() { [ -n "${FRESH_DIR:-}" ] || rm -rf --one-file-system "$dir"; }
trap cleanup EXIT

if [ ! -x "$root/usr/bin/apt-get" ]; then
    echo "== debootstrap bookworm into $root"
    debootstrap --variant=minbase --include=git,make,ca-certificates bookworm "$root" "$mirror" >"$dir/debootstrap.log" 2>&1 ||
        { tail -20 "$dir/debootstrap.log"; exit 1; }
fi
# The package sources, their trust and how to reach them are the host's; everything else is Debian's own.
cp -a /etc/apt/apt.conf.d /etc/apt/trusted.gpg.d /etc/apt/preferences.d "$root/etc/apt/" 2>/dev/null || true
rm -rf "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*
for list in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    [ -f "$list" ] && grep -qE '/debian(-security)?/?( |$)' "$list" && cp -a "$list" "$root${list}"
done
mkdir -p "$root/usr/share/keyrings" "$root/usr/local/share/ca-certificates"
cp -a /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/" 2>/dev/null || true
cp -a /etc/resolv.conf "$root/etc/resolv.conf"
rm -rf "$root/src"
git clone -q --no-local . "$root/src"

echo "== make demo, make test in the fresh system"
# shellcheck disable=SC2016
unshare --mount --pid --fork --propagation private bash -c '
    set -e
    root=$1
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/run"
    mount -t tmpfs tmpfs "$root/tmp"
    exec chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        LANG=C.UTF-8 http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" FAIRLEAD_FRESH_TEST="${FAIRLEAD_FRESH_TEST:-test}" bash -c "
        set -e
        cd /src
        time make demo
        build/bin/fairlead lab down --name demo
        [ -z \"\$FAIRLEAD_FRESH_TEST\" ] || time make \$FAIRLEAD_FRESH_TEST"
' fresh "$root"
echo "== test-fresh: passed"
