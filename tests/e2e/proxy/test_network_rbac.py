"""The network filter RBAC: who may connect, before anything serves the connection."""
import json

import pytest
from certificates import Authority
from conftest import Client
from listeners import TYPE, TlsClient, address, cluster, http, listener_filter, log, start, tcp, tls
from suite import BIN, free_ports, run, wait_until

GET = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
ANY = {"any": True}


def rbac(permission, principal, action="ALLOW"):
    return {"name": "rbac", "typed_config": {"@type": TYPE + "filters.network.rbac.v3.RBAC", "stat_prefix": "rbac", "rules": {
        "action": action, "policies": {"p": {"permissions": [permission], "principals": [principal]}}}}}


@pytest.fixture
def made(tmp_path, backend):
    started = []

    def begin(*filters, transport=None, listener_filters=(), last=None):
        port = free_ports(1)[0]
        one = {"filters": [*filters, last or http("in")], **({"transport_socket": transport} if transport else {})}
        listener = {"address": address(port), "filter_chains": [one], "access_log": log(tmp_path / "log", "%RESPONSE_FLAGS% %BYTES_RECEIVED%"),
                    "listener_filters": list(listener_filters)}
        started.append(start(tmp_path, port, [listener], [cluster(backend.port)]))
        return port

    yield begin
    for proxy in started:
        proxy.stop()


def prefix(text, n):
    return {"direct_remote_ip": {"address_prefix": text, "prefix_len": n}}


def passes(client):
    try:
        answer = client.ask(GET)
    except (ConnectionResetError, BrokenPipeError):
        return False
    return answer is not None and answer[0] == 200


def test_by_address(made, tmp_path):
    assert passes(Client(made(rbac(ANY, prefix("127.0.0.0", 8)))))
    port = made(rbac(ANY, prefix("10.0.0.0", 8)))
    assert not passes(Client(port)) and not passes(Client(port))
    wait_until("their lines", lambda: (tmp_path / "log").read_text().splitlines()[-2:] == ["- 0", "- 0"])
    assert not passes(Client(made(rbac(ANY, prefix("127.0.0.1", 32), "DENY"))))
    # Each of several is asked.
    assert not passes(Client(made(rbac(ANY, ANY), rbac(ANY, prefix("10.0.0.0", 8)))))
    assert passes(Client(made(rbac(ANY, ANY), rbac(ANY, prefix("127.0.0.0", 8)))))


def test_bytes_that_nobody_understands(made, backend):
    assert passes(Client(made(rbac(ANY, prefix("127.0.0.0", 8)), last=tcp())))
    assert not passes(Client(made(rbac(ANY, prefix("10.0.0.0", 8)), last=tcp()))) and len(backend.requests) == 1
    port = made(rbac({"destination_port": 1}, ANY), last=tcp())
    assert not passes(Client(port))


def test_whom_a_proxy_before_us_stands_for(made):
    port = made(rbac(ANY, {"remote_ip": {"address_prefix": "10.0.0.0", "prefix_len": 8}}), listener_filters=[listener_filter("proxy_protocol")])
    for source, may in (("10.1.2.3", True), ("11.1.2.3", False)):
        client = Client(port)
        client.send(f"PROXY TCP4 {source} 127.0.0.1 1000 {port}\r\n")
        assert passes(client) == may
    port = made(rbac(ANY, prefix("10.0.0.0", 8)), listener_filters=[listener_filter("proxy_protocol")])
    client = Client(port)
    client.send(f"PROXY TCP4 10.1.2.3 127.0.0.1 1000 {port}\r\n")
    assert not passes(client)  # its own address is another


def test_by_names(made, tmp_path):
    ca = Authority(tmp_path)
    site, user = ca.issue("site", "DNS:site.example"), ca.issue("user", "URI:spiffe://td/ns/a/sa/cli")
    transport = tls(site, common={"validation_context": {"trusted_ca": {"filename": str(ca.cert)}}})
    named = {"authenticated": {"principal_name": {"exact": "spiffe://td/ns/a/sa/cli"}}}
    port = made(rbac(ANY, named), transport=transport)
    assert passes(TlsClient(port, cert=user)) and not passes(TlsClient(port))
    port = made(rbac({"requested_server_name": {"exact": "site.example"}}, ANY), transport=transport)
    assert passes(TlsClient(port, name="site.example")) and not passes(TlsClient(port, name="other.example")) and not passes(TlsClient(port))
    # TLS that goes through as it is: by its ClientHello.
    port = made(rbac({"requested_server_name": {"suffix": ".example"}}, ANY, "DENY"), listener_filters=[listener_filter("tls_inspector")], last=tcp())
    with pytest.raises(OSError):
        TlsClient(port, name="site.example")
    assert passes(Client(port))


@pytest.mark.parametrize("filters,words", [
    ([rbac({"header": {"name": "a", "present_match": True}}, ANY), http("in")], "filters[0].typed_config.rules: a connection has no headers and no path"),
    ([rbac({"not_rule": {"url_path": {"path": {"exact": "/"}}}}, ANY), http("in")], "a connection has no headers and no path"),
    ([rbac(ANY, ANY)], "non-terminal filter named rbac of type envoy.extensions.filters.network.rbac.v3.RBAC is the last filter in a network filter chain."),
    ([http("in"), http("in")], "must be the last filter in a network filter chain."),
])
def test_what_makes_no_sense_is_refused(tmp_path, filters, words):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({"static_resources": {"listeners": [{"address": address(1), "filter_chains": [{"filters": filters}]}]}}))
    got = run(BIN / "fairlead-proxy", "--validate", "-c", path, check=False)
    assert got.returncode and words in got.stderr, got.stderr
