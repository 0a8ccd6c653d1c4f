"""What a running proxy tells, in Envoy's words."""
import datetime
import json
import os
import signal
import socket
import stat

import pytest
from certificates import Authority
from conftest import Client, Proxy
from listeners import HCM, TYPE, address, chain, cluster, http, tls, upstream_tls
from suite import BIN, free_ports, run, wait_until


@pytest.fixture
def stage(tmp_path, backend):
    port, admin, dead = free_ports(3)
    path = tmp_path / "bootstrap.json"
    config = {"node": {"id": "n-1", "cluster": "edge", "metadata": {"team": "a"}}, "admin": {"address": address(admin)}, "static_resources": {
        "listeners": [{"name": "l", "address": address(port), "filter_chains": [chain(http(cluster="backend"))]}],
        "clusters": [cluster([backend.port], circuit_breakers={"thresholds": [{"max_requests": 7}]}),
                     {"name": "states", "load_assignment": {"cluster_name": "states", "endpoints": [{"locality": {"zone": "z1"}, "lb_endpoints": [
                         {"endpoint": {"address": address(dead)}, "health_status": "DRAINING", "load_balancing_weight": 3}]}]}}]}}
    path.write_text(json.dumps(config))
    proxy = Proxy(tmp_path, "-c", path, "--drain", "5s", port=port)
    yield proxy, port, admin, dead
    backend.release.set()
    proxy.stop()


def ask(admin, path, method="GET", more=""):
    c = Client(admin)
    status, fields, body = c.ask(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{more}Content-Length: 0\r\n\r\n")
    c.close()
    return status, body.decode(), fields


def test_what_there_is(stage, backend):
    _, port, admin, dead = stage
    assert ask(admin, "/ready")[:2] == (200, "LIVE\n")
    info = json.loads(ask(admin, "/server_info")[1])
    assert info["state"] == "LIVE" and info["command_line_options"] == {"concurrency": 1}
    assert info["node"] == {"id": "n-1", "cluster": "edge", "metadata": {"team": "a"}} and info["uptime_all_epochs"].endswith("s")
    assert ask(admin, "/listeners")[1] == f"l::127.0.0.1:{port}\n"
    assert int(json.loads(ask(admin, "/memory")[1])["allocated"]) >= 0  # a sanitizer's own allocator tells nothing
    lines = ask(admin, "/clusters")[1].splitlines()
    for line in (f"backend::127.0.0.1:{backend.port}::health_flags::healthy", "backend::default_priority::max_requests::7",
                 "backend::high_priority::max_requests::1024", f"backend::127.0.0.1:{backend.port}::weight::1",
                 f"states::127.0.0.1:{dead}::health_flags::/eds_status_draining", f"states::127.0.0.1:{dead}::weight::3", f"states::127.0.0.1:{dead}::zone::z1",
                 "states::added_via_api::false"):
        assert line in lines
    status, body, _ = ask(admin, "/nope")
    assert status == 404 and body.startswith("invalid path. admin commands are:\n") and "/ready" in body
    assert [ask(admin, p)[1] for p in ("/", "/help")] == [body.removeprefix("invalid path. ")] * 2
    for path in ("/quitquitquit", "/reset_counters", "/healthcheck/fail", "/healthcheck/ok", "/drain_listeners", "/logging"):
        status, body, _ = ask(admin, path)
        assert (status, body) == (405, "Method GET not allowed, POST required.")


def test_draining(stage, backend):
    proxy, port, admin, _ = stage
    c = Client(port)
    c.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until("it is asked", lambda: backend.requests)
    proxy.process.send_signal(signal.SIGTERM)
    wait_until("it drains", lambda: ask(admin, "/ready")[:2] == (503, "DRAINING\n"))
    backend.release.set()
    assert c.answer()[2] == b"waited"


def test_quit(stage):
    proxy, _, admin, _ = stage
    assert ask(admin, "/quitquitquit", "POST")[:2] == (200, "OK\n")
    assert proxy.process.wait(20) == 0


@pytest.mark.parametrize("field", ["x-forwarded-proto: http", "X-Forwarded-For: 192.0.2.1"])
def test_what_came_through_a_proxy_changes_nothing(stage, field):
    """Whoever may write a route has the proxy itself at hand, which is on loopback, too."""
    proxy, _, admin, _ = stage
    assert ask(admin, "/quitquitquit", "POST", field + "\r\n")[0] == 403
    assert ask(admin, "/stats", more=field + "\r\n")[0] == 200 and proxy.process.poll() is None


@pytest.mark.parametrize("where", ["0.0.0.0", "10.0.0.1", "::"])
def test_only_on_loopback(tmp_path, where):
    path = tmp_path / "bootstrap.json"
    path.write_text(json.dumps({"admin": {"address": address(9901, where)}}))
    done = run(BIN / "fairlead-proxy", "--validate", "-c", path, check=False)
    assert done.returncode == 64 and "admin.address" in done.stderr


def test_clusters_and_listeners_as_json(stage, backend):
    _, port, admin, dead = stage
    status, body, fields = ask(admin, "/clusters?format=json")
    assert status == 200 and fields["content-type"] == "application/json"
    backend_status, states = json.loads(body)["cluster_statuses"]
    assert (backend_status["name"], backend_status["added_via_api"], backend_status["observability_name"]) == ("backend", False, "backend")
    assert backend_status["circuit_breakers"]["thresholds"][0] == {"priority": "DEFAULT", "max_connections": 1024, "max_pending_requests": 1024, "max_requests": 7, "max_retries": 3}
    assert states["host_statuses"] == [{"address": {"socket_address": {"address": "127.0.0.1", "port_value": dead}}, "stats": [{"name": "rq_active", "type": "GAUGE", "value": "0"}],
                                        "health_status": {"eds_health_status": "DRAINING"}, "weight": 3, "priority": 0, "locality": {"region": "", "zone": "z1", "sub_zone": ""}}]
    assert json.loads(ask(admin, "/listeners?format=json")[1]) == {"listener_statuses": [{"name": "l", "local_address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}]}
    assert ask(admin, "/clusters?format=xml")[0] == ask(admin, "/listeners?format=xml")[0] == 400


def test_health_is_failed_and_passed(stage, backend):
    """Clients are told to go, those too that come; all are served."""
    _, port, admin, _ = stage
    get = "GET /size/2 HTTP/1.1\r\nHost: x\r\n\r\n"
    before = Client(port)
    assert before.ask(get)[1].get("connection") is None
    assert ask(admin, "/healthcheck/fail", "POST")[:2] == (200, "OK\n")
    assert ask(admin, "/ready")[:2] == (503, "DRAINING\n")
    assert json.loads(ask(admin, "/server_info")[1])["state"] == "DRAINING" and "server.live: 0\n" in ask(admin, "/stats")[1]

    def told():
        c = Client(port)
        answer = c.ask(get)
        c.close()
        return answer[2] == b"xx" and answer[1].get("connection") == "close"
    wait_until("who comes is served, and told to go", told)
    assert before.ask(get)[1]["connection"] == "close" and before.ended(), "who was there is told with the next answer"
    assert ask(admin, "/healthcheck/ok", "POST")[:2] == (200, "OK\n")
    assert ask(admin, "/ready")[:2] == (200, "LIVE\n")
    wait_until("nobody is told any more", lambda: not told())


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def drained(tmp_path, backend):
    port, inbound, admin = free_ports(3)
    path = tmp_path / "bootstrap.json"
    path.write_text(json.dumps({"admin": {"address": address(admin)}, "static_resources": {"clusters": [cluster(backend.port)], "listeners": [
        {"name": "l", "address": address(port), "filter_chains": [chain(http(cluster="backend"))]},
        {"name": "in", "address": address(inbound), "traffic_direction": "INBOUND", "filter_chains": [chain(http(cluster="backend"))]}]}}))
    return Proxy(tmp_path, "-c", path, "--drain", "0.5s", "--concurrency", "2", port=port), port, inbound, admin


def test_listeners_are_closed(tmp_path, backend):
    proxy, port, inbound, admin = drained(tmp_path, backend)
    get = "GET /size/2 HTTP/1.1\r\nHost: x\r\n\r\n"
    c = Client(port)
    assert c.ask(get)[2] == b"xx"
    assert ask(admin, "/drain_listeners?inboundonly", "POST")[:2] == (200, "OK\n")
    wait_until("the inbound one is closed", lambda: not listens(inbound))
    assert listens(port)
    assert ask(admin, "/drain_listeners", "POST")[:2] == (200, "OK\n")
    wait_until("all are closed", lambda: not listens(port))
    assert c.ask(get)[2] == b"xx", "who is there stays"
    assert ask(admin, "/ready")[0] == 200
    assert ask(admin, "/drain_listeners?skip_exit", "POST")[0] == ask(admin, "/drain_listeners?graceful&inboundonly", "POST")[0] == 400
    proxy.stop()


def test_listeners_are_closed_in_time(tmp_path, backend):
    proxy, port, _, admin = drained(tmp_path, backend)
    assert ask(admin, "/drain_listeners?graceful&skip_exit", "POST")[0] == 200
    get = "GET /size/2 HTTP/1.1\r\nHost: x\r\n\r\n"

    def told():
        c = Client(port)
        answer = c.ask(get)
        c.close()
        return answer[1].get("connection") == "close"
    wait_until("clients are told to go", told)
    assert ask(admin, "/drain_listeners?graceful", "POST")[0] == 200
    assert listens(port), "not yet"
    wait_until("it is closed", lambda: not listens(port))
    proxy.stop()


def test_the_level_of_the_log(stage, tmp_path):
    _, _, admin, _ = stage
    assert ask(admin, "/logging", "POST")[:2] == (200, "active loggers:\n  fairlead-proxy: info\n")
    assert ask(admin, "/logging?level=debug", "POST")[1] == "active loggers:\n  fairlead-proxy: debug\n"
    assert ask(admin, "/logging?level=critical", "POST")[1] == "active loggers:\n  fairlead-proxy: error\n"
    for query in ("level=nonsense", "paths=a:info", "level="):
        assert ask(admin, "/logging?" + query, "POST")[0] == 400
    assert "error" in ask(admin, "/logging", "POST")[1]


def test_a_unix_socket(tmp_path, backend):
    port = free_ports(1)[0]
    path, where = tmp_path / "bootstrap.json", tmp_path / "admin.sock"
    path.write_text(json.dumps({"admin": {"address": {"pipe": {"path": str(where)}}}, "static_resources": {"listeners": [
        {"name": "l", "address": address(port), "filter_chains": [chain(http("hi"))]}]}}))
    proxy = Proxy(tmp_path, "-c", path, port=port)
    assert stat.S_IMODE(os.stat(where).st_mode) == 0o600, "of the user alone"
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(where))
        s.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        got = b"".join(iter(lambda: s.recv(4096), b""))
        assert got.endswith(b"LIVE\n")
    proxy.stop()
    assert not where.exists()


# ---- certificates ----

def test_certificates_are_told_and_no_keys(tmp_path, backend):
    ca = Authority(tmp_path)
    site = ca.issue("site", "DNS:site.example", "URI:spiffe://td/ns/a", "IP:127.0.0.1")
    user = ca.issue("user", "URI:spiffe://td/user")
    port, admin = free_ports(2)
    path = tmp_path / "bootstrap.json"
    trusted = {"validation_context": {"trusted_ca": {"filename": str(ca.cert)}}}
    mine = {"tls_certificates": [{"certificate_chain": {"filename": str(user[0])}, "private_key": {"filename": str(user[1])}}]}
    path.write_text(json.dumps({"admin": {"address": address(admin)}, "static_resources": {
        "listeners": [{"name": "l", "address": address(port), "filter_chains": [{**chain(http("hi")), "transport_socket": tls(site, common=trusted)}]}],
        "clusters": [cluster(backend.port, transport_socket=upstream_tls({**trusted, **mine})), cluster(backend.port, "plain")]}}))
    proxy = Proxy(tmp_path, "-c", path, port=port)
    status, body, fields = ask(admin, "/certs")
    assert status == 200 and fields["content-type"] == "application/json" and "KEY" not in body
    server, client = json.loads(body)["certificates"]
    (own,), (trusted,) = server["cert_chain"], server["ca_cert"]
    assert own["subject_alt_names"] == [{"dns": "site.example"}, {"uri": "spiffe://td/ns/a"}, {"ip_address": "127.0.0.1"}]
    assert trusted["subject"] == "CN=ca" and client["ca_cert"] == server["ca_cert"]
    assert client["cert_chain"][0]["subject_alt_names"] == [{"uri": "spiffe://td/user"}]
    until = datetime.datetime.fromisoformat(own["expiration_time"].replace("Z", "+00:00"))
    left = (until - datetime.datetime.now(datetime.timezone.utc)).days
    assert abs(int(own["days_until_expiration"]) - left) <= 1 and own["valid_from"] < own["expiration_time"] and int(own["serial_number"], 16)
    proxy.stop()


# ---- the configuration ----

CANARY = "canary-4711"


def secret(ca, tmp_path, name):
    cert, key = ca.issue(name, "DNS:" + name)
    return {"name": name, "tls_certificate": {"certificate_chain": {"inline_string": open(cert).read()}, "private_key": {"inline_string": open(key).read()}}}


def dump(admin, query=""):
    status, body, fields = ask(admin, "/config_dump" + query)
    assert status == 200 and fields["content-type"] == "application/json"
    return json.loads(body), body


def test_the_configuration_without_what_is_secret(tmp_path, backend):
    ca = Authority(tmp_path)
    port, admin = free_ports(2)
    known, inline = secret(ca, tmp_path, "known"), secret(ca, tmp_path, "inline")
    path = tmp_path / "bootstrap.json"
    kinds = TYPE + "filters.http."
    basic = {"name": "basic", "typed_config": {"@type": kinds + "basic_auth.v3.BasicAuth", "users": {"inline_string": f"{CANARY}:{{SHA}}qUqP5cyxm6YcTAhz05Hph5gvu9M="}}}
    router = {"name": "r", "typed_config": {"@type": kinds + "router.v3.Router"}}
    routes = {"name": "table", "request_headers_to_add": [{"header": {"key": "Authorization", "value": "Bearer " + CANARY}}],
              "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "backend"}}]}]}
    filters = http(cluster="backend", route_config=routes, http_filters=[basic, router])
    socket_of = tls(common={"tls_certificates": [inline["tls_certificate"]]})
    by_name = tls(common={"tls_certificate_sds_secret_configs": [{"name": "known"}]})
    path.write_text(json.dumps({"node": {"id": "n"}, "admin": {"address": address(admin)}, "static_resources": {
        "listeners": [{"name": "l", "address": address(port), "filter_chains": [{**chain(filters), "transport_socket": socket_of}]},
                      {"name": "m", "address": address(free_ports(1)[0]), "filter_chains": [{**chain(http("hi")), "transport_socket": by_name}]}],
        "clusters": [cluster(backend.port), cluster(backend.port, "other")], "secrets": [known]}}))
    proxy = Proxy(tmp_path, "-c", path, port=port)
    everything, body = dump(admin, "?include_eds")
    assert [c["@type"].rpartition(".")[2] for c in everything["configs"]] == [
        "BootstrapConfigDump", "ClustersConfigDump", "EndpointsConfigDump", "ListenersConfigDump", "ScopedRoutesConfigDump", "RoutesConfigDump", "SecretsConfigDump"]
    for word in [CANARY, "qUqP5cyx"] + [line for s in (known, inline) for line in s["tls_certificate"]["private_key"]["inline_string"].splitlines()[1:-1]]:
        assert word not in body
    assert "PRIVATE KEY" not in body and body.count("[redacted]") >= 6
    assert known["tls_certificate"]["certificate_chain"]["inline_string"].splitlines()[1] in body, "certificates are no secret"
    boot, clusters, endpoints, listeners, _, tables, secrets = everything["configs"]
    assert boot["bootstrap"]["node"] == {"id": "n"} and [c["name"] for c in boot["bootstrap"]["static_resources"]["clusters"]] == ["backend", "other"]
    assert [c["cluster"]["name"] for c in clusters["static_clusters"]] == ["backend", "other"] and clusters["dynamic_active_clusters"] == []
    assert clusters["static_clusters"][0]["cluster"]["@type"] == "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    assert endpoints["static_endpoint_configs"][0]["endpoint_config"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["port_value"] == backend.port
    assert [x["listener"]["name"] for x in listeners["static_listeners"]] == ["l", "m"] and listeners["static_listeners"][0]["last_updated"].endswith("Z")
    assert listeners["static_listeners"][0]["listener"]["filter_chains"][0]["filters"][0]["typed_config"]["@type"] == HCM
    assert [t["route_config"].get("name") for t in tables["static_route_configs"]] == ["table", None]
    assert secrets["static_secrets"][0]["name"] == "known" and secrets["static_secrets"][0]["secret"]["tls_certificate"]["private_key"] == {"inline_string": "[redacted]"}
    assert "EndpointsConfigDump" not in dump(admin)[1]
    assert [c["cluster"]["name"] for c in dump(admin, "?resource=static_clusters&name_regex=o.*")[0]["configs"]] == ["other"]
    assert dump(admin, "?resource=static_listeners")[0]["configs"][0]["@type"] == "type.googleapis.com/envoy.admin.v3.ListenersConfigDump.StaticListener"
    assert [c["@type"].rpartition(".")[2] for c in dump(admin, "?resource=bootstrap")[0]["configs"]] == ["BootstrapConfigDump"]
    assert dump(admin, "?resource=dynamic_warming_secrets")[0] == {"configs": []}
    assert ask(admin, "/config_dump?resource=nope")[:2] == (404, "nope not found in config dump\n")
    assert [ask(admin, "/config_dump?" + q)[0] for q in ("mask=x", "name_regex=(", "resource=listeners")] == [400, 400, 404]
    proxy.stop()


def test_what_came_later(tmp_path, backend):
    """What a file has brought: in force, waiting, changed, gone."""
    port, admin, eds_port, secret_port = free_ports(4)
    url = "type.googleapis.com/envoy.config."
    types = {"cds": "cluster.v3.Cluster", "lds": "listener.v3.Listener", "rds": "route.v3.RouteConfiguration", "eds": "endpoint.v3.ClusterLoadAssignment"}
    types = {k: url + v for k, v in types.items()} | {"sds": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"}

    def source(kind):
        return {"path_config_source": {"path": str(tmp_path / f"{kind}.json")}, "initial_fetch_timeout": "0s"}

    def put(kind, version, *resources):
        (tmp_path / ".new").write_text(json.dumps({"version_info": version, "type_url": types[kind], "resources": [{"@type": types[kind], **r} for r in resources]}))
        os.rename(tmp_path / ".new", tmp_path / f"{kind}.json")
    waits = {"name": "waits", "type": "EDS", "eds_cluster_config": {"eds_config": source("eds")}}
    put("cds", "c1", cluster(backend.port, "c"), cluster(backend.port, "d"))
    hcm = http(cluster="c", stat_prefix="x")
    del hcm["typed_config"]["route_config"]
    hcm["typed_config"]["rds"] = {"route_config_name": "t", "config_source": source("rds")}
    by_name = tls(common={"tls_certificate_sds_secret_configs": [{"name": "web", "sds_config": source("sds")}]})
    put("lds", "l1", {"name": "l", "address": address(port), "filter_chains": [chain(hcm)]},
        {"name": "s", "address": address(secret_port), "filter_chains": [{**chain(http("hi", stat_prefix="s")), "transport_socket": by_name}]})
    put("rds", "r1", {"name": "t", "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "c"}}]}]})
    path = tmp_path / "bootstrap.json"
    path.write_text(json.dumps({"admin": {"address": address(admin)}, "dynamic_resources": {"cds_config": source("cds"), "lds_config": source("lds")}}))
    proxy = Proxy(tmp_path, "-c", path, port=port)
    _, clusters, listeners, _, tables, secrets = dump(admin)[0]["configs"]
    assert [s["name"] for s in secrets["dynamic_warming_secrets"]] == ["web"] and not secrets["dynamic_active_secrets"]
    web = secret(Authority(tmp_path), tmp_path, "web")
    put("sds", "s1", web)
    wait_until("the secret has come", lambda: dump(admin, "?resource=dynamic_active_secrets")[0]["configs"])
    (shown,), body = (lambda d: (d[0]["configs"], d[1]))(dump(admin, "?resource=dynamic_active_secrets"))
    assert (shown["name"], shown["version_info"]) == ("web", "s1") and shown["secret"]["tls_certificate"]["private_key"] == {"inline_string": "[redacted]"}
    assert "PRIVATE" not in body and "CERTIFICATE" in body
    assert [(c["version_info"], c["cluster"]["name"]) for c in clusters["dynamic_active_clusters"]] == [("c1", "c"), ("c1", "d")]
    assert listeners["dynamic_listeners"][0]["name"] == "l" and listeners["dynamic_listeners"][0]["active_state"]["version_info"] == "l1"
    assert tables["dynamic_route_configs"][0]["version_info"] == "r1" and tables["dynamic_route_configs"][0]["route_config"]["name"] == "t"

    def lists():
        by_name = {}
        for name in ("dynamic_active_clusters", "dynamic_warming_clusters"):
            for c in dump(admin, "?resource=" + name)[0]["configs"]:
                by_name.setdefault(c["cluster"]["name"], []).append((name.split("_")[1], c["version_info"]))
        return by_name
    put("cds", "c2", cluster(backend.port, "c", connect_timeout="2s"), waits)
    wait_until("one has changed, one went, one waits", lambda: lists() == {"c": [("active", "c2")], "waits": [("warming", "c2")]})
    put("eds", "e1", {"cluster_name": "waits", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(eds_port)}}]}]})
    wait_until("it is in force", lambda: lists()["waits"] == [("active", "c2")])
    ends = dump(admin, "?resource=dynamic_endpoint_configs")[0]["configs"]
    assert [(e["version_info"], e["endpoint_config"]["cluster_name"]) for e in ends] == [("e1", "waits")]
    put("cds", "c3", {**cluster(backend.port, "c"), "type": "ORIGINAL_DST"}, waits)
    wait_until("the change is refused", lambda: "cluster_manager.cds.update_rejected: 1\n" in ask(admin, "/stats")[1])
    assert lists()["c"] == [("active", "c2")], "what is in force is shown"
    assert "waits::added_via_api::true\n" in ask(admin, "/clusters")[1]
    proxy.stop()


def test_thousands_of_clusters(tmp_path):
    port, admin = free_ports(2)
    path = tmp_path / "bootstrap.json"
    path.write_text(json.dumps({"admin": {"address": address(admin)}, "static_resources": {
        "listeners": [{"name": "l", "address": address(port), "filter_chains": [chain(http("hi"))]}], "clusters": [cluster(1, f"c{i}") for i in range(3000)]}}))
    proxy = Proxy(tmp_path, "-c", path, port=port)
    assert len(dump(admin)[0]["configs"][1]["static_clusters"]) == 3000
    assert len(json.loads(ask(admin, "/clusters?format=json")[1])["cluster_statuses"]) == 3000
    assert len(dump(admin, "?resource=static_clusters&name_regex=c7..")[0]["configs"]) == 100
    proxy.stop()
