"""The API server and the controllers as two processes, no nodes: the tests play the nodes, so every state of a pod can be had."""
import datetime
import importlib.util
import os
import pathlib
import signal
import subprocess
import time

import pytest

_spec = importlib.util.spec_from_file_location("api_conftest", pathlib.Path(__file__).resolve().parents[1] / "api" / "conftest.py")
api = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(api)

SLOW = 5 if os.environ.get("FAIRLEAD_SANITIZED") else 1
GRACE_S = 2


def wait_until(what, fn, timeout=10):
    """Calls fn until it returns something true; that value."""
    end = time.monotonic() + timeout * SLOW
    while True:
        value = fn()
        if value:
            return value
        if time.monotonic() > end:
            pytest.fail(f"timed out waiting until {what} (last: {value!r})")
        time.sleep(0.02)


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Cluster(api.Server):
    def start_controllers(self, *extra):
        self.controllers_log = open(self.dir / "controllers.log", "ab")
        self.controllers = subprocess.Popen(
            [str(a) for a in [api.build_dir() / "bin" / "fairlead-labd", "controllers", "--kubeconfig", self.kubeconfig(),
                              "--load-balancer-pool", "192.0.2.10-192.0.2.12", "--load-balancer-pool-v6", "2001:db8::a-2001:db8::c",
                              "--node-monitor-grace-period", f"{GRACE_S}s", *extra]], stderr=self.controllers_log)

    def stop_controllers(self, sig=signal.SIGTERM):
        self.controllers.send_signal(sig)
        return self.controllers.wait(10)

    def ok(self, reply):
        assert reply.status < 300, reply.body
        return reply.json

    def create(self, path, body):
        return self.ok(self.post(path, body))

    def items(self, path):
        return self.ok(self.get(path))["items"]

    # ---- nodes and pods as a node part would report them ----

    def node(self, name, labels=None, ready=True):
        self.create("/api/v1/nodes", {"metadata": {"name": name, "labels": labels or {}}})
        self.renew(name, first=True)
        self.ok(self.patch(f"/api/v1/nodes/{name}/status", {"status": {
            "allocatable": {"pods": "110"},
            "conditions": [{"type": "Ready", "status": "True" if ready else "False", "reason": "KubeletReady"}]}}, kind="strategic"))

    def renew(self, name, first=False):
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now()}
        if first:
            self.post("/api/v1/namespaces", {"metadata": {"name": "kube-node-lease"}})
            self.create(path, {"metadata": {"name": name}, "spec": spec})
        else:
            self.ok(self.patch(f"{path}/{name}", {"spec": spec}))

    def running(self, ns, name, ip=None, ready=True, ips=None):
        ips = ips or [ip]
        self.ok(self.patch(f"/api/v1/namespaces/{ns}/pods/{name}/status", {"status": {
            "phase": "Running", "podIP": ips[0], "podIPs": [{"ip": i} for i in ips],
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}}, kind="strategic"))

    def pod(self, ns, name, ip=None, labels=None, node="n0", ready=True, ips=None, ports=(), **spec):
        container = {"name": "c", "image": "nginx", "ports": list(ports)}
        self.create(f"/api/v1/namespaces/{ns}/pods", {"metadata": {"name": name, "labels": labels or {"app": "web"}},
                                                     "spec": {"nodeName": node, "containers": [container], **spec}})
        if ip or ips:
            self.running(ns, name, ip, ready, ips)

    def service(self, ns, name="web", selector=None, ports=None, **spec):
        body = {"metadata": {"name": name}, "spec": {"ports": ports or [{"name": "http", "port": 80, "targetPort": 8080}], **spec}}
        if selector != {}:
            body["spec"]["selector"] = selector or {"app": "web"}
        return self.create(f"/api/v1/namespaces/{ns}/services", body)

    def slices(self, ns, service="web"):
        return self.items(f"/apis/discovery.k8s.io/v1/namespaces/{ns}/endpointslices?labelSelector=kubernetes.io/service-name={service}")

    def endpoints(self, ns, service="web"):
        """address -> endpoint, over all slices."""
        return {e["addresses"][0]: e for s in self.slices(ns, service) for e in s.get("endpoints") or []}

    def events(self, ns, name):
        return self.items(f"/api/v1/namespaces/{ns}/events?fieldSelector=involvedObject.name={name}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    c = Cluster(tmp_path_factory.mktemp("controllers")).start()
    c.start_controllers()
    try:
        yield c
        assert c.stop_controllers() == 0, f"see {c.dir}/controllers.log"
    finally:
        if c.controllers.poll() is None:
            c.controllers.kill()
            c.controllers.wait()
        assert c.stop() == 0, f"see {c.dir}/apiserver.log"


_names = iter(f"t{i}" for i in range(1, 1000))


@pytest.fixture
def ns(cluster):
    name = next(_names)
    cluster.create("/api/v1/namespaces", {"metadata": {"name": name}})
    return name


@pytest.fixture(scope="session")
def until():
    return wait_until
