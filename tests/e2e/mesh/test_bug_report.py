"""`fairlead bug-report`: what is in the archive, and that nothing is that was planted: a key, a token, passwords and their hash, an Authorization header that routes set, one that a client sends."""
import base64
import json
import re
import subprocess
import tarfile

import lab_harness
import pytest
from gateway import Gateway, rule
from suite import wait_until

SYSTEM = "fairlead-system"
PASSWORD, ROUTE_TOKEN, CLIENT_TOKEN = "open-sesame-9641", "cGxhbnRlZC1yb3V0ZS10b2tlbg", "cGxhbnRlZC1jbGllbnQtdG9rZW4"
APR1 = "$apr1$plantedd$" + subprocess.run(["openssl", "passwd", "-apr1", "-salt", "plantedd", PASSWORD], capture_output=True, text=True, check=True).stdout.strip().rsplit("$", 1)[1]


def secret(name, kind="Opaque", **data):
    return {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": {"name": name, "namespace": "default"}, "stringData": {k.replace("_", "."): v for k, v in data.items()}}


def ingress(name, tls=None, annotations=None, **spec):
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name, "namespace": "default", "annotations": annotations or {}},
            "spec": {"ingressClassName": "nginx", "rules": [rule(f"{name}.example", ("/", "Prefix", "bob"))], **({"tls": [{"hosts": [f"{name}.example"], "secretName": tls}]} if tls else {})}}


@pytest.fixture(scope="module")
def planted(mesh, tmp_path_factory):
    """Words that may not be in it, by what they are."""
    lab, folder = mesh.lab, tmp_path_factory.mktemp("planted")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=keyed.example", "-addext", "subjectAltName=DNS:keyed.example",
                    "-keyout", folder / "key", "-out", folder / "cert"], check=True, capture_output=True)
    key = (folder / "key").read_text()
    mesh.run("bob", probe=False)
    lab.apply(secret("keyed", "kubernetes.io/tls", tls_crt=(folder / "cert").read_text(), tls_key=key), secret("users", auth=f"alice:{APR1}\n"),
              ingress("keyed", tls="keyed"), ingress("guarded", annotations={"nginx.ingress.kubernetes.io/auth-type": "basic", "nginx.ingress.kubernetes.io/auth-secret": "users"}),
              {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "bob", "namespace": "default"}, "spec": {"hosts": ["bob"], "http": [
                  {"headers": {"request": {"set": {"X-Upstream": f"Bearer {ROUTE_TOKEN}", "Authorization": f"Bearer {ROUTE_TOKEN}"}}}, "route": [{"destination": {"host": "bob"}}]}]}})
    gateway = Gateway(lab)
    gateway.all_do("who has a password is let in", lambda a: a.status == 200, "/", "guarded.example", headers={"Authorization": "Basic " + base64.b64encode(f"alice:{PASSWORD}".encode()).decode()})
    wait_until("the sidecar has the route", lambda: ROUTE_TOKEN in mesh.admin("bob", "/config_dump"))
    gateway.ask("/", "keyed.example", headers={"Authorization": f"Bearer {CLIENT_TOKEN}"})
    tokens = lab.fairlead("exec", mesh.pod("bob"), "-c", "sidecar", "--", "cat", "/var/run/secrets/tokens/istio-token").strip()
    ca = json.loads(lab.raw(f"/api/v1/namespaces/{SYSTEM}/secrets/fairlead-ca")[1])["data"]
    bodies = {"key of an Ingress": key, "key of the CA": base64.b64decode(ca["ca.key" if "ca.key" in ca else next(k for k in ca if "key" in k)]).decode()}
    words = {name: re.sub(r"-----[^-]+-----", "", text).split()[1][:40] for name, text in bodies.items()}
    return words | {"token of a pod": tokens.split(".")[2][:40], "token of a route": ROUTE_TOKEN, "token of a client": CLIENT_TOKEN, "password": PASSWORD, "its hash": APR1.rsplit("$", 1)[1],
                    "credentials of a client": base64.b64encode(f"alice:{PASSWORD}".encode()).decode()}


@pytest.fixture(scope="module")
def archive(lab, planted, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.tar"
    said = lab.fairlead("bug-report", "-o", path)
    assert str(path) in said and path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers()}


def test_nothing_that_was_planted_is_in_it(archive, planted):
    for what, word in planted.items():
        forms = {word, base64.b64encode(word.encode()).decode().rstrip("=")[:-2], word.replace("/", "\\/"), word.encode().hex()}
        assert [name for name, content in archive.items() for form in forms if form.encode() in content] == [], what
    manifest = json.loads(archive["manifest.json"])
    assert manifest["redactions"] >= 2, "a route's token, once in the sidecar's configuration and once in the control plane's"


def test_what_is_in_it(archive, lab, mesh):
    manifest = json.loads(archive["manifest.json"])
    assert (manifest["kind"], manifest["apiVersion"]) == ("BugReport", "fairlead.dev/v1")
    assert {f["path"] for f in manifest["files"]} | {"manifest.json"} == set(archive)
    assert all(len(archive[f["path"]]) == f["bytes"] for f in manifest["files"])
    pods = [p["metadata"]["name"] for p in lab.get("pods", "-n", SYSTEM)["items"]]
    control, = [p for p in pods if p.startswith("fairlead-control")]
    assert b"fairlead_control" in archive[f"control/{control}/metrics.txt"]
    assert json.loads(archive[f"control/{control}/config_dump.json"]) and json.loads(archive[f"control/{control}/snapshot.json"]) and json.loads(archive[f"control/{control}/syncz.json"])
    assert {name.split(".")[0] for name in archive if name.startswith("logs/")} == {f"logs/{p}" for p in pods}
    sidecar = f"proxies/default.{mesh.pod('bob')}"
    assert json.loads(archive[f"{sidecar}/config_dump.json"])["configs"] and b"istio_requests_total" in archive[f"{sidecar}/stats.txt"]
    assert json.loads(archive["machine/versions.json"])["kernel"]["release"] and json.loads(archive["machine/check.json"])["kind"] == "CheckResult"
    assert [n["metadata"]["name"] for n in json.loads(archive["cluster/nodes.json"])] == ["node-1", "node-2"]
    assert isinstance(json.loads(archive["cluster/events-of-ours.json"]), list)
    assert {entry["path"] for entry in manifest["leftOut"]} >= {"machine/agent-metrics.txt"}, "no agent runs outside of the nodes"


def test_a_dry_run_names_the_same_and_takes_nothing(lab, archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = {line.split()[0] for line in lab.fairlead("bug-report", "--dry-run").splitlines()}
    assert list(tmp_path.iterdir()) == []
    manifest = json.loads(archive["manifest.json"])
    assert named == {f["path"] for f in manifest["files"]} | {entry["path"] for entry in manifest["leftOut"]}


def test_on_a_node_the_kernels_table_and_the_agent_are_in_it(lab, mesh, tmp_path):
    service = lab.get("svc/bob")["spec"]["clusterIP"]
    lab.in_netns("node-1", lab_harness.FAIRLEAD, "bug-report", "--machine-only", "-o", str(tmp_path / "node.tar"))
    with tarfile.open(tmp_path / "node.tar") as tar:
        table = json.load(tar.extractfile("machine/table.json"))
        metrics = tar.extractfile("machine/agent-metrics.txt").read()
        left_out = json.load(tar.extractfile("manifest.json"))["leftOut"]
    address = bytes(map(int, service.split("."))).hex()
    assert any(e.startswith(address) for e in table["ip"]["sets"]["services"]["elements"]) and table["ip"]["sets"]["services"]["count"] > 2
    assert "service" in table["ip6"]["chains"] and table["ip"]["chains"]["refused"] >= 0
    assert b"fairlead_agent" in metrics and [entry["path"] for entry in left_out] == ["cluster/"]


def test_a_file_that_is_there_is_not_written_over(lab, tmp_path):
    (tmp_path / "there.tar").write_text("mine")
    done = lab.fairlead("bug-report", "--machine-only", "-o", tmp_path / "there.tar", check=False)
    assert done.returncode == 1 and "there.tar" in done.stderr and (tmp_path / "there.tar").read_text() == "mine"
