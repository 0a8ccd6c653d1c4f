"""Traces: the context that comes and goes, who decides, and the spans that a collector gets."""
import json
import re
import threading

import pytest
from backend import Backend
from conftest import Client, Proxy
from listeners import HCM, ROUTER, address, cluster
from suite import BIN, free_ports, run, wait_until
from wire import fields

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-0([01])\Z")


# ---- what a collector gets ----

def one(data, number):
    return next((v for n, v in fields(data) if n == number), None)


def attributes(data, number):
    return {one(v, 1).decode(): one(one(v, 2), 1).decode() for n, v in fields(data) if n == number}


def otlp_spans(body):
    spans = []
    for _, resource_spans in fields(body):
        service = attributes(one(resource_spans, 1), 1)["service.name"]
        for n, scope_spans in fields(resource_spans):
            for number, s in fields(scope_spans) if n == 2 else []:
                if number != 2:
                    continue
                begin, end = (int.from_bytes(one(s, n), "little") for n in (7, 8))
                parent = one(s, 4)
                spans.append({"service": service, "trace": one(s, 1).hex(), "id": one(s, 2).hex(), "parent": parent.hex() if parent else None, "name": one(s, 5).decode(),
                              "state": (one(s, 3) or b"").decode(), "kind": one(s, 6), "ms": (end - begin) / 1e6, "begin": begin / 1e9, "tags": attributes(s, 9), "error": one(s, 15) is not None})
    return spans


def otlp(uri="http://col.test/v1/traces", **more):
    return {"name": "envoy.tracers.opentelemetry", "typed_config": {"@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig", "service_name": "shop", "http_service": {
        "http_uri": {"uri": uri, "cluster": "collector", "timeout": "1s"}, "request_headers_to_add": [{"header": {"key": "x-key", "value": "v"}}]}, **more}}


def zipkin(**more):
    return {"name": "envoy.tracers.zipkin", "typed_config": {"@type": "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig", "collector_cluster": "collector", "collector_endpoint": "/api/v2/spans",
                                                             "collector_endpoint_version": "HTTP_JSON", "collector_hostname": "zip.test", **more}}


class Stage:
    def __init__(self, tmp_path, backend, collector_port, provider, listener=None, **tracing):
        self.port, self.admin = free_ports(2)
        self.backend, self.log = backend, tmp_path / "log"
        log = [{"name": "f", "filter": {"traceable_filter": {}}, "typed_config": {"@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                                                                                  "path": str(tmp_path / "log"), "log_format": {"text_format": "%REQ(:PATH)%\n"}}}]
        hcm = {"@type": HCM, "stat_prefix": "x", "http_filters": [ROUTER], "access_log": log, "tracing": {"provider": provider, **tracing} if provider else None, "route_config": {"virtual_hosts": [
            {"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/hi"}, "direct_response": {"status": 200}}, {"match": {"prefix": "/"}, "route": {"cluster": "c", "retry_policy": {"retry_on": "5xx"}}}]}]}}
        hcm = {k: v for k, v in hcm.items() if v is not None}
        path = tmp_path / "bootstrap.json"
        path.write_text(json.dumps({"node": {"id": "n", "cluster": "edge"}, "admin": {"address": address(self.admin)}, "static_resources": {
            "clusters": [cluster(backend.port, "c"), cluster(collector_port, "collector")],
            "listeners": [{"name": "l", "address": address(self.port), "filter_chains": [{"filters": [{"name": "h", "typed_config": hcm}]}], **(listener or {})}]}}))
        self.proxy = Proxy(tmp_path, "-c", path, "--drain", "1s", port=self.port)

    def ask(self, path="/size/3", **more):
        c = Client(self.port)
        lines = "".join(f"{n.replace('_', '-')}: {v}\r\n" for n, v in more.items())
        try:
            return c.ask(f"GET {path} HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n")[0]
        finally:
            c.close()

    def stat(self, name):
        c = Client(self.admin)
        body = c.ask("GET /stats HTTP/1.1\r\nHost: x\r\n\r\n")[2].decode()
        c.close()
        return int(re.search(rf"^{re.escape(name)}: (\d+)$", body, re.M)[1])


@pytest.fixture
def collector():
    b = Backend()
    yield b
    b.close()


@pytest.fixture
def stage(tmp_path, backend, collector):
    made = []

    def make(provider, **more):
        made.append(Stage(tmp_path, backend, collector.port, provider, **more))
        return made[-1]
    yield make
    backend.release.set()
    collector.release.set()
    for s in made:
        s.proxy.stop()


def reported(collector, n, read=otlp_spans):
    def spans():
        return [s for r in list(collector.requests) for s in read(r.body)]
    wait_until("the spans have come", lambda: len(spans()) >= n)
    return spans()


# ---- OpenTelemetry ----

def test_a_span_and_its_context(stage, backend, collector):
    s = stage(otlp(), custom_tags=[{"tag": "lit", "literal": {"value": "l"}}, {"tag": "env", "environment": {"name": "NO_SUCH", "default_value": "d"}},
                                   {"tag": "head", "request_header": {"name": "X-Team", "default_value": "none"}}, {"tag": "absent", "request_header": {"name": "x-absent"}}], max_path_tag_length=6)
    assert s.ask("/size/3", user_agent="ua", x_team="t", x_request_id="rid") == 200
    span, = reported(collector, 1)
    told = PARENT.match(backend.requests[0].get("traceparent"))
    assert (told[1], told[2], told[3]) == (span["trace"], span["id"], "1") and span["parent"] is None
    assert (span["service"], span["name"], span["kind"], span["error"]) == ("shop", "ingress", 2, False)
    tags = span["tags"]
    assert {k: tags[k] for k in ("http.method", "http.url", "http.status_code", "http.protocol", "upstream_cluster", "response_flags", "user_agent", "guid:x-request-id", "component", "response_size",
                                 "lit", "env", "head")} == {
        "http.method": "GET", "http.url": "http://a.test/size/", "http.status_code": "200", "http.protocol": "HTTP/1.1", "upstream_cluster": "c", "response_flags": "-", "user_agent": "ua",
        "guid:x-request-id": "rid", "component": "proxy", "response_size": "3", "lit": "l", "env": "d", "head": "t"}
    assert "absent" not in tags and "error" not in tags
    report = collector.requests[0]
    assert (report.method, report.target, report.get("host"), report.get("content-type"), report.get("x-key")) == ("POST", "/v1/traces", "col.test", "application/x-protobuf", "v")
    assert s.stat("tracing.spans_sent") == 1 and s.stat("http.x.tracing.random_sampling") == 1


def test_a_trace_that_goes_on(stage, backend, collector):
    s = stage(otlp(), random_sampling={"value": 0}, listener={"traffic_direction": "OUTBOUND"})
    backend.script = [500, 500]
    assert s.ask("/next", traceparent=f"00-{TRACE}-{SPAN}-01", tracestate="a=b") == 500
    span, = reported(collector, 1)
    assert (span["trace"], span["parent"], span["state"], span["name"], span["kind"], span["error"], span["tags"]["error"]) == (TRACE, SPAN, "a=b", "egress", 3, True, "true")
    assert span["tags"]["http.status_code"] == "500" and span["tags"]["response_flags"] == "URX"
    asked = [PARENT.match(r.get("traceparent")) for r in backend.requests]
    assert [(a[1], a[2], a[3]) for a in asked] == [(TRACE, span["id"], "1")] * 2 and backend.requests[0].get("tracestate") == "a=b"


@pytest.mark.parametrize("said,tracing,sampled", [
    ({}, {"random_sampling": {"value": 0}}, False),
    ({}, {"overall_sampling": {"value": 0}}, False),
    ({"x_client_trace_id": "1"}, {"random_sampling": {"value": 0}}, True),
    ({"x_client_trace_id": "1"}, {"random_sampling": {"value": 0}, "client_sampling": {"value": 0}}, False),
    ({"traceparent": f"00-{TRACE}-{SPAN}-00"}, {}, False),
    ({"traceparent": "nonsense"}, {}, True),
])
def test_who_decides(stage, backend, collector, said, tracing, sampled):
    s = stage(otlp(), **tracing)
    assert s.ask("/size/1", **said) == 200
    assert PARENT.match(backend.requests[0].get("traceparent"))[3] == str(int(sampled))
    assert s.ask("/size/1", traceparent=f"00-{TRACE}-{SPAN}-01") == 200  # one that is, behind it
    spans = reported(collector, 2 if sampled else 1)
    wait_until("the log has what is traced", lambda: len(open(s.log).readlines()) == 1 + sampled)
    assert len(spans) == 1 + sampled and spans[-1]["trace"] == TRACE


def test_a_share_is_traced(stage, backend, collector):
    s = stage(otlp(), random_sampling={"value": 30})
    for _ in range(200):
        assert s.ask("/hi") == 200
    wait_until("all are decided", lambda: s.stat("http.x.tracing.random_sampling") + s.stat("http.x.tracing.not_traceable") == 200)
    assert 30 < s.stat("http.x.tracing.random_sampling") < 95
    assert len(reported(collector, s.stat("http.x.tracing.random_sampling"))) == s.stat("http.x.tracing.random_sampling")


# ---- Zipkin ----

def test_zipkin(stage, backend, collector):
    s = stage(zipkin())
    assert s.ask("/size/3") == 200
    assert s.ask("/size/3", x_b3_traceid=TRACE, x_b3_spanid=SPAN, x_b3_sampled="1", b3="nonsense") == 200
    assert s.ask("/size/3", b3=f"{TRACE}-{SPAN}-0") == 200
    own, joined = reported(collector, 2, json.loads)
    first, second, third = backend.requests
    assert re.fullmatch("[0-9a-f]{16}", own["traceId"]) and own["kind"] == "SERVER" and own["name"] == "ingress" and "parentId" not in own
    assert (first.get("x-b3-traceid"), first.get("x-b3-spanid"), first.get("x-b3-sampled"), first.get("x-b3-parentspanid")) == (own["traceId"], own["id"], "1", None)
    assert (joined["traceId"], joined["parentId"]) == (TRACE, SPAN) and joined["duration"] >= 1 and joined["localEndpoint"]["serviceName"] == "edge"
    assert (second.get("x-b3-traceid"), second.get("x-b3-spanid"), second.get("x-b3-parentspanid"), second.get("b3"), second.get("traceparent")) == (TRACE, joined["id"], SPAN, None, None)
    assert (third.get("x-b3-traceid"), third.get("x-b3-sampled")) == (TRACE, "0"), "somebody has decided that it is not"
    assert joined["tags"]["http.status_code"] == "200"
    report = collector.requests[0]
    assert (report.target, report.get("host"), report.get("content-type")) == ("/api/v2/spans", "zip.test", "application/json")


def test_zipkin_with_w3c(stage, backend, collector):
    s = stage(zipkin(trace_context_option="USE_B3_WITH_W3C_PROPAGATION"))
    assert s.ask("/size/3", traceparent=f"00-{TRACE}-{SPAN}-01") == 200
    span, = reported(collector, 1, json.loads)
    asked = backend.requests[0]
    assert (span["traceId"], span["parentId"], asked.get("traceparent"), asked.get("x-b3-traceid")) == (TRACE, SPAN, f"00-{TRACE}-{span['id']}-01", TRACE)


# ---- what goes wrong ----

def test_without_tracing_nothing_is_touched(stage, backend):
    s = stage(None)
    assert s.ask("/size/3", traceparent="whatever", b3="x") == 200
    assert backend.requests[0].get("traceparent") == "whatever" and backend.requests[0].get("b3") == "x"


def test_a_collector_that_is_away_costs_no_request(tmp_path, backend):
    s = Stage(tmp_path, backend, free_ports(1)[0], otlp())
    for _ in range(20):
        assert s.ask("/hi") == 200
    wait_until("the spans are dropped and counted", lambda: s.stat("tracing.spans_dropped") == 20)
    assert s.stat("tracing.reports_failed") >= 1 and s.stat("tracing.spans_sent") == 0
    s.proxy.stop()


def test_a_collector_that_does_not_answer_fills_nothing(stage, backend, collector):
    """What waits is bounded: the rest is dropped, and requests go on."""
    s = stage(otlp(uri="http://col.test/wait", http_service={"http_uri": {"uri": "http://col.test/wait", "cluster": "collector", "timeout": "60s"}}))

    def ask():
        c = Client(s.port)
        for _ in range(1500):
            assert c.ask("GET /hi HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200
        c.close()
    assert s.ask("/hi") == 200
    wait_until("a report waits", lambda: collector.requests)
    threads = [threading.Thread(target=ask) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    wait_until("what is too much is dropped", lambda: s.stat("tracing.spans_dropped") == 4501 - 4096)
    collector.release.set()
    wait_until("the rest is reported", lambda: s.stat("tracing.spans_sent") == 4096)
    assert s.ask("/hi") == 200
    wait_until("there is room again", lambda: s.stat("tracing.spans_sent") == 4097)


@pytest.mark.parametrize("provider,path,why", [
    (otlp(http_service=None, grpc_service={"envoy_grpc": {"cluster_name": "collector"}}), "tracing.provider.typed_config.grpc_service", "use http_service"),
    (zipkin(collector_endpoint_version="HTTP_PROTO"), "tracing.provider.typed_config", "use HTTP_JSON"),
    (zipkin(collector_cluster=""), "tracing.provider.typed_config", "cluster"),
    ({"name": "x"}, "tracing.provider", "typed_config must be set"),
])
def test_refused(tmp_path, provider, path, why):
    if "typed_config" in provider:
        provider["typed_config"] = {k: v for k, v in provider["typed_config"].items() if v is not None}
    hcm = {"@type": HCM, "stat_prefix": "x", "http_filters": [ROUTER], "tracing": {"provider": provider}, "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": []}]}}
    file = tmp_path / "b.json"
    file.write_text(json.dumps({"static_resources": {"clusters": [cluster(1, "collector")], "listeners": [
        {"name": "l", "address": address(1), "filter_chains": [{"filters": [{"name": "h", "typed_config": hcm}]}]}]}}))
    done = run(BIN / "fairlead-proxy", "--validate", "-c", file, check=False)
    assert done.returncode == 64 and path in done.stderr and why in done.stderr, done.stderr
