import signal
import socket
import subprocess

import pytest
from backend import Backend, Reader
from suite import BIN, SLOW, free_ports, wait_until


class Proxy:
    """fairlead-proxy with one listener on loopback."""
    running = []

    def __init__(self, tmp_path, *flags, port=None):
        self.port = port or free_ports(1)[0]
        listen = [] if port else ["--listen", f"127.0.0.1:{self.port}"]
        self.log = open(tmp_path / "proxy.log", "ab")
        self.process = subprocess.Popen([BIN / "fairlead-proxy", *listen, *map(str, flags)], stderr=self.log)
        self.running.append(self.process)
        wait_until("the proxy listens", self.listens)

    def listens(self):
        assert self.process.poll() is None, "the proxy ended"
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def rss_kib(self):
        return next(int(line.split()[1]) for line in open(f"/proc/{self.process.pid}/status") if line.startswith("VmRSS"))

    def stop(self, timeout=20):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout * SLOW)
        assert code == 0, f"the proxy ended with {code}: {open(self.log.name).read()[-3000:]}"


class Client:
    """A raw connection to the proxy."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), 10 * SLOW)
        self.reader = Reader(self.sock)

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def answer(self, head_only=False):
        """(status, fields with lower-case names, body); None: the connection ended first. A body that is cut has None."""
        head = self.reader.until(b"\r\n\r\n")
        if head is None:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = {}
        for line in lines:
            name, _, value = line.partition(": ")
            fields[name.lower()] = fields[name.lower()] + ", " + value if name.lower() in fields else value
        status = int(first.split(" ")[1])
        if head_only or status in (204, 304) or status < 200:
            return status, fields, b""
        if "content-length" in fields:
            return status, fields, self.reader.exactly(int(fields["content-length"]))
        if fields.get("transfer-encoding") == "chunked":
            return status, fields, self.chunks(fields)
        while self.reader.more():
            pass
        return status, fields, self.reader.buffer

    def chunks(self, fields):
        body = b""
        while True:
            size = self.reader.until(b"\r\n")
            if size is None:
                return None
            if int(size, 16) == 0:
                break
            piece = self.reader.exactly(int(size, 16) + 2)
            if piece is None:
                return None
            assert piece.endswith(b"\r\n")
            body += piece[:-2]
        while line := self.reader.until(b"\r\n"):
            name, _, value = line.decode().partition(": ")
            fields[f"trailer:{name.lower()}"] = value
        return body

    def ask(self, text, head_only=False):
        self.send(text)
        return self.answer(head_only)

    def ended(self):
        """Has the proxy closed, with nothing more to say?"""
        try:
            return not self.reader.buffer and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self):
        self.sock.close()


@pytest.fixture
def auth():
    """Another server that filters ask."""
    b = Backend()
    yield b
    b.close()
    assert not b.garbage


@pytest.fixture(autouse=True)
def none_is_left():
    """A test that fails before it stops its proxy leaves none behind."""
    yield
    for process in Proxy.running:
        if process.poll() is None:
            process.kill()
            process.wait()
    Proxy.running.clear()


@pytest.fixture
def backend():
    b = Backend()
    yield b
    b.close()


@pytest.fixture
def proxy(tmp_path, backend):
    p = Proxy(tmp_path, "--route", f"/=http://127.0.0.1:{backend.port}", "--drain", "5s")
    yield p
    backend.release.set()
    p.stop()
    assert not backend.garbage, backend.garbage


@pytest.fixture
def client(proxy):
    c = Client(proxy.port)
    yield c
    c.close()


@pytest.fixture(params=["sotw", "delta"])
def stage(request, tmp_path):
    from ads_stage import Stage  # it needs this file
    s = Stage(tmp_path, request.param == "delta")
    yield s
    s.stop()
