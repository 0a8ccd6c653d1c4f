"""Telemetries and the mesh config: what sidecars tell of requests, to whom, of all, a namespace and a workload."""
import base64
import json
import pathlib
import sys

import lab_harness
import pytest
from gateway import Gateway, rule
from suite import ROOT, wait_until

sys.path.append(str(ROOT / "tests/e2e/proxy"))
from exposition import parse  # noqa: E402

SYSTEM = "fairlead-system"
COLLECTOR = (pathlib.Path(__file__).parent / "span_collector.py").read_text()  # its text: a pod has a /tmp of its own, where this may be
MESH = """
extensionProviders:
- {name: zip, zipkin: {service: spans.default.svc.cluster.local, port: 9411}}
- {name: otel, opentelemetry: {service: spans.default.svc.cluster.local, port: 9411, http: {path: /v1/traces, headers: [{name: x-tenant, value: a}]}}}
- {name: json, envoyFileAccessLog: {path: /dev/stdout, logFormat: {labels: {told: "%REQ(:PATH)%", code: "%RESPONSE_CODE%"}}}}
"""


@pytest.fixture(scope="module")
def shop(mesh):
    """cart calls db; a collector of spans that keeps what it is sent."""
    lab = mesh.lab
    lab.apply((ROOT / "deploy/crds/telemetry.telemetries.yaml").read_text())
    lab.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system"}})
    for name in ("cart", "db"):
        mesh.run(name, probe=False)
    mesh.run("bytes", probe=False, port="tcp-x")
    container = {"name": "collector", "image": "busybox", "command": [sys.executable, "-uc", COLLECTOR, "9411"], "readinessProbe": {"tcpSocket": {"port": 9411}, "periodSeconds": 1}}
    deployment = lab_harness.echo("spans")
    deployment["spec"]["template"]["spec"]["containers"] = [container]
    service = lab_harness.service("spans", port=9411, target=9411)
    lab.apply(deployment, service)
    lab.wait_ready("app=spans", 1)
    wait_until("calls go through", lambda: mesh.curl("cart", "http://db/")[0] == 200)
    return mesh


def mesh_config(shop, text):
    shop.lab.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio", "namespace": "istio-system"}, "data": {"mesh": text}})


def telemetry(name="t", namespace="default", app=None, **spec):
    if app:
        spec["selector"] = {"matchLabels": {"app": app}}
    return {"apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


@pytest.fixture
def put(shop):
    def apply(*objects):
        shop.lab.apply(*objects)
    yield apply
    for namespace in ("default", SYSTEM):
        for t in shop.lab.get("telemetries", "-n", namespace)["items"]:
            shop.lab.fairlead("delete", f"telemetry/{t['metadata']['name']}", "-n", namespace)
    mesh_config(shop, MESH)


def spans(shop):
    """(path, fields of the request, what it was sent) of each report."""
    pod = shop.lab.ready_pods("app=spans")[0]["metadata"]["name"]
    return [json.loads(line) for line in shop.lab.fairlead("logs", pod).splitlines() if line.startswith("{")]


def traced(shop, word):
    """Spans of Zipkin's, of a path with that word."""
    found = [s for r in spans(shop) if r["path"] == "/api/v2/spans" for s in json.loads(base64.b64decode(r["body"]))]
    return [s for s in found if word in s["tags"].get("http.url", "")]


def lines(shop, name):
    return shop.lab.fairlead("logs", shop.pod(name), "-c", "sidecar").splitlines()


def test_traces_go_to_a_provider(shop, put):
    mesh_config(shop, MESH)
    put(telemetry(namespace=SYSTEM, name="all", tracing=[{"providers": [{"name": "zip"}], "randomSamplingPercentage": 100, "customTags": {
        "literal": {"literal": {"value": "x"}}, "field": {"header": {"name": "x-field", "defaultValue": "none"}}, "environment": {"environment": {"name": "POD_NAMESPACE"}}}}]))
    wait_until("both sides have told", lambda: shop.curl("cart", "-H", "x-field: f", "http://db/traced-by-all")[0] == 200 and len({s["kind"] for s in traced(shop, "traced-by-all")}) == 2)
    found = traced(shop, "traced-by-all")
    trace = [s for s in found if s["traceId"] == found[-1]["traceId"]]
    assert {s["kind"] for s in trace} == {"CLIENT", "SERVER"}, trace
    client, server = sorted(trace, key=lambda s: s["kind"])
    assert server["parentId"] == client["id"]
    for s in trace:
        assert (s["tags"]["literal"], s["tags"]["field"], s["tags"]["environment"]) == ("x", "f", "default"), s["tags"]
    # The namespace says another share, and the workload that it reports nothing.
    put(telemetry(tracing=[{"randomSamplingPercentage": 0}]))
    wait_until("none is taken any more", lambda: shop.curl("cart", "http://db/none")[1] and '"x-b3-sampled": "0"' in shop.curl("cart", "http://db/none")[1])
    put(telemetry(name="own", app="db", tracing=[{"disableSpanReporting": True}]), telemetry(tracing=[{"randomSamplingPercentage": 100}]))
    wait_until("the caller alone tells", lambda: shop.curl("cart", "http://db/caller-alone")[0] == 200 and traced(shop, "caller-alone"))
    for i in range(5):
        assert shop.curl("cart", f"http://db/quiet-server-{i}")[0] == 200
    wait_until("the last one is told", lambda: traced(shop, "quiet-server-4"))
    assert {s["kind"] for s in traced(shop, "quiet-server-")} == {"CLIENT"}


def test_traces_begin_at_the_gateway(shop, put):
    """A request from outside is one trace: the gateway's span, under it those of the sidecar."""
    gateway = Gateway(shop.lab)
    shop.lab.apply({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "told"}, "spec": {"ingressClassName": "fairlead", "rules": [rule("told.example", ("/", "Prefix", "db"))]}})
    mesh_config(shop, MESH)
    put(telemetry(namespace=SYSTEM, name="all", tracing=[{"providers": [{"name": "zip"}], "randomSamplingPercentage": 100}]))

    def services(path):
        return {s["localEndpoint"]["serviceName"] for s in traced(shop, path)}
    wait_until("both have told", lambda: gateway.ask("/through-the-gateway", "told.example").status == 200 and len(services("through-the-gateway")) == 2, 30)
    found = traced(shop, "through-the-gateway")
    assert "x-b3-traceid" in gateway.ask("/loud", "told.example").body.lower()
    first = next(s for s in found if s["localEndpoint"]["serviceName"].startswith("fairlead-gateway") and [o for o in found if o.get("parentId") == s["id"]])
    assert "parentId" not in first
    assert [s for s in found if s["traceId"] == first["traceId"] and s.get("parentId") == first["id"] and s["kind"] == "SERVER"], found
    put(telemetry(namespace=SYSTEM, name="all", tracing=[{"providers": [{"name": "zip"}], "randomSamplingPercentage": 100, "disableSpanReporting": True}]))
    wait_until("nothing is passed on any more", lambda: "x-b3-traceid" not in gateway.ask("/quiet", "told.example").body.lower())


def test_traces_by_otlp(shop, put):
    mesh_config(shop, MESH)
    put(telemetry(tracing=[{"providers": [{"name": "otel"}], "randomSamplingPercentage": 100}]))
    wait_until("it is told", lambda: shop.curl("cart", "http://db/by-otlp")[0] == 200 and [r for r in spans(shop) if r["path"] == "/v1/traces" and b"by-otlp" in base64.b64decode(r["body"])])
    report = [r for r in spans(shop) if r["path"] == "/v1/traces"][-1]
    assert report["fields"]["x-tenant"] == "a" and report["fields"]["content-type"] == "application/x-protobuf" and report["fields"]["host"] == "spans.default.svc.cluster.local:9411"


def test_a_provider_that_is_not_there(shop, put):
    mesh_config(shop, MESH)
    put(telemetry(tracing=[{"providers": [{"name": "nobody"}], "randomSamplingPercentage": 100}]))
    wait_until("an Event tells", lambda: [e for e in shop.lab.get("events")["items"] if e["reason"] == "TelemetryInvalid" and "there is no provider nobody" in e["message"]])
    assert shop.curl("cart", "http://db/")[0] == 200


def test_a_mesh_config_that_is_wrong(shop, put):
    mesh_config(shop, "accessLogFile: /dev/stdout\naccessLogFormat: '%NOTHING%'\n")
    wait_until("an Event tells", lambda: [e for e in shop.lab.get("events", "-n", "istio-system")["items"] if e["reason"] == "MeshConfigInvalid" and "unknown operator %NOTHING%" in e["message"]])
    wait_until("the usual format is used", lambda: shop.curl("cart", "http://db/usual-format")[0] == 200 and [x for x in lines(shop, "db") if "/usual-format" in x and "via_upstream" in x])


def test_logs(shop, put):
    mesh_config(shop, MESH)
    put(telemetry(namespace=SYSTEM, name="all", accessLogging=[{"providers": [{"name": "json"}], "filter": {"expression": "response.code >= 400 || request.headers['x-log'] == 'yes'"}}]),
        telemetry(name="none", app="cart", accessLogging=[{"disabled": True}]))

    def told(name):
        return [json.loads(x) for x in lines(shop, name) if x.startswith("{") and '"told"' in x]
    wait_until("it is told", lambda: shop.curl("cart", "-H", "x-log: yes", "http://db/first")[0] == 200 and told("db"))
    assert shop.curl("cart", "http://db/quiet")[0] == 200 and shop.curl("cart", "http://db/status/503")[0] == 503 and shop.curl("cart", "-H", "x-log: yes", "http://db/loud")[0] == 200
    wait_until("the last one is there", lambda: {"told": "/loud", "code": 200} in told("db"))
    # Of the first request there may be more: it was asked for until it was told, and logs are written a moment later.
    assert [x for x in told("db") if x["told"] != "/first"] == [{"told": "/status/503", "code": 503}, {"told": "/loud", "code": 200}]
    assert not told("cart")


def series(shop, name, metric):
    found = parse(shop.admin(name, "/stats/prometheus")).get(metric, (None, {}))[1]
    return [(dict(k), v) for (_, k), v in found.items()]


def test_metrics(shop, put):
    """Labels go, come and are told otherwise; a metric goes; all go."""
    put(telemetry(metrics=[{"overrides": [
        {"match": {"metric": "REQUEST_COUNT", "mode": "CLIENT"}, "tagOverrides": {"method": {"value": "request.method"}, "team": {"value": "'shop'"}, "response_flags": {"operation": "REMOVE"}}},
        {"match": {"metric": "REQUEST_SIZE"}, "disabled": True}]}]))

    def with_method():
        assert shop.curl("cart", "-X", "PUT", "http://db/edited")[0] == 200
        return [x for x in series(shop, "cart", "istio_requests_total") if x[0].get("method") == "PUT"]
    labels, value = wait_until("it is counted so", with_method)[0]
    assert labels["team"] == "shop" and "response_flags" not in labels and labels["response_code"] == "200" and value >= 1
    for labels, _ in series(shop, "cart", "istio_request_duration_milliseconds_count"):
        assert "method" not in labels and "response_flags" in labels
    before = sum(v for _, v in series(shop, "db", "istio_request_bytes_count"))
    assert shop.curl("cart", "http://db/")[0] == 200
    assert sum(v for _, v in series(shop, "db", "istio_request_bytes_count")) == before, "what is not told any more"
    put(telemetry(metrics=[{"overrides": [{"match": {"metric": "ALL_METRICS"}, "disabled": True}]}]))

    def stands_still():
        before = sum(v for _, v in series(shop, "db", "istio_requests_total"))
        assert shop.curl("cart", "http://db/")[0] == 200
        return sum(v for _, v in series(shop, "db", "istio_requests_total")) == before
    wait_until("nothing is counted", stands_still)
