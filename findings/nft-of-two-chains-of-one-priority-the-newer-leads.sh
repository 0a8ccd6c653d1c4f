#!/usr/bin/env bash
# Guess: of two nat chains with the same hook and priority, the one that was there first is asked first, so who comes later translates only what is left.
# Seen (Linux 6.18, nft 1.0.6, iptables 1.8.9): the newer is asked first, and the first that translates ends it. iptables' own base chain stays when its rules go, so rules that come back into it are behind
# whatever was made meanwhile. Root.
set -euo pipefail
dir=$(mktemp -d)
ns=finding-$$
pids=()
cleanup() {
    [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
    ip netns del $ns 2>/dev/null || true
    rm -rf "$dir"
}
trap cleanup EXIT
(cd "$dir" && apt-get download -q nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 iptables=1.8.9-2 libxtables12=1.8.9-2 libip4tc2=1.8.9-2 libip6tc2=1.8.9-2 libnftnl11=1.2.4-2 libmnl0=1.0.4-3 \
    libnetfilter-conntrack3=1.0.9-3 libnfnetlink0=1.0.2-2 >/dev/null 2>&1 && for deb in *.deb; do dpkg -x "$deb" .; done)
lib=$dir/usr/lib/x86_64-linux-gnu
in_ns=(ip netns exec "$ns" env "LD_LIBRARY_PATH=$lib" "XTABLES_LIBDIR=$lib/xtables")
nft=("${in_ns[@]}" "$dir/usr/sbin/nft")
iptables=("${in_ns[@]}" "$dir/usr/sbin/xtables-nft-multi" iptables -t nat)
ip netns add $ns
ip -n $ns link set lo up
ip -n $ns address add 192.0.2.1/32 dev lo
"${nft[@]}" --version
"${iptables[@]}" --version
uname -r
for name in iptables nft; do # each says its name at a port of its own
    port=$([ $name = iptables ] && echo 8001 || echo 8002)
    ip netns exec $ns python3 -c "import socket
s = socket.create_server(('127.0.0.1', $port))
while True: s.accept()[0].sendall(b'$name')" &
    pids+=($!)
done
leads() {
    ip netns exec $ns timeout 20 python3 -c "import socket, time
while True:
    try: print(socket.create_connection(('192.0.2.1', 80), 2).recv(100).decode()); break
    except OSError: time.sleep(.1)"
}
rule=(OUTPUT -d 192.0.2.1 -p tcp --dport 80 -j DNAT --to-destination 127.0.0.1:8001)

"${iptables[@]}" -A "${rule[@]}"
echo "iptables alone: $(leads)"
"${nft[@]}" 'table ip t { chain c { type nat hook output priority -100; ip daddr 192.0.2.1 tcp dport 80 dnat to 127.0.0.1:8002; }; }'
newer=$(leads)
echo "and a newer chain of nft's, same hook, same priority: $newer"
"${iptables[@]}" -D "${rule[@]}"
"${iptables[@]}" -A "${rule[@]}"
again=$(leads)
echo "iptables' rule taken out and put in again, so it is the newest: $again"
[ "$newer" = nft ] && [ "$again" = nft ]
