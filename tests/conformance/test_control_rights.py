"""The control plane on a real kube-apiserver that holds it to its roles (deploy/ingress), with a token of its service account and nothing else.

The server's audit log says what it asked for and how it was answered: nothing is refused, and each right that the roles give is used. A
gateway on the same host takes what it is given and serves a request. Part of `make conform`.
"""
import http.client
import json
import os
import re
import secrets
import socket
import subprocess

import pytest
import yaml

from api_server import TOKEN
from real_server import RealServer, need
from suite import BIN, FAIRLEAD, ROOT, run, wait_until

need("kube-apiserver", "etcd-server")

SYSTEM, ACCOUNT = "fairlead-system", "system:serviceaccount:fairlead-system:fairlead-control"
MANIFESTS = [ROOT / "deploy" / m for m in ("ingress/ingress.yaml", "mesh/mesh.yaml", "mesh/everywhere.yaml")]
OBJECTS = [o for m in MANIFESTS for o in yaml.safe_load_all(m.read_text())]
POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, users: ["%s"]}
- {level: None}
""" % ACCOUNT


def quiet_ports(n):
    """Ports of all addresses that nobody has, and that no connection is given: those above 32767 may have one by the time that somebody listens."""
    found = []
    while len(found) < n:
        with socket.socket() as s:
            try:
                s.bind(("0.0.0.0", 20000 + secrets.randbelow(10000)))
                found.append(s.getsockname()[1])
            except OSError:
                continue
    return found


class Place:
    """A server, the control plane as that account, a gateway, and something to be served."""

    def __init__(self, directory):
        self.dir, self.processes = directory, {}
        self.server = RealServer(directory)

    def up(self):
        (self.dir / "audit.yaml").write_text(POLICY)
        self.server.start(f"--audit-policy-file={self.dir}/audit.yaml", f"--audit-log-path={self.dir}/audit.log", "--enable-aggregator-routing=true", modes="RBAC")
        crds = sorted((ROOT / "deploy/crds").glob("*.yaml"))
        run(FAIRLEAD, "apply", *(a for m in [*crds, *MANIFESTS] for a in ("-f", m)), env=dict(os.environ, KUBECONFIG=str(self.kubeconfig("admin", TOKEN))))
        self.xds, self.plain, self.debug, self.http, self.https, self.backend, self.admin, self.injection = quiet_ports(8)
        self.start("echo", "fairlead-echo", "--http", self.backend)
        self.start_control()
        self.start_gateway()

    def kubeconfig(self, name, token):
        path = self.dir / f"{name}.kubeconfig"
        cluster = {"server": f"https://127.0.0.1:{self.server.port}", "certificate-authority": str(self.dir / "ca.crt")}
        path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": name, "clusters": [{"name": name, "cluster": cluster}],
                                        "users": [{"name": name, "user": {"token": token}}],
                                        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}]}))
        return path

    def token(self, account, **spec):
        r = self.server.post(f"/api/v1/namespaces/{SYSTEM}/serviceaccounts/{account}/token", {"spec": spec})
        assert r.status == 201, r.body
        return r.json["status"]["token"]

    def start(self, name, program, *argv):
        log = open(self.dir / f"{name}.log", "ab")
        self.processes[name] = subprocess.Popen([str(BIN / program), *map(str, argv)], stdout=log, stderr=log)

    def stop(self, name):
        process = self.processes.pop(name)
        process.terminate()
        assert process.wait(20) == 0, (self.dir / f"{name}.log").read_text()[-2000:]

    def start_control(self):
        """With the flags that deploy/ingress gives, but for where things are."""
        deployed = [o for o in OBJECTS if o["kind"] == "Deployment" and o["metadata"]["name"] == "fairlead-control"][-1]  # deploy/mesh has the last word
        assert "--injection-bind-address=0.0.0.0:15017" in deployed["spec"]["template"]["spec"]["containers"][0]["args"]
        args = [a for a in deployed["spec"]["template"]["spec"]["containers"][0]["args"] if "bind-address" not in a]
        self.start("control", "fairlead-control", *args, "--kubeconfig", self.kubeconfig("control", self.token("fairlead-control")),
                   f"--leader-namespace={SYSTEM}", f"--xds-bind-address=127.0.0.1:{self.plain}", f"--secure-xds-bind-address=127.0.0.1:{self.xds}",
                   f"--debug-bind-address=0.0.0.0:{self.debug}", f"--injection-bind-address=0.0.0.0:{self.injection}", f"--gateway-http-port={self.http}", f"--gateway-https-port={self.https}")
        wait_until("control is ready", lambda: self.get(self.debug, "/ready") == (200, "ok\n"), 30)

    def start_gateway(self):
        root = wait_until("the root is told", lambda: self.server.get(f"/api/v1/namespaces/{SYSTEM}/configmaps/fairlead-ca-root-cert").json.get("data"))
        deployed = self.server.get(f"/api/v1/namespaces/{SYSTEM}/configmaps/fairlead-gateway").json["data"]["bootstrap.yaml"]
        bootstrap = yaml.safe_load(deployed)
        bootstrap["admin"]["address"]["socket_address"]["port_value"] = self.admin
        cluster = bootstrap["static_resources"]["clusters"][0]
        cluster["type"] = "STATIC"
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": self.xds}
        trust = cluster["transport_socket"]["typed_config"]["common_tls_context"]["validation_context"]
        trust["trusted_ca"] = {"inline_string": root["root-cert.pem"]}
        (self.dir / "bootstrap.yaml").write_text(yaml.safe_dump(bootstrap))
        (self.dir / "token").write_text(self.token("fairlead-gateway", audiences=["fairlead-control"]))
        self.start("gateway", "fairlead-proxy", "-c", self.dir / "bootstrap.yaml", "--xds-token-file", self.dir / "token", "--service-node=gateway",
                   "--service-cluster=gateway")

    def start_machine(self):
        """One that registers itself."""
        bootstrap = yaml.safe_load((self.dir / "bootstrap.yaml").read_text())
        del bootstrap["admin"]
        bootstrap["node"] = {"id": "sidecar~10.9.9.9~vm.default~default.svc.cluster.local", "cluster": "vm", "metadata": {"AUTO_REGISTER_GROUP": "vms", "NAMESPACE": "default"}}
        (self.dir / "machine.yaml").write_text(yaml.safe_dump(bootstrap))
        r = self.server.post("/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {"audiences": ["fairlead-control"]}})
        (self.dir / "machine-token").write_text(r.json["status"]["token"])
        self.start("machine", "fairlead-proxy", "-c", self.dir / "machine.yaml", "--xds-token-file", self.dir / "machine-token")

    def start_sidecar(self, pod):
        """One that says it is that pod: what it asks for is what counts."""
        bootstrap = yaml.safe_load((self.dir / "bootstrap.yaml").read_text())
        del bootstrap["admin"]
        (self.dir / "sidecar.yaml").write_text(yaml.safe_dump(bootstrap))
        ns, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        r = self.server.post(f"/api/v1/namespaces/{ns}/serviceaccounts/default/token", {"spec": {"audiences": ["fairlead-control"]}})
        (self.dir / "sidecar-token").write_text(r.json["status"]["token"])
        self.start("sidecar", "fairlead-proxy", "-c", self.dir / "sidecar.yaml", "--xds-token-file", self.dir / "sidecar-token",
                   f"--service-node=sidecar~10.0.0.1~{name}.{ns}~{ns}.svc.cluster.local", f"--service-cluster=web.{ns}")

    def get(self, port, path, host=None, at="127.0.0.1", **headers):
        """(status, text), None: nobody answers."""
        conn = http.client.HTTPConnection(at, port, timeout=5)
        try:
            conn.request("GET", path, headers={**headers, **({"Host": host} if host else {})})
            r = conn.getresponse()
            return r.status, r.read().decode()
        except OSError:
            return None
        finally:
            conn.close()

    def put(self, path, body):
        """Made, or replaced."""
        r = self.server.post(path, body)
        if r.status == 409:
            r = self.server.call("PATCH", f"{path}/{body['metadata']['name']}", json.dumps(body), "application/merge-patch+json")
        assert r.status in (200, 201), r.body
        return r.json

    def down(self):
        for name in list(self.processes):
            self.stop(name)
        self.server.stop()

    # ---- the audit log ----

    def asked(self):
        """Of each call: (namespace, group, resource, verb, name), and how it was answered."""
        found = []
        for line in (self.dir / "audit.log").read_text().splitlines():
            try:
                e = json.loads(line)
            except ValueError:
                continue  # it is being written
            of = e.get("objectRef")
            assert e["user"]["username"] == ACCOUNT, e
            if of:
                resource = of["resource"] + ("/" + of["subresource"] if "subresource" in of else "")
                found.append(((of.get("namespace"), of.get("apiGroup", ""), resource, e["verb"], of.get("name")), e.get("responseStatus", {}).get("code")))
        return found


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    one = Place(tmp_path_factory.mktemp("rights"))
    try:
        one.up()
        yield one
    finally:
        one.down()


def given():
    """(namespace, group, resource, verb, name) of its roles; None: any."""
    rights = set()
    bound = {(o["roleRef"]["kind"], o["roleRef"]["name"]) for o in OBJECTS if o["kind"].endswith("RoleBinding") and any(s["name"] == "fairlead-control" for s in o["subjects"])}
    for o in OBJECTS:
        if o["kind"] in ("ClusterRole", "Role") and (o["kind"], o["metadata"]["name"]) in bound:
            where = SYSTEM if o["kind"] == "Role" else None
            for rule in o["rules"]:
                rights |= {(where, g, r, v, n) for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"] for n in rule.get("resourceNames", [None])}
    return rights


def is_use(right, call):
    return all(r in (None, c) for r, c in zip(right, call))


def ingress(name, annotations=None, port=80):
    backend = {"service": {"name": "web", "port": {"number": port}}}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name, "annotations": {
        f"nginx.ingress.kubernetes.io/{k}": v for k, v in (annotations or {}).items()}},
        "spec": {"ingressClassName": "nginx", "rules": [{"host": f"{name}.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]}}


INGRESSES = "/apis/networking.k8s.io/v1/namespaces/default/ingresses"
ISTIO = "/apis/networking.istio.io/v1"
# Kinds of Istio's, and what is wrong or without effect in an object: its status says so.
WRONG = {
    "networking.istio.io/v1 VirtualService": {"hosts": ["nobody"], "http": [{"redirect": {}}]},
    "networking.istio.io/v1 DestinationRule": {"host": "nobody", "trafficPolicy": {"tls": {"mode": "SIMPLE", "credentialName": "a", "caCertificates": "/x"}}},
    "networking.istio.io/v1 Gateway": {"servers": [{"port": {"number": 80, "name": "p", "protocol": "MONGO"}, "hosts": ["*"]}]},
    "networking.istio.io/v1 ServiceEntry": {"hosts": ["a.ns.svc.cluster.local"], "ports": [{"number": 80, "name": "p", "protocol": "HTTP"}]},
    "networking.istio.io/v1 WorkloadEntry": {"address": "vm.example"},
    "networking.istio.io/v1 WorkloadGroup": {"template": {}, "probe": {}},
    "networking.istio.io/v1 Sidecar": {"egress": [{"hosts": ["web"]}]},
    "networking.istio.io/v1alpha3 EnvoyFilter": {"configPatches": []},
    "networking.istio.io/v1beta1 ProxyConfig": {"concurrency": 65},
    "extensions.istio.io/v1alpha1 WasmPlugin": {"url": "oci://example.org/plugin"},
    "security.istio.io/v1 AuthorizationPolicy": {"rules": [{"when": [{"key": "moon", "values": ["full"]}]}]},
    "security.istio.io/v1 RequestAuthentication": {"jwtRules": [{"issuer": "i", "jwks": "none"}]},
    "telemetry.istio.io/v1 Telemetry": {"tracing": [{"customTags": {"a": {"header": {"name": "a b"}}}}]},
}


def test_a_manifest_becomes_a_served_request(place):
    balancer = f"/api/v1/namespaces/{SYSTEM}/services/fairlead-gateway/status"
    assert place.server.call("PATCH", balancer, json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.80"}]}}}), "application/merge-patch+json").status == 200
    place.put("/api/v1/namespaces/default/services", {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"name": "http", "port": 80}]}})
    put_endpoint(place, "default", "web", "http", place.backend)
    place.put(INGRESSES, ingress("served"))
    wait_until("it is served", lambda: (place.get(place.http, "/name", "served.example") or (0,))[0] == 200, 30)
    wait_until("its status is written", lambda: place.server.get(f"{INGRESSES}/served").json.get("status", {}).get("loadBalancer", {}).get("ingress") == [{"ip": "192.0.2.80"}], 30)


def put_endpoint(place, ns, name, port_name, port):
    """The address of an endpoint may not be of loopback: another one of this host."""
    address = run("hostname", "-I").split()[0]
    place.put(f"/apis/discovery.k8s.io/v1/namespaces/{ns}/endpointslices", {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "ports": [{"name": port_name, "port": port, "protocol": "TCP"}], "endpoints": [{"addresses": [address], "conditions": {"ready": True}}]})


def test_a_pod_gets_its_proxy(place):
    """A real server asks the webhook, knows it by the caBundle that was told, and takes what it makes of the pod."""
    put_endpoint(place, SYSTEM, "fairlead-control", "https-webhooks", place.injection)
    for ns, labels in (("shop", {"istio-injection": "enabled"}), ("plain", {"istio-injection": "disabled"}), ("every", {})):
        place.put("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns, "labels": labels}})
        place.put(f"/api/v1/namespaces/{ns}/serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})

    def create(ns, annotations=None, query=""):
        body = {"metadata": {"generateName": "web-", "annotations": annotations or {}},
                "spec": {"containers": [{"name": "c", "image": "i", "readinessProbe": {"httpGet": {"port": 80}}}]}}
        return place.server.post(f"/api/v1/namespaces/{ns}/pods{query}", body)

    def names(r):
        return [c["name"] for c in r.json["spec"].get("initContainers", [])]
    wait_until("the webhook is asked", lambda: create("shop", query="?dryRun=All").status == 201, 30)
    made = create("shop")
    place.start_sidecar(made.json)
    assert made.status == 201 and names(made) == ["istio-init", "istio-proxy"], made.body
    proxy = made.json["spec"]["initContainers"][1]
    assert proxy["restartPolicy"] == "Always" and any(m["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount" for m in proxy["volumeMounts"])
    assert made.json["spec"]["containers"][0]["readinessProbe"]["httpGet"]["port"] == 15020
    plain = create("plain")
    assert plain.status == 201 and names(plain) == []
    assert names(create("every")) == ["istio-init", "istio-proxy"]
    refused = create("shop", {"sidecar.istio.io/interceptionMode": "TPROXY"})
    assert refused.status == 400 and "denied the request: metadata.annotations[sidecar.istio.io/interceptionMode]" in refused.json["message"]
    for ns in ("shop", "every"):
        wait_until("its namespace is told whom to trust", lambda ns=ns: place.server.get(f"/api/v1/namespaces/{ns}/configmaps/fairlead-ca-root-cert").status == 200, 20)


def test_who_may_look_is_the_servers_to_say(place):
    """By the roles of deploy/ingress, of a token for that alone, of an account that a real server has made it for."""
    where = run("hostname", "-I").split()[0]

    def ask(page, token):
        return place.get(place.debug, page, at=where, Authorization=f"Bearer {token}")
    viewer = place.token("fairlead-viewer", audiences=["fairlead-view"])
    assert [ask(page, viewer)[0] for page in ("/debug/edges", "/debug/traces", "/debug/syncz")] == [200, 200, 200]
    assert ask("/debug/syncz", place.token("fairlead-viewer"))[0] == 401, "a token for the API server is no viewer's"
    status, text = ask("/debug/edges?namespace=shop", place.token("fairlead-gateway", audiences=["fairlead-view"]))
    assert status == 403 and "may not get traffic.view.fairlead.dev in namespace shop" in json.loads(text)["message"]
    assert place.get(place.debug, "/debug/edges", at=where)[0] == 401


def test_a_server_passes_the_viewers_token_on(place):
    """As the CLI asks: the server keeps `authorization` for itself, and hands on the field beside it."""
    address = run("hostname", "-I").split()[0]
    pod = f"/api/v1/namespaces/{SYSTEM}/pods"
    place.put(pod, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "control"}, "spec": {"serviceAccountName": "fairlead-control", "containers": [{"name": "c", "image": "i"}]}})
    status = {"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}}
    assert place.server.call("PATCH", f"{pod}/control/status", json.dumps(status), "application/merge-patch+json").status == 200
    page = f"{pod}/control:{place.debug}/proxy/debug/syncz"
    viewer = place.token("fairlead-viewer", audiences=["fairlead-view"])

    def ask(**fields):
        return place.server.call("GET", page, headers=fields)
    wait_until("it is passed on", lambda: ask(**{"Fairlead-Authorization": f"Bearer {viewer}"}).status == 200, 20)
    refused = ask()
    assert refused.status == 401 and "who asks?" in refused.json["message"], "the administrator's own token has not come here"


def test_what_is_wrong_is_told_in_the_object(place):
    for kind, spec in WRONG.items():
        version, name = kind.split()
        plural = name.lower()[:-1] + "ies" if name.endswith(("ry", "cy")) else name.lower() + "s"
        at = f"/apis/{version}/namespaces/default/{plural}"
        place.put(at, {"apiVersion": version, "kind": name, "metadata": {"name": "wrong", "namespace": "default"}, "spec": spec})
        wait_until(f"a {name} is told", lambda at=at: place.server.get(f"{at}/wrong").json.get("status", {}).get("conditions"), 60)
    place.put(f"{ISTIO}/namespaces/default/serviceentries", {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": "right"}, "spec": {
        "hosts": ["a.test"], "ports": [{"number": 80, "name": "p", "protocol": "HTTP"}], "resolution": "STATIC", "endpoints": [{"address": "192.0.2.7"}]}})
    wait_until("its host has an address", lambda: place.server.get(f"{ISTIO}/namespaces/default/serviceentries/right").json.get("status", {}).get("addresses"), 30)


def test_a_machine_registers_itself(place):
    entry = f"{ISTIO}/namespaces/default/workloadentries/vms-10.9.9.9"
    place.put("/api/v1/namespaces/default/serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
    place.put(f"{ISTIO}/namespaces/default/workloadgroups", {"apiVersion": "networking.istio.io/v1", "kind": "WorkloadGroup", "metadata": {"name": "vms"}, "spec": {"template": {}}})
    place.start_machine()
    made = wait_until("it is there", lambda: (lambda r: r.json if r.status == 200 else None)(place.server.get(entry)), 30)
    assert made["metadata"]["annotations"]["istio.io/autoRegistrationGroup"] == "vms" and made["spec"]["serviceAccount"] == "default"
    place.stop("machine")
    wait_until("it has gone", lambda: place.server.get(entry).status == 404, 40)


def told(place, name):
    return [e for e in place.server.get("/api/v1/namespaces/default/events").json["items"] if e["involvedObject"]["name"] == name]


def test_nothing_is_refused_and_each_right_is_used(place):
    place.put("/api/v1/namespaces/default/configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fields"}, "data": {"x-a": "b"}})
    place.put(INGRESSES, ingress("named", {"auth-url": "http://web.default.svc/", "auth-proxy-set-headers": "fields"}))
    for n in (1, 2):  # the same Event twice: it is counted up
        place.put(INGRESSES, ingress("wrong", port=4711))
        wait_until("it is told", lambda n=n: any(e.get("count", 1) >= n for e in told(place, "wrong")), 30)
        place.put(INGRESSES, ingress("wrong"))
        wait_until("it is right again", lambda: (place.get(place.http, "/", "wrong.example") or (0,))[0] == 200, 30)
    place.stop("control")
    place.start_control()  # the root and its ConfigMap are there already
    rights = given()
    assert len(rights) >= 20

    def unused():
        calls = [call for call, _ in place.asked()]
        return sorted((r for r in rights if not any(is_use(r, c) for c in calls)), key=str)
    try:
        wait_until("each right is used", lambda: not unused(), 60)
    finally:
        assert unused() == []
    calls = place.asked()
    assert [c for c in calls if c[1] in (401, 403)] == []
    assert [c for c, _ in calls if not any(is_use(r, c) for r in rights) and c[2] != "selfsubjectreviews"] == []
    log = (place.dir / "control.log").read_text()
    assert not re.search(r"HTTP 40[13]|orbidden", log), log[-2000:]
    print(f"{len(calls)} calls, {len(set(c for c, _ in calls))} of a kind, 0 refused; {len(rights)} rights, each used")


@pytest.mark.parametrize("without", ["secrets", "ingresses/status", "tokenreviews"])
def test_a_right_less_is_seen(place, without):
    """The check above looks: of what is taken away, the audit log has a refusal."""
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/fairlead-control"
    whole = place.server.get(path).json
    rules = [dict(r, resources=[x for x in r["resources"] if x != without]) for r in whole["rules"]]
    place.stop("control")
    begun = len(place.asked())
    assert place.server.call("PATCH", path, json.dumps({"rules": [r for r in rules if r["resources"]]}), "application/merge-patch+json").status == 200
    try:
        if without == "secrets":
            with pytest.raises(BaseException, match="control is ready"):
                place.start_control()
        else:
            place.start_control()
            place.put(INGRESSES, ingress(f"less-{without.replace('/', '-')}"))
        wait_until("it is refused", lambda: [c for c in place.asked()[begun:] if c[1] == 403 and c[0][2] == without], 40)
    finally:
        assert place.server.call("PATCH", path, json.dumps({"rules": whole["rules"]}), "application/merge-patch+json").status == 200
    place.stop("control")
    place.start_control()
