"""Annotations of ingress-nginx that say which endpoint a request goes to."""
import lab_harness
from gateway import rule
from suite import wait_until

TIMES = 16  # connections, each to either gateway


def pods(gateway, host, path="/", n=TIMES, **kw):
    """Names of the pods that answer."""
    return {gateway.ask(path, host, **kw).echo["name"] for _ in range(n)}


def given(answer):
    """The cookie and its attributes; None: none was given."""
    line = answer.fields.get("set-cookie")
    return line and [part.strip() for part in line.split(";")]


def fresh(gateway, host, n=40, **kw):
    """Clients without a cookie: of each the cookie and the pod."""
    answers = [gateway.ask("/", host, **kw) for _ in range(n)]
    return {given(a)[0]: a.echo["name"] for a in answers}


def test_a_cookie_keeps_its_pod(gateway, ingress):
    ingress("sticky", [rule("s.example", ("/", "Prefix", "web"), ("/app", "Prefix", "web"))], {"affinity": "cookie", "ssl-redirect": "false"},
            tls=[{"hosts": ["s.example"], "secretName": "none"}])
    first = gateway.becomes("a cookie is given", given, "/app", "s.example")
    cookie, *attributes = given(first)
    assert cookie.startswith("INGRESSCOOKIE=") and attributes == ["Path=/app", "HttpOnly"] and "10." not in cookie
    gateway.all_do("both gateways give one", given, "/", "s.example")
    assert pods(gateway, "s.example", "/app", headers={"Cookie": "a=b; " + cookie}) == {first.echo["name"]}
    assert not given(gateway.ask("/app", "s.example", headers={"Cookie": cookie}))
    assert set(given(gateway.ask("/", "s.example", tls=True))[1:]) == {"Path=/", "Secure", "HttpOnly"}
    clients = fresh(gateway, "s.example")
    assert len(set(clients.values())) == 2
    for cookie, pod in list(clients.items())[:4]:
        assert pods(gateway, "s.example", n=6, headers={"Cookie": cookie}) == {pod}


def test_what_a_cookie_says(gateway, ingress):
    ingress("says", [rule("a.example", ("/", "Prefix", "web"))], {
        "affinity": "cookie", "affinity-mode": "persistent", "session-cookie-name": "route", "session-cookie-path": "/", "session-cookie-domain": "a.example",
        "session-cookie-max-age": "600", "session-cookie-secure": "true", "session-cookie-samesite": "None", "session-cookie-conditional-samesite-none": "true"})
    cookie, *attributes = given(gateway.becomes("a cookie is given", given, "/", "a.example"))
    assert cookie.startswith("route=") and set(attributes) == {"Path=/", "Domain=a.example", "Max-Age=600", "Secure", "SameSite=None", "HttpOnly"}
    old = given(gateway.ask("/", "a.example", headers={"User-Agent": "Mozilla/5.0 (X11) AppleWebKit/537.36 Chrome/60.0.3112.113 Safari/537.36"}))
    assert "SameSite=None" not in old and "Secure" in old
    new = given(gateway.ask("/", "a.example", headers={"User-Agent": "Mozilla/5.0 (X11) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36"}))
    assert "SameSite=None" in new


def test_a_persistent_session_outlives_changes(lab, gateway, ingress):
    lab.apply(lab_harness.echo("many", replicas=3, args=("--drain", "1s")), lab_harness.service("many"))
    lab.wait_ready("app=many", 3)
    ingress("kept", [rule("k.example", ("/", "Prefix", "many"))], {"affinity": "cookie", "affinity-mode": "persistent"})
    first = gateway.becomes("a cookie is given", given, "/", "k.example")
    gateway.all_do("both gateways give one", given, "/", "k.example")
    cookie, pod = given(first)[0], first.echo["name"]
    lab.patch("/apis/apps/v1/namespaces/default/deployments/many", {"spec": {"replicas": 6}})
    lab.wait_ready("app=many", 6)
    gateway.becomes("new pods answer", lambda a: a.echo["name"] != pod, "/", "k.example")
    assert pods(gateway, "k.example", headers={"Cookie": cookie}) == {pod}
    lab.fairlead("delete", f"pod/{pod}")
    moved = gateway.becomes("another answers", lambda a: a.app and a.echo["name"] != pod, "/", "k.example", headers={"Cookie": cookie})
    assert moved.status == 200 and given(moved)
    wait_until("it is kept by its new cookie", lambda: pods(gateway, "k.example", headers={"Cookie": given(moved)[0]}) == {moved.echo["name"]})
    lab.fairlead("delete", "deployments/many", "services/many")


def test_canaries_keep_their_clients(gateway, ingress):
    for mode in ("balanced", "persistent"):
        host = mode + ".example"
        ingress(mode, [rule(host, ("/", "Prefix", "web"))], {"affinity": "cookie", "affinity-mode": mode})
        ingress(mode + "-canary", [rule(host, ("/", "Prefix", "other"))], {"canary": "true", "canary-weight": "50"})
        gateway.becomes("main answers", lambda a: a.app == "web" and given(a), "/", host)
        gateway.becomes("the canary answers", lambda a: a.app == "other" and given(a), "/", host)
        gateway.all_do("both gateways know", given, "/", host)
        clients = fresh(gateway, host, 24)
        assert {name.rsplit("-", 2)[0] for name in clients.values()} == {"web", "other"}
        for cookie, pod in list(clients.items())[:6]:
            assert pods(gateway, host, n=6, headers={"Cookie": cookie}) == {pod}, mode


def test_hashes(gateway, ingress):
    ingress("hash", [rule("h.example", ("/", "Prefix", "web"))], {"upstream-hash-by": "$arg_id$http_x_user"})
    gateway.becomes("it is served", lambda a: a.app == "web", "/", "h.example")
    wait_until("one key, one pod", lambda: len(pods(gateway, "h.example", "/a?id=1")) == 1)
    one = pods(gateway, "h.example", "/b?x=1&id=1")
    assert len(one) == 1 and pods(gateway, "h.example", "/a?id=1") == one
    assert len({tuple(pods(gateway, "h.example", f"/?id={i}", n=2)) for i in range(20)}) == 2
    user = pods(gateway, "h.example", headers={"X-User": "ann"})
    assert len(user) == 1
    ingress("load", [rule("l.example", ("/", "Prefix", "web"))], {"load-balance": "ewma"})
    gateway.becomes("it is served", lambda a: a.app == "web", "/", "l.example")
    assert len(pods(gateway, "l.example", n=30)) == 2


def test_a_pod_that_refuses_is_passed_over(lab, gateway, ingress):
    """ingress-nginx answers 502 until the pod is no endpoint any more."""
    lab.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "half"}, "spec": {"ports": [{"name": "http", "port": 80}]}})
    for app, port in (("web", 8080), ("other", 9)):
        lab.apply({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                   "metadata": {"name": "half-" + app, "labels": {"kubernetes.io/service-name": "half"}}, "ports": [{"name": "http", "port": port}],
                   "endpoints": [{"addresses": [lab.ready_pods("app=" + app)[0]["status"]["podIP"]], "conditions": {"ready": True}}]})
    ingress("half", [rule("r.example", ("/", "Prefix", "half"))], {"upstream-hash-by": "$arg_id"})
    gateway.becomes("it is served", lambda a: a.app == "web", "/?id=1", "r.example")
    got = [gateway.ask(f"/?id={i}", "r.example") for i in range(12)]
    assert [a.status for a in got] == [200] * 12, [(a.status, a.text if hasattr(a, "text") else a) for a in got]
    lab.fairlead("delete", "services/half", "endpointslices/half-web", "endpointslices/half-other")
