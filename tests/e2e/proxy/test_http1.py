"""HTTP/1.1 through the proxy, byte by byte: what goes on, what stays behind, what is answered when something breaks. After each test the backend must
have seen nothing but whole requests."""
import os
import re
import signal
import socket
import threading
import time

import pytest
from conftest import Client, Proxy
from listeners import chain, cluster, http, start
from suite import SLOW, free_ports, wait_until

GET = "GET {} HTTP/1.1\r\nHost: example.test\r\n\r\n"
FAILED = "upstream connect error or disconnect/reset before headers. reset reason: "


def test_a_request_and_its_answer(client, backend):
    status, fields, body = client.ask("GET /a/b?c=d HTTP/1.1\r\nHost: Example.test:81\r\nX-One: 1\r\nX-One: 2\r\nX-Empty: \r\n\r\n")
    assert (status, body, fields["content-type"]) == (200, b"ok", "text/plain")
    request = backend.requests[0]
    assert (request.method, request.target, request.get("host")) == ("GET", "/a/b?c=d", "Example.test:81")
    assert [f for f in request.fields if f[0] == "X-One"] == [("X-One", "1"), ("X-One", "2")]
    assert request.get("x-empty") == ""


def test_connections_are_used_again(client, backend):
    for i in range(50):
        assert client.ask(GET.format(f"/{i}"))[0] == 200
    assert [r.target for r in backend.requests] == [f"/{i}" for i in range(50)]
    assert backend.connections == 1


def test_pipelined_requests_are_answered_in_order(client, backend):
    client.send("".join(GET.format(f"/size/{i}") for i in range(40)))
    assert [len(client.answer()[2]) for _ in range(40)] == list(range(40))
    assert len(backend.requests) == 40


def test_fields_of_one_hop_stay_behind(client, backend):
    client.ask("GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nProxy-Connection: close\r\nTE: trailers, gzip\r\n"
               "Upgrade: h2c\r\nX-Stays: 1\r\nProxy-Authorization: y\r\n\r\n")
    request = backend.requests[0]
    assert sorted(n.lower() for n, _ in request.fields) == ["host", "proxy-authorization", "te", "x-forwarded-proto", "x-request-id", "x-stays"]
    assert request.get("te") == "trailers"
    status, fields, _ = client.ask(GET.format("/hop"))
    assert (status, sorted(fields)) == (200, ["content-length", "date", "server", "x-stays"])


def test_connection_does_not_take_out_what_frames_a_message(client, backend):
    client.ask("POST / HTTP/1.1\r\nHost: x\r\nConnection: content-length, host, x-a\r\nX-A: 1\r\nContent-Length: 3\r\n\r\nabc")
    assert (backend.requests[0].body, backend.requests[0].get("host"), backend.requests[0].get("x-a")) == (b"abc", "x", None)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_bodies(client, backend, framing):
    body = os.urandom(300_000)
    head = "POST /p HTTP/1.1\r\nHost: x\r\n"
    if framing == "length":
        client.send(head + f"Content-Length: {len(body)}\r\n\r\n")
        client.send(body)
    else:
        client.send(head + "Transfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n")
        for at in range(0, len(body), 70_001):
            piece = body[at:at + 70_001]
            client.send(b"%x\r\n" % len(piece) + piece + b"\r\n")
        client.send("0\r\nX-Sum: yes\r\n\r\n")
    assert client.answer()[0] == 200
    assert backend.requests[0].body == body
    assert backend.requests[0].trailers == ([] if framing == "length" else ["X-Sum: yes"])


def test_a_post_without_a_body_says_so(client, backend):
    client.ask("POST / HTTP/1.1\r\nHost: x\r\n\r\n")
    client.ask("DELETE / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert [r.get("content-length") for r in backend.requests] == ["0", None]


def test_answers(client):
    status, fields, body = client.ask(GET.format("/chunked"))
    assert (status, body, fields["trailer:x-sum"]) == (200, b"abcdef", "6")
    assert client.ask(GET.format("/size/100000"))[2] == b"x" * 100000
    assert client.ask(GET.format("/empty"))[0] == 204
    assert client.ask(GET.format("/interim"))[0] == 200  # 103 goes no further
    status, fields, _ = client.ask("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", head_only=True)
    assert (status, fields["content-length"]) == (200, "1000")
    assert client.ask(GET.format("/status/418"))[0] == 418
    status, fields, body = client.ask(GET.format("/until-close"))
    assert (body, fields["transfer-encoding"]) == (b"all of it", "chunked")
    assert client.ask(GET.format("/"))[0] == 200  # the connection is still good


def test_http_1_0(proxy):
    c = Client(proxy.port)
    status, fields, body = c.ask("GET /chunked HTTP/1.0\r\n\r\n")
    assert (status, body, fields["connection"]) == (200, b"abcdef", "close")
    c.close()
    c = Client(proxy.port)
    assert c.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")[1]["connection"] == "keep-alive"
    assert c.ask("GET / HTTP/1.0\r\n\r\n")[1]["connection"] == "close"
    assert c.ended()


def test_absolute_targets(client, backend):
    client.ask("GET http://other.test/x?y HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (backend.requests[0].target, backend.requests[0].get("host")) == ("/x?y", "other.test")


def test_expect_continue(client, backend):
    client.send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    assert client.answer()[0] == 100
    client.send("abc")
    assert client.answer()[0] == 200
    assert (backend.requests[0].body, backend.requests[0].get("expect")) == (b"abc", None)


@pytest.mark.parametrize("path,status,body", [
    ("/nothing", 503, FAILED + "connection termination"),
    ("/garbage", 502, FAILED + "protocol error"),
    ("/two-lengths", 502, FAILED + "protocol error"),
])
def test_an_upstream_that_does_not_answer(client, path, status, body):
    assert client.ask(GET.format(path))[::2] == (status, body.encode())
    assert client.ask(GET.format("/"))[0] == 200  # the client's connection goes on


@pytest.mark.parametrize("path", ["/cut", "/cut-chunked"])
def test_an_answer_that_is_cut_is_never_made_whole(client, path):
    status, _, body = client.ask(GET.format(path))
    assert (status, body) == (200, None)


def test_what_follows_an_answer_is_nobodys(proxy, client, backend):
    assert client.ask(GET.format("/extra"))[2] == b"ok"
    others = [Client(proxy.port) for _ in range(5)]
    assert {c.ask(GET.format("/"))[2] for c in [client, *others]} == {b"ok"}
    assert backend.connections > 1  # that connection is not used again


def test_nobody_listens(tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))  # and does not listen
        p = Proxy(tmp_path, "--route", f"/=http://127.0.0.1:{s.getsockname()[1]}")
        c = Client(p.port)
        for _ in range(3):
            assert c.ask(GET.format("/"))[::2] == (503, (FAILED + "remote connection failure").encode())
        c.close()
        p.stop()


def test_routes(tmp_path, backend):
    p = Proxy(tmp_path, "--route", f"/a=http://127.0.0.1:{backend.port}", "--route", f"/a/b/=http://127.0.0.1:{backend.port}")
    c = Client(p.port)
    assert [c.ask(GET.format(path))[0] for path in ("/a", "/a/b", "/a/b/c", "/a?x", "/ab", "/", "/b")] == [200, 200, 200, 200, 404, 404, 404]
    c.close()
    p.stop()


SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("head,tail", [
    ("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n"),
    ("Content-Length: 4\r\nContent-Length: 4\r\n", "abcd"),
    ("Content-Length: 4, 4\r\n", "abcd"),
    ("Content-Length: +4\r\n", "abcd"),
    ("Content-Length: 4 \r\nContent-Length : 0\r\n", "abcd"),
    ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n"),
    (" Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("X: y\r\n Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("X: y\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("X: y\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("X: \x00\r\n", ""),
    (": x\r\n", ""),
    ("Host: y\r\n", ""),
])
def test_ambiguous_framing_is_refused(client, backend, head, tail):
    status, fields, _ = client.ask("POST / HTTP/1.1\r\nHost: x\r\n" + head + "\r\n" + tail + SMUGGLED)
    assert (status, fields["connection"]) == (400, "close")
    assert client.answer() is None
    assert backend.requests == [] and backend.garbage == []


@pytest.mark.parametrize("chunk", ["0x3\r\nabc\r\n", "+3\r\nabc\r\n", " 3\r\nabc\r\n", "3\nabc\r\n", "3\r\nabcXX", "3\r\nabc\n", "11111111111111111\r\n", "3;a\nb\r\nabc\r\n",
                                   "0\r\nContent-Length: 3\r\n\r\n", "0\r\nHost: y\r\n\r\n"])
def test_malformed_chunks_are_refused(client, backend, chunk):
    client.send("POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + SMUGGLED)
    assert client.answer()[0] == 400
    assert client.answer() is None
    assert backend.requests == [] and backend.garbage == []  # the half one ended in its middle


def test_million_small_chunks(proxy, client, backend):
    before = proxy.rss_kib()
    client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(100):
        client.send("1\r\nx\r\n" * 2000)
    client.send("0\r\n\r\n")
    assert client.answer()[0] == 200
    assert len(backend.requests[0].body) == 200_000
    assert SLOW > 1 or proxy.rss_kib() - before < 6000


def test_a_slow_reader_holds_the_backend_back(proxy, backend):
    before = proxy.rss_kib()
    c = Client(proxy.port)
    c.send(GET.format("/size/200000000"))
    time.sleep(1)
    assert SLOW > 1 or proxy.rss_kib() - before < 4000  # KiB, of 200 MB that the backend would like to send
    c.close()


def test_a_slow_backend_holds_the_client_back(proxy, tmp_path):
    stuck = socket.create_server(("127.0.0.1", 0))
    p = Proxy(tmp_path, "--route", f"/=http://127.0.0.1:{stuck.getsockname()[1]}", "--drain", "0s")
    before, c = p.rss_kib(), Client(p.port)
    c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
    c.sock.settimeout(1)
    sent = 0
    with pytest.raises(TimeoutError):
        while True:
            sent += c.sock.send(b"x" * 65536)
    assert sent < 20_000_000 and (SLOW > 1 or p.rss_kib() - before < 4000)
    c.close()
    stuck.close()
    p.stop()


def test_a_client_that_leaves_is_not_worked_for(client, backend):
    client.send(GET.format("/wait"))
    wait_until("the backend is asked", lambda: backend.requests)
    client.close()
    sock = backend.sockets[-1]
    sock.settimeout(10 * SLOW)
    assert wait_until("its connection ends", lambda: gone(sock))


def gone(sock):
    try:
        return sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_an_upload_that_is_broken_off_is_not_made_whole(client, backend):
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\npart")
    wait_until("the backend is connected", lambda: backend.connections)
    client.close()
    wait_until("the backend sees it cut", lambda: backend.cut)
    assert not backend.requests


def test_an_answer_before_the_request_is_whole(client, backend):
    client.send("POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n")
    stop = threading.Event()

    def upload():
        try:
            while not stop.is_set():
                client.sock.send(b"x" * 65536)
        except OSError:
            pass
    thread = threading.Thread(target=upload)
    thread.start()
    try:
        assert client.answer()[::2] == (413, b"large")
    finally:
        stop.set()
        thread.join()


def test_sigterm_lets_requests_end(proxy, client, backend):
    idle = Client(proxy.port)
    assert idle.ask(GET.format("/"))[0] == 200
    client.send(GET.format("/wait"))
    wait_until("the backend is asked", lambda: len(backend.requests) == 2)
    proxy.process.send_signal(signal.SIGTERM)
    assert idle.ended()
    wait_until("nobody listens", lambda: not proxy.listens())
    backend.release.set()
    status, fields, body = client.answer()
    assert (status, body, fields["connection"]) == (200, b"waited", "close")
    assert client.ended()
    assert proxy.process.wait(10 * SLOW) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_many_clients(tmp_path, backend, workers):
    p = Proxy(tmp_path, "--route", f"/=http://127.0.0.1:{backend.port}", "--concurrency", workers)
    results = []

    def one(n):
        c = Client(p.port)
        results.extend(len(c.ask(GET.format(f"/size/{n * 100 + i}"))[2]) - n * 100 - i for i in range(30))
        c.close()
    threads = [threading.Thread(target=one, args=(n,)) for n in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == [0] * 600 and len(backend.requests) == 600
    p.stop()


@pytest.mark.parametrize("flags,words", [
    ([], "without -c, --route or --sidecar"),
    (["--route", "/"], "expected PATH=URL"),
    (["--route", "a=http://127.0.0.1:1"], "expected PATH=URL"),
    (["--route", "/=https://127.0.0.1:1"], "must begin with http://"),
    (["--route", "/=http://127.0.0.1"], "expected http://ADDRESS:PORT"),
    (["--route", "/=http://127.0.0.1:1/x"], "must not have a path"),
    (["--route", "/=http://127.0.0.1:1", "--listen", "nowhere"], "--listen nowhere: expected ADDRESS:PORT"),
])
def test_flags_that_are_wrong(flags, words):
    from suite import BIN, run
    done = run(BIN / "fairlead-proxy", *flags, check=False)
    assert done.returncode == 64 and words in done.stderr


BOOTSTRAP = """
static_resources:
  listeners:
  - name: l
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: l
          http_filters: [{{name: router, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}]
          route_config:
            response_headers_to_add: [{{header: {{key: x-table, value: "t %REQ(x-q)%"}}}}]
            virtual_hosts:
            - name: v
              domains: ["*"]
              routes:
{routes}
  clusters:
  - name: b
    load_assignment: {{cluster_name: b, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {backend}}}}}}}}}]}}]}}
"""
ROUTES = """
              - {match: {prefix: /moved}, redirect: {https_redirect: true, prefix_rewrite: /new, response_code: PERMANENT_REDIRECT}}
              - {match: {path: /hello}, direct_response: {status: 200, body: {inline_string: "hello\\n"}}}
              - {match: {path: /nothing-to-say}, direct_response: {status: 204, body: {inline_string: "x"}}}
              - {match: {path: /wait}, route: {cluster: b, timeout: 0.2s}}
              - {match: {prefix: /by-header}, route: {cluster_header: x-cluster}}
              - match: {prefix: /api/}
                route: {cluster: b, prefix_rewrite: /, host_rewrite_literal: internal.test}
                request_headers_to_add: [{header: {key: x-added, value: "%REQ(:METHOD)%"}}]
                request_headers_to_remove: [x-secret]
"""


def configured(tmp_path, backend, routes=ROUTES):
    from suite import free_ports
    port = free_ports(1)[0]
    file = tmp_path / "proxy.yaml"
    file.write_text(BOOTSTRAP.format(port=port, backend=backend.port, routes=routes))
    return Proxy(tmp_path, "-c", file, port=port)


def test_a_configuration_file(tmp_path, backend):
    p = configured(tmp_path, backend)
    c = Client(p.port)
    status, fields, body = c.ask("GET /moved/a?b HTTP/1.1\r\nHost: x.test\r\nX-Q: q\r\n\r\n")
    assert (status, fields["location"], fields["x-table"], body) == (308, "https://x.test/new/a?b", "t q", b"")
    assert c.ask(GET.format("/hello"))[::2] == (200, b"hello\n")
    assert c.ask("HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n", head_only=True)[0] == 200
    assert c.ask(GET.format("/nothing-to-say"))[0] == 204
    assert c.ask("GET /api/a?b HTTP/1.1\r\nHost: x\r\nX-Secret: s\r\n\r\n")[0] == 200
    r = backend.requests[0]
    assert (r.target, r.get("host"), r.get("x-added"), r.get("x-secret")) == ("/a?b", "internal.test", "GET", None)
    assert [c.ask(f"GET /by-header HTTP/1.1\r\nHost: x\r\n{h}\r\n")[0] for h in ("X-Cluster: b\r\n", "X-Cluster: nope\r\n", "")] == [200, 503, 503]
    assert c.ask(GET.format("/other"))[0] == 404
    c.close()
    p.stop()


def test_an_answer_has_its_time(tmp_path, backend):
    p = configured(tmp_path, backend)
    c = Client(p.port)
    assert c.ask(GET.format("/wait"))[::2] == (504, b"upstream request timeout")
    assert c.ask(GET.format("/hello"))[0] == 200
    wait_until("the endpoint's connection is given up", lambda: gone(backend.sockets[0]))
    backend.release.set()
    c.close()
    p.stop()


@pytest.mark.parametrize("routes,words", [
    ('              - {match: {prefix: /}, route: {cluster: nope}}', "unknown cluster 'nope'"),
    ('              - {match: {prefix: /}, route: {cluster: b, hedge_policy: {hedge_on_per_try_timeout: true}}}', "routes[0].route.hedge_policy"),
    ('              - {match: {safe_regex: {regex: "(?=a)"}}, route: {cluster: b}}', "RE2 has no looking ahead"),
    ('              - {match: {prefix: /}, route: {cluster: b, nosuch: 1}}', "nosuch"),
])
def test_what_is_not_done_is_refused_by_its_path(tmp_path, backend, routes, words):
    from suite import BIN, run
    file = tmp_path / "bad.yaml"
    file.write_text(BOOTSTRAP.format(port=1, backend=backend.port, routes=routes))
    done = run(BIN / "fairlead-proxy", "--validate", "-c", file, check=False)
    assert done.returncode == 64 and words in done.stderr and "bad.yaml" in done.stderr


UPGRADE = "GET {} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {}\r\nSec-WebSocket-Key: k\r\n\r\n"


def test_websocket(client, backend):
    client.send(UPGRADE.format("/ws", "websocket") + "early")
    status, fields, _ = client.answer()
    assert (status, fields["upgrade"], fields["connection"].lower(), fields["sec-websocket-accept"]) == (101, "websocket", "upgrade", "a")
    assert client.reader.exactly(5) == b"EARLY"
    for i in range(50):
        client.send("x" * i * 100)
        assert client.reader.exactly(i * 100) == b"X" * i * 100
    client.send("bye")
    assert client.reader.exactly(3) == b"BYE"
    request = backend.requests[0]
    assert (request.get("upgrade"), request.get("connection").lower()) == ("websocket", "upgrade")
    client.sock.shutdown(socket.SHUT_WR)
    assert client.reader.exactly(4) == b"done" and client.ended()


def test_a_websocket_whose_client_leaves(client, backend):
    assert client.ask(UPGRADE.format("/ws", "websocket"))[0] == 101
    client.close()
    wait_until("the backend sees its end", lambda: backend.cut)


def test_an_upgrade_that_is_declined(client, backend):
    status, fields, body = client.ask(UPGRADE.format("/size/3", "websocket"))
    assert (status, body) == (200, b"xxx")
    assert client.ask(GET.format("/"))[0] == 200


def test_other_upgrades(client, backend):
    assert client.ask(UPGRADE.format("/", "h2c"))[0] == 200  # only a hint
    assert backend.requests[0].get("upgrade") is None
    status, fields, _ = client.ask(UPGRADE.format("/", "other"))
    assert (status, len(backend.requests)) == (403, 1)


def test_a_switch_that_nobody_asked_for(client, backend):
    assert client.ask(GET.format("/ws"))[::2] == (502, (FAILED + "protocol error").encode())


# ---- access log ----

@pytest.fixture
def logged(tmp_path, backend):
    p = Proxy(tmp_path, "--route", f"/=http://127.0.0.1:{backend.port}", "--access-log", tmp_path / "access.log", "--drain", "5s")
    p.lines = lambda: (tmp_path / "access.log").read_text().splitlines()
    yield p
    backend.release.set()
    p.stop()


def test_the_access_log(logged, backend):
    c = Client(logged.port)
    c.ask("GET /size/7?q HTTP/1.1\r\nHost: h.test\r\nUser-Agent: ua\r\nX-Forwarded-For: 1.2.3.4\r\nX-Request-Id: id\r\n\r\n")
    c.ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
    assert c.ask(GET.format("/nothing"))[0] == 503
    assert c.ask(GET.format("/cut"))[2] is None
    c.close()
    c = Client(logged.port)
    assert c.ask("BAD\r\n\r\n")[0] == 400
    c.close()
    lines = wait_until("five lines", lambda: len(logged.lines()) == 5 and logged.lines())
    host = f"127.0.0.1:{backend.port}"
    pattern = [r'"GET /size/7\?q HTTP/1.1" 200 - 0 7 \d+ - "1.2.3.4" "ua" "id" "h.test" "%s"' % host,
               r'"POST / HTTP/1.1" 200 - 3 2 \d+ - "-" "-" "{u}" "x" "%s"' % host,
               r'"GET /nothing HTTP/1.1" 503 UC 0 \d+ \d+ - "-" "-" "{u}" "example.test" "%s"' % host,
               r'"GET /cut HTTP/1.1" 200 UPE 0 4 \d+ - "-" "-" "{u}" "example.test" "%s"' % host,
               r'"- - -" 400 DPE 0 0 \d+ - "-" "-" "-" "-" "-"']
    pattern = [p.replace("{u}", "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}") for p in pattern]
    for line, want in zip(lines, pattern):
        assert re.fullmatch(r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] " + want, line), line


def test_a_client_that_leaves_is_logged(logged, backend):
    c = Client(logged.port)
    c.send(GET.format("/wait"))
    wait_until("the backend is asked", lambda: backend.requests)
    c.close()
    assert " 0 DC 0 0 " in wait_until("its line", lambda: logged.lines())[0]


def test_logs_are_rotated(logged, tmp_path):
    c = Client(logged.port)
    c.ask(GET.format("/before"))
    wait_until("its line", lambda: logged.lines())
    (tmp_path / "access.log").rename(tmp_path / "old.log")
    logged.process.send_signal(signal.SIGUSR1)
    wait_until("the new file", (tmp_path / "access.log").exists)
    c.ask(GET.format("/after"))
    assert "/after" in wait_until("its line", lambda: logged.lines())[0]
    assert "/after" not in (tmp_path / "old.log").read_text()


def test_the_backend_sees_what_the_log_tells(logged, backend):
    """The oracle against smuggling: as many requests behind the proxy as lines that name the backend."""
    tails = ["", "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n", "0\r\n\r\n", "\r\n\r\n", "x" * 50]
    heads = ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 5\r\nContent-Length: 6\r\n", "",
             "Connection: content-length\r\nContent-Length: 5\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "Expect: 100-continue\r\nContent-Length: 5\r\n"]
    for head in heads:
        for tail in tails:
            c = Client(logged.port)
            c.send("POST /p HTTP/1.1\r\nHost: x\r\n" + head + "\r\n" + tail)
            c.sock.settimeout(0.1 * SLOW)
            try:
                while c.answer():
                    pass
            except TimeoutError:
                pass  # it wants more of the body
            c.close()
    logged.stop()
    told = [line for line in logged.lines() if f"127.0.0.1:{backend.port}" in line]
    assert len(backend.requests) + len(backend.cut) <= len(told) and not backend.garbage
    assert sum(" 200 " in line for line in told) == len(backend.requests) > 5


# ---- endpoints that close, limits ----

def test_a_connection_that_was_being_closed(client, backend):
    """A request that met the end of an idle connection goes out again, once and on a new one; one that may have been acted on does not."""
    assert client.ask(GET.format("/"))[0] == 200
    assert client.ask(GET.format("/closed-if-used"))[::2] == (200, b"ok")
    assert (backend.connections, len(backend.requests)) == (2, 2)
    assert client.ask("POST /closed-if-used HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")[0] == 503


@pytest.mark.parametrize("host", ["a@b", "a/b", "a b", "a\\b", "a<b", 'a"b'])
def test_hosts_that_are_none(client, backend, host):
    assert client.ask(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")[0] == 400
    assert not backend.requests


def test_a_websocket_has_no_end_but_its_own(tmp_path, backend):
    """The route's time-out is over when it has begun."""
    port = free_ports(1)[0]
    manager = http(cluster="backend", upgrade_configs=[{"upgrade_type": "websocket"}])
    manager["typed_config"]["route_config"]["virtual_hosts"][0]["routes"][0]["route"]["timeout"] = "0.2s"
    listener = {"name": "l", "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}, "filter_chains": [chain(manager)]}
    proxy = start(tmp_path, port, [listener], [cluster(backend.port)])
    client = Client(port)
    assert client.ask(UPGRADE.format("/ws", "websocket"))[0] == 101
    begin = time.monotonic()
    while time.monotonic() < begin + 0.5 * SLOW:
        client.send("ping")
        assert client.reader.exactly(4) == b"PING"
    client.close()
    proxy.stop()
