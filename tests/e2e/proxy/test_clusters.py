"""Clusters: which endpoint a request goes to, what circuit breakers admit, what is thrown out and comes back."""
import collections
import json
import socket
import threading

import pytest
from backend import Backend
from conftest import Client, Proxy
from suite import free_ports, wait_until

GET = "GET {} HTTP/1.1\r\nHost: example.test\r\n\r\n"
OVERFLOW = b"upstream connect error or disconnect/reset before headers. reset reason: overflow"


@pytest.fixture
def backends():
    made = []

    def make(n):
        made.extend(Backend() for _ in range(n))
        return made[-n:]
    yield make
    for b in made:
        b.close()
        assert not b.garbage


def endpoint(backend, weight=None, health=None, **more):
    port = backend if isinstance(backend, int) else backend.port
    e = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}, **more}}
    if weight is not None:
        e["load_balancing_weight"] = weight
    if health:
        e["health_status"] = health
    return e


def config(cluster, port, timeout="15s"):
    """A bootstrap with one cluster, c, and one route to it."""
    cluster = {"name": "c", **cluster}
    if isinstance(cluster.get("load_assignment"), list):  # of localities
        cluster["load_assignment"] = {"cluster_name": "c", "endpoints": cluster["load_assignment"]}
    hcm = {"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "s",
           "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "c", "timeout": timeout}}]}]},
           "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}
    listener = {"name": "l", "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": hcm}]}]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


@pytest.fixture
def start(tmp_path):
    running = []

    def run(cluster, *flags, **more):
        port = free_ports(1)[0]
        (tmp_path / "proxy.json").write_text(json.dumps(config(cluster, port, **more)))
        running.append(Proxy(tmp_path, "-c", tmp_path / "proxy.json", "--drain", "1s", *flags, port=port))
        return running[-1]
    yield run
    for p in running:
        p.stop()


def ask(port, n, path="/"):
    client = Client(port)
    statuses = collections.Counter(client.ask(GET.format(path))[0] for _ in range(n))
    client.close()
    return statuses


def counts(backends):
    return [len(b.requests) for b in backends]


def near(got, want, error):
    assert all(abs(g - w) <= error for g, w in zip(got, want)), f"{got}, not {want}"


@pytest.mark.parametrize("policy", ["ROUND_ROBIN", "LEAST_REQUEST"])
def test_weights(start, backends, policy):
    b = backends(2)
    p = start({"lb_policy": policy, "load_assignment": [{"lb_endpoints": [endpoint(b[0], 3), endpoint(b[1], 1)]}]})
    assert ask(p.port, 400) == {200: 400}
    assert counts(b) == [300, 100]


def test_random_takes_no_weights(start, backends):
    b = backends(2)
    p = start({"lb_policy": "RANDOM", "load_assignment": [{"lb_endpoints": [endpoint(b[0], 3), endpoint(b[1], 1)]}]})
    ask(p.port, 400)
    near(counts(b), [200, 200], 60)


def test_a_ring_without_a_hash_is_random(start, backends):
    b = backends(3)
    p = start({"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 10000}, "load_assignment": [{"lb_endpoints": [endpoint(x) for x in b]}]})
    ask(p.port, 600)
    near(counts(b), [200, 200, 200], 70)


@pytest.mark.parametrize("health, want", [
    ("HEALTHY UNHEALTHY", [400, 0]),
    ("UNHEALTHY UNHEALTHY", [200, 200]),
    ("HEALTHY TIMEOUT UNHEALTHY", [133, 133, 133]),
    ("UNKNOWN DRAINING DRAINING DRAINING", [400, 0, 0, 0]),
    ("DRAINING DRAINING", [200, 200]),
    ("DEGRADED DEGRADED", [200, 200]),
    ("HEALTHY DEGRADED", [280, 120]),
])
def test_health_and_panic(start, backends, health, want):
    b = backends(len(want))
    p = start({"load_assignment": [{"lb_endpoints": [endpoint(x, health=h) for x, h in zip(b, health.split())]}]})
    assert ask(p.port, 400) == {200: 400}
    near(counts(b), want, 50 if "HEALTHY DEGRADED" == health else 1)


def test_fail_over_to_the_next_priority(start, backends):
    b = backends(6)
    first = [endpoint(x, health=h) for x, h in zip(b, ["HEALTHY"] * 3 + ["UNHEALTHY"] * 2)]
    p = start({"load_assignment": [{"priority": 0, "lb_endpoints": first}, {"priority": 3, "lb_endpoints": [endpoint(b[5])]}]})
    ask(p.port, 1000)
    near([sum(counts(b)[:5]), counts(b)[5]], [840, 160], 60)
    assert counts(b)[3:5] == [0, 0]


def test_localities_by_weight(start, backends):
    b = backends(3)
    localities = [{"load_balancing_weight": 3, "lb_endpoints": [endpoint(b[0])]}, {"load_balancing_weight": 1, "lb_endpoints": [endpoint(b[1])]},
                  {"lb_endpoints": [endpoint(b[2])]}]
    p = start({"common_lb_config": {"locality_weighted_lb_config": {}}, "load_assignment": localities})
    ask(p.port, 400)
    assert counts(b) == [300, 100, 0]


@pytest.mark.parametrize("cluster", [{"type": "EDS", "eds_cluster_config": {"eds_config": {"ads": {}, "initial_fetch_timeout": "0.2s"}}}, {"load_assignment": []},
                                     {"common_lb_config": {"healthy_panic_threshold": {"value": 0}}, "load_assignment": [{"lb_endpoints": [endpoint(1, health="UNHEALTHY")]}]}],
                         ids=["eds", "none", "no-panic"])
def test_no_endpoint(start, cluster):
    p = start(cluster)
    status, _, body = Client(p.port).ask(GET.format("/"))
    assert (status, body) == (503, b"no healthy upstream")


class Crowd:
    """Clients that ask at the same time, each on its own connection."""

    def __init__(self, port, n, path="/wait"):
        self.answers = []
        self.threads = [threading.Thread(target=self.one, args=(Client(port), path)) for _ in range(n)]
        for t in self.threads:
            t.start()

    def one(self, client, path):
        self.answers.append(client.ask(GET.format(path)))
        client.close()

    def end(self):
        for t in self.threads:
            t.join()
        return collections.Counter(a[0] for a in self.answers)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("limit", [1, 7, 20])
def test_a_limit_of_requests_admits_as_many(start, backends, workers, limit):
    b = backends(2)
    p = start({"circuit_breakers": {"thresholds": [{"max_requests": limit}]}, "load_assignment": [{"lb_endpoints": [endpoint(x) for x in b]}]},
              "--concurrency", workers)
    for _ in range(2):  # the second time with what the first has given back
        for x in b:
            x.release.clear()
        crowd = Crowd(p.port, 40)
        wait_until("all others are refused", lambda: len(crowd.answers) == 40 - limit)
        assert all(a[0] == 503 and a[2] == OVERFLOW and a[1]["x-envoy-overloaded"] == "true" for a in crowd.answers)
        for x in b:
            x.release.set()
        assert crowd.end() == {200: limit, 503: 40 - limit}


def test_a_limit_of_connections_and_of_those_that_wait(start, backends):
    b, = backends(1)
    p = start({"circuit_breakers": {"thresholds": [{"max_connections": 3, "max_pending_requests": 4}]}, "load_assignment": [{"lb_endpoints": [endpoint(b)]}]})
    first = Crowd(p.port, 3)
    wait_until("three run", lambda: len(b.requests) == 3)
    crowd = Crowd(p.port, 10)
    wait_until("some are refused", lambda: len(crowd.answers) == 6)
    b.release.set()
    assert crowd.end() == {200: 4, 503: 6} and first.end() == {200: 3}
    assert b.connections == 3


def test_a_limit_of_connections_to_one_endpoint(start, backends):
    b = backends(2)
    p = start({"circuit_breakers": {"per_host_thresholds": [{"max_connections": 2}]}, "load_assignment": [{"lb_endpoints": [endpoint(x) for x in b]}]})
    crowd = Crowd(p.port, 10)
    wait_until("two run on each", lambda: counts(b) == [2, 2])
    for x in b:
        x.release.set()
    assert crowd.end() == {200: 10}
    assert [x.connections for x in b] == [2, 2]


def test_an_endpoint_that_fails_is_thrown_out_and_comes_back(start, backends):
    b = backends(3)
    p = start({"outlier_detection": {"consecutive_5xx": 3, "interval": "0.1s", "base_ejection_time": "1s", "max_ejection_percent": 34, "enforcing_success_rate": 0},
               "load_assignment": [{"lb_endpoints": [endpoint(x) for x in b]}]}, "--concurrency", 2)
    b[1].status = 500
    wait_until("it is out", lambda: ask(p.port, 9) == {200: 9})
    before = counts(b)
    assert ask(p.port, 30) == {200: 30}
    assert counts(b)[1] == before[1]
    b[1].status = 200
    wait_until("it is back", lambda: ask(p.port, 3) and counts(b)[1] > before[1])


def test_an_endpoint_that_refuses_connections_is_thrown_out(start, backends):
    b, = backends(1)
    p = start({"outlier_detection": {"max_ejection_percent": 50, "base_ejection_time": "300s"}, "load_assignment": [{"lb_endpoints": [endpoint(b), endpoint(free_ports(1)[0])]}]})
    assert ask(p.port, 10) == {200: 5, 503: 5}
    wait_until("it is out", lambda: ask(p.port, 4) == {200: 4})


def test_the_last_ones_stay(start, backends):
    b, = backends(1)
    b.status = 503
    p = start({"outlier_detection": {"consecutive_5xx": 1, "max_ejection_percent": 100}, "load_assignment": [{"lb_endpoints": [endpoint(b)]}]})
    assert ask(p.port, 20) == {503: 20}  # out, but in panic
    assert counts([b]) == [20]


CHECK = {"timeout": "1s", "interval": "0.05s", "no_traffic_interval": "0.05s", "unhealthy_threshold": 2, "healthy_threshold": 1}


def test_active_health_checks(start, backends):
    b = backends(3)
    check = {**CHECK, "http_health_check": {"path": "/status/204", "host": "hc.test", "expected_statuses": [{"start": 200, "end": 300}]}}
    one_fails = endpoint(b[2], health_check_config={"port_value": free_ports(1)[0]})
    p = start({"health_checks": [check], "load_assignment": [{"lb_endpoints": [endpoint(b[0]), endpoint(b[1]), one_fails]}]})

    def served(backend):
        return [r for r in backend.requests if r.target == "/"]
    wait_until("two are found healthy", lambda: all(len(x.requests) for x in b[:2]))
    wait_until("the third is not asked", lambda: ask(p.port, 4) and not ask_is_served_by(p.port, b[2], served))
    request = b[0].requests[0]
    assert (request.method, request.target, request.get("host"), request.get("user-agent")) == ("GET", "/status/204", "hc.test", "Envoy/HC")
    before = [len(served(x)) for x in b]
    assert ask(p.port, 10) == {200: 10}
    assert [len(served(x)) - n for x, n in zip(b, before)] == [5, 5, 0]


def ask_is_served_by(port, backend, served):
    before = len(served(backend))
    ask(port, 6)
    return len(served(backend)) > before


def test_all_checks_fail_and_traffic_flows(start, backends):
    b, = backends(1)
    p = start({"health_checks": [{**CHECK, "http_health_check": {"path": "/status/500"}}], "load_assignment": [{"lb_endpoints": [endpoint(b)]}]})
    assert ask(p.port, 5) == {200: 5}  # from the first request on
    wait_until("it is checked", lambda: any(r.target == "/status/500" for r in b.requests))
    assert ask(p.port, 5) == {200: 5}


def test_a_check_by_tcp_fails_over(start, backends):
    b = backends(2)
    p = start({"health_checks": [{**CHECK, "tcp_health_check": {}}],
               "load_assignment": [{"lb_endpoints": [endpoint(b[0])]}, {"priority": 1, "lb_endpoints": [endpoint(b[1])]}]})
    wait_until("the first is healthy", lambda: ask(p.port, 2) and not ask_is_served_by(p.port, b[1], lambda x: x.requests))
    for sock in [b[0].listener, *b[0].sockets]:
        sock.close()
    wait_until("the second serves", lambda: ask(p.port, 6) == {200: 6} and b[1].requests)


class NameServer:
    """Answers A with `ips`, everything else with nothing; no ips: no such name."""

    def __init__(self, *ips):
        self.ips, self.asked = list(ips), 0
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                query, peer = self.sock.recvfrom(1500)
            except OSError:
                return
            self.asked += 1
            end = query.index(b"\0", 12) + 5  # of the question
            ips = self.ips if query[end - 4:end - 2] == b"\0\1" else []
            flags = b"\x81\x80" if self.ips else b"\x81\x83"
            answers = b"".join(b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(ip) for ip in ips)
            self.sock.sendto(query[:2] + flags + b"\0\1" + len(ips).to_bytes(2, "big") + b"\0\0\0\0" + query[12:end] + answers, peer)


@pytest.fixture
def names():
    server = NameServer()
    yield server
    server.sock.close()


def named(server, kind, port, **more):
    return {"type": kind, "dns_refresh_rate": "0.05s", "dns_resolvers": [{"socket_address": {"address": "127.0.0.1", "port_value": server.port}}],
            "load_assignment": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "svc.test", "port_value": port}}}}]}], **more}


def test_names_are_resolved_again_and_again(start, backends, names):
    b, = backends(1)
    p = start(named(names, "STRICT_DNS", b.port))
    assert ask(p.port, 1) == {503: 1}  # no such name: the listener is there all the same
    names.ips = ["127.0.0.1"]
    wait_until("it is resolved", lambda: ask(p.port, 2) == {200: 2})
    names.ips = []
    asked = names.asked
    wait_until("it was asked for again", lambda: names.asked > asked + 4)
    assert ask(p.port, 5) == {200: 5}  # what is known stays
    names.ips = ["127.0.0.9"]
    wait_until("it is elsewhere", lambda: ask(p.port, 2) == {503: 2})


def test_every_address_of_a_name_is_an_endpoint(start, backends, names):
    b, = backends(1)
    names.ips = ["127.0.0.1", "127.0.0.9"]  # nobody listens on the second
    assert ask(start(named(names, "STRICT_DNS", b.port)).port, 10) == {200: 5, 503: 5}
    assert len(ask(start(named(names, "LOGICAL_DNS", b.port)).port, 10)) == 1  # one of them


def test_a_name_of_the_hosts_file(start, backends):
    b, = backends(1)
    local = {"endpoint": {"address": {"socket_address": {"address": "localhost", "port_value": b.port}}}}
    p = start({"type": "STRICT_DNS", "dns_lookup_family": "V4_ONLY", "load_assignment": [{"lb_endpoints": [local]}]})
    assert ask(p.port, 3) == {200: 3}
