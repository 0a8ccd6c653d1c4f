"""Subresources that change their object: eviction, scale, binding, finalize."""


def pod(name, **spec):
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "nginx"}], **spec}}


def eviction(name, **options):
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}, "deleteOptions": options}


def test_eviction_does_what_its_options_say(server, ns):
    """kubectl drain puts --dry-run=server and --grace-period into deleteOptions of the body."""
    url = f"/api/v1/namespaces/{ns}/pods"
    server.post(url, pod("p", nodeName="n0"))

    def deleted():
        m = server.get(f"{url}/p").json["metadata"]
        return m.get("deletionTimestamp") and m["deletionGracePeriodSeconds"]
    assert server.post(f"{url}/p/eviction", eviction("p", dryRun=["All"])).status == 201
    assert not deleted(), "a dry run deletes nothing"
    assert server.post(f"{url}/p/eviction?dryRun=All", eviction("p")).status == 201
    assert not deleted()
    assert server.post(f"{url}/p/eviction", eviction("p", preconditions={"uid": "other"})).status == 409
    assert server.post(f"{url}/p/eviction", eviction("another")).status == 400
    assert not deleted()
    r = server.post(f"{url}/p/eviction", eviction("p", gracePeriodSeconds=7))
    assert (r.status, r.json["kind"], r.json["status"]) == (201, "Status", "Success")
    assert deleted() == 7
