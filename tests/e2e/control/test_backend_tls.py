"""Endpoints over TLS (proxy-ssl-*): what they are shown, by whose CA and by which name they are known."""
import base64
import sys
import threading

import pytest
import recording_backend
from gateway import rule
from suite import ROOT, wait_until

sys.path.insert(0, str(ROOT / "tests/e2e/proxy"))
from certificates import Authority  # noqa: E402

SECRET = {"backend-protocol": "HTTPS", "proxy-ssl-secret": "default/backend"}
VERIFIED = {**SECRET, "proxy-ssl-verify": "on"}


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"), "ours")


@pytest.fixture(scope="module")
def other_ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("other"), "others")


@pytest.fixture(scope="module")
def shown(ca):
    """What the gateway shows, by name: (certificate, key)."""
    return {name: ca.issue(name) for name in ("first", "second")}


@pytest.fixture(scope="module")
def backend(lab, gateway, ca):
    """Asks for a certificate of ours, as secure.default.svc."""
    cert, key = ca.issue("site", "DNS:secure.default.svc", "DNS:site.example")
    lab.apply(*recording_backend.objects("secure", tls={"cert": cert.read_text() + key.read_text(), "clients": ca.cert.read_text()}))
    lab.wait_ready("app=secure", 1)


@pytest.fixture
def secret(lab):
    def apply(cert=None, ca=None):
        data = dict(zip(("tls.crt", "tls.key"), (f.read_bytes() for f in cert))) if cert else {}
        data |= {"ca.crt": ca.cert.read_bytes()} if ca else {}
        lab.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "backend"}, "type": "Opaque",
                   "data": {k: base64.b64encode(v).decode() for k, v in data.items()}})

    yield apply
    lab.fairlead("delete", "secrets/backend", "--ignore-not-found")


def paths(*names):
    return [rule("b.example", *[("/" + n, "Prefix", "secure") for n in names])]


def test_a_certificate_is_shown(gateway, ingress, backend, secret, shown, events):
    ingress("bare", paths("bare"), {"backend-protocol": "HTTPS"})
    ingress("shown", paths("shown"), SECRET)
    assert gateway.becomes("there is no Secret yet", lambda a: a.status == 503, "/shown", "b.example")
    wait_until("it is told", lambda: events("shown", "AuthNotUsable"))
    secret(shown["first"])
    answer = gateway.becomes("it is shown", lambda a: a.status == 200, "/shown", "b.example")
    assert (answer.echo["peer"], answer.echo["sni"]) == ("first", None)
    assert gateway.becomes("without one it is refused", lambda a: a.status == 502, "/bare", "b.example")


def test_who_it_is(gateway, ingress, backend, secret, shown, ca, other_ca, events):
    secret(shown["first"], other_ca)
    ingress("known", paths("known"), VERIFIED)
    ingress("named", paths("named"), {**VERIFIED, "proxy-ssl-name": "site.example", "proxy-ssl-server-name": "on", "proxy-ssl-protocols": "TLSv1.2",
                                      "proxy-ssl-ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256"})
    ingress("misnamed", paths("misnamed"), {**VERIFIED, "proxy-ssl-name": "else.example"})
    assert gateway.becomes("of another CA it is not asked", lambda a: a.status == 502, "/known", "b.example")
    secret(shown["first"], ca)
    assert gateway.becomes("of ours it is", lambda a: a.status == 200, "/known", "b.example").echo["sni"] is None
    assert gateway.becomes("by a name that is said", lambda a: a.status == 200, "/named", "b.example").echo["sni"] == "site.example"
    assert gateway.becomes("not by another one", lambda a: a.status == 502, "/misnamed", "b.example")
    secret(shown["first"])
    assert gateway.becomes("without a CA nobody is asked", lambda a: a.status == 503, "/known", "b.example")
    wait_until("it is told", lambda: events("known", "AuthNotUsable"))
    assert len(events("known", "AuthNotUsable")) == 1


def test_a_certificate_is_exchanged_while_requests_run(gateway, ingress, backend, secret, shown, ca):
    secret(shown["first"], ca)
    ingress("live", paths("live"), VERIFIED)
    gateway.becomes("the first is shown", lambda a: a.status == 200 and a.echo["peer"] == "first", "/live", "b.example")
    gateway.all_do("at every gateway", lambda a: a.status == 200, "/live", "b.example")
    answers, done = [], threading.Event()

    def ask():
        while not done.is_set():
            answers.append(gateway.ask("/live", "b.example"))

    client = threading.Thread(target=ask)
    client.start()
    try:
        for name in ("second", "first", "second"):
            secret(shown[name], ca)
            gateway.all_do(f"{name} is shown", lambda a: a.status == 200 and a.echo["peer"] == name, "/live", "b.example")
    finally:
        done.set()
        client.join()
    assert len(answers) > 20 and {a.status for a in answers} == {200}
    assert {a.echo["peer"] for a in answers} == {"first", "second"}


def test_explain(lab, gateway, ingress, backend, secret, shown, ca):
    secret(shown["first"], ca)
    ingress("told", paths("told"), VERIFIED)
    gateway.becomes("it is served", lambda a: a.status == 200, "/told", "b.example")
    assert "over TLS (Secret default/backend, verified as the Service, depth 1)" in lab.fairlead("explain", "GET", "http://b.example/told")
