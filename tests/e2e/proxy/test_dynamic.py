"""Resources that come from files, exchanged while requests run: what is in force, what is refused, and that nobody notices."""
import json
import os
import threading

import pytest
from backend import Backend
from conftest import Client, Proxy
from suite import free_ports, wait_until

URL = "type.googleapis.com/envoy.config."
HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = {"name": "envoy.filters.http.router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}
GET = "GET {} HTTP/1.1\r\nHost: x\r\n\r\n"


def endpoint(port):
    return {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}


def assignment(name, *ports):
    return {"@type": URL + "endpoint.v3.ClusterLoadAssignment", "cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint(p) for p in ports]}]}


def static_cluster(name, *ports):
    load = assignment(name, *ports)
    del load["@type"]
    return {"@type": URL + "cluster.v3.Cluster", "name": name, "load_assignment": load}


def table(name, *routes):
    return {"@type": URL + "route.v3.RouteConfiguration", "name": name,
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": p}, "route": {"cluster": c}} for p, c in routes]}]}


class Stage:
    """A proxy whose resources are files in a directory."""

    def __init__(self, tmp_path, **dynamic):
        self.dir = tmp_path / "xds"
        self.dir.mkdir()
        self.tmp_path = tmp_path
        self.port = free_ports(1)[0]
        self.bootstrap = {"dynamic_resources": {k + "_config": self.source(k) for k in ("cds", "lds")}}
        for kind, resources in dynamic.items():
            self.put(kind, resources)

    def source(self, kind, wait="15s"):
        return {"path_config_source": {"path": str(self.dir / f"{kind}.json")}, "initial_fetch_timeout": wait}

    def eds_cluster(self, name, service=None, wait="15s"):
        return {"@type": URL + "cluster.v3.Cluster", "name": name, "type": "EDS",
                "eds_cluster_config": {"eds_config": self.source("eds", wait)} | ({"service_name": service} if service else {})}

    def listener(self, name="l", port=None, table=None, wait="15s"):
        routes = {"rds": {"route_config_name": "routes", "config_source": self.source("rds", wait)}} if table is None else {"route_config": {k: v for k, v in table.items() if k != "@type"}}
        hcm = {"@type": HCM, "stat_prefix": "x", "http_filters": [ROUTER]} | routes
        return {"@type": URL + "listener.v3.Listener", "name": name,
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": port or self.port}},
                "filter_chains": [{"filters": [{"name": "hcm", "typed_config": hcm}]}]}

    def put(self, kind, resources):
        """As a config map is updated: written beside it, moved into place."""
        types = {"cds": "cluster.v3.Cluster", "eds": "endpoint.v3.ClusterLoadAssignment", "lds": "listener.v3.Listener", "rds": "route.v3.RouteConfiguration"}
        text = json.dumps({"version_info": "1", "type_url": URL + types[kind], "resources": resources})
        (self.dir / f".{kind}").write_text(text)
        os.rename(self.dir / f".{kind}", self.dir / f"{kind}.json")

    def start(self):
        path = self.tmp_path / "bootstrap.json"
        path.write_text(json.dumps(self.bootstrap))
        self.proxy = Proxy(self.tmp_path, "-c", path, "--drain", "2s", "--concurrency", 2, port=self.port)
        return self.proxy

    def log(self):
        return open(self.tmp_path / "proxy.log").read()


def status(port, path="/"):
    c = Client(port)
    try:
        return c.ask(GET.format(path))[0]
    finally:
        c.close()


@pytest.fixture
def two():
    backends = [Backend(), Backend()]
    yield backends
    for b in backends:
        b.close()
        assert not b.garbage


def test_everything_from_files(tmp_path, two):
    s = Stage(tmp_path)
    s.put("cds", [s.eds_cluster("a", "service-a"), static_cluster("b", two[1].port)])
    s.put("eds", [assignment("service-a", two[0].port)])
    s.put("lds", [s.listener()])
    s.put("rds", [table("routes", ("/b", "b"), ("/", "a"))])
    p = s.start()
    assert status(s.port, "/x") == 200 and len(two[0].requests) == 1
    assert status(s.port, "/b") == 200 and len(two[1].requests) == 1
    p.stop()


def test_routes_and_endpoints_change_under_traffic(tmp_path, two):
    s = Stage(tmp_path)
    s.put("cds", [s.eds_cluster("a"), s.eds_cluster("b")])
    s.put("eds", [assignment("a", two[0].port), assignment("b", two[1].port)])
    s.put("lds", [s.listener()])
    s.put("rds", [table("routes", ("/", "a"))])
    p = s.start()
    stop, bad, n = threading.Event(), [], [0]

    def load():
        c = Client(s.port)
        while not stop.is_set():
            got = c.ask(GET.format("/load"))
            n[0] += 1
            if not got or got[0] != 200:
                bad.append(got)
                return
        c.close()

    threads = [threading.Thread(target=load) for _ in range(4)]
    for t in threads:
        t.start()
    for turn in range(20):
        to = turn % 2
        seen = len(two[to].requests)
        s.put("rds", [table("routes", ("/", "ab"[to]))])
        wait_until("the route has moved", lambda: len(two[to].requests) > seen + 3)
        s.put("eds", [assignment("a", two[0].port, *([two[1].port] if to else [])), assignment("b", two[1].port)])
        before = n[0]
        wait_until("requests go on", lambda: n[0] > before + 20)
    stop.set()
    for t in threads:
        t.join()
    assert not bad, bad
    p.stop()


def test_listeners_come_and_go(tmp_path, two):
    s = Stage(tmp_path)
    other = free_ports(1)[0]
    s.put("cds", [static_cluster("a", two[0].port)])
    s.put("lds", [s.listener(table=table("t", ("/", "a")))])
    p = s.start()
    c = Client(s.port)
    assert c.ask(GET.format("/1"))[0] == 200
    s.put("lds", [s.listener(table=table("t", ("/", "a"))), s.listener("m", other, table("t", ("/", "a")))])
    wait_until("the new listener answers", lambda: not p.process.poll() and answers(other))
    assert c.ask(GET.format("/2"))[0] == 200
    s.put("lds", [s.listener("m", other, table("t", ("/", "a")))])
    wait_until("the old one is closed", lambda: not answers(s.port))
    assert c.ask(GET.format("/3"))[0] == 200, "an open connection goes on"
    assert status(other) == 200
    p.stop()


def answers(port):
    return answers_at(port, "/")


def answers_at(port, path):
    try:
        return status(port, path) == 200
    except OSError:
        return False


def test_a_refused_resource_changes_nothing(tmp_path, two):
    s = Stage(tmp_path)
    s.put("cds", [static_cluster("a", two[0].port)])
    s.put("lds", [s.listener()])
    s.put("rds", [table("routes", ("/", "a"))])
    p = s.start()
    bad = table("routes", ("/", "a"))
    bad["virtual_hosts"][0]["routes"][0]["match"] = {"safe_regex": {"regex": "("}}
    s.put("rds", [bad])
    wait_until("it is told", lambda: "safe_regex" in s.log())
    assert status(s.port) == 200
    s.put("cds", [static_cluster("a", two[0].port), {"@type": URL + "cluster.v3.Cluster", "name": "broken", "type": "EDS"}])
    wait_until("it is told", lambda: "Error adding/updating cluster(s) broken:" in s.log())
    assert status(s.port) == 200
    (s.dir / "rds.json").write_text("{ not json")
    wait_until("it is told", lambda: "rds.json" in s.log().split("broken:")[1])
    assert status(s.port) == 200
    p.stop()


def test_a_cluster_without_endpoints_is_waited_for(tmp_path, two):
    """The listener opens when the cluster is warm, and a route moves when its new cluster is."""
    s = Stage(tmp_path)
    s.put("cds", [s.eds_cluster("a"), s.eds_cluster("late", wait="1s")])
    s.put("eds", [assignment("a", two[0].port)])
    s.put("lds", [s.listener()])
    s.put("rds", [table("routes", ("/", "a"))])
    p = s.start()  # behind the 1 s of `late`
    assert status(s.port) == 200
    s.put("cds", [s.eds_cluster("a"), s.eds_cluster("late", wait="1s"), s.eds_cluster("b", wait="60s")])
    s.put("rds", [table("routes", ("/", "b"))])
    wait_until("the table is read", lambda: s.log().count("rds.json") == 2)
    assert status(s.port) == 200 and not two[1].requests
    s.put("eds", [assignment("a", two[0].port), assignment("b", two[1].port)])
    wait_until("the route has moved", lambda: status(s.port) == 200 and two[1].requests)
    p.stop()


def test_a_cluster_that_routes_name_stays(tmp_path, two):
    s = Stage(tmp_path)
    s.put("cds", [static_cluster("a", two[0].port)])
    s.put("lds", [s.listener()])
    s.put("rds", [table("routes", ("/", "a"))])
    p = s.start()
    s.put("cds", [static_cluster("b", two[1].port)])
    wait_until("it is read", lambda: s.log().count("cds.json") == 2)
    assert status(s.port) == 200 and len(two[0].requests) == 1
    s.put("rds", [table("routes", ("/", "b"))])
    wait_until("the route has moved", lambda: status(s.port) == 200 and two[1].requests)
    s.put("rds", [table("routes", ("/", "a"))])
    wait_until("the cluster is gone", lambda: status(s.port) == 503)
    p.stop()


def test_a_route_table_that_does_not_come(tmp_path, two):
    s = Stage(tmp_path)
    s.put("cds", [static_cluster("a", two[0].port)])
    s.put("lds", [s.listener(wait="1s")])
    p = s.start()
    assert status(s.port) == 404
    s.put("rds", [table("routes", ("/", "a"))])
    wait_until("it has come", lambda: status(s.port) == 200)
    p.stop()
