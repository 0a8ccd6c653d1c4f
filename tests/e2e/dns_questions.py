"""What a cluster's name server is asked: objects, and questions about them. CoreDNS is the judge: tests/e2e/dns/answers.txt holds what CoreDNS 1.15.0
(`kubernetes cluster.local in-addr.arpa ip6.arpa` with `pods insecure`) answered; `make conform` asks it again, tests/e2e/dns asks ours."""

ZONE = "cluster.local"


def service(name, ns="dns", **spec):
    ports = spec.pop("ports", [{"name": "http", "port": 80, "protocol": "TCP"}])
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": ns}, "spec": spec}
    if ports:
        spec["ports"] = ports
    return body


def slice_of(name, *endpoints, ns="dns", family="IPv4", suffix="", ports=(("http", 8080, "TCP"),)):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family, "endpoints": list(endpoints),
            "metadata": {"name": f"{name}-{family.lower()}{suffix}", "namespace": ns, "labels": {"kubernetes.io/service-name": name}},
            "ports": [{"name": n, "port": p, "protocol": proto} for n, p, proto in ports]}


def endpoint(*addresses, ready=True, **more):
    return {"addresses": list(addresses), "conditions": {"ready": ready, **more.pop("conditions", {})}, **more}


def external(name, target, **spec):
    return service(name, type="ExternalName", externalName=target, ports=None, **spec)


OBJECTS = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "dns"}},
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bare"}},
    # One of each: ClusterIP with endpoints, two ports and both families; headless; nobody there; nobody ready; early.
    service("web", clusterIP="10.96.9.1", ipFamilyPolicy="RequireDualStack",
            ports=[{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]),
    slice_of("web", endpoint("10.1.0.1"), endpoint("10.1.0.2", hostname="two"), ports=(("http", 8080, "TCP"), ("dns", 5353, "UDP"))),
    service("plain", clusterIP="10.96.9.2", ports=[{"port": 80, "protocol": "TCP"}]),
    slice_of("plain", endpoint("10.1.1.1"), ports=(("", 8080, "TCP"),)),
    service("none", clusterIP="10.96.9.3"),
    service("set", clusterIP="None"),
    slice_of("set", endpoint("10.1.2.1", hostname="set-0"), endpoint("10.1.2.2"), endpoint("10.1.2.3", ready=False, hostname="late")),
    slice_of("set", endpoint("fd00::1", hostname="set-0"), family="IPv6"),
    service("two", clusterIP="None", ports=[{"name": "a", "port": 1, "protocol": "TCP"}, {"name": "b", "port": 2, "protocol": "TCP"}]),
    slice_of("two", endpoint("10.1.3.1", hostname="x"), endpoint("10.1.3.2", hostname="y"), ports=(("a", 1001, "TCP"), ("b", 1002, "TCP"))),
    service("three", clusterIP="None"),
    slice_of("three", endpoint("10.1.4.1"), endpoint("10.1.4.2"), endpoint("10.1.4.3")),
    service("empty", clusterIP="None"),
    service("unready", clusterIP="None"),
    slice_of("unready", endpoint("10.1.5.1", ready=False, hostname="u")),
    service("early", clusterIP="None", publishNotReadyAddresses=True),
    slice_of("early", endpoint("10.1.6.1", ready=False, hostname="e")),
    service("portless", clusterIP="None", ports=None),
    slice_of("portless", endpoint("10.1.7.1", hostname="p"), ports=()),
    service("unnamed", clusterIP="None", ports=[{"port": 80, "protocol": "TCP"}]),
    slice_of("unnamed", endpoint("10.1.8.1"), ports=(("", 8080, "TCP"),)),
    external("out", "example.org"),
    external("dot", "example.org."),
    external("in", "web.dns.svc.cluster.local"),
    external("inset", "set.dns.svc.cluster.local"),
    external("gone", "nobody.dns.svc.cluster.local"),
    external("four", "plain.dns.svc.cluster.local"),
    external("ip", "192.0.2.7"),
    external("chain", "in.dns.svc.cluster.local"),
    external("ping", "pong.dns.svc.cluster.local"),
    external("pong", "ping.dns.svc.cluster.local"),
    external("ported", "example.org", ) | {"spec": {"type": "ExternalName", "externalName": "example.org", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}},
]


def reverse6(address):
    import socket
    return ".".join(reversed(socket.inet_pton(socket.AF_INET6, address).hex())) + ".ip6.arpa"


# (type, name, options of dns_wire.query). A name without a dot at its end stands in the zone.
QUESTIONS = [(t, n, {}) for n in (
    "web.dns.svc", "plain.dns.svc", "none.dns.svc", "set.dns.svc", "two.dns.svc", "three.dns.svc", "empty.dns.svc", "unready.dns.svc",
    "early.dns.svc", "portless.dns.svc") for t in ("A", "AAAA", "SRV")] + [(t, n, {}) for t, n in (
        ("TXT", "web.dns.svc"), ("MX", "web.dns.svc"), ("NS", "web.dns.svc"), ("CNAME", "web.dns.svc"), ("ANY", "web.dns.svc"), ("ANY", "set.dns.svc"), ("SOA", "web.dns.svc"),
        ("A", "WEB.Dns.svc"),
        # Endpoints by name.
        ("A", "two.web.dns.svc"), ("A", "10-1-0-1.web.dns.svc"), ("A", "10-1-0-2.web.dns.svc"), ("A", "10-1-0-9.web.dns.svc"), ("SRV", "two.web.dns.svc"),
        ("A", "set-0.set.dns.svc"), ("AAAA", "set-0.set.dns.svc"), ("A", "10-1-2-2.set.dns.svc"), ("A", "late.set.dns.svc"), ("A", "10-1-2-3.set.dns.svc"),
        ("AAAA", "fd00--1.set.dns.svc"), ("AAAA", "10-1-2-2.set.dns.svc"), ("SRV", "set-0.set.dns.svc"), ("TXT", "set-0.set.dns.svc"), ("A", "u.unready.dns.svc"), ("A", "e.early.dns.svc"),
        ("A", "p.portless.dns.svc"), ("A", "10-1-7-1.portless.dns.svc"), ("A", "SET-0.set.dns.svc"),
        # Ports.
        ("SRV", "_http._tcp.web.dns.svc"), ("SRV", "_dns._udp.web.dns.svc"), ("SRV", "_http._udp.web.dns.svc"), ("SRV", "_no._tcp.web.dns.svc"), ("SRV", "_HTTP._TCP.web.dns.svc"),
        ("A", "_http._tcp.web.dns.svc"), ("AAAA", "_http._tcp.plain.dns.svc"), ("SRV", "http.tcp.web.dns.svc"), ("SRV", "_http.tcp.web.dns.svc"),
        ("SRV", "_http._tcp.set.dns.svc"), ("SRV", "_a._tcp.two.dns.svc"), ("SRV", "_http._tcp.three.dns.svc"), ("SRV", "_http._tcp.empty.dns.svc"), ("A", "_http._tcp.set.dns.svc"),
        ("SRV", "_._tcp.plain.dns.svc"), ("SRV", "_._tcp.web.dns.svc"), ("SRV", "_http._tcp.plain.dns.svc"), ("SRV", "_._udp.plain.dns.svc"), ("SRV", "_._tcp.unnamed.dns.svc"),
        ("SRV", "unnamed.dns.svc"), ("SRV", "_http._tcp.none.dns.svc"), ("SRV", "_http._tcp.set-0.set.dns.svc"), ("SRV", "_http._tcp.none.bare.svc"), ("TXT", "_http._tcp.web.dns.svc"),
        # Aliases.
        ("A", "out.dns.svc"), ("CNAME", "out.dns.svc"), ("AAAA", "out.dns.svc"), ("SRV", "out.dns.svc"), ("TXT", "out.dns.svc"), ("MX", "out.dns.svc"), ("ANY", "out.dns.svc"), ("A", "dot.dns.svc"),
        ("A", "in.dns.svc"), ("AAAA", "in.dns.svc"), ("CNAME", "in.dns.svc"), ("SRV", "in.dns.svc"), ("TXT", "in.dns.svc"), ("A", "inset.dns.svc"),
        ("A", "gone.dns.svc"), ("AAAA", "gone.dns.svc"), ("CNAME", "gone.dns.svc"), ("A", "four.dns.svc"), ("AAAA", "four.dns.svc"),
        ("A", "ip.dns.svc"), ("CNAME", "ip.dns.svc"), ("A", "chain.dns.svc"), ("A", "ping.dns.svc"), ("SRV", "_http._tcp.ported.dns.svc"), ("A", "ported.dns.svc"), ("A", "x.out.dns.svc"),
        # Pods.
        ("A", "10-1-0-1.dns.pod"), ("A", "1-2-3-4.dns.pod"), ("AAAA", "1-2-3-4.dns.pod"), ("AAAA", "fd00--1.dns.pod"), ("A", "fd00--1.dns.pod"), ("A", "1-2-3-4.nowhere.pod"),
        ("A", "1-2-3.dns.pod"), ("A", "1-2-3-400.dns.pod"), ("A", "name.dns.pod"), ("A", "pod"), ("A", "dns.pod"), ("A", "nowhere.pod"), ("A", "x.1-2-3-4.dns.pod"), ("TXT", "1-2-3-4.dns.pod"), ("SRV", "1-2-3-4.dns.pod"),
        ("A", "1-2-3-4.bare.pod"),
        # The tree.
        ("A", ""), ("SOA", ""), ("TXT", ""), ("ANY", ""), ("A", "svc"), ("SOA", "svc"), ("NS", "svc"), ("A", "dns.svc"), ("A", "bare.svc"), ("A", "nowhere.svc"), ("A", "web.bare.svc"),
        ("A", "web.nowhere.svc"), ("A", "nobody.dns.svc"), ("A", "a.b.c.d.e.f.g.dns.svc"), ("A", "x"), ("A", "x.y"), ("A", "web.dns"), ("TXT", "dns-version"), ("A", "dns-version"), 
        ("A", "ns.dns.svc"), ("A", "*.dns.svc"), ("A", "web.*.svc"), ("SRV", "*.*.web.dns.svc"), ("A", "hostmaster"), ("A", "kubernetes.default.svc"), ("SRV", "_https._tcp.kubernetes.default.svc"),
        # The way back.
        ("PTR", "1.9.96.10.in-addr.arpa."), ("PTR", "1.0.1.10.in-addr.arpa."), ("PTR", "2.0.1.10.in-addr.arpa."), ("PTR", "1.2.1.10.in-addr.arpa."), ("PTR", "2.2.1.10.in-addr.arpa."), ("PTR", "3.2.1.10.in-addr.arpa."),
        ("PTR", reverse6("fd00::1") + "."), ("PTR", "1.5.1.10.in-addr.arpa."), ("PTR", "9.9.9.9.in-addr.arpa."), ("A", "1.0.1.10.in-addr.arpa."), ("PTR", "in-addr.arpa."), ("PTR", "1.0.1.in-addr.arpa."), ("PTR", "10.in-addr.arpa."),
        ("SOA", "in-addr.arpa."), ("PTR", "999.0.1.10.in-addr.arpa."), ("PTR", "x." + reverse6("fd00::1") + "."), ("PTR", "ip6.arpa."),
        # Not ours.
        ("A", "example.org."), ("A", "local."), ("A", "xcluster.local."), ("A", "cluster.local.org."), ("A", "."), ("NS", "."),
    )] + [("A", "web.dns.svc", o) for o in (
        {"edns": 1232}, {"edns": 1232, "version": 1}, {"rrclass": 3}, {"rrclass": 255}, {"rrclass": 4}, {"flags": 0x0110}, {"flags": 0}, {"flags": 0x0900}, {"flags": 0x2100},
    )] + [("AXFR", "", {}), ("SOA", "", {"rrclass": 3}), ("TXT", "dns-version", {"edns": 4096})]


# Where ours differs on purpose: why, and what it says.
NAME_IS_THERE = "the name is there with other types: NOERROR without records (RFC 2308); NXDOMAIN would deny all of them (RFC 8020)"
NOTHING_BELOW = "there is no such name: what stands below a pod's name or an address is not that pod or address"
DIFFERS = {
    "TXT cluster.local": (NAME_IS_THERE, ["NOERROR aa", "authority cluster.local SOA"]),
    "A dns-version.cluster.local": (NAME_IS_THERE, ["NOERROR aa", "authority cluster.local SOA"]),
    "A 1.0.1.10.in-addr.arpa": (NAME_IS_THERE, ["NOERROR aa", "authority in-addr.arpa SOA"]),
    "A x.1-2-3-4.dns.pod.cluster.local": (NOTHING_BELOW, ["NXDOMAIN aa", "authority cluster.local SOA"]),
    f"PTR x.{reverse6('fd00::1')}": (NOTHING_BELOW, ["NXDOMAIN aa", "authority ip6.arpa SOA"]),
    "A web.dns.svc.cluster.local flags=8448": ("a NOTIFY is no question (RFC 1996)", ["NOTIMP"]),
    "SRV 1-2-3-4.dns.pod.cluster.local": ("a pod has no ports that a name could say", ["NOERROR aa", "authority cluster.local SOA"]),
}


def full(name):
    """The name as it is asked, without the dot at its end."""
    return name[:-1] if name.endswith(".") else f"{name}.{ZONE}".strip(".")


def title(question):
    rrtype, name, options = question
    return " ".join([rrtype, full(name) or ".", *(f"{k}={v}" for k, v in options.items())])


def read_answers(path):
    """{title: lines} of a file of blocks: the question, then its answer's lines with two blanks before each."""
    answers, current = {}, None
    for line in path.read_text().splitlines():
        if line.startswith("  "):
            current.append(line[2:])
        elif line and not line.startswith("#"):
            current = answers.setdefault(line, [])
    return answers


def write_answers(path, answers, head):
    path.write_text(head + "".join(f"{t}\n" + "".join(f"  {line}\n" for line in lines) for t, lines in answers.items()))


def create_objects(api):
    """Puts OBJECTS into an API server. The IPv6 ClusterIP that the server chose for web."""
    chosen = None
    for o in OBJECTS:
        kind, meta = o["kind"], o["metadata"]
        path = {"Namespace": "/api/v1/namespaces", "Service": f"/api/v1/namespaces/{meta.get('namespace')}/services",
                "EndpointSlice": f"/apis/discovery.k8s.io/v1/namespaces/{meta.get('namespace')}/endpointslices"}[kind]
        reply = api.post(path, o)
        assert reply.status == 201, (o, reply.body)
        if meta["name"] == "web" and kind == "Service":
            chosen = reply.json["spec"]["clusterIPs"][1]
    return chosen
