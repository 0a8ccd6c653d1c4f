"""A real OpenTelemetry collector is told of traces by OTLP/HTTP and by Zipkin: spans of sidecars of ours, and of a stock Envoy, joined through apps that pass the words on."""
import collections
import re

import istio_sidecar
import lab_harness
import pytest
from meshed_lab import Mesh
from suite import ROOT, wait_until

CONFIG = """
receivers:
  otlp: {protocols: {http: {endpoint: "0.0.0.0:4318"}}}
  zipkin: {endpoint: "0.0.0.0:9411"}
exporters:
  debug: {verbosity: detailed}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces/otlp: {receivers: [otlp], exporters: [debug]}
    traces/zipkin: {receivers: [zipkin], exporters: [debug]}
"""
MESH = """
extensionProviders:
- {name: zipkin, zipkin: {service: collector.default.svc.cluster.local, port: 9411, traceContextOption: USE_B3_WITH_W3C_PROPAGATION}}
- {name: otlp, opentelemetry: {service: collector.default.svc.cluster.local, port: 4318, http: {path: /v1/traces, timeout: 5s}}}
"""
Span = collections.namedtuple("Span", "service trace parent id kind attributes")


def collector(peers):
    labels = {"app": "collector"}
    container = {"name": "collector", "image": "busybox", "command": [str(peers / "otel-collector"), "--config", "file:/etc/collector/config.yaml"],
                 "readinessProbe": {"tcpSocket": {"port": 9411}, "periodSeconds": 1}, "volumeMounts": [{"name": "config", "mountPath": "/etc/collector"}]}
    return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "collector"}, "data": {"config.yaml": CONFIG}},
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "collector"}, "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels | {"sidecar.istio.io/inject": "false"}},
             "spec": {"containers": [container], "volumes": [{"name": "config", "configMap": {"name": "collector"}}], "terminationGracePeriodSeconds": 2}}}},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "collector"}, "spec": {"selector": labels, "ports": [{"name": "http-otlp", "port": 4318}, {"name": "http-zipkin", "port": 9411}]}}]


@pytest.fixture(scope="module")
def shop(peers):
    """Istio's sample shop, whose apps pass the words of traces on; ratings has a stock Envoy beside it."""
    for lab in lab_harness.running(lab_harness.Lab(), "--mesh"):
        mesh = Mesh(lab)
        for crd in sorted((ROOT / "deploy/crds").glob("*.yaml")):
            lab.apply(crd.read_text())
        lab.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system"}})
        lab.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio", "namespace": "istio-system"}, "data": {"mesh": MESH}})
        lab.apply(*collector(peers))
        lab.patch("/api/v1/namespaces/default", {"metadata": {"labels": {"istio-injection": "enabled"}}})
        lab.fairlead("apply", "-f", ROOT / "examples/mesh/bookinfo/bookinfo.yaml")
        lab.fairlead("delete", "deploy/reviews-v1", "deploy/reviews-v3")  # v2 asks ratings each time
        ratings = lab.get("deploy/ratings-v1")
        ratings["spec"]["template"]["metadata"]["labels"]["sidecar.istio.io/inject"] = "false"
        for gone in ("resourceVersion", "uid", "managedFields", "creationTimestamp", "generation"):
            ratings["metadata"].pop(gone, None)
        ratings.pop("status", None)
        lab.apply(istio_sidecar.beside(ratings, peers))
        lab.apply(lab_harness.echo("client", probe=False))
        for app in ("productpage", "details", "reviews", "collector", "client"):
            wait_until(f"{app} is ready", lambda app=app: lab.ready_pods(f"app={app}"), 60)
        wait_until("ratings has another sidecar", lambda: [c for p in lab.ready_pods("app=ratings") for c in p["spec"]["initContainers"] if "pilot-agent" in str(c.get("command"))], 60)
        wait_until("and no more the one before", lambda: len(lab.pods("app=ratings")) == 1, 60)
        wait_until("the page is whole", lambda: "Reviewer1" in mesh.curl("client", "http://productpage:9080/productpage")[1], 30)
        yield mesh


def spans(mesh):
    """All that the collector has been told, as it prints them."""
    pod = mesh.lab.ready_pods("app=collector")[0]["metadata"]["name"]
    found, service, now = [], "", None
    for line in mesh.lab.fairlead("logs", pod).splitlines():
        if m := re.match(r" +-> service\.name: Str\((.*)\)$", line):
            service = m[1]
        elif re.match(r"Span #\d+$", line):
            now = {}
            found.append((service, now))
        elif now is not None and (m := re.match(r" {4}(Trace ID|Parent ID|ID|Kind) *: ?(.*)$", line)):
            now[m[1]] = m[2].strip()
        elif now is not None and (m := re.match(r" +-> (\S+): \w+\((.*)\)$", line)):
            now[m[1]] = m[2]
    return [Span(s, d["Trace ID"], d.get("Parent ID", ""), d["ID"], d["Kind"], d) for s, d in found if "Trace ID" in d]


@pytest.mark.parametrize("provider", ["zipkin", "otlp"])
def test_joined_traces(shop, provider):
    shop.lab.apply({"apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry", "metadata": {"name": "all", "namespace": "fairlead-system"},
                    "spec": {"tracing": [{"providers": [{"name": provider}], "randomSamplingPercentage": 100}]}})

    def whole():
        trace = f"{provider.encode().hex():0>16}".rjust(32, "a")[:20] + f"{len(spans(shop)):012x}"
        body = shop.curl("client", "-H", f"traceparent: 00-{trace}-00000000000000aa-01", "http://productpage:9080/productpage")[1]
        if "Reviewer1" not in body:
            return None
        try:
            return wait_for(trace)
        except pytest.fail.Exception:
            return None

    def wait_for(trace):
        def look():
            found = [s for s in spans(shop) if s.trace == trace]
            return found if len(found) >= 8 else None
        return wait_until("all have told", look, 8)  # Envoy tells of fewer than five after 5 s
    found = wait_until("a trace is whole", whole, 60)
    by_id = {s.id: s for s in found}
    assert len(by_id) == len(found)
    # client -> productpage -> details, reviews -> ratings: both ends of each call
    kinds = collections.Counter(s.kind for s in found)
    assert kinds["Client"] == kinds["Server"] == 4, kinds
    roots = [s for s in found if s.parent not in by_id]
    assert len(roots) == 1 and roots[0].parent == "00000000000000aa" and roots[0].kind == "Client", roots

    def depth(s):
        return 1 + depth(by_id[s.parent]) if s.parent in by_id else 1
    assert max(depth(s) for s in found) == 6, "client, productpage, reviews, ratings: two spans a call"
    servers = [s for s in found if s.kind == "Server"]
    assert all(by_id[s.parent].kind == "Client" for s in servers)
