"""Between sidecars it is mutual TLS, by identities that the control plane gives: what is on the wire, who is let in, and what happens while certificates are exchanged."""
import base64
import json
import os
import subprocess
import threading
import time

import lab_harness
import pytest
import sidecar
from suite import ROOT, wait_until

SYSTEM = "fairlead-system"


def peer_authentication(mode, name="default", namespace="default", **spec):
    return {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": name, "namespace": namespace}, "spec": {"mtls": {"mode": mode}, **spec}}


@pytest.fixture(scope="module")
def apps(mesh):
    """Two in the mesh, each with an account of its own, and one that is not."""
    lab = mesh.lab
    lab.apply((ROOT / "deploy/crds/security.peerauthentications.yaml").read_text())
    for name in ("alice", "bob"):
        lab.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}})
        mesh.run(name, probe=False, serviceAccountName=name)
    lab.apply(lab_harness.echo("outside", args=("--name", "outside")))
    lab.wait_ready("app=outside", 1)
    return mesh


@pytest.fixture
def strict(apps):
    def put(mode, **more):
        apps.lab.apply(peer_authentication(mode, **more))
    yield put
    for p in apps.lab.get("peerauthentications")["items"]:
        apps.lab.fairlead("delete", f"peerauthentication/{p['metadata']['name']}")


def from_outside(mesh, *args):
    pod = mesh.lab.ready_pods("app=outside")[0]["metadata"]["name"]
    done = mesh.lab.fairlead("exec", pod, "--", "curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", *args, check=False)
    return done if isinstance(done, str) else done.stdout


def capture(mesh, where, seconds, act):
    """Bytes of what a pod's interface carries meanwhile."""
    netns = mesh.lab.netns(where)
    script = ("import socket,sys,time\ns=socket.socket(socket.AF_PACKET,socket.SOCK_RAW,socket.htons(3)); s.bind(('eth0',0)); s.settimeout(0.1)\n"
              "print('ready',flush=True); end=time.time()+float(sys.argv[1]); out=b''\n"
              "while time.time()<end:\n  try: out+=s.recv(70000)\n  except socket.timeout: pass\n"
              "sys.stdout.buffer.write(out)")
    p = subprocess.Popen(["ip", "netns", "exec", netns, "python3", "-c", script, str(seconds)], stdout=subprocess.PIPE)
    assert p.stdout.readline() == b"ready\n"
    act()
    return p.communicate(timeout=30)[0]


def pod_place(mesh, name):
    return mesh.lab.pod_netns(mesh.pod(name))


def test_nothing_is_in_plain_text(apps):
    """The same call from outside the mesh is seen, so the capture sees what there is."""
    word = "SecretOfTheRequest"
    seen = capture(apps, pod_place(apps, "bob"), 2, lambda: apps.curl("alice", "-H", f"x-secret: {word}", f"http://bob/{word}"))
    assert len(seen) > 1000 and word.encode() not in seen and b"HTTP/1.1" not in seen and b'"bob"' not in seen
    assert b"\x17\x03\x03" in seen, "there is no TLS"
    ip = apps.lab.ready_pods("app=bob")[0]["status"]["podIP"]
    seen = capture(apps, pod_place(apps, "bob"), 2, lambda: from_outside(apps, "-H", f"x-secret: {word}", f"http://{ip}:8080/"))
    assert word.encode() in seen


def certificates(mesh, name):
    text = mesh.admin(name, "/certs")
    return json.loads(text)["certificates"]


def test_names_are_those_of_accounts(apps):
    for name in ("alice", "bob"):
        uris = {n["uri"] for c in certificates(apps, name) for own in c["cert_chain"] for n in own["subject_alt_names"] if "uri" in n}
        assert uris == {f"spiffe://cluster.local/ns/default/sa/{name}"}


def test_permissive_takes_both(apps):
    ip = apps.lab.ready_pods("app=bob")[0]["status"]["podIP"]
    assert apps.curl("alice", "http://bob/")[0] == 200
    assert from_outside(apps, f"http://{ip}:8080/") == "200"


def test_strict_refuses_plain_text(apps, strict):
    ip = apps.lab.ready_pods("app=bob")[0]["status"]["podIP"]
    strict("STRICT")
    wait_until("plain text is refused", lambda: from_outside(apps, f"http://{ip}:8080/") == "000")
    assert from_outside(apps, f"http://{ip}:9999/") == "000"
    assert apps.curl("alice", "http://bob/")[0] == 200
    strict("PERMISSIVE", name="bob", selector={"matchLabels": {"app": "bob"}}, portLevelMtls={"8080": {"mode": "PERMISSIVE"}})
    wait_until("the narrower one holds", lambda: from_outside(apps, f"http://{ip}:8080/") == "200")
    strict("STRICT", name="bob", selector={"matchLabels": {"app": "bob"}}, portLevelMtls={"9999": {"mode": "PERMISSIVE"}})
    wait_until("plain text is refused", lambda: from_outside(apps, f"http://{ip}:8080/") == "000")
    assert apps.curl("alice", "http://bob/")[0] == 200


def test_disable_takes_plain_text_alone(apps, strict):
    ip = apps.lab.ready_pods("app=bob")[0]["status"]["podIP"]
    strict("DISABLE")
    word = "SecretOfTheRequest"
    wait_until("alice is told", lambda: word.encode() in capture(apps, pod_place(apps, "bob"), 1, lambda: apps.curl("alice", f"http://bob/{word}")))
    assert from_outside(apps, f"http://{ip}:8080/") == "200"


# ---- who is let in ----

@pytest.fixture(scope="module")
def issue(tmp_path_factory, apps):
    """Certificates of the mesh's own CA, and of another one, for whatever name."""
    path = tmp_path_factory.mktemp("ca")
    data = apps.lab.get("secret/fairlead-ca", "-n", SYSTEM)["data"]
    for name, key in (("ca.pem", "tls.crt"), ("ca.key", "tls.key")):
        (path / name).write_bytes(base64.b64decode(data[key]))

    def openssl(*argv):
        subprocess.run(["openssl", *argv], check=True, capture_output=True, cwd=path)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "other.key", "-out", "other.pem", "-subj", "/CN=other", "-days", "2")

    def make(name, uri, ca="ca"):
        (path / "san").write_text(f"subjectAltName=critical,URI:{uri}\nextendedKeyUsage=clientAuth,serverAuth\n")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", "/")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-days", "1", "-extfile", "san", "-out", f"{name}.pem")
        return str(path / f"{name}.pem"), str(path / f"{name}.key"), str(path / "ca.pem")
    return make


HANDSHAKE = """import socket,ssl,sys
to,alpn,cert,key=sys.argv[1:5]
c=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); c.check_hostname=False; c.verify_mode=ssl.CERT_NONE
c.set_alpn_protocols(alpn.split(','))
if cert: c.load_cert_chain(cert,key)
try:
    with socket.create_connection((to,8080),5) as s, c.wrap_socket(s) as t:
        t.settimeout(5); t.sendall(b'GET / HTTP/1.1\\r\\nhost: bob\\r\\nconnection: close\\r\\n\\r\\n')
        print('answered', t.version(), t.recv(100)[:12])
except OSError as e: print('refused', e)
"""


def handshake(mesh, cert=("", ""), alpn="istio-http/1.1,istio,http/1.1"):
    ip = mesh.lab.ready_pods("app=bob")[0]["status"]["podIP"]
    node = mesh.lab.ready_pods("app=bob")[0]["spec"]["nodeName"]
    return mesh.lab.in_netns(node, "python3", "-c", HANDSHAKE, ip, alpn, *cert[:2])


def out(done):
    return done if isinstance(done, str) else done.stdout


def test_a_client_of_another_root_is_refused(apps, issue):
    mallory = issue("mallory", "spiffe://cluster.local/ns/default/sa/alice", "other")
    alice = issue("alice", "spiffe://cluster.local/ns/default/sa/alice")
    foreign = issue("foreign", "spiffe://elsewhere/ns/default/sa/alice")
    assert "answered TLSv1.3 b'HTTP/1.1 200" in out(handshake(apps, alice))
    for cert in (mallory, foreign, ("", "")):
        assert "refused" in out(handshake(apps, cert)) or "b''" in out(handshake(apps, cert)), cert


SERVER = """import socket,ssl,sys
cert,key,root=sys.argv[1:4]
c=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain(cert,key); c.load_verify_locations(root); c.verify_mode=ssl.CERT_REQUIRED
s=socket.create_server(('0.0.0.0',8080)); print('ready',flush=True)
while True:
    k,_=s.accept()
    try:
        with c.wrap_socket(k,server_side=True) as t:
            t.recv(65536); t.sendall(b'HTTP/1.1 200 OK\\r\\ncontent-length: 4\\r\\nconnection: close\\r\\n\\r\\nhere')
    except OSError as e: pass
"""


@pytest.mark.parametrize("name, uri, ca, status", [
    ("right", "spiffe://cluster.local/ns/default/sa/carol", "ca", 200),
    ("wrong", "spiffe://cluster.local/ns/default/sa/bob", "ca", 503),
    ("unknown", "spiffe://cluster.local/ns/default/sa/carol", "other", 503)])
def test_a_server_that_is_somebody_else(apps, issue, name, uri, ca, status):
    """A pod that says it is carol's, with a server of our own in it in place of a sidecar."""
    lab = apps.lab
    if not lab.pods("app=carol"):
        lab.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "carol", "namespace": "default"}})
        service = lab_harness.service("carol")
        service["spec"]["ports"][0]["name"] = "http"
        lab.apply(lab_harness.echo("carol", port=8081, labels={"security.istio.io/tlsMode": "istio"}, serviceAccountName="carol"), service)
    lab.wait_ready("app=carol", 1)
    cert, key, root = issue(name, uri, ca)
    p = subprocess.Popen(["ip", "netns", "exec", lab.netns(pod_place(apps, "carol")), "python3", "-c", SERVER, cert, key, root], stdout=subprocess.PIPE)
    try:
        assert p.stdout.readline() == b"ready\n"
        wait_until(f"it is answered {status}", lambda: apps.curl("alice", "http://carol/")[0] == status)
        for _ in range(3):
            assert apps.curl("alice", "http://carol/")[0] == status
    finally:
        p.kill()
        p.wait()


# ---- the CA ----

def test_identities_that_are_not_the_callers(apps, issue):
    """What a request asks for has no effect: counted in unit tests. Here: whose token it is."""
    metrics = control_metrics(apps)
    assert metrics["fairlead_control_certificates_issued_total"] >= 2


def control_metrics(mesh):
    ip = mesh.lab.ready_pods("app=fairlead-control", SYSTEM)[0]["status"]["podIP"]
    node = mesh.lab.get("nodes")["items"][0]["metadata"]["name"]
    text = out(mesh.lab.curl(node, f"http://{ip}:15014/metrics"))
    return {line.split()[0]: float(line.split()[1]) for line in text.splitlines() if line and not line.startswith("#")}
