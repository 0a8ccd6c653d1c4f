"""Istio's metrics, as both ends of a call tell them: who they are is the control plane's word."""
import sys

import lab_harness
import pytest
from suite import ROOT, wait_until

sys.path.append(str(ROOT / "tests/e2e/proxy"))
from exposition import parse  # noqa: E402


@pytest.fixture(scope="module")
def shop(mesh):
    """cart calls db; each in the mesh by the namespace's word, both with a version."""
    lab = mesh.lab
    lab.patch("/api/v1/namespaces/default", {"metadata": {"labels": {"istio-injection": "enabled"}}})
    for name in ("cart", "db"):
        d = lab_harness.echo(name, args=("--name", name))
        d["spec"]["template"]["metadata"]["labels"]["version"] = "v1"
        service = lab_harness.service(name)
        service["spec"]["ports"][0]["name"] = "http"
        lab.apply(d, service)
    tcp = lab_harness.service("db")
    tcp["metadata"]["name"] = "db-bytes"
    tcp["spec"]["ports"][0] |= {"name": "tcp", "port": 81}
    lab.apply(tcp)
    for name in ("cart", "db"):
        lab.wait_ready(f"app={name}", 1)
    return lab


def pod(lab, name):
    return lab.ready_pods(f"app={name}")[0]["metadata"]["name"]


def call(lab, url):
    return lab.fairlead("exec", pod(lab, "cart"), "-c", "echo", "--", "curl", "-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", url)


def series(lab, name, metric, **labels):
    text = lab.fairlead("exec", pod(lab, name), "-c", "istio-proxy", "--", "/run/fairlead/bin/fairlead-proxy", "request", "GET", "/stats/prometheus")
    found = parse(text).get(metric, (None, {}))[1]
    return [(dict(k), v) for (_, k), v in found.items() if all(dict(k).get(n) == v for n, v in labels.items())]


def test_both_ends_tell_the_same(shop):
    wait_until("calls go through", lambda: call(shop, "http://db/") == "200")
    before = sum(v for _, v in series(shop, "db", "istio_requests_total", reporter="destination", source_workload="cart"))
    for _ in range(3):
        assert call(shop, "http://db/") == "200"
    source = wait_until("the caller tells", lambda: series(shop, "cart", "istio_requests_total", reporter="source", response_code="200"))[0][0]
    destination = wait_until("the called one tells", lambda: [r for r in series(shop, "db", "istio_requests_total", reporter="destination", source_workload="cart") if r[1] == before + 3])[0][0]
    same = {"source_workload": "cart", "source_workload_namespace": "default", "source_canonical_service": "cart", "source_canonical_revision": "v1", "source_cluster": "Kubernetes",
            "destination_workload": "db", "destination_workload_namespace": "default", "destination_canonical_service": "db", "destination_canonical_revision": "v1",
            "destination_app": "db", "destination_version": "v1", "destination_cluster": "Kubernetes", "destination_service": "db.default.svc.cluster.local",
            "destination_service_name": "db", "destination_service_namespace": "default", "request_protocol": "http", "response_flags": "-", "response_code": "200"}
    for labels in (source, destination):
        assert {k: labels[k] for k in same} == same
        assert labels["source_principal"] == labels["destination_principal"] == "spiffe://cluster.local/ns/default/sa/default"
    assert destination["connection_security_policy"] == "mutual_tls" and source["connection_security_policy"] == "unknown"


def test_who_is_not_in_the_mesh_is_unknown(shop):
    """But a Service without endpoints is told."""
    shop.apply(lab_harness.service("gone"))
    wait_until("it is told", lambda: call(shop, "http://gone/") == "503")
    labels = wait_until("it is counted", lambda: series(shop, "cart", "istio_requests_total", response_code="503", destination_service="gone.default.svc.cluster.local"))[0][0]
    assert labels["destination_workload"] == "unknown" and labels["response_flags"] == "UH"


def test_bytes(shop):
    """The called one knows its port as one of HTTP: another Service says so."""
    assert wait_until("bytes go through", lambda: call(shop, "http://db-bytes:81/") == "200")
    labels = wait_until("it is told", lambda: series(shop, "cart", "istio_tcp_connections_opened_total", reporter="source", destination_service_name="db-bytes"))[0][0]
    assert labels["source_workload"] == "cart" and labels["destination_workload"] == "db" and labels["request_protocol"] == "tcp"


def test_one_page_with_the_apps_own(shop):
    """Who scrapes pods by their annotations is led there, past the mesh's TLS."""
    d = lab_harness.echo("metered", args=("--name", "metered"))
    d["spec"]["template"]["metadata"]["annotations"] = {"prometheus.io/scrape": "true", "prometheus.io/port": "8080", "prometheus.io/path": "/metrics"}
    shop.apply(d)
    shop.wait_ready("app=metered", 1)
    one = shop.ready_pods("app=metered")[0]
    told = {k: v for k, v in one["metadata"]["annotations"].items() if k.startswith("prometheus.io/")}
    assert told == {"prometheus.io/scrape": "true", "prometheus.io/port": "15020", "prometheus.io/path": "/stats/prometheus"}
    node = shop.get("nodes")["items"][0]["metadata"]["name"]
    page = shop.in_netns(node, "curl", "-s", "-m", "10", "-i", f"http://{one['status']['podIP']}:15020/stats/prometheus")
    assert "200 OK" in page and "version=0.0.4" in page
    own, _, app = page.partition('"name": "metered"')
    assert "# TYPE envoy_server_uptime gauge" in own and '"path": "/metrics"' in app and f'"host": "{one["status"]["podIP"]}:8080"' in app, page[-500:]
