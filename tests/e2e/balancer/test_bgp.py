"""Addresses announced by BGP with the real FRR of Debian: `make bgp`. Without it in PEERS there is only test_bgp_vty.py."""
import json

import frr
import pytest
from suite import BIN, FAIRLEAD, run, wait_until

pytestmark = pytest.mark.skipif(not frr.is_there(), reason="make bgp fetches FRR")
if frr.is_there():
    from bgp_stage import BgpStage


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    s = BgpStage(tmp_path_factory.mktemp("bgp"))
    try:
        yield s
    finally:
        s.close()


def log_of(stage, node):
    return (stage.dir / f"{node}.log").read_text()


def test_both_families_by_all_nodes(stage):
    v4, v6 = stage.serve("both", ipFamilyPolicy="RequireDualStack")
    for ip in (v4, v6):
        stage.routed_to(ip, *stage.nodes)
        assert {wait_until("an endpoint answers", lambda ip=ip: stage.client.ask(ip)) for _ in range(60)} == set(stage.nodes)
    n = stage.nodes["n1"]
    for name in stage.nodes:
        stage.cluster.told("both", "nodeAssigned", f'announcing from node "{name}" with protocol "bgp"')
    described = run(FAIRLEAD, "describe", "svc/both", f"--kubeconfig={stage.cluster.kubeconfig()}").splitlines()[1]
    assert described.startswith(f"  address {v4}, {v6} of pool routed, told to routers by ") and set(described.rsplit(" by ")[1].split(", ")) == set(stage.nodes)
    held = n.metrics()
    assert f'metallb_speaker_announced{{ip="{v4}",node="n1",protocol="bgp",service="default/both"}} 1' in held
    wait_until("sessions are told", lambda: n.metric(f'metallb_bgp_session_up{{peer="{stage.client.v4}"}}') == 1, 30)
    assert n.metric(f'metallb_bgp_announced_prefixes_total{{peer="{stage.client.v6}"}}') >= 1
    stage.cluster.remove("/api/v1/namespaces/default/services/both")
    for ip in (v4, v6):
        stage.routed_to(ip)


def test_no_endpoints_no_route(stage):
    ip, = stage.serve("empty")
    stage.routed_to(ip, *stage.nodes)
    stage.endpoints("empty", *stage.nodes, ready=False)
    stage.routed_to(ip)
    stage.endpoints("empty", "n2")
    stage.routed_to(ip, *stage.nodes)


def test_local_only_from_nodes_with_endpoints(stage):
    ip, = stage.serve("local", "n1", "n3", externalTrafficPolicy="Local")
    stage.routed_to(ip, "n1", "n3")
    assert {wait_until("an endpoint answers", lambda: stage.client.ask(ip)) for _ in range(40)} == {"n1", "n3"}
    stage.endpoints("local", "n2")
    stage.routed_to(ip, "n2")
    assert wait_until("its own endpoint answers", lambda: stage.client.ask(ip)) == "n2"


def test_excluded_nodes_and_selectors(stage):
    ip, = stage.serve("picky")
    node, label = "/api/v1/nodes/n1", "node.kubernetes.io/exclude-from-external-load-balancers"
    stage.routed_to(ip, *stage.nodes)
    stage.cluster.patch(node, {"metadata": {"labels": {label: ""}}})
    stage.routed_to(ip, "n2", "n3")
    stage.cluster.patch(node, {"metadata": {"labels": {label: None}}})
    stage.routed_to(ip, *stage.nodes)
    stage.cluster.bgp("BGPAdvertisement", "all", nodeSelectors=[{"matchLabels": {"kubernetes.io/hostname": "n3"}}])
    stage.routed_to(ip, "n3")
    stage.cluster.bgp("BGPAdvertisement", "all", nodeSelectors=None, peers=["nobody"])
    stage.routed_to(ip)
    stage.cluster.bgp("BGPAdvertisement", "all", peers=None, ipAddressPools=["another"])
    stage.routed_to(ip)
    stage.cluster.bgp("BGPAdvertisement", "all", ipAddressPools=None)
    stage.routed_to(ip, *stage.nodes)


def test_communities_and_aggregates(stage):
    ip, = stage.serve("marked")
    n1 = stage.nodes["n1"]
    stage.cluster.bgp("Community", "names", communities=[{"name": "gold", "value": "64512:9"}])
    stage.cluster.bgp("BGPAdvertisement", "all", communities=["gold", "65535:65281", "large:64512:1:2"])
    wait_until("the router sees them", lambda: (p := stage.path(ip, n1)) and p.get("community", {}).get("string") == "64512:9 no-export"
               and p.get("largeCommunity", {}).get("string") == "64512:1:2", 30)
    stage.cluster.bgp("BGPAdvertisement", "wide", aggregationLength=25)
    stage.routed_to("203.0.113.0/25", *stage.nodes)
    assert not stage.path("203.0.113.0/25", n1).get("community")
    stage.cluster.forget_bgp("BGPAdvertisement", "wide")
    stage.routed_to("203.0.113.0/25")
    stage.cluster.bgp("BGPAdvertisement", "wide", aggregationLength=16)
    stage.cluster.told("wide", "InvalidBGPAdvertisement", "spec.aggregationLength: 203.0.0.0/16 reaches beyond a range of pool routed", ns="fairlead-system")
    stage.cluster.forget_bgp("BGPAdvertisement", "wide")
    stage.cluster.bgp("BGPAdvertisement", "all", communities=None)
    wait_until("they are gone", lambda: (p := stage.path(ip, n1)) and not p.get("community") and not p.get("largeCommunity"), 30)
    stage.routed_to(ip, *stage.nodes)


def test_local_preference_within_an_as(stage):
    """A second router, of the nodes' own AS."""
    from l2_stage import Namespace
    ip, = stage.serve("preferred")
    inner = Namespace(stage, "inner", 101)
    stage.everybody.append(inner)
    router = stage.daemons(inner, "bgpd")
    router.configure("router bgp 64512", "bgp router-id 192.0.2.101", "neighbor nodes peer-group", "neighbor nodes remote-as 64512", "bgp listen range 192.0.2.0/24 peer-group nodes", "exit")
    stage.peer("inner", inner.v4, peerASN=64512)
    stage.cluster.bgp("BGPAdvertisement", "inner", peers=["inner"], localPref=321)
    stage.cluster.bgp("BGPAdvertisement", "all", peers=["tor", "tor6"])

    def seen():
        return {p.get("locPrf") for p in json.loads(router.say(f"show bgp ipv4 unicast {ip} json")).get("paths", [])}
    wait_until("it sees it", lambda: seen() == {321}, 40)
    stage.cluster.forget_bgp("BGPPeer", "inner")
    stage.cluster.forget_bgp("BGPAdvertisement", "inner")
    stage.cluster.bgp("BGPAdvertisement", "all", peers=None)
    wait_until("it is forgotten", lambda: not seen(), 40)
    assert "192.0.2.101" not in stage.nodes["n1"].frr.config()
    stage.routed_to(ip, *stage.nodes)


def test_passwords(stage):
    secrets = "/api/v1/namespaces/fairlead-system/secrets"

    def secret(password, type_="kubernetes.io/basic-auth"):
        stage.cluster.delete(f"{secrets}/tor")
        r = stage.cluster.post(secrets, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tor"}, "type": type_, "stringData": {"password": password, "username": "x"}})
        assert r.status == 201, r.body

    ip, = stage.serve("secret")
    stage.routed_to(ip, *stage.nodes)
    stage.peer("tor", stage.client.v4, passwordSecret={"name": "tor"})
    stage.cluster.told("tor", "InvalidBGPPeer", "spec.passwordSecret.name: the Secret tor is not there", ns="fairlead-system")
    stage.routed_to(ip)
    secret("wh1sper")
    wait_until("it is given to bgpd", lambda: "neighbor 192.0.2.100 password wh1sper" in stage.nodes["n1"].frr.config(), 20)
    stage.routed_to(ip)  # the router wants none
    stage.router.configure("router bgp 64513", "neighbor nodes password wh1sper", "exit")
    stage.routed_to(ip, *stage.nodes, timeout=60)
    secret("an0ther")
    wait_until("the new one is given", lambda: "password an0ther" in stage.nodes["n1"].frr.config(), 20)
    stage.peer("tor", stage.client.v4, passwordSecret=None)
    wait_until("it is gone", lambda: "password" not in stage.nodes["n1"].frr.config(), 20)
    stage.restart_router()
    stage.sessions_are_up()
    stage.routed_to(ip, *stage.nodes, timeout=60)
    events = json.dumps(stage.cluster.get("/api/v1/events").json)
    for text in [log_of(stage, n) for n in stage.nodes] + [events, stage.nodes["n1"].metrics()]:
        assert "wh1sper" not in text and "an0ther" not in text


def test_a_wrong_peer_is_refused_by_name(stage):
    stage.cluster.bgp("BGPPeer", "wrong", myASN=64512, peerASN=64512, peerAddress="192.0.2.100", ebgpMultiHop=True)
    stage.cluster.told("wrong", "InvalidBGPPeer", "spec.ebgpMultiHop: the peer is of the same AS; leave it out", ns="fairlead-system")
    stage.cluster.bgp("BGPPeer", "wrong", myASN=64512, peerASN=64513, peerAddress="192.0.2.100", ebgpMultiHop=None)
    stage.cluster.told("wrong", "InvalidBGPPeer", "spec.peerAddress: BGPPeer tor has the same address", ns="fairlead-system")
    stage.cluster.forget_bgp("BGPPeer", "wrong")
    assert {f for f, _ in stage.sessions()} == {4, 6}


def test_what_is_made_by_hand_is_left_alone(stage):
    n1 = stage.nodes["n1"]
    ip, = stage.serve("beside")
    by_hand = ["router bgp 65099", "neighbor 192.0.2.77 remote-as 65098", "address-family ipv4 unicast", "network 198.51.100.0/24", "exit-address-family", "exit",
               "ip prefix-list mine permit any", "route-map mine permit 10", "set local-preference 7", "exit"]
    n1.frr.configure(*by_hand)
    # What somebody takes away of ours is back, and counted.
    repairs = n1.metric('fairlead_agent_frr_repairs_total{daemon="bgpd"}')
    stage.routed_to(ip, *stage.nodes)
    n1.frr.configure("no router bgp 64512 view fairlead-64512")
    stage.routed_to(ip, "n2", "n3")
    stage.routed_to(ip, *stage.nodes, timeout=60)
    assert n1.metric('fairlead_agent_frr_repairs_total{daemon="bgpd"}') == repairs + 1
    # A neighbour of theirs is theirs.
    stage.peer("theirs", "192.0.2.77")
    stage.cluster.told("theirs", "InvalidBGPPeer", "bgpd of this node has a neighbor of this address in a block that is not ours", ns="fairlead-system")
    stage.cluster.forget_bgp("BGPPeer", "theirs")
    config = n1.frr.config()
    for line in ("router bgp 65099\n", " neighbor 192.0.2.77 remote-as 65098\n", "  network 198.51.100.0/24\n", "ip prefix-list mine seq 5 permit any\n", "route-map mine permit 10\n"):
        assert line in config
    n1.frr.configure("no router bgp 65099", "no route-map mine permit 10", "no ip prefix-list mine seq 5 permit any")


def test_a_bgpd_that_restarts_gets_everything_again(stage):
    n2 = stage.nodes["n2"]
    ip, = stage.serve("again")
    stage.routed_to(ip, *stage.nodes)
    n2.frr.stop("bgpd")
    stage.routed_to(ip, "n1", "n3")
    stage.cluster.told("n2", "BGPDaemonAway", "bgpd of FRR cannot be configured by its socket")
    wait_until("it is said", lambda: n2.metric('fairlead_agent_frr_up{daemon="bgpd"}') == 0)
    other, = stage.serve("meanwhile")
    n2.frr.start("bgpd")
    for i in (ip, other):
        stage.routed_to(i, *stage.nodes, timeout=60)
    assert n2.metric('fairlead_agent_frr_losses_total{daemon="bgpd"}') == 1
    assert log_of(stage, "n2").count("a daemon of FRR cannot be configured") == 1


def test_an_agent_that_restarts_takes_nothing_back(stage):
    """Ended or killed: bgpd goes on announcing what the kernel goes on serving, and nothing is said to it when the agent is back."""
    n3 = stage.nodes["n3"]
    ip, = stage.serve("stays")
    stage.routed_to(ip, *stage.nodes)

    def heard():
        n = json.loads(stage.router.say(f"show bgp neighbors {n3.v4} json"))[n3.v4]
        return n["connectionsEstablished"], n["messageStats"]["updatesRecv"]
    before = heard()
    for kill in (False, True):
        n3.stop(kill=kill)
        assert stage.route(ip) == sorted(stage.nodes)
        n3.start(f"--frr-vty-directory={n3.frr.dir}")
        wait_until("it has looked", lambda: n3.metric('fairlead_agent_frr_up{daemon="bgpd"}') == 1, 20)
        wait_until("it knows what it announces", lambda: f'ip="{ip}"' in n3.metrics(), 20)
        assert n3.metric('fairlead_agent_frr_commands_total{daemon="bgpd"}') == 0
    assert heard() == before


def test_a_node_that_dies_is_left_out_after_the_hold_time(stage):
    ip, = stage.serve("dies")
    stage.routed_to(ip, *stage.nodes)
    n1 = stage.nodes["n1"]
    n1.ip("link", "set", "eth0", "down")
    stage.routed_to(ip, "n2", "n3", timeout=12)  # 9 s
    n1.ip("link", "set", "eth0", "up")
    n1.ip("addr", "replace", f"{n1.v6}/64", "dev", "eth0", "nodad")
    stage.routed_to(ip, *stage.nodes, timeout=60)


def test_bfd_is_faster(stage):
    ip, = stage.serve("quick")
    stage.router.configure("router bgp 64513", "neighbor nodes bfd", "exit")
    stage.peer("tor", stage.client.v4, holdTime="90s", bfdProfile="fast")
    stage.cluster.told("tor", "InvalidBGPPeer", "spec.bfdProfile: there is no BFDProfile fast that can be used", ns="fairlead-system")
    stage.cluster.bgp("BFDProfile", "fast", receiveInterval=100, transmitInterval=100)
    n1 = stage.nodes["n1"]
    stage.routed_to(ip, *stage.nodes, timeout=60)

    def bfd_is_up():
        peers = json.loads(n1.frr.say("show bfd peers json", daemon="bfdd"))
        return any(p["peer"] == stage.client.v4 and p["status"] == "up" and p["transmit-interval"] == 100 for p in peers)
    wait_until("BFD is up", bfd_is_up, 40)
    n1.ip("link", "set", "eth0", "down")
    stage.routed_to(ip, "n2", "n3", timeout=5)  # 90 s by the hold time
    n1.ip("link", "set", "eth0", "up")
    n1.ip("addr", "replace", f"{n1.v6}/64", "dev", "eth0", "nodad")
    stage.router.configure("router bgp 64513", "no neighbor nodes bfd", "exit")
    stage.peer("tor", stage.client.v4, bfdProfile=None)
    stage.routed_to(ip, *stage.nodes, timeout=60)
    wait_until("the profile is gone", lambda: "fairlead" not in n1.frr.config("bfdd"), 20)


def test_a_node_that_is_removed_tells_nothing_any_more(stage):
    ip, = stage.serve("removed")
    stage.routed_to(ip, *stage.nodes)
    stage.cluster.remove("/api/v1/nodes/n3")
    stage.routed_to(ip, "n1", "n2")
    wait_until("nothing of it is left in bgpd", lambda: "fairlead" not in stage.nodes["n3"].frr.config(), 20)


def test_cleanup(stage):
    n2 = stage.nodes["n2"]
    ip, = stage.serve("last")
    stage.routed_to(ip, "n1", "n2")
    n2.frr.configure("route-map mine permit 10", "exit")
    assert n2.stop() == 0
    with n2.inside():
        run(BIN / "fairlead-agent", "--cleanup", f"--frr-vty-directory={n2.frr.dir}")
    stage.routed_to(ip, "n1")
    assert "fairlead" not in n2.frr.config() and "route-map mine permit 10" in n2.frr.config()
