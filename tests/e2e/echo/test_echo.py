"""fairlead-echo byte by byte: HTTP/1 as clients really speak it, draining, delays, failures, TCP and UDP. Needs no root."""
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import time

import pytest

from suite import ECHO, SLOW, free_ports


@contextlib.contextmanager
def echo(*flags, http=True, **env):
    port = free_ports(1)[0]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("ECHO_")}
    process = subprocess.Popen([ECHO, *(["--http", str(port)] if http else []), *flags], env=dict(clean, **env), stderr=subprocess.PIPE, text=True)
    try:
        line = process.stderr.readline()
        assert "msg=serving" in line, line + process.stderr.read()
        process.port = port
        yield process
    finally:
        process.kill()
        _, rest = process.communicate()
        assert "Sanitizer" not in rest and "runtime error" not in rest, rest


class Client:
    def __init__(self, port, host="127.0.0.1"):
        self.s = socket.create_connection((host, port), timeout=5 * SLOW)
        self.data = b""

    def send(self, data):
        self.s.sendall(data if isinstance(data, bytes) else data.encode())
        return self

    def read_until(self, end):
        while end not in self.data:
            more = self.s.recv(65536)
            assert more, f"closed after {self.data[-200:]!r}"
            self.data += more
        head, self.data = self.data.split(end, 1)
        return head

    def read(self, n):
        while len(self.data) < n:
            more = self.s.recv(65536)
            assert more, f"closed after {len(self.data)} of {n} bytes"
            self.data += more
        body, self.data = self.data[:n], self.data[n:]
        return body

    def head(self):
        lines = self.read_until(b"\r\n\r\n").decode().split("\r\n")
        return int(lines[0].split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}

    def answer(self, head_only=False):
        status, headers = self.head()
        return status, headers, b"" if head_only else self.read(int(headers.get("content-length", 0)))

    def ends(self):
        """The server closes, and nothing more comes."""
        rest = self.data
        while True:
            try:
                more = self.s.recv(65536)
            except ConnectionResetError:
                break
            if not more:
                break
            rest += more
        return rest == b""

    def is_open(self):
        return not select.select([self.s], [], [], 0.05)[0]


@pytest.fixture(scope="module")
def server():
    with echo("--name", "me", "--app-version", "v7") as process:
        yield process


@pytest.fixture
def c(server):
    client = Client(server.port)
    yield client
    client.s.close()


def get(path, *headers, method="GET", version="1.1"):
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: x", *headers, "", ""])


def test_keep_alive_and_what_it_tells(c):
    for i in range(3):
        status, headers, body = c.send(get(f"/a/b?x={i}", "X-One: 1", "X-Two: a", "X-Two: b")).answer()
        said = json.loads(body)
        assert status == 200 and headers["content-type"] == "application/json" and headers["x-echo-name"] == "me"
        assert (said["name"], said["version"], said["method"], said["path"], said["query"]) == ("me", "v7", "GET", "/a/b", f"x={i}")
        assert said["headers"] == {"Host": "x", "X-One": "1", "X-Two": "a, b"}, "a header that comes twice is one, joined"
        assert said["peer"] == "127.0.0.1:%d" % c.s.getsockname()[1]
    assert c.is_open()


def test_connection_close_and_http_1_0(server):
    for request in (get("/name", "Connection: close"), get("/name", version="1.0")):
        client = Client(server.port).send(request)
        status, headers, body = client.answer()
        assert (status, body) == (200, b"me\n") and headers["connection"].lower() == "close"
        assert client.ends()
    client = Client(server.port).send(get("/name", "Connection: keep-alive", version="1.0"))
    status, headers, body = client.answer()
    assert (status, body) == (200, b"me\n")
    assert headers["connection"] == "keep-alive" and client.is_open()


def test_head_has_the_length_and_no_body(c):
    _, headers, body = c.send(get("/bytes/1000")).answer()
    c.send(get("/bytes/1000", method="HEAD") + get("/name"))
    status, head_headers, _ = c.answer(head_only=True)
    assert status == 200 and head_headers == headers and len(body) == 1000
    assert c.answer()[2] == b"me\n", "the next answer begins right behind the head"


@pytest.mark.parametrize("code", [204, 304])
def test_answers_that_have_no_body(c, code):
    c.send(get(f"/status/{code}") + get("/name"))
    status, headers = c.head()
    assert status == code and "content-length" not in headers and "transfer-encoding" not in headers
    assert c.answer()[2] == b"me\n"


def test_chunked_bodies(c):
    body = "5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: t\r\n\r\n"
    said = json.loads(c.send(get("/", "Transfer-Encoding: chunked", method="POST") + body).answer()[2])
    assert (said["bodyBytes"], said["body"]) == (11, "hello world")
    # One byte at a time, then another request on the same connection.
    for byte in get("/", "Transfer-Encoding: chunked", method="PUT") + "3\r\nabc\r\n0\r\n\r\n":
        c.send(byte)
    assert json.loads(c.answer()[2])["body"] == "abc"
    assert c.send(get("/name")).answer()[2] == b"me\n"


@pytest.mark.parametrize("body", ["x\r\n", "5\r\nhelloX", "-1\r\n", "5 5\r\nhello\r\n", "ffffffffffffffffff\r\n", "5\nhello\n0\n\n"])
def test_malformed_chunks(server, body):
    client = Client(server.port).send(get("/", "Transfer-Encoding: chunked", method="POST") + body)
    assert client.answer()[0] == 400
    assert client.ends()


def test_large_bodies_both_ways(server, c):
    size = 4 * 1024 * 1024
    c.send(get("/", f"Content-Length: {size}", method="POST"))
    piece = b"y" * 65536
    for _ in range(size // len(piece)):
        c.send(piece)
    assert json.loads(c.answer()[2])["bodyBytes"] == size
    assert c.send(get("/bytes/16777216")).answer()[2] == b"x" * 16777216
    # A client that reads nothing for a while still gets it all.
    c.send(get("/bytes/16777216") * 2)
    time.sleep(0.2)
    assert [len(c.answer()[2]) for _ in range(2)] == [16777216] * 2
    # Over the limit: told so, with and without the body on its way.
    for request in (get("/", f"Content-Length: {size + 1}", method="POST"), get("/", "Content-Length: 99999999999", method="POST")):
        client = Client(server.port).send(request)
        status, headers, _ = client.answer()
        assert status == 413 and headers["connection"] == "close"


def test_expect_100_continue(server, c):
    c.send(get("/", "Content-Length: 5", "Expect: 100-continue", method="POST"))
    assert c.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
    assert json.loads(c.send("hello").answer()[2])["body"] == "hello"
    c.send(get("/", "Transfer-Encoding: chunked", "Expect: 100-continue", method="POST"))
    assert c.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
    assert json.loads(c.send("1\r\nx\r\n0\r\n\r\n").answer()[2])["body"] == "x"
    # No body, nothing to continue with; HTTP/1.0 does not know it; a body that is refused is not asked for.
    assert c.send(get("/name", "Expect: 100-continue")).answer()[0] == 200
    assert Client(server.port).send(get("/", "Content-Length: 2", "Expect: 100-continue", method="POST", version="1.0") + "ab").answer()[0] == 200
    assert Client(server.port).send(get("/", "Content-Length: 99999999", "Expect: 100-continue", method="POST")).answer()[0] == 413


def test_pipelining_keeps_the_order(c):
    c.send(get("/delay/0.2?first") + get("/name") + get("/status/404") + get("/", "Content-Length: 3", method="POST") + "abc" + get("/version"))
    assert json.loads(c.answer()[2])["query"] == "first"
    assert c.answer()[2] == b"me\n"
    assert c.answer()[0] == 404
    assert json.loads(c.answer()[2])["body"] == "abc"
    assert c.answer()[2] == b"me v7\n"
    n = 2000
    c.send(get("/name") * n)
    assert c.read(0) == b"" and [c.answer()[2] for _ in range(n)] == [b"me\n"] * n


def test_half_close(server):
    """The client has finished sending; its answers still come, the delayed one too."""
    client = Client(server.port).send(get("/delay/0.2") + get("/name"))
    client.s.shutdown(socket.SHUT_WR)
    assert client.answer()[0] == 200
    assert client.answer()[2] == b"me\n"
    assert client.ends()
    client = Client(server.port).send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
    client.s.shutdown(socket.SHUT_WR)
    assert client.ends(), "half a request is no request"


@pytest.mark.parametrize("text,status", [
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n", 400),
    ("GET /" + "a" * 70000 + " HTTP/1.1\r\nHost: x\r\n\r\n", 431),
    ("NOT HTTP\r\n\r\n", 400),
])
def test_malformed_requests(server, text, status):
    client = Client(server.port).send(text)
    got, headers, _ = client.answer()
    assert got == status and headers["connection"] == "close"
    client.s.shutdown(socket.SHUT_WR)
    assert client.ends()
    assert Client(server.port).send(get("/name")).answer()[2] == b"me\n", "the server goes on"


def test_paths(c):
    table = {"/ip": (200, b"127.0.0.1\n"), "/healthz": (200, b"ok\n"), "/livez": (200, b"ok\n"), "/ready": (200, b"ready\n"),
             "/readyz": (200, b"ready\n"), "/status/503": (503, b"as you asked\n"), "/status/99": (400, b"/status/CODE wants a number from 200 to 599\n"),
             "/bytes/3": (200, b"xxx"), "/bytes/16777217": (400, b"/bytes/N wants a number up to 16777216\n"),
             "/delay/x": (400, b"/delay/SECONDS wants a number up to 600\n"), "/delay/nan": (400, b"/delay/SECONDS wants a number up to 600\n"),
             "/delay/601": (400, b"/delay/SECONDS wants a number up to 600\n")}
    for path, want in table.items():
        status, _, body = c.send(get(path)).answer()
        assert (status, body) == want, path
    assert json.loads(c.send(get("/headers", "X: y")).answer()[2]) == {"Host": "x", "X": "y"}
    lines = c.send(get("/p?format=text", "X: y")).answer()[2].decode().splitlines()
    assert {"name: me", "path: /p", "header X: y", "bodyBytes: 0"} <= set(lines)


def test_a_delay_that_nobody_waits_for_costs_nothing(server, c):
    for _ in range(50):
        client = Client(server.port).send(get("/delay/600"))
        client.s.close()
    assert c.send(get("/name")).answer()[2] == b"me\n"


def test_delay_and_what_it_spares():
    with echo("--delay", "300ms") as process:
        client = Client(process.port)
        began = time.monotonic()
        assert client.send(get("/healthz")).answer()[0] == 200 and client.send(get("/ready")).answer()[0] == 200
        assert time.monotonic() - began < 0.25 * SLOW, "probes are not delayed"
        began = time.monotonic()
        assert client.send(get("/name")).answer()[0] == 200
        assert 0.29 < time.monotonic() - began < 2 * SLOW


def test_fail_rate():
    with echo("--fail-rate", "50") as process:
        client = Client(process.port).send(get("/name") * 1000)
        codes = [client.answer()[0] for _ in range(1000)]
        assert set(codes) == {200, 500} and 380 < codes.count(500) < 620, codes.count(500)
        client.send(get("/ready") * 100)
        assert {client.answer()[0] for _ in range(100)} == {200}, "probes do not fail"
    for rate, code in (("0", 200), ("100", 500)):
        with echo("--fail-rate", rate) as process:
            client = Client(process.port).send(get("/name") * 50)
            assert {client.answer()[0] for _ in range(50)} == {code}


def test_drain():
    """After SIGTERM: new connections are served, /ready fails, every answer says it is the last of its connection."""
    with echo("--drain", "1s", "--tcp", str(free_ports(1)[0])) as process:
        old = Client(process.port)
        assert "connection" not in old.send(get("/name")).answer()[1]
        slow = Client(process.port).send(get("/delay/0.4"))
        time.sleep(0.1)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert "msg=draining" in process.stderr.readline()
        status, headers, _ = old.send(get("/name")).answer()
        assert (status, headers["connection"]) == (200, "close") and old.ends()
        assert Client(process.port).send(get("/ready")).answer()[0] == 503
        assert Client(process.port).send(get("/healthz")).answer()[0] == 200
        assert slow.answer()[0] == 200, "what was under way is answered"
        assert process.wait(5 * SLOW) == 0 and 0.9 < time.monotonic() - began < 3 * SLOW
    with echo("--drain", "60s") as process:
        process.send_signal(signal.SIGTERM)
        assert "msg=draining" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(5 * SLOW) == 0, "a second one ends at once"
    with echo() as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(5 * SLOW) == 0, "without --drain the first does"


def test_tcp():
    port = free_ports(1)[0]
    with echo("--tcp", str(port), "--name", "t", http=False):
        client = Client(port).send("name\nhello")
        assert client.read(7) == b"t\nhello"
        client.send(b"z" * 3_000_000)
        client.s.shutdown(socket.SHUT_WR)
        assert client.read(3_000_000) == b"z" * 3_000_000 and client.ends()
        parts = Client(port)
        for byte in "name\n":
            parts.send(byte)
            time.sleep(0.01)
        assert parts.read(2) == b"t\n", "the line may come in pieces"
        other = Client(port).send("nam")
        other.s.shutdown(socket.SHUT_WR)
        assert other.read(3) == b"nam" and other.ends()


def test_udp():
    port = free_ports(1, socket.SOCK_DGRAM)[0]
    with echo("--udp", str(port), "--name", "u", http=False):
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.0.0.5"), (socket.AF_INET6, "::1")):
            s = socket.socket(family, socket.SOCK_DGRAM)
            s.settimeout(5 * SLOW)
            s.connect((host, port))
            for data in (b"hi", b"", b"x" * 1400):
                s.send(data)
                assert s.recv(65536) == b"u: " + data, "from the address that was asked"


def test_environment_and_flags():
    """Every flag has its variable; the flag wins."""
    http, tcp, udp = free_ports(3)
    env = {"ECHO_HTTP": str(http), "ECHO_TCP": str(tcp), "ECHO_UDP": str(udp), "ECHO_NAME": "env", "ECHO_VERSION": "v9", "ECHO_DELAY": "200ms",
           "ECHO_FAIL_RATE": "0", "ECHO_DRAIN": "60s", "ECHO_FORMAT": "text"}
    with echo(http=False, **env) as process:
        began = time.monotonic()
        body = Client(http).send(get("/")).answer()[2].decode()
        assert time.monotonic() - began > 0.19 and "name: env\nversion: v9\n" in body
        assert Client(tcp).send("name\n").read(4) == b"env\n"
        process.send_signal(signal.SIGTERM)
        assert "msg=draining" in process.stderr.readline()
    with echo("--name", "flag", "--delay", "0s", **env) as process:
        began = time.monotonic()
        assert "name: flag\n" in Client(process.port).send(get("/")).answer()[2].decode()
        assert time.monotonic() - began < 0.19 * SLOW
    text = subprocess.run([ECHO, "--help"], capture_output=True, text=True, check=True).stdout
    for name in env:
        assert name in text, "--help names the variables"


@pytest.mark.parametrize("flags,env,word", [
    (["--http", "0"], {}, "--http (or ECHO_HTTP)"), (["--http", "80a"], {}, "--http"), ([], {"ECHO_TCP": "70000"}, "ECHO_TCP"),
    (["--fail-rate", "101"], {}, "--fail-rate"), ([], {"ECHO_FAIL_RATE": "many"}, "ECHO_FAIL_RATE=many"), (["--delay", "soon"], {}, "--delay"),
    ([], {"ECHO_DRAIN": "5"}, "ECHO_DRAIN=5"), ([], {"ECHO_FORMAT": "xml"}, "ECHO_FORMAT=xml"), (["extra"], {}, "extra"),
])
def test_values_that_make_no_sense(flags, env, word):
    done = subprocess.run([ECHO, *flags], capture_output=True, text=True, env=dict(os.environ, **env), timeout=10, check=False)
    assert done.returncode == 64 and done.stderr.startswith("error: ") and word in done.stderr, done


def test_a_port_that_is_taken(server):
    done = subprocess.run([ECHO, "--http", str(server.port)], capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 1 and str(server.port) in done.stderr and "in use" in done.stderr
