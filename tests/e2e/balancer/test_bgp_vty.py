"""What the agent says to bgpd, and what it makes of the answers, by a stand-in for its socket. With the real one: test_bgp.py (make bgp)."""
import json
import re

import pytest
import yaml
from l2_stage import Stage
from suite import BIN, FAIRLEAD, run, wait_until
from vty_stand_in import StandIn

AGENT = "system:serviceaccount:fairlead-system:fairlead-agent"
GROUP = 4711
VIEW, UNICAST = "router bgp 64512 view fairlead-64512", "address-family ipv4 unicast"


class VtyStage(Stage):
    """Its agent has the chart's rights and capabilities and no others: it gets to the socket by its group."""

    def prepare(self):
        with open(self.dir / "tokens", "a") as tokens:
            tokens.write(f"agent,{AGENT},2\n")

    def give_rights(self):
        values = {"loadBalancer": {"enabled": True, "bgp": {"enabled": True, "passwordSecrets": ["tor"]}}, "agent": {"apiServer": {"host": "192.0.2.1"}}, "crds": {"install": False}}
        objects = yaml.safe_load_all(run(FAIRLEAD, "install", "--render", "-f", "-", stdin=json.dumps(values)))
        self.roles = [o for o in objects if o and o["kind"] in ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding") and o["metadata"]["name"].startswith("fairlead-agent")]
        for o in self.roles:
            where = f"namespaces/{o['metadata']['namespace']}/" if "namespace" in o["metadata"] else ""
            r = self.cluster.post(f"/apis/rbac.authorization.k8s.io/v1/{where}{o['kind'].lower()}s", o)
            assert r.status == 201, r.body
        config = yaml.safe_load(self.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": "agent"}
        self.kubeconfig.write_text(yaml.dump(config))

    def given(self):
        """(where, group, resource, verb); where None: everywhere."""
        return {(o["metadata"].get("namespace"), g, resource, verb) for o in self.roles if "rules" in o for rule in o["rules"]
                for g in rule["apiGroups"] for resource in rule["resources"] for verb in rule["verbs"]}

    def asked(self):
        """The same -> allowed, of what the agent has asked for."""
        found = {}
        for line in self.cluster.get("/metrics").body.decode().splitlines():
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line)) if line.startswith("fairlead_lab_rights_asked_total{") else {}
            if labels.get("user") == AGENT and "resource" in labels:
                found[labels["namespace"], labels["group"], labels["resource"], labels["verb"]] = labels["allowed"] == "1"
        return found

    def define_pools(self):
        self.give_rights()
        self.cluster.pool("routed", "203.0.113.0/24")
        self.cluster.bgp("BGPPeer", "tor", myASN=64512, peerASN=64513, peerAddress="192.0.2.100")
        self.cluster.bgp("BGPAdvertisement", "all")
        self.bgpd = StandIn(self.dir / "bgpd.vty", GROUP)

    def start_node(self, node):
        node.as_whom = "setpriv", "--bounding-set", "-all,+net_admin,+net_raw", "--groups", str(GROUP)
        node.start(f"--frr-vty-directory={self.dir}")

    def wait_for_agents(self):
        self.cluster.service("web")
        self.endpoints("web", "n1")
        self.ip, = wait_until("it has an address", lambda: self.cluster.ips("web"))

    def networks(self):
        block = self.bgpd.blocks.get(VIEW)
        return sorted(line.split()[1] for line in block.inner.get(UNICAST, []) if line.startswith("network ")) if block else None

    def announced(self, *prefixes):
        wait_until(f"{prefixes} are announced", lambda: self.networks() == sorted(prefixes), 20)

    def metric(self, name):
        return self.nodes["n1"].metric(f'fairlead_agent_frr_{name}{{daemon="bgpd"}}')

    def log(self):
        return (self.dir / "n1.log").read_text()


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    s = VtyStage(tmp_path_factory.mktemp("vty"), nodes=1)
    try:
        yield s
    finally:
        s.close()


def test_what_is_said(stage):
    stage.announced(f"{stage.ip}/32")
    block = stage.bgpd.blocks[VIEW]
    assert block.lines == ["bgp router-id 192.0.2.11", "no bgp default ipv4-unicast", "bgp graceful-restart preserve-fw-state", "no bgp network import-check",
                           "neighbor 192.0.2.100 remote-as 64513", "neighbor 192.0.2.100 description BGPPeer tor", "neighbor 192.0.2.100 timers connect 10"]
    assert stage.bgpd.lists == [f"ip prefix-list fairlead-64512-192.0.2.100-10 permit {stage.ip}/32"]
    said = stage.bgpd.said
    assert said.index(f"ip prefix-list fairlead-64512-192.0.2.100-10 permit {stage.ip}/32") < said.index(f"network {stage.ip}/32")
    stage.endpoints("web", "n1", ready=False)
    stage.announced()
    assert f"no network {stage.ip}/32" in said and not [c for c in said if "no neighbor" in c]
    stage.endpoints("web", "n1")
    stage.announced(f"{stage.ip}/32")


def test_local_only_with_endpoints_here(stage):
    def at(node):
        stage.cluster.put_slice("local", [{"addresses": [stage.nodes["n1"].v4], "nodeName": node, "conditions": {"ready": True}}])
    stage.cluster.service("local", externalTrafficPolicy="Local")
    at("n1")
    local, = wait_until("it has an address", lambda: stage.cluster.ips("local"))
    stage.announced(f"{stage.ip}/32", f"{local}/32")
    at("elsewhere")
    stage.announced(f"{stage.ip}/32")
    stage.cluster.service("local", externalTrafficPolicy="Cluster")
    stage.announced(f"{stage.ip}/32", f"{local}/32")
    stage.cluster.remove("/api/v1/namespaces/default/services/local")
    stage.announced(f"{stage.ip}/32")


def test_a_restart_of_either(stage):
    node = stage.nodes["n1"]
    before = len(stage.bgpd.said)
    node.stop()
    stage.start_node(node)
    wait_until("it has looked", lambda: stage.metric("up") == 1, 20)
    wait_until("it knows what it announces", lambda: f'ip="{stage.ip}"' in node.metrics(), 20)
    assert {c.split()[0] for c in stage.bgpd.said[before:]} <= {"enable", "show"}
    stage.bgpd.stop()
    stage.cluster.told("n1", "BGPDaemonAway", "bgpd of FRR cannot be configured by its socket")
    stage.bgpd.start()
    stage.announced(f"{stage.ip}/32")
    assert stage.metric("losses_total") == 1 and stage.log().count("a daemon of FRR cannot be configured") == 1


def test_a_command_that_is_refused(stage):
    """It is told, what stands in the block that was refused is not said elsewhere, the rest is done, and it is not tried again and again."""
    stage.bgpd.refuse = "^router bgp 64999"
    stage.cluster.bgp("BGPPeer", "other", myASN=64999, peerASN=64513, peerAddress="192.0.2.101", password="wh1sper")
    stage.cluster.told("n1", "BGPConfigurationRefused", 'bgpd of FRR refuses "router bgp 64999 view fairlead-64999": % Unknown command')
    assert not [c for c in stage.bgpd.said if c.startswith("neighbor 192.0.2.101")]
    wait_until("the rest is there", lambda: "route-map fairlead-64999-192.0.2.101 deny 65535" in stage.bgpd.blocks)
    stage.cluster.service("another")
    stage.endpoints("another", "n1")
    other, = wait_until("it has an address", lambda: stage.cluster.ips("another"))
    stage.announced(f"{stage.ip}/32", f"{other}/32")
    assert stage.metric("refused_total") == 2  # when the block has something new, and not else
    assert stage.log().count("a daemon of FRR refuses a command") == 1
    stage.bgpd.refuse = "password"
    stage.cluster.bgp("BGPPeer", "other", myASN=65000, peerASN=64513, peerAddress="192.0.2.101", password="wh1sper")
    stage.cluster.told("n1", "BGPConfigurationRefused", 'refuses "neighbor 192.0.2.101 password (hidden)"')
    assert "wh1sper" not in stage.log() and "neighbor 192.0.2.101 password wh1sper" in stage.bgpd.said
    stage.bgpd.refuse = None
    stage.cluster.forget_bgp("BGPPeer", "other")
    wait_until("it is forgotten", lambda: not any("192.0.2.101" in name or "65000" in name for name in stage.bgpd.blocks))
    stage.cluster.remove("/api/v1/namespaces/default/services/another")
    stage.announced(f"{stage.ip}/32")


@pytest.mark.parametrize("odd", [b"HTTP/1.1 400\0\r\n", b"x\0\0y", b"text\0\0\0\0more\0\0\0\0"])
def test_what_is_no_vty(stage, odd):
    losses = stage.metric("losses_total")
    stage.bgpd.odd = odd
    stage.cluster.service("pushed", annotations={"x": odd.hex()})
    stage.endpoints("pushed", "n1")
    wait_until("it is left", lambda: stage.metric("up") == 0, 40)
    assert stage.metric("losses_total") == losses + 1
    stage.bgpd.odd = None
    wait_until("it is back", lambda: stage.metric("up") == 1, 20)
    stage.cluster.remove("/api/v1/namespaces/default/services/pushed")
    stage.announced(f"{stage.ip}/32")


def test_all_that_the_agent_may_is_needed_and_nothing_is_missing(stage):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tor"}, "type": "kubernetes.io/basic-auth", "data": {"password": "d2gxc3Blcg=="}}
    assert stage.cluster.post("/api/v1/namespaces/fairlead-system/secrets", secret).status == 201
    stage.cluster.bgp("BGPPeer", "tor", myASN=64512, peerASN=64513, peerAddress="192.0.2.100", passwordSecret={"name": "tor"})
    wait_until("it is given to bgpd", lambda: "neighbor 192.0.2.100 password wh1sper" in stage.bgpd.blocks[VIEW].lines, 20)
    rights = stage.given() - {(None, "", "nodes", "get")}  # before a list, where rules hang on the node: not in this mode

    def used():
        return {right for right in rights if any(u[1:] == right[1:] and right[0] in (None, u[0]) for u in stage.asked())}
    wait_until("each right is used", lambda: used() == rights, 20)
    assert [u for u, allowed in stage.asked().items() if not allowed] == []
    # Another Secret of that namespace is not to be seen, and the peer that names it is told.
    stage.cluster.bgp("BGPPeer", "sly", myASN=64512, peerASN=64513, peerAddress="192.0.2.102", passwordSecret={"name": "another"})
    stage.cluster.told("sly", "InvalidBGPPeer", "spec.passwordSecret.name: the Secret another is not there", ns="fairlead-system")
    wait_until("it was refused", lambda: "the Secret of a BGPPeer cannot be watched" in stage.log())
    stage.cluster.forget_bgp("BGPPeer", "sly")
    stage.cluster.bgp("BGPPeer", "tor", myASN=64512, peerASN=64513, peerAddress="192.0.2.100", passwordSecret=None)


def test_cleanup_takes_out_ours_alone(stage):
    node = stage.nodes["n1"]
    assert node.stop() == 0
    assert stage.networks() == [f"{stage.ip}/32"]  # the kernel goes on serving it
    stage.bgpd.answer("router bgp 65099", ["config"])
    stage.bgpd.lists.append("ip prefix-list mine permit any")
    with node.inside():
        run(BIN / "fairlead-agent", "--cleanup", f"--frr-vty-directory={stage.dir}")
    assert list(stage.bgpd.blocks) == ["router bgp 65099"] and stage.bgpd.lists == ["ip prefix-list mine permit any"]
    stage.bgpd.stop()
    with node.inside():
        run(BIN / "fairlead-agent", "--cleanup", f"--frr-vty-directory={stage.dir}")  # nobody there: nothing to take out
    stage.bgpd.start()
    stage.start_node(node)
    stage.announced(f"{stage.ip}/32")
