"""CoreDNS beside our API server, asked what tests/e2e/dns asks ours: the recorded answers are still its words.

`make conform` builds it into PEERS. UPDATE=1 writes what it says into the record: read the diff."""
import os
import pathlib
import socket
import struct
import subprocess

import pytest

import dns_questions
from api_server import Server
from dns_wire import Message, query
from real_server import PEERS, need
from suite import free_ports, wait_until

COREDNS = os.path.join(PEERS, "coredns")
need("coredns")
RECORD = pathlib.Path(__file__).parents[1] / "e2e/dns/answers.txt"
COREFILE = """cluster.local:{port} in-addr.arpa:{port} ip6.arpa:{port} {{
    bind 127.0.0.1
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
    }}
}}
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("coredns")).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def ask(api):
    v6 = dns_questions.create_objects(api)
    (port,) = free_ports(1)
    corefile = api.dir / "Corefile"
    corefile.write_text(COREFILE.format(port=port, kubeconfig=api.kubeconfig()))
    with open(api.dir / "coredns.log", "ab") as log, subprocess.Popen([COREDNS, "-conf", corefile], stdout=log, stderr=log) as process:
        def ask(name, rrtype, **options):
            data = query(name, rrtype, **options)
            kind = socket.SOCK_STREAM if rrtype == "AXFR" else socket.SOCK_DGRAM
            with socket.socket(socket.AF_INET, kind) as s:
                s.settimeout(2)
                s.connect(("127.0.0.1", port))
                if kind == socket.SOCK_DGRAM:
                    s.send(data)
                    answer = s.recv(65536)
                else:
                    s.sendall(struct.pack(">H", len(data)) + data)
                    stream = s.makefile("rb")
                    answer = stream.read(struct.unpack(">H", stream.read(2))[0])
            return [line.replace(v6, "V6") for line in Message(answer).lines()]

        def last_is_known():
            try:
                return ask("ported.dns.svc.cluster.local", "A")[0] == "NOERROR aa"
            except OSError:
                return False
        try:
            wait_until("CoreDNS knows the last Service", last_is_known)
            yield ask
        finally:
            process.terminate()


def test_the_record_is_what_coredns_says(ask):
    said = {dns_questions.title(q): ask(dns_questions.full(q[1]), q[0], **q[2]) for q in dns_questions.QUESTIONS}
    if os.environ.get("UPDATE"):
        dns_questions.write_answers(RECORD, said, RECORD.read_text().partition("\n")[0] + "\n")
    recorded = dns_questions.read_answers(RECORD)
    assert {t: lines for t, lines in said.items() if recorded.get(t) != lines} == {}
    assert set(recorded) == set(said)
