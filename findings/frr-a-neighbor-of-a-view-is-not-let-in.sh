#!/usr/bin/env bash
# Guess: bgpd listens on port 179 for all its instances, so a router that a `router bgp … view` has as its neighbor may open the connection, as one of the default instance may.
# Seen: it is let in by TCP and closed without a word; bgpd looks for neighbors of the default instance alone. Views only dial. Root, no network: in namespaces of its own.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
(cd "$dir" && apt-get download -q frr=8.4.4-1.1~deb12u2 libyang2=2.1.30-2 libjson-c5=0.16-2 >/dev/null 2>&1 && for deb in *.deb; do dpkg -x "$deb" .; done)
{ cat /etc/group && echo "frrvty:x:991:root"; } >"$dir/group"
export LD_LIBRARY_PATH=$dir/usr/lib/x86_64-linux-gnu/frr:$dir/usr/lib/x86_64-linux-gnu:$dir/lib/x86_64-linux-gnu
"$dir/usr/lib/frr/bgpd" --version | sed -n 1p
cat >"$dir/ask.py" <<'PY'
import pathlib, socket, struct, sys, time
vty = socket.socket(socket.AF_UNIX)
for _ in range(100):
    try:
        vty.connect(sys.argv[1] + "/bgpd.vty")
        break
    except OSError:
        time.sleep(0.1)
def say(*commands):
    for c in commands:
        vty.sendall(c.encode() + b"\0")
        text = b""
        while text[-4:-1] != b"\0\0\0":
            text += vty.recv(65536)
        assert text[-1] == 0, (c, text)
def opened(address):
    """Does it answer an OPEN?"""
    for _ in range(30):
        with socket.socket() as s:
            s.settimeout(2)
            s.bind((address, 0))
            s.connect(("127.0.0.1", 179))
            try:
                s.sendall(b"\xff" * 16 + struct.pack(">HBBHH4sB", 29, 1, 4, 64513, 90, socket.inet_aton(address), 0))
                if s.recv(19)[18:19] == b"\1":
                    return True
            except OSError:
                pass
        time.sleep(0.1)
    return False
say("enable", "configure terminal")
for block, address in (("router bgp 64512", "127.0.0.2"), ("router bgp 64512 view one", "127.0.0.3")):
    say(block, f"neighbor {address} remote-as 64513", f"neighbor {address} passive", f"neighbor {address} ebgp-multihop", "exit")
seen = {"default": opened("127.0.0.2"), "view": opened("127.0.0.3")}
print(seen)
sys.exit(seen != {"default": True, "view": False})
PY
unshare -mn bash -euc 'mount --bind "$1/group" /etc/group; mount -t tmpfs run /run; mount -t tmpfs tmp /var/tmp; mkdir /run/frr /var/tmp/frr; ip link set lo up
    "$1/usr/lib/frr/bgpd" -Z -S -u root -g root --vty_socket "$1" -i "$1/pid" -f /dev/null -P 0 >"$1/log" 2>&1 &
    code=0; python3 "$1/ask.py" "$1" || code=$?; kill $!; wait $! || true; exit $code' bash "$dir"
