"""TLS at listeners and towards endpoints: names, certificates of clients, ALPN, resumption, secrets; and what is not TLS."""
import base64
import socket
import ssl
import threading

import pytest
from certificates import Authority
from conftest import Client
from listeners import TlsClient, address, chain, cluster, http, listener_filter, log, start, tcp, tls, upstream_tls
from suite import BIN, free_ports, wait_until

GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def site(ca):
    return ca.issue("site", "DNS:site.example", "URI:spiffe://td/ns/a/sa/srv")


@pytest.fixture(scope="module")
def user(ca):
    return ca.issue("user", "URI:spiffe://td/ns/a/sa/cli", "DNS:c.example", subject="/O=org/CN=client")


@pytest.fixture
def port():
    return free_ports(1)[0]


def trust(ca):
    return {"validation_context": {"trusted_ca": {"filename": str(ca.cert)}}}


def refused(port, **how):
    """The handshake, or the first word after it, fails."""
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        c = TlsClient(port, **how)
        assert c.ask(GET)


def test_a_request_over_tls(tmp_path, port, ca, site, backend):
    path = tmp_path / "log"
    text = "%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_TLS_CIPHER% %REQUESTED_SERVER_NAME% %DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_LOCAL_URI_SAN%"
    proxy = start(tmp_path, port, [{"address": address(port), "filter_chains": [
        chain(http(cluster="backend", access_log=log(path, text)), transport_socket=tls(site))]}], [cluster(backend.port)])
    for version, word in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
        c = TlsClient(port, "site.example", ca.cert, version=version)
        assert c.sock.version() == word
        assert [c.ask(GET)[2] for _ in range(3)] == [b"ok"] * 3
        assert c.ask("GET /size/300000 HTTP/1.1\r\nHost: x\r\n\r\n")[2] == b"x" * 300000
        c.close()
    proxy.stop()
    lines = path.read_text().split("\n")
    assert lines[0].split()[0] == "TLSv1.2" and lines[4].split()[0] == "TLSv1.3"
    assert lines[4].split()[1:] == ["TLS_AES_256_GCM_SHA384", "site.example", "-", "spiffe://td/ns/a/sa/srv"]


def test_the_command_line(tmp_path, port, ca, site, backend):
    from conftest import Proxy
    proxy = Proxy(tmp_path, "--listen", f"127.0.0.1:{port}", "--tls", f"{site[0]},{site[1]}", "--route", f"/=http://127.0.0.1:{backend.port}", port=port)
    assert TlsClient(port, "site.example", ca.cert).ask(GET)[2] == b"ok"
    proxy.stop()


def test_a_certificate_for_each_name(tmp_path, port, ca, site):
    other = ca.issue("other", "DNS:other.example")
    context = tls(site)
    context["typed_config"]["common_tls_context"]["tls_certificates"] += tls(other)["typed_config"]["common_tls_context"]["tls_certificates"]
    proxy = start(tmp_path, port, [{"address": address(port), "filter_chains": [chain(http("one"), transport_socket=context)]}])
    for name in ("site.example", "other.example"):
        assert TlsClient(port, name, ca.cert).ask(GET)[2] == b"one"
    proxy.stop()


def test_chains_by_name(tmp_path, port, ca):
    cert = ca.issue("many", "DNS:a.example", "DNS:b.example", "DNS:*.wild.example", "DNS:deep.er.wild.example", "DNS:x.er.wild.example", "DNS:none.example")
    path = tmp_path / "log"

    def named(*names):
        return chain(http(names[0]), name=names[0], filter_chain_match={"server_names": list(names)}, transport_socket=tls(cert))
    proxy = start(tmp_path, port, [{"address": address(port), "access_log": log(path, "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %REQUESTED_SERVER_NAME%"),
                                    "listener_filters": [listener_filter("tls_inspector")],
                                    "filter_chains": [named("a.example", "b.example"), named("*.wild.example"), named("*.er.wild.example")]}])

    def body(name):
        return TlsClient(port, name, ca.cert).ask(GET)[2].decode()
    assert body("a.example") == body("B.Example") == "a.example"
    assert body("one.wild.example") == "*.wild.example"
    assert body("x.er.wild.example") == "*.er.wild.example"
    for name in ("none.example", "wild.example", None):
        with pytest.raises(ConnectionResetError):
            TlsClient(port, name)
    plain = Client(port)
    with pytest.raises(ConnectionResetError):
        plain.ask(GET)
    proxy.stop()
    lines = path.read_text().split("\n")
    assert lines.count("0 NR filter_chain_not_found none.example") == 1
    assert lines.count("0 NR filter_chain_not_found -") >= 2


def test_chains_by_protocol(tmp_path, port, ca, site):
    proxy = start(tmp_path, port, [{"address": address(port), "default_filter_chain": chain(http("plain")), "filter_chains": [
        chain(http("tls"), name="t", filter_chain_match={"transport_protocol": "tls"}, transport_socket=tls(site)),
        chain(http("special"), name="s", filter_chain_match={"transport_protocol": "tls", "application_protocols": ["special"]},
              transport_socket=tls(site, common={"alpn_protocols": ["special"]}))]}])
    assert TlsClient(port).ask(GET)[2] == b"tls"
    c = TlsClient(port, alpn=["other", "special"])
    assert (c.sock.selected_alpn_protocol(), c.ask(GET)[2]) == ("special", b"special")
    assert Client(port).ask(GET)[2] == b"plain"
    proxy.stop()


def test_alpn(tmp_path, port, site):
    proxy = start(tmp_path, port, [{"address": address(port), "filter_chains": [
        chain(http("one"), transport_socket=tls(site, common={"alpn_protocols": ["http/1.1"]}))]}])
    c = TlsClient(port, alpn=["h2", "http/1.1"])
    assert (c.sock.selected_alpn_protocol(), c.ask(GET)[0]) == ("http/1.1", 200)
    c = TlsClient(port, alpn=["h2"])
    assert (c.sock.selected_alpn_protocol(), c.ask(GET)[0]) == (None, 200)
    proxy.stop()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_resumption(tmp_path, port, site, version):
    proxy = start(tmp_path, port, [{"address": address(port), "filter_chains": [chain(http("one"), transport_socket=tls(site))]}], flags=["--concurrency", "2"])
    first = TlsClient(port, version=version)
    assert first.ask(GET)[0] == 200  # tickets come with it
    first.session, first.context.check_hostname = first.sock.session, False
    for _ in range(8):  # whichever worker takes it
        again = TlsClient(port, session=first)
        assert (again.sock.session_reused, again.ask(GET)[0]) == (True, 200)
        again.close()
    proxy.stop()


def test_ticket_keys_of_the_configuration(tmp_path, port, site):
    """Two proxies with the same keys resume each other's sessions; the first key writes, all read."""
    keys = [base64.b64encode(bytes([n]) * 80).decode() for n in (1, 2)]
    second = free_ports(1)[0]
    (tmp_path / "two").mkdir()

    def one(where, port, *keys):
        return start(where, port, [{"address": address(port), "filter_chains": [chain(http("one"), transport_socket=tls(
            site, session_ticket_keys={"keys": [{"inline_bytes": k} for k in keys]}))]}])
    proxies = [one(tmp_path, port, keys[0]), one(tmp_path / "two", second, keys[1], keys[0])]
    first = TlsClient(port)
    first.ask(GET)
    first.session = first.sock.session
    assert TlsClient(second, session=first).sock.session_reused
    other = TlsClient(second)
    other.ask(GET)
    other.session = other.sock.session
    assert not TlsClient(port, session=other).sock.session_reused
    for proxy in proxies:
        proxy.stop()


def test_a_key_from_the_environment(tmp_path, port, ca, site, monkeypatch):
    monkeypatch.setenv("FL_TEST_KEY", site[1].read_text())
    context = tls(site)
    context["typed_config"]["common_tls_context"]["tls_certificates"][0]["private_key"] = {"environment_variable": "FL_TEST_KEY"}
    proxy = start(tmp_path, port, [{"address": address(port), "filter_chains": [chain(http("one"), transport_socket=context)]}])
    assert TlsClient(port, "site.example", ca.cert).ask(GET)[2] == b"one"
    proxy.stop()


def test_no_resumption(tmp_path, port, site):
    proxy = start(tmp_path, port, [{"address": address(port), "filter_chains": [
        chain(http("one"), transport_socket=tls(site, disable_stateless_session_resumption=True))]}])
    first = TlsClient(port, version=ssl.TLSVersion.TLSv1_2)
    first.ask(GET)
    first.session = first.sock.session
    assert not first.sock.session.has_ticket
    proxy.stop()


def test_parameters(tmp_path, port, site):
    proxy = start(tmp_path, port, [{"address": address(port), "filter_chains": [chain(http("one"), transport_socket=tls(site, common={"tls_params": {
        "tls_maximum_protocol_version": "TLSv1_2", "cipher_suites": ["ECDHE-ECDSA-AES128-GCM-SHA256"], "ecdh_curves": ["P-256"]}}))]}])
    c = TlsClient(port)
    assert (c.sock.version(), c.sock.cipher()[0]) == ("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256")
    refused(port, version=ssl.TLSVersion.TLSv1_3)
    proxy.stop()


def test_the_server_chooses_the_cipher(tmp_path, port, site):
    proxy = start(tmp_path, port, [{"address": address(port), "filter_chains": [chain(http("one"), transport_socket=tls(site))]}])
    names = ["ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-GCM-SHA256"]
    chosen = set()
    for order in (names, names[::-1]):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode, context.maximum_version = False, ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2
        context.set_ciphers(":".join(order))
        with context.wrap_socket(socket.create_connection(("127.0.0.1", port))) as s:
            chosen.add(s.cipher()[0])
    assert len(chosen) == 1
    proxy.stop()


def mutual(ca, site, cluster=None, names=None, **more):
    common = trust(ca)
    if names:
        common["validation_context"]["match_typed_subject_alt_names"] = names
    return chain(http("in" if not cluster else None, cluster, **more), transport_socket=tls(site, common=common, require_client_certificate=True))


def test_certificates_of_clients(tmp_path, port, ca, site, user):
    path = tmp_path / "log"
    stranger = Authority(tmp_path, "stranger").issue("bad", "URI:spiffe://td/ns/a/sa/cli")
    proxy = start(tmp_path, port, [{"address": address(port), "filter_chains": [mutual(ca, site, access_log=log(path,
                  "%DOWNSTREAM_PEER_URI_SAN%|%DOWNSTREAM_PEER_DNS_SAN%|%DOWNSTREAM_PEER_SUBJECT%|%DOWNSTREAM_PEER_ISSUER%"))]}])
    assert TlsClient(port, cert=user).ask(GET)[2] == b"in"
    refused(port)
    refused(port, cert=stranger)
    proxy.stop()
    assert path.read_text() == "spiffe://td/ns/a/sa/cli|c.example|CN=client,O=org|CN=ca\n"


def test_names_of_clients(tmp_path, port, ca, site, user):
    other = ca.issue("else", "URI:spiffe://td/ns/b/sa/cli")
    names = [{"san_type": "URI", "matcher": {"prefix": "spiffe://td/ns/a/"}}]
    proxy = start(tmp_path, port, [{"address": address(port), "filter_chains": [mutual(ca, site, names=names)]}])
    assert TlsClient(port, cert=user).ask(GET)[2] == b"in"
    refused(port, cert=other)
    proxy.stop()


FORGED = "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-Client-Cert: By=forged\r\n\r\n"


@pytest.mark.parametrize("mode,expected", [
    ("SANITIZE", None), ("SANITIZE_SET", "{now}"), ("APPEND_FORWARD", "By=forged,{now}"), ("FORWARD_ONLY", "By=forged"), ("ALWAYS_FORWARD_ONLY", "By=forged")])
def test_client_certificates_are_told(tmp_path, port, ca, site, user, backend, mode, expected):
    proxy = start(tmp_path, port, [{"address": address(port), "filter_chains": [mutual(
        ca, site, "backend", forward_client_cert_details=mode, set_current_client_cert_details={"subject": True, "uri": True, "dns": True})]}],
        [cluster(backend.port)])
    c = TlsClient(port, cert=user)
    assert c.ask(FORGED)[0] == 200
    der = ssl.PEM_cert_to_DER_cert(user[0].read_text())
    import hashlib
    now = f'By=spiffe://td/ns/a/sa/srv;Hash={hashlib.sha256(der).hexdigest()};Subject="CN=client,O=org";URI=spiffe://td/ns/a/sa/cli;DNS=c.example'
    assert backend.requests[0].get("x-forwarded-client-cert") == (expected and expected.format(now=now))
    proxy.stop()


@pytest.mark.parametrize("mode,expected", [("APPEND_FORWARD", None), ("FORWARD_ONLY", None), ("ALWAYS_FORWARD_ONLY", "By=forged")])
def test_in_plain_only_one_mode_trusts(tmp_path, port, backend, mode, expected):
    proxy = start(tmp_path, port, [{"address": address(port), "filter_chains": [chain(http(cluster="backend", forward_client_cert_details=mode))]}],
                  [cluster(backend.port)])
    Client(port).ask(FORGED)
    assert backend.requests[0].get("x-forwarded-client-cert") == expected
    proxy.stop()


def test_redirects_name_the_scheme(tmp_path, port, site):
    filter = http("x")
    filter["typed_config"]["route_config"]["virtual_hosts"][0]["routes"][0] = {"match": {"prefix": "/"}, "redirect": {"path_redirect": "/there"}}
    proxy = start(tmp_path, port, [{"address": address(port), "filter_chains": [chain(filter, transport_socket=tls(site))]}])
    assert TlsClient(port).ask(GET)[1]["location"] == "https://x/there"
    proxy.stop()


def test_what_is_not_tls(tmp_path, port, site):
    """Plain text, silence, and a handshake that stops: closed, within the time, and others are served meanwhile."""
    proxy = start(tmp_path, port, [{"address": address(port), "filter_chains": [
        chain(http("one"), transport_socket=tls(site), transport_socket_connect_timeout="0.3s")]}])
    plain = Client(port)
    plain.send(GET)
    assert not plain.reader.more() or plain.reader.buffer[:1] == b"\x15"  # an alert at most
    silent, part = Client(port), Client(port)
    part.send(b"\x16\x03\x01\x00\xf0\x01\x00")
    assert silent.ended() and part.ended()
    assert TlsClient(port).ask(GET)[0] == 200
    proxy.stop()
    assert "TLS" not in open(proxy.log.name).read()


def test_secrets_by_name(tmp_path, port, ca, site, user):
    secrets = [{"name": "site", "tls_certificate": {"certificate_chain": {"inline_string": site[0].read_text()}, "private_key": {"filename": str(site[1])}}},
               {"name": "clients", "validation_context": {"trusted_ca": {"filename": str(ca.cert)}}}]
    context = tls(common={"tls_certificate_sds_secret_configs": [{"name": "site"}], "combined_validation_context": {
        "default_validation_context": {"match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "c.example"}}]},
        "validation_context_sds_secret_config": {"name": "clients"}}}, require_client_certificate=True)
    proxy = start(tmp_path, port, [{"address": address(port), "filter_chains": [chain(http("one"), transport_socket=context)]}], secrets=secrets)
    assert TlsClient(port, "site.example", ca.cert, cert=user).ask(GET)[0] == 200
    refused(port, cert=site)
    proxy.stop()


# ---- towards endpoints ----

class TlsBackend:
    """Answers one request a connection; keeps the names it was asked for."""

    def __init__(self, cert, ca=None):
        self.names, self.peers, self.reused = [], [], []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*cert)
        self.context.sni_callback = lambda sock, name, context: self.names.append(name)
        if ca:
            self.context.load_verify_locations(ca)
            self.context.verify_mode = ssl.CERT_REQUIRED
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
                sock = self.context.wrap_socket(sock, server_side=True)
                sock.recv(65536)
                self.reused.append(sock.session_reused)
                self.peers.append(sock.getpeercert())
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecret")
                sock.close()
            except ssl.SSLError:
                continue
            except OSError:
                if self.listener.fileno() < 0:
                    return


def upstream(tmp_path, port, backend_port, socket):
    return start(tmp_path, port, [{"address": address(port), "filter_chains": [chain(http(cluster="backend"))]}],
                 [cluster(backend_port, transport_socket=socket)])


def test_towards_endpoints(tmp_path, port, ca, site, user):
    b = TlsBackend(site, ca.cert)
    common = {"tls_certificates": tls(user)["typed_config"]["common_tls_context"]["tls_certificates"], **trust(ca)}
    common["validation_context"]["match_typed_subject_alt_names"] = [{"san_type": "URI", "matcher": {"exact": "spiffe://td/ns/a/sa/srv"}}]
    proxy = upstream(tmp_path, port, b.port, upstream_tls(common, sni="asked.example"))
    c = Client(port)
    assert [c.ask(GET)[2] for _ in range(3)] == [b"secret"] * 3
    assert b.names == ["asked.example"] * 3
    assert dict(b.peers[0]["subject"][1])["commonName"] == "client"
    assert b.reused == [False, True, True]
    proxy.stop()


def test_without_a_trusted_ca_nothing_is_verified(tmp_path, port, site):
    b = TlsBackend(site)
    proxy = upstream(tmp_path, port, b.port, upstream_tls())
    assert Client(port).ask(GET)[2] == b"secret"
    assert b.names == [None]
    proxy.stop()


@pytest.mark.parametrize("names", [None, "other"])
def test_endpoints_that_are_not_who_they_should_be(tmp_path, port, ca, site, names):
    b = TlsBackend(site)
    common = trust(ca if names else Authority(tmp_path, "stranger"))
    if names:
        common["validation_context"]["match_typed_subject_alt_names"] = [{"san_type": "DNS", "matcher": {"exact": "other.example"}}]
    proxy = upstream(tmp_path, port, b.port, upstream_tls(common))
    status, _, body = Client(port).ask(GET)
    assert (status, body) == (503, b"upstream connect error or disconnect/reset before headers. reset reason: remote connection failure")
    proxy.stop()


def auto(**how):
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http_protocol_options": {}}, "upstream_http_protocol_options": how}}


def by_host(tmp_path, port, backend_port, common, **how):
    return start(tmp_path, port, [{"address": address(port), "filter_chains": [chain(http(cluster="backend"))]}],
                 [cluster(backend_port, transport_socket=upstream_tls(common), typed_extension_protocol_options=auto(**how))])


def of(host):
    return f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"


def test_endpoints_are_asked_for_by_the_requests_host(tmp_path, port, ca, site):
    b = TlsBackend(site)
    proxy = by_host(tmp_path, port, b.port, trust(ca), auto_sni=True)
    c = Client(port)
    assert [c.ask(of(h))[2] for h in ("a.example", "b.example:8443", "127.0.0.1", "a.example")] == [b"secret"] * 4
    assert b.names == ["a.example", "b.example", None, "a.example"]
    proxy.stop()


def test_endpoints_must_have_the_requests_host(tmp_path, port, ca, site):
    b = TlsBackend(site)
    proxy = by_host(tmp_path, port, b.port, trust(ca), auto_sni=True, auto_san_validation=True)
    assert Client(port).ask(of("site.example"))[2] == b"secret"
    for other in ("other.example", "127.0.0.1", "x.site.example"):
        assert Client(port).ask(of(other))[0] == 503, other
    assert Client(port).ask(of("SITE.example:443"))[2] == b"secret"
    proxy.stop()


AGENT = {"resource_api_version": "V3", "api_config_source": {
    "api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "sds-grpc"}}]}}


def from_files(root=None, own=None):
    common = {}
    if root:
        common["validation_context_sds_secret_config"] = {"name": f"file-root:{root}", "sds_config": AGENT}
    if own:
        common["tls_certificate_sds_secret_configs"] = [{"name": f"file-cert:{own[0]}~{own[1]}", "sds_config": AGENT}]
    return common


def test_certificates_in_files_by_the_names_of_istios_agent(tmp_path, port, ca, site, user):
    b = TlsBackend(site, ca.cert)
    proxy = upstream(tmp_path, port, b.port, upstream_tls(from_files(ca.cert, user)))
    wait_until("they have been read", lambda: Client(port).ask(GET)[2] == b"secret")
    assert dict(b.peers[0]["subject"][1])["commonName"] == "client"
    proxy.stop()


@pytest.mark.parametrize("how", ["absent", "stranger", "no key", "system"])
def test_files_that_are_of_no_use_speak_to_nobody(tmp_path, port, ca, site, user, how):
    b = TlsBackend(site)
    common = {"absent": lambda: from_files(tmp_path / "none"), "stranger": lambda: from_files(Authority(tmp_path, "stranger").cert),
              "no key": lambda: from_files(ca.cert, (user[0], user[0])), "system": lambda: from_files("system")}[how]()
    proxy = upstream(tmp_path, port, b.port, upstream_tls(common))
    for _ in range(3):
        assert Client(port).ask(GET)[0] == 503
    assert not b.peers
    proxy.stop()


def test_the_roots_of_the_system(tmp_path, port, ca, site, monkeypatch):
    b = TlsBackend(site)
    monkeypatch.setenv("SSL_CERT_FILE", str(ca.cert))
    proxy = upstream(tmp_path, port, b.port, upstream_tls(from_files("system")))
    wait_until("they have been read", lambda: Client(port).ask(GET)[2] == b"secret")
    proxy.stop()


def test_an_endpoint_that_does_not_speak_tls(tmp_path, port, backend):
    proxy = upstream(tmp_path, port, backend.port, upstream_tls())
    assert Client(port).ask(GET)[0] == 503
    proxy.stop()
    backend.garbage.clear()


@pytest.mark.parametrize("says_so", [True, False])
def test_an_answer_that_is_cut(tmp_path, port, site, says_so):
    """A body that lasts until the close is whole only if the endpoint's TLS says that it is finished."""
    listener = socket.create_server(("127.0.0.1", 0))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*site)

    def serve():
        sock = context.wrap_socket(listener.accept()[0], server_side=True)
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\npart")
        if says_so:
            sock = sock.unwrap()
        sock.close()
    threading.Thread(target=serve, daemon=True).start()
    proxy = upstream(tmp_path, port, listener.getsockname()[1], upstream_tls())
    assert Client(port).ask(GET)[2] == (b"part" if says_so else None)
    proxy.stop()


LATER = {"tls_certificate_sds_secret_configs": [{"name": "later", "sds_config": {"ads": {}, "resource_api_version": "V3"}}]}


def test_a_secret_that_has_not_come(tmp_path, port, site, backend):
    """Never in plain instead: a listener closes, a request and proxied bytes get no connection."""
    second, third = free_ports(2)
    proxy = start(tmp_path, port, [
        {"address": address(port), "filter_chains": [chain(http(cluster="backend"))]},
        {"address": address(second), "filter_chains": [chain(tcp())]},
        {"address": address(third), "filter_chains": [chain(http("one"), transport_socket=tls(common=LATER))]}],
        [cluster(backend.port, transport_socket=upstream_tls(LATER))])
    assert Client(port).ask(GET)[0] == 503
    with pytest.raises(ConnectionResetError):
        Client(second).sock.recv(1)
    refused(third)
    assert backend.connections == 0
    proxy.stop()


# ---- what is refused ----

def says(tmp_path, listener, secrets=()):
    import json
    import subprocess
    path = tmp_path / "bootstrap.json"
    path.write_text(json.dumps({"static_resources": {"listeners": [{"address": address(1), **listener}], "secrets": list(secrets)}}))
    done = subprocess.run([BIN / "fairlead-proxy", "--validate", "-c", path], capture_output=True, text=True)
    assert done.returncode == 64, done
    return done.stderr


def test_refused_configurations(tmp_path, ca, site):
    one = http("x")
    match = {"server_names": ["a.b"]}
    assert "no filter chains specified" in says(tmp_path, {})
    assert "filter chain 'two' has the same matching rules defined as 'one'" in says(
        tmp_path, {"filter_chains": [chain(one, name="one", filter_chain_match=match), chain(one, name="two", filter_chain_match=match)]})
    assert "multiple filter chains with overlapping matching rules are defined" in says(
        tmp_path, {"filter_chains": [chain(one, filter_chain_match={"server_names": ["a.b", "c.d"]}), chain(one, filter_chain_match={"server_names": ["C.d"]})]})
    assert 'partial wildcards are not supported in "server_names"' in says(tmp_path, {"filter_chains": [chain(one, filter_chain_match={"server_names": ["a*.b"]})]})
    assert "Unknown static secret: nope" in says(tmp_path, {"filter_chains": [chain(one, transport_socket=tls(common={
        "tls_certificate_sds_secret_configs": [{"name": "nope"}]}))]})
    assert "No TLS certificates found for server context" in says(tmp_path, {"filter_chains": [chain(one, transport_socket=tls())]})
    assert "trusted_ca must be set" in says(tmp_path, {"filter_chains": [chain(one, transport_socket=tls(site, require_client_certificate=True))]})
    assert "/nope: No such file" in says(tmp_path, {"filter_chains": [chain(one, transport_socket=tls(("/nope", site[1])))]})
    assert "private key" in says(tmp_path, {"filter_chains": [chain(one, transport_socket=tls((site[0], ca.key)))]})
    assert "verify_certificate_hash: is not implemented" in says(tmp_path, {"filter_chains": [chain(one, transport_socket=tls(site, common={
        "validation_context": {"verify_certificate_hash": ["00" * 32]}}))]})
