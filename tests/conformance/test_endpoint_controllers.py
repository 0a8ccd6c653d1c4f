"""What a corpus of Services, pods and Endpoints becomes: our controllers on our API server, Kubernetes' on its own, compared.

Two worlds without nodes (the test writes pods' status itself): `fairlead-labd apiserver` with `fairlead-labd controllers`, and kube-apiserver
on etcd with kube-controller-manager. Each case is fed to both in a namespace of its own;
EndpointSlices and Endpoints are compared without what chance or clock decides. Part of `make conform`.
"""
import difflib
import importlib.util
import json
import os
import pathlib
import subprocess
import time

import pytest

from real_server import PEERS, RealServer, need
from suite import free_ports, wait_until

# The suite of the controllers has the client of both worlds; its module's name is every suite's.
spec = importlib.util.spec_from_file_location("controllers_conftest", pathlib.Path(__file__).parents[1] / "e2e" / "controllers" / "conftest.py")
controllers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(controllers)
Cluster, now = controllers.Cluster, controllers.now

TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"

need("kube-apiserver", "etcd-server", "kube-controller-manager")


class Ours(Cluster):
    def start_controllers(self, *extra):
        super().start_controllers("--node-monitor-grace-period", "3600s", *extra)  # nobody renews a Lease here

    def stop(self, *args):
        self.stop_controllers()
        return super().stop(*args)


class Theirs(RealServer, Cluster):
    def start(self):
        return super().start("--disable-admission-plugins=ServiceAccount")

    def start_controllers(self):
        self.start_program("kube-controller-manager", "--controllers=endpoints-controller,endpointslice-controller,endpointslice-mirroring-controller")

    def start_program(self, program, *flags):
        log = open(self.dir / "controllers.log", "ab")
        (port,) = free_ports(1)
        self.controllers = subprocess.Popen(
            [os.path.join(PEERS, program), f"--kubeconfig={self.kubeconfig()}", "--leader-elect=false", f"--secure-port={port}", f"--cert-dir={self.dir}/certs", *flags],
            stdout=log, stderr=log)

    def stop(self, *args):
        self.stop_controllers()
        return super().stop(*args)


def zones(world):
    for name, zone in (("n0", "east"), ("n1", "west"), ("n2", None)):
        labels = {"kubernetes.io/hostname": name, **({"topology.kubernetes.io/zone": zone} if zone else {})}
        world.create("/api/v1/nodes", {"metadata": {"name": name, "labels": labels}})
        world.change(f"/api/v1/nodes/{name}/status", {"status": {
            "allocatable": {"cpu": "2", "memory": "4Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now(), "lastTransitionTime": now()}]}}, "strategic")


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    both = [Ours(tmp_path_factory.mktemp("ours"), extra=["--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112"]), Theirs(tmp_path_factory.mktemp("theirs"))]
    try:
        for w in both:
            w.start()
            w.conn = w.connect(60)
            zones(w)
            w.start_controllers()
        yield both
    finally:
        for w in both:
            w.stop()


# ---- the corpus: each case is what one namespace gets ----

def svc(name="web", selector=("app", "web"), ports=None, annotations=None, labels=None, **spec):
    return ("service", {"metadata": {"name": name, "labels": labels or {}, "annotations": annotations or {}},
                        "spec": {**({"selector": dict([selector])} if selector else {}), "ports": ports or [{"port": 80, "targetPort": 8080}], **spec}})


def pod(name, ip=None, ready=True, ports=(), labels=None, node="n0", phase="Running", deleting=False, ips=None, **spec):
    return ("pod", {"name": name, "ip": ip, "ips": ips, "ready": ready, "ports": list(ports), "labels": labels or {"app": "web"}, "node": node, "phase": phase,
                    "deleting": deleting, "spec": spec})


def endpoints(name, subsets, labels=None, annotations=None):
    return ("endpoints", {"metadata": {"name": name, "labels": labels or {}, "annotations": annotations or {}}, "subsets": subsets})


def port(name, number, protocol="TCP"):
    return {"name": name, "containerPort": number, "protocol": protocol}


NAMED = [{"name": "http", "port": 80, "targetPort": "h"}]
TWO = [{"name": "h", "port": 80, "targetPort": "h"}, {"name": "o", "port": 81, "targetPort": "o"}]
MANUAL = [{"addresses": [{"ip": "192.0.2.1"}, {"ip": "192.0.2.2", "hostname": "two", "nodeName": "n1"}], "notReadyAddresses": [{"ip": "192.0.2.3"}],
           "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 53, "protocol": "UDP"}]},
          {"addresses": [{"ip": "192.0.2.4"}], "ports": [{"name": "a", "port": 81, "appProtocol": "http"}]}]

SPREAD = [pod("a", "10.0.0.1"), pod("b", "10.0.0.2", node="n1"), pod("c", "10.0.0.3", node="n2"), pod("d", "10.0.0.4", node="n1", ready=False)]

CORPUS = {
    "no-pods": [svc()],
    "plain": [svc(), pod("a", "10.0.0.1"), pod("b", "10.0.0.2", ready=False), pod("c")],
    "labels": [svc(labels={"team": "x", "endpointslice.kubernetes.io/managed-by": "me"}, annotations={"note": "n"}), pod("a", "10.0.0.1")],
    "unnamed-two-protocols": [svc(ports=[{"name": "t", "port": 53}, {"name": "u", "port": 53, "protocol": "UDP", "targetPort": 5353}]), pod("a", "10.0.0.1")],
    "app-protocol": [svc(ports=[{"port": 80, "appProtocol": "kubernetes.io/h2c"}]), pod("a", "10.0.0.1")],
    "named-port-nobody-has": [svc(ports=NAMED), pod("a", "10.0.0.1"), pod("b", "10.0.0.2", ready=False)],
    "named-port-one-has": [svc(ports=NAMED), pod("a", "10.0.0.1", ports=[port("h", 8080)]), pod("b", "10.0.0.2")],
    "named-port-other-protocol": [svc(ports=NAMED), pod("a", "10.0.0.1", ports=[port("h", 8080, "UDP")])],
    "one-of-two-named": [svc(ports=TWO), pod("a", "10.0.0.1", ports=[port("h", 8080)]), pod("b", "10.0.0.2", ports=[port("o", 9999)])],
    "named-and-number": [svc(ports=[*NAMED, {"name": "n", "port": 90, "targetPort": 9000}]), pod("a", "10.0.0.1"), pod("b", "10.0.0.2", ports=[port("h", 8080)])],
    "packed": [svc(ports=TWO), pod("da1", "10.0.0.1", ports=[port("h", 80), port("o", 9999)]), pod("da2", "10.0.0.2", ports=[port("h", 80), port("o", 9999)]),
               pod("db", "10.0.0.3", ports=[port("h", 8080), port("o", 9999)])],
    "packed-not-ready": [svc(ports=TWO), pod("a", "10.0.0.1", ports=[port("h", 80), port("o", 9999)]),
                         pod("b", "10.0.0.2", ready=False, ports=[port("h", 80), port("o", 9999)]), pod("c", "10.0.0.3", ports=[port("h", 8080), port("o", 9999)])],
    "packed-many": [svc(ports=TWO), *[pod(f"p{i}", f"10.0.0.{i + 1}", ready=i % 3 > 0, ports=[port("h", 80 + i % 3), port("o", 9990 + i % 2)]) for i in range(12)]],
    "init-and-sidecar": [svc(ports=NAMED), pod("a", "10.0.0.1", initContainers=[
        {"name": "i", "image": "i", "ports": [port("h", 1)]}, {"name": "s", "image": "i", "restartPolicy": "Always", "ports": [port("h", 7070)]}])],
    "headless": [svc(clusterIP="None"), pod("a", "10.0.0.1", hostname="first", subdomain="web"), pod("b", "10.0.0.2", hostname="x", subdomain="other")],
    "headless-no-pods": [svc(clusterIP="None")],
    "headless-no-ports": [("service", {"metadata": {"name": "web"}, "spec": {"clusterIP": "None", "selector": {"app": "web"}}}), pod("a", "10.0.0.1")],
    "headless-labelled-by-hand": [svc(labels={"service.kubernetes.io/headless": "yes"}), pod("a", "10.0.0.1")],
    "publish": [svc(publishNotReadyAddresses=True), pod("a", "10.0.0.1", ready=False), pod("b", "10.0.0.2", deleting=True), pod("c", "10.0.0.3", ready=False, deleting=True)],
    "terminating": [svc(), pod("a", "10.0.0.1", deleting=True), pod("b", "10.0.0.2", ready=False, deleting=True), pod("c", "10.0.0.3")],
    "over": [svc(), pod("a", "10.0.0.1", phase="Succeeded"), pod("b", "10.0.0.2", phase="Failed"), pod("c", "10.0.0.3", ready=False, phase="Pending")],
    "dual": [svc(ipFamilyPolicy="RequireDualStack"), pod("a", ips=["10.0.0.1", "fd00::1"]), pod("b", ips=["10.0.0.2"])],
    "v6": [svc(ipFamilies=["IPv6"]), pod("a", ips=["10.0.0.1", "fd00::1"])],
    "external-name": [svc(type="ExternalName", externalName="example.org"), pod("a", "10.0.0.1")],
    "no-selector": [svc(selector=None)],
    "host-network": [svc(), pod("a", "192.0.2.9", hostNetwork=True, ports=[port("x", 8080)])],
    "zones": [svc(), *SPREAD],
    "prefer-same-zone": [svc(trafficDistribution="PreferSameZone"), *SPREAD],
    "prefer-close": [svc(trafficDistribution="PreferClose"), *SPREAD],
    "prefer-same-node": [svc(trafficDistribution="PreferSameNode"), *SPREAD],
    "prefer-terminating": [svc(trafficDistribution="PreferSameZone"), pod("a", "10.0.0.1", deleting=True), pod("b", "10.0.0.2", node="n1")],
    "prefer-publish": [svc(trafficDistribution="PreferSameZone", publishNotReadyAddresses=True), pod("a", "10.0.0.1", ready=False)],
    "prefer-dual": [svc(trafficDistribution="PreferSameNode", ipFamilyPolicy="RequireDualStack"), pod("a", ips=["10.0.0.1", "fd00::1"])],
    "prefer-zone-missing": [svc(trafficDistribution="PreferSameZone"), pod("a", "10.0.0.1", node="n2")],
    "topology-mode-and-distribution": [svc(trafficDistribution="PreferSameZone", annotations={"service.kubernetes.io/topology-mode": "Disabled"}), *SPREAD],
    "mirror": [svc(selector=None), endpoints("web", MANUAL)],
    "mirror-labels": [svc(selector=None), endpoints("web", MANUAL, {"team": "x"}, {"note": "n"})],
    "mirror-skip": [svc(selector=None), endpoints("web", MANUAL, {"endpointslice.kubernetes.io/skip-mirror": "true"})],
    "mirror-dual": [svc(selector=None), endpoints("web", [{"addresses": [{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}], "ports": [{"port": 80}]}])],
    "mirror-no-ports": [svc(selector=None, clusterIP="None"), endpoints("web", [{"addresses": [{"ip": "192.0.2.1"}]}])],
    "mirror-empty": [svc(selector=None), endpoints("web", [])],
    "mirror-headless": [svc(selector=None, clusterIP="None"), endpoints("web", MANUAL)],
    "mirror-same-ports": [svc(selector=None), endpoints("web", [{"addresses": [{"ip": f"192.0.2.{i}"}], "ports": [{"port": 80}]} for i in (1, 2)])],
    "mirror-not-ready": [svc(selector=None), endpoints("web", [{"notReadyAddresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80}]}])],
    "mirror-target-ref": [svc(selector=None), endpoints("web", [{"addresses": [{"ip": "192.0.2.1", "targetRef": {"kind": "Pod", "name": "p", "namespace": "d"}}], "ports": [{"port": 80}]}])],
}


def feed(world, ns, case):
    world.create("/api/v1/namespaces", {"metadata": {"name": ns}})
    for kind, o in case:
        if kind == "service":
            world.create(f"/api/v1/namespaces/{ns}/services", o)
        elif kind == "endpoints":
            world.create(f"/api/v1/namespaces/{ns}/endpoints", o)
        else:
            world.pod(ns, o["name"], labels=o["labels"], node=o["node"], ports=o["ports"], terminationGracePeriodSeconds=600, **o["spec"])
            ips = o["ips"] or ([o["ip"]] if o["ip"] else [])
            status = {"phase": o["phase"], "conditions": [{"type": "Ready", "status": "True" if o["ready"] else "False", "lastTransitionTime": now()}]}
            if ips:
                status.update(podIP=ips[0], podIPs=[{"ip": i} for i in ips])
            world.change(f"/api/v1/namespaces/{ns}/pods/{o['name']}/status", {"status": status}, "strategic")
            if o["deleting"]:
                world.remove(f"/api/v1/namespaces/{ns}/pods/{o['name']}")


def plain(o):
    """Without what chance, clock or the namespace decides."""
    drop = {"uid", "resourceVersion", "namespace"}
    if isinstance(o, dict):
        return {k: plain(v) for k, v in o.items() if k not in drop}
    return [plain(v) for v in o] if isinstance(o, list) else o


def meta(o):
    m = o["metadata"]
    return {"labels": m.get("labels") or {}, "annotations": {k: v for k, v in (m.get("annotations") or {}).items() if k != TRIGGER},
            "owner": [r["kind"] for r in m.get("ownerReferences") or []], "generateName": m.get("generateName")}


def subset(s):
    return {k: sorted(plain(v), key=lambda x: json.dumps(x, sort_keys=True)) for k, v in sorted(s.items())}


def outcome(world, ns):
    slices = []
    for s in world.read(f"/apis/discovery.k8s.io/v1/namespaces/{ns}/endpointslices")["items"]:
        found = plain(s.get("endpoints") or [])
        slices.append({"meta": meta(s), "type": s["addressType"], "ports": sorted(s.get("ports") or [], key=json.dumps),
                       "endpoints": sorted(found, key=lambda e: e["addresses"]), "endpoints null": s.get("endpoints") is None, "ports null": s.get("ports") is None})
    ends = [{"name": e["metadata"]["name"], "meta": meta(e), "subsets": sorted(map(subset, e.get("subsets") or []), key=json.dumps)}
            for e in world.read(f"/api/v1/namespaces/{ns}/endpoints")["items"]]
    return {"slices": sorted(slices, key=lambda s: json.dumps([s["type"], s["ports"], s["endpoints"]], sort_keys=True)), "endpoints": ends}


@pytest.fixture(scope="module")
def fed(worlds):
    for world in worlds:
        for name, case in CORPUS.items():
            feed(world, "c-" + name, case)
    return worlds


@pytest.mark.parametrize("name", CORPUS)
def test_same_slices_and_endpoints(fed, name):
    ours, theirs = fed
    ns = "c-" + name
    before = None

    def settled():
        nonlocal before
        is_same, before = before == outcome(theirs, ns), outcome(theirs, ns)
        return is_same
    wait_until("theirs is at rest", settled, 30)
    end = time.monotonic() + 4
    while (a := outcome(ours, ns)) != (b := outcome(theirs, ns)):
        if time.monotonic() > end:
            a, b = (json.dumps(o, indent=1, sort_keys=True).splitlines() for o in (a, b))
            pytest.fail(name + "\n" + "\n".join(difflib.unified_diff(a, b, "ours", "theirs", lineterm="", n=4)), pytrace=False)
