"""Annotations of ingress-nginx: what clients and backends see."""
from gateway import rule
from suite import wait_until


def test_rewrite(gateway, ingress):
    ingress("rewrite", [rule("r.example", ("/r(/|$)(.*)", "ImplementationSpecific", "web"))], {"rewrite-target": "/$2"})
    ingress("exact", [rule("r.example", ("/exact", "Exact", "other"))])
    assert gateway.becomes("it is served", lambda a: a.app == "web", "/r/a/b?q=1", "r.example").echo["path"] == "/a/b"
    assert gateway.ask("/r//a/../b", "r.example").echo["path"] == "/b" and gateway.ask("/r/y/../../else", "r.example").status == 404
    assert gateway.ask("/r", "r.example").echo["path"] == "/" and gateway.ask("/R/x", "r.example").echo["path"] == "/x"
    assert gateway.becomes("all paths of the host are expressions", lambda a: a.app == "other", "/EXACTly", "r.example")
    ingress("plain", [rule("s.example", ("/x", "Prefix", "web"))], {"rewrite-target": "/"})
    assert gateway.becomes("it is served", lambda a: a.app == "web", "/x/y?q=1", "s.example").echo["path"] == "/"


def test_redirects(gateway, ingress):
    ingress("moved", [rule("m.example", ("/", "Prefix", "web"))], {"permanent-redirect": "https://new.example:8443/p?a=b", "permanent-redirect-code": "308"})
    ingress("root", [rule("t.example", ("/", "Prefix", "web"))], {"app-root": "/app"})
    ingress("slash", [rule("u.example", ("/x/", "Prefix", "web"))])
    moved = gateway.becomes("it moves", lambda a: a.status == 308, "/x?y=1", "m.example")
    assert moved.fields["location"] == "https://new.example:8443/p?a=b"
    root = gateway.becomes("it has a root", lambda a: a.status == 302, "/", "t.example")
    assert root.fields["location"] == "http://t.example/app" and gateway.ask("/x", "t.example").app == "web"
    slash = gateway.becomes("the slash is asked for", lambda a: a.status == 301, "/x?q=1", "u.example")
    assert slash.fields["location"] == "http://u.example/x/?q=1" and gateway.ask("/x/y", "u.example").app == "web"


def test_cors(gateway, ingress):
    ingress("cors", [rule("c.example", ("/", "Prefix", "web"))], {"enable-cors": "true", "cors-allow-origin": "https://a.example, https://*.b.example",
                                                                  "cors-max-age": "600", "cors-allow-methods": "GET, PUT"})
    preflight = {"Origin": "https://x.b.example", "Access-Control-Request-Method": "PUT"}
    answer = gateway.becomes("it answers", lambda a: "access-control-allow-origin" in a.fields, "/", "c.example", "OPTIONS", headers=preflight)
    assert answer.fields["access-control-allow-origin"] == "https://x.b.example" and answer.fields["access-control-max-age"] == "600"
    assert answer.fields["access-control-allow-methods"] == "GET, PUT" and answer.fields["access-control-allow-credentials"] == "true"
    assert gateway.ask("/", "c.example", headers={"Origin": "https://a.example"}).fields["access-control-allow-origin"] == "https://a.example"
    assert "access-control-allow-origin" not in gateway.ask("/", "c.example", headers={"Origin": "https://b.example"}).fields


def canary(ingress, host, **annotations):
    ingress("main-" + host[0], [rule(host, ("/", "Prefix", "web"))])
    ingress("canary-" + host[0], [rule(host, ("/", "Prefix", "other"))], {"canary": "true", **{"canary-" + k.replace("_", "-"): v for k, v in annotations.items()}})


def test_canary_by_header_and_cookie(gateway, ingress):
    canary(ingress, "h.example", by_header="X-Canary", by_cookie="canary")
    gateway.becomes("the header chooses", lambda a: a.app == "other", "/", "h.example", headers={"X-Canary": "always"})
    ask = lambda **h: gateway.ask("/", "h.example", headers={k.replace("_", "-"): v for k, v in h.items()}).app  # noqa: E731
    assert ask() == "web" and ask(X_Canary="never", Cookie="canary=always") == "web" and ask(X_Canary="Always") == "web"
    assert ask(Cookie="a=b; canary=always; c=d") == "other" and ask(Cookie="xcanary=always") == "web" and ask(Cookie="canary=never") == "web"
    canary(ingress, "v.example", by_header="X-Canary", by_header_value="blue")
    gateway.becomes("its value chooses", lambda a: a.app == "other", "/", "v.example", headers={"X-Canary": "blue"})
    assert gateway.ask("/", "v.example", headers={"X-Canary": "always"}).app == "web"


def test_canary_by_weight(gateway, ingress):
    canary(ingress, "w.example", weight="30")
    gateway.becomes("some are sent there", lambda a: a.app == "other", "/", "w.example")
    got = [gateway.ask("/", "w.example").app for _ in range(400)]
    assert set(got) == {"web", "other"} and 70 <= got.count("other") <= 170  # 120, sigma 9: five of them and more
    ingress("canary-w", [rule("w.example", ("/", "Prefix", "other"))], {"canary": "true", "canary-weight": "100"})
    wait_until("all are sent there", lambda: all(gateway.ask("/", "w.example").app == "other" for _ in range(20)))


def test_what_protects_closes(gateway, ingress, events):
    ingress("closed", [rule("p.example", ("/closed", "Prefix", "web"))], {"enable-modsecurity": "true"})
    ingress("open", [rule("p.example", ("/open", "Prefix", "web"))])
    gateway.becomes("its neighbour is open", lambda a: a.app == "web", "/open", "p.example")
    assert gateway.becomes("it is closed", lambda a: a.status == 503, "/closed", "p.example")
    assert wait_until("it is told", lambda: events("closed", "AnnotationNotSupported"))


def test_snippets_and_unknown_names(gateway, ingress, events):
    ingress("odd", [rule("o.example", ("/", "Prefix", "web"))], {"configuration-snippet": "return 418;", "no-such-thing": "x", "upstream-hash-by-subset": "true",
                                                                        "proxy-buffering": "on", "enable-opentelemetry": "false"})
    gateway.becomes("it is served", lambda a: a.app == "web", "/", "o.example")
    wait_until("each is told once", lambda: [len(events("odd", r)) for r in ("SnippetRefused", "UnknownAnnotation", "AnnotationNotSupported")] == [1, 1, 1])


def test_a_backend_that_says_nothing(gateway, ingress):
    ingress("mute", [rule("n.example", ("/", "Prefix", "web"))], {"proxy-read-timeout": "1"})
    gateway.becomes("it is served", lambda a: a.app == "web", "/", "n.example")
    assert gateway.ask("/delay/4", "n.example").status == 504
    ingress("patient", [rule("n2.example", ("/", "Prefix", "web"))])
    gateway.becomes("it is served", lambda a: a.app == "web", "/", "n2.example")
    assert gateway.ask("/delay/2", "n2.example").status == 200


def test_grpc_backends_are_spoken_to_in_http2(lab, gateway, ingress):
    ingress("grpc", [rule("g.example", ("/", "Prefix", "web"))], {"backend-protocol": "GRPC"})
    answer = gateway.becomes("it is served", lambda a: a.status in (200, 502), "/x", "g.example")
    assert answer.status == 502 or answer.echo["proto"] == "HTTP/2"
