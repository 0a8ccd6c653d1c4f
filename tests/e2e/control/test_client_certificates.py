"""Certificates of clients: asked for in the handshake, judged behind it, told to the backend."""
import base64
import subprocess
import sys
import urllib.parse

import pytest
from gateway import rule
from suite import ROOT, wait_until

sys.path.insert(0, str(ROOT / "tests/e2e/proxy"))
from certificates import Authority  # noqa: E402


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"), "clients")


@pytest.fixture(scope="module")
def alice(ca):
    return ca.issue("alice", subject="/O=Team/CN=alice")


@pytest.fixture(scope="module")
def mallory(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("other"), "others").issue("mallory", subject="/O=Team/CN=alice")


@pytest.fixture
def secret(lab):
    made = []

    def apply(name, **data):
        lab.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque",
                   "data": {k.replace("_", "."): base64.b64encode(v).decode() for k, v in data.items()}})
        made.append(name)

    yield apply
    for name in set(made):
        lab.fairlead("delete", f"secrets/{name}", "--ignore-not-found")


CA = {"auth-tls-secret": "default/client-ca"}


def told(answer):
    return {k[11:]: v for k, v in dict(answer.echo["headers"]).items() if k.startswith("ssl-client-")}


def test_required(gateway, ingress, secret, ca, alice, mallory, events):
    ingress("cert", [rule("cert.example", ("/", "Prefix", "web"))], CA)
    assert gateway.becomes("there is no CA yet", lambda a: a.status == 503, "/", "cert.example", tls=True, cert=alice)
    wait_until("it is told", lambda: events("cert", "AuthNotUsable"))
    secret("client-ca", ca_crt=ca.cert.read_bytes())
    forged = {"ssl-client-verify": "FORGED", "ssl-client-subject-dn": "CN=root", "ssl-client-cert": "x"}
    answer = gateway.becomes("alice is let in", lambda a: a.app == "web", "/", "cert.example", tls=True, cert=alice, headers=forged)
    assert told(answer) == {"verify": "SUCCESS", "subject-dn": "CN=alice,O=Team", "issuer-dn": "CN=clients"}
    gateway.all_do("at every gateway", lambda a: a.app == "web", "/", "cert.example", tls=True, cert=alice)
    assert gateway.ask("/", "cert.example", tls=True).status == 400
    assert gateway.ask("/", "cert.example", tls=True, cert=mallory).status == 400
    assert gateway.ask("/", "cert.example").status == 400  # in plain HTTP nobody shows any
    assert gateway.ask("/none", "cert.example", tls=True, cert=mallory).status == 400


def test_a_connection_for_another_name_does_not_count(gateway, ingress, secret, ca, alice):
    """Its certificate was judged by another CA, or by none."""
    secret("client-ca", ca_crt=ca.cert.read_bytes())
    ingress("cert", [rule("cert.example", ("/", "Prefix", "web"))], CA)
    ingress("open", [rule("open.example", ("/", "Prefix", "other"))])
    gateway.becomes("alice is let in", lambda a: a.app == "web", "/", "cert.example", tls=True, cert=alice)
    assert gateway.ask("/", "cert.example", tls=True, cert=alice, sni="open.example").status == 421
    assert gateway.ask("/", "open.example", tls=True).app == "other"


def test_optional(gateway, ingress, secret, ca, alice, mallory):
    secret("client-ca", ca_crt=ca.cert.read_bytes())
    ingress("may", [rule("may.example", ("/", "Prefix", "web"))], {**CA, "auth-tls-verify-client": "optional"})
    ingress("any", [rule("any.example", ("/", "Prefix", "web"))], {**CA, "auth-tls-verify-client": "optional_no_ca", "auth-tls-pass-certificate-to-upstream": "true"})
    assert told(gateway.becomes("none is good", lambda a: a.app == "web", "/", "may.example", tls=True)) == {"verify": "NONE"}
    assert gateway.ask("/", "may.example", tls=True, cert=mallory).status == 400
    assert told(gateway.ask("/", "may.example", tls=True, cert=alice))["verify"] == "SUCCESS"
    answer = told(gateway.becomes("any is", lambda a: a.app == "web", "/", "any.example", tls=True, cert=mallory))
    assert answer["verify"].startswith("FAILED:unable to") and answer["issuer-dn"] == "CN=others"
    assert urllib.parse.unquote(answer["cert"]) == mallory[0].read_text()


def test_who_is_meant(gateway, ingress, secret, ca, alice):
    secret("client-ca", ca_crt=ca.cert.read_bytes())
    ingress("cn", [rule("cn.example", ("/", "Prefix", "web"))], {**CA, "auth-tls-match-cn": "CN=(alice|bob)", "auth-tls-error-page": "https://e.example/no"})
    assert gateway.becomes("alice is", lambda a: a.app == "web", "/", "cn.example", tls=True, cert=alice)
    assert gateway.ask("/", "cn.example", tls=True, cert=ca.issue("eve")).status == 403
    answer = gateway.ask("/", "cn.example", tls=True)
    assert (answer.status, answer.fields["location"]) == (302, "https://e.example/no")


def test_depth_and_revocation(tmp_path, gateway, ingress, secret, ca, alice):
    secret("client-ca", ca_crt=ca.cert.read_bytes())
    ingress("crl", [rule("crl.example", ("/", "Prefix", "web"))], CA)
    gateway.becomes("alice is let in", lambda a: a.app == "web", "/", "crl.example", tls=True, cert=alice)
    (tmp_path / "index").write_text("")
    (tmp_path / "number").write_text("01\n")
    (tmp_path / "cnf").write_text(f"[ca]\ndefault_ca = d\n[d]\ndatabase = {tmp_path}/index\ncrlnumber = {tmp_path}/number\ndefault_md = sha256\ndefault_crl_days = 1\n")
    of_ca = ["-config", tmp_path / "cnf", "-cert", ca.cert, "-keyfile", ca.key]
    for command in (["-revoke", alice[0]], ["-gencrl", "-out", tmp_path / "crl.pem"]):
        subprocess.run(["openssl", "ca", *map(str, of_ca + command)], check=True, capture_output=True)
    secret("client-ca", ca_crt=ca.cert.read_bytes(), ca_crl=(tmp_path / "crl.pem").read_bytes())
    gateway.all_do("alice is revoked", lambda a: a.status == 400, "/", "crl.example", tls=True, cert=alice)
    assert gateway.ask("/", "crl.example", tls=True, cert=ca.issue("carol")).app == "web"


def test_challenges_of_acme(gateway, ingress, secret, ca):
    secret("client-ca", ca_crt=ca.cert.read_bytes())
    ingress("main", [rule("acme.example", ("/", "Prefix", "web"))], CA)
    ingress("solver", [rule("acme.example", ("/.well-known/acme-challenge/t", "Exact", "other"))])
    gateway.becomes("it is asked for", lambda a: a.status == 400, "/", "acme.example", tls=True)
    assert gateway.becomes("challenges are served", lambda a: a.app == "other", "/.well-known/acme-challenge/t", "acme.example")


def test_explain(lab, gateway, ingress, secret, ca):
    secret("client-ca", ca_crt=ca.cert.read_bytes())
    ingress("cert", [rule("cert.example", ("/", "Prefix", "web"))], CA)
    gateway.becomes("it is asked for", lambda a: a.status == 400, "/", "cert.example", tls=True)
    assert "client certificate of default/client-ca, required, depth 1 (else 400)" in lab.fairlead("explain", "GET", "https://cert.example/")
