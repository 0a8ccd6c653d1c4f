"""Requests that are sent again: when, how often, where, and what the client and the log are told. Words and flags are Envoy's."""
import json

import pytest
from conftest import Client, Proxy
from suite import free_ports, wait_until

FAILED = b"upstream connect error or disconnect/reset before headers. "


def bootstrap(port, routes, clusters, log, log_format="%RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_HOST% %RESPONSE_CODE_DETAILS%\n", direction="UNSPECIFIED"):
    hcm = {"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "x",
           "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], **routes}]},
           "access_log": [{"name": "f", "typed_config": {
               "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(log),
               "log_format": {"text_format_source": {"inline_string": log_format}}}}],
           "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}
    return {"static_resources": {
        "listeners": [{"name": "l", "traffic_direction": direction, "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                       "filter_chains": [{"filters": [{"name": "h", "typed_config": hcm}]}]}],
        "clusters": [{"name": name, "connect_timeout": "1s", **extra, "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": p}}}} for p in ports]}]}}
            for name, (ports, extra) in clusters.items()]}}


class Stage:
    def __init__(self, tmp_path, policy, ports, host=False, extra=None, route=None, **more):
        self.port, self.log = free_ports(1)[0], tmp_path / "access.log"
        action = {"cluster": "c"} | (route or {}) | ({} if host else {"retry_policy": policy})
        routes = {"routes": [{"match": {"prefix": "/"}, "route": action}]} | ({"retry_policy": policy} if host else {})
        path = tmp_path / "bootstrap.json"
        path.write_text(json.dumps(bootstrap(self.port, routes, {"c": (ports, extra or {})}, self.log, **more)))
        self.proxy = Proxy(tmp_path, "-c", path, "--drain", "2s", port=self.port)

    def ask(self, text="GET /next HTTP/1.1\r\nHost: x\r\n\r\n"):
        c = Client(self.port)
        try:
            return c.ask(text)
        finally:
            c.close()

    def lines(self, n):
        wait_until("the log's lines", lambda: self.log.exists() and len(self.log.read_text().splitlines()) >= n)
        return self.log.read_text().splitlines()


@pytest.fixture
def stage(tmp_path, backend):
    made = []

    def make(policy, ports=None, **more):
        made.append(Stage(tmp_path, policy, ports or [backend.port], **more))
        return made[0]

    yield make
    backend.release.set()
    for s in made:
        s.proxy.stop()
    assert not backend.garbage


@pytest.mark.parametrize("retry_on,extra,script,status,asked", [
    ("5xx", {}, [500], 200, 2),
    ("5xx", {}, [404], 404, 1),
    ("5xx", {}, ["close"], 200, 2),
    ("5xx", {"num_retries": 3}, [500, 503, 502], 200, 4),
    ("gateway-error", {}, [500], 500, 1),
    ("gateway-error", {}, [504], 200, 2),
    ("reset", {}, ["close"], 200, 2),
    ("reset", {}, [503], 503, 1),
    ("connect-failure", {}, ["close"], 503, 1),
    ("retriable-4xx", {}, [409], 200, 2),
    ("retriable-status-codes", {"retriable_status_codes": [418, 200]}, [418], 200, 3),
    ("retriable-headers", {"retriable_headers": [{"name": "x-again", "string_match": {"exact": "yes"}}]}, ["200 X-Again: yes"], 200, 2),
    ("unavailable", {}, ["200 grpc-status: 14"], 200, 2),
    ("unavailable,nonsense", {}, ["200 grpc-status: 13"], 200, 1),
    ("5xx", {}, ["503 x-envoy-overloaded: true"], 503, 1),
    ("5xx", {}, ["503 x-envoy-ratelimited: true"], 503, 1),
    ("envoy-ratelimited", {}, ["503 x-envoy-ratelimited: true"], 200, 2),
    ("5xx", {"retriable_request_headers": [{"name": "x-may"}]}, [500], 500, 1),
])
def test_what_is_asked_again(stage, backend, retry_on, extra, script, status, asked):
    s = stage({"retry_on": retry_on, "num_retries": 2, **extra} if "num_retries" not in extra and asked == 3 else {"retry_on": retry_on, **extra})
    backend.script = list(script)
    assert s.ask()[0] == status
    assert len(backend.requests) == asked


def test_the_last_answer_counts_when_it_was_asked_often_enough(stage, backend):
    s = stage({"retry_on": "5xx", "num_retries": 2})
    backend.script = [500, 501, 502, 500, 500]
    status, _, body = s.ask()
    assert (status, body, len(backend.requests)) == (502, b"fail", 3)
    assert s.lines(1)[0].startswith("502 URX ")
    backend.script = [500]
    assert s.ask()[0] == 200
    assert s.lines(2)[1].startswith("200 - ")


def test_nobody_listens(stage):
    dead = free_ports(1)[0]
    s = stage({"retry_on": "connect-failure"}, [dead])
    status, _, body = s.ask()
    assert (status, body) == (503, FAILED + b"retried and the latest reset reason: remote connection failure")
    assert s.lines(1)[0] == f"503 URX,UF 127.0.0.1:{dead} upstream_reset_before_response_started{{remote_connection_failure}}"


def test_another_endpoint_is_asked(stage, backend):
    dead = free_ports(1)[0]
    s = stage({"retry_on": "connect-failure", "retry_host_predicate": [{"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}],
        "host_selection_retry_max_attempts": 5}, [dead, backend.port])
    for _ in range(10):
        assert s.ask()[0] == 200
    assert len(backend.requests) == 10


def test_a_body_is_sent_again(stage, backend):
    s = stage({"retry_on": "5xx"})
    backend.script = [503]
    body = "b" * 300_000
    assert s.ask(f"POST /next HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}")[0] == 200
    assert [r.body for r in backend.requests] == [body.encode()] * 2
    backend.script = [503]
    assert s.ask("POST /next HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")[0] == 200
    assert [r.body for r in backend.requests[2:]] == [b"abc"] * 2


def test_a_body_that_is_too_long_is_sent_once(stage, backend):
    s = stage({"retry_on": "5xx"})
    backend.script = [503]
    body = "b" * 1_500_000
    assert s.ask(f"POST /next HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}")[0] == 503
    assert len(backend.requests) == 1


def test_a_try_that_takes_too_long(stage, backend):
    s = stage({"retry_on": "5xx", "per_try_timeout": "0.2s"})
    backend.script = ["wait"]
    assert s.ask()[0] == 200 and len(backend.requests) == 2
    backend.script = ["wait", "wait"]
    status, _, body = s.ask()
    assert (status, body) == (504, b"upstream request timeout")
    assert s.lines(2)[1].split(" ")[1::2] == ["URX,UT", "upstream_per_try_timeout"]


def test_the_whole_takes_too_long(stage, backend):
    s = stage({"retry_on": "5xx", "num_retries": 50, "retry_back_off": {"base_interval": "0.2s", "max_interval": "0.2s"}}, route={"timeout": "0.5s"})
    backend.script = [500] * 60
    status, _, body = s.ask()
    assert (status, body) == (504, b"upstream request timeout")
    assert s.lines(1)[0].split(" ")[1::2] == ["UT", "response_timeout"]


def test_a_policy_of_the_host(stage, backend):
    s = stage({"retry_on": "5xx"}, host=True)
    backend.script = [500]
    assert s.ask()[0] == 200


def test_a_breaker_of_retries(stage, backend):
    s = stage({"retry_on": "5xx"}, extra={"circuit_breakers": {"thresholds": [{"max_retries": 0}]}})
    backend.script = [500]
    assert s.ask()[0] == 500 and len(backend.requests) == 1


def test_a_client_that_goes_while_a_try_is_planned(stage, backend):
    s = stage({"retry_on": "5xx", "num_retries": 9, "retry_back_off": {"base_interval": "5s", "max_interval": "5s"}})
    backend.script = [500] * 9
    c = Client(s.port)
    c.send("GET /next HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until("it was asked once", lambda: backend.requests)
    c.close()
    assert s.lines(1)[0].startswith("0 DC ")


def test_a_body_too_long_to_keep_is_sent_once(stage, backend):
    """A part of it is never sent as if it were all."""
    s = stage({"retry_on": "5xx", "num_retries": 2})
    backend.script = [503]
    body = b"x" * (1024 * 1024 + 1)
    status = s.ask(b"POST /next HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)[0]
    assert status == 503 and [len(r.body) for r in backend.requests] == [len(body)]
    backend.script = [503]
    chunks = b"".join(b"%x\r\n%s\r\n" % (65536, b"x" * 65536) for _ in range(20)) + b"0\r\n\r\n"
    status = s.ask(b"POST /next HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)[0]
    assert status == 503 and [len(r.body) for r in backend.requests[1:]] == [20 * 65536]


def test_what_a_circuit_breaker_refuses_is_not_asked_for_again(stage, backend):
    s = stage({"retry_on": "5xx", "num_retries": 5}, extra={"circuit_breakers": {"thresholds": [{"max_requests": 1}]}})
    backend.script = ["wait"]
    first = Client(s.port)
    first.send("GET /next HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until("it waits", lambda: backend.requests)
    assert s.ask()[0] == 503
    backend.release.set()
    assert first.answer()[0] == 200
    assert sorted(line.split(" ")[1] for line in s.lines(2)) == ["-", "UO"], "without URX"


def test_what_a_first_try_met_is_not_told_of_the_last(stage, backend):
    """A log that asks why the connection failed, of a request whose second try went well."""
    dead = free_ports(1)[0]
    s = stage({"retry_on": "connect-failure", "num_retries": 5}, [dead, backend.port],
              log_format="%RESPONSE_CODE% %UPSTREAM_TRANSPORT_FAILURE_REASON%\n")
    for _ in range(6):
        assert s.ask()[0] == 200
    assert s.lines(6) == ["200 -"] * 6


@pytest.mark.parametrize(("direction", "said"), [("INBOUND", "true"), ("OUTBOUND", None)])
def test_beside_an_app_that_takes_no_connections(stage, direction, said):
    """Of a 503 that comes from there the caller can tell that nobody has seen the request."""
    s = stage({"num_retries": 0}, [free_ports(1)[0]], direction=direction)
    status, head, _ = s.ask()
    assert status == 503 and head.get("x-fairlead-unseen") == said


def test_what_nobody_has_seen_is_sent_elsewhere(stage, backend, tmp_path):
    """As the control plane says it: by the header of such an answer."""
    dead = tmp_path / "dead"
    dead.mkdir()
    before = Stage(dead, {"num_retries": 0}, [free_ports(1)[0]], direction="INBOUND")
    try:
        s = stage({"retry_on": "connect-failure,retriable-headers", "num_retries": 2, "retriable_headers": [{"name": "x-fairlead-unseen", "present_match": True}],
                   "retry_host_predicate": [{"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {
                       "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}],
                   "host_selection_retry_max_attempts": 5}, [before.port, backend.port])
        assert [s.ask("POST /next HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")[0] for _ in range(6)] == [200] * 6
    finally:
        before.proxy.stop()
