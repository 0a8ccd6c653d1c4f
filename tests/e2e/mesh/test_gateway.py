"""Gateways call pods of the mesh as one of it: Ingresses of a namespace that takes no plain text are served."""
import json

import lab_harness
import pytest
from gateway import Gateway, rule
from suite import ROOT, wait_until

SYSTEM = "fairlead-system"


def peer_authentication(mode, **spec):
    return {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "default", "namespace": "default"}, "spec": {"mtls": {"mode": mode}, **spec}}


@pytest.fixture(scope="module")
def front(mesh):
    """One app in the mesh, one that is not, an Ingress before both."""
    lab = mesh.lab
    lab.apply((ROOT / "deploy/crds/security.peerauthentications.yaml").read_text())
    lab.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bob", "namespace": "default"}})
    mesh.run("bob", probe=False, serviceAccountName="bob")
    lab.apply(lab_harness.echo("outside", args=("--name", "outside")), lab_harness.service("outside"))
    lab.wait_ready("app=outside", 1)
    lab.apply({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "shop"}, "spec": {
        "ingressClassName": "fairlead", "rules": [rule("shop.example", ("/bob", "Prefix", "bob"), ("/outside", "Prefix", "outside"))]}})
    gateway = Gateway(lab)
    gateway.mesh = mesh
    return gateway


def status(code):
    return lambda answer: answer.status == code


def plain_text(front):
    """What the app's port says to a caller outside of the mesh."""
    ip = front.lab.ready_pods("app=bob")[0]["status"]["podIP"]
    pod = front.lab.ready_pods("app=outside")[0]["metadata"]["name"]
    return front.lab.fairlead("exec", pod, "--", "curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", f"http://{ip}:8080/", check=False).stdout


def test_a_strict_namespace_behind_an_ingress(front):
    front.all_do("it is served", status(200), "/bob", "shop.example")
    front.lab.apply(peer_authentication("STRICT"))
    wait_until("plain text is refused", lambda: plain_text(front) == "000")
    for _ in range(20):
        assert front.ask("/bob", "shop.example").status == 200
        assert front.ask("/outside", "shop.example").status == 200
    seen = json.loads(front.mesh.admin("bob", "/stats?format=json&filter=ssl.handshake"))["stats"]
    assert sum(s.get("value", 0) for s in seen) >= 1, "nobody has shown a certificate"


def test_pods_that_come_are_called_so_at_once(front):
    front.lab.apply(peer_authentication("STRICT"))
    front.mesh.run("bob", replicas=3, probe=False, serviceAccountName="bob")
    front.lab.wait_ready("app=bob", 3)
    names = set()

    def all_answer():
        answer = front.ask("/bob", "shop.example")
        assert answer.status == 200
        names.add(answer.echo["name"])
        return len(names) == 1 or len(names) >= 3
    wait_until("all answer", all_answer)
    assert all(front.ask("/bob", "shop.example").status == 200 for _ in range(30))


def test_what_takes_no_tls_is_called_in_plain_text(front):
    front.lab.apply(peer_authentication("DISABLE"))
    wait_until("plain text is taken", lambda: plain_text(front) == "200")
    front.all_do("by the gateways, too", status(200), "/bob", "shop.example")
