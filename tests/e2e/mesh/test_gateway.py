"""Gateways call pods of the mesh as one of it: Ingresses of a namespace that takes no plain text are served."""
import base64
import json
import ssl
import subprocess
import sys

import lab_harness
import pytest
import sidecar
import yaml
from gateway import Gateway, rule
from suite import ROOT, wait_until

sys.path.append(str(ROOT / "tests/e2e/proxy"))
from exposition import parse  # noqa: E402

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


def test_gateways_count_as_callers(front):
    """Istio's metrics, from the gateway's side: who it is, and which Service and workload it called."""
    front.all_do("it is served", status(200), "/bob", "shop.example")

    def series(**labels):
        found = []
        for pod in front.lab.ready_pods("app=fairlead-gateway", SYSTEM):
            text = front.lab.fairlead("exec", "-n", SYSTEM, pod["metadata"]["name"], "--", "fairlead-proxy", "request", "GET", "/stats/prometheus")
            found += [dict(k) for (_, k) in parse(text).get("istio_requests_total", (None, {}))[1]]
        return [s for s in found if all(s.get(n) == v for n, v in labels.items())]
    told = wait_until("it is counted", lambda: series(response_code="200", destination_service="bob.default.svc.cluster.local"))[0]
    want = {"reporter": "source", "source_workload": "fairlead-gateway", "source_workload_namespace": SYSTEM, "source_canonical_service": "fairlead-gateway",
            "destination_workload": "bob", "destination_workload_namespace": "default", "destination_service_name": "bob", "destination_service_namespace": "default", "request_protocol": "http",
            "source_principal": "spiffe://cluster.local/ns/fairlead-system/sa/fairlead-gateway", "destination_principal": "spiffe://cluster.local/ns/default/sa/bob"}
    assert {k: told.get(k) for k in want} == want
    front.ask("/nowhere", "strange.example")
    assert not [s for s in series() if "strange" in s["destination_service"]], "strangers' words are no labels"


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


# ---- Gateways and VirtualServices ----

def istio(kind, name, spec, namespace="default"):
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def gateway_of(name, *servers, selector=None):
    return istio("Gateway", name, {"selector": selector or {"istio": "ingressgateway"}, "servers": list(servers)})


def server(*hosts, port=80, protocol="HTTP", **more):
    return {"port": {"number": port, "protocol": protocol, "name": f"{protocol.lower()}-{port}"}, "hosts": list(hosts), **more}


def to(host, **more):
    return [{"destination": {"host": host, **more}}]


@pytest.fixture(scope="module")
def kinds(front):
    for kind in ("gateways", "virtualservices", "destinationrules"):
        front.lab.apply((ROOT / f"deploy/crds/networking.{kind}.yaml").read_text())
    front.lab.apply(peer_authentication("STRICT"))
    return front


def test_a_gateway_and_a_virtual_service(kinds):
    lab = kinds.lab
    lab.apply(gateway_of("shop", server("*.shop.test", "other/a.elsewhere.test")),
              istio("VirtualService", "shop", {"hosts": ["www.shop.test", "a.elsewhere.test"], "gateways": ["shop"], "http": [
                  {"match": [{"uri": {"prefix": "/bob"}, "headers": {"end-user": {"exact": "jason"}}}], "route": to("bob")},
                  {"match": [{"uri": {"exact": "/old"}}], "redirect": {"uri": "/new", "redirectCode": 302}},
                  {"route": to("outside")}]}))
    kinds.all_do("it is served", lambda a: a.app == "bob", "/bob", "www.shop.test", headers={"end-user": "jason"}.items())
    assert kinds.ask("/bob", "www.shop.test").app == "outside"
    assert kinds.ask("/old", "www.shop.test").fields["location"] == "http://www.shop.test/new"
    assert kinds.ask("/", "a.elsewhere.test").status == 404, "it is for another namespace's VirtualServices"
    lab.fairlead("delete", "gateway/shop")
    kinds.all_do("it has gone", status(404), "/bob", "www.shop.test")


def test_gateways_of_others_are_not_ours(kinds):
    kinds.lab.apply(gateway_of("theirs", server("*"), selector={"istio": "egressgateway"}),
                    istio("VirtualService", "theirs", {"hosts": ["their.test"], "gateways": ["theirs"], "http": [{"route": to("outside")}]}),
                    gateway_of("ours", server("*")),
                    istio("VirtualService", "ours", {"hosts": ["our.test"], "gateways": ["default/ours"], "http": [{"route": to("outside")}]}))
    kinds.all_do("ours is served", status(200), "/", "our.test")
    assert kinds.ask("/", "their.test").status == 404


def test_subsets_behind_a_gateway(kinds):
    """One with an account of its own: whom gateways expect there is told of it, too."""
    lab = kinds.lab
    lab.apply(sidecar.beside(lab_harness.echo("bob-2", args=("--name", "bob-2"), labels={"app": "bob", "version": "v2"}, probe=False)))
    lab.wait_ready("version=v2", 1)
    lab.apply(gateway_of("versions", server("*")),
              istio("DestinationRule", "bob", {"host": "bob", "subsets": [{"name": "v2", "labels": {"version": "v2"}}]}),
              istio("VirtualService", "versions", {"hosts": ["versions.test"], "gateways": ["versions"], "http": [
                  {"match": [{"uri": {"prefix": "/none"}}], "route": to("bob", subset="v3")}, {"route": to("bob", subset="v2")}]}))
    kinds.all_do("it is served", lambda a: a.status == 200 and a.echo["name"] == "bob-2", "/", "versions.test")
    assert kinds.ask("/none", "versions.test").status == 503


# ---- TLS ----

def certificate(path, name, ca=False):
    """A Secret with a certificate of itself for that name, and the files."""
    key, pem = path / f"{name}.key", path / f"{name}.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", pem, "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-days", "2"],
                   check=True, capture_output=True)
    data = {"tls.crt": pem, "tls.key": key, **({"ca.crt": pem} if ca else {})}
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": name.replace(".", "-"), "namespace": SYSTEM},
            "data": {k: base64.b64encode(v.read_bytes()).decode() for k, v in data.items()}}, pem, key


def test_tls_ends_at_the_gateway(kinds, tmp_path):
    secret, pem, _ = certificate(tmp_path, "tls.test")
    kinds.lab.apply(secret, gateway_of("tls", server("tls.test", tls={"httpsRedirect": True}),
                                       server("tls.test", port=443, protocol="HTTPS", tls={"mode": "SIMPLE", "credentialName": "tls-test"})),
                    istio("VirtualService", "tls", {"hosts": ["tls.test"], "gateways": ["tls"], "http": [{"route": to("bob")}]}))
    want = ssl.PEM_cert_to_DER_cert(pem.read_text())
    kinds.all_do("it has its certificate", lambda a: a.status == 200 and a.app == "bob" and a.certificate == want, "/", "tls.test", tls=True)
    answer = kinds.ask("/x?y=z", "tls.test")
    assert answer.status == 301 and answer.fields["location"] == "https://tls.test/x?y=z"
    kinds.lab.apply(secret | {"data": secret["data"] | {"tls.crt": base64.b64encode(b"nonsense").decode()}})
    wait_until("an Event tells", lambda: any(e["reason"] == "CertificateInvalid" for e in kinds.lab.get("events", "-n", SYSTEM)["items"]))
    kinds.all_do("the last good one stays", lambda a: a.certificate == want, "/", "tls.test", tls=True)


def test_a_certificate_for_all_hosts(kinds, tmp_path):
    secret, pem, _ = certificate(tmp_path, "any.test")
    kinds.lab.apply(gateway_of("any", server("*", port=443, protocol="HTTPS", tls={"mode": "SIMPLE", "credentialName": "any-test"})),
                    istio("VirtualService", "any", {"hosts": ["*"], "gateways": ["any"], "http": [{"route": to("outside")}]}))
    wait_until("that there is no Secret is told", lambda: events(kinds.lab, "any", "SecretNotFound"))
    kinds.lab.apply(secret)
    want = ssl.PEM_cert_to_DER_cert(pem.read_text())
    kinds.all_do("all have it", lambda a: a.status == 200 and a.certificate == want, "/", "whoever.test", tls=True)
    kinds.lab.fairlead("delete", "virtualservice/any")
    kinds.all_do("none has it", lambda a: a.status == 404 and a.certificate != want, "/", "whoever.test", tls=True)


def test_clients_show_certificates(kinds, tmp_path):
    secret, pem, key = certificate(tmp_path, "mutual.test", ca=True)
    _, other, other_key = certificate(tmp_path, "mallory.test")
    kinds.lab.apply(secret, gateway_of("mutual", server("mutual.test", port=443, protocol="HTTPS", tls={"mode": "MUTUAL", "credentialName": "mutual-test"})),
                    istio("VirtualService", "mutual", {"hosts": ["mutual.test"], "gateways": ["mutual"], "http": [{"route": to("outside")}]}))
    kinds.all_do("who shows one gets in", status(200), "/", "mutual.test", tls=True, cert=(pem, key))
    assert kinds.ask("/", "mutual.test", tls=True).status == 400
    assert kinds.ask("/", "mutual.test", tls=True, cert=(other, other_key)).status == 400
    assert kinds.ask("/", "mutual.test").status == 404, "there is no server of HTTP"


TLS_APP = """import socket, ssl, sys, tempfile
f = tempfile.NamedTemporaryFile("w"); f.write(sys.argv[1]); f.flush()
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(f.name)
server = socket.create_server(("0.0.0.0", 8443))
while True:
    conn, _ = server.accept()
    try:
        with context.wrap_socket(conn, server_side=True) as tls:
            if tls.recv(65536):
                tls.sendall(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: 12\\r\\n\\r\\nall the way\\n")
    except OSError:
        pass
"""


def test_tls_that_goes_on_as_it_is(kinds, tmp_path):
    _, pem, key = certificate(tmp_path, "own.test")
    lab = kinds.lab
    app = lab_harness.echo("own", port=8443, probe=False)
    app["spec"]["template"]["spec"]["containers"][0] |= {"image": "busybox", "command": [sys.executable, "-c", TLS_APP, pem.read_text() + key.read_text()], "args": []}
    lab.apply(app, lab_harness.service("own", port=443, target=8443))
    lab.wait_ready("app=own", 1)
    lab.apply(gateway_of("own", server("own.test", port=443, protocol="TLS", tls={"mode": "PASSTHROUGH"})),
              istio("VirtualService", "own", {"hosts": ["own.test"], "gateways": ["own"], "tls": [{"match": [{"sniHosts": ["own.test"], "port": 443}], "route": to("own", port={"number": 443})}]}))
    want = ssl.PEM_cert_to_DER_cert(pem.read_text())
    kinds.all_do("the app shows its own", lambda a: a.body == "all the way\n" and a.certificate == want, "/", "own.test", tls=True)


# ---- where one comes from ----

def seen(answer):
    """What a client can tell, and what the app is asked. Strict-Transport-Security gets lost, as convert-ingress says."""
    app = (answer.app, answer.echo["path"], answer.echo["query"]) if answer.app else None
    return answer.status, answer.fields.get("location"), app, answer.certificate


def test_what_an_ingress_is_converted_to_answers_the_same(kinds, tmp_path):
    """examples/mesh/converted: what convert-ingress makes of the one is the other, and the other answers as the one does."""
    lab, story = kinds.lab, ROOT / "examples/mesh/converted"
    text = lab.fairlead("convert-ingress", "-f", story / "ingress.yaml", "--gateway-namespace", SYSTEM)
    assert list(yaml.safe_load_all(text)) == list(yaml.safe_load_all((story / "gateway.yaml").read_text()))
    kinds.mesh.run("shop", probe=False)
    lab.apply(lab_harness.echo("mixed", args=("--name", "mixed")), lab_harness.service("mixed"))
    lab.wait_ready("app=mixed", 1)
    secret, _, _ = certificate(tmp_path, "safe.example")
    lab.apply(secret, secret | {"metadata": {"name": "safe-example", "namespace": "default"}})
    questions = [(p, h, t) for h, tls in (("front.example", (False,)), ("stripped.example", (False,)), ("safe.example", (False, True))) for t in tls
                 for p in ("/", "/x?y=z", "/mixed", "/mixed/", "/mixed/a", "/mixedup", "/exact", "/exact/", "/api", "/api/", "/api/v1/a?b=c", "/API/x", "/apix")]

    def answers():
        return [seen(kinds.ask(p, h, tls=t)) for p, h, t in questions]
    lab.fairlead("apply", "-f", story / "ingress.yaml")
    kinds.all_do("the Ingresses are served", status(200), "/", "front.example")
    kinds.all_do("all of them", status(200), "/", "safe.example", tls=True)
    before = answers()
    assert {a[0] for a in before} == {200, 308, 404}
    for name in ("front", "stripped", "safe"):
        lab.fairlead("delete", f"ingress/{name}")
    kinds.all_do("they have gone", status(404), "/", "front.example")
    lab.fairlead("apply", "-f", story / "gateway.yaml")
    kinds.all_do("the others are served", status(200), "/", "front.example")
    kinds.all_do("all of them", status(200), "/", "safe.example", tls=True)
    for question, was, now in zip(questions, before, answers()):
        assert was == now, question


# ---- one table ----

def events(lab, name, reason):
    return [e["message"] for e in lab.get("events")["items"] if e["involvedObject"]["name"] == name and e["reason"] == reason]


def test_of_two_for_a_host_the_older_is_served(kinds):
    """The Ingress of the fixture is older; once it names the host no more, the VirtualService is served."""
    lab = kinds.lab
    lab.apply(gateway_of("all", server("*")), istio("VirtualService", "late", {"hosts": ["shop.example"], "gateways": ["all"], "http": [{"route": to("outside")}]}))
    wait_until("an Event tells", lambda: events(lab, "late", "HostConflict"))
    assert "Ingress default/shop" in events(lab, "late", "HostConflict")[0]
    assert kinds.ask("/bob", "shop.example").app == "bob"
    lab.fairlead("delete", "ingress/shop")
    kinds.all_do("now it is the VirtualService's", lambda a: a.app == "outside", "/bob", "shop.example")


def test_what_is_wrong_is_told(kinds):
    lab = kinds.lab
    lab.apply(gateway_of("odd", server("*", port=9000), server("x.test", port=443, protocol="HTTPS", tls={"mode": "ISTIO_MUTUAL"}), server("odd.test")),
              istio("VirtualService", "odd", {"hosts": ["odd.test"], "gateways": ["odd", "absent"], "http": [{"route": to("outside")}]}))
    kinds.all_do("what is right is served", status(200), "/", "odd.test")
    wait_until("of each server", lambda: len(events(lab, "odd", "GatewayInvalid")) == 2)
    assert any(m.startswith("spec.servers[0].port.number: ") for m in events(lab, "odd", "GatewayInvalid"))
    assert any(m.startswith("spec.servers[1].tls.mode: ") for m in events(lab, "odd", "GatewayInvalid"))
    assert any(m.startswith("spec.gateways[1]: ") for m in events(lab, "odd", "GatewayNotFound"))
