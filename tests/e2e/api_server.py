"""Starts the API server alone on a loopback port, with throw-away certificates, and speaks raw HTTPS to it."""
import http.client
import json
import pathlib
import signal
import socket
import ssl
import subprocess
import time

from suite import LABD, run

TOKEN = "e2e-admin-token"


def make_certs(d):
    """A CA, a server certificate for 127.0.0.1, an admin client certificate, and the key for service account tokens."""
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", d / "ca.key")
    run("openssl", "req", "-x509", "-new", "-key", d / "ca.key", "-days", "2", "-subj", "/CN=e2e-ca", "-out", d / "ca.crt")
    for name, subject, extra in (
        ("server", "/CN=kube-apiserver", "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth"),
        ("admin", "/O=system:masters/CN=e2e-admin", "extendedKeyUsage=clientAuth"),
        ("kubelet-client", "/CN=kube-apiserver-kubelet-client", "extendedKeyUsage=clientAuth"),
    ):
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", d / f"{name}.key")
        run("openssl", "req", "-new", "-key", d / f"{name}.key", "-subj", subject, "-out", d / f"{name}.csr")
        (d / f"{name}.ext").write_text(extra + "\n")
        run("openssl", "x509", "-req", "-in", d / f"{name}.csr", "-CA", d / "ca.crt", "-CAkey", d / "ca.key",
            "-CAcreateserial", "-days", "2", "-extfile", d / f"{name}.ext", "-out", d / f"{name}.crt")
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", d / "sa.key")
    (d / "tokens").write_text(f'{TOKEN},e2e-admin,1,"system:masters"\n')


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def warnings(self):
        return [v for k, v in self.headers if k.lower() == "warning"]


class Server:
    settle_s = 0  # until a new webhook is asked

    def __init__(self, directory, ephemeral=True, extra=(), port=0):
        self.dir = pathlib.Path(directory)
        self.ephemeral, self.extra = ephemeral, list(extra)
        self.process, self.port = None, port
        if not (self.dir / "ca.crt").exists():
            make_certs(self.dir)
        self.tls = ssl.create_default_context(cafile=str(self.dir / "ca.crt"))

    def start(self):
        if not self.port:
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0))
                self.port = s.getsockname()[1]
        d = self.dir
        storage = ["--ephemeral"] if self.ephemeral else ["--data-dir", d]
        self.log = open(d / "apiserver.log", "ab")
        self.process = subprocess.Popen(
            [str(a) for a in [LABD, "apiserver", "--port", self.port, *storage,
             "--tls-cert-file", d / "server.crt", "--tls-private-key-file", d / "server.key",
             "--client-ca-file", d / "ca.crt", "--token-file", d / "tokens", "--service-account-key-file", d / "sa.key",
             "--kubelet-client-certificate", d / "kubelet-client.crt", "--kubelet-client-key", d / "kubelet-client.key",
             *self.extra]], stderr=self.log)
        deadline = time.monotonic() + 20
        while True:
            try:
                if self.call("GET", "/readyz", token=None).status == 200:
                    return self
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the API server did not start: see {d}/apiserver.log")
            time.sleep(0.02)

    def stop(self, sig=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(sig)
            self.process.wait(10)
        code = self.process.returncode if self.process else 0
        self.process = None
        return code

    def connect(self, timeout=20):
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls, timeout=timeout)

    def call(self, method, path, body=None, type=None, token=TOKEN, headers=None, conn=None):
        own = conn is None
        c = conn or self.connect()
        h = dict(headers or {})
        if token:
            h["Authorization"] = f"Bearer {token}"
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            type = type or "application/json"
        if type:
            h["Content-Type"] = type
        c.request(method, path, body=body, headers=h)
        r = c.getresponse()
        reply = Reply(r.status, r.getheaders(), r.read())
        if own:
            c.close()
        return reply

    def get(self, path, **kw):
        return self.call("GET", path, **kw)

    def post(self, path, body, **kw):
        return self.call("POST", path, body, **kw)

    def put(self, path, body, **kw):
        return self.call("PUT", path, body, **kw)

    def delete(self, path, body=None, **kw):
        return self.call("DELETE", path, body, **kw)

    def patch(self, path, body, kind="merge", **kw):
        types = {"merge": "application/merge-patch+json", "json": "application/json-patch+json",
                 "strategic": "application/strategic-merge-patch+json"}
        return self.call("PATCH", path, json.dumps(body), type=types.get(kind, kind), **kw)

    def watch(self, path, timeout=10, **kw):
        return Watch(self, path, timeout, **kw)

    def kubeconfig(self):
        path = self.dir / "kubeconfig"
        path.write_text(f"""apiVersion: v1
kind: Config
clusters:
- name: e2e
  cluster: {{server: "https://127.0.0.1:{self.port}", certificate-authority: {self.dir}/ca.crt}}
users:
- name: admin
  user: {{client-certificate: {self.dir}/admin.crt, client-key: {self.dir}/admin.key}}
contexts:
- name: e2e
  context: {{cluster: e2e, user: admin}}
current-context: e2e
""")
        return path


class Watch:
    """One open watch; next() gives the next event or None at the end of the stream."""

    def __init__(self, server, path, timeout, headers=None):
        self.conn = server.connect(timeout)
        self.conn.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}", **(headers or {})})
        self.response = self.conn.getresponse()
        self.status = self.response.status

    def next(self):
        line = self.response.readline()
        return json.loads(line) if line else None

    def until(self, type_):
        seen = []
        while True:
            e = self.next()
            assert e is not None, f"the stream ended; seen {seen}"
            seen.append(e)
            if e["type"] == type_:
                return seen

    def close(self):
        self.conn.close()


def pod(name, **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [{"name": "c", "image": "nginx"}], **spec}}


def service(name, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"ports": [{"port": 80}], "selector": {"app": name}, **spec}}


def deployment(name, replicas=1, **spec):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                     "template": {"metadata": {"labels": {"app": name}},
                                  "spec": {"containers": [{"name": "c", "image": "nginx:1"}]}}, **spec}}
