"""What a connection manager adds to requests and answers: who asked, through whom, which request it is."""
import re

import pytest
from conftest import Client
from listeners import address, chain, cluster, http, start
from suite import free_ports

UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.fixture
def edited(tmp_path, backend):
    started = []

    def begin(**options):
        port = free_ports(1)[0]
        started.append(start(tmp_path, port, [{"address": address(port), "filter_chains": [chain(http(cluster="backend", **options))]}], [cluster(backend.port)]))
        return Client(port)

    yield begin
    for proxy in started:
        proxy.stop()


def ask(client, backend, *fields):
    status, answer, _ = client.ask("GET / HTTP/1.1\r\nHost: x\r\n" + "".join(f"{f}\r\n" for f in fields) + "\r\n")
    assert status == 200
    return backend.requests[-1], answer


def test_by_default(edited, backend):
    c = edited()
    request, answer = ask(c, backend)
    assert UUID.fullmatch(request.get("x-request-id")) and request.get("x-forwarded-proto") == "http"
    assert request.get("x-forwarded-for") is None and answer["server"] == "fairlead" and "x-request-id" not in answer
    other, _ = ask(c, backend)
    assert other.get("x-request-id") != request.get("x-request-id")
    request, _ = ask(c, backend, "X-Request-Id: mine", "X-Forwarded-Proto: ftp", "X-Forwarded-For: 1.1.1.1")
    assert (request.get("x-request-id"), request.get("x-forwarded-proto"), request.get("x-forwarded-for")) == ("mine", "ftp", "1.1.1.1")


def test_the_peer_is_the_client(edited, backend):
    c = edited(use_remote_address=True, always_set_request_id_in_response=True, server_name="edge")
    request, answer = ask(c, backend, "X-Forwarded-Proto: https", "X-Request-Id: mine", "X-Forwarded-For: 8.8.8.8", "x-envoy-external-address: 9.9.9.9")
    assert request.get("x-forwarded-for") == "8.8.8.8,127.0.0.1" and request.get("x-forwarded-proto") == "http"
    assert request.get("x-envoy-external-address") == "127.0.0.1"
    assert UUID.fullmatch(request.get("x-request-id")) and answer["x-request-id"] == request.get("x-request-id") and answer["server"] == "edge"
    request, _ = ask(c, backend)
    assert request.get("x-forwarded-for") == "127.0.0.1"
    # What a client says twice must not hide who it is.
    request, _ = ask(c, backend, "X-Forwarded-For: 1.1.1.1", "X-Forwarded-Proto: a", "X-Forwarded-Proto: b", "X-Forwarded-For: 2.2.2.2", "X-Request-Id: 1", "X-Request-Id: 2")
    assert request.get("x-forwarded-for") == "1.1.1.1, 2.2.2.2,127.0.0.1" and request.get("x-forwarded-proto") == "http"
    assert UUID.fullmatch(request.get("x-request-id"))


def test_switched_off(edited, backend):
    c = edited(use_remote_address=True, skip_xff_append=True, generate_request_id=False, server_header_transformation="PASS_THROUGH")
    request, answer = ask(c, backend, *(f"X-{i}: 1" for i in range(40)))
    assert request.get("x-forwarded-for") is None and request.get("x-request-id") is None and "server" not in answer
    c = edited(use_remote_address=True, preserve_external_request_id=True)
    assert ask(c, backend, "X-Request-Id: mine")[0].get("x-request-id") == "mine"


def test_what_only_trusted_clients_may_ask_for_is_dropped(edited, backend):
    request, _ = ask(edited(), backend, "x-envoy-retry-on: 5xx", "x-envoy-max-retries: 9", "x-envoy-upstream-rq-timeout-ms: 1", "x-envoy-foo: stays")
    assert [request.get(f"x-envoy-{n}") for n in ("retry-on", "max-retries", "upstream-rq-timeout-ms", "foo")] == [None, None, None, "stays"]


def test_limits_of_heads_and_requests(edited, backend):
    c = edited(common_http_protocol_options={"max_headers_count": 10, "max_requests_per_connection": 2})
    assert c.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200
    assert c.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n")[1]["connection"] == "close"
    c = edited(common_http_protocol_options={"max_headers_count": 10})
    assert c.ask("GET / HTTP/1.1\r\nHost: x\r\n" + "".join(f"X-{i}: 1\r\n" for i in range(20)) + "\r\n")[0] == 431
    c = edited(max_request_headers_kb=1)
    assert c.ask("GET / HTTP/1.1\r\nHost: x\r\nX: " + "x" * 2000 + "\r\n\r\n")[0] == 431


def test_a_stream_that_says_nothing(edited, backend):
    c = edited(stream_idle_timeout="0.3s")
    assert c.ask("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 504
    backend.release.set()
