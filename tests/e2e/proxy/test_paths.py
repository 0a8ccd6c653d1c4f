"""normalize_path and merge_slashes: what is matched, logged and sent is the normal form (which one it is: tests/unit/codec/test_url_path.c)."""
import json
import subprocess

import pytest
from conftest import Client
from listeners import ROUTER, chain, cluster, http, log, start
from suite import BIN, free_ports

ROUTES = [{"match": {"prefix": "/private"}, "direct_response": {"status": 403}}, {"match": {"prefix": "/"}, "route": {"cluster": "backend"}}]


def proxy_with(tmp_path, backend, **more):
    port = free_ports(1)[0]
    manager = http(cluster="backend", access_log=log(tmp_path / "log", "%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS%"), **more)
    manager["typed_config"]["route_config"]["virtual_hosts"][0]["routes"] = ROUTES
    listener = {"name": "l", "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}, "filter_chains": [chain(manager)]}
    return start(tmp_path, port, [listener], [cluster(backend.port)])


def ask(client, path):
    return client.ask(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")[0]


@pytest.mark.parametrize("normal", [True, False])
def test_the_normal_form_counts_everywhere(tmp_path, backend, normal):
    proxy = proxy_with(tmp_path, backend, normalize_path=normal)
    client = Client(proxy.port)
    for path in ("/a/../private", "/%70rivate", "/a\\..\\private/x", "/./private"):
        assert ask(client, path) == (403 if normal else 200), path
    assert ask(client, "/a/%2e%2E/b%2Fc?x=/../y") == 200
    assert ask(client, "/a/%00") == (400 if normal else 200)
    client.close()
    proxy.stop()
    assert backend.requests[0 if normal else 4].target == ("/b%2Fc?x=/../y" if normal else "/a/%2e%2E/b%2Fc?x=/../y")
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[4] == ("/b%2Fc?x=/../y 200 via_upstream" if normal else "/a/%2e%2E/b%2Fc?x=/../y 200 via_upstream")
    if normal:
        assert lines[0] == "/private 403 direct_response" and lines[5] == "/a/%00 400 path_normalization_failed"


def test_slashes_are_merged(tmp_path, backend):
    proxy = proxy_with(tmp_path, backend, merge_slashes=True)
    client = Client(proxy.port)
    assert ask(client, "//private") == 403
    assert ask(client, "/a//b///%2e") == 200
    client.close()
    proxy.stop()
    assert "/a/b/%2e 200" in (tmp_path / "log").read_text()


GRPC_STATS = {"name": "envoy.filters.http.grpc_stats", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig"}}


def validate(tmp_path, manager):
    path = tmp_path / "bootstrap.json"
    listener = {"name": "l", "address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}}, "filter_chains": [chain(manager)]}
    path.write_text(json.dumps({"static_resources": {"listeners": [listener]}}))
    run = subprocess.run([BIN / "fairlead-proxy", "--validate", "-c", path], capture_output=True, text=True)
    return run.returncode, run.stderr


def test_a_filter_that_only_counts_is_passed_over_and_told(tmp_path):
    code, text = validate(tmp_path, http("x", http_filters=[GRPC_STATS, ROUTER]))
    assert code == 0 and "nothing is counted" in text
    code, text = validate(tmp_path, http("x", http_filters=[ROUTER, GRPC_STATS]))
    assert code == 64, "the router must be the last, whatever the others do"


def test_the_body_of_a_direct_response_has_the_limit_of_its_table(tmp_path):
    manager = http("four")
    table = manager["typed_config"]["route_config"]
    table["max_direct_response_body_size_bytes"] = 4
    assert validate(tmp_path, manager)[0] == 0
    table["max_direct_response_body_size_bytes"] = 3
    code, text = validate(tmp_path, manager)
    assert code == 64 and "4 bytes: at most 3" in text
