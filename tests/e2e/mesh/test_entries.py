"""ServiceEntries and WorkloadEntries, and the DNS of sidecars that answers their names."""
import json
import re

import lab_harness
import pytest
import sidecar
from suite import ROOT, wait_until

DNS = {"name": "ISTIO_META_DNS_CAPTURE", "value": "true"}


class Entries:
    def __init__(self, mesh):
        self.mesh, self.lab = mesh, mesh.lab
        for crd in ("serviceentries", "workloadentries", "sidecars"):
            self.lab.fairlead("apply", "-f", ROOT / f"deploy/crds/networking.{crd}.yaml")
        alice = sidecar.beside(lab_harness.echo("alice", args=("--name", "alice"), probe=False), ("--dns",))
        alice["spec"]["template"]["spec"]["initContainers"][1]["env"].append(DNS)
        self.lab.apply(alice, *(lab_harness.echo(n, args=("--name", n), labels={"app": n, "of": "elsewhere"}) for n in ("one", "two")))
        for name in ("alice", "one", "two"):
            self.lab.wait_ready(f"app={name}", 1)

    def ip(self, name):
        return self.lab.ready_pods(f"app={name}")[0]["status"]["podIP"]

    def run(self, *command, uid=None):
        more = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups") if uid else ()
        done = self.lab.fairlead("exec", self.mesh.pod("alice"), "-c", "echo", "--", *more, *command, check=False, timeout=60)
        return done.stdout.strip()

    def dig(self, *args):
        return self.run("dig", "+time=5", "+tries=1", *args)

    def name(self, url, *args):
        """Who answers, or the status."""
        status, body = self.mesh.curl("alice", *args, url, check=False)
        return json.loads(body)["name"] if status == 200 else status

    def status(self, name):
        return {a["host"]: a["value"] for a in self.lab.get(f"serviceentries.networking.istio.io/{name}").get("status", {}).get("addresses", [])}


@pytest.fixture(scope="module")
def entries(mesh):
    return Entries(mesh)


@pytest.fixture
def apply(entries):
    applied = []

    def put(name, *hosts, kind="ServiceEntry", ns="default", marks=None, **spec):
        o = {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": name, "namespace": ns, "labels": marks or {}}, "spec": ({"hosts": list(hosts)} if hosts else {}) | spec}
        applied.append(({"ServiceEntry": "serviceentries.networking.istio.io", "Sidecar": "sidecars.networking.istio.io"}.get(kind, kind.lower()), name, ns))
        entries.lab.apply(o)

    yield put
    for kind, name, ns in dict.fromkeys(applied):
        entries.lab.fairlead("delete", f"{kind}/{name}", "-n", ns, check=False)


def static(*ips, **more):
    return {"resolution": "STATIC", "endpoints": [{"address": ip} | more for ip in ips]}


def port(number, protocol, **more):
    return {"ports": [{"number": number, "name": protocol.lower(), "protocol": protocol} | more]}


def test_a_host_of_http(entries, apply):
    apply("http", "one.test", **port(80, "HTTP", targetPort=8080), **static(entries.ip("one")))
    wait_until("it is called by its name", lambda: entries.name("http://one.test/") == "one", 30)
    assert entries.mesh.clusters("alice")["outbound|80||one.test"] >= 1
    assert entries.name("http://alias.test/", "--resolve", "alias.test:80:" + entries.status("http")["one.test"]) != "one", "another host's"


def test_ports_of_bytes_are_told_apart_by_address(entries, apply):
    """Two hosts with one port, which nothing but the address of each tells apart."""
    for n in ("one", "two"):
        apply(f"bytes-{n}", f"{n}.bytes.test", **port(9000, "TCP", targetPort=8080), **static(entries.ip(n)))
    wait_until("both have addresses", lambda: entries.status("bytes-one") and entries.status("bytes-two"))
    wait_until("each is itself", lambda: [entries.name(f"http://{n}.bytes.test:9000/") for n in ("one", "two")] == ["one", "two"], 30)


def test_addresses_of_its_own(entries, apply):
    apply("own", "own.test", addresses=["172.31.7.7"], **port(9100, "TCP", targetPort=8080), **static(entries.ip("two")))
    wait_until("the address leads there", lambda: entries.name("http://172.31.7.7:9100/") == "two", 30)
    assert entries.dig("+short", "own.test") == "172.31.7.7"
    assert entries.status("own") == {}


def test_workloads_that_it_selects(entries, apply):
    """Pods and WorkloadEntries alike; who comes is called, who goes is not."""
    apply("chosen", "chosen.test", resolution="STATIC", workloadSelector={"labels": {"of": "elsewhere"}}, **port(80, "HTTP", targetPort=8080))

    def seen():
        return {entries.name("http://chosen.test/") for _ in range(8)}
    wait_until("both pods answer", lambda: seen() == {"one", "two"}, 30)
    apply("more", "more.test", resolution="STATIC", workloadSelector={"labels": {"vm": "yes"}}, **port(80, "HTTP"))
    wait_until("nobody is there", lambda: entries.name("http://more.test/") == 503, 30)
    apply("vm", kind="WorkloadEntry", address=entries.ip("two"), labels={"vm": "yes"}, ports={"http": 8080})
    wait_until("the machine is there", lambda: entries.name("http://more.test/") == "two", 30)
    entries.lab.fairlead("delete", "workloadentry/vm")
    wait_until("it has gone", lambda: entries.name("http://more.test/") == 503, 30)


def test_machines_behind_a_service(entries, apply):
    """A Service whose selector takes in a WorkloadEntry: its sidecars call that as they call pods."""
    entries.lab.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "machines"},
                       "spec": {"selector": {"machine": "yes"}, "ports": [{"name": "http", "port": 80, "targetPort": "web"}, {"name": "http-two", "port": 81, "targetPort": 8080}]}})
    wait_until("nobody is there", lambda: entries.name("http://machines/") == 503, 30)
    apply("vm", kind="WorkloadEntry", address=entries.ip("two"), labels={"machine": "yes"}, ports={"web": 8080})
    wait_until("by the name of the target", lambda: entries.name("http://machines/") == "two", 30)
    assert entries.name("http://machines:81/") == "two", "by its number"
    apply("vm", kind="WorkloadEntry", address=entries.ip("one"), labels={"machine": "yes"})
    wait_until("another machine", lambda: entries.name("http://machines:81/") == "one", 30)
    assert entries.name("http://machines/") == 503, "it has no port of that name"
    entries.lab.fairlead("delete", "workloadentry/vm")
    wait_until("it has gone", lambda: entries.name("http://machines:81/") == 503, 30)


def test_where_a_client_was_going(entries, apply):
    apply("none", "*.where.test", resolution="NONE", **port(80, "HTTP"), location="MESH_EXTERNAL")
    to = f"http://{entries.ip('one')}:80/"
    wait_until("its cluster is there", lambda: "where.test" in entries.mesh.admin("alice", "/clusters"), 30)
    assert entries.name(to, "-H", "host: x.where.test") == 503, "nobody listens at port 80"
    assert entries.dig("+short", "x.where.test") == "", "it has no address to be answered with"


def test_who_sees_it(entries, apply):
    entries.lab.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
    apply("secret", "secret.test", ns="other", exportTo=["."], **port(80, "HTTP", targetPort=8080), **static(entries.ip("one")))
    apply("open", "open.test", ns="other", **port(80, "HTTP", targetPort=8080), **static(entries.ip("one")))
    wait_until("one is seen", lambda: entries.name("http://open.test/") == "one", 30)
    assert entries.dig("+short", "secret.test") == ""


def test_an_object_that_forgoes_an_address(entries, apply):
    apply("forgoes", "forgoes.test", marks={"networking.istio.io/enable-autoallocate-ip": "false"}, **port(80, "HTTP", targetPort=8080), **static(entries.ip("one")))
    apply("marker", "marker.test", **port(80, "HTTP"), **static(entries.ip("one")))
    wait_until("a later one has its own", lambda: entries.status("marker"))
    assert entries.status("forgoes") == {}


# ---- what is known to whom ----

def test_a_sidecar_scopes_what_is_known(entries, apply):
    """What it does not name is not there, and with REGISTRY_ONLY not to be had; when it goes, all is as before."""
    apply("near", "near.test", **port(80, "HTTP", targetPort=8080), **static(entries.ip("one")))
    apply("far", "far.test", ns="other", **port(80, "HTTP", targetPort=8080), **static(entries.ip("two")))
    wait_until("both are called", lambda: [entries.name(f"http://{n}.test/") for n in ("near", "far")] == ["one", "two"], 30)
    apply("scope", kind="Sidecar", egress=[{"hosts": ["./*"]}], outboundTrafficPolicy={"mode": "REGISTRY_ONLY"}, workloadSelector={"labels": {"app": "alice"}})
    wait_until("one of them is not known", lambda: entries.dig("+short", "far.test") == "", 30)
    assert entries.name("http://near.test/") == "one"
    clusters = entries.mesh.admin("alice", "/clusters")
    assert "near.test" in clusters and "far.test" not in clusters and "kube-dns" not in clusters
    assert entries.name(f"http://{entries.ip('two')}/", "-H", "host: far.test") == 502, "what is not known goes nowhere"
    entries.lab.fairlead("delete", "sidecars.networking.istio.io/scope")
    wait_until("it is known again", lambda: entries.name("http://far.test/") == "two", 30)


def test_a_sidecar_says_where_the_app_is(entries, apply):
    """The app has another port than the one that is called."""
    entries.lab.apply(lab_harness.service("alice", port=80, target=9999))
    entries.mesh.run("bob")
    apply("inbound", kind="Sidecar", workloadSelector={"labels": {"app": "alice"}}, ingress=[{"port": {"number": 9999, "name": "http", "protocol": "HTTP"}, "defaultEndpoint": "127.0.0.1:8080"}])

    def bob_asks():
        status, body = entries.mesh.curl("bob", "http://alice/", check=False)
        return json.loads(body)["name"] if status == 200 else status
    wait_until("alice answers", lambda: bob_asks() == "alice", 30)
    apply("inbound", kind="Sidecar", workloadSelector={"labels": {"app": "alice"}}, ingress=[{"port": {"number": 9999, "name": "http", "protocol": "HTTP"}, "defaultEndpoint": "0.0.0.0:8080"}])
    wait_until("at the pod's own address, too", lambda: '"local": "127.0.0.1' not in entries.mesh.curl("bob", "http://alice/", check=False)[1] and bob_asks() == "alice", 30)


# ---- questions ----

def test_what_is_answered(entries, apply):
    apply("asked", "asked.test", **port(80, "HTTP"), **static(entries.ip("one")))
    wait_until("it is answered", lambda: re.fullmatch(r"240\.240\.\d+\.\d+", entries.dig("+short", "asked.test")), 30)
    address = entries.status("asked")["asked.test"]
    assert entries.dig("+short", "+tcp", "ASKED.test") == address
    assert entries.dig("+short", "asked.test.default.svc.cluster.local").split() == ["asked.test.", address], "what the search list makes of it"
    six = entries.dig("asked.test", "AAAA")
    assert "status: NOERROR" in six and "ANSWER: 0" in six, "the name is there, without such an address"


def test_what_is_handed_on(entries):
    service = entries.lab.get("service/kubernetes")["spec"]["clusterIP"]
    for more in ((), ("+tcp",)):
        assert entries.dig("+short", *more, "kubernetes.default.svc.cluster.local") == service
    assert "status: NXDOMAIN" in entries.dig("nobody.default.svc.cluster.local")
    assert "dns.default" not in entries.dig("+short", "SRV", "_https._tcp.kubernetes.default.svc.cluster.local") != ""
    forwarded = json.loads(entries.mesh.admin("alice", "/stats?format=json&filter=dns_capture"))["stats"]
    counts = {s["name"]: s["value"] for s in forwarded if "name" in s}
    assert counts["dns_capture.forwarded"] >= 4 and counts["dns_capture.failed"] == 0, counts


def test_questions_of_the_proxy_itself_go_to_the_name_server(entries, apply):
    """From the very port at which the pod has asked a moment ago: what the kernel remembers of the pod's question must not answer the proxy's."""
    apply("zones", "zones.test", **port(80, "HTTP"), **static(entries.ip("one")))
    ask = ("dig", "+time=2", "+tries=1", "-b", f"{entries.ip('alice')}#40053", "zones.test")
    wait_until("the pod is answered", lambda: "240.240." in entries.run(*ask), 30)
    assert "240.240." not in entries.run(*ask, uid=1337)
    assert "HEADER" in entries.run(*ask, uid=1337), "the cluster's own DNS has answered"
    assert "240.240." in entries.run(*ask)
