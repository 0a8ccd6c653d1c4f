"""One form of a request for all who look at it: path, host, names of fields, who asks; and what gRPC's clients are told."""
import pytest
from certificates import Authority
from conftest import Client
from http2_client import Http2
from listeners import TYPE, TlsClient, address, chain, cluster, http, log, start, tls
from suite import free_ports, wait_until

ROUTER = {"name": "router", "typed_config": {"@type": TYPE + "filters.http.router.v3.Router"}}


@pytest.fixture
def made(tmp_path, backend):
    started = []

    def begin(routes=None, transport=None, **hcm):
        port = free_ports(1)[0]
        listener = http(cluster="backend", access_log=log(tmp_path / "log", "%RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %REQ(:PATH)% %DOWNSTREAM_REMOTE_ADDRESS%"), **hcm)
        if routes:
            listener["typed_config"]["route_config"]["virtual_hosts"][0]["routes"] = routes
        to = chain(listener, transport_socket=transport) if transport else chain(listener)
        started.append(start(tmp_path, port, [{"address": address(port), "filter_chains": [to]}], [cluster(backend.port)]))
        return Client(port)

    yield begin
    for proxy in started:
        proxy.stop()
    assert not backend.garbage, backend.garbage


def ask(client, path="/", *fields, host="a.test", method="GET"):
    return client.ask(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n" + "".join(f + "\r\n" for f in fields) + "\r\n")


def logged(tmp_path, line):
    wait_until(f"the line {line}", lambda: (tmp_path / "log").read_text().splitlines()[-1:] == [line])
    return True


def test_one_path_for_all(made, backend, tmp_path):
    forbidden = {"policies": {"p": {"permissions": [{"url_path": {"path": {"prefix": "/admin"}}}], "principals": [{"any": True}]}}, "action": "DENY"}
    rbac = {"name": "rbac", "typed_config": {"@type": TYPE + "filters.http.rbac.v3.RBAC", "rules": forbidden}}
    client = made(normalize_path=True, merge_slashes=True, path_with_escaped_slashes_action="UNESCAPE_AND_FORWARD", http_filters=[rbac, ROUTER])
    for path in ("/admin/x", "/a/../admin", "//admin", "/%61dmin", "/x/%2e%2e/admin", "/x%2f..%2fadmin", "/x\\..\\admin", "/./admin?q=/../y"):
        assert ask(client, path)[0] == 403, path
    assert not backend.requests
    assert ask(client, "/a/./b//c/..?q=/../%2F")[0] == 200
    assert backend.requests[-1].target == "/a/b/?q=/../%2F"
    assert logged(tmp_path, "200 via_upstream /a/b/?q=/../%2F 127.0.0.1:" + str(client.sock.getsockname()[1]))
    assert ask(client, "http://b.test/a/../c")[0] == 200  # absolute
    assert (backend.requests[-1].target, backend.requests[-1].get("host")) == ("/c", "b.test")
    # By default a path stays as it is.
    assert ask(made(), "/a/..//%2F%61")[0] == 200 and backend.requests[-1].target == "/a/..//%2F%61"


def test_escaped_slashes(made, backend, tmp_path):
    client = made(path_with_escaped_slashes_action="UNESCAPE_AND_REDIRECT", normalize_path=True)
    status, answer, _ = ask(client, "/a%2Fb?c")
    assert (status, answer["location"]) == (307, "/a/b?c") and logged(tmp_path, f"307 path_normalization_failed /a%2Fb?c 127.0.0.1:{client.sock.getsockname()[1]}")
    client = made(path_with_escaped_slashes_action="REJECT_REQUEST")
    assert ask(client, "/a%5cb")[0] == 400 and ask(client, "/a%20b")[0] == 200
    assert [r.target for r in backend.requests] == ["/a%20b"]


def test_hosts(made, backend):
    def hosts(*asked, **hcm):
        client = made(**hcm)
        return [(ask(client, host=h.format(port=client.sock.getpeername()[1])), backend.requests[-1].get("host"))[1] for h in asked]
    assert hosts("a.test:8080", "a.test", "[::1]:80", strip_any_host_port=True) == ["a.test", "a.test", "[::1]"]
    client = made(strip_matching_host_port=True)
    port = client.sock.getpeername()[1]
    for host, want in ((f"a.test:{port}", "a.test"), ("a.test:1", "a.test:1")):
        ask(client, host=host)
        assert backend.requests[-1].get("host") == want
    assert hosts("a.test.", "a.test.:80", ".", strip_trailing_host_dot=True) == ["a.test", "a.test:80", "."]
    assert hosts("a.test.:80") == ["a.test.:80"]


def test_underscores(made, backend, tmp_path):
    client = made(common_http_protocol_options={"headers_with_underscores_action": "DROP_HEADER"})
    assert ask(client, "/", "x_a: 1", "x-a: 2")[0] == 200
    assert backend.requests[-1].get("x_a") is None and backend.requests[-1].get("x-a") == "2"
    client = made(common_http_protocol_options={"headers_with_underscores_action": "REJECT_REQUEST"})
    assert ask(client, "/", "x_a: 1")[::2] == (400, b"Bad Request") and ask(client, "/", "x-a: 1")[0] == 200
    assert ask(made(), "/", "x_a: 1")[0] == 200 and backend.requests[-1].get("x_a") == "1"


def test_who_asks_behind_proxies(made, backend, tmp_path):
    def client_of(xff, **hcm):
        client = made(**hcm)
        assert ask(client, "/", *([f"x-forwarded-for: {xff}"] if xff else []), "x-forwarded-proto: https")[0] == 200
        return (tmp_path, client.sock.getsockname()[1])
    two = "1.1.1.1, 2.2.2.2"
    client_of(two, xff_num_trusted_hops=1)
    assert logged(tmp_path, "200 via_upstream / 1.1.1.1:0")
    client_of(two)
    assert logged(tmp_path, "200 via_upstream / 2.2.2.2:0")
    client_of(two, xff_num_trusted_hops=1, use_remote_address=True)
    request = backend.requests[-1]
    assert logged(tmp_path, "200 via_upstream / 2.2.2.2:0") and request.get("x-forwarded-proto") == "https"
    assert (request.get("x-forwarded-for"), request.get("x-envoy-external-address")) == (two + ",127.0.0.1", "2.2.2.2")
    client_of(two, xff_num_trusted_hops=2, use_remote_address=True, skip_xff_append=True)
    assert logged(tmp_path, "200 via_upstream / 1.1.1.1:0")
    _, port = client_of("1.1.1.1", xff_num_trusted_hops=5, use_remote_address=True)  # fewer than are trusted
    assert logged(tmp_path, f"200 via_upstream / 127.0.0.1:{port}")
    _, port = client_of(two, use_remote_address=True)
    assert logged(tmp_path, f"200 via_upstream / 127.0.0.1:{port}") and backend.requests[-1].get("x-forwarded-proto") == "http"
    _, port = client_of("junk")
    assert logged(tmp_path, f"200 via_upstream / 127.0.0.1:{port}")


def only(principal):
    rules = {"policies": {"p": {"permissions": [{"any": True}], "principals": [principal]}}}
    return [{"name": "rbac", "typed_config": {"@type": TYPE + "filters.http.rbac.v3.RBAC", "rules": rules}}, ROUTER]


def test_remote_addresses_may_pass(made):
    prefix = {"address_prefix": "10.0.0.0", "prefix_len": 8}
    client = made(http_filters=only({"remote_ip": prefix}))
    assert ask(client, "/", "x-forwarded-for: 10.1.1.1")[0] == 200 and ask(client, "/", "x-forwarded-for: 11.1.1.1")[0] == 403 and ask(client)[0] == 403
    client = made(http_filters=only({"remote_ip": prefix}), use_remote_address=True)
    assert ask(client, "/", "x-forwarded-for: 10.1.1.1")[0] == 403  # claimed, not believed
    client = made(http_filters=only({"direct_remote_ip": prefix}))
    assert ask(client, "/", "x-forwarded-for: 10.1.1.1")[0] == 403


def test_names_of_certificates_may_pass(made, tmp_path):
    ca = Authority(tmp_path)
    site, user = ca.issue("site", "DNS:site.example"), ca.issue("user", "URI:spiffe://td/ns/a/sa/cli")
    trust = {"validation_context": {"trusted_ca": {"filename": str(ca.cert)}}}

    def status(principal, cert):
        port = made(transport=tls(site, common=trust), http_filters=only(principal)).sock.getpeername()[1]
        client = TlsClient(port, cert=cert)
        return ask(client)[0]
    named = {"authenticated": {"principal_name": {"exact": "spiffe://td/ns/a/sa/cli"}}}
    assert status(named, user) == 200 and status({"authenticated": {}}, user) == 200
    assert status({"authenticated": {"principal_name": {"prefix": "spiffe://other/"}}}, user) == 403
    assert status(named, None) == 403 and status({"authenticated": {}}, None) == 403


def test_grpc_clients_are_told_in_their_words(made, tmp_path):
    routes = [{"match": {"path": "/gone"}, "direct_response": {"status": 403, "body": {"inline_string": "not 100% ü"}}}, {"match": {"path": "/slow"}, "route": {"cluster": "backend", "max_stream_duration": {"max_stream_duration": "0.1s"}}}]
    client = made(routes)

    def told(path, *fields):
        status, answer, body = ask(client, path, "content-type: application/grpc+proto", *fields)
        assert (status, body) == (200, b"") and answer["content-type"] == "application/grpc"
        return answer["grpc-status"], answer.get("grpc-message")
    assert told("/nowhere") == ("12", None)
    assert told("/gone") == ("7", "not 100%25 %C3%BC")
    assert ask(client, "/gone")[0] == 403 and ask(client, "/gone", "content-type: application/grpcx")[0] == 403
    assert logged(tmp_path, f"403 direct_response /gone 127.0.0.1:{client.sock.getsockname()[1]}")


def test_grpc_over_http2(made, backend):
    routes = [{"match": {"prefix": "/wait"}, "route": {"cluster": "backend", "max_stream_duration": {"max_stream_duration": "0.1s"}}},
              {"match": {"prefix": "/late"}, "route": {"cluster": "backend", "timeout": "0.1s"}}]
    client = made(routes)
    h = Http2(client.sock.getpeername()[1])
    s = h.ask("GET", "/wait", ("content-type", "application/grpc"))
    assert (s.status, s.fields["grpc-status"], s.fields["grpc-message"]) == (200, "4", "downstream duration timeout")
    backend.release.set()


def test_the_port_is_told(made, backend):
    client = made(append_x_forwarded_port=True)
    ask(client)
    assert backend.requests[-1].get("x-forwarded-port") == str(client.sock.getpeername()[1])
    ask(client, "/", "x-forwarded-port: 1")
    assert backend.requests[-1].get("x-forwarded-port") == "1"
