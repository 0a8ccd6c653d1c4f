"""Answers of a default backend in the place of errors, and where a Service has no endpoints."""
import pytest
import recording_backend as recorder
from gateway import rule
from suite import wait_until

ANNOTATIONS = {"custom-http-errors": "404,503", "default-backend": "pages"}


@pytest.fixture(scope="module")
def backends(lab, gateway):
    lab.apply(*recorder.objects("rec", {"x-from": "rec"}), *recorder.objects("pages", {"x-from": "pages"}))
    lab.wait_ready("app=rec", 1)
    lab.wait_ready("app=pages", 1)


def from_pages(answer):
    return answer.fields.get("x-from") == "pages"


def fields_of(answer):
    return dict(map(tuple, answer.echo["headers"]))


def test_errors_of_endpoints(gateway, ingress, backends):
    ingress("errors", [rule("e.example", ("/", "Prefix", "rec"))], {**ANNOTATIONS, "enable-cors": "true"})
    gateway.becomes("it is served", lambda a: a.status == 200, "/", "e.example")
    gateway.all_do("errors are the default backend's", from_pages, "/status/404", "e.example")
    got = gateway.ask("/status/404?q=1", "e.example", headers={"Accept": "text/x", "X-Code": "999", "Origin": "https://o.example"})
    sent = fields_of(got)
    assert got.status == 200 and got.echo["path"] == "/?q=1" and got.echo["method"] == "GET" and sent["host"] == "e.example"
    assert "access-control-allow-origin" not in got.fields
    want = {"x-code": "404", "x-format": "text/x", "x-original-uri": "/status/404?q=1", "x-namespace": "default", "x-ingress-name": "errors",
            "x-service-name": "rec", "x-service-port": "80"}
    assert {k: sent.get(k) for k in want} == want and len(sent["x-request-id"]) >= 32
    assert "x-fairlead-original-host" not in sent
    assert gateway.ask("/status/500", "e.example").status == 500 and gateway.ask("/status/500", "e.example").fields["x-from"] == "rec"
    assert fields_of(gateway.ask("/status/503", "e.example"))["x-code"] == "503" and gateway.ask("/", "e.example").fields["x-from"] == "rec"


def test_bodies_stay_here(gateway, ingress, backends):
    ingress("bodies", [rule("b.example", ("/", "Prefix", "rec"))], ANNOTATIONS)
    gateway.all_do("errors are the default backend's", from_pages, "/status/404", "b.example")
    for size in (10, 300_000):
        got = gateway.ask("/status/404", "b.example", "POST", body="x" * size)
        assert from_pages(got) and got.echo["method"] == "POST" and got.echo["body"] == ""
    assert gateway.ask("/", "b.example", "POST", body="hello").echo["body"] == "hello"


def test_after_a_rewrite(gateway, ingress, backends):
    ingress("rewritten", [rule("r.example", ("/app/(.*)", "ImplementationSpecific", "rec"))], {**ANNOTATIONS, "rewrite-target": "/status/$1", "upstream-vhost": "in.example"})
    gateway.all_do("errors are the default backend's", from_pages, "/app/404", "r.example")
    sent = fields_of(gateway.ask("/app/404", "r.example"))
    assert (sent["x-original-uri"], sent["host"]) == ("/app/404", "r.example")


def test_services_without_endpoints(lab, gateway, ingress, backends, events):
    lab.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "empty"}, "spec": {"selector": {"app": "nobody"}, "ports": [{"name": "http", "port": 80}]}})
    ingress("empty", [rule("m.example", ("/", "Prefix", "empty")), rule("n.example", ("/", "Prefix", "missing"))], {"default-backend": "pages"})
    for host in ("m.example", "n.example"):
        got = gateway.becomes("the default backend takes it", from_pages, "/x?y=1", host)
        assert got.echo["path"] == "/x?y=1" and "x-code" not in fields_of(got)
    lab.patch("/api/v1/namespaces/default/services/empty", {"spec": {"selector": {"app": "rec"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}})
    gateway.becomes("its own endpoints take it", lambda a: a.fields.get("x-from") == "rec", "/", "m.example")
    lab.fairlead("delete", "services/empty")
    ingress("alone", [rule("o.example", ("/", "Prefix", "rec"))], {"custom-http-errors": "404"})
    wait_until("that there is no default backend is told", lambda: events("alone", "DefaultBackendNotFound"))
    assert gateway.becomes("errors pass", lambda a: a.status == 404 and "x-from" in a.fields, "/status/404", "o.example").fields["x-from"] == "rec"


def test_the_way_there_is_no_way_in(gateway, ingress, backends):
    ingress("errors", [rule("e.example", ("/", "Prefix", "rec"))], ANNOTATIONS)
    gateway.all_do("errors are the default backend's", from_pages, "/status/404", "e.example")
    assert gateway.ask("/secret", "errors-80.pages.default.fairlead.internal").status == 404
