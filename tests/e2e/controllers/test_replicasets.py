"""ReplicaSets: which pods go first, and what is told of it."""
from suite import wait_until

SETS = "/apis/apps/v1/namespaces/{}/replicasets"
COST = "controller.kubernetes.io/pod-deletion-cost"


def make_set(cluster, ns, name, replicas, owner=None, cost=None, **spec):
    meta = {"name": name}
    if owner:
        meta["ownerReferences"] = [{"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"],
                                    "uid": owner["metadata"]["uid"], "controller": True}]
    return cluster.create(SETS.format(ns), {"metadata": meta, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}, "annotations": {COST: cost} if cost else {}}, "spec": {"schedulerName": "none", "containers": [{"name": "c", "image": "nginx"}], **spec}}}})


def make_pod(cluster, ns, name, app, node="", phase="Running", since=None, restarts=0, cost=None):
    """A pod as a node reports it; ready since that second."""
    cluster.pod(ns, name, labels={"app": app}, node=node, schedulerName="none")
    if cost is not None:
        cluster.change(f"/api/v1/namespaces/{ns}/pods/{name}", {"metadata": {"annotations": {COST: str(cost)}}})
    ready = {"type": "Ready", "status": "False" if since is None else "True", "lastTransitionTime": f"2026-01-01T00:00:{since or 0:02}Z"}
    cluster.change(f"/api/v1/namespaces/{ns}/pods/{name}/status", {"status": {
        "phase": phase, "conditions": [ready], "containerStatuses": [
            {"name": "c", "image": "i", "imageID": "", "ready": since is not None, "restartCount": restarts}]}}, "strategic")


def alive(cluster, ns, app):
    return {p["metadata"]["name"] for p in cluster.items(f"/api/v1/namespaces/{ns}/pods", f"app={app}") if not p["metadata"].get("deletionTimestamp")}


def shrink(cluster, ns, name, to=0):
    """One by one; the order in which pods went."""
    have, order = alive(cluster, ns, name), []
    while len(have) > to:
        cluster.change(f"{SETS.format(ns)}/{name}", {"spec": {"replicas": len(have) - 1}})
        wait_until("one is gone", lambda: alive(cluster, ns, name) != have)
        now = alive(cluster, ns, name)
        order += have - now
        have = now
        wait_until("and counted", lambda: cluster.read(f"{SETS.format(ns)}/{name}")["status"].get("replicas") == len(have))
    return order


def test_pods_go_in_order_of_their_use(cluster, ns):
    make_pod(cluster, ns, "unassigned", "web", phase="Pending")
    make_pod(cluster, ns, "pending", "web", node="n0", phase="Pending")
    make_pod(cluster, ns, "unready", "web", node="n0")
    make_pod(cluster, ns, "cheap", "web", node="n5", since=0, cost=-5)
    make_pod(cluster, ns, "crowded-late", "web", node="n1", since=20)
    make_pod(cluster, ns, "crowded", "web", node="n1", since=10)
    make_pod(cluster, ns, "late", "web", node="n2", since=30)
    make_pod(cluster, ns, "restarted", "web", node="n3", since=10, restarts=3)
    make_pod(cluster, ns, "plain", "web", node="n4", since=10)
    make_pod(cluster, ns, "dear", "web", node="n1", since=40, restarts=9, cost=5)
    make_set(cluster, ns, "web", 10)
    wait_until("all are adopted", lambda: cluster.read(f"{SETS.format(ns)}/web").get("status", {}).get("replicas") == 10)
    assert shrink(cluster, ns, "web", to=1) == [
        "unassigned", "pending", "unready", "cheap", "crowded-late", "crowded", "late", "restarted", "plain"]


def test_pods_of_sister_sets_count_on_a_node(cluster, ns):
    """A roll-out of a Deployment does not take the pods of one set from the node that has none of the other's."""
    owner = cluster.create(f"/api/v1/namespaces/{ns}/configmaps", {"metadata": {"name": "owner"}})
    make_pod(cluster, ns, "beside", "old", node="n1", since=10)
    make_pod(cluster, ns, "alone", "old", node="n2", since=20)
    make_pod(cluster, ns, "new", "new", node="n1", since=30)
    for name, n in (("new", 1), ("old", 2)):
        make_set(cluster, ns, name, n, owner)
        wait_until("they are adopted", lambda name=name, n=n: cluster.read(f"{SETS.format(ns)}/{name}").get("status", {}).get("replicas") == n)
    assert shrink(cluster, ns, "old", to=1) == ["beside"]


def told(cluster, ns, reason, name="web"):
    return {e["message"] for e in cluster.events(ns, name) if e["reason"] == reason and e["involvedObject"]["kind"] == "ReplicaSet"}


def test_events_say_which_pods_were_made_and_deleted(cluster, ns):
    make_set(cluster, ns, "web", 3)
    pods = wait_until("three pods", lambda: len(n := alive(cluster, ns, "web")) == 3 and n)
    wait_until("each is told", lambda: told(cluster, ns, "SuccessfulCreate") == {f"Created pod: {p}" for p in pods})
    gone = shrink(cluster, ns, "web")
    wait_until("each is told", lambda: told(cluster, ns, "SuccessfulDelete") == {f"Deleted pod: {p}" for p in gone})
    make_set(cluster, ns, "odd", 1, priorityClassName="none")
    message = wait_until("it is told", lambda: told(cluster, ns, "FailedCreate", "odd")).pop()
    assert message.startswith('Error creating: pods "odd-') and message.endswith("is forbidden: no PriorityClass with name none was found")


def test_a_long_message_is_told_up_to_where_it_was_cut(cluster, ns):
    """It is cut at a byte, which may be in the middle of a character."""
    for name, cost in ("even", "ü" * 600), ("odds", "a" + "ü" * 600):
        make_set(cluster, ns, name, 1, cost=cost)
        message = wait_until("it is told", lambda name=name: told(cluster, ns, "FailedCreate", name)).pop()
        assert message.startswith(f'Error creating: Pod "{name}-') and message.count("ü") > 400


def test_a_big_set_leaves_the_scheduler_its_events(cluster, ns):
    cluster.node(f"{ns}-n", {"lab": ns})
    make_set(cluster, ns, "big", 150)
    wait_until("they are made", lambda: len(alive(cluster, ns, "big")) == 150, timeout=30)
    for i in range(20):
        cluster.pod(ns, f"small{i}", node="", nodeSelector={"lab": ns})
    path = f"/api/v1/namespaces/{ns}/events?fieldSelector=reason=Scheduled"

    def all_are_told():
        cluster.renew(f"{ns}-n")  # a node that is silent for long gets no pods
        return len({e["involvedObject"]["name"] for e in cluster.items(path)}) == 20
    wait_until("each is told", all_are_told)
