"""Server-side apply through kubectl, next to client-side apply, and what managedFields cost. The requests themselves are the corpus's
(tests/conformance/corpus/apply.py)."""
import json
import subprocess

import pytest
from api_server import TOKEN, pod
from kubectls import kubectls

APPLY = "application/apply-patch+yaml"


def manifest(replicas=1, image="nginx:1"):
    return json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}}}})


@pytest.mark.parametrize("minor, kubectl", kubectls(), ids=lambda v: str(v) if isinstance(v, int) else "")
def test_kubectl(make_server, tmp_path, minor, kubectl):
    s = make_server()
    config = s.kubeconfig()

    def run(text, *words, code=0):
        (tmp_path / "m.json").write_text(text)
        r = subprocess.run([kubectl, "--kubeconfig", config, "--cache-dir", tmp_path / "cache", *words, "-f", tmp_path / "m.json"],
                           capture_output=True, text=True)
        assert r.returncode == code, (words, r.stdout, r.stderr)
        return r.stdout + r.stderr

    def managers():
        o = s.get("/apis/apps/v1/namespaces/default/deployments/web").json
        return {(e["manager"], e["operation"]) for e in o["metadata"]["managedFields"]}

    assert "serverside-applied" in run(manifest(), "apply", "--server-side")
    assert managers() == {("kubectl", "Apply")}
    assert "serverside-applied" in run(manifest(replicas=2), "apply", "--server-side", "--field-manager=other", "--force-conflicts")
    out = run(manifest(replicas=3), "apply", "--server-side", code=1)
    assert "conflict" in out and ".spec.replicas" in out and '"other"' in out
    run(manifest(replicas=3), "apply", "--server-side", "--force-conflicts")
    assert s.get("/apis/apps/v1/namespaces/default/deployments/web").json["spec"]["replicas"] == 3
    assert "deleted" in run(manifest(), "delete")
    # from client side to server side: what it applied itself is no conflict
    run(manifest(image="nginx:1"), "apply")
    assert ("kubectl-client-side-apply", "Update") in managers()
    run(manifest(image="nginx:2"), "apply", "--server-side")
    assert s.get("/apis/apps/v1/namespaces/default/deployments/web").json["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:2"
    assert ("kubectl", "Apply") in managers()


def test_yaml_and_the_ways_it_is_watched(server, ns):
    w = server.watch(f"/api/v1/namespaces/{ns}/configmaps?watch=1")
    r = server.call("PATCH", f"/api/v1/namespaces/{ns}/configmaps/c?fieldManager=me",
                    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\ndata:\n  a: 'x'\n", type=APPLY)
    assert r.status == 201
    told = w.next()["object"]
    assert told == r.json and told["metadata"]["managedFields"][0]["fieldsV1"] == {"f:data": {"f:a": {}}}
    w.close()
    assert server.get(f"/api/v1/namespaces/{ns}/configmaps").json["items"][0]["metadata"] == told["metadata"]
    meta = server.get(f"/api/v1/namespaces/{ns}/configmaps/c", headers={"Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}).json
    assert meta["metadata"] == told["metadata"]


def test_nothing_is_written_when_nothing_changes(server, ns):
    body = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}})
    first, second = (server.call("PATCH", f"/api/v1/namespaces/{ns}/configmaps/c?fieldManager=me", body, type=APPLY).json for _ in range(2))
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]


def test_managed_fields_survive_a_restart(make_server):
    s = make_server(ephemeral=False)
    s.post("/api/v1/namespaces/default/pods", pod("p"), headers={"User-Agent": "maker/1"})
    before = s.get("/api/v1/namespaces/default/pods/p").json
    s.stop()
    s.start()
    assert s.get("/api/v1/namespaces/default/pods/p").json == before
    assert before["metadata"]["managedFields"][0]["manager"] == "maker"


def texts(server):
    lines = server.get("/metrics").body.decode().splitlines()
    return {line.split()[0]: int(line.split()[1]) for line in lines if line.startswith("fairlead_lab_managed_")}


def test_objects_made_alike_share_their_entries(make_server):
    """300 pods of one maker and one node: an entry is kept once, but for what names an address."""
    s = make_server()
    conn = s.connect()
    agent = {"User-Agent": "maker/1"}

    def make(name):
        assert s.call("POST", "/api/v1/namespaces/default/pods", pod(name), conn=conn, headers=agent).status == 201
        assert s.call("PATCH", f"/api/v1/namespaces/default/pods/{name}/status",
                      json.dumps({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}),
                      type="application/merge-patch+json", conn=conn, headers={"User-Agent": "node/1"}).status == 200

    make("first")
    before = texts(s)
    for i in range(300):
        make(f"p{i}")
    assert texts(s) == before and before["fairlead_lab_managed_texts"] > 0
    assert len({json.dumps(e["fieldsV1"]) for o in s.get("/api/v1/namespaces/default/pods", conn=conn, token=TOKEN).json["items"]
                for e in o["metadata"]["managedFields"]}) == 2
