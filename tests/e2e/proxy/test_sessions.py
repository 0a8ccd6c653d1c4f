"""Filters that look at which endpoint answers, and at what it answers: sessions that keep their endpoint, answers that are replaced."""
import pytest
from backend import Backend
from http2_client import Http2
from suite import free_ports
from test_filters import ROUTER, Stage, http_filter, refused, typed

KINDS = "type.googleapis.com/envoy.extensions."


def session(cookie):
    return {"session_state": {"name": "envoy.http.stateful_session.cookie", "typed_config": {
        "@type": KINDS + "http.stateful_session.cookie.v3.CookieBasedSessionState", "cookie": cookie}}}


def sessions(cookie):
    return http_filter("stateful_session", "StatefulSession", **(session(cookie) if cookie else {}))


def detour(status, policy):
    return {"custom_response_matcher": {"matcher_tree": {
        "input": {"name": "status", "typed_config": {"@type": "type.googleapis.com/envoy.type.matcher.v3.HttpResponseStatusCodeMatchInput"}},
        "exact_match_map": {"map": {str(status): {"action": {"name": "a", "typed_config": {
            "@type": KINDS + "http.custom_response.redirect_policy.v3.RedirectPolicy", **policy}}}}}}}}


def detours(status, policy):
    return http_filter("custom_response", "CustomResponse", **detour(status, policy))


@pytest.fixture
def backends():
    made = [Backend() for _ in range(2)]
    yield made
    for b in made:
        b.release.set()
        b.listener.close()


@pytest.fixture
def make(tmp_path, backends):
    stages = []

    def stage(filters, **more):
        stages.append(Stage(tmp_path, backends[0].port, filters, clusters={"other": backends[1].port, "nobody": free_ports(1)[0]}, **more))
        return stages[-1]
    yield stage
    for s in stages:
        s.proxy.stop()


WEIGHTED = {"weighted_clusters": {"clusters": [{"name": "c", "weight": 50}, {"name": "other", "weight": 50}]}}


def test_a_session_keeps_its_endpoint(make, backends):
    s = make([sessions({"name": "sid", "path": "/", "ttl": "60s", "attributes": [{"name": "Secure"}]})], routes=[{"match": {"prefix": "/"}, "route": WEIGHTED}])
    _, fields, _ = s.ask()
    cookie, *attributes = fields["set-cookie"].split("; ")
    assert attributes == ["Max-Age=60", "Path=/", "Secure", "HttpOnly"] and "127.0.0.1" not in cookie
    first = [len(b.requests) for b in backends].index(1)
    for _ in range(20):
        _, fields, _ = s.ask(cookie=f"a=b; {cookie}")
        assert "set-cookie" not in fields
    assert len(backends[first].requests) == 21 and not backends[1 - first].requests
    for wrong in ("sid=0123456789abcdef", "sid=x", "sid=", 'sid="', "sid=0123456789ABCDEF"):
        assert "set-cookie" in s.ask(cookie=wrong)[1]


def test_a_session_of_a_path(make, backends):
    s = make([sessions({"name": "sid", "path": "/app"})])
    given = {path: "set-cookie" in s.ask(path)[1] for path in ("/app", "/app/x", "/app?x", "/apple", "/")}
    assert given == {"/app": True, "/app/x": True, "/app?x": True, "/apple": False, "/": False}


def test_routes_say_otherwise(make, backends):
    name = "envoy.filters.http.stateful_session"
    per_route = typed("stateful_session.v3.StatefulSessionPerRoute", stateful_session=session({"name": "own"}))
    off = typed("stateful_session.v3.StatefulSessionPerRoute", disabled=True)
    s = make([sessions({"name": "sid"})], routes=[{"match": {"prefix": "/own"}, "route": {"cluster": "c"}, "typed_per_filter_config": {name: per_route}},
                                                  {"match": {"prefix": "/off"}, "route": {"cluster": "c"}, "typed_per_filter_config": {name: off}},
                                                  {"match": {"prefix": "/"}, "route": {"cluster": "c"}}])
    assert s.ask("/own")[1]["set-cookie"].startswith("own=") and "set-cookie" not in s.ask("/off")[1] and s.ask("/")[1]["set-cookie"].startswith("sid=")


def test_sessions_that_are_refused(tmp_path):
    assert "is no name of a cookie" in refused(tmp_path, [sessions({"name": "a b"}), ROUTER])
    assert "cookie.path" in refused(tmp_path, [sessions({"name": "a", "path": "/;x"}), ROUTER])
    assert "strict: is not implemented" in refused(tmp_path, [http_filter("stateful_session", "StatefulSession", strict=True), ROUTER])


PAGES = {"redirect_action": {"host_redirect": "pages.test", "path_redirect": "/page"},
         "request_headers_to_add": [{"header": {"key": "x-code", "value": "503"}}, {"header": {"key": "x-was", "value": "%REQ(:AUTHORITY)%%REQ(:PATH)%"}}]}
TO_PAGES = {"match": {"prefix": "/page", "headers": [{"name": ":authority", "string_match": {"exact": "pages.test"}}]}, "route": {"cluster": "other"}}


def replacing(make, *routes, **more):
    return make([detours(503, PAGES)], routes=[TO_PAGES, *routes, {"match": {"prefix": "/"}, "route": {"cluster": "c"}}], **more)


def test_an_answer_is_replaced(make, backends):
    main, pages = backends
    main.status = 503
    s = replacing(make, {"match": {"path": "/own"}, "direct_response": {"status": 503}}, {"match": {"path": "/nobody"}, "route": {"cluster": "nobody"}})
    assert s.ask("/x?q=1")[0] == 200
    assert [(r.method, r.target, r.get("host"), r.get("x-code"), r.get("x-was")) for r in pages.requests] == [("GET", "/page?q=1", "pages.test", "503", "a.test/x?q=1")]
    assert s.ask("/own")[0] == 200 and s.ask("/nobody")[0] == 200 and len(pages.requests) == 3 and len(main.requests) == 1
    main.status = 500
    assert s.ask("/x")[0] == 500
    main.status, pages.status = 503, 503
    assert s.ask("/x")[0] == 503 and len(pages.requests) == 4, "once for a request"


def test_bodies_do_not_go_along(make, backends):
    main, pages = backends
    main.status = 503
    s = replacing(make, {"match": {"path": "/own"}, "direct_response": {"status": 503}})
    assert s.ask("/x", "POST", "hello")[0] == 200
    assert (pages.requests[0].method, pages.requests[0].body, pages.requests[0].get("content-length")) == ("POST", b"", "0")
    c = Http2(s.port)
    assert c.ask("POST", "/p", body=b"z" * 300000).status == 200 and pages.requests[1].body == b""
    sid = c.open("POST", "/own", end=False)
    assert c.wait(sid).status == 200 and pages.requests[2].body == b"", "while the client has not sent all"
    assert c.ask("GET", "/again").status == 200
    c.sock.close()


def test_tries_come_first(make, backends):
    main, pages = backends
    main.status = 503
    s = replacing(make, {"match": {"path": "/twice"}, "route": {"cluster": "c", "retry_policy": {"retry_on": "5xx", "num_retries": 1}}})
    assert s.ask("/twice")[0] == 200 and len(main.requests) == 2 and len(pages.requests) == 1


def test_nobody_to_replace_it(make, backends):
    backends[0].status = 503
    s = make([detours(503, {"redirect_action": {"host_redirect": "pages.test"}})], routes=[{"match": {"prefix": "/", "headers": [
        {"name": ":authority", "string_match": {"exact": "a.test"}}]}, "route": {"cluster": "c"}}, {"match": {"prefix": "/"}, "direct_response": {"status": 200}}])
    assert s.ask()[0] == 503


def test_replacements_that_are_refused(tmp_path):
    to = {"redirect_action": {"host_redirect": "x"}}
    assert "is no status" in refused(tmp_path, [detours("abc", to), ROUTER]) and "is no status" in refused(tmp_path, [detours(600, to), ROUTER])
    assert "host_redirect must be set" in refused(tmp_path, [detours(503, {"redirect_action": {"path_redirect": "/"}}), ROUTER])
    assert "path_redirect must be a path" in refused(tmp_path, [detours(503, {"redirect_action": {"host_redirect": "x", "path_redirect": "x"}}), ROUTER])
    assert "only path_redirect" in refused(tmp_path, [detours(503, {"redirect_action": {"host_redirect": "x", "prefix_rewrite": "/"}}), ROUTER])
    assert "uri: is not implemented" in refused(tmp_path, [detours(503, {"uri": "http://x/"}), ROUTER])
    assert "matcher_list: is not implemented" in refused(tmp_path, [http_filter("custom_response", "CustomResponse", custom_response_matcher={"matcher_list": {}}), ROUTER])
