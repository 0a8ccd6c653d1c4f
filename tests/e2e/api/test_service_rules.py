"""Services on their way through changes: families, addresses that must not be given twice, fields of other types."""
from api_server import service


def url(ns, name=None):
    return f"/api/v1/namespaces/{ns}/services" + (f"/{name}" if name else "")


def refused(r, field, words):
    assert r.status == 422, r.body
    causes = {c["field"]: c["message"] for c in r.json["details"]["causes"]}
    assert words in causes[field], causes


def made(r):
    assert r.status in (200, 201), r.body
    return r.json["spec"]


def test_an_address_is_given_once_however_it_is_written(server, ns):
    made(server.post(url(ns), service("a", clusterIP="fd00:10:96::a1", ipFamilies=["IPv6"])))
    refused(server.post(url(ns), service("b", clusterIP="fd00:10:96::00A1", ipFamilies=["IPv6"])), "spec.clusterIPs", "already allocated")
    for ip in ("10.96.0.0", "10.96.255.255"):
        refused(server.post(url(ns), service("b", clusterIP=ip)), "spec.clusterIPs", "does not match the current range")
    refused(server.post(url(ns), service("b", clusterIP="10.96.9.9", clusterIPs=["10.96.9.8"])), "spec.clusterIPs", "first value must match `clusterIP`")


def test_the_first_family_stays(server, ns):
    made(server.post(url(ns), service("s")))
    refused(server.patch(url(ns, "s"), {"spec": {"ipFamilies": ["IPv6"]}}), "spec.clusterIPs[0]", "expected an IPv6 value")
    refused(server.post(url(ns), service("t", ipFamilies=["IPv4", "IPv4"])), "spec.ipFamilies[1]", "Duplicate value")
    refused(server.post(url(ns), service("t", ipFamilies=["IPv4", "IPv6"], ipFamilyPolicy="SingleStack")), "spec.ipFamilyPolicy", "must be 'RequireDualStack'")


def test_what_a_replace_leaves_out_stays(server, ns):
    """kubectl replace -f with the manifest the Service was made of."""
    before = made(server.post(url(ns), service("d", ipFamilyPolicy="PreferDualStack", ipFamilies=["IPv6", "IPv4"])))
    after = made(server.put(url(ns, "d"), service("d", selector={"app": "other"})))
    assert (after["clusterIPs"], after["ipFamilies"], after["ipFamilyPolicy"]) == (before["clusterIPs"], ["IPv6", "IPv4"], "PreferDualStack")
    made(server.post(url(ns), service("h", clusterIP="None", ipFamilyPolicy="RequireDualStack")))
    after = made(server.put(url(ns, "h"), service("h", selector={"app": "other"})))
    assert (after["clusterIP"], after["clusterIPs"], after["ipFamilies"]) == ("None", ["None"], ["IPv4", "IPv6"])


def test_headless_without_selector_may_have_both_families(server, ns):
    s = made(server.post(url(ns), service("h", clusterIP="None", selector=None)))
    assert (s["ipFamilyPolicy"], s["ipFamilies"], s["clusterIPs"]) == ("RequireDualStack", ["IPv4", "IPv6"], ["None"])


def test_health_check_node_port_is_a_node_port(server, ns):
    def balancer(name, port):
        return server.post(url(ns), service(name, type="LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=port))
    made(balancer("a", 31999))
    for port, why in ((31999, "provided port is already allocated"), (80, "is not in the valid range")):
        reply = balancer("b", port)
        assert (reply.status, reply.json["reason"]) == (500, "InternalError") and why in reply.json["message"]
    refused(server.patch(url(ns, "a"), {"spec": {"healthCheckNodePort": 31998}}), "spec.healthCheckNodePort", "field is immutable")
    refused(server.post(url(ns), service("b", healthCheckNodePort=31997)), "spec.healthCheckNodePort", "may only be set when `type` is 'LoadBalancer'")


def test_two_protocols_of_a_port_share_its_node_port(server, ns):
    ports = made(server.post(url(ns), service("dns", type="NodePort", ports=[
        {"name": "tcp", "port": 53}, {"name": "udp", "port": 53, "protocol": "UDP"}, {"name": "metrics", "port": 9153}])))["ports"]
    assert ports[0]["nodePort"] == ports[1]["nodePort"] != ports[2]["nodePort"]


def test_fields_of_another_type(server, ns):
    refused(server.post(url(ns), service("s", allocateLoadBalancerNodePorts=True)), "spec.allocateLoadBalancerNodePorts", "may only be used when")
    refused(server.post(url(ns), service("s", loadBalancerClass="x.io/y")), "spec.loadBalancerClass", "may only be used when")
    refused(server.post(url(ns), service("s", externalTrafficPolicy="Local")), "spec.externalTrafficPolicy", "may only be set for externally-accessible")
    made(server.post(url(ns), service("s", type="LoadBalancer", loadBalancerClass="x.io/y", externalTrafficPolicy="Local")))
    s = made(server.patch(url(ns, "s"), {"spec": {"type": "ClusterIP"}}))
    assert not {"allocateLoadBalancerNodePorts", "loadBalancerClass", "externalTrafficPolicy", "healthCheckNodePort"} & set(s)
    s = made(server.post(url(ns), service("e", externalIPs=["192.0.2.1"])))
    assert s["externalTrafficPolicy"] == "Cluster"
    s = made(server.patch(url(ns, "e"), {"spec": {"externalTrafficPolicy": "Local"}}))
    assert s["externalTrafficPolicy"] == "Local"


def test_addresses_that_mean_each_machine_itself(server, ns):
    for ip, words in (("127.0.0.1", "loopback"), ("::1", "loopback"), ("0.0.0.0", "unspecified"), ("169.254.1.1", "link-local range"),
                      ("fe80::1", "link-local range"), ("224.0.0.1", "multicast")):
        refused(server.post(url(ns), service("s", externalIPs=[ip])), "spec.externalIPs[0]", words)
        refused(server.post(f"/api/v1/namespaces/{ns}/endpoints", {"metadata": {"name": "s"}, "subsets": [{"addresses": [{"ip": ip}]}]}),
                "subsets[0].addresses[0].ip", words)
        refused(server.post(f"/apis/discovery.k8s.io/v1/namespaces/{ns}/endpointslices", {
            "metadata": {"name": "s"}, "addressType": "IPv6" if ":" in ip else "IPv4", "endpoints": [{"addresses": [ip]}]}),
                "endpoints[0].addresses[0]", words)
