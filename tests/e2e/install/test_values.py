"""What `fairlead install` makes of values, without a cluster: none is without effect, none that cannot be is taken. That the objects are Helm's is held by tests/chart."""
import json

import pytest
import yaml

from suite import FAIRLEAD, run
from values_of_chart import ALL_ON, default_values, leaves, others, put


def render(values, *argv, check=True):
    return run(FAIRLEAD, "install", "--render", "-f", "-", *argv, stdin=json.dumps(values), check=check)


def merged(*all_values):
    out = {}
    for values in all_values:
        for name, value in leaves(values):
            put(out, name, value)
    return out


@pytest.mark.parametrize("name, value", list(leaves(default_values())), ids=lambda v: v if isinstance(v, str) else "")
def test_each_value_has_an_effect(name, value):
    """Everything that hangs on something else is on."""
    base = merged(ALL_ON, {} if name.startswith("crds.") else {"crds": {"install": False}})
    if name == "agent.metricsBindAddress":
        put(base, "monitoring.podMonitor.enabled", False)
    before = render(base)
    for other in others(name, value):
        changed = merged(base)
        put(changed, name, other if name not in ("monitoring.podMonitor.enabled", "monitoring.dashboards.enabled", "networkPolicy.enabled", "loadBalancer.enabled", "loadBalancer.bgp.enabled", "mesh.cni.enabled") else False)
        if name == "control.enabled":
            put(changed, "gateway.enabled", False)
            put(changed, "mesh.enabled", False)
        assert render(changed) != before, f"{name}={other}"


def test_files_then_sets(tmp_path):
    """Later ones win, lists are exchanged, null gives nothing where there was a default."""
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("control: {replicas: 3, extraArgs: [--a=1]}\nlogLevel: debug\n")
    second.write_text("control: {replicas: 4, resources: null}\n")
    out = run(FAIRLEAD, "install", "--render", "-f", first, "-f", second, "--set", "control.replicas=5,gateway.replicas=7", "--set-string", "control.nodeSelector.x=1", "--set", "crds.install=false")
    control, gateway = [next(o for o in yaml.safe_load_all(out) if o["kind"] == "Deployment" and o["metadata"]["name"] == f"fairlead-{name}") for name in ("control", "gateway")]
    pod = control["spec"]["template"]["spec"]
    assert control["spec"]["replicas"] == 5 and gateway["spec"]["replicas"] == 7
    assert {"--a=1", "--log-level=debug"} <= set(pod["containers"][0]["args"]) and "resources" not in pod["containers"][0]
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux", "x": "1"}


@pytest.mark.parametrize("argv, says", [
    (["--set", "image.foo=1"], "image.foo: there is no such value"),
    (["--set", "control.replica=1"], "did you mean control.replicas"),
    (["--set", "agent.detectLocalMode=ClusterCIDR"], "agent.clusterCIDR: is not set, and has to be, since agent.detectLocalMode"),
    (["--set", "control.enabled=false"], "mesh.enabled: true has to be false, since control.enabled is false"),
    (["--set", "global.x=1"], "global: nothing here heeds it"),
])
def test_what_cannot_be(argv, says):
    done = run(FAIRLEAD, "install", "--render", *argv, check=False)
    assert done.returncode == 1 and says in done.stderr and "hint: " in done.stderr and not done.stdout


@pytest.mark.parametrize("argv, code, says", [
    (["--set", "a"], 64, '"a": KEY=VALUE'),
    (["--set", "a={b"], 64, "a } is missing"),
    (["-f", "/does/not/exist"], 1, "/does/not/exist"),
])
def test_what_is_no_value(argv, code, says):
    done = run(FAIRLEAD, "install", "--render", *argv, check=False)
    assert done.returncode == code and says in done.stderr


def test_a_file_that_is_no_map():
    assert "not a map of values" in render([1], check=False).stderr
