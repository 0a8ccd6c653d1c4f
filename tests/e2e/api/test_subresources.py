"""Subresources that change their object: eviction, scale, binding, finalize."""
from api_server import deployment, pod


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


def test_scale_takes_patches_of_every_form_and_only_numbers(server, ns):
    url = f"/apis/apps/v1/namespaces/{ns}/deployments"
    server.post(url, deployment("d", 3))
    for body, status in (({"spec": {"replicas": "5"}}, 400), ({"spec": 5}, 400), ({"spec": {"replicas": 5000000000}}, 400),
                         ({"spec": {"replicas": -1}}, 422)):
        r = server.patch(f"{url}/d/scale", body)
        assert r.status == status, r.body
        assert server.get(f"{url}/d").json["spec"]["replicas"] == 3, body
    for kind, body, n in (("merge", {"spec": {"replicas": 4}}, 4), ("strategic", {"spec": {"replicas": 5}}, 5),
                          ("json", [{"op": "replace", "path": "/spec/replicas", "value": 6}], 6)):
        assert server.patch(f"{url}/d/scale", body, kind).json["spec"]["replicas"] == n
        assert server.get(f"{url}/d").json["spec"]["replicas"] == n
    assert server.call("PATCH", f"{url}/d/scale", "{}", type="text/plain").status == 415
    assert server.patch(f"{url}/d/scale", {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 9}}).status == 409
    assert server.get(f"{url}/d").json["spec"]["replicas"] == 6


def test_binding_is_a_dry_run_when_asked_and_of_this_pod(server, ns):
    url = f"/api/v1/namespaces/{ns}/pods"
    server.post(url, pod("p"))
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n0"}}
    assert server.post(f"{url}/p/binding?dryRun=All", binding).status == 201
    assert "nodeName" not in server.get(f"{url}/p").json["spec"]
    assert server.post(f"{url}/p/binding", {**binding, "metadata": {"uid": "of-one-before"}}).status == 409
    assert server.post(f"{url}/p/binding", {**binding, "target": {"name": "../x y"}}).status == 422, "nothing could change such a pod again"
    assert "nodeName" not in server.get(f"{url}/p").json["spec"]
    assert server.post(f"{url}/p/binding", binding).status == 201
    assert server.get(f"{url}/p").json["spec"]["nodeName"] == "n0"


def test_methods_of_subresources(server, ns):
    server.post(f"/apis/apps/v1/namespaces/{ns}/deployments", deployment("d", 1))
    assert server.call("DELETE", f"/api/v1/namespaces/{ns}/finalize", {"metadata": {"name": ns}}).status == 405
    assert server.get(f"/api/v1/namespaces/{ns}").json["spec"]["finalizers"] == ["kubernetes"]
    for method in ("DELETE", "POST"):
        assert server.call(method, f"/apis/apps/v1/namespaces/{ns}/deployments/d/scale", {}).status == 405
