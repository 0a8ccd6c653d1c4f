"""Services on real packets. A test that shows a row of the agent's table (src/agent/README.md) has its number in its name."""
import json
import re
import subprocess
import threading

import pytest

from lab_harness import echo, service
from suite import SLOW, run, wait_until


def cluster_ip(lab, name):
    return lab.get("svc/" + name)["spec"]["clusterIP"]


def reached(lab, where, url, n=60):
    """Host names that n requests reached."""
    return {json.loads(lab.curl(where, url))["name"] for _ in range(n)}


def test_row_13_28_cluster_ip_spreads_over_all_pods(web):
    pods = {p["metadata"]["name"] for p in web.pods("app=web")}
    assert reached(web, web.pod_netns("client"), f"http://{cluster_ip(web, 'web')}/") == pods


def test_row_13_pod_keeps_its_source_address(web):
    client = web.get("pod/client")["status"]["podIP"]
    for _ in range(10):
        answer = json.loads(web.curl(web.pod_netns("client"), f"http://{cluster_ip(web, 'web')}/"))
        assert answer["peer"].rsplit(":", 1)[0].strip("[]") == client


def test_row_13_from_the_nodes_themselves(web):
    for node in ("node-1", "node-2"):
        assert web.curl(node, f"http://{cluster_ip(web, 'web')}/name")


def test_row_15_node_port_on_every_node_inside_and_outside(web):
    web.apply(service("web", type="NodePort"))
    port = web.get("svc/web")["spec"]["ports"][0]["nodePort"]
    assert 30000 <= port <= 32767
    for node in ("node-1", "node-2"):
        for kind in ("InternalIP", "ExternalIP"):
            url = f"http://{web.node_address(node, kind)}:{port}/name"
            for where in (None, "node-1", "node-2", web.pod_netns("client")):
                wait_until(f"{url} answers from {where}", lambda: web.answers(where, url))


def test_row_18_19_load_balancer_and_external_ip(web):
    outside = web.node_address("node-1", "InternalIP").rsplit(".", 1)[0] + ".198"
    web.apply(service("web", type="LoadBalancer", externalIPs=[outside]))
    vip = wait_until("an address is given", lambda: web.get("svc/web")["status"].get("loadBalancer", {}).get("ingress"))[0]["ip"]
    for address in (vip, outside):
        for where in (None, "node-2", web.pod_netns("client")):
            wait_until(f"{address} answers from {where}", lambda: web.answers(where, f"http://{address}/name"))


def holders(lab, address):
    """The nodes that answer for it."""
    return {node for node in ("node-1", "node-2") if f" {address}/" in lab.in_netns(node, "ip", "-o", "addr", "show", "dev", "eth0")}


def test_addresses_that_somebody_owns_are_not_announced(web):
    """The port leads to the Service wherever it arrives; who answers for the address stays who it was."""
    owned = {web.node_address(n, k, f): {n} for n in ("node-1", "node-2") for k in ("InternalIP", "ExternalIP") for f in (4, 6)}
    subnet = web.node_address("node-1", "InternalIP").rsplit(".", 1)[0]
    server = re.search(r"server: *\"?https://([\d.]+):", open(web.kubeconfig).read()).group(1)
    host = run("ip", "-o", "route", "get", web.node_address("node-1", "InternalIP")).split(" src ")[1].split()[0]
    owned.update({server: set(), host: set()})
    free = subnet + ".197"
    assert all(a and (":" in a or a.startswith(subnet + ".")) for a in owned)
    web.apply(service("owned", selector={"app": "web"}, port=8088, ipFamilyPolicy="RequireDualStack", externalIPs=[*owned, free]),
              service("status", selector={"app": "web"}, port=8089, type="LoadBalancer", ipFamilyPolicy="RequireDualStack", loadBalancerClass="example.com/theirs"))
    web.patch("/api/v1/namespaces/default/services/status/status", {"status": {"loadBalancer": {"ingress": [{"ip": a} for a in owned]}}})
    wait_until("the free one is announced", lambda: len(holders(web, free)) == 1)
    assert {a: holders(web, a) for a in owned} == owned
    for address in [a for a, nodes in owned.items() if nodes]:
        for port in (8088, 8089):
            url = f"http://{f'[{address}]' if ':' in address else address}:{port}/name"
            wait_until(f"{url} answers", lambda u=url: web.answers("node-2", u))
    # A Node that comes later has its address to itself, and leaves it.
    web.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "late"}})
    web.patch("/api/v1/nodes/late/status", {"status": {"addresses": [{"type": "ExternalIP", "address": free}]}})
    wait_until("it is given up", lambda: not holders(web, free))
    web.delete("node", "late")
    wait_until("it is announced again", lambda: len(holders(web, free)) == 1)
    web.delete("svc", "owned", "status")
    wait_until("it is gone with its Service", lambda: not holders(web, free))
    assert {a: holders(web, a) for a in owned} == owned, "nobody lost an address of its own"


def peer_of(answer):
    return json.loads(answer)["peer"].rsplit(":", 1)[0].strip("[]")


def test_rows_22_24_35_41_traffic_policy_local(web):
    """One pod: its node keeps the client's address, the other drops strangers and still carries pods and itself."""
    web.apply(echo("near"))
    web.apply(service("near", type="LoadBalancer", externalTrafficPolicy="Local"))
    pod = web.wait_ready("app=near", 1)[0]
    here = pod["spec"]["nodeName"]
    there = "node-2" if here == "node-1" else "node-1"
    svc = wait_until("an address is given", lambda: web.get("svc/near")["status"].get("loadBalancer", {}).get("ingress") and web.get("svc/near"))
    vip, port = svc["status"]["loadBalancer"]["ingress"][0]["ip"], svc["spec"]["ports"][0]["nodePort"]
    near, far = (f"http://{web.node_address(node, 'InternalIP')}:{port}/" for node in (here, there))
    wait_until("the pod's node answers", lambda: web.answers(None, near))
    source = run("ip", "-o", "route", "get", web.node_address(here, "InternalIP")).split(" src ")[1].split()[0]
    assert peer_of(web.curl(None, near)) == source
    assert web.curl(None, far, "-m", "1", check=False).returncode == 28
    for node in (here, there):
        client = f"client-{node}"
        web.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": client, "labels": {"app": client}},
                   "spec": {"nodeName": node, "containers": [{"name": "c", "image": "busybox"}]}})
        address = web.wait_ready(f"app={client}", 1)[0]["status"]["podIP"]
        where = web.pod_netns(client)
        wait_until(f"a pod of {node} reaches the balancer's address", lambda: web.answers(where, f"http://{vip}/"))
        assert peer_of(web.curl(where, f"http://{vip}/")) == address
        wait_until(f"{node} itself reaches it", lambda: web.answers(node, f"http://{vip}/"))
    health = svc["spec"]["healthCheckNodePort"]
    for node, code, n in ((here, "200", 1), (there, "503", 0)):
        out = web.curl(None, f"http://{web.node_address(node, 'InternalIP')}:{health}/", "-i")
        assert f" {code} " in out and f'"localEndpoints": {n},' in out and f"x-load-balancing-endpoint-weight: {n}" in out.lower(), (node, out)
    # The same pod behind a ClusterIP of which only its own node may take endpoints.
    web.apply(service("near", internalTrafficPolicy="Local", type="ClusterIP"))
    url = f"http://{cluster_ip(web, 'near')}/"
    wait_until("its neighbour reaches it", lambda: web.answers(web.pod_netns(f"client-{here}"), url))
    for where in (web.pod_netns(f"client-{there}"), there):
        wait_until(f"{where} is dropped", lambda: web.curl(where, url, "-m", "1", check=False).returncode == 28)
    # Switched back, everybody is served again.
    web.apply(service("near"))
    for where in (web.pod_netns(f"client-{there}"), there):
        wait_until(f"{where} is served", lambda: web.answers(where, url))


def test_row_21_source_ranges(web):
    """Only who is named reaches the balancer's address; its node port and ClusterIP stay open."""
    here = web.pod_netns("client")
    pod = web.get("pod/client")["status"]["podIP"]
    web.apply(service("guarded", selector={"app": "web"}, type="LoadBalancer", loadBalancerSourceRanges=[f"{pod}/32"]))
    svc = wait_until("an address is given", lambda: web.get("svc/guarded")["status"].get("loadBalancer", {}).get("ingress") and web.get("svc/guarded"))
    url = f"http://{svc['status']['loadBalancer']['ingress'][0]['ip']}/name"
    node_port = f"http://{web.node_address('node-1', 'InternalIP')}:{svc['spec']['ports'][0]['nodePort']}/name"
    wait_until("the pod that is named reaches it", lambda: web.answers(here, url))
    for where in (None, "node-2"):
        assert web.curl(where, url, "-m", "1", check=False).returncode == 28, where
        assert web.answers(where, node_port)
    assert web.answers("node-1", f"http://{svc['spec']['clusterIP']}/name")
    source = run("ip", "-o", "route", "get", web.node_address("node-1", "InternalIP")).split(" src ")[1].split()[0]
    web.apply(service("guarded", selector={"app": "web"}, type="LoadBalancer", loadBalancerSourceRanges=[f"{source}/32"]))
    wait_until("now the host reaches it", lambda: web.answers(None, url))
    assert web.curl(here, url, "-m", "1", check=False).returncode == 28


def test_row_33_client_ip_affinity(web):
    """One pod for all requests, at every address of the Service; another one when it is gone; switched off live."""
    web.apply(echo("sticky", replicas=2, args=("--drain", "3s")))  # so that its end loses no request
    spec = {"type": "NodePort", "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 900}}}
    web.apply(service("sticky", **spec))
    web.wait_ready("app=sticky", 2)
    svc = web.get("svc/sticky")["spec"]
    where = web.pod_netns("client")
    node = where.split("/")[0]
    urls = [f"http://{svc['clusterIP']}/", f"http://{web.node_address(node, 'InternalIP')}:{svc['ports'][0]['nodePort']}/"]
    wait_until("it answers", lambda: all(web.answers(where, url) for url in urls))
    first = reached(web, where, urls[0], 20)
    assert len(first) == 1 and reached(web, where, urls[1], 20) == first
    web.delete("pod/" + next(iter(first)))
    wait_until("another pod answers", lambda: reached(web, where, urls[0], 1) != first)
    second = reached(web, where, urls[1], 20)
    assert len(second) == 1 and second != first
    web.wait_ready("app=sticky", 2)
    assert reached(web, where, urls[0], 20) == second
    web.apply(service("sticky", type="NodePort", sessionAffinity="None"))
    wait_until("requests spread again", lambda: len(reached(web, where, urls[0], 20)) == 2)


def test_row_34_no_endpoints_is_refused_not_dropped(web):
    web.apply(service("empty", selector={"app": "nobody"}))
    ip = cluster_ip(web, "empty")
    for where in (web.pod_netns("client"), "node-1"):
        wait_until(f"{ip} is refused from {where}",
                           lambda: web.curl(where, f"http://{ip}/", check=False).returncode == 7)


def test_row_36_unused_port_of_a_cluster_ip_is_refused(web):
    done = web.curl(web.pod_netns("client"), f"http://{cluster_ip(web, 'web')}:81/", check=False)
    assert done.returncode == 7, done


def test_row_25_hairpin_a_pod_reaches_itself(web):
    web.apply(echo("lonely"))
    web.apply(service("lonely"))
    pod = web.wait_ready("app=lonely", 1)[0]["metadata"]["name"]
    where, ip = web.pod_netns(pod), cluster_ip(web, "lonely")
    wait_until("it answers to itself", lambda: web.answers(where, f"http://{ip}/name"))


def test_row_8_named_target_port_with_two_numbers(web):
    labels = {"app": "mixed"}
    web.apply(echo("mixed-a", port=7001, labels={**labels, "v": "a"}))
    web.apply(echo("mixed-b", port=7002, labels={**labels, "v": "b"}))
    web.apply(service("mixed", selector=labels, target="http"))
    web.wait_ready("app=mixed", 2)
    where, ip = web.pod_netns("client"), cluster_ip(web, "mixed")
    names = {p["metadata"]["name"] for p in web.pods("app=mixed")}
    wait_until("both ports answer", lambda: web.answers(where, f"http://{ip}/") and reached(web, where, f"http://{ip}/", 20) == names)


def test_row_11_ipv6_service(web):
    web.apply(service("web6", selector={"app": "web"}, ipFamilies=["IPv6"], ipFamilyPolicy="SingleStack", type="NodePort"))
    svc = web.get("svc/web6")["spec"]
    assert ":" in svc["clusterIP"]
    url = f"http://[{svc['clusterIP']}]/name"
    wait_until("the IPv6 ClusterIP answers", lambda: web.answers(web.pod_netns("client"), url))
    for kind in ("InternalIP", "ExternalIP"):
        address = web.node_address("node-2", kind, 6)
        wait_until(f"node port on {address}", lambda: web.answers(None, f"http://[{address}]:{svc['ports'][0]['nodePort']}/name"))


def test_row_4_38_udp_follows_the_pod(web):
    deployment = echo("dgram", probe=False)
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    container["args"] = ["--http", "8080", "--udp", "9000"]
    container["readinessProbe"] = {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1}
    web.apply(deployment)
    web.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "dgram"},
               "spec": {"selector": {"app": "dgram"}, "ports": [{"port": 9000, "protocol": "UDP", "targetPort": 9000}]}})
    first = web.wait_ready("app=dgram", 1)[0]["metadata"]["name"]
    ip, where = cluster_ip(web, "dgram"), web.pod_netns("client")
    wait_until("datagrams are answered", lambda: web.udp(where, ip, 9000))
    # One socket that never stops sending from one port keeps its conntrack entry alive: it must not stay with the old pod.
    script = ("import socket,sys,time\ns=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.3)\ns.connect((sys.argv[1], 9000))\n"
              "end=time.time()+float(sys.argv[2])\nwhile time.time()<end:\n"
              "  try:\n    s.send(b'x'); print(s.recv(2000).decode(), flush=True)\n  except OSError: pass\n  time.sleep(0.05)\n")
    client = subprocess.Popen(["ip", "netns", "exec", web.netns(where), "python3", "-c", script, ip, "30"],
                              stdout=subprocess.PIPE, text=True)
    try:
        assert client.stdout.readline()
        web.delete("pod/" + first)
        second = wait_until("another pod is ready", lambda: [p for p in web.ready_pods("app=dgram") if p["metadata"]["name"] != first])
        name = second[0]["metadata"]["name"]
        for line in client.stdout:
            if name in line:
                return
        pytest.fail(f"the flow never reached {name}")
    finally:
        client.kill()
        client.wait()


def test_row_29_deleting_a_pod_loses_no_request(web):
    """The only pod goes, drains, and its successor takes over: a loop of requests that is running loses not one."""
    web.apply(echo("drain", args=["--drain", f"{2 * SLOW}s"]))
    web.apply(service("drain"))
    first = web.wait_ready("app=drain", 1)[0]
    where, ip = web.pod_netns("client"), cluster_ip(web, "drain")
    wait_until("it answers", lambda: web.answers(where, f"http://{ip}/name"))
    results, stop = {"ok": 0, "lost": []}, threading.Event()

    def loop():
        while not stop.is_set():
            done = web.curl(where, f"http://{ip}/name", check=False)
            if done.returncode == 0:
                results["ok"] += 1
            else:
                results["lost"].append(done.stderr)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        wait_until("the loop runs", lambda: results["ok"] > 20)
        web.delete("pod/" + first["metadata"]["name"])
        second = wait_until("the successor is ready", lambda: [
            p for p in web.ready_pods("app=drain") if p["metadata"]["uid"] != first["metadata"]["uid"]])[0]
        wait_until("the old pod is gone", lambda: len(web.pods("app=drain")) == 1)
        before = results["ok"]
        wait_until("the loop goes on", lambda: results["ok"] > before + 20)
    finally:
        stop.set()
        thread.join()
    assert second["status"]["podIP"] != first["status"]["podIP"]
    assert results["lost"] == [], f"{results['ok']} answered, lost: {results['lost'][:3]}"


def test_row_47_restart_of_the_agent_interrupts_nothing(web):
    where, ip = web.pod_netns("client"), cluster_ip(web, "web")
    node = where.split("/")[0]
    pids = [p for p in web.processes("fairlead-agent") if f"--node-name={node}" in open(f"/proc/{p}/cmdline").read()]
    assert len(pids) == 1
    before = web.in_netns(node, "nft", "list", "table", "ip", "fairlead")
    subprocess.run(["kill", "-9", str(pids[0])], check=True)
    for _ in range(30):
        assert web.answers(where, f"http://{ip}/name")
    wait_until("another agent runs", lambda: [p for p in web.processes("fairlead-agent") if p not in pids])
    for _ in range(30):
        assert web.answers(where, f"http://{ip}/name")
    assert len(web.in_netns(node, "nft", "list", "table", "ip", "fairlead").splitlines()) == len(before.splitlines())


def test_row_1_type_changes_leave_nothing_behind(web):
    web.apply(service("shift", selector={"app": "web"}))
    ip, where = cluster_ip(web, "shift"), web.pod_netns("client")
    wait_until("it answers", lambda: web.answers(where, f"http://{ip}/name"))
    web.delete("svc/shift")
    wait_until("the address is gone from the kernel", lambda: ip not in web.in_netns("node-1", "nft", "list", "table", "ip", "fairlead"))
