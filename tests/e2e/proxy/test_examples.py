"""The examples run: each says in its head what to try and what comes, and that is done here, on free ports and with certificates of the test's own."""
import pathlib
import re
import shutil

import pytest
from backend import Backend
from certificates import Authority
from conftest import Client, Proxy
from control_plane import ControlPlane
from listeners import TlsClient
from suite import BIN, free_ports, run, wait_until

EXAMPLES = pathlib.Path(__file__).resolve().parents[3] / "examples/proxy"
FILES = sorted(EXAMPLES.glob("*.yaml"))
TRY = re.compile(r"# try( tls)?: ([A-Z]+) (\S+)((?: [A-Z][\w-]*: (?:Basic \S+|\S+))*) -> (\d+)(?: from (\d+))?(?: to (\S+))?(?: path (\S+))?(?: host (\S+))?(?: and log \"(.*)\")?\Z")


class Stage:
    def __init__(self, tmp_path, file):
        self.backends = {9000: Backend(), 9001: Backend()}
        self.control = ControlPlane()
        listen, secure, nobody = free_ports(3)
        self.ports = {8080: listen, 8443: secure, 9009: nobody, 18000: self.control.port} | {k: b.port for k, b in self.backends.items()}
        self.ca = Authority(tmp_path)
        cert, key = self.ca.issue("site", "DNS:site.example")
        self.log = tmp_path / "access.log"
        shutil.copytree(EXAMPLES / "files", tmp_path / "files")
        self.words = {"/etc/fairlead/site.pem": str(cert), "/etc/fairlead/site.key": str(key), "/tmp/fairlead-access.log": str(self.log),
                      "examples/proxy/files": str(tmp_path / "files")}
        for f in (tmp_path / "files").iterdir():
            f.write_text(self.own(f.read_text()))
        self.file = tmp_path / file.name
        self.file.write_text(self.own(file.read_text()))

    def own(self, text):
        for word, mine in self.words.items():
            text = text.replace(word, mine)
        return re.sub(r"port_(value|redirect): (\d+)", lambda m: f"port_{m[1]}: {self.ports[int(m[2])]}", text)

    def close(self):
        self.control.close()
        for b in self.backends.values():
            b.close()


@pytest.fixture
def stage(tmp_path, request):
    s = Stage(tmp_path, request.param)
    yield s
    s.close()


def attempt(stage, line):
    m = TRY.match(line)
    assert m, f"not understood: {line}"
    tls, method, path, fields, status, origin, location, seen_path, seen_host, logged = m.groups()
    c = TlsClient(stage.ports[8443], "site.example", stage.ca.cert) if tls else Client(stage.ports[8080])
    fields = re.findall(r" ([A-Z][\w-]*): (Basic \S+|\S+)", fields)
    host = "" if any(n == "Host" for n, _ in fields) else "Host: x\r\n"
    before = {p: len(b.requests) for p, b in stage.backends.items()}
    got, answer, _ = c.ask(f"{method} {path} HTTP/1.1\r\n{host}" + "".join(f"{n}: {v}\r\n" for n, v in fields) + "\r\n", head_only=method == "HEAD")
    c.close()
    assert got == int(status), line
    asked = [p for p, b in stage.backends.items() if len(b.requests) > before[p]]
    if origin:
        assert asked == [int(origin)], line
    if location:
        assert answer["location"] == location.replace("8443", str(stage.ports[8443])), line
    last = stage.backends[asked[0]].requests[-1] if asked else None
    assert not seen_path or last.target == seen_path, line
    assert not seen_host or last.get("host") == seen_host, line
    if logged:
        wait_until("the log's line", lambda: stage.log.exists() and logged in stage.log.read_text().splitlines())


@pytest.mark.parametrize("stage", FILES, ids=[f.stem for f in FILES], indirect=True)
def test_example(stage, tmp_path):
    text = run(BIN / "fairlead-proxy", "--validate", "-c", stage.file)
    assert "OK" in text
    tries = [line for line in stage.file.read_text().splitlines() if line.startswith("# try")]
    port = stage.ports[8443] if "port_value: %d" % stage.ports[8080] not in stage.file.read_text() + (tmp_path / "files/listeners.yaml").read_text() else stage.ports[8080]
    if stage.file.stem == "control-plane":
        asks_its_control_plane(stage, tmp_path)
        return
    if stage.file.stem == "tcp":
        port = stage.ports[8443]
    proxy = Proxy(tmp_path, "-c", stage.file, "--drain", "2s", port=port)
    for line in tries:
        if line.startswith("# try tcp"):
            c = Client(port)
            c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert c.answer()[0] == 200 and stage.backends[9001].requests
            c.close()
        else:
            attempt(stage, line)
    assert tries or stage.file.stem == "minimal"
    proxy.stop()


def asks_its_control_plane(stage, tmp_path):
    listens, Proxy.listens = Proxy.listens, lambda self: True
    try:
        proxy = Proxy(tmp_path, "-c", stage.file, "--drain", "2s", port=stage.ports[8080])
    finally:
        Proxy.listens = listens
    wait_until("it asks", lambda: stage.control.of("cds"))
    assert stage.control.of("cds")[0]["node"]["id"] == "edge-1" and stage.control.delta
    proxy.stop()
