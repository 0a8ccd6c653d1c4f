"""Who keeps which node port: by the name of the port, as a real API server does it."""
from api_server import service


def url(ns, name=None):
    return f"/api/v1/namespaces/{ns}/services" + (f"/{name}" if name else "")


def numbers(reply):
    """name -> node port."""
    assert reply.status in (200, 201), reply.body
    return {p.get("name", ""): p["nodePort"] for p in reply.json["spec"]["ports"]}


def node_port(*ports, name="s", **spec):
    return service(name, type="NodePort", ports=[dict(p) for p in ports], **spec)


def test_another_number_keeps_it(server, ns):
    had = numbers(server.post(url(ns), node_port({"port": 80})))
    assert numbers(server.put(url(ns, "s"), node_port({"port": 8080}))) == had, 'of the name ""'
    assert numbers(server.put(url(ns, "s"), node_port({"port": 8080, "protocol": "UDP"}))) == had


def test_two_names_that_swap_numbers_keep_their_own(server, ns):
    had = numbers(server.post(url(ns), node_port({"name": "a", "port": 80}, {"name": "b", "port": 81})))
    assert had["a"] != had["b"]
    assert numbers(server.put(url(ns, "s"), node_port({"name": "a", "port": 81}, {"name": "b", "port": 80}))) == had


def test_a_new_name_gets_a_new_one_by_replace_and_keeps_it_by_apply(server, ns):
    had = numbers(server.post(url(ns), node_port({"name": "a", "port": 80})))
    renamed = numbers(server.put(url(ns, "s"), node_port({"name": "b", "port": 80})))
    assert renamed["b"] != had["a"]
    patched = numbers(server.patch(url(ns, "s"), {"spec": {"ports": [{"name": "c", "port": 80}]}}, "strategic"))
    assert patched["c"] == renamed["b"], "strategic merge finds the port by its number"


def test_one_that_is_asked_for_elsewhere_is_not_kept(server, ns):
    had = numbers(server.post(url(ns), node_port({"name": "a", "port": 80}, {"name": "b", "port": 81})))
    now = numbers(server.put(url(ns, "s"), node_port({"name": "a", "port": 80}, {"name": "b", "port": 81, "nodePort": had["a"]})))
    assert now["b"] == had["a"] and now["a"] not in had.values()


def test_a_port_of_two_protocols(server, ns):
    both = [{"name": "t", "port": 53}, {"name": "u", "port": 53, "protocol": "UDP"}]
    had = numbers(server.post(url(ns), node_port(*both)))
    assert had["t"] == had["u"]
    one = numbers(server.post(url(ns), node_port(both[0], name="n")))
    now = numbers(server.put(url(ns, "n"), node_port(*both, name="n")))
    assert now["t"] == one["t"] and now["u"] != one["t"], "an update does not share"


def test_a_number_belongs_to_one_service(server, ns):
    had = numbers(server.post(url(ns), node_port({"port": 80})))[""]
    for protocol in ("TCP", "UDP", "SCTP"):
        reply = server.post(url(ns), node_port({"port": 80, "protocol": protocol, "nodePort": had}, name="t"))
        assert reply.status == 422 and "already allocated" in reply.json["message"]
    again = server.post(url(ns), node_port({"port": 80, "nodePort": had}))
    assert again.status == 422, "what is wrong is told before that the name is taken"


def test_what_goes_with_the_type(server, ns):
    lb = server.post(url(ns), service("s", type="LoadBalancer", externalTrafficPolicy="Local", loadBalancerClass="a.b/c")).json
    assert lb["spec"]["healthCheckNodePort"] and lb["spec"]["allocateLoadBalancerNodePorts"]
    assert server.patch(url(ns, "s") + "/status", {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}).json[
        "status"]["loadBalancer"]["ingress"] == [{"ip": "192.0.2.1", "ipMode": "VIP"}]
    now = server.patch(url(ns, "s"), {"spec": {"type": "ClusterIP"}}).json
    assert now["status"] == {"loadBalancer": {}}, "in the very answer"
    for member in ("externalTrafficPolicy", "allocateLoadBalancerNodePorts", "healthCheckNodePort", "loadBalancerClass"):
        assert member not in now["spec"]
    assert "nodePort" not in now["spec"]["ports"][0] and now["spec"]["clusterIP"] == lb["spec"]["clusterIP"]
    port = lb["spec"]["healthCheckNodePort"]
    assert server.post(url(ns), node_port({"port": 80, "nodePort": port}, name="t")).status == 201, "released"


def test_the_first_86_are_for_those_who_ask(server, ns):
    given = [numbers(server.post(url(ns), node_port({"port": 80}, name=f"s{i}")))[""] for i in range(20)]
    assert min(given) >= 30086 and len(set(given)) == 20
