"""log and exec through a stand-in for the node: what the API server asks of the kubelet port, and that bytes pass both ways."""
import base64
import hashlib
import os
import socket
import ssl
import struct
import threading

import pytest
from api_server import TOKEN, pod


class Kubelet(threading.Thread):
    """TLS server with client certificates; remembers request heads, answers with `answer(head, sock)`."""

    def __init__(self, server, answer):
        super().__init__(daemon=True)
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(server.dir / "ca.crt"))
        self.tls.verify_mode = ssl.CERT_REQUIRED
        self.tls.load_cert_chain(server.dir / "server.crt", server.dir / "server.key")
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port, self.answer, self.heads, self.peers = self.sock.getsockname()[1], answer, [], []

    def run(self):
        while True:
            try:
                raw, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(raw,), daemon=True).start()

    def serve(self, raw):
        c = self.tls.wrap_socket(raw, server_side=True)
        self.peers.append(dict(x[0] for x in c.getpeercert()["subject"])["commonName"])
        head = b""
        while b"\r\n\r\n" not in head:
            head += c.recv(65536)
        self.heads.append(head.decode())
        self.answer(head, c)
        c.close()


def node_with_pod(server, ns, port, **spec):
    name = f"node-{ns}"
    server.post("/api/v1/nodes", {"metadata": {"name": name}})
    r = server.patch(f"/api/v1/nodes/{name}/status", {"status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                                                                 "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}})
    assert r.status == 200, r.body
    assert server.post(f"/api/v1/namespaces/{ns}/pods", pod("p", nodeName=name, **spec)).status == 201


def test_log(server, ns):
    def answer(head, c):
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello\n\r\n")
        c.sendall(b"6\r\nworld\n\r\n0\r\n\r\n")

    k = Kubelet(server, answer)
    k.start()
    node_with_pod(server, ns, k.port)
    r = server.get(f"/api/v1/namespaces/{ns}/pods/p/log?follow=true&tailLines=5&timestamps=true")
    assert (r.status, r.body) == (200, b"hello\nworld\n")
    line = k.heads[0].split("\r\n")[0]
    assert line.startswith(f"GET /containerLogs/{ns}/p/c?") and "tailLines=5" in line and "follow=true" in line
    assert TOKEN not in k.heads[0], "the caller's credentials stay here"
    assert k.peers == ["kube-apiserver-kubelet-client"]


def test_log_of_the_default_container(server, ns):
    def answer(head, c):
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    k = Kubelet(server, answer)
    k.start()
    node_with_pod(server, ns, k.port, containers=[{"name": "a", "image": "i"}, {"name": "b", "image": "i"}])
    server.patch(f"/api/v1/namespaces/{ns}/pods/p", {"metadata": {"annotations": {"kubectl.kubernetes.io/default-container": "b"}}})
    assert server.get(f"/api/v1/namespaces/{ns}/pods/p/log").body == b"ok"
    assert k.heads[0].startswith(f"GET /containerLogs/{ns}/p/b ")


@pytest.mark.parametrize("query,status,words", [
    ("tailLines=-1", 422, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
    ("limitBytes=0", 422, "limitBytes: Invalid value: 0: must be greater than or equal to 1"),
    ("sinceSeconds=0", 422, "sinceSeconds: Invalid value: 0"),
    ("sinceSeconds=5&sinceTime=2026-01-01T00:00:00Z", 422, "at most one of `sinceTime` or `sinceSeconds`"),
    ("sinceTime=yesterday", 400, "is not a time"), ("tailLines=x", 400, "is not a number"), ("stream=Stderr", 400, "both streams are one here"),
])
def test_log_options_are_checked(server, ns, query, status, words):
    node_with_pod(server, ns, 1)
    r = server.get(f"/api/v1/namespaces/{ns}/pods/p/log?{query}")
    assert r.status == status and words in r.json["message"], r.body


def test_every_log_option_reaches_the_node(server, ns):
    def answer(head, c):
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    k = Kubelet(server, answer)
    k.start()
    node_with_pod(server, ns, k.port)
    options = "follow=true&previous=true&timestamps=true&tailLines=0&limitBytes=7&sinceTime=2026-01-01T00%3A00%3A00Z"
    assert server.get(f"/api/v1/namespaces/{ns}/pods/p/log?container=c&{options}").body == b"ok"
    assert k.heads[0].split(" ")[1] == f"/containerLogs/{ns}/p/c?{options}"


def ws_frame(payload, mask=None):
    head = bytes([0x82, (0x80 if mask else 0) | len(payload)])
    if not mask:
        return head + payload
    return head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def test_exec_over_websocket(server, ns):
    """What kubectl 1.30 and newer send: WebSocket, v5.channel.k8s.io; frames pass untouched both ways."""
    def answer(head, c):
        key = next(l.split(": ")[1] for l in head.decode().split("\r\n") if l.lower().startswith("sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
        c.sendall(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n"
                  "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n".encode())
        c.sendall(ws_frame(b"\1out"))
        self_sent.append(c.recv(64))
        c.sendall(ws_frame(b'\3{"status":"Success"}') + struct.pack(">BBH", 0x88, 2, 1000))

    self_sent = []
    k = Kubelet(server, answer)
    k.start()
    node_with_pod(server, ns, k.port)
    c = server.tls.wrap_socket(socket.create_connection(("127.0.0.1", server.port)), server_hostname="127.0.0.1")
    key = base64.b64encode(os.urandom(16)).decode()
    c.sendall((f"GET /api/v1/namespaces/{ns}/pods/p/exec?container=c&command=ls&command=-l&stdin=true&stdout=true&tty=false HTTP/1.1\r\n"
               f"Host: x\r\nAuthorization: Bearer {TOKEN}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
               f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n").encode())
    got = b""
    while b"\1out" not in got:
        got += c.recv(4096)
    assert got.startswith(b"HTTP/1.1 101 ")
    sent = ws_frame(b"\0input", mask=b"abcd")
    c.sendall(sent)
    while data := c.recv(4096):
        got += data
    assert got.endswith(b'\3{"status":"Success"}' + struct.pack(">BBH", 0x88, 2, 1000))
    assert self_sent == [sent]
    line = k.heads[0].split("\r\n")[0]
    assert line.startswith(f"GET /exec/{ns}/p/c?command=ls&command=-l&input=") or "command=ls&command=-l" in line, line
    assert "Sec-WebSocket-Protocol: v5.channel.k8s.io" in k.heads[0]


def test_node_that_does_not_answer(server, ns):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    node_with_pod(server, ns, port)
    r = server.get(f"/api/v1/namespaces/{ns}/pods/p/log")
    assert r.status == 500 and r.json["message"].startswith(f"error dialing backend: node node-{ns}")
