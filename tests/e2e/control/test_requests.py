"""Annotations of ingress-nginx that say what becomes of a request on its way: copies, further tries, fields, other names of a host."""
import pytest
import recording_backend as recorder
from gateway import rule
from suite import wait_until


@pytest.fixture(scope="module")
def rec(lab, gateway):
    """What was asked of the recording backend with that path."""
    lab.apply(*recorder.objects("rec"), {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "rec"},
                                         "spec": {"ingressClassName": "nginx", "rules": [rule("rec.example", ("/_asked", "Exact", "rec"))]}})
    lab.wait_ready("app=rec", 1)
    gateway.all_do("the record can be read", lambda a: a.status == 200, "/_asked", "rec.example")
    return lambda path: [r for r in gateway.ask("/_asked", "rec.example").echo if r["path"] == path]


def test_copies(gateway, ingress, rec):
    ingress("copy", [rule("m.example", ("/", "Prefix", "web"))], {"mirror-target": "http://rec.default.svc.cluster.local$request_uri"})
    ingress("copy-as", [rule("n.example", ("/", "Prefix", "web"))], {"mirror-target": "http://rec.default.svc.cluster.local", "mirror-host": "other.example"})
    for host, name in (("m.example", "rec.default.svc.cluster.local"), ("n.example", "other.example")):
        gateway.becomes("it is served", lambda a: a.app == "web", "/", host)

        def copied():
            assert gateway.ask("/p?q=" + host, host, "POST", body="hello").app == "web"
            return rec("/p?q=" + host)
        copy = wait_until("copies come", copied)[0]
        assert copy["method"] == "POST" and copy["body"] == "hello" and recorder.header(copy, "host") == name


def test_tries(gateway, ingress, rec):
    ingress("usual", [rule("u.example", ("/", "Prefix", "rec"))])
    ingress("once", [rule("o.example", ("/", "Prefix", "rec"))], {"proxy-next-upstream": "off"})
    ingress("more", [rule("t.example", ("/", "Prefix", "rec"))], {"proxy-next-upstream": "error http_500 non_idempotent", "proxy-next-upstream-tries": "2"})
    for host in ("u.example", "o.example", "t.example"):
        gateway.becomes("it is served", lambda a: a.status == 200, "/", host)

    def ask(path, host, want, tries, method="GET"):
        assert gateway.ask(path, host, method).status == want
        assert len(rec(path)) == tries

    ask("/cut/a", "u.example", 502, 3)
    ask("/cut/b", "u.example", 502, 3, "PUT")
    ask("/cut/c", "u.example", 502, 1, "POST")
    ask("/cut-once/d", "u.example", 200, 2)
    ask("/status/500", "u.example", 500, 1)
    ask("/cut/e", "o.example", 502, 1)
    ask("/cut/f", "t.example", 502, 2, "POST")
    ask("/status/500?x", "t.example", 500, 2)
    ask("/status/502", "t.example", 502, 1)


def test_fields(gateway, ingress, rec):
    ingress("prefix", [rule("p.example", ("/app/(.*)", "ImplementationSpecific", "rec"))],
            {"rewrite-target": "/$1", "x-forwarded-prefix": "/100%app", "upstream-vhost": "in.example", "service-upstream": "true"})
    got = gateway.becomes("it is served", lambda a: a.status == 200, "/app/x", "p.example", headers={"X-Forwarded-Prefix": "/liar"}).echo
    assert got["path"] == "/x" and recorder.header(got, "x-forwarded-prefix") == "/100%app" and recorder.header(got, "host") == "in.example"
    ingress("bare", [rule("b.example", ("/", "Prefix", "rec"))], {"x-forwarded-prefix": "/app"})
    got = gateway.becomes("it is served", lambda a: a.status == 200, "/", "b.example", headers={"X-Forwarded-Prefix": "/client"}).echo
    assert recorder.header(got, "x-forwarded-prefix") == "/client"


def test_other_names(gateway, ingress, events, lab):
    ingress("named", [rule("a.example", ("/", "Prefix", "web"))], {"server-alias": "a2.example, *.a3.example, taken.example", "from-to-www-redirect": "true"},
            tls=[{"hosts": ["a.example"], "secretName": "none"}])
    ingress("more-of-a", [rule("a.example", ("/other", "Prefix", "other"))])
    ingress("taken", [rule("taken.example", ("/", "Prefix", "other"))])
    gateway.becomes("it has another name", lambda a: a.app == "web", "/", "a2.example")
    assert gateway.becomes("with all paths", lambda a: a.app == "other", "/other/x", "b.a3.example").status == 200
    assert gateway.ask("/", "a.example").status == 308 and gateway.ask("/", "b.c.a3.example").status == 404
    assert gateway.becomes("its owner has it", lambda a: a.app, "/", "taken.example").app == "other"
    wait_until("that is told", lambda: events("named", "AliasUnused"))
    moved = gateway.ask("/x?y=1", "www.a.example")
    assert moved.status == 308 and moved.fields["location"] == "http://a.example/x?y=1"
    assert gateway.ask("/", "www.a.example", tls=True).fields["location"] == "https://a.example/"
    assert "Ingress default/more-of-a" in lab.fairlead("explain", "GET", "http://a2.example/other")
    ingress("named", [rule("a.example", ("/", "Prefix", "web"))])
    gateway.becomes("the name has gone", lambda a: a.status == 404, "/", "a2.example")
    gateway.becomes("the other one too", lambda a: a.status == 404, "/", "www.a.example")
