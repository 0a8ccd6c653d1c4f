"""Stock Envoy as a sidecar, with Istio's own agent beside it and our control plane behind: it takes all that it is given, and talks mutual TLS with sidecars of ours, both ways."""
import collections
import json
import subprocess
import threading

import istio_sidecar
import lab_harness
import pytest
import sidecar
from meshed_lab import Mesh
from suite import ROOT, wait_until
from tokens import Signer

REFUSED = (403, "RBAC: access denied")


class Both(Mesh):
    """Pods with sidecars of ours, and with Istio's."""

    def __init__(self, lab, peers):
        super().__init__(lab)
        self.peers = peers
        for crd in sorted((ROOT / "deploy/crds").glob("*.yaml")):
            lab.apply(crd.read_text())

    def account(self, name):
        self.lab.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}})
        return name

    def run_theirs(self, name, port="http", labels=None, args=(), serve=True, **environment):
        """An echo with Istio's sidecar; its own account."""
        deployment = lab_harness.echo(name, args=("--name", name, *args), labels=labels or {"app": name}, probe=False, serviceAccountName=self.account(name))
        istio_sidecar.beside(deployment, self.peers)
        deployment["spec"]["template"]["spec"]["initContainers"][1]["env"] += [{"name": n, "value": v} for n, v in environment.items()]
        service = lab_harness.service(name)
        service["spec"]["ports"][0]["name"] = port
        self.lab.apply(deployment, *([service] if serve else []))

    def envoy(self, name, path):
        """A page of Envoy's admin interface."""
        return self.lab.fairlead("exec", self.pod(name), "-c", "echo", "--", "curl", "-s", "-m", "10", f"http://127.0.0.1:15000{path}")

    def rejected(self, name):
        """What Envoy has not taken, by its own count; and how many times it has taken what."""
        stats = {s["name"]: s["value"] for s in json.loads(self.envoy(name, "/stats?format=json&filter=update_(rejected|success)"))["stats"] if "name" in s}
        return {k: v for k, v in stats.items() if k.endswith("rejected") and v}, {k: v for k, v in stats.items() if k.endswith("success") and v}

    def syncz(self, name):
        """What the control plane says of the pod's stream."""
        text = self.lab.view("/debug/syncz")[1]
        return [s for s in json.loads(text) if f"~{self.pod(name)}." in s["proxy"]]


@pytest.fixture(scope="module")
def both(peers):
    for lab in lab_harness.running(lab_harness.Lab(), "--mesh"):
        both = Both(lab, peers)
        for name in ("ours", "friend"):
            both.run(name, probe=False, serviceAccountName=both.account(name))
        both.run("ourbytes", probe=False, port="tcp-x")
        both.run_theirs("theirs")
        both.run_theirs("whole", ISTIO_DELTA_XDS="false")  # the state of the world, as agents before 1.22 have it
        both.run_theirs("theirbytes", port="tcp-x")
        both.run_theirs("unnamed", port="")
        lab.apply(lab_harness.echo("outside", args=("--name", "outside")))
        for name in ("theirs", "whole", "theirbytes", "unnamed", "outside"):
            wait_until(f"{name} is ready", lambda: lab.ready_pods(f"app={name}"), 60)
        for client in ("ours", "theirs", "whole"):
            for server in ("friend", "theirs", "ourbytes", "theirbytes", "unnamed", "whole"):
                wait_until(f"{client} reaches {server}", lambda: both.curl(client, f"http://{server}/")[0] == 200)
        yield both


@pytest.fixture(autouse=True)
def nothing_is_waited_for(both):
    """What Envoy needs comes: it does not have to give up waiting for it (15 s)."""
    yield
    for name in ("theirs", "whole"):
        stats = json.loads(both.envoy(name, "/stats?format=json&filter=init_fetch_timeout"))["stats"]
        assert not [s for s in stats if s.get("value")], name


@pytest.fixture
def put(both):
    """Objects that end with the test."""
    kinds = set()

    def apply(*objects):
        kinds.update(o["kind"].lower() for o in objects)
        both.lab.apply(*objects)
    yield apply
    for kind in kinds:
        for o in both.lab.get(kind)["items"]:
            both.lab.fairlead("delete", f"{kind}/{o['metadata']['name']}")


def of(group, kind, name, app=None, **spec):
    if app:
        spec["selector"] = {"matchLabels": {"app": app}}
    return {"apiVersion": f"{group}.istio.io/v1", "kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def from_outside(both, url):
    done = both.lab.fairlead("exec", both.lab.ready_pods("app=outside")[0]["metadata"]["name"], "--", "curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", url, check=False)
    return done if isinstance(done, str) else done.stdout


def ip(both, name):
    return both.lab.ready_pods(f"app={name}")[0]["status"]["podIP"]


@pytest.mark.parametrize("name", ["theirs", "whole"])
def test_nothing_is_refused(both, name):
    rejected, taken = both.rejected(name)
    assert not rejected
    for kind in ("cds.", "lds.", ".rds.", "sds."):
        assert any(kind in t for t in taken), (kind, taken)
    assert any(".outbound" in t for t in taken), "endpoints"
    streams = both.syncz(name)
    assert len(streams) == 1 and streams[0]["cluster"] == f"{name}.default"
    for kind in ("cds", "eds", "lds", "rds"):
        state = streams[0][kind]
        assert state["state"] == "SYNCED" and state["refused"] == 0 and state["acked"] == state["sent"] > 0, (kind, state)


def test_who_it_is(both):
    """As Istio's injection makes it: a node's name, metadata, a certificate of the pod's account by the agent's request."""
    node = json.loads(both.envoy("theirs", "/server_info"))["node"]
    assert node["id"] == f"sidecar~{ip(both, 'theirs')}~{both.pod('theirs')}.default~default.svc.cluster.local" and node["cluster"] == "theirs.default"
    assert node["metadata"]["SERVICE_ACCOUNT"] == "theirs" and node["metadata"]["LABELS"]["app"] == "theirs"
    names = {n["uri"] for c in json.loads(both.envoy("theirs", "/certs"))["certificates"] for own in c["cert_chain"] for n in own["subject_alt_names"]}
    assert names == {"spiffe://cluster.local/ns/default/sa/theirs"}


@pytest.mark.parametrize("name", ["ours", "ours.default", "ours.default.svc", "ours.default.svc.cluster.local", "ours.default.svc.cluster.local.", "ours:80"])
def test_by_every_name(both, name):
    for client in ("theirs", "whole"):
        status, body = both.curl(client, f"http://{name}/")
        assert status == 200 and json.loads(body)["name"] == "ours", client


def test_strict_both_ways(both, put):
    """Whoever speaks plain text is refused by either, and they are not by each other: so it is mutual TLS."""
    assert from_outside(both, f"http://{ip(both, 'theirs')}:8080/") == from_outside(both, f"http://{ip(both, 'ours')}:8080/") == "200"
    put(of("security", "PeerAuthentication", "default", mtls={"mode": "STRICT"}))
    for name in ("theirs", "whole", "theirbytes", "unnamed", "ours", "ourbytes"):
        wait_until(f"{name} refuses plain text", lambda: from_outside(both, f"http://{ip(both, name)}:8080/") == "000")
    for client in ("ours", "theirs", "whole"):
        for server in ("friend", "theirs", "ourbytes", "theirbytes", "unnamed", "whole"):
            status, body = both.curl(client, f"http://{server}/")
            assert status == 200 and json.loads(body)["name"] == server, (client, server)
    stats = both.envoy("theirs", "/stats?filter=ssl.handshake")
    assert sum(int(line.split()[-1]) for line in stats.splitlines() if "listener" in line or "cluster.outbound" in line) >= 4, stats
    assert not both.rejected("theirs")[0]


def test_nothing_is_in_plain_text(both, put):
    put(of("security", "PeerAuthentication", "default", mtls={"mode": "STRICT"}))
    wait_until("plain text is refused", lambda: from_outside(both, f"http://{ip(both, 'theirs')}:8080/") == "000")
    script = ("import socket,sys,time\ns=socket.socket(socket.AF_PACKET,socket.SOCK_RAW,socket.htons(3)); s.bind(('eth0',0)); s.settimeout(0.1)\n"
              "print('ready',flush=True); end=time.time()+3; out=b''\nwhile time.time()<end:\n  try: out+=s.recv(70000)\n  except socket.timeout: pass\nsys.stdout.buffer.write(out)")
    p = subprocess.Popen(["ip", "netns", "exec", both.lab.netns(both.lab.pod_netns(both.pod("theirs"))), "python3", "-c", script], stdout=subprocess.PIPE)
    assert p.stdout.readline() == b"ready\n"
    for client, server in (("ours", "theirs"), ("theirs", "ours")):
        assert both.curl(client, "-H", "x-secret: SecretOfTheRequest", f"http://{server}/SecretOfTheRequest")[0] == 200
    seen = p.communicate(timeout=30)[0]
    assert b"\x17\x03\x03" in seen and b"SecretOfTheRequest" not in seen and b"HTTP/1.1" not in seen


def test_who_may_call(both, put):
    """Envoy holds to policies, by who its peer is; ours does, when Envoy calls."""
    def operation(**what):
        return [{"to": [{"operation": what}]}]

    def ask(client, server, path="/", *more):
        status, body = both.curl(client, *more, f"http://{server}{path}")
        return (status, body) if status != 200 else (200, json.loads(body)["name"])
    put(of("security", "AuthorizationPolicy", "deny", "theirs", action="DENY", rules=operation(methods=["DELETE"]) + operation(paths=["/admin*"])))
    wait_until("it is refused", lambda: ask("ours", "theirs", "/admin/x") == REFUSED)
    assert ask("ours", "theirs", "/", "-X", "DELETE") == REFUSED and ask("ours", "theirs", "/public/../admin/x", "--path-as-is") == REFUSED
    assert ask("ours", "theirs", "/public") == (200, "theirs")

    def only(who):
        return [{"from": [{"source": {"principals": [f"cluster.local/ns/default/sa/{who}"]}}]}]
    put(of("security", "AuthorizationPolicy", "allow", "theirs", action="ALLOW", rules=only("ours")))
    wait_until("others are refused", lambda: ask("friend", "theirs") == REFUSED)
    assert ask("ours", "theirs") == (200, "theirs") and from_outside(both, f"http://{ip(both, 'theirs')}:8080/") == "403"
    put(of("security", "AuthorizationPolicy", "back", "ours", action="ALLOW", rules=only("theirs")))
    wait_until("others are refused", lambda: ask("friend", "ours") == REFUSED)
    assert ask("theirs", "ours") == (200, "ours")
    put(of("security", "AuthorizationPolicy", "bytes", "theirbytes", action="ALLOW", rules=only("ours")))
    wait_until("the connection is closed", lambda: both.curl("friend", "http://theirbytes/", check=False)[0] == 0)
    assert ask("ours", "theirbytes") == (200, "theirbytes")
    assert not both.rejected("theirs")[0] and not both.rejected("theirbytes")[0]


def test_tokens(both, put):
    signer = Signer("ES256", "a")
    put(of("security", "RequestAuthentication", "tokens", "theirs", jwtRules=[{"issuer": "i", "jwks": json.dumps({"keys": [signer.jwk()]})}]),
        of("security", "AuthorizationPolicy", "needed", "theirs", action="ALLOW", rules=[{"from": [{"source": {"requestPrincipals": ["i/s"]}}]}]))
    wait_until("without one it is refused", lambda: both.curl("ours", "http://theirs/") == REFUSED)
    good = signer.token({"iss": "i", "sub": "s", "exp": 4102444800})
    assert both.curl("ours", "-H", f"Authorization: Bearer {good}", "http://theirs/")[0] == 200
    assert both.curl("ours", "-H", f"Authorization: Bearer {good[:-8]}AAAAAAAA", "http://theirs/")[0] == 401
    assert not both.rejected("theirs")[0]


@pytest.fixture(scope="module")
def shop(both):
    """Two versions, each with another kind of sidecar."""
    for version in ("v1", "v2"):
        deployment = lab_harness.echo(f"shop-{version}", args=("--name", "shop", "--app-version", version), labels={"app": "shop", "version": version}, probe=False)
        if version == "v1":
            istio_sidecar.beside(deployment, both.peers)
        else:
            sidecar.beside(deployment)
        both.lab.apply(deployment)
    both.lab.apply(lab_harness.service("shop"))
    wait_until("both are ready", lambda: len(both.lab.ready_pods("app=shop")) == 2, 60)
    both.lab.apply(of("networking", "DestinationRule", "shop", host="shop", subsets=[{"name": v, "labels": {"version": v}} for v in ("v1", "v2")]))
    return both


def versions(both, client, n, *more):
    out = both.lab.fairlead("exec", both.pod(client), "-c", "echo", "--", "curl", "-s", "-m", "10", *more, f"http://shop/?[1-{n}]", timeout=120)
    return collections.Counter(line.split('"')[3] for line in out.splitlines() if '"version"' in line)


@pytest.mark.parametrize("client", ["theirs", "whole"])
def test_routes(shop, put, client):
    """By a field, by weights, and what else a VirtualService says."""
    def to(subset, **more):
        return {"destination": {"host": "shop", "subset": subset}, **more}
    put(of("networking", "VirtualService", "shop", hosts=["shop"], http=[
        {"match": [{"headers": {"x-to": {"exact": "v2"}}}], "route": [to("v2")]},
        {"match": [{"uri": {"prefix": "/gone"}}], "directResponse": {"status": 410}},
        {"match": [{"uri": {"prefix": "/fault"}}], "fault": {"abort": {"httpStatus": 418, "percentage": {"value": 100}}}, "route": [to("v1")]},
        {"match": [{"uri": {"prefix": "/old"}}], "rewrite": {"uri": "/new"}, "headers": {"request": {"set": {"x-a": "b"}}}, "route": [to("v1")]},
        {"route": [to("v1", weight=80), to("v2", weight=20)]}]))
    wait_until("it is so", lambda: shop.curl(client, "http://shop/gone")[0] == 410)
    assert set(versions(shop, client, 30, "-H", "x-to: v2")) == {"v2"}
    assert shop.curl(client, "http://shop/fault")[0] == 418
    body = json.loads(shop.curl(client, "http://shop/old/x")[1])
    assert body["path"] == "/new/x" and body["headers"]["x-a"] == "b"
    found = versions(shop, client, 400)
    assert sum(found.values()) == 400 and 45 <= found["v2"] <= 120, found  # 80, sigma 8: 4.4 of them
    assert not shop.rejected(client)[0]


def test_weights_move_without_a_lost_request(shop, put):
    codes, end = collections.Counter(), threading.Event()
    pod = shop.pod("theirs")

    def call():
        while not end.is_set():
            out = shop.lab.fairlead("exec", pod, "-c", "echo", "--", "curl", "-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}\n", "http://shop/?[1-50]", check=False)
            codes.update((out if isinstance(out, str) else out.stdout).split())
    caller = threading.Thread(target=call)
    caller.start()
    try:
        for share in (100, 60, 0, 30, 100):
            put(of("networking", "VirtualService", "shop", hosts=["shop"], http=[{"route": [
                {"destination": {"host": "shop", "subset": "v1"}, "weight": share}, {"destination": {"host": "shop", "subset": "v2"}, "weight": 100 - share}]}]))
            want = {100: {"v1"}, 0: {"v2"}}.get(share, {"v1", "v2"})
            wait_until(f"it is {share}", lambda: set(versions(shop, "theirs", 40)) == want)
    finally:
        end.set()
        caller.join()
    assert set(codes) == {"200"} and codes["200"] > 100, codes
    assert not shop.rejected("theirs")[0]


def test_services_come_and_go(both):
    for client in ("theirs", "whole"):
        name = f"late-{client}"
        both.run(name, probe=False)
        wait_until("it is reached", lambda: both.curl(client, f"http://{name}/")[0] == 200)
        both.lab.fairlead("delete", f"svc/{name}")
        wait_until("its cluster goes", lambda: f"outbound|80||{name}.default" not in both.envoy(client, "/clusters"))
        assert not both.rejected(client)[0]


def test_what_is_told(both, put):
    """Telemetry: Envoy logs as it is told to, by a filter of its own."""
    put(of("telemetry", "Telemetry", "logs", "theirs", accessLogging=[{"providers": [{"name": "envoy"}], "match": {"mode": "SERVER"},
                                                                      "filter": {"expression": "request.url_path.startsWith('/told') && response.code < 400"}}],
           tracing=[{"disableSpanReporting": True}]))

    def lines():
        return [line for line in both.lab.fairlead("logs", both.pod("theirs"), "-c", "istio-proxy").splitlines() if '"GET /' in line]
    wait_until("it is logged", lambda: both.curl("ours", "http://theirs/told")[0] == 200 and lines())
    before = len(lines())
    assert both.curl("ours", "http://theirs/untold")[0] == 200 and both.curl("ours", "http://theirs/told/last")[0] == 200
    wait_until("the last one is there", lambda: any("/told/last" in line for line in lines()))
    assert len(lines()) == before + 1 and "inbound|8080||" in lines()[-1] and "via_upstream" in lines()[-1]
    assert not both.rejected("theirs")[0]
