#!/usr/bin/env python3
"""Plain manifests (deploy/agent, deploy/ingress, deploy/mesh) from the chart (deploy/chart), which is the place to change them.

    tools/manifests.py HELM            writes them
    tools/manifests.py HELM --check    whether they are what the chart gives
    tools/manifests.py --check         whether they were made from this chart, by the hash in each: for lint, which has no helm

`fairlead lab up --ingress` and `--mesh` apply them, so what tests say of the lab they say of the chart.
"""
import hashlib
import pathlib
import re
import subprocess
import sys

DEPLOY = pathlib.Path(__file__).resolve().parents[1] / "deploy"
CHART = DEPLOY / "chart"
KUBERNETES = "1.37.0"
# Images are programs of the machine there, there are no disruption budgets, and every node knows at once.
PLAIN = ["image.registry=", "image.untagged=true", "namespace.create=true", "control.replicas=1", "control.podDisruptionBudget.enabled=false",
         "gateway.podDisruptionBudget.enabled=false", "crds.install=false", "agent.enabled=false", "mesh.enabled=false",
         "gateway.preStopSeconds=3"]
# file: (what it says first, what else is chosen, what is applied before it)
FILES = {
    "ingress/ingress.yaml": ("Ingress by Fairlead: the control plane, two gateways before which a LoadBalancer stands, and the classes that are served.", [], []),
    "mesh/mesh.yaml": ("The mesh by Fairlead, on top of deploy/ingress (apply that first): the control plane is called for each pod that is created where a namespace or the pod asks for it,\n"
                       "# and puts a proxy beside it. docs/mesh.md", ["mesh.enabled=true"], ["ingress/ingress.yaml"]),
    "mesh/everywhere.yaml": ("A proxy beside every pod, but where a namespace or a pod says otherwise (istio-injection=disabled, sidecar.istio.io/inject=false) and in the cluster's own namespaces:\n"
                             "# kubectl apply -f deploy/mesh/everywhere.yaml, beside deploy/mesh/mesh.yaml. Not where istiod is in the cluster, too.", ["mesh.enabled=true", "mesh.everywhere=true"], ["ingress/ingress.yaml", "mesh/mesh.yaml"]),
    "agent/agent.yaml": ("Services by Fairlead, on every node, where no kube-proxy runs. The API server's own address has to be told (KUBERNETES_SERVICE_HOST): no Service leads to it before this runs. docs/install.md",
                         ["agent.enabled=true", "agent.apiServer.host=API-SERVER.example"], ["ingress/ingress.yaml"]),
}


def stamp():
    """Of all that decides what is rendered."""
    text = hashlib.sha256()
    for path in [pathlib.Path(__file__)] + sorted(p for p in CHART.rglob("*") if p.is_file() and "crds" not in p.parts and "dashboards" not in p.parts):
        text.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return text.hexdigest()[:16]


def render(helm, chosen):
    argv = [helm, "template", "fairlead", str(CHART), "--namespace", "fairlead-system", "--kube-version", KUBERNETES]
    for value in PLAIN + chosen:
        argv += ["--set", value]
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"manifests: {' '.join(argv)}\n{done.stderr}")
    documents = re.split(r"^---\n", done.stdout, flags=re.M)
    return [re.sub(r"^# Source: .*\n", "", d, flags=re.M).strip() for d in documents if d.strip()]


def whole(helm, name):
    head, chosen, before = FILES[name]
    there = [d for other in before for d in render(helm, FILES[other][1])]
    new = [d for d in render(helm, chosen) if d not in there]
    return f"# {head}\n# Made from deploy/chart ({stamp()}) by tools/manifests.py: change the chart.\n" + "\n---\n".join(new) + "\n"


def main():
    check = "--check" in sys.argv[1:]
    helm = next((a for a in sys.argv[1:] if not a.startswith("-")), None)
    if not helm and not check:
        sys.exit(__doc__.strip())
    wrong = []
    for name in FILES:
        path = DEPLOY / name
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(whole(helm, name))
            continue
        have = path.read_text() if path.exists() else ""
        if f"({stamp()})" not in have or (helm and have != whole(helm, name)):
            wrong.append(name)
    if wrong:
        sys.exit(f"manifests: {', '.join(wrong)}: not what deploy/chart gives; make manifests")


if __name__ == "__main__":
    main()
