"""What all suites over a lab share: running commands, waiting, a lab under a name of its own, objects to put into it."""
import base64
import http.client
import json
import os
import re
import secrets
import ssl
import tempfile
import time

import pytest

from suite import FAIRLEAD, SLOW, run, wait_until

if os.geteuid() != 0:
    pytest.skip("a lab needs root", allow_module_level=True)


def new_name(prefix="t"):
    return f"{prefix}{secrets.token_hex(3)}"


class Lab:
    def __init__(self, name=None, **env):
        self.name = name or new_name()
        self.kubeconfig = None
        self.viewer = ("", 0)  # a token, and until when
        self.env = dict(os.environ, **env)

    @property
    def client_env(self):
        return dict(self.env, KUBECONFIG=self.kubeconfig) if self.kubeconfig else self.env

    def fairlead(self, *argv, **kw):
        return run(FAIRLEAD, *argv, env=self.client_env, **kw)

    def up(self, *argv):
        out = self.fairlead("lab", "up", "--name", self.name, *argv, timeout=70)
        self.kubeconfig = self.fairlead("lab", "kubeconfig", "--name", self.name, "--path").strip()
        return out

    def complaints(self):
        """What sanitizers and asserts have left in the logs."""
        words = ("AddressSanitizer", "runtime error", "assertion failed")
        return [line for log in os.listdir(self.state_dir + "/logs") for line in open(f"{self.state_dir}/logs/{log}", errors="replace")
                if any(word in line for word in words)]

    def down(self):
        return self.fairlead("lab", "down", "--name", self.name)

    @property
    def state_dir(self):
        return os.path.dirname(self.kubeconfig)

    def get(self, *argv):
        return json.loads(self.fairlead("get", *argv, "-o", "json"))

    def apply(self, *objects):
        """Text of manifests, or objects."""
        text = objects[0] if isinstance(objects[0], str) else json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        return self.fairlead("apply", "-f", "-", stdin=text)

    def connect(self):
        """To the API server itself."""
        text = open(self.kubeconfig).read()
        field = lambda name: base64.b64decode(re.search(rf"{name}-data: *\"?([\w+/=]+)", text).group(1))  # noqa: E731
        tls = ssl.create_default_context(cadata=field("certificate-authority").decode())
        with tempfile.NamedTemporaryFile() as f:
            f.write(field("client-certificate") + b"\n" + field("client-key"))
            f.flush()
            tls.load_cert_chain(f.name)
        url = re.search(r"server: *\"?https://([^:\"]+|\[[^]]+\]):(\d+)", text)
        return http.client.HTTPSConnection(url.group(1), int(url.group(2)), context=tls, timeout=20)

    def raw(self, path, method="GET", merge=None, body=None, body_type="application/merge-patch+json", headers=None):
        """(status, body) of a request to the API server itself; merge is a merge patch, body any text."""
        conn = self.connect()
        body = json.dumps(merge) if merge else body
        conn.request(method, path, body, {**({"Content-Type": body_type} if body else {}), **(headers or {})})
        r = conn.getresponse()
        return r.status, r.read().decode()

    def token(self, account, ns="fairlead-system", audience="fairlead-control"):
        status, text = self.raw(f"/api/v1/namespaces/{ns}/serviceaccounts/{account}/token", "POST", body_type="application/json",
                                body=json.dumps({"spec": {"audiences": [audience]}}))
        assert status == 201, text
        return json.loads(text)["status"]["token"]

    def view(self, page, token=None):
        """(status, body) of a page of the control plane, through the API server, as who may see all of them."""
        if not token:
            if time.monotonic() > self.viewer[1]:
                self.viewer = (self.token("fairlead-viewer", audience="fairlead-view"), time.monotonic() + 300)
            token = self.viewer[0]
        return self.raw(f"/api/v1/namespaces/fairlead-system/services/fairlead-control:15014/proxy{page}", headers={"Fairlead-Authorization": f"Bearer {token}"})

    def patch(self, path, merge):
        status, body = self.raw(path, "PATCH", merge)
        assert status == 200, body

    def delete(self, *argv):
        return self.fairlead("delete", "--wait=false", *argv)

    def netns(self, where):
        """"node-1" or "node-1/default/pod"."""
        return "fl." + self.name + "." + where.replace("/", ".")

    def in_netns(self, where, *argv, **kw):
        return run("ip", "netns", "exec", self.netns(where), *argv, **kw)

    def pod_netns(self, pod, ns="default"):
        node = self.get("pod/" + pod, "-n", ns)["spec"]["nodeName"]
        return f"{node}/{ns}/{pod}"

    def node_address(self, node, kind, family=4):
        for a in self.get("node/" + node)["status"]["addresses"]:
            if a["type"] == kind and (":" in a["address"]) == (family == 6):
                return a["address"]
        return None

    def pods(self, selector, ns="default"):
        return self.get("pods", "-n", ns, "-l", selector)["items"]

    def ready_pods(self, selector, ns="default"):
        def is_ready(p):
            return "deletionTimestamp" not in p["metadata"] and any(
                c["type"] == "Ready" and c["status"] == "True" for c in p.get("status", {}).get("conditions", []))
        return [p for p in self.pods(selector, ns) if is_ready(p)]

    def wait_ready(self, selector, n, ns="default"):
        return wait_until(f"{n} pods {selector} are ready", lambda: len(self.ready_pods(selector, ns)) == n and self.ready_pods(selector, ns))

    def curl(self, where, url, *argv, check=True):
        """From a namespace (None: the host)."""
        command = ("curl", "-sS", "-m", str(3 * SLOW), *argv, url)
        return run(*command, check=check) if where is None else self.in_netns(where, *command, check=check)

    def answers(self, where, url):
        done = self.curl(where, url, check=False)
        return done.returncode == 0 and done.stdout.strip()

    def udp(self, where, address, port, text="hi", source=0):
        """What a datagram is answered, or ""; from a port of one's choice it is the same flow each time."""
        script = ("import socket,sys; s=socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)\n"
                  "s.settimeout(1); s.bind(('', int(sys.argv[4]))); s.connect((sys.argv[1], int(sys.argv[2])))\n"
                  "s.send(sys.argv[3].encode()); print(s.recv(2000).decode())")
        done = self.in_netns(where, "python3", "-c", script, address, str(port), text, str(source), check=False)
        return done.stdout if done.returncode == 0 else ""

    def processes(self, word):
        """Pids of this lab's processes whose command line has word."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    text = f.read().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if word in text and f"/labs/{self.name}" in text or (word in text and f"--name {self.name} " in text + " "):
                found.append(int(pid))
        return found


def running(lab, *up):
    """Brings the lab up; a generator for fixtures that takes it down whatever happens."""
    try:
        lab.up(*up)
        yield lab
        assert not lab.complaints(), "".join(lab.complaints()[:20])
    finally:
        lab.down()


def echo(name, replicas=1, port=8080, args=(), labels=None, probe=True, **spec):
    """A Deployment of the echo program."""
    labels = labels or {"app": name}
    container = {"name": "echo", "image": "fairlead/echo", "args": ["--http", str(port), *args],
                 "ports": [{"name": "http", "containerPort": port}]}
    if probe:
        container["readinessProbe"] = {"httpGet": {"path": "/ready", "port": port}, "periodSeconds": 1}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels},
                     "template": {"metadata": {"labels": labels},
                                  "spec": {"terminationGracePeriodSeconds": 5, "containers": [container], **spec}}}}


def service(name, selector=None, port=80, target=8080, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": selector or {"app": name}, "ports": [{"name": "http", "port": port, "targetPort": target}], **spec}}
