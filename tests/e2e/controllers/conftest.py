"""The API server and the controllers as two processes, no nodes: the tests play the nodes, so every state of a pod can be had."""
import datetime
import signal
import subprocess
import urllib.parse

import pytest

from api_server import Server
from suite import LABD

GRACE_S = 2


def now(fraction=""):
    return datetime.datetime.now(datetime.timezone.utc).strftime(f"%Y-%m-%dT%H:%M:%S{fraction}Z")


class Cluster(Server):
    conn = None

    def call(self, *args, conn=None, **kw):
        """On one connection that stays."""
        return super().call(*args, conn=conn or self.conn, **kw)

    def start_controllers(self, *extra):
        self.controllers_log = open(self.dir / "controllers.log", "ab")
        self.controllers = subprocess.Popen(
            [str(a) for a in [LABD, "controllers", "--kubeconfig", self.kubeconfig(),
                              "--load-balancer-pool", "192.0.2.10-192.0.2.12", "--load-balancer-pool-v6", "2001:db8::a-2001:db8::c",
                              "--node-monitor-grace-period", f"{GRACE_S}s", *extra]], stderr=self.controllers_log)

    def stop_controllers(self, sig=signal.SIGTERM):
        self.controllers.send_signal(sig)
        return self.controllers.wait(10)

    # What these ask for must be granted; they return the object.

    def ok(self, reply):
        assert reply.status < 300, reply.body
        return reply.json

    def create(self, path, body):
        return self.ok(self.post(path, body))

    def read(self, path):
        return self.ok(self.get(path))

    def change(self, path, body, kind="merge"):
        return self.ok(self.patch(path, body, kind))

    def remove(self, path, body=None):
        return self.ok(self.delete(path, body))

    def items(self, path, selector=""):
        return self.read(path + (f"?labelSelector={urllib.parse.quote(selector)}" if selector else ""))["items"]

    # ---- nodes and pods as a node part would report them ----

    def node(self, name, labels=None, ready=True, **allocatable):
        self.create("/api/v1/nodes", {"metadata": {"name": name, "labels": labels or {}}})
        self.renew(name, first=True)
        self.change(f"/api/v1/nodes/{name}/status", {"status": {
            "allocatable": {"pods": "110", **allocatable},
            "conditions": [{"type": "Ready", "status": "True" if ready else "False", "reason": "KubeletReady"}]}}, "strategic")

    def renew(self, name, first=False):
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now(".%f")}
        if first:
            self.post("/api/v1/namespaces", {"metadata": {"name": "kube-node-lease"}})
            self.create(path, {"metadata": {"name": name}, "spec": spec})
        else:
            self.change(f"{path}/{name}", {"spec": spec})

    def report(self, ns, name, ip=None, ready=True, ips=None):
        ips = ips or [ip]
        return self.patch(f"/api/v1/namespaces/{ns}/pods/{name}/status", {"status": {
            "phase": "Running", "podIP": ips[0], "podIPs": [{"ip": i} for i in ips],
            "conditions": [{"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": now()}]}}, kind="strategic")

    def running(self, *args, **kw):
        self.ok(self.report(*args, **kw))

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
        return self.items(f"/apis/discovery.k8s.io/v1/namespaces/{ns}/endpointslices", f"kubernetes.io/service-name={service}")

    def endpoints(self, ns, service="web"):
        """address -> endpoint, over all slices."""
        return {e["addresses"][0]: e for s in self.slices(ns, service) for e in s.get("endpoints") or []}

    def events(self, ns, name):
        return self.items(f"/api/v1/namespaces/{ns}/events?fieldSelector=involvedObject.name={name}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    c = Cluster(tmp_path_factory.mktemp("controllers")).start()
    c.conn = c.connect(60)
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
