"""The aggregated discovery stream: what is asked for and in which order, ACK and NACK, what stays when the control plane goes."""
import threading

import pytest
from backend import Backend
from certificates import Authority
from ads_stage import ADS
from conftest import Client
from listeners import TlsClient
from suite import free_ports, wait_until
from test_dynamic import GET, answers, answers_at, assignment, static_cluster, status, table

@pytest.fixture
def other():
    b = Backend()
    yield b
    b.close()


def test_the_order_of_things(stage, backend):
    stage.start()
    first = stage.control.requests[0]
    assert first["type"] == "cds" and first["node"]["id"] == "n1" and first["node"]["user_agent_name"] == "fairlead"
    assert stage.control.fields[":authority"] == "xds"
    stage.serve(backend)
    kinds = [r["type"] for r in stage.control.requests if not r.get("response_nonce")]
    assert kinds == ["cds", "eds", "lds", "rds"], "each once, listeners behind warm clusters"
    assert [r for r in stage.control.requests[1:] if "node" in r] == []
    names = "resource_names_subscribe" if stage.control.delta else "resource_names"
    assert stage.control.of("eds")[0][names] == ["a"] and stage.control.of("rds")[0][names] == ["routes"]
    all_eds = stage.control.of("eds")[0]
    assert stage.control.requests.index(all_eds) < stage.control.requests.index(stage.control.answers("cds")[0]), "endpoints before the ACK"


def test_what_is_wrong_is_refused_and_the_rest_taken(stage, backend, other):
    stage.start()
    stage.serve(backend)
    bad = {"name": "bad", "type": "EDS"}
    answer = stage.say("cds", {"a": stage.eds_cluster("a"), "bad": bad, "b": static_cluster("b", other.port)}, version="2")
    assert answer["error_detail"]["code"] == 13
    assert answer["error_detail"]["message"].startswith("Error adding/updating cluster(s) bad: ")
    assert stage.control.delta or answer["version_info"] == "1"
    answer = stage.say("rds", {"routes": table("routes", ("/", "b"))}, version="2")
    assert "error_detail" not in answer
    wait_until("the neighbour of the bad one serves", lambda: status(stage.port) == 200 and other.requests)
    broken = table("routes", ("/", "a"))
    broken["virtual_hosts"][0]["domains"] = ["a", "a"]
    answer = stage.say("rds", {"routes": broken}, version="3")
    assert "domain" in answer["error_detail"]["message"]
    assert status(stage.port) == 200


def test_a_field_that_is_not_implemented_is_refused_by_its_path(stage, backend):
    stage.start()
    stage.serve(backend)
    answer = stage.say("cds", {"a": stage.eds_cluster("a") | {"lb_policy": "CLUSTER_PROVIDED"}}, version="2")
    assert "lb_policy" in answer["error_detail"]["message"]


def test_what_has_no_effect_is_told_once(stage, backend):
    stage.start()
    stage.serve(backend)
    t = table("routes", ("/", "a"), ("/b", "a"))
    for r in t["virtual_hosts"][0]["routes"]:
        r["stat_prefix"] = "x"
    for version in ("2", "3"):
        t["virtual_hosts"][0]["routes"][0]["name"] = version
        assert "error_detail" not in stage.say("rds", {"routes": t}, version=version)
    log = open(stage.proxy.log.name).read()  # its lines are written before the answer is
    assert log.count("not everything is in force") == 1 and "virtual_hosts[0].routes[0].stat_prefix" in log


def test_the_control_plane_goes_and_comes_back(stage, backend):
    stage.start()
    stage.serve(backend)
    stage.control.cut()
    assert status(stage.port) == 200, "what is in force stays"
    wait_until("it comes back", lambda: stage.control.streams == 2)
    wait_until("it says what it has", lambda: len([r for r in stage.control.requests if r["stream"] == 2]) == 4)
    again = [r for r in stage.control.requests if r["stream"] == 2]
    assert [r["type"] for r in again] == ["cds", "eds", "lds", "rds"] and "node" in again[0]
    if stage.control.delta:
        assert [r["initial_resource_versions"] for r in again] == [{"a": "1"}, {"a": "1"}, {"l": "1"}, {"routes": "1"}]
        assert again[1]["resource_names_subscribe"] == ["a"]
    else:
        assert [r.get("version_info") for r in again] == ["1"] * 4
    assert not [r for r in again if r.get("response_nonce")]
    assert status(stage.port) == 200


def test_endpoints_change_under_traffic(stage, backend, other):
    stage.start()
    stage.serve(backend)
    stop, bad = threading.Event(), []

    def load():
        c = Client(stage.port)
        while not stop.is_set():
            got = c.ask(GET.format("/load"))
            if not got or got[0] != 200:
                bad.append(got)
                return
        c.close()

    threads = [threading.Thread(target=load) for _ in range(3)]
    for t in threads:
        t.start()
    for turn in range(30):
        to = (backend, other)[turn % 2]
        seen = len(to.requests)
        stage.say("eds", {"a": assignment("a", to.port)}, version=str(turn + 2))
        wait_until("the other endpoint is asked", lambda: len(to.requests) > seen + 3)
    stop.set()
    for t in threads:
        t.join()
    assert not bad, bad


def test_clusters_and_listeners_are_removed(stage, backend, other):
    stage.start()
    stage.serve(backend)
    second = free_ports(1)[0]
    both = {"l": stage.listener(), "m": stage.listener(second, "m")}
    stage.say("lds", both if not stage.control.delta else {"m": both["m"]}, version="2")
    wait_until("the second listens", lambda: answers(second))
    stage.say("lds", {"m": both["m"]} if not stage.control.delta else {}, version="3", removed=["l"])
    wait_until("the first is closed", lambda: not answers(stage.port))
    stage.say("rds", {"routes": table("routes", ("/", "b"))}, version="2")
    stage.say("cds", {"b": static_cluster("b", other.port)}, version="2", removed=["a"])
    wait_until("the new cluster serves", lambda: status(second) == 200 and other.requests)
    wait_until("endpoints of the old one are given up", lambda: gave_up(stage.control))


def gave_up(control):
    last = control.of("eds")[-1]
    return last.get("resource_names_unsubscribe") == ["a"] if control.delta else not last.get("resource_names")


def test_a_large_configuration(stage, backend):
    """Past a window of HTTP/2."""
    stage.start()
    many = {f"c{i}": static_cluster(f"c{i}", backend.port) for i in range(3000)}
    stage.say("cds", many)
    wait_until("it asks for listeners", lambda: stage.control.of("lds"))
    stage.say("lds", {"l": stage.listener()})
    stage.say("rds", {"routes": table("routes", *((f"/{i}/", f"c{i}") for i in range(3000)))})
    wait_until("it serves", lambda: answers_at(stage.port, "/2999/"))


def test_nothing_but_garbage(stage, backend):
    stage.start()
    stage.serve(backend)
    stage.control.send_message(b"\xff\xff\xff")
    wait_until("it begins anew", lambda: stage.control.streams == 2)
    assert status(stage.port) == 200


def test_certificates_by_the_stream(stage, backend, tmp_path):
    """SDS: the listener serves when its secret has come, and goes on with the next one; a bad one changes nothing."""
    ca = Authority(tmp_path)
    first, second = ca.issue("first", "DNS:first.example"), ca.issue("second", "DNS:second.example")

    def secret(cert):
        return {"site": {"name": "site", "tls_certificate": {"certificate_chain": {"inline_string": cert[0].read_text()}, "private_key": {"inline_string": cert[1].read_text()}}}}

    stage.start()
    stage.say("cds", {"a": static_cluster("a", backend.port)})
    wait_until("it asks for listeners", lambda: stage.control.of("lds"))
    listener = stage.listener()
    listener["filter_chains"][0]["transport_socket"] = {"name": "tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": "site", "sds_config": ADS}]}}}
    assert "error_detail" not in stage.say("lds", {"l": listener})
    assert "error_detail" not in stage.say("rds", {"routes": table("routes", ("/", "a"))})
    wait_until("it asks for the secret", lambda: stage.control.of("sds"))
    with pytest.raises((OSError, AssertionError)):
        TlsClient(stage.port, "first.example", ca.cert)
    assert "error_detail" not in stage.say("sds", secret(first))
    wait_until("it serves", lambda: shakes_hands(stage.port, "first.example", ca))
    old = TlsClient(stage.port, "first.example", ca.cert)
    assert old.ask(GET.format("/"))[0] == 200
    bad = secret((second[0], first[1]))  # a key of another certificate
    answer = stage.say("sds", bad, version="2")
    assert "site" in answer["error_detail"]["message"] and "BEGIN" not in answer["error_detail"]["message"]
    assert shakes_hands(stage.port, "first.example", ca)
    stage.say("sds", secret(second), version="3")
    wait_until("the next one", lambda: shakes_hands(stage.port, "second.example", ca))
    assert old.ask(GET.format("/"))[0] == 200, "an open connection goes on"


def shakes_hands(port, name, ca):
    try:
        return TlsClient(port, name, ca.cert).ask(GET.format("/"))[0] == 200
    except (OSError, AssertionError):
        return False


def test_a_secret_without_a_name_is_nothing_to_ask_for(stage, backend):
    stage.start()
    stage.say("cds", {"a": static_cluster("a", backend.port)})
    wait_until("it asks for listeners", lambda: stage.control.of("lds"))
    for name in ("", "site"):
        listener = stage.listener()
        listener["filter_chains"][0]["transport_socket"] = {"name": "tls", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": name, "sds_config": ADS}]}}}
        answer = stage.say("lds", {"l": listener}, version=name or "none")
        assert ("error_detail" in answer) == (not name), "a name is required"
    wait_until("it asks for the one with a name", lambda: stage.control.of("sds"))
    assert stage.proxy.process.poll() is None
