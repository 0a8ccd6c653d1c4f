"""/debug/snapshot: the model as it is, what is refused and why, and nothing that is secret."""
import base64
import json

from gateway import rule
from suite import wait_until

PASSWORD = "$apr1$abcdefgh$C1Cq1Og3ZDc7QbCCdrMpC/"
KEY = "a key that nobody is to see"


def page(lab):
    status, text = lab.view("/debug/snapshot")
    return json.loads(text) if status == 200 else {"hosts": [], "refused": []}


def host(lab, name):
    return next((h for h in page(lab)["hosts"] if h["name"] == name), None)


def secret(name, kind, **data):
    return {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": {"name": name},
            "data": {k.replace("_", "."): base64.b64encode(v.encode()).decode() for k, v in data.items()}}


def test_hosts_and_their_routes(lab, gateway, ingress):
    ingress("shown", [rule("shown.example", ("/a", "Prefix", "web"), ("/b", "Exact", "other"))], {"whitelist-source-range": "10.0.0.0/8"},
            tls=[{"hosts": ["shown.example"], "secretName": "shown"}])
    got = wait_until("it is in the model", lambda: host(lab, "shown.example"))
    assert got["certificate"] == "default/shown"
    routes = {r["match"]: r for r in got["routes"]}
    other = next(r for m, r in routes.items() if m == "exact /b")
    web = next(r for m, r in routes.items() if "/a" in m)
    assert other["action"].startswith("Service default/other port 80") and web["action"].startswith("Service default/web port 80")
    assert "from 10.0.0.0/8 alone" in web["action"]
    assert web["origin"] == {"kind": "Ingress", "object": "default/shown", "field": "spec.rules[0].http.paths[0]"}
    whole = page(lab)
    services = {s["name"]: s for s in whole["services"]}
    assert services["default/web"] == {"name": "default/web", "slices": 1, "ready": 2, "notReady": 0}
    assert whole["synced"] and whole["objects"]["services"] == len(services) and whole["objects"]["hosts"] == len(whole["hosts"])
    assert whole["objects"]["ingresses"] >= 1 and whole["objects"]["endpointSlices"] >= 2
    assert list(services) == sorted(services), "pages may be compared"
    lab.fairlead("delete", "ingresses/shown")
    wait_until("it has gone from the model", lambda: not host(lab, "shown.example"))


def test_what_is_refused_and_why(lab, gateway, ingress):
    ingress("wrong", [rule("wrong.example", ("/", "Prefix", "web", 4711))], {"proxy-body-size": "much"})
    lab.apply(secret("broken", "kubernetes.io/tls", tls_crt="nothing", tls_key="nothing"))

    def refused():
        of = {(f["object"], f["id"]): f for f in page(lab)["refused"]}
        return of if {("default/wrong", "AnnotationInvalid"), ("default/broken", "CertificateInvalid")} <= set(of) else None
    told = wait_until("each is there", refused)
    assert "proxy-body-size" in told["default/wrong", "AnnotationInvalid"]["field"] and told["default/broken", "CertificateInvalid"]["message"]
    assert [f for (o, _), f in told.items() if o == "default/wrong" and "4711" in f["message"]]
    lab.fairlead("delete", "secrets/broken", "ingresses/wrong")
    wait_until("nothing is left of it", lambda: not [f for f in page(lab)["refused"] if f["object"] in ("default/wrong", "default/broken")])


def test_nothing_secret_is_in_it(lab, gateway, ingress):
    lab.apply(secret("people", "Opaque", auth=f"ann:{PASSWORD}\n"), secret("hidden", "kubernetes.io/tls", tls_crt=KEY, tls_key=KEY))
    ingress("hidden", [rule("hidden.example", ("/", "Prefix", "web"))], {"auth-type": "basic", "auth-secret": "people"},
            tls=[{"hosts": ["hidden.example"], "secretName": "hidden"}])
    wait_until("it asks for a name", lambda: "Secret default/people" in json.dumps(host(lab, "hidden.example") or {}))
    text = json.dumps(page(lab))
    assert not [word for word in (PASSWORD, KEY, base64.b64encode(KEY.encode()).decode(), "ann:") if word in text]
    lab.fairlead("delete", "secrets/people", "secrets/hidden")
