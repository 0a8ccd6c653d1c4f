"""What the router writes into heads of its own, and the times that it keeps."""
import time

import pytest
from conftest import Client
from listeners import TYPE, address, chain, cluster, http, log, start
from suite import SLOW, free_ports, wait_until

GET = "GET {} HTTP/1.1\r\nHost: a.test\r\n{}\r\n"
ROUTER = {"name": "router", "typed_config": {"@type": TYPE + "filters.http.router.v3.Router"}}


@pytest.fixture
def routed(tmp_path, backend):
    started = []

    def begin(action=None, host=None, into=None, **hcm):
        port = free_ports(1)[0]
        # Where a list of endpoints is given it takes the cluster's place.
        to = into or cluster(backend.port)
        listener = http(cluster="backend", access_log=log(tmp_path / "log", "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%"), **hcm)
        v = listener["typed_config"]["route_config"]["virtual_hosts"][0]
        v["routes"][0]["route"].update(action or {})
        v.update(host or {})
        started.append(start(tmp_path, port, [{"address": address(port), "filter_chains": [chain(listener)]}], [to]))
        return Client(port)

    yield begin
    backend.release.set()
    for proxy in started:
        proxy.stop()
    assert not backend.garbage, backend.garbage


def ask(client, path="/", *fields):
    return client.ask(GET.format(path, "".join(f + "\r\n" for f in fields)))


def logged(tmp_path, line):
    """Lines are gathered before they are written."""
    wait_until(f"the line {line}", lambda: (tmp_path / "log").read_text().splitlines()[-1:] == [line])
    return True


# ---- fields ----

def test_the_date(routed, backend):
    client = routed()
    date = ask(client)[1]["date"]
    assert abs(time.mktime(time.strptime(date, "%a, %d %b %Y %H:%M:%S GMT")) - time.timezone - time.time()) < 3
    backend.script = ["200 Date: then"]
    assert ask(client, "/next")[1]["date"] == "then"
    assert "date" in ask(routed({"timeout": "0.05s"}), "/wait")[1]


def test_time_outs_and_times_are_told(routed, backend):
    client = routed()
    _, answer, _ = ask(client, "/", "x-envoy-expected-rq-timeout-ms: 7")
    assert backend.requests[-1].get("x-envoy-expected-rq-timeout-ms") == "15000"
    assert answer["x-envoy-upstream-service-time"].isdigit()
    client = routed({"timeout": "0s"})
    ask(client)
    assert backend.requests[-1].get("x-envoy-expected-rq-timeout-ms") is None
    client = routed({"timeout": "9s", "retry_policy": {"retry_on": "5xx", "per_try_timeout": "2s"}})
    ask(client)
    assert backend.requests[-1].get("x-envoy-expected-rq-timeout-ms") == "2000"
    client = routed({"timeout": "9s", "retry_policy": {"retry_on": "5xx"}})
    backend.script = ["503"]
    assert ask(client, "/next")[0] == 200
    assert 1000 < int(backend.requests[-1].get("x-envoy-expected-rq-timeout-ms")) < 9000 == int(backend.requests[-2].get("x-envoy-expected-rq-timeout-ms"))
    quiet = {"name": "router", "typed_config": {"@type": TYPE + "filters.http.router.v3.Router", "suppress_envoy_headers": True}}
    client = routed({"prefix_rewrite": "/x"}, http_filters=[quiet])
    _, answer, _ = ask(client)
    assert not [n for n, _ in backend.requests[-1].fields if n.startswith("x-envoy")] and "x-envoy-upstream-service-time" not in answer


def test_what_was_rewritten_is_told(routed, backend):
    client = routed({"prefix_rewrite": "/new", "host_rewrite_literal": "b.test", "append_x_forwarded_host": True})
    ask(client, "/?q", "x-envoy-original-path: forged", "x-envoy-original-host: forged")
    r = backend.requests[-1]
    assert (r.target, r.get("x-envoy-original-path"), r.get("host"), r.get("x-envoy-original-host"), r.get("x-forwarded-host")) == ("/new?q", "/?q", "b.test", "a.test", "a.test")
    ask(client, "/", "x-forwarded-host: first")
    assert backend.requests[-1].get("x-forwarded-host") == "first,a.test"
    client = routed({"host_rewrite_header": "x-to"})
    ask(client, "/", "x-to: c.test")
    assert (backend.requests[-1].get("host"), backend.requests[-1].get("x-envoy-original-host"), backend.requests[-1].get("x-forwarded-host")) == ("c.test", "a.test", None)
    ask(client)
    assert (backend.requests[-1].get("host"), backend.requests[-1].get("x-envoy-original-host")) == ("a.test", None)


def test_the_host_of_the_endpoint(routed, backend):
    def endpoint(name):
        return {"endpoint": {"address": address(backend.port), **({"hostname": name} if name else {})}}
    to = {"name": "backend", "load_assignment": {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [endpoint("own.test")]}]}}
    client = routed({"auto_host_rewrite": True, "append_x_forwarded_host": True, "retry_policy": {"retry_on": "5xx"}}, into=to)
    backend.script = ["503"]
    assert ask(client, "/next")[0] == 200
    for r in backend.requests[-2:]:
        assert (r.get("host"), r.get("x-envoy-original-host"), r.get("x-forwarded-host")) == ("own.test", "a.test", "a.test")
    to["load_assignment"]["endpoints"] = [{"lb_endpoints": [endpoint(None)]}]
    ask(routed({"auto_host_rewrite": True}, into=to))
    assert (backend.requests[-1].get("host"), backend.requests[-1].get("x-envoy-original-host")) == ("a.test", None)
    names = {"name": "backend", "type": "STRICT_DNS", "load_assignment": {"cluster_name": "backend", "endpoints": [
        {"lb_endpoints": [{"endpoint": {"address": address(backend.port, "localhost")}}]}]}, "dns_lookup_family": "V4_ONLY"}
    ask(routed({"auto_host_rewrite": True}, into=names))
    assert backend.requests[-1].get("host") == "localhost"


def test_attempts_are_counted(routed, backend):
    client = routed({"retry_policy": {"retry_on": "5xx", "num_retries": 3, "per_try_timeout": "0.2s"}},
                    {"include_request_attempt_count": True, "include_attempt_count_in_response": True, "include_is_timeout_retry_header": True})
    backend.script = ["503", "wait"]
    status, answer, _ = ask(client, "/next", "x-envoy-attempt-count: 9", "x-envoy-is-timeout-retry: forged")
    assert (status, answer["x-envoy-attempt-count"]) == (200, "3")
    assert [r.get("x-envoy-attempt-count") for r in backend.requests] == ["1", "2", "3"]
    assert [r.get("x-envoy-is-timeout-retry") for r in backend.requests] == ["forged", "false", "true"]
    assert ask(routed({"timeout": "0s"}))[1].get("x-envoy-attempt-count") is None


def test_plain_requests_are_sent_to_tls(routed, backend):
    client = routed(host={"require_tls": "ALL"})
    status, answer, _ = ask(client, "/x?y")
    assert (status, answer["location"]) == (301, "https://a.test/x?y") and not backend.requests
    assert ask(client, "/x", "x-forwarded-proto: https")[0] == 200  # the proxy before us says so
    client = routed(host={"require_tls": "ALL"}, use_remote_address=True)
    assert ask(client, "/x", "x-forwarded-proto: https")[0] == 301


# ---- times ----

def test_idle_streams_of_a_route(routed, backend, tmp_path):
    client = routed({"idle_timeout": "0.2s", "timeout": "0s"})
    assert ask(client, "/wait")[::2] == (504, b"stream timeout") and logged(tmp_path, "504 SI stream_idle_timeout")
    client = routed({"idle_timeout": "0s", "timeout": "0.5s"}, stream_idle_timeout="0.1s")
    assert ask(client, "/wait")[::2] == (504, b"upstream request timeout")


@pytest.mark.parametrize("where", ["route", "listener"])
def test_the_longest_time_of_a_stream(routed, backend, tmp_path, where):
    limit = {"max_stream_duration": "0.3s"}
    client = routed({"timeout": "0s", **({"max_stream_duration": limit} if where == "route" else {})}, **({"common_http_protocol_options": limit} if where == "listener" else {}))
    assert ask(client, "/wait")[::2] == (504, b"downstream duration timeout") and logged(tmp_path, "504 - max_duration_timeout")
    client.close()
    # Before the request is whole, and bytes that come do not put it off.
    slow = Client(client_port(client, where, routed, limit))
    slow.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx")
    assert slow.answer()[0] == 408 and slow.ended()


def client_port(client, where, routed, limit):
    return routed({"timeout": "0s", **({"max_stream_duration": limit} if where == "route" else {})},
                  **({"common_http_protocol_options": limit} if where == "listener" else {})).sock.getpeername()[1]


def test_a_route_may_lift_the_listeners_limit(routed, backend):
    client = routed({"max_stream_duration": {"max_stream_duration": "0s"}}, common_http_protocol_options={"max_stream_duration": "0.1s"})
    client.send(GET.format("/wait", ""))
    wait_until("it is there", lambda: backend.requests)
    time_is_up = time.monotonic() + 0.4
    wait_until("the listener's time is over", lambda: time.monotonic() > time_is_up)
    backend.release.set()
    assert client.answer()[0] == 200


def test_the_longest_time_of_an_endpoints_stream(routed, backend, tmp_path):
    to = cluster(backend.port, common_http_protocol_options={"max_stream_duration": "0.2s"})
    client = routed({"timeout": "0s"}, into=to)
    assert ask(client, "/wait")[::2] == (504, b"upstream max stream duration reached")
    assert logged(tmp_path, "504 UMSDR upstream_max_stream_duration_reached")


def test_grpc_says_how_long_it_waits(routed, backend):
    def spent(action, timeout):
        backend.release.clear()
        begin = time.monotonic()
        ask(routed({"timeout": "30s", **action}), "/wait", "content-type: application/grpc", f"grpc-timeout: {timeout}")
        return time.monotonic() - begin
    new = {"max_stream_duration": {"grpc_timeout_header_max": "0.4s", "grpc_timeout_header_offset": "0.1s"}}
    assert 0.1 <= spent(new, "200m") < 0.35 * SLOW  # 200 - 100
    assert 0.3 <= spent(new, "9S") < 2 * SLOW       # 400 - 100
    assert 0.2 <= spent({"max_grpc_timeout": "0s"}, "200m") < 2 * SLOW
    assert 0.3 <= spent({"max_grpc_timeout": "0.3s"}, "9S") < 2 * SLOW


def test_the_endpoint_says_nothing(routed, backend, tmp_path):
    client = routed({"timeout": "0s", "retry_policy": {"retry_on": "5xx", "per_try_idle_timeout": "0.2s", "num_retries": 1}})
    backend.script = ["wait"]
    assert ask(client, "/next")[0] == 200 and len(backend.requests) == 2
    client = routed({"timeout": "0s", "retry_policy": {"retry_on": "5xx", "per_try_idle_timeout": "0.2s", "num_retries": 0}})
    assert ask(client, "/wait")[::2] == (504, b"upstream request timeout")
    assert logged(tmp_path, "504 URX,UT upstream_per_try_idle_timeout")


def test_the_time_for_a_request(routed, backend, tmp_path):
    client = routed({"timeout": "0s"}, request_timeout="0.3s")
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na")
    assert client.answer()[::2] == (408, b"request timeout") and client.ended()
    assert logged(tmp_path, "408 - request_overall_timeout")
    client = routed({"timeout": "0s"}, request_timeout="0.3s")
    client.send("POST / HTTP/1.1\r\nHost: a\r\n")
    assert client.answer()[0] == 408
    client = routed({"timeout": "0s"}, request_timeout="0.1s")  # of the request, not of the answer
    client.send(GET.format("/wait", ""))
    n = len(backend.requests)
    time_is_up = time.monotonic() + 0.3
    wait_until("it is there, and its time over", lambda: len(backend.requests) >= n and time.monotonic() > time_is_up)
    backend.release.set()
    assert client.answer()[0] == 200
    gather = {"name": "buffer", "typed_config": {"@type": TYPE + "filters.http.buffer.v3.Buffer", "max_request_bytes": 100}}
    client = routed({"timeout": "0s"}, request_timeout="0.3s", http_filters=[gather, ROUTER])
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na")
    assert client.answer()[::2] == (408, b"request timeout")


def test_connections_grow_old(routed, backend):
    client = routed(common_http_protocol_options={"max_connection_duration": "0.2s"})
    assert ask(client)[0] == 200
    client.sock.settimeout(10 * SLOW)
    assert client.ended()
    to = cluster(backend.port, common_http_protocol_options={"max_connection_duration": "0.2s"})
    client = routed(into=to)
    ask(client)
    first = backend.requests[-1].connection

    def moved():
        assert ask(client)[0] == 200
        return backend.requests[-1].connection != first
    wait_until("another connection", moved)
    client = routed(into=cluster(backend.port, max_requests_per_connection=1))
    before = backend.connections
    for _ in range(3):
        assert ask(client)[0] == 200
    assert backend.connections == before + 3
