"""Fairlead on real kubelets, from images that were imported, by its chart, with no kube-proxy. In this order."""
import json
import os
import pathlib
import re

from cluster import API, CNI_BIN, CNI_CONF, DNS, PEERS
from suite import ROOT, wait_until

SYSTEM = "fairlead-system"
AGENTS, CONTROL, GATEWAYS = "app=fairlead-agent", "app=fairlead-control", "app=fairlead-gateway"
ASK = pathlib.Path(__file__).with_name("ask.py")
LB = "192.0.2.10"  # what a cloud would give


def app(name, ns, replicas=1, version="v1"):
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {ns}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}, version: {version}}}}}
    spec:
      topologySpreadConstraints: [{{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: {{matchLabels: {{app: {name}}}}}}}]
      containers:
      - name: app
        image: localhost/fairlead/echo:0.1.0
        args: [--http, "8080", --name, {name}]
        readinessProbe: {{httpGet: {{path: /ready, port: 8080}}, periodSeconds: 1}}
        securityContext: {{runAsNonRoot: true, allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}, readOnlyRootFilesystem: true, seccompProfile: {{type: RuntimeDefault}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {ns}}}
spec:
  type: NodePort
  selector: {{app: {name}}}
  ports: [{{name: http, port: 80, targetPort: 8080}}]
"""


def address(cluster, name, ns):
    return cluster.get("service", name, "-n", ns)["spec"]["clusterIP"]


def asked(ask, *argv):
    done = ask("curl", "-s", "-m", "5", *argv, check=False)
    return done.stdout if done.returncode == 0 else ""


EVERYTHING = ["networkPolicy.enabled=true", "monitoring.podMonitor.enabled=true", "monitoring.dashboards.enabled=true", "mesh.everywhere=true", "logLevel=debug", "gateway.service.externalTrafficPolicy=Local",
              "ingress.classes.fairlead.default=true", "agent.apiServer.host=192.0.2.1"]


def test_everything_is_valid(cluster):
    """The API server takes all that the chart and the plain manifests can give, without a field that it does not know; by the level of Pod Security that is called restricted, the agent alone asks for more."""
    cluster.kubectl("create", "-f", PEERS / "podmonitors.yaml")  # the Prometheus operator's own definition
    cluster.kubectl("wait", "--for=condition=Established", "crd/podmonitors.monitoring.coreos.com", "--timeout=20s")
    cluster.kubectl("create", "namespace", SYSTEM)
    cluster.kubectl("label", "namespace", SYSTEM, "pod-security.kubernetes.io/warn=restricted")
    text = cluster.helm("template", "fairlead", ROOT / "deploy/chart", "--namespace", SYSTEM, "--kube-version", "1.37.0", *[x for v in EVERYTHING for x in ("--set", v)])
    files = [x for f in ("ingress", "mesh", "agent") for x in ("-f", ROOT / "deploy" / f)]
    for argv, stdin in ((["-f", "-"], text), (files, None)):
        done = cluster.kubectl("apply", "--dry-run=server", "--validate=strict", *argv, stdin=stdin, check=False)
        assert done.returncode == 0, done.stderr
        assert "daemonset.apps/fairlead-agent created (server dry run)" in done.stdout and "deployment.apps/fairlead-gateway created" in done.stdout
        warned = [line for line in done.stderr.splitlines() if "PodSecurity" in line]
        assert len(warned) == 1 and "host namespaces" in warned[0] and '"agent"' in warned[0] and "NET_ADMIN" in warned[0], done.stderr
        assert stdin is None or done.stdout.count("podmonitor.monitoring.coreos.com/") == 4
    cluster.kubectl("label", "namespace", SYSTEM, "pod-security.kubernetes.io/warn-")
    cluster.kubectl("delete", "crd", "podmonitors.monitoring.coreos.com")


def test_it_is_installed(cluster):
    """By helm, from what is on the nodes alone; the agents carry Services for all others, who could not start without."""
    first = cluster.nodes[0]
    cluster.helm("install", "fairlead", ROOT / "deploy/chart", "--namespace", SYSTEM, "--set", f"agent.apiServer.host={first.address}", timeout=120)
    cluster.wait_pods(AGENTS, 2, SYSTEM)
    cluster.wait_pods("k8s-app=kube-dns", 1, "kube-system")
    cluster.wait_pods(CONTROL, 2, SYSTEM)
    cluster.wait_pods(GATEWAYS, 2, SYSTEM)
    assert {o["spec"]["containers"][0]["image"] for o in cluster.pods("", SYSTEM)} == {f"localhost/fairlead/{p}:0.1.0" for p in ("agent", "control", "proxy")}


def test_what_they_may(cluster):
    """The kernel says of each process what it may: the agent NET_ADMIN, the others nothing, and nobody is root but the agent."""
    for selector, program, uid, capabilities in ((AGENTS, "agent", 0, 1 << 12), (CONTROL, "control", 65532, 0), (GATEWAYS, "proxy", 65532, 0)):
        for pod in cluster.pods(selector, SYSTEM):
            node = cluster.node_of(pod)
            pids = node.run("pgrep", "-f", f"^/usr/bin/fairlead-{program}").split()
            assert pids
            for pid in pids:
                status = dict(line.split(":", 1) for line in node.run("cat", f"/proc/{pid}/status").splitlines() if ":" in line)
                assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) & capabilities == capabilities
                assert int(status["Uid"].split()[1]) == uid and status["NoNewPrivs"].strip() == "1" and status["Seccomp"].strip() == "2"
                assert " / / ro," in node.run("cat", f"/proc/{pid}/mountinfo")
                print(f"{program} on {node.name}: {int(status['VmRSS'].split()[0]) / 1024:.1f} MiB resident")


def test_there_is_no_kube_proxy(cluster):
    """Every table of the nodes' kernels is ours."""
    for node in cluster.nodes:
        tables = set(node.run("nft", "list", "tables").splitlines())
        assert tables == {"table ip fairlead", "table ip6 fairlead"}


def test_a_service_answers(cluster):
    """By its address and its name from a pod, from both nodes, by its node port at both; every pod has its turn."""
    cluster.kubectl("create", "namespace", "plain")
    cluster.apply(app("web", "plain", 2) + "---" + app("client", "plain"))
    pods = cluster.wait_pods("app=web", 2, "plain")
    client, = cluster.wait_pods("app=client", 1, "plain")
    assert len({p["spec"]["nodeName"] for p in pods}) == 2
    ip = address(cluster, "web", "plain")
    port = cluster.get("service", "web", "-n", "plain")["spec"]["ports"][0]["nodePort"]
    from_pod = lambda *a, **kw: cluster.in_pod(client, *a, **kw)  # noqa: E731
    assert from_pod("dig", "+short", f"@{DNS}", "web.plain.svc.cluster.local").split() == [ip]
    for ask in (from_pod, cluster.nodes[0].run, cluster.nodes[1].run):
        seen = set()
        wait_until("both pods have answered", lambda: seen.add(json.loads(asked(ask, f"http://{ip}/") or "{}").get("local")) or seen >= {p["status"]["podIP"] + ":8080" for p in pods}, 30)
    for node in cluster.nodes:
        for other in cluster.nodes:
            assert '"web"' in asked(node.run, f"http://{other.address}:{port}/")
    assert asked(from_pod, "-k", f"https://{API}/version")  # the API server's own Service
    cluster.kubectl("scale", "deploy/web", "-n", "plain", "--replicas=0")
    wait_until("it is refused", lambda: from_pod("curl", "-s", "-m", "5", f"http://{ip}/", check=False).returncode == 7, 60)
    cluster.kubectl("scale", "deploy/web", "-n", "plain", "--replicas=2")
    cluster.wait_pods("app=web", 2, "plain")


def test_an_ingress_answers(cluster):
    """The gateways' Service is given an address as a cloud does it; it becomes the Ingress's, and both nodes lead there."""
    cluster.kubectl("patch", "service", "fairlead-gateway", "-n", SYSTEM, "--subresource=status", "--type=merge", "-p", json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": LB}]}}}))
    cluster.apply("""
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: plain}
spec:
  ingressClassName: fairlead
  rules: [{host: web.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}]}}]
""")
    wait_until("the Ingress has the address", lambda: cluster.kubectl("get", "ingress", "web", "-n", "plain", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}") == LB, 30)
    for node in cluster.nodes:
        wait_until("it answers", lambda: '"web"' in asked(node.run, "-H", "Host: web.example", f"http://{LB}/"), 30)
        assert node.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: other.example", f"http://{LB}/") == "404"


def test_an_injected_pair_talks_by_mutual_tls(cluster):
    """A namespace says so; its pods get proxies from the kubelet's point of view, too; one calls the other; with STRICT nobody else gets through."""
    cluster.kubectl("create", "namespace", "shop")
    cluster.kubectl("label", "namespace", "shop", "istio-injection=enabled")
    cluster.apply(app("shop", "shop") + "---" + app("cart", "shop"))
    shop, = cluster.wait_pods("app=shop", 1, "shop")
    cart, = cluster.wait_pods("app=cart", 1, "shop")
    assert [c["name"] for c in cart["spec"]["initContainers"]] == ["istio-init", "istio-proxy"]
    ip = address(cluster, "cart", "shop")
    from_shop = lambda *a, **kw: cluster.in_pod(shop, *a, **kw)  # noqa: E731
    wait_until("shop calls cart", lambda: '"cart"' in asked(from_shop, "-H", "Host: cart", f"http://{ip}/"), 60)
    page = asked(cluster.nodes[0].run, f"http://{cart['status']['podIP']}:15020/stats/prometheus")
    line, = [x for x in page.splitlines() if x.startswith("istio_requests_total{") and 'reporter="destination"' in x and 'response_code="200"' in x and 'source_workload="shop"' in x]
    assert 'connection_security_policy="mutual_tls"' in line and 'source_principal="spiffe://cluster.local/ns/shop/sa/default"' in line
    stranger, = cluster.wait_pods("app=client", 1, "plain")
    from_stranger = lambda *a, **kw: cluster.in_pod(stranger, *a, **kw)  # noqa: E731
    assert '"cart"' in asked(from_stranger, f"http://{ip}/")
    cluster.apply("apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: shop}\nspec: {mtls: {mode: STRICT}}\n")
    wait_until("plain text is refused", lambda: not asked(from_stranger, f"http://{ip}/"), 30)
    assert '"cart"' in asked(from_shop, "-H", "Host: cart", f"http://{ip}/")


def test_rules_made_by_the_nodes(cluster):
    """The plugin is put in, a pod that starts then has no right to make rules and is led through its proxy all the same; taken out, nodes are as they were."""
    chart = ("upgrade", "fairlead", ROOT / "deploy/chart", "--namespace", SYSTEM, "--set", f"agent.apiServer.host={cluster.nodes[0].address}", "--set", f"mesh.cni.binDir={CNI_BIN},mesh.cni.confDir={CNI_CONF}")
    plugins = lambda node: [p["type"] for p in json.loads(node.run("cat", f"{CNI_CONF}/10-pods.conflist"))["plugins"]]  # noqa: E731
    cluster.helm(*chart, "--set", "mesh.cni.enabled=true", "--wait", "--timeout", "180s", timeout=200)
    cluster.wait_pods("app=fairlead-cni", 2, SYSTEM)
    assert [plugins(node) for node in cluster.nodes] == [["ptp", "fairlead-cni"]] * 2
    cluster.kubectl("label", "namespace", "shop", "pod-security.kubernetes.io/enforce=baseline")  # which refuses NET_ADMIN
    cluster.kubectl("rollout", "restart", "deploy/cart", "-n", "shop")
    cluster.kubectl("rollout", "status", "deploy/cart", "-n", "shop", "--timeout=90s", timeout=100)
    cart, = cluster.wait_pods("app=cart", 1, "shop")
    assert [c["name"] for c in cart["spec"]["initContainers"]] == ["istio-validation", "istio-proxy"]
    ip = address(cluster, "cart", "shop")
    shop, = cluster.wait_pods("app=shop", 1, "shop")
    stranger, = cluster.wait_pods("app=client", 1, "plain")
    wait_until("shop calls cart", lambda: '"cart"' in asked(lambda *a, **kw: cluster.in_pod(shop, *a, **kw), "-H", "Host: cart", f"http://{ip}/"), 60)
    assert not asked(lambda *a, **kw: cluster.in_pod(stranger, *a, **kw), f"http://{ip}/"), "STRICT: what comes in goes through the proxy"
    cluster.kubectl("label", "namespace", "shop", "pod-security.kubernetes.io/enforce-")
    cluster.helm(*chart, "--wait", "--timeout", "180s", timeout=200)
    wait_until("nodes are as they were", lambda: [plugins(node) for node in cluster.nodes] == [["ptp"]] * 2, 60)
    for node in cluster.nodes:
        assert node.run("test", "-e", f"{CNI_BIN}/fairlead-cni", check=False).returncode == 1


def test_nobody_was_refused_anything(cluster):
    """By the API server's audit log: of all that our accounts have asked for, nothing; and each right of an agent is used, but to tell of what has not happened."""
    calls = [e for e in map(json.loads, (cluster.nodes[0].folder / "audit.log").read_text().splitlines()) if e["user"]["username"].startswith(f"system:serviceaccount:{SYSTEM}:")]
    assert {e["user"]["username"].rsplit(":", 1)[1] for e in calls} == {"fairlead-agent", "fairlead-control", "fairlead-cni"}
    # The chart takes the rights of fairlead-cni with it: by that it knows that nobody comes after it.
    refused = [(e["user"]["username"].rsplit(":", 1)[1], e["verb"], e["requestURI"]) for e in calls if e["responseStatus"]["code"] in (401, 403)]
    assert [r for r in refused if r[0] != "fairlead-cni"] == [] and {r[2] for r in refused} <= {f"/apis/apps/v1/namespaces/{SYSTEM}/daemonsets/fairlead-cni", "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-1%2Cstatus.phase%3DPending&resourceVersion=0", "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-2%2Cstatus.phase%3DPending&resourceVersion=0"}
    used = {(e["objectRef"]["resource"], e["verb"]) for e in calls if e["user"]["username"].endswith("fairlead-agent") and "objectRef" in e}
    given = {(r, v) for rule in cluster.get("clusterrole", "fairlead-agent")["rules"] for r in rule["resources"] for v in rule["verbs"]}
    assert used - given == set() and given - used <= {("events", "create"), ("events", "patch")}


def test_a_new_version_comes_under_traffic(cluster):
    """All pods are exchanged by `helm upgrade` while a client asks by a Service and another by the Ingress: none of their requests fails, and a connection by the Service stays."""
    client, = cluster.wait_pods("app=client", 1, "plain")
    ip = address(cluster, "web", "plain")
    stop, results = cluster.folder / "stop", {name: cluster.folder / f"{name}.json" for name in ("by-service", "by-ingress")}
    cluster.in_pod_start(client, "by-service", "python3", ASK, results["by-service"], stop, ip, "web.example", 1)
    cluster.nodes[1].start("by-ingress", "python3", ASK, results["by-ingress"], stop, LB, "web.example", 0)
    wait_until("they ask", lambda: all(os.path.exists(f"{r}.begun") for r in results.values()), 20)
    before = {p["metadata"]["uid"] for p in cluster.pods("", SYSTEM)}
    cluster.helm("upgrade", "fairlead", ROOT / "deploy/chart", "--namespace", SYSTEM, "--set", f"agent.apiServer.host={cluster.nodes[0].address},logFormat=json", "--wait", "--timeout", "180s", timeout=200)
    for selector in (AGENTS, CONTROL, GATEWAYS):
        assert not before & {p["metadata"]["uid"] for p in cluster.wait_pods(selector, 2, SYSTEM)}
    wait_until("the old ones have ended", lambda: not before & {p["metadata"]["uid"] for p in cluster.get("pods", "-n", SYSTEM)["items"]}, 120)
    stop.touch()
    for node in cluster.nodes:
        for name in results:
            if name in node.processes:
                assert node.processes.pop(name).wait(60) == 0
    for name, path in results.items():
        told = json.loads(path.read_text())
        print(f"{name}: {told['requests']} requests on connections of their own, {told['kept']} on one, {len(told['failed'])} failed")
        assert told["failed"] == [] and told["requests"] > 500 and (told["kept"] > 100) == (name == "by-service")


def test_it_is_taken_out(cluster):
    """Nothing of the chart is left but the definitions, which stay; the agents' rules go with --cleanup."""
    cluster.helm("uninstall", "fairlead", "--namespace", SYSTEM, "--wait", timeout=180)
    for kind in ("mutatingwebhookconfigurations", "clusterroles", "clusterrolebindings", "ingressclasses"):
        assert "fairlead" not in cluster.kubectl("get", kind, "-o", "name")
    left = cluster.kubectl("get", "all,leases,roles,rolebindings,serviceaccounts,configmaps,poddisruptionbudgets", "-n", SYSTEM, "-o", "name")
    assert not re.search(r"deployment|daemonset|service/|role|disruption", left), left
    assert cluster.kubectl("get", "crd", "-o", "name").count("istio.io") == 14
    for node in cluster.nodes:
        assert node.run("nft", "list", "tables").split("\n")[0]  # traffic goes on until somebody says so: docs/install.md
        cluster.ctr(node, "run", "--rm", "--net-host", "--cap-add", "CAP_NET_ADMIN", "localhost/fairlead/agent:0.1.0", "cleanup", "/usr/bin/fairlead-agent", "--cleanup")
        assert node.run("nft", "list", "tables").strip() == ""
