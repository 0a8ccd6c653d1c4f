"""One mesh of two clusters on two networks: Services of one name are one, pods of one address are two."""
import collections
import json
import socket
import ssl

import pytest
from conftest import SYSTEM, secret_of
from suite import wait_until


@pytest.fixture(scope="module")
def shop(clusters):
    """A client in east; `web` in both, `only` in west alone (east has its Service, without pods)."""
    east, west = clusters
    for c in clusters:
        c.run_app("web")
    east.run_app("client")
    west.run_app("client")
    west.run_app("only")
    service = west.get("svc/only", "-n", "shop")
    east.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "only", "namespace": "shop"}, "spec": {"selector": {"app": "only"}, "ports": service["spec"]["ports"]}})
    wait_until("both know one another", lambda: all([r["synced"] for r in c.remotes()] == [True] for c in clusters), 20)
    return clusters


def who_answers(cluster, url, n=20):
    seen = collections.Counter()
    for _ in range(n):
        status, body = cluster.call("client", url)
        seen[json.loads(body)["name"] if status == 200 else status] += 1
    return seen


def test_a_service_of_both_is_one(shop):
    """Both answer, from either side, and nothing fails."""
    for c in shop:
        wait_until(f"{c.id} calls both", lambda c=c: set(who_answers(c, "http://web/", 4)) == {"east", "west"}, 20)
        seen = who_answers(c, "http://web/")
        assert set(seen) == {"east", "west"} and min(seen.values()) >= 2, seen


def test_one_that_has_pods_elsewhere_alone(shop):
    east, _ = shop
    wait_until("it answers", lambda: east.call("client", "http://only/")[0] == 200, 20)
    assert who_answers(east, "http://only/", 5) == {"west": 5}
    # The way there is the other network's gateway, and no pod's address.
    parts = [line.split("::") for line in east.admin("client", "/clusters").splitlines()]
    west_gateway = shop[1].get("svc/fairlead-eastwest", "-n", SYSTEM)["status"]["loadBalancer"]["ingress"][0]["ip"]
    assert {p[1] for p in parts if p[0] == "outbound|80||only.shop.svc.cluster.local" and ":" in p[1]} == {f"{west_gateway}:15443"}


def test_who_calls_is_known_there(shop):
    """The TLS of the mesh is from pod to pod: whoever is called knows whom by name, and rules of its cluster hold."""
    east, west = shop
    policy = {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": "only", "namespace": "shop"},
              "spec": {"selector": {"matchLabels": {"app": "only"}}, "action": "DENY", "rules": [{"from": [{"source": {"principals": ["cluster.local/ns/shop/sa/default"]}}]}]}}
    assert east.call("client", "http://only/")[0] == 200
    west.apply(policy)
    try:
        wait_until("it is refused there", lambda: east.call("client", "http://only/")[0] == 403)
    finally:
        west.fairlead("delete", "authorizationpolicy/only", "-n", "shop")
    wait_until("it is allowed again", lambda: east.call("client", "http://only/")[0] == 200)


def test_metrics_name_the_cluster(shop):
    east, _ = shop
    assert east.call("client", "http://only/")[0] == 200
    line = next(x for x in east.admin("client", "/stats/prometheus").splitlines() if x.startswith("istio_requests_total") and 'destination_service_name="only"' in x)
    assert 'source_cluster="east"' in line, line


def test_the_gateway_passes_nothing_else(shop):
    """Plain text, TLS of no mesh, and names of nobody end there."""
    east, _ = shop
    address = east.get("svc/fairlead-eastwest", "-n", SYSTEM)["status"]["loadBalancer"]["ingress"][0]["ip"]

    def shake(name, protocols):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(protocols)
        with socket.create_connection((address, 15443), timeout=5) as s:
            try:
                with context.wrap_socket(s, server_hostname=name) as t:
                    return t.version()
            except OSError:
                return None
    with socket.create_connection((address, 15443), timeout=5) as s:
        s.sendall(b"GET / HTTP/1.1\r\nhost: web.shop.svc.cluster.local\r\n\r\n")
        try:
            assert s.recv(100) == b""
        except ConnectionResetError:
            pass
    assert shake("web.shop.svc.cluster.local", ["istio"]) is None
    assert shake("outbound_.80_._.web.shop.svc.cluster.local", ["http/1.1"]) is None
    assert shake("outbound_.80_._.none.shop.svc.cluster.local", ["istio"]) is None
    # A name of the mesh leads to the pod, which wants a certificate: TLS 1.3 tells that after the handshake.
    assert shake("outbound_.80_._.web.shop.svc.cluster.local", ["istio"]) == "TLSv1.3"


def test_the_other_one_goes_and_comes_back(shop):
    """Its Secret goes: what it had goes. It comes: so does that. Nothing fails meanwhile."""
    east, west = shop
    name = east.get("secrets", "-n", SYSTEM, "-l", "istio/multiCluster=true")["items"][0]["metadata"]["name"]
    text = west.fairlead("create-remote-secret", "--name", west.id)
    east.fairlead("delete", f"secret/{name}", "-n", SYSTEM)
    wait_until("only our own is called", lambda: set(who_answers(east, "http://web/", 6)) == {"east"})
    wait_until("nobody is there", lambda: east.call("client", "http://only/")[0] == 503)
    assert east.remotes() == []
    east.apply(text)
    wait_until("both are called", lambda: set(who_answers(east, "http://web/", 6)) == {"east", "west"}, 20)


def test_one_that_cannot_be_used_changes_nothing(shop):
    """Another kubeconfig in place of the good one, without a server that is verified: an Event says so, what there was stays."""
    east, _ = shop
    bad = "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\nusers: [{name: a, user: {exec: {command: /bin/true}}}]\nclusters: [{name: a, cluster: {server: 'https://192.0.2.1'}}]\n"
    east.apply(secret_of("north", bad, "north"), secret_of("east", bad, "own"))

    def told(word):
        return [e for e in east.get("events", "-n", SYSTEM)["items"] if e["reason"] == "RemoteClusterInvalid" and word in e["message"]]
    wait_until("an Event says what is wrong", lambda: told("data.north: ") and told("exec"))
    wait_until("and of the other", lambda: told("data.east: that is our own cluster"))
    assert [r["name"] for r in east.remotes()] == ["west"]
    for name in ("north", "own"):
        east.fairlead("delete", f"secret/{name}", "-n", SYSTEM)
    assert set(who_answers(east, "http://web/", 6)) <= {"east", "west"}
