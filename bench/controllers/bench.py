#!/usr/bin/env python3
"""What the controllers cost at a size: CPU of `fairlead-labd controllers` beside the API server of the build directory.

    bench/controllers/bench.py [--pods 2000] [--services 500]

Services and ReplicaSets share the pods evenly, all in one namespace; there is no node, the bench writes what one would report.
Prints a table: from an empty process to all EndpointSlices written; readiness of 400 pods turning; 100 ReplicaSets deleted with
their pods."""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from api_server import Server  # noqa: E402
from suite import LABD  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
NS = "/api/v1/namespaces/default/"
RS = "/apis/apps/v1/namespaces/default/replicasets"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"


def cpu(pid):
    f = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(f[11]) + int(f[12])) / TICK


def rss_mib(pid):
    return next(int(l.split()[1]) for l in open(f"/proc/{pid}/status") if l.startswith("VmRSS")) / 1024


def until(what, fn, timeout=300):
    end = time.monotonic() + timeout
    while not fn():
        if time.monotonic() > end:
            raise SystemExit(f"never: {what}")
        time.sleep(0.05)


class World:
    def __init__(self, pods, services):
        self.pods, self.services = pods, services
        self.server = Server(tempfile.mkdtemp(prefix="bench-controllers-")).start()
        self.conn = self.server.connect(120)
        self.process = None

    def call(self, method, path, body=None, type="application/json"):
        r = self.server.call(method, path, json.dumps(body) if body else None, type=type, conn=self.conn)
        assert r.status < 300, r.body
        return r.json

    def list(self, path):
        return self.call("GET", path)["items"]

    def status(self, pod, ready):
        self.call("PATCH", NS + f"pods/{pod}/status", {"status": {"conditions": [
            {"type": "Ready", "status": "True" if ready else "False"}]}}, "application/merge-patch+json")

    def fill(self):
        self.call("POST", "/api/v1/nodes", {"metadata": {"name": "n"}})
        self.call("POST", NS + "serviceaccounts", {"metadata": {"name": "default"}})
        each = self.pods // self.services
        for s in range(self.services):
            labels, name = {"app": f"s{s}"}, f"s{s}"
            self.call("POST", NS + "services", {"metadata": {"name": name}, "spec": {"selector": labels, "ports": [{"port": 80}]}})
            template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
            uid = self.call("POST", RS, {"metadata": {"name": name}, "spec": {
                "replicas": each, "selector": {"matchLabels": labels}, "template": template}})["metadata"]["uid"]
            owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": uid, "controller": True, "blockOwnerDeletion": True}
            for p in range(each):
                n = s * each + p
                pod, ip = f"p{n}", f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"
                self.call("POST", NS + "pods", {"metadata": {"name": pod, "labels": labels, "ownerReferences": [owner]},
                                                "spec": {**template["spec"], "nodeName": "n"}})
                self.call("PATCH", NS + f"pods/{pod}/status", {"status": {
                    "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
                    "conditions": [{"type": "Ready", "status": "True"}]}}, "application/merge-patch+json")

    def endpoints(self, ready=True):
        return sum(e["conditions"]["ready"] == ready for s in self.list(SLICES) for e in s.get("endpoints") or []
                   if s["metadata"]["name"] != "kubernetes")

    def settled(self):
        """No CPU for a while: everything that a change brings about is done."""
        pid, last, since = self.process.pid, -1.0, time.monotonic()
        while time.monotonic() - since < 1.5:
            now = cpu(pid)
            if now - last > 2 / TICK:
                last, since = now, time.monotonic()
            time.sleep(0.1)

    def measure(self, what, n, act, done):
        before, begin = cpu(self.process.pid), time.monotonic()
        act()
        until(what, done)
        took = time.monotonic() - begin
        self.settled()
        used = cpu(self.process.pid) - before
        print(f"| {what} | {took:.2f} s | {used:.2f} s | {used / n * 1e3:.2f} ms |", flush=True)

    def start(self):
        self.process = subprocess.Popen([LABD, "controllers", "--kubeconfig", self.server.kubeconfig(),
                                         "--node-monitor-grace-period", "1h"], stderr=open(self.server.dir / "controllers.log", "wb"))


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--pods", type=int, default=2000)
    a.add_argument("--services", type=int, default=500)
    o = a.parse_args()
    w = World(o.pods, o.services)
    try:
        w.fill()
        print(f"{o.pods} pods, {o.services} Services, {o.services} ReplicaSets\n\n| what | until done | CPU of the controllers | each |\n|---|---|---|---|")
        w.start()
        before = w.process
        begin = time.monotonic()
        until("all slices", lambda: w.endpoints() == o.pods, 600)
        took = time.monotonic() - begin
        w.settled()
        print(f"| start: all slices written | {took:.2f} s | {cpu(before.pid):.2f} s | {cpu(before.pid) / o.services * 1e3:.2f} ms a Service |", flush=True)
        w.measure("400 pods stop being ready", 400, lambda: [w.status(f"p{i}", False) for i in range(400)], lambda: w.endpoints(False) == 400)
        w.measure("100 ReplicaSets deleted", 100,
                  lambda: [w.call("DELETE", f"{RS}/s{i}", {"propagationPolicy": "Background"}) for i in range(100)],
                  lambda: sum("deletionTimestamp" in p["metadata"] for p in w.list(NS + "pods")) == 100 * (o.pods // o.services))
        print(f"\nresident: {rss_mib(w.process.pid):.1f} MiB")
    finally:
        if w.process:
            w.process.terminate()
            w.process.wait()
        w.server.stop()
        subprocess.run(["rm", "-r", w.server.dir])


if __name__ == "__main__":
    main()
