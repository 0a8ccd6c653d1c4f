"""Who belongs to whom: adoption and release, owners that caches have not seen yet, what is handed down to sets and Endpoints."""
import signal
import time

import pytest

from conftest import Cluster

TEMPLATE_SPEC = {"nodeName": "n0", "containers": [{"name": "c", "image": "nginx"}]}


def soon(what, fn, timeout=15):
    end = time.monotonic() + timeout
    while True:
        value = fn()
        if value:
            return value
        assert time.monotonic() < end, f"timed out waiting until {what} (last: {value!r})"
        time.sleep(0.02)


def workload(name, replicas, **metadata):
    return {"metadata": {"name": name, **metadata}, "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": {
        "metadata": {"labels": {"app": name}}, "spec": TEMPLATE_SPEC}}}


def live(cluster, ns):
    return [p for p in cluster.get(f"/api/v1/namespaces/{ns}/pods").json["items"] if "deletionTimestamp" not in p["metadata"]]


def patched(cluster, path, body):
    r = cluster.patch(path, body)
    assert r.status == 200, r.body
    return r.json


def test_a_relabelled_pod_is_given_up_and_replaced(cluster, ns):
    """kubectl label pod X app=debug --overwrite takes a pod out of its set to look at it."""
    cluster.create(f"/apis/apps/v1/namespaces/{ns}/replicasets", workload("r", 2))
    soon("two pods", lambda: len(live(cluster, ns)) == 2)
    path = f"/api/v1/namespaces/{ns}/pods/" + live(cluster, ns)[0]["metadata"]["name"]
    patched(cluster, path, {"metadata": {"labels": {"app": "debug"}}})
    soon("it is replaced", lambda: len(live(cluster, ns)) == 3)
    assert not cluster.get(path).json["metadata"].get("ownerReferences")
    patched(cluster, path, {"metadata": {"labels": {"app": "r"}}})
    soon("taken back, one is too many", lambda: len(live(cluster, ns)) == 2)


def test_an_adopted_pod_keeps_its_other_owners(cluster, ns):
    owner = cluster.create(f"/api/v1/namespaces/{ns}/configmaps", {"metadata": {"name": "other"}})
    cluster.create(f"/api/v1/namespaces/{ns}/pods", {"metadata": {
        "name": "orphan", "labels": {"app": "r"}, "ownerReferences": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": owner["metadata"]["uid"]}]}, "spec": TEMPLATE_SPEC})
    cluster.create(f"/apis/apps/v1/namespaces/{ns}/replicasets", workload("r", 1))
    soon("both own it", lambda: [r["kind"] for r in cluster.get(f"/api/v1/namespaces/{ns}/pods/orphan").json["metadata"]["ownerReferences"]] ==
         ["ConfigMap", "ReplicaSet"])


def test_a_deployment_made_again_adopts_the_orphaned_set(cluster, ns):
    path, sets = (f"/apis/apps/v1/namespaces/{ns}/{kind}" for kind in ("deployments", "replicasets"))
    cluster.create(path, workload("d", 2))
    soon("two pods", lambda: len(live(cluster, ns)) == 2)
    before = {p["metadata"]["uid"] for p in live(cluster, ns)}
    assert cluster.delete(f"{path}/d", {"propagationPolicy": "Orphan"}).status == 200
    soon("the Deployment alone is gone", lambda: cluster.get(f"{path}/d").status == 404)
    again = cluster.create(path, workload("d", 3))
    soon("it counts the set's pods and a new one", lambda: cluster.get(f"{path}/d").json["status"].get("updatedReplicas") == 3)
    assert before < {p["metadata"]["uid"] for p in live(cluster, ns)}
    (only,) = cluster.get(sets).json["items"]
    assert only["metadata"]["ownerReferences"][0]["uid"] == again["metadata"]["uid"]


def test_change_cause_reaches_the_newest_revision(cluster, ns):
    """kubectl annotate deployment d kubernetes.io/change-cause=… is what rollout history shows."""
    path, sets = (f"/apis/apps/v1/namespaces/{ns}/{kind}" for kind in ("deployments", "replicasets"))
    cluster.create(path, workload("d", 1))
    soon("it has a set", lambda: cluster.get(sets).json["items"])
    patched(cluster, f"{path}/d", {"metadata": {"annotations": {"kubernetes.io/change-cause": "first"}}})

    def causes():
        return {s["metadata"]["annotations"]["deployment.kubernetes.io/revision"]: s["metadata"]["annotations"].get("kubernetes.io/change-cause")
                for s in cluster.get(sets).json["items"]}
    soon("the set has it", lambda: causes() == {"1": "first"})
    patched(cluster, f"{path}/d", {"metadata": {"annotations": {"kubernetes.io/change-cause": "second"}},
                                   "spec": {"template": {"metadata": {"labels": {"v": "2"}}}}})
    soon("each revision has its own", lambda: causes() == {"1": "first", "2": "second"})


def test_a_kind_of_another_group_is_another_kind(cluster, ns):
    path = f"/api/v1/namespaces/{ns}/configmaps"
    for name, version in (("foreign", "serving.knative.dev/v1"), ("ours", "v1")):
        cluster.create(path, {"metadata": {"name": name, "ownerReferences": [
            {"apiVersion": version, "kind": "Service", "name": "x", "uid": f"uid-of-{name}"}]}})
    soon("what belongs to a Service that is not there goes", lambda: cluster.get(f"{path}/ours").status == 404)
    assert cluster.get(f"{path}/foreign").status == 200


@pytest.fixture
def interrupted(tmp_path):
    c = Cluster(tmp_path, ephemeral=False).start()
    c.start_controllers()
    yield c
    assert c.stop_controllers() == 0
    assert c.stop() == 0


def test_dependents_outlive_an_interruption(interrupted):
    """After an outage the informers come back one after the other: a dependent is known before its owner. It must not go."""
    c = interrupted
    kinds = {"configmaps": "ConfigMap", "secrets": "Secret"}
    c.create("/api/v1/namespaces", {"metadata": {"name": "n"}})
    soon("the controllers work", lambda: c.get("/api/v1/namespaces/n/serviceaccounts/default").status == 200)
    c.stop(signal.SIGKILL)
    time.sleep(2)  # the back-offs of the informers drift apart
    c.start()
    deadline = time.monotonic() + 4
    made = set()
    while time.monotonic() < deadline:
        for owner, dependent in (("configmaps", "secrets"), ("secrets", "configmaps")):
            o = c.create(f"/api/v1/namespaces/n/{owner}", {"metadata": {"generateName": "owner-"}})["metadata"]
            d = c.create(f"/api/v1/namespaces/n/{dependent}", {"metadata": {"generateName": "dependent-", "ownerReferences": [
                {"apiVersion": "v1", "kind": kinds[owner], "name": o["name"], "uid": o["uid"]}]}})
            made.add((dependent, d["metadata"]["name"]))
        time.sleep(0.1)
    marker = c.create("/api/v1/namespaces/n/configmaps", {"metadata": {"name": "marker", "ownerReferences": [
        {"apiVersion": "v1", "kind": "Secret", "name": "never", "uid": "never"}]}})
    soon("garbage is collected", lambda: c.get("/api/v1/namespaces/n/configmaps/marker").status == 404, 30)
    left = {(kind, o["metadata"]["name"]) for kind in kinds for o in c.get(f"/api/v1/namespaces/n/{kind}").json["items"]}
    assert marker and made <= left, f"{len(made - left)} of {len(made)} went although their owners live"


def test_endpoints_have_the_first_family_of_their_service(cluster, ns):
    cluster.pod(ns, "both", ips=["10.9.0.1", "fd00::9"])
    cluster.service(ns, ipFamilies=["IPv6"])
    path = f"/api/v1/namespaces/{ns}/endpoints/web"
    end = time.monotonic() + 15
    while not cluster.get(path).json.get("subsets") and time.monotonic() < end:
        time.sleep(0.02)
    assert [a["ip"] for a in cluster.get(path).json["subsets"][0]["addresses"]] == ["fd00::9"]
