"""pods/proxy and services/proxy: HTTP through the API server, as `kubectl get --raw` and Kubernetes' own tests use it."""
import base64
import json
import re
import subprocess

import pytest

from lab_harness import Lab, echo, running, service

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
