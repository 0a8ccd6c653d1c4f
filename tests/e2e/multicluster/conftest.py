"""Two labs that are one mesh: each its own control plane and network, one root, gateways between them."""
import base64
import concurrent.futures
import subprocess

import lab_harness
import pytest
import yaml
from suite import ROOT, wait_until

SYSTEM = "fairlead-system"
NEW = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def authority(directory, name):
    """Files of the Secret `cacerts`: an intermediate of the common root."""
    def openssl(*argv):
        subprocess.run(["openssl", *argv], check=True, capture_output=True, cwd=directory)
    if not (directory / "root.pem").exists():
        openssl("req", "-x509", *NEW, "-keyout", "root.key", "-out", "root.pem", "-subj", "/CN=both", "-days", "9", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        (directory / "ext").write_text("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n")
    openssl("req", "-new", *NEW, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
    openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "root.pem", "-CAkey", "root.key", "-days", "5", "-extfile", "ext", "-out", f"{name}.pem")
    text = {n: (directory / n).read_text() for n in ("root.pem", f"{name}.key", f"{name}.pem")}
    return {"ca-cert.pem": text[f"{name}.pem"], "ca-key.pem": text[f"{name}.key"], "cert-chain.pem": text[f"{name}.pem"], "root-cert.pem": text["root.pem"]}


class Cluster(lab_harness.Lab):
    def __init__(self, name):
        super().__init__(lab_harness.new_name(name[0]))
        self.id = name

    def start(self, files):
        """A mesh whose cluster and network have its name."""
        self.up("--nodes", "1")
        for crd in sorted((ROOT / "deploy/crds").glob("*.yaml")):
            self.apply(crd.read_text())
        objects = {}
        for name in ("ingress/ingress.yaml", "mesh/mesh.yaml"):  # what both have is as the second says
            for o in yaml.safe_load_all((ROOT / "deploy" / name).read_text()):
                objects[o["kind"], o["metadata"]["name"]] = o
        objects = list(objects.values())
        for o in objects:
            if o["kind"] == "Namespace":
                o["metadata"].setdefault("labels", {})["topology.istio.io/network"] = self.id
            if o["kind"] == "Deployment" and o["metadata"]["name"] == "fairlead-control":
                o["spec"]["template"]["spec"]["containers"][0]["args"].append(f"--cluster-id={self.id}")
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cacerts", "namespace": SYSTEM}, "stringData": files}
        self.apply(*[o for o in objects if o["kind"] == "Namespace"], secret)
        self.apply(*objects)
        wait_until("the webhook is told whom to trust", lambda: any(w["clientConfig"].get("caBundle") for c in self.get("mutatingwebhookconfigurations")["items"] for w in c["webhooks"]), 40)
        self.apply((ROOT / "examples/mesh/multicluster/east-west.yaml").read_text().replace("NETWORK", self.id))
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"istio-injection": "enabled"}}})
        return self

    def knows(self, other):
        """A remote secret, as `create-remote-secret` makes it there."""
        self.apply(other.fairlead("create-remote-secret", "--name", other.id))

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
def clusters(tmp_path_factory):
    """east and west, which reach one another's nodes and balancers, and know one another."""
    directory = tmp_path_factory.mktemp("ca")
    files = {name: authority(directory, name) for name in ("east", "west")}
    both = [Cluster("east"), Cluster("west")]
    try:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(lambda c: c.start(files[c.id]), both))
        both[0].fairlead("lab", "connect", both[0].name, both[1].name)
        both[0].knows(both[1])
        both[1].knows(both[0])
        yield both
        assert not [c for lab in both for c in lab.complaints()]
    finally:
        for lab in both:
            lab.down()
