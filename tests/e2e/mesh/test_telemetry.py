"""What sidecars tell of their traffic: who calls whom, single requests as they come, traces. Nothing else is installed, and calls do not depend on it."""
import json
import re
import subprocess
import threading

import lab_harness
import pytest
import sidecar
from gateway import Gateway, rule
from suite import FAIRLEAD, wait_until

SYSTEM = "fairlead-system"


@pytest.fixture(scope="module")
def shop(mesh):
    """web calls cart, cart calls db: in the mesh by the namespace's word."""
    lab = mesh.lab
    lab.patch("/api/v1/namespaces/default", {"metadata": {"labels": {"istio-injection": "enabled"}}})
    for name in ("web", "cart", "db"):
        service = lab_harness.service(name)
        service["spec"]["ports"][0]["name"] = "http"
        lab.apply(lab_harness.echo(name, args=("--name", name)), service)
    for name in ("web", "cart", "db"):
        lab.wait_ready(f"app={name}", 1)
        wait_until(f"{name} tells of its traffic", lambda name=name: '"telemetry.connected_state","value":1' in admin(lab, name, "/stats?format=json&filter=telemetry").replace(" ", ""))
    return lab


def pod(lab, name):
    return lab.ready_pods(f"app={name}")[0]["metadata"]["name"]


def admin(lab, name, path):
    return lab.fairlead("exec", pod(lab, name), "-c", "istio-proxy", "--", "fairlead-proxy", "request", "GET", path, check=False).stdout


def call(lab, name, url, *args):
    return lab.fairlead("exec", pod(lab, name), "-c", "echo", "--", "curl", "-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", *args, url)


def edges(lab, *argv):
    items = json.loads(lab.fairlead("edges", "-o", "json", *argv))["items"]
    return {(e["source"]["workload"], e["destination"]["workload"]): e for e in items if e["protocol"] == "http"}


def test_who_calls_whom(shop):
    for _ in range(5):
        assert call(shop, "web", "http://cart/") == "200"
    for _ in range(3):
        assert call(shop, "cart", "http://db/") == "200"
    assert call(shop, "cart", "http://db/status/503") == "503"

    def told():
        e = edges(shop)
        pairs = [("web", "cart"), ("cart", "db")]
        return all(p in e and "client" in e[p] and "server" in e[p] for p in pairs) and e[pairs[1]]["client"]["requests"] >= 4 and e[pairs[1]]["server"]["requests"] >= 4 and e
    e = wait_until("both ends have told", told)
    assert set(e) == {("web", "cart"), ("cart", "db")}, e.keys()
    web, cart = e[("web", "cart")], e[("cart", "db")]
    for end in ("client", "server"):
        assert (web[end]["requests"], web[end]["errors"]) == (5, 0)
        assert (cart[end]["requests"], cart[end]["errors"]) == (4, 1)
        assert 0 < web[end]["p50Milliseconds"] <= web[end]["p99Milliseconds"]
    assert web["security"] == "mutual_tls" and web["service"] == "cart.default.svc.cluster.local"
    assert web["source"]["namespace"] == web["destination"]["namespace"] == "default"
    assert set(edges(shop, "deploy/web")) == {("web", "cart")} and set(edges(shop, "svc/db")) == {("cart", "db")}
    assert not edges(shop, "-n", "kube-system")
    assert call(shop, "cart", "http://web/") == "200"
    later = wait_until("a later report", lambda: ("cart", "web") in edges(shop) and edges(shop))
    assert [later[("web", "cart")][end]["requests"] for end in ("client", "server")] == [5, 5], "each is told once"


def test_as_people_read_it(shop):
    rows = [line.split() for line in shop.fairlead("edges").splitlines()]
    assert ["SRC", "DST", "SRC_NS", "DST_NS", "SECURED"] == rows[0] and ["web", "cart", "default", "default", "mutual", "TLS"] in rows
    text = shop.fairlead("graph")
    assert re.search(r"^web\.default\n  -> cart\.default  http  [\d.]+ rps  100\.00%  p95 [\d.]+ms  mutual TLS$", text, re.M), text
    dot = shop.fairlead("graph", "-o", "dot")
    assert dot.startswith("digraph fairlead {\n") and '"web.default" -> "cart.default" [' in dot and dot.endswith("}\n")
    top = [line.split() for line in shop.fairlead("top", "--once").splitlines()]
    assert top[0][:4] == ["NAME", "NAMESPACE", "SUCCESS", "RPS"] and {r[0]: r[2] for r in top[1:]} == {"cart": "100.00%", "db": "75.00%", "web": "100.00%"}


class Tap:
    def __init__(self, lab, *argv):
        self.process = subprocess.Popen([FAIRLEAD, "tap", *argv, "-o", "json", "--timeout", "30s"], env=lab.client_env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end(self):
        out, err = self.process.communicate(timeout=40)
        assert self.process.returncode == 0, err
        return [json.loads(line) for line in out.splitlines()]


def calling(lab, name, url, *args, until):
    """Calls again and again: an order is on its way."""
    while until.poll() is None:
        call(lab, name, url, *args)


def test_requests_as_they_come(shop):
    """Chosen by what they are; of their fields those that were asked for, and never a credential."""
    tap = Tap(shop, "deploy/cart", "--path", "/seen", "--method", "GET", "--status", "2xx", "-H", "X-User", "-H", "Authorization", "--count", "2")
    for url in ("http://cart/other", "http://cart/seen?secret=1"):
        threading.Thread(target=calling, args=(shop, "web", url, "-H", "x-user: jason", "-H", "Authorization: Bearer abc"), kwargs={"until": tap.process}).start()
    for r in tap.end():
        assert (r["path"], r["method"], r["status"], r["authority"], r["direction"]) == ("/seen", "GET", 200, "cart", "inbound"), r
        assert r["headers"] == {"x-user": "jason"} and r["security"] == "mutual_tls" and r["milliseconds"] > 0
        assert r["source"]["workload"] == "web" and r["destination"] == {"workload": "cart", "namespace": "default"} and r["proxy"] == f"default/{pod(shop, 'cart')}"


def test_a_watcher_leaves_nothing_behind(shop):
    tap = Tap(shop, "ns/default", "--count", "1")
    threading.Thread(target=calling, args=(shop, "web", "http://cart/"), kwargs={"until": tap.process}).start()
    assert len(tap.end()) == 1
    wait_until("the order is over", lambda: "fairlead_control_telemetry_taps 0" in metrics(shop))


def metrics(lab):
    control = lab.ready_pods("app=fairlead-control", SYSTEM)[0]["metadata"]["name"]
    return lab.raw(f"/api/v1/namespaces/{SYSTEM}/pods/{control}:15014/proxy/metrics")[1]


def test_who_may_see_one_namespace(shop):
    """As docs/mesh.md says it: an account of the namespace, bound to its traffic, as which one looks."""
    shop.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "viewer"}},
               {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "viewer"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "fairlead-traffic-viewer"},
                "subjects": [{"kind": "ServiceAccount", "name": "viewer", "namespace": "default"}]})
    tap = Tap(shop, "deploy/cart", "--count", "1", "--viewer", "default/viewer")
    threading.Thread(target=calling, args=(shop, "web", "http://cart/"), kwargs={"until": tap.process}).start()
    assert len(tap.end()) == 1
    assert ("web", "cart") in edges(shop, "--viewer", "default/viewer")
    for argv in (["edges", "-A"], ["edges", "-n", "kube-system"], ["tap", "ns/kube-system", "--count", "1"], ["trace"], ["proxy-status"]):
        done = shop.fairlead(*argv, "--viewer", "default/viewer", check=False)
        assert done.returncode == 1 and "system:serviceaccount:default:viewer may not " in done.stderr and "an administrator grants it" in done.stderr, argv


def test_nobody_is_heard_as_somebody_else(shop):
    """A proxy that says it is another pod is turned away."""
    def refused():
        return int(re.search(r"^fairlead_control_telemetry_refused_total (\d+)", metrics(shop), re.M).group(1))
    before, web = refused(), shop.ready_pods("app=web")[0]
    d = sidecar.beside(lab_harness.echo("thief"))
    d["spec"]["template"]["metadata"]["annotations"] = {"sidecar.istio.io/inject": "false"}
    d["spec"]["template"]["spec"]["initContainers"][1]["args"].append(f"--service-node=sidecar~{web['status']['podIP']}~{web['metadata']['name']}.default~default.svc.cluster.local")
    shop.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "thief", "namespace": "default"}})
    d["spec"]["template"]["spec"]["serviceAccountName"] = "thief"
    shop.apply(d)
    wait_until("it is turned away", lambda: refused() > before, 30)
    shop.delete("deployment/thief")


def test_bytes(shop):
    """A connection that is no HTTP is an edge, too."""
    service = lab_harness.service("db")
    service["metadata"]["name"] = "db-bytes"
    service["spec"]["ports"][0] |= {"name": "tcp", "port": 81}
    shop.apply(service)
    wait_until("it answers", lambda: call(shop, "web", "http://db-bytes:81/") == "200")

    def told():
        items = json.loads(shop.fairlead("edges", "svc/db-bytes", "-o", "json"))["items"]
        return [e for e in items if e["protocol"] == "tcp" and e["destination"]["workload"] == "db" and e.get("client", {}).get("connections") and e["client"]["receivedBytes"] > 0]
    wait_until("it is told", told)


def test_traces(shop):
    """What a caller has decided to trace is kept: each sidecar's part, joined."""
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    assert call(shop, "web", "http://cart/traced", "-H", f"traceparent: 00-{trace}-{span}-01") == "200"

    def spans():
        done = shop.fairlead("trace", trace, "-o", "json", check=False).stdout
        return done and done.strip().startswith("[") and len(json.loads(done)) == 2 and json.loads(done)
    egress, ingress = wait_until("both sidecars have told", spans)
    assert (egress["localEndpoint"]["serviceName"], egress["kind"], ingress["localEndpoint"]["serviceName"], ingress["kind"]) == ("web.default", "CLIENT", "cart.default", "SERVER")
    assert egress["parentId"] == span and ingress["parentId"] == egress["id"]
    lines = shop.fairlead("trace", trace).splitlines()
    assert re.fullmatch(rf"trace {trace}: [\d.]+ms, 2 spans", lines[0])
    assert re.search(r"200  web\.default ->  GET https?://cart/traced$", lines[1]) and re.search(r"200    cart\.default <-  GET https?://cart/traced$", lines[2]), lines
    assert trace in shop.fairlead("trace")
    b3 = "463ac35c9f6413ad48485a3953bb6124"
    assert call(shop, "web", "http://cart/b3", "-H", f"x-b3-traceid: {b3}", "-H", "x-b3-spanid: a2fb4a1d1a96d312", "-H", "x-b3-sampled: 1") == "200"
    wait_until("B3's, too", lambda: b3 in shop.fairlead("trace"))


def test_gateways_tell_too(shop):
    """A request from outside begins at the gateway: as an edge, and as the first span of its trace."""
    gateway = Gateway(shop)
    shop.apply({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "db"}, "spec": {"ingressClassName": "fairlead", "rules": [rule("db.example", ("/", "Prefix", "db"))]}})
    gateway.all_do("it is served", lambda a: a.status == 200, "/", "db.example")
    pair = ("fairlead-gateway", "db")
    e = wait_until("it is an edge", lambda: pair in edges(shop) and {"client", "server"} <= set(edges(shop)[pair]) and edges(shop)[pair])
    assert e["source"]["namespace"] == SYSTEM and e["security"] == "mutual_tls"
    assert re.search(r'"fairlead-gateway\.fairlead-system".*"db\.default"|fairlead-gateway.*db', shop.fairlead("graph", "-o", "dot"))
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4737", "00f067aa0ba902b7"
    assert gateway.ask("/from-outside", "db.example", headers={"traceparent": f"00-{trace}-{span}-01"}).status == 200

    def spans():
        done = shop.fairlead("trace", trace, "-o", "json", check=False).stdout
        return done and done.strip().startswith("[") and len(json.loads(done)) == 2 and json.loads(done)
    first, second = wait_until("both have told", spans)
    assert (first["localEndpoint"]["serviceName"], second["localEndpoint"]["serviceName"]) == ("fairlead-gateway.fairlead-system", "db.default")
    assert first["parentId"] == span and second["parentId"] == first["id"]


def test_calls_go_on_without_a_control_plane(shop):
    """And are told again when there is one."""
    before = pod(shop, "web")
    shop.patch(f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/fairlead-control", {"spec": {"replicas": 0}})
    wait_until("it is gone", lambda: not shop.ready_pods("app=fairlead-control", SYSTEM))
    assert all(call(shop, "web", "http://cart/") == "200" for _ in range(20))
    shop.patch(f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/fairlead-control", {"spec": {"replicas": 1}})

    def told():
        call(shop, "web", "http://cart/")
        done = shop.fairlead("edges", "-o", "json", check=False).stdout
        return done.startswith("{") and len(json.loads(done)["items"]) >= 1
    wait_until("it is told again", told, 90)
    assert pod(shop, "web") == before
