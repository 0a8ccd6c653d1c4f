"""External authorization by gRPC: what the server is told, what of its answers goes where, and what happens without one."""
import pytest
from check_server import CheckServer
from test_filters import AUTHZ, ROUTER, Stage, http_filter, refused, typed

OK = {"status": {"code": 0}}
HTTP2 = {"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}}}


def field(key, value, **more):
    return {"header": {"key": key, "value": value}, **more}


def denied(code, *headers, body=""):
    return {"status": {"code": 7}, "denied_response": {"status": {"code": code}, "headers": list(headers), "body": body}}


@pytest.fixture
def auth():
    server = CheckServer()
    yield server
    server.stop()


@pytest.fixture
def guarded(tmp_path, backend, auth):
    made = []

    def make(timeout="5s", service=None, cluster="auth", **more):
        places = {k: more.pop(k) for k in ("per_route", "routes") if k in more}
        grpc = {"envoy_grpc": {"cluster_name": cluster}, **({"timeout": timeout} if timeout else {}), **(service or {})}
        made.append(Stage(tmp_path, backend.port, [http_filter("ext_authz", "ExtAuthz", grpc_service=grpc, transport_api_version="V3", **more)],
                          clusters={"auth": auth.port}, options={"auth": HTTP2}, **places))
        return made[0]

    yield make
    backend.release.set()
    for s in made:
        s.proxy.stop()
    assert not backend.garbage


def test_what_the_server_is_told(guarded, backend, auth):
    s = guarded(service={"initial_metadata": [{"key": "x-mesh", "value": "one"}]})
    assert s.ask("/p?q=1", "POST", "body", cookie="c", X_Two="2")[0] == 200
    a = auth.requests[0]
    told = a["request"]["http"]
    assert (told["method"], told["path"], told["host"], told["scheme"], told["protocol"], told["size"]) == ("POST", "/p?q=1", "a.test", "http", "HTTP/1.1", 4)
    assert "body" not in told and told["id"].isdigit() and a["request"]["time"]["seconds"] > 1600000000
    assert {k: told["headers"].get(k) for k in (":method", ":path", ":authority", ":scheme", "cookie", "x-two", "host", "x-envoy-auth-partial-body")} == {
        ":method": "POST", ":path": "/p?q=1", ":authority": "a.test", ":scheme": "http", "cookie": "c", "x-two": "2", "host": None, "x-envoy-auth-partial-body": None}
    source, to = (a[k]["address"]["socket_address"] for k in ("source", "destination"))
    assert (source["address"], to["address"], to["port_value"]) == ("127.0.0.1", "127.0.0.1", s.port) and source["port_value"]
    f = auth.fields[0]
    assert (f[":method"], f[":path"], f[":authority"], f["te"], f["content-type"], f["grpc-timeout"], f["x-mesh"]) == (
        "POST", "/envoy.service.auth.v3.Authorization/Check", "auth", "trailers", "application/grpc", "5000m", "one")
    assert backend.requests[0].body == b"body"
    for _ in range(3):
        assert s.ask()[0] == 200
    assert len(auth.connections) == 1


def test_several_fields_of_a_name_and_those_that_are_told(guarded, auth):
    s = guarded(allowed_headers={"patterns": [{"prefix": "x-"}]}, disallowed_headers={"patterns": [{"exact": "x-no"}]})
    c = s.client()
    assert c.ask("GET / HTTP/1.1\r\nHost: a.test\r\nX-One: 1\r\nx-no: 1\r\nx-one: 2\r\nother: 3\r\n\r\n")[0] == 200
    told = auth.requests[0]["request"]["http"]["headers"]
    assert told["x-one"] == "1,2" and not {"x-no", "other", ":path"} & set(told)


def test_what_it_changes(guarded, backend, auth):
    s = guarded()
    auth.script = [OK | {"ok_response": {
        "headers": [field("x-user", "bob"), field("x-more", "2", append=True), field("x-new", "3", append=True), field("content-length", "99")],
        "headers_to_remove": ["x-secret", "Host", "x-none"],
        "response_headers_to_add": [field("x-added", "a"), field("x-is", "mine", append_action="OVERWRITE_IF_EXISTS_OR_ADD"), field("x-absent", "b", append_action="ADD_IF_ABSENT"),
                                    field("x-is", "no", append_action="ADD_IF_ABSENT"), field("x-not-there", "c", append_action="OVERWRITE_IF_EXISTS")]}}]
    backend.script = ["200 X-Is: its"]
    status, fields, _ = s.ask(x_user="forged", x_more="1", x_secret="s")
    assert status == 200
    assert [backend.requests[0].get(n) for n in ("x-user", "x-more", "x-new", "x-secret", "host", "content-length")] == ["bob", "1, 2", None, None, "a.test", None]
    assert [fields.get(n) for n in ("x-added", "x-is", "x-absent", "x-not-there")] == ["a", "mine", "b", None]


@pytest.mark.parametrize("step,status,headers,body", [
    ({"status": {"code": 7}}, 403, {}, b""), ({"status": {"code": 16}, "ok_response": {}}, 403, {}, b""), (denied(401, field("www-authenticate", "x"), body="who?"), 401, {"www-authenticate": "x"}, b"who?"),
    (denied(302, field("location", "http://login.test/")), 302, {"location": "http://login.test/"}, b"")])
def test_what_it_refuses(guarded, backend, auth, step, status, headers, body):
    s = guarded()
    auth.script = [step]
    answer = s.ask()
    assert (answer[0], {k: answer[1].get(k) for k in headers}, answer[2]) == (status, headers, body)
    assert backend.requests == [] and s.lines(1) == [f"{status} UAEX ext_authz_denied"]


@pytest.mark.parametrize("step", [13, 7, b"\xff", denied(99), OK | {"ok_response": {"headers": [field("a b", "1")]}}, OK | {"ok_response": {"query_parameters_to_remove": ["q"]}}, "close"])
def test_no_answer_of_use(guarded, backend, auth, step):
    s = guarded(status_on_error={"code": "ServiceUnavailable"})
    auth.script = [step, step]
    assert s.ask()[0] == 503
    assert s.lines(1) == ["503 UAEX ext_authz_error"] and backend.requests == []


@pytest.mark.parametrize("more", [{"cluster": "no-such"}, {"timeout": "0.05s"}, {"timeout": None}])
def test_a_server_that_is_not_there(guarded, backend, auth, more):
    s = guarded(**more)
    auth.script = ["wait"]
    assert s.ask()[0] == 403
    assert s.lines(1) == ["403 UAEX ext_authz_error"] and backend.requests == []


def test_failures_may_pass(guarded, backend, auth):
    s = guarded(failure_mode_allow=True, failure_mode_allow_header_add=True)
    auth.script = [14, denied(403)]
    assert [s.ask()[0], s.ask()[0]] == [200, 403]
    assert [r.get("x-envoy-auth-failure-mode-allowed") for r in backend.requests] == ["true"]


@pytest.mark.parametrize("raw", [False, True])
def test_the_body(guarded, backend, auth, raw):
    s = guarded(with_request_body={"max_request_bytes": 10, "pack_as_bytes": raw})
    assert [s.ask("/x", "POST", body)[0] for body in ("hello", "hello world")] == [200, 413]
    assert s.ask()[0] == 200
    first, second = (r["request"]["http"] for r in auth.requests)
    assert (first.get("body"), first.get("raw_body"), first["size"], first["headers"]["x-envoy-auth-partial-body"]) == ((None, b"hello", 5, "false") if raw else ("hello", None, 5, "false"))
    assert "body" not in second and "raw_body" not in second
    assert [r.body for r in backend.requests] == [b"hello", b""]


def test_routes_that_nobody_guards(guarded, auth):
    s = guarded(routes=[{"match": {"prefix": "/open"}, "route": {"cluster": "c"}, "typed_per_filter_config": {AUTHZ: typed("ext_authz.v3.ExtAuthzPerRoute", disabled=True)}},
                        {"match": {"prefix": "/"}, "route": {"cluster": "c"}}])
    auth.script = [denied(403)]
    assert [s.ask(p)[0] for p in ("/open", "/x")] == [200, 403]


@pytest.mark.parametrize("service,why", [({"google_grpc": {}}, "use envoy_grpc"), ({"envoy_grpc": {"cluster_name": "c"}, "initial_metadata": [{"key": "grpc-x", "value": "1"}]}, "initial_metadata[0]"), ({}, "")])
def test_what_is_not_taken(tmp_path, service, why):
    text = refused(tmp_path, [http_filter("ext_authz", "ExtAuthz", grpc_service=service), ROUTER])
    assert why in text and "grpc_service" in text
