"""DestinationRules with TLS of their own (SIMPLE, MUTUAL): apps speak plain HTTP, what is outside of the mesh gets TLS, or nothing at all."""
import base64
import importlib.util
import json
import pathlib
import subprocess
import sys

import lab_harness
import pytest
import sidecar
from gateway import Gateway
from suite import ROOT, wait_until

HERE = pathlib.Path(__file__).parent
spec = importlib.util.spec_from_file_location("certificates", HERE.parent / "proxy/certificates.py")
certificates = importlib.util.module_from_spec(spec)
spec.loader.exec_module(certificates)

HOST = "outside.default.svc.cluster.local"
SYSTEM = "fairlead-system"
CA = "/etc/files/ca.pem"


def istio(kind, name, spec, namespace="default"):
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def secret(name, namespace="default", **files):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
            "data": {k.replace("_", "."): base64.b64encode(f.read_bytes()).decode() for k, f in files.items()}}


def reader(account):
    """Whoever runs as it may list the Secrets of its namespace: so its sidecar may have keys of it."""
    rbac = "rbac.authorization.k8s.io"
    meta = {"name": f"{account}-reads", "namespace": "default"}
    return ({"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": meta, "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}]},
            {"apiVersion": f"{rbac}/v1", "kind": "RoleBinding", "metadata": meta, "roleRef": {"apiGroup": rbac, "kind": "Role", "name": meta["name"]},
             "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": "default"}]})


class Outside:
    """A pod without a sidecar in which a server speaks TLS, and what proves who is who."""

    def __init__(self, mesh, directory):
        self.mesh, self.lab, self.directory = mesh, mesh.lab, directory
        self.ca = certificates.Authority(directory)
        self.stranger = certificates.Authority(directory, "stranger")
        self.site = self.ca.issue("site", f"DNS:{HOST}", "DNS:outside", "DNS:outside.test", "DNS:sub.wild.test")
        self.me = self.ca.issue("me", "DNS:me.example", subject="/CN=it-is-me")
        for kind in ("destinationrules", "virtualservices", "serviceentries", "gateways"):
            self.lab.apply((ROOT / f"deploy/crds/networking.{kind}.yaml").read_text())
        service = lab_harness.service("outside")
        service["spec"]["ports"][0].update(name="http", targetPort=8443)
        self.lab.apply(lab_harness.echo("outside"), service)
        self.lab.wait_ready("app=outside", 1)
        self.ip = self.lab.ready_pods("app=outside")[0]["status"]["podIP"]
        self.lab.apply(secret("files", ca_pem=self.ca.cert, stranger_pem=self.stranger.cert, me_pem=self.me[0], me_key=self.me[1]))
        alice = sidecar.beside(lab_harness.echo("alice", probe=False))
        pod = alice["spec"]["template"]["spec"]
        pod["volumes"].append({"name": "files", "secret": {"secretName": "files"}})
        pod["initContainers"][1]["volumeMounts"].append({"name": "files", "mountPath": "/etc/files", "readOnly": True})
        self.lab.apply(alice)
        self.lab.wait_ready("app=alice", 1)
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", self.lab.netns(self.lab.pod_netns(mesh.pod("outside"))), sys.executable, str(HERE / "tls_server.py"),
             *map(str, (*self.site, self.ca.cert)), "8443"], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, url="http://outside/", *args):
        """(status, what the server has seen)"""
        status, body = self.mesh.curl("alice", *args, url, check=False)
        return status, json.loads(body) if status == 200 else body

    def rule(self, host="outside", name="outside", selector=None, namespace="default", **tls):
        more = {"workloadSelector": {"matchLabels": {"app": selector}}} if selector else {}
        self.lab.apply(istio("DestinationRule", name, {"host": host, "trafficPolicy": {"tls": tls, "connectionPool": {"http": {"maxRequestsPerConnection": 1}}}, **more}, namespace))

    def sees(self, what, url="http://outside/", **wanted):
        def is_so():
            status, seen = self.ask(url)
            return status == 200 and {k: seen[k] for k in wanted} == wanted
        wait_until(what, is_so)

    def closed(self, what, url="http://outside/"):
        wait_until(what, lambda: self.ask(url)[0] == 503)
        assert [self.ask(url)[0] for _ in range(5)] == [503] * 5


@pytest.fixture(scope="module")
def outside(mesh, tmp_path_factory):
    o = Outside(mesh, tmp_path_factory.mktemp("tls"))
    yield o
    o.process.terminate()
    o.process.wait()


@pytest.fixture
def o(outside):
    yield outside
    for kind in ("destinationrules", "virtualservices", "serviceentries"):
        for r in outside.lab.get(kind)["items"]:
            outside.lab.fairlead("delete", f"{kind}/{r['metadata']['name']}")


def test_simple_by_a_file(o):
    o.rule(mode="SIMPLE", caCertificates=CA)
    o.sees("it is asked by its host", sni="outside", client=None)
    o.sees("each name is another server", url=f"http://{HOST}/", sni=HOST)
    o.rule(mode="SIMPLE", caCertificates=CA, sni="outside.test")
    o.sees("or as the rule says", sni="outside.test", host="outside")


def test_who_it_is_not(o):
    o.rule(mode="SIMPLE", caCertificates="/etc/files/stranger.pem")
    o.closed("a stranger's certificate")
    o.rule(mode="SIMPLE", caCertificates=CA, subjectAltNames=["other.test"])
    o.closed("another name")
    o.rule(mode="SIMPLE", caCertificates=CA, subjectAltNames=["other.test", "outside.test"])
    o.sees("one of the names will do", sni="outside")
    o.rule(mode="SIMPLE")
    o.closed("the roots of the system do not know it")
    o.rule(mode="SIMPLE", insecureSkipVerify=True)
    o.sees("whoever it is", sni="outside")
    o.rule(mode="SIMPLE", caCertificates="/etc/files/none.pem")
    o.closed("no such file")


def test_its_host_must_be_in_its_certificate(o):
    o.rule(mode="SIMPLE", caCertificates=CA)
    o.sees("it is", sni="outside")
    assert o.ask("http://outside.default/")[0] == 503


def test_mutual_by_files(o):
    o.rule(mode="MUTUAL", caCertificates=CA, clientCertificate="/etc/files/me.pem", privateKey="/etc/files/me.key")
    o.sees("it knows who calls", client="it-is-me")
    o.rule(mode="MUTUAL")
    o.closed("nothing to show")


def test_of_a_port(o):
    o.lab.apply(istio("DestinationRule", "outside", {"host": "outside", "trafficPolicy": {"portLevelSettings": [
        {"port": {"number": 80}, "tls": {"mode": "SIMPLE", "caCertificates": CA}}]}}))
    o.sees("the port's own", sni="outside")


def test_of_a_subset(o):
    o.lab.apply(istio("DestinationRule", "outside", {"host": "outside", "subsets": [
        {"name": "s", "labels": {"app": "outside"}, "trafficPolicy": {"tls": {"mode": "SIMPLE", "caCertificates": CA}}}]}),
        istio("VirtualService", "outside", {"hosts": ["outside"], "http": [{"route": [{"destination": {"host": "outside", "subset": "s"}}]}]}))
    o.sees("the subset's own", sni="outside")


def test_a_secret_of_who_calls(o):
    o.lab.apply(*reader("default"))
    o.rule(mode="MUTUAL", credentialName="mine", selector="alice")
    o.closed("it is not there")
    o.lab.apply(secret("mine", tls_crt=o.me[0], tls_key=o.me[1], ca_crt=o.ca.cert))
    o.sees("it is shown", client="it-is-me", sni="outside")
    o.lab.apply(secret("mine", tls_crt=o.me[0], tls_key=o.me[1], ca_crt=o.stranger.cert))
    o.closed("whom it trusts is exchanged")
    o.lab.apply(secret("mine-cacert", ca_crt=o.ca.cert))
    o.sees("the other Secret is first", client="it-is-me")
    o.lab.delete("secret/mine")
    o.closed("it has gone")
    wait_until("an Event tells", lambda: [e for e in o.lab.get("events")["items"] if e["reason"] == "CredentialNotUsable" and "default/mine " in e["message"]])
    o.rule(mode="SIMPLE", credentialName="mine-cacert")
    o.closed("a rule without a selector gives sidecars no Secret")


def test_a_secret_is_for_accounts_that_may_read_it(o):
    """Two pods of one namespace, one rule for both; the account of one of them may list Secrets there."""
    o.lab.apply(secret("theirs", tls_crt=o.me[0], tls_key=o.me[1], ca_crt=o.ca.cert), *reader("trusted"))
    for name in ("trusted", "mallory"):
        o.lab.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}})
        o.mesh.run(name, probe=False, serviceAccountName=name)
        o.rule(name=name, mode="MUTUAL", credentialName="theirs", selector=name)
    wait_until("one has it", lambda: o.mesh.curl("trusted", "http://outside/", check=False)[0] == 200, 30)

    def status_of(name):
        rows = json.loads(o.lab.fairlead("proxy-status", "-o", "json"))
        return next(r for r in rows if r["name"].startswith(name))
    withheld = wait_until("the other is told of", lambda: (lambda r: r if r["sds"]["state"] == "WITHHELD" and "problem" in r else None)(status_of("mallory")), 30)
    assert withheld["problem"] == "system:serviceaccount:default:mallory may not list Secrets of its namespace: it is given no private keys"
    assert status_of("trusted")["sds"] | {"state": "SYNCED", "withheld": 0} == status_of("trusted")["sds"] and "problem" not in status_of("trusted")
    assert [o.mesh.curl("mallory", "http://outside/", check=False)[0] for _ in range(5)] == [503] * 5
    dump = o.mesh.admin("mallory", "/config_dump")
    assert "theirs" not in dump or base64.b64encode(o.me[0].read_bytes()).decode() not in dump


def test_a_host_outside(o):
    o.lab.apply(istio("ServiceEntry", "wild", {"hosts": ["sub.wild.test", "outside.test"], "location": "MESH_EXTERNAL", "resolution": "STATIC",
                                               "ports": [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 8443}],
                                               "endpoints": [{"address": o.ip}]}))
    o.rule(host="*.test", mode="SIMPLE", caCertificates=CA)
    for name in ("sub.wild.test", "outside.test"):
        def asked():
            status, seen = o.ask("http://1.2.3.4/", "-H", f"Host: {name}")
            return status == 200 and seen["sni"] == name
        wait_until(f"{name} is spoken to over TLS", asked)


def test_gateways(o):
    gateway = Gateway(o.lab)
    o.lab.apply(istio("Gateway", "shop", {"selector": {"istio": "ingressgateway"}, "servers": [
        {"port": {"number": 80, "protocol": "HTTP", "name": "http"}, "hosts": ["shop.test"]}]}),
        istio("VirtualService", "shop", {"hosts": ["shop.test"], "gateways": ["shop"], "http": [
            {"route": [{"destination": {"host": "outside"}}], "rewrite": {"authority": "outside.test"}}]}))
    o.rule(mode="MUTUAL", credentialName="front")
    gateway.all_do("there is no such Secret", lambda a: a.status == 503, "/", "shop.test")
    o.lab.apply(secret("front", SYSTEM, tls_crt=o.me[0], tls_key=o.me[1], ca_crt=o.ca.cert))
    gateway.all_do("it is spoken to over TLS", lambda a: a.status == 200, "/", "shop.test")
    seen = json.loads(gateway.ask("/", "shop.test").body)
    assert seen == {"sni": "outside.test", "client": "it-is-me", "host": "outside.test"}
    o.closed("sidecars have no part in it")
