"""Annotations of ingress-nginx that protect: who is let through, and what those who are not are told."""
import base64
import hashlib
import json
import socket

import pytest
from gateway import rule
from suite import SLOW, wait_until


def paths(*names):
    return [rule("p.example", *[("/" + n, "Prefix", "web") for n in names])]


def client_address(answer):
    return dict(answer.echo["headers"])["x-forwarded-for"]


def test_source_ranges(gateway, ingress, events):
    """The client's address is the one of the connection: what it says itself is not believed."""
    ingress("open", paths("open"))
    gateway.becomes("it is open", lambda a: a.app == "web", "/open", "p.example")
    here = sorted({client_address(gateway.ask("/open", "p.example")) for _ in range(24)})  # as gateways see it
    ingress("mine", paths("mine"), {"whitelist-source-range": ", ".join(["192.0.2.0/24", *here])})
    ingress("others", paths("others"), {"allowlist-source-range": "192.0.2.0/24"})
    ingress("denied", paths("denied"), {"denylist-source-range": ",".join(f"{a}/32" for a in here)})
    ingress("odd", paths("odd"), {"whitelist-source-range": "10.0.0.0/8;"})
    assert gateway.becomes("its own range is let in", lambda a: a.app == "web", "/mine", "p.example")
    spoof = {"X-Forwarded-For": "192.0.2.7", "X-Real-IP": "192.0.2.7"}
    assert gateway.becomes("others are not", lambda a: a.status == 403, "/others", "p.example", headers=spoof)
    assert gateway.becomes("what is denied is not", lambda a: a.status == 403, "/denied", "p.example")
    assert gateway.becomes("what is no range closes", lambda a: a.status == 503, "/odd", "p.example")
    wait_until("it is told", lambda: "503" in (events("odd", "AnnotationInvalid") or [""])[0])
    ingress("others", paths("others"), {"allowlist-source-range": "0.0.0.0/0"})
    assert gateway.becomes("a change counts", lambda a: a.app == "web", "/others", "p.example")


def test_body_sizes(gateway, ingress):
    ingress("usual", paths("usual"))
    ingress("small", paths("small"), {"proxy-body-size": "1k"})
    ingress("any", paths("any"), {"proxy-body-size": "0"})
    send = lambda path, n, **h: gateway.ask(path, "p.example", "POST", body=b"x" * n, headers=h)  # noqa: E731
    assert gateway.becomes("1k is taken", lambda a: a.app == "web", "/small", "p.example", "POST", body=b"x" * 1024)
    assert gateway.becomes("more is not", lambda a: a.status == 413, "/small", "p.example", "POST", body=b"x" * 1025)
    assert gateway.becomes("1m is taken", lambda a: a.app == "web", "/usual", "p.example", "POST", body=b"x" * (1 << 20))
    assert send("/usual", (1 << 20) + 1).status == 413
    assert gateway.becomes("anything is", lambda a: a.app == "web", "/any", "p.example", "POST", body=b"x" * (3 << 20))
    with socket.create_connection((gateway.address, 80), 5 * SLOW) as s:  # of unknown length
        s.sendall(b"POST /small HTTP/1.1\r\nHost: p.example\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" + b"x" * 1024 + b"\r\n")
        s.sendall(b"1\r\nx\r\n")
        assert s.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_explain_names_what_protects(lab, gateway, ingress):
    ingress("told", paths("told"), {"whitelist-source-range": "192.0.2.0/24"})
    gateway.becomes("it is closed to us", lambda a: a.status == 403, "/told", "p.example")
    text = lab.fairlead("explain", "GET", "http://p.example/told")
    assert "from 192.0.2.0/24 alone (else 403)" in text and "bodies up to 1048576 bytes (else 413)" in text
    assert json.loads(lab.fairlead("explain", "GET", "http://p.example/told", "-o", "json"))


def test_ways_around_a_path(gateway, ingress, secret):
    """However a path is written, what stands before /safe is asked, or nothing is."""
    secret("users", auth=BCRYPT)
    ingress("free", [rule("w.example", ("/", "Prefix", "web"))])
    ingress("safe", [rule("w.example", ("/safe", "Prefix", "web"))], BASIC)
    gateway.becomes("it is safe", lambda a: a.status == 401, "/safe", "w.example")
    assert gateway.becomes("the rest is free", lambda a: a.app == "web", "/", "w.example")
    for path in ("//safe", "/./safe", "/x/../safe", "/%73afe", "/safe/", "/safe?x", "/%2e%2e/safe", "/x/%2E./safe", "/safe//x", "/x//../../safe", "/\\safe", "//safe/../safe"):
        assert gateway.ask(path, "w.example").status == 401, path
    for path in ("/safe%2Fx", "/%2Fsafe", "/x%2F..%2Fsafe", "/x%5c..%5Csafe", "/x/..%2fsafe"):
        assert gateway.ask(path, "w.example").status == 400, path
    for host in ("W.EXAMPLE", "w.example:80", "w.example:443"):
        assert gateway.ask("/safe", host).status == 401, host
    assert gateway.ask("http://w.example/safe", "free.example").status == 401
    assert gateway.ask("/safe", "w.example.").app is None
    assert gateway.ask("/x/a%2Fb", "w.example").echo["path"] == "/x/a%2Fb", "it is nobody's way in"


# ---- names and passwords ----

BCRYPT = "ann:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"  # secret
BASIC = {"auth-type": "basic", "auth-secret": "users"}


def login(name, password="secret"):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@pytest.fixture
def secret(lab):
    made = []

    def apply(name, **data):
        lab.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque",
                   "data": {k: base64.b64encode(v.encode()).decode() for k, v in data.items()}})
        made.append(name)

    yield apply
    for name in set(made):
        lab.fairlead("delete", f"secrets/{name}", "--ignore-not-found")


def test_basic_auth(lab, gateway, ingress, secret, events):
    """A Secret that comes, changes and goes counts at once; without it nobody is let in."""
    ingress("basic", paths("basic"), {**BASIC, "auth-realm": "a place"})
    assert gateway.becomes("there is no Secret yet", lambda a: a.status == 503, "/basic", "p.example", headers=login("ann"))
    wait_until("it is told", lambda: events("basic", "AuthNotUsable"))
    secret("users", auth=BCRYPT + "\nbad:$2y$14$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n")
    answer = gateway.becomes("the Secret counts", lambda a: a.app == "web", "/basic", "p.example", headers=login("ann"))
    assert "authorization" not in dict(answer.echo["headers"])
    refused = gateway.ask("/basic", "p.example", headers=login("ann", "wrong"))
    assert (refused.status, refused.fields["www-authenticate"]) == (401, 'Basic realm="a place"')
    assert "key auth, line 2: its bcrypt cost is above 12" in wait_until("its bad line is told", lambda: events("users", "AuthInvalid"))[0]
    secret("users", auth="ann:{SHA}" + base64.b64encode(hashlib.sha1(b"changed").digest()).decode())
    gateway.all_do("the new password counts", lambda a: a.app == "web", "/basic", "p.example", headers=login("ann", "changed"))
    gateway.all_do("the old one does not", lambda a: a.status == 401, "/basic", "p.example", headers=login("ann"))
    lab.fairlead("delete", "secrets/users")
    gateway.all_do("nobody is let in", lambda a: a.status == 503, "/basic", "p.example", headers=login("ann", "changed"))


def test_names_as_keys_of_a_secret(gateway, ingress, secret):
    secret("map", ann=BCRYPT.partition(":")[2], joe="{PLAIN}pw")
    ingress("map", paths("map"), {**BASIC, "auth-secret": "default/map", "auth-secret-type": "auth-map"})
    assert gateway.becomes("ann is let in", lambda a: a.app == "web", "/map", "p.example", headers=login("ann"))
    assert gateway.ask("/map", "p.example", headers=login("joe", "pw")).app == "web"
    assert gateway.ask("/map", "p.example", headers=login("joe")).status == 401


def test_nobody_fills_the_table_of_all(lab, gateway, ingress, secret):
    """What protects stands in each path's route: a Secret times paths is more than a proxy takes in one piece. Whoever has so much of it is closed; others go on."""
    users = "".join(f"u{i:06}:{{SHA}}5en6G6MezRroT3XKqkdPOmY/BfQ=\n" for i in range(4000))
    secret("big", auth=users)
    ingress("big", [rule("big.example", *[(f"/p{i}", "Prefix", "web") for i in range(500)])], {**BASIC, "auth-secret": "big"})
    for n in range(7):  # each alone would do
        ingress(f"big-{n}", [rule(f"big-{n}.example", *[(f"/p{i}", "Prefix", "web") for i in range(40)])], {**BASIC, "auth-secret": "big"})
    ingress("small", [rule("small.example", ("/", "Prefix", "web"))], {**BASIC, "auth-secret": "big"})
    gateway.becomes("it is closed", lambda a: a.status == 503, "/p1", "big.example", headers=login("u000001"))
    ingress("after", [rule("after.example", ("/", "Prefix", "web"))])
    gateway.becomes("others are served", lambda a: a.app == "web", "/", "after.example")
    gateway.becomes("so is who has little of it", lambda a: a.app == "web", "/", "small.example", headers=login("u000001"))
    answers = {n: gateway.ask("/p1", f"big-{n}.example", headers=login("u000001")).status for n in range(7)}
    assert sorted(set(answers.values())) == [200, 503], answers


def test_digest_and_foreign_secrets_close(gateway, ingress, events, secret):
    secret("users", auth=BCRYPT)
    ingress("digest", paths("digest"), {**BASIC, "auth-type": "digest"})
    ingress("foreign", paths("foreign"), {**BASIC, "auth-secret": "kube-system/users"})
    assert gateway.becomes("digest is closed", lambda a: a.status == 503, "/digest", "p.example", headers=login("ann"))
    assert gateway.becomes("the other is closed", lambda a: a.status == 503, "/foreign", "p.example", headers=login("ann"))
    wait_until("each is told once", lambda: [len(events(n, "AnnotationInvalid")) for n in ("digest", "foreign")] == [1, 1])


def test_hashes_are_nobodys_to_see(lab, gateway, ingress, secret):
    secret("users", auth=BCRYPT)
    ingress("hidden", paths("hidden"), BASIC)
    gateway.becomes("it is served", lambda a: a.app == "web", "/hidden", "p.example", headers=login("ann"))
    dump = lab.view("/debug/config_dump")[1]
    assert "v1.Access" in dump and "[redacted]" in dump and "$2y$" not in dump


# ---- another server ----

def test_external_auth(gateway, ingress, events):
    """The Service `other` answers /status/CODE with that code."""
    url = "http://other.default.svc.cluster.local"
    ingress("ext", paths("ext"), {"auth-url": f"{url}/status/204", "auth-response-headers": "X-User"})
    ingress("no", paths("no"), {"auth-url": f"{url}/status/401"})
    ingress("in", paths("in"), {"auth-url": f"{url}/status/401", "auth-signin": "https://login.example/start"})
    ingress("odd", paths("odd"), {"auth-url": f"{url}/status/404"})
    ingress("gone", paths("gone"), {"auth-url": "http://gone.default.svc.cluster.local/"})
    ingress("dns", paths("dns"), {"auth-url": "https://nowhere.invalid/"})
    answer = gateway.becomes("it is let through", lambda a: a.app == "web", "/ext?a=b", "p.example", headers={"X-User": "forged"})
    assert "x-user" not in dict(answer.echo["headers"])
    assert gateway.becomes("it is refused", lambda a: a.status == 401, "/no", "p.example")
    sign_in = gateway.becomes("it is sent to sign in", lambda a: a.status == 302, "/in?a=b", "p.example")
    assert sign_in.fields["location"] == "https://login.example/start?rd=http://p.example%2Fin%3Fa%3Db"
    for path in ("/odd", "/gone", "/dns"):
        assert gateway.becomes("what says nothing of use is a failure", lambda a: a.status == 500, path, "p.example")
    wait_until("a Service that is not there is told", lambda: events("gone", "ServiceNotFound"))


def test_the_host_itself_is_asked(gateway, ingress):
    """As oauth2-proxy's documents say: the path of another Ingress of the host."""
    own = {"auth-url": "https://$host/status/401", "auth-signin": "https://$host/oauth2/start?rd=$escaped_request_uri"}
    ingress("app", [rule("own.example", ("/", "Prefix", "web"))], own)
    ingress("auth", [rule("own.example", ("/status", "Prefix", "other"), ("/oauth2", "Prefix", "other"))])
    answer = gateway.becomes("it is sent to sign in", lambda a: a.status == 302, "/a?b=c", "own.example")
    assert answer.fields["location"] == "https://own.example/oauth2/start?rd=%2Fa%3Fb%3Dc"
    gateway.becomes("the other Ingress is there", lambda a: a.app == "other", "/oauth2/start", "own.example")
    ingress("app", [rule("own.example", ("/", "Prefix", "web"))], {**own, "auth-url": "https://$host/status/200"})
    assert gateway.becomes("it is let through", lambda a: a.app == "web", "/a", "own.example")


def test_fields_for_the_other_server(lab, gateway, ingress):
    url = {"auth-url": "http://other.default.svc.cluster.local/status/200", "auth-proxy-set-headers": "default/fields"}
    ingress("set", paths("set"), url)
    assert gateway.becomes("they are not known yet", lambda a: a.status == 503, "/set", "p.example")
    lab.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fields"}, "data": {"X-Team": "a"}})
    assert gateway.becomes("they are known", lambda a: a.app == "web", "/set", "p.example")


def test_any_is_enough(gateway, ingress, secret):
    secret("users", auth=BCRYPT)
    ingress("any", paths("any"), {**BASIC, "satisfy": "any", "whitelist-source-range": "0.0.0.0/0,::/0"})
    ingress("none", paths("none"), {**BASIC, "satisfy": "any", "whitelist-source-range": "192.0.2.0/24"})
    assert gateway.becomes("the address is enough", lambda a: a.app == "web", "/any", "p.example")
    assert gateway.becomes("the password is", lambda a: a.app == "web", "/none", "p.example", headers=login("ann"))
    assert gateway.ask("/none", "p.example").status == 401


# ---- limits ----

def test_limits_of_a_client(gateway, ingress, events):
    """Each gateway counts by itself, each Ingress for itself; a change of another Ingress forgets nothing."""
    ingress("few", paths("few", "few2"), {"limit-rpm": "1", "limit-burst-multiplier": "3"})
    ingress("free", paths("free"), {"limit-rpm": "1", "limit-whitelist": "0.0.0.0/0,::/0"})
    ingress("odd", paths("odd"), {"limit-rps": "1.5"})
    gateway.becomes("it is exempt", lambda a: a.app == "web", "/free", "p.example")
    gateway.becomes("it is limited", lambda a: a.status == 503, "/few", "p.example")
    wait_until("at every gateway", lambda: all(gateway.ask("/few2", "p.example").status == 503 for _ in range(24)))
    ingress("another", paths("another"))
    gateway.all_do("another is served", lambda a: a.app == "web", "/another", "p.example")
    assert all(gateway.ask("/few", "p.example").status == 503 for _ in range(24))
    assert all(gateway.ask("/free", "p.example").app == "web" for _ in range(24))
    gateway.becomes("what is no number closes", lambda a: a.status == 503, "/odd", "p.example")
    wait_until("it is told", lambda: events("odd", "AnnotationInvalid"))


def test_requests_at_a_time(gateway, ingress):
    ingress("two", paths("two"), {"limit-connections": "2", "rewrite-target": "/delay/2"})
    ingress("seen", [rule("seen.example", ("/", "Prefix", "web"))])
    gateway.becomes("it is served", lambda a: a.app == "web", "/", "seen.example")
    gateway.becomes("it is served", lambda a: a.app == "web", "/two", "p.example")
    clients = [socket.create_connection((gateway.address, 80), 20 * SLOW) for _ in range(12)]
    for c in clients:
        c.sendall(b"GET /two HTTP/1.1\r\nHost: p.example\r\nConnection: close\r\n\r\n")
    got = [c.recv(12)[9:12] for c in clients]
    for c in clients:
        c.close()
    assert set(got) == {b"200", b"503"} and 2 <= got.count(b"200") <= 4  # two gateways


def test_refusals_are_answered_by_the_default_backend(gateway, ingress, secret):
    """As the errors of a backend are; and what counts requests under way forgets none of them."""
    secret("users", auth=BCRYPT)
    errors = {"custom-http-errors": "401,403,404,413", "default-backend": "other"}
    ingress("asks", paths("asks"), {**BASIC, **errors, "proxy-body-size": "1k", "limit-connections": "1"})
    ingress("far", paths("far"), {**errors, "whitelist-source-range": "192.0.2.0/24"})
    gateway.becomes("it is served", lambda a: a.app == "web", "/asks", "p.example", headers=login("ann"))
    for _ in range(8):
        assert gateway.ask("/asks", "p.example").app == "other"
        assert gateway.ask("/asks/status/404", "p.example", headers=login("ann")).app in ("web", "other")
    assert gateway.ask("/asks", "p.example", headers=login("ann")).app == "web"
    assert gateway.ask("/asks", "p.example", "POST", body=b"x" * 2000, headers=login("ann")).app == "other"
    assert gateway.becomes("it is far", lambda a: a.app == "other", "/far", "p.example")
