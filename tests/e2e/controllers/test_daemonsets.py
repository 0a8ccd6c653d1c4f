"""DaemonSets: a pod on each node that it is for, exchanged a node at a time."""
import pytest
from suite import wait_until

SETS = "/apis/apps/v1/namespaces/{}/daemonsets"
HASH = "controller-revision-hash"


@pytest.fixture(scope="module")
def nodes(cluster):
    for name in ("d1", "d2", "d3"):
        cluster.node(name, labels={"kind": "daemon", "disk": "ssd" if name == "d3" else "none"})
    yield ["d1", "d2", "d3"]
    for name in ("d1", "d2", "d3"):
        cluster.remove(f"/api/v1/nodes/{name}")


@pytest.fixture(autouse=True)
def beating(cluster, nodes):
    for name in nodes:
        cluster.renew(name)


def make(cluster, ns, name="each", spec=None, **rest):
    return cluster.create(SETS.format(ns), {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": name}}, **rest, "template": {
        "metadata": {"labels": {"app": name}}, "spec": {"nodeSelector": {"kind": "daemon"}, "schedulerName": "none",
                                                        "containers": [{"name": "c", "image": "nginx"}], **(spec or {})}}}})


def pods(cluster, ns, name="each"):
    """node -> pods that are not going."""
    found = {}
    for p in cluster.items(f"/api/v1/namespaces/{ns}/pods", f"app={name}"):
        if not p["metadata"].get("deletionTimestamp"):
            terms = p["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
            found.setdefault(terms[0]["matchFields"][0]["values"][0], []).append(p)
    return found


def run(cluster, ns, *names, name="each"):
    """Those that are asked for become ready, as their nodes would say."""
    for p in [p for node, all_of in pods(cluster, ns, name).items() for p in all_of
              if (not names or node in names) and p["status"].get("phase") == "Pending"]:
        cluster.running(ns, p["metadata"]["name"], "10.1.2.3")


def numbers(cluster, ns, name="each"):
    s = cluster.read(f"{SETS.format(ns)}/{name}").get("status") or {}
    return tuple(s.get(k, 0) for k in ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable",
                                       "numberUnavailable", "numberMisscheduled"))


def settled(cluster, ns, name="each"):
    wait_until("a pod on each", lambda: set(pods(cluster, ns, name)) == {"d1", "d2", "d3"})
    run(cluster, ns, name=name)
    wait_until("all are available", lambda: numbers(cluster, ns, name) == (3, 3, 3, 3, 3, 0, 0))


def ready_of(cluster, ns, revision):
    return sorted(n for n, all_of in pods(cluster, ns).items() for p in all_of if p["metadata"]["labels"][HASH] == revision)


def change_template(cluster, ns, value):
    old = next(iter(pods(cluster, ns).values()))[0]["metadata"]["labels"][HASH]
    cluster.change(f"{SETS.format(ns)}/each", {"spec": {"template": {"metadata": {"annotations": {"version": value}}}}})
    return old


def test_a_pod_on_each_node_that_it_is_for(cluster, ns, nodes):
    make(cluster, ns)
    settled(cluster, ns)
    pod = pods(cluster, ns)["d1"][0]
    tolerated = {(t["key"], t["effect"]) for t in pod["spec"]["tolerations"] if t["key"].startswith("node.kubernetes.io/")}
    assert ("node.kubernetes.io/unschedulable", "NoSchedule") in tolerated and ("node.kubernetes.io/not-ready", "NoExecute") in tolerated
    cluster.change(f"{SETS.format(ns)}/each", {"spec": {"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}}})
    wait_until("elsewhere it goes", lambda: set(pods(cluster, ns)) == {"d3"})
    run(cluster, ns)
    wait_until("one is wanted", lambda: numbers(cluster, ns)[0] == 1)


def test_taints_keep_it_away_or_drive_it_out(cluster, ns, nodes):
    make(cluster, ns)
    settled(cluster, ns)
    taints = "/api/v1/nodes/d2"
    try:
        cluster.change(taints, {"spec": {"taints": [{"key": "x", "effect": "NoSchedule"}]}})
        wait_until("not wanted there, but it stays", lambda: numbers(cluster, ns)[0] == 2 and numbers(cluster, ns)[6] == 1)
        assert set(pods(cluster, ns)) == {"d1", "d2", "d3"}
        cluster.change(taints, {"spec": {"taints": [{"key": "x", "effect": "NoExecute"}]}})
        wait_until("it goes", lambda: set(pods(cluster, ns)) == {"d1", "d3"})
        cluster.change(taints, {"spec": {"taints": [], "unschedulable": True}})
        wait_until("a cordon is nothing to it", lambda: set(pods(cluster, ns)) == {"d1", "d2", "d3"})
    finally:
        cluster.change(taints, {"spec": {"taints": None, "unschedulable": None}})


def test_a_node_more_and_a_node_less(cluster, ns, nodes):
    make(cluster, ns)
    settled(cluster, ns)
    cluster.node("d4", labels={"kind": "daemon"})
    try:
        wait_until("a fourth pod", lambda: set(pods(cluster, ns)) == {"d1", "d2", "d3", "d4"})
    finally:
        cluster.remove("/api/v1/nodes/d4")
    wait_until("three are wanted", lambda: numbers(cluster, ns)[0] == 3)


def test_an_update_takes_one_node_at_a_time(cluster, ns, nodes):
    make(cluster, ns)
    settled(cluster, ns)
    old = change_template(cluster, ns, "2")
    for left in (2, 1, 0):
        wait_until("one is exchanged", lambda left=left: len(ready_of(cluster, ns, old)) == left and len(pods(cluster, ns)) == 3)
        fresh = [n for n, all_of in pods(cluster, ns).items() if all_of[0]["metadata"]["labels"][HASH] != old]
        assert len(fresh) == 3 - left
        run(cluster, ns, *fresh)
    wait_until("all are exchanged", lambda: numbers(cluster, ns) == (3, 3, 3, 3, 3, 0, 0))


def test_an_update_that_never_serves_stops_at_one(cluster, ns, nodes):
    make(cluster, ns)
    settled(cluster, ns)
    old = change_template(cluster, ns, "broken")
    wait_until("one is exchanged", lambda: len(ready_of(cluster, ns, old)) == 2 and len(pods(cluster, ns)) == 3)
    cluster.change(f"{SETS.format(ns)}/each", {"metadata": {"annotations": {"look": "again"}}})
    wait_until("told", lambda: numbers(cluster, ns) == (3, 3, 2, 1, 2, 1, 0))
    assert len(ready_of(cluster, ns, old)) == 2


def test_a_surge_puts_the_new_one_beside_the_old(cluster, ns, nodes):
    make(cluster, ns, updateStrategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
    settled(cluster, ns)
    old = change_template(cluster, ns, "2")
    for left in (3, 2, 1):
        both = wait_until("two on one node", lambda: [n for n, all_of in pods(cluster, ns).items() if len(all_of) == 2])
        assert len(both) == 1 and len(ready_of(cluster, ns, old)) == left
        run(cluster, ns, both[0])
        wait_until("the old one goes", lambda both=both: len(pods(cluster, ns)[both[0]]) == 1)
    wait_until("all are exchanged", lambda: not ready_of(cluster, ns, old))


def test_on_delete_nothing_is_exchanged_by_itself(cluster, ns, nodes):
    make(cluster, ns, updateStrategy={"type": "OnDelete"})
    settled(cluster, ns)
    old = change_template(cluster, ns, "2")
    wait_until("seen", lambda: numbers(cluster, ns)[3] == 0)
    assert len(ready_of(cluster, ns, old)) == 3
    cluster.remove(f"/api/v1/namespaces/{ns}/pods/{pods(cluster, ns)['d1'][0]['metadata']['name']}", {"gracePeriodSeconds": 0})
    wait_until("the new one comes there", lambda: "d1" in pods(cluster, ns) and ready_of(cluster, ns, old) == ["d2", "d3"])


def test_wrong_sets_are_refused(cluster, ns):
    def causes(**rest):
        reply = cluster.post(SETS.format(ns), {"metadata": {"name": "bad"}, "spec": {
            "selector": {"matchLabels": {"app": "a"}}, "template": {"metadata": {"labels": {"app": "a"}}, "spec": {
                "containers": [{"name": "c", "image": "i"}]}}, **rest}})
        assert reply.status == 422, reply.body
        return {c["field"]: c["message"] for c in reply.json["details"]["causes"]}
    update = "spec.updateStrategy.rollingUpdate"
    assert causes(updateStrategy={"rollingUpdate": {"maxUnavailable": 0}}) == {
        f"{update}.maxUnavailable": "Required value: cannot be 0 when maxSurge is 0"}
    assert causes(updateStrategy={"rollingUpdate": {"maxSurge": 1}})[f"{update}.maxSurge"] == (
        "Invalid value: 1: may not be set when maxUnavailable is non-zero")
    assert "spec.selector" in causes(selector={})
    assert causes(template={"metadata": {"labels": {"app": "a"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}})[
        "spec.template.spec.restartPolicy"] == 'Unsupported value: "Never": supported values: "Always"'
