"""Sidecars set up by hand: what an unmodified app sends and is sent goes through the proxy beside it."""
import json
import os
import signal

import lab_harness
import pytest
import sidecar
from suite import wait_until

WEB = "outbound|80||web.default.svc.cluster.local"


@pytest.fixture(scope="module")
def two(mesh):
    mesh.run("web", replicas=2)
    mesh.run("client")
    mesh.lab.apply(lab_harness.echo("plain", args=("--name", "plain")), lab_harness.service("plain"))
    mesh.lab.wait_ready("app=plain", 1)
    return mesh


def test_by_every_name(two):
    ip = two.lab.get("svc/web")["spec"]["clusterIP"]
    for name in ("web", "web.default", "web.default.svc", "web.default.svc.cluster.local", "web.default.svc.cluster.local.", "web:80", ip):
        before = two.clusters("client").get(WEB, 0)
        status, body = two.curl("client", f"http://{name}/")
        assert status == 200 and json.loads(body)["name"] == "web", name
        assert two.clusters("client")[WEB] == before + 1, name


def test_both_proxies_see_it(two):
    two.run("counted", replicas=2, probe=False)  # probes would be counted, too
    pods = [p["metadata"]["name"] for p in two.lab.ready_pods("app=counted")]
    wait_until("it is served", lambda: two.curl("client", "http://counted/")[0] == 200)
    before = sum(inbound(two, p) for p in pods)
    for _ in range(4):
        assert two.curl("client", "http://counted/")[0] == 200
    assert sum(inbound(two, p) for p in pods) == before + 4


def inbound(mesh, pod):
    text = mesh.lab.fairlead("exec", pod, "-c", "sidecar", "--", "/run/fairlead/bin/fairlead-proxy", "request", "GET", "/stats?format=json&filter=upstream_rq_total")
    return sum(s["value"] for s in json.loads(text)["stats"] if "inbound|8080||" in s.get("name", ""))


def test_a_server_without_one(two):
    status, body = two.curl("client", "http://plain/")
    assert status == 200 and json.loads(body)["name"] == "plain"


def test_a_client_without_one(two):
    pod = two.lab.ready_pods("app=plain")[0]["metadata"]["name"]
    out = two.lab.fairlead("exec", pod, "--", "curl", "-s", "-m", "10", "http://web/")
    assert json.loads(out)["name"] == "web"


def test_it_calls_itself_by_its_service(two):
    two.run("loop")
    status, body = two.curl("loop", "http://loop/")
    assert status == 200 and json.loads(body)["name"] == "loop"
    assert two.curl("loop", "http://127.0.0.1:8080/")[0] == 200


def test_what_is_no_service_goes_on_as_it_is(two):
    """By a pod's own address: nobody's virtual host."""
    ip = two.lab.ready_pods("app=plain")[0]["status"]["podIP"]
    assert two.curl("client", f"http://{ip}:8080/")[0] == 200
    assert two.curl("client", "http://api.example/", "--connect-to", f"api.example:80:{ip}:8080")[0] == 200


def test_bytes_that_are_no_http(two):
    two.run("tcp", port="tcp-echo")
    two.run("unnamed", port="")
    for name in ("tcp", "unnamed"):
        wait_until("its endpoint is known", lambda: two.curl("client", f"http://{name}/")[0] == 200)
        status, body = two.curl("client", f"http://{name}/")
        assert status == 200 and json.loads(body)["name"] == name
    assert "outbound|80||unnamed.default.svc.cluster.local" in two.clusters("client")


def test_services_of_nobodys_kernel(two):
    """The mesh needs no rule of the node's: addresses of Services lead nowhere without them, and calls go on."""
    ip = two.lab.get("svc/web")["spec"]["clusterIP"]
    plain = two.lab.ready_pods("app=plain")[0]["metadata"]["name"]
    agents = two.lab.processes("fairlead-agent")
    for pid in agents:
        os.kill(pid, signal.SIGSTOP)  # else they put them back
    try:
        for node in (n["metadata"]["name"] for n in two.lab.get("nodes")["items"]):
            for family in ("ip", "ip6"):
                two.lab.in_netns(node, "nft", "delete", "table", family, "fairlead")
        done = two.lab.fairlead("exec", plain, "--", "curl", "-s", "-m", "1", f"http://{ip}/", check=False)
        assert done.returncode != 0, "nothing else translates it"
        for _ in range(8):
            status, body = two.curl("client", "http://web/", "--resolve", f"web:80:{ip}")
            assert status == 200 and json.loads(body)["name"] == "web"
    finally:
        for pid in agents:
            os.kill(pid, signal.SIGCONT)
    wait_until("the agents have put them back", lambda: two.lab.fairlead("exec", plain, "--", "curl", "-s", "-m", "1", f"http://{ip}/", check=False).returncode == 0)


def test_a_new_port_and_a_service_that_goes(two):
    two.run("late")
    wait_until("it is served", lambda: two.curl("client", "http://late/")[0] == 200)
    two.lab.fairlead("delete", "svc/late")
    cluster = "outbound|80||late.default.svc.cluster.local"
    wait_until("its cluster goes", lambda: cluster not in two.admin("client", "/clusters"))


def test_ready_and_statistics_for_others(two):
    """Ports that are not redirected: a kubelet and a Prometheus ask there."""
    ip = two.lab.ready_pods("app=web")[0]["status"]["podIP"]
    plain = two.lab.ready_pods("app=plain")[0]["metadata"]["name"]

    def ask(path):
        return two.lab.fairlead("exec", plain, "--", "curl", "-s", "-m", "5", "-w", "%{http_code}", f"http://{ip}{path}")
    assert ask(":15021/healthz/ready").endswith("200")
    assert "envoy_cluster_upstream_rq_total" in ask(":15090/stats/prometheus")
    assert ask(":15090/config_dump").endswith("404")


def test_who_stands_beside_another_namespaces_pod(two):
    """A token of one namespace gets nothing of another's: its proxy is turned away, which both logs say."""
    deployment = sidecar.beside(lab_harness.echo("stranger"))
    proxy = deployment["spec"]["template"]["spec"]["initContainers"][1]
    proxy["env"] = [{"name": "POD_NAMESPACE", "value": "kube-system"} if e["name"] == "POD_NAMESPACE" else e for e in proxy["env"]]
    two.lab.apply(deployment)
    words = "system:serviceaccount:default:default is not of namespace kube-system"
    name = wait_until("its pod is there", lambda: two.lab.pods("app=stranger"))[0]["metadata"]["name"]
    wait_until("it is told why", lambda: words in two.lab.fairlead("logs", name, "-c", "sidecar", check=False).stdout)
    control = two.lab.pods("app=fairlead-control", "fairlead-system")[0]["metadata"]["name"]
    wait_until("the control plane tells it", lambda: words in two.lab.fairlead("logs", "-n", "fairlead-system", control))
    two.lab.fairlead("delete", "deploy/stranger")
