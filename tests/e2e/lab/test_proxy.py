"""pods/proxy and services/proxy: HTTP through the API server, as `kubectl get --raw` and Kubernetes' own tests use it."""
import base64
import json
import os
import re
import subprocess

import pytest

from lab_harness import Lab, echo, running, service
from suite import wait_until

NS = "/api/v1/namespaces/default"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    directory = tmp_path_factory.mktemp("proxy")
    lab = Lab()
    for _ in running(lab, "--nodes", "2"):
        lab.apply(echo("web", replicas=2), service("web"), service("nobody"))
        lab.wait_ready("app=web", 2)
        lab.pod = lab.ready_pods("app=web")[0]["metadata"]["name"]
        text = open(lab.kubeconfig).read()
        lab.server = re.search(r"server: (\S+)", text)[1]
        for name, field in (("ca", "certificate-authority-data"), ("cert", "client-certificate-data"), ("key", "client-key-data")):
            (directory / name).write_bytes(base64.b64decode(re.search(field + r": (\S+)", text)[1]))
        lab.credentials = directory
        yield lab


def curl(lab, path, *argv):
    """(status, body) of a request with the client certificate of the lab's administrator."""
    d = lab.credentials
    done = subprocess.run(["curl", "-sS", "-m", "20", "--cacert", d / "ca", "--cert", d / "cert", "--key", d / "key",
                           "-w", "\n%{http_code}", *argv, lab.server + path], capture_output=True, text=True, check=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


@pytest.mark.parametrize("name", ["{pod}", "{pod}:8080", "{pod}:http", "http:{pod}:8080", "http:{pod}:"])
def test_a_pod_by_its_ports(lab, name):
    status, body = curl(lab, f"{NS}/pods/{name.format(pod=lab.pod)}/proxy/some/%2Fpath?a=1&b=%20")
    seen = json.loads(body)
    assert status == 200 and seen["method"] == "GET" and (seen["path"], seen["query"]) == ("/some/%2Fpath", "a=1&b=%20"), "as it was asked"


def test_methods_bodies_and_headers_go_over_credentials_do_not(lab):
    status, body = curl(lab, f"{NS}/pods/{lab.pod}/proxy/", "-X", "PUT", "-d", "some words", "-H", "X-Mine: yes", "-H", "Authorization: Bearer secret", "-H", "Cookie: secret=1")
    assert status == 401, "a token that is none"
    status, body = curl(lab, f"{NS}/pods/{lab.pod}/proxy/", "-X", "PUT", "-d", "some words", "-H", "X-Mine: yes", "-H", "Cookie: secret=1")
    seen = json.loads(body)
    headers = {k.lower(): v for k, v in seen["headers"].items()}
    assert status == 200 and seen["method"] == "PUT" and seen["body"] == "some words" and headers["x-mine"] == "yes"
    assert "cookie" not in headers and "secret" not in body


@pytest.mark.parametrize("name", ["web", "web:80", "web:http", "http:web:http"])
def test_a_service_leads_to_any_of_its_ready_endpoints(lab, name):
    seen = {json.loads(curl(lab, f"{NS}/services/{name}/proxy/")[1])["name"] for _ in range(30)}
    assert seen == {p["metadata"]["name"] for p in lab.ready_pods("app=web")}


@pytest.mark.parametrize("path, status, words", [
    ("/services/nobody/proxy/", 503, 'no endpoints available for service \\"nobody\\"'),
    ("/services/web:81/proxy/", 503, 'no port \\"81\\" found for service'),
    ("/services/absent/proxy/", 404, "not found"),
    ("/pods/absent:80/proxy/", 404, "not found"),
    ("/pods/https:{pod}:8080/proxy/", 400, "only http"),
    ("/pods/{pod}:9999/proxy/", 503, "error trying to reach service: "),
    ("/pods/{pod}:nothing/proxy/", 503, 'no port \\"nothing\\" found'),
    ("/pods/{pod}/proxy/status/418", 418, ""),
])
def test_what_cannot_be_reached(lab, path, status, words):
    got, body = curl(lab, NS + path.format(pod=lab.pod))
    assert got == status and words in body


ODD_SERVER = r"""
import socket, sys, threading
def one(c):
    path = c.recv(9999).split()[1]
    if path == b"/nothing":
        c.sendall(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n")
    elif path == b"/huge":
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n")
        for _ in range(1024):
            c.sendall(b"z" * 65536)
    elif path == b"/silent":
        print("asked", flush=True)
        print("gone" if not c.recv(1) else "more", flush=True)
    c.close()
listener = socket.socket()
listener.bind(("", 9000))
listener.listen(50)
while True:
    threading.Thread(target=one, args=(listener.accept()[0],)).start()
"""


@pytest.fixture(scope="module")
def odd(lab):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "odd", "labels": {"app": "odd"}},
           "spec": {"containers": [{"name": "c", "image": "busybox", "command": ["python3", "-c", ODD_SERVER],
                                    "readinessProbe": {"tcpSocket": {"port": 9000}, "periodSeconds": 1}}]}}
    lab.apply(pod)
    lab.wait_ready("app=odd", 1)
    return f"{NS}/pods/odd:9000/proxy"


def test_an_answer_without_a_body_ends_with_its_head(lab, odd):
    """Whatever came after it would be taken for the next answer."""
    conn = lab.connect()
    conn.connect()
    got = b""
    for path in (odd + "/nothing", "/readyz"):
        conn.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        while got.count(b"\r\n\r\n") < (1 if "odd" in path else 2):
            got += conn.sock.recv(65536)
    first, second = got.split(b"\r\n\r\n")[:2]
    assert first.startswith(b"HTTP/1.1 204 ") and second.startswith(b"HTTP/1.1 200 "), got
    conn.close()


def test_a_huge_answer_waits_for_who_reads_slowly(lab, odd):
    conn = lab.connect()
    api_server, = lab.processes("fairlead-labd apiserver")

    def rss_mib():
        return next(int(line.split()[1]) for line in open(f"/proc/{api_server}/status") if line.startswith("VmRSS")) / 1024
    before = rss_mib()
    conn.request("GET", odd + "/huge")
    answer, n = conn.getresponse(), 0
    while piece := answer.read(65536):
        n += len(piece)
    assert n == 64 * 1024 * 1024
    assert rss_mib() - before < 10 or os.environ.get("FAIRLEAD_SANITIZED"), "there, freed memory is kept aside"
    conn.close()


def test_a_client_that_has_gone_is_not_answered(lab, odd):
    conn = lab.connect()
    conn.request("GET", odd + "/silent")
    wait_until("the pod is asked", lambda: "asked" in lab.fairlead("logs", "odd"))
    conn.close()
    wait_until("the pod is told", lambda: "gone" in lab.fairlead("logs", "odd"))
