"""A real cluster on one machine: etcd, kube-apiserver, kube-controller-manager, kube-scheduler on node-1, a kubelet with containerd and runc on both, and no kube-proxy. Pods are
containers of images, made by tools/image.py and imported; their network is Debian's CNI plugins (ptp, host-local). Services are for Fairlead to carry."""
import base64
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time

from machine import Machine, link, sweep
from suite import BIN, ROOT, run, wait_until

PEERS = pathlib.Path(os.environ.get("PEERS", ROOT / "build/peers"))
RUNTIME = PEERS / "runtime"  # Debian's packages, unpacked
CNI_BIN, CNI_CONF = "/run/cni-bin", "/run/net.d"  # /run is each node's own
NETWORK, PODS, SERVICES, API, DNS = "172.31.77", "10.244.0.0/16", "10.96.0.0/16", "10.96.0.1", "10.96.0.10"
NEEDED = ["etcd-server", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "coredns", "helm-v3", "podmonitors.yaml", "runtime/usr/bin/containerd", "runtime/usr/sbin/runc", "runtime/usr/lib/cni/ptp"]

COREDNS = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: coredns, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: system:coredns}
rules:
- {apiGroups: [""], resources: [services, namespaces, pods, endpoints], verbs: [list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: system:coredns}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:coredns}
subjects: [{kind: ServiceAccount, name: coredns, namespace: kube-system}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: coredns, namespace: kube-system}
data:
  Corefile: |
    .:53 {
        errors
        ready
        kubernetes cluster.local in-addr.arpa ip6.arpa
        cache 5
    }
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: coredns, namespace: kube-system}
spec:
  selector: {matchLabels: {k8s-app: kube-dns}}
  template:
    metadata: {labels: {k8s-app: kube-dns}}
    spec:
      serviceAccountName: coredns
      dnsPolicy: Default
      containers:
      - name: coredns
        image: localhost/coredns:1
        args: [-conf, /etc/coredns/Corefile]
        readinessProbe: {httpGet: {path: /ready, port: 8181}, periodSeconds: 1}
        volumeMounts: [{name: config, mountPath: /etc/coredns}]
      volumes: [{name: config, configMap: {name: coredns}}]
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  clusterIP: %s
  selector: {k8s-app: kube-dns}
  ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
""" % DNS


class Certificates:
    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.key("ca")
        run("openssl", "req", "-x509", "-new", "-key", folder / "ca.key", "-days", "2", "-subj", "/CN=cluster-ca", "-out", folder / "ca.crt")
        self.key("sa")

    def key(self, name):
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.folder / f"{name}.key")

    def issue(self, name, subject, names=None):
        self.key(name)
        d = self.folder
        run("openssl", "req", "-new", "-key", d / f"{name}.key", "-subj", subject, "-out", d / f"{name}.csr")
        (d / f"{name}.ext").write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth\n" if names else "extendedKeyUsage=clientAuth\n")
        run("openssl", "x509", "-req", "-in", d / f"{name}.csr", "-CA", d / "ca.crt", "-CAkey", d / "ca.key", "-CAcreateserial", "-days", "2", "-extfile", d / f"{name}.ext", "-out", d / f"{name}.crt")

    def kubeconfig(self, name, subject, server):
        self.issue(name, subject)
        data = lambda file: base64.b64encode((self.folder / file).read_bytes()).decode()  # noqa: E731
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority-data": data("ca.crt")}}],
            "users": [{"name": "u", "user": {"client-certificate-data": data(f"{name}.crt"), "client-key-data": data(f"{name}.key")}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}))
        return path


class Cluster:
    def __init__(self):
        self.missing = [p for p in NEEDED if not (PEERS / p).exists()]
        if self.missing:
            raise RuntimeError(f"no {', '.join(self.missing)} in {PEERS}: make cluster builds them")
        sweep()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"fairlead-cluster-{os.getpid()}-"))
        self.nodes = []

    def up(self):
        self.nodes = [Machine(f"node-{i}", self.folder / f"node-{i}") for i in (1, 2)]
        link(*self.nodes, NETWORK)
        self.images()
        self.control_plane()
        for node in self.nodes:
            self.kubelet(node)
        self.routes()
        self.apply(COREDNS)
        return self

    def down(self):
        for node in self.nodes:
            node.end()
        shutil.rmtree(self.folder)

    # ---- images ----

    def images(self):
        folder = self.folder / "images"
        make = lambda program, name, *more: run(sys.executable, ROOT / "tools/image.py", program, "--name", f"localhost/{name}", "--output", folder / f"{name.replace('/', '-')}.tar", *more, timeout=300)  # noqa: E731
        for program in ("agent", "control", "proxy", "echo"):
            make(BIN / f"fairlead-{program}", f"fairlead/{program}", *(["--user", "0:0"] if program == "agent" else []))
        make(BIN / "fairlead-cni-node", "fairlead/cni", "--user", "0:0", "--also", BIN / "fairlead-cni")
        make(shutil.which("sleep"), "pause", "--tag", "1", "--no-trust", "--args", "infinity")
        make(PEERS / "coredns", "coredns", "--tag", "1", "--user", "0:0", "--no-trust", "--max-bytes", 100 << 20)

    # ---- programs ----

    def control_plane(self):
        first = self.nodes[0]
        self.server = f"https://{first.address}:6443"
        pki = Certificates(self.folder / "pki")
        self.pki = pki
        pki.issue("server", "/CN=kube-apiserver", f"IP:{first.address},IP:127.0.0.1,IP:{API},DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc")
        pki.issue("kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client")
        self.kubeconfig = pki.kubeconfig("admin", "/O=system:masters/CN=admin", self.server)
        etcd = "http://127.0.0.1:2379"
        first.start("etcd", PEERS / "etcd-server", "--data-dir", first.folder / "etcd", "--listen-client-urls", etcd, "--advertise-client-urls", etcd, "--listen-peer-urls", "http://127.0.0.1:2380",
                    "--initial-advertise-peer-urls", "http://127.0.0.1:2380", "--initial-cluster", "default=http://127.0.0.1:2380", "--unsafe-no-fsync")
        d = pki.folder
        (d / "audit.json").write_text(json.dumps({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]}))
        first.start("kube-apiserver", PEERS / "kube-apiserver", f"--etcd-servers={etcd}", "--secure-port=6443", f"--advertise-address={first.address}", f"--tls-cert-file={d}/server.crt",
                    f"--tls-private-key-file={d}/server.key", f"--client-ca-file={d}/ca.crt", f"--service-account-key-file={d}/sa.key", f"--service-account-signing-key-file={d}/sa.key",
                    "--service-account-issuer=https://kubernetes.default.svc.cluster.local", f"--service-cluster-ip-range={SERVICES}", "--authorization-mode=Node,RBAC",
                    "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true", "--kubelet-preferred-address-types=InternalIP", f"--audit-policy-file={d}/audit.json", f"--audit-log-path={first.folder}/audit.log", f"--kubelet-client-certificate={d}/kubelet-client.crt", f"--kubelet-client-key={d}/kubelet-client.key")
        wait_until("the API server is ready", lambda: self.kubectl("get", "--raw=/readyz", check=False).stdout == "ok" or first.check(), 180)
        who = pki.kubeconfig("kube-controller-manager", "/CN=system:kube-controller-manager", self.server)
        first.start("kube-controller-manager", PEERS / "kube-controller-manager", f"--kubeconfig={who}", "--allocate-node-cidrs", f"--cluster-cidr={PODS}", "--node-cidr-mask-size=24",
                    f"--service-account-private-key-file={d}/sa.key", f"--root-ca-file={d}/ca.crt", "--use-service-account-credentials", "--leader-elect=false")
        who = pki.kubeconfig("kube-scheduler", "/CN=system:kube-scheduler", self.server)
        first.start("kube-scheduler", PEERS / "kube-scheduler", f"--kubeconfig={who}", "--leader-elect=false")

    def kubelet(self, node):
        path = {"PATH": f"{RUNTIME}/usr/bin:{RUNTIME}/usr/sbin:{os.environ['PATH']}"}
        config = node.folder / "containerd.toml"
        node.run("cp", "-r", RUNTIME / "usr/lib/cni", CNI_BIN)  # of its own: others put plugins there
        node.run("mkdir", CNI_CONF)
        config.write_text(f"""
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true # who may not lower it (CAP_SYS_RESOURCE) runs pods all the same
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_BIN}"
    conf_dir = "{CNI_CONF}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
""")
        node.start("containerd", RUNTIME / "usr/bin/containerd", "-c", config, env=path)
        wait_until("containerd answers", lambda: self.ctr(node, "version", check=False).returncode == 0 or node.check(), 30)
        for image in sorted((self.folder / "images").glob("*.tar")):
            self.ctr(node, "images", "import", image)
        who = self.pki.kubeconfig(f"kubelet-{node.name}", f"/O=system:nodes/CN=system:node:{node.name}", self.server)
        settings = node.folder / "kubelet.json"
        settings.write_text(json.dumps({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}, "x509": {"clientCAFile": str(self.pki.folder / "ca.crt")}}, "authorization": {"mode": "Webhook"},
            "cgroupDriver": "cgroupfs", "failCgroupV1": False, "failSwapOn": False, "makeIPTablesUtilChains": False, "clusterDNS": [DNS], "clusterDomain": "cluster.local", "resolvConf": "",
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock", "volumePluginDir": "/var/lib/kubelet/volume-plugins", "imageGCHighThresholdPercent": 100,
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "1%"}, "cpuManagerPolicy": "none"}))
        node.start("kubelet", PEERS / "kubelet", f"--config={settings}", f"--kubeconfig={who}", f"--hostname-override={node.name}", f"--node-ip={node.address}", env=path)

    def routes(self):
        """What a network plugin does: each node its pods' network, and the way to the other's."""
        cidrs = {}
        for node in self.nodes:
            cidrs[node.name] = wait_until(f"{node.name} is given a network for its pods", lambda: self.kubectl("get", "node", node.name, "-o", "jsonpath={.spec.podCIDR}", check=False).stdout or node.check(), 60)
            node.run("tee", f"{CNI_CONF}/10-pods.conflist", stdin=json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": [
                {"type": "ptp", "ipMasq": False, "ipam": {"type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": cidrs[node.name]}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}))
        for node, other in zip(self.nodes, reversed(self.nodes)):
            node.run("ip", "route", "add", cidrs[other.name], "via", other.address)
        for node in self.nodes:
            wait_until(f"{node.name} is ready", lambda: self.condition("node", node.name, "Ready") or node.check(), 60)

    # ---- asking ----

    def ctr(self, node, *argv, **kw):
        return node.run(RUNTIME / "usr/bin/ctr", "-n", "k8s.io", *argv, **kw)

    def client(self, program, *argv, **kw):
        """A client of the API server, on node-1."""
        return self.nodes[0].run("env", f"KUBECONFIG={self.kubeconfig}", "HOME=/run", program, *argv, **kw)

    def kubectl(self, *argv, **kw):
        return self.client("kubectl", *argv, **kw)

    def helm(self, *argv, **kw):
        return self.client(PEERS / "helm-v3", *argv, **kw)

    def apply(self, text):
        return self.kubectl("apply", "-f", "-", stdin=text)

    def get(self, *argv):
        return json.loads(self.kubectl("get", *argv, "-o", "json"))

    def condition(self, kind, name, which):
        done = self.kubectl("get", kind, name, "-o", f"jsonpath={{.status.conditions[?(@.type=='{which}')].status}}", check=False)
        return done.stdout == "True"

    def pods(self, selector, ns):
        return [p for p in self.get("pods", "-n", ns, "-l", selector)["items"] if "deletionTimestamp" not in p["metadata"]]

    def wait_pods(self, selector, n, ns, timeout=120):
        """The pods, when n of them, and no other, are ready."""
        def ready():
            for node in self.nodes:
                node.check()
            pods = self.pods(selector, ns)
            good = [p for p in pods if any(c["type"] == "Ready" and c["status"] == "True" for c in p["status"].get("conditions", []))]
            return len(good) == len(pods) == n and pods
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            found = ready()
            if found:
                return found
            time.sleep(0.5)
        raise AssertionError(f"{n} pods {selector} of {ns} are not ready:\n" + self.kubectl("get", "pods", "-A", "-o", "wide") + self.kubectl("get", "events", "-n", ns, "--sort-by=.lastTimestamp")[-4000:])

    def node_of(self, pod):
        return next(n for n in self.nodes if n.name == pod["spec"]["nodeName"])

    def network_of(self, pod):
        """How to run a program of this machine on the pod's network, in its node."""
        node, name = self.node_of(pod), pod["metadata"]["name"]
        container = self.ctr(node, "containers", "ls", "-q", f'labels."io.kubernetes.pod.name"=={name},labels."io.cri-containerd.kind"==sandbox').split()[0]
        pid = next(line.split()[1] for line in self.ctr(node, "tasks", "ls").splitlines() if line.startswith(container))
        return ["nsenter", "-t", pid, "--net", "--"]

    def in_pod(self, pod, *argv, **kw):
        return self.node_of(pod).run(*self.network_of(pod), *argv, **kw)

    def in_pod_start(self, pod, name, *argv):
        return self.node_of(pod).start(name, *self.network_of(pod), *argv)
