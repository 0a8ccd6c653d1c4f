#!/usr/bin/env python3
"""From an API write to served traffic: a lab, its control plane and one gateway, among N Ingresses of as many Services.

Usage: run.py BUILD [--ingresses N] [--changes N]   (root). Prints a table; ratios to a peer are told where one runs.
Times are from the moment the write is sent to the first answer that shows it, asked for over and over on one connection."""
import argparse
import http.client
import json
import os
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
arguments = argparse.ArgumentParser()
arguments.add_argument("build")
arguments.add_argument("--ingresses", type=int, default=3000)
arguments.add_argument("--changes", type=int, default=100)
options = arguments.parse_args()
os.environ["FAIRLEAD_BIN"] = str(pathlib.Path(options.build).absolute() / "bin")
import lab_harness  # noqa: E402
from suite import wait_until  # noqa: E402

SYSTEM = "fairlead-system"
PROGRAMS = ("fairlead-control", "fairlead-proxy")


class Api:
    def __init__(self, lab):
        self.conn = lab.connect()

    def call(self, method, path, body=None, kind="application/json"):
        self.conn.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": kind})
        r = self.conn.getresponse()
        text = r.read()
        assert r.status < 300, (method, path, r.status, text[:300])
        return json.loads(text)


def service(name):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": {"ports": [{"name": "http", "port": 80}]}}


def endpoint_slice(name, ip):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": name}},
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}], "endpoints": [{"addresses": [ip], "conditions": {"ready": True}}]}


def ingress(name, to):
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name, "namespace": "default"}, "spec": {
        "ingressClassName": "fairlead", "rules": [{"host": f"{name}.example", "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": to, "port": {"number": 80}}}}]}}]}}


class Gateway:
    def __init__(self, address):
        self.conn = http.client.HTTPConnection(address, 80, timeout=10)

    def ask(self, host):
        self.conn.request("GET", "/name", headers={"Host": host})
        r = self.conn.getresponse()
        return r.status, r.read().decode().strip()


def rss(pids):
    return max(int(line.split()[1]) for pid in pids for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS")) / 1024


def until(gateway, host, is_so):
    while not is_so(*gateway.ask(host)):
        pass


def cpu_ms(program):
    """User and system, of all of its processes."""
    return sum(int(open(f"/proc/{p}/task/{t}/schedstat").read().split()[0]) for p in pids(program) for t in os.listdir(f"/proc/{p}/task")) / 1e6


def row(what, changes):
    """changes: calls that make one each, and tell how long it took."""
    before = [cpu_ms(p) for p in PROGRAMS]
    ms = sorted(change() * 1000 for change in changes)
    each = [(cpu_ms(p) - b) / len(ms) for p, b in zip(PROGRAMS, before)]
    print(f"| {what} | {len(ms)} | {statistics.median(ms):.2f} | {ms[max(0, int(len(ms) * 0.99) - 1)]:.2f} | {ms[-1]:.2f} | {each[0]:.2f} | {each[1]:.2f} |", flush=True)


def timed(act, gateway, host, is_so):
    begin = time.perf_counter()
    act()
    until(gateway, host, is_so)
    return time.perf_counter() - begin


def runs(pid, program):
    try:
        return os.path.samefile(f"/proc/{pid}/exe", f"{os.environ['FAIRLEAD_BIN']}/{program}")
    except OSError:  # it has ended
        return False


def pids(program):
    """Of this build."""
    return [int(p) for p in os.listdir("/proc") if p.isdigit() and runs(p, program)]


def measure(lab):
    api = Api(lab)
    base = "/apis/networking.k8s.io/v1/namespaces/default/ingresses"
    slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    lab.patch(f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/fairlead-gateway", {"spec": {"replicas": 1}})
    for name in ("a", "b"):
        lab.apply(lab_harness.echo(name, args=("--name", name)))
    ip = {name: lab.wait_ready(f"app={name}", 1)[0]["status"]["podIP"] for name in ("a", "b")}
    wait_until("one gateway is left", lambda: len(lab.pods("app=fairlead-gateway", SYSTEM)) == 1, 60)
    address = lab.get("svc/fairlead-gateway", "-n", SYSTEM)["status"]["loadBalancer"]["ingress"][0]["ip"]
    n = options.ingresses
    begin = time.perf_counter()
    for i in range(n):
        api.call("POST", "/api/v1/namespaces/default/services", service(f"s{i}"))
        api.call("POST", slices, endpoint_slice(f"s{i}", ip["a"]))
        api.call("POST", base, ingress(f"i{i}", f"s{i}"))
    gateway = Gateway(address)
    until(gateway, f"i{n - 1}.example", lambda s, _: s == 200)
    print(f"{n} Services, slices and Ingresses, each written by itself: {time.perf_counter() - begin:.1f} s")
    control, proxy = (pids(p) for p in PROGRAMS)
    print(f"resident: control {rss(control):.1f} MiB, gateway {rss(proxy):.1f} MiB\n")
    print("| change | times | p50 ms | p99 ms | max ms | control CPU ms | gateway CPU ms |\n|---|---|---|---|---|---|---|")
    served = lambda s, _: s == 200  # noqa: E731
    changes = range(options.changes)
    row("route added", [lambda i=i: timed(lambda: api.call("POST", base, ingress(f"x{i}", "s0")), gateway, f"x{i}.example", served) for i in changes])
    api.call("POST", "/api/v1/namespaces/default/services", service("only-b"))
    api.call("POST", slices, endpoint_slice("only-b", ip["b"]))

    def change(i):
        spec = ingress(f"x{i}", "only-b")["spec"]
        return timed(lambda: api.call("PATCH", f"{base}/x{i}", {"spec": spec}, "application/merge-patch+json"), gateway, f"x{i}.example",
                     lambda s, text: text == "b")
    row("route changed", [lambda i=i: change(i) for i in changes])
    row("route removed", [lambda i=i: timed(lambda: api.call("DELETE", f"{base}/x{i}"), gateway, f"x{i}.example", lambda s, _: s == 404) for i in changes])

    def endpoint(i):
        want = "ab"[(i + 1) % 2]
        body = {"endpoints": [{"addresses": [ip[want]], "conditions": {"ready": True}}]}
        return timed(lambda: api.call("PATCH", f"{slices}/s1", body, "application/merge-patch+json"), gateway, "i1.example", lambda s, text: text == want)
    row("endpoint changed", [lambda i=i: endpoint(i) for i in changes])
    row("API write alone", [lambda i=i: timed(lambda: api.call("PATCH", f"{slices}/s2", {"metadata": {"labels": {"n": str(i)}}}, "application/merge-patch+json"), gateway,
                                  "i2.example", served) for i in changes])
    os.kill(pids("fairlead-control")[0], 9)
    begin = time.perf_counter()
    lab.wait_ready("app=fairlead-control", 1, SYSTEM)
    until(gateway, "i1.example", served)
    log = lab.fairlead("logs", "-n", SYSTEM, lab.pods("app=fairlead-control", SYSTEM)[0]["metadata"]["name"])
    print("\ncontrol, started again: " + next(line for line in log.splitlines() if "first sync done" in line).split("msg=")[1])


def main():
    lab = lab_harness.Lab("bench")
    try:
        lab.up("--ingress")
        measure(lab)
    finally:
        lab.down()


main()
