"""The chart (deploy/chart) by Helm 3 and 4: that it renders, what it refuses, what its pods may do, that plain manifests are what it gives, and that it runs when it is installed into a lab."""
import json
import re

import pytest
import yaml

from lab_harness import Lab, running
from suite import BIN, ROOT, run, wait_until

CHART = ROOT / "deploy/chart"
SYSTEM = "fairlead-system"
# What a lab has not: it carries Services itself, and evicts nobody.
FOR_LAB = ["agent.enabled=false", "control.podDisruptionBudget.enabled=false", "gateway.podDisruptionBudget.enabled=false"]
ALL = ["networkPolicy.enabled=true", "monitoring.podMonitor.enabled=true", "monitoring.dashboards.enabled=true", "mesh.everywhere=true", "agent.apiServer.host=192.0.2.1", "logLevel=debug",
       "logFormat=json", "namespace.create=true", "ingress.watchWithoutClass=true", "mesh.outboundTrafficPolicy=REGISTRY_ONLY", "gateway.concurrency=2"]


def sets(values):
    return [x for v in values for x in ("--set", v)]


def template(helm, *values, check=True):
    done = helm("template", "fairlead", CHART, "--namespace", SYSTEM, "--kube-version", "1.37.0", *sets(values), check=check)
    return [o for o in yaml.safe_load_all(done) if o] if check else done


def named(objects, kind, name):
    found, = [o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name]
    return found


def test_lint(helm):
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART)
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART, *sets(ALL))


def test_the_whole_of_it(helm):
    """Every object is there once, in our namespace or in none; what is not chosen is not there."""
    objects = template(helm)
    ids = [(o["kind"], o["metadata"]["name"]) for o in objects]
    assert len(ids) == len(set(ids))
    assert {o["metadata"].get("namespace", SYSTEM) for o in objects} == {SYSTEM}
    kinds = {k for k, _ in ids}
    assert kinds >= {"DaemonSet", "Deployment", "PodDisruptionBudget", "MutatingWebhookConfiguration", "CustomResourceDefinition", "IngressClass"}
    assert not kinds & {"Namespace", "NetworkPolicy", "PodMonitor"}
    assert named(objects, "Deployment", "fairlead-control")["spec"]["replicas"] == 2
    crds = [o for o in objects if o["kind"] == "CustomResourceDefinition"]
    assert len(crds) == len(list((ROOT / "deploy/crds").glob("*.yaml"))) and all(o["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"} for o in crds)
    for o in crds:
        del o["metadata"]["annotations"]
    assert {json.dumps(o, sort_keys=True) for o in crds} == {
        json.dumps(yaml.safe_load(p.read_text()), sort_keys=True) for p in (ROOT / "deploy/crds").glob("*.yaml")}
    more = template(helm, *ALL)
    assert {"Namespace", "NetworkPolicy", "PodMonitor"} <= {o["kind"] for o in more}
    assert sum(o["kind"] == "ConfigMap" and "dashboard" in o["metadata"]["name"] for o in more) == 3
    assert {o["metadata"]["name"] for o in template(helm, "crds.install=false", "control.enabled=false", "gateway.enabled=false", "mesh.enabled=false", "networkPolicy.enabled=true",
                                                    "monitoring.podMonitor.enabled=true")} == {"fairlead-agent"}  # Services alone
    assert len([o for o in template(helm, "crds.install=false", "agent.enabled=false", "gateway.enabled=false", "mesh.enabled=false") if o["kind"] in ("DaemonSet", "CustomResourceDefinition", "MutatingWebhookConfiguration")]) == 0


def test_values_reach_the_programs(helm):
    """Each flag that the chart writes is one that the program has; a value that is chosen is there."""
    objects = template(helm, *ALL, "agent.detectLocalMode=ClusterCIDR", "agent.clusterCIDR=10.0.0.0/8", "agent.nodePortAddresses=primary", "agent.externalIPs=true", "agent.masqueradeAll=true", "agent.cleanupOnExit=true",
                       "agent.podBridgeInterface=b", "agent.podInterfaceNamePrefix=p", "mesh.trustDomain=td", "mesh.certificateLifetime=1h", "ingress.defaultBackendService=a/b")
    for program, kind in (("agent", "DaemonSet"), ("control", "Deployment"), ("gateway", "Deployment")):
        container, = named(objects, kind, f"fairlead-{program}")["spec"]["template"]["spec"]["containers"]
        known = run(BIN / f"fairlead-{program.replace('gateway', 'proxy')}", "--help")
        flags = {a.split("=")[0] for a in container["args"] if a.startswith("--")}
        assert flags and {f for f in flags if not re.search(rf"{f}\b", known)} == set()
    agent = named(objects, "DaemonSet", "fairlead-agent")["spec"]["template"]["spec"]["containers"][0]
    assert {"--cluster-cidr=10.0.0.0/8", "--external-ips", "--cleanup-on-exit", "--metrics-bind-address=0.0.0.0:10249", "--log-level=debug", "--log-format=json"} <= set(agent["args"])
    assert {"name": "KUBERNETES_SERVICE_HOST", "value": "192.0.2.1"} in agent["env"] and {"name": "KUBERNETES_SERVICE_PORT", "value": "6443"} in agent["env"]
    probes = [agent[p]["httpGet"] for p in ("readinessProbe", "livenessProbe")]
    assert "--probe-bind-address=127.0.0.1:10246" in agent["args"] and [(p["host"], p["port"]) for p in probes] == [("127.0.0.1", 10246)] * 2  # not where a kube-proxy may answer
    control = named(objects, "Deployment", "fairlead-control")["spec"]["template"]["spec"]["containers"][0]
    assert f"--publish-service={SYSTEM}/fairlead-gateway" in control["args"]
    control_only = named(template(helm, "ingress.publishStatus=false"), "Deployment", "fairlead-control")["spec"]["template"]["spec"]["containers"][0]
    assert not [a for a in control_only["args"] if a.startswith("--publish")]
    assert {"--outbound-traffic-policy=REGISTRY_ONLY", "--trust-domain=td", "--certificate-lifetime=1h", "--proxy-image=localhost/fairlead/proxy:0.1.0", "--default-backend-service=a/b"} <= set(control["args"])


def test_rules_made_by_nodes(helm):
    """mesh.cni.enabled: the control plane knows, and each node has who makes them: root's folders are written to, nothing else may be done."""
    assert not [o for o in template(helm) if o["metadata"]["name"] == "fairlead-cni"]
    objects = template(helm, "mesh.cni.enabled=true", "mesh.cni.excludeNamespaces={a,b}", "mesh.cni.confName=10-net.conflist", "mesh.cni.binDir=/var/bin", "logLevel=debug")
    assert "--cni" in named(objects, "Deployment", "fairlead-control")["spec"]["template"]["spec"]["containers"][0]["args"]
    pod = named(objects, "DaemonSet", "fairlead-cni")["spec"]["template"]["spec"]
    container, = pod["containers"]
    known = run(BIN / "fairlead-cni-node", "--help")
    for words in (container["args"], container["readinessProbe"]["exec"]["command"][1:]):
        assert {f for f in (a.split("=")[0] for a in words) if not re.search(rf"{f}\b", known)} == set()
        assert {"--exclude-namespaces=a,b,fairlead-system", "--cni-conf-name=10-net.conflist", "--cni-bin-dir=/host/bin", "--cni-conf-dir=/host/net.d"} <= set(words)
    assert container["securityContext"] == {"runAsUser": 0, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}} and "hostNetwork" not in pod
    assert {v["hostPath"]["path"] for v in pod["volumes"]} == {"/var/bin", "/etc/cni/net.d", "/run/fairlead-cni"}
    rights = lambda *values: {(r["resources"][0], *r["verbs"]) for r in named(template(helm, "mesh.cni.enabled=true", *values), "ClusterRole", "fairlead-cni")["rules"]}  # noqa: E731
    assert rights() == {("pods", "get", "list", "delete"), ("events", "create", "patch")}
    assert rights("mesh.cni.repair=false") == {("pods", "get")}


def test_beside_istiod(helm):
    """mesh.revisionOnly: of the webhooks those alone that ask for our revision, whatever pods or namespaces say to istio-injection."""
    webhooks = lambda *values: named(template(helm, *values), "MutatingWebhookConfiguration", "fairlead-sidecar-injector")["webhooks"]  # noqa: E731
    assert len(webhooks()) == 4
    only = webhooks("mesh.revisionOnly=true")
    assert [w["name"].split(".")[:2] for w in only] == [["rev", "namespace"], ["rev", "object"]]
    for w in only:
        asked = {(e["key"], e["operator"], tuple(e.get("values", ()))) for s in ("namespaceSelector", "objectSelector") for e in w[s]["matchExpressions"]}
        assert ("istio.io/rev", "In", ("fairlead",)) in asked and ("istio-injection", "DoesNotExist", ()) in asked


@pytest.mark.parametrize("values, says", [
    (["image.foo=1"], "'foo' not allowed"),
    (["control.replicas=0"], "/control/replicas"),
    (["agent.detectLocalMode=ClusterCIDR"], "/agent/clusterCIDR"),
    (["agent.detectLocalMode=nodes"], "/agent/detectLocalMode"),
    (["agent.clusterCIDR=ten"], "/agent/clusterCIDR"),
    (["mesh.everywhere=true", "mesh.revisionOnly=true"], "/mesh"),
    (["control.enabled=false", "mesh.enabled=false"], "/gateway/enabled"),
    (["mesh.certificateLifetime=1 day"], "/mesh/certificateLifetime"),
    (["mesh.cni.confName=net.conf"], "/mesh/cni/confName"),
    (["mesh.cni.binDir=bin"], "/mesh/cni/binDir"),
    (["gateway.service.type=Other"], "/gateway/service/type"),
    (["ingress.configMap=noslash"], "/ingress/configMap"),
    (["control.extraArgs={log-level=debug}"], "/control/extraArgs"),
    (["loadBalancer.namespace=Upper"], "/loadBalancer/namespace"),
    (["loadBalancer.heartbeatPort=0"], "/loadBalancer/heartbeatPort"),
])
def test_what_is_refused(helm, values, says):
    done = template(helm, *values, check=False)
    assert done.returncode != 0 and says in done.stderr


def test_the_file_of_kube_proxy(helm):
    agent = next(o for o in template(helm, "agent.kubeProxyConfigMap=kube-proxy", "agent.externalIPs=true") if o["kind"] == "DaemonSet")["spec"]["template"]["spec"]
    container = agent["containers"][0]
    assert container["args"] == ["--node-name=$(NODE_NAME)", "--config=/var/lib/kube-proxy/config.conf", "--probe-bind-address=127.0.0.1:10246", "--external-ips"]
    assert container["volumeMounts"] == [{"name": "kube-proxy", "mountPath": "/var/lib/kube-proxy", "readOnly": True}]
    assert agent["volumes"] == [{"name": "kube-proxy", "configMap": {"name": "kube-proxy"}}]


def test_what_pods_may(helm):
    """Nobody writes to his root or gets more than he had; all but the agent are nobody and have nothing; each is looked at and says what it needs."""
    pods = {o["metadata"]["name"]: o["spec"]["template"]["spec"] for o in template(helm) if o["kind"] in ("DaemonSet", "Deployment")}
    assert set(pods) == {"fairlead-agent", "fairlead-control", "fairlead-gateway"}
    for name, spec in pods.items():
        container, = spec["containers"]
        rights = container["securityContext"]
        assert rights["readOnlyRootFilesystem"] is True and rights["allowPrivilegeEscalation"] is False and rights["capabilities"]["drop"] == ["ALL"] and "privileged" not in rights
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {"readinessProbe", "livenessProbe"} <= set(container) and container["resources"]["requests"]
        if name == "fairlead-agent":
            assert rights["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]} and spec["hostNetwork"]
        else:
            assert "add" not in rights["capabilities"] and spec["securityContext"]["runAsNonRoot"] is True and "hostNetwork" not in spec
    rules = [r for o in template(helm) if o["kind"] in ("Role", "ClusterRole") for r in o["rules"]]
    assert not any("*" in r["verbs"] + r["resources"] + r["apiGroups"] for r in rules)


def test_addresses_where_no_cloud_gives_them(helm):
    """Off, there is nothing of it; on, agents may answer for addresses themselves, and each reads what it needs and no more."""
    assert "metallb" not in json.dumps(template(helm))
    objects = template(helm, "loadBalancer.enabled=true", "loadBalancer.namespace=pools", "loadBalancer.loadBalancerClass=x.example/y", "loadBalancer.heartbeatPort=7000")
    definitions = {p.stem + ".metallb.io" for p in (ROOT / "deploy/crds/metallb").glob("*.yaml")}
    assert {o["metadata"]["name"] for o in objects if o["kind"] == "CustomResourceDefinition" and "metallb" in o["metadata"]["name"]} == definitions and len(definitions) == 6
    agent, = named(objects, "DaemonSet", "fairlead-agent")["spec"]["template"]["spec"]["containers"]
    assert agent["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}
    assert {"--address-pool-namespace=pools", "--agent-heartbeat-port=7000"} <= set(agent["args"])
    control, = named(objects, "Deployment", "fairlead-control")["spec"]["template"]["spec"]["containers"]
    assert {"--address-pool-namespace=pools", "--load-balancer-class=x.example/y"} <= set(control["args"])
    for program, container in (("agent", agent), ("control", control)):
        known = run(BIN / f"fairlead-{program}", "--help")
        assert all(a.split("=")[0] in known for a in container["args"] if a.startswith("--"))
    assert named(objects, "Role", "fairlead-agent-pools")["rules"] == [{"apiGroups": ["metallb.io"], "resources": ["ipaddresspools", "l2advertisements"], "verbs": ["list", "watch"]}]
    assert named(objects, "Role", "fairlead-control-pools")["rules"] == [{"apiGroups": ["metallb.io"], "resources": ["ipaddresspools"], "verbs": ["list", "watch"]}]
    assert {o["metadata"]["namespace"] for o in objects if o["kind"] in ("Role", "RoleBinding") and o["metadata"]["name"].endswith("-pools")} == {"pools"}
    assert named(objects, "Role", "fairlead-agent")["rules"] == [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list", "watch"], "resourceNames": ["fairlead-agent-key"]}]
    more = [r for r in named(objects, "ClusterRole", "fairlead-control")["rules"] if r not in named(template(helm), "ClusterRole", "fairlead-control")["rules"]]
    assert more == [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]}, {"apiGroups": [""], "resources": ["services/status"], "verbs": ["patch"]}]


def test_bgp(helm):
    """Agents reach bgpd's socket by its group, read what says whom to tell, and the Secrets that are named, no others."""
    def agent_of(*chosen):
        objects = template(helm, "loadBalancer.enabled=true", *chosen)
        return objects, named(objects, "DaemonSet", "fairlead-agent")["spec"]["template"]["spec"]
    objects, pod = agent_of()
    assert "frr" not in json.dumps(pod) and "volumes" not in pod
    objects, pod = agent_of("loadBalancer.bgp.enabled=true", "loadBalancer.bgp.vtyGroup=117", "loadBalancer.bgp.vtyDirectory=/x/frr", "loadBalancer.bgp.passwordSecrets={tor,spine}")
    agent, = pod["containers"]
    assert pod["securityContext"]["supplementalGroups"] == [117] and "--frr-vty-directory=/x/frr" in agent["args"]
    assert pod["volumes"] == [{"name": "frr", "hostPath": {"path": "/x/frr", "type": "DirectoryOrCreate"}}] and agent["volumeMounts"] == [{"name": "frr", "mountPath": "/x/frr"}]
    assert agent["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}
    assert named(objects, "Role", "fairlead-agent-pools")["rules"][1:] == [
        {"apiGroups": ["metallb.io"], "resources": ["bgppeers", "bgpadvertisements", "communities", "bfdprofiles"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list", "watch"], "resourceNames": ["tor", "spine"]}]
    assert "--frr-vty-directory" in run(BIN / "fairlead-agent", "--help")
    _, pod = agent_of("loadBalancer.bgp.enabled=true")
    assert "supplementalGroups" not in pod["securityContext"]
    assert "frr" not in json.dumps(template(helm, "loadBalancer.bgp.enabled=true"))  # not without the rest


def test_plain_manifests_are_what_it_gives(helm):
    """By every Helm the same bytes; `lab up` applies them."""
    run("python3", ROOT / "tools/manifests.py", helm.program, "--check")


@pytest.fixture(scope="module")
def lab():
    yield from running(Lab())


def test_installed_changed_and_taken_out(lab, helm):
    """Pods run, an Ingress answers; fewer gateways when told so; nothing is left but the definitions, which stay."""
    at = ["--namespace", SYSTEM]
    helm("install", "fairlead", CHART, *at, "--create-namespace", *sets(FOR_LAB), "--wait", "--timeout", "60s", kubeconfig=lab.kubeconfig, timeout=90)
    lab.wait_ready("app=fairlead-control", 2, SYSTEM)
    lab.wait_ready("app=fairlead-gateway", 2, SYSTEM)
    for folder in ("examples/first-light", "examples/ingress/origin"):
        lab.fairlead("apply", "-f", ROOT / folder)
    address = wait_until("the Ingress has an address", lambda: lab.get("ingress/test-ingress")["status"].get("loadBalancer", {}).get("ingress"), 30)[0]["ip"]
    wait_until("it answers", lambda: '"name": "nginx"' in str(lab.answers("node-1", f"http://{address}/folder")), 30)
    gateway = lab.ready_pods("app=fairlead-gateway", SYSTEM)[0]["status"]["podIP"]
    assert lab.answers("node-1", f"http://{gateway}:15021/healthz/ready") == "LIVE"
    assert "envoy_server_live" in lab.curl("node-1", f"http://{gateway}:15090/stats/prometheus")
    assert "404" in lab.curl("node-1", f"http://{gateway}:15090/config_dump", "-o", "/dev/null", "-w", "%{http_code}")  # nothing else of the admin interface
    helm("upgrade", "fairlead", CHART, *at, *sets(FOR_LAB), "--set", "gateway.replicas=1", "--wait", "--timeout", "60s", kubeconfig=lab.kubeconfig, timeout=90)
    lab.wait_ready("app=fairlead-gateway", 1, SYSTEM)
    # Addresses of a pool, by the rights that the chart gives: of a class, since the lab gives those without one.
    helm("upgrade", "fairlead", CHART, *at, *sets(FOR_LAB), *sets(["gateway.replicas=1", "loadBalancer.enabled=true", "loadBalancer.loadBalancerClass=fairlead.dev/pools"]),
         "--wait", "--timeout", "60s", kubeconfig=lab.kubeconfig, timeout=90)
    lab.apply({"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": "lan", "namespace": SYSTEM}, "spec": {"addresses": ["192.0.2.40/32"]}},
              {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "pooled"}, "spec": {"type": "LoadBalancer", "loadBalancerClass": "fairlead.dev/pools", "ports": [{"port": 80}]}})
    wait_until("it has the pool's address", lambda: lab.get("svc/pooled")["status"]["loadBalancer"].get("ingress") == [{"ip": "192.0.2.40", "ipMode": "VIP"}], 30)
    key = wait_until("agents have a key", lambda: [o for o in lab.get("secrets", "-n", SYSTEM)["items"] if o["metadata"]["name"] == "fairlead-agent-key"], 20)[0]
    assert key["type"] == "Opaque"
    refused = [line for line in lab.raw("/metrics")[1].splitlines() if line.startswith("fairlead_lab_rights_asked_total{") and "fairlead-control" in line and 'allowed="0"' in line]
    assert refused == []
    helm("uninstall", "fairlead", *at, "--wait", kubeconfig=lab.kubeconfig)
    left = [o["metadata"]["name"] for kind in ("deployments", "services", "mutatingwebhookconfigurations", "clusterroles", "clusterrolebindings", "ingressclasses") for o in lab.get(kind, "-A")["items"]
            if "fairlead" in o["metadata"]["name"]]
    assert left == []
    assert len(lab.get("customresourcedefinitions")["items"]) == len(list((ROOT / "deploy/crds").rglob("*.yaml")))
    lab.fairlead("delete", "--wait=false", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}))
    wait_until("its namespace is gone", lambda: SYSTEM not in [n["metadata"]["name"] for n in lab.get("namespaces")["items"]], 30)
    for crd in lab.get("customresourcedefinitions")["items"]:
        lab.fairlead("delete", "--wait=false", "crd", crd["metadata"]["name"])


def test_dashboards_ask_for_what_is_told(lab):
    """Each name in them is one that a program of ours tells, or the kubelet's of containers."""
    told = lab.in_netns("node-1", "curl", "-s", "http://127.0.0.1:10249/metrics")
    source = "".join(p.read_text() for folder in ("src/control", "src/proxy") for p in (ROOT / folder).glob("*.[ch]")) + (ROOT / "docs/stats.md").read_text()
    asked = set()
    for path in (CHART / "files/dashboards").glob("*.json"):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                asked |= set(re.findall(r"\b(?:fairlead|kubeproxy|istio|envoy|container)_\w+", target["expr"]))
    assert len(asked) > 25
    for name in asked - {"container_memory_working_set_bytes"}:
        base = name.removesuffix("_bucket")
        assert f"# TYPE {base} " in told or re.search(rf"\b{base}\b", source) or base.removeprefix("envoy_").replace("_", ".", 1) in source, name
