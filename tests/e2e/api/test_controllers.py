"""The controllers as a process of their own beside the API server, without nodes: the test plays the kubelet."""
import json
import subprocess
import time

import pytest
from conftest import Server, build_dir, deployment, service

DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments"
SETS = "/apis/apps/v1/namespaces/{}/replicasets"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices"


def wait_until(what, fn, timeout=20):
    end = time.monotonic() + timeout
    while True:
        value = fn()
        if value:
            return value
        assert time.monotonic() < end, f"timed out waiting until {what} (last: {value!r})"
        time.sleep(0.02)


class Cluster:
    def __init__(self, server):
        self.server, self.conn = server, server.connect()
        self.log = open(server.dir / "controllers.log", "wb")
        self.process = subprocess.Popen([build_dir() / "bin" / "fairlead-labd", "controllers", "--kubeconfig", server.kubeconfig()],
                                        stderr=self.log)

    def call(self, method, path, body=None, expect=None, patch="application/merge-patch+json"):
        type_ = patch if method == "PATCH" else "application/json"
        r = self.server.call(method, path, None if body is None else json.dumps(body), type=type_, conn=self.conn)
        assert r.status < 300 if expect is None else r.status == expect, r.body
        return r.json

    def list(self, path, selector=""):
        return self.call("GET", path + (f"?labelSelector={selector.replace('=', '%3D')}" if selector else ""))["items"]

    # deployments

    def deploy(self, ns, name="d", replicas=3, ready=True, **spec):
        self.call("POST", DEPLOYMENTS.format(ns), deployment(name, replicas, **spec))
        if ready:
            self.make_ready(ns)
            wait_until("it is complete", lambda: self.status(ns, name).get("availableReplicas", 0) == replicas)

    def get(self, ns, name="d"):
        return self.call("GET", DEPLOYMENTS.format(ns) + "/" + name)

    def status(self, ns, name="d"):
        return self.get(ns, name).get("status", {})

    def change(self, ns, spec, name="d", path=""):
        return self.call("PATCH", DEPLOYMENTS.format(ns) + f"/{name}{path}", {"spec": spec}, patch="application/strategic-merge-patch+json")

    def image(self, ns, image, name="d"):
        return self.change(ns, {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}, name)

    def progressing(self, ns, name="d"):
        c = next((c for c in self.status(ns, name).get("conditions", []) if c["type"] == "Progressing"), {})
        return c.get("status"), c.get("reason")

    def sizes(self, ns):
        """{image: replicas wanted} of the ReplicaSets."""
        return {s["spec"]["template"]["spec"]["containers"][0]["image"]: s["spec"]["replicas"] for s in self.list(SETS.format(ns))}

    def settled(self, ns, name="d"):
        """The newest generation has been seen and no set is still to change its number of pods."""
        d = self.get(ns, name)
        return d["status"].get("observedGeneration") == d["metadata"]["generation"] and all(
            s["spec"]["replicas"] == s.get("status", {}).get("replicas", 0) and
            s.get("status", {}).get("observedGeneration") == s["metadata"]["generation"] for s in self.list(SETS.format(ns)))

    # the kubelet's part

    def pods(self, ns, image=None):
        return [p for p in self.list(f"/api/v1/namespaces/{ns}/pods")
                if image is None or p["spec"]["containers"][0]["image"] == image]

    def report(self, ns, pod, ready=True, ip=None):
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        ip = ip or f"10.{hash(pod) >> 16 & 255}.{hash(pod) >> 8 & 255}.{hash(pod) & 255}"
        self.server.call("PATCH", f"/api/v1/namespaces/{ns}/pods/{pod}/status", json.dumps({"status": {
            "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": now}]}}),
            type="application/merge-patch+json", conn=self.conn)  # it may be gone meanwhile

    def is_ready(self, pod):
        return any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions", []))

    def make_ready(self, ns, image=None, name="d"):
        """Marks pods ready until the Deployment has all it wants."""
        def step():
            for p in self.pods(ns, image):
                if not self.is_ready(p):
                    self.report(ns, p["metadata"]["name"])
            d = self.get(ns, name)
            s = d.get("status", {})
            return s.get("observedGeneration") == d["metadata"]["generation"] and \
                s.get("readyReplicas", 0) == s.get("replicas", 0) == s.get("updatedReplicas", 0) == d["spec"]["replicas"]
        wait_until("all pods are ready", step)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("controllers")).start()
    c = Cluster(s)
    yield c
    c.process.terminate()
    assert c.process.wait(10) == 0
    text = open(c.server.dir / "controllers.log").read()
    assert "AddressSanitizer" not in text and "runtime error" not in text, text[-3000:]
    assert s.stop() == 0


_n = [0]


@pytest.fixture
def ns(cluster):
    _n[0] += 1
    name = f"c{_n[0]}"
    cluster.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    yield name


def rolling(surge, unavailable):
    return {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}


# ---- Deployments ----

def test_rolling_update_keeps_its_bounds(cluster, ns):
    cluster.deploy(ns, replicas=6, **rolling(2, 1))
    w = cluster.server.watch(f"/api/v1/namespaces/{ns}/pods?watch=1", timeout=30)
    cluster.image(ns, "nginx:2")
    cluster.make_ready(ns)
    wait_until("only new pods are left", lambda: len(cluster.pods(ns)) == len(cluster.pods(ns, "nginx:2")) == 6)
    end = cluster.call("POST", f"/api/v1/namespaces/{ns}/pods", {"metadata": {"name": "end"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    have = {}
    most, least = 0, 99
    while (e := w.next())["object"]["metadata"]["name"] != end["metadata"]["name"]:
        name = e["object"]["metadata"]["name"]
        have.pop(name, None) if e["type"] == "DELETED" else have.update({name: cluster.is_ready(e["object"])})
        if len(have) >= 6:
            most, least = max(most, len(have)), min(least, sum(have.values()))
        assert len(have) <= 8, "maxSurge"
        assert most < 6 or "nginx:2" not in str(e) or sum(have.values()) >= 5, "maxUnavailable"
    w.close()
    assert most == 8, "the surge was used"
    assert cluster.sizes(ns) == {"nginx:1": 0, "nginx:2": 6} and cluster.progressing(ns) == ("True", "NewReplicaSetAvailable")


@pytest.mark.parametrize("to,share,end", [(15, (11, 7), (11, 7)), (5, (5, 3), (3, 5)), (20, (14, 9), (14, 9)), (0, (0, 0), (0, 0))])
def test_scaling_in_the_middle_of_a_rollout_is_proportional(cluster, ns, to, share, end):
    """10 replicas, surge 3, unavailable 2, new pods that do not get ready: 8 and 5. Both sets take their share of the change; then the
    rollout goes on as far as what is available lets it."""
    cluster.deploy(ns, replicas=10, **rolling(3, 2))
    cluster.image(ns, "nginx:bad")
    wait_until("it is stuck", lambda: cluster.sizes(ns) == {"nginx:1": 8, "nginx:bad": 5} and cluster.settled(ns))
    rv = cluster.call("GET", SETS.format(ns))["metadata"]["resourceVersion"]
    w = cluster.server.watch(SETS.format(ns) + f"?watch=1&resourceVersion={rv}")
    cluster.change(ns, {"replicas": to})
    first = {}
    while len(first) < 2:
        o = w.next()["object"]
        image, n = o["spec"]["template"]["spec"]["containers"][0]["image"], o["spec"]["replicas"]
        if n != {"nginx:1": 8, "nginx:bad": 5}[image]:
            first.setdefault(image, n)
    w.close()
    assert (first["nginx:1"], first["nginx:bad"]) == share
    wait_until("it has gone on", lambda: cluster.sizes(ns) == dict(zip(("nginx:1", "nginx:bad"), end)) and cluster.settled(ns))
    if to:
        assert [s["metadata"]["annotations"]["deployment.kubernetes.io/desired-replicas"] for s in cluster.list(SETS.format(ns))] == [str(to)] * 2


def test_progress_deadline(cluster, ns):
    cluster.deploy(ns, replicas=2, progressDeadlineSeconds=2)
    assert cluster.progressing(ns) == ("True", "NewReplicaSetAvailable")
    rv = cluster.call("GET", DEPLOYMENTS.format(ns))["metadata"]["resourceVersion"]
    w = cluster.server.watch(DEPLOYMENTS.format(ns) + f"?watch=1&resourceVersion={rv}")
    begin = time.monotonic()
    cluster.image(ns, "nginx:2")
    seen = []
    while "ProgressDeadlineExceeded" not in seen:
        c = next(c for c in w.next()["object"]["status"]["conditions"] if c["type"] == "Progressing")
        if c["reason"] not in seen:
            seen.append(c["reason"])
        assert (c["status"] == "False") == (c["reason"] == "ProgressDeadlineExceeded")
    w.close()
    assert seen == ["NewReplicaSetAvailable", "NewReplicaSetCreated", "ReplicaSetUpdated", "ProgressDeadlineExceeded"]
    assert time.monotonic() - begin > 1.5
    message = next(c for c in cluster.status(ns)["conditions"] if c["type"] == "Progressing")["message"]
    assert message.startswith('ReplicaSet "d-') and message.endswith("has timed out progressing.")
    cluster.make_ready(ns)
    wait_until("it goes on all the same", lambda: cluster.progressing(ns) == ("True", "NewReplicaSetAvailable"))


def test_progress_is_not_late_while_pods_get_ready(cluster, ns):
    cluster.deploy(ns, replicas=5, progressDeadlineSeconds=3, **rolling(1, 0))
    cluster.image(ns, "nginx:2")
    begin, seen = time.monotonic(), set()
    while cluster.progressing(ns)[1] != "NewReplicaSetAvailable" or cluster.sizes(ns).get("nginx:2") != 5:
        waiting = [p for p in cluster.pods(ns, "nginx:2") if not cluster.is_ready(p)]
        if waiting and time.monotonic() - begin > 1.2:
            cluster.report(ns, waiting[0]["metadata"]["name"])
            begin = time.monotonic()
        seen.add(cluster.progressing(ns))
        time.sleep(0.05)
    assert ("True", "ReplicaSetUpdated") in seen and not any(s == "False" for s, _ in seen), seen


def test_min_ready_seconds(cluster, ns):
    cluster.deploy(ns, replicas=2, ready=False, minReadySeconds=2)
    begin = time.monotonic()
    cluster.make_ready(ns)
    assert cluster.status(ns).get("availableReplicas", 0) == 0
    wait_until("they are available", lambda: cluster.status(ns).get("availableReplicas") == 2)
    assert time.monotonic() - begin > 1
    cluster.change(ns, {"minReadySeconds": 1})
    wait_until("the set is told", lambda: cluster.list(SETS.format(ns))[0]["spec"].get("minReadySeconds") == 1)
    assert len(cluster.list(SETS.format(ns))) == 1, "no new revision"


def test_revision_history_limit(cluster, ns):
    cluster.deploy(ns, replicas=1, revisionHistoryLimit=2)
    for i in range(2, 6):
        cluster.image(ns, f"nginx:{i}")
        cluster.make_ready(ns)
        wait_until("the old one is empty", lambda: [v for v in cluster.sizes(ns).values() if v] == [1])
    wait_until("old sets are cut", lambda: cluster.sizes(ns) == {"nginx:3": 0, "nginx:4": 0, "nginx:5": 1})
    cluster.image(ns, "nginx:3")  # back: the newest revision again
    cluster.make_ready(ns)
    wait_until("the revision counts on", lambda: cluster.get(ns)["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "6")
    cluster.image(ns, "nginx:6")
    cluster.make_ready(ns)
    wait_until("the oldest revision goes, not the oldest set", lambda: cluster.sizes(ns) == {"nginx:3": 0, "nginx:5": 0, "nginx:6": 1})


def test_paused(cluster, ns):
    cluster.deploy(ns, replicas=2)
    cluster.change(ns, {"paused": True})
    wait_until("it says so", lambda: cluster.progressing(ns) == ("Unknown", "DeploymentPaused"))
    cluster.image(ns, "nginx:2")
    cluster.change(ns, {"replicas": 4})
    wait_until("replicas are followed", lambda: cluster.sizes(ns) == {"nginx:1": 4} and cluster.settled(ns))
    cluster.change(ns, {"paused": None})
    seen = set()
    wait_until("it rolls", lambda: seen.add(cluster.progressing(ns)) or cluster.sizes(ns).get("nginx:2", 0) > 0)
    cluster.make_ready(ns)
    wait_until("it is done", lambda: cluster.progressing(ns) == ("True", "NewReplicaSetAvailable") and
               cluster.sizes(ns) == {"nginx:1": 0, "nginx:2": 4})


def test_recreate_waits_for_the_last_old_pod(cluster, ns):
    """Pods that are ending still run: the new ones wait for them."""
    cluster.call("POST", "/api/v1/nodes", {"metadata": {"name": f"node-{ns}"}, "spec": {"unschedulable": True}})
    cluster.deploy(ns, replicas=2, strategy={"type": "Recreate"})
    for p in cluster.pods(ns):
        cluster.call("POST", f"/api/v1/namespaces/{ns}/pods/{p['metadata']['name']}/binding", {"target": {"kind": "Node", "name": f"node-{ns}"}})
    cluster.image(ns, "nginx:2")
    old = wait_until("the old ones are ending", lambda: (p := cluster.pods(ns)) and all("deletionTimestamp" in x["metadata"] for x in p) and p)
    wait_until("the set counts none", lambda: all(not s.get("status", {}).get("replicas") for s in cluster.list(SETS.format(ns))))
    cluster.call("DELETE", f"/api/v1/namespaces/{ns}/pods/{old[0]['metadata']['name']}?gracePeriodSeconds=0")
    for _ in range(10):
        assert not cluster.pods(ns, "nginx:2"), "one old pod still runs"
        time.sleep(0.03)
    cluster.call("DELETE", f"/api/v1/namespaces/{ns}/pods/{old[1]['metadata']['name']}?gracePeriodSeconds=0")
    wait_until("the new ones come", lambda: len(cluster.pods(ns, "nginx:2")) == 2)
    wait_until("nothing is available", lambda: next(c for c in cluster.status(ns)["conditions"] if c["type"] == "Available")["status"] == "False")


def test_rollover(cluster, ns):
    """A third template while the second still rolls: the second is an old one at once."""
    cluster.deploy(ns, replicas=6, **rolling(2, 2))
    cluster.image(ns, "nginx:2")
    wait_until("the second rolls", lambda: cluster.sizes(ns).get("nginx:2", 0) >= 2)
    cluster.image(ns, "nginx:3")
    wait_until("the third has taken over; what is not available goes first",
               lambda: cluster.sizes(ns).get("nginx:3", 0) >= 1 and cluster.sizes(ns)["nginx:2"] == 0 and cluster.settled(ns))
    assert sum(cluster.is_ready(p) for p in cluster.pods(ns)) >= 4
    cluster.make_ready(ns)
    wait_until("only the third is left", lambda: cluster.sizes(ns) == {"nginx:1": 0, "nginx:2": 0, "nginx:3": 6})


def test_orphans_are_adopted_and_strangers_left_alone(cluster, ns):
    pods = f"/api/v1/namespaces/{ns}/pods"
    for name, labels in (("mine", {"app": "d"}), ("other", {"app": "x"})):
        cluster.call("POST", pods, {"metadata": {"name": name, "labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    selector = {"matchExpressions": [{"key": "app", "operator": "In", "values": ["d"]}]}
    cluster.call("POST", SETS.format(ns), {"metadata": {"name": "d"}, "spec": {"replicas": 2, "selector": selector, "template": {
        "metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
    wait_until("one is adopted, one made", lambda: cluster.list(SETS.format(ns))[0].get("status", {}).get("replicas") == 2)
    owners = {p["metadata"]["name"]: p["metadata"].get("ownerReferences") for p in cluster.pods(ns)}
    assert owners["mine"][0]["controller"] and owners["other"] is None and len(owners) == 3


# ---- EndpointSlices, Endpoints ----

def endpoints_of(cluster, ns, name):
    return [e for s in cluster.list(SLICES.format(ns), f"kubernetes.io/service-name={name}") for e in s.get("endpoints") or []]


def some_pods(cluster, ns, n, **labels):
    for i in range(n):
        cluster.call("POST", f"/api/v1/namespaces/{ns}/pods", {"metadata": {"name": f"p{i}", "labels": labels or {"app": "s"}},
                                                               "spec": {"containers": [{"name": "c", "image": "i"}]}})
        cluster.report(ns, f"p{i}", ip=f"10.7.{i >> 8}.{i & 255}")


def test_slices_follow_pods_and_labels(cluster, ns):
    cluster.call("POST", f"/api/v1/namespaces/{ns}/services", service("s", selector={"app": "s", "tier": "x"}))
    cluster.call("POST", f"/api/v1/namespaces/{ns}/services", service("t", selector={"app": "t"}))
    some_pods(cluster, ns, 3, app="s", tier="x")
    wait_until("three endpoints", lambda: len(endpoints_of(cluster, ns, "s")) == 3)
    cluster.call("PATCH", f"/api/v1/namespaces/{ns}/pods/p0", {"metadata": {"labels": {"app": "t", "tier": None}}})
    wait_until("the pod has changed sides", lambda: len(endpoints_of(cluster, ns, "s")) == 2 and len(endpoints_of(cluster, ns, "t")) == 1)
    cluster.report(ns, "p1", ready=False)
    wait_until("not ready, not serving", lambda: sorted((e["conditions"]["ready"], e["conditions"]["serving"])
                                                        for e in endpoints_of(cluster, ns, "s")) == [(False, False), (True, True)])
    cluster.call("DELETE", f"/api/v1/namespaces/{ns}/pods/p2?gracePeriodSeconds=0")
    wait_until("gone", lambda: len(endpoints_of(cluster, ns, "s")) == 1)
    subsets = wait_until("Endpoints say the same", lambda: cluster.call("GET", f"/api/v1/namespaces/{ns}/endpoints/s").get("subsets"))
    wait_until("Endpoints say the same", lambda: [
        (len(x.get("addresses") or []), len(x.get("notReadyAddresses") or []))
        for x in cluster.call("GET", f"/api/v1/namespaces/{ns}/endpoints/s")["subsets"]] == [(0, 1)]), subsets
    cluster.call("PATCH", f"/api/v1/namespaces/{ns}/services/t", {"spec": {"selector": {"app": "s", "tier": "x"}}})
    wait_until("another selector", lambda: [e["targetRef"]["name"] for e in endpoints_of(cluster, ns, "t")] == ["p1"])


def test_slices_hold_a_hundred_endpoints_each(cluster, ns):
    cluster.call("POST", f"/api/v1/namespaces/{ns}/services", service("s", selector={"app": "s"}))
    some_pods(cluster, ns, 205)
    wait_until("all endpoints", lambda: len(endpoints_of(cluster, ns, "s")) == 205)
    sizes = sorted(len(s["endpoints"]) for s in cluster.list(SLICES.format(ns), "kubernetes.io/service-name=s"))
    assert max(sizes) <= 100 and len(sizes) <= 5, sizes
    versions = {s["metadata"]["name"]: s["metadata"]["resourceVersion"] for s in cluster.list(SLICES.format(ns), "kubernetes.io/service-name=s")}
    cluster.report(ns, "p7", ready=False, ip="10.7.0.7")
    wait_until("one is not ready", lambda: sum(not e["conditions"]["ready"] for e in endpoints_of(cluster, ns, "s")) == 1)
    after = {s["metadata"]["name"]: s["metadata"]["resourceVersion"] for s in cluster.list(SLICES.format(ns), "kubernetes.io/service-name=s")}
    assert sum(versions[n] != v for n, v in after.items()) == 1, "one pod's change writes one slice"


def test_endpoints_are_cut_at_a_thousand(cluster, ns):
    cluster.call("POST", f"/api/v1/namespaces/{ns}/services", service("s", selector={"app": "s"}))
    some_pods(cluster, ns, 1004)
    for i in (0, 1, 2, 3, 4):
        cluster.report(ns, f"p{i}", ready=False, ip=f"10.7.0.{i}")

    def cut():
        o = cluster.call("GET", f"/api/v1/namespaces/{ns}/endpoints/s")
        sizes = [(len(x.get("addresses") or []), len(x.get("notReadyAddresses") or [])) for x in o.get("subsets") or []]
        return sizes == [(999, 1)] and o["metadata"]["annotations"].get("endpoints.kubernetes.io/over-capacity") == "truncated"
    wait_until("a thousand, ready ones first", cut, 60)
    cluster.call("DELETE", f"/api/v1/namespaces/{ns}/pods?fieldSelector=status.phase%3DRunning&labelSelector=app%3Ds")
    wait_until("the mark goes", lambda: "endpoints.kubernetes.io/over-capacity" not in
               cluster.call("GET", f"/api/v1/namespaces/{ns}/endpoints/s")["metadata"]["annotations"], 60)


# ---- mirroring ----

MIRROR = "endpointslicemirroring-controller.k8s.io"


def mirrors(cluster, ns, name="m"):
    return cluster.list(SLICES.format(ns), f"kubernetes.io/service-name={name},endpointslice.kubernetes.io/managed-by={MIRROR}".replace(",", "%2C"))


def manual(name="m", n=2, **metadata):
    return {"metadata": {"name": name, **metadata}, "subsets": [
        {"addresses": [{"ip": f"10.9.{i >> 8}.{i & 255}"} for i in range(n)], "notReadyAddresses": [{"ip": "fd00::1"}],
         "ports": [{"name": "a", "port": 80}]}]}


def bare_service(name="m"):
    s = service(name)
    del s["spec"]["selector"]
    return s


def test_mirroring_of_manual_endpoints(cluster, ns):
    url = f"/api/v1/namespaces/{ns}/endpoints"
    cluster.call("POST", url, manual(labels={"l": "1"}, annotations={
        "a": "1", "endpoints.kubernetes.io/last-change-trigger-time": "x", "kubectl.kubernetes.io/last-applied-configuration": "y"}))
    assert not mirrors(cluster, ns), "no Service, no mirror"
    cluster.call("POST", f"/api/v1/namespaces/{ns}/services", bare_service())
    both = wait_until("both families", lambda: len(m := mirrors(cluster, ns)) == 2 and m)
    got = {s["addressType"]: s for s in both}
    assert [e["conditions"]["ready"] for e in got["IPv4"]["endpoints"]] == [True, True]
    assert [e["conditions"]["ready"] for e in got["IPv6"]["endpoints"]] == [False]
    for s in got.values():
        assert s["metadata"]["labels"]["l"] == "1" and s["metadata"]["annotations"] == {"a": "1"}
        assert s["metadata"]["ownerReferences"][0]["kind"] == "Endpoints" and s["ports"] == [{"name": "a", "protocol": "TCP", "port": 80}]
    cluster.call("PATCH", url + "/m", {"metadata": {"labels": {"l": "2", "k": "3"}, "annotations": {"a": None, "b": "2"}}})
    wait_until("labels and annotations follow", lambda: all(
        s["metadata"]["labels"].get("l") == "2" and s["metadata"]["labels"].get("k") == "3" and s["metadata"].get("annotations") == {"b": "2"}
        for s in mirrors(cluster, ns)))
    cluster.call("PATCH", url + "/m", {"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}})
    wait_until("asked not to", lambda: not mirrors(cluster, ns))
    cluster.call("PATCH", url + "/m", {"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": None}}})
    wait_until("and again", lambda: len(mirrors(cluster, ns)) == 2)
    cluster.call("PATCH", url + "/m", {"metadata": {"annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}}})
    wait_until("a lock is no Endpoints", lambda: not mirrors(cluster, ns))
    cluster.call("PATCH", url + "/m", {"metadata": {"annotations": {"control-plane.alpha.kubernetes.io/leader": None}}})
    wait_until("and again", lambda: len(mirrors(cluster, ns)) == 2)
    cluster.call("DELETE", url + "/m")
    wait_until("they go with the Endpoints", lambda: not mirrors(cluster, ns))


def test_mirroring_stops_at_a_thousand_addresses_of_a_subset(cluster, ns):
    cluster.call("POST", f"/api/v1/namespaces/{ns}/services", bare_service())
    cluster.call("POST", f"/api/v1/namespaces/{ns}/endpoints", manual(n=1200))
    got = wait_until("the mirror", lambda: mirrors(cluster, ns))
    assert [(s["addressType"], len(s["endpoints"])) for s in got] == [("IPv4", 1000)], "not ready ones come after, and there is no room"
    assert {e["conditions"]["ready"] for e in got[0]["endpoints"]} == {True}


def test_a_selector_ends_mirroring(cluster, ns):
    cluster.call("POST", f"/api/v1/namespaces/{ns}/services", bare_service())
    cluster.call("POST", f"/api/v1/namespaces/{ns}/endpoints", manual())
    wait_until("mirrored", lambda: mirrors(cluster, ns))
    cluster.call("PATCH", f"/api/v1/namespaces/{ns}/services/m", {"spec": {"selector": {"app": "nobody"}}})
    wait_until("no longer", lambda: not mirrors(cluster, ns))


# ---- garbage, namespaces ----

def ref(kind, api, o, **more):
    return {"apiVersion": api, "kind": kind, "name": o["metadata"]["name"], "uid": o["metadata"]["uid"], **more}


def cm(cluster, ns, name, *owners, finalizers=()):
    return cluster.call("POST", f"/api/v1/namespaces/{ns}/configmaps", {"metadata": {
        "name": name, "ownerReferences": list(owners), "finalizers": list(finalizers)}})


def names(cluster, ns, plural="configmaps"):
    return {o["metadata"]["name"] for o in cluster.list(f"/api/v1/namespaces/{ns}/{plural}")} - {"kube-root-ca.crt"}


def test_background_deletion_of_a_chain_over_kinds(cluster, ns):
    top = cm(cluster, ns, "top")
    middle = cluster.call("POST", f"/api/v1/namespaces/{ns}/secrets", {"metadata": {"name": "middle", "ownerReferences": [ref("ConfigMap", "v1", top)]}})
    cm(cluster, ns, "leaf", ref("Secret", "v1", middle))
    other = cm(cluster, ns, "other")
    cm(cluster, ns, "shared", ref("ConfigMap", "v1", top), ref("ConfigMap", "v1", other))
    cluster.call("DELETE", f"/api/v1/namespaces/{ns}/configmaps/top")
    wait_until("the chain is gone", lambda: names(cluster, ns) == {"other", "shared"} and not names(cluster, ns, "secrets"))
    cluster.call("DELETE", f"/api/v1/namespaces/{ns}/configmaps/other")
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
    cluster.call("DELETE", url + "top", {"propagationPolicy": "Foreground"})
    wait_until("dependents are told", lambda: "deletionTimestamp" in cluster.call("GET", url + "blocks")["metadata"])
    assert cluster.call("GET", url + "top")["metadata"]["finalizers"] == ["foregroundDeletion"]
    cluster.call("PATCH", url + "blocks", {"metadata": {"finalizers": None}})
    wait_until("the owner goes with the one that blocked", lambda: names(cluster, ns) == {"does-not"})


def test_orphans_forget_their_owner(cluster, ns):
    top = cm(cluster, ns, "top")
    other = cm(cluster, ns, "other")
    cm(cluster, ns, "child", ref("ConfigMap", "v1", top), ref("ConfigMap", "v1", other))
    cluster.call("DELETE", f"/api/v1/namespaces/{ns}/configmaps/top", {"propagationPolicy": "Orphan"})
    wait_until("the owner is gone", lambda: names(cluster, ns) == {"other", "child"})
    refs = cluster.call("GET", f"/api/v1/namespaces/{ns}/configmaps/child")["metadata"]["ownerReferences"]
    assert [r["name"] for r in refs] == ["other"]


def test_a_namespace_ends_when_its_content_has(cluster, ns):
    cm(cluster, ns, "held", finalizers=["x.io/hold"])
    cm(cluster, ns, "free")
    cluster.call("POST", f"/api/v1/namespaces/{ns}/services", service("s"))
    cluster.deploy(ns, replicas=2, ready=False)
    cluster.call("DELETE", f"/api/v1/namespaces/{ns}")
    wait_until("what can go is gone", lambda: names(cluster, ns) == {"held"} and not cluster.list(DEPLOYMENTS.format(ns)) and
               not names(cluster, ns, "services") and not names(cluster, ns, "pods"))
    assert cluster.call("GET", f"/api/v1/namespaces/{ns}")["status"]["phase"] == "Terminating"
    cluster.call("PATCH", f"/api/v1/namespaces/{ns}/configmaps/held", {"metadata": {"finalizers": None}})
    wait_until("then the namespace", lambda: cluster.server.get(f"/api/v1/namespaces/{ns}").status == 404)
