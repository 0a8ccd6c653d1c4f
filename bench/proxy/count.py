#!/usr/bin/env python3
"""Instructions, system calls and allocations per proxied request, counted by callgrind: the same on every machine, so a ratchet can stand on them.

  count.py BUILD_DIR            prints the counts
  count.py BUILD_DIR --check    and fails if one is worse than bench/proxy/counts.json by more than 2 %
  count.py BUILD_DIR --update   and writes them there

One connection asks one request after the other; what the first 100 take is taken off, so that start-up and caches do not count.
"""
import collections
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(sys.argv[1]).resolve()
RECORD = pathlib.Path(__file__).with_name("counts.json")
PROGRAMS = {"relay": "bench/relay {port} {origin}", "relay-conn": "bench/relay-conn {port} {origin}",
            "fairlead-proxy": "bin/fairlead-proxy --listen 127.0.0.1:{port} --route /=http://127.0.0.1:{origin}",
            "fairlead-proxy, Istio's metrics": "bin/fairlead-proxy -c {metrics}"}
HEADS = {"read a head": "read", "write a head": "write"}
SYSTEM_CALLS = {"recv", "recvfrom", "recvmsg", "read", "readv", "send", "sendto", "sendmsg", "write", "writev", "epoll_wait", "epoll_pwait", "epoll_ctl", "accept4", "connect", "close",
                "timerfd_settime"}
ALLOCATIONS = {"malloc", "calloc", "realloc"}
FEW, MANY = 100, 600
# libc's plainest copies and searches, so that the processor's own features decide nothing.
PLAIN = {**os.environ, "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-BMI2,-MOVBE,-ERMS,-FSRM,-RTM,-SSE4_2,-SSSE3"}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    for _ in range(400):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"count: nobody listens on {port}")


def count_proxy(command, requests, origin, directory):
    """Instructions, and calls of libc's functions, of a whole run."""
    port, out = free_port(), directory / f"{requests}.out"
    metrics = directory / "metrics.yaml"
    metrics.write_text(RECORD.with_name("metrics.yaml").read_text().replace("PORT", str(port)).replace("ORIGIN", str(origin)))
    argv = f"{BUILD}/{command.format(port=port, origin=origin, metrics=metrics)}".split()
    process = subprocess.Popen(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *argv], stderr=subprocess.PIPE, text=True, env=PLAIN)
    try:
        wait_for(port)
        subprocess.run([BUILD / "bench/proxy-load", str(port), "1", str(requests)], check=True, stdout=subprocess.DEVNULL, timeout=60)
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    return read_counts(out, err)


def count_heads(what, times, directory):
    out = directory / f"{times}.out"
    done = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", BUILD / "bench/bench-http1", what, str(times)], capture_output=True, text=True, check=True, env=PLAIN)
    return read_counts(out, done.stderr)


def read_counts(out, err):
    text = out.read_text()
    total = re.search(r"^(?:totals|summary): (\d+)", text, re.M)
    if not total:
        sys.exit(f"count: callgrind left no total: {err}")
    names, calls, callee = {}, collections.Counter(), None
    for line in text.splitlines():
        if line.startswith(("fn=", "cfn=")):
            ident, _, name = line.partition("=")[2].partition(" ")
            names.setdefault(ident, name.split("'")[0])
            if line[0] == "c":
                callee = names[ident]
        elif line.startswith("calls="):
            calls[callee] += int(line[6:].split()[0])
    return int(total[1]), calls


def per_request(count):
    """What one request more costs; count(requests, directory) counts a run."""
    with tempfile.TemporaryDirectory(prefix="count-proxy.") as name:
        few, few_calls = count(FEW, pathlib.Path(name))
        many, many_calls = count(MANY, pathlib.Path(name))
    calls = {n: (many_calls[n] - few_calls[n]) / (MANY - FEW) for n in many_calls}

    def total(of):
        return round(sum(v for n, v in calls.items() if n.split("@")[0] in of), 2)
    return {"instructions": round((many - few) / (MANY - FEW)), "system calls": total(SYSTEM_CALLS), "allocations": total(ALLOCATIONS)}


def main():
    origin_port = free_port()
    origin = subprocess.Popen([BUILD / "bench/proxy-origin", str(origin_port)])
    try:
        wait_for(origin_port)
        found = {name: per_request(lambda n, d, command=command: count_proxy(command, n, origin_port, d)) for name, command in PROGRAMS.items()}
        found |= {name: per_request(lambda n, d, what=what: count_heads(what, n, d)) for name, what in HEADS.items()}
    finally:
        origin.terminate()
    print("| per request | instructions | system calls | allocations |\n|---|---|---|---|")
    for name, counts in found.items():
        print(f"| {name} | " + " | ".join(str(v) for v in counts.values()) + " |")
    if "--update" in sys.argv:
        RECORD.write_text(json.dumps(found, indent=1) + "\n")
    worse = [f"{name}: {what} {counts[what]}, {recorded} before" for name, of in (json.loads(RECORD.read_text()) if "--check" in sys.argv else {}).items()
             for what, recorded in of.items() for counts in [found[name]] if counts[what] > recorded * 1.02 + 0.01]
    if worse:
        sys.exit("count: worse than bench/proxy/counts.json (a better figure is recorded with --update)\n" + "\n".join(worse))


main()
