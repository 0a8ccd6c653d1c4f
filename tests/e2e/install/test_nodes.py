"""Taking agents out: each is told to clean up its node, and only when all have said so does anything of theirs go. Over a small API server of this test's own, whose DaemonSet has nodes; and the agent itself in a network namespace."""
import base64
import gzip
import http.server
import json
import os
import secrets
import signal
import subprocess
import threading

import pytest
import yaml

from suite import BIN, FAIRLEAD, run, wait_until

SYSTEM = "fairlead-system"
KINDS = {"/api/v1": [("serviceaccounts", "ServiceAccount", True), ("secrets", "Secret", True), ("pods", "Pod", True), ("namespaces", "Namespace", False)],
         "/apis/apps/v1": [("daemonsets", "DaemonSet", True)],
         "/apis/rbac.authorization.k8s.io/v1": [("clusterroles", "ClusterRole", False), ("clusterrolebindings", "ClusterRoleBinding", False)],
         "/apis/admissionregistration.k8s.io/v1": [("mutatingwebhookconfigurations", "MutatingWebhookConfiguration", False)]}
OWNED = {"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": {"meta.helm.sh/release-name": "fairlead", "meta.helm.sh/release-namespace": SYSTEM}}


class Cluster:
    """Objects by path; a DaemonSet on three nodes, whose pods become ready one by one as its template changes."""

    def __init__(self):
        self.objects, self.log, self.stuck, self.version = {}, [], False, "v1.29.0"
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def answer(self, status, body):
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def any(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                self.answer(*owner.on(self.command, self.path, body, self.headers.get("Content-Type", "")))
            do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = any
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def path_of(self, o):
        base = "/api/v1" if o["apiVersion"] == "v1" else "/apis/" + o["apiVersion"]
        plural, _, namespaced = next(k for k in KINDS[base] if k[1] == o["kind"])
        return base + (f"/namespaces/{SYSTEM}" if namespaced else "") + f"/{plural}/{o['metadata']['name']}"

    def put(self, o):
        self.objects[self.path_of(o)] = o

    def applied(self, path, body, dry_run):
        """Server-side apply by one who has all fields."""
        if dry_run:
            return 200, body
        body["metadata"]["generation"] = self.objects.get(path, {"metadata": {"generation": 0}})["metadata"].get("generation", 0) + 1
        if body["kind"] == "DaemonSet":
            body["status"] = {"observedGeneration": body["metadata"]["generation"], "desiredNumberScheduled": 3, "updatedNumberScheduled": 0, "numberReady": 0}
        self.objects[path] = body
        return 201, body

    def on(self, method, target, body, form):
        path, _, query = target.partition("?")
        if path == "/version":
            return 200, {"gitVersion": self.version}
        if path.endswith("/selfsubjectaccessreviews"):
            return 201, {"status": {"allowed": True}}
        if path in KINDS:
            return 200, {"kind": "APIResourceList", "resources": [{"name": p, "kind": k, "namespaced": n} for p, k, n in KINDS[path]]}
        if method != "GET" and "dryRun" not in query:
            self.log.append((method, path))
        o = self.objects.get(path)
        if method == "GET":
            inside = [v for k, v in sorted(self.objects.items()) if k.rsplit("/", 1)[0] == path]
            if o and o["kind"] == "DaemonSet" and not self.stuck and o["status"]["numberReady"] < 3:
                o["status"]["numberReady"] += 1
                o["status"]["updatedNumberScheduled"] = 3
            return (200, o) if o else (200, {"kind": "List", "items": inside}) if path.rsplit("/", 1)[1] in ("secrets", "pods", "configmaps", "endpointslices") else (404, {"kind": "Status", "code": 404, "message": "not found"})
        if method in ("POST", "PUT"):
            self.objects[path if method == "PUT" else f"{path}/{body['metadata']['name']}"] = body
            return 201, body
        if "apply-patch" in form:
            return self.applied(path, body, "dryRun" in query)
        if not o:
            return 404, {"kind": "Status", "code": 404, "message": "not found"}
        if method == "DELETE":
            del self.objects[path]
        if method == "PATCH":
            patch = body["spec"]
            o["metadata"]["generation"] += 1
            o["spec"]["updateStrategy"] = patch["updateStrategy"]
            o["spec"]["template"]["spec"]["containers"][0].update(patch["template"]["spec"]["containers"][0])
            o["status"] = {"observedGeneration": o["metadata"]["generation"], "desiredNumberScheduled": 3, "updatedNumberScheduled": 0, "numberReady": 0}
        return 200, o


@pytest.fixture
def empty(tmp_path):
    c = Cluster()
    config = {"apiVersion": "v1", "kind": "Config", "current-context": "a", "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}], "users": [{"name": "a", "user": {}}],
              "clusters": [{"name": "a", "cluster": {"server": f"http://127.0.0.1:{c.server.server_port}"}}]}
    (tmp_path / "config").write_text(json.dumps(config))
    c.kubeconfig = tmp_path / "config"
    yield c
    c.server.shutdown()
    c.server.server_close()


@pytest.fixture
def cluster(empty):
    """With a release of Helm's in it."""
    c = empty
    manifest = run(FAIRLEAD, "install", "--render", "--set", "crds.install=false,control.enabled=false,gateway.enabled=false,mesh.enabled=false,agent.apiServer.host=192.0.2.1,agent.extraArgs={--masquerade-all}")
    manifest += "---\napiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\nmetadata: {name: hook}\nwebhooks: []\n"
    for o in yaml.safe_load_all(manifest):
        if o:
            o["metadata"] = {**o["metadata"], **{k: {**o["metadata"].get(k, {}), **v} for k, v in OWNED.items()}, "generation": 1}
            if o["kind"] == "DaemonSet":
                o["status"] = {"observedGeneration": 1, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberReady": 3}
            c.put(o)
    record = {"name": "fairlead", "version": 1, "namespace": SYSTEM, "manifest": manifest, "config": {}, "info": {"status": "deployed"}}
    c.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sh.helm.release.v1.fairlead.v1", "labels": {"owner": "helm", "name": "fairlead", "version": "1", "status": "deployed"}},
           "data": {"release": base64.b64encode(base64.b64encode(gzip.compress(json.dumps(record).encode()))).decode()}})
    c.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}})
    return c


def uninstall(cluster, *argv, check=True):
    return run(FAIRLEAD, "uninstall", "--yes", "--kubeconfig", cluster.kubeconfig, *argv, check=check)


SERVICES_ALONE = ["--set", "crds.install=false,control.enabled=false,gateway.enabled=false,mesh.enabled=false"]
AGENTS = f"/apis/apps/v1/namespaces/{SYSTEM}/daemonsets/fairlead-agent"


def record(cluster, version):
    """(values, status) of a revision."""
    secret = cluster.objects[f"/api/v1/namespaces/{SYSTEM}/secrets/sh.helm.release.v1.fairlead.v{version}"]
    found = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(secret["data"]["release"]))))
    return found["config"], found["info"]["status"]


def test_agents_come(empty):
    """The API server's address is found and kept as a value; the namespace lets agents in; every node is waited for."""
    empty.objects["/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"] = {
        "metadata": {"name": "kubernetes"}, "endpoints": [{"addresses": ["192.0.2.7"]}, {"addresses": ["192.0.2.8"]}], "ports": [{"port": 7443}]}
    done = run(FAIRLEAD, "install", *SERVICES_ALONE, "--yes", "--kubeconfig", empty.kubeconfig, check=False)
    assert done.returncode == 0, done.stderr
    assert "192.0.2.7, port 7443, of 2: by the EndpointSlice of kubernetes" in done.stdout and "(2 of 3 ready)" in done.stderr
    values, status = record(empty, 1)
    assert values["agent"]["apiServer"] == {"host": "192.0.2.7", "port": 7443} and status == "deployed"
    agents = empty.objects[AGENTS]
    assert {"name": "KUBERNETES_SERVICE_HOST", "value": "192.0.2.7"} in agents["spec"]["template"]["spec"]["containers"][0]["env"]
    assert agents["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
    assert empty.objects[f"/api/v1/namespaces/{SYSTEM}"]["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "privileged"}
    assert [p.rsplit("/", 1)[1] for m, p in empty.log] == ["namespaces", "secrets", "fairlead-agent", "fairlead-agent", "fairlead-agent", "fairlead-agent", "sh.helm.release.v1.fairlead.v1"]
    assert [p.split("/")[-2] for m, p in empty.log if m == "PATCH"] == ["serviceaccounts", "clusterroles", "clusterrolebindings", "daemonsets"]


def test_too_old(empty):
    empty.version = "v1.28.9"
    done = run(FAIRLEAD, "install", *SERVICES_ALONE, "--yes", "--kubeconfig", empty.kubeconfig, check=False)
    assert done.returncode == 2 and "FAIL  FL-INST-001" in done.stdout and "the server is v1.28.9" in done.stdout and empty.log == []


def test_webhooks_then_nodes_then_the_rest(cluster):
    done = uninstall(cluster, check=False)
    assert done.returncode == 0, done.stderr
    agents = f"/apis/apps/v1/namespaces/{SYSTEM}/daemonsets/fairlead-agent"
    assert cluster.log[:3] == [("DELETE", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/hook"), ("PATCH", agents), ("DELETE", agents)]
    assert "waiting for daemonset.apps/fairlead-agent (1 of 3 ready)" in done.stderr and "(2 of 3 ready)" in done.stderr
    assert {m for m, _ in cluster.log[2:]} == {"DELETE"} and cluster.log[-1][1].endswith("/secrets/sh.helm.release.v1.fairlead.v1")
    assert list(cluster.objects) == [f"/api/v1/namespaces/{SYSTEM}"]
    assert "rules" not in done.stdout


def test_what_agents_are_told(cluster):
    """Their own arguments and one more, on all nodes at once."""
    agents = cluster.objects[f"/apis/apps/v1/namespaces/{SYSTEM}/daemonsets/fairlead-agent"]
    before = list(agents["spec"]["template"]["spec"]["containers"][0]["args"])
    uninstall(cluster)
    assert agents["spec"]["template"]["spec"]["containers"][0]["args"] == before + ["--cleanup-and-wait"] and "--masquerade-all" in before
    assert agents["spec"]["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%", "maxSurge": 0}}


def test_a_node_that_does_not_come(cluster):
    """Nothing of the agents goes while one has not cleaned up; a second try goes on where the first was."""
    cluster.stuck = True
    done = uninstall(cluster, "--timeout", "1s", check=False)
    assert done.returncode == 124 and "daemonset.apps/fairlead-agent (0 of 3 ready)" in done.stderr and "--keep-rules" in done.stderr
    assert any("daemonsets" in p for p in cluster.objects) and any("clusterroles" in p for p in cluster.objects) and any("helm" in p for p in cluster.objects)
    cluster.stuck = False
    uninstall(cluster)
    args = [p for m, p in cluster.log if m == "PATCH"]
    assert len(args) == 2 and list(cluster.objects) == [f"/api/v1/namespaces/{SYSTEM}"]


def test_nodes_that_are_not_waited_for(cluster):
    """It does not claim more than it knows."""
    cluster.stuck = True
    out = uninstall(cluster, "--wait=false")
    assert "left, it may be: the agents' rules" in out and [m for m, _ in cluster.log if m == "PATCH"]


def test_rules_that_are_to_stay(cluster):
    out = uninstall(cluster, "--keep-rules")
    assert not [m for m, _ in cluster.log if m == "PATCH"] and "left: the agents' rules on every node" in out


@pytest.mark.skipif(os.geteuid() != 0, reason="needs network namespaces")
def test_the_agent_cleans_up_and_waits():
    """The table goes, /healthz says so until it is told to end; without an API server, with whatever flags it had."""
    name = "fl-clean-" + secrets.token_hex(3)
    run("ip", "netns", "add", name)
    inside = ["ip", "netns", "exec", name]
    try:
        run(*inside, "ip", "link", "set", "lo", "up")
        run(*inside, "nft", "add table ip fairlead; add table ip6 fairlead; add table ip other")
        agent = subprocess.Popen([*inside, str(BIN / "fairlead-agent"), "--cleanup-and-wait", "--node-name=n", "--healthz-bind-address=127.0.0.1:10256", "--probe-bind-address=127.0.0.1:10246", "--masquerade-all"], stderr=subprocess.PIPE, text=True)
        try:
            ask = [*inside, "curl", "-sS", "-m", "2", "-w", "%{http_code}", "http://127.0.0.1:10256/healthz"]
            wait_until("it says that the node is clean", lambda: run(*ask, check=False).stdout == "clean\n200")
            ask[-1] = "http://127.0.0.1:10246/healthz"  # where the chart has probes ask
            wait_until("probes are told, too", lambda: run(*ask, check=False).stdout == "clean\n200")
            assert run(*inside, "nft", "list", "tables").split("\n")[0] == "table ip other"
            assert agent.poll() is None
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(10) == 0
        finally:
            agent.kill()
    finally:
        run("ip", "netns", "del", name)
