"""What the agent says to bgpd, and what it makes of the answers, by a stand-in for its socket. With the real one: test_bgp.py (make bgp)."""
import pytest
from l2_stage import Stage
from suite import BIN, run, wait_until
from vty_stand_in import StandIn

VIEW, UNICAST = "router bgp 64512 view fairlead-64512", "address-family ipv4 unicast"


class VtyStage(Stage):
    def define_pools(self):
        self.cluster.pool("routed", "203.0.113.0/24")
        self.cluster.bgp("BGPPeer", "tor", myASN=64512, peerASN=64513, peerAddress="192.0.2.100")
        self.cluster.bgp("BGPAdvertisement", "all")
        self.bgpd = StandIn(self.dir / "bgpd.vty")

    def start_node(self, node):
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
