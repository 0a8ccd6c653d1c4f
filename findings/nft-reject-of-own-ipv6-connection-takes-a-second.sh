#!/usr/bin/env bash
# Guess: a rule `reject` in an output chain ends connect() of a local program at once, with "connection refused", in both families: the ICMP error comes back before connect() waits.
# Seen (Linux 6.18, nft 1.0.6): IPv4 at once, IPv6 after the SYN was sent again a second later: the error comes while the socket is still held and is only noted. `reject with tcp reset` is at once in both. Root.
set -euo pipefail
dir=$(mktemp -d)
ns=finding-$$
trap 'ip netns del $ns 2>/dev/null; rm -rf "$dir"' EXIT
(cd "$dir" && apt-get download -q nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 >/dev/null 2>&1 && for deb in *.deb; do dpkg -x "$deb" .; done)
nft=("ip" netns exec "$ns" env "LD_LIBRARY_PATH=$dir/usr/lib/x86_64-linux-gnu" "$dir/usr/sbin/nft")
ip netns add $ns
ip -n $ns link set lo up
"${nft[@]}" --version
uname -r
"${nft[@]}" 'table inet t { chain o { type filter hook output priority 0; }; }'
"${nft[@]}" 'add rule inet t o tcp dport 81 counter reject'
"${nft[@]}" 'add rule inet t o tcp dport 82 counter reject with tcp reset'
ip netns exec $ns python3 - <<'PY'
import socket, sys, time
def refused_after(family, address, port):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(10)
        start = time.monotonic()
        try:
            s.connect((address, port))
        except ConnectionRefusedError:
            return time.monotonic() - start
took = {(address, what): refused_after(family, address, port) for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
        for what, port in (("reject", 81), ("reject with tcp reset", 82))}
for (address, what), s in took.items():
    print(f"{address} {what}: refused after {s:.3f} s")
slow = [key for key, s in took.items() if s > 0.9]
sys.exit(slow != [("::1", "reject")])
PY
