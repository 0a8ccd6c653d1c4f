#!/usr/bin/env python3
"""What TLS 1.3 costs: CPU time of each proxy per request on kept connections, and per connection with a full and with a resumed handshake
(each with one request), in interleaved rounds of one run. Needs h2load (nghttp2-client) and openssl.

  tls.py BUILD_DIR          ROUNDS=5 REQUESTS=40000 CONNECTIONS=64 SECONDS=3 PEERS=fairlead,nginx,haproxy
"""
import os
import pathlib
import re
import signal
import statistics
import subprocess
import tempfile

os.environ.setdefault("PEERS", "fairlead,nginx,haproxy")
from run import BUILD, PEERS, REQUESTS, ROUNDS, Peer, free_port, start, wait_for  # noqa: E402

CONNECTIONS = int(os.environ.get("CONNECTIONS", "64"))
SECONDS = int(os.environ.get("SECONDS", "3"))


def run(*argv):
    return subprocess.run([*map(str, argv)], capture_output=True, text=True, check=True, timeout=180).stdout


def kept(port):
    out = run("taskset", "-c", "1", "h2load", "--h1", "-n", REQUESTS, "-c", CONNECTIONS, f"https://127.0.0.1:{port}/")
    done = int(re.search(r"(\d+) 2xx", out)[1])
    assert done == REQUESTS, out
    return done


def handshakes(port, how):
    out = run("taskset", "-c", "1", "openssl", "s_time", "-connect", f"127.0.0.1:{port}", how, "-www", "/", "-time", SECONDS, "-tls1_3")
    return int(re.search(r"(\d+) connections in \d+ real", out)[1])


KINDS = {"request, kept": kept, "full handshake": lambda port: handshakes(port, "-new"), "resumed": lambda port: handshakes(port, "-reuse")}


def main():
    with tempfile.TemporaryDirectory(prefix="bench-tls.") as name:
        directory = pathlib.Path(name)
        cert, key, both = (directory / f for f in ("cert.pem", "key.pem", "both.pem"))
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 1, "-subj", "/CN=bench", "-keyout", key, "-out", cert)
        both.write_text(cert.read_text() + key.read_text())
        origin_port, peers = free_port(), []
        origin = start(1, BUILD / "bench/proxy-origin", origin_port, log=subprocess.DEVNULL)
        wait_for(origin_port)
        try:
            peers = [Peer(p, directory, origin_port, (cert, key, both)) for p in PEERS]
            cpu = {(p.name, k): [] for p in peers for k in KINDS}
            for _ in range(ROUNDS):
                for kind, load in KINDS.items():
                    for p in peers:
                        before = p.cpu_ns()
                        done = load(p.port)
                        cpu[p.name, kind].append((p.cpu_ns() - before) / 1000 / done)
            print(f"TLS 1.3, ECDSA P-256, {CONNECTIONS} connections; CPU us, medians of {ROUNDS} rounds")
            print("| proxy | " + " | ".join(KINDS) + " | RSS |")
            print("|---" * (2 + len(KINDS)) + "|")
            for p in peers:
                print("| " + " | ".join([p.name, *(f"{statistics.median(cpu[p.name, k]):.1f}" for k in KINDS), f"{p.rss_kib() / 1024:.1f} MiB"]) + " |")
        finally:
            for p in peers:
                p.stop()
            os.killpg(origin.pid, signal.SIGTERM)


main()
