"""An API server with the kinds of address pools, and the control plane that gives addresses of them."""
import pathlib
import subprocess

import pytest
import yaml
from api_server import Server
from suite import BIN, ROOT, wait_until

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
POOLS = "/apis/metallb.io/v1beta1/namespaces/fairlead-system/ipaddresspools"
ADVERTISEMENTS = "/apis/metallb.io/v1beta1/namespaces/fairlead-system/l2advertisements"
KINDS = {"BGPPeer": ("v1beta2", "bgppeers"), "BGPAdvertisement": ("v1beta1", "bgpadvertisements"), "Community": ("v1beta1", "communities"), "BFDProfile": ("v1beta1", "bfdprofiles")}


def path_of(kind):
    version, plural = KINDS[kind]
    return f"/apis/metallb.io/{version}/namespaces/fairlead-system/{plural}"


class Cluster(Server):
    def define(self):
        for f in sorted((pathlib.Path(ROOT) / "deploy/crds/metallb").glob("*.yaml")):
            r = self.post(CRDS, yaml.safe_load(f.read_text()))
            assert r.status == 201, r.body
        wait_until("the kinds are served", lambda: all(self.get(p).status == 200 for p in (POOLS, ADVERTISEMENTS, *map(path_of, KINDS))))
        for ns in ("fairlead-system", "default"):
            r = self.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}})
            assert r.status in (201, 409), r.body

    def put_object(self, path, o):
        """Creates it, or changes its spec, labels and annotations."""
        r = self.post(path, o)
        if r.status == 409:
            r = self.patch(f"{path}/{o['metadata']['name']}", {k: o[k] for k in o if k in ("metadata", "spec")})
        assert r.status in (200, 201), r.body
        return r.json

    def pool(self, name, *addresses, labels=None, **spec):
        return self.put_object(POOLS, {"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": name, "labels": labels or {}},
                                       "spec": {"addresses": list(addresses), **spec}})

    def advertise(self, name="all", **spec):
        return self.put_object(ADVERTISEMENTS, {"apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement", "metadata": {"name": name}, "spec": spec})

    def bgp(self, kind, name, **spec):
        return self.put_object(path_of(kind), {"apiVersion": f"metallb.io/{KINDS[kind][0]}", "kind": kind, "metadata": {"name": name}, "spec": spec})

    def forget_bgp(self, kind, name):
        self.remove(f"{path_of(kind)}/{name}")

    def service(self, name, annotations=None, ports=(80,), labels=None, **spec):
        return self.put_object("/api/v1/namespaces/default/services", {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "annotations": annotations or {}, "labels": labels or {}},
            "spec": {"type": "LoadBalancer", "ports": [{"name": f"p{p}", "port": p} for p in ports], **spec}})

    def put_slice(self, service, endpoints, family=4):
        path, name = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", f"{service}-{family}"
        o = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service}},
             "addressType": f"IPv{family}", "endpoints": endpoints, "ports": [{"name": "p80", "port": 8080, "protocol": "TCP"}]}
        r = self.post(path, o)
        if r.status == 409:
            r = self.patch(f"{path}/{name}", {"endpoints": endpoints})
        assert r.status in (200, 201), r.body

    def remove(self, path):
        assert self.delete(path).status in (200, 202)

    def ips(self, name):
        status = self.get(f"/api/v1/namespaces/default/services/{name}").json["status"]
        return [i["ip"] for i in status["loadBalancer"].get("ingress", [])]

    def has(self, name, *ips):
        wait_until(f"{name} has {ips}", lambda: self.ips(name) == list(ips))

    def events(self, name, reason, ns="default"):
        return [e["message"] for e in self.get(f"/api/v1/namespaces/{ns}/events").json["items"]
                if e["involvedObject"]["name"] == name and e["reason"] == reason]

    def told(self, name, reason, text, **kw):
        wait_until(f"{name} is told {reason}", lambda: any(text in m for m in self.events(name, reason, **kw)))


class Control:
    def __init__(self, cluster, name, *flags):
        self.log = open(cluster.dir / f"{name}.log", "ab")
        self.process = subprocess.Popen(
            [f"{BIN}/fairlead-control", f"--kubeconfig={cluster.kubeconfig()}", "--leader-namespace=fairlead-system", "--xds-bind-address=127.0.0.1:0",
             "--debug-bind-address=127.0.0.1:0", "--address-pool-namespace=fairlead-system", *flags], stderr=self.log)

    def stop(self, kill=False):
        if self.process.poll() is None:
            (self.process.kill if kill else self.process.terminate)()
        return self.process.wait(10)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    server = Cluster(tmp_path_factory.mktemp("balancer"))
    server.start()
    try:
        server.define()
        yield server
    finally:
        assert server.stop() == 0


class Controls:
    def __init__(self, cluster):
        self.cluster, self.running = cluster, []

    def start(self, name="control", *flags):
        self.running.append(Control(self.cluster, name, *flags))
        return self.running[-1]

    def stop_all(self):
        for c in self.running:
            c.stop()


@pytest.fixture(scope="module")
def control(cluster):
    controls = Controls(cluster)
    controls.start()
    yield controls
    controls.stop_all()
