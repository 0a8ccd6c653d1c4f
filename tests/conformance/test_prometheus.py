"""A real Prometheus scrapes the pods of a mesh, and is asked what Kiali asks it: the graph that comes back is that of the calls."""
import json
import os
import pathlib
import subprocess
import sys
import urllib.parse

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tests/e2e"), str(ROOT / "tests/e2e/mesh")]
import lab_harness  # noqa: E402
from suite import wait_until  # noqa: E402

PEERS = pathlib.Path(os.environ.get("PEERS", ROOT / "build/peers"))
PORT = 19090
SIDE = "{0}_workload_namespace,{0}_workload,{0}_canonical_service,{0}_canonical_revision"
BY = ("source_cluster," + SIDE.format("source") + ",destination_cluster,destination_service_namespace,destination_service,destination_service_name," + SIDE.format("destination")
      + ",request_protocol,response_code,grpc_response_status,response_flags")
RATE = 'sum(rate(istio_requests_total{{{}}}[30s])) by (' + BY + ") > 0"


@pytest.fixture(scope="module")
def lab():
    yield from lab_harness.running(lab_harness.Lab(), "--mesh")


@pytest.fixture(scope="module")
def shop(lab):
    """front calls cart, cart calls db, in two namespaces: each call is made by a loop in the caller's pod."""
    for ns in ("default", "bank"):
        lab.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns, "labels": {"istio-injection": "enabled"}}})
    for name, ns in (("front", "default"), ("cart", "default"), ("db", "bank")):
        d, s = lab_harness.echo(name, args=("--name", name)), lab_harness.service(name)
        d["metadata"]["namespace"] = s["metadata"]["namespace"] = ns
        d["spec"]["template"]["metadata"]["labels"]["version"] = "v1"
        s["spec"]["ports"][0]["name"] = "http"
        lab.apply(d, s)
    for name, ns in (("front", "default"), ("cart", "default"), ("db", "bank")):
        wait_until(f"{name} is ready", lambda name=name, ns=ns: lab.ready_pods(f"app={name}", ns), 40)
    return lab


def call(lab, name, url, times):
    pod = lab.ready_pods(f"app={name}")[0]["metadata"]["name"]
    done = lab.fairlead("exec", pod, "-c", "echo", "--", "sh", "-c", f"for i in $(seq {times}); do curl -s -m 5 -o /dev/null -w '%{{http_code}} ' {url}; done")
    return done.split()


@pytest.fixture(scope="module")
def prometheus(shop, tmp_path_factory):
    if not (PEERS / "prometheus").exists():
        pytest.fail("no prometheus: tests/conformance/build-peers.sh DIR prometheus")
    directory = tmp_path_factory.mktemp("prometheus")
    targets = []
    for ns in ("default", "bank"):
        for p in shop.get("pods", "-n", ns)["items"]:
            told = p["metadata"]["annotations"]
            assert told["prometheus.io/scrape"] == "true"
            targets.append({"targets": [f"{p['status']['podIP']}:{told['prometheus.io/port']}"], "labels": {"__metrics_path__": told["prometheus.io/path"]}})
    (directory / "config.yml").write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [{"job_name": "pods", "static_configs": targets}]}))
    node = shop.get("nodes")["items"][0]["metadata"]["name"]
    log = open(directory / "log", "w")
    process = subprocess.Popen(["ip", "netns", "exec", shop.netns(node), PEERS / "prometheus", f"--config.file={directory}/config.yml", f"--storage.tsdb.path={directory}/data",
                                f"--web.listen-address=127.0.0.1:{PORT}"], stderr=log, stdout=log)

    def ask(query):
        text = shop.in_netns(node, "curl", "-s", "-m", "10", f"http://127.0.0.1:{PORT}/api/v1/query?" + urllib.parse.urlencode({"query": query}), check=False).stdout
        found = json.loads(text) if text else {}
        assert found.get("status", "success") == "success", found
        return [(r["metric"], float(r["value"][1])) for r in found.get("data", {}).get("result", [])]
    try:
        wait_until("all pods are scraped", lambda: len([1 for _, v in ask("up") if v == 1]) == len(targets), 40)
        yield ask, node
    finally:
        process.terminate()
        process.wait(20)


def test_the_graph(shop, prometheus):
    ask, _ = prometheus

    def calls():  # a rate is between two looks
        return call(shop, "front", "http://cart/", 5) + call(shop, "cart", "http://db.bank/", 5)

    def edges(query):
        return {(m["source_workload"], m["destination_workload"], m["destination_service_namespace"], m["response_code"]) for m, _ in ask(RATE.format(query))}
    wait_until("both are told by who is called", lambda: calls() and ("front", "cart", "default", "200") in edges('reporter="destination",destination_workload_namespace="default"')
               and ("cart", "db", "bank", "200") in edges('reporter="destination",destination_workload_namespace="bank"'), 30)
    told = edges('reporter="source",source_workload_namespace="default"')
    assert {("front", "cart", "default", "200"), ("cart", "db", "bank", "200")} <= told
    assert not [e for e in told if "unknown" in e and e[3] == "200"], told


def test_times_and_bytes(shop, prometheus):
    ask, _ = prometheus
    quantile = 'histogram_quantile(0.95, sum(rate(istio_request_duration_milliseconds_bucket{reporter="destination",destination_workload="cart"}[30s])) by (le,source_workload,request_protocol))'
    rows = wait_until("there is a quantile", lambda: call(shop, "front", "http://cart/", 5) and [(m, v) for m, v in ask(quantile) if v == v], 30)
    assert rows[0][0]["source_workload"] == "front" and 0 < rows[0][1] < 10000
    sent = 'sum(rate(istio_response_bytes_sum{reporter="source",source_workload="front"}[30s]))'
    wait_until("bytes are told", lambda: call(shop, "front", "http://cart/", 5) and [v for _, v in ask(sent) if v > 0], 30)


def test_who_reached_nobody(shop, prometheus):
    """Kiali's first question: calls that failed, as their callers tell them."""
    ask, _ = prometheus
    shop.apply(lab_harness.service("gone"))
    wait_until("it is told", lambda: "503" in call(shop, "front", "http://gone/", 10), 20)
    query = RATE.format('reporter="source",source_workload_namespace!="x",destination_workload_namespace="unknown",destination_workload="unknown",destination_service=~"^.+\\\\.default\\\\..+$"')
    rows = wait_until("it is found", lambda: call(shop, "front", "http://gone/", 3) and ask(query), 30)
    assert {m["destination_service"] for m, _ in rows} == {"gone.default.svc.cluster.local"} and {m["response_flags"] for m, _ in rows} == {"UH"}


def test_promtool(shop, prometheus):
    """What it has to say of Envoy's and Istio's own names is theirs: a counter without _total, milliseconds. Of the form it has nothing to say."""
    _, node = prometheus
    pod = shop.ready_pods("app=cart")[0]["status"]["podIP"]
    page = shop.in_netns(node, "curl", "-s", "-m", "10", f"http://{pod}:15020/stats/prometheus")
    done = subprocess.run([PEERS / "promtool", "check", "metrics"], input=page, capture_output=True, text=True)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "should have \"_total\"" not in line and "base unit" not in line and "abbreviated units" not in line
            and "non-counter metrics should not have \"_total\"" not in line]
    assert not said, said[:20]
