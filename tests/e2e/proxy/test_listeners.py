"""What listeners do before anything is served: PROXY heads, time limits, addresses of all kinds, connections that were meant for another."""
import os
import re
import socket
import stat
import struct
import subprocess

import pytest
from conftest import Client
from listeners import address, chain, cluster, http, listener_filter, log, start, tcp
from suite import BIN, free_ports, wait_until

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n"
V2_TCP4 = V2 + b"\x21\x11\0\x0c" + bytes([9, 8, 7, 6, 1, 2, 3, 4]) + struct.pack(">HH", 7777, 443)
LINE = "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"


@pytest.fixture
def port():
    return free_ports(1)[0]


def proxied(tmp_path, port, more=None, **filter):
    return start(tmp_path, port, [{"address": address(port), "listener_filters": [listener_filter("proxy_protocol", **filter)],
                                   "filter_chains": [chain(http("one", access_log=log(tmp_path / "log", LINE)))], **(more or {})}])


@pytest.mark.parametrize("head,remote,local", [
    (b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000\r\n", "1.2.3.4:1000", "5.6.7.8:2000"),
    (b"PROXY TCP6 fd00::1 fd00::2 1 2\r\n", "[fd00::1]:1", "[fd00::2]:2"),
    (b"PROXY UNKNOWN\r\n", "127.0.0.1:.*", "127.0.0.1:.*"),
    (V2_TCP4, "9.8.7.6:7777", "1.2.3.4:443"),
    (V2 + b"\x21\x21\0\x2b" + bytes(15) + b"\1" + bytes(15) + b"\2" + struct.pack(">HH", 5, 6) + b"\3\0\4abcd", r"\[::1\]:5", r"\[::2\]:6"),
    (V2 + b"\x20\0\0\0", "127.0.0.1:.*", "127.0.0.1:.*"),
])
def test_proxy_protocol(tmp_path, port, head, remote, local):
    proxy = proxied(tmp_path, port)
    c = Client(port)
    assert c.ask((head + GET).decode("latin-1"))[2] == b"one"
    c = Client(port)  # a byte at a time
    for i in range(len(head)):
        c.send(head[i:i + 1])
    assert c.ask(GET.decode())[2] == b"one"
    proxy.stop()
    remote, local = (p if p.startswith("\\") else p.replace("[", r"\[").replace("]", r"\]") for p in (remote, local))
    for line in (tmp_path / "log").read_text().splitlines():
        assert re.fullmatch(f"{remote} {local} 127.0.0.1", line)


@pytest.mark.parametrize("head", [
    GET, b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 99999\r\n" + GET, b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 1\n" + GET, b"PROXY " + b"x" * 200,
    V2 + b"\x21\x11\0\x04abcd" + GET, V2 + b"\x31\x11\0\x0c" + bytes(12) + GET, V2 + b"\x21\x12\0\x0c" + bytes(12) + GET,
    V2 + b"\x21\x11\xff\xff" + bytes(100), b"PROXY TCP4 1.2.3.4"])
def test_hostile_heads(tmp_path, port, head):
    proxy = proxied(tmp_path, port)
    c = Client(port)
    c.send(head)
    try:
        c.sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # it was reset already
    assert c.ended()
    assert Client(port).ask((V2_TCP4 + GET).decode("latin-1"))[2] == b"one"
    proxy.stop()
    assert len((tmp_path / "log").read_text().splitlines()) == 1


def test_optional_and_disallowed(tmp_path, port):
    proxy = proxied(tmp_path, port, allow_requests_without_proxy_protocol=True, disallowed_versions=["V1"])
    assert Client(port).ask(GET.decode())[2] == b"one"
    assert Client(port).ask((V2_TCP4 + GET).decode("latin-1"))[2] == b"one"
    c = Client(port)
    c.send(b"PROXY UNKNOWN\r\n" + GET)
    assert c.ended()
    proxy.stop()


def test_silence(tmp_path, port):
    proxy = proxied(tmp_path, port, {"listener_filters_timeout": "0.2s"})
    assert Client(port).ended()
    proxy.stop()


def test_silence_that_goes_on(tmp_path, port, backend):
    """A server that speaks first can be had behind an inspector."""
    speaks = socket.create_server(("127.0.0.1", 0))
    proxy = start(tmp_path, port, [{"address": address(port), "listener_filters": [listener_filter("tls_inspector")], "listener_filters_timeout": "0.2s",
                                    "continue_on_listener_filters_timeout": True, "filter_chains": [chain(tcp())]}], [cluster(speaks.getsockname()[1])])
    c = Client(port)
    while True:  # the probe of Proxy() may be first
        s, _ = speaks.accept()
        try:
            s.sendall(b"220 ready\r\n")
            break
        except OSError:
            continue
    assert c.reader.until(b"\r\n") == b"220 ready"
    proxy.stop()


def test_http_is_seen(tmp_path, port, backend):
    proxy = start(tmp_path, port, [{"address": address(port), "listener_filters": [listener_filter("tls_inspector"), listener_filter("http_inspector")],
                                    "default_filter_chain": chain(tcp()), "filter_chains": [
        chain(http("http"), filter_chain_match={"transport_protocol": "raw_buffer", "application_protocols": ["http/1.0", "http/1.1"]})]}], [cluster(backend.port)])
    assert Client(port).ask(GET.decode())[2] == b"http"
    c = Client(port)
    c.send(b"\x01\x02 something else\r\n\r\n")
    assert c.ended()
    proxy.stop()
    assert backend.garbage
    backend.garbage.clear()


@pytest.mark.parametrize("workers", [1, 2])
def test_unix_sockets(tmp_path, port, backend, workers):
    path, inner = tmp_path / "in", tmp_path / "out"
    pipe = {"pipe": {"path": str(path), "mode": 0o600}}
    inside = {"pipe": {"path": str(inner)}}
    proxy = start(tmp_path, port, [
        {"name": "a", "address": pipe, "additional_addresses": [{"address": address(port)}], "filter_chains": [chain(http(cluster="through"))]},
        {"name": "b", "address": inside, "filter_chains": [chain(http(cluster="backend"))]}],
        [cluster(inside, "through"), cluster(backend.port)], flags=["--concurrency", str(workers)])
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    for _ in range(10):
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(path))
        s.sendall(GET)
        assert s.recv(4096).startswith(b"HTTP/1.1 200")
        s.close()
    assert Client(port).ask(GET.decode())[2] == b"ok"
    proxy.process.kill()  # leaves the paths, which a new one takes over
    proxy.process.wait()
    again = start(tmp_path, port, [{"address": pipe, "additional_addresses": [{"address": address(port)}], "filter_chains": [chain(http("two"))]}])
    s = socket.socket(socket.AF_UNIX)
    s.connect(str(path))
    s.sendall(GET)
    assert b"two" in s.recv(4096)
    second = subprocess.run([BIN / "fairlead-proxy", "-c", tmp_path / "bootstrap.json"], capture_output=True, text=True, timeout=20)
    assert second.returncode == 1 and "Address already in use" in second.stderr
    again.stop()


@pytest.mark.skipif(not os.path.exists("/proc/sys/net/ipv6"), reason="no IPv6")
@pytest.mark.parametrize("compat", [True, False])
def test_ipv6_takes_ipv4_if_told_to(tmp_path, port, compat):
    other = free_ports(1)[0]
    proxy = start(tmp_path, port, [{"address": address(other, "::", ipv4_compat=compat), "additional_addresses": [{"address": address(port)}],
                                    "filter_chains": [chain(http("one"))]}])
    with socket.create_connection(("::1", other)) as s:
        s.sendall(GET)
        assert s.recv(4096)
    with socket.socket() as s:
        assert (s.connect_ex(("127.0.0.1", other)) == 0) == compat
    proxy.stop()


def test_options_of_sockets(tmp_path, port):
    more = {"address": address(port), "additional_addresses": [{"address": address(port, "203.0.113.7")}], "tcp_backlog_size": 77, "filter_chains": [chain(http("one"))]}
    for option in ("freebind", "transparent"):  # either binds what the machine does not have
        if option == "transparent" and os.geteuid():
            continue
        proxy = start(tmp_path, port, [{**more, option: True}])
        queues = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout.split("\n")
        assert sorted(line.split()[2:4] for line in queues if line) == [["77", f"127.0.0.1:{port}"], ["77", f"203.0.113.7:{port}"]]
        proxy.stop()
    (tmp_path / "bootstrap.json").write_text((tmp_path / "bootstrap.json").read_text().replace('"freebind": true', '"freebind": false').replace(
        '"transparent": true', '"transparent": false'))
    done = subprocess.run([BIN / "fairlead-proxy", "-c", tmp_path / "bootstrap.json"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "listen on 203.0.113.7" in done.stderr


def test_addresses_decide(tmp_path, port):
    second = free_ports(1)[0]
    proxy = start(tmp_path, port, [{"address": address(port), "additional_addresses": [{"address": address(second)}, {"address": address(port, "127.0.0.2")}],
                                    "filter_chains": [
        chain(http("second"), filter_chain_match={"destination_port": second}),
        chain(http("other"), filter_chain_match={"prefix_ranges": [{"address_prefix": "127.0.0.2", "prefix_len": 32}]}),
        chain(http("first"))]}])
    assert Client(port).ask(GET.decode())[2] == b"first"
    assert Client(second).ask(GET.decode())[2] == b"second"
    with socket.create_connection(("127.0.0.2", port)) as s:
        s.sendall(GET)
        assert s.recv(4096).endswith(b"other")
    proxy.stop()


def test_original_destination(tmp_path, port):
    """What a PROXY head says of the destination leads to the listener that stands for it, bound or not."""
    proxy = start(tmp_path, port, [
        {"name": "entry", "address": address(port), "use_original_dst": True, "listener_filters": [listener_filter("proxy_protocol")],
         "filter_chains": [chain(http("nobody's"))]},
        {"name": "exact", "address": address(80, "10.1.1.1"), "bind_to_port": False, "filter_chains": [chain(http("exact"))]},
        {"name": "any", "address": address(80, "0.0.0.0"), "bind_to_port": False, "filter_chains": [chain(http("any"))]},
        {"name": "looks", "address": address(90, "10.1.1.1"), "bind_to_port": False, "listener_filters": [listener_filter("http_inspector")],
         "filter_chains": [chain(http("http"), filter_chain_match={"application_protocols": ["http/1.1"]})]}])

    def body(to, to_port):
        return Client(port).ask(f"PROXY TCP4 9.9.9.9 {to} 1 {to_port}\r\n" + GET.decode())[2]
    assert body("10.1.1.1", 80) == b"exact"
    assert body("10.1.1.2", 80) == b"any"
    assert body("10.1.1.1", 81) == b"nobody's"
    assert body("10.1.1.1", 90) == b"http"  # by filters of its own
    with socket.socket() as s:
        assert s.connect_ex(("127.0.0.1", 80)) != 0
    proxy.stop()


def test_no_chain_is_a_reset(tmp_path, port):
    """With nothing unread, too, which would be one by itself."""
    proxy = start(tmp_path, port, [{"address": address(port), "listener_filters": [listener_filter("proxy_protocol")], "access_log": log(
        tmp_path / "log", "%RESPONSE_FLAGS% %DOWNSTREAM_LOCAL_ADDRESS%"), "filter_chains": [chain(http("one"), filter_chain_match={"destination_port": 443})]}])
    assert Client(port).ask((V2_TCP4 + GET).decode("latin-1"))[2] == b"one"
    c = Client(port)
    c.send(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 444\r\n")
    with pytest.raises(ConnectionResetError):
        c.sock.recv(1)
    proxy.stop()
    assert "NR 5.6.7.8:444" in (tmp_path / "log").read_text().splitlines()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_redirected_by_the_kernel(tmp_path):
    """In a network namespace whose rule sends all of 10.9.0.0/16 to the proxy."""
    name = f"fl-lis-{os.getpid()}"
    ns = ["ip", "netns", "exec", name]
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for command in ("ip link set lo up", "ip addr add 10.9.0.1/16 dev lo", "nft add table ip t", "nft add chain ip t out { type nat hook output priority -100; }",
                        "nft add rule ip t out ip daddr 10.9.0.0/16 tcp dport 1-1000 redirect to :15001"):
            subprocess.run([*ns, *command.split(" ")], check=True)
        import json
        path = tmp_path / "bootstrap.json"
        path.write_text(json.dumps({"static_resources": {"listeners": [
            {"name": "virtual", "address": address(15001, "0.0.0.0"), "use_original_dst": True, "filter_chains": [
                chain(http("unknown", access_log=log(tmp_path / "log", "%DOWNSTREAM_LOCAL_ADDRESS%")))]},
            {"name": "a", "address": address(80, "10.9.0.7"), "bind_to_port": False, "filter_chains": [chain(http("seven"))]},
            {"name": "b", "address": address(81, "0.0.0.0"), "bind_to_port": False, "filter_chains": [chain(http("port 81"))]}]}}))
        process = subprocess.Popen([*ns, BIN / "fairlead-proxy", "-c", path])
        ask = ("import socket,sys\ns=socket.create_connection((sys.argv[1],int(sys.argv[2])),5)\ns.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n"
               "print(s.recv(4096).split(b'\\r\\n\\r\\n')[1].decode())")

        def body(to, port):
            done = subprocess.run([*ns, "python3", "-c", ask, to, str(port)], capture_output=True, text=True)
            return done.stdout.strip()
        wait_until("it listens", lambda: body("10.9.0.7", 80))
        assert (body("10.9.0.7", 80), body("10.9.0.8", 81), body("10.9.0.8", 80)) == ("seven", "port 81", "unknown")
        process.terminate()
        assert process.wait(20) == 0
        assert (tmp_path / "log").read_text() == "10.9.0.8:80\n"
    finally:
        subprocess.run(["ip", "netns", "del", name])
