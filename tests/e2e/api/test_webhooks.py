"""Admission webhooks: asked over TLS, in order, with the whole review; what they say is done, and the words are a real API server's."""
import itertools
import json
import socket
import threading
import time

import pytest
from webhook_server import Webhook, label, patch, slow

from api_server import pod, service
from suite import wait_until

GROUP = "/apis/admissionregistration.k8s.io/v1"
_number = itertools.count()


@pytest.fixture(scope="module")
def hook(tmp_path_factory):
    w = Webhook(tmp_path_factory.mktemp("hook"))
    yield w
    w.close()


@pytest.fixture
def configure(server, hook, ns):
    """Makes configurations of webhooks that are about this test's namespace only."""
    made = []
    server.patch(f"/api/v1/namespaces/{ns}", {"metadata": {"labels": {"test": ns}}})
    hook.say.clear()
    hook.seen.clear()
    hook.paths.clear()

    def make(say, kind="mutating", name=None, resources=("configmaps",), operations=("*",), groups=("",), **more):
        path = f"/{next(_number)}"
        hook.say[path] = say
        name = name or f"c{path[1:]}"
        rules = [{"apiGroups": list(groups), "apiVersions": ["*"], "resources": list(resources), "operations": list(operations)}]
        spec = {"name": f"{name}.example.com", "clientConfig": {"url": hook.url(path), "caBundle": hook.bundle}, "rules": rules, "sideEffects": "None",
                "admissionReviewVersions": ["v1"], "namespaceSelector": {"matchLabels": {"test": ns}}} | more
        url = f"{GROUP}/{kind}webhookconfigurations"
        r = server.post(url, {"metadata": {"name": name}, "webhooks": [spec]})
        assert r.status == 201, r.body
        made.append(f"{url}/{name}")
        time.sleep(server.settle_s)
        return spec["name"]

    yield make
    for url in made:
        server.delete(url)


def maps(ns, name=None):
    return f"/api/v1/namespaces/{ns}/configmaps" + (f"/{name}" if name else "")


def create(server, ns, name="a", **more):
    return server.post(maps(ns), {"metadata": {"name": name}, **more})


# ---- what is asked ----

def test_the_question(server, hook, configure, ns):
    configure(lambda r: None)
    assert create(server, ns, data={"k": "v"}).status == 201
    review, = hook.seen
    request = review["request"]
    assert (review["kind"], review["apiVersion"]) == ("AdmissionReview", "admission.k8s.io/v1")
    assert len(request["uid"]) == 36
    assert request["kind"] == request["requestKind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
    assert request["resource"] == request["requestResource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert (request["name"], request["namespace"], request["operation"], request["dryRun"]) == ("a", ns, "CREATE", False)
    assert request["userInfo"]["username"] == "e2e-admin" and "system:masters" in request["userInfo"]["groups"]
    assert request["oldObject"] is None and request["options"]["kind"] == "CreateOptions" and "subResource" not in request
    o = request["object"]
    assert (o["kind"], o["apiVersion"], o["data"]) == ("ConfigMap", "v1", {"k": "v"})
    assert "uid" not in o["metadata"] and o["metadata"]["managedFields"]
    assert hook.paths[0].endswith("?timeout=10s")


def test_defaults_come_before(server, hook, configure, ns):
    configure(lambda r: None, resources=["pods"])
    server.post(f"/api/v1/namespaces/{ns}/pods", pod("p"))
    spec = hook.seen[0]["request"]["object"]["spec"]
    assert spec["restartPolicy"] == "Always" and spec["serviceAccountName"] == "default" and spec["volumes"][0]["name"].startswith("kube-api-access-")


@pytest.mark.parametrize("kind", ("mutating", "validating"))
def test_a_generated_name(server, hook, configure, ns, kind):
    """Not yet known to who may still change it."""
    configure(lambda r: None, kind=kind)
    made = server.post(maps(ns), {"metadata": {"generateName": "g-"}}).json["metadata"]
    request = hook.seen[0]["request"]
    assert request.get("name") == (None if kind == "mutating" else made["name"])
    assert request["object"]["metadata"].get("uid") == (None if kind == "mutating" else made["uid"])


def test_update_patch_apply_and_delete(server, hook, configure, ns):
    create(server, ns, data={"k": "1"})
    configure(lambda r: None)
    server.put(maps(ns, "a"), {"metadata": {"name": "a"}, "data": {"k": "2"}})
    server.patch(maps(ns, "a"), {"data": {"k": "3"}})
    server.call("PATCH", maps(ns, "a") + "?fieldManager=m&force=true", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "4"}}, type="application/apply-patch+yaml")
    server.delete(maps(ns, "a"))
    seen = [r["request"] for r in hook.seen]
    assert [r["operation"] for r in seen] == ["UPDATE", "UPDATE", "UPDATE", "DELETE"]
    assert [r["options"]["kind"] for r in seen] == ["UpdateOptions", "UpdateOptions", "UpdateOptions", "DeleteOptions"]
    assert [r["oldObject"]["data"]["k"] for r in seen] == ["1", "2", "3", "4"]
    assert [r["object"]["data"]["k"] for r in seen[:3]] == ["2", "3", "4"] and seen[3]["object"] is None
    assert all(r["object"]["metadata"]["uid"] for r in seen[1:3]) and server.get(maps(ns, "a")).status == 404


def test_dry_run(server, hook, configure, ns):
    configure(label("was-asked"))
    r = server.post(maps(ns) + "?dryRun=All", {"metadata": {"name": "a"}})
    assert hook.seen[0]["request"]["dryRun"] is True and hook.seen[0]["request"]["options"]["dryRun"] == ["All"]
    assert r.json["metadata"]["labels"] == {"was-asked": "yes"} and server.get(maps(ns, "a")).status == 404


def test_status_is_a_subresource(server, hook, configure, ns):
    configure(lambda r: None, resources=["pods/status"])
    server.post(f"/api/v1/namespaces/{ns}/pods", pod("p"))
    assert not hook.seen
    server.patch(f"/api/v1/namespaces/{ns}/pods/p/status", {"status": {"message": "m"}})
    request = hook.seen[0]["request"]
    assert request["subResource"] == request["requestSubResource"] == "status" and request["object"]["status"]["message"] == "m"


# ---- who is asked ----

@pytest.mark.parametrize("more, asked", (
    ({}, True),
    ({"resources": ["pods"]}, False),
    ({"resources": ["*"]}, True),
    ({"resources": ["*/*"]}, True),
    ({"resources": ["configmaps/*"]}, True),
    ({"resources": ["configmaps/status"]}, False),
    ({"groups": ["apps"]}, False),
    ({"groups": ["*"]}, True),
    ({"operations": ["UPDATE", "DELETE"]}, False),
    ({"operations": ["CREATE"]}, True),
    ({"namespaceSelector": {"matchLabels": {"test": "no"}}}, False),
    ({"namespaceSelector": {"matchExpressions": [{"key": "test", "operator": "DoesNotExist"}]}}, False),
    ({"objectSelector": {"matchLabels": {"app": "a"}}}, True),
    ({"objectSelector": {"matchLabels": {"app": "b"}}}, False),
    ({"objectSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}}, False),
), ids=str)
def test_who_is_asked(server, hook, configure, ns, more, asked):
    configure(lambda r: None, **more)
    server.post(maps(ns), {"metadata": {"name": "a", "labels": {"app": "a"}}})
    assert bool(hook.seen) == asked


@pytest.mark.parametrize("scope, of_cluster, asked", (("Cluster", True, True), ("Cluster", False, False), ("Namespaced", True, False), ("Namespaced", False, True)))
def test_scope(server, hook, configure, ns, scope, of_cluster, asked):
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["*"], "operations": ["*"], "scope": scope}]
    configure(lambda r: None, rules=rules)
    if of_cluster:
        server.patch(f"/api/v1/namespaces/{ns}", {"metadata": {"annotations": {"a": "b"}}})
    else:
        create(server, ns)
    assert bool(hook.seen) == asked


def test_a_namespace_is_selected_by_its_own_labels(server, hook, configure, ns):
    configure(lambda r: None, resources=["namespaces"])
    name = f"{ns}-other"
    server.post("/api/v1/namespaces", {"metadata": {"name": name, "labels": {"test": "no"}}})
    assert not hook.seen
    server.patch(f"/api/v1/namespaces/{name}", {"metadata": {"labels": {"test": ns}}})
    assert hook.seen[0]["request"]["namespace"] == hook.seen[0]["request"]["name"] == name


@pytest.mark.ours
@pytest.mark.parametrize("policy, asked", (("Equivalent", True), ("Exact", False)))
def test_another_version_of_the_same(server, hook, configure, ns, policy, asked):
    rules = [{"apiGroups": ["networking.k8s.io"], "apiVersions": ["v1"], "resources": ["ingresses"], "operations": ["*"]}]
    configure(label("seen"), rules=rules, matchPolicy=policy)
    path = f"/apis/extensions/v1beta1/namespaces/{ns}/ingresses"
    spec = {"backend": {"serviceName": "web", "servicePort": 80}}
    r = server.post(path, {"metadata": {"name": "a"}, "spec": spec})
    assert r.status == 201 and r.json["apiVersion"] == "extensions/v1beta1" and r.json["spec"] == spec
    assert (r.json["metadata"].get("labels") == {"seen": "yes"}) == asked == bool(hook.seen)
    if asked:
        request = hook.seen[0]["request"]
        assert request["kind"]["group"] == "networking.k8s.io" and request["requestKind"]["group"] == "extensions"
        assert request["object"]["apiVersion"] == "networking.k8s.io/v1" and request["object"]["spec"]["defaultBackend"]["service"]["name"] == "web"


def test_webhooks_do_not_decide_about_webhooks(server, hook, configure):
    name = configure(lambda r: {"allowed": False}, kind="validating", groups=["*"], resources=["*/*"], namespaceSelector={}).removesuffix(".example.com")
    assert server.delete(f"{GROUP}/validatingwebhookconfigurations/{name}").status == 200 and not hook.seen


def test_objects_of_custom_kinds(server, hook, configure, ns):
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer", "default": 3}, "color": {"type": "string", "enum": ["red"]}}}}}}
    group = f"{ns}.example.com"
    crd = {"metadata": {"name": f"things.{group}"}, "spec": {"group": group, "scope": "Namespaced", "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
           "versions": [{"name": v, "served": True, "storage": v == "v1", "schema": schema} for v in ("v1", "v2")]}}
    assert server.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd).status == 201
    wait_until("it is served", lambda: server.get(f"/apis/{group}/v1/namespaces/{ns}/things").status == 200)
    rules = [{"apiGroups": [group], "apiVersions": ["v2"], "resources": ["things"], "operations": ["*"]}]
    configure(lambda r: patch({"op": "add", "path": "/spec/color", "value": r["object"]["spec"].get("wish", "red")}, {"op": "add", "path": "/spec/unknown", "value": 1}), rules=rules)
    r = server.post(f"/apis/{group}/v1/namespaces/{ns}/things", {"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {}})
    assert r.status == 201 and r.json["apiVersion"] == f"{group}/v1" and r.json["spec"] == {"size": 3, "color": "red"}
    assert hook.seen[0]["request"]["object"]["apiVersion"] == f"{group}/v2" and hook.seen[0]["request"]["object"]["spec"] == {"size": 3}


# ---- what they say is done ----

def test_a_patch_is_checked_and_defaulted(server, configure, ns):
    container = {"name": "second", "image": "i"}
    configure(lambda r: patch({"op": "add", "path": "/spec/containers/-", "value": container}), resources=["pods"], operations=["CREATE"])
    r = server.post(f"/api/v1/namespaces/{ns}/pods", pod("p"))
    second = r.json["spec"]["containers"][1]
    assert second["terminationMessagePath"] == "/dev/termination-log" and second["imagePullPolicy"] == "Always"
    mounts = [c["volumeMounts"][0]["name"] for c in r.json["spec"]["containers"]]
    assert mounts[0] == mounts[1] and len(r.json["spec"]["volumes"]) == 1, "its account's token is mounted in what was put in, too"


def test_a_patch_that_makes_it_invalid(server, configure, ns):
    configure(lambda r: patch({"op": "replace", "path": "/spec/containers/0/name", "value": "No!"}), resources=["pods"])
    r = server.post(f"/api/v1/namespaces/{ns}/pods", pod("p"))
    assert r.status == 422 and "spec.containers[0].name" in r.json["message"]


@pytest.mark.parametrize("operations, words", (
    ([{"op": "remove", "path": "/data/none"}], "remove"),
    ([{"op": "replace", "path": "", "value": "text"}], "object"),
    ([{"op": "add", "path": "/data", "value": 5}], "data"),
    ([{"op": "boil", "path": "/data"}], "boil"),
), ids=str)
def test_a_patch_that_cannot_be_applied(server, configure, ns, operations, words):
    configure(lambda r: patch(*operations), failurePolicy="Ignore")
    r = create(server, ns, data={"a": "b"})
    assert r.status == 500 and r.json["message"].startswith("Internal error occurred: ") and words in r.json["message"], r.body
    assert server.get(maps(ns, "a")).status == 404


def test_identity_stays_the_servers(server, configure, ns):
    """As a client cannot choose them, a webhook cannot."""
    mine = {"uid": "mine", "resourceVersion": "7", "creationTimestamp": "2001-01-01T00:00:00Z", "name": "a", "generation": 99}
    configure(lambda r: patch({"op": "replace", "path": "/metadata", "value": {k: v for k, v in mine.items() if k != "resourceVersion"}}))
    made = create(server, ns).json["metadata"]
    assert made["uid"] != "mine" and made["creationTimestamp"] > "2020" and made["namespace"] == ns


@pytest.mark.ours
def test_managed_fields_are_not_a_webhooks(server, configure, ns):
    configure(lambda r: patch({"op": "replace", "path": "/metadata", "value": r["object"]["metadata"] | {"managedFields": [], "labels": {"x": "y"}}}))
    create(server, ns, data={"k": "v"})
    entries = server.get(maps(ns, "a")).json["metadata"]["managedFields"]
    assert len(entries) == 1 and "f:labels" not in json.dumps(entries)


def test_a_status_is_not_changed_through_the_object(server, configure, ns):
    server.post(f"/api/v1/namespaces/{ns}/pods", pod("p"))
    configure(lambda r: patch({"op": "add", "path": "/status/message", "value": "said"}, {"op": "add", "path": "/metadata/labels", "value": {"l": "v"}}), resources=["pods"])
    server.patch(f"/api/v1/namespaces/{ns}/pods/p", {"metadata": {"annotations": {"a": "b"}}})
    p = server.get(f"/api/v1/namespaces/{ns}/pods/p").json
    assert p["metadata"]["labels"] == {"l": "v"} and "message" not in p["status"]


def test_one_after_the_other_by_name(server, hook, configure, ns):
    def follow(mark):
        return lambda r: patch({"op": "add", "path": "/data/order", "value": r["object"]["data"].get("order", "") + mark})
    for mark in "cab":
        configure(follow(mark), name=f"{mark}-{ns}")
    assert create(server, ns, data={"x": "y"}).json["data"]["order"] == "abc"


@pytest.mark.parametrize("policy, calls", (("Never", 2), ("IfNeeded", 3)))
def test_asked_once_more(server, hook, configure, ns, policy, calls):
    """Because another has changed the object behind it."""
    configure(label("first"), name=f"a-{ns}", reinvocationPolicy=policy)
    configure(label("second"), name=f"b-{ns}")
    assert create(server, ns).json["metadata"]["labels"] == {"first": "yes", "second": "yes"}
    assert len(hook.seen) == calls
    if calls == 3:
        assert hook.seen[2]["request"]["object"]["metadata"]["labels"] == {"first": "yes", "second": "yes"}


def test_not_asked_again_for_what_it_did_itself(server, hook, configure, ns):
    configure(label("first"), name=f"a-{ns}")
    configure(label("second"), name=f"b-{ns}", reinvocationPolicy="IfNeeded")
    create(server, ns)
    assert len(hook.seen) == 2


def test_validating_see_what_mutating_have_made(server, hook, configure, ns):
    configure(lambda r: None, kind="validating")
    configure(label("m"))
    create(server, ns)
    assert [r["request"]["object"]["metadata"].get("labels") for r in hook.seen] == [None, {"m": "yes"}]


def test_warnings(server, configure, ns):
    configure(lambda r: {"warnings": ["mind the gap", "x" * 400]}, kind="validating")
    warnings = create(server, ns).warnings()
    assert '299 - "mind the gap"' in warnings and len(warnings) == 2


# ---- refusals ----

@pytest.mark.parametrize("kind", ("mutating", "validating"))
@pytest.mark.parametrize("status, code, reason, words", (
    (None, 400, None, " without explanation"),
    ({"message": "because"}, 400, None, ": because"),
    ({"reason": "Forbidden"}, 400, "Forbidden", ": Forbidden"),
    ({"message": "no", "code": 403, "reason": "Forbidden"}, 403, "Forbidden", ": no"),
    ({"message": "no", "code": 200}, 400, None, ": no"),
    ({"message": "no", "code": 422, "reason": "Invalid", "details": {"name": "n"}}, 422, "Invalid", ": no"),
), ids=str)
def test_refused(server, configure, ns, kind, status, code, reason, words):
    name = configure(lambda r: {"allowed": False} | ({"status": status} if status else {}), kind=kind)
    r = create(server, ns)
    assert (r.status, r.json["code"], r.json.get("reason")) == (code, code, reason)
    assert r.json["message"] == f'admission webhook "{name}" denied the request{words}' and r.json["status"] == "Failure"
    assert r.json.get("details") == (status or {}).get("details") and server.get(maps(ns, "a")).status == 404


@pytest.mark.ours
def test_what_nobody_is_asked_about_is_told(server, ns):
    rules = [{"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["pods", "deployments/scale", "pods/eviction"], "operations": ["CREATE", "CONNECT"]}]
    webhook = {"name": "a.example.com", "clientConfig": {"url": "https://127.0.0.1:1/x"}, "rules": rules, "sideEffects": "None", "admissionReviewVersions": ["v1"],
               "namespaceSelector": {"matchLabels": {"none": "such"}}}
    r = server.post(f"{GROUP}/validatingwebhookconfigurations?dryRun=All", {"metadata": {"name": ns}, "webhooks": [webhook]})
    assert r.warnings() == [f'299 - "webhook a.example.com: this lab asks nobody about {w}"' for w in ("deployments/scale", "pods/eviction", "CONNECT")]


@pytest.mark.ours
def test_a_code_that_is_none(server, configure, ns):
    """A real server has no answer at all."""
    configure(lambda r: {"allowed": False, "status": {"message": "no", "code": 99999}})
    assert create(server, ns).status == 500


@pytest.mark.ours
def test_warnings_are_cut(server, configure, ns):
    configure(lambda r: {"warnings": ["x" * 400] + [f"w{i}" for i in range(30)]})
    warnings = create(server, ns).warnings()
    assert len(warnings) <= 16 and all(len(w) < 300 for w in warnings)


def test_a_deletion_refused(server, configure, ns):
    create(server, ns)
    configure(lambda r: {"allowed": False, "status": {"message": "it stays"}}, kind="validating", operations=["DELETE"])
    r = server.delete(maps(ns, "a"))
    assert r.status == 400 and r.json["message"].endswith("denied the request: it stays") and server.get(maps(ns, "a")).status == 200


# ---- failures ----

def whole(response):
    return 200, json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})


BROKEN = {
    "500": (lambda r: (500, "boom"), 'failed to call webhook: an error on the server ("unknown") has prevented the request from succeeding'),
    "404": (lambda r: (404, ""), "failed to call webhook: the server could not find the requested resource"),
    "418": (lambda r: (418, ""), "failed to call webhook: the server responded with the status code 418 but did not return more information"),
    "no JSON": (lambda r: (200, "{"), "failed to call webhook: couldn't get version/kind; json parse error: "),
    "a list": (lambda r: (200, "[]"), "failed to call webhook: couldn't get version/kind; json parse error: "),
    "nothing": (lambda r: (200, ""), "failed to call webhook: 0-length response with status code: 200"),
    "no response": (lambda r: (200, "{}"), "received invalid webhook response: webhook response was absent"),
    "another uid": (lambda r: whole({"uid": "u", "allowed": True}), 'received invalid webhook response: expected response.uid="'),
    "no uid": (lambda r: whole({"allowed": True}), 'received invalid webhook response: expected response.uid="'),
    "v1beta1": (lambda r: (200, json.dumps({"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview", "response": {"uid": r["uid"], "allowed": True}})),
                "failed to call webhook: converting (v1beta1.AdmissionReview) to (v1.AdmissionReview): unknown conversion"),
    "another kind": (lambda r: (200, json.dumps({"apiVersion": "x/v1", "kind": "Other", "response": {"uid": r["uid"], "allowed": True}})),
                     'failed to call webhook: no kind "Other" is registered for version "x/v1"'),
    "no kind": (lambda r: (200, json.dumps({"response": {"uid": r["uid"], "allowed": True}})),
                "received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind="),
    "patch that is no list": (lambda r: {"patchType": "JSONPatch", "patch": "e30="}, "received undecodable patch in webhook response: "),
    "patch without type": (lambda r: {"patch": "W10="}, "received invalid webhook response: webhook returned response.patch but not response.patchType"),
    "type without patch": (lambda r: {"patchType": "JSONPatch"}, "received invalid webhook response: webhook returned response.patchType but not response.patch"),
    "another type": (lambda r: patch({"op": "add", "path": "/data", "value": {}}) | {"patchType": "Merge"}, 'unsupported patch type "Merge"'),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_answers(server, configure, ns, case):
    say, words = BROKEN[case]
    name = configure(say)
    r = create(server, ns)
    assert (r.status, r.json["reason"]) == (500, "InternalError")
    assert r.json["message"].startswith(f'Internal error occurred: failed calling webhook "{name}": ') and words in r.json["message"], r.body
    assert words in r.json["details"]["causes"][0]["message"] and server.get(maps(ns, "a")).status == 404


@pytest.mark.parametrize("case", BROKEN)
def test_broken_answers_that_are_passed_over(server, configure, ns, case):
    configure(BROKEN[case][0], failurePolicy="Ignore")
    configure(label("still-asked"))
    assert create(server, ns).json["metadata"]["labels"] == {"still-asked": "yes"}


def test_a_validating_webhook_may_not_patch(server, configure, ns):
    configure(label("x"), kind="validating")
    assert "validating webhook may not return response.patch" in create(server, ns).json["message"]


def test_a_webhook_that_is_not_there(server, configure, ns):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    name = configure(None, clientConfig={"url": f"https://127.0.0.1:{port}/x"})
    r = create(server, ns)
    assert r.status == 500 and f'failed calling webhook "{name}": failed to call webhook: Post "https://127.0.0.1:{port}/x?timeout=10s": ' in r.json["message"]


def test_a_service_that_is_not_there(server, configure, ns):
    ref = {"name": "hook", "namespace": ns, "path": "/p"}
    configure(None, clientConfig={"service": ref})
    post = f'failed to call webhook: Post "https://hook.{ns}.svc:443/p?timeout=10s": '
    assert create(server, ns).json["message"].endswith(post + 'service "hook" not found')
    server.post(f"/api/v1/namespaces/{ns}/services", service("hook", selector=None))
    assert create(server, ns).json["message"].endswith(post + 'no service port 443 found for service "hook"')


@pytest.mark.ours
def test_a_service_without_endpoints(server, configure, ns):
    """A real server asks its ClusterIP."""
    configure(None, clientConfig={"service": {"name": "hook", "namespace": ns}})
    server.post(f"/api/v1/namespaces/{ns}/services", service("hook", selector=None, ports=[{"port": 443}]))
    assert create(server, ns).json["message"].endswith('no endpoints available for service "hook"')


@pytest.mark.ours
def test_a_service(server, configure, ns, tmp_path):
    """Reached at its endpoint, known by the Service's name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback, which no endpoint may have")
        address = s.getsockname()[0]
    other = Webhook(tmp_path, address)
    other.say["/p"] = label("by-service")
    server.post("/api/v1/namespaces", {"metadata": {"name": "hooks"}})
    server.post("/api/v1/namespaces/hooks/services", service("hook", selector=None, ports=[{"port": 443, "targetPort": other.port, "name": "https"}]))
    server.post("/api/v1/namespaces/hooks/endpoints", {"metadata": {"name": "hook"}, "subsets": [{"addresses": [{"ip": address}], "ports": [{"port": other.port, "name": "https"}]}]})
    configure(None, clientConfig={"service": {"name": "hook", "namespace": "hooks", "path": "/p"}, "caBundle": other.bundle})
    r = create(server, ns)
    other.close()
    assert r.json["metadata"].get("labels") == {"by-service": "yes"}, r.body


def test_whom_it_does_not_trust(server, hook, configure, ns, tmp_path):
    other = Webhook(tmp_path)
    configure(None, clientConfig={"url": hook.url("/x"), "caBundle": other.bundle})
    other.close()
    r = create(server, ns)
    assert r.status == 500 and "certificate" in r.json["message"].lower() and not hook.seen, r.body


def test_a_slow_one(server, configure, ns):
    name = configure(slow(3), timeoutSeconds=1)
    began = time.monotonic()
    r = create(server, ns)
    assert r.status == 500 and r.json["message"].endswith("?timeout=1s\": context deadline exceeded") and name in r.json["message"]
    assert 0.9 < time.monotonic() - began < 2.5


# ---- while one waits ----

def in_background(fn, *args, **kw):
    out = []
    t = threading.Thread(target=lambda: out.append(fn(*args, **kw)))
    t.start()

    def result():
        t.join(15)
        return out[0]
    return result


class Gate:
    """A webhook that waits until it is let go."""

    def __init__(self, say=None):
        self.came, self.go, self.say = threading.Event(), threading.Event(), say

    def __call__(self, request):
        self.came.set()
        self.go.wait(10)
        return self.say(request) if self.say else None


def test_others_go_on(server, configure, ns):
    gate = Gate()
    configure(gate)
    result = in_background(create, server, ns)
    assert gate.came.wait(5)
    assert server.get(maps(ns)).json["items"] == []
    assert server.post(f"/api/v1/namespaces/{ns}/secrets", {"metadata": {"name": "s"}}).status == 201
    gate.go.set()
    assert result().status == 201


def test_somebody_else_writes_meanwhile(server, hook, configure, ns):
    """A patch begins anew from what the other has made; a replace of an old version is a conflict."""
    create(server, ns, data={"k": "1"})
    version = server.get(maps(ns, "a")).json["metadata"]["resourceVersion"]
    gate = Gate()
    configure(gate, objectSelector={"matchLabels": {"slow": "yes"}})
    patching = in_background(server.patch, maps(ns, "a"), {"metadata": {"labels": {"slow": "yes"}}, "data": {"mine": "x"}})
    assert gate.came.wait(5)
    gate.came.clear()
    replacing = in_background(server.put, maps(ns, "a"), {"metadata": {"name": "a", "resourceVersion": version, "labels": {"slow": "yes"}}})
    assert gate.came.wait(5)
    server.patch(maps(ns, "a"), {"data": {"other": "y"}})
    gate.go.set()
    assert patching().json["data"] == {"k": "1", "mine": "x", "other": "y"}
    r = replacing()
    assert r.status == 409 and r.json["reason"] == "Conflict"
    assert hook.seen[-1]["request"]["oldObject"]["data"] == {"k": "1", "other": "y"}


def test_two_that_make_the_same(server, configure, ns):
    gate = Gate()
    configure(gate)
    results = [in_background(create, server, ns) for _ in range(4)]
    assert gate.came.wait(5)
    gate.go.set()
    assert sorted(r().status for r in results) == [201, 409, 409, 409]


def test_what_goes_away_meanwhile(server, configure, ns):
    """The object, its namespace, its kind, the webhook, the client."""
    create(server, ns)
    gate = Gate()
    configure(gate, operations=["UPDATE"])
    result = in_background(server.patch, maps(ns, "a"), {"data": {"k": "v"}})
    assert gate.came.wait(5)
    server.delete(maps(ns, "a"))
    gate.go.set()
    assert result().status == 404


@pytest.mark.ours
def test_its_namespace_goes_meanwhile(server, configure, ns):
    gate = Gate()
    configure(gate, operations=["CREATE"])
    result = in_background(create, server, ns)
    assert gate.came.wait(5)
    server.delete(f"/api/v1/namespaces/{ns}")
    gate.go.set()
    assert result().status == 403


@pytest.mark.ours
def test_its_kind_goes_meanwhile(server, configure, ns):
    group = f"{ns}.example.org"
    crd = {"metadata": {"name": f"things.{group}"}, "spec": {"group": group, "scope": "Namespaced", "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
           "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}]}}
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    server.post(definitions, crd)
    gate = Gate()
    configure(gate, groups=[group], resources=["things"])
    result = in_background(server.post, f"/apis/{group}/v1/namespaces/{ns}/things", {"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": {"name": "a"}})
    assert gate.came.wait(5)
    server.delete(f"{definitions}/things.{group}")
    gate.go.set()
    assert result().status == 404


def test_the_webhook_goes_meanwhile(server, configure, ns):
    gate = Gate(label("late"))
    name = configure(gate).removesuffix(".example.com")
    result = in_background(create, server, ns)
    assert gate.came.wait(5)
    assert server.delete(f"{GROUP}/mutatingwebhookconfigurations/{name}").status == 200
    gate.go.set()
    assert result().json["metadata"]["labels"] == {"late": "yes"}
    assert "labels" not in create(server, ns, "b").json["metadata"]


@pytest.mark.ours
def test_the_client_goes_meanwhile(server, configure, ns):
    gate = Gate()
    configure(gate)
    c = server.connect()
    c.request("POST", maps(ns), json.dumps({"metadata": {"name": "a"}}), {"Authorization": "Bearer e2e-admin-token", "Content-Type": "application/json"})
    assert gate.came.wait(5)
    c.sock.close()
    c.close()
    deadline = time.monotonic() + 5
    while "fairlead_lab_webhook_held 0" not in server.get("/metrics").body.decode() and time.monotonic() < deadline:
        time.sleep(0.02)
    gate.go.set()
    assert "fairlead_lab_webhook_held 0" in server.get("/metrics").body.decode()
    assert server.get(maps(ns, "a")).status == 404


def test_addresses_are_given_once(server, configure, ns):
    """Of two Services that waited with the same address, one gets it."""
    gate = Gate()
    configure(gate, kind="validating", resources=["services"])
    results = [in_background(server.post, f"/api/v1/namespaces/{ns}/services", service(n, clusterIP="10.96.77.7")) for n in ("a", "b")]
    assert gate.came.wait(5)
    time.sleep(0.2)
    gate.go.set()
    assert sorted(r().status for r in results) == [201, 422]


@pytest.mark.ours
def test_the_server_ends_while_writes_wait(make_server, hook):
    server = make_server()
    gate = Gate()
    hook.say["/gate"] = gate
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["*"]}]
    server.post(f"{GROUP}/mutatingwebhookconfigurations", {"metadata": {"name": "m"}, "webhooks": [
        {"name": "m.example.com", "clientConfig": {"url": hook.url("/gate"), "caBundle": hook.bundle}, "rules": rules, "sideEffects": "None", "admissionReviewVersions": ["v1"]}]})

    def write():
        try:
            return create(server, "default").status
        except OSError:
            return "ended"
    result = in_background(write)
    assert gate.came.wait(5)
    assert server.stop() == 0
    gate.go.set()
    assert result() == "ended"
