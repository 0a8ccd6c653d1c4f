"""A node's silence counts from when it can be told, and eviction from the taint."""
import datetime
import signal
import time

from suite import wait_until

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


def grow_old(cluster, node):
    """The Lease as a machine that slept for an hour finds it."""
    then = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    assert cluster.patch(f"{LEASES}/{node}", {"spec": {"renewTime": then.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}}).status == 200


def condition(cluster, node):
    return next(c for c in cluster.get(f"/api/v1/nodes/{node}").json["status"]["conditions"] if c["type"] == "Ready")


def test_pods_are_tolerated_from_the_taint_on(cluster, ns):
    node = f"{ns}-node"
    cluster.node(node)
    for name, seconds in (("patient", 300), ("hasty", 1)):
        cluster.pod(ns, name, "10.0.0.1", node=node, tolerations=[
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}])
    grow_old(cluster, node)
    wait_until("the node is unknown", lambda: condition(cluster, node)["status"] == "Unknown")

    def deleting(name):
        r = cluster.get(f"/api/v1/namespaces/{ns}/pods/{name}")
        return r.status == 404 or "deletionTimestamp" in r.json["metadata"]
    wait_until("one is evicted a second after the taint", lambda: deleting("hasty"))
    assert not deleting("patient"), "an hour's silence is no hour's taint"


def test_controllers_that_slept_hear_nodes_out_first(cluster, ns):
    node = f"{ns}-node"
    cluster.node(node)
    cluster.pod(ns, "p", "10.0.0.2", node=node)
    wait_until("the node is known", lambda: condition(cluster, node)["status"] == "True")
    cluster.controllers.send_signal(signal.SIGSTOP)
    grow_old(cluster, node)
    time.sleep(6)
    cluster.controllers.send_signal(signal.SIGCONT)
    woke = time.monotonic()
    wait_until("the node is unknown", lambda: condition(cluster, node)["status"] == "Unknown")
    assert time.monotonic() - woke > 1.5, "it had the whole grace period to be heard again"
