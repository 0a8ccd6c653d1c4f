"""What is counted, and how it is shown: in Envoy's plain form, as JSON, and as Prometheus reads it."""
import json
import os
import pathlib
import re
import socket
import ssl
import threading
import time

import pytest
from backend import Backend, Reader
from certificates import Authority
from conftest import Client, Proxy
from exposition import parse
from http2_client import Http2
from listeners import HCM, ROUTER, TYPE, TlsClient, address, chain, cluster, http, listener_filter, tcp, tls
from suite import SLOW, free_ports, wait_until

SRC = pathlib.Path(__file__).resolve().parents[3] / "src/proxy"


def ask(port, path, method="GET"):
    c = Client(port)
    try:
        status, fields, body = c.ask(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        return status, body.decode(), fields
    finally:
        c.close()


class Stats(dict):
    """The plain page: a name that is not there is an error."""

    def __init__(self, admin, query=""):
        status, body, fields = ask(admin, "/stats" + query)
        assert status == 200 and fields["content-type"] == "text/plain; charset=UTF-8"
        rows = [line.split(": ", 1) for line in body.splitlines()]
        super().__init__((n, int(v)) for n, v in rows if v.isdigit())
        assert len({n for n, _ in rows}) == len(rows), "a name twice"
        self.histograms = {n: v for n, v in rows if not v.isdigit()}

    def of(self, prefix, **names):
        return {n: self[prefix + n.replace("__", ".")] for n in names}


class Stage:
    def __init__(self, tmp_path, routes, clusters, *flags, listener=None, hcm=None, log=None, extra=()):
        self.port, self.admin = free_ports(2)
        self.path = tmp_path / "bootstrap.json"
        chain_of = {"filters": [{"name": "h", "typed_config": {"@type": HCM, "stat_prefix": "ing", "http_filters": [ROUTER], "route_config": {"virtual_hosts": [
            {"name": "v", "domains": ["*"], "routes": routes}]}, **(hcm or {})}}]}
        self.path.write_text(json.dumps({"admin": {"address": address(self.admin)}, "static_resources": {"clusters": clusters, "listeners": [
            {"name": "l", "address": address(self.port), "filter_chains": [chain_of], **(listener or {})}, *extra]}}))
        self.proxy = Proxy(tmp_path, "-c", self.path, "--drain", "2s", *flags, port=self.port)

    def ask(self, path, method="GET"):
        return ask(self.port, path, method)[0]

    def expect(self, prefix, **want):
        """Counters come with the events themselves, some behind the answer: waits for exactly these values."""
        names = {prefix + n.replace("__", "."): v for n, v in want.items()}

        def got():
            now = Stats(self.admin)
            self.last = {n: now[n] for n in names}
            return self.last == names
        try:
            wait_until("the counters are right", got, 5)
        except BaseException:
            assert self.last == names
            raise


def route(prefix, name="c", **more):
    return {"match": {"prefix": prefix}, "route": {"cluster": name, **more}}


def text(prefix, body="hi"):
    return {"match": {"prefix": prefix}, "direct_response": {"status": 200, "body": {"inline_string": body}}}


@pytest.fixture
def stage(tmp_path, backend):
    made = []

    def make(*args, **more):
        made.append(Stage(tmp_path, *args, **more))
        return made[-1]
    yield make
    backend.release.set()
    for s in made:
        s.proxy.stop()


@pytest.fixture
def plain(stage, backend):
    dead = free_ports(1)[0]
    return stage([text("/hi"), {"match": {"prefix": "/away"}, "redirect": {"host_redirect": "b.test"}}, route("/dead", "dead"), route("/c"), route("/", "c")],
                 [cluster(backend.port, "c"), cluster(dead, "dead")], hcm={"route_config": {"virtual_hosts": [{"name": "v", "domains": ["a.test", "x"], "routes": [
                     text("/hi"), {"match": {"prefix": "/away"}, "redirect": {"host_redirect": "b.test"}}, route("/dead", "dead"), route("/c"), route("/size"), route("/wait"), route("/cut")]}]}})


# ---- requests ----

def test_requests_are_counted_where_they_end(plain, backend):
    for path, status in (("/c", 200), ("/c", 200), ("/hi", 200), ("/away", 301), ("/none", 404), ("/dead", 503)):
        assert plain.ask(path) == status
    backend.status = 418
    assert plain.ask("/c") == 418
    plain.expect("http.ing.", downstream_rq_total=7, downstream_rq_http1_total=7, downstream_rq_http2_total=0, downstream_rq_active=0, downstream_rq_completed=7,
                 downstream_rq_1xx=0, downstream_rq_2xx=3, downstream_rq_3xx=1, downstream_rq_4xx=2, downstream_rq_5xx=1, rq_total=4, no_route=1, no_cluster=0,
                 rq_redirect=1, rq_direct_response=1, downstream_cx_active=0, downstream_cx_protocol_error=0, downstream_rq_rx_reset=0)
    plain.expect(f"listener.127.0.0.1_{plain.port}.http.ing.", downstream_rq_completed=7, downstream_rq_2xx=3, downstream_rq_3xx=1, downstream_rq_4xx=2, downstream_rq_5xx=1)
    plain.expect("cluster.c.", upstream_rq_total=3, upstream_rq_completed=3, upstream_rq_2xx=2, upstream_rq_200=2, upstream_rq_4xx=1, upstream_rq_418=1, upstream_rq_5xx=0,
                 upstream_rq_active=0, upstream_rq_pending_active=0, upstream_rq_pending_total=1, upstream_cx_total=1, upstream_cx_http1_total=1, upstream_cx_active=1,
                 upstream_cx_connect_fail=0, membership_total=1, membership_healthy=1, upstream_rq_retry=0)
    plain.expect("cluster.dead.", upstream_rq_total=0, upstream_rq_completed=1, upstream_rq_5xx=1, upstream_rq_503=1, upstream_rq_pending_failure_eject=1, upstream_rq_pending_total=1,
                 upstream_rq_pending_active=0, upstream_cx_total=1, upstream_cx_active=0, upstream_cx_destroy=1, upstream_cx_connect_fail=1, upstream_cx_connect_timeout=0)
    assert "cluster.c.upstream_rq_503" not in Stats(plain.admin), "a status that never was"


def test_what_runs_and_what_ends_badly(plain, backend):
    c = Client(plain.port)
    c.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
    plain.expect("http.ing.", downstream_rq_active=1, downstream_cx_active=1, downstream_rq_completed=0)
    plain.expect("cluster.c.", upstream_rq_active=1, upstream_rq_total=1)
    c.close()  # the client goes away
    plain.expect("http.ing.", downstream_rq_active=0, downstream_cx_active=0, downstream_rq_rx_reset=1, downstream_rq_completed=0)
    plain.expect("cluster.c.", upstream_rq_active=0, upstream_rq_tx_reset=1, upstream_rq_completed=0)
    backend.release.set()
    c = Client(plain.port)
    assert c.ask("GET /cut HTTP/1.1\r\nHost: x\r\n\r\n", head_only=True)[0] == 200  # the endpoint breaks off in the middle
    assert c.reader.until(b"never") is None
    plain.expect("http.ing.", downstream_rq_tx_reset=1, rq_reset_after_downstream_response_started=1, downstream_rq_active=0)
    plain.expect("cluster.c.", upstream_rq_rx_reset=1, upstream_rq_200=1, upstream_rq_completed=1)
    c = Client(plain.port)
    assert c.ask("nonsense\r\n\r\n")[0] == 400
    plain.expect("http.ing.", downstream_cx_protocol_error=1, downstream_rq_total=2)


def test_a_connection_that_was_closing(stage, backend):
    s = stage([route("/")], [cluster(backend.port, "c")])
    assert s.ask("/size/1") == 200 and s.ask("/closed-if-used") == 200  # sent twice: its first connection was idle, and closing
    s.expect("cluster.c.", upstream_rq_total=3, upstream_rq_active=0, upstream_rq_200=2, upstream_rq_completed=2, upstream_rq_retry=0, upstream_cx_total=2, upstream_cx_destroy=1)


def test_times(stage, backend):
    s = stage([route("/wait", timeout="0.2s")], [cluster(backend.port, "c")])
    before = time.monotonic()
    assert s.ask("/wait") == 504
    took_ms = (time.monotonic() - before) * 1000
    s.expect("cluster.c.", upstream_rq_timeout=1, upstream_rq_504=1, upstream_rq_5xx=1, upstream_rq_tx_reset=1, upstream_rq_active=0)
    s.expect("http.ing.", downstream_rq_5xx=1, downstream_rq_active=0)
    families = parse(ask(s.admin, "/stats/prometheus")[1])
    _, series = families["envoy_http_downstream_rq_time"]
    label = ("envoy_http_conn_manager_prefix", "ing")
    total = series[("envoy_http_downstream_rq_time_sum", (label,))]
    assert 195 <= total <= took_ms + 50 and series[("envoy_http_downstream_rq_time_count", (label,))] == 1
    assert series[("envoy_http_downstream_rq_time_bucket", (label, ("le", "100")))] == 0
    assert re.match(r"P0\(nan,\S+\) P25\(nan,\S+\) P50\(nan,\S+\)", Stats(s.admin).histograms["http.ing.downstream_rq_time"])
    assert Stats(s.admin).histograms["cluster.c.upstream_rq_time"] == "No recorded values"  # it was not answered


def test_http2_and_upgrades(stage, backend):
    s = stage([route("/")], [cluster(backend.port, "c")], hcm={"upgrade_configs": [{"upgrade_type": "websocket"}]})
    h2 = Http2(s.port)
    assert h2.ask("GET", "/size/1").status == 200
    s.expect("http.ing.", downstream_rq_http2_total=1, downstream_rq_http1_total=0, downstream_rq_2xx=1)
    c = Client(s.port)
    assert c.ask("GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n")[0] == 101
    s.expect("http.ing.", downstream_cx_upgrades_total=1, downstream_cx_upgrades_active=1, downstream_rq_active=1)
    c.close()
    s.expect("http.ing.", downstream_cx_upgrades_total=1, downstream_cx_upgrades_active=0, downstream_rq_1xx=1, downstream_rq_active=0)


def test_retries(stage, backend):
    s = stage([route("/next", retry_policy={"retry_on": "5xx", "num_retries": 2}), route("/huge", retry_policy={"retry_on": "5xx"})], [cluster(backend.port, "c")])
    backend.script = [500]
    assert s.ask("/next") == 200
    s.expect("cluster.c.", upstream_rq_total=2, upstream_rq_completed=2, upstream_rq_retry=1, upstream_rq_retry_success=1, upstream_rq_retry_limit_exceeded=0, upstream_rq_500=1, upstream_rq_200=1)
    backend.script = [500, 502, 503]
    assert s.ask("/next") == 503
    s.expect("cluster.c.", upstream_rq_total=5, upstream_rq_completed=5, upstream_rq_retry=3, upstream_rq_retry_success=1, upstream_rq_retry_limit_exceeded=1, upstream_rq_active=0,
             upstream_rq_retry_overflow=0, upstream_rq_tx_reset=0)
    s.expect("http.ing.", downstream_rq_5xx=1, downstream_rq_2xx=1)  # the client saw one
    backend.status = 500
    c = Client(s.port)
    body = "x" * (1024 * 1024 + 1)
    assert c.ask(f"POST /huge HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}")[0] == 500
    s.expect("cluster.c.", retry_or_shadow_abandoned=1, upstream_rq_retry=3)


def test_limits(stage, backend):
    breakers = {"circuit_breakers": {"thresholds": [{"max_requests": 1, "max_retries": 0}]}}
    s = stage([route("/")], [cluster(backend.port, "c", **breakers), cluster([], "none")])
    c = Client(s.port)
    c.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
    s.expect("cluster.c.", circuit_breakers__default__rq_open=1, circuit_breakers__default__rq_retry_open=1, circuit_breakers__default__cx_open=0, circuit_breakers__high__rq_open=0)
    assert s.ask("/size/1") == 503
    s.expect("cluster.c.", upstream_rq_pending_overflow=1, upstream_rq_503=1)
    backend.release.set()
    assert c.answer()[0] == 200
    s.expect("cluster.c.", circuit_breakers__default__rq_open=0)


def test_no_endpoint(stage, backend):
    s = stage([route("/", "none")], [{"name": "none"}])
    assert s.ask("/") == 503
    s.expect("cluster.none.", upstream_cx_none_healthy=1, upstream_rq_total=0, membership_total=0)


def test_what_is_known_of_endpoints(stage, backend):
    other = Backend()
    outlier = {"consecutive_5xx": 2, "interval": "60s", "max_ejection_percent": 60, "base_ejection_time": "60s"}
    check = {"timeout": "1s", "interval": "0.1s", "no_traffic_interval": "0.1s", "unhealthy_threshold": 1, "healthy_threshold": 1}
    load = {"load_assignment": {"cluster_name": "states", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(p)}, "health_status": h} for p, h in (
        (1, "HEALTHY"), (2, "HEALTHY"), (3, "DEGRADED"), (4, "DRAINING"), (5, "UNHEALTHY"))]}]}}
    s = stage([route("/")], [cluster([backend.port, other.port], "c", outlier_detection=outlier), {"name": "states", **load},
                             cluster([backend.port, free_ports(1)[0]], "checked", health_checks=[{**check, "tcp_health_check": {}}])])
    s.expect("cluster.states.", membership_total=5, membership_healthy=2, membership_degraded=1, membership_excluded=1)
    backend.status = 500
    for _ in range(4):
        s.ask("/x")
    s.expect("cluster.c.", outlier_detection__ejections_active=1, outlier_detection__ejections_enforced_total=1, outlier_detection__ejections_enforced_consecutive_5xx=1,
             outlier_detection__ejections_detected_consecutive_5xx=1, outlier_detection__ejections_overflow=0, membership_total=2, membership_healthy=1)
    other.status = 500
    for _ in range(2):
        s.ask("/x")
    s.expect("cluster.c.", outlier_detection__ejections_active=1, outlier_detection__ejections_detected_consecutive_5xx=2, outlier_detection__ejections_overflow=1,
             outlier_detection__ejections_enforced_total=1)
    s.expect("cluster.checked.", health_check__healthy=1, membership_healthy=1)
    now = Stats(s.admin).of("cluster.checked.", health_check__attempt=0, health_check__success=0, health_check__failure=0, health_check__network_failure=0)
    assert now["health_check__success"] >= 1 and now["health_check__failure"] == now["health_check__network_failure"] >= 1
    assert now["health_check__attempt"] >= now["health_check__success"] + now["health_check__failure"]
    other.close()


def test_filters(stage, backend):
    kinds = TYPE + "filters.http."
    fraction = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    limit = {"@type": kinds + "local_ratelimit.v3.LocalRateLimit", "stat_prefix": "lim", "token_bucket": {"max_tokens": 2, "fill_interval": "1000s"}, "filter_enabled": fraction, "filter_enforced": fraction}
    rbac = {"@type": kinds + "rbac.v3.RBAC", "rules": {"action": "DENY", "policies": {"p": {"permissions": [{"url_path": {"path": {"exact": "/no"}}}], "principals": [{"any": True}]}}}}
    fault = {"@type": kinds + "fault.v3.HTTPFault", "abort": {"http_status": 418, "percentage": {"numerator": 100}}, "headers": [{"name": "x-fault", "present_match": True}]}
    s = stage([route("/")], [cluster(backend.port, "c")], hcm={"http_filters": [
        {"name": "rbac", "typed_config": rbac}, {"name": "fault", "typed_config": fault}, {"name": "limit", "typed_config": limit}, ROUTER]})
    c = Client(s.port)
    assert c.ask("GET / HTTP/1.1\r\nHost: x\r\nx-fault: 1\r\n\r\n")[0] == 418
    assert [s.ask(p) for p in ("/no", "/a", "/a", "/a")] == [403, 200, 200, 429]
    s.expect("http.ing.", rbac__allowed=4, rbac__denied=1, fault__aborts_injected=1, fault__delays_injected=0, downstream_rq_4xx=3)
    s.expect("lim.http_local_rate_limit.", enabled=3, ok=2, rate_limited=1, enforced=1)
    prom = parse(ask(s.admin, "/stats/prometheus")[1])
    assert prom["envoy_http_local_rate_limit_ok"][1] == {("envoy_http_local_rate_limit_ok", (("envoy_local_http_ratelimit_prefix", "lim"),)): 2}


def test_basic_auth_cors_and_authorization(stage, backend):
    kinds = TYPE + "filters.http."
    authz = Backend()
    basic = {"@type": kinds + "basic_auth.v3.BasicAuth", "users": {"inline_string": "u:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M="}}
    ask_them = {"@type": kinds + "ext_authz.v3.ExtAuthz", "failure_mode_allow": True, "http_service": {"server_uri": {"uri": "http://a", "cluster": "authz", "timeout": "2s"}}}
    cors = {"allow_origin_string_match": [{"exact": "http://good"}], "@type": kinds + "cors.v3.CorsPolicy"}
    s = stage([{**route("/"), "typed_per_filter_config": {"cors": cors}}], [cluster(backend.port, "c"), cluster(authz.port, "authz")], hcm={"http_filters": [
        {"name": "basic", "typed_config": basic}, {"name": "cors", "typed_config": {"@type": kinds + "cors.v3.Cors"}}, {"name": "authz", "typed_config": ask_them}, ROUTER]})

    def say(origin, user="dTp0ZXN0"):
        c = Client(s.port)
        status = c.ask(f"GET / HTTP/1.1\r\nHost: x\r\norigin: {origin}\r\nauthorization: Basic {user}\r\n\r\n")[0]
        c.close()
        return status
    assert say("http://good", "dTp4") == 401
    first = say("http://good")
    authz.status = 403
    second = say("http://bad")
    authz.status = 500
    third = say("http://bad")
    assert (first, second, third) == (200, 403, 200)
    s.expect("http.ing.", basic_auth__denied=1, basic_auth__allowed=3, cors__origin_valid=1, cors__origin_invalid=2, ext_authz__ok=1, ext_authz__denied=1, ext_authz__error=1,
             ext_authz__failure_mode_allowed=1)
    authz.close()


# ---- connections ----

def test_tls_handshakes(stage, tmp_path, backend):
    ca = Authority(tmp_path)
    site, user = ca.issue("site", "DNS:site.example"), ca.issue("user", "URI:spiffe://td/ok")
    other, stranger = ca.issue("other", "URI:spiffe://else"), Authority(tmp_path, "stranger").issue("bad", "URI:spiffe://td/ok")
    context = tls(site, require_client_certificate=True, common={"validation_context": {"trusted_ca": {"filename": str(ca.cert)}, "match_typed_subject_alt_names": [
        {"san_type": "URI", "matcher": {"prefix": "spiffe://td/"}}]}})
    optional = free_ports(1)[0]
    s = stage([route("/")], [cluster(backend.port, "c")], extra=[
        {"name": "m", "address": address(optional), "stat_prefix": "may", "filter_chains": [{**chain(http("in", stat_prefix="may")), "transport_socket": tls(site)}]}])
    path = tmp_path / "two.json"
    config = json.loads(s.path.read_text())
    config["static_resources"]["listeners"][0]["filter_chains"][0]["transport_socket"] = context
    config["admin"]["address"], port = address(free_ports(1)[0]), free_ports(1)[0]
    config["static_resources"]["listeners"][0]["address"] = address(port)
    config["static_resources"]["listeners"][1]["address"] = address(may := free_ports(1)[0])
    path.write_text(json.dumps(config))
    p = Proxy(tmp_path, "-c", path, port=port)
    s.admin = config["admin"]["address"]["socket_address"]["port_value"]

    def refused(**how):
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            c = TlsClient(port, **how)
            assert c.ask("GET /size/1 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert TlsClient(port, cert=user).ask("GET /size/1 HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200
    refused()
    refused(cert=stranger)
    refused(cert=other)
    assert TlsClient(may).ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200
    plain = Client(port)
    plain.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert plain.reader.until(b"never") is None
    # the test's own look whether the port is open ends in the handshake, too: two of them are not TLS
    s.expect(f"listener.127.0.0.1_{port}.", ssl__handshake=1, ssl__fail_verify_no_cert=1, ssl__fail_verify_error=1, ssl__fail_verify_san=1, ssl__no_certificate=0, ssl__connection_error=2)
    s.expect("listener.may.", ssl__handshake=1, ssl__no_certificate=1, ssl__connection_error=0)
    s.expect("http.may.", downstream_cx_ssl_total=1)
    p.stop()


def test_connections_that_are_not_served(stage, backend):
    s = stage([route("/")], [cluster(backend.port, "c")], listener={"listener_filters": [listener_filter("proxy_protocol")], "listener_filters_timeout": "0.2s"})
    at = f"listener.127.0.0.1_{s.port}."
    wait_until("the look whether it listens has ended", lambda: not Stats(s.admin)[at + "downstream_cx_active"])
    before = Stats(s.admin)[at + "downstream_cx_total"]
    errors = Stats(s.admin)[at + "downstream_listener_filter_error"]
    silent = Client(s.port)
    assert silent.ended()
    s.expect(at, downstream_pre_cx_timeout=1, downstream_cx_active=0, downstream_cx_total=before + 1)
    bad = Client(s.port)
    bad.send("GET / HTTP/1.1\r\n\r\n")
    assert bad.ended()
    s.expect(at, downstream_listener_filter_error=errors + 1, downstream_cx_total=before + 2, downstream_cx_destroy=before + 2)


def test_tcp(stage, backend):
    port, nowhere = free_ports(2)
    s = stage([text("/")], [cluster(backend.port, "c")], extra=[{"name": "t", "address": address(port), "filter_chains": [chain(tcp("c"))]},
                                                                {"name": "n", "address": address(nowhere), "filter_chains": [chain(tcp("c", stat_prefix="slow", idle_timeout="0.2s"))]}])
    c = Client(port)
    question, answer = "GET /size/10 HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
    assert c.ask(question)[2] == b"x" * 10
    there, back = len(question), len(answer) + 10
    s.expect("tcp.tcp.", downstream_cx_total=1, downstream_cx_active=1)
    c.close()
    s.expect("tcp.tcp.", downstream_cx_active=0, downstream_cx_rx_bytes_total=there, downstream_cx_tx_bytes_total=back, downstream_cx_no_route=0, idle_timeout=0)
    s.expect("cluster.c.", upstream_cx_total=1, upstream_cx_active=0, upstream_cx_destroy=1, upstream_cx_rx_bytes_total=back, upstream_cx_tx_bytes_total=there)
    assert Client(nowhere).ended()
    s.expect("tcp.slow.", downstream_cx_total=1, idle_timeout=1, downstream_cx_active=0)


# ---- workers, changes ----

def test_all_workers_are_summed(stage, backend):
    s = stage([route("/")], [cluster(backend.port, "c")], "--concurrency", "2")
    threads = [threading.Thread(target=lambda: [s.ask("/size/1") for _ in range(20)]) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    s.expect("http.ing.", downstream_rq_total=80, downstream_rq_2xx=80, downstream_rq_active=0)
    s.expect("cluster.c.", upstream_rq_200=80)
    s.expect("server.", concurrency=2, live=1, state=0)
    s.expect("listener_manager.", listener_create_success=2, total_listeners_active=1, workers_started=1)


def put(path, kind, resources):
    types = {"cds": "cluster.v3.Cluster", "lds": "listener.v3.Listener", "eds": "endpoint.v3.ClusterLoadAssignment"}
    url = "type.googleapis.com/envoy.config." + types[kind]
    path.with_suffix(".new").write_text(json.dumps({"version_info": "1", "type_url": url, "resources": [{"@type": url, **r} for r in resources]}))
    os.rename(path.with_suffix(".new"), path)


def test_changes_keep_them_and_going_ends_them(tmp_path, backend):
    port, admin = free_ports(2)
    cds, lds = tmp_path / "cds.json", tmp_path / "lds.json"

    def listener(status):
        return {"name": "l", "address": address(port), "filter_chains": [chain(http(stat_prefix="ing", route_config={"virtual_hosts": [
            {"name": "v", "domains": ["*"], "routes": [route("/c", "c"), {"match": {"prefix": "/"}, "direct_response": {"status": status}}]}]}))]}
    put(cds, "cds", [cluster(backend.port, "c"), cluster(backend.port, "goes")])
    put(lds, "lds", [listener(200)])
    path = tmp_path / "bootstrap.json"
    path.write_text(json.dumps({"admin": {"address": address(admin)}, "dynamic_resources": {k + "_config": {"path_config_source": {"path": str(p)}} for k, p in (("cds", cds), ("lds", lds))}}))
    p = Proxy(tmp_path, "-c", path, port=port)
    assert ask(port, "/c")[0] == 200 and ask(port, "/")[0] == 200
    wait_until("it is counted", lambda: Stats(admin)["http.ing.downstream_rq_total"] == 2)
    put(cds, "cds", [cluster(backend.port, "c", connect_timeout="2s")])
    put(lds, "lds", [listener(204)])
    wait_until("the change is in force", lambda: ask(port, "/")[0] == 204)
    wait_until("the cluster has changed, the other has gone", lambda: Stats(admin)["cluster_manager.active_clusters"] == 1)
    assert ask(port, "/c")[0] == 200
    wait_until("both are there", lambda: Stats(admin)["cluster.c.upstream_rq_200"] == 2)
    now = Stats(admin)
    assert now["http.ing.downstream_rq_total"] >= 4
    wait_until("what went is forgotten", lambda: not any(n.startswith("cluster.goes.") for n in Stats(admin)))
    assert now.of("cluster_manager.", cluster_added=0, cluster_modified=0, cluster_removed=0, cds__update_success=0) == {
        "cluster_added": 2, "cluster_modified": 1, "cluster_removed": 1, "cds__update_success": 2}
    assert now.of("listener_manager.", listener_added=0, listener_modified=0, lds__update_success=0, lds__update_rejected=0) == {
        "listener_added": 1, "listener_modified": 1, "lds__update_success": 2, "lds__update_rejected": 0}
    put(lds, "lds", [{"name": "l", "address": address(port)}])
    wait_until("it is refused", lambda: Stats(admin)["listener_manager.lds.update_rejected"] == 1)
    p.stop()


# ---- how they are shown ----

def test_the_three_forms_say_the_same(plain, backend):
    for path in ("/c", "/hi", "/none", "/dead"):
        plain.ask(path)
    plain.expect("http.ing.", downstream_rq_completed=4)
    status, body, fields = ask(plain.admin, "/stats/prometheus")
    assert (status, fields["content-type"]) == (200, "text/plain; charset=UTF-8")
    families = parse(body)
    numbers = Stats(plain.admin)
    document = json.loads(ask(plain.admin, "/stats?format=json")[1])["stats"]
    histograms = document.pop()["histograms"]
    moving = re.compile(r"server\.|listener\.|.*cx_")  # asking is itself a thing that changes these
    assert {r["name"]: r["value"] for r in document if not moving.match(r["name"])} == {n: v for n, v in numbers.items() if not moving.match(n)}
    assert {h["name"] for h in histograms["computed_quantiles"]} == set(numbers.histograms) and histograms["supported_quantiles"][:3] == [0, 25, 50]
    assert parse(ask(plain.admin, "/stats?format=prometheus")[1]).keys() == families.keys()

    def series(name, **labels):
        return families[name][1][(name, tuple(sorted(("envoy_" + k, v) for k, v in labels.items())))]
    assert series("envoy_http_downstream_rq_xx", response_code_class="4", http_conn_manager_prefix="ing") == 1
    assert series("envoy_cluster_upstream_rq", response_code="503", cluster_name="dead") == 1
    assert series("envoy_listener_http_downstream_rq_xx", response_code_class="2", http_conn_manager_prefix="ing", listener_address=f"127.0.0.1_{plain.port}") == 2
    assert series("envoy_cluster_circuit_breakers_default_rq_open", cluster_name="c") == 0
    assert "envoy_server_live{} 1\n" in body and "# TYPE envoy_cluster_upstream_rq_total counter\n" in body
    first = next(line for line in body.splitlines() if line.startswith("envoy_cluster_upstream_rq_xx"))
    assert first.startswith('envoy_cluster_upstream_rq_xx{envoy_response_code_class="1",envoy_cluster_name="'), "own labels first"
    bounds = [dict(k[1])["le"] for k in families["envoy_cluster_upstream_rq_time"][1] if dict(k[1]).get("envoy_cluster_name") == "c" and "le" in dict(k[1])]
    assert bounds == "0.5 1 5 10 25 50 100 250 500 1000 2500 5000 10000 30000 60000 300000 600000 1800000 3600000 +Inf".split()


def test_what_is_left_out(plain):
    plain.ask("/hi")
    plain.expect("http.ing.", downstream_rq_completed=1)
    used = Stats(plain.admin, "?usedonly")
    assert used["http.ing.downstream_rq_total"] == 1 and all(used.values()) and "cluster.c.upstream_rq_total" not in used
    assert set(Stats(plain.admin, "?filter=%5Ecluster%5C.c%5C..*_rq_total$")) == {"cluster.c.upstream_rq_total"}
    assert set(Stats(plain.admin, "?filter=no_route")) == {"http.ing.no_route"}
    assert not Stats(plain.admin, "?type=Counters").histograms and "http.ing.downstream_rq_active" not in Stats(plain.admin, "?type=Counters")
    assert "http.ing.downstream_rq_active" in Stats(plain.admin, "?type=Gauges") and "http.ing.no_route" not in Stats(plain.admin, "?type=Gauges")
    only = Stats(plain.admin, "?type=Histograms&usedonly")
    assert not only and "http.ing.downstream_rq_time" in only.histograms
    families = parse(ask(plain.admin, "/stats/prometheus?usedonly&filter=^http")[1])
    assert "envoy_http_downstream_rq_total" in families and all(n.startswith("envoy_http_") for n in families)
    for query, word in (("filter=(", "Invalid re2 regex"), ("filter=a)(b", "Invalid re2 regex"), ("format=xml", "usage: /stats?format=json"), ("type=Nonsense", "invalid &type= param"),
                        ("filter=(?=x)", "Invalid re2 regex")):
        status, body, _ = ask(plain.admin, "/stats?" + query)
        assert status == 400 and word in body, (query, body)


def test_a_reset(plain):
    plain.ask("/hi")
    plain.expect("http.ing.", downstream_rq_total=1, downstream_rq_2xx=1)
    assert ask(plain.admin, "/reset_counters")[0] == 405
    assert ask(plain.admin, "/reset_counters", "POST")[:2] == (200, "OK\n")
    plain.expect("http.ing.", downstream_rq_total=0, downstream_rq_2xx=0)
    assert plain.ask("/hi") == 200
    plain.expect("http.ing.", downstream_rq_total=1, downstream_rq_2xx=1)


def test_names_that_need_care(stage, backend):
    odd = 'a.b"c\\d|80|é'
    s = stage([route("/", odd)], [cluster(backend.port, odd), cluster(backend.port, "long.name", alt_stat_name="short.one")], listener={"stat_prefix": "in:side"}, hcm={"stat_prefix": "x.y"})
    assert s.ask("/size/1") == 200
    s.expect(f"cluster.{odd}.", upstream_rq_200=1)
    s.expect("http.x.y.", downstream_rq_total=1)
    families = parse(ask(s.admin, "/stats/prometheus")[1])
    names = {dict(labels)["envoy_cluster_name"] for _, labels in families["envoy_cluster_upstream_rq_total"][1]}
    assert names == {odd, "short.one"}
    assert {dict(labels)["envoy_listener_address"] for _, labels in families["envoy_listener_downstream_cx_total"][1]} == {"in_side"}
    assert json.loads(ask(s.admin, "/stats?format=json&usedonly")[1])["stats"]


# ---- many ----

def test_thousands_of_clusters_hold_nothing_up(stage, backend):
    """The page is made in pieces: others are answered meanwhile, and a reader that does not read costs no memory."""
    n = 5000
    s = stage([text("/")], [{"name": f"cluster-{i}"} for i in range(n)])
    before = s.proxy.rss_kib()
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", s.admin))
    slow.sendall(b"GET /stats/prometheus HTTP/1.1\r\nHost: x\r\n\r\n")
    assert Reader(slow).until(b"\r\n\r\n")
    pages = []

    def whole(query):
        pages.append(parse(ask(s.admin, "/stats/prometheus?filter=" + query)[1]))
    for query in ("upstream_rq_", "none_has_this_name"):  # much to write; nothing to write, but much to look at
        thread = threading.Thread(target=whole, args=(query,))
        thread.start()
        answers = 0
        while thread.is_alive():
            assert ask(s.admin, "/ready")[0] == 200
            answers += 1
        assert answers > 10, answers  # made at once: one or two
    assert len(pages[0]["envoy_cluster_upstream_rq_total"][1]) == n and not pages[1]
    if SLOW == 1:  # a sanitizer keeps what was freed
        assert s.proxy.rss_kib() - before < 8 * 1024, "what the slow reader does not read is not made"
    slow.close()
    assert ask(s.admin, "/ready")[0] == 200


# ---- logs ----

def test_a_log_on_a_full_disk(stage):
    """Lines that cannot be written stay for a while and are dropped in the end; requests go on, and all of it is counted."""
    log = [{"name": "f", "typed_config": {"@type": TYPE + "access_loggers.file.v3.FileAccessLog", "path": "/dev/full", "log_format": {"text_format_source": {"inline_string": "x" * 40000 + "\n"}}}}]
    s = stage([text("/")], [], hcm={"access_log": log})
    c = Client(s.port)
    for _ in range(40):
        assert c.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200
    s.expect("filesystem.", lines_dropped=40 - 27, write_buffered=27, write_completed=0)
    assert Stats(s.admin)["filesystem.write_failed"] >= 27


# ---- the table ----

def test_every_row_is_counted_somewhere():
    rows = re.findall(r"^([A-Z_]+)_STAT\((\w+), (\w+),", (SRC / "stats.def").read_text(), re.M)
    assert len(rows) > 150
    code = "".join(p.read_text() for p in SRC.glob("*.[ch]"))
    near = re.compile(r"(RQ_[1-5]XX|OUTLIER_(FOUND|OUT)_\w+|HIGH_RQ_OPEN|DEFAULT_RQ_OPEN)\Z")  # counted by their distance from another, or what is left
    missing = [f"{kind}_STAT_{name}" for kind, name, _ in rows if not near.match(name) and not re.search(rf"\b{kind}_STAT_{name}\b", code)]
    assert not missing
