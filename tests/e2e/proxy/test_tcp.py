"""Bytes through the proxy as they are: both ends of a connection, what breaks, who is chosen, what is logged."""
import os
import select
import socket
import struct
import threading

import pytest
from certificates import Authority
from conftest import Client
from listeners import TlsClient, address, chain, cluster, log, start, tcp, tls, upstream_tls
from suite import SLOW, free_ports, wait_until

LINE = "%RESPONSE_CODE% %RESPONSE_FLAGS% %PROTOCOL% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_CLUSTER% %UPSTREAM_HOST%"


@pytest.fixture
def port():
    return free_ports(1)[0]


class Peer:
    """An endpoint that hands out what it accepts."""

    def __init__(self, path=None):
        self.listener = socket.socket(socket.AF_UNIX) if path else socket.create_server(("127.0.0.1", 0))
        if path:
            self.listener.bind(str(path))
            self.listener.listen()
        else:
            self.port = self.listener.getsockname()[1]
        self.listener.settimeout(10 * SLOW)

    def accept(self):
        sock, _ = self.listener.accept()
        sock.settimeout(10 * SLOW)
        return sock


def everything(sock):
    data = b""
    while got := sock.recv(65536):
        data += got
    return data


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def run(tmp_path, port, clusters, **more):
    return start(tmp_path, port, [{"address": address(port), "filter_chains": [chain(tcp(access_log=log(tmp_path / "log", LINE), **more))]}], clusters)


def lines(tmp_path):
    """Those of the connections of the test: Proxy() itself connects once, and says nothing."""
    return [line for line in (tmp_path / "log").read_text().splitlines() if " 0 0 backend 127" not in line or "UF" in line]


def test_both_ways_and_half_closes(tmp_path, port):
    peer = Peer()
    proxy = run(tmp_path, port, [cluster(peer.port)])
    peer.accept().close()  # of the probe
    c = Client(port)
    s = peer.accept()
    s.sendall(b"hello")  # who speaks first does not matter
    assert c.reader.exactly(5) == b"hello"
    c.send(b"question")
    c.sock.shutdown(socket.SHUT_WR)
    assert everything(s) == b"question"
    s.sendall(b"answer")  # after the client's end
    s.close()
    assert everything(c.sock) == b"answer"
    c = Client(port)
    s = peer.accept()
    s.shutdown(socket.SHUT_WR)
    assert c.sock.recv(1) == b""
    c.send(b"still")  # after the endpoint's end
    c.close()
    assert everything(s) == b"still"
    s.close()
    proxy.stop()
    assert lines(tmp_path) == [f"0 - - 8 11 backend 127.0.0.1:{peer.port}", f"0 - - 5 0 backend 127.0.0.1:{peer.port}"]


def push(sock, data):
    """How much goes out while the other end does not read."""
    sent = 0
    sock.setblocking(False)
    while sent < len(data) and select.select([], [sock], [], 0.5 * SLOW)[1]:
        sent += sock.send(data[sent:sent + 65536])
    sock.settimeout(20 * SLOW)
    return sent


@pytest.mark.parametrize("forwards", [True, False])
def test_much_and_slow(tmp_path, port, forwards):
    """Neither side is read faster than the other takes: the proxy stays small, and nothing is lost."""
    peer = Peer()
    proxy = run(tmp_path, port, [cluster(peer.port)])
    peer.accept().close()
    data = os.urandom(1 << 20) * 48
    client, before = Client(port).sock, proxy.rss_kib()
    one, other = (client, peer.accept()) if forwards else (peer.accept(), client)
    sent = push(one, data)
    assert sent < len(data)
    assert proxy.rss_kib() < before + 2048 or os.environ.get("FAIRLEAD_SANITIZED")
    sender = threading.Thread(target=lambda: (one.sendall(data[sent:]), one.shutdown(socket.SHUT_WR)))
    sender.start()
    assert everything(other) == data
    sender.join()
    proxy.stop()


def test_a_reset_goes_through(tmp_path, port):
    peer = Peer()
    proxy = run(tmp_path, port, [cluster(peer.port)])
    peer.accept().close()
    for from_client in (True, False):
        c, s = Client(port), peer.accept()
        s.sendall(b"x")
        assert c.reader.exactly(1) == b"x"
        reset(c.sock if from_client else s)
        with pytest.raises(ConnectionResetError):
            (s if from_client else c.sock).recv(1)
    proxy.stop()


@pytest.mark.parametrize("clusters,flags,host", [
    ([cluster(free_ports(1)[0])], "UF,URX", "127.0.0.1"), ([cluster([])], "UH", "-"), ([], "NC", "-")])
def test_nobody_there(tmp_path, port, clusters, flags, host):
    proxy = run(tmp_path, port, clusters)
    with pytest.raises(ConnectionResetError):
        Client(port).sock.recv(1)
    proxy.stop()
    line = (tmp_path / "log").read_text().splitlines()[-1].split()
    assert line[:6] == ["0", flags, "-", "0", "0", "backend"] and line[6].startswith(host)


def test_attempts(tmp_path, port):
    peer = Peer()
    dead = free_ports(1)[0]
    proxy = run(tmp_path, port, [cluster([dead, peer.port])], max_connect_attempts=2)
    peer.accept().close()
    for _ in range(4):
        c, s = Client(port), peer.accept()
        c.send(b"x")
        assert s.recv(1) == b"x"
        c.close()
        s.close()
    proxy.stop()


def test_idle(tmp_path, port):
    peer = Peer()
    proxy = run(tmp_path, port, [cluster(peer.port)], idle_timeout="0.3s")
    c = Client(port)
    assert c.sock.recv(1) == b""
    proxy.stop()


def test_a_connection_that_grows_old(tmp_path, port):
    peer = Peer()
    proxy = run(tmp_path, port, [cluster(peer.port)], max_downstream_connection_duration="0.3s")
    c = Client(port)
    with pytest.raises(OSError):
        while True:  # however busy
            c.send(b"x")
    proxy.stop()


def test_weighted(tmp_path, port):
    peers = [Peer(), Peer(), Peer()]
    proxy = start(tmp_path, port, [{"address": address(port), "filter_chains": [chain({"name": "tcp", "typed_config": {
        "@type": tcp()["typed_config"]["@type"], "stat_prefix": "t", "weighted_clusters": {"clusters": [
            {"name": "a", "weight": 1}, {"name": "b", "weight": 3}]}}})]}], [cluster(peers[0].port, "a"), cluster(peers[1].port, "b"), cluster(peers[2].port, "c")])
    counts = [0, 0, 0]
    for i, peer in enumerate(peers):
        peer.listener.setblocking(False)
    conns = [Client(port) for _ in range(80)]

    def taken():
        for i, peer in enumerate(peers):
            try:
                while True:
                    peer.listener.accept()
                    counts[i] += 1
            except BlockingIOError:
                pass
        return sum(counts) >= 81
    wait_until("all are there", taken)
    assert counts[2] == 0 and counts[0] < counts[1] and counts[0] > 0
    for c in conns:
        c.close()
    proxy.stop()


def test_sni_passthrough(tmp_path, port):
    ca = Authority(tmp_path)
    from test_tls import GET, TlsBackend
    a, b = (TlsBackend(ca.issue(n, f"DNS:{n}.example")) for n in "ab")
    proxy = start(tmp_path, port, [{"address": address(port), "filter_chains": [
        chain(tcp(n, access_log=log(tmp_path / "log", "%UPSTREAM_CLUSTER% %REQUESTED_SERVER_NAME% %BYTES_SENT%")),
              filter_chain_match={"server_names": [f"{n}.example"]}) for n in "ab"]}], [cluster(a.port, "a"), cluster(b.port, "b")])
    for n in "ab":
        assert TlsClient(port, f"{n}.example", ca.cert).ask(GET)[2] == b"secret"  # verified end to end
    with pytest.raises(ConnectionResetError):
        TlsClient(port, "c.example")
    proxy.stop()
    assert (a.names, b.names) == (["a.example"], ["b.example"])
    assert [line.split()[:2] for line in (tmp_path / "log").read_text().splitlines()] == [["a", "a.example"], ["b", "b.example"]]


def test_tls_taken_off_and_put_on(tmp_path, port):
    ca = Authority(tmp_path)
    site = ca.issue("site", "DNS:site.example")
    from test_tls import GET, TlsBackend
    b = TlsBackend(site)
    proxy = start(tmp_path, port, [{"address": address(port), "filter_chains": [chain(tcp(), transport_socket=tls(site))]}],
                  [cluster(b.port, transport_socket=upstream_tls(sni="inner"))])
    assert TlsClient(port, "site.example", ca.cert).ask(GET)[2] == b"secret"
    assert b.names == ["inner"]
    proxy.stop()


def test_a_long_drain_is_cut(tmp_path, port):
    peer = Peer()
    proxy = run(tmp_path, port, [cluster(peer.port)])
    peer.accept().close()
    c, s = Client(port), peer.accept()
    proxy.stop()  # after --drain 2s
    assert c.ended() and s.recv(1) == b""
