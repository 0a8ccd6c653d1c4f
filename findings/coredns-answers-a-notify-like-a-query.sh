#!/usr/bin/env bash
# Guess: a NOTIFY (opcode 4, RFC 1996) sent to a server that is nobody's secondary is refused or NOTIMP; its question asks for nothing.
# Seen: CoreDNS answers the question with addresses, as if it were a query, under opcode NOTIFY. An inverse query (opcode 1) is NOTIMP. Go.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${pid:-}" 2>/dev/null; wait 2>/dev/null; chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
GOBIN=$dir GOFLAGS=-buildvcs=false go install github.com/coredns/coredns@v1.15.0 >/dev/null 2>&1
port=$(python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'example.test:%s {\n bind 127.0.0.1\n hosts {\n  192.0.2.9 a.example.test\n }\n}\n' "$port" >"$dir/Corefile"
"$dir/coredns" -conf "$dir/Corefile" >"$dir/log" 2>&1 &
pid=$!
"$dir/coredns" -version | sed -n 1p
python3 - "$port" <<'PY'
import socket, struct, sys, time
def ask(opcode):
    question = b"\x01a\x07example\x04test\0" + struct.pack(">HH", 1, 1)
    data = struct.pack(">HHHHHH", 7, opcode << 11, 1, 0, 0, 0) + question
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(1)
        s.connect(("127.0.0.1", int(sys.argv[1])))
        for _ in range(20):
            try:
                s.send(data)
                answer = s.recv(4096)
                break
            except OSError:
                time.sleep(0.2)
    flags, _, answers = struct.unpack(">HHH", answer[2:8])
    return flags >> 11 & 15, flags & 15, answers
seen = {name: ask(opcode) for name, opcode in (("query", 0), ("inverse query", 1), ("notify", 4))}
for name, (opcode, rcode, answers) in seen.items():
    print(f"{name}: opcode {opcode}, rcode {rcode}, {answers} answers")
sys.exit(seen != {"query": (0, 0, 1), "inverse query": (1, 4, 0), "notify": (4, 0, 1)})
PY
