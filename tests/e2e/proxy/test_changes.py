"""Changes of the configuration that a request, a connection or a descriptor could fall over; found by `make interop`, which makes them at random."""
import os
import signal
import socket

from backend import Backend
from conftest import Client
from listeners import TYPE, log
from suite import free_ports, wait_until
from test_dynamic import GET, HCM, ROUTER, answers, answers_at, assignment, static_cluster, status, table


def inline(stage, name="l", port=None, logs=(), **routes):
    """A listener with its table in place."""
    hcm = {"@type": HCM, "stat_prefix": "x", "http_filters": [ROUTER], "access_log": list(logs),
           "route_config": {k: v for k, v in table("t", *((p, c) for c, p in routes.items())).items() if k != "@type"}}
    return stage.listener(port, name) | {"filter_chains": [{"filters": [{"name": "hcm", "typed_config": hcm}]}]}


def begin(stage, backend, resources):
    stage.start()
    assert "error_detail" not in stage.say("cds", {"a": static_cluster("a", backend.port)})
    wait_until("it asks for listeners", lambda: stage.control.of("lds"))
    assert "error_detail" not in stage.say("lds", resources)
    wait_until("it serves", lambda: answers(stage.port))


def test_another_listener_takes_the_address_in_the_same_response(stage, backend):
    begin(stage, backend, {"l": inline(stage, a="/")})
    answer = stage.say("lds", {"m": inline(stage, "m", a="/")}, version="2", removed=["l"])
    assert "error_detail" not in answer
    wait_until("the other one serves", lambda: answers(stage.port))


def test_an_open_connection_goes_by_the_newest_routes_written_in_place(stage, backend):
    """The cluster that the old ones named is gone."""
    begin(stage, backend, {"l": inline(stage, a="/")})
    old = Client(stage.port)
    assert old.ask(GET.format("/"))[0] == 200
    stage.say("cds", {"b": static_cluster("b", backend.port)}, version="2", removed=["a"])
    stage.say("lds", {"l": inline(stage, b="/new")}, version="2")
    wait_until("the new routes serve", lambda: status(stage.port, "/old") == 404)
    assert old.ask(GET.format("/new"))[0] == 200
    assert old.ask(GET.format("/old"))[0] == 404, "what is gone is gone for it, too"
    old.close()


def test_an_open_connection_goes_on_when_its_routes_move_from_the_listener_to_a_table_and_back(stage, backend):
    begin(stage, backend, {"l": inline(stage, a="/")})
    old = Client(stage.port)
    assert old.ask(GET.format("/1"))[0] == 200
    both = {"a": static_cluster("a", backend.port), "b": static_cluster("b", backend.port)}
    stage.say("cds", both, version="2")
    stage.say("lds", {"l": stage.listener()}, version="2")
    wait_until("it asks for the table", lambda: stage.control.of("rds"))
    stage.say("rds", {"routes": table("routes", ("/2", "b"))})
    wait_until("the table serves", lambda: status(stage.port, "/1") == 404)
    assert old.ask(GET.format("/2"))[0] == 200
    middle = Client(stage.port)
    assert middle.ask(GET.format("/2"))[0] == 200
    stage.say("lds", {"l": inline(stage, a="/3")}, version="3")
    wait_until("the listener's own serve", lambda: status(stage.port, "/2") == 404)
    assert [c.ask(GET.format("/3"))[0] for c in (old, middle)] == [200, 200]


def test_a_cluster_that_a_tcp_proxy_names_stays(stage, backend):
    def tcp(cluster):
        config = {"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "x", "cluster": cluster}
        return stage.listener() | {"filter_chains": [{"filters": [{"name": "tcp", "typed_config": config}]}]}

    begin(stage, backend, {"l": tcp("a")})
    assert status(stage.port) == 200
    stage.say("cds", {"b": static_cluster("b", backend.port)}, version="2", removed=["a"])
    for _ in range(20):
        assert status(stage.port) == 200
    stage.say("lds", {"l": tcp("b")}, version="2")
    for _ in range(20):
        assert status(stage.port) == 200


def test_logs_of_what_was_replaced_are_closed(stage, backend, tmp_path):
    begin(stage, backend, {"l": inline(stage, logs=log(tmp_path / "log", "0"), a="/")})
    keep, files = Client(stage.port), f"/proc/{stage.proxy.process.pid}/fd"

    def open_logs():
        return [f for f in os.listdir(files) if os.path.exists(f"{files}/{f}") and os.readlink(f"{files}/{f}") == str(tmp_path / "log")]

    assert keep.ask(GET.format("/"))[0] == 200
    other = free_ports(1)[0]
    for turn in range(1, 20):
        stage.say("lds", {"l": inline(stage, a="/", logs=log(tmp_path / "log", str(turn))), "m": inline(stage, "m", other, a=f"/{turn}")}, version=str(turn + 1))
        wait_until("the turn serves", lambda: answers_at(other, f"/{turn}"))
        assert status(stage.port) == 200
    assert len(open_logs()) <= 4, "the first connection's, the one in force, the one before it"
    keep.close()
    stage.stop()
    lines = (tmp_path / "log").read_text().split()
    assert sorted(set(map(int, lines))) == list(range(20)), "each has written its lines"


def filtered(stage, filters, name="l"):
    listener = inline(stage, name, a="/")
    listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"] = [*filters, ROUTER]
    return listener


def test_an_open_connection_goes_by_the_newest_filters(stage, backend):
    """A policy counts from the moment it is in force, for everybody."""
    begin(stage, backend, {"l": inline(stage, a="/")})
    old = Client(stage.port)
    assert old.ask(GET.format("/"))[0] == 200
    deny = {"name": "envoy.filters.http.rbac", "typed_config": {"@type": TYPE + "filters.http.rbac.v3.RBAC", "rules": {"action": "ALLOW", "policies": {}}}}
    stage.say("lds", {"l": filtered(stage, [deny])}, version="2")
    wait_until("it is in force", lambda: status(stage.port) == 403)
    assert old.ask(GET.format("/"))[0] == 403
    stage.say("lds", {"m": inline(stage, "m", free_ports(1)[0], a="/")}, version="3", removed=["l"])
    wait_until("the listener has gone", lambda: not answers(stage.port) and refuses(stage.port))
    assert old.ask(GET.format("/"))[0] == 403, "what it had last"


def refuses(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) != 0


def test_the_cluster_of_an_authorization_server_is_waited_for_and_stays(stage, backend):
    server = Backend()  # answers 200 to everything

    def authz(cluster):
        return {"name": "envoy.filters.http.ext_authz", "typed_config": {"@type": TYPE + "filters.http.ext_authz.v3.ExtAuthz", "http_service": {
            "server_uri": {"uri": "http://x", "cluster": cluster, "timeout": "5s"}}}}

    a, z = {"a": static_cluster("a", backend.port)}, {"z": static_cluster("z", server.port)}
    begin(stage, backend, {"l": inline(stage, a="/")})
    stage.say("cds", a | z, version="2")
    stage.say("lds", {"l": filtered(stage, [authz("z")])}, version="2")
    wait_until("it is asked", lambda: status(stage.port) == 200 and server.requests)
    old = Client(stage.port)
    assert old.ask(GET.format("/"))[0] == 200
    stage.say("cds", a | {"y": stage.eds_cluster("y")}, version="3", removed=["z"])
    stage.say("lds", {"l": filtered(stage, [authz("y")])}, version="3")
    wait_until("endpoints are asked for", lambda: stage.control.of("eds"))
    assert [status(stage.port), old.ask(GET.format("/"))[0]] == [200, 200], "the next one has none yet"
    seen = len(server.requests)
    stage.say("eds", {"y": assignment("y", server.port)})
    wait_until("the next one is asked", lambda: status(stage.port) == 200 and len(server.requests) > seen)
    assert old.ask(GET.format("/"))[0] == 200
    server.close()


def test_a_tcp_listener_waits_for_its_cluster(stage, backend):
    stage.start()
    stage.say("cds", {"a": static_cluster("a", backend.port)})
    wait_until("it asks for listeners", lambda: stage.control.of("lds"))
    stage.say("cds", {"a": static_cluster("a", backend.port), "b": stage.eds_cluster("b")}, version="2")
    config = {"@type": TYPE + "filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "x", "cluster": "b"}
    stage.say("lds", {"l": stage.listener() | {"filter_chains": [{"filters": [{"name": "tcp", "typed_config": config}]}]}})
    assert refuses(stage.port)
    stage.say("eds", {"b": assignment("b", backend.port)})
    wait_until("it is open", lambda: not refuses(stage.port))
    assert status(stage.port) == 200


def asked(stage, kind):
    names = set()
    for r in stage.control.of(kind):
        if stage.control.delta:
            names = (names | set(r.get("resource_names_subscribe", []))) - set(r.get("resource_names_unsubscribe", []))
        else:
            names = set(r.get("resource_names", []))
    return names


def test_a_table_that_nobody_needs_is_given_up_and_asked_for_again(stage, backend):
    a = {"a": static_cluster("a", backend.port)}
    begin_with_table(stage, backend)
    stage.say("lds", {"m": inline(stage, "m", a="/")}, version="2", removed=["l"])

    def given_up():
        stage.say("cds", a | {f"c{len(stage.control.requests)}": static_cluster("x", backend.port) | {"name": f"c{len(stage.control.requests)}"}}, version=str(len(stage.control.requests)))
        return asked(stage, "rds") == set()

    wait_until("the table is given up, at a change", given_up)
    stage.say("lds", {"m": stage.listener(name="m")}, version="3")
    wait_until("it is asked for again", lambda: asked(stage, "rds") == {"routes"})
    stage.say("rds", {"routes": table("routes", ("/again", "a"))}, version="2")
    wait_until("it is in force", lambda: answers_at(stage.port, "/again"))


def begin_with_table(stage, backend):
    stage.start()
    stage.say("cds", {"a": static_cluster("a", backend.port)})
    wait_until("it asks for listeners", lambda: stage.control.of("lds"))
    stage.say("lds", {"l": stage.listener()})
    wait_until("it asks for routes", lambda: stage.control.of("rds"))
    stage.say("rds", {"routes": table("routes", ("/", "a"))})
    wait_until("it serves", lambda: answers(stage.port))


def test_a_listener_moves_to_another_port(stage, backend):
    begin(stage, backend, {"l": inline(stage, a="/")})
    other = free_ports(1)[0]
    stage.say("lds", {"l": inline(stage, port=other, a="/")}, version="2")
    wait_until("it is there", lambda: answers(other))
    wait_until("and not here", lambda: refuses(stage.port))


def test_nothing_new_listens_while_it_drains(stage, backend):
    begin(stage, backend, {"l": inline(stage, a="/")})
    busy = Client(stage.port)
    busy.send(GET.format("/wait"))
    wait_until("a request runs", lambda: backend.requests and backend.requests[-1].target == "/wait")
    stage.proxy.process.send_signal(signal.SIGTERM)
    wait_until("it drains", lambda: refuses(stage.port))
    other = free_ports(1)[0]
    stage.say("lds", {"l": inline(stage, a="/"), "m": inline(stage, "m", other, a="/")}, version="2")
    for _ in range(10):
        assert refuses(other) and refuses(stage.port)
    backend.release.set()
    assert busy.answer()[0] == 200
    stage.proxy.stop()


def still_open(backend):
    return [s for s in backend.sockets if s.fileno() != -1]


def test_connections_to_what_has_gone_end_and_others_stay(stage, backend):
    other = Backend()
    stage.start()
    stage.serve(backend)
    client = Client(stage.port)
    for _ in range(3):
        assert client.ask(GET.format("/"))[0] == 200
    used = backend.requests[-1].connection
    stage.say("eds", {"a": assignment("a", backend.port, other.port)}, version="2")
    wait_until("the other one is asked", lambda: client.ask(GET.format("/"))[0] == 200 and other.requests)
    assert {r.connection for r in backend.requests[-2:]} == {used}, "the connection stays in the pool"
    stage.say("eds", {"a": assignment("a", other.port)}, version="3")
    wait_until("connections to what has gone are closed", lambda: client.ask(GET.format("/"))[0] == 200 and not still_open(backend))
    stage.say("rds", {"routes": table("routes", ("/", "b"))}, version="2")
    stage.say("cds", {"b": static_cluster("b", backend.port)}, version="2", removed=["a"])
    wait_until("those of a cluster that has gone, too", lambda: client.ask(GET.format("/"))[0] == 200 and not still_open(other))
    other.close()
