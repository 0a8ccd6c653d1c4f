"""kubectl against a lab with nodes: what the API server's matrix (tests/e2e/api) cannot show without programs that run."""
import json
import os
import re
import subprocess

import pytest
from kubectls import kubectls
from lab_harness import echo
from suite import wait_until


class Kubectl:
    def __init__(self, lab, binary, ns, home):
        self.lab, self.binary, self.ns = lab, binary, ns
        self.env = {**os.environ, "KUBECONFIG": lab.kubeconfig, "HOME": str(home), "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "true"}

    def __call__(self, words, stdin=None, code=0):
        words = words if isinstance(words, list) else words.split()
        r = subprocess.run([self.binary, "-n", self.ns, *words], env=self.env, input=stdin, capture_output=True, text=True, timeout=90)
        assert r.returncode == code, f"kubectl {' '.join(words)}: exit {r.returncode}\n{r.stdout}{r.stderr}"
        return r.stdout + r.stderr

    def rolled_out(self):
        assert 'deployment "web" successfully rolled out' in self("rollout status deploy/web --timeout=30s")

    def env_of(self):
        return self("get deploy web -o jsonpath={.spec.template.spec.containers[0].env}")

    def revisions(self):
        return re.findall(r"(?m)^(\d+) ", self("rollout history deploy/web"))


@pytest.fixture(params=kubectls() or [(0, "")], ids=lambda k: f"1.{k[0]}")
def k(request, lab, tmp_path):
    minor, binary = request.param
    if not binary:
        pytest.skip("no kubectl found: set FAIRLEAD_KUBECTLS")
    one = Kubectl(lab, binary, f"k{minor}", tmp_path)
    one.minor = minor
    one("create namespace " + one.ns)
    one("apply -f -", stdin=json.dumps(echo("web", replicas=2)))
    yield one
    one("delete namespace " + one.ns + " --timeout=60s")


def test_verbs_that_need_nodes(k):
    # rollout status, history, undo, restart, pause
    k.rolled_out()
    k("set env deploy/web A=1")
    k.rolled_out()
    assert k.revisions() == ["1", "2"] and '"A"' in k.env_of()
    assert "A:" in k("rollout history deploy/web --revision=2")
    assert "rolled back" in k("rollout undo deploy/web")
    k.rolled_out()
    assert k.revisions() == ["2", "3"] and k.env_of() == ""
    assert "rolled back" in k("rollout undo deploy/web --to-revision=2")
    k.rolled_out()
    assert k.revisions() == ["3", "4"] and '"A"' in k.env_of()
    before = k("get pods -l app=web -o name")
    k("rollout restart deploy/web")
    k.rolled_out()
    assert not set(before.split()) & set(k("get pods -l app=web --field-selector status.phase=Running -o name").split())
    # scale, wait
    k("scale deploy/web --replicas=3")
    assert "condition met" in k("wait deploy/web --for=condition=Available --timeout=30s")
    k.rolled_out()
    wait_until("the old pods are gone", lambda: len(k("get pods -l app=web -o name").split()) == 3)
    assert k("wait pod -l app=web --for=condition=Ready --timeout=30s").count("condition met") == 3
    # logs
    assert k("logs deploy/web --tail=1").count("\n") >= 1
    k(["run", "once", "--image=busybox", "--restart=Never", "--command", "--", "sh", "-c", "echo hello; echo again"])
    wait_until("it is over", lambda: k("get pod once -o jsonpath={.status.phase}") == "Succeeded")
    assert k("logs -f once") == "hello\nagain\n" and k("logs once --tail=1") == "again\n"
    assert re.search(r"(?m)^once +0/1 +Completed +0 ", k("get pod once"))
    events = wait_until("its events", lambda: "Started" in (t := k("describe pod once")) and t)
    assert "Scheduled" in events
    # exec
    assert k(["exec", "deploy/web", "--", "sh", "-c", "echo out"]) == "out\n"
    assert k(["exec", "-i", "deploy/web", "--", "sh", "-c", "cat; echo end"], stdin="in\n") == "in\nend\n"
    k(["exec", "deploy/web", "--", "sh", "-c", "sleep 0.2; exit 7"], code=7)
    # delete: waiting, cascades
    assert "deleted" in k("delete pod once --timeout=30s")
    k("get pod once", code=1)
    k("delete deploy web --cascade=foreground --timeout=60s")
    assert "No resources" in k("get deploy,rs,pods -l app=web"), "the foreground waits for the dependents"


def test_orphans_stay(k):
    k.rolled_out()
    k("delete deploy web --cascade=orphan --timeout=30s")
    sets = json.loads(k("get rs -l app=web -o json"))["items"]
    assert len(sets) == 1 and "ownerReferences" not in sets[0]["metadata"]
    assert len(k("get pods -l app=web -o name").split()) == 2
