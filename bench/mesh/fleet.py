#!/usr/bin/env python3
"""A control plane and N sidecars of it (simulated: streams of their own, in one process): how long until all have everything, how long until a change of endpoints is with all of
them, alone and while routes change, and what the control plane needs for each.

  fleet.py [--proxies N] [--services N] [--changes N] [--at-once N]     (2000, 1000, 50, 64) FAIRLEAD_BIN and the build beside it say which programs. Needs root: it starts a lab.
           [--istiod PATH [--beside N]]
                                                        istiod: pilot-discovery, which then has N (200) such proxies, and so has a control plane of ours
                                                        at-once: so many at a time have not got everything; all of them connect at the same moment with that many or more
"""
import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/e2e")]
import lab_harness  # noqa: E402
from suite import wait_until  # noqa: E402

BIN = pathlib.Path(os.environ["FAIRLEAD_BIN"])
options = argparse.ArgumentParser(usage=__doc__)
for flag, default in (("proxies", 2000), ("services", 1000), ("changes", 50), ("at-once", 64)):
    options.add_argument("--" + flag, type=int, default=default)
options.add_argument("--istiod")
options.add_argument("--beside", type=int, default=200)
args = options.parse_args()


def kib(pid, word="VmRSS"):
    return int(re.search(rf"^{word}:\s+(\d+)", open(f"/proc/{pid}/status").read(), re.M)[1])


def cpu(pid):
    return sum(map(int, open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")


def service(i):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"s{i}", "namespace": "many"}, "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]}}


def endpoints(i, port):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": f"s{i}", "namespace": "many", "labels": {"kubernetes.io/service-name": f"s{i}"}},
            "addressType": "IPv4", "ports": [{"name": "http", "port": port, "protocol": "TCP"}], "endpoints": [{"addresses": [f"10.99.{i // 250}.{i % 250 + 1}"]}]}


def routes(i, header):
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": f"s{i}", "namespace": "many"},
            "spec": {"hosts": [f"s{i}"], "http": [{"headers": {"request": {"set": {"x-turn": header}}}, "route": [{"destination": {"host": f"s{i}"}}]}]}}


class Fleet:
    def __init__(self, of, n):
        self.process = subprocess.Popen([BIN.parent / "bench/mesh-fleet", f"127.0.0.1:{of.xds}", str(n), str(args.services), str(args.services if of.hosts else 0), str(args.at_once)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def line(self):
        line = self.process.stdout.readline()
        assert line, "the fleet has ended"
        return line.split()

    def told(self, lab, i, port):
        """Microseconds from the write to half, to 99 in a hundred, to all of them."""
        self.process.stdin.write(f"await outbound|80||s{i}.many.svc.cluster.local {port}\n")
        self.process.stdin.flush()
        assert self.line() == ["awaiting"]
        begin = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        lab.raw(f"/apis/discovery.k8s.io/v1/namespaces/many/endpointslices/s{i}", "PATCH", {"ports": [{"name": "http", "port": port, "protocol": "TCP"}]})
        word, *times = self.line()
        assert word == "told"
        return [int(t) - begin for t in times]


def row(name, found):
    """Of all changes: the median of each figure, and the worst p99."""
    columns = [statistics.median(f[k] for f in found) / 1000 for k in range(1, 4)]
    print(f"| {name} | " + " | ".join(f"{c:.1f}" for c in columns) + f" | {max(f[2] for f in found) / 1000:.1f} |", flush=True)


class Ours:
    name, xds, hosts = "control plane", 15910, True  # each by itself

    def __init__(self, lab, directory):
        self.process = subprocess.Popen([BIN / "fairlead-control", "--kubeconfig", lab.kubeconfig, f"--xds-bind-address=127.0.0.1:{self.xds}", "--debug-bind-address=127.0.0.1:15914", "--leader-namespace=default"],
                                        stderr=open(f"{directory}/control.log", "w"))
        wait_until("it serves", lambda: answers("http://127.0.0.1:15914/ready"), 30)


class Istiod:
    name, xds, hosts = "istiod", 15920, False  # in their tables

    def __init__(self, lab, directory):
        env = dict(os.environ, POD_NAME="istiod", POD_NAMESPACE="istio-system", SERVICE_ACCOUNT="istiod", REVISION="default", PILOT_CERT_PROVIDER="istiod", CLUSTER_ID="Kubernetes", INJECT_ENABLED="false",
                   VALIDATION_WEBHOOK_CONFIG_NAME="", INJECTION_WEBHOOK_CONFIG_NAME="", PILOT_MAX_REQUESTS_PER_SECOND="100000")  # it turns those away that connect at once
        self.process = subprocess.Popen([os.path.abspath(args.istiod), "discovery", "--kubeconfig", lab.kubeconfig, f"--grpcAddr=127.0.0.1:{self.xds}", "--secureGRPCAddr=", "--httpAddr=127.0.0.1:15921", "--httpsAddr=",
                                         "--monitoringAddr=127.0.0.1:15922", "--ctrlz_port=0"], cwd=directory, env=env, stdout=open(f"{directory}/istiod.log", "w"), stderr=subprocess.STDOUT)
        wait_until("it serves", lambda: answers("http://127.0.0.1:15921/ready"), 60)


def answers(url):
    return subprocess.run(["curl", "-sf", url], capture_output=True, check=False).returncode == 0


def connect(of, n):
    """n proxies at once, after a first one: seconds, and KiB of each of them. Until the lists that only a first sidecar asks for are complete, that is turned away."""
    def first():
        one = Fleet(of, 1)
        ready = one.process.stdout.readline()
        one.stop()
        return ready
    wait_until("a first one is served", first, 60)
    pid = of.process.pid
    time.sleep(2)  # what the first one was made of has been given back
    alone, begun = kib(pid), cpu(pid)
    fleet = Fleet(of, n)
    _, ready, its_cpu = fleet.line()
    spent, at_ready = cpu(pid) - begun, kib(pid)
    time.sleep(3)
    settled = kib(pid)
    each = (settled - alone) / n
    print(f"{n} proxies, {args.services} Services: everything is with all of them after {float(ready):.2f} s; CPU of the {of.name} {spent:.2f} s, of the simulated proxies {float(its_cpu):.2f} s")
    print(f"{of.name} {alone / 1024:.1f} MiB before, {at_ready / 1024:.1f} then, {settled / 1024:.1f} three seconds later: {each:.1f} KiB a proxy, {settled / n:.1f} with all that is there once; "
          f"peak {kib(pid, 'VmHWM') / 1024:.1f} MiB", flush=True)
    return fleet, float(ready), each, settled / n


def changes(lab, fleet):
    print("| ms from the write | half have it | p99 | all | worst p99 |\n|---|---|---|---|---|")
    row("endpoints", [fleet.told(lab, i % args.services, 9000 + i) for i in range(args.changes)])
    over = threading.Event()

    def churn():
        """A route of some Service, for all of them, ten times a second."""
        n = 0
        while not over.wait(0.1):
            n += 1
            lab.apply(routes(n % 20, f"v{n}"))
    thread = threading.Thread(target=churn)
    thread.start()
    row("while routes change", [fleet.told(lab, i % args.services, 10000 + i) for i in range(args.changes)])
    over.set()
    thread.join()


def beside(lab, directory, running):
    """Both with as many, each started anew, the other away."""
    found = []
    for side in (Ours, Istiod):
        of = side(lab, directory)
        running.append(of)
        fleet, *figures = connect(of, args.beside)
        changes(lab, fleet)
        fleet.stop()
        end(running.pop())
        found.append(figures)
    (ready, each, all_of_it), (its_ready, its_each, its_all) = found
    print(f"beside istiod at {args.beside}: time {ready / its_ready:.3f}, memory a proxy {each / its_each:.3f}, with all that is there once {all_of_it / its_all:.3f}")


def end(of):
    of.process.terminate()
    of.process.wait()


def main():
    lab = lab_harness.Lab()
    running = []
    made = tempfile.TemporaryDirectory(prefix="fleet-")
    directory = made.name
    try:
        lab.up()
        for name in ("many", "istio-system"):
            lab.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for crd in (ROOT / "deploy/crds").glob("*.yaml"):
            lab.fairlead("apply", "-f", crd)
        for at in range(0, args.services, 250):
            lab.apply(*(o for i in range(at, min(at + 250, args.services)) for o in (service(i), endpoints(i, 8080))))
        running.append(Ours(lab, directory))
        fleet = connect(running[0], args.proxies)[0]
        changes(lab, fleet)
        print(f"CPU of the control plane in all: {cpu(running[0].process.pid):.1f} s")
        fleet.stop()
        end(running.pop())
        if args.istiod:
            beside(lab, directory, running)
    finally:
        for of in running:
            end(of)
        lab.down()
        made.cleanup()


main()
