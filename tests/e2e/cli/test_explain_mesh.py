"""fairlead explain --from: what becomes of a call of a pod, by the objects alone."""
import json

import pytest
from manifests import as_stream, fairlead, service

NETWORKING, SECURITY = "networking.istio.io/v1", "security.istio.io/v1"


def thing(version, kind, name, spec, ns="default"):
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": ns}, "spec": spec}


def deployment(name, labels, account="default", ns="default"):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": ns},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {"serviceAccountName": account, "containers": [{"name": "c", "image": "x"}]}}}}


SHOP = [
    service("shop", selector={"app": "shop"}, ports=[{"name": "http", "port": 80, "targetPort": 8080}]),
    service("db", selector={"app": "db"}, ports=[{"name": "tcp", "port": 5432}]),
    deployment("shop-v1", {"app": "shop", "version": "v1"}), deployment("shop-v2", {"app": "shop", "version": "v2"}), deployment("db", {"app": "db"}),
    deployment("client", {"app": "client"}, account="buyer"),
    thing(NETWORKING, "DestinationRule", "shop", {"host": "shop", "subsets": [{"name": v, "labels": {"version": v}} for v in ("v1", "v2")]}),
    thing(NETWORKING, "VirtualService", "shop", {"hosts": ["shop"], "http": [
        {"match": [{"headers": {"end-user": {"exact": "jason"}}}], "route": [{"destination": {"host": "shop", "subset": "v2"}}], "timeout": "2s"},
        {"route": [{"destination": {"host": "shop", "subset": "v1"}}]}]}),
]


def explain(url, *more, method="GET", flags=(), pod="deploy/client"):
    done = fairlead("explain", method, url, "--from", pod, "-f", "-", "-o", "json", *flags, stdin=as_stream([*SHOP, *more]))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def policy(name, action="ALLOW", app="shop", **rule):
    return thing(SECURITY, "AuthorizationPolicy", name, {"action": action, "selector": {"matchLabels": {"app": app}}, "rules": [rule]})


def verdict(*more, url="http://shop/items/7", method="GET", flags=()):
    found = explain(url, *more, method=method, flags=flags)["destinations"][0]["workloads"][0]
    return found["verdict"], found["by"]


def test_routes():
    found = explain("http://shop/items/7")
    assert (found["principal"], found["to"]["host"], found["to"]["protocol"]) == ("cluster.local/ns/default/sa/buyer", "shop.default.svc.cluster.local", "http")
    assert [(s["matches"], s["why"]) for s in found["steps"]] == [(False, "the request has no end-user"), (True, "")]
    assert found["decided"] == {"kind": "VirtualService", "object": "default/shop", "field": "spec.http[1]"}
    assert [(d["subset"], [(w["name"], w["port"], w["tls"]) for w in d["workloads"]]) for d in found["destinations"]] == [("v1", [("default/shop-v1", 8080, "mutual TLS")])]
    jason = explain("http://shop.default.svc.cluster.local/", flags=("-H", "end-user: jason"))
    assert jason["destinations"][0]["subset"] == "v2" and jason["action"] == "Service default/shop subset v2 port 80, within 2000 ms"


def test_bytes_and_nobody():
    found = explain("http://db:5432/")
    assert (found["action"], found["destinations"][0]["workloads"][0]["name"]) == ("on as bytes", "default/db")
    assert "no Service and no ServiceEntry" in explain("http://gone/")["nobody"]
    assert explain("http://shop:81/")["nobody"] == "it has no port 81"
    scope = thing(NETWORKING, "Sidecar", "scope", {"egress": [{"hosts": ["other/*"]}]})
    assert explain("http://shop/", scope)["nobody"] == "Sidecar default/scope does not let it be known"
    entry = thing(NETWORKING, "ServiceEntry", "api", {"hosts": ["api.example"], "ports": [{"number": 80, "name": "h", "protocol": "HTTP"}], "resolution": "DNS"})
    assert explain("http://api.example/", entry)["to"]["kind"] == "ServiceEntry"


@pytest.mark.parametrize("rule,method,flags,want", [
    ({"to": [{"operation": {"methods": ["GET"], "paths": ["/items/*"]}}]}, "GET", (), "allowed"),
    ({"to": [{"operation": {"methods": ["GET"]}}]}, "POST", (), "forbidden"),
    ({"to": [{"operation": {"notMethods": ["GET"]}}]}, "GET", (), "forbidden"),
    ({"to": [{"operation": {"paths": ["/items/{*}"]}}]}, "GET", (), "allowed"),
    ({"to": [{"operation": {"paths": ["/{*}"]}}]}, "GET", (), "forbidden"),
    ({"to": [{"operation": {"paths": ["/{**}"]}}]}, "GET", (), "allowed"),
    ({"to": [{"operation": {"hosts": ["SHOP"]}}]}, "GET", (), "allowed"),
    ({"to": [{"operation": {"ports": ["8080"]}}]}, "GET", (), "allowed"),
    ({"to": [{"operation": {"ports": ["80"]}}]}, "GET", (), "forbidden"),
    ({"from": [{"source": {"principals": ["*/sa/buyer"]}}]}, "GET", (), "allowed"),
    ({"from": [{"source": {"principals": ["cluster.local/ns/default/sa/other"]}}]}, "GET", (), "forbidden"),
    ({"from": [{"source": {"namespaces": ["default"]}}]}, "GET", (), "allowed"),
    ({"from": [{"source": {"notNamespaces": ["default"]}}]}, "GET", (), "forbidden"),
    ({"from": [{"source": {"serviceAccounts": ["buyer"]}}]}, "GET", (), "allowed"),
    ({"from": [{"source": {"requestPrincipals": ["*"]}}]}, "GET", (), "forbidden"),
    ({"from": [{"source": {"requestPrincipals": ["*"]}}]}, "GET", ("-H", "authorization: Bearer x"), "open"),
    ({"when": [{"key": "request.headers[x-team]", "values": ["a*"]}]}, "GET", ("-H", "x-team: ab"), "allowed"),
    ({"when": [{"key": "request.headers[x-team]", "values": ["a*"]}]}, "GET", (), "forbidden"),
    ({"from": [{"source": {"ipBlocks": ["10.0.0.0/8"]}}]}, "GET", (), "open"),
])
def test_who_may(rule, method, flags, want):
    assert verdict(policy("p", **rule), method=method, flags=flags)[0] == want


def test_who_decides():
    assert verdict() == ("allowed", "")
    everybody = policy("everybody", **{"to": [{"operation": {"methods": ["*"]}}]})
    deny = policy("deny", action="DENY", **{"to": [{"operation": {"paths": ["/items*"]}}]})
    assert verdict(everybody) == ("allowed", "default/everybody")
    assert verdict(everybody, deny) == ("forbidden", "default/deny")
    assert verdict(everybody, policy("other", app="db", action="DENY", **{"to": [{"operation": {"paths": ["*"]}}]})) == ("allowed", "default/everybody")
    dry = policy("dry", action="DENY", **{"to": [{"operation": {"paths": ["/items*"]}}]})
    dry["metadata"]["annotations"] = {"istio.io/dry-run": "true"}
    assert verdict(dry) == ("allowed", "")
    broken = policy("broken", **{"when": [{"key": "moon", "values": ["x"]}]})
    assert verdict(broken)[0] == "forbidden"


def test_over_what():
    strict = thing(SECURITY, "PeerAuthentication", "p", {"mtls": {"mode": "STRICT"}})
    plain = thing(NETWORKING, "DestinationRule", "plain", {"host": "shop", "trafficPolicy": {"tls": {"mode": "DISABLE"}}})
    assert verdict(strict)[0] == "allowed"
    found = explain("http://shop/", strict, plain)["destinations"][0]
    assert (found["tls"], found["workloads"][0]["verdict"]) == ("DISABLE", "refused")
    assert verdict(plain, policy("p", **{"from": [{"source": {"namespaces": ["default"]}}]}))[0] == "forbidden", "in plain text nobody knows who it is"


def test_as_text():
    done = fairlead("explain", "GET", "http://shop/x", "--from", "client", "-f", "-", stdin=as_stream(SHOP))
    assert done.stdout.splitlines() == [
        "GET shop:80/x from default/client", "as: cluster.local/ns/default/sa/buyer", "for: Service shop.default.svc.cluster.local, http",
        "   - prefix / and end-user = jason: no, the request has no end-user   (VirtualService default/shop spec.http[0].match[0])",
        "  => prefix /   (VirtualService default/shop spec.http[1])", "answer: Service default/shop subset v1 port 80",
        "  to shop.default.svc.cluster.local subset v1 port 80: LEAST_REQUEST, TLS as the endpoint can", "    default/shop-v1 (1 pod, port 8080): mutual TLS, allowed"]
    gone = fairlead("explain", "GET", "http://shop/x", "--from", "deploy/gone", "-f", "-", stdin=as_stream(SHOP))
    assert gone.returncode == 1 and "there is no pod of deploy/gone" in gone.stderr


# ---- describe ----

def describe(*words, more=()):
    done = fairlead("describe", *words, "-f", "-", "-o", "json", stdin=as_stream([*SHOP, *more]))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_describe_a_service():
    found = describe("svc/shop", more=[thing(SECURITY, "PeerAuthentication", "p", {"mtls": {"mode": "STRICT"}})])
    assert found["ports"] == [{"port": 80, "name": "http", "protocol": "http"}]
    assert sorted((w["name"], w["pods"], w["mode"], w["subsets"]) for w in found["workloads"]) == [("shop-v1", 1, "STRICT", ["v1"]), ("shop-v2", 1, "STRICT", ["v2"])]
    assert [(r["object"], r["subsets"], r["policy"]) for r in found["destinationRules"]] == [("default/shop", ["v1", "v2"], False)]
    assert [(v["object"], v["http"], v["tcp"]) for v in found["virtualServices"]] == [("default/shop", 2, 0)]


def test_describe_a_pod():
    scope = thing(NETWORKING, "Sidecar", "scope", {"egress": [{"hosts": ["./*"]}]})
    ports = thing(SECURITY, "PeerAuthentication", "p", {"selector": {"matchLabels": {"app": "shop"}}, "portLevelMtls": {"8080": {"mode": "DISABLE"}}})
    found = describe("deploy/shop-v1", more=[scope, ports, policy("a"), policy("other", app="db")])
    assert (found["principal"], found["sidecar"], found["mode"], found["modePorts"]) == ("cluster.local/ns/default/sa/default", "default/scope", "PERMISSIVE", [{"port": 8080, "mode": "DISABLE"}])
    assert found["policies"] == [{"object": "default/a", "action": "ALLOW", "dryRun": False, "broken": False}]
    assert [s["service"] for s in found["services"]] == ["default/shop"]
    text = fairlead("describe", "pod", "client", "-f", "-", stdin=as_stream(SHOP)).stdout.splitlines()
    assert text == ["pod: default/client, of client", "identity: cluster.local/ns/default/sa/buyer", "proxy: no: nobody takes mutual TLS for it",
                    "knows: all that its namespace sees", "is called: PERMISSIVE"]
    for words, code, message in ((("pod", "gone"), 1, "there is no pod"), (("svc/gone",), 1, "there is no Service"), (("pod",), 64, "say of what"), ((), 64, "say of what")):
        done = fairlead("describe", *words, "-f", "-", stdin=as_stream(SHOP))
        assert done.returncode == code and message in done.stderr
