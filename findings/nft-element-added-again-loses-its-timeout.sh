#!/usr/bin/env bash
# Guess: adding an element that is there already changes nothing, so it still expires when it was going to.
# Seen (Linux 6.18, nft 1.0.6): added again without a timeout, to a set without a default one, it never expires. Root.
set -euo pipefail
dir=$(mktemp -d)
ns=finding-$$
trap 'ip netns del $ns 2>/dev/null; rm -rf "$dir"' EXIT
(cd "$dir" && apt-get download -q nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 >/dev/null 2>&1 && for deb in *.deb; do dpkg -x "$deb" .; done)
nft=("ip" netns exec "$ns" env "LD_LIBRARY_PATH=$dir/usr/lib/x86_64-linux-gnu" "$dir/usr/sbin/nft")
ip netns add $ns
"${nft[@]}" --version
uname -r
"${nft[@]}" 'table ip t { set s { type ipv4_addr; flags timeout; }; }'
"${nft[@]}" 'add element ip t s { 192.0.2.1 timeout 1s, 192.0.2.2 timeout 1s }'
"${nft[@]}" 'add element ip t s { 192.0.2.1 }'
"${nft[@]}" list set ip t s
sleep 3
after=$("${nft[@]}" list set ip t s)
echo "three seconds later:"
echo "$after"
grep -q "192.0.2.1" <<<"$after" && ! grep -q "192.0.2.2" <<<"$after"
