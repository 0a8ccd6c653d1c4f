"""Garbage collection by owner references (background, foreground, orphan) and the end of namespaces."""
import signal
import time

import pytest

from api_server import deployment
from conftest import Cluster
from suite import SLOW, wait_until


def ref(kind, api, o, **more):
    return {"apiVersion": api, "kind": kind, "name": o["metadata"]["name"], "uid": o["metadata"]["uid"], **more}


def cm(cluster, ns, name, *owners, finalizers=()):
    return cluster.create(f"/api/v1/namespaces/{ns}/configmaps", {"metadata": {
        "name": name, "ownerReferences": list(owners), "finalizers": list(finalizers)}})


def names(cluster, ns, plural="configmaps"):
    return {o["metadata"]["name"] for o in cluster.items(f"/api/v1/namespaces/{ns}/{plural}")} - {"kube-root-ca.crt"}


def test_background_deletion_of_a_chain_over_kinds(cluster, ns):
    top = cm(cluster, ns, "top")
    middle = cluster.create(f"/api/v1/namespaces/{ns}/secrets", {"metadata": {"name": "middle", "ownerReferences": [ref("ConfigMap", "v1", top)]}})
    cm(cluster, ns, "leaf", ref("Secret", "v1", middle))
    other = cm(cluster, ns, "other")
    cm(cluster, ns, "shared", ref("ConfigMap", "v1", top), ref("ConfigMap", "v1", other))
    cluster.remove(f"/api/v1/namespaces/{ns}/configmaps/top")
    wait_until("the chain is gone", lambda: names(cluster, ns) == {"other", "shared"} and not names(cluster, ns, "secrets"))
    cluster.remove(f"/api/v1/namespaces/{ns}/configmaps/other")
    wait_until("with the last owner", lambda: not names(cluster, ns))


def test_an_owner_that_never_was_or_is_another(cluster, ns):
    top = cm(cluster, ns, "top")
    cm(cluster, ns, "wrong-uid", {**ref("ConfigMap", "v1", top), "uid": "00000000-0000-0000-0000-000000000000"})
    cm(cluster, ns, "unknown-kind", {"apiVersion": "x.io/v1", "kind": "Strange", "name": "x", "uid": "u"})
    wait_until("an owner of that uid does not exist", lambda: names(cluster, ns) == {"top", "unknown-kind"})


def test_foreground_deletion_waits_for_those_that_block(cluster, ns):
    top = cm(cluster, ns, "top")
    cm(cluster, ns, "blocks", ref("ConfigMap", "v1", top, blockOwnerDeletion=True), finalizers=["x.io/hold"])
    cm(cluster, ns, "does-not", ref("ConfigMap", "v1", top), finalizers=["x.io/hold"])
    url = f"/api/v1/namespaces/{ns}/configmaps/"
    cluster.remove(url + "top", {"propagationPolicy": "Foreground"})
    wait_until("dependents are told", lambda: "deletionTimestamp" in cluster.read(url + "blocks")["metadata"])
    assert cluster.read(url + "top")["metadata"]["finalizers"] == ["foregroundDeletion"]
    cluster.change(url + "blocks", {"metadata": {"finalizers": None}})
    wait_until("the owner goes with the one that blocked", lambda: names(cluster, ns) == {"does-not"})


def test_orphans_forget_their_owner(cluster, ns):
    top = cm(cluster, ns, "top")
    other = cm(cluster, ns, "other")
    cm(cluster, ns, "child", ref("ConfigMap", "v1", top), ref("ConfigMap", "v1", other))
    cluster.remove(f"/api/v1/namespaces/{ns}/configmaps/top", {"propagationPolicy": "Orphan"})
    wait_until("the owner is gone", lambda: names(cluster, ns) == {"other", "child"})
    refs = cluster.read(f"/api/v1/namespaces/{ns}/configmaps/child")["metadata"]["ownerReferences"]
    assert [r["name"] for r in refs] == ["other"]


def test_a_namespace_ends_when_its_content_has(cluster, ns):
    deployments = f"/apis/apps/v1/namespaces/{ns}/deployments"
    cm(cluster, ns, "held", finalizers=["x.io/hold"])
    cm(cluster, ns, "free")
    cluster.service(ns)
    cluster.create(deployments, deployment("d", 2))
    wait_until("it has pods", lambda: len(names(cluster, ns, "pods")) == 2)
    cluster.remove(f"/api/v1/namespaces/{ns}")
    wait_until("what can go is gone", lambda: names(cluster, ns) == {"held"} and not cluster.items(deployments) and
               not names(cluster, ns, "services") and not names(cluster, ns, "pods"))
    assert cluster.read(f"/api/v1/namespaces/{ns}")["status"]["phase"] == "Terminating"
    cluster.change(f"/api/v1/namespaces/{ns}/configmaps/held", {"metadata": {"finalizers": None}})
    wait_until("then the namespace", lambda: cluster.get(f"/api/v1/namespaces/{ns}").status == 404)


def test_a_held_namespace_is_left_alone_and_ends_at_once_when_let_go(cluster, ns):
    cm(cluster, ns, "held", finalizers=["x.io/hold"])
    cluster.remove(f"/api/v1/namespaces/{ns}")
    wait_until("only what is held is left", lambda: cluster.items(f"/api/v1/namespaces/{ns}/configmaps") and
               len(cluster.items(f"/api/v1/namespaces/{ns}/configmaps")) == 1 and not cluster.items(f"/api/v1/namespaces/{ns}/serviceaccounts"))

    def requests():
        text = cluster.get("/metrics").body.decode()
        return int(next(line.split()[1] for line in text.splitlines() if line.startswith("fairlead_lab_requests_total ")))
    before, begin = requests(), time.monotonic()
    wait_until("three seconds have gone by", lambda: time.monotonic() > begin + 3)  # it counts what happens in a time
    asked = (requests() - before) / (time.monotonic() - begin)
    assert asked < 60, "requests a second"
    cluster.change(f"/api/v1/namespaces/{ns}/configmaps/held", {"metadata": {"finalizers": None}})
    begin = time.monotonic()
    wait_until("the namespace is gone", lambda: cluster.get(f"/api/v1/namespaces/{ns}").status == 404)
    assert time.monotonic() - begin < 0.8 * SLOW


def test_finalize_is_of_one_namespace_and_version(cluster, ns):
    path = f"/api/v1/namespaces/{ns}"
    old = cluster.read(path)
    cluster.change(path, {"metadata": {"labels": {"a": "b"}}})
    r = cluster.put(f"{path}/finalize", old)
    assert (r.status, r.json["reason"]) == (409, "Conflict") and "the object has been modified" in r.json["message"]
    r = cluster.put(f"{path}/finalize", {"metadata": {"name": ns, "uid": "another"}, "spec": {"finalizers": []}})
    assert r.status == 409 and "Precondition failed: UID in precondition: another" in r.json["message"]
    cluster.ok(cluster.put(f"{path}/finalize", cluster.read(path)))



def test_a_kind_of_another_group_is_another_kind(cluster, ns):
    path = f"/api/v1/namespaces/{ns}/configmaps"
    for name, version in (("foreign", "serving.knative.dev/v1"), ("ours", "v1")):
        cluster.create(path, {"metadata": {"name": name, "ownerReferences": [
            {"apiVersion": version, "kind": "Service", "name": "x", "uid": f"uid-of-{name}"}]}})
    wait_until("what belongs to a Service that is not there goes", lambda: cluster.get(f"{path}/ours").status == 404)
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
    wait_until("the controllers work", lambda: c.get("/api/v1/namespaces/n/serviceaccounts/default").status == 200)
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
    wait_until("garbage is collected", lambda: c.get("/api/v1/namespaces/n/configmaps/marker").status == 404, 30)
    left = {(kind, o["metadata"]["name"]) for kind in kinds for o in c.get(f"/api/v1/namespaces/n/{kind}").json["items"]}
    assert marker and made <= left, f"{len(made - left)} of {len(made)} went although their owners live"
