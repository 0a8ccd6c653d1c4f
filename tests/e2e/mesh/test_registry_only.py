"""--outbound-traffic-policy=REGISTRY_ONLY: what is for no Service goes nowhere."""
import lab_harness
import pytest
import yaml
from suite import ROOT, wait_until

SYSTEM = "fairlead-system"


@pytest.fixture(scope="module")
def closed(mesh):
    lab = mesh.lab
    control = next(o for o in yaml.safe_load_all((ROOT / "deploy/mesh/mesh.yaml").read_text()) if o["kind"] == "Deployment" and o["metadata"]["name"] == "fairlead-control")
    before = {p["metadata"]["name"] for p in lab.ready_pods("app=fairlead-control", SYSTEM)}
    control["spec"]["template"]["spec"]["containers"][0]["args"].append("--outbound-traffic-policy=REGISTRY_ONLY")
    lab.apply(control)
    wait_until("it is another one", lambda: (now := {p["metadata"]["name"] for p in lab.pods("app=fairlead-control", SYSTEM)}) and not now & before, 40)
    lab.wait_ready("app=fairlead-control", 1, SYSTEM)
    for name in ("alice", "bob"):
        mesh.run(name, probe=False)
    headless = lab_harness.service("db", port=8080, clusterIP="None")
    headless["spec"]["ports"][0]["name"] = "tcp-db"
    lab.apply(lab_harness.echo("db", args=("--name", "db")), headless, lab_harness.echo("outside", args=("--name", "outside")))
    for name in ("db", "outside"):
        lab.wait_ready(f"app={name}", 1)
    return mesh


def ip_of(mesh, app):
    return mesh.lab.ready_pods(f"app={app}")[0]["status"]["podIP"]


def test_services_are_reached_and_nothing_else(closed):
    wait_until("Services are", lambda: closed.curl("alice", "http://bob/", check=False)[0] == 200)
    assert closed.curl("alice", "-H", "host: nobody.test", "http://bob/")[0] == 502
    assert closed.curl("alice", f"http://{ip_of(closed, 'outside')}:8080/", check=False)[0] == 0, "it is a pod of no Service"
    assert "BlackHoleCluster" in closed.admin("alice", "/clusters")


def test_pods_of_headless_services_are_reached(closed):
    wait_until("they are", lambda: closed.curl("alice", f"http://{ip_of(closed, 'db')}:8080/", check=False)[0] == 200)
