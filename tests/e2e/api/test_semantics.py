"""Every line of the API semantics checklist (server-side apply excepted), over raw HTTPS."""
import base64
import json
import time

from api_server import deployment, pod, service

PODS = "/api/v1/namespaces/{}/pods"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


def cm(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data or {"a": "b"}}


def path(ns, plural="configmaps", name=None):
    return f"/api/v1/namespaces/{ns}/{plural}" + (f"/{name}" if name else "")


# ---- versions, lists, pages ----

def test_resource_version_is_one_counter(server, ns):
    a = server.post(path(ns), cm("a")).json["metadata"]
    b = server.post(path(ns, "services"), service("b")).json["metadata"]
    assert a["resourceVersion"].isdigit() and int(b["resourceVersion"]) > int(a["resourceVersion"])
    assert int(server.get(path(ns)).json["metadata"]["resourceVersion"]) == int(b["resourceVersion"])


def test_version_is_not_reused_after_restart(make_server):
    s = make_server(ephemeral=False)
    s.post(path("default"), cm("a"))
    last = int(s.delete(path("default", name="a")).json["details"] and s.get(path("default")).json["metadata"]["resourceVersion"])
    s.stop()
    s.start()
    assert int(s.post(path("default"), cm("b")).json["metadata"]["resourceVersion"]) > last


def test_empty_list_has_items(server, ns):
    j = server.get(path(ns)).json
    assert j["items"] == [] and j["kind"] == "ConfigMapList" and j["apiVersion"] == "v1"
    assert server.get(path(ns) + "?resourceVersion=0").json["items"] == []


def test_pages(server, ns):
    for i in range(5):
        server.post(path(ns), cm(f"c{i}"))
    first = server.get(path(ns) + "?limit=2").json
    assert [o["metadata"]["name"] for o in first["items"]] == ["c0", "c1"]
    assert first["metadata"]["remainingItemCount"] == 3
    second = server.get(path(ns) + "?limit=2&continue=" + first["metadata"]["continue"]).json
    assert [o["metadata"]["name"] for o in second["items"]] == ["c2", "c3"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    third = server.get(path(ns) + "?limit=2&continue=" + second["metadata"]["continue"]).json
    assert [o["metadata"]["name"] for o in third["items"]] == ["c4"] and "continue" not in third["metadata"]
    assert server.get(path(ns) + "?continue=!!").status == 400


def test_expired_continue_is_410(make_server):
    s = make_server()
    for n in "ab":
        s.post(path("default"), cm(n))
    token = s.get(path("default") + "?limit=1").json["metadata"]["continue"]
    c = s.connect()
    for i in range(17000):
        s.call("PATCH", path("default", name="a"), json.dumps({"data": {"a": str(i)}}), type="application/merge-patch+json", conn=c)
    r = s.get(path("default") + "?limit=1&continue=" + token)
    assert (r.status, r.json["reason"]) == (410, "Expired")
    r = s.get(path("default") + "?watch=1&resourceVersion=2")
    assert (r.status, r.json["reason"]) == (410, "Expired")


# ---- selectors ----

def test_label_selectors(server, ns):
    for name, labels in (("a", {"x": "1", "y": "1"}), ("b", {"x": "2"}), ("c", {})):
        server.post(path(ns), {**cm(name), "metadata": {"name": name, "labels": labels}})
    want = {"x%3D1": "a", "x%3D%3D1": "a", "x!%3D1": "bc", "x%20in%20(1,2)": "ab", "x%20notin%20(1)": "bc", "x": "ab",
            "!x": "c", "x,y": "a", "x%3D1,y!%3D1": "", "x%3E1": "b"}
    for selector, names in want.items():
        got = server.get(path(ns) + "?labelSelector=" + selector).json["items"]
        assert "".join(o["metadata"]["name"] for o in got) == names, selector
    bad = server.get(path(ns) + "?labelSelector=x%20of%20(1)")
    assert bad.status == 400 and "unable to parse requirement" in bad.json["message"]


def test_field_selectors(server, ns):
    server.post(path(ns, "pods"), pod("p", nodeName="n1"))
    server.post(path(ns, "pods"), pod("q"))
    for selector, names in {"metadata.name=p": "p", "spec.nodeName=n1": "p", "spec.nodeName!=n1": "q", "status.phase=Pending": "pq",
                            f"metadata.namespace={ns},metadata.name!=p": "q", "spec.serviceAccountName=default": "pq"}.items():
        got = server.get(path(ns, "pods") + "?fieldSelector=" + selector.replace("=", "%3D")).json["items"]
        assert "".join(o["metadata"]["name"] for o in got) == names, selector
    bad = server.get(path(ns, "pods") + "?fieldSelector=spec.nope%3D1")
    assert bad.status == 400 and "field label not supported: spec.nope" in bad.json["message"]
    for plural in ("configmaps", "services", "secrets", "endpoints", "events", "serviceaccounts"):
        assert server.get(path(ns, plural) + "?fieldSelector=metadata.name%3Dx").status == 200


# ---- watch ----

def test_watch_from_version(server, ns):
    rv = server.post(path(ns), cm("a")).json["metadata"]["resourceVersion"]
    w = server.watch(path(ns) + f"?watch=1&resourceVersion={rv}")
    server.patch(path(ns, name="a"), {"data": {"a": "c"}})
    server.delete(path(ns, name="a"))
    e1, e2 = w.next(), w.next()
    assert (e1["type"], e1["object"]["data"]["a"]) == ("MODIFIED", "c")
    assert e2["type"] == "DELETED" and int(e2["object"]["metadata"]["resourceVersion"]) > int(e1["object"]["metadata"]["resourceVersion"])
    w.close()


def test_watch_without_version_begins_with_added(server, ns):
    server.post(path(ns), cm("a"))
    for query in ("", "&resourceVersion=0"):
        w = server.watch(path(ns) + "?watch=1" + query)
        e = w.next()
        assert (e["type"], e["object"]["metadata"]["name"]) == ("ADDED", "a")
        w.close()


def test_watch_selector_enter_and_leave(server, ns):
    server.post(path(ns), cm("a"))
    rv = server.get(path(ns)).json["metadata"]["resourceVersion"]
    w = server.watch(path(ns) + f"?watch=1&labelSelector=x%3D1&resourceVersion={rv}")
    for labels in ({"x": "1"}, {"x": "1", "y": "2"}, {"x": "2"}):
        server.patch(path(ns, name="a"), {"metadata": {"labels": labels}})
    assert [w.next()["type"] for _ in range(3)] == ["ADDED", "MODIFIED", "DELETED"]
    w.close()


def test_watch_ends_with_bookmark(server, ns):
    w = server.watch(path(ns) + "?watch=1&timeoutSeconds=1&allowWatchBookmarks=true")
    e = w.next()
    assert e["type"] == "BOOKMARK" and e["object"]["kind"] == "ConfigMap" and e["object"]["metadata"]["resourceVersion"].isdigit()
    assert w.next() is None


def test_watch_list(server, ns):
    server.post(path(ns), cm("a"))
    w = server.watch(path(ns) + "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true")
    seen = w.until("BOOKMARK")
    assert [e["type"] for e in seen] == ["ADDED", "BOOKMARK"]
    assert seen[-1]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true"
    server.post(path(ns), cm("b"))
    assert w.next()["object"]["metadata"]["name"] == "b"
    w.close()
    assert server.get(path(ns) + "?watch=1&sendInitialEvents=true").status == 422


def test_watch_as_table(server, ns):
    server.post(path(ns), cm("a"))
    w = server.watch(path(ns) + "?watch=1", headers=TABLE)
    e = w.next()
    assert e["object"]["kind"] == "Table" and e["object"]["rows"][0]["cells"][:2] == ["a", 1]
    assert e["object"]["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    w.close()


def test_encodes_do_not_grow_with_watchers(server, ns):
    def encodes():
        text = server.get("/metrics").body.decode()
        return sum(int(l.split()[-1]) for l in text.splitlines() if l.startswith("fairlead_lab_watch_encodes_total"))

    rv = server.post(path(ns), cm("a")).json["metadata"]["resourceVersion"]
    watchers = [server.watch(path(ns) + f"?watch=1&resourceVersion={rv}") for _ in range(20)]
    before = encodes()
    for i in range(10):
        server.patch(path(ns, name="a"), {"data": {"a": str(i)}})
    for w in watchers:
        for _ in range(10):
            assert w.next()["type"] == "MODIFIED"
        w.close()
    assert encodes() - before == 10


# ---- writes ----

def test_create_fills_metadata(server, ns):
    j = server.post(path(ns), {"metadata": {"generateName": "g-", "uid": "mine", "resourceVersion": ""}}).json
    m = j["metadata"]
    assert j["kind"] == "ConfigMap" and m["name"].startswith("g-") and len(m["name"]) == 7
    assert m["uid"] != "mine" and m["creationTimestamp"].endswith("Z") and m["namespace"] == ns


def test_errors_are_statuses(server, ns):
    server.post(path(ns), cm("a"))
    for r, status, reason, message in (
            (server.get(path(ns, name="x")), 404, "NotFound", 'configmaps "x" not found'),
            (server.get(f"/apis/apps/v1/namespaces/{ns}/deployments/x"), 404, "NotFound", 'deployments.apps "x" not found'),
            (server.post(path(ns), cm("a")), 409, "AlreadyExists", 'configmaps "a" already exists'),
            (server.get("/api/v1/nopes"), 404, "NotFound", "the server could not find the requested resource"),
            (server.put(path(ns), cm("a")), 405, "MethodNotAllowed", "the server does not allow this method on the requested resource"),
            (server.get(path(ns), headers={"Accept": "text/csv"}), 406, "NotAcceptable", None),
            (server.call("POST", path(ns), "x", type="text/plain"), 415, "UnsupportedMediaType", None),
            (server.post(path(ns), {"metadata": {"name": "B"}}), 422, "Invalid", None),
            (server.post(path("nowhere"), cm("a")), 404, "NotFound", 'namespaces "nowhere" not found'),
            (server.get(path(ns), token="wrong"), 401, "Unauthorized", "Unauthorized"),
            (server.get(path(ns), token=None), 401, "Unauthorized", "Unauthorized")):
        j = r.json
        assert (r.status, j["kind"], j["status"], j["code"], j["reason"]) == (status, "Status", "Failure", status, reason), j
        if message:
            assert j["message"] == message


def test_invalid_names_the_field(server, ns):
    j = server.post(path(ns, "services"), service("x", ports=[])).json
    assert j["message"] == 'Service "x" is invalid: spec.ports: Required value'
    assert j["details"]["causes"] == [{"reason": "FieldValueRequired", "message": "Required value", "field": "spec.ports"}]


def test_optimistic_lock(server, ns):
    old = server.post(path(ns), cm("a")).json
    server.patch(path(ns, name="a"), {"data": {"a": "1"}})
    r = server.put(path(ns, name="a"), old)
    assert r.status == 409 and "the object has been modified; please apply your changes to the latest version" in r.json["message"]
    r = server.patch(path(ns, name="a"), {"metadata": {"resourceVersion": old["metadata"]["resourceVersion"]}, "data": {"a": "2"}})
    assert r.status == 409
    del old["metadata"]["resourceVersion"]
    assert server.put(path(ns, name="a"), old).status == 200


def test_a_change_that_changes_nothing_has_no_new_version(server, ns):
    a = server.post(path(ns), cm("a")).json
    assert server.put(path(ns, name="a"), a).json == a
    assert server.patch(path(ns, name="a"), {"data": {"a": "b"}}).json == a


def test_generation_counts_spec_only(server, ns):
    url = f"/apis/apps/v1/namespaces/{ns}/deployments"
    d = server.post(url, deployment("d")).json
    assert d["metadata"]["generation"] == 1
    assert server.patch(url + "/d", {"metadata": {"labels": {"a": "b"}}}).json["metadata"]["generation"] == 1
    assert server.patch(url + "/d", {"spec": {"replicas": 2}}).json["metadata"]["generation"] == 2
    assert server.patch(url + "/d/status", {"status": {"replicas": 2}}).json["metadata"]["generation"] == 2


def test_status_is_apart(server, ns):
    url = f"/apis/apps/v1/namespaces/{ns}/deployments"
    server.post(url, {**deployment("d"), "status": {"replicas": 9}})
    d = server.get(url + "/d").json
    assert "replicas" not in d["status"]
    d["status"] = {"replicas": 3}
    d["spec"]["replicas"] = 7
    got = server.put(url + "/d/status", d).json
    assert (got["status"]["replicas"], got["spec"]["replicas"]) == (3, 1)
    assert server.patch(url + "/d", {"status": {"replicas": 4}}).json["status"]["replicas"] == 3
    # Annotations travel through /status too; labels of a Deployment and owners of a Pod do not.
    got = server.patch(url + "/d/status", {"metadata": {"annotations": {"a": "b"}, "labels": {"c": "d"}}}).json
    assert (got["metadata"]["annotations"], "c" in got["metadata"].get("labels", {}), got["status"]["replicas"]) == ({"a": "b"}, False, 3)
    pods = f"/api/v1/namespaces/{ns}/pods"
    server.post(pods, pod("p"))
    got = server.patch(pods + "/p/status", {"metadata": {"labels": {"c": "d"}, "ownerReferences": [
        {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "y"}]}, "status": {"phase": "Running"}}).json
    assert (got["metadata"]["labels"]["c"], "ownerReferences" in got["metadata"], got["status"]["phase"]) == ("d", False, "Running")


def test_scale(server, ns):
    url = f"/apis/apps/v1/namespaces/{ns}/deployments/d/scale"
    server.post(f"/apis/apps/v1/namespaces/{ns}/deployments", deployment("d"))
    j = server.get(url).json
    assert (j["kind"], j["apiVersion"], j["spec"]["replicas"], j["status"]["selector"]) == ("Scale", "autoscaling/v1", 1, "app=d")
    j["spec"]["replicas"] = 4
    assert server.put(url, j).json["spec"]["replicas"] == 4
    assert server.patch(url, {"spec": {"replicas": 0}}).json["spec"].get("replicas", 0) == 0
    assert server.patch(url, {"spec": {"replicas": -1}}).status == 422


def test_dry_run_changes_nothing(server, ns):
    assert server.post(path(ns) + "?dryRun=All", cm("a")).status == 201
    assert server.get(path(ns, name="a")).status == 404
    server.post(path(ns), cm("a"))
    assert server.patch(path(ns, name="a") + "?dryRun=All", {"data": {"a": "9"}}).json["data"]["a"] == "9"
    assert server.delete(path(ns, name="a") + "?dryRun=All").status == 200
    assert server.get(path(ns, name="a")).json["data"]["a"] == "b"


# ---- patches ----

def test_json_patch(server, ns):
    server.post(path(ns), cm("a", x="1", y="2"))
    ops = [{"op": "test", "path": "/data/x", "value": "1"}, {"op": "replace", "path": "/data/x", "value": "3"},
           {"op": "remove", "path": "/data/y"}, {"op": "add", "path": "/data/a~1b", "value": "s"} | {"path": "/data/z"},
           {"op": "copy", "from": "/data/x", "path": "/data/c"}, {"op": "move", "from": "/data/c", "path": "/data/m"}]
    assert server.patch(path(ns, name="a"), ops, "json").json["data"] == {"x": "3", "z": "s", "m": "3"}
    assert server.patch(path(ns, name="a"), [{"op": "test", "path": "/data/x", "value": "no"}], "json").status == 422
    assert server.patch(path(ns, name="a"), [{"op": "remove", "path": "/data/none"}], "json").status == 422
    assert server.patch(path(ns, name="a"), [{"op": "bogus", "path": "/x"}], "json").status == 422
    assert server.patch(path(ns, name="a"), {"op": "add"}, "json").status == 400, "no list at all"


def test_strategic_merge(server, ns):
    url = f"/apis/apps/v1/namespaces/{ns}/deployments"
    d = deployment("d")
    d["metadata"]["finalizers"] = ["x.io/a", "x.io/b"]
    d["spec"]["template"]["spec"]["containers"] = [
        {"name": "a", "image": "i", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}, {"name": "b", "image": "i"}]
    assert server.post(url, d).status == 201
    p = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x.io/a"], "finalizers": ["x.io/c"]},
         "spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"},
                  "template": {"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
                                        "containers": [{"name": "c", "image": "new"}, {"$patch": "delete", "name": "b"},
                                                       {"name": "a", "$setElementOrder/env": [{"name": "C"}, {"name": "A"}],
                                                        "env": [{"name": "C", "value": "3"}, {"$patch": "delete", "name": "B"}]}]}}}}
    r = server.patch(url + "/d", p, "strategic")
    assert r.status == 200, r.json
    j = r.json
    assert j["metadata"]["finalizers"] == ["x.io/c", "x.io/b"]
    assert j["spec"]["strategy"] == {"type": "Recreate"}
    cs = j["spec"]["template"]["spec"]["containers"]
    assert [c["name"] for c in cs] == ["c", "a"]
    assert [e["name"] for e in cs[1]["env"]] == ["C", "A"]
    r = server.patch(url + "/d", {"spec": {"template": {"spec": {"containers": [{"$patch": "replace"}, {"name": "z", "image": "z"}]}}}}, "strategic")
    assert [c["name"] for c in r.json["spec"]["template"]["spec"]["containers"]] == ["z"]
    r = server.patch(url + "/d", {"spec": {"template": {"spec": {"containers": [{"image": "no name"}]}}}}, "strategic")
    assert r.status == 400 and "does not contain declared merge key: name" in r.json["message"]


# ---- delete ----

def test_delete_answers_status(server, ns):
    uid = server.post(path(ns), cm("a")).json["metadata"]["uid"]
    j = server.delete(path(ns, name="a")).json
    assert (j["kind"], j["status"], j["details"]) == ("Status", "Success", {"name": "a", "kind": "configmaps", "uid": uid})


def test_finalizer_holds(server, ns):
    server.post(path(ns), {**cm("a"), "metadata": {"name": "a", "finalizers": ["x.io/f"]}})
    j = server.delete(path(ns, name="a")).json
    assert j["metadata"]["deletionTimestamp"]
    assert server.patch(path(ns, name="a"), {"metadata": {"finalizers": ["x.io/f", "x.io/g"]}}).status == 422
    assert server.patch(path(ns, name="a"), {"metadata": {"finalizers": None}}).status == 200
    assert server.get(path(ns, name="a")).status == 404


def test_propagation_policies(server, ns):
    for policy, finalizer in (("Foreground", "foregroundDeletion"), ("Orphan", "orphan")):
        server.post(path(ns), cm(policy.lower()))
        j = server.delete(path(ns, name=policy.lower()), {"propagationPolicy": policy}).json
        assert j["metadata"]["finalizers"] == [finalizer]


def test_preconditions(server, ns):
    m = server.post(path(ns), cm("a")).json["metadata"]
    assert server.delete(path(ns, name="a"), {"preconditions": {"uid": "x"}}).status == 409
    assert server.delete(path(ns, name="a"), {"preconditions": {"resourceVersion": "1"}}).status == 409
    assert server.delete(path(ns, name="a"), {"preconditions": {"uid": m["uid"], "resourceVersion": m["resourceVersion"]}}).status == 200


def test_graceful_pod_deletion(server, ns):
    server.post(path(ns, "pods"), pod("p", nodeName="n1"))
    j = server.delete(path(ns, "pods", "p")).json
    assert (j["kind"], j["metadata"]["deletionGracePeriodSeconds"]) == ("Pod", 30)
    assert server.delete(path(ns, "pods", "p"), {"gracePeriodSeconds": 5}).json["metadata"]["deletionGracePeriodSeconds"] == 5
    assert server.delete(path(ns, "pods", "p"), {"gracePeriodSeconds": 0}).status == 200
    assert server.get(path(ns, "pods", "p")).status == 404
    server.post(path(ns, "pods"), pod("q"))
    server.delete(path(ns, "pods", "q"))
    assert server.get(path(ns, "pods", "q")).status == 404, "a pod without a node goes at once"


def test_delete_collection(server, ns):
    for n in "abc":
        server.post(path(ns), {**cm(n), "metadata": {"name": n, "labels": {"k": n}}})
    j = server.delete(path(ns) + "?labelSelector=k%20in%20(a,b)").json
    assert len(j["items"]) == 2
    assert [o["metadata"]["name"] for o in server.get(path(ns)).json["items"]] == ["c"]


def test_namespace_termination(server):
    server.post("/api/v1/namespaces", {"metadata": {"name": "going"}})
    j = server.delete("/api/v1/namespaces/going").json
    assert (j["status"]["phase"], j["spec"]["finalizers"]) == ("Terminating", ["kubernetes"])
    r = server.post(path("going"), cm("a"))
    assert r.status == 403 and r.json["message"] == ('configmaps "a" is forbidden: unable to create new content in namespace going '
                                                     'because it is being terminated')
    j["spec"]["finalizers"] = []
    assert server.put("/api/v1/namespaces/going/finalize", j).status == 200
    assert server.get("/api/v1/namespaces/going").status == 404
    assert server.delete("/api/v1/namespaces/default").status == 403


# ---- bodies ----

def test_unknown_and_duplicate_fields(server, ns):
    body = '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"%s","nme":1},"dta":{},"data":{"a":"1","a":"2"}}'
    r = server.call("POST", path(ns) + "?fieldValidation=Strict", body % "a", type="application/json")
    assert r.status == 400 and 'strict decoding error' in r.json["message"] and 'unknown field "metadata.nme"' in r.json["message"]
    r = server.call("POST", path(ns), body % "a", type="application/json")
    assert r.status == 201 and '299 - "unknown field \\"dta\\""' in r.warnings() and r.json["data"] == {"a": "2"}
    r = server.call("POST", path(ns) + "?fieldValidation=Ignore", body % "b", type="application/json")
    assert r.status == 201 and not r.warnings()


def test_wrong_type(server, ns):
    r = server.post(path(ns, "pods"), pod("p", containers=[{"name": "c", "image": 5}]))
    assert r.status == 400 and r.json["message"] == (
        'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field '
        'Container.spec.containers.image of type string')
    assert server.get(path(ns, "pods", "p")).status == 404


def test_yaml_body(server, ns):
    y = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: 'y'}\ndata:\n  a: |\n    two\n    lines\n"
    assert server.call("POST", path(ns), y, type="application/yaml").json["data"]["a"] == "two\nlines\n"


def test_hostile_bodies(server, ns):
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9))
    begin = time.monotonic()
    assert server.call("POST", path(ns), bomb, type="application/yaml").status == 400
    assert server.call("POST", path(ns), "[" * 10000 + "]" * 10000, type="application/json").status == 400
    assert server.call("POST", path(ns), '{"a":' * 10000 + "1" + "}" * 10000, type="application/json").status == 400
    assert server.call("POST", path(ns), "{", type="application/json").status == 400
    assert server.call("POST", path(ns), b"k8s\0\xff\xff", type="application/vnd.kubernetes.protobuf").status == 400
    assert time.monotonic() - begin < 5
    r = server.call("POST", path(ns), json.dumps(cm("big", x="y" * (3 * 1024 * 1024))), type="application/json")
    assert r.status == 413 and r.json["kind"] == "Status"
    assert server.get(path(ns)).json["items"] == []


def field(number, payload):
    if isinstance(payload, int):
        return bytes([number << 3]) + varint(payload)
    payload = payload.encode() if isinstance(payload, str) else payload
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def varint(n):
    out = b""
    while True:
        out += bytes([n & 127 | (128 if n > 127 else 0)])
        n >>= 7
        if not n:
            return out


def envelope(api_version, kind, raw):
    return b"k8s\0" + field(1, field(1, api_version) + field(2, kind)) + field(2, raw)


def test_protobuf_bodies(server, ns):
    """What kubectl 1.32 and newer send for create."""
    pb = {"type": "application/vnd.kubernetes.protobuf"}
    meta = field(1, "c") + field(2, "") + field(3, "") + field(5, "")
    data = field(2, field(1, "k") + field(2, "v"))
    r = server.call("POST", path(ns), envelope("v1", "ConfigMap", field(1, meta) + data), **pb)
    assert r.status == 201 and r.json["data"] == {"k": "v"}, r.body
    svc = field(1, field(1, "s")) + field(2, field(1, field(2, "TCP") + field(3, 80) + field(4, field(1, 1) + field(2, 0) + field(3, "http"))) +
                                          field(2, field(1, "app") + field(2, "x")) + field(4, "ClusterIP"))
    r = server.call("POST", path(ns, "services"), envelope("v1", "Service", svc), **pb)
    assert r.status == 201 and r.json["spec"]["ports"] == [{"protocol": "TCP", "port": 80, "targetPort": "http"}], r.body
    sec = field(1, field(1, "x")) + field(2, field(1, "k") + field(2, b"\0\1")) + field(3, "Opaque")
    r = server.call("POST", path(ns, "secrets"), envelope("v1", "Secret", sec), **pb)
    assert base64.b64decode(r.json["data"]["k"]) == b"\0\1"
    review = envelope("authorization.k8s.io/v1", "SelfSubjectAccessReview", field(2, field(1, field(1, ns) + field(2, "get"))))
    r = server.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review, **pb)
    assert r.status == 201 and r.json["status"]["allowed"] is True
    assert r.json["spec"]["resourceAttributes"] == {"namespace": ns, "verb": "get"}


def test_events_have_two_forms(server, ns):
    e = {"metadata": {"name": "e"}, "regarding": {"kind": "Pod", "namespace": ns, "name": "p"}, "note": "hello", "reason": "R", "type": "Normal",
         "reportingController": "c", "reportingInstance": "i", "action": "A", "eventTime": "2026-01-02T03:04:05.000006Z"}
    r = server.post(f"/apis/events.k8s.io/v1/namespaces/{ns}/events", e)
    assert r.status == 201 and r.json["apiVersion"] == "events.k8s.io/v1" and r.json["note"] == "hello", r.json
    core = server.get(path(ns, "events", "e")).json
    assert (core["apiVersion"], core["involvedObject"]["name"], core["message"], core["reportingComponent"]) == ("v1", "p", "hello", "c")
    assert len(server.get(f"/apis/events.k8s.io/v1/namespaces/{ns}/events?fieldSelector=regarding.name%3Dp").json["items"]) == 1
    assert len(server.get(path(ns, "events") + "?fieldSelector=involvedObject.name%3Dp").json["items"]) == 1
    w = server.watch(f"/apis/events.k8s.io/v1/namespaces/{ns}/events?watch=1")
    assert w.next()["object"]["note"] == "hello"
    w.close()


# ---- tables, discovery, identity ----

def test_table(server, ns):
    server.post(path(ns, "pods"), pod("p"))
    j = server.get(path(ns, "pods"), headers=TABLE).json
    assert (j["kind"], j["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    names = [(c["name"], c["priority"]) for c in j["columnDefinitions"]]
    assert names == [("Name", 0), ("Ready", 0), ("Status", 0), ("Restarts", 0), ("Age", 0), ("IP", 1), ("Node", 1), ("Nominated Node", 1),
                     ("Readiness Gates", 1)]
    assert j["rows"][0]["cells"][:4] == ["p", "0/1", "Pending", "0"]
    for include, kind in (("Object", "Pod"), ("Metadata", "PartialObjectMetadata"), ("None", None)):
        row = server.get(path(ns, "pods") + f"?includeObject={include}", headers=TABLE).json["rows"][0]
        assert row.get("object", {}).get("kind") == kind


def test_partial_metadata(server, ns):
    server.post(path(ns), cm("a"))
    j = server.get(path(ns), headers={"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}).json
    assert j["kind"] == "PartialObjectMetadataList" and "data" not in j["items"][0]


def test_discovery(server):
    assert server.get("/api").json["versions"] == ["v1"]
    assert {g["name"] for g in server.get("/apis").json["groups"]} == {
        "admissionregistration.k8s.io", "apiextensions.k8s.io", "apps", "authentication.k8s.io", "authorization.k8s.io", "batch", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io",
        "extensions", "networking.k8s.io", "rbac.authorization.k8s.io"}
    pods = next(r for r in server.get("/api/v1").json["resources"] if r["name"] == "pods")
    assert pods["shortNames"] == ["po"] and pods["categories"] == ["all"] and pods["singularName"] == "pod" and "watch" in pods["verbs"]
    names = {r["name"] for r in server.get("/api/v1").json["resources"]}
    assert {"pods/log", "pods/exec", "pods/status", "pods/binding", "serviceaccounts/token", "namespaces/finalize"} <= names
    old, new = (f"application/json;g=apidiscovery.k8s.io;v={v};as=APIGroupDiscoveryList" for v in ("v2beta1", "v2"))
    for accept in (new, f"{new},{old},application/json", f"{old},{new}"):
        r = server.get("/apis", headers={"Accept": accept})
        assert r.json["kind"] == "APIGroupDiscoveryList" and r.json["apiVersion"] == "apidiscovery.k8s.io/v2"
    assert server.get("/apis", headers={"Accept": old}).status == 406
    assert server.get("/apis", headers={"Accept": f"{old},application/json"}).json["kind"] == "APIGroupList"
    r = server.get("/openapi/v2")
    assert r.body.startswith(b"\n\x032.0") and r.body.endswith(b"B\0J\0") and dict(r.headers)["Content-Type"] == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    v3 = server.get("/openapi/v3").json["paths"]
    assert {"api/v1", "apis/apps/v1"} <= set(v3) and "hash=" in v3["api/v1"]["serverRelativeURL"]
    doc = server.get(v3["apis/apps/v1"]["serverRelativeURL"]).json
    patch = doc["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert "fieldValidation" in {p["name"] for p in patch["parameters"]}


def test_discovery_is_cached_by_etag(server):
    forms = {"/apis": [f"application/json;g=apidiscovery.k8s.io;v={v};as=APIGroupDiscoveryList" for v in ("v2",)],
             "/api": ["application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"],
             "/openapi/v3": ["application/json"], "/openapi/v2": ["application/com.github.proto-openapi.spec.v2@v1.0+protobuf"]}
    for url, accepts in forms.items():
        tags = set()
        for accept in accepts:
            r = server.get(url, headers={"Accept": accept})
            tag = dict(r.headers)["ETag"]
            tags.add(tag)
            assert tag.startswith('"') and tag.endswith('"') and dict(r.headers)["Vary"] == "Accept"
            again = server.get(url, headers={"Accept": accept, "If-None-Match": tag})
            assert (again.status, again.body, dict(again.headers)["ETag"]) == (304, b"", tag)
            assert server.get(url, headers={"Accept": accept, "If-None-Match": f'"x", W/{tag}'}).status == 304
            other = server.get(url, headers={"Accept": accept, "If-None-Match": '"x"'})
            assert (other.status, other.body) == (200, r.body)
        assert len(tags) == len(accepts), "another form has another tag"


def check_patches(server, documents, name, version):
    r = server.get(documents[f"apis/{name}/{version['version']}" if name else "api/v1"]["serverRelativeURL"])
    patches = {(g["group"], g["version"], g["kind"]): {p["name"] for p in o["patch"]["parameters"]}
               for o in r.json["paths"].values() for g in [o["patch"]["x-kubernetes-group-version-kind"]]}
    for resource in version["resources"]:
        kind = (name, version["version"], resource["responseKind"]["kind"])
        if "patch" in resource["verbs"]:
            assert patches[kind] >= {"dryRun", "fieldManager", "fieldValidation", "force"}, kind
        else:
            assert kind not in patches, kind


def test_openapi_has_the_patch_of_every_kind(server):
    documents = server.get("/openapi/v3").json["paths"]
    for group in server.get("/apis", headers={"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}).json["items"] + \
            server.get("/api", headers={"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}).json["items"]:
        for version in group["versions"]:
            check_patches(server, documents, group["metadata"]["name"], version)
    assert server.get("/openapi/v3/apis/nope/v1").status == 404


def test_anonymous_paths(server):
    for p in ("/healthz", "/livez", "/readyz", "/version"):
        assert server.get(p, token=None).status == 200, p
    for name in "healthz", "livez", "readyz":
        for p, text in ((f"/{name}", b"ok"), (f"/{name}/ping", b"ok"), (f"/{name}?verbose", b"[+]ping ok\n%s check passed\n" % name.encode())):
            r = server.get(p, token=None)
            assert (r.status, r.body) == (200, text), p
        assert server.get(f"/{name}/nope").status == 404
    for target in "?verbose", "*", "readyz", "//readyz", "/readyz/":
        assert server.get(target, token=None).status in (400, 401), target
    assert server.get("/api", token=None).status == 401


def test_service_account_tokens(server, ns):
    sa = server.post(path(ns, "serviceaccounts"), {"metadata": {"name": "sa"}}).json
    r = server.post(path(ns, "serviceaccounts", "sa/token"), {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {}})
    token = r.json["status"]["token"]
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["sub"] == f"system:serviceaccount:{ns}:sa" and claims["kubernetes.io"]["serviceaccount"]["uid"] == sa["metadata"]["uid"]
    me = server.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, token=token).json["status"]["userInfo"]
    assert me["username"] == f"system:serviceaccount:{ns}:sa" and f"system:serviceaccounts:{ns}" in me["groups"]
    review = server.post("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}}).json["status"]
    assert review["authenticated"] and review["user"]["username"] == f"system:serviceaccount:{ns}:sa"
    assert not server.post("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token + "x"}}).json["status"]["authenticated"]
    head, body, sig = token.split(".")
    assert server.get(path(ns), token=".".join((head, body, sig[:-4] + "AAAA"))).status == 401
    server.delete(path(ns, "serviceaccounts", "sa"))
    assert server.get(path(ns), token=token).status == 401
    assert server.post(path(ns, "serviceaccounts", "none/token"), {}).status == 404


def test_logs_errors(server, ns):
    server.post(path(ns, "pods"), pod("p"))
    assert "does not have a host assigned" in server.get(path(ns, "pods", "p/log")).json["message"]
    two = pod("two", containers=[{"name": "a", "image": "i"}, {"name": "b", "image": "i"}], nodeName="gone")
    server.post(path(ns, "pods"), two)
    assert server.get(path(ns, "pods", "two/log")).json["message"] == \
        "a container name must be specified for pod two, choose one of: [a b]"
    assert server.get(path(ns, "pods", "two/log?container=z")).json["message"] == "container z is not valid for pod two"
    assert server.get(path(ns, "pods", "two/log?container=a")).status == 500
    assert server.get(path(ns, "pods", "none/log")).status == 404
