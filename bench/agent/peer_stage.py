"""A real kube-apiserver on etcd and nodes that are network namespaces, for running kube-proxy and the agent beside each other. Each node has the
two addresses of endpoints (10.244.200.2 and .3) for itself. Everything in namespaces and folders of its own; gone at the end. Root."""
import base64
import ctypes
import json
import os
import shutil
import ssl
import subprocess
import tempfile
import time
import http.client

API, TOKEN = "10.77.0.1", "bench-peer-token"
CONTROL = "bench-peer-control"
NODE = """set -e
ip netns add {ns}
ip -n {ns} link set lo up
ip link add bp{n} netns {ns} type veth peer name n{n} netns {control}
ip -n {control} link set n{n} master br0 up
ip -n {ns} addr add 10.77.0.{host}/24 dev bp{n}
ip -n {ns} link set bp{n} up
ip -n {ns} link add pods type veth peer name pods1
ip -n {ns} link set pods up
ip -n {ns} link set pods1 up
ip -n {ns} addr add 10.244.200.2/24 dev pods
ip -n {ns} addr add 10.244.200.3/24 dev pods
ip -n {ns} route add 10.96.0.0/12 dev pods
ip netns exec {ns} sysctl -qw net.ipv4.ip_forward=1
"""


def sh(script):
    subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True)


def wait_for(what, probe, seconds=60, step=0.05):
    end = time.monotonic() + seconds
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise SystemExit(f"timeout: {what}")
        time.sleep(step)


def enter(ns):
    """This thread, and those it starts, are in the namespace from now on."""
    fd = os.open(f"/run/netns/{ns}", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(fd, 0x40000000):
        raise OSError(ctypes.get_errno(), ns)
    os.close(fd)


class Stage:
    def __init__(self, peers):
        self.peers, self.children, self.nodes = peers, [], []
        self.dir = tempfile.mkdtemp(prefix="bench-peer-")

    def path(self, name):
        return f"{self.dir}/{name}"

    def __enter__(self):
        try:
            self.up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for child in reversed(self.children):
            self.stop(child)
        for ns in self.nodes + [CONTROL]:
            subprocess.run(["ip", "netns", "del", ns], capture_output=True)
        if os.environ.get("KEEP_LOGS"):
            shutil.copytree(self.dir, os.environ["KEEP_LOGS"], dirs_exist_ok=True)
        shutil.rmtree(self.dir, ignore_errors=True)

    def stop(self, child):
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child in self.children:
            self.children.remove(child)

    def start(self, name, ns, *argv):
        log = open(self.path(name + ".log"), "ab")
        child = subprocess.Popen(["nsenter", f"--net=/run/netns/{ns}", *argv], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                 start_new_session=True)
        self.children.append(child)
        return child

    def certificates(self):
        sh(f"""set -e; cd {self.dir}
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=bench-ca 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout api.key -out api.csr -subj /CN=kube-apiserver 2>/dev/null
printf 'subjectAltName=IP:{API}' >san
openssl x509 -req -in api.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile san -out api.crt 2>/dev/null
openssl genrsa -out sa.key 2048 2>/dev/null
printf '{TOKEN},bench,bench,"system:masters"\\n' >tokens.csv""")
        with open(self.path("ca.crt"), "rb") as f:
            ca = base64.b64encode(f.read()).decode()
        with open(self.path("kubeconfig"), "w") as f:
            f.write(f"apiVersion: v1\nkind: Config\ncurrent-context: bench\nclusters:\n- name: bench\n  cluster:\n"
                    f"    server: https://{API}:6443\n    certificate-authority-data: {ca}\nusers:\n- name: bench\n  user:\n    token: {TOKEN}\n"
                    f"contexts:\n- name: bench\n  context: {{cluster: bench, user: bench}}\n")

    def up(self):
        self.certificates()
        sh(f"ip netns add {CONTROL}; ip -n {CONTROL} link set lo up; ip -n {CONTROL} link add br0 type bridge; "
           f"ip -n {CONTROL} addr add {API}/24 dev br0; ip -n {CONTROL} link set br0 up")
        self.start("etcd", CONTROL, f"{self.peers}/etcd-server", "--data-dir", self.path("etcd"), "--listen-client-urls", "http://127.0.0.1:2379",
                   "--advertise-client-urls", "http://127.0.0.1:2379", "--listen-peer-urls", "http://127.0.0.1:2380", "--unsafe-no-fsync",
                   "--log-level=error")
        self.start("kube-apiserver", CONTROL, f"{self.peers}/kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", f"--bind-address={API}",
                   f"--advertise-address={API}", "--secure-port=6443", f"--tls-cert-file={self.path('api.crt')}",
                   f"--tls-private-key-file={self.path('api.key')}", f"--client-ca-file={self.path('ca.crt')}",
                   f"--token-auth-file={self.path('tokens.csv')}", f"--service-account-key-file={self.path('sa.key')}",
                   f"--service-account-signing-key-file={self.path('sa.key')}", "--service-account-issuer=https://kubernetes.default.svc",
                   "--service-cluster-ip-range=10.96.0.0/12", "--authorization-mode=AlwaysAllow", "--max-requests-inflight=0",
                   "--max-mutating-requests-inflight=0", "--enable-priority-and-fairness=false", f"--cert-dir={self.path('certs')}")

    def node(self, name):
        """A namespace that reaches the API server; its address is 10.77.0.(2 + how many there were)."""
        ns, n = "bench-peer-" + name, len(self.nodes)
        self.nodes.append(ns)
        sh(NODE.format(ns=ns, n=n, host=n + 2, control=CONTROL))
        return ns


class Api:
    """One connection to the API server. Use it in a namespace that reaches it."""

    def __init__(self, stage):
        context = ssl.create_default_context(cafile=stage.path("ca.crt"))
        self.conn = http.client.HTTPSConnection(API, 6443, context=context, timeout=60)

    def call(self, method, path, body=None, ok=(200, 201)):
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
        self.conn.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = self.conn.getresponse()
        data = answer.read()
        if answer.status not in ok:
            raise SystemExit(f"{method} {path}: {answer.status} {data[:300]!r}")
        return data

    def ready(self):
        try:
            return self.call("GET", "/readyz") == b"ok"
        except (OSError, SystemExit, http.client.HTTPException):
            self.conn.close()
            return False
