"""Istio's metrics: who asked whom, told by either side. What a workload is called comes with endpoints, or is asked for by the address of a client."""
import pytest
from ads_stage import ADS, Stage
from certificates import Authority
from conftest import Client
from exposition import parse
from listeners import TYPE, TlsClient, tls
from suite import free_ports, wait_until
from test_dynamic import HCM, ROUTER, assignment, table
from test_stats import ask

STATS = {"name": "istio.stats", "typed_config": {"@type": "type.googleapis.com/stats.PluginConfig"}}
SELF = "127.0.0.9"
LABELS = ("reporter source_workload source_workload_namespace source_principal source_app source_version source_canonical_service source_canonical_revision source_cluster"
          " destination_workload destination_workload_namespace destination_principal destination_app destination_version destination_canonical_service"
          " destination_canonical_revision destination_cluster destination_service destination_service_name destination_service_namespace request_protocol response_flags"
          " connection_security_policy response_code grpc_response_status").split()


def workload(name, namespace, **more):
    return {"workload": {"workload_name": name, "namespace": namespace, "canonical_name": name, "canonical_revision": "v1", "cluster_id": "Kubernetes"} | more}


class Sidecar(Stage):
    """With a listener each way to the same backend."""

    def __init__(self, tmp_path, backend, delta=True):
        self.admin, self.inbound, self.backend = free_ports(1)[0], free_ports(1)[0], backend
        super().__init__(tmp_path, delta, admin={"address": {"socket_address": {"address": "127.0.0.1", "port_value": self.admin}}},
                         node={"id": f"sidecar~{SELF}~web-1.shop~shop.svc.cluster.local", "cluster": "web.shop", "metadata": {"WORKLOAD_NAME": "web", "NAMESPACE": "shop"}})
        # it reads the file again: the node is in the bootstrap
        self.start()

    def listener_of(self, name, port, direction, **more):
        hcm = {"@type": HCM, "stat_prefix": name, "http_filters": [STATS, ROUTER], "rds": {"route_config_name": "routes", "config_source": ADS}}
        return {"name": name, "traffic_direction": direction, "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                "filter_chains": [{"filters": [{"name": "hcm", "typed_config": hcm}], **more}]}

    def serve(self, services=({"host": "db.bank.svc.cluster.local", "name": "db", "namespace": "bank"},), lives="db;bank;db;v2;Kubernetes;db-app;2.0", **inbound):
        c = self.eds_cluster("outbound|80||db") | ({"metadata": {"filter_metadata": {"istio": {"services": list(services)}}}} if services else {})
        self.good("cds", {c["name"]: c})
        wait_until("it asks for endpoints", lambda: self.control.of("eds"))
        load = assignment(c["name"], self.backend.port)
        if lives:
            load["endpoints"][0]["lb_endpoints"][0]["metadata"] = {"filter_metadata": {"istio": {"workload": lives}}}
        self.good("eds", {c["name"]: load})
        wait_until("it asks for listeners", lambda: self.control.of("lds"))
        self.good("lds", {"in": self.listener_of("in", self.inbound, "INBOUND", **inbound), "out": self.listener_of("out", self.port, "OUTBOUND")})
        wait_until("it asks for routes", lambda: self.control.of("rds"))
        self.good("rds", {"routes": table("routes", ("/", c["name"]))})
        wait_until("it serves", lambda: self.listening(self.port) and self.listening(self.inbound))

    def listening(self, port):
        try:
            Client(port).close()
            return True
        except OSError:
            return False

    def good(self, kind, resources):
        answer = self.say(kind, resources)
        assert "error_detail" not in answer, answer

    def rows(self, name="istio_requests_total"):
        status, text, _ = ask(self.admin, "/stats/prometheus")
        assert status == 200
        families = parse(text)
        return [(dict(labels), value) for (n, labels), value in families.get(name, (None, {}))[1].items() if n in (name, name + "_count")]

    def asked(self):
        names = set()
        for r in self.control.of("wds"):
            names |= set(r.get("resource_names_subscribe", []))
            names -= set(r.get("resource_names_unsubscribe", []))
        return names


@pytest.fixture
def sidecar(tmp_path, backend):
    s = Sidecar(tmp_path, backend)
    yield s
    s.stop()


def get(port, path="/size/1", more=""):
    c = Client(port)
    try:
        return c.ask(f"GET {path} HTTP/1.1\r\nHost: called\r\n{more}\r\n")[0]
    finally:
        c.close()


def row(sidecar, count=1, **want):
    """The one series that has these labels, when it has counted so many."""
    def found():
        rows = [r for r in sidecar.rows() if all(r[0].get(k) == v for k, v in want.items())]
        return len(rows) == 1 and rows[0][1] == count and rows
    return wait_until(f"there is one with {want}", found)[0][0]


def test_what_the_caller_tells(sidecar):
    sidecar.serve()
    assert get(sidecar.port) == 200 and get(sidecar.port) == 200
    labels = row(sidecar, 2, reporter="source")
    assert sorted(labels) == sorted(LABELS)
    assert {k: v for k, v in labels.items() if k != "reporter"} == {
        "source_workload": "web", "source_workload_namespace": "shop", "source_principal": "unknown", "source_app": "unknown", "source_version": "unknown",
        "source_canonical_service": "unknown", "source_canonical_revision": "latest", "source_cluster": "unknown",
        "destination_workload": "db", "destination_workload_namespace": "bank", "destination_principal": "unknown", "destination_app": "db-app", "destination_version": "2.0",
        "destination_canonical_service": "db", "destination_canonical_revision": "v2", "destination_cluster": "Kubernetes",
        "destination_service": "db.bank.svc.cluster.local", "destination_service_name": "db", "destination_service_namespace": "bank",
        "request_protocol": "http", "response_flags": "-", "connection_security_policy": "unknown", "response_code": "200", "grpc_response_status": ""}
    for name in ("istio_request_duration_milliseconds", "istio_request_bytes", "istio_response_bytes"):
        assert [v for r, v in sidecar.rows(name) if r["reporter"] == "source"] == [2]


def test_who_we_are_is_told_by_the_control_plane(sidecar):
    sidecar.serve()
    wait_until("it asks for itself", lambda: "/" + SELF in sidecar.asked())
    sidecar.good("wds", {"/" + SELF: workload("shop-web", "shop")})
    get(sidecar.port)
    labels = row(sidecar, reporter="source")
    assert [labels["source_" + k] for k in ("workload", "workload_namespace", "canonical_service", "canonical_revision", "app", "version", "cluster")] \
        == ["shop-web", "shop", "shop-web", "v1", "shop-web", "v1", "Kubernetes"]


def test_whoever_calls_is_asked_for(sidecar):
    """Also what it has called before that was known."""
    sidecar.serve()
    assert get(sidecar.inbound) == 200
    wait_until("it asks for the client", lambda: "/127.0.0.1" in sidecar.asked())
    labels = row(sidecar, reporter="destination", source_workload="unknown")
    assert labels["destination_workload"] == "web" and labels["connection_security_policy"] == "none" and labels["source_workload_namespace"] == "unknown"
    sidecar.good("wds", {"/127.0.0.1": workload("cart", "shop")})
    row(sidecar, reporter="destination", source_workload="cart")
    get(sidecar.inbound)
    labels = row(sidecar, 2, reporter="destination")
    assert [labels["source_" + k] for k in ("workload", "workload_namespace", "canonical_service", "canonical_revision")] == ["cart", "shop", "cart", "v1"]
    sidecar.good("wds", {"/127.0.0.1": workload("other", "bank")})  # another pod has the address
    get(sidecar.inbound)
    assert row(sidecar, reporter="destination", source_workload="other")["source_workload_namespace"] == "bank"


def test_no_service_and_no_workload(sidecar):
    """What was called stands for the Service, at the caller's side."""
    sidecar.serve(services=(), lives="nonsense")
    get(sidecar.port)
    labels = row(sidecar, reporter="source")
    assert labels["destination_service"] == labels["destination_service_name"] == "called" and labels["destination_service_namespace"] == "unknown"
    get(sidecar.inbound)
    assert row(sidecar, reporter="destination")["destination_service"] in ("called", "unknown")


def test_how_it_went(sidecar, backend):
    sidecar.serve()
    backend.status = 418
    get(sidecar.port, "/x")
    row(sidecar, response_code="418", response_flags="-")
    backend.close()
    wait_until("nobody is there", lambda: get(sidecar.port, "/x") == 503)
    failed = wait_until("it is told", lambda: [r for r, _ in sidecar.rows() if r["response_code"] == "503"])
    assert all(r["response_flags"] in ("UF", "UC", "URX") for r in failed), failed


def test_grpc(sidecar):
    sidecar.serve()
    get(sidecar.port, more="Content-Type: application/grpc+proto\r\n")
    row(sidecar, request_protocol="grpc", response_code="200")
    get(sidecar.port, more="Content-Type: application/grpcx\r\n")
    row(sidecar, request_protocol="http", response_code="200")


def test_a_certificate_says_who_calls(tmp_path, backend):
    a = Authority(tmp_path)
    ours, theirs = a.issue("web", "URI:spiffe://cluster.local/ns/shop/sa/web"), a.issue("cart", "URI:spiffe://cluster.local/ns/bank/sa/cart")
    s = Sidecar(tmp_path, backend)
    try:
        s.serve(transport_socket=tls(ours, common={"validation_context": {"trusted_ca": {"filename": str(a.cert)}}}, require_client_certificate=True))
        c = TlsClient(s.inbound, ca=a.cert, cert=theirs)
        assert c.ask("GET /size/1 HTTP/1.1\r\nHost: called\r\n\r\n")[0] == 200
        c.close()
        labels = row(s, reporter="destination")
        assert labels["connection_security_policy"] == "mutual_tls"
        assert labels["source_principal"] == "spiffe://cluster.local/ns/bank/sa/cart" and labels["destination_principal"] == "spiffe://cluster.local/ns/shop/sa/web"
        assert labels["source_workload_namespace"] == "bank" and labels["source_workload"] == "unknown"
    finally:
        s.stop()


def test_hosts_that_strangers_choose(sidecar):
    """A bounded number of them is told."""
    sidecar.serve(services=(), lives=None)
    c = Client(sidecar.port)
    for i in range(1100):
        assert c.ask(f"GET /size/1 HTTP/1.1\r\nHost: h{i}\r\n\r\n")[0] == 200
    c.close()
    rows = [r for r in sidecar.rows() if r[0]["reporter"] == "source"]
    named = [r for r in rows if r[0]["destination_service"] != "unknown"]
    assert len(named) == 1024 and sum(v for _, v in rows) == 1100


def bytes_listener(s, name, port, direction):
    proxy = {"@type": TYPE + "filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": name, "cluster": "outbound|80||db"}
    return {"name": name, "traffic_direction": direction, "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            "filter_chains": [{"filters": [STATS, {"name": "tcp", "typed_config": proxy}]}]}


def test_connections(sidecar):
    """As they are opened, by their bytes as they go, as they end."""
    sidecar.serve()
    ways = {"source": free_ports(1)[0], "destination": free_ports(1)[0]}
    sidecar.good("lds", {"tcp-out": bytes_listener(sidecar, "tcp-out", ways["source"], "OUTBOUND"), "tcp-in": bytes_listener(sidecar, "tcp-in", ways["destination"], "INBOUND")})
    wait_until("it listens", lambda: all(map(sidecar.listening, ways.values())))
    counters = ["istio_tcp_connections_opened_total", "istio_tcp_connections_closed_total", "istio_tcp_received_bytes_total", "istio_tcp_sent_bytes_total"]

    def values(reporter):
        rows = {n: [(r, v) for r, v in sidecar.rows(n) if r["reporter"] == reporter] for n in counters}
        return [sum(v for _, v in rows[n]) for n in counters]
    wait_until("those that looked are gone", lambda: all(values(w)[0] == values(w)[1] for w in ways))
    for reporter, port in ways.items():
        before = values(reporter)
        c = Client(port)
        request = "GET /size/1000 HTTP/1.1\r\nHost: x\r\n\r\n"
        assert c.ask(request)[0] == 200
        wait_until("bytes are told while it is open", lambda: [a - b for a, b in zip(values(reporter), before)][:3] == [1, 0, len(request)])
        assert values(reporter)[3] - before[3] > 1000
        c.close()
        wait_until("its end is told", lambda: values(reporter)[1] - before[1] == 1)
    labels = next(r for r, _ in sidecar.rows(counters[0]) if r["reporter"] == "source" and r["response_flags"] == "-")
    assert labels["destination_workload"] == "db" and labels["destination_service_name"] == "db" and labels["request_protocol"] == "tcp" and "response_code" not in labels
