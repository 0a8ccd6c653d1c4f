"""HTTP/2 from clients, with prior knowledge, to backends of HTTP/1; to endpoints; over TLS."""
import os
import signal
import socket

import certificates
import listeners
import pytest
from conftest import Client, Proxy
from http2_client import Http2
from suite import SLOW, free_ports, run, wait_until
from test_http1 import BOOTSTRAP, FAILED, GET, ROUTES

NO_ERROR, INTERNAL, CANCEL, CALM = 0, 2, 8, 11


@pytest.fixture
def http2(proxy):
    c = Http2(proxy.port)
    yield c
    c.close()


def test_a_request_and_its_answer(http2, backend):
    s = http2.ask("GET", "/a/b?c=d", ("x-one", "1"), ("x-one", "2"), ("te", "trailers"), ("cookie", "a=1"), ("cookie", "b=2"))
    assert (s.status, s.body, s.fields["content-type"], s.fields["content-length"]) == (200, b"ok", "text/plain", "2")
    request = backend.requests[0]
    assert (request.method, request.target, request.get("host"), request.get("cookie")) == ("GET", "/a/b?c=d", "example.test", "a=1; b=2")
    assert sorted(n for n, _ in request.fields) == ["cookie", "host", "te", "x-forwarded-proto", "x-one", "x-one", "x-request-id"]


def test_streams_do_not_wait_for_one_another(http2, backend):
    slow = [http2.open("GET", "/wait") for _ in range(10)]
    quick = [http2.open("GET", f"/size/{i}") for i in range(80)]
    assert [len(http2.wait(s).body) for s in quick] == list(range(80))
    assert not any(http2.streams[s].over() for s in slow)
    backend.release.set()
    assert [http2.wait(s).body for s in slow] == [b"waited"] * 10
    assert len(backend.requests) == 90


def test_http1_on_the_same_port(client, http2):
    assert client.ask(GET.format("/"))[0] == 200
    assert http2.ask("GET", "/").status == 200


@pytest.mark.parametrize("length", [True, False])
def test_bodies(http2, backend, length):
    body = os.urandom(3_000_000)
    s = http2.ask("POST", "/p", *([("content-length", str(len(body)))] if length else []), body=body)
    assert s.status == 200 and backend.requests[0].body == body
    assert len(http2.ask("GET", "/size/5000000").body) == 5_000_000


def test_trailers(http2, backend):
    sid = http2.open("POST", "/chunked", end=False)
    http2.send(sid, b"abc")
    http2.trailers(sid, ("x-sum", "3"))
    s = http2.wait(sid)
    assert (s.status, s.body, s.trailers) == (200, b"abcdef", {"x-sum": "6"})
    assert (backend.requests[0].body, backend.requests[0].trailers) == (b"abc", ["x-sum: 3"])
    assert "transfer-encoding" not in s.fields


def test_answers(http2):
    s = http2.ask("HEAD", "/")
    assert (s.status, s.fields["content-length"], s.body) == (200, "1000", b"")
    assert http2.ask("GET", "/empty").status == 204
    assert http2.ask("GET", "/until-close").body == b"all of it"
    assert http2.ask("GET", "/status/418").status == 418
    s = http2.ask("GET", "/hop")
    assert sorted(s.fields) == ["content-length", "date", "server", "x-stays"]
    sid = http2.open("POST", "/", ("expect", "100-continue"), end=False)
    http2.until(lambda: http2.streams[sid].interim == [100])
    http2.send(sid, b"x", end=True)
    assert http2.wait(sid).status == 200


def test_a_backend_that_fails(http2):
    s = http2.ask("GET", "/nothing")
    assert (s.status, s.body) == (503, (FAILED + "connection termination").encode())
    assert http2.ask("GET", "/garbage").status == 502
    for path in ("/cut", "/cut-chunked"):
        s = http2.ask("GET", path)
        assert (s.status, s.ended, s.reset) == (200, False, INTERNAL)
    assert http2.ask("GET", "/").status == 200


def test_an_early_answer(http2):
    sid = http2.open("POST", "/early", end=False)
    s = http2.streams[sid]
    http2.until(lambda: s.reset is not None)
    assert (s.status, s.body, s.ended, s.reset) == (413, b"large", True, NO_ERROR)


def test_clients_that_give_up(http2, backend):
    sid = http2.open("POST", "/", end=False)
    http2.send(sid, b"some")
    wait_until("the backend is asked", lambda: backend.connections)
    http2.h2.reset_stream(sid, CANCEL)
    http2.flush()
    wait_until("the backend's request is cut", lambda: backend.cut)
    assert http2.ask("GET", "/").status == 200


def test_who_does_not_read_holds_the_backend_back(proxy):
    before, c = proxy.rss_kib(), Http2(proxy.port, reads=False)
    for _ in range(20):
        c.open("GET", "/size/20000000")
    c.until(lambda: sum(len(s.body) for s in c.streams.values()) == 65535)  # the connection's window
    other = Http2(proxy.port)
    assert other.ask("GET", "/").status == 200
    assert SLOW > 1 or proxy.rss_kib() - before < 8000
    other.close()
    c.close()


def test_a_slow_backend_holds_the_client_back(tmp_path):
    stuck = socket.create_server(("127.0.0.1", 0))
    p = Proxy(tmp_path, "--route", f"/=http://127.0.0.1:{stuck.getsockname()[1]}", "--drain", "0s")
    c = Http2(p.port)
    sid, sent = c.open("POST", "/", end=False), 0
    c.sock.settimeout(1)
    with pytest.raises(TimeoutError):
        while True:
            c.send(sid, b"x" * 65536)
            sent += 65536
    assert sent < 20_000_000
    c.close()
    p.stop()
    stuck.close()


def test_draining(tmp_path, backend):
    p = Proxy(tmp_path, "--route", f"/=http://127.0.0.1:{backend.port}", "--drain", "5s")
    c = Http2(p.port)
    sid = c.open("GET", "/wait")
    wait_until("the backend is asked", lambda: backend.requests)
    p.process.send_signal(signal.SIGTERM)
    c.until(lambda: c.goaway)
    backend.release.set()
    assert c.wait(sid).body == b"waited"
    while not c.eof:
        c.receive()
    c.close()
    p.stop()


def test_malformed_requests(http2, proxy, backend):
    c = Http2(proxy.port, validate=False)
    for bad in (("connection", "close"), ("X-Upper", "1"), ("transfer-encoding", "chunked"), ("te", "gzip"), ("content-length", "1")):
        s = c.ask("GET", "/smuggled", bad)
        assert (s.status, s.reset) == (None, 1)
    assert c.ask("GET", "/").status == 200
    assert len(backend.requests) == 1
    c.close()


def test_rapid_resets_end_the_connection(proxy):
    c = Http2(proxy.port)
    try:
        for _ in range(1000):
            sid = c.open("GET", "/wait")
            c.h2.reset_stream(sid, CANCEL)
            c.flush()
    except OSError:
        pass
    while not c.goaway and not c.eof:
        c.receive()
    assert c.goaway and int(c.goaway.error_code) == CALM
    c.close()


def test_the_access_log(tmp_path, backend):
    p = Proxy(tmp_path, "--route", f"/=http://127.0.0.1:{backend.port}", "--access-log", tmp_path / "access.log")
    c = Http2(p.port)
    c.ask("POST", "/x", body=b"abc")
    sid = c.open("GET", "/wait")
    wait_until("the backend is asked", lambda: len(backend.requests) == 2)
    c.h2.reset_stream(sid, CANCEL)
    c.flush()

    def lines():
        return (tmp_path / "access.log").read_text().splitlines()
    wait_until("two lines", lambda: len(lines()) == 2)
    assert '"POST /x HTTP/2" 200 - 3 2' in lines()[0]
    assert '"GET /wait HTTP/2" 0 DC' in lines()[1]
    c.close()
    p.stop()


def configured(tmp_path, backend, **more):
    port, file = free_ports(1)[0], tmp_path / "proxy.yaml"
    text = BOOTSTRAP.format(port=port, backend=backend.port, routes=ROUTES)
    for key, value in more.items():
        text = text.replace("stat_prefix: l\n", f"stat_prefix: l\n          {key}: {value}\n")
    file.write_text(text)
    return Proxy(tmp_path, "-c", file, port=port)


def test_answers_of_its_own(tmp_path, backend):
    p = configured(tmp_path, backend, codec_type="AUTO")
    c = Http2(p.port)
    s = c.ask("GET", "/moved/a?b", host="x.test")
    assert (s.status, s.fields["location"], s.body) == (308, "https://x.test/new/a?b", b"")
    s = c.ask("GET", "/hello")
    assert (s.status, s.body, s.fields["content-length"]) == (200, b"hello\n", "6")
    assert c.ask("GET", "/nothing-to-say").status == 204
    assert c.ask("GET", "/none").status == 404
    assert c.ask("GET", "/api/x", ("x-secret", "1")).status == 200
    assert (backend.requests[-1].target, backend.requests[-1].get("host"), backend.requests[-1].get("x-added")) == ("/x", "internal.test", "GET")
    assert c.ask("GET", "/wait").status == 504
    c.close()
    p.stop()


def test_one_version_alone(tmp_path, backend):
    p = configured(tmp_path, backend, codec_type="HTTP2")
    c = Http2(p.port)
    assert c.ask("GET", "/hello").status == 200
    c.close()
    c = Client(p.port)
    c.send(GET.format("/hello"))
    assert c.reader.until(b"HTTP/1") is None
    c.close()
    p.stop()
    p = configured(tmp_path, backend, codec_type="HTTP1")
    c = Client(p.port)
    assert c.ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")[0] in (400, 505)
    c.close()
    c = Client(p.port)
    assert c.ask(GET.format("/hello"))[0] == 200
    c.close()
    p.stop()


# ---- towards endpoints, and over TLS ----

H2 = {"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
    "explicit_http_config": {"http2_protocol_options": {"max_concurrent_streams": 50}}}}}


@pytest.fixture
def two_hops(tmp_path, backend):
    """A proxy in front of a proxy: HTTP/2 over TLS between them, chosen by ALPN; HTTP/1 at both ends."""
    ca = certificates.Authority(tmp_path)
    site = ca.issue("site", "DNS:site.example")
    front, back = free_ports(2)
    (tmp_path / "back").mkdir()
    second = listeners.start(tmp_path / "back", back, [{"address": listeners.address(back), "filter_chains": [listeners.chain(
        listeners.http(cluster="backend", access_log=listeners.log(tmp_path / "back.log", "%PROTOCOL% %RESPONSE_CODE% %DOWNSTREAM_TLS_VERSION%")),
        transport_socket=listeners.tls(site, common={"alpn_protocols": ["h2", "http/1.1"]}))]}], [listeners.cluster(backend.port)])
    towards = listeners.upstream_tls({"validation_context": {"trusted_ca": {"filename": str(ca.cert)}}, "alpn_protocols": ["h2"]}, sni="site.example")
    first = listeners.start(tmp_path, front, [{"address": listeners.address(front), "filter_chains": [listeners.chain(listeners.http(cluster="back"))]}],
                            [listeners.cluster(back, "back", transport_socket=towards, **H2)])
    yield front, back, tmp_path / "back.log"
    backend.release.set()
    first.stop()
    second.stop()
    assert not backend.garbage


def test_many_streams_over_one_connection_to_an_endpoint(two_hops, backend):
    front, _, log = two_hops
    clients = [Client(front) for _ in range(20)]
    for c in clients:
        c.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until("all are at the backend", lambda: len(backend.requests) == 20)
    backend.release.set()
    assert [c.answer()[2] for c in clients] == [b"waited"] * 20
    for c in clients:
        c.send("GET /status/204 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert [c.answer()[0] for c in clients] == [204] * 20
    wait_until("the log's lines", lambda: log.exists() and len(log.read_text().splitlines()) == 40)
    assert set(log.read_text().splitlines()) == {"HTTP/2 200 TLSv1.3", "HTTP/2 204 TLSv1.3"}


def test_bodies_both_ways_over_two_hops(two_hops, backend):
    front = two_hops[0]
    body = "b" * 3_000_000
    c = Client(front)
    assert c.ask(f"POST /size/2000000 HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}")[2] == b"x" * 2_000_000
    assert backend.requests[0].body == body.encode()
    c.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n")
    assert c.answer()[0] == 200
    assert backend.requests[1].body == b"abc" and backend.requests[1].trailers == ["x-sum: 1"]
    status, fields, got = c.ask("GET /chunked HTTP/1.1\r\nHost: x\r\n\r\n")
    assert got == b"abcdef" and fields["trailer:x-sum"] == "6"


def test_an_endpoint_that_breaks_off_over_two_hops(two_hops, backend):
    front = two_hops[0]
    c = Client(front)
    assert c.ask("GET /cut HTTP/1.1\r\nHost: x\r\n\r\n")[2] is None, "a part is not made to look whole"
    c = Client(front)
    assert c.ask("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 503


def test_curl_chooses_by_alpn(two_hops):
    back = two_hops[1]
    for flag, version in (("--http2", "2"), ("--http1.1", "1.1")):
        got = run("curl", "-sk", flag, "-o", "/dev/null", "-w", "%{http_version} %{http_code}", f"https://127.0.0.1:{back}/")
        assert got == f"{version} 200"
