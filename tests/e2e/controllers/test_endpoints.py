"""EndpointSlices and Endpoints: what the pods of a Service become (discovery.k8s.io/v1, KEP-752, KEP-1672)."""
from suite import wait_until


def conditions(endpoint):
    c = endpoint["conditions"]
    return c["ready"], c["serving"], c["terminating"]


def test_readiness_serving_terminating(cluster, ns):
    cluster.service(ns)
    cluster.pod(ns, "a", "10.0.0.1")
    cluster.pod(ns, "b", "10.0.0.2", ready=False)
    wait_until("both are told", lambda: len(cluster.endpoints(ns)) == 2)
    assert conditions(cluster.endpoints(ns)["10.0.0.1"]) == (True, True, False)
    assert conditions(cluster.endpoints(ns)["10.0.0.2"]) == (False, False, False)
    cluster.running(ns, "b", "10.0.0.2", ready=True)
    wait_until("b is ready", lambda: conditions(cluster.endpoints(ns)["10.0.0.2"]) == (True, True, False))
    assert cluster.delete(f"/api/v1/namespaces/{ns}/pods/a").status == 200
    wait_until("a is terminating, still serving", lambda: conditions(cluster.endpoints(ns)["10.0.0.1"]) == (False, True, True))
    cluster.running(ns, "a", "10.0.0.1", ready=False)
    wait_until("a serves no more", lambda: conditions(cluster.endpoints(ns)["10.0.0.1"]) == (False, False, True))
    assert cluster.delete(f"/api/v1/namespaces/{ns}/pods/a?gracePeriodSeconds=0").status == 200
    wait_until("a is gone", lambda: set(cluster.endpoints(ns)) == {"10.0.0.2"})
    e = cluster.endpoints(ns)["10.0.0.2"]
    assert (e["nodeName"], e["targetRef"]["name"], e["targetRef"]["namespace"]) == ("n0", "b", ns)


def test_endpoints_object_has_the_same(cluster, ns):
    cluster.service(ns)
    cluster.pod(ns, "a", "10.0.0.1")
    cluster.pod(ns, "b", "10.0.0.2", ready=False)

    def subsets():
        r = cluster.get(f"/api/v1/namespaces/{ns}/endpoints/web")
        return r.status == 200 and r.json.get("subsets")
    s = wait_until("ready and not ready addresses", lambda: (subsets() or [{}])[0].get("notReadyAddresses") and subsets())
    assert [a["ip"] for a in s[0]["addresses"]] == ["10.0.0.1"]
    assert [a["ip"] for a in s[0]["notReadyAddresses"]] == ["10.0.0.2"]
    assert s[0]["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]


def test_publish_not_ready_addresses(cluster, ns):
    cluster.service(ns, publishNotReadyAddresses=True)
    cluster.pod(ns, "a", "10.0.0.1", ready=False)
    cluster.pod(ns, "b", "10.0.0.2", terminationGracePeriodSeconds=600)
    assert cluster.delete(f"/api/v1/namespaces/{ns}/pods/b").status == 200
    wait_until("both are told as ready; serving is their own", lambda: {ip: conditions(e) for ip, e in cluster.endpoints(ns).items()} == {
        "10.0.0.1": (True, False, False), "10.0.0.2": (True, True, True)})


def test_a_hundred_per_slice_and_one_pod_rewrites_one_slice(cluster, ns):
    cluster.service(ns)
    for i in range(230):
        cluster.pod(ns, f"p{i}", f"10.1.{i // 200}.{i % 200 + 1}")
    wait_until("all are told", lambda: len(cluster.endpoints(ns)) == 230)
    wait_until("three slices", lambda: sorted(len(s["endpoints"]) for s in cluster.slices(ns)) == [30, 100, 100])
    before = {s["metadata"]["name"]: s["metadata"]["resourceVersion"] for s in cluster.slices(ns)}
    cluster.running(ns, "p7", "10.1.0.8", ready=False)
    wait_until("p7 is told as not ready", lambda: not cluster.endpoints(ns)["10.1.0.8"]["conditions"]["ready"])
    after = {s["metadata"]["name"]: s["metadata"]["resourceVersion"] for s in cluster.slices(ns)}
    assert before.keys() == after.keys()
    assert sum(before[n] != after[n] for n in before) == 1


def test_named_ports_with_other_numbers(cluster, ns):
    cluster.service(ns, ports=[{"name": "http", "port": 80, "targetPort": "web"}, {"name": "udp", "port": 53, "protocol": "UDP", "targetPort": "dns"}])
    both = [{"name": "web", "containerPort": 8080}, {"name": "dns", "containerPort": 5353, "protocol": "UDP"}]
    cluster.pod(ns, "a", "10.0.0.1", ports=both)
    cluster.pod(ns, "b", "10.0.0.2", ports=[{"name": "web", "containerPort": 9090}])
    plain = {"name": "once", "image": "i", "ports": [{"name": "web", "containerPort": 1}]}
    sidecar = {"name": "side", "image": "i", "restartPolicy": "Always", "ports": [{"name": "web", "containerPort": 7070}]}
    cluster.pod(ns, "c", "10.0.0.3", initContainers=[plain, sidecar])
    wait_until("all are told", lambda: len(cluster.endpoints(ns)) == 3)
    of = {s["endpoints"][0]["addresses"][0]: sorted((p["name"], p["port"], p["protocol"]) for p in s["ports"]) for s in cluster.slices(ns)}
    assert of == {"10.0.0.1": [("http", 8080, "TCP"), ("udp", 5353, "UDP")], "10.0.0.2": [("http", 9090, "TCP")],
                  "10.0.0.3": [("http", 7070, "TCP")]}


def test_dual_stack(cluster, ns):
    cluster.service(ns, ipFamilyPolicy="RequireDualStack")
    cluster.pod(ns, "a", ips=["10.0.0.1", "fd00::1"])
    cluster.pod(ns, "b", ips=["10.0.0.2"])
    wait_until("three addresses", lambda: len(cluster.endpoints(ns)) == 3)
    by_type = {s["addressType"]: sorted(e["addresses"][0] for e in s["endpoints"]) for s in cluster.slices(ns)}
    assert by_type == {"IPv4": ["10.0.0.1", "10.0.0.2"], "IPv6": ["fd00::1"]}


def test_headless_hostname_and_zone(cluster, ns):
    cluster.node(f"{ns}-node", {"topology.kubernetes.io/zone": "east"})
    cluster.service(ns, clusterIP="None")
    cluster.pod(ns, "a", "10.0.0.1", node=f"{ns}-node", hostname="first", subdomain="web")
    e = wait_until("it is told", lambda: cluster.endpoints(ns).get("10.0.0.1"))
    assert (e.get("hostname"), e.get("zone")) == ("first", "east")
    ends = wait_until("Endpoints are told", lambda: (r := cluster.get(f"/api/v1/namespaces/{ns}/endpoints/web")).status == 200 and r.json)
    assert all(o["metadata"]["labels"]["service.kubernetes.io/headless"] == "" for o in [*cluster.slices(ns), ends])


def test_finished_relabelled_and_reselected_pods(cluster, ns):
    cluster.service(ns)
    for n, ip in (("a", "10.0.0.1"), ("b", "10.0.0.2"), ("c", "10.0.0.3")):
        cluster.pod(ns, n, ip)
    cluster.pod(ns, "d", "10.0.0.4", labels={"app": "other"})
    wait_until("three are told", lambda: set(cluster.endpoints(ns)) == {"10.0.0.1", "10.0.0.2", "10.0.0.3"})
    cluster.change(f"/api/v1/namespaces/{ns}/pods/a/status", {"status": {"phase": "Succeeded"}})
    wait_until("a finished pod is not", lambda: set(cluster.endpoints(ns)) == {"10.0.0.2", "10.0.0.3"})
    cluster.change(f"/api/v1/namespaces/{ns}/pods/b", {"metadata": {"labels": {"app": "other"}}})
    wait_until("a relabelled pod is not", lambda: set(cluster.endpoints(ns)) == {"10.0.0.3"})
    cluster.change(f"/api/v1/namespaces/{ns}/services/web", {"spec": {"selector": {"app": "other"}}})
    wait_until("the selector changed", lambda: set(cluster.endpoints(ns)) == {"10.0.0.2", "10.0.0.4"})


def test_no_pods_one_empty_slice_and_gone_with_the_service(cluster, ns):
    cluster.service(ns)
    wait_until("an empty slice", lambda: [s.get("endpoints") or [] for s in cluster.slices(ns)] == [[]])
    cluster.pod(ns, "a", "10.0.0.1")
    wait_until("it is told, and the empty slice is gone", lambda: list(cluster.endpoints(ns)) == ["10.0.0.1"] and len(cluster.slices(ns)) == 1)
    assert cluster.delete(f"/api/v1/namespaces/{ns}/services/web").status == 200
    wait_until("the slices are gone", lambda: not cluster.slices(ns))


def test_a_slice_deleted_by_hand_comes_back(cluster, ns):
    cluster.service(ns)
    cluster.pod(ns, "a", "10.0.0.1")
    wait_until("it is told", lambda: list(cluster.endpoints(ns)) == ["10.0.0.1"])
    name = cluster.slices(ns)[0]["metadata"]["name"]
    assert cluster.delete(f"/apis/discovery.k8s.io/v1/namespaces/{ns}/endpointslices/{name}").status == 200
    wait_until("another one is there", lambda: list(cluster.endpoints(ns)) == ["10.0.0.1"] and cluster.slices(ns)[0]["metadata"]["name"] != name)


def test_endpoints_are_cut_at_a_thousand(cluster, ns):
    cluster.service(ns)
    for i in range(1004):
        cluster.pod(ns, f"p{i}", f"10.7.{i >> 8}.{i & 255}", ready=i > 4)

    def cut():
        o = cluster.read(f"/api/v1/namespaces/{ns}/endpoints/web")
        sizes = [(len(x.get("addresses") or []), len(x.get("notReadyAddresses") or [])) for x in o.get("subsets") or []]
        return sizes == [(999, 1)] and o["metadata"]["annotations"].get("endpoints.kubernetes.io/over-capacity") == "truncated"
    wait_until("a thousand, ready ones first", cut, 60)
    cluster.remove(f"/api/v1/namespaces/{ns}/pods?fieldSelector=status.phase%3DRunning&labelSelector=app%3Dweb")
    wait_until("the mark goes", lambda: "endpoints.kubernetes.io/over-capacity" not in
               cluster.read(f"/api/v1/namespaces/{ns}/endpoints/web")["metadata"]["annotations"], 60)


def test_endpoints_have_the_first_family_of_their_service(cluster, ns):
    cluster.pod(ns, "both", ips=["10.9.0.1", "fd00::9"])
    cluster.service(ns, ipFamilies=["IPv6"])
    path = f"/api/v1/namespaces/{ns}/endpoints/web"
    subsets = wait_until("they are told", lambda: cluster.get(path).json.get("subsets"))
    assert [a["ip"] for a in subsets[0]["addresses"]] == ["fd00::9"]


def test_traffic_distribution(cluster, ns):
    near, far = f"{ns}-near", f"{ns}-far"
    cluster.node(near, {"topology.kubernetes.io/zone": "east"})
    cluster.node(far)
    cluster.service(ns, trafficDistribution="PreferSameNode")
    cluster.pod(ns, "a", "10.0.0.1", node=near)
    cluster.pod(ns, "b", "10.0.0.2", node=far)
    cluster.pod(ns, "c", "10.0.0.3", node=near, ready=False)

    def hints():
        return {ip: e.get("hints") for ip, e in cluster.endpoints(ns).items()}
    east, this, that = [{"name": "east"}], [{"name": near}], [{"name": far}]
    wait_until("nodes and zones", lambda: hints() == {
        "10.0.0.1": {"forNodes": this, "forZones": east}, "10.0.0.2": {"forNodes": that}, "10.0.0.3": None})
    cluster.change(f"/api/v1/namespaces/{ns}/services/web", {"spec": {"trafficDistribution": "PreferClose"}})
    wait_until("zones alone", lambda: hints() == {"10.0.0.1": {"forZones": east}, "10.0.0.2": None, "10.0.0.3": None})
    cluster.change(f"/api/v1/namespaces/{ns}/services/web", {"spec": {"trafficDistribution": None}})
    wait_until("none", lambda: not any(hints().values()))


def test_topology_mode_is_told_to_be_ignored(cluster, ns):
    cluster.service(ns)
    cluster.change(f"/api/v1/namespaces/{ns}/services/web", {"metadata": {"annotations": {"service.kubernetes.io/topology-mode": "Auto"}}})
    told = wait_until("an Event", lambda: [e for e in cluster.events(ns, "web") if e["reason"] == "FieldIgnored"])[0]
    assert told["type"] == "Warning" and "spec.trafficDistribution: PreferSameZone" in told["message"]


def test_a_named_port_that_no_pod_has(cluster, ns):
    """No pod in Endpoints; in a slice without ports, which nobody can reach (as Kubernetes has it)."""
    cluster.service(ns, ports=[{"name": "http", "port": 80, "targetPort": "h"}])
    cluster.pod(ns, "a", "10.0.0.1")
    wait_until("a slice", lambda: cluster.endpoints(ns))
    assert [s.get("ports") for s in cluster.slices(ns)] == [None]
    path = f"/api/v1/namespaces/{ns}/endpoints/web"
    wait_until("Endpoints", lambda: cluster.get(path).status == 200)
    assert not cluster.read(path).get("subsets")
    cluster.pod(ns, "b", "10.0.0.2", ports=[{"name": "h", "containerPort": 8080}])
    wait_until("the one that has it", lambda: [[a["ip"] for a in s["addresses"]] for s in cluster.read(path).get("subsets") or []] == [["10.0.0.2"]])


def test_subsets_are_sets_of_pods(cluster, ns):
    cluster.service(ns, ports=[{"name": n, "port": p, "targetPort": n} for n, p in (("h", 80), ("o", 81))])
    for name, ip, h in (("da1", "10.0.0.1", 80), ("da2", "10.0.0.2", 80), ("db", "10.0.0.3", 8080)):
        cluster.pod(ns, name, ip, ports=[{"name": "h", "containerPort": h}, {"name": "o", "containerPort": 9999}])

    def told():
        r = cluster.get(f"/api/v1/namespaces/{ns}/endpoints/web")
        return sorted([[a["ip"] for a in s["addresses"]], [(p["name"], p["port"]) for p in s["ports"]]] for s in (r.json.get("subsets") or [])) if r.status == 200 else []
    a, b, c = "10.0.0.1", "10.0.0.2", "10.0.0.3"
    wait_until("three subsets", lambda: told() == [[[a, b], [("h", 80)]], [[a, b, c], [("o", 9999)]], [[c], [("h", 8080)]]])
    cluster.remove(f"/api/v1/namespaces/{ns}/pods/db?gracePeriodSeconds=0")
    wait_until("one is left, with both ports", lambda: told() == [[[a, b], [("h", 80), ("o", 9999)]]])


def test_labels_of_a_service_reach_its_endpoints(cluster, ns):
    cluster.service(ns)
    path = f"/api/v1/namespaces/{ns}/endpoints/web"
    wait_until("they are there", lambda: cluster.get(path).status == 200)
    cluster.change(f"/api/v1/namespaces/{ns}/services/web", {"metadata": {"labels": {"team": "x"}}})
    wait_until("the label", lambda: cluster.read(path)["metadata"]["labels"].get("team") == "x")
