"""What the server makes at its start it keeps up, whatever part of it somebody deletes or edits."""
import pytest

from api_server import service
from suite import wait_until

DEFAULT = "/api/v1/namespaces/default"
SVC = f"{DEFAULT}/services/kubernetes"
EP = f"{DEFAULT}/endpoints/kubernetes"
SLICE = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"


def essence(server, path):
    """What of an object must come back: all but the metadata, and its labels."""
    reply = server.get(path)
    if reply.status != 200 or "deletionTimestamp" in reply.json["metadata"]:
        return None
    return {**{k: v for k, v in reply.json.items() if k != "metadata"}, "labels": reply.json["metadata"].get("labels")}


def comes_back(server, path, before):
    wait_until(f"{path} is as it was", lambda: essence(server, path) == before, timeout=5)


@pytest.mark.parametrize("path", [SVC, EP, SLICE])
def test_a_deleted_one_comes_back(server, path):
    before, uid = essence(server, path), server.get(path).json["metadata"]["uid"]
    assert server.delete(path).status == 200
    comes_back(server, path, before)
    assert server.get(path).json["metadata"]["uid"] != uid


def test_delete_all_all(server):
    before = essence(server, SVC)
    for path in (f"{DEFAULT}/services", f"{DEFAULT}/endpoints", SLICE.rsplit("/", 1)[0]):
        assert server.delete(path).status == 200
    for path in (SVC, EP, SLICE):
        wait_until(f"{path} is there", lambda: essence(server, path))
    assert essence(server, SVC) == before


@pytest.mark.parametrize("path, patch", [
    (SVC, {"spec": {"ports": [{"name": "https", "port": 444, "targetPort": 1}]}}),
    (SVC, {"spec": {"selector": {"app": "x"}}}),
    (SVC, {"spec": {"type": "NodePort"}}),
    (SVC, {"spec": {"type": "ExternalName", "externalName": "example.org"}}),
    (SVC, {"metadata": {"labels": {"provider": None, "component": "x"}}}),
    (EP, {"subsets": []}),
    (EP, {"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": None}}}),
    (SLICE, {"endpoints": []}),
    (SLICE, {"ports": [{"name": "https", "port": 1}]}),
    (SLICE, {"metadata": {"labels": {"kubernetes.io/service-name": "web"}}}),
])
def test_an_edited_one_is_put_back(server, path, patch):
    before = essence(server, path)
    assert server.patch(path, patch).status == 200
    comes_back(server, path, before)


def test_what_others_add_stays(server):
    before = essence(server, SVC)
    assert server.patch(SVC, {"metadata": {"labels": {"mine": "1"}, "annotations": {"note": "x"}}}).status == 200
    assert server.patch(SVC, {"spec": {"ports": [{"name": "https", "port": 444}]}}).status == 200
    comes_back(server, SVC, {**before, "labels": {**before["labels"], "mine": "1"}})
    assert server.get(SVC).json["metadata"]["annotations"] == {"note": "x"}
    assert server.patch(SVC, {"metadata": {"labels": {"mine": None}}}).status == 200


def test_the_address_is_nobody_elses_meanwhile(server, ns):
    ip = server.get(SVC).json["spec"]["clusterIP"]
    assert server.delete(SVC).status == 200
    reply = server.post(f"/api/v1/namespaces/{ns}/services", service("thief", clusterIP=ip))
    assert reply.status == 422 and "already allocated" in reply.json["message"]
    wait_until("it is back", lambda: server.get(SVC).status == 200)
    assert server.get(SVC).json["spec"]["clusterIP"] == ip


def test_one_made_by_somebody_with_another_address_is_put_right(server):
    before = essence(server, SVC)
    assert server.delete(SVC).status == 200
    server.post(f"{DEFAULT}/services", service("kubernetes"))  # too late at times: it is there already
    comes_back(server, SVC, before)


def test_one_that_is_held_comes_back_once_it_is_let_go(server):
    before = essence(server, SVC)
    assert server.patch(SVC, {"metadata": {"finalizers": ["example.org/hold"]}}).status == 200
    assert server.delete(SVC).status == 200
    uid = server.get(SVC).json["metadata"]["uid"]
    assert server.patch(SVC, {"metadata": {"finalizers": None}}).status == 200
    wait_until("a new one is there", lambda: essence(server, SVC) == before and server.get(SVC).json["metadata"]["uid"] != uid)


def test_one_that_is_held_serves_meanwhile(server):
    """Pods must find the server as long as the Service is there, on its way or not."""
    ports = server.get(SVC).json["spec"]["ports"]
    assert server.patch(SVC, {"metadata": {"finalizers": ["example.org/hold"]}}).status == 200
    assert server.delete(SVC).status == 200
    assert server.patch(SVC, {"spec": {"ports": [{"name": "https", "port": 444, "targetPort": 1}]}}).status == 200
    wait_until("it is put right", lambda: server.get(SVC).json["spec"]["ports"] == ports)
    assert "deletionTimestamp" in server.get(SVC).json["metadata"]
    assert server.patch(SVC, {"metadata": {"finalizers": None}}).status == 200
    wait_until("a new one is there", lambda: essence(server, SVC))


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
def test_the_first_namespaces_cannot_be_deleted(server, name):
    reply = server.delete(f"/api/v1/namespaces/{name}")
    assert (reply.status, reply.json["reason"]) == (403, "Forbidden")
    assert server.get(f"/api/v1/namespaces/{name}").json["status"]["phase"] == "Active"


def test_kube_node_lease_comes_back(server):
    path = "/api/v1/namespaces/kube-node-lease"
    uid = server.get(path).json["metadata"]["uid"]
    assert server.delete(path).status == 200
    assert server.get(path).json["status"]["phase"] == "Terminating"
    assert server.put(f"{path}/finalize", {**server.get(path).json, "spec": {"finalizers": []}}).status == 200
    wait_until("a new one is there", lambda: server.get(path).status == 200 and server.get(path).json["metadata"]["uid"] != uid)
    assert server.get(path).json["status"]["phase"] == "Active"


def test_a_restart_puts_right_what_was_edited_before(make_server):
    server = make_server(ephemeral=False)
    before = essence(server, SVC)
    server.stop()
    server.start()
    assert essence(server, SVC) == before
