"""What a listener and a cluster wait for, what an address that is taken does, and what nobody asks for any more."""
import socket

import pytest
from ads_stage import ADS
from backend import Backend
from certificates import Authority
from conftest import Client
from listeners import TlsClient, log
from suite import free_ports, wait_until
from test_changes import begin, inline, refuses
from test_dynamic import GET, answers, answers_at, assignment, static_cluster, status, table

TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."


def secret(name, cert):
    return {name: {"name": name, "tls_certificate": {"certificate_chain": {"inline_string": cert[0].read_text()}, "private_key": {"inline_string": cert[1].read_text()}}}}


def with_tls(listener, name, wait="15s"):
    common = {"tls_certificate_sds_secret_configs": [{"name": name, "sds_config": ADS | {"initial_fetch_timeout": wait}}]}
    listener["filter_chains"][0]["transport_socket"] = {"name": "tls", "typed_config": {"@type": TLS + "DownstreamTlsContext", "common_tls_context": common}}
    return listener


def served_name(port, ca, name):
    try:
        return TlsClient(port, name, ca.cert).ask(GET.format("/"))[0] == 200
    except (OSError, AssertionError):
        return False


def asked(control, kind):
    """Names that are subscribed now."""
    names = set()
    for r in control.of(kind):
        if control.delta:
            names |= set(r.get("resource_names_subscribe", []))
            names -= set(r.get("resource_names_unsubscribe", []))
        else:
            names = set(r.get("resource_names", []))
    return names


def test_an_address_that_is_taken_is_refused_to_the_control_plane(stage, backend):
    begin(stage, backend, {"l": inline(stage, a="/")})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        new = {"l": inline(stage, a="/"), "m": inline(stage, "m", port, a="/")}
        answer = stage.say("lds", new, version="2")
        assert "listener(s) m: " in answer["error_detail"]["message"] and f"127.0.0.1 port {port}: Address already in use" in answer["error_detail"]["message"]
        answer = stage.say("lds", {"l": inline(stage, port=port, a="/moved")}, version="3")
        assert f"127.0.0.1 port {port}: Address already in use" in answer["error_detail"]["message"]
        assert status(stage.port) == 200, "the old one goes on"
    assert "error_detail" not in stage.say("lds", new, version="4")
    wait_until("the address is free now", lambda: answers(port))
    assert status(stage.port) == 200


def test_a_listener_waits_for_its_secret(stage, backend, tmp_path):
    ca = Authority(tmp_path)
    first, second = ca.issue("first", "DNS:first.example"), ca.issue("second", "DNS:second.example")
    stage.start()
    stage.say("cds", {"a": static_cluster("a", backend.port)})
    wait_until("it asks for listeners", lambda: stage.control.of("lds"))
    assert "error_detail" not in stage.say("lds", {"l": with_tls(inline(stage, a="/"), "one")})
    wait_until("it asks for the secret", lambda: asked(stage.control, "sds") == {"one"})
    assert refuses(stage.port), "nobody is let in who could not be served"
    stage.say("sds", secret("one", first))
    wait_until("it serves", lambda: served_name(stage.port, ca, "first.example"))
    assert "error_detail" not in stage.say("lds", {"l": with_tls(inline(stage, a="/"), "two")}, version="2")
    wait_until("it asks for the next", lambda: asked(stage.control, "sds") == {"one", "two"})
    assert served_name(stage.port, ca, "first.example"), "the old one serves meanwhile"
    both = secret("one", first) | secret("two", second)
    stage.say("sds", both, version="2")
    wait_until("the next serves", lambda: served_name(stage.port, ca, "second.example"))
    wait_until("nobody needs the first any more", lambda: asked(stage.control, "sds") == {"two"})
    stage.say("lds", {"m": inline(stage, "m", a="/")}, version="3", removed=["l"])
    wait_until("nor the second", lambda: asked(stage.control, "sds") == set())
    stage.say("lds", {"m": with_tls(inline(stage, "m", a="/"), "two")}, version="4")
    wait_until("it is asked for again", lambda: asked(stage.control, "sds") == {"two"})
    assert status(stage.port) == 200
    stage.say("sds", secret("two", first), version="3")
    wait_until("and used", lambda: served_name(stage.port, ca, "first.example"))


def test_a_secret_that_does_not_come_is_not_waited_for_for_ever(stage, backend):
    stage.start()
    stage.say("cds", {"a": static_cluster("a", backend.port)})
    wait_until("it asks for listeners", lambda: stage.control.of("lds"))
    stage.say("lds", {"l": with_tls(inline(stage, a="/"), "never", wait="0.3s")})
    wait_until("it is open, and lets nobody in", lambda: not refuses(stage.port))
    with pytest.raises((OSError, AssertionError)):
        TlsClient(stage.port, "x")


def test_a_cluster_waits_for_its_secret(stage, backend, tmp_path):
    """The one before it serves meanwhile; what has not come makes no plain connection."""
    ca = Authority(tmp_path)
    begin(stage, backend, {"l": inline(stage, a="/")})
    client = Client(stage.port)
    common = {"tls_certificate_sds_secret_configs": [{"name": "mine", "sds_config": ADS}]}
    socket_ = {"name": "tls", "typed_config": {"@type": TLS + "UpstreamTlsContext", "common_tls_context": common}}
    stage.say("cds", {"a": static_cluster("a", backend.port) | {"transport_socket": socket_}}, version="2")
    wait_until("it asks for the secret", lambda: asked(stage.control, "sds") == {"mine"})
    assert [client.ask(GET.format("/"))[0] for _ in range(20)] == [200] * 20
    stage.say("sds", secret("mine", ca.issue("client", "DNS:client")))
    wait_until("it speaks TLS to what does not", lambda: status(stage.port) == 503)
    stage.say("cds", {"a": static_cluster("a", backend.port)}, version="3")
    wait_until("plain again", lambda: status(stage.port) == 200)
    wait_until("nobody needs the secret any more", lambda: asked(stage.control, "sds") == set())


def test_a_refused_listener_asks_for_nothing(stage, backend):
    begin(stage, backend, {"l": inline(stage, a="/")})
    bad = with_tls(inline(stage, "m", a="/"), "bad")  # its address is taken by l
    assert "duplicate address" in stage.say("lds", {"l": inline(stage, a="/"), "m": bad}, version="2")["error_detail"]["message"]
    good = with_tls(inline(stage, "n", free_ports(1)[0], a="/"), "good")
    stage.say("lds", {"l": inline(stage, a="/"), "n": good}, version="3")
    wait_until("the good one's is asked for", lambda: asked(stage.control, "sds") == {"good"})


@pytest.mark.parametrize("stage", ["sotw"], indirect=True)
def test_two_of_one_name_in_the_state_of_the_world(stage, backend):
    """As Envoy: the first is taken, the second refused."""
    begin(stage, backend, {"l": inline(stage, a="/")})
    other = free_ports(1)[0]
    answer = stage.say("lds", {"l": inline(stage, a="/new"), "again": inline(stage, "l", other, a="/")}, version="2")
    assert "duplicate listener l found" in answer["error_detail"]["message"]
    wait_until("the first is in force", lambda: answers_at(stage.port, "/new"))
    assert refuses(other)
    answer = stage.say("cds", {"a": static_cluster("a", backend.port), "b": static_cluster("a", other)}, version="2")
    assert "duplicate cluster a found" in answer["error_detail"]["message"]
    assert status(stage.port, "/new") == 200


def test_listeners_are_asked_for_when_the_first_clusters_are_warm(stage, backend):
    stage.start()
    stage.say("cds", {"a": stage.eds_cluster("a"), "b": stage.eds_cluster("b")})
    wait_until("it asks for endpoints", lambda: asked(stage.control, "eds") == {"a", "b"})
    stage.say("eds", {"a": assignment("a", backend.port)})
    stage.say("eds", {"a": assignment("a", backend.port)}, version="2")  # a turn later
    assert not stage.control.of("lds")
    stage.say("eds", {"a": assignment("a", backend.port), "b": assignment("b", backend.port)}, version="3")
    wait_until("now", lambda: stage.control.of("lds"))


def test_it_is_ready_when_what_was_asked_for_has_come(stage, backend):
    port = free_ports(1)[0]
    stage.bootstrap["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}
    stage.start()

    def ready():
        c = Client(port)
        status, _, body = c.ask("GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
        c.close()
        return status, body.strip()

    wait_until("it answers", lambda: not refuses(port))
    assert ready() == (503, b"INITIALIZING")
    stage.say("cds", {"a": static_cluster("a", backend.port)})
    wait_until("it asks for listeners", lambda: stage.control.of("lds"))
    assert ready() == (503, b"INITIALIZING"), "no listener has come"
    stage.say("lds", {"l": stage.listener()})
    wait_until("it asks for routes", lambda: stage.control.of("rds"))
    assert ready() == (503, b"INITIALIZING"), "nor its routes"
    stage.say("rds", {"routes": table("routes", ("/", "a"))})
    wait_until("it is ready", lambda: ready() == (200, b"LIVE"))


def test_clusters_that_do_not_come_are_not_waited_for_for_ever(stage):
    stage.bootstrap["dynamic_resources"]["cds_config"] = ADS | {"initial_fetch_timeout": "0.3s"}
    stage.start()
    wait_until("it asks for listeners all the same", lambda: stage.control.of("lds"))


def test_a_table_does_not_wait_for_the_next_form_of_a_cluster_that_serves(stage, backend):
    stage.start()
    stage.serve(backend)
    stage.say("cds", {"a": stage.eds_cluster("a") | {"connect_timeout": "3s", "eds_cluster_config": {"service_name": "next", "eds_config": ADS}}}, version="2")
    wait_until("its endpoints are asked for", lambda: "next" in asked(stage.control, "eds"))
    stage.say("rds", {"routes": table("routes", ("/next", "a"))}, version="2")
    wait_until("the table is in force", lambda: status(stage.port, "/") == 404)
    assert status(stage.port, "/next") == 200, "and the cluster as it was serves"


def test_endpoints_reach_the_cluster_that_serves_while_the_next_form_waits(stage, backend):
    other = Backend()
    stage.start()
    stage.serve(backend)
    common = {"tls_certificate_sds_secret_configs": [{"name": "mine", "sds_config": ADS}]}
    socket_ = {"name": "tls", "typed_config": {"@type": TLS + "UpstreamTlsContext", "common_tls_context": common}}
    stage.say("cds", {"a": stage.eds_cluster("a") | {"transport_socket": socket_}}, version="2")
    wait_until("it asks for the secret", lambda: asked(stage.control, "sds") == {"mine"})
    stage.say("eds", {"a": assignment("a", other.port)}, version="2")
    wait_until("the new endpoint is asked", lambda: status(stage.port) == 200 and other.requests)
    other.close()


def test_a_cluster_that_comes_back_stays(stage, backend):
    """It was removed while routes named it, and is told of again as it was."""
    stage.start()
    stage.serve(backend)
    others = {"b": static_cluster("b", backend.port)}
    stage.say("cds", others, version="2", removed=["a"])
    stage.say("cds", others | {"a": stage.eds_cluster("a")}, version="3")
    stage.say("rds", {"routes": table("routes", ("/b", "b"))}, version="2")
    wait_until("nothing names it", lambda: status(stage.port) == 404)
    stage.say("rds", {"routes": table("routes", ("/", "a"))}, version="3")
    wait_until("it is named again", lambda: status(stage.port) != 404)
    assert status(stage.port) == 200


def test_the_next_form_of_a_listener_that_was_late_waits_again(stage, backend):
    stage.start()
    stage.say("cds", {"a": static_cluster("a", backend.port)})
    wait_until("it asks for listeners", lambda: stage.control.of("lds"))
    stage.say("lds", {"l": with_tls(inline(stage, a="/"), "never", wait="0.3s")})
    wait_until("it is open", lambda: not refuses(stage.port))
    stage.say("lds", {"l": stage.listener()}, version="2")
    wait_until("its table is asked for", lambda: asked(stage.control, "rds") == {"routes"})
    stage.say("lds", {"l": stage.listener()}, version="3")  # a turn later
    with pytest.raises((OSError, TypeError)):
        status(stage.port)  # the one before it, which lets nobody in
    stage.say("rds", {"routes": table("routes", ("/", "a"))})
    wait_until("it serves", lambda: answers(stage.port))


@pytest.mark.parametrize("stage", ["sotw"], indirect=True)
def test_what_has_not_changed_is_not_made_anew(stage, backend, tmp_path):
    begin(stage, backend, {"l": inline(stage, a="/", logs=log(tmp_path / "log", "x"))})
    (tmp_path / "log").unlink()
    stage.say("lds", {"l": inline(stage, a="/", logs=log(tmp_path / "log", "x")), "m": inline(stage, "m", free_ports(1)[0], a="/")}, version="2")
    assert not (tmp_path / "log").exists()
    stage.say("lds", {"l": inline(stage, a="/", logs=log(tmp_path / "log", "y"))}, version="3")
    assert (tmp_path / "log").exists(), "as it is if it has changed"


def test_a_table_that_comes_before_its_cluster(stage, backend):
    """The one before it serves meanwhile, but not for ever."""
    a = {"a": static_cluster("a", backend.port)}
    stage.start()
    stage.say("cds", a)
    wait_until("it asks for listeners", lambda: stage.control.of("lds"))
    stage.say("lds", {"l": stage.listener()})
    wait_until("it asks for routes", lambda: asked(stage.control, "rds"))
    stage.say("rds", {"routes": table("routes", ("/", "a"))})
    wait_until("it serves", lambda: answers(stage.port))
    stage.say("rds", {"routes": table("routes", ("/", "b"))}, version="2")
    assert [status(stage.port) for _ in range(5)] == [200] * 5
    stage.say("cds", a | {"b": static_cluster("b", backend.port)}, version="2")
    assert status(stage.port) == 200
    stage.say("rds", {"routes": table("routes", ("/never", "c"), ("/", "b"))}, version="3")
    wait_until("it is in force all the same", lambda: status(stage.port, "/never") == 503)
    stage.say("rds", {"routes": table("routes", ("/never", "c"), ("/next", "b"))}, version="4")
    stage.say("rds", {"routes": table("routes", ("/never", "c"), ("/next", "b"))}, version="5")  # a turn later
    wait_until("what is missing for good holds nothing up again", lambda: status(stage.port, "/") == 404, timeout=0.9)


def test_a_changed_cluster_takes_the_endpoints_that_are_known(stage, backend):
    """A delta server does not send them again."""
    stage.start()
    stage.serve(backend)
    stage.say("cds", {"a": stage.eds_cluster("a") | {"circuit_breakers": {"thresholds": [{"max_requests": 0}]}}}, version="2")
    wait_until("the changed one is in force", lambda: status(stage.port) == 503)
    stage.say("cds", {"a": stage.eds_cluster("a")}, version="3")
    wait_until("and the next", lambda: status(stage.port) == 200)


def test_a_listener_with_its_routes_in_place_waits_for_their_clusters(stage, backend):
    stage.start()
    stage.say("cds", {"a": static_cluster("a", backend.port)})
    wait_until("it asks for listeners", lambda: stage.control.of("lds"))
    stage.say("cds", {"a": static_cluster("a", backend.port), "b": stage.eds_cluster("b")}, version="2")
    assert "error_detail" not in stage.say("lds", {"l": inline(stage, a="/a", b="/")})
    assert refuses(stage.port)
    stage.say("eds", {"b": assignment("b", backend.port)})
    wait_until("it is open", lambda: answers(stage.port))


def test_a_secret_of_the_bootstrap_stays(stage, backend, tmp_path):
    """Nobody needs it at first."""
    ca = Authority(tmp_path)
    stage.bootstrap["static_resources"]["secrets"] = list(secret("mine", ca.issue("mine", "DNS:mine.example")).values())
    begin(stage, backend, {"l": inline(stage, a="/")})
    listener = inline(stage, a="/")
    listener["filter_chains"][0]["transport_socket"] = {"name": "tls", "typed_config": {
        "@type": TLS + "DownstreamTlsContext", "common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": "mine"}]}}}
    assert "error_detail" not in stage.say("lds", {"l": listener}, version="2")
    wait_until("it serves", lambda: served_name(stage.port, ca, "mine.example"))
    assert not stage.control.of("sds")
