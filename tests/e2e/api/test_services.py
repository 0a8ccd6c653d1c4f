"""Addresses and ports of Services: allocation, explicit requests, clashes, changes of type, release."""
from api_server import service

RANGE = ("--service-cluster-ip-range", "10.96.0.0/16,fd00:10:96::/112")


def url(ns, name=None):
    return f"/api/v1/namespaces/{ns}/services" + (f"/{name}" if name else "")


def causes(r):
    return {c["field"]: c["message"] for c in r.json["details"]["causes"]}


def test_kubernetes_service(server):
    j = server.get(url("default", "kubernetes")).json
    assert j["spec"]["clusterIP"] == "10.96.0.1"
    slices = server.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name%3Dkubernetes")
    assert len(slices.json["items"]) == 1


def test_cluster_ip(server, ns):
    s = server.post(url(ns), service("a")).json["spec"]
    assert s["clusterIP"].startswith("10.96.") and s["clusterIPs"] == [s["clusterIP"]]
    assert (s["ipFamilies"], s["ipFamilyPolicy"], s["type"], s["sessionAffinity"]) == (["IPv4"], "SingleStack", "ClusterIP", "None")
    assert s["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    b = server.post(url(ns), service("b", clusterIP=s["clusterIP"]))
    assert b.status == 422 and "provided IP is already allocated" in causes(b)["spec.clusterIPs"]
    assert server.post(url(ns), service("c", clusterIP="1.2.3.4")).status == 422
    r = server.patch(url(ns, "a"), {"spec": {"clusterIP": "10.96.77.77"}})
    assert r.status == 422 and "may not change once set" in causes(r)["spec.clusterIPs[0]"]
    server.delete(url(ns, "a"))
    assert server.post(url(ns), service("b", clusterIP=s["clusterIP"])).status == 201, "released by the delete"


def test_headless_and_external_name(server, ns):
    s = server.post(url(ns), service("h", clusterIP="None", ports=[])).json["spec"]
    assert s["clusterIP"] == "None" and s["clusterIPs"] == ["None"]
    s = server.post(url(ns), service("e", type="ExternalName", externalName="x.example", ports=[])).json["spec"]
    assert "clusterIP" not in s and "internalTrafficPolicy" not in s
    r = server.post(url(ns), service("f", type="ExternalName", ports=[]))
    assert causes(r)["spec.externalName"] == "Required value"


def test_dual_stack(server, ns):
    s = server.post(url(ns), service("d", ipFamilyPolicy="PreferDualStack")).json["spec"]
    assert s["ipFamilies"] == ["IPv4", "IPv6"] and s["clusterIPs"][1].startswith("fd00:10:96::")
    s = server.post(url(ns), service("six", ipFamilies=["IPv6"])).json["spec"]
    assert s["clusterIP"].startswith("fd00:") and s["ipFamilies"] == ["IPv6"]
    s = server.patch(url(ns, "d"), {"spec": {"ipFamilyPolicy": "SingleStack"}}).json["spec"]
    assert s["ipFamilies"] == ["IPv4"] and len(s["clusterIPs"]) == 1


def test_node_ports(server, ns):
    s = server.post(url(ns), service("n", type="NodePort")).json["spec"]
    port = s["ports"][0]["nodePort"]
    assert 30000 <= port <= 32767 and s["clusterIP"] and s["externalTrafficPolicy"] == "Cluster"
    r = server.post(url(ns), service("m", type="NodePort", ports=[{"port": 80, "nodePort": port}]))
    assert causes(r)["spec.ports[0].nodePort"] == f"Invalid value: {port}: provided port is already allocated"
    r = server.post(url(ns), service("u", type="NodePort", ports=[{"port": 80, "protocol": "UDP", "nodePort": port}]))
    assert causes(r)["spec.ports[0].nodePort"].endswith("provided port is already allocated"), "a number belongs to one Service, whatever the protocol"
    r = server.post(url(ns), service("m", type="NodePort", ports=[{"port": 80, "nodePort": 80}]))
    assert "The range of valid ports is 30000-32767" in causes(r)["spec.ports[0].nodePort"]
    r = server.post(url(ns), service("m", ports=[{"port": 80, "nodePort": 30999}]))
    assert causes(r)["spec.ports[0].nodePort"] == "Forbidden: may not be used when `type` is 'ClusterIP'"
    kept = server.patch(url(ns, "n"), {"metadata": {"labels": {"a": "b"}}}).json["spec"]["ports"][0]["nodePort"]
    assert kept == port
    put = server.get(url(ns, "n")).json
    del put["spec"]["ports"][0]["nodePort"]
    assert server.put(url(ns, "n"), put).json["spec"]["ports"][0]["nodePort"] == port, "kept on an update that leaves it out"
    s = server.patch(url(ns, "n"), {"spec": {"type": "ClusterIP"}}).json["spec"]
    assert "nodePort" not in s["ports"][0] and "externalTrafficPolicy" not in s
    assert server.post(url(ns), service("m", type="NodePort", ports=[{"port": 80, "nodePort": port}])).status == 201, "released"


def test_load_balancer_has_node_port(server, ns):
    s = server.post(url(ns), service("l", type="LoadBalancer")).json["spec"]
    assert s["ports"][0]["nodePort"] and s["allocateLoadBalancerNodePorts"] is True
    s = server.post(url(ns), service("k", type="LoadBalancer", externalTrafficPolicy="Local")).json["spec"]
    assert 30000 <= s["healthCheckNodePort"] <= 32767


def test_ports_are_checked(server, ns):
    r = server.post(url(ns), service("p", ports=[{"port": 0}]))
    assert causes(r)["spec.ports[0].port"] == "Invalid value: 0: must be between 1 and 65535, inclusive"
    r = server.post(url(ns), service("p", ports=[{"port": 1}, {"port": 2}]))
    assert causes(r)["spec.ports[0].name"] == "Required value"
    r = server.post(url(ns), service("p", ports=[{"name": "a", "port": 1}, {"name": "a", "port": 2}]))
    assert causes(r)["spec.ports[1].name"] == 'Duplicate value: "a"'
    r = server.post(url(ns), service("P"))
    assert "a lowercase RFC 1123 label must consist of" in causes(r)["metadata.name"]
    r = server.post(url(ns), service("p", type="Nope"))
    assert causes(r)["spec.type"].startswith('Unsupported value: "Nope": supported values: "ClusterIP"')


def test_pods_are_checked(server, ns):
    from api_server import pod
    url_ = f"/api/v1/namespaces/{ns}/pods"
    r = server.post(url_, pod("p", containers=[]))
    assert causes(r)["spec.containers"] == "Required value"
    r = server.post(url_, pod("p", containers=[{"name": "a", "image": "i"}, {"name": "a", "image": ""}]))
    assert causes(r) == {"spec.containers[1].name": 'Duplicate value: "a"', "spec.containers[1].image": "Required value"}
    r = server.post(url_, pod("p", containers=[{"name": "a", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/x"}]}]))
    assert causes(r)["spec.containers[0].volumeMounts[0].name"] == 'Not found: "v"'
    server.post(url_, pod("p"))
    r = server.patch(url_ + "/p", {"spec": {"hostname": "x"}})
    assert causes(r)["spec"].startswith("Forbidden: pod updates may not change fields other than")
    assert server.patch(url_ + "/p", {"spec": {"containers": [{"name": "c", "image": "new"}]}}, "strategic").status == 200


def test_selectors_are_immutable(server, ns):
    from api_server import deployment
    url_ = f"/apis/apps/v1/namespaces/{ns}/deployments"
    r = server.post(url_, deployment("d", selector={"matchLabels": {"app": "other"}}))
    assert "`selector` does not match template `labels`" in causes(r)["spec.template.metadata.labels"]
    server.post(url_, deployment("d"))
    r = server.patch(url_ + "/d", {"spec": {"selector": {"matchLabels": {"z": "z"}}, "template": {"metadata": {"labels": {"z": "z"}}}}})
    assert "field is immutable" in causes(r)["spec.selector"]


def test_immutable_config(server, ns):
    url_ = f"/api/v1/namespaces/{ns}/configmaps"
    server.post(url_, {"metadata": {"name": "i"}, "data": {"a": "b"}, "immutable": True})
    r = server.patch(url_ + "/i", {"data": {"a": "c"}})
    assert causes(r)["data"] == "Forbidden: field is immutable when `immutable` is set"
