"""HTTP filters: what each does to requests and answers, where routes say otherwise, and what the log is told. Words are Envoy's."""
import json
import subprocess

import pytest
from conftest import Client, Proxy
from suite import BIN, free_ports, wait_until

TYPES = "type.googleapis.com/envoy.extensions.filters.http."


def typed(name, **fields):
    return {"@type": TYPES + name, **fields}


def http_filter(short, message, **fields):
    own = {k[1:]: fields.pop(k) for k in list(fields) if k.startswith("_")}
    return {"name": f"envoy.filters.http.{short}", "typed_config": typed(f"{short}.v3.{message}", **fields), **own}


ROUTER = http_filter("router", "Router")


def bootstrap(port, filters, routes, host, table, backend_port, log):
    hcm = {"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "x",
           "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": routes, **host}], **table},
           "access_log": [{"name": "f", "typed_config": {
               "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(log),
               "log_format": {"text_format_source": {"inline_string": "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n"}}}}],
           "http_filters": filters}
    return {"static_resources": {
        "listeners": [{"name": "l", "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                       "filter_chains": [{"filters": [{"name": "h", "typed_config": hcm}]}]}],
        "clusters": [{"name": "c", "connect_timeout": "1s", "load_assignment": {"cluster_name": "c", "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": backend_port}}}}]}]}}]}}


class Stage:
    def __init__(self, tmp_path, backend_port, filters, routes=None, host=None, table=None, route=None, per_route=None, workers=1):
        self.port, self.log = free_ports(1)[0], tmp_path / "access.log"
        routes = routes or [{"match": {"prefix": "/"}, "route": {"cluster": "c", **(route or {})}, **({"typed_per_filter_config": per_route} if per_route else {})}]
        path = tmp_path / "bootstrap.json"
        path.write_text(json.dumps(bootstrap(self.port, [*filters, ROUTER], routes, host or {}, table or {}, backend_port, self.log)))
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
    path.write_text(json.dumps(bootstrap(1, filters, [{"match": {"prefix": "/"}, "route": {"cluster": "c"}, **more}], {}, {}, 1, tmp_path / "log")))
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
