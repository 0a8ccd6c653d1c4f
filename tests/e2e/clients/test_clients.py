"""Third-party clients against a lab: create, list, watch, patch, exec, leader election, delete. `make clients`; not part of CI, because it needs
registries. install.sh puts the clients, of one version each, into the folder that FAIRLEAD_CLIENTS names.
"""
import json
import os
import pathlib
import subprocess

import pytest

from lab_harness import Lab
from suite import ROOT, run, wait_until

HERE = pathlib.Path(__file__).parent
CLIENTS = pathlib.Path(os.environ.get("FAIRLEAD_CLIENTS", ROOT / "build" / "clients")).absolute()
STEPS = ["create", "watch", "list", "patch", "exec", "election", "delete"]
DRIVERS = {
    "python": lambda config: (["python3", HERE / "drivers/python_client.py", config], {"PYTHONPATH": str(CLIENTS / "python")}),
    "node": lambda config: (["node", HERE / "drivers/node_client.mjs", CLIENTS / "node", config], {}),
    "client-go": lambda config: ([CLIENTS / "client-go", config], {}),
    "fabric8": lambda config: (["java", "-cp", f"{CLIENTS}/java/lib/*", HERE / "drivers/java/Fabric8.java", config], {}),
}

for needed in ("python", "node/node_modules", "client-go", "java/lib", "helm-v3", "helm-v4"):
    if not (CLIENTS / needed).exists():
        pytest.exit(f"{CLIENTS / needed} is not there: run `make clients`", returncode=2)


@pytest.fixture(scope="module")
def lab():
    one = Lab()
    one.up("--nodes", "1")
    try:
        yield one
    finally:
        one.down()


@pytest.mark.parametrize("client", DRIVERS)
def test_scenario(lab, client):
    argv, env = DRIVERS[client](lab.kubeconfig)
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=240, env={**os.environ, **env})
    steps = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("ok ")]
    assert (done.returncode, steps) == (0, STEPS), f"{done.stdout}\n{done.stderr[-4000:]}"


@pytest.mark.parametrize("version, flags", [("v3", []), ("v4", []), ("v4", ["--server-side=false"])])
def test_helm(lab, version, flags, tmp_path):
    release = f"helm{version}"
    env = {**os.environ, "KUBECONFIG": lab.kubeconfig, "HELM_CACHE_HOME": str(tmp_path), "HELM_CONFIG_HOME": str(tmp_path), "HELM_DATA_HOME": str(tmp_path)}

    def helm(*argv):
        return run(CLIENTS / f"helm-{version}", *argv, env=env, timeout=120)

    def message():
        return lab.get("configmap/" + release)["data"]["message"]

    helm("install", release, HERE / "chart", "--wait", "--timeout", "60s", *flags)
    port = lab.get("service/" + release)["spec"]["ports"][0]["nodePort"]
    assert message() == "hello" and len(lab.ready_pods("app=" + release)) == 1
    assert [r["name"] for r in json.loads(helm("list", "-o", "json"))] == [release]
    helm("upgrade", release, HERE / "chart", "--set", "message=bye,replicas=2,port=8080", "--wait", "--timeout", "60s", *flags)
    now = lab.get("service/" + release)["spec"]["ports"][0]
    assert message() == "bye" and (now["port"], now["nodePort"]) == (8080, port), "a node port is kept by its name"
    assert len(lab.ready_pods("app=" + release)) == 2
    helm("rollback", release, "1", "--wait", "--timeout", "60s", *flags)
    assert message() == "hello"
    assert "STATUS: deployed" in helm("status", release)
    assert len(json.loads(helm("history", release, "-o", "json"))) == 3
    helm("uninstall", release, "--wait")
    wait_until("the pods are gone", lambda: not lab.pods("app=" + release))
    assert json.loads(helm("list", "-o", "json")) == []
