"""Where a corpus of pods may go, and what is said of those that may go nowhere: our scheduler and kube-scheduler, compared.

Two worlds as in test_endpoint_controllers.py, with `fairlead-labd controllers` in one and kube-scheduler in the
other. A case is pods that have their node, then one that waits. Where only one node is left it is compared, otherwise that
the pod got one: what is liked best is each scheduler's own business. A refusal's reasons are compared word for word. Part of `make conform`.
"""
import re

import pytest

from real_server import need
from suite import wait_until
from test_endpoint_controllers import Ours, Theirs, now

need("kube-scheduler")

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
NODES = {  # name -> (zone, taints, unschedulable)
    "a": ("east", [], False), "b": ("east", [], False), "c": ("west", [], False), "d": (None, [], False),
    "tainted": ("north", [{"key": "only", "value": "gpu", "effect": "NoSchedule"}], False), "cordoned": ("north", [], True),
}


class Real(Theirs):
    def start_controllers(self):
        self.start_program("kube-scheduler")


def add_nodes(world):
    for name, (zone, taints, unschedulable) in NODES.items():
        labels = {HOST: name, **({ZONE: zone} if zone else {})}
        world.create("/api/v1/nodes", {"metadata": {"name": name, "labels": labels}})
        world.change(f"/api/v1/nodes/{name}/status", {"status": {
            "allocatable": {"cpu": "2", "memory": "1Gi", "pods": "3", "ephemeral-storage": "10Gi", "example.com/card": "1"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now(), "lastTransitionTime": now()}]}}, "strategic")
        world.change(f"/api/v1/nodes/{name}", {"spec": {"taints": taints or None, "unschedulable": unschedulable or None}})


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    both = [Ours(tmp_path_factory.mktemp("ours")), Real(tmp_path_factory.mktemp("theirs"))]
    try:
        for w in both:
            w.start()
            w.conn = w.connect(60)
            add_nodes(w)
            w.create("/api/v1/namespaces", {"metadata": {"name": "other", "labels": {"team": "x"}}})
            w.start_controllers()
        yield both
    finally:
        for w in both:
            w.stop()


def container(name="c", ports=(), limits=None, **requests):
    resources = {"requests": {k.replace("_", "-"): v for k, v in requests.items()}, **({"limits": limits} if limits else {})}
    return {"name": name, "image": "i", "ports": list(ports), "resources": resources}


def pod(labels=None, node=None, ns=None, **spec):
    return {"ns": ns, "labels": labels or {}, "spec": {"containers": [container()], **({"nodeName": node} if node else {}), **spec}}


def on(*names):
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": HOST, "operator": "In", "values": list(names)}]}]}}}


def near(kind="podAffinity", key=ZONE, app="x", **term):
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key, **term}]}}


def spread(key=ZONE, app="x", skew=1, **more):
    return {"topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": app}}, **more}


def spreads(*constraints, labels=None, **spec):
    return pod(labels or {"app": "x"}, topologySpreadConstraints=list(constraints), **spec)


X = {"app": "x"}
ALL = on("a", "b", "c", "d")

CORPUS = {
    "nothing": [pod()],
    "selector": [pod(nodeSelector={HOST: "c"})],
    "selector of nobody": [pod(nodeSelector={HOST: "z"})],
    "one of two terms": [pod(affinity=on("c"))],
    "not in": [pod(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [
        {"key": HOST, "operator": "NotIn", "values": ["a", "b", "d", "tainted", "cordoned"]}]}]}}})],
    "tainted": [pod(nodeSelector={HOST: "tainted"})],
    "tolerated": [pod(nodeSelector={HOST: "tainted"}, tolerations=[{"key": "only", "value": "gpu"}])],
    "tolerated by key": [pod(nodeSelector={HOST: "tainted"}, tolerations=[{"key": "only", "operator": "Exists"}])],
    "cordoned": [pod(nodeSelector={HOST: "cordoned"})],
    "cordoned and tolerated": [pod(nodeSelector={HOST: "cordoned"}, tolerations=[{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}])],
    "cpu": [pod(containers=[container(cpu="2001m")])],
    "cpu to the last": [pod(node="a", containers=[container(cpu="500m")]), pod(affinity=on("a"), containers=[container(cpu="1500m")])],
    "cpu one too many": [pod(node="a", containers=[container(cpu="500m")]), pod(affinity=on("a"), containers=[container(cpu="1501m")])],
    "several": [pod(affinity=on("a"), containers=[container(cpu="3", memory="2Gi"), container("d", ephemeral_storage="11Gi")])],
    "one here, another there": [pod(node="a", containers=[container(cpu="2")]), pod(node="b", containers=[container(memory="1Gi")]),
                                pod(affinity=on("a", "b"), containers=[container(cpu="1", memory="1Mi")])],
    "limits alone": [pod(affinity=on("a"), containers=[container(limits={"cpu": "3"})])],
    "init": [pod(affinity=on("a"), initContainers=[container("i", cpu="3")])],
    "init and sidecar": [pod(affinity=on("a"), containers=[container(cpu="1")], initContainers=[
        {**container("s", cpu="900m"), "restartPolicy": "Always"}, container("i", cpu="1101m")])],
    "sidecar after init": [pod(affinity=on("a"), containers=[container(cpu="1100m")], initContainers=[
        container("i", cpu="2"), {**container("s", cpu="900m"), "restartPolicy": "Always"}])],
    "sidecar with the rest": [pod(affinity=on("a"), containers=[container(cpu="1101m")], initContainers=[{**container("s", cpu="900m"), "restartPolicy": "Always"}])],
    "extended": [pod(node="a", containers=[container(limits={"example.com/card": "1"})]), pod(affinity=on("a"), containers=[container(limits={"example.com/card": "1"})])],
    "extended of nobody": [pod(affinity=on("a"), containers=[container(limits={"example.com/none": "1"})])],
    "too many pods": [*[pod(node="a") for _ in range(3)], pod(affinity=on("a"))],
    "too many pods and cpu": [*[pod(node="a") for _ in range(3)], pod(affinity=on("a"), containers=[container(cpu="3")])],
    "host port": [pod(node="a", containers=[container(ports=[{"containerPort": 80, "hostPort": 80}])]), pod(affinity=on("a"), containers=[container(ports=[{"containerPort": 8, "hostPort": 80}])])],
    "host port of udp": [pod(node="a", containers=[container(ports=[{"containerPort": 80, "hostPort": 80}])]),
                         pod(affinity=on("a"), containers=[container(ports=[{"containerPort": 8, "hostPort": 80, "protocol": "UDP"}])])],
    "host port of other addresses": [pod(node="a", containers=[container(ports=[{"containerPort": 80, "hostPort": 80, "hostIP": "192.0.2.1"}])]),
                                     pod(affinity=on("a"), containers=[container(ports=[{"containerPort": 8, "hostPort": 80, "hostIP": "192.0.2.2"}])])],
    "everything wrong": [pod(node="c", containers=[container(cpu="2")]), pod(nodeSelector={ZONE: "west"}, containers=[container(cpu="1")])],
    "affinity to nobody": [pod(affinity=near())],
    "affinity": [pod(X, node="c"), pod(affinity=near())],
    "affinity by host": [pod(X, node="b"), pod(affinity=near(key=HOST))],
    "affinity, room elsewhere": [pod(X, node="c", containers=[container(cpu="2")]), pod(affinity=near(), containers=[container(cpu="1")])],
    "affinity to oneself": [pod(X, affinity={**near(), **on("c")})],
    "affinity to oneself without the key": [pod(X, affinity={**near(), **on("d")})],
    "affinity to oneself when there is one": [pod(X, node="c"), pod(X, affinity={**near(), **on("a")})],
    "affinity to one on a node without the key": [pod(X, node="d"), pod(X, affinity={**near(), **on("c")})],
    "affinity, two terms": [pod({"app": "x", "b": "c"}, node="c"), pod(affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": X}, "topologyKey": ZONE}, {"labelSelector": {"matchLabels": {"b": "c"}}, "topologyKey": HOST}]}})],
    "affinity, two terms of two pods": [pod(X, node="c"), pod({"b": "c"}, node="c"), pod(affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": X}, "topologyKey": ZONE}, {"labelSelector": {"matchLabels": {"b": "c"}}, "topologyKey": HOST}]}})],
    "affinity, no selector": [pod(X, node="c"), pod(affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": ZONE}]}})],
    "affinity, empty selector": [pod(X, node="c"), pod(affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": {}, "topologyKey": ZONE}]}})],
    "affinity by expression": [pod(X, node="c"), pod({"app": "y"}, node="a"), pod(affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["y"]}]}, "topologyKey": ZONE}]}})],
    "affinity elsewhere": [pod(X, node="c", ns="other"), pod(affinity=near())],
    "affinity, namespaces": [pod(X, node="c", ns="other"), pod(affinity=near(namespaces=["other"]))],
    "affinity, namespace selector": [pod(X, node="c", ns="other"), pod(affinity=near(namespaceSelector={"matchLabels": {"team": "x"}}))],
    "affinity, all namespaces": [pod(X, node="c", ns="other"), pod(affinity=near(namespaceSelector={}))],
    "affinity, selector of no namespace": [pod(X, node="c", ns="other"), pod(affinity=near(namespaceSelector={"matchLabels": {"team": "y"}}))],
    "affinity, match keys": [pod({"app": "x", "v": "1"}, node="a"), pod({"app": "x", "v": "2"}, node="c"), pod({"v": "2"}, affinity=near(matchLabelKeys=["v"]))],
    "affinity, mismatch keys": [pod({"app": "x", "v": "1"}, node="c"), pod({"app": "x", "v": "2"}, node="a"), pod({"v": "2"}, affinity=near(mismatchLabelKeys=["v"]))],
    "anti-affinity": [pod(X, node="a"), pod(X, node="c"), pod(affinity={**near("podAntiAffinity"), **on("a", "b", "c")})],
    "anti-affinity leaves one": [pod(X, node="a"), pod(affinity={**near("podAntiAffinity"), **on("a", "b", "c")})],
    "anti-affinity by host": [pod(X, node="a"), pod(affinity={**near("podAntiAffinity", HOST), **on("a", "b")})],
    "anti-affinity without the key": [pod(X, node="d"), pod(affinity={**near("podAntiAffinity"), **on("d")})],
    "anti-affinity of those there": [pod(node="a", affinity=near("podAntiAffinity")), pod(X, affinity=on("a", "b"))],
    "anti-affinity of those there, by host": [pod(node="a", affinity=near("podAntiAffinity", HOST)), pod(X, affinity=on("a", "b"))],
    "anti-affinity of those there, elsewhere": [pod(node="a", ns="other", affinity=near("podAntiAffinity")), pod(X, affinity=on("a"))],
    "anti-affinity of those there, of all": [pod(node="a", ns="other", affinity=near("podAntiAffinity", namespaceSelector={})), pod(X, affinity=on("a"))],
    "anti-affinity both ways": [pod(X, node="a", affinity=near("podAntiAffinity")), pod(X, affinity={**near("podAntiAffinity"), **on("a", "b")})],
    "affinity and anti-affinity": [pod(X, node="a"), pod(affinity={**near(), **near("podAntiAffinity", HOST), **on("a", "b", "c")})],
    "spread": [pod(X, node="a"), spreads(spread(), affinity=on("a", "b", "c"))],
    "spread, none left": [pod(X, node="a"), spreads(spread(), affinity={**on("a", "b")}, labels=X)],
    "spread, policy ignore": [pod(X, node="a"), spreads(spread(nodeAffinityPolicy="Ignore"), affinity=on("a", "b"))],
    "spread, skew 2": [pod(X, node="a"), spreads(spread(skew=2, nodeAffinityPolicy="Ignore"), affinity=on("a"))],
    "spread of others": [pod(X, node="a"), spreads(spread(nodeAffinityPolicy="Ignore"), labels={"app": "y"}, affinity=on("a"))],
    "spread, absent key": [spreads(spread("example.com/rack"))],
    "spread, absent on one": [spreads(spread(), affinity=on("d"))],
    "spread by host": [pod(X, node="a"), pod(X, node="b"), spreads(spread(HOST), affinity=on("a", "b", "c"))],
    "spread, two keys": [pod(X, node="a"), spreads(spread(), spread(HOST), affinity=ALL)],
    "spread, domains": [pod(X, node="a"), spreads(spread(HOST, minDomains=3), affinity=on("a", "b"))],
    "spread, domains, one there": [pod(X, node="a"), spreads(spread(HOST, minDomains=5), affinity=on("a"))],
    "spread, taints honoured": [pod(X, node="a"), pod(X, node="c"), spreads(spread(nodeTaintsPolicy="Honor", nodeAffinityPolicy="Ignore"), affinity=on("a"))],
    "spread, taints ignored": [pod(X, node="a"), pod(X, node="c"), spreads(spread(nodeTaintsPolicy="Ignore", nodeAffinityPolicy="Ignore"), affinity=on("a"))],
    "spread, match keys": [pod({"app": "x", "v": "1"}, node="a"), spreads(spread(nodeAffinityPolicy="Ignore", matchLabelKeys=["v"]), labels={"app": "x", "v": "2"}, affinity=on("a"))],
    "spread elsewhere": [pod(X, node="a", ns="other"), spreads(spread(nodeAffinityPolicy="Ignore"), affinity=on("a"))],
    "spread, no selector": [pod(X, node="a"), spreads({"topologyKey": ZONE, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "nodeAffinityPolicy": "Ignore"}, affinity=on("a"))],
    "spread and affinity": [pod(X, node="a"), spreads(spread(nodeAffinityPolicy="Ignore"), affinity={**near(), **ALL})],
    "gates": [pod(schedulingGates=[{"name": "a.io/b"}])],
}


LIKED = ("nothing",)  # several are left, and each scheduler has its liking


def said(condition):
    """Reasons with their counts; what preemption adds is left out."""
    text = re.sub(r"\.? (no new claims to deallocate, )?preemption: .*", ".", condition["message"])
    return condition["reason"], sorted(text.rstrip(".").partition(": ")[2].split(", ")) if ":" in text else text


def outcome(world, ns):
    p = world.read(f"/api/v1/namespaces/{ns}/pods/waits")
    condition = next((c for c in p.get("status", {}).get("conditions", []) if c["type"] == "PodScheduled" and c["status"] == "False"), None)
    return p["spec"].get("nodeName"), said(condition) if condition else None


def feed(world, ns, case):
    """Paths of what was made; the last pod is the one that waits."""
    world.create("/api/v1/namespaces", {"metadata": {"name": ns}})
    made = []
    for i, p in enumerate(case):
        where, name = p["ns"] or ns, "waits" if p is case[-1] else f"{ns}-{i}"
        world.create(f"/api/v1/namespaces/{where}/pods", {"metadata": {"name": name, "labels": p["labels"]}, "spec": p["spec"]})
        made.append(f"/api/v1/namespaces/{where}/pods/{name}")
    return made


@pytest.mark.parametrize("name", CORPUS)
def test_same_places_and_reasons(worlds, name):
    ns = "c-" + re.sub("[^a-z0-9]+", "-", name)
    results = []
    for world in worlds:
        made = feed(world, ns, CORPUS[name])
        try:
            wait_until("it is decided", lambda w=world: any(outcome(w, ns)), 20)
            results.append(outcome(world, ns))
        finally:
            for path in made:
                world.remove(path, {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})
    (ours, our_reasons), (theirs, their_reasons) = results
    assert our_reasons == their_reasons
    assert ours == theirs or (ours and theirs and name in LIKED), (ours, theirs)
