"""From a kube-proxy that runs to Fairlead and back, by the steps of docs/install.md ("Moving in and out"), under traffic: no request fails, no connection ends. With each mode of the real kube-proxy that this kernel can have;
each begins and ends with kube-proxy alone. The kubelets' nodes are the cluster's; kube-proxy is a process on each."""
import json
import os
import pathlib
import time

import pytest

from cluster import API, DNS, PEERS, PODS
from suite import ROOT, wait_until

SYSTEM, NS = "fairlead-system", "moving"
LOAD = pathlib.Path(__file__).with_name("load.py")
IPTABLES = PEERS / "iptables"
HEALTH = 31999  # the healthCheckNodePort
IMAGE = "localhost/fairlead/agent:0.1.0"

APPS = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: {NS}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {NS}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      topologySpreadConstraints: [{{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: {{matchLabels: {{app: web}}}}}}]
      containers:
      - name: app
        image: localhost/fairlead/echo:0.1.0
        args: [--http, "8080", --name, web]
        readinessProbe: {{httpGet: {{path: /ready, port: 8080}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: {NS}}}
spec:
  type: NodePort
  selector: {{app: web}}
  ports: [{{name: http, port: 80, targetPort: 8080, nodePort: 31080}}]
---
apiVersion: v1
kind: Service
metadata: {{name: balanced, namespace: {NS}}}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  healthCheckNodePort: {HEALTH}
  selector: {{app: web}}
  ports: [{{name: http, port: 80, targetPort: 8080, nodePort: 31081}}]
"""


class KubeProxy:
    """The real one, on each node, in one mode, with one kind of iptables in its path."""

    def __init__(self, cluster, mode, kind):
        self.cluster, self.mode = cluster, mode
        libraries = IPTABLES / "usr/lib/x86_64-linux-gnu"
        self.env = {"PATH": f"{IPTABLES / kind}:{os.environ['PATH']}", "LD_LIBRARY_PATH": str(libraries), "XTABLES_LIBDIR": str(libraries / "xtables")}
        self.kubeconfig = cluster.folder / "pki/kube-proxy.kubeconfig"
        if not self.kubeconfig.exists():
            cluster.pki.kubeconfig("kube-proxy", "/CN=system:kube-proxy", cluster.server)

    def config(self, node):
        path = node.folder / "kube-proxy.json"
        path.write_text(json.dumps({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": self.mode, "clientConnection": {"kubeconfig": str(self.kubeconfig)}, "hostnameOverride": node.name,
            "detectLocalMode": "ClusterCIDR", "clusterCIDR": PODS, "conntrack": {"maxPerCore": 0}}))
        return path

    def start(self):
        for node in self.cluster.nodes:
            node.start("kube-proxy", PEERS / "kube-proxy", f"--config={self.config(node)}", env=self.env)

    def stop(self):
        for node in self.cluster.nodes:
            process = node.processes.pop("kube-proxy")
            # nsenter waits for it
            node.run("pkill", "-TERM", "-x", "kube-proxy")
            process.wait(30)

    def cleanup(self):
        for node in self.cluster.nodes:
            node.run("env", *[f"{k}={v}" for k, v in self.env.items()], PEERS / "kube-proxy", f"--config={self.config(node)}", "--cleanup", timeout=120)

    def rules(self, node):
        """Everything it has in the kernel, as text."""
        tables = node.run("nft", "list", "tables")
        text = node.run("nft", "list", "table", "ip", "kube-proxy") if "table ip kube-proxy\n" in tables else ""
        for table in ("nat", "filter", "mangle"):
            saved = node.run("env", *[f"{k}={v}" for k, v in self.env.items()], "iptables-save", "-t", table, check=False).stdout
            text += "".join(line + "\n" for line in saved.splitlines() if "KUBE-" in line and "KUBE-KUBELET" not in line)
        return text


class Traffic:
    def __init__(self, cluster, name):
        self.cluster = cluster
        self.phase_file = cluster.folder / f"{name}.phase"
        self.phase_file.write_text("begin")
        self.results = []
        web = cluster.get("service", "web", "-n", NS)["spec"]["clusterIP"]
        balancer = cluster.get("service", "balanced", "-n", NS)["status"]["loadBalancer"]["ingress"][0]["ip"]
        one, two = (n.address for n in cluster.nodes)
        client, = cluster.wait_pods("app=client", 1, NS)
        by_address = [f"fresh-clusterip={web}:80", f"kept-clusterip={web}:80", f"quiet-clusterip={web}:80", f"fresh-balancer={balancer}:80", f"kept-balancer={balancer}:80", f"udp-dns={DNS}:53", f"flow-dns={DNS}:53"]
        by_port = lambda at: [f"fresh-nodeport={at}:31080", f"kept-nodeport={at}:31080", f"quiet-nodeport={at}:31080", f"kept-local={at}:31081"]  # noqa: E731
        self.begin("pod", client, by_address + by_port(one))
        self.begin("node-1", None, by_address[:3] + by_port(two))

    def begin(self, name, pod, targets):
        result = self.cluster.folder / f"{self.phase_file.stem}-{name}.json"
        self.results.append((name, result))
        argv = ["python3", LOAD, result, self.phase_file, *targets]
        if pod:
            self.cluster.in_pod_start(pod, f"load-{name}", *argv)
            self.node = self.cluster.node_of(pod)
        else:
            self.cluster.nodes[0].start(f"load-{name}", *argv)
        wait_until("it asks", lambda: os.path.exists(f"{result}.begun"), 20)

    def phase(self, name):
        new = self.phase_file.with_suffix(".new")
        new.write_text(name)
        os.rename(new, self.phase_file)

    def end(self):
        self.phase("end")
        for _, result in self.results:
            wait_until("it has ended", result.exists, 60)
        for node in self.cluster.nodes:
            for name in [n for n in node.processes if n.startswith("load-")]:
                assert node.processes.pop(name).wait(30) == 0
        return {name: json.loads(result.read_text()) for name, result in self.results}


def asked(ask, url):
    done = ask("curl", "-s", "-m", "5", url, check=False)
    return '"web"' in done.stdout if done.returncode == 0 else False


def everywhere(cluster, name):
    """Whoever carries Services knows of one that is made now; from a pod, from both nodes."""
    cluster.apply(f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {NS}}}\nspec:\n  selector: {{app: web}}\n  ports: [{{port: 80, targetPort: 8080}}]\n")
    ip = cluster.get("service", name, "-n", NS)["spec"]["clusterIP"]
    client, = cluster.wait_pods("app=client", 1, NS)
    for ask in (lambda *a, **kw: cluster.in_pod(client, *a, **kw), cluster.nodes[0].run, cluster.nodes[1].run):
        wait_until(f"Service {name} answers", lambda: asked(ask, f"http://{ip}/"), 60)
    for node in cluster.nodes:  # whoever it is
        wait_until("the health check answers", lambda: node.run("curl", "-s", "-m", "2", "-o", "/dev/null", "-w", "%{http_code}", f"http://{node.address}:{HEALTH}/", check=False).stdout == "200", 60)
        wait_until("the node is healthy", lambda: node.run("curl", "-s", "-m", "2", "-o", "/dev/null", "-w", "%{http_code}", f"http://{node.address}:10256/healthz", check=False).stdout == "200", 60)
    return ip


def ours(node):
    return "table ip fairlead\n" in node.run("nft", "list", "tables")


def enough(traffic, seconds):
    """A phase is as long as it takes to ask some thousand times."""
    end = time.monotonic() + seconds
    wait_until("it was asked a while", lambda: time.monotonic() > end, seconds + 5)


def uninstalled(cluster):
    cluster.helm("uninstall", "fairlead", "--namespace", SYSTEM, "--wait", timeout=180)
    wait_until("the agents have ended", lambda: not cluster.pods("app=fairlead-agent", SYSTEM), 60)


@pytest.fixture(scope="module")
def apps(cluster):
    cluster.apply(APPS + "---" + APPS.split("---")[1].replace("web", "client").replace("replicas: 2", "replicas: 1"))
    cluster.wait_pods("app=web", 2, NS)
    cluster.wait_pods("app=client", 1, NS)
    cluster.kubectl("patch", "service", "balanced", "-n", NS, "--subresource=status", "--type=merge", "-p", json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.20"}]}}}))
    yield
    cluster.kubectl("delete", "namespace", NS, "--wait=false")


@pytest.mark.parametrize("mode,kind", [("nftables", "nft"), ("iptables", "nft"), ("iptables", "legacy")])
def test_to_fairlead_and_back(cluster, apps, mode, kind):
    name = f"{mode}-{kind}"
    proxy = KubeProxy(cluster, mode, kind)
    proxy.start()
    cluster.wait_pods("k8s-app=kube-dns", 1, "kube-system")
    everywhere(cluster, f"a-{name}")
    assert not any(ours(n) for n in cluster.nodes)
    traffic = Traffic(cluster, name)

    traffic.phase("1 kube-proxy alone")
    enough(traffic, 5)
    traffic.phase("2 Fairlead beside it")
    cluster.helm("install", "fairlead", ROOT / "deploy/chart", "--namespace", SYSTEM, "--create-namespace", "--set",
                 f"control.enabled=false,gateway.enabled=false,mesh.enabled=false,crds.install=false,agent.apiServer.host={cluster.nodes[0].address}", timeout=120)
    cluster.kubectl("rollout", "status", "daemonset/fairlead-agent", "-n", SYSTEM, "--timeout=120s", timeout=150)
    assert all(ours(n) for n in cluster.nodes)
    everywhere(cluster, f"b-{name}")
    enough(traffic, 5)
    traffic.phase("3 kube-proxy stopped, its rules there")
    proxy.stop()
    new = everywhere(cluster, f"c-{name}")
    assert all(proxy.rules(n) and new not in proxy.rules(n) for n in cluster.nodes)  # they are old now
    enough(traffic, 5)
    traffic.phase("4 kube-proxy cleaned up")
    proxy.cleanup()
    assert [proxy.rules(n) for n in cluster.nodes] == ["", ""]
    everywhere(cluster, f"d-{name}")
    enough(traffic, 5)

    traffic.phase("5 kube-proxy beside Fairlead again")
    proxy.start()
    new = everywhere(cluster, f"e-{name}")
    for node in cluster.nodes:
        wait_until("kube-proxy has its rules", lambda: new in proxy.rules(node), 60)
    enough(traffic, 5)
    traffic.phase("6 agents gone, their rules there")
    uninstalled(cluster)
    assert all(ours(n) for n in cluster.nodes)
    enough(traffic, 5)
    traffic.phase("7 cleaned up: kube-proxy alone")
    for node in cluster.nodes:
        cluster.ctr(node, "run", "--rm", "--net-host", "--cap-add", "CAP_NET_ADMIN", IMAGE, "cleanup", "/usr/bin/fairlead-agent", "--cleanup")
    assert not any(ours(n) for n in cluster.nodes)
    everywhere(cluster, f"f-{name}")
    enough(traffic, 5)

    told = traffic.end()
    lost, asked_all = [], 0
    for where, phases in told.items():
        for phase, targets in phases.items():
            asked_all += sum(t["asked"] for t in targets.values())
            print(f"{name:16} from {where:6} {phase:38} {sum(t['asked'] for t in targets.values()):6} asked, {sum(len(t['failed']) for t in targets.values())} failed, slowest {max(t['slowest_ms'] for t in targets.values())} ms")
            lost += [(where, phase, target, t["failed"][:3], len(t["failed"])) for target, t in targets.items() if t["failed"]]
    print(f"{name:16} {asked_all} asked")
    assert lost == []
    assert asked_all > 10000
    for where, phases in told.items():
        for target in [t for t in phases["1 kube-proxy alone"] if t.startswith(("kept", "quiet", "flow"))]:
            assert phases["7 cleaned up: kube-proxy alone"][target]["asked"], (where, target)
    proxy.stop()
    proxy.cleanup()
    assert API  # nobody carries it now
