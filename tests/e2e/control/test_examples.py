"""examples/ingress: each file applied as it is, and asked what its first lines say."""
import base64
import subprocess

import pytest

from gateway import Gateway
from suite import ROOT, wait_until

EXAMPLES = ROOT / "examples/ingress"


@pytest.fixture(scope="module")
def shop(lab):
    lab.fairlead("apply", "-f", EXAMPLES / "apps.yaml")
    for name in ("web", "next"):
        lab.wait_ready(f"app={name}", 2)
    return Gateway(lab)


@pytest.fixture
def example(lab, shop):
    applied = []

    def apply(name):
        applied.append(EXAMPLES / name)
        lab.fairlead("apply", "-f", EXAMPLES / name)
        return shop

    yield apply
    for file in applied:
        lab.fairlead("delete", "-f", file)


def app(name):
    return lambda a: a.app == name


def test_all_files_are_asked():
    asked = open(__file__).read()
    assert [f.name for f in EXAMPLES.glob("*.yaml") if f.name not in asked] == []
    table = (EXAMPLES / "README.md").read_text()
    assert [f.name for f in EXAMPLES.iterdir() if f.name != "README.md" and f"`{f.name}" not in table] == []


def test_hosts_and_paths(example):
    g = example("hosts-and-paths.yaml")
    g.all_do("the exact path", app("web"), "/cart", "shop.example")
    g.all_do("all else", app("next"), "/cart/x", "shop.example")
    g.all_do("one label", app("web"), "/", "any.team.example")
    assert g.ask("/", "team.example").status == g.ask("/", "a.any.team.example").status == 404


def test_https(example, lab, tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=safe.example", "-addext",
                    "subjectAltName=DNS:safe.example", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"], check=True, capture_output=True)
    lab.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "safe-example"}, "type": "kubernetes.io/tls", "data": {
        f"tls.{k}": base64.b64encode((tmp_path / f"{f}.pem").read_bytes()).decode() for k, f in (("crt", "cert"), ("key", "key"))}})
    g = example("https.yaml")
    g.all_do("over TLS", lambda a: a.app == "web" and b"safe.example" in a.certificate, "/", "safe.example", tls=True)
    answer = g.ask("/x?y=1", "safe.example")
    assert (answer.status, answer.fields["location"]) == (308, "https://safe.example/x?y=1")
    lab.fairlead("delete", "secrets/safe-example")


def test_canary(example):
    g = example("canary.yaml")
    g.all_do("by header", app("next"), "/", "canary.example", headers={"X-Next": "always"})
    g.all_do("by cookie", app("next"), "/", "canary.example", headers={"Cookie": "next=always"})
    g.all_do("not by header", app("web"), "/", "canary.example", headers={"X-Next": "never"})
    seen = [g.ask("/", "canary.example").app for _ in range(200)]
    assert 10 < seen.count("next") < 80 and seen.count("web") + seen.count("next") == 200


def test_passwords(example):
    g = example("passwords.yaml")
    g.all_do("without", lambda a: a.status == 401 and a.fields["www-authenticate"] == 'Basic realm="members"', "/", "members.example")
    g.all_do("with", app("web"), "/", "members.example", headers={"Authorization": "Basic " + base64.b64encode(b"ann:secret").decode()})
    assert g.ask("/", "members.example", headers={"Authorization": "Basic " + base64.b64encode(b"ann:Secret").decode()}).status == 401


def test_limits(example):
    g = example("limits.yaml")
    wait_until("it is served, and limited", lambda: {g.ask("/", "limited.example").status for _ in range(20)} == {200, 503})
    wait_until("it is served again", lambda: g.ask("/", "limited.example").status == 200)
    g.becomes("a large body", lambda a: a.status == 413, "/", "limited.example", method="POST", body="x" * 2000)


def test_sticky(example):
    g = example("sticky.yaml")
    first = g.becomes("the cookie is set", lambda a: a.app == "web" and "set-cookie" in a.fields, "/", "sticky.example")
    cookie = first.fields["set-cookie"].split(";")[0]
    assert cookie.startswith("pod=")
    assert {g.ask("/", "sticky.example", headers={"Cookie": cookie}).echo["name"] for _ in range(20)} == {first.echo["name"]}


def test_rewrite(example):
    g = example("rewrite.yaml")
    g.all_do("the path is another", lambda a: a.status == 200 and a.body.startswith("web"), "/api/name", "rewrite.example")


def test_error_page(example):
    g = example("error-page.yaml")
    g.all_do("what is there", app("web"), "/", "pages.example")
    g.all_do("what is not", app("next"), "/status/404", "pages.example")


def test_slow_downloads(example):
    g = example("slow-downloads.yaml")
    g.all_do("what is small goes at once", app("web"), "/", "downloads.example")


def test_auth_server(example):
    g = example("auth-server.yaml")
    g.all_do("it lets in", app("web"), "/", "asked.example", headers={"Authorization": "Bearer a"})
    g.all_do("or does not", lambda a: a.status == 302 and a.fields["location"].startswith("https://login.example/start?rd="), "/no", "asked.example")
