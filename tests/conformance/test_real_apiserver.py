"""Controllers, nodes and agents beside a real kube-apiserver, ours taken out.

`lab up` builds network, certificates and kubeconfigs; then its supervisor is killed, the processes it had are started again by this test with
the same arguments, and in place of our API server a kube-apiserver on an etcd (both in PEERS) with the lab's own certificates. Nothing
of the lab's API server is left. Neither program is a Debian package, so this is not part of `make test`: `make conform`.
"""
import functools
import json
import os
import secrets
import shutil
import signal
import subprocess

import pytest

import suite
from real_server import ETCD, KUBE_APISERVER, need
from suite import BIN, FAIRLEAD, run

KUBECTL = os.environ.get("KUBECTL", "kubectl")
wait_until = functools.partial(suite.wait_until, timeout=60)
LAB = "r" + secrets.token_hex(3)
STATE = f"/var/lib/fairlead/labs/{LAB}"

need("kube-apiserver", "etcd-server")


def lab_processes():
    """(pid, argv, network namespace) of what the lab's supervisor runs."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                argv = f.read().decode().split("\0")[:-1]
            if not argv or LAB not in " ".join(argv) or not argv[0].startswith("fairlead-"):
                continue
            netns = run("ip", "netns", "identify", pid, check=False).stdout.strip()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        found.append((int(pid), argv, netns))
    return found


class Cluster:
    def __init__(self):
        self.children = []
        self.args = {}
        self.env = dict(os.environ, KUBECONFIG=f"{STATE}/kubeconfig", HOME=f"/tmp/fairlead-{LAB}")

    def start(self, name, netns, *argv):
        log = open(f"{STATE}/logs/real-{name}.log", "ab")
        child = subprocess.Popen(["nsenter", f"--net=/run/netns/{netns}", *argv], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        self.children.append(child)
        return child

    def up(self):
        run(FAIRLEAD, "lab", "up", "--name", LAB, "--nodes", "2")
        processes = lab_processes()
        supervisor = [p for p, argv, _ in processes if argv[1:2] == ["supervise"]]
        assert len(supervisor) == 1, processes
        os.kill(supervisor[0], signal.SIGKILL)
        wait_until("the lab's processes are gone", lambda: not [p for p in lab_processes() if p[1][1:2] != ["dns"]])
        flags = {}
        for _, argv, netns in processes:
            if argv[1:2] == ["apiserver"]:
                flags = dict(a[2:].split("=", 1) for a in argv[2:] if "=" in a)
                self.start_real(netns, flags)
        for _, argv, netns in processes:
            if argv[0] == "fairlead-agent" or argv[1:2] in (["controllers"], ["node"]):
                name = next((a.split("=", 1)[1] for a in argv if a.startswith("--node-name=")), "controllers")
                kind = argv[0] if argv[0] == "fairlead-agent" else "fairlead-labd"
                self.start(f"{name}-{kind}", netns, BIN / kind, *argv[1:])
        wait_until("both nodes are ready", lambda: self.kubectl("get", "nodes", check=False).stdout.count(" Ready ") == 2)

    def start_real(self, netns, f):
        os.makedirs(f"{STATE}/etcd", mode=0o700)
        self.start("etcd", netns, ETCD, "--data-dir", f"{STATE}/etcd", "--listen-client-urls", "http://127.0.0.1:2379",
                   "--advertise-client-urls", "http://127.0.0.1:2379", "--listen-peer-urls", "http://127.0.0.1:2380", "--unsafe-no-fsync")
        sa_key = f"{STATE}/pki/sa-sec1.key"  # the only form of an EC key that kube-apiserver reads
        run("openssl", "pkey", "-in", f["service-account-key-file"], "-traditional", "-out", sa_key)
        self.start("kube-apiserver", netns, KUBE_APISERVER, "--etcd-servers=http://127.0.0.1:2379", f"--bind-address={f['bind-address']}",
                   f"--secure-port={f['port']}", f"--tls-cert-file={f['tls-cert-file']}", f"--tls-private-key-file={f['tls-private-key-file']}",
                   f"--client-ca-file={f['client-ca-file']}", f"--token-auth-file={f['token-file']}",
                   f"--service-account-key-file={sa_key}", f"--service-account-signing-key-file={sa_key}", "--service-account-issuer=https://kubernetes.default.svc",
                   f"--kubelet-client-certificate={f['kubelet-client-certificate']}", f"--kubelet-client-key={f['kubelet-client-key']}",
                   "--kubelet-preferred-address-types=InternalIP", f"--service-cluster-ip-range={f['service-cluster-ip-range']}",
                   f"--service-node-port-range={f['service-node-port-range']}", "--authorization-mode=AlwaysAllow",
                   f"--cert-dir={STATE}/real-certs", f"--advertise-address={f['bind-address']}", "--allow-privileged=true")
        wait_until("kube-apiserver is ready", lambda: self.kubectl("get", "--raw", "/readyz", check=False).stdout == "ok", timeout=120)

    def kubectl(self, *argv, check=True, **kw):
        return run("timeout", "60", KUBECTL, *argv, check=check, env=self.env, timeout=90, **kw)

    def down(self):
        for child in reversed(self.children):
            child.terminate()
        for child in self.children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if os.environ.get("KEEP_LOGS"):
            shutil.copytree(f"{STATE}/logs", os.environ["KEEP_LOGS"], dirs_exist_ok=True)
        run(FAIRLEAD, "lab", "down", "--name", LAB)
        shutil.rmtree(self.env["HOME"], ignore_errors=True)


@pytest.fixture(scope="module")
def cluster():
    one = Cluster()
    try:
        one.up()
        one.kubectl("apply", "-f", "-", stdin=MANIFEST)
        one.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        yield one
    finally:
        one.down()


MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 3
      containers:
      - name: web
        image: fairlead/echo
        args: ["--drain", "2s"]
        ports: [{containerPort: 8080, name: http}]
        readinessProbe: {httpGet: {path: /, port: http}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  ports: [{port: 80, targetPort: http, nodePort: 30080}]
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  containers: [{name: main, image: busybox, command: [sleep, "3600"]}]
"""


def service(c):
    return json.loads(c.kubectl("get", "service", "web", "-o", "json"))


def fetch(c, url):
    """From the client pod's network namespace."""
    node = c.kubectl("get", "pod", "client", "-o", "jsonpath={.spec.nodeName}").strip()
    return run("ip", "netns", "exec", f"fl.{LAB}.{node}.default.client", "curl", "-gsS", "-m", "2", url, check=False)


def endpoints(c):
    slices = json.loads(c.kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name=web", "-o", "json"))["items"]
    return [e for s in slices if s["addressType"] == "IPv4" for e in s.get("endpoints") or [] if e["conditions"]["ready"]]


def test_no_fairlead_api_server_runs(cluster):
    assert not [argv for _, argv, _ in lab_processes() if "apiserver" in argv]
    assert "etcd" in cluster.kubectl("get", "--raw", "/readyz?verbose")


def test_cluster_ip_both_families_answer(cluster):
    wait_until("three endpoints", lambda: len(endpoints(cluster)) == 3)
    ips = service(cluster)["spec"]["clusterIPs"]
    assert len(ips) == 2
    for ip in ips:
        url = f"http://[{ip}]/" if ":" in ip else f"http://{ip}/"
        wait_until(f"{url} answers", lambda url=url: fetch(cluster, url).returncode == 0, timeout=10)


def test_node_port_and_load_balancer_answer(cluster):
    nodes = json.loads(cluster.kubectl("get", "nodes", "-o", "json"))["items"]
    for node in nodes:
        for address in node["status"]["addresses"]:
            if address["type"] in ("InternalIP", "ExternalIP"):
                host = f"[{address['address']}]" if ":" in address["address"] else address["address"]
                wait_until(f"{host}:30080 answers", lambda host=host: fetch(cluster, f"http://{host}:30080/").returncode == 0, timeout=10)
    balancer = wait_until("a load balancer address", lambda: service(cluster)["status"]["loadBalancer"].get("ingress"))
    for entry in balancer:
        host = f"[{entry['ip']}]" if ":" in entry["ip"] else entry["ip"]
        wait_until(f"{host} answers", lambda host=host: fetch(cluster, f"http://{host}/").returncode == 0, timeout=10)


def test_a_rollout_loses_no_request(cluster):
    ip = service(cluster)["spec"]["clusterIP"]
    cluster.kubectl("set", "env", "deployment/web", "ROUND=2")
    lost, total = [], 0
    while total < 400:
        got = fetch(cluster, f"http://{ip}/")
        total += 1
        if got.returncode:
            lost.append(got.stderr)
        if total % 50 == 0 and total >= 100 and "successfully" in cluster.kubectl("rollout", "status", "deployment/web", "--watch=false"):
            break
    assert not lost, f"{len(lost)} of {total}: {lost[:3]}"
    assert "successfully" in cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")


def test_without_endpoints_the_service_rejects(cluster):
    ip = service(cluster)["spec"]["clusterIP"]
    cluster.kubectl("scale", "deployment/web", "--replicas=0")
    wait_until("a refusal", lambda: fetch(cluster, f"http://{ip}/").returncode == 7, timeout=20)
    cluster.kubectl("scale", "deployment/web", "--replicas=3")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    wait_until("answers again", lambda: fetch(cluster, f"http://{ip}/").returncode == 0, timeout=10)


def test_logs_pass_through_the_real_server(cluster):
    pod = cluster.kubectl("get", "pods", "-l", "app=web", "-o", "name").split()[0]
    assert "msg=" in cluster.kubectl("logs", pod)


def test_exec_passes_through_the_real_server(cluster):
    """kube-apiserver speaks SPDY/3.1 to nodes whatever its client speaks."""
    assert cluster.kubectl("exec", "client", "--", "echo", "hello") == "hello\n"


def test_garbage_collection_and_namespaces(cluster):
    cluster.kubectl("create", "namespace", "gone")
    cluster.kubectl("-n", "gone", "create", "deployment", "d", "--image=fairlead/echo", "--replicas=2")
    wait_until("two pods", lambda: len(cluster.kubectl("-n", "gone", "get", "pods", "-o", "name").split()) == 2)
    cluster.kubectl("-n", "gone", "delete", "deployment", "d", "--wait=false")
    wait_until("pods are collected", lambda: not cluster.kubectl("-n", "gone", "get", "pods,rs", "-o", "name").split())
    cluster.kubectl("delete", "namespace", "gone", "--timeout=60s")


def test_the_agent_outlives_a_restart_of_the_api_server(cluster):
    """Traffic goes on while the server is away, and changes arrive after it is back."""
    real = next(c for c in cluster.children if "kube-apiserver" in " ".join(c.args))
    pid = next(p for p in map(int, filter(str.isdigit, os.listdir("/proc"))) if p != real.pid and _comm(p) == "kube-apiserver" and LAB in _args(p)) \
        if _comm(real.pid) != "kube-apiserver" else real.pid
    argv = _args(pid).split("\0")[:-1]
    ip = service(cluster)["spec"]["clusterIP"]
    node = cluster.kubectl("get", "pod", "client", "-o", "jsonpath={.spec.nodeName}").strip()
    direct = ["ip", "netns", "exec", f"fl.{LAB}.{node}.default.client", "curl", "-sS", "-m", "2", f"http://{ip}/"]
    os.kill(pid, signal.SIGKILL)
    real.wait(10)
    for _ in range(20):
        run(*direct)
    cluster.children.remove(real)
    cluster.start("kube-apiserver", f"fl.{LAB}", *argv)
    wait_until("kube-apiserver is ready", lambda: cluster.kubectl("get", "--raw", "/readyz", check=False).stdout == "ok", timeout=120)
    before = {e["addresses"][0] for e in endpoints(cluster)}
    cluster.kubectl("rollout", "restart", "deployment/web")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    wait_until("new endpoints", lambda: not before & {e["addresses"][0] for e in endpoints(cluster)})
    for _ in range(20):
        run(*direct)


def _comm(pid):
    try:
        with open(f"/proc/{pid}/comm") as f:
            return f.read().strip()
    except FileNotFoundError:
        return ""


def _args(pid):
    try:
        with open(f"/proc/{pid}/cmdline") as f:
            return f.read()
    except FileNotFoundError:
        return ""
