"""`fairlead inject`: manifests of an app that knows nothing, applied with a proxy in them."""
import json
import time

import lab_harness
import pytest
from suite import wait_until


@pytest.fixture(scope="module")
def app(mesh, tmp_path_factory):
    path = tmp_path_factory.mktemp("app") / "app.json"
    objects = [lab_harness.echo(n, replicas=2, args=("--name", n)) | {} for n in ("shop", "cart")] + [lab_harness.service("shop"), lab_harness.service("cart")]
    objects[0]["spec"]["template"]["metadata"].setdefault("annotations", {})["traffic.sidecar.istio.io/excludeInboundPorts"] = "8080"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    printed = json.loads(mesh.lab.fairlead("inject", "-f", str(path), "-o", "json"))
    assert [o["kind"] for o in printed["items"]] == ["Deployment", "Deployment", "Service", "Service"]
    mesh.lab.apply(*printed["items"])
    for name in ("shop", "cart"):
        mesh.lab.wait_ready(f"app={name}", 2)
    return mesh


def stats(mesh, pod, text):
    out = mesh.lab.fairlead("exec", pod, "-c", "istio-proxy", "--", "/run/fairlead/bin/fairlead-proxy", "request", "GET", "/stats?format=json&filter=upstream_rq_total")
    return sum(s["value"] for s in json.loads(out)["stats"] if text in s.get("name", ""))


def test_calls_go_through_both(app):
    """The first container is the app's: kubectl and fairlead take it without being told."""
    shop = app.lab.ready_pods("app=shop")[0]["metadata"]["name"]
    done = app.lab.fairlead("exec", shop, "--", "curl", "-s", "-m", "10", "http://cart/")
    assert json.loads(done)["name"] == "cart"
    assert stats(app, shop, "outbound|80||cart.default.svc.cluster.local") >= 1
    assert sum(stats(app, p["metadata"]["name"], "inbound|8080||") for p in app.lab.ready_pods("app=cart")) == 1, "one call, and no probe"


def test_ports_that_are_left_out(app):
    for p in app.lab.ready_pods("app=shop"):
        assert stats(app, p["metadata"]["name"], "inbound|8080||") == 0


def test_the_proxy_goes_with_its_pod(app):
    """A sidecar of init containers ends behind the app, and the pod is replaced while nobody notices."""
    cart = app.lab.ready_pods("app=cart")[0]["metadata"]["name"]
    app.lab.fairlead("delete", f"pod/{cart}")
    shop = app.lab.ready_pods("app=shop")[0]["metadata"]["name"]
    for _ in range(10):
        done = app.lab.fairlead("exec", shop, "-c", "echo", "--", "curl", "-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", "http://cart/")
        assert done == "200"
    wait_until("it is replaced", lambda: cart not in [p["metadata"]["name"] for p in app.lab.pods("app=cart")] and len(app.lab.ready_pods("app=cart")) == 2)


def test_who_hears_late_is_answered(app):
    """Its app has ended, and its proxy takes connections for a while: a caller who does not know it yet is told to ask elsewhere, and not left alone."""
    cart = app.lab.ready_pods("app=cart")[0]
    url = f"http://{cart['status']['podIP']}:8080/"
    seen = []

    def ask():
        done = app.lab.in_netns("node-1", "curl", "-s", "-m", "2", "-o", "/dev/null", "-D", "-", "-w", "%{http_code}", url, check=False).stdout.lower()
        seen.append((time.monotonic(), done[-3:], "x-fairlead-unseen" in done and "connection: close" in done))
    ask()
    app.lab.fairlead("delete", "--wait=false", f"pod/{cart['metadata']['name']}")
    end = time.monotonic() + 20
    while time.monotonic() < end and not [s for s in seen if s[1] == "000"]:
        ask()
    late = [s for s in seen if s[1] == "503"]
    assert {"200", "503"} <= {s[1] for s in seen} and all(s[2] for s in late), seen
    assert late[-1][0] - late[0][0] > 1, "who comes again and again keeps it for five seconds; once is not enough"
    assert late[-1][0] - late[0][0] < 8, "and no longer"
