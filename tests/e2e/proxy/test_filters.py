"""HTTP filters: what each does to requests and answers, where routes say otherwise, and what the log is told. Words are Envoy's."""
import json
import subprocess

import pytest
from conftest import Client, Proxy
from http2_client import Http2
from suite import BIN, free_ports, wait_until

TYPES = "type.googleapis.com/envoy.extensions.filters.http."


def typed(name, **fields):
    return {"@type": TYPES + name, **fields}


def http_filter(short, message, **fields):
    own = {k[1:]: fields.pop(k) for k in list(fields) if k.startswith("_")}
    return {"name": f"envoy.filters.http.{short}", "typed_config": typed(f"{short}.v3.{message}", **fields), **own}


ROUTER = http_filter("router", "Router")


def bootstrap(port, filters, routes, host, table, clusters, log, options=None):
    hcm = {"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "x", "upgrade_configs": [{"upgrade_type": "websocket"}],
           "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": routes, **host}], **table},
           "access_log": [{"name": "f", "typed_config": {
               "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(log),
               "log_format": {"text_format_source": {"inline_string": "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n"}}}}],
           "http_filters": filters}
    return {"static_resources": {
        "listeners": [{"name": "l", "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                       "filter_chains": [{"filters": [{"name": "h", "typed_config": hcm}]}]}],
        "clusters": [{"name": name, "connect_timeout": "1s", "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": p}}}}]}]}, **(options or {}).get(name, {})} for name, p in clusters.items()]}}


class Stage:
    def __init__(self, tmp_path, backend_port, filters, routes=None, host=None, table=None, route=None, per_route=None, workers=1, clusters=None, options=None):
        self.port, self.log = free_ports(1)[0], tmp_path / "access.log"
        routes = routes or [{"match": {"prefix": "/"}, "route": {"cluster": "c", **(route or {})}, **({"typed_per_filter_config": per_route} if per_route else {})}]
        path = tmp_path / "bootstrap.json"
        path.write_text(json.dumps(bootstrap(self.port, [*filters, ROUTER], routes, host or {}, table or {}, {"c": backend_port, **(clusters or {})}, self.log, options)))
        self.proxy = Proxy(tmp_path, "-c", path, "--drain", "2s", "--concurrency", workers, port=self.port)

    def client(self):
        return Client(self.port)

    def ask(self, path="/x", method="GET", body="", **fields):
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        c = self.client()
        try:
            return c.ask(f"{method} {path} HTTP/1.1\r\nHost: a.test\r\n{lines}{length}\r\n{body}")
        finally:
            c.close()

    def lines(self, n):
        wait_until("the log's lines", lambda: self.log.exists() and len(self.log.read_text().splitlines()) >= n)
        return self.log.read_text().splitlines()


@pytest.fixture
def stage(tmp_path, backend):
    made = []

    def make(filters, **more):
        made.append(Stage(tmp_path, backend.port, filters, **more))
        return made[0]

    yield make
    backend.release.set()
    for s in made:
        s.proxy.stop()
    assert not backend.garbage


def refused(tmp_path, filters, **more):
    """What --validate says."""
    path = tmp_path / "refused.json"
    path.write_text(json.dumps(bootstrap(1, filters, [{"match": {"prefix": "/"}, "route": {"cluster": "c"}, **more}], {}, {}, {"c": 1}, tmp_path / "log")))
    done = subprocess.run([BIN / "fairlead-proxy", "--validate", "-c", path], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    return done.stdout + done.stderr


# ---- the chain ----

def test_a_chain_ends_with_the_router(tmp_path):
    cors = http_filter("cors", "Cors")
    assert "non-terminal filter named envoy.filters.http.cors of type envoy.filters.http.cors is the last filter in a http filter chain." in refused(
        tmp_path, [cors])
    assert "terminal filter named envoy.filters.http.router of type envoy.filters.http.router must be the last filter in a http filter chain." in refused(
        tmp_path, [ROUTER, cors, ROUTER])


def mutation(name, value, where="response_mutations"):
    return {where: [{"append": {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}]}


def wrapped(config=None, **more):
    return {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", **({"config": config} if config else {}), **more}


PER_ROUTE = "header_mutation.v3.HeaderMutationPerRoute"
MUTATE = "envoy.filters.http.header_mutation"


def test_where_routes_switch_filters_off_and_on(stage, backend):
    s = stage([http_filter("header_mutation", "HeaderMutation", _disabled=True, mutations=mutation("x-off", "1")),
               http_filter("header_mutation", "HeaderMutation", _name="second", mutations=mutation("x-second", "1"))], routes=[
        {"match": {"prefix": "/on"}, "route": {"cluster": "c"}, "typed_per_filter_config": {MUTATE: wrapped()}},
        {"match": {"prefix": "/off"}, "route": {"cluster": "c"}, "typed_per_filter_config": {"second": wrapped(disabled=True)}},
        {"match": {"prefix": "/weights"}, "route": {"weighted_clusters": {"clusters": [
            {"name": "c", "weight": 1, "typed_per_filter_config": {"second": wrapped()}}]}},
         "typed_per_filter_config": {"second": wrapped(disabled=True)}},
        {"match": {"prefix": "/optional"}, "route": {"cluster": "c"}, "typed_per_filter_config": {
            MUTATE: wrapped({"@type": "type.googleapis.com/no.Such"}, is_optional=True)}},
        {"match": {"prefix": "/x"}, "route": {"cluster": "c"}}])
    seen = {p: [n for n in ("x-off", "x-second") if n in s.ask(p)[1]] for p in ("/on", "/off", "/weights", "/x", "/optional", "/none")}
    assert seen == {"/on": ["x-off", "x-second"], "/off": [], "/weights": ["x-second"], "/x": ["x-second"], "/optional": ["x-second"], "/none": ["x-second"]}
    assert "404 NR route_not_found" in s.lines(6)


def test_answers_come_back_through_the_chain(stage, backend):
    """The first filter is the last to see an answer, also of those that a later filter makes."""
    s = stage([http_filter("header_mutation", "HeaderMutation", mutations=mutation("x-a", "first")),
               http_filter("header_mutation", "HeaderMutation", mutations=mutation("x-a", "second")),
               http_filter("fault", "HTTPFault", abort={"header_abort": {}, "percentage": {"numerator": 100}})],
              host={"response_headers_to_add": [{"header": {"key": "x-host", "value": "%RESPONSE_CODE%"}}]})
    for fields, status in (({}, 200), ({"x_envoy_fault_abort_request": "404"}, 404)):
        got = s.ask(**fields)
        assert (got[0], got[1]["x-a"], "x-host" in got[1]) == (status, "first", True)


@pytest.mark.parametrize("grpc,status", [(5, 404), (14, 503), (0, 200)])
def test_an_abort_by_a_status_of_grpc(stage, backend, grpc, status):
    """Clients of gRPC are told it as they read it, others what it means to them."""
    s = stage([http_filter("fault", "HTTPFault", abort={"grpc_status": grpc, "percentage": {"numerator": 100}})])
    assert s.ask()[0] == status
    got = s.ask(content_type="application/grpc")
    assert (got[0], got[1]["grpc-status"]) == (200, str(grpc))


# ---- header_mutation ----

@pytest.mark.parametrize("wins,value", [(False, "table"), (True, "route")])
def test_fields_change_in_the_order_of_places(stage, backend, wins, value):
    s = stage([http_filter("header_mutation", "HeaderMutation", most_specific_header_mutations_wins=wins, mutations=mutation("x-a", "own"))],
              per_route={MUTATE: typed(PER_ROUTE, mutations=mutation("x-a", "route"))},
              host={"typed_per_filter_config": {MUTATE: typed(PER_ROUTE, mutations=mutation("x-a", "host"))}},
              table={"typed_per_filter_config": {MUTATE: typed(PER_ROUTE, mutations=mutation("x-a", "table"))}})
    assert s.ask()[1]["x-a"] == value


def test_fields_of_requests(stage, backend):
    s = stage([http_filter("header_mutation", "HeaderMutation", mutations={
        "request_mutations": [{"remove": "x-gone"}, {"append": {"header": {"key": "x-path", "value": "%REQ(:PATH)%"}}},
                              {"remove_on_match": {"key_matcher": {"prefix": "x-secret"}}}],
        "response_mutations": [{"append": {"header": {"key": "x-log", "value": "1"}}}, {"remove": "x-log"}]})])
    status, fields, _ = s.ask("/p", x_gone="1", x_secret_a="1", x_secret_b="2", x_kept="3")
    assert status == 200 and "x-log" not in fields
    got = backend.requests[0]
    assert (got.get("x-gone"), got.get("x-secret-a"), got.get("x-secret-b"), got.get("x-kept"), got.get("x-path")) == (None, None, None, "3", "/p")


# ---- cors ----

POLICY = dict(allow_origin_string_match=[{"exact": "http://good.test"}, {"suffix": ".ok.test"}], allow_methods="GET, POST", allow_headers="x-a",
              max_age="60", expose_headers="x-e", allow_credentials=True)


def cors(**policy):
    return {"envoy.filters.http.cors": typed("cors.v3.CorsPolicy", **policy)}


def allowed(fields):
    return {name[len("access-control-"):]: value for name, value in fields.items() if name.startswith("access-control-")}


def test_a_preflight_is_answered(stage, backend):
    s = stage([http_filter("cors", "Cors")], per_route=cors(**POLICY))
    status, fields, body = s.ask(method="OPTIONS", origin="http://good.test", access_control_request_method="GET")
    assert (status, body, backend.requests) == (200, b"", [])
    assert allowed(fields) == {"allow-origin": "http://good.test", "allow-credentials": "true", "allow-methods": "GET, POST", "allow-headers": "x-a",
                               "max-age": "60", "expose-headers": "x-e"}
    assert s.lines(1) == ["200 - cors_response"]


@pytest.mark.parametrize("method,fields", [
    ("OPTIONS", {"origin": "http://bad.test", "access_control_request_method": "GET"}),
    ("OPTIONS", {"access_control_request_method": "GET"}),
    ("GET", {"origin": "http://bad.test"}),
    ("GET", {}),
])
def test_others_go_through_without_a_mark(stage, backend, method, fields):
    s = stage([http_filter("cors", "Cors")], per_route=cors(**POLICY))
    status, answer, _ = s.ask(method=method, **fields)
    assert (status, allowed(answer), len(backend.requests)) == (200, {}, 1)


def test_answers_to_good_origins_are_marked(stage, backend):
    s = stage([http_filter("cors", "Cors")], per_route=cors(**POLICY))
    for method in ("GET", "OPTIONS"):
        status, fields, _ = s.ask(method=method, origin="https://a.ok.test")
        assert (status, allowed(fields)) == (200, {"allow-origin": "https://a.ok.test", "allow-credentials": "true", "expose-headers": "x-e"})
    assert len(backend.requests) == 2


def test_a_route_says_only_what_differs_from_its_host(stage, backend):
    s = stage([http_filter("cors", "Cors")], per_route=cors(allow_methods="PUT"), host={"typed_per_filter_config": cors(**POLICY)})
    fields = s.ask(method="OPTIONS", origin="http://good.test", access_control_request_method="GET")[1]
    assert allowed(fields)["allow-methods"] == "PUT" and allowed(fields)["max-age"] == "60"


def test_cors_is_off(stage, backend):
    s = stage([http_filter("cors", "Cors")], per_route=cors(**POLICY, filter_enabled={"default_value": {"numerator": 0}}))
    assert allowed(s.ask(origin="http://good.test")[1]) == {}


def test_any_origin_and_preflights_that_stay_here(stage, backend):
    s = stage([http_filter("cors", "Cors")], routes=[
        {"match": {"prefix": "/any"}, "route": {"cluster": "c"}, "typed_per_filter_config": cors(
            allow_origin_string_match=[{"exact": "*"}], allow_private_network_access=True)},
        {"match": {"prefix": "/"}, "route": {"cluster": "c"}, "typed_per_filter_config": cors(**POLICY, forward_not_matching_preflights=False)}])
    fields = s.ask("/any", method="OPTIONS", origin="null", access_control_request_method="GET", access_control_request_private_network="true")[1]
    assert allowed(fields) == {"allow-origin": "null", "allow-private-network": "true"}
    status, fields, _ = s.ask(method="OPTIONS", origin="http://bad.test", access_control_request_method="GET")
    assert (status, allowed(fields), backend.requests) == (200, {}, [])


# ---- buffer ----

BUFFER = "envoy.filters.http.buffer"


@pytest.mark.parametrize("retry", [None, {"retry_on": "5xx"}])
def test_a_body_is_gathered_before_it_goes(stage, backend, retry):
    s = stage([http_filter("buffer", "Buffer", max_request_bytes=100000)], route={"retry_policy": retry} if retry else {})
    backend.script = [503] if retry else []
    c = s.client()
    c.send("POST /next HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    wait_until("the first part is read", lambda: s.lines(0) == [] or True) if s.log.exists() else None
    assert backend.connections == 0
    c.send("1000\r\n" + "x" * 4096 + "\r\n0\r\nX-Trailer: t\r\n\r\n")
    assert c.answer()[0] == 200
    c.close()
    assert [(r.body, r.get("content-length"), r.get("transfer-encoding")) for r in backend.requests] == [
        (b"hello" + b"x" * 4096, "4101", None)] * (2 if retry else 1)


@pytest.mark.parametrize("head,body", [("Content-Length: 11", "hello world"), ("Transfer-Encoding: chunked", "b\r\nhello world\r\n")])
def test_a_body_that_is_too_large(stage, backend, head, body):
    s = stage([http_filter("buffer", "Buffer", max_request_bytes=10)])
    c = s.client()
    status, _, text = c.ask(f"POST /x HTTP/1.1\r\nHost: a.test\r\n{head}\r\n\r\n{body}")
    assert (status, text, backend.requests) == (413, b"Payload Too Large", [])
    c.close()
    assert s.lines(1) == ["413 - request_payload_too_large"]


# ---- escaped slashes ----

def test_escaped_slashes_that_lead_elsewhere(stage, backend):
    """What an endpoint may take for /admin/x must not pass by what stands before /admin; what stays on its route goes as it came."""
    f = {"name": "fairlead.filters.http.escaped_slashes", "typed_config": {"@type": "type.fairlead.dev/fairlead.filters.http.v1.EscapedSlashes"}}
    s = stage([f], routes=[{"match": {"path_separated_prefix": "/admin"}, "direct_response": {"status": 418}},
                           {"match": {"prefix": "/"}, "route": {"cluster": "c"}}])
    for path in ("/admin%2Fx", "/admin%2f", "/%2Fadmin", "/a%2F..%2Fadmin", "/a/..%2fadmin", "/a%5C..%5cadmin", "/%61dmin%2Fx?a=%2F"):
        assert s.ask(path)[0] == 400, path
    kept = ["/p/a%2Fb", "/p/a%2Fb?x=%2Fadmin", "/p?x=/a%2Fadmin", "/%", "/p%2", "/adminx%2F"]
    assert [s.ask(path)[0] for path in kept] == [200] * len(kept) and [r.target for r in backend.requests] == kept
    assert s.ask("/admin/a%2Fb")[0] == 418 and s.ask("/admin/..%2Fx")[0] == 400


# ---- a limit that gathers nothing ----

LIMIT = "fairlead.filters.http.body_limit"


def body_limit(n, **more):
    return {"name": LIMIT, "typed_config": {"@type": "type.fairlead.dev/fairlead.filters.http.v1.BodyLimit", "max_bytes": n}, **more}


def test_bodies_up_to_a_size(stage, backend):
    s = stage([body_limit(10, disabled=True)], routes=[
        {"match": {"prefix": "/free"}, "route": {"cluster": "c"}},
        {"match": {"prefix": "/"}, "route": {"cluster": "c"}, "typed_per_filter_config": {LIMIT: body_limit(20)["typed_config"]}}])
    assert [s.ask(p, "POST", "y" * n)[0] for p, n in (("/free", 50), ("/x", 20), ("/x", 21))] == [200, 200, 413]


def test_a_body_that_turns_out_too_large(stage, backend):
    """It was on its way already: the endpoint sees a request that is cut, never one that looks whole."""
    s = stage([body_limit(10)])
    c = s.client()
    status, _, text = c.ask("POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n8\r\n12345678\r\n")
    assert (status, text) == (413, b"Payload Too Large")
    c.close()
    assert s.lines(1) == ["413 - request_payload_too_large"]


def test_what_comes_behind_an_upgrade_is_no_body(stage, backend):
    s = stage([body_limit(10)])
    c = s.client()
    upgrade = "GET {} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n{}\r\n"
    assert c.ask(upgrade.format("/ws", ""))[0] == 101
    for _ in range(3):
        c.send("x" * 100)
        assert c.reader.exactly(100) == b"X" * 100
    c.close()
    for body in ("Content-Length: 11\r\n\r\n" + "x" * 11, "Transfer-Encoding: chunked\r\n\r\nb\r\n12345678901\r\n0\r\n"):
        c = s.client()
        assert c.ask(upgrade.format("/x", body))[0] == 403, "nothing has a body and another protocol behind it"
        c.close()


def test_routes_have_limits_of_their_own(stage, backend):
    s = stage([http_filter("buffer", "Buffer", max_request_bytes=10)], routes=[
        {"match": {"prefix": "/off"}, "route": {"cluster": "c"}, "typed_per_filter_config": {BUFFER: typed("buffer.v3.BufferPerRoute", disabled=True)}},
        {"match": {"prefix": "/"}, "route": {"cluster": "c"}, "typed_per_filter_config": {
            BUFFER: typed("buffer.v3.BufferPerRoute", buffer={"max_request_bytes": 20})}}])
    assert [s.ask(p, "POST", "y" * n)[0] for p, n in (("/off", 50), ("/x", 20), ("/x", 21))] == [200, 200, 413]


def test_the_most_specific_place_counts(stage, backend):
    def own(n):
        return {"typed_per_filter_config": {BUFFER: typed("buffer.v3.BufferPerRoute", buffer={"max_request_bytes": n})}}
    s = stage([http_filter("buffer", "Buffer", max_request_bytes=40)], host=own(20), table=own(30), routes=[
        {"match": {"prefix": "/own"}, "route": {"cluster": "c"}, **own(10)}, {"match": {"prefix": "/x"}, "route": {"cluster": "c"}}])
    assert [s.ask(p, "POST", "y" * n)[0] for p, n in (("/own", 10), ("/own", 11), ("/x", 20), ("/x", 21))] == [200, 413, 200, 413]


def test_what_is_meant_for_another_filter_is_not_looked_at(stage, backend):
    s = stage([http_filter("buffer", "Buffer", max_request_bytes=10)], per_route={BUFFER: typed("cors.v3.CorsPolicy", allow_methods="x")})
    assert [s.ask("/x", "POST", "y" * n)[0] for n in (10, 11)] == [200, 413]


# ---- fault ----

FAULT = "envoy.filters.http.fault"
ALWAYS = {"numerator": 100}


def test_a_fault_aborts(stage, backend):
    s = stage([http_filter("fault", "HTTPFault", abort={"http_status": 503, "percentage": ALWAYS})])
    status, _, body = s.ask()
    assert (status, body, backend.requests) == (503, b"fault filter abort", [])
    assert s.lines(1) == ["503 FI fault_filter_abort"]


def test_a_fault_delays(stage, backend):
    s = stage([http_filter("fault", "HTTPFault", delay={"fixed_delay": "0.3s", "percentage": ALWAYS})])
    c = s.client()
    c.send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello")
    with pytest.raises(TimeoutError):
        c.sock.settimeout(0.15)
        c.reader.more()
    assert backend.requests == []
    c.sock.settimeout(10)
    assert c.answer()[0] == 200
    assert backend.requests[0].body == b"hello"
    c.close()
    assert s.lines(1) == ["200 DI via_upstream"]


def test_a_fault_delays_then_aborts(stage, backend):
    s = stage([http_filter("fault", "HTTPFault", delay={"fixed_delay": "0.01s", "percentage": ALWAYS},
                           abort={"http_status": 418, "percentage": ALWAYS, "response_body": "tea"})])
    status, _, body = s.ask()
    assert (status, body) == (418, b"tea")
    assert s.lines(1) == ["418 DI,FI fault_filter_abort"]


def test_a_client_that_goes_while_it_is_delayed(stage, backend):
    s = stage([http_filter("fault", "HTTPFault", delay={"fixed_delay": "60s", "percentage": ALWAYS}, max_active_faults=1)])
    c = s.client()
    c.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n")
    wait_until("one is delayed, the next is not", lambda: answers_at_once(s))
    c.close()
    wait_until("the log says so", lambda: "0 DI,DC downstream_remote_disconnect" in s.lines(1))
    c = s.client()  # its place is free again: this one is delayed
    c.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n")
    c.sock.settimeout(0.1)
    with pytest.raises(TimeoutError):
        c.reader.more()
    c.close()


def answers_at_once(s):
    c = s.client()
    c.sock.settimeout(0.3)
    try:
        return c.ask("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n")[0] == 200
    except TimeoutError:
        return False
    finally:
        c.close()


def test_faults_that_requests_ask_for(stage, backend):
    s = stage([http_filter("fault", "HTTPFault", abort={"header_abort": {}, "percentage": ALWAYS}, delay={"header_delay": {}, "percentage": ALWAYS})])
    asked = [{}, {"x_envoy_fault_abort_request": "499"}, {"x_envoy_fault_abort_request": "499", "x_envoy_fault_abort_request_percentage": "0"},
             {"x_envoy_fault_abort_request": "99"}, {"x_envoy_fault_delay_request": "5"}]
    assert [s.ask(**fields)[0] for fields in asked] == [200, 499, 200, 200, 200]
    assert any(line.startswith("200 DI ") for line in s.lines(5))


def test_whom_faults_meet(stage, backend):
    abort = {"abort": {"http_status": 500, "percentage": ALWAYS}}
    s = stage([http_filter("fault", "HTTPFault")], routes=[
        {"match": {"prefix": path}, "route": {"cluster": "c"}, "typed_per_filter_config": {FAULT: typed("fault.v3.HTTPFault", **abort, **more)}}
        for path, more in (("/header", {"headers": [{"name": "x-a", "string_match": {"exact": "1"}}]}), ("/cluster", {"upstream_cluster": "other"}),
                           ("/mine", {"upstream_cluster": "c"}), ("/node", {"downstream_nodes": ["n1"]}))])
    assert [s.ask(p, **f)[0] for p, f in (("/header", {}), ("/header", {"x_a": "1"}), ("/cluster", {}), ("/mine", {}), ("/node", {}), (
        "/node", {"x_envoy_downstream_service_node": "n1"}))] == [200, 500, 200, 500, 200, 500]


# ---- local_ratelimit ----

LIMIT = "envoy.filters.http.local_ratelimit"
ON = {"filter_enabled": {"default_value": ALWAYS}, "filter_enforced": {"default_value": ALWAYS}}


def limit(n, **more):
    return {"stat_prefix": "s", "token_bucket": {"max_tokens": n, "fill_interval": "3600s"}, **ON, **more}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_limit_of_n_admits_n(stage, backend, workers):
    s = stage([http_filter("local_ratelimit", "LocalRateLimit", **limit(5))], workers=workers)
    answers = [s.ask() for _ in range(20)]
    assert [a[0] for a in answers].count(200) == 5 and answers[-1][0] == 429 and answers[-1][2] == b"local_rate_limited"
    assert "429 RL local_rate_limited" in s.lines(20)


def test_what_a_limit_says(stage, backend):
    s = stage([http_filter("local_ratelimit", "LocalRateLimit", **limit(
        1, status={"code": "ServiceUnavailable"}, enable_x_ratelimit_headers="DRAFT_VERSION_03",
        response_headers_to_add=[{"header": {"key": "x-local-limit", "value": "yes"}}]))])
    first, second = s.ask(), s.ask()
    told = [[a[0], *(a[1].get(n) for n in ("x-ratelimit-limit", "x-ratelimit-remaining", "x-local-limit"))] for a in (first, second)]
    assert told == [[200, "1", "0", None], [503, "1", "0", "yes"]]
    assert 3500 < int(second[1]["x-ratelimit-reset"]) <= 3600


def test_a_limit_that_is_not_enforced(stage, backend):
    s = stage([http_filter("local_ratelimit", "LocalRateLimit", **limit(1) | {
        "filter_enforced": {"default_value": {"numerator": 0}}, "request_headers_to_add_when_not_enforced": [{"header": {"key": "x-over", "value": "1"}}]})])
    assert [s.ask()[0] for _ in range(3)] == [200] * 3
    assert [r.get("x-over") for r in backend.requests] == [None, "1", "1"]


def test_routes_have_buckets_of_their_own(stage, backend):
    s = stage([http_filter("local_ratelimit", "LocalRateLimit", stat_prefix="none")], routes=[
        {"match": {"prefix": f"/{n}"}, "route": {"cluster": "c"}, "typed_per_filter_config": {LIMIT: typed("local_ratelimit.v3.LocalRateLimit", **limit(n))}}
        for n in (1, 2)] + [{"match": {"prefix": "/"}, "route": {"cluster": "c"}}])
    assert [[s.ask(p)[0] for _ in range(4)] for p in ("/1", "/2", "/x")] == [[200, 429, 429, 429], [200, 200, 429, 429], [200] * 4]


def test_descriptors(stage, backend):
    s = stage([http_filter("local_ratelimit", "LocalRateLimit", **limit(
        100, always_consume_default_token_bucket=False,
        descriptors=[{"entries": [{"key": "who", "value": "bob"}, {"key": "generic_key", "value": "g"}], "token_bucket": {
            "max_tokens": 1, "fill_interval": "3600s"}}, {"entries": [{"key": "q", "value": "1"}], "token_bucket": {"max_tokens": 2, "fill_interval": "3600s"}}],
        rate_limits=[{"actions": [{"request_headers": {"header_name": "X-User", "descriptor_key": "who"}}, {"generic_key": {"descriptor_value": "g"}}]},
                     {"actions": [{"query_parameters": {"query_parameter_name": "a", "descriptor_key": "q"}}]}]))])
    assert [s.ask(x_user="bob")[0] for _ in range(3)] == [200, 429, 429]
    assert [s.ask(x_user="ann")[0] for _ in range(3)] == [200, 200, 200]
    assert [s.ask("/x?b=2&a=1")[0] for _ in range(3)] == [200, 200, 429]
    assert [s.ask("/x?a=2")[0] for _ in range(3)] == [200, 200, 200]


@pytest.mark.parametrize("always,admitted", [(None, 2), (False, 4)])
def test_the_bucket_of_all_counts_descriptors_too(stage, backend, always, admitted):
    s = stage([http_filter("local_ratelimit", "LocalRateLimit", **limit(
        2, **({} if always is None else {"always_consume_default_token_bucket": always}),
        descriptors=[{"entries": [{"key": "remote_address", "value": "127.0.0.1"}], "token_bucket": {"max_tokens": 100, "fill_interval": "3600s"}}],
        rate_limits=[{"actions": [{"remote_address": {}}]}]))])
    assert [s.ask()[0] for _ in range(4)].count(200) == admitted


def test_a_descriptor_in_the_shadow_forbids_nothing(stage, backend):
    s = stage([http_filter("local_ratelimit", "LocalRateLimit", **limit(
        100, descriptors=[{"entries": [{"key": "generic_key", "value": "g"}], "shadow_mode": True, "token_bucket": {"max_tokens": 1, "fill_interval": "3600s"}}],
        rate_limits=[{"actions": [{"generic_key": {"descriptor_value": "g"}}]}]))])
    assert [s.ask()[0] for _ in range(3)] == [200] * 3


# ---- rbac ----

RBAC = "envoy.filters.http.rbac"
ANY = [{"any": True}]


def policies(action="ALLOW", **by_name):
    return {"rules": {"action": action, "policies": {name: {"permissions": p, "principals": w} for name, (p, w) in by_name.items()}}}


def test_what_is_not_allowed_is_refused(stage, backend):
    s = stage([http_filter("rbac", "RBAC", **policies(a=([{"url_path": {"path": {"prefix": "/open"}}}], ANY),
                                                      b=([{"header": {"name": ":method", "string_match": {"exact": "PUT"}}}],
                                                         [{"direct_remote_ip": {"address_prefix": "127.0.0.0", "prefix_len": 8}}])))])
    assert [s.ask(p, m)[0] for p, m in (("/open?x", "GET"), ("/x", "PUT"), ("/x?/open", "GET"))] == [200, 200, 403]
    assert s.ask()[2] == b"RBAC: access denied"
    assert "403 - rbac_access_denied_matched_policy[none]" in s.lines(4)


def test_what_is_denied_tells_the_policy(stage, backend):
    s = stage([http_filter("rbac", "RBAC", **policies("DENY", **{"no way": ([{"header": {"name": "x-a", "present_match": True}}], ANY)}))])
    assert [s.ask()[0], s.ask(x_a="1")[0]] == [200, 403]
    assert "403 - rbac_access_denied_matched_policy[no_way]" in s.lines(2)


def test_routes_have_rules_of_their_own(stage, backend):
    s = stage([http_filter("rbac", "RBAC", **policies())], routes=[
        {"match": {"prefix": "/open"}, "direct_response": {"status": 200}, "typed_per_filter_config": {RBAC: typed("rbac.v3.RBACPerRoute")}},
        {"match": {"prefix": "/log"}, "direct_response": {"status": 200}, "typed_per_filter_config": {RBAC: typed("rbac.v3.RBACPerRoute", rbac=policies("LOG"))}},
        {"match": {"prefix": "/x"}, "direct_response": {"status": 200}}])
    assert [s.ask(p)[0] for p in ("/open", "/log", "/x", "/no-route")] == [200, 200, 403, 403]


def test_what_rbac_cannot_see_is_refused(tmp_path):
    who = {"filter_state": {"key": "x", "string_match": {"exact": "y"}}}
    text = refused(tmp_path, [http_filter("rbac", "RBAC", **policies(a=(ANY, [who]))), ROUTER])
    assert "principals[0].filter_state" in text and "not implemented" in text


# ---- basic_auth ----

BASIC = "envoy.filters.http.basic_auth"
USERS = {"inline_string": "# users\nuser1:{SHA}tESsBmE/yNY3lb6a0L6vVQEZNqw=\r\nuser2:{SHA}EJ9LPFDXsN9ynSmbxvjp75Bmlx8=\n"}  # test1, test2


def basic(text):
    import base64
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def test_who_has_the_password(stage, backend):
    s = stage([http_filter("basic_auth", "BasicAuth", users=USERS, forward_username_header="x-user")])
    assert [s.ask(**basic(t))[0] for t in ("user1:test1", "user2:test2", "user1:test2", "user3:test1", ":test1", "user1:")] == [200, 200, 401, 401, 401, 401]
    assert [r.get("x-user") for r in backend.requests] == ["user1", "user2"]


@pytest.mark.parametrize("fields,details,why", [
    ({}, "no_credential", "Missing username and password."),
    ({"authorization": "Bearer x"}, "invalid_scheme", "Expected 'Basic' authentication scheme."),
    ({"authorization": "Basic !!"}, "invalid_format", "Invalid basic credential format."),
    ({"authorization": "Basic dXNlcjE="}, "invalid_format", "Invalid basic credential format."),
    (basic("user1:no"), "invalid_credential", "Invalid username/password combination."),
])
def test_what_a_wrong_password_is_told(stage, backend, fields, details, why):
    s = stage([http_filter("basic_auth", "BasicAuth", users=USERS)])
    status, answer, body = s.ask("/p?q", **fields)
    assert (status, body.decode(), answer["www-authenticate"]) == (401, "User authentication failed. " + why, 'Basic realm="http://a.test/p?q"')
    assert s.lines(1) == [f"401 - {details}_for_basic_auth"] and backend.requests == []


def test_users_of_routes_and_no_password_at_all(stage, backend):
    s = stage([http_filter("basic_auth", "BasicAuth", users=USERS, allow_missing=True)], per_route={
        BASIC: typed("basic_auth.v3.BasicAuthPerRoute", users={"inline_string": "only:{SHA}tESsBmE/yNY3lb6a0L6vVQEZNqw="}, realm="mine")})
    answers = [s.ask(), s.ask(**basic("only:test1")), s.ask(**basic("user1:test1"))]
    assert [a[0] for a in answers] == [200, 200, 401] and answers[2][1]["www-authenticate"] == 'Basic realm="mine"'


@pytest.mark.parametrize("line,why", [("bob:$apr1$x", "only {SHA}"), ("bob:{SHA}abc", "not a SHA-1 digest"), ("bob", "expected NAME:{SHA}DIGEST")])
def test_users_that_cannot_be_read(tmp_path, line, why):
    text = refused(tmp_path, [http_filter("basic_auth", "BasicAuth", users={"inline_string": "# c\n" + line}), ROUTER])
    assert "line 2: " + why in text and "users" in text


# ---- ext_authz ----

AUTHZ = "envoy.filters.http.ext_authz"


@pytest.fixture
def guarded(tmp_path, backend, auth):
    made = []

    def make(timeout="5s", cluster="auth", service=None, **more):
        places = {k: more.pop(k) for k in ("per_route", "routes") if k in more}
        made.append(Stage(tmp_path, backend.port, [http_filter("ext_authz", "ExtAuthz", http_service={
            "server_uri": {"uri": "http://auth", "cluster": cluster, "timeout": timeout}, "path_prefix": "/next", **(service or {})}, **more)],
            clusters={"auth": auth.port}, **places))
        return made[0]

    yield make
    backend.release.set()
    auth.release.set()
    for s in made:
        s.proxy.stop()
    assert not backend.garbage


def test_the_auth_server_is_asked(guarded, backend, auth):
    s = guarded(allowed_headers={"patterns": [{"prefix": "x-told"}]}, service={"authorization_request": {"headers_to_add": [{"key": "x-told-ours", "value": "1"}]}})
    status, _, body = s.ask("/p?q", "POST", "body", authorization="a", cookie="c", x_told_1="t", x_told_ours="forged")
    assert status == 200
    got = auth.requests[0]
    assert (got.method, got.target, got.body, sorted((n.lower(), v) for n, v in got.fields)) == ("POST", "/next/p?q", b"", [
        ("authorization", "a"), ("content-length", "0"), ("host", "a.test"), ("x-told-1", "t"), ("x-told-ours", "1")])
    assert (backend.requests[0].body, backend.requests[0].get("x-step")) == (b"body", None)
    for _ in range(3):
        assert s.ask()[0] == 200
    assert auth.connections == 1
    assert s.lines(4)[0] == "200 - via_upstream"


@pytest.mark.parametrize("step,status", [("403 X-Why: no", 403), ("302 Location: http://login.test/", 302), ("401 WWW-Authenticate: x", 401), ("403 Content-Type: text/html", 403)])
def test_the_auth_server_refuses(guarded, backend, auth, step, status):
    s = guarded()
    auth.script = [step]
    answer = s.ask()
    name, _, value = step.partition(" ")[2].partition(": ")
    assert (answer[0], answer[1][name.lower()], answer[2]) == (status, value, b"fail")
    assert backend.requests == [] and s.lines(1)[0].endswith(" UAEX ext_authz_denied")


def test_what_of_its_answers_goes_where(guarded, backend, auth):
    s = guarded(service={"authorization_response": {
        "allowed_upstream_headers": {"patterns": [{"exact": "x-user"}]}, "allowed_upstream_headers_to_append": {"patterns": [{"exact": "x-more"}]},
        "allowed_client_headers": {"patterns": [{"exact": "x-why"}]}, "allowed_client_headers_on_success": {"patterns": [{"exact": "x-told"}]}}})
    auth.script = ["200 X-User: bob\r\nX-More: 2\r\nX-Told: t\r\nX-Else: e", "403 X-Why: w\r\nX-Else: e\r\nLocation: l"]
    status, fields, _ = s.ask(x_user="forged", x_more="1")
    assert (status, fields.get("x-told"), fields.get("x-else"), fields.get("x-user")) == (200, "t", None, None)
    assert [backend.requests[0].get(n) for n in ("x-user", "x-more", "x-else", "x-told")] == ["bob", "1, 2", None, None]
    status, fields, _ = s.ask()
    assert (status, fields.get("x-why"), fields.get("x-else"), fields.get("location")) == (403, "w", None, "l")


@pytest.mark.parametrize("step", ["500 X-A: 1", "close"])
def test_an_auth_server_that_fails(guarded, backend, auth, step):
    s = guarded()
    auth.script = [step]
    status, fields, body = s.ask()
    assert (status, body, fields.get("x-a"), backend.requests) == (403, b"", None, [])
    assert s.lines(1) == ["403 UAEX ext_authz_error"]


@pytest.mark.parametrize("more", [{"cluster": "no-such"}, {"timeout": "0.05s"}])
def test_an_auth_server_that_is_not_there(guarded, backend, auth, more):
    s = guarded(status_on_error={"code": "ServiceUnavailable"}, **more)
    auth.script = ["wait"]
    assert s.ask()[0] == 503
    assert s.lines(1) == ["503 UAEX ext_authz_error"] and backend.requests == []


def test_failures_may_pass(guarded, backend, auth):
    s = guarded(failure_mode_allow=True, failure_mode_allow_header_add=True)
    auth.script = ["500", "403"]
    assert [s.ask()[0], s.ask()[0]] == [200, 403]
    assert [r.get("x-envoy-auth-failure-mode-allowed") for r in backend.requests] == ["true"]


def test_the_auth_server_sees_the_body(guarded, backend, auth):
    s = guarded(with_request_body={"max_request_bytes": 10})
    assert [s.ask("/x", "POST", body)[0] for body in ("hello", "hello world")] == [200, 413]
    assert s.ask()[0] == 200
    assert [[r.body for r in b.requests] for b in (auth, backend)] == [[b"hello", b""]] * 2


def test_each_filter_has_its_own_limit(stage, backend, auth):
    s = stage([http_filter("buffer", "Buffer", max_request_bytes=100), http_filter("ext_authz", "ExtAuthz", with_request_body={"max_request_bytes": 10}, http_service={
        "server_uri": {"uri": "http://auth", "cluster": "auth", "timeout": "5s"}})], clusters={"auth": auth.port})
    assert [s.ask("/x", "POST", "y" * n)[0] for n in (10, 11)] == [200, 413]
    assert [len(b.requests) for b in (auth, backend)] == [1, 1]


def test_routes_that_nobody_guards(guarded, backend, auth):
    s = guarded(with_request_body={"max_request_bytes": 2}, routes=[
        {"match": {"prefix": "/open"}, "route": {"cluster": "c"}, "typed_per_filter_config": {AUTHZ: typed("ext_authz.v3.ExtAuthzPerRoute", disabled=True)}},
        {"match": {"prefix": "/"}, "route": {"cluster": "c"}, "typed_per_filter_config": {
            AUTHZ: typed("ext_authz.v3.ExtAuthzPerRoute", check_settings={"disable_request_body_buffering": True})}}])
    assert [s.ask(p, "POST", "body")[0] for p in ("/open", "/x")] == [200, 200]
    assert [(r.target, r.body) for r in auth.requests] == [("/next/x", b"")]


def test_an_answer_of_the_auth_server_that_is_too_long(guarded, backend, auth):
    s = guarded(service={"path_prefix": "", "path_override": "/size/2000000"})
    assert s.ask()[0] == 403
    assert s.lines(1) == ["403 UAEX ext_authz_error"] and backend.requests == []


@pytest.mark.parametrize("deny,status", [(False, 200), (True, 423)])
def test_an_authorization_that_is_off(guarded, backend, auth, deny, status):
    s = guarded(filter_enabled={"default_value": {"numerator": 0}}, deny_at_disable={"default_value": deny, "runtime_key": "k"},
                status_on_error={"code": "Locked"})
    assert s.ask()[0] == status and auth.requests == []


def test_fields_that_are_never_told_and_another_path(guarded, backend, auth):
    s = guarded(service={"path_prefix": "", "path_override": "/check"}, allowed_headers={"patterns": [{"prefix": "x-"}]},
                disallowed_headers={"patterns": [{"exact": "X-Secret"}, {"exact": "authorization"}]})
    assert s.ask(x_secret="1", x_a="2", authorization="3")[0] == 200
    got = auth.requests[0]
    assert (got.target, got.get("x-secret"), got.get("x-a"), got.get("authorization")) == ("/check", None, "2", None)


def test_a_client_that_does_not_wait_for_the_auth_server(guarded, backend, auth):
    s = guarded()
    auth.script = ["wait"]
    c = s.client()
    c.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n")
    wait_until("the server is asked", lambda: auth.requests)
    c.close()
    assert s.lines(1) == ["0 DC downstream_remote_disconnect"]
    auth.release.set()
    assert s.ask()[0] == 200


# ---- HTTP/2 ----

def test_filters_over_http2(guarded, backend, auth):
    s = guarded(with_request_body={"max_request_bytes": 400000})
    c = Http2(s.port)
    body = b"z" * 300000
    sid = c.open("POST", "/p", end=False)
    c.send(sid, body)
    c.trailers(sid, ("x-sum", "1"))
    assert c.wait(sid).status == 200
    assert [(b.requests[0].body == body, b.requests[0].get("host"), b.requests[0].get("content-length"), b.requests[0].trailers) for b in (auth, backend)] == [
        (True, "example.test", "300000", [])] * 2
    assert c.ask("POST", "/p", body=b"z" * 400001).status == 413
    auth.script = ["wait"]
    sid = c.open("GET", "/reset")
    wait_until("the server is asked", lambda: len(auth.requests) == 2)
    c.h2.reset_stream(sid)
    c.flush()
    wait_until("the proxy knows", lambda: any(line.startswith("0 DC ") for line in s.lines(1)))
    auth.release.set()
    assert c.ask("GET", "/after").status == 200
    assert [r.target for r in backend.requests] == ["/p", "/after"]
    c.sock.close()
