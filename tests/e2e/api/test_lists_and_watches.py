"""Lists of one moment, options that are never ignored, what a watch tells and when."""
import json
import time
import urllib.parse

import pytest
from api_server import deployment, pod

CM = "/api/v1/namespaces/{}/configmaps"


def make(server, ns, *names, **data):
    for name in names:
        assert server.post(CM.format(ns), {"metadata": {"name": name}, "data": data or {"v": "1"}}).status == 201


def pages(server, url, limit, first=None):
    """The rest of a list page by page; first: its first page."""
    page, items = first, []
    while True:
        page = page or server.get(f"{url}?limit={limit}").json
        items += page["items"]
        token = page["metadata"].get("continue")
        if not token:
            return items
        r = server.get(f"{url}?limit={limit}&continue={token}")
        assert r.status == 200, r.body
        assert r.json["metadata"]["resourceVersion"] == page["metadata"]["resourceVersion"]
        page = r.json


# ---- lists ----

def test_pages_show_the_moment_of_the_first(server, ns):
    """Objects made, changed, deleted and made again between two pages: the pages tell of none of it."""
    make(server, ns, *"bdfhjln")
    url = CM.format(ns)
    before = server.get(url).json["items"]
    first = server.get(url + "?limit=2").json
    server.delete(url + "/f")                                    # gone
    server.patch(url + "/h", {"data": {"v": "2"}})               # changed, twice
    server.patch(url + "/h", {"data": {"v": "3"}})
    server.delete(url + "/j")                                    # gone and back
    make(server, ns, "j", v="new")
    server.delete(url + "/b")                                    # before the page's end
    server.delete(url + "/d")                                    # the last item of the first page itself
    make(server, ns, "a", "e", "k", "z")                         # never seen
    assert pages(server, url, 2, first) == before
    assert [o["metadata"]["name"] for o in server.get(url).json["items"]] == list("aehjklnz")


def test_pages_over_all_namespaces_with_a_selector(server):
    for n in ("pg1", "pg2", "pg3"):
        server.post("/api/v1/namespaces", {"metadata": {"name": n}})
        for i in "abc":
            server.post(CM.format(n), {"metadata": {"name": i, "labels": {"pg": "x"}}})
    url, query = "/api/v1/configmaps", "labelSelector=pg%3Dx&limit=2"
    page = server.get(f"{url}?{query}").json
    assert "remainingItemCount" not in page["metadata"], "not known with a selector"
    server.patch(CM.format("pg2") + "/b", {"metadata": {"labels": {"pg": "y"}}})
    names = [o["metadata"]["namespace"] + o["metadata"]["name"] for o in page["items"]]
    while token := page["metadata"].get("continue"):
        page = server.get(f"{url}?{query}&continue={token}").json
        names += [o["metadata"]["namespace"] + o["metadata"]["name"] for o in page["items"]]
    assert names == [n + i for n in ("pg1", "pg2", "pg3") for i in "abc"]


def test_remaining_item_count(server, ns):
    make(server, ns, *"abcde")
    first = server.get(CM.format(ns) + "?limit=2").json["metadata"]
    server.delete(CM.format(ns) + "/e")
    assert first["remainingItemCount"] == 3
    second = server.get(CM.format(ns) + "?limit=2&continue=" + first["continue"]).json["metadata"]
    assert second["remainingItemCount"] == 1, "of the moment of the first page"
    assert "remainingItemCount" not in server.get(CM.format(ns) + "?limit=9").json["metadata"]


def test_exact_version(server, ns):
    make(server, ns, "a")
    rv = server.get(CM.format(ns)).json["metadata"]["resourceVersion"]
    server.patch(CM.format(ns) + "/a", {"data": {"v": "2"}})
    make(server, ns, "b")
    old = server.get(CM.format(ns) + f"?resourceVersion={rv}&resourceVersionMatch=Exact").json
    assert [(o["metadata"]["name"], o["data"]["v"]) for o in old["items"]] == [("a", "1")]
    assert old["metadata"]["resourceVersion"] == rv
    new = server.get(CM.format(ns) + f"?resourceVersion={rv}&resourceVersionMatch=NotOlderThan").json
    assert [o["metadata"]["name"] for o in new["items"]] == ["a", "b"]


def test_version_of_the_future_is_504(server, ns):
    rv = int(server.get(CM.format(ns)).json["metadata"]["resourceVersion"])
    r = server.get(CM.format(ns) + f"?resourceVersion={rv + 1000}")
    assert (r.status, r.json["reason"], r.json["details"]["retryAfterSeconds"]) == (504, "Timeout", 1)
    assert r.json["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


@pytest.mark.parametrize("query,status,words", [
    ("sendInitialEvents=true", 422, "sendInitialEvents is forbidden for list"),
    ("resourceVersionMatch=Exact", 422, "forbidden unless resourceVersion is provided"),
    ("resourceVersionMatch=Exact&resourceVersion=0", 422, 'forbidden for resourceVersion "0"'),
    ("resourceVersionMatch=Newer&resourceVersion=5", 422, 'Unsupported value: "Newer"'),
    ("resourceVersion=x", 400, 'invalid resource version "x"'),
    ("limit=x", 400, 'limit: "x" is not a number'),
    ("watch=1&sendInitialEvents=true", 422, "requires setting resourceVersionMatch to NotOlderThan"),
    ("watch=1&resourceVersionMatch=NotOlderThan", 422, "forbidden for watch unless sendInitialEvents"),
    ("watch=1&sendInitialEvents=true&resourceVersionMatch=Exact", 422, 'Unsupported value: "Exact"'),
    ("watch=1&resourceVersion=x", 500, 'resourceVersion: Invalid value: "x"'),
    ("watch=1&timeoutSeconds=x", 400, "timeoutSeconds"),
    ("labelSelector=a%20of%20b", 400, "unable to parse requirement"),
    ("fieldSelector=data%3Dx", 400, "field label not supported: data"),
])
def test_known_options_are_obeyed_or_refused(server, ns, query, status, words):
    r = server.get(CM.format(ns) + "?" + query)
    assert r.status == status and words in r.json["message"], r.body


def test_what_it_does_not_know_is_ignored(server, ns):
    make(server, ns, "a")
    assert len(server.get(CM.format(ns) + "?labelSelektor=x&_=1").json["items"]) == 1
    assert server.get(CM.format(ns) + "/a?bogus=1").status == 200
    assert server.delete(CM.format(ns) + "/a?bogus=1").status == 200


def test_write_options_are_never_ignored(server, ns):
    body = {"metadata": {"name": "w"}}
    for query in ("dryRun=all", "fieldValidation=strict"):
        assert server.post(CM.format(ns) + "?" + query, body).status == 422
    assert server.get(CM.format(ns) + "/w").status == 404, "nothing was written"
    make(server, ns, "w")
    assert server.delete(CM.format(ns) + "/w?gracePeriodSeconds=soon").status == 400
    assert server.delete(CM.format(ns) + "/w?propagationPolicy=Sideways").status == 422
    assert server.get(CM.format(ns) + "/w").status == 200
    moved = {"metadata": {"name": "w", "namespace": "default"}}
    r = server.put(CM.format(ns) + "/w", moved)
    assert r.status == 400 and "does not match the namespace on the URL" in r.json["message"]


# ---- selectable fields ----

def test_selectable_fields(server, ns):
    """Every field the API promises, also where it is absent: flags read as false."""
    p = f"/api/v1/namespaces/{ns}/pods"
    server.post(f"/api/v1/namespaces/{ns}/serviceaccounts", {"metadata": {"name": "sa"}})
    server.post(p, pod("p", nodeName="n1", serviceAccountName="sa", restartPolicy="Never"))
    server.post(p, pod("q", hostNetwork=True))
    server.patch(p + "/p/status", {"status": {"phase": "Running", "podIP": "10.9.9.9", "podIPs": [{"ip": "10.9.9.9"}]}})
    server.post("/api/v1/nodes", {"metadata": {"name": f"{ns}-up"}})
    server.post("/api/v1/nodes", {"metadata": {"name": f"{ns}-off"}, "spec": {"unschedulable": True}})
    server.post(f"/api/v1/namespaces/{ns}/secrets", {"metadata": {"name": "s"}, "type": "x.io/y"})
    server.post(f"/apis/apps/v1/namespaces/{ns}/replicasets", {**deployment("r"), "kind": "ReplicaSet"})
    for name, source in (("e1", {"source": {"component": "me"}}), ("e2", {"reportingComponent": "you", "reportingInstance": "x"})):
        server.post(f"/api/v1/namespaces/{ns}/events", {
            "metadata": {"name": name}, "involvedObject": {"kind": "Pod", "namespace": ns, "name": "p", "uid": "u1", "apiVersion": "v1"},
            "reason": "Because", "type": "Warning", **source})
    for plural, selector, want in (
            ("pods", "spec.nodeName=n1", "p"), ("pods", "spec.nodeName=", "q"), ("pods", "status.phase=Running", "p"),
            ("pods", "status.phase!=Running", "q"), ("pods", "status.podIP=10.9.9.9", "p"), ("pods", "spec.serviceAccountName=sa", "p"),
            ("pods", "spec.restartPolicy=Never", "p"), ("pods", "spec.hostNetwork=true", "q"), ("pods", "spec.hostNetwork=false", "p"),
            ("pods", f"metadata.namespace={ns},metadata.name=p", "p"),
            ("secrets", "type=x.io/y", "s"), ("secrets", "type!=x.io/y", ""),
            ("events", "involvedObject.kind=Pod,involvedObject.name=p", "e1e2"), ("events", "involvedObject.uid=u1,type=Warning", "e1e2"),
            ("events", f"involvedObject.namespace={ns},reason=Because", "e1e2"), ("events", "reason=Other", ""),
            ("events", "source=me", "e1"), ("events", "source=you", "e2"), ("events", "reportingComponent=you", "e2")):
        r = server.get(f"/api/v1/namespaces/{ns}/{plural}?fieldSelector=" + urllib.parse.quote(selector))
        assert r.status == 200, (selector, r.body)
        assert "".join(o["metadata"]["name"] for o in r.json["items"]) == want, selector
    nodes = server.get("/api/v1/nodes?fieldSelector=spec.unschedulable%3Dfalse").json["items"]
    names = {o["metadata"]["name"] for o in nodes}
    assert f"{ns}-up" in names and f"{ns}-off" not in names
    assert server.get("/api/v1/nodes?fieldSelector=spec.unschedulable%3Dtrue").json["items"][0]["metadata"]["name"] == f"{ns}-off"
    assert server.get(f"/apis/apps/v1/namespaces/{ns}/replicasets?fieldSelector=status.replicas%3D0").status == 400
    assert server.get(f"/api/v1/namespaces/{ns}/pods?fieldSelector=status.podIPs%3D10.9.9.9").status == 200
    assert len(server.get("/api/v1/namespaces?fieldSelector=status.phase%3DActive").json["items"]) >= 4
    every = [f"/api/v1/{p}" for p in ("namespaces", "nodes", "configmaps", "endpoints", "events", "pods", "secrets", "serviceaccounts", "services")]
    every += ["/apis/apps/v1/deployments", "/apis/apps/v1/replicasets", "/apis/coordination.k8s.io/v1/leases",
              "/apis/discovery.k8s.io/v1/endpointslices", "/apis/events.k8s.io/v1/events"]
    for url in every:
        r = server.get(url + "?fieldSelector=metadata.name%3Dnone")
        assert (r.status, r.json["items"]) == (200, []), url


# ---- watches ----

def test_leaving_the_selection_tells_the_last_state_that_belonged(server, ns):
    server.post(CM.format(ns), {"metadata": {"name": "a", "labels": {"x": "1"}}, "data": {"v": "1"}})
    rv = server.get(CM.format(ns)).json["metadata"]["resourceVersion"]
    url = CM.format(ns) + f"?watch=1&labelSelector=x%3D1&resourceVersion={rv}"
    live = server.watch(url)
    new = server.patch(CM.format(ns) + "/a", {"metadata": {"labels": {"x": "2"}}, "data": {"v": "2"}}).json["metadata"]["resourceVersion"]
    later = server.watch(url)  # the same from the ring
    for w in (live, later):
        e = w.next()
        assert (e["type"], e["object"]["data"]["v"], e["object"]["metadata"]["labels"]) == ("DELETED", "1", {"x": "1"})
        assert e["object"]["metadata"]["resourceVersion"] == new
        w.close()


def test_bookmarks_come_by_themselves_and_are_true(make_server):
    """Once a period, with a version from which a watch goes on without a gap; none to a client that did not ask."""
    s = make_server(extra=["--watch-bookmark-period", "200ms"])
    asked = s.watch("/api/v1/namespaces/default/configmaps?watch=1&allowWatchBookmarks=true")
    silent = s.watch("/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=1")
    first = asked.next()
    assert first["type"] == "BOOKMARK" and set(first["object"]) == {"kind", "apiVersion", "metadata"}
    s.post("/api/v1/namespaces/default/secrets", {"metadata": {"name": "other"}})
    rv = int(s.get("/api/v1/namespaces/default/secrets").json["metadata"]["resourceVersion"])
    deadline = time.monotonic() + 10
    while int((e := asked.next())["object"]["metadata"]["resourceVersion"]) < rv:
        assert e["type"] == "BOOKMARK" and time.monotonic() < deadline
    s.post("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "a"}})
    w = s.watch(f"/api/v1/namespaces/default/configmaps?watch=1&resourceVersion={e['object']['metadata']['resourceVersion']}")
    assert w.next()["object"]["metadata"]["name"] == "a"
    types = []
    while e := silent.next():
        types.append(e["type"])
    assert "BOOKMARK" not in types


def test_a_begun_stream_ends_with_410_when_the_ring_has_moved_on(make_server):
    s = make_server()
    url = "/api/v1/namespaces/default/configmaps"
    s.post(url, {"metadata": {"name": "big"}, "data": {"v": "x" * 900_000}})
    s.post(url, {"metadata": {"name": "small"}})
    w = s.watch(url + "?watch=1", timeout=60)
    assert w.next()["type"] == "ADDED"
    conn = s.connect()
    for i in range(20):  # more than the queue of a watcher and the sockets hold
        s.call("PATCH", url + "/big", json.dumps({"data": {"n": str(i)}}), type="application/merge-patch+json", conn=conn)
    for i in range(16500):  # more than the ring holds
        s.call("PATCH", url + "/small", json.dumps({"data": {"n": str(i)}}), type="application/merge-patch+json", conn=conn)
    last = None
    while e := w.next():
        last = e
    assert (last["type"], last["object"]["kind"], last["object"]["code"], last["object"]["reason"]) == ("ERROR", "Status", 410, "Expired")
    assert "fairlead_lab_watches_dropped_total 1" in s.get("/metrics").body.decode()


@pytest.mark.parametrize("word,watches", [("1", True), ("true", True), ("True", True), ("0", False), ("false", False)])
def test_watch_in_every_spelling(server, ns, word, watches):
    r = server.watch(CM.format(ns) + f"?watch={word}&timeoutSeconds=1")
    assert ("stream=watch" in r.response.getheader("Content-Type")) == watches
    r.close()


def test_watch_of_one_object_by_its_path(server, ns):
    make(server, ns, "a", "b")
    w = server.watch(CM.format(ns) + "/b?watch=1")
    assert w.next()["object"]["metadata"]["name"] == "b"
    server.patch(CM.format(ns) + "/a", {"data": {"v": "9"}})
    server.delete(CM.format(ns) + "/b")
    assert w.next()["type"] == "DELETED"
    w.close()


def test_watch_list_of_many_kinds_at_once(server, ns):
    """Every kind: initial objects, then the mark that ends them."""
    for url in ("/api/v1/namespaces", f"/api/v1/namespaces/{ns}/pods", f"/apis/apps/v1/namespaces/{ns}/deployments"):
        for accept in ("application/json", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                       "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"):
            w = server.watch(url + "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
                             "&timeoutSeconds=5", headers={"Accept": accept})
            end = w.until("BOOKMARK")[-1]["object"]
            assert end["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}, (url, accept)
            w.close()
