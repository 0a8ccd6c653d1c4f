"""The webhook of the control plane, asked as an API server asks it: by HTTPS, with the root that it tells."""
import base64
import json

import lab_harness
import pytest
from suite import ROOT, wait_until

SYSTEM = "fairlead-system"


@pytest.fixture(scope="module")
def webhook(mesh, tmp_path_factory):
    lab = mesh.lab
    root = tmp_path_factory.mktemp("root") / "root.pem"
    root.write_text(mesh.root)
    node = lab.get("nodes")["items"][0]["metadata"]["name"]
    ip = lab.get("svc/fairlead-control", "-n", SYSTEM)["spec"]["clusterIP"]
    host = "fairlead-control.fairlead-system.svc"

    def ask(body, path="/inject", method="POST"):
        out = lab.in_netns(node, "curl", "-s", "-m", "5", "--cacert", str(root), "--resolve", f"{host}:443:{ip}", "-X", method, "-w", "\n%{http_code} %{http_version}",
                           "-d", body if isinstance(body, str) else json.dumps(body), f"https://{host}{path}", check=False)
        text, _, code = out.stdout.rpartition("\n")
        return code, text

    wait_until("it is served", lambda: ask("", "/", "GET")[0] == "404 1.1", 40)
    return ask


def review(pod, namespace="default"):
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {"uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "namespace": namespace, "operation": "CREATE", "object": pod}}


def patched(pod, response):
    for operation in json.loads(base64.b64decode(response["patch"])):
        pod = pod | {operation["path"][1:]: operation["value"]}
    return pod


def test_a_pod_that_is_created(webhook, mesh):
    """What comes back is a pod that runs: it calls by its proxy."""
    mesh.run("target")
    lab, template = mesh.lab, lab_harness.echo("asked")["spec"]["template"]
    lab.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "asked", "namespace": "shop", "labels": {"app": "asked"}}, "spec": template["spec"]}
    code, text = webhook(review(pod, "shop"))
    response = json.loads(text)["response"]
    assert code == "200 1.1" and response["allowed"] and response["uid"] == "u" and response["patchType"] == "JSONPatch"
    lab.apply(patched(pod, response))
    wait_until("its namespace is told whom to trust", lambda: [m for m in lab.get("configmaps", "-n", "shop")["items"] if m["metadata"]["name"] == "fairlead-ca-root-cert"])
    wait_until("it is ready", lambda: [c for c in lab.get("pod/asked", "-n", "shop")["status"].get("conditions", []) if c["type"] == "Ready" and c["status"] == "True"], 40)
    out = lab.fairlead("exec", "-n", "shop", "asked", "-c", "echo", "--", "curl", "-s", "-m", "10", "http://target.default/")
    assert json.loads(out)["name"] == "target"
    stats = lab.fairlead("exec", "-n", "shop", "asked", "-c", "istio-proxy", "--", "/run/fairlead/bin/fairlead-proxy", "request", "GET", "/stats?filter=upstream_rq_total")
    assert "outbound|80||target.default.svc.cluster.local.upstream_rq_total: 1" in stats


def test_proxy_configs(webhook, mesh):
    """The kind ProxyConfig: by the namespace, and by labels over the pod's annotation; gone, it is as before."""
    mesh.lab.fairlead("apply", "-f", ROOT / "deploy/crds/networking.proxyconfigs.yaml")

    def proxy(**metadata):
        pod = {"metadata": metadata, "spec": {"containers": [{"name": "app"}]}}
        c = next(c for c in patched(pod, json.loads(webhook(review(pod))[1])["response"])["spec"]["initContainers"] if c["name"] == "istio-proxy")
        return [a for a in c["args"] if "concurrency" in a], {e["name"]: e.get("value") for e in c["env"]}.get("TEAM")

    def put(name, **spec):
        mesh.lab.apply({"apiVersion": "networking.istio.io/v1beta1", "kind": "ProxyConfig", "metadata": {"name": name, "namespace": "default"}, "spec": spec})
    assert proxy() == ([], None)
    put("all", concurrency=2, environmentVariables={"TEAM": "shop"})
    put("web", selector={"matchLabels": {"app": "web"}}, concurrency=4)
    wait_until("all of the namespace have it", lambda: proxy() == (["--concurrency=2"], "shop"), 30)
    wait_until("its own before its annotation", lambda: proxy(labels={"app": "web"}, annotations={"proxy.istio.io/config": "concurrency: 3"}) == (["--concurrency=4"], "shop"), 30)
    assert proxy(annotations={"proxy.istio.io/config": "concurrency: 3"}) == (["--concurrency=3"], "shop")
    for name in ("all", "web"):
        mesh.lab.raw(f"/apis/networking.istio.io/v1beta1/namespaces/default/proxyconfigs/{name}", "DELETE")
    wait_until("it has gone", lambda: proxy(labels={"app": "web"}) == ([], None), 30)


def test_who_gets_none_and_who_is_refused(webhook):
    assert "patch" not in json.loads(webhook(review({"metadata": {}, "spec": {"hostNetwork": True, "containers": []}}))[1])["response"]
    bad = {"metadata": {"annotations": {"traffic.sidecar.istio.io/excludeInboundPorts": "x"}}, "spec": {"containers": []}}
    response = json.loads(webhook(review(bad))[1])["response"]
    assert not response["allowed"] and "excludeInboundPorts" in response["status"]["message"]


def test_what_is_no_review(webhook):
    for body, words in (("{", "JSON"), ({}, "is no AdmissionReview"), (review({}) | {"request": {}}, "request.uid")):
        code, text = webhook(body)
        assert code == "400 1.1" and words.lower() in text.lower(), text
    assert webhook("", "/inject", "GET")[0] == "405 1.1"
