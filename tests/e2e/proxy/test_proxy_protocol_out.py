"""The PROXY protocol to endpoints: who they are told the client is, by heads that a plain reader of sockets takes apart."""
import socket
import ssl
import struct
import subprocess
import threading

import pytest
from certificates import Authority
from conftest import Client
from listeners import address, chain, cluster, http, listener_filter, start, tcp, upstream_tls
from suite import free_ports, wait_until

V2 = b"\r\n\r\n\0\r\nQUIT\n"
GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
TYPE = "type.googleapis.com/envoy.extensions.transport_sockets."


class Endpoint:
    """Reads a head, then answers each request with its number on this connection."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.heads, self.conns = self.listener.getsockname()[1], [], []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            self.conns.append(conn)
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def head(self, f):
        start = f.read(1)
        if start == b"P":
            return start + f.readline()
        start += f.read(15)
        return start + f.read(struct.unpack(">H", start[14:])[0])

    def serve(self, conn):
        f = conn.makefile("rb")
        self.heads.append(self.head(f))
        n = 0
        while f.readline():
            while f.readline() not in (b"\r\n", b""):
                pass
            n += 1
            conn.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n%d" % n)

    def stop(self):
        for s in [self.listener, *self.conns]:
            s.close()


@pytest.fixture
def endpoint():
    e = Endpoint()
    yield e
    e.stop()


def proxied(version, socket_=None, **config):
    socket_ = socket_ or {"name": "envoy.transport_sockets.raw_buffer", "typed_config": {"@type": TYPE + "raw_buffer.v3.RawBuffer"}}
    return {"name": "envoy.transport_sockets.upstream_proxy_protocol",
            "typed_config": {"@type": TYPE + "proxy_protocol.v3.ProxyProtocolUpstreamTransport", "config": {"version": version, **config}, "transport_socket": socket_}}


def parts(head):
    """(source, port, destination, port) of a head of either version; None: it names nobody."""
    if head.startswith(b"PROXY "):
        words = head.decode().split()
        return None if words[1] == "UNKNOWN" else (words[2], int(words[4]), words[3], int(words[5]))
    assert head.startswith(V2)
    if head[12] == 0x20:
        return None
    assert head[12:14] == b"\x21\x11"
    source, destination, *ports = struct.unpack(">4s4sHH", head[16:28])
    return socket.inet_ntoa(source), ports[0], socket.inet_ntoa(destination), ports[1]


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_each_client_has_connections_of_its_own(tmp_path, endpoint, version):
    port = free_ports(1)[0]
    proxy = start(tmp_path, port, [{"address": address(port), "filter_chains": [chain(http(cluster="one"))]}], [cluster(endpoint.port, "one") | {"transport_socket": proxied(version)}])
    first, second = Client(port), Client(port)
    assert [c.ask(GET)[2] for c in (first, second, first, second)] == [b"1", b"1", b"2", b"2"], "neither speaks on the other's"
    assert sorted(map(parts, endpoint.heads)) == sorted(("127.0.0.1", c.sock.getsockname()[1], "127.0.0.1", port) for c in (first, second))
    proxy.stop()


def test_who_a_proxy_before_us_says_it_is(tmp_path, endpoint):
    port = free_ports(1)[0]
    proxy = start(tmp_path, port, [{"address": address(port), "listener_filters": [listener_filter("proxy_protocol")], "filter_chains": [chain(http(cluster="one"))]}],
                  [cluster(endpoint.port, "one") | {"transport_socket": proxied("V2")}])
    assert Client(port).ask("PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000\r\n" + GET)[2] == b"1"
    assert [parts(h) for h in endpoint.heads] == [("1.2.3.4", 1000, "5.6.7.8", 2000)]
    proxy.stop()


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_of_bytes(tmp_path, endpoint, version):
    port = free_ports(1)[0]
    proxy = start(tmp_path, port, [{"address": address(port), "filter_chains": [chain(tcp("one"))]}], [cluster(endpoint.port, "one") | {"transport_socket": proxied(version)}])
    c = Client(port)
    assert c.ask(GET)[2] == b"1"
    want = ("127.0.0.1", c.sock.getsockname()[1], "127.0.0.1", port)
    assert want in [parts(head) for head in endpoint.heads], "another one is that by which it was seen to be up"
    proxy.stop()


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_checks_speak_for_nobody(tmp_path, endpoint, version):
    port = free_ports(1)[0]
    checks = [{"timeout": "1s", "interval": "1s", "unhealthy_threshold": 1, "healthy_threshold": 1, "tcp_health_check": {}}]
    proxy = start(tmp_path, port, [{"address": address(port), "filter_chains": [chain(http(cluster="one"))]}], [cluster(endpoint.port, "one") | {"transport_socket": proxied(version), "health_checks": checks}])
    wait_until("it is checked", lambda: endpoint.heads)
    assert parts(endpoint.heads[0]) is None
    proxy.stop()


def test_tls_comes_behind_it(tmp_path):
    """The head is in plain text, before the handshake."""
    port, got = free_ports(1)[0], []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Authority(tmp_path).issue("endpoint"))
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        conn, _ = listener.accept()
        got.append(conn.recv(28, socket.MSG_WAITALL))
        with context.wrap_socket(conn, server_side=True) as tls:
            got.append(tls.recv(4096))
            tls.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    proxy = start(tmp_path, port, [{"address": address(port), "filter_chains": [chain(http(cluster="one"))]}],
                  [cluster(listener.getsockname()[1], "one") | {"transport_socket": proxied("V2", socket_=upstream_tls())}])
    c = Client(port)
    assert c.ask(GET)[2] == b"ok"
    thread.join(10)
    assert parts(got[0]) == ("127.0.0.1", c.sock.getsockname()[1], "127.0.0.1", port)
    assert got[1].startswith(b"GET / HTTP/1.1\r\n")
    listener.close()
    proxy.stop()


def test_keepalive_of_tcp(tmp_path, endpoint):
    """As the kernel tells it of the connection: the time until it asks."""
    port = free_ports(1)[0]
    keepalive = {"upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 4000, "keepalive_probes": 7, "keepalive_interval": 9}}}
    proxy = start(tmp_path, port, [{"address": address(port), "filter_chains": [chain(http(cluster="one"))]}], [cluster(endpoint.port, "one") | {"transport_socket": proxied("V1")} | keepalive])
    assert Client(port).ask(GET)[2] == b"1"
    seen = subprocess.run(["ss", "-tnoH", f"dport = :{endpoint.port}"], capture_output=True, text=True, check=True).stdout
    assert "timer:(keepalive,66min" in seen or "timer:(keepalive,65min" in seen, seen
    proxy.stop()
