"""Endpoints written by hand become EndpointSlices (KEP-1412)."""
from suite import wait_until

MIRROR = "endpointslicemirroring-controller.k8s.io"


def mirrors(cluster, ns, name="m"):
    return cluster.items(f"/apis/discovery.k8s.io/v1/namespaces/{ns}/endpointslices",
                         f"kubernetes.io/service-name={name},endpointslice.kubernetes.io/managed-by={MIRROR}")


def manual(name="m", n=2, **metadata):
    return {"metadata": {"name": name, **metadata}, "subsets": [
        {"addresses": [{"ip": f"10.9.{i >> 8}.{i & 255}"} for i in range(n)], "notReadyAddresses": [{"ip": "fd00::1"}],
         "ports": [{"name": "a", "port": 80}]}]}


def test_mirroring_of_manual_endpoints(cluster, ns):
    url = f"/api/v1/namespaces/{ns}/endpoints"
    cluster.create(url, manual(labels={"l": "1"}, annotations={
        "a": "1", "endpoints.kubernetes.io/last-change-trigger-time": "x", "kubectl.kubernetes.io/last-applied-configuration": "y"}))
    assert not mirrors(cluster, ns), "no Service, no mirror"
    cluster.service(ns, "m", selector={})
    both = wait_until("both families", lambda: len(m := mirrors(cluster, ns)) == 2 and m)
    got = {s["addressType"]: s for s in both}
    assert [e["conditions"]["ready"] for e in got["IPv4"]["endpoints"]] == [True, True]
    assert [e["conditions"]["ready"] for e in got["IPv6"]["endpoints"]] == [False]
    for s in got.values():
        assert s["metadata"]["labels"]["l"] == "1" and s["metadata"]["annotations"] == {"a": "1"}
        assert s["metadata"]["ownerReferences"][0]["kind"] == "Endpoints" and s["ports"] == [{"name": "a", "protocol": "TCP", "port": 80}]
    cluster.change(url + "/m", {"metadata": {"labels": {"l": "2", "k": "3"}, "annotations": {"a": None, "b": "2"}}})
    wait_until("labels and annotations follow", lambda: all(
        s["metadata"]["labels"].get("l") == "2" and s["metadata"]["labels"].get("k") == "3" and s["metadata"].get("annotations") == {"b": "2"}
        for s in mirrors(cluster, ns)))
    cluster.change(url + "/m", {"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}})
    wait_until("asked not to", lambda: not mirrors(cluster, ns))
    cluster.change(url + "/m", {"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": None}}})
    wait_until("and again", lambda: len(mirrors(cluster, ns)) == 2)
    cluster.change(url + "/m", {"metadata": {"annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}}})
    wait_until("a lock is no Endpoints", lambda: not mirrors(cluster, ns))
    cluster.change(url + "/m", {"metadata": {"annotations": {"control-plane.alpha.kubernetes.io/leader": None}}})
    wait_until("and again", lambda: len(mirrors(cluster, ns)) == 2)
    cluster.remove(url + "/m")
    wait_until("they go with the Endpoints", lambda: not mirrors(cluster, ns))


def test_mirroring_stops_at_a_thousand_addresses_of_a_subset(cluster, ns):
    cluster.service(ns, "m", selector={})
    cluster.create(f"/api/v1/namespaces/{ns}/endpoints", manual(n=1200))
    got = wait_until("the mirror", lambda: mirrors(cluster, ns))
    assert [(s["addressType"], len(s["endpoints"])) for s in got] == [("IPv4", 1000)], "not ready ones come after, and there is no room"
    assert {e["conditions"]["ready"] for e in got[0]["endpoints"]} == {True}


def test_a_selector_ends_mirroring(cluster, ns):
    cluster.service(ns, "m", selector={})
    cluster.create(f"/api/v1/namespaces/{ns}/endpoints", manual())
    wait_until("mirrored", lambda: mirrors(cluster, ns))
    cluster.change(f"/api/v1/namespaces/{ns}/services/m", {"spec": {"selector": {"app": "nobody"}}})
    wait_until("no longer", lambda: not mirrors(cluster, ns))


def test_addresses_and_their_changes_are_mirrored(cluster, ns):
    cluster.service(ns, selector={})
    path = f"/api/v1/namespaces/{ns}/endpoints"
    body = {"metadata": {"name": "web", "labels": {"by": "hand"}},
            "subsets": [{"addresses": [{"ip": "192.0.2.1", "hostname": "db"}], "notReadyAddresses": [{"ip": "192.0.2.2"}, {"ip": "2001:db8::2"}],
                         "ports": [{"name": "http", "port": 5432}]}]}
    cluster.create(path, body)
    wait_until("three addresses are mirrored", lambda: len(cluster.endpoints(ns)) == 3)
    told = cluster.endpoints(ns)
    assert (told["192.0.2.1"]["conditions"]["ready"], told["192.0.2.1"]["hostname"]) == (True, "db")
    assert told["192.0.2.2"]["conditions"]["ready"] is False
    assert {s["addressType"] for s in cluster.slices(ns)} == {"IPv4", "IPv6"}
    assert all(s["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == "endpointslicemirroring-controller.k8s.io" and
               s["ports"][0]["port"] == 5432 for s in cluster.slices(ns))
    cluster.change(f"{path}/web", {"subsets": [{"addresses": [{"ip": "192.0.2.9"}], "ports": [{"name": "http", "port": 5433}]}]})
    wait_until("the change is mirrored", lambda: list(cluster.endpoints(ns)) == ["192.0.2.9"] and cluster.slices(ns)[0]["ports"][0]["port"] == 5433)


def test_subsets_with_the_same_ports_share_a_slice_that_is_kept(cluster, ns):
    cluster.service(ns, "m", selector={})
    subsets = [{"addresses": [{"ip": f"192.0.2.{i}"}], "ports": [{"port": port}]} for i, port in ((1, 80), (2, 80), (3, 81))]
    cluster.create(f"/api/v1/namespaces/{ns}/endpoints", {"metadata": {"name": "m"}, "subsets": subsets})

    def told():
        return {s["ports"][0]["port"]: (s["metadata"]["name"], s["metadata"]["generateName"], sorted(e["addresses"][0] for e in s["endpoints"]))
                for s in mirrors(cluster, ns)}
    before = wait_until("two slices", lambda: len(told()) == 2 and told())
    assert before[80][1:] == ("m-", ["192.0.2.1", "192.0.2.2"]) and before[81][1:] == ("m-", ["192.0.2.3"])
    cluster.change(f"/api/v1/namespaces/{ns}/endpoints/m", {"subsets": [subsets[2], subsets[0]]})
    wait_until("one address less", lambda: told().get(80, ((), (), ()))[2] == ["192.0.2.1"])
    assert {p: t[0] for p, t in told().items()} == {p: t[0] for p, t in before.items()}, "in the same slices"
