"""Pods of two families: what comes and goes by IPv6 goes through proxies, too, and so is encrypted, counted and refused as the rest is."""
import json

import lab_harness
import pytest
from suite import wait_until

NAMESPACE = "fairlead-system"


@pytest.fixture(scope="module")
def six(mesh):
    """alice calls web, whose Service has IPv6 alone; plain has no proxy."""
    mesh.run("alice", probe=False)
    mesh.run("web", probe=False, port="http")
    mesh.run("bytes", probe=False, port="tcp-x")
    for name in ("web", "bytes"):
        service = lab_harness.service(name + "6")
        service["spec"].update({"selector": {"app": name}, "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"]})
        service["spec"]["ports"][0]["name"] = "http" if name == "web" else "tcp-x"
        mesh.lab.apply(service)
    mesh.lab.apply(lab_harness.echo("plain"))
    mesh.lab.wait_ready("app=plain", 1)
    wait_until("calls go through", lambda: mesh.curl("alice", "http://web6/")[0] == 200)
    return mesh


def address_of(six, name):
    """The pod's IPv6 address."""
    ips = six.lab.ready_pods(f"app={name}")[0]["status"]["podIPs"]
    return next(i["ip"] for i in ips if ":" in i["ip"])


def cluster_ip(six, name):
    return six.lab.get(f"svc/{name}")["spec"]["clusterIP"]


def plain(six, *args):
    pod = six.lab.ready_pods("app=plain")[0]["metadata"]["name"]
    done = six.lab.fairlead("exec", pod, "--", "curl", "-s", "-m", "5", "-w", "\n%{http_code}", *args, check=False)
    body, _, status = done.stdout.rpartition("\n")
    return int(status or 0), body


def inbound(six, name):
    """Requests by whether they came over mutual TLS."""
    lines = [x for x in six.admin(name, "/stats/prometheus").splitlines() if x.startswith("istio_requests_total") and 'reporter="destination"' in x]
    return {policy: sum(int(x.split()[-1]) for x in lines if f'connection_security_policy="{policy}"' in x) for policy in ("mutual_tls", "none")}


def test_by_a_service_of_that_family(six):
    """By name, and by address; encrypted; the app sees who hands it on."""
    before = inbound(six, "web")
    for url in ("http://web6/", f"http://[{cluster_ip(six, 'web6')}]/"):
        status, body = six.curl("alice", "-g", url)
        assert status == 200 and json.loads(body)["peer"].startswith("[::6]:"), body
    wait_until("both are counted", lambda: inbound(six, "web")["mutual_tls"] == before["mutual_tls"] + 2)
    assert inbound(six, "web")["none"] == before["none"]


def test_bytes(six):
    status, body = six.curl("alice", "-g", f"http://[{cluster_ip(six, 'bytes6')}]/")
    assert status == 200 and json.loads(body)["name"] == "bytes"
    assert "listener.0.0.0.0_15006.ssl.handshake: 1\n" in six.admin("bytes", "/stats?filter=15006.ssl.handshake")


def test_what_is_for_no_service_goes_on(six):
    """To a pod without a proxy, by its own address."""
    status, body = six.curl("alice", "-g", f"http://[{address_of(six, 'plain')}]:8080/")
    assert status == 200 and json.loads(body)["name"].startswith("plain")


def test_a_pod_calls_itself(six):
    assert six.curl("web", "http://web6/")[0] == 200


def test_plain_text_is_refused_where_it_is_to_be(six):
    """STRICT holds for both families: there is no way around it by the other one."""
    own = {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "web", "namespace": "default"},
           "spec": {"selector": {"matchLabels": {"app": "web"}}, "mtls": {"mode": "STRICT"}}}
    six_address, four_address = address_of(six, "web"), six.lab.ready_pods("app=web")[0]["status"]["podIP"]
    for at in (f"[{six_address}]", four_address):
        assert plain(six, "-g", f"http://{at}:8080/")[0] == 200
    six.lab.apply(own)
    try:
        for at in (f"[{six_address}]", four_address):
            wait_until(f"{at} takes no plain text", lambda at=at: plain(six, "-g", f"http://{at}:8080/")[0] == 0)
        assert six.curl("alice", "http://web6/")[0] == 200
    finally:
        six.lab.fairlead("delete", "peerauthentication/web")


def test_a_policy_knows_who_calls(six):
    """By the IPv6 address of the caller, and by his name."""
    caller = address_of(six, "alice")
    for source in ({"ipBlocks": [caller]}, {"principals": ["cluster.local/ns/default/sa/default"]}):
        policy = {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": "web", "namespace": "default"},
                  "spec": {"selector": {"matchLabels": {"app": "web"}}, "action": "DENY", "rules": [{"from": [{"source": source}]}]}}
        six.lab.apply(policy)
        wait_until(f"{source} is refused", lambda: six.curl("alice", "http://web6/")[0] == 403)
        six.lab.fairlead("delete", "authorizationpolicy/web")
        wait_until("and is not any more", lambda: six.curl("alice", "http://web6/")[0] == 200)


def test_pages_of_the_proxy_itself(six):
    """Statistics and readiness are at both addresses."""
    for port, path in ((15090, "/stats/prometheus"), (15021, "/healthz/ready")):
        assert plain(six, "-g", f"http://[{address_of(six, 'web')}]:{port}{path}")[0] == 200


def test_gateways_are_there_for_both(six):
    """What has no route is answered 404, at an address of either family."""
    for ip in six.lab.ready_pods("app=fairlead-gateway", NAMESPACE)[0]["status"]["podIPs"]:
        at = f"[{ip['ip']}]" if ":" in ip["ip"] else ip["ip"]
        assert plain(six, "-g", f"http://{at}:8080/")[0] == 404
