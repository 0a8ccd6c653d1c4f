"""Ingress through the whole of it: API server, control plane, gateways, pods."""
import json

import pytest
from gateway import rule
from suite import wait_until

ORIGIN = """
apiVersion: networking.k8s.io/v1beta1
kind: Ingress
metadata:
  annotations:
    kubernetes.io/ingress.class: nginx
  namespace: default
  name: test-ingress
spec:
  rules:
  - http:
      paths:
      - path: /folder
        backend:
          serviceName: web
          servicePort: 80
  - http:
      paths:
      - path: /other
        backend:
          serviceName: other
          servicePort: http
"""


def test_the_manifest_of_the_origin(lab, gateway):
    lab.apply(ORIGIN)
    try:
        assert gateway.becomes("it is served", lambda a: a.status == 200, "/folder").app == "web"
        assert gateway.ask("/folder/x?y=1").app == "web" and gateway.ask("/other").app == "other"
        assert gateway.ask("/folderx").status == 404 and gateway.ask("/").status == 404
        stored = lab.get("ingresses/test-ingress")
        assert stored["apiVersion"] == "networking.k8s.io/v1"
        assert stored["spec"]["rules"][0]["http"]["paths"][0] == {
            "path": "/folder", "pathType": "ImplementationSpecific", "backend": {"service": {"name": "web", "port": {"number": 80}}}}
        for path in ("networking.k8s.io/v1beta1", "extensions/v1beta1"):
            status, body = lab.raw(f"/apis/{path}/namespaces/default/ingresses/test-ingress")
            old = json.loads(body)
            assert status == 200 and old["apiVersion"] == path
            assert [r["http"]["paths"][0]["backend"] for r in old["spec"]["rules"]] == [
                {"serviceName": "web", "servicePort": 80}, {"serviceName": "other", "servicePort": "http"}]
        wait_until("it has an address", lambda: lab.get("ingresses/test-ingress").get("status", {}).get("loadBalancer", {}).get("ingress")
                   == [{"ip": gateway.address}])
    finally:
        lab.fairlead("delete", "ingresses/test-ingress")
    gateway.becomes("it has gone", lambda a: a.status == 404, "/folder")


def test_hosts_and_paths(gateway, ingress):
    ingress("paths", [rule("a.example", ("/foo", "Exact", "web"), ("/bar", "Prefix", "web"), ("/bar/deep", "Prefix", "other", "http")),
                      rule("*.w.example", ("/", "Prefix", "other")), rule(None, ("/all", "Prefix", "web"))], class_="fairlead",
            defaultBackend={"service": {"name": "other", "port": {"number": 80}}})
    gateway.becomes("it is served", lambda a: a.app == "web", "/foo", "a.example")
    for path, host, app in (("/bar", "a.example", "web"), ("/bar/", "A.Example", "web"), ("/bar/deep/x", "a.example:8080", "other"), ("/foo", "a.example", "web"),
                            ("/", "x.w.example", "other"), ("/all/x", "unknown.example", "web"), ("/foo/", "a.example", "other")):
        assert gateway.ask(path, host).app == app, (path, host)


def test_a_wildcard_stands_for_one_label(gateway, ingress):
    ingress("wild", [rule("*.one.example", ("/", "Prefix", "web"))], class_="fairlead")
    gateway.becomes("it is served", lambda a: a.app == "web", "/", "a.one.example")
    assert gateway.ask("/", "a.b.one.example").status == 404 and gateway.ask("/", "one.example").status == 404


def test_explain_says_what_the_gateway_does(lab, gateway, ingress):
    """For each request the path that explain takes ends where the gateway's does."""
    ingress("e1", [rule("x1.example", ("/a", "Prefix", "web"), ("/a/b", "Exact", "other"), ("/s/", "Prefix", "other")), rule("*.x2.example", ("/w", "Prefix", "web"))])
    ingress("e2", [rule("x3.example", ("/r/([0-9]+)", "ImplementationSpecific", "web"))], {"rewrite-target": "/n/$1"})
    ingress("e3", [rule("x4.example", ("/", "Prefix", "web"))])
    ingress("e4", [rule("x4.example", ("/", "Prefix", "other"))], {"canary": "true", "canary-by-header": "X-Canary"})
    ingress("e5", class_="fairlead", defaultBackend={"service": {"name": "other", "port": {"number": 80}}})
    gateway.all_do("all are served", lambda a: a.app == "other", "/", "nobody.example")
    gateway.all_do("all are served", lambda a: a.app == "other", "/", "x4.example", headers={"X-Canary": "always"})
    for host, path, headers in (("x1.example", "/a", {}), ("x1.example", "/a/b", {}), ("x1.example", "/a/b/", {}), ("x1.example", "/ab", {}), ("x1.example", "/s", {}),
                                ("x1.example", "/s/../a//b", {}), ("y.x2.example", "/w/1", {}), ("y.x2.example", "/v", {}), ("z.y.x2.example", "/w", {}),
                                ("X3.example", "/R/12/x", {}), ("x3.example", "/r/x", {}), ("x4.example", "/", {"X-Canary": "always"}),
                                ("x4.example", "/", {"X-Canary": "never"}), ("x4.example", "/", {}), ("nobody.example", "/any", {})):
        flags = [f for name, value in headers.items() for f in ("-H", f"{name}: {value}")]
        said = json.loads(lab.fairlead("explain", "GET", f"http://{host}{path}", "-o", "json", *flags))
        answer = gateway.ask(path, host, headers=headers)
        want = {"404": 404, "301": 301}.get(said["action"][:3], 200)
        assert answer.status == want, (host, path, said)
        if want == 200:
            assert f"Service default/{answer.app} " in said["action"] and said["endpoints"], (host, path, said)
        else:
            assert said["steps"][-1]["matches"] is (want == 301), (host, path, said)


def test_classes(lab, gateway, ingress):
    ingress("others", [rule("o.example", ("/", "Prefix", "web"))], class_="someone-else")
    ingress("ours", [rule("p.example", ("/", "Prefix", "web"))])
    gateway.becomes("ours is served", lambda a: a.app == "web", "/", "p.example")
    assert gateway.ask("/", "o.example").status == 404
    assert not lab.get("ingresses/others").get("status", {}).get("loadBalancer")
    lab.apply({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "someone-else"},
               "spec": {"controller": "fairlead.dev/ingress"}})
    gateway.becomes("its class is ours now", lambda a: a.app == "web", "/", "o.example")
    lab.fairlead("delete", "ingressclasses/someone-else")
    gateway.becomes("and no longer", lambda a: a.status == 404, "/", "o.example")


def test_what_is_wrong_is_told_once(lab, gateway, ingress, events):
    ingress("wrong", [rule("e.example", ("/gone", "Prefix", "nothing"), ("/port", "Prefix", "web", 81), ("/good", "Prefix", "web"))])
    gateway.becomes("its good path is served", lambda a: a.app == "web", "/good", "e.example")
    assert gateway.ask("/gone", "e.example").status == 503 and gateway.ask("/port", "e.example").status == 503
    wait_until("both are told", lambda: len(events("wrong", "ServiceNotFound")) == 1 and len(events("wrong", "PortNotFound")) == 1)
    lab.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "nothing"}, "spec": {
        "selector": {"app": "other"}, "ports": [{"port": 80, "targetPort": 8080}]}})
    gateway.becomes("the Service is there", lambda a: a.app == "other", "/gone", "e.example")
    lab.fairlead("delete", "svc/nothing")
    gateway.becomes("and has gone", lambda a: a.status == 503, "/gone", "e.example")
    assert len(events("wrong", "PortNotFound")) == 1


def test_two_of_one_path(gateway, ingress, events):
    ingress("first", [rule("c.example", ("/p", "Prefix", "web"))])
    gateway.becomes("the first is served", lambda a: a.app == "web", "/p", "c.example")
    ingress("zz-second", [rule("c.example", ("/p", "Prefix", "other"), ("/q", "Prefix", "other"))])
    gateway.becomes("the second adds a path", lambda a: a.app == "other", "/q", "c.example")
    told = wait_until("the loser is told", lambda: events("first", "PathConflict") + events("zz-second", "PathConflict"))
    assert len(told) == 1 and "c.example" in told[0] and "/p" in told[0]


HOSTILE = [("rewrite-target", "/\nreturn 200;"), ("permanent-redirect", 'https://x/"; deny all; #'), ("app-root", "/a b"), ("cors-allow-origin", "https://$(id)"),
           ("backend-protocol", "x" * 65536), ("proxy-read-timeout", "9" * 40), ("upstream-vhost", "a\r\nX: y"), ("rewrite-target", "${jndi}")]


@pytest.mark.parametrize("n", range(len(HOSTILE)))
def test_hostile_values(gateway, ingress, events, n):
    name, value = HOSTILE[n]
    ingress(f"hostile-{n}", [rule("h.example", ("/", "Prefix", "web"))], {name: value, "enable-cors": "true"})
    assert gateway.becomes("it is served all the same", lambda a: a.app == "web", "/x", "h.example").echo["path"] == "/x"
    assert name in wait_until("it is told", lambda: events(f"hostile-{n}", "AnnotationInvalid"))[0]


EXPRESSIONS = ["/(", "/(a+)+$(?=x)", "/a{1000000}", "/(?P<n>a)\\1"]


@pytest.mark.parametrize("n", range(len(EXPRESSIONS)))
def test_expressions_that_are_none(gateway, ingress, events, n):
    path = EXPRESSIONS[n]
    ingress(f"regex-{n}", [rule("x.example", (path, "ImplementationSpecific", "web"), ("/fine", "ImplementationSpecific", "web"))], {"use-regex": "true"})
    gateway.becomes("its neighbour is served", lambda a: a.app == "web", "/fine", "x.example")
    assert wait_until("it is told", lambda: events(f"regex-{n}", "PathInvalid"))


def test_what_the_server_refuses(lab):
    def refused(spec, *fields):
        body = json.dumps({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "r"}, "spec": spec})
        status, text = lab.raw("/apis/networking.k8s.io/v1/namespaces/default/ingresses", "POST", body=body, body_type="application/json")
        assert status == 422
        for field in fields:
            assert field in [c["field"] for c in json.loads(text)["details"]["causes"]]
    path = rule("a.example", ("/", "Prefix", "web"))["http"]["paths"][0]
    refused({}, "spec")
    refused({"rules": [{"host": "1.2.3.4", "http": {"paths": [path]}}]}, "spec.rules[0].host")
    refused({"rules": [{"host": "a.*.example", "http": {"paths": [path]}}]}, "spec.rules[0].host")
    refused({"rules": [{"http": {"paths": [path | {"pathType": "Regex"}, path | {"path": "x"}, path | {"path": "/a/../b"}]}}]},
            "spec.rules[0].http.paths[0].pathType", "spec.rules[0].http.paths[1].path", "spec.rules[0].http.paths[2].path")
    refused({"rules": [{"http": {"paths": [path | {"backend": {}}, path | {"backend": {"service": {"name": "a"}}}]}}]},
            "spec.rules[0].http.paths[0].backend", "spec.rules[0].http.paths[1].backend.service.port.number")
    status, text = lab.raw("/apis/networking.k8s.io/v1/ingressclasses/nginx", "PATCH", {"spec": {"controller": "a.example/b"}})
    assert status == 422 and "immutable" in text


def test_the_default_class(lab, gateway, ingress):
    """As the API server's admission: what names no class gets the newest that is marked, when it is created."""
    def class_(name, default, controller="fairlead.dev/ingress"):
        lab.apply({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
                   "metadata": {"name": name, "annotations": {"ingressclass.kubernetes.io/is-default-class": default}}, "spec": {"controller": controller}})
    ingress("before", [rule("before.example", ("/", "Prefix", "web"))], class_=None)
    class_("usual", "true")
    class_("unusual", "false")
    ingress("bare", [rule("bare.example", ("/", "Prefix", "web"))], class_=None)
    ingress("named", [rule("named.example", ("/", "Prefix", "web"))], class_="nginx")
    ingress("annotated", [rule("annotated.example", ("/", "Prefix", "web"))], {"kubernetes.io/ingress.class": "nginx"}, class_=None)
    classes = {name: lab.get(f"ingress/{name}")["spec"].get("ingressClassName") for name in ("before", "bare", "named", "annotated")}
    assert classes == {"before": None, "bare": "usual", "named": "nginx", "annotated": None}
    gateway.becomes("it is served", lambda a: a.app == "web", "/", "bare.example")
    assert gateway.ask("/", "before.example").status == 404
    lab.fairlead("delete", "ingressclasses/usual", "ingressclasses/unusual")


def test_parameters_of_a_class(lab, gateway, ingress, events):
    lab.apply({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "with-parameters"},
               "spec": {"controller": "fairlead.dev/ingress", "parameters": {"apiGroup": "k8s.example.com", "kind": "Settings", "name": "external"}}})
    ingress("parameters", [rule("parameters.example", ("/", "Prefix", "web"))], class_="with-parameters")
    gateway.becomes("it is served", lambda a: a.app == "web", "/", "parameters.example")
    assert "Settings external" in wait_until("it is told", lambda: events("with-parameters", "ParametersNotUsed"))[0]
    lab.fairlead("delete", "ingressclasses/with-parameters")
