"""Text that is not UTF-8, or is cut in the middle of a character where a message shortens it: an answer, never the server's end."""
import json
import urllib.parse

import pytest

LONG = "é" * 300  # two bytes a character: one of the two offsets is cut in its middle


@pytest.mark.parametrize("query", ("dryRun", "fieldValidation", "gracePeriodSeconds", "propagationPolicy"))
def test_options_of_writes(server, ns, query):
    for text in (LONG, "a" + LONG):
        assert server.call("DELETE", f"/api/v1/namespaces/{ns}/configmaps/c?{query}={urllib.parse.quote(text)}", {}).status in (400, 404, 422)
    assert server.call("DELETE", f"/api/v1/namespaces/{ns}/configmaps/c?{query}=%ff", {}).status == 400


@pytest.mark.parametrize("query", ("labelSelector", "fieldSelector", "resourceVersion", "resourceVersionMatch", "limit", "continue", "timeoutSeconds", "nonsense"))
def test_options_of_lists(server, ns, query):
    for text in (LONG, "a" + LONG, f"a={LONG}", f"a {LONG}", f"a,={LONG}"):
        for more in ("", "&watch=1&timeoutSeconds=1"):
            status = server.get(f"/api/v1/namespaces/{ns}/configmaps?{query}={urllib.parse.quote(text)}{more}").status
            assert status < 500 or (query, bool(more), status) == ("resourceVersion", True, 500), "the code of a real server"
    assert server.get(f"/api/v1/namespaces/{ns}/configmaps?{query}=%ff").status == 400
    assert server.get(f"/api/v1/namespaces/{ns}/configmaps?{query}=%ff&other=%zz").status < 500


def test_paths(server, ns):
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        for path in (f"/api/v1/namespaces/{ns}/configmaps/%ff", "/api/v1/namespaces/%ff%fe/configmaps/x", f"/api/v1/namespaces/{ns}/pods/%ff/log"):
            assert server.call(method, path, "{}", type="application/merge-patch+json" if method == "PATCH" else "application/json").status == 404
    assert server.post("/api/v1/namespaces/%ff/configmaps", {"metadata": {"name": "x"}}).status == 404


def test_bodies(server, ns):
    url = f"/api/v1/namespaces/{ns}/configmaps"
    server.post(url, {"metadata": {"name": "c"}, "data": {"a": "b"}})
    server.post(f"/api/v1/namespaces/{ns}/pods", {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    for text in (LONG, "a" + LONG):
        for op in ({"op": "add", "path": f"/{text}/x", "value": 1}, {"op": "remove", "path": f"/{text}"}, {"op": "remove", "path": text},
                   {"op": "test", "path": f"/{text}", "value": 1}, {"op": text, "path": "/data", "value": 1}):
            assert server.patch(f"{url}/c", [op], "json").status in (400, 422), op
        assert server.patch(f"{url}/c", {"$patch": text}, "strategic").status == 400
        assert server.post(f"{url}?fieldValidation=Strict", {"metadata": {"name": "x"}, text: 1}).status == 400
        assert server.post(url, {"metadata": {"name": "x", "creationTimestamp": text}}).status == 400
        for body in ({"propagationPolicy": text}, {"preconditions": {"uid": text}}, {"preconditions": {"resourceVersion": text}}):
            assert server.delete(f"{url}/c", body).status in (409, 422), body
        assert server.post(f"/api/v1/namespaces/{ns}/pods/p/binding", {"target": {"name": text}}).status == 422
        r = server.post(f"/api/v1/namespaces/{ns}/pods", {"metadata": {"name": "x"}, "spec": {"containers": [
            {"name": "c", "image": "i", "resources": {"limits": {text: "1"}, "requests": {text: "2"}}}]}})
        assert r.status == 422 and json.loads(r.body)["details"]["causes"]
