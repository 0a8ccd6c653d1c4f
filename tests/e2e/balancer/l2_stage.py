"""A segment of its own: a bridge with an API server and a control plane behind it, nodes with agents, a client. All in network namespaces of this process."""
import contextlib
import ctypes
import hashlib
import json
import os
import select
import socket
import struct
import subprocess
import time

from api_server import make_certs
from conftest import Cluster, Control
from suite import BIN, ECHO, SLOW, run, wait_until

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
HUB4, HUB6 = "192.0.2.1", "2001:db8:1::1"
ETH_P_ARP, ETH_P_IPV6 = 0x0806, 0x86DD


def enter(fd):
    if libc.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Namespace:
    def __init__(self, stage, name, number):
        self.stage, self.name, self.number = stage, name, number
        self.netns = f"flb{os.getpid()}-{name}"
        self.v4, self.v6 = f"192.0.2.{number}", f"2001:db8:1::{number:x}"
        run("ip", "netns", "add", self.netns)
        self.fd = os.open(f"/run/netns/{self.netns}", os.O_RDONLY)
        run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", self.netns)
        run("ip", "link", "set", name, "master", "br0", "up")
        self.ip("link", "set", "lo", "up")
        self.sysctl("net.ipv6.conf.eth0.accept_dad", 0)
        self.ip("link", "set", "eth0", "up")
        self.ip("addr", "add", f"{self.v4}/24", "dev", "eth0")
        self.ip("addr", "add", f"{self.v6}/64", "dev", "eth0", "nodad")
        self.mac = json.loads(self.ip("-j", "link", "show", "eth0"))[0]["address"]

    def ip(self, *args):
        return run("ip", "-n", self.netns, *args)

    def sysctl(self, name, value):
        run("ip", "netns", "exec", self.netns, "sysctl", "-qw", f"{name}={value}")

    @contextlib.contextmanager
    def inside(self):
        """What is opened in here stays in this namespace."""
        enter(self.fd)
        try:
            yield self
        finally:
            enter(self.stage.hub_fd)

    def popen(self, *argv, **kw):
        with self.inside():
            return subprocess.Popen([str(a) for a in argv], **kw)

    def close(self):
        os.close(self.fd)
        run("ip", "netns", "del", self.netns)


class Node(Namespace):
    agent = None
    as_whom = ()  # setpriv and what it is to do

    def start(self, *flags):
        self.sysctl("net.ipv4.ip_forward", 1)
        self.sysctl("net.ipv6.conf.all.forwarding", 1)
        log = open(self.stage.dir / f"{self.name}.log", "ab")
        self.agent = self.popen(*self.as_whom, f"{BIN}/fairlead-agent", f"--kubeconfig={self.stage.kubeconfig}", f"--node-name={self.name}", "--healthz-bind-address=0.0.0.0:10256",
                                "--metrics-bind-address=127.0.0.1:10249", "--address-pool-namespace=fairlead-system", "--cluster-cidr=10.244.0.0/16", *flags, stderr=log)
        return self

    def stop(self, kill=False):
        (self.agent.kill if kill else self.agent.terminate)()
        code, self.agent = self.agent.wait(10), None
        return code

    def echo(self):
        self.server = self.popen(ECHO, "--name", self.name, "--http", "8080", stderr=subprocess.DEVNULL)

    def metrics(self):
        with self.inside():
            s = socket.create_connection(("127.0.0.1", 10249), 5 * SLOW)
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        text = b""
        while part := s.recv(65536):
            text += part
        s.close()
        return text.decode()

    def metric(self, name):
        try:
            return next((float(line.split()[-1]) for line in self.metrics().splitlines() if line.split(" ")[0] == name), None)
        except ConnectionRefusedError:
            return None  # it starts

    def close(self):
        if self.agent:
            self.stop()
        if hasattr(self, "server"):
            self.server.kill()
            self.server.wait(10)
        super().close()


class Client(Namespace):
    def answers(self, ip, wait=0.3):
        """Hardware addresses of all who answer one question for an IPv4 address, by ARP as it is on the wire."""
        with self.inside():
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ARP))
        s.bind(("eth0", ETH_P_ARP))
        own = bytes.fromhex(self.mac.replace(":", ""))
        s.send(b"\xff" * 6 + own + struct.pack("!HHHBBH", ETH_P_ARP, 1, 0x0800, 6, 4, 1) + own + socket.inet_aton(self.v4) + bytes(6) + socket.inet_aton(ip))
        found = []
        for frame in packets(s, wait * SLOW):
            if frame[20:22] == b"\0\2" and frame[28:32] == socket.inet_aton(ip) and frame[:6] == own:
                found.append(frame[22:28].hex(":"))
        s.close()
        return found

    def listen(self, protocol):
        with self.inside():
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
        s.bind(("eth0", protocol))
        return s

    def neighbour(self, ip):
        """What the kernel finds by itself."""
        self.forget(ip)
        self.ask(ip, 9)
        n = json.loads(self.ip("-j", "neigh", "show", ip, "dev", "eth0") or "[]")
        return n[0].get("lladdr") if n else None

    def forget(self, ip):
        run("ip", "-n", self.netns, "neigh", "del", ip, "dev", "eth0", check=False)

    def ask(self, ip, port=80, timeout=1):
        """Which node's endpoint answers; None: nobody."""
        with self.inside():
            s = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET)
        s.settimeout(timeout * SLOW)
        try:
            s.connect((ip, port))
            s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            text = b""
            while part := s.recv(65536):
                text += part
            return json.loads(text.split(b"\r\n\r\n", 1)[1])["name"]
        except OSError:
            return None
        finally:
            s.close()


def packets(s, seconds):
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([s], [], [], left)[0]:
            yield s.recv(2048)


class Stage:
    def __init__(self, directory, nodes=3):
        self.dir = directory
        self.host_fd = os.open("/proc/self/ns/net", os.O_RDONLY)
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        self.hub_fd = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.control = self.cluster = None
        self.everybody = []
        try:
            self.begin(nodes)
        except BaseException:
            self.close()
            raise

    def begin(self, nodes):
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        run("ip", "link", "set", "br0", "up")
        run("ip", "addr", "add", f"{HUB4}/24", "dev", "br0")
        make_certs(self.dir)
        self.prepare()
        (self.dir / "server.ext").write_text(f"subjectAltName=IP:127.0.0.1,IP:{HUB4}\nextendedKeyUsage=serverAuth\n")
        run("openssl", "x509", "-req", "-in", self.dir / "server.csr", "-CA", self.dir / "ca.crt", "-CAkey", self.dir / "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", self.dir / "server.ext", "-out", self.dir / "server.crt")
        self.cluster = Cluster(self.dir, extra=["--bind-address", "0.0.0.0"])
        self.cluster.start()
        self.cluster.define()
        self.kubeconfig = self.dir / "kubeconfig-of-nodes"
        self.kubeconfig.write_text(self.cluster.kubeconfig().read_text().replace("https://127.0.0.1", f"https://{HUB4}"))
        self.define_pools()
        self.control = Control(self.cluster, "control")
        self.client = Client(self, "client", 100)
        self.nodes = {f"n{i}": Node(self, f"n{i}", 10 + i) for i in range(1, nodes + 1)}
        self.everybody = [self.client, *self.nodes.values()]
        for n in self.nodes.values():
            n.echo()
            self.cluster.put_object("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": n.name, "labels": {"kubernetes.io/hostname": n.name}}})
            r = self.cluster.patch(f"/api/v1/nodes/{n.name}/status", {"status": {"addresses": [{"type": "InternalIP", "address": n.v4}]}})
            assert r.status == 200, r.body
            self.start_node(n)
        self.wait_for_agents()

    def prepare(self):
        """Before the API server starts."""

    def define_pools(self):
        self.cluster.pool("lan", "192.0.2.200-192.0.2.230", "2001:db8:1::200-2001:db8:1::2ff")
        self.cluster.advertise()

    def start_node(self, node):
        node.start()

    def wait_for_agents(self):
        others = len(self.nodes) - 1
        wait_until("each agent has heard of the others", lambda: all(n.metric("fairlead_agent_l2_peers_alive") == others for n in self.nodes.values()), 30)

    def close(self):
        for n in self.everybody:
            n.close()
        if self.control:
            self.control.stop()
        if self.cluster:
            self.cluster.stop()
        enter(self.host_fd)
        os.close(self.hub_fd)
        os.close(self.host_fd)

    def endpoints(self, service, *nodes, family=4, ready=True):
        """The endpoints of a Service, on these nodes."""
        self.cluster.put_slice(service, [{"addresses": [n.v6 if family == 6 else n.v4], "nodeName": n.name, "conditions": {"ready": ready, "serving": ready}}
                                         for n in (self.nodes[name] for name in nodes)], family)

    def order(self, ip, *names):
        """Nodes, as they are chosen for an address: by MetalLB's rule."""
        return sorted(names or self.nodes, key=lambda n: hashlib.sha256(f"{n}#{ip}".encode()).digest())

    def node_of(self, mac):
        return next((n.name for n in self.nodes.values() if n.mac == mac), mac)

    def answerers(self, ip):
        return [self.node_of(m) for m in self.client.answers(ip)]

    def announced_by(self, ip, name):
        """That node alone answers."""
        wait_until(f"{name} answers for {ip}", lambda: self.answerers(ip) == ([name] if name else []), 20)
