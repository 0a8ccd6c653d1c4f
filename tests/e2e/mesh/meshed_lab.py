"""A lab with a control plane, and what is asked of its pods with sidecars."""
import json

import lab_harness
import sidecar
import yaml
from suite import ROOT, wait_until

SYSTEM = "fairlead-system"


class Mesh:
    def __init__(self, lab):
        self.lab = lab
        lab.apply(*yaml.safe_load_all((ROOT / "deploy/mesh/mesh.yaml").read_text()))
        root = wait_until("the control plane has a root", lambda: [m for m in lab.get("configmaps", "-n", SYSTEM)["items"] if m["metadata"]["name"] == "fairlead-ca-root-cert"])
        self.root = root[0]["data"]["root-cert.pem"]
        lab.apply(sidecar.trust(self.root))

    def run(self, name, replicas=1, args=(), port="http", **more):
        """An echo with a sidecar, and its Service on port 80."""
        service = lab_harness.service(name)
        service["spec"]["ports"][0]["name"] = port
        self.lab.apply(sidecar.beside(lab_harness.echo(name, replicas=replicas, args=("--name", name, *args), **more)), service)
        self.lab.wait_ready(f"app={name}", replicas)

    def pod(self, name):
        return self.lab.ready_pods(f"app={name}")[0]["metadata"]["name"]

    def curl(self, name, *args, check=True):
        """In the pod's own container. Status and body."""
        done = self.lab.fairlead("exec", self.pod(name), "-c", "echo", "--", "curl", "-s", "-m", "10", "-w", "\n%{http_code}", *args, check=check)
        body, _, status = (done if check else done.stdout).rpartition("\n")
        return int(status or 0), body

    def clusters(self, name):
        """How many requests the sidecar has sent to each."""
        text = self.admin(name, "/stats?format=json&filter=upstream_rq_total")
        return {s["name"][len("cluster."):-len(".upstream_rq_total")]: s["value"] for s in json.loads(text)["stats"] if s.get("name", "").startswith("cluster.")}

    def admin(self, name, path):
        return self.lab.fairlead("exec", self.pod(name), "-c", "sidecar", "--", "/run/fairlead/bin/fairlead-proxy", "request", "GET", path)
