"""fairlead proxy-config on saved dumps: Envoy's form, also of proxies that are not ours, and what is no dump."""
import json
import subprocess

import pytest

from manifests import fairlead

CLUSTER = "outbound|80|v1|web.default.svc.cluster.local"


def address(ip, port):
    return {"socket_address": {"address": ip, "port_value": port}}


def hcm(**route):
    return {"filters": [{"typed_config": route}]}


CONFIGS = [
    {"bootstrap": {"node": {"id": "x"}}},
    {"static_clusters": [{"cluster": {"name": "plain"}}],
     "dynamic_active_clusters": [{"version_info": "1", "cluster": {"name": CLUSTER, "type": "EDS"}}]},
    {"dynamic_endpoint_configs": [{"endpoint_config": {"cluster_name": CLUSTER, "endpoints": [{"lb_endpoints": [
        {"endpoint": {"address": address("10.0.0.1", 8080)}, "health_status": "HEALTHY"}, {"endpoint": {"address": address("fd00::1", 8080)}}]}]}}]},
    {"dynamic_listeners": [{"name": "l", "active_state": {"listener": {"name": "l", "address": address("0.0.0.0", 443), "filter_chains": [
        {"filter_chain_match": {"server_names": ["a.example", "b.example"], "transport_protocol": "tls"}, **hcm(rds={"route_config_name": "https"})}, hcm(cluster=CLUSTER)],
        "default_filter_chain": hcm(route_config={"name": "inline"})}}}]},
    {"dynamic_route_configs": [{"route_config": {"name": "http", "virtual_hosts": [{"name": "v", "domains": ["a.example", "a.example:*"], "routes": [
        {"name": "r", "match": {"prefix": "/a", "headers": [{}]}}, {"match": {"safe_regex": {"regex": "/b.*"}}}, {"match": {"path": "/c"}}]}]}}]},
    {"dynamic_active_secrets": [{"name": "s", "secret": {"name": "s", "tls_certificate": {"certificate_chain": {}, "private_key": {"inline_string": "VERY SECRET"}}}},
                                {"secret": {"name": "t", "session_ticket_keys": {"keys": [{"inline_string": "VERY SECRET"}]}}},
                                {"secret": {"name": "p", "tls_certificate": {"private_key": "VERY SECRET", "password": {"inline_string": "VERY SECRET"}}}},
                                {"secret": {"name": "g", "generic_secret": {"secret": {"inline_string": "VERY SECRET"}}}}]},
]


@pytest.fixture
def dump(tmp_path):
    file = tmp_path / "dump.json"
    file.write_text(json.dumps({"configs": CONFIGS}))
    return file


def rows(dump, what, *flags):
    done = fairlead("proxy-config", what, "-f", dump, *flags)
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()][1:]


def test_tables(dump):
    assert rows(dump, "clusters") == [["plain", "-", "-", "-", "STATIC", "-"], ["web.default.svc.cluster.local", "80", "v1", "outbound", "EDS", "-"]]
    assert rows(dump, "endpoints") == [["10.0.0.1:8080", "HEALTHY", "OK", CLUSTER], ["[fd00::1]:8080", "UNKNOWN", "OK", CLUSTER]]
    assert rows(dump, "listeners") == [["0.0.0.0", "443", "SNI:", "a.example,b.example;", "Trans:", "tls", "Route:", "https"], ["0.0.0.0", "443", "ALL", "Cluster:", CLUSTER],
                                       ["0.0.0.0", "443", "ALL", "Inline", "Route:", "inline"]]
    assert rows(dump, "routes") == [["http", "v", "a.example,", "a.example:*", "/a*", "and", "1", "headers", "r"], ["http", "v", "a.example,", "a.example:*", "regex", "/b.*", "-"],
                                    ["http", "v", "a.example,", "a.example:*", "/c", "-"]]
    assert json.loads(fairlead("proxy-config", "bootstrap", "-f", dump).stdout) == {"node": {"id": "x"}}


@pytest.mark.parametrize("what, flags, n", [
    ("clusters", ("--fqdn", "web.default.svc.cluster.local"), 1), ("clusters", ("--port", "80"), 1), ("clusters", ("--subset", "v2"), 0),
    ("clusters", ("--direction", "outbound"), 1), ("clusters", ("--type", "static"), 1), ("listeners", ("--port", "80"), 0), ("listeners", ("--address", "0.0.0.0"), 1),
    ("routes", ("--name", "https"), 0), ("routes", ("--name", "http"), 1), ("endpoints", ("--status", "healthy"), 1), ("endpoints", ("--cluster", CLUSTER, "--port", "8080"), 2),
    ("endpoints", ("--address", "fd00::1"), 1), ("secrets", ("--name", "s"), 1)])
def test_filters(dump, what, flags, n):
    assert len(json.loads(fairlead("proxy-config", what, "-f", dump, "-o", "json", *flags).stdout)) == n


@pytest.mark.parametrize("form", ["table", "json", "yaml"])
def test_keys_are_never_shown(dump, form):
    done = fairlead("proxy-config", "secrets", "-f", dump, "-o", form)
    assert done.returncode == 0 and "SECRET" not in done.stdout.replace("RESOURCE NAME", "")


@pytest.mark.parametrize("text", ["[]", "{}", '{"configs": 1}', '{"configs": [1, {"dynamic_listeners": [{}, 1, {"active_state": 1}], "static_clusters": {}}]}',
                                  '{"configs": [{"dynamic_route_configs": [{"route_config": {"virtual_hosts": [{"routes": [1], "domains": [1]}]}}]}]}',
                                  '{"cluster_statuses": [{"host_statuses": [1, {"address": {"pipe": {"path": "/x"}}}]}], "configs": [{"static_secrets": [{"secret": {}}, {}]}]}'])
def test_what_is_no_dump_is_left_out(tmp_path, text):
    file = tmp_path / "x"
    file.write_text(text)
    for what in ("clusters", "endpoints", "listeners", "routes", "secrets"):
        for form in ("table", "json"):
            done = fairlead("proxy-config", what, "-f", file, "-o", form)
            assert done.returncode == 0 and done.stderr == "", (what, done.stderr)
    assert fairlead("proxy-config", "bootstrap", "-f", file).returncode == 1


def test_what_cannot_be_read(tmp_path):
    (tmp_path / "x").write_text("{")
    assert fairlead("proxy-config", "routes", "-f", tmp_path / "x").returncode == 1
    assert "no such file" in fairlead("proxy-config", "routes", "-f", tmp_path / "none").stderr
    assert fairlead("proxy-config", "routes", "pod", "-f", tmp_path / "x").returncode == 64


def test_the_request_command_says_what_is_missing():
    from suite import BIN
    proxy = str(BIN / "fairlead-proxy")
    for argv, code, words in (((), 64, "give a method and a path"), (("GET", "x"), 64, "give a method and a path"), (("GET", "/", "--admin-port", "1"), 69, "Connection refused")):
        done = subprocess.run([proxy, "request", *argv], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == code and words in done.stderr
