"""Certificates of Ingresses: by SNI, from Secrets that come, change, break and go."""
import base64
import subprocess
import sys

import pytest
from gateway import rule
from suite import ROOT, wait_until

sys.path.insert(0, str(ROOT / "tests/e2e/proxy"))
from certificates import Authority  # noqa: E402


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def put_secret(lab, name, cert, key):
    data = {"tls.crt": cert if isinstance(cert, bytes) else cert.read_bytes(), "tls.key": key if isinstance(key, bytes) else key.read_bytes()}
    lab.apply({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": name},
               "data": {k: base64.b64encode(v).decode() for k, v in data.items()}})


def subject(answer):
    return subprocess.run(["openssl", "x509", "-inform", "der", "-noout", "-subject"], input=answer.certificate, capture_output=True).stdout.decode().strip()


def served_with(gateway, host, name):
    return gateway.becomes(f"{host} is served with {name}", lambda a: subject(a).endswith(name), "/", host, tls=True)


def test_a_certificate_comes_changes_breaks_and_goes(lab, gateway, ingress, authority, events):
    ingress("site", [rule("s.example", ("/", "Prefix", "web"))], tls=[{"hosts": ["s.example"], "secretName": "site"}])
    assert served_with(gateway, "s.example", "default certificate").app == "web"
    wait_until("it is told", lambda: events("site", "SecretNotFound"))
    put_secret(lab, "site", *authority.issue("one", "DNS:s.example"))
    assert served_with(gateway, "s.example", "CN = one").app == "web"
    assert subject(gateway.ask("/", "else.example", tls=True)).endswith("default certificate")
    put_secret(lab, "site", *authority.issue("two", "DNS:s.example"))
    served_with(gateway, "s.example", "CN = two")
    put_secret(lab, "site", authority.issue("three", "DNS:s.example")[0], authority.issue("four", "DNS:s.example")[1])
    wait_until("the key that does not fit is told", lambda: events("site", "CertificateInvalid"))
    put_secret(lab, "site", b"nothing", b"nothing")
    assert subject(gateway.ask("/", "s.example", tls=True)).endswith("CN = two")
    lab.fairlead("delete", "secret/site")
    served_with(gateway, "s.example", "default certificate")


def test_plain_requests_are_sent_to_https(gateway, ingress):
    ingress("redirect", [rule("r.example", ("/", "Prefix", "web"), ("/.well-known/acme-challenge/x", "Exact", "other"))],
            tls=[{"hosts": ["r.example"], "secretName": "none"}])
    ingress("plain", [rule("q.example", ("/", "Prefix", "web"))], {"ssl-redirect": "false"}, tls=[{"hosts": ["q.example"], "secretName": "none"}])
    ingress("forced", [rule("f.example", ("/", "Prefix", "web"))], {"force-ssl-redirect": "true"})
    answer = gateway.becomes("it redirects", lambda a: a.status == 308, "/x?y=1", "r.example")
    assert answer.fields["location"] == "https://r.example/x?y=1"
    assert gateway.ask("/.well-known/acme-challenge/x", "r.example").app == "other"
    assert gateway.becomes("plain is served", lambda a: a.app == "web", "/", "q.example")
    assert gateway.becomes("forced redirects", lambda a: a.status == 308, "/", "f.example")
    assert gateway.ask("/", "f.example", tls=True).app == "web"


def test_host_decides_not_sni(gateway, ingress, lab, authority):
    put_secret(lab, "a", *authority.issue("a", "DNS:a1.example"))
    ingress("a", [rule("a1.example", ("/", "Prefix", "web"))], tls=[{"hosts": ["a1.example"], "secretName": "a"}])
    ingress("b", [rule("b1.example", ("/", "Prefix", "other"))], {"ssl-redirect": "false"})
    served_with(gateway, "a1.example", "CN = a")
    assert gateway.becomes("b is served", lambda a: a.app == "other", "/", "b1.example")
    assert gateway.ask("/", "a1.example", tls=True, headers={"Host": "b1.example"}).app == "other"


TLS_BACKEND = """
import socket, ssl, sys, tempfile
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
with tempfile.NamedTemporaryFile() as pem:
    pem.write(sys.argv[1].encode())
    pem.flush()
    context.load_cert_chain(pem.name)
with socket.create_server(("0.0.0.0", 8443), backlog=64) as server:
    while True:
        conn, _ = server.accept()
        try:
            with context.wrap_socket(conn, server_side=True) as tls:
                if tls.recv(65536):
                    tls.sendall(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: 12\\r\\n\\r\\nall the way\\n")
        except OSError:
            pass
"""


def test_tls_passed_through(lab, gateway, ingress, authority, events):
    cert, key = authority.issue("inner", "DNS:p.example")
    container = {"name": "tls", "image": "busybox", "command": [sys.executable, "-c", TLS_BACKEND, cert.read_text() + key.read_text()],
                 "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1}}
    lab.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "inner"},
               "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "inner"}},
                        "template": {"metadata": {"labels": {"app": "inner"}}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]}}}},
              {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "inner"},
               "spec": {"selector": {"app": "inner"}, "ports": [{"name": "tls", "port": 80, "targetPort": 8443}]}})
    lab.wait_ready("app=inner", 1)
    ingress("passed", [rule("p.example", ("/", "Prefix", "inner"))], {"ssl-passthrough": "true"})
    answer = served_with(gateway, "p.example", "CN = inner")
    assert answer.body == "all the way\n" and subject(gateway.ask("/", "else.example", tls=True)).endswith("default certificate")
    assert "still encrypted" in lab.fairlead("explain", "GET", "https://p.example/x")
    ingress("rootless", [rule("q.example", ("/x", "Prefix", "web"))], {"ssl-passthrough": "true"})
    wait_until("that there is no path / is told", lambda: events("rootless", "AnnotationInvalid"))
    ingress("passed", [rule("p.example", ("/", "Prefix", "web"))])
    assert served_with(gateway, "p.example", "default certificate").app == "web"
    lab.fairlead("delete", "deployments/inner", "services/inner")
