#!/usr/bin/env python3
"""Resident memory of a sidecar that has nothing to do, and that knows N Services of two endpoints each (1,000 unless said); and how long it took to be ready.

  memory.py [N]     FAIRLEAD_BIN says which programs. Needs root: it starts a lab.
"""
import pathlib
import re
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/e2e"), str(ROOT / "tests/e2e/mesh")]
import lab_harness  # noqa: E402
from suite import run, wait_until  # noqa: E402

N = int(sys.argv[1]) if len(sys.argv) > 1 else 1000


def proxy_of(lab, where):
    for pid in run("ip", "netns", "pids", lab.netns(where)).split():
        if b"fairlead-proxy" in open(f"/proc/{pid}/cmdline", "rb").read():
            return pid
    return None


def kib(pid, word):
    return int(re.search(rf"^{word}:\s+(\d+)", open(f"/proc/{pid}/status").read(), re.M)[1])


def told(pid):
    """Pages of programs and libraries are there once for all processes of a node."""
    return f"{kib(pid, 'VmRSS') / 1024:.1f} | {kib(pid, 'RssAnon') / 1024:.1f}"


def services(n):
    for i in range(n):
        name = f"s{i}"
        yield {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "many"}, "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]}}
        yield {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": name, "namespace": "many", "labels": {"kubernetes.io/service-name": name}},
               "addressType": "IPv4", "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
               "endpoints": [{"addresses": [f"10.99.{i // 100}.{i % 100 * 2 + k}"]} for k in (1, 2)]}


def main():
    lab = lab_harness.Lab()
    try:
        lab.up("--mesh")
        lab.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "many"}})
        lab.patch("/api/v1/namespaces/default", {"metadata": {"labels": {"istio-injection": "enabled"}}})
        lab.apply(lab_harness.echo("one"), lab_harness.service("one"))
        lab.wait_ready("app=one", 1)
        pod = lab.ready_pods("app=one")[0]["metadata"]["name"]
        where = lab.pod_netns(pod)
        pid = wait_until("it runs", lambda: proxy_of(lab, where))

        def clusters():
            text = lab.fairlead("exec", pod, "-c", "istio-proxy", "--", "/run/fairlead/bin/fairlead-proxy", "request", "GET", "/stats?filter=cluster_manager.active_clusters")
            return int(re.search(r"active_clusters: (\d+)", text)[1])
        idle, few = told(pid), clusters()
        for start in range(0, N, 500):
            lab.apply(*list(services(N))[2 * start:2 * min(start + 500, N)])
        wait_until("it knows all of them", lambda: clusters() >= few + N, 60)
        time.sleep(2)  # what is given back late
        print(f"| | resident, MiB | of it its own |\n|---|---|---|\n| a sidecar, idle, {few} clusters | {idle} |\n| the same, {N} Services of two endpoints more | {told(pid)} |")
        print(f"| the control plane, by then | {told(control_of(lab))} |")
    finally:
        lab.down()


def control_of(lab):
    name = lab.pods("app=fairlead-control", "fairlead-system")[0]["metadata"]["name"]
    for pid in run("ip", "netns", "pids", lab.netns(lab.pod_netns(name, "fairlead-system"))).split():
        if b"fairlead-control" in open(f"/proc/{pid}/cmdline", "rb").read():
            return pid
    return None


main()
