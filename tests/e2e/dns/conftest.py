"""The API server and the name server as two processes, asked on loopback, byte by byte. No controllers: the tests write the slices."""
import os
import socket
import struct
import subprocess

import pytest

from api_server import Server
from dns_wire import Message, query
from suite import LABD, SLOW, free_ports, wait_until

class Dns:
    def __init__(self, server):
        self.api = server
        self.port, self.ready_port, self.health_port = free_ports(3)
        self.process = None

    def start(self):
        self.log = open(self.api.dir / "dns.log", "ab")
        # Its memory is measured: AddressSanitizer shall not keep what was freed.
        env = dict(os.environ, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1")
        self.process = subprocess.Popen(
            [LABD, "dns", "--kubeconfig", str(self.api.kubeconfig()), "--port", str(self.port), "--ready-port", str(self.ready_port),
             "--health-port", str(self.health_port)], stderr=self.log, env=env)
        wait_until("it listens", lambda: self.http(self.health_port, "/health") == 200)
        return self

    def stop(self):
        self.process.terminate()
        return self.process.wait(10)

    def http(self, port, path):
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as s:
                s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                return int(s.makefile("rb").readline().split()[1])
        except OSError:
            return None

    def udp(self, data, timeout=2, host="127.0.0.1"):
        """The answer's bytes; None when there is none."""
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect((host, self.port))
            s.settimeout(timeout * SLOW)
            s.send(data)
            try:
                return s.recv(65536)
            except TimeoutError:
                return None

    def connect(self, timeout=5):
        s = socket.create_connection(("127.0.0.1", self.port), timeout * SLOW)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def ask(self, name, rrtype="A", **kw):
        return Message(self.udp(query(name, rrtype, **kw)))

    def ask_tcp(self, name, rrtype="A"):
        with self.connect() as s:
            q = query(name, rrtype)
            s.sendall(struct.pack(">H", len(q)) + q)
            return read_message(s)


def read_message(s):
    def exactly(n):
        data = b""
        while len(data) < n:
            more = s.recv(n - len(data))
            assert more, f"the stream ended after {len(data)} of {n} bytes"
            data += more
        return data
    return Message(exactly(struct.unpack(">H", exactly(2))[0]))


def create(api, kind, name, ns="default", labels=None, **body):
    path = {"Namespace": "/api/v1/namespaces", "Service": f"/api/v1/namespaces/{ns}/services",
            "EndpointSlice": f"/apis/discovery.k8s.io/v1/namespaces/{ns}/endpointslices"}[kind]
    reply = api.post(path, {"metadata": {"name": name, "labels": labels or {}}, **body})
    assert reply.status == 201, reply.body
    return reply.json


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("dns")).start()
    yield s
    assert s.stop() == 0, f"see {s.dir}/apiserver.log"


@pytest.fixture(scope="module")
def dns(api):
    d = Dns(api).start()
    wait_until("it is ready", lambda: d.http(d.ready_port, "/ready") == 200)
    yield d
    assert d.stop() == 0, f"see {api.dir}/dns.log"
