"""Pods get a proxy as they are created, where a namespace or the pod asks for it: the API server asks the control plane's webhook."""
import base64
import json
import pathlib

import lab_harness
import pytest
import yaml
from suite import wait_until

ROOT = pathlib.Path(__file__).resolve().parents[3]
CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/fairlead-sidecar-injector"
INJECT, REV = "sidecar.istio.io/inject", "istio.io/rev"
NAMESPACES = {"none": {}, "enabled": {"istio-injection": "enabled"}, "disabled": {"istio-injection": "disabled"}, "ours": {REV: "fairlead"}, "theirs": {REV: "other"},
              "enabled-theirs": {"istio-injection": "enabled", REV: "other"}, "disabled-ours": {"istio-injection": "disabled", REV: "fairlead"}}
PODS = {"-": {}, "true": {INJECT: "true"}, "false": {INJECT: "false"}, "ours": {REV: "fairlead"}, "theirs": {REV: "other"},
        "true-ours": {INJECT: "true", REV: "fairlead"}, "true-theirs": {INJECT: "true", REV: "other"}, "false-ours": {INJECT: "false", REV: "fairlead"}}
# Which pods of a namespace get one. What a pod says of another revision counts for nothing where its namespace has spoken.
ALL_BUT_FALSE = {"-", "true", "ours", "theirs", "true-ours", "true-theirs"}
GET_ONE = {"none": {"true", "ours", "true-ours"}, "enabled": ALL_BUT_FALSE, "disabled": set(), "ours": ALL_BUT_FALSE, "theirs": set(), "enabled-theirs": ALL_BUT_FALSE, "disabled-ours": set()}


def pod(name, labels=None, **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels or {}}, "spec": {"containers": [{"name": "c", "image": "fairlead/echo"}], **spec}}


def has_proxy(created):
    return "istio-proxy" in [c["name"] for c in created["spec"].get("initContainers", [])]


def create(lab, ns, body, query="?dryRun=All"):
    status, text = lab.raw(f"/api/v1/namespaces/{ns}/pods{query}", "POST", body=json.dumps(body), body_type="application/json")
    return status, json.loads(text)


@pytest.fixture(scope="module")
def namespaces(lab):
    lab.apply(*({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"ns-{n}", "labels": labels}} for n, labels in NAMESPACES.items()))
    return lab


@pytest.mark.parametrize("ns", NAMESPACES)
def test_who_gets_one(namespaces, ns):
    got = set()
    for name, labels in PODS.items():
        status, made = create(namespaces, f"ns-{ns}", pod("p", labels))
        assert status == 201, made
        if has_proxy(made):
            got.add(name)
    assert got == GET_ONE[ns]


def test_never(namespaces):
    assert not has_proxy(create(namespaces, "ns-enabled", pod("p", hostNetwork=True))[1])
    assert not has_proxy(create(namespaces, "kube-system", pod("p", {INJECT: "true"}))[1])


def test_everywhere(namespaces):
    """The switch: where nobody says anything, too."""
    every, = yaml.safe_load_all((ROOT / "deploy/mesh/everywhere.yaml").read_text())
    namespaces.apply(every)
    try:
        wait_until("its caBundle is there", lambda: namespaces.get("mutatingwebhookconfigurations/fairlead-sidecar-injector-everywhere")["webhooks"][0]["clientConfig"].get("caBundle"), 20)
        assert has_proxy(create(namespaces, "ns-none", pod("p"))[1])
        assert not has_proxy(create(namespaces, "ns-disabled", pod("p"))[1]) and not has_proxy(create(namespaces, "fairlead-system", pod("p"))[1])
        assert not has_proxy(create(namespaces, "ns-none", pod("p", {INJECT: "false"}))[1])
    finally:
        namespaces.fairlead("delete", "mutatingwebhookconfigurations/fairlead-sidecar-injector-everywhere")


def test_an_annotation_that_is_refused(namespaces):
    bad = pod("p")
    bad["metadata"]["annotations"] = {"traffic.sidecar.istio.io/excludeInboundPorts": "x"}
    status, said = create(namespaces, "ns-enabled", bad)
    assert status == 400 and said["message"].startswith('admission webhook "namespace.sidecar-injector.fairlead.dev" denied the request: metadata.annotations[traffic.sidecar.istio.io/excludeInboundPorts]')


def test_the_first_minute(namespaces):
    """A label, an app that knows nothing, a call through both proxies."""
    lab, ns = namespaces, ("-n", "ns-enabled")
    app = [o | {"metadata": o["metadata"] | {"namespace": "ns-enabled"}} for n in ("shop", "cart") for o in (lab_harness.echo(n, args=("--name", n)), lab_harness.service(n))]
    lab.apply(*app)
    wait_until("both are available", lambda: all(d.get("status", {}).get("availableReplicas") for d in lab.get("deploy", *ns)["items"]), 40)
    wait_until("they are called", lambda: json.loads(lab.fairlead("exec", *ns, "deploy/shop", "--", "curl", "-s", "-m", "10", "http://cart/", check=False).stdout or "{}").get("name") == "cart", 20)
    stats = lab.fairlead("exec", *ns, "deploy/shop", "-c", "istio-proxy", "--", "/run/fairlead/bin/fairlead-proxy", "request", "GET", "/stats?filter=upstream_rq_total")
    assert "outbound|80||cart.ns-enabled.svc.cluster.local.upstream_rq_total: 1" in stats
    one = [p for p in lab.get("pods", *ns)["items"] if p["metadata"]["labels"]["app"] == "cart"][0]
    workload = [e["value"] for e in one["spec"]["initContainers"][1]["env"] if e["name"] == "WORKLOAD"]
    assert workload == ["cart"], "its Deployment, by the name of its ReplicaSet"
    mounts = [m["mountPath"] for m in one["spec"]["initContainers"][1]["volumeMounts"]]
    assert "/var/run/secrets/kubernetes.io/serviceaccount" in mounts


def test_the_bundle_is_kept_up(namespaces, mesh):
    want = base64.b64encode(mesh.root.encode()).decode()

    def bundles():
        return [w["clientConfig"].get("caBundle") for w in namespaces.get("mutatingwebhookconfigurations/fairlead-sidecar-injector")["webhooks"]]
    assert bundles() == [want] * 4
    status, text = namespaces.raw(CONFIGURATION, "PATCH", [{"op": "remove", "path": "/webhooks/2/clientConfig/caBundle"}], body_type="application/json-patch+json")
    assert status == 200, text
    wait_until("it is back", lambda: bundles() == [want] * 4, 20)


def test_without_a_control_plane(namespaces):
    """No pod is created without the proxy it is to have; others are."""
    lab = namespaces
    control = "/apis/apps/v1/namespaces/fairlead-system/deployments/fairlead-control"
    lab.patch(control, {"spec": {"replicas": 0}})
    try:
        wait_until("it has gone", lambda: not [p for p in lab.get("pods", "-n", "fairlead-system")["items"] if p["metadata"]["labels"].get("app") == "fairlead-control"], 20)
        status, said = create(lab, "ns-enabled", pod("p"))
        assert status == 500 and said["message"].startswith('Internal error occurred: failed calling webhook "namespace.sidecar-injector.fairlead.dev": failed to call webhook: Post "https://fairlead-control.fairlead-system.svc:443/inject?timeout=10s": '), said
        assert create(lab, "ns-none", pod("p"))[0] == 201
    finally:
        lab.patch(control, {"spec": {"replicas": 1}})
    wait_until("it is asked again", lambda: create(lab, "ns-enabled", pod("p"))[0] == 201, 20)
