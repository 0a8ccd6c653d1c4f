#!/usr/bin/env python3
"""What proxying costs: CPU time per request of each proxy, in interleaved rounds of one run, as ratios to the relay.

  run.py BUILD_DIR          ROUNDS=5 REQUESTS=40000 CONNECTIONS=64,512 PEERS=relay,relay-conn,fairlead,nginx,haproxy,envoy   ENVOY=/path for Envoy

Load and origin share one core, the proxy has the other. CPU time is user and system of all threads of the proxy (schedstat) between
two closed-loop rounds' ends, divided by the requests of the round. Latencies are those of an open loop at RATE (default: half of what the
slowest peer answered), so that a late answer does not delay the next question. Everything stays on loopback and ends by itself.
"""
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build").resolve()
ROUNDS = int(os.environ.get("ROUNDS", "5"))
REQUESTS = int(os.environ.get("REQUESTS", "40000"))
CONNECTIONS = [int(n) for n in os.environ.get("CONNECTIONS", "64,512").split(",")]
ENVOY = os.environ.get("ENVOY", "")
PEERS = [p for p in os.environ.get("PEERS", "relay,relay-conn,fairlead,nginx,haproxy,envoy").split(",") if p != "envoy" or ENVOY]

NGINX = """worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx.log; daemon off;
events {{ worker_connections 4096; }}
http {{ access_log off; client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir}; uwsgi_temp_path {dir}; scgi_temp_path {dir};
  keepalive_requests 1000000000;
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port}{nginx_tls} backlog=1024; {nginx_keys} location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; }} }} }}
"""
HAPROXY = """global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend f
  bind 127.0.0.1:{port}{haproxy_tls} backlog 1024
  default_backend b
backend b
  server s 127.0.0.1:{origin} pool-max-conn 1024
"""
ENVOY_YAML = """static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: f
          generate_request_id: false # as the others are asked
          server_header_transformation: PASS_THROUGH
          route_config: {{virtual_hosts: [{{name: v, domains: ["*"], routes: [{{match: {{prefix: "/"}}, route: {{cluster: b}}}}]}}]}}
          http_filters: [{{name: envoy.filters.http.router, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}]
  clusters:
  - name: b
    type: STATIC
    circuit_breakers: {{thresholds: [{{max_connections: 4096, max_pending_requests: 4096, max_requests: 4096}}]}}
    load_assignment: {{cluster_name: b, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {origin}}}}}}}}}]}}]}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nobody listens on {port}")


def start(cpu, *argv, log):
    return subprocess.Popen(["taskset", "-c", str(cpu), *map(str, argv)], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)


class Peer:
    def __init__(self, name, directory, origin, tls=None):
        """tls: (certificate, key, a file with both)."""
        self.name, self.port = name, free_port()
        self.log = open(directory / f"{name}.log", "wb")
        values = {"dir": directory, "port": self.port, "origin": origin, "nginx_tls": " ssl" if tls else "",
                  "nginx_keys": f"ssl_certificate {tls[0]}; ssl_certificate_key {tls[1]}; ssl_protocols TLSv1.2 TLSv1.3;" if tls else "",
                  "haproxy_tls": f" ssl crt {tls[2]}" if tls else ""}
        if name in ("relay", "relay-conn"):
            argv = [BUILD / "bench" / name, self.port, origin]
        elif name == "fairlead":
            argv = [BUILD / "bin/fairlead-proxy", "--listen", f"127.0.0.1:{self.port}", "--route", f"/=http://127.0.0.1:{origin}"]
            argv += ["--tls", f"{tls[0]},{tls[1]}"] if tls else []
        else:
            text = {"nginx": NGINX, "haproxy": HAPROXY, "envoy": ENVOY_YAML}[name].format(**values)
            config = directory / f"{name}.{'yaml' if name == 'envoy' else 'conf'}"
            config.write_text(text)
            argv = {"nginx": ["nginx", "-p", directory, "-c", config], "haproxy": ["haproxy", "-db", "-f", config],
                    "envoy": [ENVOY, "-c", config, "--concurrency", 1, "--log-level", "error"]}[name]
        self.process = start(0, *argv, log=self.log)
        wait_for(self.port)

    def pids(self):
        pids, found = [self.process.pid], []
        while pids:
            pid = pids.pop()
            found.append(pid)
            pids += map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return found

    def cpu_ns(self):
        return sum(int(task.read_text().split()[0]) for pid in self.pids() for task in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"))

    def rss_kib(self):
        return sum(int(line.split()[1]) for pid in self.pids() for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS"))

    def stop(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(20)


def load(port, connections, requests, rate=None):
    argv = ["taskset", "-c", "1", str(BUILD / "bench/proxy-load"), str(port), str(connections), str(requests)] + ([str(rate)] if rate else [])
    out = subprocess.run(argv, capture_output=True, text=True, timeout=180, check=False)
    if out.returncode:
        sys.exit(f"load of {port}: {out.stdout}{out.stderr}")
    return {k: float(v) for k, v in (line.split("=") for line in out.stdout.split())}


def measure(peers, connections):
    cpu, rps = {p.name: [] for p in peers}, {p.name: [] for p in peers}
    for p in peers:
        load(p.port, connections, REQUESTS // 4)
    for _ in range(ROUNDS):
        for p in peers:
            before = p.cpu_ns()
            got = load(p.port, connections, REQUESTS)
            cpu[p.name].append((p.cpu_ns() - before) / 1000 / got["requests"])
            rps[p.name].append(got["rps"])
    return {n: statistics.median(v) for n, v in cpu.items()}, {n: statistics.median(v) for n, v in rps.items()}


def main():
    missing = [p for p in PEERS if p in ("nginx", "haproxy") and not shutil.which(p)]
    if missing:
        sys.exit(f"install {' '.join(missing)} (Debian packages), or leave them out of PEERS")
    with tempfile.TemporaryDirectory(prefix="bench-proxy.") as name:
        directory = pathlib.Path(name)
        origin_port = free_port()
        origin = start(1, BUILD / "bench/proxy-origin", origin_port, log=subprocess.DEVNULL)
        wait_for(origin_port)
        peers = []
        try:
            peers = [Peer(p, directory, origin_port) for p in PEERS]
            idle = {p.name: p.rss_kib() for p in peers}
            results = {c: measure(peers, c) for c in CONNECTIONS}
            rate = int(os.environ.get("RATE", min(min(r.values()) for _, r in results.values()) / 2))
            latency = {p.name: load(p.port, CONNECTIONS[0], rate * 4, rate) for p in peers}
            print(f"HTTP/1.1 keep-alive, request of 357 bytes, answer of 1 KiB; medians of {ROUNDS} rounds of {REQUESTS}")
            head = "".join(f" | us/request at {c} | x relay | requests/s" for c in CONNECTIONS)
            print(f"| proxy{head} | RSS idle, now | p50, p99, p99.9 at {rate}/s |")
            print("|---" * (3 + 3 * len(CONNECTIONS)) + "|")
            for p in peers:
                cells = [p.name]
                for c in CONNECTIONS:
                    cpu, rps = results[c]
                    cells += [f"{cpu[p.name]:.1f}", f"{cpu[p.name] / cpu[PEERS[0]]:.2f}", f"{rps[p.name]:.0f}"]
                cells.append(f"{idle[p.name] / 1024:.1f}, {p.rss_kib() / 1024:.1f} MiB")
                cells.append(", ".join(f"{latency[p.name][q]:.0f}" for q in ("p50_us", "p99_us", "p999_us")))
                print("| " + " | ".join(cells) + " |")
        finally:
            for p in peers:
                p.stop()
            os.killpg(origin.pid, signal.SIGTERM)


if __name__ == "__main__":
    main()
