"""`fairlead get` prints what kubectl prints, byte by byte, for every kind the server serves."""
import json
import os
import subprocess

import pytest

from api_server import deployment, pod, service
from kubectls import kubectls
from suite import FAIRLEAD

KINDS = ["namespaces", "nodes", "pods", "services", "endpoints", "endpointslices", "configmaps", "secrets", "serviceaccounts", "events",
         "deployments", "replicasets", "leases", "events.events.k8s.io"]
FORMS = [[], ["-o", "wide"], ["-A"], ["-A", "-o", "wide"], ["-o", "name"], ["--no-headers"], ["-l", "app=web"], ["-l", "nope=1"],
         ["--field-selector", "metadata.name=web"], ["-A", "--no-headers", "-o", "wide"]]
OTHERS = [["get", "pods,svc,deploy"], ["get", "all"], ["get", "po/web", "svc/web"], ["get", "deploy", "web"], ["get", "deploy/web", "-o", "wide"],
          ["get", "pods", "-o", "jsonpath={.items[*].metadata.name}"], ["get", "pod/web", "-o", "jsonpath={.spec.nodeName}"],
          ["get", "cm", "-o", "name"], ["get", "pods", "none"], ["get", "nones"]]


def fill(server):
    """At least two objects of every kind: short and long ones, so that columns have to give way."""
    ns = "/api/v1/namespaces/default/"
    now = "2026-01-01T00:00:00Z"
    long = "a-name-much-longer-than-any-heading"
    server.post("/api/v1/nodes", {"metadata": {"name": "n1", "labels": {"node-role.kubernetes.io/worker": ""}}})
    server.post("/api/v1/nodes", {"metadata": {"name": long}, "spec": {"unschedulable": True}})
    server.patch("/api/v1/nodes/n1/status", {"status": {
        "addresses": [{"type": "InternalIP", "address": "192.168.0.1"}], "conditions": [{"type": "Ready", "status": "True"}],
        "nodeInfo": {"kubeletVersion": "v1.33.0", "osImage": "An Image", "kernelVersion": "6.1", "containerRuntimeVersion": "lab://1"}}})
    for name in ("web", long):
        labels = {"app": "web"}
        server.post(ns + "pods", {**pod(name, nodeName="n1"), "metadata": {"name": name, "labels": labels}})
        server.post(ns + "services", {**service(name[:30], type="NodePort"), "metadata": {"name": name[:30], "labels": labels}})
        server.post(ns + "configmaps", {"metadata": {"name": name, "labels": labels}, "data": {"a": "b"}})
        server.post(ns + "secrets", {"metadata": {"name": name, "labels": labels}, "stringData": {"a": "b"}})
        server.post(ns + "serviceaccounts", {"metadata": {"name": name}})
        server.post(ns + "endpoints", {"metadata": {"name": name}, "subsets": [
            {"addresses": [{"ip": f"10.0.0.{i}"} for i in range(1, 6)], "ports": [{"port": 80}]}]})
        server.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", {
            "metadata": {"name": name}, "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]})
        server.post("/apis/apps/v1/namespaces/default/deployments", {**deployment(name, 3), "metadata": {"name": name, "labels": labels}})
        server.post("/apis/apps/v1/namespaces/default/replicasets", {**deployment(name, 2), "kind": "ReplicaSet"})
        server.post("/apis/coordination.k8s.io/v1/namespaces/default/leases", {"metadata": {"name": name}, "spec": {"holderIdentity": name}})
        server.post(ns + "events", {"metadata": {"name": name}, "involvedObject": {"kind": "Pod", "name": name, "namespace": "default"},
                                    "reason": "R", "type": "Normal", "message": f"hello {name}", "source": {"component": "c"},
                                    "firstTimestamp": now, "lastTimestamp": now, "count": 2})
    server.patch(ns + "pods/web/status", {"status": {"phase": "Running", "podIP": "10.1.1.1", "podIPs": [{"ip": "10.1.1.1"}], "containerStatuses": [
        {"name": "c", "ready": True, "restartCount": 2, "image": "i", "imageID": "", "state": {"running": {"startedAt": now}},
         "lastState": {"terminated": {"exitCode": 1, "finishedAt": now}}}]}})


def said(binary, words, env):
    r = subprocess.run([binary, *words], env=env, capture_output=True, text=True, timeout=60)
    return r.stdout, r.stderr, r.returncode


@pytest.mark.skipif(not kubectls(), reason="no kubectl found: set FAIRLEAD_KUBECTLS")
def test_same_tables_as_kubectl(server, tmp_path):
    minor, kubectl = kubectls()[-1]
    fill(server)
    env = {**os.environ, "KUBECONFIG": str(server.kubeconfig()), "HOME": str(tmp_path), "TZ": "UTC"}
    ours = FAIRLEAD
    differ = []
    for words in [["get", kind, *form] for kind in KINDS for form in FORMS] + OTHERS:
        for _ in range(3):  # an age may turn between the two
            theirs, mine = said(kubectl, words, env), said(ours, words, env)
            if theirs[0] == mine[0]:
                break
        if theirs[0] != mine[0]:
            differ.append(f"{' '.join(words)}\n--- kubectl 1.{minor}\n{theirs[0]}{theirs[1]}--- fairlead\n{mine[0]}{mine[1]}")
        if (theirs[2] == 0) != (mine[2] == 0):
            differ.append(f"{' '.join(words)}: exit {theirs[2]} and {mine[2]}: {theirs[1]} | {mine[1]}")
    for what in ("pod/web", "svc/web", "deploy/web"):
        words = ["get", what, "-o", "json"]
        assert json.loads(said(ours, words, env)[0]) == json.loads(said(kubectl, words, env)[0])
    assert not differ, "\n\n".join(differ)
