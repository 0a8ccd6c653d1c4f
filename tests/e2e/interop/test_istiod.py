"""A real istiod, with mutual TLS on, configures sidecars of ours: every type acknowledged, certificates by its CA, calls served. Beside them a stock Envoy that it configures, and a sidecar of ours that our own
control plane does, below the same root: each calls each."""
import collections
import itertools
import json
import threading

import istio_sidecar
import istiod
import lab_harness
import pytest
import sidecar
from meshed_lab import SYSTEM, Mesh
from suite import ROOT, wait_until

KINDS = ("fairlead", "istiod", "stock")  # ours by our control plane, ours by istiod, Envoy by istiod


class Three(Mesh):
    def __init__(self, lab, peers, directory):
        self.lab, self.peers = lab, peers
        for crd in sorted((ROOT / "deploy/crds").glob("*.yaml")):
            lab.apply(crd.read_text())
        files = istiod.authority(directory)
        root = files["root-cert.pem"]
        lab.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cacerts", "namespace": SYSTEM}, "stringData": files})
        super().__init__(lab)
        for pod in lab.pods("app=fairlead-control", SYSTEM):  # its own certificate is below that root, too, from now on
            lab.fairlead("delete", f"pod/{pod['metadata']['name']}", "-n", SYSTEM)
        wait_until("our control plane has that root", lambda: root.strip() in lab.get("configmap/fairlead-ca-root-cert", "-n", SYSTEM)["data"]["root-cert.pem"], 60)
        lab.wait_ready("app=fairlead-control", 1, SYSTEM)
        lab.apply(sidecar.trust(root))
        istiod.start(lab, peers, files)
        lab.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "trust-istiod", "namespace": "default"}, "data": {"root-cert.pem": root}})

    def put(self, name, kind, port="http", replicas=1, args=(), **labels):
        account = f"sa-{name}"
        self.lab.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": "default"}})
        deployment = lab_harness.echo(name, replicas, args=("--name", name, *args), probe=False, serviceAccountName=account, labels=dict({"app": name}, **labels))
        deployment["spec"]["selector"] = {"matchLabels": {"app": name}}  # the same with each kind
        if kind == "stock":
            istio_sidecar.beside(deployment, self.peers, istiod.CONTROL, "istio-ca-root-cert")
        else:
            sidecar.beside(deployment)
            spec = deployment["spec"]["template"]["spec"]
            if kind == "istiod":
                next(v for v in spec["volumes"] if v["name"] == "fairlead-trust")["configMap"]["name"] = "trust-istiod"
                spec["initContainers"][1]["args"].append(f"--control={istiod.CONTROL}")
        service = lab_harness.service(name)
        service["spec"]["ports"][0]["name"] = port
        self.lab.apply(deployment, service)


@pytest.fixture(scope="module")
def three(peers, tmp_path_factory):
    for lab in lab_harness.running(lab_harness.Lab(), "--mesh"):
        three = Three(lab, peers, tmp_path_factory.mktemp("ca"))
        for kind in KINDS:
            three.put(kind, kind)
            three.put(f"{kind}-bytes", kind, "tcp-x")
        lab.apply(lab_harness.echo("outside", args=("--name", "outside")))
        for name in (*KINDS, *(f"{k}-bytes" for k in KINDS), "outside"):
            wait_until(f"{name} is ready", lambda: lab.ready_pods(f"app={name}"), 60)
        for client, server in itertools.product(KINDS, KINDS):
            for port in ("", "-bytes"):
                wait_until(f"{client} reaches {server}{port}", lambda: three.curl(client, f"http://{server}{port}/")[0] == 200, 20)
        yield three


@pytest.fixture
def put(three):
    kinds = set()

    def apply(*objects):
        kinds.update(o["kind"].lower() for o in objects)
        three.lab.apply(*objects)
    yield apply
    for kind in kinds:
        for o in three.lab.get(kind)["items"]:
            three.lab.fairlead("delete", f"{kind}/{o['metadata']['name']}")


def of(group, kind, name, app=None, **spec):
    if app:
        spec["selector"] = {"matchLabels": {"app": app}}
    return {"apiVersion": f"{group}.istio.io/v1", "kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def refusals(three, name):
    return [line for line in three.lab.fairlead("logs", three.pod(name), "-c", "sidecar").splitlines() if "are refused" in line]


def unsynced(three, name):
    """By istiod's own word: what it has sent and was not told is taken."""
    streams = istiod.syncz(three.lab, three.pod(name))
    assert len(streams) == 1, streams
    types = {k.split(".")[-1]: v for k, v in streams[0]["resources"].items()} if "resources" in streams[0] else {}
    assert types, streams
    wrong = {k: v for k, v in types.items() if v.get("lastError") or (v.get("sent") and v.get("sent") != v.get("acked"))}
    done = {k for k, v in types.items() if v.get("sent") and v.get("sent") == v.get("acked")}
    return wrong, done


def test_every_type_is_acknowledged(three):
    wait_until("istiod knows it", lambda: not unsynced(three, "istiod")[0])
    done = unsynced(three, "istiod")[1]
    assert {"Cluster", "Listener", "RouteConfiguration", "ClusterLoadAssignment"} <= done, done
    assert not refusals(three, "istiod") and not refusals(three, "istiod-bytes")


def test_certificates_are_istiods(three):
    """By its CSR service, with the pod's token, which it has asked the API server about."""
    for name in ("istiod", "fairlead"):
        certificates = json.loads(three.admin(name, "/certs"))["certificates"]
        uris = {n["uri"] for c in certificates for own in c["cert_chain"] for n in own["subject_alt_names"] if "uri" in n}
        assert uris == {f"spiffe://cluster.local/ns/default/sa/sa-{name}"}
    words = [line for line in three.lab.fairlead("logs", three.pod("istiod"), "-c", "sidecar").splitlines() if "has a certificate" in line]
    assert words


def outside(three, name):
    address = three.lab.ready_pods(f"app={name}")[0]["status"]["podIP"]
    done = three.lab.fairlead("exec", three.lab.ready_pods("app=outside")[0]["metadata"]["name"], "--", "curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", f"http://{address}:8080/", check=False)
    return done if isinstance(done, str) else done.stdout


def test_each_calls_each_over_mutual_tls(three, put):
    """STRICT: nobody is let in who shows no certificate."""
    assert {outside(three, k) for k in KINDS} == {"200"}
    put(of("security", "PeerAuthentication", "default", mtls={"mode": "STRICT"}))
    for kind in KINDS:
        for port in ("", "-bytes"):
            wait_until(f"{kind}{port} refuses plain text", lambda: outside(three, kind + port) == "000", 20)
    for client, server, port in itertools.product(KINDS, KINDS, ("", "-bytes")):
        status, body = three.curl(client, f"http://{server}{port}/")
        assert status == 200 and json.loads(body)["name"] == server + port, (client, server + port, status)
    assert not refusals(three, "istiod") and not refusals(three, "fairlead")


def test_who_may_call(three, put):
    """Each holds to policies by the caller's account, whoever configures it."""
    for server in KINDS:
        for only in KINDS:
            put(of("security", "AuthorizationPolicy", server, server, action="ALLOW", rules=[{"from": [{"source": {"principals": [f"cluster.local/ns/default/sa/sa-{only}"]}}]}]))
            for client in KINDS:
                want = 200 if client == only else 403
                wait_until(f"{client} calls {server}, where {only} may: {want}", lambda: three.curl(client, f"http://{server}/")[0] == want, 20)
    assert not refusals(three, "istiod")


def test_routes(three, put):
    """What istiod makes of rules: ours does as Envoy does."""
    for version in ("v1", "v2"):
        three.put(f"shop-{version}", "istiod" if version == "v1" else "stock", version=version, shop="yes")
    service = lab_harness.service("shop", {"shop": "yes"})
    three.lab.apply(service)
    for version in ("v1", "v2"):
        wait_until("it is ready", lambda: three.lab.ready_pods(f"app=shop-{version}"), 60)

    def to(subset, **more):
        return {"destination": {"host": "shop", "subset": subset}, **more}
    put(of("networking", "DestinationRule", "shop", host="shop", subsets=[{"name": v, "labels": {"version": v}} for v in ("v1", "v2")],
           trafficPolicy={"connectionPool": {"http": {"http1MaxPendingRequests": 100}}, "outlierDetection": {"consecutive5xxErrors": 50}}),
        of("networking", "VirtualService", "shop", hosts=["shop"], http=[
            {"match": [{"headers": {"x-to": {"exact": "v2"}}}], "route": [to("v2")]},
            {"match": [{"uri": {"prefix": "/gone"}}], "directResponse": {"status": 410}},
            {"match": [{"uri": {"prefix": "/fault"}}], "fault": {"abort": {"httpStatus": 418, "percentage": {"value": 100}}}, "route": [to("v1")]},
            {"match": [{"uri": {"prefix": "/old"}}], "rewrite": {"uri": "/new"}, "route": [to("v1")], "retries": {"attempts": 3, "retryOn": "5xx"}, "timeout": "5s"},
            {"route": [to("v1", weight=50), to("v2", weight=50)]}]))
    for client in ("istiod", "stock", "fairlead"):
        wait_until("it is so", lambda: three.curl(client, "http://shop/gone")[0] == 410, 20)
        wait_until("its pods are known", lambda: three.curl(client, "-H", "x-to: v2", "http://shop/")[0] == three.curl(client, "http://shop/old/")[0] == 200, 20)
        assert {json.loads(three.curl(client, "-H", "x-to: v2", "http://shop/")[1])["name"] for _ in range(5)} == {"shop-v2"}
        assert three.curl(client, "http://shop/fault")[0] == 418
        assert json.loads(three.curl(client, "http://shop/old/x")[1])["path"] == "/new/x"
        out = three.lab.fairlead("exec", three.pod(client), "-c", "echo", "--", "curl", "-s", "-m", "10", "http://shop/?[1-100]", timeout=60)
        shares = [sum(f'"shop-{v}"' in line for line in out.splitlines() if '"name"' in line) for v in ("v1", "v2")]
        assert sum(shares) == 100 and min(shares) >= 25, (client, shares)  # 50, sigma 5: five of them
    assert not refusals(three, "istiod")


def test_tokens(three, put):
    from tokens import Signer
    signer = Signer("ES256", "a")
    good = signer.token({"iss": "i", "sub": "s", "exp": 4102444800})
    for server in ("istiod", "stock"):
        put(of("security", "RequestAuthentication", server, server, jwtRules=[{"issuer": "i", "jwks": json.dumps({"keys": [signer.jwk()]})}]),
            of("security", "AuthorizationPolicy", server, server, action="ALLOW", rules=[{"from": [{"source": {"requestPrincipals": ["i/s"]}}]}]))
        wait_until("without one it is refused", lambda: three.curl("fairlead", f"http://{server}/")[0] == 403, 20)
        assert three.curl("stock", "-H", f"Authorization: Bearer {good}", f"http://{server}/")[0] == 200
        assert three.curl("stock", "-H", f"Authorization: Bearer {good[:-8]}AAAAAAAA", f"http://{server}/")[0] == 401
    assert not refusals(three, "istiod")


class Calls:
    """From one pod, one after the other until it is stopped; the client's sidecar is asked for a connection of its own each time."""

    def __init__(self, three, client, to):
        self.three, self.to, self.codes, self.end = three, to, collections.Counter(), threading.Event()
        self.pod = three.pod(client)
        self.thread = threading.Thread(target=self.go)
        self.thread.start()

    def go(self):
        while not self.end.is_set():
            done = self.three.lab.fairlead("exec", self.pod, "-c", "echo", "--", "curl", "-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}\n", f"http://{self.to}/?[1-50]", check=False)
            self.codes.update(done.stdout.split())

    def stop(self):
        self.end.set()
        self.thread.join()
        return self.codes


def test_a_workload_moves_and_back(three, put):
    """docs/install.md, "Beside istiod": rolled from Istio's sidecar to ours and back, under STRICT, while pods of either mesh call it: no call fails."""
    put(of("security", "PeerAuthentication", "default", mtls={"mode": "STRICT"}))
    sidecars = {"stock": "istio-proxy", "fairlead": "sidecar"}

    def roll(kind):
        three.put("mover", kind, replicas=2, args=("--drain", "3s"))
        wait_until(f"all its pods are of {kind}", lambda: [c["name"] for p in three.lab.pods("app=mover") for c in p["spec"]["initContainers"] if c["name"] in sidecars.values()] == [sidecars[kind]] * 2
                   and len(three.lab.ready_pods("app=mover")) == 2, 90)
    roll("stock")
    for client in KINDS:
        wait_until(f"{client} reaches it", lambda: three.curl(client, "http://mover/")[0] == 200, 20)
    calls = [Calls(three, client, "mover") for client in KINDS]
    try:
        for kind in ("fairlead", "stock"):
            roll(kind)
            assert outside(three, "mover") == "000"
    finally:
        codes = [c.stop() for c in calls]
    print("calls while a workload moved from Istio's sidecar to ours and back:", dict(zip(KINDS, (dict(c) for c in codes))))
    assert [set(c) for c in codes] == [{"200"}] * len(KINDS) and min(c["200"] for c in codes) > 200
