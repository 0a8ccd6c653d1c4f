"""Machines that are no pods: their proxies register them by a WorkloadGroup, and they are called as long as they are there."""
import json
import os
import subprocess

import lab_harness
import pytest
import sidecar
import yaml
from suite import BIN, ECHO, ROOT, SLOW, wait_until

SYSTEM = "fairlead-system"
PORT, READY_PORT = 18080, 18081


class Machine:
    """An app in a node's network, and its proxy, which says what it is."""

    def __init__(self, mesh, directory, account="vm", **metadata):
        self.mesh, self.lab, self.dir, self.account = mesh, mesh.lab, directory, account
        self.ip = mesh.lab.node_address("node-1", "InternalIP")
        self.metadata, self.process = metadata, None

    def start(self, port=15012, ip=None, audience="fairlead-control"):
        deployed = yaml.safe_load(self.lab.get("cm/fairlead-gateway", "-n", SYSTEM)["data"]["bootstrap.yaml"])
        cluster = deployed["static_resources"]["clusters"][0]
        cluster["transport_socket"]["typed_config"]["common_tls_context"]["validation_context"]["trusted_ca"] = {"inline_string": self.mesh.root}
        cluster["type"] = "STATIC"
        where = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
        where["address"], where["port_value"] = self.lab.ready_pods("app=fairlead-control", SYSTEM)[0]["status"]["podIP"], port
        deployed.pop("admin", None)
        deployed["node"] = {"id": f"sidecar~{ip or self.ip}~vm-1.default~default.svc.cluster.local", "cluster": "vm.default", "metadata": {"NAMESPACE": "default", **self.metadata},
                            "locality": {"region": "r", "zone": "z"}}
        (self.dir / "bootstrap.yaml").write_text(yaml.safe_dump(deployed))
        (self.dir / "token").write_text(self.lab.token(self.account, "default", audience))
        self.process = subprocess.Popen(["ip", "netns", "exec", self.lab.netns("node-1"), str(BIN / "fairlead-proxy"), "-c", str(self.dir / "bootstrap.yaml"),
                                         "--xds-token-file", str(self.dir / "token")], stderr=open(self.dir / "log", "w"))
        return self

    def start_sidecar(self, **env):
        """As on a machine: by the environment. Its control plane is known by a name, which is in its /etc/hosts."""
        control = self.lab.ready_pods("app=fairlead-control", SYSTEM)[0]["status"]["podIP"]
        (self.dir / "hosts").write_text(f"127.0.0.1 localhost\n{control} fairlead-control.{SYSTEM}.svc\n")
        (self.dir / "root.pem").write_text(self.mesh.root)
        (self.dir / "token").write_text(self.lab.token(self.account, "default", "istio-ca"))
        proxy = [str(BIN / "fairlead-proxy"), "--sidecar", f"--control=fairlead-control.{SYSTEM}.svc:15012", f"--control-root={self.dir}/root.pem", f"--xds-token-file={self.dir}/token"]
        self.process = subprocess.Popen(["ip", "netns", "exec", self.lab.netns("node-1"), "sh", "-c", f'mount --bind {self.dir}/hosts /etc/hosts && exec "$@"', "sh", *proxy],
                                        env=dict(os.environ, POD_NAME="vm-1", POD_NAMESPACE="default", POD_IP=self.ip, ISTIO_META_AUTO_REGISTER_GROUP="vms", **env),
                                        stderr=open(self.dir / "log", "w"))
        return self

    def says(self, words):
        wait_until(f"it says {words}", lambda: words in (self.dir / "log").read_text(), 20 * SLOW)

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()
        self.process = None


@pytest.fixture(scope="module")
def place(mesh):
    lab = mesh.lab
    for crd in ("workloadgroups", "workloadentries", "serviceentries"):
        lab.fairlead("apply", "-f", ROOT / f"deploy/crds/networking.{crd}.yaml")
    for name in ("vm", "other"):
        lab.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}})
    lab.apply(sidecar.beside(lab_harness.echo("alice", args=("--name", "alice"), probe=False)))
    lab.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "machines"}, "spec": {"selector": {"machine": "yes"}, "ports": [{"name": "http", "port": 80, "targetPort": PORT}]}})
    lab.apply({"apiVersion": "networking.istio.io/v1", "kind": "WorkloadGroup", "metadata": {"name": "vms", "namespace": "default"},
               "spec": {"metadata": {"labels": {"machine": "yes"}}, "template": {"serviceAccount": "vm", "ports": {"http": PORT}}}})
    lab.wait_ready("app=alice", 1)
    app = subprocess.Popen(["ip", "netns", "exec", lab.netns("node-1"), ECHO, "--http", str(PORT), "--name", "machine"], stderr=subprocess.DEVNULL)
    yield mesh
    app.terminate()
    app.wait()


@pytest.fixture
def machine(place, tmp_path):
    made = []

    def make(account="vm", **metadata):
        made.append(Machine(place, tmp_path, account, **metadata))
        return made[-1]
    yield make
    for m in made:
        m.stop()
    for e in entries(place.lab):
        place.lab.delete(f"workloadentry/{e['metadata']['name']}")


def entries(lab):
    return lab.get("workloadentries.networking.istio.io")["items"]


def answer(place):
    status, body = place.curl("alice", "http://machines/", check=False)
    return json.loads(body)["name"] if status == 200 else status


def test_a_machine_comes_and_goes(place, machine):
    wait_until("nobody is there", lambda: answer(place) == 503, 30)
    m = machine(AUTO_REGISTER_GROUP="vms", LABELS={"rack": "7"}).start()
    entry = wait_until("it is registered", lambda: entries(place.lab), 20)[0]
    meta, spec = entry["metadata"], entry["spec"]
    control = place.lab.ready_pods("app=fairlead-control", SYSTEM)[0]["metadata"]["name"]
    assert meta["name"] == f"vms-{m.ip}" and meta["labels"] == {"machine": "yes", "rack": "7"} == spec["labels"]
    assert {k: v for k, v in meta["annotations"].items() if k != "istio.io/connectedAt"} == {"istio.io/autoRegistrationGroup": "vms", "istio.io/workloadController": control}
    assert [(o["kind"], o["name"], o["controller"]) for o in meta["ownerReferences"]] == [("WorkloadGroup", "vms", True)]
    assert (spec["address"], spec["serviceAccount"], spec["ports"], spec["locality"]) == (m.ip, "vm", {"http": PORT}, "r/z")
    wait_until("it is called", lambda: answer(place) == "machine", 30)
    rows = json.loads(place.lab.fairlead("proxy-status", "-o", "json"))
    assert [r["name"] for r in rows if r["name"].startswith("vm-1")] == ["vm-1.default"]
    m.stop()
    gone = wait_until("it has left", lambda: [e for e in entries(place.lab) if "istio.io/disconnectedAt" in e["metadata"]["annotations"]], 20)[0]
    assert "istio.io/connectedAt" not in gone["metadata"]["annotations"]
    assert answer(place) == "machine", "for ten seconds it may come again"
    m.start()
    wait_until("it is back", lambda: [e for e in entries(place.lab) if "istio.io/connectedAt" in e["metadata"]["annotations"]], 20)
    m.stop()
    wait_until("it has gone for good", lambda: not entries(place.lab), 40)
    wait_until("nobody is called", lambda: answer(place) == 503, 30)


def test_who_may_not(place, machine):
    def refused(words, account="vm", **how):
        group = how.pop("group", "vms")
        m = machine(account, AUTO_REGISTER_GROUP=group).start(**how)
        m.says(words)
        m.stop()
    refused("WorkloadGroup default/vms is for service account vm", account="other")
    refused("there is no WorkloadGroup default/none", group="none")
    refused("is not valid, or not meant for", audience="another")
    refused("that address is one of pod default/alice", ip=place.lab.ready_pods("app=alice")[0]["status"]["podIP"])
    refused("a workload has an address that others reach", ip="127.0.0.1")
    assert entries(place.lab) == []


def test_one_that_is_unwell_is_not_called(place, machine):
    """Its agent asks the app and tells, which the entry says; before it has told it is not well."""
    m = machine(AUTO_REGISTER_GROUP="vms", PROXY_CONFIG={"readinessProbe": {"httpGet": {"port": PORT}}}).start()
    entry = wait_until("it is registered", lambda: entries(place.lab), 20)[0]
    assert entry["metadata"]["annotations"]["proxy.istio.io/health-checks-enabled"] == "true"

    def told(status):
        place.lab.patch(f"/apis/networking.istio.io/v1/namespaces/default/workloadentries/vms-{m.ip}/status", {"status": {"conditions": [{"type": "Healthy", "status": status}]}})
    told("True")
    wait_until("it is called", lambda: answer(place) == "machine", 30)
    told("False")
    wait_until("it is not called", lambda: answer(place) == 503, 30)


def test_its_proxy_asks_the_app_and_tells(place, machine):
    def start_app():
        return subprocess.Popen(["ip", "netns", "exec", place.lab.netns("node-1"), ECHO, "--http", str(READY_PORT), "--name", "ready"], stderr=subprocess.DEVNULL)

    def condition():
        found = [c for e in entries(place.lab) for c in e.get("status", {}).get("conditions", []) if c["type"] == "Healthy"]
        return found[0] if found else {"status": "Unknown"}
    probe = {"readinessProbe": {"tcpSocket": {"port": READY_PORT}, "periodSeconds": 1, "failureThreshold": 2}}
    machine().start_sidecar(PROXY_CONFIG=json.dumps(probe))
    entry = wait_until("it is registered", lambda: entries(place.lab), 30)[0]
    assert entry["metadata"]["annotations"]["proxy.istio.io/health-checks-enabled"] == "true"
    unwell = wait_until("it is not well", lambda: (lambda c: c if c["status"] == "False" else None)(condition()), 20)
    assert unwell["message"] and unwell["lastProbeTime"]
    assert answer(place) == 503
    app = start_app()
    try:
        wait_until("it is well", lambda: condition()["status"] == "True", 20)
        wait_until("it is called", lambda: answer(place) == "machine", 30)
    finally:
        app.terminate()
        app.wait()
    wait_until("it is not well again", lambda: condition()["status"] == "False", 20)
    wait_until("it is not called", lambda: answer(place) == 503, 30)
