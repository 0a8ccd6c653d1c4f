"""Garbage collection by owner references (background, foreground, orphan) and the end of namespaces."""
from api_server import deployment
from suite import wait_until


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
