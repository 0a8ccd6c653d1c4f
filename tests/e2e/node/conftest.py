"""A lab of its own for the node part's tests: made once per module, taken down whatever happens. Root only."""
import json
import os
import secrets
import shutil
import subprocess
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BIN = os.environ.get("FAIRLEAD_BIN", os.path.join(ROOT, "build", "bin"))
SLOW = 5 if os.environ.get("FAIRLEAD_SANITIZED") else 1

if os.geteuid() != 0:
    pytest.skip("a lab needs root", allow_module_level=True)


def run(*argv, check=True, stdin=None, timeout=30, env=None):
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout * SLOW, env=env)
    if check and done.returncode != 0:
        pytest.fail(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout if check else done


def wait_until(what, fn, timeout=10):
    end = time.monotonic() + timeout * SLOW
    while True:
        value = fn()
        if value:
            return value
        if time.monotonic() > end:
            pytest.fail(f"timed out waiting until {what} (last: {value!r})")
        time.sleep(0.02)


class Lab:
    def __init__(self):
        self.name = "e" + secrets.token_hex(4)
        self.env = dict(os.environ)

    def fairlead(self, *argv, **kw):
        return run(os.path.join(BIN, "fairlead"), *argv, env=self.env, **kw)

    def up(self, *argv):
        out = self.fairlead("lab", "up", "--name", self.name, *argv, timeout=60)
        self.env["KUBECONFIG"] = self.fairlead("lab", "kubeconfig", "--name", self.name, "--path").strip()
        return out

    def down(self):
        return self.fairlead("lab", "down", "--name", self.name)

    def get(self, *argv):
        return json.loads(self.fairlead("get", *argv, "-o", "json"))

    def apply(self, *objects):
        return self.fairlead("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))

    def pod(self, name, image="fairlead/echo", command=None, args=None, spec=None, container=None, labels=None):
        c = {"name": "main", "image": image}
        if command:
            c["command"] = command
        if args:
            c["args"] = args
        c.update(container or {})
        body = {"containers": [c], "terminationGracePeriodSeconds": 2}
        body.update(spec or {})
        self.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels or {}}, "spec": body})
        return name

    def status(self, name):
        return self.get("pod/" + name).get("status", {})

    def container(self, name, which="containerStatuses"):
        return (self.status(name).get(which) or [{}])[0]

    def is_ready(self, name):
        return any(c["type"] == "Ready" and c["status"] == "True" for c in self.status(name).get("conditions", []))

    def wait_ready(self, name, timeout=10):
        wait_until(f"{name} is ready", lambda: self.is_ready(name), timeout)
        return self.get("pod/" + name)

    def sh(self, name, script, **kw):
        return self.fairlead("exec", name, "--", "sh", "-c", script, **kw)

    def logs(self, name, *argv):
        return self.fairlead("logs", name, *argv)

    def delete_and_wait(self, pod):
        self.fairlead("delete", "pod", pod)
        wait_until(f"{pod} is gone", lambda: self.fairlead("get", "pod", pod, check=False).returncode != 0)

    def netns(self, pod):
        node = self.get("pod/" + pod)["spec"]["nodeName"]
        return f"fl.{self.name}.{node}.default.{pod}"

    def in_pod_net(self, pod, *argv, **kw):
        return run("ip", "netns", "exec", self.netns(pod), *argv, **kw)


@pytest.fixture(scope="module")
def lab(request):
    for tool in ("fairlead", "fairlead-labd", "fairlead-echo", "fairlead-agent"):
        if not os.path.exists(os.path.join(BIN, tool)):
            pytest.skip(f"{tool} is not built")
    if not shutil.which("ip"):
        pytest.skip("no ip(8)")
    one = Lab()
    one.env.update(getattr(request.module, "LAB_ENV", {}))
    try:
        one.up("--ephemeral")
        yield one
    finally:
        one.down()
