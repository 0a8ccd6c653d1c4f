"""What a write is refused for, and what it counts as."""
import pytest

SLICES = "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices"


def test_collections_are_never_deleted_over_namespaces(server, ns):
    """A real server has no such method; DELETE /api/v1/pods must not end the cluster's pods."""
    server.post(f"/api/v1/namespaces/{ns}/configmaps", {"metadata": {"name": "c"}})
    for path in ("/api/v1/configmaps", "/api/v1/pods", "/api/v1/namespaces", "/apis/apps/v1/deployments"):
        assert server.delete(path).status == 405, path
    assert server.get(f"/api/v1/namespaces/{ns}/configmaps/c").status == 200
    verbs = {r["name"]: r["verbs"] for r in server.get("/api/v1").json["resources"]}
    assert "deletecollection" not in verbs["namespaces"] and "deletecollection" in verbs["configmaps"]


def test_a_body_without_kind_gets_the_same_defaults(server, ns):
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}
    r = server.post(f"/apis/apps/v1/namespaces/{ns}/deployments", {"metadata": {"name": "d"}, "spec": spec})
    assert r.json["spec"]["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}


def test_generation_of_slices(server, ns):
    url = SLICES.format(ns)
    server.post(url, {"metadata": {"name": "s"}, "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": []})

    def generation(body):
        return server.patch(f"{url}/s", body).json["metadata"]["generation"]
    assert generation({"metadata": {"annotations": {"a": "b"}}}) == 1
    assert generation({"endpoints": [{"addresses": ["10.0.0.2"]}]}) == 2
    assert generation({"ports": [{"port": 80}]}) == 3
    assert generation({"metadata": {"labels": {"a": "b"}}}) == 4


def test_a_pod_names_an_account_that_is_there(server, ns):
    pod = {"metadata": {"name": "p"}, "spec": {"serviceAccountName": "typo", "containers": [{"name": "c", "image": "i"}]}}
    r = server.post(f"/api/v1/namespaces/{ns}/pods", pod)
    assert (r.status, r.json["reason"]) == (403, "Forbidden")
    assert r.json["message"] == f'pods "p" is forbidden: error looking up service account {ns}/typo: serviceaccount "typo" not found'
    server.post(f"/api/v1/namespaces/{ns}/serviceaccounts", {"metadata": {"name": "typo"}})
    assert server.post(f"/api/v1/namespaces/{ns}/pods", pod).status == 201


def test_a_watch_from_the_future_is_silent(server, ns):
    """As on a real server: what happens before that version is not told as news; a list says at once that there is none."""
    w = server.watch(f"/api/v1/namespaces/{ns}/configmaps?watch=1&resourceVersion=99999999&timeoutSeconds=1")
    assert server.post(f"/api/v1/namespaces/{ns}/configmaps", {"metadata": {"name": "a"}}).status == 201
    assert w.status == 200 and w.next() is None
    r = server.get(f"/api/v1/namespaces/{ns}/configmaps?resourceVersion=99999999")
    assert r.status == 504 and r.json["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


@pytest.mark.parametrize("kind, data, words", (
    ("dockercfg", {}, "data[.dockercfg]: Required value"),
    ("dockerconfigjson", {}, "data[.dockerconfigjson]: Required value"),
    ("dockerconfigjson", {".dockerconfigjson": "{"}, 'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": '),
    ("dockerconfigjson", {".dockerconfigjson": "[]"}, 'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": '),
    ("dockerconfigjson", {".dockerconfigjson": "{}"}, None),
    ("basic-auth", {}, "[data[username]: Required value, data[password]: Required value]"),
    ("basic-auth", {"password": "p"}, None),
    ("ssh-auth", {"password": "p"}, "data[ssh-privatekey]: Required value"),
    ("ssh-auth", {"ssh-privatekey": "k"}, None),
    ("tls", {"tls.crt": "c"}, "data[tls.key]: Required value"),
    ("tls", {"tls.crt": "", "tls.key": ""}, None),
    ("service-account-token", {}, "metadata.annotations[kubernetes.io/service-account.name]: Required value")))
def test_secrets_hold_what_their_type_says(server, ns, kind, data, words):
    r = server.post(f"/api/v1/namespaces/{ns}/secrets", {"metadata": {"name": "s"}, "type": f"kubernetes.io/{kind}", "stringData": data})
    assert r.status == (422 if words else 201), r.body
    if words:
        assert r.json["message"].startswith(f'Secret "s" is invalid: {words}')


@pytest.mark.parametrize("namespace, involved, status", (("{ns}", "{ns}", 201), ("{ns}", "default", 422), ("{ns}", None, 422), ("default", None, 201)))
def test_an_event_stands_where_its_object_is(server, ns, namespace, involved, status):
    about = {"kind": "Pod", "name": "p"} | ({"namespace": involved.format(ns=ns)} if involved else {})
    url = f"/namespaces/{namespace.format(ns=ns)}/events"
    core = {"metadata": {"generateName": "e-"}, "involvedObject": about, "reason": "R", "type": "Normal"}
    new = {"metadata": {"generateName": "e-"}, "regarding": about, "reason": "R", "type": "Normal", "action": "A",
           "reportingController": "c", "reportingInstance": "i", "eventTime": "2026-01-02T03:04:05.000006Z"}
    for path, body in (("/api/v1", core), ("/apis/events.k8s.io/v1", new)):
        r = server.post(path + url, body)
        # one with an eventTime may be about an object of another namespace, as on a real server
        expected = 201 if body is new and involved else status
        assert r.status == expected, r.body
        if expected == 422:
            value = about.get("namespace", "")
            assert f'involvedObject.namespace: Invalid value: "{value}": does not match event.namespace' in r.json["message"]
