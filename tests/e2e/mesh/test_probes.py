"""Probes and hooks of an injected pod are done by its proxy; who starts and ends first, with either form of sidecar."""
import json

import lab_harness
import pytest
from suite import wait_until

NS = "probes"
FIELD = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
SERVE = "exec python3 -m http.server 8080 --bind $POD_IP"  # on the pod's address alone, as probes of a kubelet come
TLS = """openssl req -x509 -newkey rsa:2048 -nodes -keyout /tmp/k -out /tmp/c -days 1 -subj /CN=x 2>/dev/null
exec python3 -c "
import http.server, ssl
s = http.server.HTTPServer(('0.0.0.0', 8080), http.server.SimpleHTTPRequestHandler)
c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain('/tmp/c', '/tmp/k')
s.socket = c.wrap_socket(s.socket, server_side=True)
s.serve_forever()"
"""
# HTTP/2 by hand: settings, headers 200, a message of one byte field, trailers grpc-status 0.
GRPC = """exec python3 -c "
import socket, sys
status = int(sys.argv[1])
def frame(kind, flags, stream, body): return len(body).to_bytes(3, 'big') + bytes([kind, flags]) + stream.to_bytes(4, 'big') + body
def field(name, value): return bytes([0, len(name)]) + name + bytes([len(value)]) + value
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('0.0.0.0', 8080)); s.listen()
while True:
    c, _ = s.accept()
    c.sendall(frame(4, 0, 0, b''))
    f = c.makefile('rb'); f.read(24)
    while True:
        head = f.read(9)
        if len(head) < 9: break
        f.read(int.from_bytes(head[:3], 'big'))
        if head[3] in (0, 1) and head[4] & 1 and int.from_bytes(head[5:], 'big') == 1: break
    c.sendall(frame(4, 1, 0, b'') + frame(1, 4, 1, bytes([0x88]) + field(b'content-type', b'application/grpc')) + frame(0, 0, 1, bytes([0, 0, 0, 0, 2, 8, status])) + frame(1, 5, 1, field(b'grpc-status', b'0')))
    f.read(1); f.close(); c.close()
" """


def pod(name, script, annotations=None, restart="Always", **container):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NS, "labels": {"app": name}, "annotations": annotations or {}},
            "spec": {"restartPolicy": restart, "terminationGracePeriodSeconds": 3,
                     "containers": [{"name": "app", "image": "busybox", "command": ["sh", "-c", script], "env": [FIELD], **container}]}}


PLAIN = {"sidecar.istio.io/nativeSidecar": "false"}


@pytest.fixture(scope="module")
def lab_(lab):
    lab.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS, "labels": {"istio-injection": "enabled"}}})
    return lab


def container_status(lab, name, which="app"):
    status = lab.get(f"pod/{name}", "-n", NS)["status"]
    return next((c for c in status.get("containerStatuses", []) + status.get("initContainerStatuses", []) if c["name"] == which), {})


def is_ready(lab, name):
    return container_status(lab, name).get("ready")


def inbound(lab, name):
    out = lab.fairlead("exec", "-n", NS, name, "-c", "istio-proxy", "--", "/run/fairlead/bin/fairlead-proxy", "request", "GET", "/stats?format=json&filter=upstream_(rq|cx)_total")
    return sum(s["value"] for s in json.loads(out)["stats"] if s.get("name", "").startswith(("cluster.inbound|", "cluster.InboundPassthrough")))


GOOD = {
    "http": (SERVE, {"httpGet": {"path": "/", "port": 8080}}),
    "named": (SERVE, {"httpGet": {"path": "/", "port": "web"}}),
    "tcp": (SERVE, {"tcpSocket": {"port": 8080}}),
    "https": (TLS, {"httpGet": {"path": "/", "port": 8080, "scheme": "HTTPS"}}),
    "grpc": (GRPC + "1", {"grpc": {"port": 8080}}),
}


def test_each_sort(lab_):
    """Ready by its own probe, which has not come in by the mesh's port."""
    for name, (script, probe) in GOOD.items():
        lab_.apply(pod(name, script, ports=[{"name": "web", "containerPort": 8080}], readinessProbe=probe | {"periodSeconds": 1}, livenessProbe=probe | {"periodSeconds": 1}))
    for name in GOOD:
        wait_until(f"{name} is ready", lambda: is_ready(lab_, name), 30)
        assert inbound(lab_, name) == 0, name
        probe = lab_.get(f"pod/{name}", "-n", NS)["spec"]["containers"][0]["readinessProbe"]
        assert probe["httpGet"]["path"] == "/app-health/app/readyz" and probe["httpGet"]["port"] == 15020
        assert container_status(lab_, name)["restartCount"] == 0


def test_what_fails_fails(lab_):
    bad = {"missing": (SERVE, {"httpGet": {"path": "/none", "port": 8080}}), "closed": (SERVE, {"tcpSocket": {"port": 8081}}),
           "not-serving": (GRPC + "2", {"grpc": {"port": 8080}}), "slow": ("exec nc -lk 8080 >/dev/null", {"httpGet": {"path": "/", "port": 8080}})}
    for name, (script, probe) in bad.items():
        lab_.apply(pod(name, script, readinessProbe=probe | {"periodSeconds": 1}))

    def events(name):
        return [e["message"] for e in lab_.get("events", "-n", NS)["items"] if e["involvedObject"]["name"] == name and e["reason"] == "Unhealthy"]
    for name in bad:
        wait_until(f"{name} is told", lambda: any("readiness" in m.lower() for m in events(name)), 30)
        assert not is_ready(lab_, name), name


def test_liveness_restarts(lab_):
    lab_.apply(pod("dies", f"test -e /tmp/x; {SERVE}", livenessProbe={"httpGet": {"path": "/none", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1}))
    wait_until("it is started again", lambda: container_status(lab_, "dies").get("restartCount", 0) > 0, 30)


def test_hooks(lab_):
    """postStart by HTTP: tried once, so the app has to be quick; here it fails, and the event says by which way."""
    lab_.apply(pod("hook", SERVE, lifecycle={"preStop": {"httpGet": {"path": "/bye", "port": 8080}}}, readinessProbe={"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}))
    wait_until("it is ready", lambda: is_ready(lab_, "hook"), 30)
    assert lab_.get("pod/hook", "-n", NS)["spec"]["containers"][0]["lifecycle"]["preStop"]["httpGet"]["path"] == "/app-lifecycle/app/prestopz"
    out = lab_.fairlead("exec", "-n", NS, "hook", "-c", "app", "--", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:15020/app-lifecycle/app/prestopz")
    assert out == "404", "the app's own answer"


def test_the_switch(lab_):
    """Left alone, a probe comes in by the mesh's port."""
    lab_.apply(pod("alone", SERVE, {"sidecar.istio.io/rewriteAppHTTPProbers": "false"}, readinessProbe={"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}))
    wait_until("it is ready", lambda: is_ready(lab_, "alone"), 30)
    assert inbound(lab_, "alone") > 0


def test_others_ask_the_port(lab_):
    ip = lab_.get("pod/http", "-n", NS)["status"]["podIP"]

    def ask(path, *args):
        return lab_.fairlead("exec", "-n", NS, "tcp", "-c", "app", "--", "curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", *args, f"http://{ip}:15020{path}")
    assert (ask("/app-health/app/readyz"), ask("/healthz/ready"), ask("/app-health/app/none"), ask("/")) == ("200", "200", "404", "404")
    assert (ask("/quitquitquit"), ask("/quitquitquit", "-X", "POST")) == ("405", "403"), "nobody but the pod itself"
    assert container_status(lab_, "http", "istio-proxy")["restartCount"] == 0


# ---- who is first, who is last ----

@pytest.fixture(scope="module")
def target(lab_):
    lab_.apply(*(o | {"metadata": o["metadata"] | {"namespace": NS}} for o in (lab_harness.echo("target", args=("--name", "target")), lab_harness.service("target"))))
    wait_until("it is served", lambda: any(p["metadata"]["labels"].get("app") == "target" and all(c.get("ready") for c in p["status"].get("containerStatuses", [{}]))
                                           for p in lab_.get("pods", "-n", NS)["items"]), 40)


CALL = "curl -sf -m 5 http://target/ >/dev/null || exit 7"


@pytest.mark.parametrize("annotations", ({}, PLAIN), ids=("native", "plain"))
def test_the_app_starts_behind_its_proxy(lab_, target, annotations):
    """Its first call goes through; it is not tried again."""
    name = "first-" + ("plain" if annotations else "native")
    lab_.apply(pod(name, f"{CALL}; curl -s -X POST http://127.0.0.1:15020/quitquitquit; exit 0", annotations, restart="Never"))
    wait_until("the app has ended", lambda: container_status(lab_, name).get("state", {}).get("terminated"), 40)
    assert container_status(lab_, name)["state"]["terminated"]["exitCode"] == 0
    wait_until("the pod has ended", lambda: lab_.get(f"pod/{name}", "-n", NS)["status"]["phase"] == "Succeeded", 40)


def test_a_native_sidecar_ends_by_itself(lab_, target):
    """The app knows nothing of it: the pod of a Job is over when the app is."""
    lab_.apply(pod("over", CALL, restart="Never"))
    wait_until("the pod has ended", lambda: lab_.get("pod/over", "-n", NS)["status"]["phase"] == "Succeeded", 40)


def test_a_plain_one_stays_until_it_is_told(lab_, target):
    lab_.apply(pod("stays", CALL, PLAIN, restart="Never"))
    wait_until("the app has ended", lambda: container_status(lab_, "stays").get("state", {}).get("terminated"), 40)
    assert lab_.get("pod/stays", "-n", NS)["status"]["phase"] == "Running"
    lab_.fairlead("exec", "-n", NS, "stays", "-c", "istio-proxy", "--", "curl", "-s", "-X", "POST", "http://127.0.0.1:15020/quitquitquit", check=False)  # it may be ended with it
    wait_until("the pod has ended", lambda: lab_.get("pod/stays", "-n", NS)["status"]["phase"] == "Succeeded", 40)
