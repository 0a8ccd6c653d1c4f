"""Who serves the bench's Ingresses: ours, or Traefik, one at a time, behind a LoadBalancer Service each. Both serve the class "bench"."""
import os
import time

import lab_harness
from suite import wait_until

SYSTEM = "fairlead-system"
CLASS = "bench"
CONTROLLER = "traefik.io/ingress-controller"  # Traefik knows no other


def runs(pid, path):
    """Ours are bound into a pod from elsewhere; others are seen through a pod's overlay."""
    try:
        return os.readlink(f"/proc/{pid}/exe") == path or os.path.samefile(f"/proc/{pid}/exe", path)
    except OSError:  # it has ended
        return False


def pids(path):
    return [int(p) for p in os.listdir("/proc") if p.isdigit() and runs(p, path)]


def rss_mib(path):
    return sum(int(line.split()[1]) for pid in pids(path) for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS")) / 1024


def cpu_ms(path):
    """User and system, of all of its processes."""
    return sum(int(open(f"/proc/{p}/task/{t}/schedstat").read().split()[0]) for p in pids(path) for t in os.listdir(f"/proc/{p}/task")) / 1e6


class Side:
    """programs: path by what a table calls it; the last one is what requests go through."""

    def __init__(self, lab, name, programs):
        self.lab, self.name, self.programs = lab, name, programs

    def scale(self, deployment, n):
        self.lab.patch(f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/{deployment}", {"spec": {"replicas": n}})
        wait_until(f"{n} of {deployment}", lambda: len(self.lab.pods(f"app={deployment}", SYSTEM)) == n, 60)

    def address_of(self, service):
        return wait_until(f"{service} has an address", lambda: (
            self.lab.get(f"svc/{service}", "-n", SYSTEM).get("status", {}).get("loadBalancer", {}).get("ingress") or [{}])[0].get("ip"), 30)

    def scale_all(self, n):
        for deployment in self.deployments:
            self.scale(deployment, n)
        wait_until(f"{self.name}'s processes are {n}", lambda: all(len(pids(p)) == n for p in self.programs.values()), 60)

    def stop(self):
        self.scale_all(0)

    def start(self):
        """One process of each, started anew; seconds from the last one's start."""
        self.scale_all(1)
        begin = time.perf_counter()
        for deployment in self.deployments:
            self.lab.wait_ready(f"app={deployment}", 1, SYSTEM)
        self.address = self.address_of(self.deployments[-1])
        return begin


class Fairlead(Side):
    deployments = ("fairlead-control", "fairlead-gateway")

    def __init__(self, lab):
        bin_ = os.environ["FAIRLEAD_BIN"]
        super().__init__(lab, "fairlead", {"control": f"{bin_}/fairlead-control", "gateway": f"{bin_}/fairlead-proxy"})
        of = lab.get("deployment/fairlead-control", "-n", SYSTEM)["spec"]["template"]["spec"]["containers"]
        of[0]["args"] = [a + "," + CONTROLLER if a.startswith("--ingress-controllers=") else a for a in of[0]["args"]]
        lab.patch(f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/fairlead-control", {"spec": {"template": {"spec": {"containers": of}}}})


class Traefik(Side):
    deployments = ("traefik",)

    def __init__(self, lab, path, throttle):
        super().__init__(lab, f"traefik (throttle {throttle})", {"traefik": path})
        lab.apply(*traefik_objects(throttle))


def traefik_objects(throttle):
    """As its documentation has it: what it may, its Service; no dashboard, no telemetry, the Ingress provider alone. Throttle: it takes no two changes within that
    time (2s by default); 0s is its best. It writes no status, as ours does: at five a second, its client's limit, it would be busy with that for minutes."""
    account, role = {"kind": "ServiceAccount", "name": "traefik", "namespace": SYSTEM}, {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "traefik"}
    read = ["get", "list", "watch"]
    rules = [{"apiGroups": [""], "resources": ["services", "secrets", "nodes", "configmaps"], "verbs": read},
             {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read},
             {"apiGroups": ["networking.k8s.io", "extensions"], "resources": ["ingresses", "ingressclasses"], "verbs": read},
             {"apiGroups": ["networking.k8s.io", "extensions"], "resources": ["ingresses/status"], "verbs": ["update"]}]
    args = ["--global.checknewversion=false", "--global.sendanonymoususage=false", "--log.level=ERROR", "--entrypoints.web.address=:8080",
            "--providers.kubernetesingress=true", f"--providers.providersthrottleduration={throttle}"]
    labels = {"app": "traefik"}
    pod = {"serviceAccountName": "traefik", "containers": [{
        "name": "traefik", "image": "bench/traefik", "args": args, "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}}]}
    return ({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "traefik", "namespace": SYSTEM}},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "traefik"}, "rules": rules},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "traefik"}, "roleRef": role, "subjects": [account]},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "traefik", "namespace": SYSTEM, "labels": labels},
             "spec": {"type": "LoadBalancer", "selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}},
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "traefik", "namespace": SYSTEM, "labels": labels},
             "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}})


def ingress_class():
    return {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": CLASS}, "spec": {"controller": CONTROLLER}}


def new_lab(traefik):
    """traefik: a path; None: none."""
    lab = lab_harness.Lab(lab_harness.new_name("bench"))
    lab.up("--ingress", *(["--image", f"bench/traefik={traefik}"] if traefik else []))
    lab.apply(ingress_class())
    return lab
