"""fairlead install, upgrade, uninstall in a lab: looks first, shows, asks, applies in order, takes back, leaves nothing. The lab's nodes have agents of their own, so most of this is without ours; test_nodes.py has what else agents are told."""
import base64
import gzip
import json
import os
import signal

import pytest
import yaml

from lab_harness import Lab, running
from suite import ROOT, wait_until

SYSTEM = "fairlead-system"
FOR_LAB = ["agent.enabled=false", "control.podDisruptionBudget.enabled=false", "gateway.podDisruptionBudget.enabled=false"]
DEFINITIONS = len(list((ROOT / "deploy/crds").glob("*.yaml")))


@pytest.fixture(scope="module")
def lab():
    yield from running(Lab())


@pytest.fixture
def clean(lab):
    """A lab without anything of ours, after each test."""
    yield lab
    lab.fairlead("uninstall", "--yes", "--crds", "--namespace-too", "--timeout", "60s", check=False)
    lab.delete("--ignore-not-found", "ingressclass/nginx", "crd/telemetries.telemetry.istio.io", "mutatingwebhookconfiguration/istio-sidecar-injector")
    lab.fairlead("delete", "--ignore-not-found", "ns/" + SYSTEM, "pod/kube-proxy-x", "-n", "kube-system", "--force", check=False)


def sets(*values):
    return [x for v in FOR_LAB + list(values) for x in ("--set", v)]


def install(lab, *values, verb="install", argv=("--yes", "--timeout", "60s"), check=True):
    return lab.fairlead(verb, *(sets(*values) if verb == "install" else [x for v in values for x in ("--set", v)]), *argv, check=check, timeout=90)


def ours(lab):
    return {f"{kind}/{o['metadata']['name']}" for kind in ("deployments", "services", "mutatingwebhookconfigurations", "clusterroles", "clusterrolebindings", "ingressclasses", "serviceaccounts")
            for o in lab.get(kind, "-A")["items"] if "fairlead" in o["metadata"]["name"]}


def revisions(lab):
    found = lab.get("secrets", "-n", SYSTEM, "-l", "owner=helm")["items"]
    return {int(s["metadata"]["labels"]["version"]): s["metadata"]["labels"]["status"] for s in found}


def finding(text, id_):
    """(word, what it says, hint)"""
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if id_ in line)
    hint = lines[at + 1].strip() if at + 1 < len(lines) and lines[at + 1].startswith("      hint:") else ""
    return lines[at].split()[0], lines[at], hint


def test_a_life(clean):
    """In, served, changed, back to what was, out. A second try at what is there already changes nothing and makes no revision."""
    lab = clean
    shown = install(lab, argv=("--dry-run",))
    assert "+ new      deployment.apps/fairlead-control\n" in shown and ours(lab) == set()
    asked = install(lab, argv=(), check=False)
    assert asked.returncode == 64 and "--yes" in asked.stderr and ours(lab) == set()
    out = install(lab)
    assert "revision 1 is deployed" in out and "Ingresses of the classes fairlead, nginx are served" in out
    assert len(lab.ready_pods("app=fairlead-control", SYSTEM)) == 2 and len(lab.ready_pods("app=fairlead-gateway", SYSTEM)) == 2
    again = install(lab, check=False)
    assert again.returncode == 1 and "revision 1 is deployed" in again.stderr and "fairlead upgrade" in again.stderr
    for folder in ("examples/first-light", "examples/ingress/origin"):
        lab.fairlead("apply", "-f", ROOT / folder)
    address = wait_until("the Ingress has an address", lambda: lab.get("ingress/test-ingress")["status"].get("loadBalancer", {}).get("ingress"), 30)[0]["ip"]
    wait_until("it answers", lambda: '"name": "nginx"' in str(lab.answers("node-1", f"http://{address}/folder")), 30)

    assert "nothing to do" in install(lab, verb="upgrade") and revisions(lab) == {1: "deployed"}
    out = install(lab, "gateway.replicas=1", "mesh.enabled=false", verb="upgrade")
    assert "~ spec.replicas: 2 -> 1\n" in out and "- goes     mutatingwebhookconfiguration.admissionregistration.k8s.io/fairlead-sidecar-injector\n" in out
    assert revisions(lab) == {1: "superseded", 2: "deployed"}
    assert not {o for o in ours(lab) if "mesh" in o or "injector" in o or "reader" in o}
    assert len(lab.ready_pods("app=fairlead-gateway", SYSTEM)) == 1
    # Values are kept: what is said now comes on top, unless they are to be forgotten.
    assert "spec.replicas: 1 ->" not in install(lab, "logLevel=debug", verb="upgrade", argv=("--dry-run",))
    forgotten = install(lab, *FOR_LAB, verb="upgrade", argv=("--dry-run", "--reset-values"))
    assert "~ spec.replicas: 1 -> 2\n" in forgotten
    out = lab.fairlead("upgrade", "--to", "1", "--yes", timeout=90)
    assert "~ spec.replicas: 1 -> 2\n" in out and revisions(lab) == {1: "superseded", 2: "superseded", 3: "deployed"}
    assert "mutatingwebhookconfigurations/fairlead-sidecar-injector" in ours(lab)

    out = lab.fairlead("uninstall", "--yes", timeout=90)
    assert ours(lab) == set() and revisions(lab) == {} and lab.pods("app=fairlead-control", SYSTEM) == []
    assert len(lab.get("crd")["items"]) == DEFINITIONS and f"left: {DEFINITIONS} definitions" in out and "fairlead-ca" in out
    gone = lab.fairlead("uninstall", "--yes", check=False)
    assert gone.returncode == 1 and "there is no release" in gone.stderr


def test_nothing_is_left(clean):
    """Definitions, the namespace and what the control plane told other namespaces go, too, when that is asked for."""
    lab = clean
    install(lab)
    lab.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "app", "labels": {"istio-injection": "enabled"}}},
              {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fairlead-ca-root-cert", "namespace": "app"}, "data": {}})
    before = lab.fairlead("uninstall", "--dry-run")
    assert "- goes     deployment.apps/fairlead-control" in before and "  stays    customresourcedefinition" in before and ours(lab)
    out = lab.fairlead("uninstall", "--yes", "--crds", "--namespace-too", timeout=90)
    assert "left:" not in out and ours(lab) == set() and lab.get("crd")["items"] == []
    assert SYSTEM not in {n["metadata"]["name"] for n in lab.get("ns")["items"]}
    assert {c["metadata"]["name"] for c in lab.get("cm", "-n", "app")["items"]} == {"kube-root-ca.crt"}
    lab.fairlead("delete", "ns/app")


def test_the_order(clean):
    """Webhooks come when control is ready, and not before: pods would be refused meanwhile."""
    lab = clean
    done = install(lab, "control.extraArgs={--nothing-like-it}", argv=("--yes", "--timeout", "4s"), check=False)
    assert done.returncode == 124 and "deployment.apps/fairlead-control (0 of 2 ready)" in done.stderr
    assert "pod/fairlead-control" in done.stderr and "log: error: fairlead-control: unknown flag --nothing-like-it" in done.stderr, done.stderr  # its last words
    assert "deployments/fairlead-control" in ours(lab) and "mutatingwebhookconfigurations/fairlead-sidecar-injector" not in ours(lab)
    assert revisions(lab) == {1: "failed"}
    out = install(lab, "control.extraArgs=null", verb="upgrade")
    assert revisions(lab) == {1: "failed", 2: "deployed"} and "+ new      mutatingwebhookconfiguration" in out


def test_not_waited_for(clean):
    done = install(clean, "control.extraArgs={--nothing-like-it}", argv=("--yes", "--wait=false"))
    assert "revision 1 is deployed" in done and "mutatingwebhookconfigurations/fairlead-sidecar-injector" in ours(clean)


def test_nodes_are_clean(clean):
    """With the lab's own agents stopped for a while: ours carry Services on every node, and the kernel has nothing of them when they have been taken out."""
    lab = clean
    lab.fairlead("lab", "image", "--name", lab.name, "localhost/fairlead/agent:0.1.0=/run/fairlead/bin/fairlead-agent")
    nodes = [n["metadata"]["name"] for n in lab.get("nodes")["items"]]

    def tables():
        return [[t for t in lab.in_netns(n, "nft", "list", "tables").splitlines() if t.split()[-1] == "fairlead"] for n in nodes]
    stopped = lab.processes("fairlead-agent")
    assert len(stopped) == len(nodes) and all(tables())
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        install(lab, "agent.enabled=true", "agent.healthzPort=10266", "agent.probePort=10267", "agent.metricsBindAddress=127.0.0.1:10269", "control.enabled=false", "gateway.enabled=false", "mesh.enabled=false", "crds.install=false")
        agents = lab.ready_pods("app=fairlead-agent", SYSTEM)
        assert {p["spec"]["nodeName"] for p in agents} == set(nodes) and all(tables())
        host = {e["name"]: e.get("value") for e in agents[0]["spec"]["containers"][0]["env"]}["KUBERNETES_SERVICE_HOST"]
        assert host in open(lab.kubeconfig).read()
        done = lab.fairlead("uninstall", "--yes", "--timeout", "60s", timeout=90, check=False)
        assert done.returncode == 0 and "agents clean up their nodes" in done.stderr and "rules" not in done.stdout, done.stderr
        assert not any(tables()) and lab.get("ds", "-n", SYSTEM)["items"] == []
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    wait_until("the lab's own have their tables back", lambda: all(tables()), 30)


def test_kinds_that_are_not_there(lab):
    done = lab.fairlead("install", "--dry-run", check=False)
    word, what, hint = finding(done.stdout, "FL-INST-002")
    assert done.returncode == 2 and word == "FAIL" and "PodDisruptionBudget" in what and "--set control.podDisruptionBudget.enabled=false" in hint
    # The address of the API server is found, and would be the release's.
    host = json.loads(lab.fairlead("get", "endpointslices", "-l", "kubernetes.io/service-name=kubernetes", "-o", "json"))["items"][0]["endpoints"][0]["addresses"][0]
    assert f": {host}, port 6443" in finding(done.stdout, "FL-INST-009")[1]


def test_beside_istiod(clean):
    lab = clean
    lab.apply({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": "istio-sidecar-injector"}, "webhooks": []})
    done = install(lab, check=False)
    assert done.returncode == 2 and finding(done.stdout, "FL-INST-006")[0] == "FAIL" and "mesh.revisionOnly=true" in finding(done.stdout, "FL-INST-006")[2] and ours(lab) == set()
    assert finding(install(lab, "mesh.revisionOnly=true", argv=("--dry-run",)), "FL-INST-006")[0] == "ok"


def test_what_others_have(clean):
    """A class and a definition that are there are nobody's to take, unless that is asked for."""
    lab = clean
    lab.apply({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "nginx"}, "spec": {"controller": "k8s.io/ingress-nginx"}})
    lab.fairlead("apply", "-f", ROOT / "deploy/crds/telemetry.telemetries.yaml")
    done = install(lab, check=False)
    assert done.returncode == 2 and finding(done.stdout, "FL-INST-005")[0] == "FAIL" and "ingress.classes.nginx.create=false" in finding(done.stdout, "FL-INST-005")[2]
    word, what, hint = finding(done.stdout, "FL-INST-007")
    assert word == "FAIL" and "ingressclass.networking.k8s.io/nginx" in what and "telemetries.telemetry.istio.io" in what and "crds.install=false" in hint
    without = install(lab, "ingress.classes.nginx.create=false", "crds.install=false", argv=("--dry-run",))
    assert "FAIL" not in without
    taken = install(lab, argv=("--dry-run", "--take-ownership"))
    assert finding(taken, "FL-INST-007")[0] == "WARN" and "~ changed  ingressclass.networking.k8s.io/nginx\n" in taken and "meta.helm.sh/release-name" in taken


def test_a_namespace_that_refuses_agents(clean):
    lab = clean
    lab.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
    done = lab.fairlead("install", "--dry-run", check=False)
    assert done.returncode == 2 and finding(done.stdout, "FL-INST-008")[0] == "FAIL"
    assert finding(install(lab, argv=("--dry-run",)), "FL-INST-008")[0] == "ok"  # without agents


def test_a_kube_proxy_that_runs(clean):
    lab = clean
    lab.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "kube-proxy-x", "namespace": "kube-system", "labels": {"k8s-app": "kube-proxy"}},
               "spec": {"containers": [{"name": "a", "image": "none"}]}})
    assert finding(lab.fairlead("install", "--dry-run", check=False).stdout, "FL-INST-004")[0] == "FAIL"
    assert finding(lab.fairlead("install", "--dry-run", "--beside-kube-proxy", check=False).stdout, "FL-INST-004")[0] == "WARN"
    assert finding(install(lab, argv=("--dry-run",)), "FL-INST-004")[0] == "ok"


def test_rights(lab, tmp_path):
    """Who may only look is told what he may not, and nothing is changed."""
    lab.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "viewer", "namespace": "default"}},
              {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "viewer"}, "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}]},
              {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "viewer"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "viewer"},
               "subjects": [{"kind": "ServiceAccount", "name": "viewer", "namespace": "default"}]})
    ask = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    status, body = lab.raw("/api/v1/namespaces/default/serviceaccounts/viewer/token", "POST", body=json.dumps(ask), body_type="application/json")
    assert status == 201, body
    config = yaml.safe_load(open(lab.kubeconfig))
    config["users"][0]["user"] = {"token": json.loads(body)["status"]["token"]}
    (tmp_path / "config").write_text(json.dumps(config))
    done = lab.fairlead("install", *sets(), "--yes", "--kubeconfig", tmp_path / "config", check=False)
    word, what, _ = finding(done.stdout, "FL-INST-003")
    assert done.returncode == 2 and word == "FAIL" and "may not create deployments in fairlead-system" in what and "may not delete customresourcedefinitions" in what and "may not get" not in what
    assert ours(lab) == set()


def test_a_record_that_is_damaged(clean):
    lab = clean
    lab.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}},
              {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sh.helm.release.v1.fairlead.v1", "namespace": SYSTEM, "labels": {"owner": "helm", "name": "fairlead", "version": "1", "status": "deployed"}},
               "type": "helm.sh/release.v1", "data": {"release": base64.b64encode(base64.b64encode(b"no gzip")).decode()}})
    done = install(lab, check=False)
    assert done.returncode == 1 and "Secret sh.helm.release.v1.fairlead.v1 is no record of a release: not gzip" in done.stderr


def test_one_that_is_at_it(clean):
    """A revision that is being put out is left alone; one that was interrupted is gone back from."""
    lab = clean
    install(lab)
    status, secret = lab.raw(f"/api/v1/namespaces/{SYSTEM}/secrets/sh.helm.release.v1.fairlead.v1")
    secret = json.loads(secret)
    record = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(secret["data"]["release"]))))
    record["version"], record["info"]["status"] = 2, "pending-upgrade"
    secret["data"]["release"] = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(record).encode()))).decode()
    secret["metadata"] = {"name": "sh.helm.release.v1.fairlead.v2", "namespace": SYSTEM, "labels": {**secret["metadata"]["labels"], "version": "2", "status": "pending-upgrade"}}
    lab.raw(f"/api/v1/namespaces/{SYSTEM}/secrets", "POST", body=json.dumps(secret), body_type="application/json")
    done = install(lab, "logLevel=debug", verb="upgrade", check=False)
    assert done.returncode == 1 and "revision 2 is pending-upgrade" in done.stderr and "--to" in done.stderr
    lab.fairlead("upgrade", "--to", "1", "--yes", timeout=90)
    assert revisions(lab)[3] == "deployed"
