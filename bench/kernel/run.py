#!/usr/bin/env python3
"""Services in the kernel: cold load, one change, restart, connect latency, beside a ruleset shaped like kube-proxy's.
Everything happens in network namespaces that end with their process. Prints a table; medians of RUNS (default 5)."""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("FAIRLEAD_BUILD", os.path.join(ROOT, "build"))
RUNS = int(os.environ.get("RUNS", "5"))


def run(program, *args):
    out = subprocess.run([os.path.join(BUILD, "bin", program), *map(str, args)], check=True, text=True,
                         stdout=subprocess.PIPE, timeout=300).stdout
    return [json.loads(line) for line in out.splitlines()]


def medians(rows, keys):
    """rows: several runs of the same list of figures."""
    result = []
    for figures in zip(*rows):
        result.append((figures[0]["what"], {k: statistics.median(f[k] for f in figures) for k in keys(figures[0])}))
    return result


def services(title, *args):
    for what, v in medians([run("bench-services", *args) for _ in range(RUNS)],
                           lambda f: [k for k in f if k.endswith("us")]):
        if "p50_us" in v:
            print(f"| {title} | {what} | p50 {v['p50_us']:.0f} us, p99 {v['p99_us']:.0f} us |", flush=True)
        else:
            print(f"| {title} | {what} | {v['us'] / 1e6:.3f} s |", flush=True)


def connect(n):
    for what, v in medians([run("bench-connect", n) for _ in range(RUNS)], lambda f: ["p50_us", "p99_us"]):
        print(f"| {n:,} services | {what} | p50 {v['p50_us']:.1f} us, p99 {v['p99_us']:.1f} us |", flush=True)


def kube_proxy_shape(n):
    """A chain per Service with an anonymous verdict map over its endpoints, a chain per endpoint, one verdict map of all
    Services: the objects kube-proxy's nftables mode makes, two endpoints each."""
    lines = ["table ip bench {", " map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }",
             " chain nat { type nat hook prerouting priority dstnat; ip daddr . meta l4proto . th dport vmap @service-ips; }"]
    elements = []
    for i in range(n):
        ip = f"10.{96 + (i >> 16)}.{(i >> 8) & 255}.{i & 255}"
        for e in range(2):
            ep = f"11.{e}.{(i >> 8) & 255}.{i & 255}"
            lines.append(f" chain ep-{i}-{e} {{ ip saddr {ep} meta mark set meta mark or 0x4000; meta l4proto tcp dnat to {ep}:8080; }}")
        lines.append(f" chain svc-{i} {{ numgen random mod 2 vmap {{ 0 : goto ep-{i}-0, 1 : goto ep-{i}-1 }}; }}")
        elements.append(f"{ip} . tcp . 80 : goto svc-{i}")
    lines += ["}", "add element ip bench service-ips { " + ", ".join(elements) + " }"]
    with tempfile.NamedTemporaryFile("w", suffix=".nft") as f:
        f.write("\n".join(lines) + "\n")
        f.flush()
        start = time.monotonic()
        subprocess.run(["unshare", "-n", "nft", "-f", f.name], check=True, timeout=300)
        return time.monotonic() - start


def main():
    if os.geteuid() != 0:
        sys.exit("bench/kernel: needs root")
    print(f"Linux {os.uname().release}, {os.cpu_count()} CPUs, median of {RUNS}\n")
    print("| size | what | figure |\n|---|---|---|")
    services("45,000 x 1", 45000, 1)
    services("5,000 x 50", 5000, 50)
    services("3,000 x 1..300", 3000, "mixed")
    for n in (10, 1000, 45000):
        connect(n)
    for n in (1000, 3000, 5000):
        t = statistics.median(kube_proxy_shape(n) for _ in range(RUNS))
        print(f"| {n:,} x 2, kube-proxy's shape | cold load with nft -f | {t:.2f} s |", flush=True)


if __name__ == "__main__":
    main()
