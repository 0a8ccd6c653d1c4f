"""Addresses of pools for Services of type LoadBalancer, through the API. The rules themselves: tests/unit/model/test_address_allocator.c."""
from conftest import POOLS

SERVICES = "/api/v1/namespaces/default/services"
FROM = "metallb.io/ip-allocated-from-pool"


def annotation(cluster, name):
    return cluster.get(f"{SERVICES}/{name}").json["metadata"].get("annotations", {}).get(FROM)


def test_a_service_gets_an_address_and_gives_it_back(cluster, control):
    cluster.service("early")
    cluster.told("early", "AllocationFailed", "there are no IPAddressPools")
    cluster.pool("small", "192.0.2.8/31")
    cluster.has("early", "192.0.2.8")
    cluster.told("early", "IPAllocated", 'Assigned IP ["192.0.2.8"]')
    assert annotation(cluster, "early") == "small"
    cluster.service("second")
    cluster.has("second", "192.0.2.9")
    cluster.service("third")
    cluster.told("third", "AllocationFailed", "no address of a pool that is for it is free")
    cluster.remove(f"{SERVICES}/early")
    cluster.has("third", "192.0.2.8")
    # Another type: the address is free, and the annotation goes.
    cluster.patch(f"{SERVICES}/third", {"spec": {"type": "ClusterIP"}})
    cluster.service("fourth")
    cluster.has("fourth", "192.0.2.8")
    assert cluster.ips("third") == [] and annotation(cluster, "third") is None


def test_who_comes_after_knows_what_was_given(cluster, control):
    cluster.pool("wide", "198.51.100.0/28")
    for n in range(4):
        cluster.service(f"kept-{n}", {"metallb.io/address-pool": "wide"})
    cluster.has("kept-3", "198.51.100.3")
    cluster.remove(f"{SERVICES}/kept-1")
    first = control.start("first-of-two")
    second = control.start("second-of-two")  # one of three leads, the others wait
    versions = {n: cluster.get(f"{SERVICES}/kept-{n}").json["metadata"]["resourceVersion"] for n in (0, 2, 3)}
    first.stop()
    second.stop()
    cluster.service("late", {"metallb.io/address-pool": "wide"})
    cluster.has("late", "198.51.100.1")
    assert versions == {n: cluster.get(f"{SERVICES}/kept-{n}").json["metadata"]["resourceVersion"] for n in (0, 2, 3)}


def test_a_restart_changes_nothing(cluster, control):
    cluster.pool("again", "203.0.113.0/28")
    for n in range(3):
        cluster.service(f"again-{n}", {"metallb.io/address-pool": "again"})
    cluster.has("again-2", "203.0.113.2")
    before = {n: cluster.get(f"{SERVICES}/again-{n}").json["metadata"]["resourceVersion"] for n in range(3)}
    control.stop_all()
    cluster.service("while-away", {"metallb.io/address-pool": "again"})
    control.start("next")
    cluster.has("while-away", "203.0.113.3")
    assert before == {n: cluster.get(f"{SERVICES}/again-{n}").json["metadata"]["resourceVersion"] for n in range(3)}


def test_pools_that_change(cluster, control):
    cluster.pool("moving", "10.9.0.0/30", autoAssign=False)
    cluster.service("moved", {"metallb.io/address-pool": "moving"})
    cluster.has("moved", "10.9.0.0")
    cluster.pool("over", "10.9.0.2-10.9.0.9")
    cluster.told("over", "InvalidAddressPool", "spec.addresses[0]: 10.9.0.2 to 10.9.0.9 overlaps with pool fairlead-system/moving", ns="fairlead-system")
    cluster.pool("moving", "10.9.1.0/30", autoAssign=False)
    cluster.has("moved", "10.9.1.0")
    cluster.told("moved", "IPAllocated", 'Assigned IP ["10.9.1.0"] in place of what it had: no pool has it any more')
    cluster.remove(f"{POOLS}/moving")
    cluster.has("moved")
    assert annotation(cluster, "moved") is None


def test_whose_class_and_status_are_another_ones(cluster, control):
    cluster.service("cloud", loadBalancerClass="example.com/cloud")
    cluster.service("theirs", {"metallb.io/address-pool": "nobody-has-it"})
    cluster.told("theirs", "AllocationFailed", "there is no pool nobody-has-it")
    path = f"{SERVICES}/theirs"
    assert cluster.patch(f"{path}/status", {"status": {"loadBalancer": {"ingress": [{"hostname": "x.example.com"}]}}}).status == 200
    cluster.pool("nobody-has-it", "10.10.0.0/24", autoAssign=False)
    cluster.service("mark", {"metallb.io/address-pool": "nobody-has-it"})
    cluster.has("mark", "10.10.0.0")
    assert cluster.get(path).json["status"]["loadBalancer"]["ingress"] == [{"hostname": "x.example.com"}]
    assert cluster.ips("cloud") == []


def test_the_definitions_take_and_refuse(cluster):
    def send(kind, plural, spec, version="v1beta1"):
        return cluster.post(f"/apis/metallb.io/{version}/namespaces/fairlead-system/{plural}?fieldValidation=Strict&dryRun=All",
                            {"apiVersion": f"metallb.io/{version}", "kind": kind, "metadata": {"name": "x"}, "spec": spec}).status
    selector = {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "In", "values": ["d"]}]}
    assert send("IPAddressPool", "ipaddresspools", {"addresses": ["10.0.0.0/24"], "autoAssign": False, "avoidBuggyIPs": True, "serviceAllocation": {
        "priority": 5, "namespaces": ["a"], "namespaceSelectors": [selector], "serviceSelectors": [selector]}}) == 201
    assert send("IPAddressPool", "ipaddresspools", {"autoAssign": True}) == 422
    assert send("IPAddressPool", "ipaddresspools", {"addresses": ["10.0.0.0/24"], "protocol": "layer2"}) == 400
    assert send("L2Advertisement", "l2advertisements", {
        "ipAddressPools": ["a"], "ipAddressPoolSelectors": [selector], "nodeSelectors": [selector], "interfaces": ["eth0"], "serviceSelectors": [selector],
        "preferredNodeSelectors": [{"weight": 10, "preference": selector}]}) == 201
    assert send("L2Advertisement", "l2advertisements", {"nodeSelectors": [{"matchExpressions": [{"key": "a", "operator": "Is"}]}]}) == 422
    peer = {"myASN": 64512, "peerASN": 64513, "peerAddress": "192.0.2.1"}
    assert send("BGPPeer", "bgppeers", {**peer, "dynamicASN": "external", "localASN": 1, "holdTime": "9s", "keepaliveTime": "3s", "connectTime": "5s", "sourceAddress": "a", "routerID": "b",
                                        "nodeSelectors": [selector], "password": "x", "passwordSecret": {"name": "a", "namespace": "b"}, "bfdProfile": "f", "enableGracefulRestart": True,
                                        "ebgpMultiHop": True, "vrf": "red", "interface": "eth0", "disableMP": True, "dualStackAddressFamily": True, "peerPort": 16384}, "v1beta2") == 201
    for wrong in ({"peerASN": 1}, {**peer, "myASN": 4294967296}, {**peer, "peerPort": 16385}, {**peer, "dynamicASN": "both"}, {**peer, "port": 179}):
        assert send("BGPPeer", "bgppeers", wrong, "v1beta2") in (400, 422), wrong
    assert send("BGPAdvertisement", "bgpadvertisements", {"aggregationLength": 24, "aggregationLengthV6": 64, "localPref": 4294967295, "communities": ["1:2"], "peers": ["a"], "ipAddressPools": ["a"],
                                                          "ipAddressPoolSelectors": [selector], "nodeSelectors": [selector], "serviceSelectors": [selector]}) == 201
    assert send("BGPAdvertisement", "bgpadvertisements", {"aggregationLength": 0}) == 422 and send("BGPAdvertisement", "bgpadvertisements", {"localPref": -1}) == 422
    assert send("Community", "communities", {"communities": [{"name": "a", "value": "1:2"}]}) == 201
    assert send("BFDProfile", "bfdprofiles", {"receiveInterval": 10, "transmitInterval": 60000, "detectMultiplier": 255, "echoInterval": 50, "echoMode": True, "passiveMode": True, "minimumTtl": 254}) == 201
    assert send("BFDProfile", "bfdprofiles", {"receiveInterval": 9}) == 422 and send("BFDProfile", "bfdprofiles", {"minimumTtl": 255}) == 422
    r = cluster.post(POOLS + "?dryRun=All", {"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": "x"}, "spec": {"addresses": ["10.0.0.0/24"]}})
    assert r.json["spec"] == {"addresses": ["10.0.0.0/24"], "autoAssign": True, "avoidBuggyIPs": False}
