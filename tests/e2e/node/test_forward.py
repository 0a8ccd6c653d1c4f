"""Port-forward: kubectl over a WebSocket and over SPDY, and the channels that other clients speak; exec over SPDY."""
import base64
import os
import re
import socket
import struct
import subprocess

import pytest

from kubectls import kubectls
from suite import SLOW, wait_until

ECHO = """import socket, sys, threading
def serve(c):
    while data := c.recv(65536):
        c.sendall(data)
    c.sendall(b"end")
    c.close()
def listen(family, address, port):
    s = socket.socket(family)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port)); s.listen(64)
    while True:
        threading.Thread(target=serve, args=(s.accept()[0],)).start()
threading.Thread(target=listen, args=(socket.AF_INET6, "::1", 7002)).start()
listen(socket.AF_INET, "127.0.0.1", 7001)"""


@pytest.fixture(scope="module")
def pod(lab):
    lab.pod("echo", command=["python3", "-c", ECHO])
    wait_until("it runs", lambda: "running" in lab.container("echo").get("state", {}))
    wait_until("it listens", lambda: "7002" in lab.in_pod_net("echo", "ss", "-ltn", check=False).stdout)
    return "echo"


@pytest.fixture(params=["websocket", "spdy"])
def forward(request, lab, pod):
    """What kubectl forwards the pod's port to; the process."""
    running = []
    minor, binary = (kubectls() or [(0, None)])[-1]
    if not minor or (request.param == "websocket" and minor < 31):
        pytest.skip("no kubectl that speaks it")
    env = {**lab.client_env, "KUBECTL_PORT_FORWARD_WEBSOCKETS": str(request.param == "websocket").lower()}

    def start(*ports):
        p = subprocess.Popen([binary, "port-forward", "--address=127.0.0.1", "pod/echo", *(f":{port}" for port in ports)], env=env,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.append(p)
        return [int(re.search(r":(\d+) ->", p.stdout.readline())[1]) for _ in ports], p
    yield start
    for p in running:
        p.terminate()
        p.communicate(timeout=10)


def connect(port):
    s = socket.create_connection(("127.0.0.1", port), timeout=20 * SLOW)
    return s


def read_all(s):
    got = b""
    while piece := s.recv(65536):
        got += piece
    return got


def test_bytes_both_ways_and_ends(forward):
    """Much at once, both ways; the end of what the client says is told to the pod, whose answer to it still comes."""
    (port,), _ = forward(7001)
    data = os.urandom(3_000_000)
    with connect(port) as s:
        s.setblocking(False)
        sent, got = 0, b""
        while len(got) < len(data):
            try:
                sent += s.send(data[sent:sent + 65536]) if sent < len(data) else 0
            except BlockingIOError:
                pass
            try:
                got += s.recv(65536)
            except BlockingIOError:
                pass
        s.setblocking(True)
        s.shutdown(socket.SHUT_WR)
        rest = read_all(s)
    assert got == data and rest == b"end"


def test_many_connections_beside_one_another(forward):
    (port,), _ = forward(7001)
    all_of = [connect(port) for _ in range(20)]
    for i, s in enumerate(all_of):
        s.sendall(b"%d" % i)
    for i, s in enumerate(all_of):
        assert s.recv(10) == b"%d" % i
        s.close()
    with connect(port) as s:
        s.sendall(b"again")
        assert s.recv(10) == b"again"


def test_a_port_of_ipv6_alone(forward):
    (port,), _ = forward(7002)
    with connect(port) as s:
        s.sendall(b"six")
        assert s.recv(10) == b"six"


def test_a_port_where_nobody_listens(forward):
    (port,), process = forward(7003)
    with connect(port) as s:
        s.settimeout(20 * SLOW)
        try:
            assert s.recv(10) == b""
        except ConnectionResetError:
            pass
    process.terminate()
    assert "error forwarding port 7003 to pod echo" in process.communicate(timeout=10)[1]


# ---- channels ----

def open_channels(lab, query, protocol="v4.channel.k8s.io"):
    """A WebSocket to the pod's portforward; the socket and the answer's head."""
    conn = lab.connect()
    conn.connect()
    s = conn.sock
    s.sendall((f"GET /api/v1/namespaces/default/pods/echo/portforward?{query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
               f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n").encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += s.recv(1)
    return s, head.decode()


def exactly(s, n):
    got = b""
    while len(got) < n:
        piece = s.recv(n - len(got))
        assert piece, got
        got += piece
    return got


def message(s):
    opcode, n = exactly(s, 2)
    n = struct.unpack(">H", exactly(s, 2))[0] if n == 126 else n
    return opcode & 15, exactly(s, n)


def say(s, payload, opcode=2):
    s.sendall(bytes([0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload)


def test_channels_of_other_clients(lab, pod):
    s, head = open_channels(lab, "ports=7001,7003")
    assert head.startswith("HTTP/1.1 101") and "v4.channel.k8s.io" in head
    first = [message(s)[1] for _ in range(5)]
    number = struct.pack("<H", 7001)
    assert first[:2] == [b"\0" + number, b"\1" + number]
    assert first[2:4] == [b"\2" + struct.pack("<H", 7003), b"\3" + struct.pack("<H", 7003)]
    assert first[4].startswith(b"\3error forwarding port 7003 to pod echo")
    say(s, b"\0hello")
    assert message(s)[1] == b"\0hello"
    s.close()
    s, head = open_channels(lab, "ports=7001", "v4.base64.channel.k8s.io")
    assert [message(s)[1] for _ in range(2)] == [b"0" + base64.b64encode(number), b"1" + base64.b64encode(number)]
    say(s, b"0" + base64.b64encode(b"text"), opcode=1)
    assert message(s)[1] == b"0" + base64.b64encode(b"text")
    s.close()


@pytest.mark.parametrize(("query", "said"), [("ports=0", "0"), ("ports=x", "x"), ("", "ports"), ("ports=99999", "99999")])
def test_ports_that_are_none(lab, pod, query, said):
    s, head = open_channels(lab, query)
    assert head.startswith("HTTP/1.1 400")
    assert said in s.recv(1000).decode()
    s.close()


# ---- exec over SPDY, as kubectl had it before 1.31 ----

def test_exec_over_spdy(lab, pod):
    minor, binary = (kubectls() or [(0, None)])[-1]
    if not minor:
        pytest.skip("no kubectl")
    env = {**lab.client_env, "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"}

    def execute(*argv, **kw):
        return subprocess.run([binary, "exec", *argv], env=env, capture_output=True, timeout=30 * SLOW, check=False, **kw)
    for _ in range(5):  # who opens streams one after the other hears what was said before
        got = execute("echo", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
        assert (got.returncode, got.stdout) == (3, b"out\n") and got.stderr.startswith(b"err\n")
    data = os.urandom(1_000_000)
    assert execute("-i", "echo", "--", "cat", input=data).stdout == data
    assert execute("echo", "--", "nosuch").returncode == 127
