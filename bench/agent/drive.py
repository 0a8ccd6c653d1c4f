"""Runs in the node's namespace: fills the API with services and endpoints, then changes one slice at a time and reads how long the
agent took from the event to the kernel, in RUNS (5) rounds. TOPOLOGY=1: endpoints name nodes (100), zones (3), hints and pods, as
real ones do. Prints a table of medians."""
import http.client
import json
import os
import ssl
import statistics
import sys
import threading
import time

import yaml_free_kubeconfig as kc

SERVICES, PER_SERVICE, CHANGES = 10000, 10, 1000
RUNS = int(os.environ.get("RUNS", "5"))
TOPOLOGY = bool(os.environ.get("TOPOLOGY"))


def connect(config):
    context = ssl.create_default_context(cafile=config["ca"])
    context.load_cert_chain(config["cert"], config["key"])
    return http.client.HTTPSConnection(config["host"], config["port"], context=context, timeout=30)


def call(conn, method, path, body=None):
    conn.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
    answer = conn.getresponse()
    data = answer.read()
    if answer.status >= 300:
        sys.exit(f"{method} {path}: {answer.status} {data[:300]!r}")
    return json.loads(data)


def topology_of(n):
    if not TOPOLOGY:
        return {}
    zone = f"zone-{n % 3}"
    return {"nodeName": f"worker-{n % 100}.example.internal", "zone": zone, "hints": {"forZones": [{"name": zone}]},
            "targetRef": {"kind": "Pod", "namespace": "default", "name": f"app-7d9f8b6c5-{n:06d}"}}


def slice_of(i, shift):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": f"s{i}", "labels": {"kubernetes.io/service-name": f"s{i}"}},
            "ports": [{"name": "", "port": 80, "protocol": "TCP"}],
            "endpoints": [{"addresses": [f"10.{128 + (i * PER_SERVICE + k) // 65536}.{(i * PER_SERVICE + k) // 256 % 256}.{(i * PER_SERVICE + k + shift) % 256}"],
                           "conditions": {"ready": True}, **topology_of(i * PER_SERVICE + k)} for k in range(PER_SERVICE)]}


def fill(config, first, step):
    conn = connect(config)
    for i in range(first, SERVICES, step):
        call(conn, "POST", "/api/v1/namespaces/default/services",
             {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"s{i}"}, "spec": {"ports": [{"port": 80}]}})
        call(conn, "POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice_of(i, 0))


def metric(name):
    conn = http.client.HTTPConnection("127.0.0.1", 10249, timeout=10)
    conn.request("GET", "/metrics")
    for line in conn.getresponse().read().decode().splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    return None


def wait_for(name, value):
    end = time.monotonic() + 60
    while metric(name) < value:
        if time.monotonic() > end:
            sys.exit(f"{name} stays at {metric(name)}, not {value}")
        time.sleep(0.05)


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def one_round(conn, number):
    """Milliseconds from event to kernel of CHANGES changes, sorted."""
    samples = []
    for n in range(CHANGES):
        i = n * 7 % SERVICES
        before = metric("fairlead_agent_transactions_total")
        call(conn, "PUT", f"/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/s{i}", slice_of(i, 1 + (n + number) % 5))
        while metric("fairlead_agent_transactions_total") == before:
            pass
        samples.append(metric("fairlead_agent_event_to_kernel_last_us") / 1000)
    return sorted(samples)


def main():
    config, pid = kc.load(sys.argv[1]), int(sys.argv[2])
    empty = rss_kib(pid)
    threads = [threading.Thread(target=fill, args=(config, n, 3)) for n in range(3)]
    began = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    wait_for("fairlead_agent_endpointslices", SERVICES)
    filled = time.monotonic() - began
    conn = connect(config)
    rounds = [one_round(conn, n) for n in range(RUNS)]
    rows = [("agent RSS, empty cluster, MiB", empty / 1024, "-"),
            (f"agent RSS, {SERVICES:,} services, {SERVICES * PER_SERVICE:,} endpoints, MiB", rss_kib(pid) / 1024, 60),
            ("made through the API while the agent followed, s", filled, "-"),
            (f"event to kernel, {CHANGES:,} slices changed, p50, ms", statistics.median(r[len(r) // 2] for r in rounds), "-"),
            ("event to kernel, p99, ms", statistics.median(r[int(len(r) * 0.99)] for r in rounds), 10),
            ("event to kernel, worst, ms", max(r[-1] for r in rounds), "-")]
    print(f"{os.cpu_count()} CPUs, Linux {os.uname().release}, medians of {RUNS} rounds\n| what | measured | budget |\n|---|---|---|")
    for what, value, budget in rows:
        print(f"| {what} | {value:.2f} | {budget} |")


main()
