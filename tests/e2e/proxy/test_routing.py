"""What routes do beside choosing a cluster: affinity."""
import collections
import json

import pytest
from backend import Backend
from conftest import Client
from listeners import HCM, ROUTER, address, chain, cluster, start
from suite import free_ports

GET = "GET {} HTTP/1.1\r\nHost: example.test\r\n{}\r\n"


@pytest.fixture
def backends():
    made = [Backend() for _ in range(3)]
    yield made
    for b in made:
        b.close()
        assert not b.garbage, b.garbage


@pytest.fixture
def routed(tmp_path, backends):
    """A proxy with one route, `/`, to cluster c of three backends: its client."""
    started = []

    def begin(action=None, clusters=None, host=None, table=None, flags=(), routes=None, **hcm):
        port = free_ports(1)[0]
        action = {"cluster": "c", **(action or {})} if not {"weighted_clusters", "cluster_header"} & set(action or {}) else action
        routes = routes or [{"match": {"prefix": "/"}, "route": action}]
        http = {"name": "http", "typed_config": {"@type": HCM, "stat_prefix": "http", "http_filters": [ROUTER], "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes, **(host or {})}], **(table or {})}, **hcm}}
        clusters = clusters or [cluster([b.port for b in backends], "c")]
        started.append(start(tmp_path, port, [{"address": address(port), "filter_chains": [chain(http)]}], clusters, flags=flags))
        return Client(port)

    yield begin
    for b in backends:
        b.release.set()
    for proxy in started:
        proxy.stop()


def ask(client, path="/", *fields):
    status, answer, body = client.ask(GET.format(path, "".join(f + "\r\n" for f in fields)))
    return status, answer, body


def where(backends, client, *args):
    """Which backend a request reaches."""
    before = [len(b.requests) for b in backends]
    assert ask(client, *args)[0] == 200
    return [len(b.requests) - n for b, n in zip(backends, before)].index(1)


@pytest.mark.parametrize("policy", ["RING_HASH", "MAGLEV"])
def test_a_header_keeps_its_endpoint(routed, backends, policy):
    hashed = cluster([b.port for b in backends], "c", lb_policy=policy)
    client = routed({"hash_policy": [{"header": {"header_name": "x-user"}}]}, [hashed])
    seen = {user: {where(backends, client, "/", f"x-user: {user}") for _ in range(3)} for user in range(20)}
    assert all(len(at) == 1 for at in seen.values())
    assert len(set.union(*seen.values())) == 3  # and not all go to one
    without = collections.Counter(where(backends, client) for _ in range(60))
    assert len(without) == 3  # at random
    # Another connection, and another process with the same endpoints, agree.
    other = routed({"hash_policy": [{"header": {"header_name": "x-user"}}]}, [hashed])
    assert all(where(backends, other, "/", f"x-user: {user}") in at for user, at in seen.items())


def test_a_cookie_is_given_and_kept(routed, backends):
    hashed = cluster([b.port for b in backends], "c", lb_policy="MAGLEV")
    policy = {"cookie": {"name": "aff", "ttl": "10s", "path": "/", "attributes": [{"name": "SameSite", "value": "Lax"}]}}
    client = routed({"hash_policy": [policy]}, [hashed])
    _, answer, _ = ask(client)
    name, _, value = answer["set-cookie"].partition("=")
    value, _, rest = value.partition(";")
    assert name == "aff" and rest == " Max-Age=10; Path=/; SameSite=Lax; HttpOnly"
    assert len(value) == 18 and value[0] == value[-1] == '"' and int(value[1:-1], 16) >= 0
    at = {where(backends, c, "/", f"cookie: a=1; aff={value}") for c in (client, Client(client.sock.getpeername()[1])) for _ in range(5)}
    assert len(at) == 1
    assert "set-cookie" not in ask(client, "/", f"cookie: aff={value}")[1]
    # Who brings none gets one that leads back to the endpoint that answered.
    for _ in range(5):
        fresh = Client(client.sock.getpeername()[1])
        before = [len(b.requests) for b in backends]
        given = ask(fresh)[1]["set-cookie"].partition(";")[0]
        first = [len(b.requests) - n for b, n in zip(backends, before)].index(1)
        assert where(backends, fresh, "/", f"cookie: {given}") == first


def test_the_address_and_the_query(routed, backends):
    hashed = cluster([b.port for b in backends], "c", lb_policy="RING_HASH")
    client = routed({"hash_policy": [{"connection_properties": {"source_ip": True}}]}, [hashed])
    assert len({where(backends, Client(client.sock.getpeername()[1])) for _ in range(6)}) == 1
    client = routed({"hash_policy": [{"query_parameter": {"name": "u"}, "terminal": True}, {"header": {"header_name": "x-user"}}]}, [hashed])
    assert all(len({where(backends, client, f"/?u={u}", f"x-user: {k}") for k in range(6)}) == 1 for u in range(4))
    assert len({where(backends, client, "/", f"x-user: {k}") for k in range(20)}) == 3


def test_clusters_by_hash(routed, backends):
    each = [cluster(b.port, f"c{i}") for i, b in enumerate(backends)]
    weights = {"clusters": [{"name": f"c{i}", "weight": 1} for i in range(3)], "use_hash_policy": True}
    client = routed({"weighted_clusters": weights, "hash_policy": [{"header": {"header_name": "x-user"}}]}, each)
    seen = {user: {where(backends, client, "/", f"x-user: {user}") for _ in range(3)} for user in range(20)}
    assert all(len(at) == 1 for at in seen.values()) and len(set.union(*seen.values())) == 3


def test_a_retry_with_a_hash_goes_elsewhere(routed, backends):
    hashed = cluster([b.port for b in backends], "c", lb_policy="MAGLEV")
    retry = {"retry_on": "5xx", "num_retries": 1, "host_selection_retry_max_attempts": 20, "retry_host_predicate": [
        {"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}]}
    client = routed({"hash_policy": [{"header": {"header_name": "x-user"}}], "retry_policy": retry}, [hashed])
    at = where(backends, client, "/", "x-user: ann")
    backends[at].script = ["503"]
    assert ask(client, "/next", "x-user: ann")[0] == 200 and not backends[at].script
    assert backends[at].requests[-1].target == "/next"
    assert sum(b.requests[-1].target == "/next" for b in backends if b.requests) == 2


def test_bad_policies_are_refused(tmp_path):
    import subprocess

    from suite import BIN
    path = tmp_path / "bad.json"
    http = {"name": "http", "typed_config": {"@type": HCM, "stat_prefix": "http", "http_filters": [ROUTER], "route_config": {"virtual_hosts": [
        {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "c", "hash_policy": [{"cookie": {"name": "a b"}}]}}]}]}}}
    path.write_text(json.dumps({"static_resources": {"listeners": [{"address": address(1), "filter_chains": [chain(http)]}], "clusters": [cluster(1, "c")]}}))
    got = subprocess.run([BIN / "fairlead-proxy", "--validate", "-c", path], capture_output=True, text=True)
    assert got.returncode and "hash_policy[0]: cookie.name: is no name of a cookie" in got.stderr, got.stderr
