"""Clusters of type ORIGINAL_DST: to where the connection was going, or where a header says."""
import threading

import pytest
from backend import Backend
from conftest import Client
from listeners import address, chain, http, listener_filter, start, tcp
from suite import free_ports, wait_until

GET = "GET {} HTTP/1.1\r\nHost: a.test\r\n{}\r\n"


@pytest.fixture
def two():
    made = [Backend(), Backend()]
    yield made
    for b in made:
        b.close()
        assert not b.garbage


@pytest.fixture
def passed(tmp_path):
    started = []

    def begin(filter=None, lb=None, proxy_protocol=False, **more):
        port = free_ports(1)[0]
        to = {"name": "through", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", **({"original_dst_lb_config": lb} if lb else {}), **more}
        listener = {"address": address(port), "filter_chains": [chain(filter or http(cluster="through"))]}
        if proxy_protocol:
            listener["listener_filters"] = [listener_filter("proxy_protocol")]
        started.append(start(tmp_path, port, [listener], [to]))
        return port

    yield begin
    for proxy in started:
        proxy.stop()


def ask(client, path="/", *fields):
    return client.ask(GET.format(path, "".join(f + "\r\n" for f in fields)))


def test_where_a_header_says(passed, two):
    client = Client(passed(lb={"use_http_header": True}))
    for b in (*two, two[0]):
        n = len(b.requests)
        assert ask(client, "/", f"x-envoy-original-dst-host: 127.0.0.1:{b.port}")[0] == 200 and len(b.requests) == n + 1
    for bad in ("127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", "name.test:80", "::1:80", "[127.0.0.1]:80", ""):
        status, _, body = ask(client, "/", f"x-envoy-original-dst-host: {bad}")
        assert (status, body) == (503, b"no healthy upstream"), bad
    assert ask(client)[0] == 503  # not redirected: never to ourselves
    client = Client(passed(lb={"use_http_header": True, "http_header_name": "X-To", "upstream_port_override": two[1].port}))
    assert ask(client, "/", "x-to: 127.0.0.1:1")[0] == 200
    assert ask(client, "/", f"x-envoy-original-dst-host: 127.0.0.1:{two[0].port}")[0] == 503
    client = Client(passed())
    assert ask(client, "/", f"x-envoy-original-dst-host: 127.0.0.1:{two[0].port}")[0] == 503  # nobody looks at it


def via(port, to):
    client = Client(port)
    client.send(f"PROXY TCP4 10.0.0.1 127.0.0.1 1000 {to.port}\r\n")
    return client


def test_where_the_connection_was_going(passed, two):
    port = passed(proxy_protocol=True)
    for b in two:
        client = via(port, b)
        assert ask(client)[0] == 200 and ask(client)[0] == 200 and len(b.requests) == 2
    port = passed(tcp("through"), proxy_protocol=True)
    for b in two:
        assert ask(via(port, b))[0] == 200 and len(b.requests) == 3


def test_what_nobody_asks_for_goes(passed, two):
    client = Client(passed(lb={"use_http_header": True}, cleanup_interval="0.2s"))
    to = f"x-envoy-original-dst-host: 127.0.0.1:{two[0].port}"
    assert ask(client, "/", to)[0] == 200
    first = two[0].sockets[0]

    def gone():
        try:
            first.getpeername()
        except OSError:
            return True  # the backend has seen the end, and closed
    wait_until("its connection is closed", gone)
    # One that is in use stays, and its request ends well.
    client.send(GET.format("/wait", to + "\r\n"))
    wait_until("it waits", lambda: len(two[0].requests) == 2)
    threading.Timer(0.7, two[0].release.set).start()
    assert client.answer()[::2] == (200, b"waited")
    assert ask(client, "/", to)[0] == 200
