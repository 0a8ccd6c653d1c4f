"""A lab per module: `fairlead lab up` under a name of its own, `lab down` whatever happens. Root only."""
import json
import os
import secrets
import subprocess
import sys
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
BIN = os.environ.get("FAIRLEAD_BIN", os.path.join(ROOT, "build", "bin"))
SLOW = 5 if os.environ.get("FAIRLEAD_SANITIZED") else 1

if os.geteuid() != 0:
    pytest.skip("a lab needs root", allow_module_level=True)


def run(*argv, check=True, stdin=None, timeout=60, env=None):
    """Runs a command; its stdout. A failure shows both streams."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout * SLOW, env=env)
    if check and done.returncode != 0:
        pytest.fail(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout if check else done


def wait_until(what, fn, timeout=10):
    """Calls fn until it returns something true; that value. Never a fixed sleep."""
    end = time.monotonic() + timeout * SLOW
    while True:
        value = fn()
        if value:
            return value
        if time.monotonic() > end:
            pytest.fail(f"timed out waiting until {what} (last: {value!r})")
        time.sleep(0.02)


class Lab:
    def __init__(self, name):
        self.name = name
        self.kubeconfig = None

    def fairlead(self, *argv, **kw):
        env = dict(os.environ, KUBECONFIG=self.kubeconfig) if self.kubeconfig else None
        return run(os.path.join(BIN, "fairlead"), *argv, env=env, **kw)

    def up(self, *argv):
        out = self.fairlead("lab", "up", "--name", self.name, *argv, timeout=70)
        self.kubeconfig = self.fairlead("lab", "kubeconfig", "--name", self.name, "--path").strip()
        return out

    def down(self):
        return self.fairlead("lab", "down", "--name", self.name)

    @property
    def state_dir(self):
        return os.path.dirname(self.kubeconfig)

    def get(self, *argv):
        return json.loads(self.fairlead("get", *argv, "-o", "json"))

    def apply(self, manifest):
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        return self.fairlead("apply", "-f", "-", stdin=text)

    def delete(self, *argv):
        return self.fairlead("delete", *argv)

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


def new_name(prefix="t"):
    return f"{prefix}{secrets.token_hex(3)}"


@pytest.fixture(scope="module")
def lab():
    lab = Lab(new_name())
    try:
        lab.up()
        yield lab
        leftovers = [line for log in os.listdir(lab.state_dir + "/logs")
                     for line in open(f"{lab.state_dir}/logs/{log}", errors="replace")
                     if "AddressSanitizer" in line or "runtime error" in line or "assertion failed" in line]
        assert not leftovers, "".join(leftovers[:20])
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


@pytest.fixture(scope="session")
def helpers():
    class Helpers:
        pass
    h = Helpers()
    h.run, h.wait_until, h.echo, h.service, h.Lab, h.new_name = run, wait_until, echo, service, Lab, new_name
    return h
