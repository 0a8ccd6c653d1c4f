"""Between sidecars it is mutual TLS, by identities that the control plane gives: what is on the wire, who is let in, and what happens while certificates are exchanged."""
import base64
import json
import subprocess
import threading

import lab_harness
import pytest
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
    strict("PERMISSIVE", name="bob", selector={"matchLabels": {"app": "bob"}}, portLevelMtls={"8080": {"mode": "STRICT"}})
    wait_until("one port alone refuses", lambda: from_outside(apps, f"http://{ip}:8080/") == "000")
    strict("STRICT", name="bob", selector={"matchLabels": {"app": "bob"}}, portLevelMtls={"9999": {"mode": "PERMISSIVE"}})
    wait_until("plain text is refused", lambda: from_outside(apps, f"http://{ip}:8080/") == "000")
    assert apps.curl("alice", "http://bob/")[0] == 200


def test_disable_takes_plain_text_alone(apps, strict):
    ip = apps.lab.ready_pods("app=bob")[0]["status"]["podIP"]
    strict("DISABLE")
    word = "SecretOfTheRequest"
    wait_until("alice is told", lambda: word.encode() in capture(apps, pod_place(apps, "bob"), 1, lambda: apps.curl("alice", f"http://bob/{word}")))
    assert from_outside(apps, f"http://{ip}:8080/") == "200"


@pytest.mark.parametrize("port, counter", [
    ("tcp-x", "tcp.inbound|8080||.downstream_cx_total"), ("", "http.inbound_0.0.0.0_8080.downstream_rq_http1_total"),
    ("http2", "http.inbound_0.0.0.0_8080.downstream_rq_http2_total")])
def test_every_kind_of_port(apps, strict, port, counter):
    """Over TLS as in plain text: bytes as bytes, HTTP as HTTP where nobody has said so, and HTTP/2, which this server has no answer to, but its sidecar has."""
    name = f"frank-{port or 'any'}"
    apps.run(name, probe=False, port=port)
    strict("STRICT")
    wait_until("it is served", lambda: apps.curl("alice", f"http://{name}/")[0] == (502 if port == "http2" else 200))
    ip = apps.lab.ready_pods(f"app={name}")[0]["status"]["podIP"]
    wait_until("plain text is refused", lambda: from_outside(apps, f"http://{ip}:8080/") == "000")
    stats = {s["name"]: s["value"] for s in json.loads(apps.admin(name, "/stats?format=json"))["stats"] if "name" in s}
    assert stats[counter] >= 1, sorted(k for k in stats if "inbound" in k)


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
        lab.apply(lab_harness.echo("carol", port=8081, labels={"app": "carol", "security.istio.io/tlsMode": "istio"}, serviceAccountName="carol"), service)
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

def control_metrics(mesh):
    ip = mesh.lab.ready_pods("app=fairlead-control", SYSTEM)[0]["status"]["podIP"]
    node = mesh.lab.get("nodes")["items"][0]["metadata"]["name"]
    text = out(mesh.lab.curl(node, f"http://{ip}:15014/metrics"))
    return {line.split()[0]: float(line.split()[1]) for line in text.splitlines() if line and not line.startswith("#")}


def token(mesh, account, audience="istio-ca"):
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": [audience], "expirationSeconds": 600}}
    status, text = mesh.lab.raw(f"/api/v1/namespaces/default/serviceaccounts/{account}/token", "POST", body=json.dumps(body), body_type="application/json")
    assert status == 201, text
    return json.loads(text)["status"]["token"]


def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def fields(data):
    def number():
        nonlocal data
        n, shift = 0, 0
        while True:
            byte, data = data[0], data[1:]
            n, shift = n | (byte & 127) << shift, shift + 7
            if byte < 128:
                return n
    while data:
        number()
        n = number()
        yield data[:n]
        data = data[n:]


@pytest.fixture(scope="module")
def ask(apps, tmp_path_factory):
    """IstioCertificateService, asked by hand. The gRPC status, and the certificates."""
    path = tmp_path_factory.mktemp("ask")
    (path / "root.pem").write_text(apps.root)
    ip = apps.lab.get("svc/fairlead-control", "-n", SYSTEM)["spec"]["clusterIP"]
    node = apps.lab.get("nodes")["items"][0]["metadata"]["name"]
    host = "fairlead-control.fairlead-system.svc"

    def call(csr, bearer, metadata=b""):
        message = field(1, csr) + metadata
        (path / "request").write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
        done = apps.lab.in_netns(node, "curl", "-sS", "-m", "10", "--http2", "--cacert", str(path / "root.pem"), "--resolve", f"{host}:15012:{ip}", "-H", "content-type: application/grpc",
                          "-H", "te: trailers", *(["-H", f"authorization: Bearer {bearer}"] if bearer else []), "--data-binary", f"@{path}/request", "-D", str(path / "head"),
                          "-o", str(path / "answer"), f"https://{host}:15012/istio.v1.auth.IstioCertificateService/CreateCertificate",
                          check=False)
        head = (path / "head").read_text().lower()
        assert "grpc-status:" in head, done.stderr
        status = int(head.split("grpc-status:")[1].split()[0])
        return status, [c.decode() for c in fields((path / "answer").read_bytes()[5:])] if status == 0 else head
    call.path = path
    return call


def csr_of(name):
    return (ROOT / "tests/fuzz/corpus/csr" / f"{name}.csr").read_bytes()


def test_a_request_says_nothing_of_who_it_is_for(apps, ask):
    """It asks for the name of an administrator of kube-system, and a DNS name."""
    status, chain = ask(csr_of("p256"), token(apps, "alice"))
    assert status == 0 and len(chain) == 2 and chain[-1].strip() == apps.root.strip()
    text = subprocess.run(["openssl", "x509", "-noout", "-text"], input=chain[0], text=True, capture_output=True, check=True).stdout
    names = text.split("Subject Alternative Name: critical")[1].splitlines()[1].strip()
    assert names == "URI:spiffe://cluster.local/ns/default/sa/alice"
    assert "Subject: \n" in text and "CA:FALSE" in text and "system:masters" not in text
    assert ask(csr_of("rsa2048"), token(apps, "alice"))[0] == 0, "stock clients have such keys"


def expired(mesh, good):
    """The token as it would be an hour later, signed by the server's own key."""
    head, body, _ = good.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims |= {"iat": claims["iat"] - 7200, "nbf": claims["iat"] - 7200, "exp": claims["iat"] - 3600}
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", mesh.lab.state_dir + "/pki/sa.key"], input=f"{head}.{body}".encode(), capture_output=True, check=True).stdout

    def integer(at):
        return der[at + 2:at + 2 + der[at + 1]].lstrip(b"\0").rjust(32, b"\0")
    signature = integer(2) + integer(2 + 2 + der[3])
    return f"{head}.{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def test_who_gets_none(apps, ask):
    good, csr = token(apps, "alice"), csr_of("p256")
    before = control_metrics(apps)
    impersonate = field(4, field(1, field(1, b"ImpersonatedIdentity") + field(2, field(3, b"spiffe://cluster.local/ns/default/sa/bob"))))
    for csr_bytes, bearer, metadata, status, reason in (
            (csr, None, b"", 16, "caller"), (csr, "x", b"", 16, "caller"), (csr, token(apps, "alice", "other"), b"", 16, "caller"), (csr, expired(apps, good), b"", 16, "caller"),
            (csr, good[:-8] + "AAAAAAAA", b"", 16, "caller"), (csr_of("rsa1024"), good, b"", 3, "bad_key"), (b"no request", good, b"", 3, "bad_request"), (csr, good, impersonate, 7, "bad_request")):
        got, text = ask(csr_bytes, bearer, metadata)
        assert got == status, (reason, text)
        now = control_metrics(apps)
        name = f'fairlead_control_certificates_refused_total{{reason="{reason}"}}'
        assert now[name] == before[name] + 1
        before = now
    assert ask(csr, good)[0] == 0

    def signer(name):
        return field(4, field(1, field(1, b"CertSigner") + field(2, field(3, name))))
    assert ask(csr, good, signer(b""))[0] == 0, "Istio's agents say so where they want none"
    assert ask(csr, good, signer(b"other"))[0] == 7


# ---- certificates are exchanged while calls go on ----

class Calls:
    """One after the other until it is told to stop, each by a connection of its own between the sidecars; what failed."""

    def __init__(self, mesh, frm, to):
        self.mesh, self.frm, self.to, self.codes, self.end = mesh, frm, to, [], False
        self.pod = mesh.pod(frm)
        self.thread = threading.Thread(target=self.go)
        self.thread.start()

    def go(self):
        while not self.end:
            done = self.mesh.lab.fairlead("exec", self.pod, "-c", "echo", "--", "curl", "-s", "-m", "10", "-H", "connection: close", "-o", "/dev/null", "-w", "%{http_code}\n", f"http://{self.to}/?[1-100]",
                                          check=False)
            self.codes += out(done).split()

    def stop(self):
        self.end = True
        self.thread.join()
        return len(self.codes), [c for c in self.codes if c != "200"]


def serials(mesh, name):
    return {own["serial_number"] for c in certificates(mesh, name) for own in c["cert_chain"]}


def roots(mesh, name):
    return {ca["serial_number"] for c in certificates(mesh, name) for ca in c["ca_cert"]}


@pytest.fixture(scope="module")
def short(apps):
    """Certificates that live for 10 s, so that each is renewed every 5 s."""
    lab = apps.lab
    control = lab.get("deploy/fairlead-control", "-n", SYSTEM)["spec"]["template"]["spec"]["containers"][0]
    control["args"].append("--certificate-lifetime=10s")
    lab.patch(f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/fairlead-control", {"spec": {"template": {"spec": {"containers": [control]}}}})
    wait_until("it is replaced", lambda: any("--certificate-lifetime=10s" in p["spec"]["containers"][0]["args"] for p in lab.ready_pods("app=fairlead-control", SYSTEM)), 40)
    wait_until("the old one has gone", lambda: len(lab.pods("app=fairlead-control", SYSTEM)) == 1, 40)
    for name in ("dave", "erin"):
        apps.run(name, probe=False, port="tcp-echo")
    lab.apply(peer_authentication("STRICT"))
    return apps


def test_certificates_are_renewed_under_traffic(short):
    before = serials(short, "dave") | serials(short, "erin")
    calls = Calls(short, "dave", "erin")
    try:
        for name in ("dave", "erin"):
            wait_until("it has another", lambda: not serials(short, name) & before, 20)
        again = serials(short, "erin")
        wait_until("and another", lambda: not serials(short, "erin") & again, 20)
    finally:
        n, failed = calls.stop()
    assert n > 500 and failed == []


def put_ca(mesh, cert, key, trusted):
    text = lambda s: base64.b64encode(s.encode()).decode()  # noqa: E731
    mesh.lab.patch(f"/api/v1/namespaces/{SYSTEM}/secrets/fairlead-ca", {"data": {"tls.crt": text(cert), "tls.key": text(key), "ca.crt": text(trusted)}})


def test_the_root_is_exchanged_under_traffic(short, tmp_path):
    """Both are trusted; then the new one signs; then it alone is told."""
    data = short.lab.get("secret/fairlead-ca", "-n", SYSTEM)["data"]
    cert, key = (base64.b64decode(data[k]).decode() for k in ("tls.crt", "tls.key"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "k", "-out", "c", "-subj", "/CN=new", "-days", "9",
                    "-addext", "keyUsage=critical,keyCertSign,cRLSign"], check=True, capture_output=True, cwd=tmp_path)
    new, new_key = (tmp_path / "c").read_text(), (tmp_path / "k").read_text()
    first = roots(short, "erin")
    calls = Calls(short, "dave", "erin")
    try:
        put_ca(short, cert, key, cert + new)
        for name in ("dave", "erin"):
            wait_until(f"{name} trusts both", lambda: len(roots(short, name) - first) == 1, 20)
        put_ca(short, new, new_key, cert + new)
        before = serials(short, "dave") | serials(short, "erin")
        for name in ("dave", "erin"):
            wait_until(f"{name} has a certificate below the new one", lambda: not serials(short, name) & before, 20)
        put_ca(short, new, new_key, new)
        before = serials(short, "dave") | serials(short, "erin")
        for name in ("dave", "erin"):
            wait_until(f"{name} has another", lambda: not serials(short, name) & before, 20)
    finally:
        n, failed = calls.stop()
    assert n > 500 and failed == []


def test_a_plugged_ca(short, ask, tmp_path):
    """As Istio has it: an intermediate in the Secret cacerts signs, and stands between the leaf and the root. One that cannot be used changes nothing."""
    def openssl(*argv):
        subprocess.run(["openssl", *argv], check=True, capture_output=True, cwd=tmp_path)
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *new, "-keyout", "root.key", "-out", "root.pem", "-subj", "/CN=corporate", "-days", "9", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl("req", "-new", *new, "-keyout", "ca.key", "-out", "ca.csr", "-subj", "/CN=mesh")
    (tmp_path / "ext").write_text("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n")
    openssl("x509", "-req", "-in", "ca.csr", "-CA", "root.pem", "-CAkey", "root.key", "-days", "5", "-extfile", "ext", "-out", "ca.pem")
    text = {n: (tmp_path / n).read_text() for n in ("root.pem", "root.key", "ca.key", "ca.pem")}

    def put(**data):
        short.lab.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cacerts", "namespace": SYSTEM}, "data": {k.replace("_", "-") + ".pem": base64.b64encode(v.encode()).decode() for k, v in data.items()}})
    put(ca_cert=text["ca.pem"], ca_key=text["ca.key"], cert_chain=text["ca.pem"], root_cert=text["root.pem"])
    (ask.path / "root.pem").write_text(text["root.pem"])

    def chain():
        try:
            status, certs = ask(csr_of("p256"), token(short, "alice"))
        except (AssertionError, OSError, IndexError):
            return None  # not of that root yet
        return certs if status == 0 else None
    got = wait_until("it signs", chain)
    assert [c.strip() for c in got[1:]] == [text["ca.pem"].strip(), text["root.pem"].strip()]
    (tmp_path / "leaf.pem").write_text(got[0])
    openssl("verify", "-CAfile", "root.pem", "-untrusted", "ca.pem", "leaf.pem")
    put(ca_cert=text["ca.pem"], ca_key=text["root.key"], cert_chain=text["ca.pem"], root_cert=text["root.pem"])  # another's key
    control = short.lab.ready_pods("app=fairlead-control", SYSTEM)[0]["metadata"]["name"]
    wait_until("the log says so", lambda: "Secret cacerts" in short.lab.fairlead("logs", control, "-n", SYSTEM))
    assert chain()[1:] == got[1:]
