"""`fairlead install` beside Helm: the same objects of the same values, and each takes over what the other has installed."""
import json
import os
import re

import pytest
import yaml

from lab_harness import Lab, running
from suite import FAIRLEAD, run
from test_chart import CHART, FOR_LAB, SYSTEM, sets
from values_of_chart import by_chance

SEEDS = int(os.environ.get("SEEDS", "25"))
FIXED = [{}, {"crds": {"keep": False}, "loadBalancer": {"enabled": True}}, {"monitoring": {"dashboards": {"enabled": True}}, "namespace": {"create": True}, "agent": {"resources": None}}]


def objects(text):
    found = [o for o in yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if o]
    return {(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]): o for o in found}


@pytest.mark.parametrize("values", FIXED + [{**by_chance(s), "crds": {"install": False}} for s in range(SEEDS)], ids=lambda v: "")
def test_the_same_objects(helm, values, tmp_path):
    file = tmp_path / "values.json"
    file.write_text(json.dumps(values))
    theirs = helm("template", "fairlead", CHART, "--namespace", SYSTEM, "--kube-version", "1.37.0", "-f", file)
    ours = run(FAIRLEAD, "install", "--render", "-f", file)
    assert objects(ours) == objects(theirs)


@pytest.mark.parametrize("argv", [
    ["a.b=1,X.a.c=true", "a.d=null"], ["a={x,2,true}", "b={}"], ["a[1].b=c", "a[0]=d"], [r"a=x\,y,X.b\.c=d"], ["a=0123,X.b=0,X.c=-5,X.d=1.5,X.e="], ["a=x=y", "a=z"], ["a.b=1", "a=2"]], ids=str)
def test_the_same_sets(helm, argv):
    """--set means what it means to Helm: shown by a value that may be anything."""
    chosen = sets([*FOR_LAB, "crds.install=false"] + ["control.affinity." + a.replace("X.", "control.affinity.") for a in argv])
    theirs = helm("template", "fairlead", CHART, "--namespace", SYSTEM, "--kube-version", "1.37.0", *chosen)
    ours = run(FAIRLEAD, "install", "--render", *chosen)
    assert objects(ours) == objects(theirs)


@pytest.fixture(scope="module")
def lab():
    yield from running(Lab())


def history(helm_, lab):
    return [(int(r["revision"]), r["status"]) for r in json.loads(helm_("history", "fairlead", "--namespace", SYSTEM, "-o", "json", kubeconfig=lab.kubeconfig))]


def args(lab, name):
    return lab.get(f"deploy/{name}", "-n", SYSTEM)["spec"]["template"]["spec"]["containers"][0]["args"]


def test_each_takes_over(lab, helm):
    """In by one, changed by the other, back, and out: values are kept, what is no longer said goes, whoever had said it."""
    at = ["--namespace", SYSTEM]
    lab.fairlead("install", *sets(FOR_LAB), "--set", "gateway.replicas=1", "--yes", timeout=90)
    assert history(helm, lab) == [(1, "deployed")]
    assert yaml.safe_load(helm("get", "values", "fairlead", *at, kubeconfig=lab.kubeconfig).split("\n", 1)[1])["gateway"]["replicas"] == 1
    shown = objects(helm("get", "manifest", "fairlead", *at, kubeconfig=lab.kubeconfig))
    assert ("Deployment", SYSTEM, "fairlead-gateway") in shown
    helm("upgrade", "fairlead", CHART, *at, "--reuse-values", "--set", "control.extraArgs={--log-level=debug},ingress.classes.nginx.create=false", "--wait", "--timeout", "60s", kubeconfig=lab.kubeconfig, timeout=90)
    assert history(helm, lab) == [(1, "superseded"), (2, "deployed")] and "--log-level=debug" in args(lab, "fairlead-control")
    assert "ingressclass.networking.k8s.io/nginx" not in lab.fairlead("get", "ingressclasses", "-o", "name")
    assert "nothing to do" in lab.fairlead("upgrade", "--yes")
    # What Helm has set goes, though Helm's name is on the field.
    out = lab.fairlead("upgrade", "--set", "control.extraArgs=null", "--set", "control.resources=null", "--yes", timeout=90)
    assert re.search(r"- spec.template.spec.containers\[control\].args: \"--log-level=debug\"", out) and "--log-level=debug" not in args(lab, "fairlead-control")
    control = lab.get("deploy/fairlead-control", "-n", SYSTEM)
    assert not control["spec"]["template"]["spec"]["containers"][0].get("resources"), "Helm's field is still there"
    assert lab.get("deploy/fairlead-gateway", "-n", SYSTEM)["spec"]["replicas"] == 1
    helm("rollback", "fairlead", "2", *at, "--wait", "--timeout", "60s", kubeconfig=lab.kubeconfig, timeout=90)
    assert history(helm, lab)[-1] == (4, "deployed") and "--log-level=debug" in args(lab, "fairlead-control")
    helm("uninstall", "fairlead", *at, "--wait", "--timeout", "60s", kubeconfig=lab.kubeconfig, timeout=90)
    assert lab.get("deployments", "-n", SYSTEM)["items"] == []
    helm("install", "fairlead", CHART, *at, *sets(FOR_LAB), "--wait", "--timeout", "60s", kubeconfig=lab.kubeconfig, timeout=90)
    # What only Helm has ever said goes, too, and the list says so before.
    out = lab.fairlead("upgrade", "--set", "control.resources=null", "--yes", timeout=90)
    assert "- spec.template.spec.containers[control].resources" in out
    assert not lab.get("deploy/fairlead-control", "-n", SYSTEM)["spec"]["template"]["spec"]["containers"][0].get("resources")
    assert "nothing to do" in lab.fairlead("upgrade", "--yes")
    lab.fairlead("uninstall", "--yes", "--crds", "--namespace-too", timeout=90)
    assert lab.get("crd")["items"] == [] and SYSTEM not in lab.fairlead("get", "ns", "-o", "name")
