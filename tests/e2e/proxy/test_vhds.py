"""Virtual hosts that come by themselves (VHDS): each changes alone, whatever the others do."""
import json
import urllib.request

import pytest
from ads_stage import ADS
from backend import Backend
from suite import free_ports, wait_until
from test_dynamic import assignment, static_cluster
from test_last_good import Kept
from conftest import Client

OUTER = {"name": "routes", "vhds": {"config_source": ADS}}


@pytest.fixture
def other():
    b = Backend()
    yield b
    b.close()


def host(name, cluster, **more):
    return {"name": name, "domains": [name + ".example"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": cluster}}]} | more


def asked(port, name):
    """The status for a host; None: nobody listens."""
    try:
        return Client(port).ask(f"GET / HTTP/1.1\r\nHost: {name}.example\r\n\r\n".encode())[0]
    except OSError:
        return None


def becomes(stage, name, status):
    wait_until(f"{name} answers {status}", lambda: asked(stage.port, name) == status)


def serve(stage, backend, hosts, **more):
    """What they name is cluster a; b is there too."""
    assert "error_detail" not in stage.say("cds", {"a": static_cluster("a", backend.port), "b": static_cluster("b", backend.port)})
    wait_until("it asks for listeners", lambda: stage.control.of("lds"))
    assert "error_detail" not in stage.say("lds", {"l": stage.listener()})
    wait_until("it asks for routes", lambda: stage.control.of("rds"))
    assert "error_detail" not in stage.say("rds", {"routes": OUTER})
    wait_until("it asks for hosts", lambda: stage.control.of("vhds"))
    assert stage.control.of("vhds")[0]["resource_names_subscribe" if stage.control.delta else "resource_names"] == ["routes"]
    return stage.say("vhds", hosts, **more)


def change(stage, now, names, removed=(), version="2"):
    """Of what there is now these are told: in the state of the world, all."""
    told = {n: h for n, h in now.items() if not stage.control.delta or n in names}
    return stage.say("vhds", told, removed=removed, version=version)


def test_hosts_come_change_and_go(stage, backend):
    stage.start()
    now = {"routes/a": host("a", "a"), "routes/b": host("b", "a")}
    assert "error_detail" not in serve(stage, backend, now)
    becomes(stage, "a", 200)
    assert asked(stage.port, "b") == 200 and asked(stage.port, "c") == 404
    now |= {"routes/c": host("c", "b"), "routes/b": {"name": "b", "domains": ["b.example"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 418}}]}}
    assert "error_detail" not in change(stage, now, ["routes/b", "routes/c"])
    becomes(stage, "b", 418)
    assert asked(stage.port, "c") == 200 and asked(stage.port, "a") == 200
    del now["routes/a"]
    assert "error_detail" not in change(stage, now, [], removed=["routes/a"], version="3")
    becomes(stage, "a", 404)
    assert asked(stage.port, "b") == 418
    # what is around them changes without them
    outer = OUTER | {"response_headers_to_add": [{"header": {"key": "x-outer", "value": "1"}}]}
    assert "error_detail" not in stage.say("rds", {"routes": outer}, version="2")
    got = []
    wait_until("hosts are there under the other table", lambda: got.append(Client(stage.port).ask(b"GET / HTTP/1.1\r\nHost: c.example\r\n\r\n")) or "x-outer" in str(got[-1]))
    assert got[-1][0] == 200 and asked(stage.port, "b") == 418
    # they come with their table from now on
    whole = {"name": "routes", "virtual_hosts": [host("d", "a")]}
    assert "error_detail" not in stage.say("rds", {"routes": whole}, version="3")
    becomes(stage, "d", 200)
    assert asked(stage.port, "b") == 404
    if stage.control.delta:
        wait_until("they are asked for no more", lambda: [r for r in stage.control.of("vhds") if r.get("resource_names_unsubscribe") == ["routes"]])


def test_what_is_wrong_is_refused_and_the_rest_taken(stage, backend):
    stage.start()
    now = {"routes/a": host("a", "a"), "routes/bad": host("bad", "a", routes=[{"match": {"safe_regex": {"regex": "("}}, "redirect": {}}])}
    answer = serve(stage, backend, now)
    assert answer["error_detail"]["message"].startswith("routes/bad: "), answer
    becomes(stage, "a", 200)
    assert asked(stage.port, "bad") == 404


def test_two_with_one_domain(stage, backend):
    """Nobody can say which is right: all that came with them is refused, what was there stays."""
    stage.start()
    now = {"routes/a": host("a", "a")}
    serve(stage, backend, now)
    becomes(stage, "a", 200)
    both = now | {"routes/new": host("new", "a"), "routes/x": host("x", "a", domains=["x.example", "a.example"])}
    answer = change(stage, both, ["routes/new", "routes/x"])
    assert "domain a.example is there twice" in answer["error_detail"]["message"]
    assert asked(stage.port, "new") == 404 and asked(stage.port, "a") == 200
    moved = {"routes/new": host("new", "a"), "routes/x": both["routes/x"]}
    assert "error_detail" not in change(stage, moved, ["routes/new", "routes/x"], removed=["routes/a"], version="3")
    becomes(stage, "new", 200)
    assert asked(stage.port, "a") == 200 and asked(stage.port, "x") == 200


def test_hosts_wait_for_their_cluster(stage, backend, other):
    stage.start()
    now = {"routes/a": host("a", "a"), "routes/b": host("b", "a")}
    serve(stage, backend, now)
    becomes(stage, "a", 200)
    stage.say("cds", {"a": static_cluster("a", backend.port), "b": static_cluster("b", backend.port), "late": stage.eds_cluster("late")}, version="2")
    wait_until("it asks for endpoints", lambda: stage.control.of("eds"))
    now = {"routes/a": host("a", "late"), "routes/b": host("b", "late")}
    assert "error_detail" not in change(stage, now, now)
    if stage.control.delta:  # it goes only when nobody names it: hosts in force do, whatever waits to replace them
        leave(stage, "a")
    assert [asked(stage.port, n) for n in "ab" * 10] == [200] * 20 and not other.requests
    stage.say("eds", {"late": assignment("late", other.port)})
    wait_until("the new ones serve", lambda: asked(stage.port, "a") == 200 and len(other.requests) > 1)


def leave(stage, cluster):
    stage.say("cds", {}, version="3", removed=[cluster])
    stage.say("cds", {}, version="4")  # it has gone on since


def test_a_cluster_that_hosts_name_stays(stage, backend):
    stage.start()
    serve(stage, backend, {"routes/a": host("a", "a"), "routes/b": host("b", "b")})
    becomes(stage, "a", 200)
    if stage.control.delta:
        leave(stage, "a")
    else:
        stage.say("cds", {"b": static_cluster("b", backend.port)}, version="3")
        stage.say("cds", {"b": static_cluster("b", backend.port)}, version="4")
    assert [asked(stage.port, "a") for _ in range(20)] == [200] * 20


def test_a_table_without_hosts(stage, backend):
    stage.start()
    serve(stage, backend, {}, removed=["routes"] if stage.control.delta else ())
    becomes(stage, "a", 404)


def test_nobody_is_served_by_a_table_without_its_hosts(stage, backend):
    stage.start()
    stage.say("cds", {"a": static_cluster("a", backend.port)})
    wait_until("it asks for listeners", lambda: stage.control.of("lds"))
    assert "error_detail" not in stage.say("lds", {"l": stage.listener()})
    wait_until("it asks for routes", lambda: stage.control.of("rds"))
    stage.say("rds", {"routes": OUTER})
    wait_until("it asks for hosts", lambda: stage.control.of("vhds"))
    stage.say("cds", {"a": static_cluster("a", backend.port), "b": static_cluster("b", backend.port)}, version="2")  # it has gone on since
    assert [asked(stage.port, "a") for _ in range(20)] == [None] * 20
    stage.say("vhds", {"routes/a": host("a", "a")})
    becomes(stage, "a", 200)


def test_hosts_that_do_not_come_hold_nothing_up_for_ever(stage, backend):
    stage.start()
    stage.say("cds", {"a": static_cluster("a", backend.port)})
    wait_until("it asks for listeners", lambda: stage.control.of("lds"))
    assert "error_detail" not in stage.say("lds", {"l": stage.listener()})
    wait_until("it asks for routes", lambda: stage.control.of("rds"))
    stage.say("rds", {"routes": {"name": "routes", "virtual_hosts": [host("own", "a")], "vhds": {"config_source": ADS | {"initial_fetch_timeout": "0.2s"}}}})
    becomes(stage, "own", 200)
    stage.say("vhds", {"routes/a": host("a", "a")})
    becomes(stage, "a", 200)
    assert asked(stage.port, "own") == 200


def test_the_dump_has_them_in_their_table(stage, backend):
    admin = free_ports(1)[0]
    stage.bootstrap["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}}
    stage.start()
    serve(stage, backend, {"routes/b": host("b", "a"), "routes/a": host("a", "a")})
    becomes(stage, "a", 200)
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/config_dump?resource=dynamic_route_configs") as r:
        table = json.load(r)["configs"][0]["route_config"]
    assert table["name"] == "routes" and [h["name"] for h in table["virtual_hosts"]] == ["a", "b"] and "vhds" in table


def test_a_start_without_a_control_plane(stage, backend):
    kept = Kept(stage)
    kept.start()
    serve(stage, backend, {"routes/a": host("a", "a"), "routes/b": host("b", "a")})
    becomes(stage, "a", 200)
    change(stage, {"routes/a": host("a", "a")}, [], removed=["routes/b"])
    becomes(stage, "b", 404)
    kept.kept("a.example")
    wait_until("what went is not kept", lambda: b"b.example" not in kept.file.read_bytes())
    kept.kill()
    kept.start(wait=False)
    becomes(stage, "a", 200)
    assert asked(stage.port, "b") == 404


def test_what_went_beside_what_is_refused_has_gone(stage, backend):
    """It is not told again, and its domain is free for what comes in its place."""
    stage.start()
    now = {"routes/a": host("a", "a"), "routes/z": host("z", "a")}
    serve(stage, backend, now)
    becomes(stage, "a", 200)
    wrong = {"routes/y": host("y", "a", domains=["a.example", "z.example"]), "routes/z": now["routes/z"]}
    answer = change(stage, wrong, ["routes/y"], removed=["routes/a"])
    assert "domain z.example is there twice" in answer["error_detail"]["message"]
    becomes(stage, "a", 404)
    right = wrong | {"routes/y": host("y", "a", domains=["a.example"])}
    assert "error_detail" not in change(stage, right, ["routes/y"], version="3")
    becomes(stage, "a", 200)
    assert asked(stage.port, "z") == 200


def test_hosts_that_came_with_their_table_serve_until_others_come(stage, backend):
    stage.start()
    assert "error_detail" not in stage.say("cds", {"a": static_cluster("a", backend.port)})
    wait_until("it asks for listeners", lambda: stage.control.of("lds"))
    assert "error_detail" not in stage.say("lds", {"l": stage.listener()})
    wait_until("it asks for routes", lambda: stage.control.of("rds"))
    stage.say("rds", {"routes": {"name": "routes", "virtual_hosts": [host("a", "a")]}})
    becomes(stage, "a", 200)
    assert "error_detail" not in stage.say("rds", {"routes": OUTER}, version="2")
    wait_until("it asks for hosts", lambda: stage.control.of("vhds"))
    stage.say("cds", {"a": static_cluster("a", backend.port)}, version="2")  # it has gone on since
    assert [asked(stage.port, "a") for _ in range(20)] == [200] * 20
    now = {"routes/a": host("a", "a"), "routes/b": host("b", "a")}
    assert "error_detail" not in stage.say("vhds", now)
    becomes(stage, "b", 200)
    assert asked(stage.port, "a") == 200


@pytest.mark.parametrize("stage", ["delta"], indirect=True)  # there alone is a word for one cluster's going
def test_what_hosts_name_stays_until_the_table_that_has_its_own(stage, backend, other):
    stage.start()
    serve(stage, backend, {"routes/a": host("a", "a")})
    becomes(stage, "a", 200)
    stage.say("cds", {"late": stage.eds_cluster("late")}, version="2")
    wait_until("it asks for endpoints", lambda: stage.control.of("eds"))
    assert "error_detail" not in stage.say("rds", {"routes": {"name": "routes", "virtual_hosts": [host("a", "late")]}}, version="2")
    leave(stage, "a")
    assert [asked(stage.port, "a") for _ in range(20)] == [200] * 20 and not other.requests
    stage.say("eds", {"late": assignment("late", other.port)})
    wait_until("the new one serves", lambda: asked(stage.port, "a") == 200 and other.requests)
