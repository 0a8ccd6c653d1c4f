"""Rules made by the node (fairlead-cni): in a lab whose pods have no right to make them, and by the plugin as a container runtime calls it."""
import json
import os
import pathlib
import subprocess
import uuid

import lab_harness
import pytest
from suite import wait_until

BIN = pathlib.Path(os.environ["FAIRLEAD_BIN"])
LABEL = {"istio-injection": "enabled"}
STRICT = {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "default", "namespace": "shop"}, "spec": {"mtls": {"mode": "STRICT"}}}


def in_shop(o):
    o["metadata"]["namespace"] = "shop"
    return o


@pytest.fixture(scope="module")
def lab():
    for lab in lab_harness.running(lab_harness.Lab(), "--mesh", "--cni"):
        lab.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": LABEL}}, STRICT)
        wait_until("the webhook is there", lambda: lab.get("mutatingwebhookconfiguration/fairlead-sidecar-injector")["webhooks"][0]["clientConfig"].get("caBundle"), 30)
        cart, asks = lab_harness.echo("cart", args=("--name", "cart")), lab_harness.echo("asks")
        asks["spec"]["template"]["metadata"].setdefault("annotations", {})["proxy.istio.io/config"] = '{"proxyMetadata": {"ISTIO_META_DNS_CAPTURE": "true"}}'
        lab.apply(in_shop(cart), in_shop(lab_harness.service("cart")), in_shop(asks), lab_harness.echo("outside"))
        lab.wait_ready("app=cart", 1, "shop")
        lab.wait_ready("app=asks", 1, "shop")
        lab.wait_ready("app=outside", 1)
        yield lab


def test_pods_have_no_right_and_rules_all_the_same(lab):
    for pod in lab.pods("app", "shop"):
        spec = pod["spec"]
        assert [c["name"] for c in spec["initContainers"]] == ["istio-validation", "istio-proxy"]
        for c in spec["initContainers"] + spec["containers"]:
            assert "add" not in c.get("securityContext", {}).get("capabilities", {}), c["name"]
        assert spec["initContainers"][0]["securityContext"]["runAsUser"] == 1337 and spec["initContainers"][0]["securityContext"]["runAsNonRoot"]
    name = lab.ready_pods("app=asks", "shop")[0]["metadata"]["name"]
    assert "cart" in lab.fairlead("exec", "-n", "shop", name, "-c", "echo", "--", "curl", "-sf", "-m", "10", "http://cart/")
    outside = lab.ready_pods("app=outside")[0]["metadata"]["name"]
    refused = lab.fairlead("exec", outside, "--", "curl", "-s", "-m", "5", "http://cart.shop/", check=False)
    assert refused.returncode != 0, "STRICT: what comes in goes through the proxy"
    stats = lab.fairlead("exec", "-n", "shop", name, "-c", "istio-proxy", "--", "/run/fairlead/bin/fairlead-proxy", "request", "GET", "/stats?filter=outbound.*cart.*upstream_rq_total")
    assert int(stats.rsplit(":", 1)[1]) >= 1, "and what goes out"


def test_names_are_the_proxys_to_answer(lab):
    """Nobody who makes rules from outside knows whom the pod asks."""
    name = lab.ready_pods("app=asks", "shop")[0]["metadata"]["name"]
    table = subprocess.run(["ip", "netns", "exec", lab.netns(lab.pod_netns(name, "shop")), "nft", "list", "table", "ip", "fairlead-interception"], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "udp dport 53 redirect to :15053" in table.replace("meta l4proto udp ", "").replace("th dport", "udp dport"), table
    # Known to the proxy alone: an address that no DNS server gives.
    lab.apply({"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": "far", "namespace": "shop"}, "spec": {
        "hosts": ["far.example"], "addresses": ["240.99.0.1"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}], "location": "MESH_INTERNAL", "resolution": "STATIC",
        "endpoints": [{"address": lab.ready_pods("app=cart", "shop")[0]["status"]["podIP"], "ports": {"http": 8080}, "labels": {"security.istio.io/tlsMode": "istio"}}]}})
    wait_until("it is known", lambda: "cart" in lab.fairlead("exec", "-n", "shop", name, "-c", "echo", "--", "curl", "-s", "-m", "5", "http://far.example/", check=False).stdout, 20)


def test_cni_without_mesh_is_refused():
    done = subprocess.run([BIN / "fairlead", "lab", "up", "--cni"], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 64 and "--cni has no effect without --mesh" in done.stderr


# ---- the plugin as a container runtime calls it ----

CONFLIST = {"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "bridge", "bridge": "cni0"}, {"type": "portmap", "capabilities": {"portMappings": True}}]}
RESULT = {"cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "sandbox": "/x"}], "ips": [{"address": "10.1.2.3/24", "interface": 0}], "dns": {}}


class Node:
    """fairlead-cni-node with directories of its own, and a runtime's calls."""

    def __init__(self, lab, path, netns):
        self.lab, self.path, self.netns = lab, path, netns
        (path / "bin").mkdir()
        (path / "net.d").mkdir()
        self.list = path / "net.d/10-net.conflist"
        self.list.write_text(json.dumps(CONFLIST))
        self.flags = ["--cni-bin-dir", path / "bin", "--cni-conf-dir", path / "net.d", "--socket", path / "run/socket"]
        self.process = None

    def start(self, *flags):
        self.flags += flags
        self.process = subprocess.Popen([BIN / "fairlead-cni-node", "--node-name", "ghost", *self.flags], env=os.environ | self.lab.client_env, stderr=(self.path / "log").open("a"))
        wait_until("it is ready", lambda: self.run("--check").returncode == 0, 20)

    def run(self, *flags):
        return subprocess.run([BIN / "fairlead-cni-node", *self.flags, *flags], stderr=subprocess.PIPE, text=True)

    def stop(self):
        if self.process:
            self.process.terminate()
            assert self.process.wait(20) == 0
            self.process = None

    def entry(self):
        return [p for p in json.loads(self.list.read_text())["plugins"] if p["type"] == "fairlead-cni"]

    def call(self, command, pod, ns="shop", **config):
        entry = self.entry()[0] | {"name": "net", "cniVersion": "1.0.0", "prevResult": RESULT} | config
        env = {"CNI_COMMAND": command, "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0", "CNI_PATH": str(self.path / "bin"), "CNI_NETNS": f"/run/netns/{self.netns}",
               "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE={ns};K8S_POD_NAME={pod};K8S_POD_INFRA_CONTAINER_ID=c1"}
        done = subprocess.run([self.path / "bin/fairlead-cni"], input=json.dumps({k: v for k, v in entry.items() if v is not None}), env=env | {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return done.returncode, json.loads(done.stdout or "null")

    def rules(self):
        done = subprocess.run(["ip", "netns", "exec", self.netns, "nft", "list", "table", "ip", "fairlead-interception"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return done.stdout if done.returncode == 0 else None

    def no_rules(self):
        subprocess.run(["ip", "netns", "exec", self.netns, "nft", "delete", "table", "ip", "fairlead-interception"], check=True)


@pytest.fixture
def node(lab, tmp_path):
    netns = "cni-" + uuid.uuid4().hex[:8]
    subprocess.run(["ip", "netns", "add", netns], check=True)
    subprocess.run(["ip", "-n", netns, "link", "set", "lo", "up"], check=True)
    node = Node(lab, tmp_path, netns)
    try:
        yield node
        node.stop()
    finally:
        if node.process:
            node.process.kill()
            node.process.wait()
        subprocess.run(["ip", "netns", "del", netns], check=True)


@pytest.fixture
def pod(lab):
    """What is injected, on no node; and one that is not."""
    made = []

    def make(ns="shop", **annotations):
        name = "p-" + uuid.uuid4().hex[:8]
        lab.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": ns, "annotations": annotations},
                   "spec": {"nodeSelector": {"nowhere": "true"}, "containers": [{"name": "c", "image": "busybox"}]}})
        made.append((ns, name))
        return name
    yield make
    for ns, name in made:
        lab.fairlead("delete", "-n", ns, f"pod/{name}")


def test_a_pod_of_the_mesh_gets_the_rules_it_asks_for(node, pod):
    node.start()
    name = pod(**{"traffic.sidecar.istio.io/excludeInboundPorts": "9100", "traffic.sidecar.istio.io/excludeOutboundIPRanges": "10.9.0.0/16"})
    code, result = node.call("ADD", name)
    assert code == 0 and result == RESULT, "what those before have made is handed on"
    rules = node.rules()
    assert "dport 9100 return" in rules and "10.9.0.0/16" in rules and "redirect to :15006" in rules
    assert node.call("CHECK", name)[0] == 0
    node.no_rules()
    code, result = node.call("CHECK", name)
    assert code == 1 and result["code"] == 100 and result["details"] == "its rules are gone"
    assert node.call("ADD", name, cniVersion="0.3.1")[1] == RESULT | {"cniVersion": "0.3.1"}
    for command in ("DEL", "GC", "STATUS"):
        assert node.call(command, name) == (0, None)


def test_others_are_left_alone(node, pod):
    node.start("--exclude-namespaces", "shop")
    outside, excluded = pod("default"), pod("shop")
    for name, ns in ((outside, "default"), (excluded, "shop"), ("unknown", "default")):
        assert node.call("ADD", name, ns) == (0, RESULT) and node.rules() is None, (name, ns)
        assert node.call("CHECK", name, ns)[0] == 0
    assert node.call("ADD", outside, "", prevResult=RESULT | {"x": 1})[1] == RESULT | {"x": 1}


def test_what_is_wrong_is_said_in_cnis_words(node, pod, lab):
    node.start()
    name = pod()
    for config, code, words in (({"prevResult": None}, 7, "behind the plugin that makes the pod's network"), ({"cniVersion": "9.9.9"}, 1, "'9.9.9'"), ({"prevResult": 3}, 7, "prevResult")):
        done, result = node.call("ADD", name, **config)
        assert done == 1 and result["code"] == code and words in result["details"] and node.rules() is None, (config, result)
    assert node.call("PAINT", name)[1]["code"] == 4
    bad = pod("default")
    lab.fairlead("delete", f"pod/{bad}")
    lab.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": bad}, "spec": {"nodeSelector": {"nowhere": "true"}, "containers": [{"name": "c", "image": "busybox"}],
               "initContainers": [{"name": "istio-validation", "image": "fairlead/proxy", "args": ["interception", "--check", "--inbound-ports", "none"]}]}})
    code, result = node.call("ADD", bad, "default")
    assert code == 1 and result["code"] == 100 and "--inbound-ports: 'none' is no port" in result["details"] and node.rules() is None


def test_while_its_node_is_away_pods_start_and_see_it_themselves(node, pod):
    node.start()
    name = pod()
    node.stop()
    (node.path / "run/socket").unlink(missing_ok=True)
    assert node.call("ADD", name) == (0, RESULT) and node.rules() is None
    check = [BIN / "fairlead-proxy", "interception", "--check"]
    done = subprocess.run(["ip", "netns", "exec", node.netns, "setpriv", "--reuid", "1337", "--regid", "1337", "--clear-groups", *check], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 126 and "is not led to its proxy" in done.stderr
    node.start()
    assert node.call("ADD", name)[0] == 0
    done = subprocess.run(["ip", "netns", "exec", node.netns, "setpriv", "--reuid", "1337", "--regid", "1337", "--clear-groups", *check], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr


def test_the_network_keeps_our_entry(node):
    assert node.run("--check").returncode == 1
    node.start()
    before = json.loads(node.list.read_text())
    assert [p["type"] for p in before["plugins"]] == ["bridge", "portmap", "fairlead-cni"] and before["plugins"][:2] == CONFLIST["plugins"]
    assert os.access(node.path / "bin/fairlead-cni", os.X_OK) and (node.path / "run/socket").stat().st_mode & 0o777 == 0o600
    more = CONFLIST | {"plugins": CONFLIST["plugins"] + before["plugins"][2:] + [{"type": "tuning"}]}
    for other in (CONFLIST, more):  # whoever writes the list anew, ours is the last again
        node.list.write_text(json.dumps(other))
        wait_until("the entry is back", lambda: [p["type"] for p in json.loads(node.list.read_text())["plugins"]][-1] == "fairlead-cni", 15)
    ours = (node.path / "bin/fairlead-cni").read_bytes()
    (node.path / "bin/fairlead-cni").write_bytes(b"another")
    wait_until("the program is back", lambda: (node.path / "bin/fairlead-cni").read_bytes() == ours, 15)
    node.stop()
    assert node.entry(), "who is exchanged leaves it to his successor"
    assert node.run("--cleanup").returncode == 0
    assert not node.entry() and not (node.path / "bin/fairlead-cni").exists()


def test_networks_that_cannot_be_chained_are_told_of(node):
    node.list.unlink()
    done = node.run("--check")
    assert done.returncode == 1
    (node.path / "run").mkdir()
    (node.path / "run/socket").touch()
    assert "has no list of plugins yet" in node.run("--check").stderr
    (node.path / "net.d/05-one.conf").write_text('{"type": "bridge"}')
    assert "is one plugin and no list" in node.run("--check").stderr
    (node.path / "net.d/01-broken.conflist").write_text("{")
    assert "01-broken.conflist" in node.run("--check").stderr
    (node.path / "run/socket").unlink()


def test_gone_for_good_with_its_daemon_set(node):
    node.start("--daemon-set", "fairlead-system/fairlead-cni")
    node.stop()
    assert not node.entry() and not (node.path / "bin/fairlead-cni").exists()
    node.lab.apply({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "fairlead-cni", "namespace": "fairlead-system"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"nodeSelector": {"nowhere": "true"}, "containers": [{"name": "c", "image": "busybox"}]}}}})
    node.start("--daemon-set", "fairlead-system/fairlead-cni")
    node.stop()
    assert node.entry()
    node.lab.fairlead("delete", "-n", "fairlead-system", "daemonset/fairlead-cni")


def test_who_has_started_without_is_made_anew(node, lab):
    """On a node that is there by name alone, whose pods' ends we tell."""
    lab.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "ghost"}})
    of_set = in_shop(lab_harness.echo("lost"))
    of_set["spec"]["template"]["spec"]["nodeName"] = "ghost"
    alone = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "alone", "namespace": "shop"}, "spec": {"nodeName": "ghost", "containers": [{"name": "c", "image": "busybox"}]}}
    lab.apply(of_set, alone)
    first = wait_until("the pod is made", lambda: lab.pods("app=lost", "shop"))[0]["metadata"]
    node.start()
    ended = {"status": {"phase": "Pending", "initContainerStatuses": [{"name": "istio-validation", "image": "x", "imageID": "", "ready": False, "restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                                                                        "lastState": {"terminated": {"exitCode": 126, "reason": "Error"}}}]}}
    for name in (first["name"], "alone"):
        lab.patch(f"/api/v1/namespaces/shop/pods/{name}/status", ended)
    lab.patch(f"/api/v1/namespaces/shop/pods/{first['name']}", {"metadata": {"finalizers": None}})

    def is_on_its_way():
        pods = {p["metadata"]["uid"]: p for p in lab.pods("app=lost", "shop")}
        return first["uid"] not in pods or pods[first["uid"]]["metadata"].get("deletionTimestamp")
    wait_until("it is deleted", is_on_its_way, 30)
    wait_until("and told of", lambda: len([e for e in lab.get("events", "-n", "shop")["items"] if e["reason"] == "NotIntercepted"]) == 2, 20)
    assert not lab.get("pod/alone", "-n", "shop")["metadata"].get("deletionTimestamp"), "nobody would make it again"
    lab.fairlead("delete", "-n", "shop", "deploy/lost")
    lab.raw("/api/v1/namespaces/shop/pods/alone?gracePeriodSeconds=0", "DELETE")
    lab.fairlead("delete", "node/ghost")
