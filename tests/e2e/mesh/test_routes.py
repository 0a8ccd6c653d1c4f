"""VirtualServices and DestinationRules: the stories of examples/mesh, as they are, and fields that no story has."""
import collections
import json
import re
import threading
import time

import pytest
import yaml
from suite import ROOT, wait_until

EXAMPLES = ROOT / "examples/mesh"


class Shop:
    """The apps of examples/mesh, and what the client among them is answered."""

    def __init__(self, mesh, tmp):
        self.lab = mesh.lab
        for crd in ("networking.virtualservices", "networking.destinationrules", "networking.serviceentries", "networking.workloadentries", "security.authorizationpolicies", "security.requestauthentications"):
            self.lab.fairlead("apply", "-f", ROOT / f"deploy/crds/{crd}.yaml")
        injected = tmp / "app.yaml"
        injected.write_text(self.lab.fairlead("inject", "-f", EXAMPLES / "app.yaml"))
        self.lab.fairlead("apply", "-f", injected)
        apps = {"shop": 2, "moody": 1, "mixed": 2, "uneven": 2, "client": 1}
        for app, n in apps.items():
            self.lab.wait_ready(f"app={app}", n)
        self.client = self.lab.ready_pods("app=client")[0]["metadata"]["name"]
        wait_until("the shop is served", lambda: self.ask("http://shop/")[0] == 200, 30)

    def in_client(self, *command, check=True):
        return self.lab.fairlead("exec", self.client, "-c", "client", "--", *command, check=check, timeout=60)

    def ask(self, url, *args):
        """Status, and the answer's text."""
        out = self.in_client("curl", "-s", "-m", "10", "-w", "\n%{http_code}", *args, url, check=False).stdout
        body, _, status = out.rpartition("\n")
        return int(status or 0), body

    def many(self, url, n, *args, parallel=1):
        """How often each version, or name, has answered; other statuses than 200 count as themselves."""
        more = ("-Z", "--parallel-max", str(parallel)) if parallel > 1 else ()
        lines = self.in_client("curl", "-s", *more, "-o", "/dev/null", "-w", "%{http_code} %header{x-echo-name}\n", *args, f"{url}?n=[1-{n}]", check=False).stdout.splitlines()
        found = collections.Counter()
        for status, name in (line.split(" ", 1) for line in lines):
            found[name.removeprefix("shop-") if status == "200" else status] += 1
        return found

    def version(self, *args):
        status, body = self.ask("http://shop/", *args)
        return json.loads(body)["version"] if status == 200 else status

    def stats(self, pod, container, words):
        text = self.lab.fairlead("exec", pod, "-c", container, "--", "/run/fairlead/bin/fairlead-proxy", "request", "GET", "/stats?format=json&filter=upstream_rq_total")
        return sum(s["value"] for s in json.loads(text)["stats"] if words in s.get("name", ""))


@pytest.fixture(scope="module")
def shop(mesh, tmp_path_factory):
    return Shop(mesh, tmp_path_factory.mktemp("shop"))


@pytest.fixture
def story(shop):
    """Applies files of examples/mesh, or objects; takes them away again."""
    applied = []

    def apply(*what):
        for one in what:
            if isinstance(one, str):
                objects = [o for o in yaml.safe_load_all((EXAMPLES / one).read_text()) if o]
            else:
                objects = [one]
            applied.extend(objects)
            shop.lab.apply(*objects)
        return shop

    yield apply
    for o in {(o["kind"].lower(), o["metadata"]["name"]) for o in applied}:
        shop.lab.fairlead("delete", "/".join(o))
    wait_until("the Service's own route is back", lambda: shop.version() in ("v1", "v2"))


def routes(name, *http, **spec):
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": name, "namespace": "default"},
            "spec": {"hosts": [name], "http": list(http), **spec}}


def rule(host, **spec):
    return {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": host, "namespace": "default"}, "spec": {"host": host, **spec}}


def to(host, subset=None, **more):
    destination = {"host": host} | ({"subset": subset} if subset else {})
    return {"route": [{"destination": destination}], **more}


VERSIONS = {"subsets": [{"name": v, "labels": {"version": v}} for v in ("v1", "v2")]}


# ---- stories ----

def test_by_header(story):
    shop = story("by-header/routes.yaml")
    wait_until("jason sees v2", lambda: [shop.version("-H", "end-user: jason") for _ in range(4)] == ["v2"] * 4)
    assert [shop.version() for _ in range(6)] == ["v1"] * 6
    assert shop.version("-H", "end-user: jasonx") == "v1"


def test_weights(story):
    shop = story("weights/routes.yaml")
    wait_until("it holds", lambda: shop.many("http://shop/", 40)["v1"] > 25)
    found = shop.many("http://shop/", 1000)
    assert found["v1"] + found["v2"] == 1000, found
    assert 55 <= found["v2"] <= 150, f"100 of 1000 were to be v2's, more than 4.7 deviations off: {found}"


def test_canary(story):
    shop = story("canary/step-1.yaml")
    wait_until("v2 gets none", lambda: shop.many("http://shop/", 30) == {"v1": 30})
    story("canary/step-2.yaml")
    wait_until("both get some", lambda: 10 < shop.many("http://shop/", 60)["v2"] < 50)
    story("canary/step-3.yaml")
    wait_until("v1 gets none", lambda: shop.many("http://shop/", 30) == {"v2": 30})


def test_blue_green_under_traffic(story):
    """Switched to and fro while requests are under way: each is answered, and by whom it was to be."""
    shop = story("blue-green/blue.yaml")
    wait_until("it is blue", lambda: shop.many("http://shop/", 20) == {"v1": 20})
    results, stop = [], threading.Event()

    def load():
        while not stop.is_set():
            results.append(shop.many("http://shop/", 1000, parallel=4))
    thread = threading.Thread(target=load)
    thread.start()
    try:
        for color, version in (("blue", "v1"), ("green", "v2"), ("blue", "v1"), ("green", "v2")):
            story(f"blue-green/{color}.yaml")
            wait_until(f"it is {color}", lambda: shop.many("http://shop/", 10) == {version: 10})
            before = len(results)
            wait_until("requests are under way", lambda: len(results) > before + 1 or not thread.is_alive(), 30)
    finally:
        stop.set()
        thread.join()
    total = sum(results, collections.Counter())
    assert set(total) == {"v1", "v2"} and sum(total.values()) == 1000 * len(results), total


def test_retry(story, shop):
    assert shop.many("http://moody/", 40)["500"] > 5, "without the rule half of them fail"
    story("retry/routes.yaml")
    wait_until("none fails", lambda: shop.many("http://moody/", 40) == {"moody": 40})


def test_outlier(story, shop):
    assert shop.many("http://mixed/", 40)["500"] > 5
    story("outlier/policy.yaml")
    wait_until("the bad one is left out", lambda: shop.many("http://mixed/", 30) == {"good": 30}, 30)


def test_least_request(story, shop):
    story("least-request/policy.yaml")
    found = shop.many("http://uneven/", 200, parallel=8)
    assert sum(found.values()) == 200 and found["slow"] < 80, found


def test_turn_by_turn(story, shop):
    """What least request is compared with: each gets half, however slow."""
    story(rule("uneven", trafficPolicy={"loadBalancer": {"simple": "ROUND_ROBIN"}}))
    wait_until("each gets half", lambda: shop.many("http://uneven/", 20)["slow"] == 10)


def test_fault(story):
    shop = story("fault/routes.yaml")
    wait_until("it is broken", lambda: shop.ask("http://shop/", "-H", "chaos: broken")[0] == 418)
    begin = time.monotonic()
    assert shop.ask("http://shop/", "-H", "chaos: slow")[0] == 200
    assert time.monotonic() - begin >= 1
    assert shop.many("http://shop/", 20).keys() <= {"v1", "v2"}


def test_mirror(story):
    shop = story("mirror/routes.yaml")
    wait_until("v1 answers all", lambda: shop.many("http://shop/", 20) == {"v1": 20})
    v2 = shop.lab.ready_pods("version=v2")[0]["metadata"]["name"]
    before = shop.stats(v2, "istio-proxy", "inbound|8080||")
    assert shop.many("http://shop/", 30) == {"v1": 30}
    wait_until("v2 has seen them too", lambda: shop.stats(v2, "istio-proxy", "inbound|8080||") >= before + 30)


def test_external_service(story):
    shop = story("external-service/partner.yaml")
    shop.lab.wait_ready("app=partner", 1)
    assert shop.ask("http://api.partner.test/")[0] == 0, "nobody knows the name yet"
    story("external-service/entry.yaml")
    wait_until("it is known by its name", lambda: shop.ask("http://api.partner.test/")[0] == 200, 30)
    answer = json.loads(shop.ask("http://api.partner.test/orders?n=1")[1])
    assert (answer["name"], answer["path"], answer["query"]) == ("partner", "/orders", "n=1")
    assert {k.lower(): v for k, v in answer["headers"].items()}["x-api-key"] == "of-the-mesh"
    assert shop.ask("http://api.partner.test/items/7", "-X", "DELETE") == (403, "not from here")
    entry = shop.lab.get("serviceentries.networking.istio.io/partner")
    assert re.fullmatch(r"240\.240\.\d+\.\d+", entry["status"]["addresses"][0]["value"])


# ---- further fields ----

def test_deny_policy(story):
    shop = story("deny-policy/policies.yaml")
    wait_until("nobody deletes", lambda: shop.ask("http://shop/items/7", "-X", "DELETE") == (403, "RBAC: access denied"))
    assert shop.version() in ("v1", "v2")


def test_what_explain_says_is_what_happens(story):
    """The objects alone say it, and the proxies do it."""
    shop = story("deny-policy/policies.yaml", "by-header/routes.yaml")
    wait_until("both hold", lambda: (shop.version(), shop.ask("http://shop/items/7", "-X", "DELETE")[0]) == ("v1", 403))
    for method, path, field, status, version in (("GET", "/version", None, 200, "v1"), ("GET", "/version", "end-user: jason", 200, "v2"), ("DELETE", "/items/7", None, 403, "v1")):
        more = ("-H", field) if field else ()
        found = json.loads(shop.lab.fairlead("explain", method, f"http://shop{path}", "--from", "deploy/client", "-o", "json", *more))
        (destination,) = found["destinations"]
        (workload,) = destination["workloads"]
        assert (destination["subset"], workload["name"], workload["tls"]) == (version, f"default/shop-{version}", "mutual TLS")
        assert workload["verdict"] == ("forbidden" if status == 403 else "allowed")
        assert shop.ask(f"http://shop{path}", "-X", method, *more)[0] == status
        assert status == 403 or shop.version(*more) == version
    said = json.loads(shop.lab.fairlead("describe", "deploy/shop-v1", "-o", "json"))
    assert said["inMesh"] and {p["object"] for p in said["policies"]} == {"default/read-only", "default/own-namespace"}
    assert [w["subsets"] for w in said["services"][0]["workloads"] if w["name"] == "shop-v2"] == [["v2"]]


def test_jwt(story):
    """With the token of the story's own first lines."""
    shop = story("jwt/policies.yaml")
    token = next(line for line in (EXAMPLES / "jwt/policies.yaml").read_text().splitlines() if "TOKEN=" in line).split("TOKEN=")[1]
    wait_until("it needs a token", lambda: shop.ask("http://shop/") == (403, "RBAC: access denied"))
    assert shop.version("-H", f"authorization: Bearer {token}") in ("v1", "v2")
    assert shop.ask("http://shop/", "-H", f"authorization: Bearer {token[:-4]}AAAA") == (401, "Jwt verification fails")


def test_timeout(story):
    shop = story(routes("uneven", to("uneven", "slow", timeout="100ms")), rule("uneven", subsets=[{"name": "slow", "labels": {"is": "slow"}}]))
    wait_until("it is too slow", lambda: shop.ask("http://uneven/")[0] == 504)


def test_redirect_rewrite_and_answer(story):
    shop = story(routes(
        "shop",
        {"match": [{"uri": {"prefix": "/old"}}], "redirect": {"uri": "/new", "authority": "other.example", "redirectCode": 302}},
        {"match": [{"uri": {"exact": "/here"}}], "directResponse": {"status": 201, "body": {"string": "here"}}},
        {"match": [{"uri": {"prefix": "/api/"}}], **to("shop"), "rewrite": {"uri": "/v2/", "authority": "inner.example"},
         "headers": {"request": {"set": {"x-set": "s"}, "add": {"x-add": "a"}, "remove": ["x-gone"]}, "response": {"set": {"x-back": "b"}}}},
        {"match": [{"uri": {"regex": "/r/[0-9]+"}}], **to("shop"), "rewrite": {"uriRegexRewrite": {"match": "/r/([0-9]+)", "rewrite": r"/n/\1"}}},
        to("shop")))
    wait_until("it answers", lambda: shop.ask("http://shop/here") == (201, "here"))
    assert "http://other.example/new" in shop.ask("http://shop/old", "-D", "-")[1]
    status, text = shop.ask("http://shop/api/items?x=1", "-D", "-", "-H", "x-gone: 1")
    assert status == 200 and "x-back: b" in text
    answer = json.loads(text[text.index("{"):])
    headers = {k.lower(): v for k, v in answer["headers"].items()}
    assert (answer["path"], answer["query"], headers["host"], headers["x-set"], headers["x-add"]) == ("/v2/items", "x=1", "inner.example", "s", "a")
    assert "x-gone" not in headers
    assert "/n/42" in shop.ask("http://shop/r/42")[1] and "/n/" not in shop.ask("http://shop/r/42x")[1]


def test_every_kind_of_match(story):
    def answer(status, **match):
        return {"match": [match], "directResponse": {"status": status}}
    shop = story(routes(
        "shop",
        answer(211, method={"exact": "PUT"}), answer(212, queryParams={"q": {"regex": "a+"}}), answer(213, authority={"prefix": "shop.default"}),
        answer(214, withoutHeaders={"x-must": {}}, uri={"prefix": "/must"}), answer(215, uri={"exact": "/CASE"}, ignoreUriCase=True),
        answer(216, headers={"x-p": {"prefix": "ab"}, "x-there": {}}), answer(217, port=81), answer(218, scheme={"exact": "https"}), answer(219, uri={"exact": "/w"}, port=80)))
    wait_until("it holds", lambda: shop.ask("http://shop/w")[0] == 219)
    for status, args in ((211, ("http://shop/", "-X", "PUT")), (212, ("http://shop/?q=aaa",)), (404, ("http://shop/?q=b",)), (213, ("http://shop.default/",)),
                         (214, ("http://shop/must",)), (404, ("http://shop/must", "-H", "x-must: 1")), (215, ("http://shop/case",)),
                         (216, ("http://shop/", "-H", "x-p: abc", "-H", "x-there: 1")), (404, ("http://shop/", "-H", "x-p: abc"))):
        assert shop.ask(*args)[0] == status, args


def test_who_calls(story):
    """Routes for clients with some labels, or of some namespace, and nobody else."""
    def answer(status, **match):
        return {"match": [match], "directResponse": {"status": status}}
    shop = story(routes("shop", answer(211, sourceLabels={"app": "nobody"}), answer(212, sourceNamespace="elsewhere"), answer(213, sourceLabels={"app": "client"}, sourceNamespace="default")))
    wait_until("it is the client's", lambda: shop.ask("http://shop/")[0] == 213)


def test_delegation(story):
    root = routes("shop", {"match": [{"uri": {"prefix": "/d"}}], "delegate": {"name": "inner"}, "timeout": "5s"}, {"directResponse": {"status": 299}})
    inner = routes("inner", {"match": [{"uri": {"exact": "/d/one"}}], "directResponse": {"status": 211}}, {"match": [{"uri": {"exact": "/other"}}], "directResponse": {"status": 212}},
                   {"directResponse": {"status": 213}})
    del inner["spec"]["hosts"]
    shop = story(root)
    wait_until("it is closed", lambda: shop.ask("http://shop/d/one")[0] == 503)
    story(inner)
    wait_until("the delegate is there", lambda: shop.ask("http://shop/d/one")[0] == 211)
    assert [shop.ask(f"http://shop{path}")[0] for path in ("/d/two", "/other", "/x")] == [213, 299, 299]


def test_a_subset_that_nobody_defines(story):
    shop = story(routes("shop", to("shop", "v9")))
    wait_until("503", lambda: shop.ask("http://shop/")[0] == 503)
    events = wait_until("an Event tells", lambda: [e for e in shop.lab.get("events")["items"] if e["reason"] == "SubsetNotFound" and "no DestinationRule defines subset v9" in e["message"]])
    assert events[0]["involvedObject"]["kind"] == "VirtualService"
    story(rule("shop", subsets=[{"name": "v9", "labels": {"version": "v2"}}]))
    wait_until("it is defined", lambda: shop.version() == "v2")


def test_labels_of_pods_that_change(story):
    shop = story(routes("shop", to("shop", "odd")), rule("shop", subsets=[{"name": "odd", "labels": {"odd": "yes"}}]))
    wait_until("nobody has them", lambda: shop.ask("http://shop/")[0] == 503)
    pod = shop.lab.ready_pods("version=v2")[0]["metadata"]["name"]
    shop.lab.patch(f"/api/v1/namespaces/default/pods/{pod}", {"metadata": {"labels": {"odd": "yes"}}})
    wait_until("v2 has them", lambda: shop.version() == "v2")
    shop.lab.patch(f"/api/v1/namespaces/default/pods/{pod}", {"metadata": {"labels": {"odd": None}}})
    wait_until("nobody has them any more", lambda: shop.ask("http://shop/")[0] == 503)


def test_one_bad_route_leaves_the_others(story):
    shop = story(routes("shop", {"match": [{"uri": {"regex": "/(a"}}], "directResponse": {"status": 211}}, {"match": [{"uri": {"exact": "/b"}}], "redirect": {"redirectCode": 302, "scheme": "ftp"}},
                        {"match": [{"uri": {"exact": "/c"}}], "directResponse": {"status": 213}}))
    wait_until("the good one is served", lambda: shop.ask("http://shop/c")[0] == 213)
    assert shop.ask("http://shop/b")[0] == 503
    events = wait_until("Events tell", lambda: [e for e in shop.lab.get("events")["items"] if e["reason"] == "RouteInvalid" and e["involvedObject"]["name"] == "shop"])
    assert any("spec.http[0].match[0].uri.regex" in e["message"] for e in events) and any("spec.http[1].redirect.scheme" in e["message"] for e in events)


def test_sticky_by_header(story):
    shop = story(rule("shop", trafficPolicy={"loadBalancer": {"consistentHash": {"httpHeaderName": "x-user"}}}))

    def by_user(user):
        return set(shop.many("http://shop/", 12, "-H", f"x-user: {user}"))
    wait_until("each user keeps its version", lambda: all(len(by_user(u)) == 1 for u in range(6)))
    assert len(set.union(*(by_user(u) for u in range(12)))) == 2, "and they are not all of one"


def test_limits(story):
    """No more requests at a time than are allowed: the others are told so at once."""
    shop = story(rule("uneven", trafficPolicy={"connectionPool": {"http": {"http2MaxRequests": 1, "http1MaxPendingRequests": 1}, "tcp": {"maxConnections": 1}},
                                               "loadBalancer": {"simple": "ROUND_ROBIN"}}))
    wait_until("some are turned away", lambda: shop.many("http://uneven/", 20, parallel=10)["503"] > 0)


def test_bytes_by_address_and_weight(story, shop):
    """tcp of a VirtualService: by the port of the Service, for whoever speaks no HTTP."""
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "raw", "namespace": "default"}, "spec": {"selector": {"app": "shop"}, "ports": [{"name": "tcp", "port": 80, "targetPort": 8080}]}}
    story(service, rule("raw", **VERSIONS), {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "raw", "namespace": "default"},
                                             "spec": {"hosts": ["raw"], "tcp": [{"match": [{"port": 80}], "route": [{"destination": {"host": "raw", "subset": "v2"}}]}]}})

    def by_connection(n):
        return sum((shop.many("http://raw/", 1) for _ in range(n)), collections.Counter())
    wait_until("v2 gets all", lambda: by_connection(6) == {"v2": 6})


def test_a_port_of_no_protocol(story):
    """What looks like HTTP at a port that does not say what is spoken there has the same routes."""
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "silent", "namespace": "default"}, "spec": {"selector": {"app": "shop"}, "ports": [{"port": 80, "targetPort": 8080}]}}
    shop = story(service, rule("silent", **VERSIONS), routes("silent", {"match": [{"headers": {"x-to": {"exact": "v2"}}}], **to("silent", "v2")}, to("silent", "v1")))
    wait_until("v2 is asked for", lambda: shop.many("http://silent/", 6, "-H", "x-to: v2") == {"v2": 6})
    assert shop.many("http://silent/", 6) == {"v1": 6}


def test_cors(story):
    """A preflight is answered by the proxy, for origins that are allowed."""
    cors = {"allowOrigins": [{"exact": "https://a.example"}], "allowMethods": ["PUT"], "maxAge": "10m"}
    shop = story(routes("shop", to("shop", corsPolicy=cors)))

    def preflight(origin):
        return shop.ask("http://shop/", "-X", "OPTIONS", "-D", "-", "-o", "/dev/null", "-H", f"Origin: {origin}", "-H", "Access-Control-Request-Method: PUT")[1].lower()
    wait_until("it is answered", lambda: "access-control-allow-origin: https://a.example" in preflight("https://a.example"))
    assert "access-control-max-age: 600" in preflight("https://a.example") and "access-control-allow-origin" not in preflight("https://b.example")


def test_what_analyze_says(story):
    shop = story(routes("shop", to("nobody")))
    done = shop.lab.fairlead("analyze", check=False)
    assert "[FL0603] VirtualService default/shop spec.http[0]: there is no Service nobody.default.svc.cluster.local" in done.stdout
