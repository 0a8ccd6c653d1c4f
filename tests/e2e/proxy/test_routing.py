"""What routes do beside choosing a cluster: affinity, mirrors."""
import collections
import json

import pytest
from backend import Backend
from conftest import Client
from listeners import HCM, ROUTER, address, chain, cluster, start
from suite import free_ports, wait_until

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
    seen = {user: {where(backends, client, "/", f"x-user: {user}") for _ in range(2)} for user in range(80)}
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
    seen = {user: {where(backends, client, "/", f"x-user: {user}") for _ in range(2)} for user in range(80)}
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


# ---- mirrors ----

def mirrored(backends, *policies, **action):
    """Clusters c, m1, m2 of one backend each, and an action that mirrors to those that are named."""
    each = [cluster(b.port, name) for b, name in zip(backends, ("c", "m1", "m2"))]
    return {"cluster": "c", "request_mirror_policies": list(policies), **action}, each


def came(backend, n=1):
    wait_until(f"{n} copies", lambda: len(backend.requests) >= n)
    return backend.requests[-1]


def test_a_copy_goes_to_another_cluster(routed, backends):
    action, each = mirrored(backends, {"cluster": "m1"}, {"cluster": "m2", "disable_shadow_host_suffix_append": True})
    client = routed(action, each)
    status, answer, body = client.ask("POST /x?y HTTP/1.1\r\nHost: a.test:8080\r\nX-Forwarded-For: 1.2.3.4\r\nContent-Length: 5\r\n\r\nhello")
    assert (status, body) == (200, b"ok")
    first, second, origin = came(backends[1]), came(backends[2]), backends[0].requests[0]
    assert (first.method, first.target, first.body, first.get("host")) == ("POST", "/x?y", b"hello", "a.test-shadow:8080")
    assert (second.get("host"), second.body) == ("a.test:8080", b"hello")
    assert first.get("x-envoy-internal") == "true" and first.get("x-forwarded-for") == "1.2.3.4,127.0.0.1"
    assert first.get("x-request-id") == origin.get("x-request-id") and origin.get("x-envoy-internal") is None
    assert origin.get("x-forwarded-for") == "1.2.3.4" and origin.get("host") == "a.test:8080"
    # A body in pieces, and none.
    client.send("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    client.send("3\r\ndef\r\n0\r\n\r\n")
    assert client.answer()[0] == 200
    copy = came(backends[1], 2)
    assert (copy.body, copy.get("content-length"), copy.get("transfer-encoding"), copy.get("host")) == (b"abcdef", "6", None, "a-shadow")
    assert ask(client)[0] == 200
    copy = came(backends[1], 3)
    assert copy.body == b"" and copy.get("content-length") is None


def test_copies_never_hold_up_the_request(routed, backends, tmp_path):
    dead = free_ports(1)[0]
    each = [cluster(backends[0].port, "c"), cluster(backends[1].port, "slow"), cluster(dead, "dead")]
    policies = [{"cluster": "slow"}, {"cluster": "dead"}, {"cluster_header": "x-mirror"}]
    client = routed({"cluster": "c", "request_mirror_policies": policies}, each, flags=["--concurrency", "1"])
    backends[1].script = ["wait"] * 5
    for _ in range(5):
        assert ask(client, "/next")[0] == 200
    wait_until("the copies wait", lambda: len(backends[1].requests) >= 5 and not backends[1].script)
    assert ask(client, "/next")[0] == 200
    # Named by the request: not there, then there.
    assert ask(client, "/named", "x-mirror: nowhere")[0] == 200
    before = len(backends[0].requests)
    assert ask(client, "/named", "x-mirror: c")[0] == 200
    wait_until("the original and its copy", lambda: len(backends[0].requests) == before + 2)
    assert [r.get("host") for r in backends[0].requests[before:]].count("example.test-shadow") == 1


def test_a_copy_whose_answer_breaks_changes_nothing(routed, backends):
    action, each = mirrored(backends, {"cluster": "m1"})
    client = routed(action, each)
    backends[1].script = ["503", "close", "wait"] + ["close"] * 10
    for _ in range(6):
        assert ask(client, "/next")[0] == 200
    wait_until("they came", lambda: len(backends[1].requests) >= 6)
    backends[1].release.set()
    assert ask(client, "/next")[0] == 200


def test_a_part_of_them_and_what_is_too_long(routed, backends):
    share = {"default_value": {"numerator": 25, "denominator": "HUNDRED"}}
    action, each = mirrored(backends, {"cluster": "m1", "runtime_fraction": share}, {"cluster": "m2", "runtime_fraction": {"default_value": {"numerator": 0}}})
    client = routed(action, each)
    for _ in range(200):
        assert ask(client)[0] == 200
    action, each = mirrored(backends, {"cluster": "m1"})
    whole = routed(action, each)
    n = len(backends[1].requests)
    assert 20 < n < 85 and not backends[2].requests
    body = b"x" * (1024 * 1024 + 1)
    whole.send(b"POST /long HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert whole.answer()[0] == 200 and backends[0].requests[-1].body == body
    assert ask(whole, "/short")[0] == 200
    assert came(backends[1], n + 1).target == "/short"  # the long one did not come


def test_mirrors_of_the_host_and_the_table(routed, backends):
    each = [cluster(b.port, name) for b, name in zip(backends, ("c", "m1", "m2"))]
    routes = [{"match": {"prefix": "/own"}, "route": {"cluster": "c", "request_mirror_policies": [{"cluster": "m2"}]}}, {"match": {"prefix": "/"}, "route": {"cluster": "c"}}]
    client = routed(clusters=each, routes=routes, host={"request_mirror_policies": [{"cluster": "m1"}]}, table={"request_mirror_policies": [{"cluster": "m2"}]})
    assert ask(client, "/host")[0] == 200 and came(backends[1]).target == "/host"
    assert ask(client, "/own")[0] == 200 and came(backends[2]).target == "/own"
    assert [len(b.requests) for b in backends] == [2, 1, 1]
    client = routed(clusters=each, routes=routes[1:], table={"request_mirror_policies": [{"cluster": "m2"}]})
    assert ask(client, "/table")[0] == 200 and came(backends[2], 2).target == "/table"


def test_a_direct_response_from_a_file(routed, backends, tmp_path, monkeypatch):
    (tmp_path / "page.html").write_text("from a file")
    monkeypatch.setenv("FAIRLEAD_PAGE", "from the environment")
    routes = [{"match": {"path": "/file"}, "direct_response": {"status": 503, "body": {"filename": str(tmp_path / "page.html")}}},
              {"match": {"path": "/environment"}, "direct_response": {"status": 200, "body": {"environment_variable": "FAIRLEAD_PAGE"}}}]
    client = routed(routes=routes)
    assert ask(client, "/file")[::2] == (503, b"from a file") and ask(client, "/environment")[::2] == (200, b"from the environment")
    import subprocess

    from suite import BIN
    (tmp_path / "page.html").unlink()
    got = subprocess.run([BIN / "fairlead-proxy", "--validate", "-c", tmp_path / "bootstrap.json"], capture_output=True, text=True)
    assert got.returncode and "direct_response.body: " in got.stderr and "No such file" in got.stderr, got.stderr
