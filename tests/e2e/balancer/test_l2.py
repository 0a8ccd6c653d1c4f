"""Addresses answered for by ARP and neighbour discovery: who does, when, and what is sent. How long it takes: bench/l2."""
import socket

import pytest
from l2_stage import ETH_P_ARP, ETH_P_IPV6, Stage, packets
from suite import FAIRLEAD, run, wait_until

NODE = "/api/v1/nodes/"


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    s = Stage(tmp_path_factory.mktemp("l2"))
    try:
        yield s
    finally:
        s.close()


def serve(stage, name, *nodes, **kw):
    stage.cluster.service(name, **kw)
    stage.endpoints(name, *(nodes or stage.nodes))
    return wait_until(f"{name} has an address", lambda: stage.cluster.ips(name))[0]


def test_one_node_answers_for_each(stage):
    ips = [serve(stage, f"each-{i}") for i in range(8)]
    winners = {ip: stage.order(ip)[0] for ip in ips}
    for ip in ips:
        stage.announced_by(ip, winners[ip])
    assert len(set(winners.values())) > 1  # they are spread
    name = f"each-{ips.index(ips[0])}"
    stage.cluster.told(name, "nodeAssigned", f'announcing from node "{winners[ips[0]]}" with protocol "layer2"')
    held = [line for line in stage.nodes[winners[ips[0]]].metrics().splitlines() if line.startswith("metallb_speaker_announced{")]
    assert f'metallb_speaker_announced{{ip="{ips[0]}",node="{winners[ips[0]]}",protocol="layer2",service="default/{name}"}} 1' in held
    described = run(FAIRLEAD, "describe", f"svc/{name}", f"--kubeconfig={stage.cluster.kubeconfig()}")
    assert described.splitlines()[:2] == [f"service: default/{name}", f"  address {ips[0]} of pool lan, announced by node {winners[ips[0]]}"]
    # The kernel of a client finds it, and what it asks is answered.
    assert stage.node_of(stage.client.neighbour(ips[0])) == winners[ips[0]]
    assert {wait_until("an endpoint answers", lambda: stage.client.ask(ips[0])) for _ in range(40)} == set(stage.nodes)


def test_both_families_at_one_node(stage):
    stage.cluster.service("both", ipFamilyPolicy="RequireDualStack")
    for family in (4, 6):
        stage.endpoints("both", *stage.nodes, family=family)
    heard = stage.client.listen(ETH_P_IPV6)
    v4, v6 = wait_until("it has two addresses", lambda: stage.cluster.ips("both"))
    winner = stage.order(v4)[0]  # the first of the addresses decides
    stage.announced_by(v4, winner)
    wait_until("the client's kernel finds it", lambda: stage.client.neighbour(v6) == stage.nodes[winner].mac)
    assert {wait_until("an endpoint answers", lambda: stage.client.ask(v6)) for _ in range(40)} == set(stage.nodes)
    # Unasked: to all nodes, override, the hardware address; asked: to who asks, solicited, too.
    target = socket.inet_pton(socket.AF_INET6, v6)
    found = [f for f in packets(heard, 0.1) if f[20] == 58 and f[54] == 136 and f[62:78] == target]
    heard.close()
    mac = bytes.fromhex(stage.nodes[winner].mac.replace(":", ""))
    assert {f[6:12] for f in found} == {mac} and {f[78:86] for f in found} == {b"\2\1" + mac}
    assert {(f[:6].hex(":"), f[58] & 0xe0) for f in found} == {("33:33:00:00:00:01", 0x20), (stage.client.mac, 0x60)}
    assert found[0][58] & 0xe0 == 0x20


def test_no_endpoints_no_answer(stage):
    ip = serve(stage, "empty")
    stage.announced_by(ip, stage.order(ip)[0])
    stage.endpoints("empty", *stage.nodes, ready=False)
    stage.announced_by(ip, None)
    stage.endpoints("empty", "n2")
    stage.announced_by(ip, stage.order(ip)[0])
    stage.cluster.remove("/api/v1/namespaces/default/services/empty")
    stage.announced_by(ip, None)


def test_local_only_from_nodes_with_endpoints(stage):
    ip = serve(stage, "local", "n1", "n2", externalTrafficPolicy="Local")
    first, second = stage.order(ip, "n1", "n2")
    stage.announced_by(ip, first)
    assert wait_until("its own endpoint answers", lambda: stage.client.ask(ip)) == first
    stage.endpoints("local", second)
    stage.announced_by(ip, second)
    stage.client.forget(ip)
    assert wait_until("the other one's endpoint answers", lambda: stage.client.ask(ip)) == second
    stage.endpoints("local", "n3")
    stage.announced_by(ip, "n3")


def told(stage, s, ip, seconds):
    """(node, operation) of what is told of an address unasked, in its order."""
    found = []
    for frame in packets(s, seconds):
        sender, target = frame[28:32], frame[38:42]
        if sender == target == socket.inet_aton(ip):
            assert frame[:6] == b"\xff" * 6
            found.append((stage.node_of(frame[22:28].hex(":")), frame[21]))
    return found


def test_a_node_dies_and_comes_back(stage):
    ip = serve(stage, "dies")
    first, second = stage.order(ip)[:2]
    stage.announced_by(ip, first)
    heard = stage.client.listen(ETH_P_ARP)
    stage.nodes[first].stop(kill=True)
    stage.announced_by(ip, second)
    # A request and a reply, several times, by the new one alone.
    said = []
    wait_until("it has been told six times", lambda: len(said.extend(told(stage, heard, ip, 0.1)) or said) >= 12, 20)
    heard.close()
    assert said == [(second, 1), (second, 2)] * 6
    others = {n: stage.order(other)[0] for n, other in ((f"each-{i}", stage.cluster.ips(f"each-{i}")[0]) for i in range(8))}
    for n, winner in others.items():  # who was not there keeps nothing, who was keeps all
        other = stage.cluster.ips(n)[0]
        stage.announced_by(other, winner if winner != first else stage.order(other)[1])
    heard = stage.client.listen(ETH_P_ARP)
    stage.nodes[first].start()
    stage.announced_by(ip, first)
    said = told(stage, heard, ip, 0.3)
    heard.close()
    assert said[:2] == [(first, 1), (first, 2)] and {n for n, _ in said} == {first}


def test_a_node_leaves(stage):
    ip = serve(stage, "leaves")
    first, second = stage.order(ip)[:2]
    stage.announced_by(ip, first)
    assert stage.nodes[first].stop() == 0
    stage.announced_by(ip, second)
    assert stage.nodes[second].metric("fairlead_agent_l2_peers_alive") == 1
    stage.nodes[first].start()
    stage.announced_by(ip, first)


def test_excluded_nodes_and_selectors(stage):
    ip = serve(stage, "picky")
    first, second, third = stage.order(ip)
    label = "node.kubernetes.io/exclude-from-external-load-balancers"
    stage.announced_by(ip, first)
    stage.cluster.patch(NODE + first, {"metadata": {"labels": {label: ""}}})
    stage.announced_by(ip, second)
    stage.cluster.patch(NODE + first, {"metadata": {"labels": {label: None}}})
    stage.announced_by(ip, first)
    stage.cluster.advertise(nodeSelectors=[{"matchLabels": {"kubernetes.io/hostname": third}}])
    stage.announced_by(ip, third)
    stage.cluster.advertise(nodeSelectors=None, preferredNodeSelectors=[{"weight": 5, "preference": {"matchLabels": {"kubernetes.io/hostname": second}}}])
    stage.announced_by(ip, second)
    stage.cluster.advertise(nodeSelectors=None, preferredNodeSelectors=None, interfaces=["eth7"])
    stage.announced_by(ip, None)
    stage.cluster.advertise(interfaces=["eth7", "eth0"])
    stage.announced_by(ip, first)
    stage.cluster.advertise(interfaces=None, ipAddressPools=["another"])
    stage.announced_by(ip, None)
    stage.cluster.advertise(ipAddressPools=None, serviceSelectors=[{}])
    stage.cluster.told("all", "InvalidL2Advertisement", "spec.serviceSelectors: not supported; it announces nothing", ns="fairlead-system")
    stage.announced_by(ip, None)
    stage.cluster.advertise(serviceSelectors=None)
    stage.announced_by(ip, first)


def test_who_says_it_is_his_is_counted(stage):
    ip = serve(stage, "contested")
    first = stage.order(ip)[0]
    stage.announced_by(ip, first)
    before = stage.nodes[first].metric("fairlead_agent_l2_conflicts_total")
    stage.client.ip("addr", "add", f"{ip}/32", "dev", "eth0")
    s = stage.client.listen(ETH_P_ARP)
    own = bytes.fromhex(stage.client.mac.replace(":", ""))
    s.send(b"\xff" * 6 + own + b"\x08\x06\0\1\x08\0\6\4\0\1" + own + socket.inet_aton(ip) + bytes(6) + socket.inet_aton(ip))
    s.close()
    wait_until("it is counted", lambda: stage.nodes[first].metric("fairlead_agent_l2_conflicts_total") > before)
    stage.client.ip("addr", "del", f"{ip}/32", "dev", "eth0")
