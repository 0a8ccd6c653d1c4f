"""AuthorizationPolicies with action CUSTOM: another server says who may pass."""
import json
import subprocess
import sys

import lab_harness
import pytest
from suite import ROOT, wait_until

# Lets pass who says so, and tells what it was asked.
SERVER = """
import http.server, json
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        good = self.headers.get("x-pass") == "yes"
        body = json.dumps({"path": self.path, "host": self.headers["host"], "added": self.headers.get("x-added"), "hidden": self.headers.get("x-hidden")}).encode()
        self.send_response(200 if good else 418)
        self.send_header("x-user", "ann")
        self.send_header("x-why", "because")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 8089), Handler).serve_forever()
"""


def config(text):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio", "namespace": "istio-system"}, "data": {"mesh": text}}


def policy(name="ask", action="CUSTOM", provider="asked", path="/admin*", **spec):
    more = {"provider": {"name": provider}} if action == "CUSTOM" else {}
    return {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": name, "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"app": "bob"}}, "action": action, **more, "rules": [{"to": [{"operation": {"paths": [path]}}]}], **spec}}


PROVIDER = """
extensionProviders:
- name: asked
  envoyExtAuthzHttp:
    service: asked.default.svc.cluster.local
    port: 80
    pathPrefix: /check
    timeout: 2s
    includeRequestHeadersInCheck: [x-pass]
    includeAdditionalHeadersInCheck: {x-added: by-the-mesh}
    headersToUpstreamOnAllow: [x-user]
    headersToDownstreamOnDeny: [x-why]
"""


@pytest.fixture(scope="module")
def apps(mesh):
    lab = mesh.lab
    lab.apply((ROOT / "deploy/crds/security.authorizationpolicies.yaml").read_text())
    lab.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system"}})
    service = lab_harness.service("asked")
    service["spec"]["ports"][0].update(name="http", targetPort=8089)
    lab.apply(lab_harness.echo("asked"), service)
    lab.wait_ready("app=asked", 1)
    mesh.run("alice", probe=False)
    mesh.run("bob", probe=False)
    mesh.server = subprocess.Popen(["ip", "netns", "exec", lab.netns(lab.pod_netns(mesh.pod("asked"))), sys.executable, "-c", SERVER])
    wait_until("bob is served", lambda: ask(mesh)[0] == 200)
    yield mesh
    mesh.server.terminate()
    mesh.server.wait()


@pytest.fixture
def put(apps):
    yield apps.lab.apply
    for p in apps.lab.get("authorizationpolicies")["items"]:
        apps.lab.fairlead("delete", f"authorizationpolicies/{p['metadata']['name']}")
    wait_until("nobody is asked", lambda: ask(apps, "/admin")[0] == 200)


def ask(apps, path="/", *args):
    status, body = apps.curl("alice", *args, f"http://bob{path}", check=False)
    return status, body


def test_asked_about_what_its_rules_are_about(apps, put):
    put(config(PROVIDER), policy())
    wait_until("the server refuses", lambda: ask(apps, "/admin/x?y=1")[0] == 418)
    seen = json.loads(ask(apps, "/admin/x?y=1", "-H", "x-hidden: 1", "-H", "x-added: mine")[1])
    assert seen == {"path": "/check/admin/x?y=1", "host": "bob", "added": "by-the-mesh", "hidden": None}
    fields = apps.curl("alice", "-D", "-", "-o", "/dev/null", "http://bob/admin", check=False)[1].lower()
    assert "x-why: because" in fields and "x-user" not in fields
    assert ask(apps, "/else")[0] == 200, "nobody is asked about other paths"
    status, body = ask(apps, "/admin", "-H", "x-pass: yes", "-H", "x-user: root")
    assert status == 200
    told = {k.lower(): v for k, v in json.loads(body)["headers"].items()}
    assert told["x-user"] in ("ann", ["ann"]), told


def test_deny_and_allow_still_hold(apps, put):
    put(config(PROVIDER), policy(), policy("no", "DENY", path="/admin/secret"), policy("yes", "ALLOW", path="/admin*"))
    wait_until("all are in force", lambda: ask(apps, "/else")[0] == 403)
    wait_until("the server is asked", lambda: ask(apps, "/admin")[0] == 418)
    assert ask(apps, "/admin", "-H", "x-pass: yes")[0] == 200
    assert ask(apps, "/admin/secret", "-H", "x-pass: yes") == (403, "RBAC: access denied")


def test_nobody_to_be_asked(apps, put):
    put(config(PROVIDER), policy(provider="nobody"))
    wait_until("it is refused", lambda: ask(apps, "/admin", "-H", "x-pass: yes") == (403, "RBAC: access denied"))
    assert ask(apps, "/else")[0] == 200
    assert [e for e in apps.lab.get("events")["items"] if e["reason"] == "AuthorizationInvalid" and "nobody is no provider" in e["message"]]
    put(config(PROVIDER.replace("name: asked", "name: nobody")))
    wait_until("it has come", lambda: ask(apps, "/admin", "-H", "x-pass: yes")[0] == 200)


def test_a_server_that_does_not_answer(apps, put):
    put(config(PROVIDER.replace("port: 80", "port: 80\n    statusOnError: '503'").replace("asked.default", "silent.default")), policy())
    wait_until("it is refused", lambda: ask(apps, "/admin", "-H", "x-pass: yes")[0] == 403)
    silent = lab_harness.service("silent", selector={"app": "nobody"})
    silent["spec"]["ports"][0].update(name="http")
    put(silent)
    wait_until("there is a Service without endpoints", lambda: ask(apps, "/admin", "-H", "x-pass: yes")[0] == 503)
    put(config(PROVIDER.replace("port: 80", "port: 80\n    failOpen: true").replace("asked.default", "silent.default")))
    wait_until("it may fail open", lambda: ask(apps, "/admin")[0] == 200)


GRPC = """
extensionProviders:
- name: asked
  envoyExtAuthzGrpc:
    service: checks.default.svc.cluster.local
    port: 9000
    timeout: 2s
    includeRequestBodyInCheck: {maxRequestBytes: 100}
"""


def test_asked_by_grpc(apps, put):
    """Who calls is told by his identity; what the server says is heeded. When it has gone, nobody passes."""
    service = lab_harness.service("checks", selector={"app": "asked"})
    service["spec"]["ports"] = [{"name": "grpc", "port": 9000, "targetPort": 8090}]
    apps.lab.apply(service)
    server = subprocess.Popen(["ip", "netns", "exec", apps.lab.netns(apps.lab.pod_netns(apps.pod("asked"))), sys.executable, ROOT / "tests/e2e/proxy/check_server.py", "8090"])
    try:
        put(config(GRPC), policy())
        wait_until("the server refuses", lambda: ask(apps, "/admin")[0] == 418)
        assert ask(apps, "/admin", "-d", "a body") == (418, "a body")
        fields = apps.curl("alice", "-D", "-", "-o", "/dev/null", "http://bob/admin", check=False)[1].lower()
        assert "x-why: spiffe://cluster.local/ns/default/sa/" in fields
        assert ask(apps, "/else")[0] == 200, "nobody is asked about other paths"
        status, body = ask(apps, "/admin", "-H", "x-pass: yes", "-H", "x-user: root", "-H", "x-secret: s")
        told = {k.lower(): v for k, v in json.loads(body)["headers"].items()}
        assert status == 200 and told["x-user"] in ("ann", ["ann"]) and "x-secret" not in told, told
    finally:
        server.terminate()
        server.wait()
    wait_until("nobody passes", lambda: ask(apps, "/admin", "-H", "x-pass: yes")[0] == 403)
