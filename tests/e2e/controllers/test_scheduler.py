"""Where pods may go: requests, pod affinity and anti-affinity, topology spread, and what is told of it."""
import pytest

from suite import wait_until
from test_cluster import scheduled, waiting_pod

ZONE = "topology.kubernetes.io/zone"
HOST = "kubernetes.io/hostname"


@pytest.fixture
def nodes(cluster, ns):
    """a and b in zone east, c in west, d in none; `here` puts a pod of the test on these."""
    for name, zone in (("a", "east"), ("b", "east"), ("c", "west"), ("d", None)):
        cluster.node(f"{ns}-{name}", {"lab": ns, HOST: f"{ns}-{name}", **({ZONE: zone} if zone else {})},
                     **{"cpu": "2", "memory": "1Gi", "ephemeral-storage": "10Gi", "example.com/card": "1"})
    return ns


def here(ns, *names):
    if not names:
        return {"nodeSelector": {"lab": ns}}
    terms = [{"matchExpressions": [{"key": HOST, "operator": "In", "values": [f"{ns}-{n}" for n in names]}]}]
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}}


def requests(**amounts):
    return {"name": "c", "image": "nginx", "resources": {"requests": {k.replace("_", "-"): v for k, v in amounts.items()}}}


def placed(cluster, ns, name):
    return wait_until(f"{name} is placed", lambda: scheduled(cluster, ns, name)[0])[len(ns) + 1:]


def refused(cluster, ns, name):
    return wait_until(f"{name} is refused", lambda: scheduled(cluster, ns, name)[1].get("reason") == "Unschedulable" and scheduled(cluster, ns, name)[1]["message"])


def near(kind, labels, key=ZONE, **term):
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": {"matchLabels": labels}, "topologyKey": key, **term}]}}


def test_requests_against_what_is_allocatable(cluster, nodes):
    ns = nodes
    waiting_pod(cluster, ns, "half", **here(ns, "a"), containers=[requests(cpu="1500m", memory="512Mi")])
    assert placed(cluster, ns, "half") == "a"
    waiting_pod(cluster, ns, "more", **here(ns, "a"), containers=[requests(cpu="501m", memory="513Mi"), requests(ephemeral_storage="11Gi") | {"name": "e"}])
    text = refused(cluster, ns, "more")
    assert text.startswith("0/") and text.endswith(".") and " nodes are available: " in text
    assert "1 Insufficient cpu, 1 Insufficient ephemeral-storage, 1 Insufficient memory" in text
    event = wait_until("an Event", lambda: [e for e in cluster.events(ns, "more") if e["reason"] == "FailedScheduling"])[0]
    assert event["type"] == "Warning" and event["message"] == text
    waiting_pod(cluster, ns, "rest", **here(ns, "a"), containers=[requests(cpu="0.5", memory="512Mi")])
    assert placed(cluster, ns, "rest") == "a", "to the last bit"
    waiting_pod(cluster, ns, "asks-nothing", **here(ns, "a"))
    assert placed(cluster, ns, "asks-nothing") == "a"
    # Init containers one after the other, sidecars all the time, extended resources by name.
    waiting_pod(cluster, ns, "init", **here(ns, "b"), containers=[requests(cpu="1")], initContainers=[
        {**requests(cpu="900m"), "name": "s", "restartPolicy": "Always"}, {**requests(cpu="1100m"), "name": "i"}])
    assert placed(cluster, ns, "init") == "b"
    waiting_pod(cluster, ns, "after", **here(ns, "b"), containers=[requests(cpu="1m")])
    assert "1 Insufficient cpu" in refused(cluster, ns, "after"), "2000m of 2000m are taken"
    for name in ("card", "card-too"):
        waiting_pod(cluster, ns, name, **here(ns, "c"), containers=[{**requests(), "resources": {"limits": {"example.com/card": "1"}}}])
    assert "1 Insufficient example.com/card" in wait_until("one is refused", lambda: [m for m in (
        scheduled(cluster, ns, n)[1].get("message", "") for n in ("card", "card-too")) if m])[0]
    # Room appears.
    cluster.remove(f"/api/v1/namespaces/{ns}/pods/init?gracePeriodSeconds=0")
    assert placed(cluster, ns, "after") == "b"


def test_pod_affinity(cluster, nodes):
    ns = nodes
    waiting_pod(cluster, ns, "lonely", affinity=near("podAffinity", {"app": "db"}), **here(ns))
    text = refused(cluster, ns, "lonely")
    assert "4 node(s) didn't match pod affinity rules" in text
    waiting_pod(cluster, ns, "db", labels={"app": "db"}, **here(ns, "c"))
    placed(cluster, ns, "db")
    assert placed(cluster, ns, "lonely") == "c", "as soon as there is one, without a change of its own"
    # The first of a group that wants to be together, and the others with it; a node without the key is nobody's place.
    for i in range(3):
        waiting_pod(cluster, ns, f"group{i}", labels={"app": "group"}, affinity=near("podAffinity", {"app": "group"}), **here(ns))
    where = {placed(cluster, ns, f"group{i}") for i in range(3)}
    assert where in ({"a", "b"}, {"a"}, {"b"}, {"c"})
    waiting_pod(cluster, ns, "no-zone", labels={"app": "g2"}, affinity={**near("podAffinity", {"app": "g2"}), **here(ns, "d")["affinity"]})
    assert "1 node(s) didn't match pod affinity rules" in refused(cluster, ns, "no-zone")


def test_pod_affinity_of_other_namespaces(cluster, nodes):
    ns = nodes
    other = ns + "-other"
    cluster.create("/api/v1/namespaces", {"metadata": {"name": other, "labels": {"team": ns}}})
    waiting_pod(cluster, other, "db", labels={"app": "db"}, **here(ns, "b"))
    assert wait_until("it is placed", lambda: scheduled(cluster, other, "db")[0]) == f"{ns}-b"
    for name, term in (("named", {"namespaces": [other]}), ("selected", {"namespaceSelector": {"matchLabels": {"team": ns}}}), ("all", {"namespaceSelector": {}})):
        waiting_pod(cluster, ns, name, labels={"app": name}, affinity=near("podAffinity", {"app": "db"}, HOST, **term), **here(ns))
        assert placed(cluster, ns, name) == "b"
    waiting_pod(cluster, ns, "own", affinity=near("podAffinity", {"app": "db"}, HOST), **here(ns))
    assert "didn't match pod affinity rules" in refused(cluster, ns, "own")


def test_pod_anti_affinity_both_ways(cluster, nodes):
    ns = nodes
    for i in range(2):
        waiting_pod(cluster, ns, f"web{i}", labels={"app": "web"}, affinity={**near("podAntiAffinity", {"app": "web"}), **here(ns, "a", "b", "c")["affinity"]})
    assert {placed(cluster, ns, "web0") in "ab", placed(cluster, ns, "web1") in "ab"} == {True, False}, "one in each zone"
    waiting_pod(cluster, ns, "web2", labels={"app": "web"}, affinity={**near("podAntiAffinity", {"app": "web"}), **here(ns, "a", "b", "c")["affinity"]})
    assert "3 node(s) didn't match pod anti-affinity rules" in refused(cluster, ns, "web2")
    waiting_pod(cluster, ns, "plain", labels={"app": "web"}, **here(ns, "a", "b", "c"))
    assert "3 node(s) didn't satisfy existing pods anti-affinity rules" in refused(cluster, ns, "plain")
    waiting_pod(cluster, ns, "zoneless", labels={"app": "web"}, affinity={**near("podAntiAffinity", {"app": "web"}), **here(ns, "d")["affinity"]})
    assert placed(cluster, ns, "zoneless") == "d", "in no domain, so near nobody"
    waiting_pod(cluster, ns, "stranger", labels={"app": "other"}, **here(ns, "c"))
    assert placed(cluster, ns, "stranger") == "c"
    gone = "web0" if placed(cluster, ns, "web0") == "c" else "web1"
    cluster.remove(f"/api/v1/namespaces/{ns}/pods/{gone}?gracePeriodSeconds=0")
    wait_until("one of the two takes its place", lambda: "c" in str([scheduled(cluster, ns, n)[0] for n in ("web2", "plain")]).replace(ns, ""))


def spread(key, labels, skew=1, **more):
    return {"topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": labels}, **more}


def test_topology_spread(cluster, nodes):
    ns = nodes
    zones = {"topologySpreadConstraints": [spread(ZONE, {"app": "s"})]}
    for i in range(4):
        waiting_pod(cluster, ns, f"s{i}", labels={"app": "s"}, **zones, **here(ns))
    where = [placed(cluster, ns, f"s{i}") for i in range(4)]
    assert where.count("c") == 2 and where.count("d") == 0, "as many in each zone; a node without one takes none"
    waiting_pod(cluster, ns, "only-c", labels={"app": "s"}, topologySpreadConstraints=[spread(ZONE, {"app": "s"}, nodeAffinityPolicy="Ignore")], **here(ns, "c"))
    assert placed(cluster, ns, "only-c") == "c"
    waiting_pod(cluster, ns, "too-many", labels={"app": "s"}, topologySpreadConstraints=[spread(ZONE, {"app": "s"}, nodeAffinityPolicy="Ignore")], **here(ns, "c"))
    assert "1 node(s) didn't match pod topology spread constraints" in refused(cluster, ns, "too-many")
    waiting_pod(cluster, ns, "absent", labels={"app": "s"}, topologySpreadConstraints=[spread("example.com/rack", {"app": "s"})], **here(ns))
    assert "4 node(s) didn't match pod topology spread constraints (missing required label)" in refused(cluster, ns, "absent")
    waiting_pod(cluster, ns, "domains", labels={"app": "m"}, topologySpreadConstraints=[spread(HOST, {"app": "m"}, minDomains=2)], **here(ns, "a"))
    assert placed(cluster, ns, "domains") == "a"
    waiting_pod(cluster, ns, "domains2", labels={"app": "m"}, topologySpreadConstraints=[spread(HOST, {"app": "m"}, minDomains=2)], **here(ns, "a"))
    assert "topology spread constraints" in refused(cluster, ns, "domains2"), "one domain where two are wanted: nobody there counts as none"


def test_preferences_choose(cluster, nodes):
    ns = nodes

    def prefers(name, weight=1):
        return {"weight": weight, "preference": {"matchExpressions": [{"key": HOST, "operator": "In", "values": [f"{ns}-{name}"]}]}}
    for i in range(2):
        waiting_pod(cluster, ns, f"node{i}", affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [prefers("b"), prefers("d", 9)]}}, **here(ns))
        assert placed(cluster, ns, f"node{i}") == "d"
    waiting_pod(cluster, ns, "db", labels={"app": "db"}, **here(ns, "b"))
    placed(cluster, ns, "db")
    term = {"weight": 5, "podAffinityTerm": {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": HOST}}
    waiting_pod(cluster, ns, "near", affinity={"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}, **here(ns))
    assert placed(cluster, ns, "near") == "b"
    away = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{**term, "podAffinityTerm": {**term["podAffinityTerm"], "topologyKey": ZONE}}]}}
    for name, allowed, where in (("far", "ac", "c"), ("not-far", "a", "a")):
        waiting_pod(cluster, ns, name, affinity={**away, **here(ns, *allowed)["affinity"]})
        assert placed(cluster, ns, name) == where, "a preference refuses nothing"
    soft = {"topologySpreadConstraints": [spread(HOST, {"app": "soft"}) | {"whenUnsatisfiable": "ScheduleAnyway"}]}
    for i in range(4):
        waiting_pod(cluster, ns, f"soft{i}", labels={"app": "soft"}, **soft, **here(ns))
    assert {placed(cluster, ns, f"soft{i}") for i in range(4)} == set("abcd")


def test_what_is_not_obeyed_is_told(cluster, nodes):
    ns = nodes
    waiting_pod(cluster, ns, "vip", priorityClassName="system-cluster-critical", **here(ns))
    assert placed(cluster, ns, "vip")
    told = wait_until("an Event", lambda: [e for e in cluster.events(ns, "vip") if e["reason"] == "FieldIgnored"])[0]
    assert told["type"] == "Warning" and "spec.priorityClassName: no pod gives way to it" in told["message"]


def test_a_cordon_is_a_taint(cluster, nodes):
    """What tolerates it goes there, as the pods of a DaemonSet do; of several reasons of a node kube-scheduler's first is told."""
    ns = nodes
    cluster.change(f"/api/v1/nodes/{ns}-a", {"spec": {"unschedulable": True}})
    cluster.change(f"/api/v1/nodes/{ns}-b", {"spec": {"taints": [{"key": "only", "value": "x", "effect": "NoSchedule"}]}})
    waiting_pod(cluster, ns, "daemon", tolerations=[{"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}], **here(ns, "a"))
    assert placed(cluster, ns, "daemon") == "a"
    waiting_pod(cluster, ns, "nowhere", nodeSelector={"lab": "nobody"})
    assert {"1 node(s) were unschedulable", "1 node(s) had untolerated taint(s)"} <= set(refused(cluster, ns, "nowhere").rstrip(".").split(": ")[1].split(", "))
