"""Which version of HTTP an endpoint is spoken to: as the client does, or as ALPN agrees."""
import pytest
from certificates import Authority
from conftest import Client
from http2_client import Http2
from listeners import TYPE, address, chain, cluster, http, log, start, tls, upstream_tls
from suite import BIN, free_ports, run, wait_until

GET = "GET {} HTTP/1.1\r\nHost: a.test\r\n\r\n"
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def spoken(**options):
    return {"typed_extension_protocol_options": {OPTIONS: {"@type": f"type.googleapis.com/{OPTIONS}", **options}}}


@pytest.fixture
def behind(tmp_path):
    """A proxy and, behind it, a listener of its own that answers and logs the version it was asked in: (port, lines of the log)."""
    started = []

    def begin(transport=None, **to):
        port, inner = free_ports(2)
        logs = tmp_path / f"inner{inner}"
        answers = http("in", access_log=log(logs, "%PROTOCOL%"))
        last = chain(answers, transport_socket=transport) if transport else chain(answers)
        started.append(start(tmp_path, port, [{"name": "outer", "address": address(port), "filter_chains": [chain(http(cluster="backend"))]},
                                              {"name": "inner", "address": address(inner), "filter_chains": [last]}], [cluster(inner, **to)]))
        return port, lambda n: wait_until(f"{n} lines", lambda: logs.exists() and len(logs.read_text().splitlines()) >= n and logs.read_text().splitlines())

    yield begin
    for proxy in started:
        proxy.stop()


def test_as_the_client_speaks(behind):
    port, lines = behind(**spoken(use_downstream_protocol_config={"http2_protocol_options": {}}))
    one, two = Client(port), Http2(port)
    for _ in range(3):
        assert one.ask(GET.format("/"))[::2] == (200, b"in")
        assert two.ask("GET", "/").body == b"in"
    assert lines(6) == ["HTTP/1.1", "HTTP/2"] * 3
    one.close()


def test_as_alpn_agrees(behind, tmp_path):
    site = Authority(tmp_path).issue("site", "DNS:site.example")
    for offered, version in ((["h2", "http/1.1"], "HTTP/2"), (["http/1.1"], "HTTP/1.1"), ([], "HTTP/1.1")):
        port, lines = behind(tls(site, common={"alpn_protocols": offered}), transport_socket=upstream_tls({"alpn_protocols": ["h2", "http/1.1"]}), **spoken(auto_config={}))
        clients = [Client(port) for _ in range(4)]
        for _ in range(3):
            for c in clients:
                c.send(GET.format("/"))
            assert all(c.answer()[::2] == (200, b"in") for c in clients)
        assert lines(12) == [version] * 12


def test_without_tls_nothing_can_agree(tmp_path):
    import json
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({"static_resources": {"clusters": [cluster(1, **spoken(auto_config={}))]}}))
    got = run(BIN / "fairlead-proxy", "--validate", "-c", path, check=False)
    assert got.returncode and "auto_config: needs a TLS transport_socket with alpn_protocols" in got.stderr, got.stderr


def test_filters_of_a_cluster_that_speaks_as_its_clients(behind, tmp_path):
    """A question of our own has no client: HTTP/1."""
    ask = {"name": "ext_authz", "typed_config": {"@type": TYPE + "filters.http.ext_authz.v3.ExtAuthz", "http_service": {"server_uri": {
        "uri": "http://a", "cluster": "backend", "timeout": "5s"}}}}
    router = {"name": "router", "typed_config": {"@type": TYPE + "filters.http.router.v3.Router"}}
    port, inner = free_ports(2)
    logs = tmp_path / "inner"
    p = start(tmp_path, port, [{"name": "outer", "address": address(port), "filter_chains": [chain(http(cluster="backend", http_filters=[ask, router]))]},
                               {"name": "inner", "address": address(inner), "filter_chains": [chain(http("in", access_log=log(logs, "%PROTOCOL%")))]}],
              [cluster(inner, **spoken(use_downstream_protocol_config={}))])
    assert Http2(port).ask("GET", "/").status == 200
    wait_until("both", lambda: logs.exists() and logs.read_text().splitlines() == ["HTTP/1.1", "HTTP/2"])
    p.stop()
