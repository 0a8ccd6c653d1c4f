"""From a kube-proxy that runs to Fairlead and back, by the steps of docs/install.md ("Moving in and out"), under traffic: no request fails, no connection ends. With each mode of the real kube-proxy that this kernel can have;
each begins and ends with kube-proxy alone. The kubelets' nodes are the cluster's; kube-proxy is a process on each."""
import json
import os
import pathlib
import time

import pytest

from cluster import DNS, PEERS, PODS
from suite import BIN, ROOT, wait_until

SYSTEM, NS = "fairlead-system", "moving"
LOAD = pathlib.Path(__file__).with_name("load.py")
IPTABLES = PEERS / "iptables"
HEALTH = 31999  # the healthCheckNodePort
TRACES = {("nftables", "nft"): "table ip kube-proxy of nftables", ("iptables", "nft"): "chain KUBE-SERVICES of iptables", ("iptables", "legacy"): "chain KUBE-SERVICES of iptables-legacy"}  # what finds them
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
        """What leads to Services of it in the kernel, as text. Not KUBE-FIREWALL, which it leaves for ever: a drop of strangers' packets to loopback."""
        tables = node.run("nft", "list", "tables")
        text = node.run("nft", "list", "table", "ip", "kube-proxy") if "table ip kube-proxy\n" in tables else ""
        for table in ("nat", "filter", "mangle"):
            saved = node.run("env", *[f"{k}={v}" for k, v in self.env.items()], "iptables-save", "-t", table, check=False).stdout
            text += "".join(line + "\n" for line in saved.splitlines() if "KUBE-" in line and "KUBE-FIREWALL" not in line)
        return text


    def leads(self, node, ip, endpoint):
        """Whether iptables' rules for this address end at this endpoint: chain by chain."""
        lines, at, seen = self.rules(node).splitlines(), {ip}, set()
        while at - seen:
            seen |= at
            mine = [line for line in lines if any(line.startswith(f"-A {n} ") or f"-d {n}/32" in line for n in seen)]
            at = {line.split(" -j ")[1].split()[0] for line in mine if " -j KUBE-S" in line}
        return any(f"--to-destination {endpoint}:" in line for line in mine)


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


class Moved:
    """A Service whose one endpoint is the first pod (or none is), and then the second: who leads there still knows of the change."""

    def __init__(self, cluster, name, first=0):
        self.cluster, self.name = cluster, name
        self.pods = sorted(p["status"]["podIP"] for p in cluster.wait_pods("app=web", 2, NS))
        cluster.apply(f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {NS}}}\nspec:\n  ports: [{{port: 80, targetPort: 8080}}]\n")
        self.ip = cluster.get("service", name, "-n", NS)["spec"]["clusterIP"]
        self.to(first)
        wait_until(f"Service {name} is as it was", lambda: set(self.answers()) == {first}, 60)

    def to(self, i):
        self.cluster.apply(f"""
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {self.name}, namespace: {NS}, labels: {{kubernetes.io/service-name: {self.name}}}}}
addressType: IPv4
ports: [{{name: "", port: 8080, protocol: TCP}}]
endpoints: {"[]" if i is None else f"[{{addresses: [{self.pods[i]}]}}]"}
""")

    def answers(self):
        """Which pod answers a pod, and each node; None: nobody."""
        client, = self.cluster.wait_pods("app=client", 1, NS)
        seen = []
        for ask in (lambda *a, **kw: self.cluster.in_pod(client, *a, **kw), *(n.run for n in self.cluster.nodes)):
            done = ask("curl", "-s", "-m", "5", f"http://{self.ip}/", check=False)
            seen.append(self.pods.index(json.loads(done.stdout)["local"].rsplit(":", 1)[0]) if done.returncode == 0 else None)
        return seen


def ours(node):
    return "table ip fairlead\n" in node.run("nft", "list", "tables")


def check(node):
    return node.run(BIN / "fairlead", "check", "--only", "FL-HOST-004")


def enough(traffic, seconds):
    """A phase is as long as it takes to ask some thousand times."""
    end = time.monotonic() + seconds
    wait_until("it was asked a while", lambda: time.monotonic() > end, seconds + 5)


def uninstalled(cluster):
    cluster.helm("uninstall", "fairlead", "--namespace", SYSTEM, "--wait", timeout=180)
    wait_until("the agents have ended", lambda: not cluster.pods("app=fairlead-agent", SYSTEM), 60)


def cleanup_agents(cluster):
    for node in cluster.nodes:
        cluster.ctr(node, "run", "--rm", "--net-host", "--cap-add", "CAP_NET_ADMIN", IMAGE, "cleanup", "/usr/bin/fairlead-agent", "--cleanup")


@pytest.fixture(scope="module")
def apps(cluster):
    cluster.apply(APPS + "---" + APPS.split("---")[1].replace("web", "client").replace("replicas: 2", "replicas: 1"))
    cluster.wait_pods("app=web", 2, NS)
    cluster.wait_pods("app=client", 1, NS)
    cluster.kubectl("patch", "service", "balanced", "-n", NS, "--subresource=status", "--type=merge", "-p", json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.20"}]}}}))
    yield
    cluster.kubectl("delete", "namespace", NS, "--wait=false")


@pytest.fixture
def proxy(cluster, apps, mode, kind):
    """Nothing of anybody is left behind it, however it ends."""
    proxy = KubeProxy(cluster, mode, kind)
    yield proxy
    for node in cluster.nodes:
        for name in [n for n in node.processes if n.startswith("load-")]:
            process = node.processes.pop(name)
            process.kill()
            process.wait(30)
    if "fairlead" in cluster.helm("list", "-q", "--namespace", SYSTEM):
        uninstalled(cluster)
    cleanup_agents(cluster)
    if "kube-proxy" in cluster.nodes[0].processes:
        proxy.stop()
    proxy.cleanup()


@pytest.mark.parametrize("mode,kind,taken_out", [("nftables", "nft", "by-hand"), ("nftables", "nft", "by-itself"), ("iptables", "nft", "by-itself"), ("iptables", "legacy", "by-hand")])
def test_to_fairlead_and_back(cluster, proxy, mode, kind, taken_out):
    """by-hand: the agents' rules are taken out node by node after `helm uninstall`, not by the agents."""
    name = f"{mode}-{kind}-{taken_out}"
    proxy.start()
    cluster.wait_pods("k8s-app=kube-dns", 1, "kube-system")
    everywhere(cluster, f"a-{name}")
    assert not any(ours(n) for n in cluster.nodes)
    traffic = Traffic(cluster, name)

    traffic.phase("1 kube-proxy alone")
    assert TRACES[mode, kind] in check(cluster.nodes[0])
    enough(traffic, 5)
    traffic.phase("2 Fairlead beside it")
    cluster.helm("install", "fairlead", ROOT / "deploy/chart", "--namespace", SYSTEM, "--create-namespace", "--set",
                 f"control.enabled=false,gateway.enabled=false,mesh.enabled=false,crds.install=false,agent.apiServer.host={cluster.nodes[0].address}", timeout=120)
    cluster.kubectl("rollout", "status", "daemonset/fairlead-agent", "-n", SYSTEM, "--timeout=120s", timeout=150)
    assert all(ours(n) for n in cluster.nodes)
    agents = "".join(cluster.kubectl("logs", "-n", SYSTEM, p["metadata"]["name"]) for p in cluster.pods("app=fairlead-agent", SYSTEM))
    assert agents.count(f'found="{TRACES[mode, kind]}') == 2, agents
    everywhere(cluster, f"b-{name}")
    moved, filled = Moved(cluster, f"m-{name}"), Moved(cluster, f"o-{name}", None)
    enough(traffic, 5)
    traffic.phase("3 kube-proxy stopped, its rules there")
    proxy.stop()
    new = everywhere(cluster, f"c-{name}")
    assert all(proxy.rules(n) and new not in proxy.rules(n) for n in cluster.nodes)  # they are old now
    moved.to(1)
    filled.to(1)
    wait_until("the agents lead, not what is old", lambda: moved.answers() == [1, 1, 1], 60)
    wait_until("nor does what is old refuse", lambda: filled.answers() == [1, 1, 1], 60)
    enough(traffic, 5)
    traffic.phase("4 kube-proxy cleaned up")
    proxy.cleanup()
    assert [proxy.rules(n) for n in cluster.nodes] == ["", ""]
    # What it does not take back: mode iptables has let packets to loopback be routed, and keeps them out by KUBE-FIREWALL.
    assert cluster.nodes[0].run("cat", "/proc/sys/net/ipv4/conf/all/route_localnet").strip() == ("0" if mode == "nftables" else "1")
    assert "no Services of a kube-proxy" in check(cluster.nodes[0]) and "WARN" not in check(cluster.nodes[0])
    everywhere(cluster, f"d-{name}")
    enough(traffic, 5)

    traffic.phase("5 kube-proxy beside Fairlead again")
    proxy.start()
    new = everywhere(cluster, f"e-{name}")
    for node in cluster.nodes:
        wait_until("kube-proxy has its rules", lambda: new in proxy.rules(node), 60)
    moved, filled = Moved(cluster, f"n-{name}"), Moved(cluster, f"p-{name}", None)
    enough(traffic, 5)
    if taken_out == "by-hand":
        traffic.phase("6 agents gone, their rules there")
        uninstalled(cluster)
        assert all(ours(n) for n in cluster.nodes)
        moved.to(1)
        filled.to(1)
        # Of two chains of one priority the newer is asked first. kube-proxy's table is; those of iptables were there before, and stayed: what the agents left leads on, and grows old.
        if mode == "nftables":
            wait_until("kube-proxy leads", lambda: moved.answers() == [1, 1, 1], 60)
        else:
            for node in cluster.nodes:
                wait_until("kube-proxy knows", lambda: proxy.leads(node, moved.ip, moved.pods[1]), 60)
            assert moved.answers() == [0, 0, 0]
        wait_until("kube-proxy leads where the agents knew of nobody", lambda: filled.answers() == [1, 1, 1], 60)
        enough(traffic, 5)
        traffic.phase("7 cleaned up: kube-proxy alone")
        cleanup_agents(cluster)
    else:
        traffic.phase("6 agents that will clean up")
        cluster.helm("upgrade", "fairlead", ROOT / "deploy/chart", "--namespace", SYSTEM, "--reuse-values", "--set", "agent.cleanupOnExit=true", timeout=120)
        cluster.kubectl("rollout", "status", "daemonset/fairlead-agent", "-n", SYSTEM, "--timeout=120s", timeout=150)
        assert all(ours(n) for n in cluster.nodes)
        enough(traffic, 5)
        traffic.phase("7 cleaned up: kube-proxy alone")
        uninstalled(cluster)
        moved.to(1)
        wait_until("kube-proxy leads", lambda: moved.answers() == [1, 1, 1], 60)
    assert moved.answers() == [1, 1, 1]
    assert not any(ours(n) for n in cluster.nodes)
    everywhere(cluster, f"f-{name}")
    enough(traffic, 5)

    told = traffic.end()
    lost, asked_all = [], 0
    for where, phases in told.items():
        for phase, targets in phases.items():
            asked_all += sum(t["asked"] for t in targets.values())
            print(f"{name:24} from {where:6} {phase:38} {sum(t['asked'] for t in targets.values()):6} asked, {sum(len(t['failed']) for t in targets.values())} failed, slowest {max(t['slowest_ms'] for t in targets.values())} ms")
            lost += [(where, phase, target, t["failed"][:3], len(t["failed"])) for target, t in targets.items() if t["failed"]]
    print(f"{name:24} {asked_all} asked")
    assert lost == []
    assert asked_all > 10000
    for where, phases in told.items():
        for target in [t for t in phases["1 kube-proxy alone"] if t.startswith(("kept", "quiet", "flow"))]:
            assert phases["7 cleaned up: kube-proxy alone"][target]["asked"], (where, target)


def test_addresses_that_ipvs_has_left(cluster, apps):
    """Mode ipvs gives the nodes every Service's address, on kube-ipvs0, and `--cleanup` may be late. The kernel of this machine has no ip_vs: a bridge of that name with the addresses stands in for it, without ipvs's own
    tables. New connections are led by the agents all the same, by node ports too, and other ports of the addresses are refused."""
    everyone = [s["spec"]["clusterIP"] for s in cluster.get("services", "-A")["items"] if s["spec"]["clusterIP"] != "None"]
    web = cluster.get("service", "web", "-n", NS)["spec"]["clusterIP"]
    for node in cluster.nodes:
        node.run("ip", "link", "add", "kube-ipvs0", "type", "bridge")
        for ip in everyone:
            node.run("ip", "address", "add", f"{ip}/32", "dev", "kube-ipvs0")
    try:
        assert "interface kube-ipvs0 of ipvs" in check(cluster.nodes[0])
        cluster.helm("install", "fairlead", ROOT / "deploy/chart", "--namespace", SYSTEM, "--create-namespace", "--set",
                     f"control.enabled=false,gateway.enabled=false,mesh.enabled=false,crds.install=false,agent.apiServer.host={cluster.nodes[0].address}", timeout=120)
        cluster.kubectl("rollout", "status", "daemonset/fairlead-agent", "-n", SYSTEM, "--timeout=120s", timeout=150)
        client, = cluster.wait_pods("app=client", 1, NS)
        for ask in (lambda *a, **kw: cluster.in_pod(client, *a, **kw), cluster.nodes[0].run, cluster.nodes[1].run):
            for at in (f"{web}:80", *(f"{n.address}:31080" for n in cluster.nodes)):
                wait_until(f"{at} answers", lambda: asked(ask, f"http://{at}/"), 30)
            assert ask("curl", "-s", "-m", "5", f"http://{web}:81/", check=False).returncode == 7  # refused
    finally:
        for node in cluster.nodes:
            node.run("ip", "link", "delete", "kube-ipvs0")
        uninstalled(cluster)
        cleanup_agents(cluster)
