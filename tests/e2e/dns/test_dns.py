"""Kubernetes DNS-Based Service Discovery 1.1.0, and what a name server owes to clients that are slow, many or hostile."""
import json
import os
import random
import socket
import struct
import subprocess
import time

import pytest

from api_server import Server
from conftest import Dns, create, read_message
from dns_wire import Message, query
from suite import SLOW, run, wait_until

HTTP = [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "udp", "port": 53, "protocol": "UDP"}]


def endpoint(*addresses, ready=True, **more):
    return {"addresses": list(addresses), "conditions": {"ready": ready}, **more}


@pytest.fixture(scope="module")
def world(dns, api):
    def service(name, ns="default", **spec):
        return create(api, "Service", name, ns, spec={"ports": HTTP, **spec})

    def slice_of(name, family, *endpoints, suffix=""):
        create(api, "EndpointSlice", f"{name}-{family.lower()}{suffix}", labels={"kubernetes.io/service-name": name},
               addressType=family, endpoints=list(endpoints), ports=[{"name": "http", "port": 8080, "protocol": "TCP"}])
    create(api, "Namespace", "other")
    dns.v6 = service("web", clusterIP="10.96.1.1", ipFamilyPolicy="RequireDualStack")["spec"]["clusterIPs"][1]
    service("web", "other", clusterIP="10.96.1.2")
    service("alias", type="ExternalName", externalName="example.org")
    service("set", clusterIP="None")
    slice_of("set", "IPv4", endpoint("10.1.0.1", hostname="set-0"), endpoint("10.1.0.2"))
    service("many", clusterIP="None")
    for k in range(3):
        slice_of("many", "IPv4", *[endpoint(f"10.2.{k}.{i}") for i in range(100)], suffix=f"-{k}")
    wait_until("all is known", lambda: len(dns.ask_tcp("many.default.svc.cluster.local").values) == 300)
    return dns


@pytest.mark.parametrize("name,rrtype", [("web.default.svc", "A"), ("web.other.svc", "AAAA"), ("alias.default.svc", "A"), ("set.default.svc", "SRV"), ("none.svc", "A"), ("", "A")])
def test_every_answer(world, name, rrtype):
    """What the table of answers (test_answers.py) does not ask."""
    full = f"{name}.cluster.local".strip(".")
    got = world.ask(full, rrtype)
    assert got.authoritative and got.question == full and got.id == 7
    assert bool(got.soa) == (not got.values), "a negative answer says for how long (RFC 2308)"
    assert all(r[3] <= 5 for r in got.answers + got.authority + got.additional)
    assert world.ask_tcp(full, rrtype).values == got.values


def test_malformed_reverse_names(world):
    nibbles = ".".join(reversed(socket.inet_pton(socket.AF_INET6, world.v6).hex()))
    assert world.ask(nibbles + ".ip6.arpa", "PTR").values == ["web.default.svc.cluster.local"]
    for name in ("999.1.96.10.in-addr.arpa", "1.96.10.in-addr.arpa", "0." + nibbles + ".ip6.arpa", "g" + nibbles[1:] + ".ip6.arpa"):
        assert world.ask(name, "PTR").rcode == "NXDOMAIN", name


def test_the_server_says_where_it_is(world, api):
    """CoreDNS: the Services that lead to it; if there are none, its own addresses under ns.dns."""
    # Labs of other tests come and go, and their links to the host with them.
    steady = {a["local"] for i in json.loads(run("ip", "-j", "addr")) if not i["ifname"].startswith("fl-") for a in i["addr_info"] if a["scope"] == "global"}
    got = world.ask("cluster.local", "NS")
    told = {r[2] for r in got.additional}
    addresses = sorted(a for a in told if ":" not in a)
    if not steady or not addresses:
        pytest.skip("this machine has no address but loopback")
    assert got.values == ["ns.dns.cluster.local"] and steady <= told
    assert world.ask("ns.dns.cluster.local").values == addresses
    create(api, "Service", "self", spec={"clusterIP": "10.96.1.9", "ports": HTTP})
    create(api, "EndpointSlice", "self", labels={"kubernetes.io/service-name": "self"}, addressType="IPv4", endpoints=[endpoint(addresses[0])], ports=[])
    wait_until("the Service is known", lambda: world.ask("cluster.local", "NS").values == ["self.default.svc.cluster.local"])
    assert [r[2] for r in world.ask("in-addr.arpa", "NS").additional] == ["10.96.1.9"]
    assert world.ask("ns.dns.cluster.local").values == ["10.96.1.9"]


def test_the_serial_tells_the_last_change(world, api):
    before = serial(world.ask("cluster.local", "SOA"))
    assert abs(before - time.time()) < 600
    wait_until("a second is over", lambda: time.time() > before + 1)
    create(api, "Service", "serial", spec={"clusterIP": "10.96.1.10", "ports": HTTP})
    wait_until("the change is told", lambda: serial(world.ask("cluster.local", "SOA")) > before)


def serial(message):
    return struct.unpack(">I", message.answers[0][2][-20:-16])[0]


def test_a_namespace_is_there_without_services(world, api):
    assert world.ask("late.svc.cluster.local").rcode == "NXDOMAIN"
    create(api, "Namespace", "late")
    wait_until("it is there", lambda: world.ask("late.svc.cluster.local").rcode == "NOERROR")
    assert world.ask("1-2-3-4.late.pod.cluster.local").values == ["1.2.3.4"]


@pytest.mark.parametrize("name", ["example.org", "local", "xcluster.local", "cluster.local.org", ""])
def test_nothing_is_forwarded(world, name):
    assert world.ask(name).rcode == "REFUSED"


def test_every_endpoint_is_told_first_at_times(world):
    """Clients take the first address: the order is by chance."""
    first = {Message(world.udp(query("set.default.svc.cluster.local"))).answers[0][2] for _ in range(100)}
    assert first == {"10.1.0.1", "10.1.0.2"}


@pytest.mark.parametrize("edns,limit", [(None, 512), (100, 512), (800, 800), (4096, 4096), (65535, 4096)])
def test_answers_too_long_for_a_datagram(world, edns, limit):
    raw = world.udp(query("many.default.svc.cluster.local", edns=edns))
    got = Message(raw)
    assert got.truncated and len(raw) <= limit and len(got.answers) < 300
    assert len(raw) > limit - 40, "as many as fit"
    whole = world.ask_tcp("many.default.svc.cluster.local")
    assert not whole.truncated and len(whole.values) == 300
    assert bool(got.additional) == bool(edns), "EDNS is answered with EDNS"


def test_what_does_not_fit_costs_nothing(world, api):
    """A hundred thousand SRV records are not written one by one to tell the first seven: one name would hold up all others."""
    create(api, "Service", "wide", spec={"clusterIP": "None", "ports": [{"port": 1000}]})
    ports = [{"name": f"p{i}", "port": 1000 + i, "protocol": "TCP"} for i in range(100)]
    for i in range(10):
        create(api, "EndpointSlice", f"wide-{i}", labels={"kubernetes.io/service-name": "wide"}, addressType="IPv4", ports=ports,
               endpoints=[endpoint(f"10.9.{i}.{k}") for k in range(1, 101)])
    wait_until("all are known", lambda: len(world.ask_tcp("wide.default.svc.cluster.local").answers) == 1000)
    before = cpu_s(world.process.pid)
    for _ in range(100):
        m = world.ask("wide.default.svc.cluster.local", "SRV")
        assert m.truncated and len(m.answers) > 5
    assert cpu_s(world.process.pid) - before < 1 * SLOW


@pytest.mark.parametrize("data,want", [
    (query("x.org")[:11], None),
    (query("x.org", flags=0x8100), None),  # an answer: two servers would talk for ever
    (query("x.org")[:12], "FORMERR"),
    (query("x.org")[:-1], "FORMERR"),
    (query("x.org")[:4] + b"\0\2" + query("x.org")[6:], "FORMERR"),
    (query("x.org")[:12] + b"\xc0\x0c\0\1\0\1", "FORMERR"),  # a name that points to itself
    (query("x.org")[:12] + b"\x3f" + b"a" * 10, "FORMERR"),
    (query("x.org", flags=0x2800), "NOTIMP"),  # an update
])
def test_malformed_queries(world, data, want):
    got = world.udp(data, timeout=0.2 if want is None else 2)
    assert (got and Message(got).rcode) == want


def test_noise_does_no_harm(world):
    rng = random.Random(5)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for _ in range(3000):
            data = bytearray(query("set.default.svc.cluster.local", rng.choice(["A", "SRV", "ANY"]), edns=1232))
            for _ in range(rng.randrange(8)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            s.sendto(data[:rng.randrange(len(data) + 1)], ("127.0.0.1", world.port))
    # Datagrams that the flood left no room for are lost, as UDP has it: a client asks again.
    wait_until("it still answers", lambda: (got := world.udp(query("web.default.svc.cluster.local"))) and Message(got).values == ["10.96.1.1"])
    assert world.process.poll() is None


def test_answers_leave_from_the_address_asked(world):
    for host in ("127.0.0.1", "127.0.0.2", "::1"):
        assert Message(world.udp(query("web.default.svc.cluster.local"), host=host)).values == ["10.96.1.1"]


# ---- streams ----

def framed(*names):
    return b"".join(struct.pack(">H", len(q)) + q for q in (query(n + ".default.svc.cluster.local", ident=i) for i, n in enumerate(names)))


def test_several_queries_on_a_stream_in_pieces_and_at_once(world):
    with world.connect() as s:
        for byte in framed("web"):
            s.sendall(bytes([byte]))
        assert read_message(s).values == ["10.96.1.1"]
        s.sendall(framed("set", "web", "set-0.set"))
        s.shutdown(socket.SHUT_WR)
        got = [read_message(s) for _ in range(3)]
        assert [(m.id, len(m.values)) for m in got] == [(0, 2), (1, 1), (2, 1)]
        assert s.recv(1) == b"", "closed once all is answered"


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_kib(pid):
    return next(int(line.split()[1]) for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS"))


def test_a_stream_whose_answers_are_not_read_is_not_read_from(world):
    """100 bytes ask for 5 KB: without a bound the answers would fill the memory."""
    before = rss_kib(world.process.pid)
    ask = framed(*["many"] * 100)
    with world.connect(timeout=1) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 20_000_000:
                sent += s.send(ask)
        assert rss_kib(world.process.pid) - before < 8192 * SLOW
        s.settimeout(20 * SLOW)
        for _ in range(200):
            assert len(read_message(s).values) == 300, "it goes on where it stopped"


def test_the_oldest_stream_makes_room_and_idle_ones_are_closed(world):
    idle = [world.connect(30) for _ in range(256)]
    assert world.ask_tcp("web.default.svc.cluster.local").values == ["10.96.1.1"]
    assert idle[0].recv(1) == b"", "the oldest made room"
    for s in idle[1:]:
        assert s.recv(1) == b""
    for s in idle:
        s.close()


# ---- the API server away ----

def test_before_the_first_list_names_are_not_denied(tmp_path):
    """NXDOMAIN would be remembered by clients; SERVFAIL makes them ask again."""
    api = Server(tmp_path).start()
    api.stop()
    dns = Dns(api).start()
    try:
        assert dns.ask("kubernetes.default.svc.cluster.local").rcode == "SERVFAIL"
        assert dns.ask_tcp("kubernetes.default.svc.cluster.local").rcode == "SERVFAIL"
        assert (dns.http(dns.ready_port, "/ready"), dns.http(dns.ready_port, "/health")) == (503, 200)
        api.start()
        wait_until("it is ready", lambda: dns.http(dns.ready_port, "/ready") == 200)
        assert dns.ask("kubernetes.default.svc.cluster.local").values == ["10.96.0.1"]
        api.stop()
        assert dns.ask("kubernetes.default.svc.cluster.local").values == ["10.96.0.1"], "what was known stays known"
        assert dns.http(dns.ready_port, "/ready") == 200
    finally:
        api.stop()
        assert dns.stop() == 0


def test_a_port_that_is_taken(world, api):
    done = subprocess.run([*world.process.args], capture_output=True, text=True, timeout=10 * SLOW, check=False)
    assert done.returncode == 1 and f"port {world.port}" in done.stderr and "in use" in done.stderr
