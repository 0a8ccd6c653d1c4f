"""fairlead analyze on files: every code is raised by something, and by nothing that is right."""
import base64
import datetime
import json
import re
import subprocess

import pytest

from manifests import as_stream, class_, fairlead, ingress, path, pod, service, slice_
from suite import ROOT


def analyze(objects, *flags):
    done = fairlead("analyze", "-f", "-", "-o", "json", *flags, stdin=as_stream(objects))
    assert done.returncode in (0, 2), done.stderr
    return json.loads(done.stdout)["findings"]


def certificate(directory, *names, days=(-1, 300)):
    """(certificate, key) of a certificate of its own, good between these days from now."""
    now = datetime.datetime.now(datetime.timezone.utc)
    at = [(now + datetime.timedelta(days=d)).strftime("%Y%m%d%H%M%SZ") for d in days]
    (directory / "index").write_text("")
    (directory / "conf").write_text(f"[ca]\ndefault_ca=x\n[x]\ndatabase={directory}/index\nnew_certs_dir={directory}\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n"
                                    "unique_subject=no\n[p]\ncommonName=supplied\n[e]\nsubjectAltName=" + ",".join("DNS:" + n for n in names) + "\n")

    def openssl(*argv):
        subprocess.run(["openssl", *map(str, argv)], check=True, capture_output=True)
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x", "-keyout", directory / "key", "-out", directory / "csr")
    openssl("ca", "-batch", "-config", directory / "conf", "-selfsign", "-keyfile", directory / "key", "-in", directory / "csr", "-out", directory / "cert", "-notext",
            "-startdate", at[0], "-enddate", at[1], "-extensions", "e")
    return (directory / "cert").read_bytes(), (directory / "key").read_bytes()


def secret(cert, key, name="site", type_="kubernetes.io/tls"):
    return {"apiVersion": "v1", "kind": "Secret", "type": type_, "metadata": {"name": name, "namespace": "default"},
            "data": {"tls.crt": base64.b64encode(cert).decode(), "tls.key": base64.b64encode(key).decode()}}


def tls(*hosts, name="site"):
    return [{"hosts": list(hosts), **({"secretName": name} if name else {})}]


def rule(kind, name, spec, created="2026-01-01T00:00:00Z"):
    """Of Istio's API."""
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": name, "creationTimestamp": created}, "spec": spec}


PEER = {"myASN": 64512, "peerASN": 64513, "peerAddress": "192.0.2.1"}


def address(kind, name, spec, created="2026-01-01T00:00:00Z", namespace="default"):
    """Of MetalLB's API."""
    return {"apiVersion": "metallb.io/v1beta2" if kind == "BGPPeer" else "metallb.io/v1beta1", "kind": kind,
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": created}, "spec": spec}


def pool(name, *addresses, **kw):
    return address("IPAddressPool", name, {"addresses": list(addresses)}, **kw)


def node(**labels):
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {"a": "b", **labels}}}


def config_map(name, data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}


ROOT_PATH = path("/")
NEWER = "2026-02-01T00:00:00Z"
RESOURCE = {"path": "/", "pathType": "Prefix", "backend": {"resource": {"apiGroup": "x", "kind": "Bucket", "name": "b"}}}
# code -> objects that raise it (certificates apart), with the object and field it is said of
CASES = {
    "FL0101": ([ingress("i", path("/", "gone")), service()], "default/i", "spec.rules[0].http.paths[0]"),
    "FL0102": ([ingress("i", path("/", port=81)), service()], "default/i", "spec.rules[0].http.paths[0]"),
    "FL0103": ([ingress("i", RESOURCE)], "default/i", "spec.rules[0].http.paths[0]"),
    "FL0104": ([ingress("i", path("/a["), annotations={"use-regex": "true"}), service()], "default/i", "spec.rules[0].http.paths[0]"),
    "FL0105": ([ingress("old", ROOT_PATH), ingress("new", ROOT_PATH, created=NEWER), service()], "default/new", "spec.rules[0].http.paths[0]"),
    "FL0106": ([ingress("i", ROOT_PATH, annotations={"canary": "true", "canary-weight": "1"}), service()], "default/i", "spec.rules[0].http.paths[0]"),
    "FL0107": ([ingress("i", ROOT_PATH, host="a_b!"), service()], "default/i", "spec.rules[0].host"),
    "FL0108": ([ingress("i", *[path(f"/{n}") for n in range(10001)]), service()], "default/i", "spec"),
    "FL0109": ([ingress("i", ROOT_PATH, annotations={"ssl-redirct": "true"}), service()], "default/i", "metadata.annotations[nginx.ingress.kubernetes.io/ssl-redirct]"),
    "FL0110": ([ingress("i", ROOT_PATH, annotations={"ssl-redirect": "yes"}), service()], "default/i", "metadata.annotations[nginx.ingress.kubernetes.io/ssl-redirect]"),
    "FL0111": ([ingress("i", ROOT_PATH, annotations={"enable-modsecurity": "true"}), service()], "default/i",
               "metadata.annotations[nginx.ingress.kubernetes.io/enable-modsecurity]"),
    "FL0112": ([ingress("i", ROOT_PATH, annotations={"server-snippet": "return 200;"}), service()], "default/i",
               "metadata.annotations[nginx.ingress.kubernetes.io/server-snippet]"),
    "FL0113": ([ingress("old", ROOT_PATH), ingress("new", ROOT_PATH, host="b.example", annotations={"server-alias": "a.example"}, created=NEWER), service()], "default/new",
               "metadata.annotations[nginx.ingress.kubernetes.io/server-alias]"),
    "FL0114": ([ingress("i", ROOT_PATH, annotations={"default-backend": "gone"}), service()], "default/i", "metadata.annotations[nginx.ingress.kubernetes.io/default-backend]"),
    "FL0115": ([ingress("i", ROOT_PATH, annotations={"auth-secret": "users"}), service()], "default/i", "metadata.annotations[nginx.ingress.kubernetes.io/auth-secret]"),
    "FL0116": ([ingress("i", path("/x"), annotations={"auth-url": "https://$host/auth"}), service()], "default/i",
               "metadata.annotations[nginx.ingress.kubernetes.io/auth-url]"),
    "FL0117": ([ingress("old", path("/x"), annotations={"auth-tls-secret": "default/ca"}),
                ingress("new", path("/y"), created=NEWER, annotations={"auth-tls-secret": "default/other"}), service()], "default/new",
               "metadata.annotations[nginx.ingress.kubernetes.io/auth-tls-secret]"),
    "FL0201": ([ingress("i", ROOT_PATH, class_="gone"), class_("nginx"), service()], "default/i", "spec.ingressClassName"),
    "FL0202": ([ingress("i", ROOT_PATH, class_="other"), class_("other", "x.example/y"), service()], "default/i", "spec.ingressClassName"),
    "FL0203": ([ingress("i", ROOT_PATH, class_=None), class_("nginx"), service()], "default/i", "spec.ingressClassName"),
    "FL0204": ([class_("a", default=True), class_("b", default=True)], "b", "metadata.annotations[ingressclass.kubernetes.io/is-default-class]"),
    "FL0205": ([ingress("old", path("/b")), ingress("new", path("/a"), created=NEWER), service()], "default/old", "spec.rules"),
    "FL0206": ([ingress("i", path("/(.*)"), path("/foo"), annotations={"use-regex": "true"}), service()], "default/i", "spec.rules[0].http.paths[1]"),
    "FL0207": ([ingress("i", path("/x")), ingress("wide", ROOT_PATH, host="*.example"), service()], "default/i", "spec.rules"),
    "FL0208": ([ingress("i", path("/x/[a-z]"), annotations={"use-regex": "true"}), ingress("plain", path("/y"), created=NEWER), service()],
               "default/plain", "spec.rules[0].http.paths[0]"),
    "FL0209": ([ingress("i", path("/x", type_="Exact"), annotations={"use-regex": "true"}), service()], "default/i", "spec.rules[0].http.paths[0]"),
    "FL0210": ([ingress("i", path("/x/")), service()], "default/i", "spec.rules[0].http.paths[0]"),
    "FL0211": ([ingress("i", path("/x/(.*)", type_="ImplementationSpecific")), service()], "default/i", "spec.rules[0].http.paths[0]"),
    "FL0212": ([ingress("i", path("/x"), annotations={"rewrite-target": "/"}), service()], "default/i", "spec.rules[0].http.paths[0]"),
    "FL0307": ([ingress("i", ROOT_PATH, tls=tls("b.example", name=None)), service()], "default/i", "spec.tls[0].hosts[0]"),
    "FL0308": ([ingress("i", ROOT_PATH, tls=tls("a.example", name=None)), service()], "default/i", "spec.tls[0]"),
    "FL0401": ([ingress("i", ROOT_PATH), service(), slice_(ready=False)], "default/i", "spec.rules[0].http.paths[0]"),
    "FL0402": ([service(selector={"app": "gone"}), pod()], "default/web", "spec.selector"),
    "FL0501": ([config_map("ingress-nginx-controller", {"hsts": "perhaps"})], "default/ingress-nginx-controller", "data[hsts]"),
    "FL0502": ([config_map("nginx-configuration", {"http-snippet": "x"})], "default/nginx-configuration", "data[http-snippet]"),
    "FL0503": ([config_map("tcp-services", {"9000": "nobody"})], "default/tcp-services", "data[9000]"),
    "FL0504": ([config_map("udp-services", {"53": "kube-system/kube-dns:53"})], "default/udp-services", "data[53]"),
    "FL0601": ([rule("VirtualService", "v", {"hosts": ["web"], "http": [{"redirect": {}}]})], "default/v", "spec.http[0].redirect"),
    "FL0602": ([rule("DestinationRule", "d", {"host": "web", "trafficPolicy": {"loadBalancer": {"simple": "FASTEST"}}})], "default/d", "spec.trafficPolicy.loadBalancer.simple"),
    "FL0603": ([rule("VirtualService", "v", {"hosts": ["web"], "http": [{"route": [{"destination": {"host": "gone"}}]}]}), service()], "default/v", "spec.http[0]"),
    "FL0604": ([rule("VirtualService", "v", {"hosts": ["web"], "http": [{"route": [{"destination": {"host": "web", "subset": "v1"}}]}]}), service()], "default/v", "spec.http[0]"),
    "FL0605": ([rule("VirtualService", "v", {"hosts": ["web"], "http": [{"delegate": {"name": "gone"}}]}), service()], "default/v", "spec.http[0].delegate"),
    "FL0606": ([rule("VirtualService", n, {"hosts": ["web"], "http": [{"route": [{"destination": {"host": "web"}}]}]}, created=c) for n, c in (("old", "2026-01-01T00:00:00Z"), ("new", NEWER))] + [service()],
               "default/new", "spec.hosts"),
    "FL0607": ([rule("Gateway", "g", {"servers": [{"port": {"number": 80, "name": "p", "protocol": "MONGO"}, "hosts": ["*"]}]})], "default/g", "spec.servers[0].port.protocol"),
    "FL0608": ([rule("VirtualService", "v", {"hosts": ["a.b"], "gateways": ["gone", "g"], "http": [{"route": [{"destination": {"host": "web"}}]}]}), service(),
                rule("Gateway", "g", {"servers": [{"port": {"number": 80, "name": "p", "protocol": "HTTP"}, "hosts": ["*"]}]})], "default/v", "spec.gateways[0]"),
    "FL0609": ([rule("VirtualService", "v", {"hosts": ["a.b"], "gateways": ["g"], "tls": [{"match": [{"sniHosts": ["a.b"]}], "route": [
        {"destination": {"host": "web", "port": {"number": 80}}, "weight": w} for w in (1, 2)]}]}), service(),
        rule("Gateway", "g", {"servers": [{"port": {"number": 443, "name": "p", "protocol": "TLS"}, "hosts": ["*"], "tls": {"mode": "PASSTHROUGH"}}]})], "default/v", "spec.tls[0]"),
    "FL0610": ([rule("ServiceEntry", "e", {"hosts": ["a.example"], "ports": [{"number": 80, "name": "p", "protocol": "HTTP"}], "resolution": "DYNAMIC_DNS"})], "default/e", "spec.resolution"),
    "FL0611": ([rule("WorkloadEntry", "w", {"address": "vm.example"})], "default/w", "spec.address"),
    "FL0612": ([rule("Sidecar", "s", {"egress": [{"hosts": ["web"]}]})], "default/s", "spec.egress[0].hosts[0]"),
    "FL0613": ([rule("AuthorizationPolicy", "p", {"rules": [{"when": [{"key": "moon"}]}]})], "default/p", "spec.rules[0].when[0].key"),
    "FL0614": ([rule("RequestAuthentication", "r", {"jwtRules": [{"issuer": "i", "jwks": "none"}]})], "default/r", "spec.jwtRules[0].jwks"),
    "FL0615": ([rule("PeerAuthentication", "p", {"mtls": {"mode": "SOME"}})], "default/p", "spec.mtls.mode"),
    "FL0616": ([rule("Telemetry", "t", {"tracing": [{"randomSamplingPercentage": 101}]})], "default/t", "spec.tracing[0].randomSamplingPercentage"),
    "FL0617": ([rule("EnvoyFilter", "f", {"configPatches": []})], "default/f", "spec"),
    "FL0618": ([rule("WorkloadGroup", "g", {"template": {"address": "10.0.0.1"}})], "default/g", "spec.template.address"),
    "FL0619": ([rule("ProxyConfig", "p", {"concurrency": 65})], "default/p", "spec.concurrency"),
    "FL0701": ([pool("old", "192.0.2.0/28"), pool("new", "192.0.2.8/29", created=NEWER), pool("elsewhere", "192.0.2.8/29", namespace="other")], "default/new", "spec.addresses[0]"),
    "FL0702": ([address("L2Advertisement", "l", {"serviceSelectors": [{}]})], "default/l", "spec.serviceSelectors"),
    "FL0703": ([address("L2Advertisement", "l", {"nodeSelectors": [{"matchLabels": {"a": "c"}}]}), node()], "default/l", "spec.nodeSelectors"),
    "FL0704": ([address("BGPPeer", "p", {**PEER, "bfdProfile": "gone"})], "default/p", "spec.bfdProfile"),
    "FL0705": ([address("BGPPeer", "p", {**PEER, "nodeSelectors": [{"matchLabels": {"a": "c"}}]}), node()], "default/p", "spec.nodeSelectors"),
    "FL0706": ([address("BGPAdvertisement", "b", {"communities": ["gold", "silver"]}), address("Community", "c", {"communities": [{"name": "gold", "value": "1:2"}]})],
               "default/b", "spec.communities"),
    "FL0707": ([address("BGPAdvertisement", "b", {"peers": ["p", "gone"]}), address("BGPPeer", "p", PEER)], "default/b", "spec.peers"),
    "FL0708": ([address("Community", "c", {"communities": [{"name": "gold", "value": "1:2:3"}]})], "default/c", "spec.communities[0].value"),
    "FL0709": ([address("BFDProfile", "f", {"detectMultiplier": 1})], "default/f", "spec.detectMultiplier"),
    "FL0403": ([service(selector={"app": "web"}, ports=[{"port": 80, "targetPort": "http"}]), pod(ports=("grpc",))], "default/web", "spec.ports[0].targetPort"),
}
WITH_TLS = ingress("i", ROOT_PATH, tls=tls("a.example"))
CERTIFICATES = {
    "FL0301": (("b.example",), (-1, 300), "kubernetes.io/tls", "other", "default/i"),
    "FL0302": (("a.example",), (-1, 300), "Opaque", "site", "default/site"),
    "FL0303": (("b.example", "*.b.example"), (-1, 300), "kubernetes.io/tls", "site", "default/i"),
    "FL0304": (("a.example",), (-30, -1), "kubernetes.io/tls", "site", "default/site"),
    "FL0305": (("a.example",), (5, 300), "kubernetes.io/tls", "site", "default/site"),
    "FL0306": (("a.example",), (-1, 20), "kubernetes.io/tls", "site", "default/site"),
}


@pytest.mark.parametrize("code", CASES)
def test_a_code(code):
    objects, name, field = CASES[code]
    said = [(f["object"], f["field"]) for f in analyze(objects) if f["code"] == code]
    assert said == [(name, field)]


@pytest.mark.parametrize("code", CERTIFICATES)
def test_a_code_of_certificates(code, tmp_path):
    names, days, type_, secret_name, said_of = CERTIFICATES[code]
    found = analyze([WITH_TLS, service(), secret(*certificate(tmp_path, *names, days=days), name=secret_name, type_=type_)])
    assert [f["object"] for f in found if f["code"] == code] == [said_of]
    assert "PRIVATE" not in json.dumps(found)


def test_every_code_has_a_case_and_a_place_in_the_docs():
    listed = re.findall(r"^### (FL\d+)$", (ROOT / "docs/analyze.md").read_text(), re.M)
    assert listed == sorted(CASES | CERTIFICATES) and len(set(listed)) == len(listed)


def test_every_finding_of_the_model_has_a_code():
    """A finding without a row would be told as FL0000. What a conversion loses is told by that alone."""
    said = set()
    for file in set((ROOT / "src/model").glob("*.c")) - set((ROOT / "src/model").glob("convert*.c")):
        said |= set(re.findall(r'FINDING_\w+,\s*"(\w+)"', file.read_text()))
        said |= {a or b for a, b in re.findall(r'#define ID "(\w+)"|\.id = "(Invalid\w+)"', file.read_text())}
    rows = re.findall(r'^CODE\("FL\d+", "(\w+)"', (ROOT / "src/model/analysis_codes.def").read_text(), re.M)
    assert said <= set(rows) and len(rows) == len(set(rows)), said - set(rows)


def test_what_is_right_is_not_blamed(tmp_path):
    done = fairlead("analyze", "-f", "-", stdin=as_stream([
        ingress("i", ROOT_PATH, path("/x", type_="Exact"), tls=tls("a.example")), ingress("wild", ROOT_PATH, host="*.b.example"), class_("nginx", default=True),
        service(selector={"app": "web"}, ports=[{"name": "http", "port": 80, "targetPort": "http"}]), slice_(), pod(ports=("http",)),
        secret(*certificate(tmp_path, "*.example"))]))
    assert (done.returncode, done.stdout) == (0, "") and done.stderr == "nothing is to be told\n"


def test_hosts_of_entries_are_known():
    """A route to one is no mistake; a route to another host is."""
    entry = rule("ServiceEntry", "e", {"hosts": ["api.example"], "ports": [{"number": 80, "name": "p", "protocol": "HTTP"}], "resolution": "DNS"})

    def routes(host):
        return rule("VirtualService", "v", {"hosts": ["web"], "http": [{"route": [{"destination": {"host": host}}]}]})
    assert analyze([routes("api.example"), entry, service()]) == []
    assert [f["code"] for f in analyze([routes("apis.example"), entry, service()])] == ["FL0603"]


def test_addresses_that_are_right_are_not_blamed():
    password = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/basic-auth", "metadata": {"name": "tor"}, "data": {"password": base64.b64encode(b"wh1sper").decode()}}
    objects = [pool("a", "192.0.2.0/28"), pool("b", "192.0.2.16/28"), address("L2Advertisement", "l", {"ipAddressPools": ["a"]}), node(),
               address("BGPAdvertisement", "g", {"peers": ["p"], "communities": ["1:2", "large:1:2:3"]}),
               address("BGPPeer", "p", {**PEER, "passwordSecret": {"name": "tor"}, "bfdProfile": "f"}), address("BFDProfile", "f", {"receiveInterval": 100}), password]
    assert analyze(objects) == []
    told = analyze([{**o, "type": "Opaque"} if o["kind"] == "Secret" else o for o in objects])
    assert [(f["code"], f["field"], f["message"]) for f in told] == [("FL0704", "spec.passwordSecret.name", "the Secret tor is not of type kubernetes.io/basic-auth")]
    absent = analyze([{**o, "metadata": {"name": "other"}} if o["kind"] == "Secret" else o for o in objects])
    assert [(f["code"], f["message"]) for f in absent] == [("FL0704", "the Secret tor is not there")]
    assert "wh1sper" not in json.dumps(told + absent)
    unused = analyze([address("L2Advertisement", "l", {"ipAddressPools": ["gone"]}), pool("a", "192.0.2.0/28")])
    assert [(f["code"], f["message"]) for f in unused] == [("FL0703", "selects no IPAddressPool"), ("FL0703", "there is no IPAddressPool gone")]


def test_of_files_absence_is_told_only_where_something_is_there():
    assert analyze([ingress("i", path("/", "gone"), tls=tls("a.example"))]) == []


def test_the_worst_decides_about_the_exit_code():
    objects = as_stream(CASES["FL0101"][0])
    for flags, code in (((), 0), (("--failure-threshold", "warning"), 2), (("--failure-threshold", "info"), 2), (("--failure-threshold", "warning", "-S", "FL0101"), 0),
                        (("--failure-threshold", "warning", "-S", "FL0101=default/i"), 0), (("--failure-threshold", "warning", "-S", "FL0101=default/j"), 2),
                        (("--failure-threshold", "warning", "--output-threshold", "error"), 0)):
        assert fairlead("analyze", "-f", "-", *flags, stdin=objects).returncode == code, flags
    assert fairlead("analyze", "-f", "-", stdin=as_stream(CASES["FL0107"][0])).returncode == 2
    for flags, words in ((("--failure-threshold", "bad"), 'error: "bad" is no severity'), (("-o", "table"), 'error: -o: "table" is not known')):
        done = fairlead("analyze", "-f", "-", *flags, stdin="")
        assert done.returncode == 64 and words in done.stderr


ONE = """# a comment
---
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: i}
spec:
  ingressClassName: nginx
  rules:
  - host: a.example
    http:
      paths:
      - pathType: Prefix
        path: /
        backend: {service: {name: gone, port: {number: 80}}}
"""
TWO = """apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Service, metadata: {name: x}, spec: {ports: [{port: 80}]}}
- apiVersion: networking.k8s.io/v1
  kind: Ingress
  metadata:
    name: j
    annotations:
      nginx.ingress.kubernetes.io/nope: "1"
  spec: {ingressClassName: nginx, rules: []}
"""


def test_places_in_files(tmp_path):
    """A line of the file, whatever document or List it is in; directories below with -R."""
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "one.yaml").write_text(ONE)
    (tmp_path / "two.yaml").write_text(TWO)
    done = fairlead("analyze", "-R", tmp_path, "-o", "json")
    places = {f["object"]: f["place"] for f in json.loads(done.stdout)["findings"] if f["code"] in ("FL0101", "FL0109")}
    for name, words in (("default/i", "- pathType: Prefix"), ("default/j", 'nope: "1"')):
        file, line = places[name].rsplit(":", 1)
        assert open(file).read().splitlines()[int(line) - 1].strip().endswith(words), places
    flat = fairlead("analyze", "-f", tmp_path, "-o", "yaml")
    assert "object: default/j" in flat.stdout and "default/i" not in flat.stdout
    broken = fairlead("analyze", "-f", tmp_path / "below" / "none.yaml")
    assert broken.returncode == 1 and "none.yaml: No such file" in broken.stderr


def test_old_forms_of_ingress():
    old = {"apiVersion": "extensions/v1beta1", "kind": "Ingress", "metadata": {"name": "i", "annotations": {"kubernetes.io/ingress.class": "nginx"}},
           "spec": {"rules": [{"http": {"paths": [{"path": "/x/", "backend": {"serviceName": "gone", "servicePort": 1}}]}}]}}
    assert [f["code"] for f in analyze([old, service()])] == ["FL0101", "FL0210"]
