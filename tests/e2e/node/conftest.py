"""A lab for tests that look at single pods: made once per module (LAB_ENV of the module goes into its environment)."""
import subprocess

import pytest

import lab_harness
from kubectls import kubectls
from suite import SLOW, wait_until


class PodLab(lab_harness.Lab):
    """By the pod's name instead of selectors and namespaces."""

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

    def has_said(self, name, text, *argv):
        """False while its container waits to start, too."""
        return text in self.fairlead("logs", name, *argv, check=False).stdout

    def delete_and_wait(self, pod):
        self.fairlead("delete", "pod", pod)

    def in_pod_net(self, pod, *argv, **kw):
        return self.in_netns(self.pod_netns(pod), *argv, **kw)


@pytest.fixture(scope="module")
def lab(request):
    yield from lab_harness.running(PodLab(**getattr(request.module, "LAB_ENV", {})), "--ephemeral")


@pytest.fixture(scope="module")
def kubectl(lab):
    """The newest one, if it speaks WebSocket for attach and exec by itself (1.31)."""
    minor, binary = (kubectls() or [(0, None)])[-1]
    if minor < 31:
        pytest.skip("no kubectl of 1.31 or newer")

    def call(*argv, **kw):
        return subprocess.run([binary, *argv], capture_output=True, text=True, env=lab.client_env, timeout=30 * SLOW, check=False, **kw)
    return call
