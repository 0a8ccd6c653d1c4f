"""A lab for tests that look at single pods: made once per module (LAB_ENV of the module goes into its environment)."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import lab_harness  # noqa: E402
from lab_harness import run, wait_until  # noqa: E402


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
    yield from lab_harness.running(PodLab(**getattr(request.module, "LAB_ENV", {})), "--ephemeral")
