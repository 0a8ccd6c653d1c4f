"""Two labs that are one mesh: each its own control plane and network, one root, gateways between them."""
import base64
import os

import lab_harness
import pytest
import yaml
from suite import FAIRLEAD, ROOT, run

SYSTEM = "fairlead-system"


class Cluster(lab_harness.Lab):
    """A lab whose cluster and network have its name."""

    def __init__(self, name):
        super().__init__(lab_harness.new_name(name[0]))
        self.id = name

    def run_app(self, name, *args, replicas=1, labels=None):
        """An echo in the namespace shop, which answers with the cluster's name, and its Service."""
        d, s = lab_harness.echo(name, replicas=replicas, args=("--name", self.id, *args)), lab_harness.service(name)
        for o in (d, s):
            o["metadata"]["namespace"] = "shop"
        d["spec"]["template"]["metadata"]["labels"].update(labels or {})
        s["spec"]["ports"][0]["name"] = "http"
        self.apply(d, s)
        self.wait_ready(f"app={name}", replicas, "shop")

    def call(self, name, url, *args):
        """(status, body) of what the app's container asks."""
        pod = self.ready_pods(f"app={name}", "shop")[0]["metadata"]["name"]
        done = self.fairlead("exec", "-n", "shop", pod, "-c", "echo", "--", "curl", "-s", "-m", "10", "-w", "\n%{http_code}", *args, url, check=False)
        body, _, status = done.stdout.rpartition("\n")
        return int(status or 0), body

    def admin(self, name, path):
        pod = self.ready_pods(f"app={name}", "shop")[0]["metadata"]["name"]
        return self.fairlead("exec", "-n", "shop", pod, "-c", "istio-proxy", "--", "/run/fairlead/bin/fairlead-proxy", "request", "GET", path)

    def remotes(self):
        """What the control plane says of the others."""
        pod = self.ready_pods("app=fairlead-control", SYSTEM)[0]["metadata"]["name"]
        return yaml.safe_load(self.fairlead("exec", "-n", SYSTEM, pod, "--", "curl", "-s", "http://127.0.0.1:15014/debug/clusterz"))


def secret_of(cluster, kubeconfig, name="remote"):
    """A remote secret made by hand."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": SYSTEM, "labels": {"istio/multiCluster": "true"}},
            "data": {cluster: base64.b64encode(kubeconfig.encode()).decode()}}


@pytest.fixture(scope="session")
def clusters():
    """east and west, which reach one another's nodes and balancers, and know one another."""
    both = [Cluster("east"), Cluster("west")]
    try:
        run(str(ROOT / "examples/mesh/multicluster/up.sh"), *(c.name for c in both), env=dict(os.environ, FAIRLEAD=FAIRLEAD), timeout=120)
        for c in both:
            c.kubeconfig = c.fairlead("lab", "kubeconfig", "--name", c.name, "--path").strip()
            c.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"istio-injection": "enabled"}}})
        yield both
        assert not [c for lab in both for c in lab.complaints()]
    finally:
        for lab in both:
            lab.down()
