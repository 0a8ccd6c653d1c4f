"""Deployments and ReplicaSets while the test plays the node part: rolling updates, their bounds, deadlines and history (apps/v1)."""
import time

import pytest

from api_server import deployment
from suite import wait_until

DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments"
SETS = "/apis/apps/v1/namespaces/{}/replicasets"


def is_ready(pod):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions", []))


class Rollout:
    """Deployment "d" of a namespace."""

    def __init__(self, cluster, ns):
        self.cluster, self.ns, self.path = cluster, ns, DEPLOYMENTS.format(ns) + "/d"

    def deploy(self, replicas=3, ready=True, **spec):
        self.cluster.create(DEPLOYMENTS.format(self.ns), deployment("d", replicas, **spec))
        if ready:
            self.make_ready()
            wait_until("it is complete", lambda: self.status().get("availableReplicas", 0) == replicas)

    def read(self):
        return self.cluster.read(self.path)

    def status(self):
        return self.read().get("status", {})

    def change(self, spec):
        return self.cluster.change(self.path, {"spec": spec}, "strategic")

    def image(self, image):
        return self.change({"template": {"spec": {"containers": [{"name": "c", "image": image}]}}})

    def progressing(self):
        c = next((c for c in self.status().get("conditions", []) if c["type"] == "Progressing"), {})
        return c.get("status"), c.get("reason")

    def sets(self):
        return self.cluster.items(SETS.format(self.ns))

    def sizes(self):
        """{image: replicas wanted} of the ReplicaSets."""
        return {s["spec"]["template"]["spec"]["containers"][0]["image"]: s["spec"]["replicas"] for s in self.sets()}

    def settled(self):
        """The newest generation has been seen and no set is still to change its number of pods."""
        d = self.read()
        return d["status"].get("observedGeneration") == d["metadata"]["generation"] and all(
            s["spec"]["replicas"] == s.get("status", {}).get("replicas", 0) and
            s.get("status", {}).get("observedGeneration") == s["metadata"]["generation"] for s in self.sets())

    def pods(self, image=None):
        return [p for p in self.cluster.items(f"/api/v1/namespaces/{self.ns}/pods")
                if image is None or p["spec"]["containers"][0]["image"] == image]

    def report(self, pod):
        """As the node part does it; the pod may be gone meanwhile."""
        ip = f"10.{hash(pod) >> 16 & 255}.{hash(pod) >> 8 & 255}.{hash(pod) & 255}"
        reply = self.cluster.report(self.ns, pod, ip)
        assert reply.status in (200, 404), reply.body

    def make_ready(self):
        """Marks pods ready until the Deployment has all it wants."""
        def step():
            for p in self.pods():
                if not is_ready(p):
                    self.report(p["metadata"]["name"])
            d = self.read()
            s = d.get("status", {})
            return s.get("observedGeneration") == d["metadata"]["generation"] and \
                s.get("readyReplicas", 0) == s.get("replicas", 0) == s.get("updatedReplicas", 0) == d["spec"]["replicas"]
        wait_until("all pods are ready", step)


@pytest.fixture
def rollout(cluster, ns):
    return Rollout(cluster, ns)


def rolling(surge, unavailable):
    return {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}


def test_rolling_update_keeps_its_bounds(cluster, ns, rollout):
    rollout.deploy(replicas=6, **rolling(2, 1))
    w = cluster.watch(f"/api/v1/namespaces/{ns}/pods?watch=1", timeout=30)
    rollout.image("nginx:2")
    rollout.make_ready()
    wait_until("only new pods are left", lambda: len(rollout.pods()) == len(rollout.pods("nginx:2")) == 6)
    end = cluster.create(f"/api/v1/namespaces/{ns}/pods", {"metadata": {"name": "end"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    have = {}
    most, least = 0, 99
    while (e := w.next())["object"]["metadata"]["name"] != end["metadata"]["name"]:
        name = e["object"]["metadata"]["name"]
        have.pop(name, None) if e["type"] == "DELETED" else have.update({name: is_ready(e["object"])})
        if len(have) >= 6:
            most, least = max(most, len(have)), min(least, sum(have.values()))
        assert len(have) <= 8, "maxSurge"
        assert most < 6 or "nginx:2" not in str(e) or sum(have.values()) >= 5, "maxUnavailable"
    w.close()
    assert most == 8, "the surge was used"
    assert rollout.sizes() == {"nginx:1": 0, "nginx:2": 6} and rollout.progressing() == ("True", "NewReplicaSetAvailable")


@pytest.mark.parametrize("to,share,end", [(15, (11, 7), (11, 7)), (5, (5, 3), (3, 5)), (20, (14, 9), (14, 9)), (0, (0, 0), (0, 0))])
def test_scaling_in_the_middle_of_a_rollout_is_proportional(cluster, ns, rollout, to, share, end):
    """10 replicas, surge 3, unavailable 2, new pods that do not get ready: 8 and 5. Both sets take their share of the change; then the
    rollout goes on as far as what is available lets it."""
    rollout.deploy(replicas=10, **rolling(3, 2))
    rollout.image("nginx:bad")
    wait_until("it is stuck", lambda: rollout.sizes() == {"nginx:1": 8, "nginx:bad": 5} and rollout.settled())
    rv = cluster.read(SETS.format(ns))["metadata"]["resourceVersion"]
    w = cluster.watch(SETS.format(ns) + f"?watch=1&resourceVersion={rv}")
    rollout.change({"replicas": to})
    first = {}
    while len(first) < 2:
        o = w.next()["object"]
        image, n = o["spec"]["template"]["spec"]["containers"][0]["image"], o["spec"]["replicas"]
        if n != {"nginx:1": 8, "nginx:bad": 5}[image]:
            first.setdefault(image, n)
    w.close()
    assert (first["nginx:1"], first["nginx:bad"]) == share
    wait_until("it has gone on", lambda: rollout.sizes() == dict(zip(("nginx:1", "nginx:bad"), end)) and rollout.settled())
    if to:
        assert [s["metadata"]["annotations"]["deployment.kubernetes.io/desired-replicas"] for s in rollout.sets()] == [str(to)] * 2


def test_progress_deadline(cluster, ns, rollout):
    rollout.deploy(replicas=2, progressDeadlineSeconds=2)
    assert rollout.progressing() == ("True", "NewReplicaSetAvailable")
    rv = cluster.read(DEPLOYMENTS.format(ns))["metadata"]["resourceVersion"]
    w = cluster.watch(DEPLOYMENTS.format(ns) + f"?watch=1&resourceVersion={rv}")
    begin = time.monotonic()
    rollout.image("nginx:2")
    seen = []
    while "ProgressDeadlineExceeded" not in seen:
        c = next(c for c in w.next()["object"]["status"]["conditions"] if c["type"] == "Progressing")
        if c["reason"] not in seen:
            seen.append(c["reason"])
        assert (c["status"] == "False") == (c["reason"] == "ProgressDeadlineExceeded")
    w.close()
    assert seen == ["NewReplicaSetAvailable", "NewReplicaSetCreated", "ReplicaSetUpdated", "ProgressDeadlineExceeded"]
    assert time.monotonic() - begin > 1.5
    message = next(c for c in rollout.status()["conditions"] if c["type"] == "Progressing")["message"]
    assert message.startswith('ReplicaSet "d-') and message.endswith("has timed out progressing.")
    rollout.make_ready()
    wait_until("it goes on all the same", lambda: rollout.progressing() == ("True", "NewReplicaSetAvailable"))


def test_progress_is_not_late_while_pods_get_ready(rollout):
    rollout.deploy(replicas=5, progressDeadlineSeconds=3, **rolling(1, 0))
    rollout.image("nginx:2")
    begin, seen = time.monotonic(), set()
    while rollout.progressing()[1] != "NewReplicaSetAvailable" or rollout.sizes().get("nginx:2") != 5:
        waiting = [p for p in rollout.pods("nginx:2") if not is_ready(p)]
        if waiting and time.monotonic() - begin > 1.2:
            rollout.report(waiting[0]["metadata"]["name"])
            begin = time.monotonic()
        seen.add(rollout.progressing())
        time.sleep(0.05)
    assert ("True", "ReplicaSetUpdated") in seen and not any(s == "False" for s, _ in seen), seen


def test_min_ready_seconds(rollout):
    rollout.deploy(replicas=2, ready=False, minReadySeconds=2)
    begin = time.monotonic()
    rollout.make_ready()
    assert rollout.status().get("availableReplicas", 0) == 0
    wait_until("they are available", lambda: rollout.status().get("availableReplicas") == 2)
    assert time.monotonic() - begin > 1
    rollout.change({"minReadySeconds": 1})
    wait_until("the set is told", lambda: rollout.sets()[0]["spec"].get("minReadySeconds") == 1)
    assert len(rollout.sets()) == 1, "no new revision"


def test_revision_history_limit(rollout):
    rollout.deploy(replicas=1, revisionHistoryLimit=2)
    for i in range(2, 6):
        rollout.image(f"nginx:{i}")
        rollout.make_ready()
        wait_until("the old one is empty", lambda: [v for v in rollout.sizes().values() if v] == [1])
    wait_until("old sets are cut", lambda: rollout.sizes() == {"nginx:3": 0, "nginx:4": 0, "nginx:5": 1})
    rollout.image("nginx:3")  # back: the newest revision again
    rollout.make_ready()
    wait_until("the revision counts on", lambda: rollout.read()["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "6")
    rollout.image("nginx:6")
    rollout.make_ready()
    wait_until("the oldest revision goes, not the oldest set", lambda: rollout.sizes() == {"nginx:3": 0, "nginx:5": 0, "nginx:6": 1})


def test_paused(rollout):
    rollout.deploy(replicas=2)
    rollout.change({"paused": True})
    wait_until("it says so", lambda: rollout.progressing() == ("Unknown", "DeploymentPaused"))
    rollout.image("nginx:2")
    rollout.change({"replicas": 4})
    wait_until("replicas are followed", lambda: rollout.sizes() == {"nginx:1": 4} and rollout.settled())
    rollout.change({"paused": None})
    seen = set()
    wait_until("it rolls", lambda: seen.add(rollout.progressing()) or rollout.sizes().get("nginx:2", 0) > 0)
    rollout.make_ready()
    wait_until("it is done", lambda: rollout.progressing() == ("True", "NewReplicaSetAvailable") and
               rollout.sizes() == {"nginx:1": 0, "nginx:2": 4})


def test_recreate_waits_for_the_last_old_pod(cluster, ns, rollout):
    """Pods that are ending still run: the new ones wait for them."""
    cluster.create("/api/v1/nodes", {"metadata": {"name": f"node-{ns}"}, "spec": {"unschedulable": True}})
    rollout.deploy(replicas=2, strategy={"type": "Recreate"})
    for p in rollout.pods():
        cluster.create(f"/api/v1/namespaces/{ns}/pods/{p['metadata']['name']}/binding", {"target": {"kind": "Node", "name": f"node-{ns}"}})
    rollout.image("nginx:2")
    old = wait_until("the old ones are ending", lambda: (p := rollout.pods()) and all("deletionTimestamp" in x["metadata"] for x in p) and p)
    wait_until("the set counts none", lambda: all(not s.get("status", {}).get("replicas") for s in rollout.sets()))
    cluster.remove(f"/api/v1/namespaces/{ns}/pods/{old[0]['metadata']['name']}?gracePeriodSeconds=0")
    for _ in range(10):
        assert not rollout.pods("nginx:2"), "one old pod still runs"
        time.sleep(0.03)
    cluster.remove(f"/api/v1/namespaces/{ns}/pods/{old[1]['metadata']['name']}?gracePeriodSeconds=0")
    wait_until("the new ones come", lambda: len(rollout.pods("nginx:2")) == 2)
    wait_until("nothing is available", lambda: next(c for c in rollout.status()["conditions"] if c["type"] == "Available")["status"] == "False")


def test_rollover(rollout):
    """A third template while the second still rolls: the second is an old one at once."""
    rollout.deploy(replicas=6, **rolling(2, 2))
    rollout.image("nginx:2")
    wait_until("the second rolls", lambda: rollout.sizes().get("nginx:2", 0) >= 2)
    rollout.image("nginx:3")
    wait_until("the third has taken over; what is not available goes first",
               lambda: rollout.sizes().get("nginx:3", 0) >= 1 and rollout.sizes()["nginx:2"] == 0 and rollout.settled())
    assert sum(is_ready(p) for p in rollout.pods()) >= 4
    rollout.make_ready()
    wait_until("only the third is left", lambda: rollout.sizes() == {"nginx:1": 0, "nginx:2": 0, "nginx:3": 6})


def test_change_cause_reaches_the_newest_revision(cluster, rollout):
    """kubectl annotate deployment d kubernetes.io/change-cause=… is what rollout history shows."""
    rollout.deploy(replicas=1)
    cluster.change(rollout.path, {"metadata": {"annotations": {"kubernetes.io/change-cause": "first"}}})

    def causes():
        return {s["metadata"]["annotations"]["deployment.kubernetes.io/revision"]: s["metadata"]["annotations"].get("kubernetes.io/change-cause")
                for s in rollout.sets()}
    wait_until("the set has it", lambda: causes() == {"1": "first"})
    cluster.change(rollout.path, {"metadata": {"annotations": {"kubernetes.io/change-cause": "second"}},
                                  "spec": {"template": {"metadata": {"labels": {"v": "2"}}}}})
    wait_until("each revision has its own", lambda: causes() == {"1": "first", "2": "second"})


# ---- who controls what ----

def controller_of(o):
    return next((r["name"] for r in o["metadata"].get("ownerReferences") or [] if r.get("controller")), None)


def test_orphans_are_adopted_and_strangers_left_alone(cluster, ns, rollout):
    pods = f"/api/v1/namespaces/{ns}/pods"
    friend = cluster.create(f"/api/v1/namespaces/{ns}/configmaps", {"metadata": {"name": "friend"}})
    other_owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "friend", "uid": friend["metadata"]["uid"]}
    for name, labels in (("mine", {"app": "d"}), ("other", {"app": "x"})):
        cluster.create(pods, {"metadata": {"name": name, "labels": labels, "ownerReferences": [other_owner]},
                              "spec": {"containers": [{"name": "c", "image": "i"}]}})
    selector = {"matchExpressions": [{"key": "app", "operator": "In", "values": ["d"]}]}
    cluster.create(SETS.format(ns), {"metadata": {"name": "d"}, "spec": {"replicas": 2, "selector": selector, "template": {
        "metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
    wait_until("one is adopted, one made", lambda: rollout.sets()[0].get("status", {}).get("replicas") == 2)
    by_name = {p["metadata"]["name"]: p for p in rollout.pods()}
    assert controller_of(by_name["mine"]) == "d" and controller_of(by_name["other"]) is None and len(by_name) == 3
    assert other_owner in by_name["mine"]["metadata"]["ownerReferences"], "who owned it before still does"


def test_a_relabelled_pod_is_released_and_replaced(cluster, ns, rollout):
    """How a pod is taken out of a Service to look at it, and put back."""
    rollout.deploy(replicas=2)
    out = rollout.pods()[0]["metadata"]["name"]
    path = f"/api/v1/namespaces/{ns}/pods/{out}"
    cluster.change(path, {"metadata": {"labels": {"app": "debug"}}})
    wait_until("another one is in its place", lambda: len(rollout.pods()) == 3)
    wait_until("it is nobody's", lambda: controller_of(cluster.read(path)) is None)
    assert "deletionTimestamp" not in cluster.read(path)["metadata"]
    rollout.make_ready()
    cluster.change(path, {"metadata": {"labels": {"app": "d"}}})
    wait_until("it is taken back, and one is too many", lambda: len([p for p in rollout.pods() if "deletionTimestamp" not in p["metadata"]]) == 2)
    cluster.remove(SETS.format(ns) + "/" + rollout.sets()[0]["metadata"]["name"])


def test_a_deployment_made_again_takes_over_its_orphans(cluster, ns, rollout):
    rollout.deploy(replicas=2)
    before, names = rollout.sets()[0], {p["metadata"]["name"] for p in rollout.pods()}
    cluster.remove(rollout.path, {"propagationPolicy": "Orphan"})
    wait_until("the set is nobody's", lambda: controller_of(rollout.sets()[0]) is None and cluster.get(rollout.path).status == 404)
    rollout.deploy(replicas=2)
    assert [s["metadata"]["uid"] for s in rollout.sets()] == [before["metadata"]["uid"]] and controller_of(rollout.sets()[0]) == "d"
    assert {p["metadata"]["name"] for p in rollout.pods()} == names, "its pods run on"
    # A set that no longer has the labels is let go, and another one made.
    cluster.change(SETS.format(ns) + "/" + before["metadata"]["name"], {"metadata": {"labels": {"app": "x"}}})
    wait_until("it is let go", lambda: controller_of(cluster.read(SETS.format(ns) + "/" + before["metadata"]["name"])) is None)
    wait_until("there is another", lambda: [controller_of(s) for s in rollout.sets()].count("d") == 1)


def test_a_name_that_is_taken(cluster, ns, rollout):
    """Somebody else's ReplicaSet has the name that the template gives: another one is found, and stays the same from then on."""
    rollout.deploy(replicas=1)
    name = rollout.sets()[0]["metadata"]["name"]
    cluster.remove(rollout.path)
    wait_until("all is gone", lambda: not rollout.sets() and not rollout.pods())
    cluster.create(SETS.format(ns), {"metadata": {"name": name}, "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
    rollout.deploy(replicas=1)
    assert rollout.status()["collisionCount"] == 1
    assert sorted(controller_of(s) or "" for s in rollout.sets()) == ["", "d"]
    rollout.change({"replicas": 2})
    rollout.make_ready()
    assert len(rollout.sets()) == 2 and rollout.status()["collisionCount"] == 1
