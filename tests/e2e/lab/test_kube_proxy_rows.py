"""Rows of kube-proxy's that need a cluster and a kernel: what others change is put back, its configuration file, ServiceCIDRs,
node ports on loopback. A test that shows a row of the agent's table (src/agent/README.md) has its number in its name."""
import json
import subprocess

import pytest

from lab_harness import service
from suite import BIN, run, wait_until

AGENT = f"{BIN}/fairlead-agent"
CONFIG = """\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {{kubeconfig: {kubeconfig}}}
clusterCIDR: 10.244.0.0/16
healthzBindAddress: 127.0.0.1:20256
metricsBindAddress: 127.0.0.1:20249
nodePortAddresses: [localhost, primary]
featureGates: {{KubeProxyNFTablesLocalhostNodePorts: true}}
conntrack: {{maxPerCore: 0, tcpEstablishedTimeout: 2h, tcpBeLiberal: true}}
strange: 1
"""


def metric(lab, where, name, port=10249):
    lines = lab.in_netns(where, "curl", "-s", f"http://127.0.0.1:{port}/metrics").splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def test_row_47_what_others_change_is_put_back(web):
    client = web.pod_netns("client")
    node = web.get("pod/client")["spec"]["nodeName"]
    before = metric(web, node, "fairlead_agent_repairs_total")
    for i, act in enumerate((["flush", "chain", "ip", "fairlead", "dispatch"], ["flush", "map", "ip", "fairlead", "endpoints"],
                             ["delete", "table", "ip", "fairlead"])):
        web.in_netns(node, "nft", *act)
        wait_until("it is put back", lambda: metric(web, node, "fairlead_agent_repairs_total") == before + i + 1, timeout=5)
        assert web.answers(client, web.url)
    events = wait_until("Events tell of it", lambda: [e for e in web.get("events")["items"] if e["reason"] == "ServiceRulesRestored"])
    assert all(e["type"] == "Warning" and e["involvedObject"]["kind"] == "Node" and e["involvedObject"]["name"] == node for e in events)
    assert {"chains", "rules", "elements", "tables"} & set(" ".join(e["message"] for e in events).replace(",", "").split())
    assert metric(web, node, 'fairlead_agent_foreign_changes_total{kind="element"}') >= 1
    assert metric(web, node, 'fairlead_agent_foreign_changes_total{kind="table"}') >= 1


def dropped(lab, node):
    chain = lab.in_netns(node, "nft", "-j", "list", "chain", "ip", "fairlead", "unallocated")
    return sum(e["counter"]["packets"] for r in json.loads(chain)["nftables"] if "rule" in r for e in r["rule"]["expr"] if "counter" in e)


def test_row_36_unallocated_addresses(web):
    cidr = web.get("servicecidrs/kubernetes")
    assert cidr["spec"]["cidrs"][0] == "10.96.0.0/16" and cidr["status"]["conditions"][0]["type"] == "Ready"
    assert "10.96.0.0/16" in web.fairlead("get", "servicecidrs")
    node = web.get("pod/client")["spec"]["nodeName"]
    before = dropped(web, node)
    assert not web.answers(web.pod_netns("client"), "http://10.96.250.250/")
    assert dropped(web, node) > before
    more = {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "more"}, "spec": {"cidrs": ["10.222.0.0/16"]}}
    web.apply(more)
    wait_until("the kernel knows the new one", lambda: "10.222.0.0/16" in web.in_netns(node, "nft", "list", "chain", "ip", "fairlead", "unallocated"))
    web.delete("servicecidr/more")
    wait_until("and forgets it", lambda: "10.222" not in web.in_netns(node, "nft", "list", "chain", "ip", "fairlead", "unallocated"))
    web.delete("servicecidr/kubernetes")
    wait_until("the server's own is back", lambda: web.get("servicecidrs")["items"])
    bad = dict(more, spec={"cidrs": ["10.0.0.0/8", "11.0.0.0/8"]})
    with pytest.raises(pytest.fail.Exception, match="may only hold one value for each IP family"):
        web.apply(bad)


@pytest.fixture(scope="module")
def second(web, tmp_path_factory):
    """An agent with kube-proxy's file, in the namespace of the fabric, where no other is."""
    path = tmp_path_factory.mktemp("kube-proxy") / "config.conf"
    path.write_text(CONFIG.format(kubeconfig=web.kubeconfig))
    web.apply(service("web", type="NodePort"))
    log = open(path.parent / "log", "w+")
    p = subprocess.Popen(["ip", "netns", "exec", f"fl.{web.name}", AGENT, f"--config={path}", "--hostname-override=Node-1"],
                         stderr=log)
    yield p, path, log
    p.terminate()
    p.wait(10)


def fabric(lab, *argv, **kw):
    return run("ip", "netns", "exec", f"fl.{lab.name}", *argv, **kw)


def test_row_45_its_configuration_file(web, second):
    p, path, log = second
    ask = lambda what: fabric(web, "curl", "-s", "http://127.0.0.1:" + what)
    wait_until("it is healthy", lambda: '"healthy":true' in fabric(web, "curl", "-s", "http://127.0.0.1:20256/healthz", check=False).stdout)
    config = json.loads(ask("20249/configz"))["kubeproxy.config.k8s.io"]
    assert config["mode"] == "nftables" and config["hostnameOverride"] == "node-1" and config["iptables"]["masqueradeBit"] == 14
    assert config["conntrack"]["tcpEstablishedTimeout"] == "2h" and config["conntrack"]["tcpCloseWaitTimeout"] == "1h0m0s"
    assert "10.244.0.0/16" in fabric(web, "nft", "list", "chain", "ip", "fairlead", "policy-cluster").replace("& 255.255.0.0 == 10.244.0.0", "10.244.0.0/16")
    log.seek(0)
    assert "field=strange" in log.read()
    validated = subprocess.run([AGENT, "--validate", "--config", path], capture_output=True, text=True)
    assert validated.returncode == 0 and "strange: unknown field" in validated.stderr


def test_row_40_connection_tracking(web, second):
    sysctl = lambda where, name: where(f"/proc/sys/net/netfilter/nf_conntrack_{name}").strip()
    here = lambda path: fabric(web, "cat", path)
    assert sysctl(here, "tcp_timeout_established") == "7200" and sysctl(here, "tcp_be_liberal") == "1"
    assert sysctl(here, "tcp_timeout_close_wait") == "3600"  # a default
    node = lambda path: web.in_netns("node-1", "cat", path)
    assert sysctl(node, "tcp_timeout_established") == "86400" and sysctl(node, "tcp_be_liberal") == "0"


def test_row_17_node_ports_on_loopback(web, second):
    port = web.get("svc/web")["spec"]["ports"][0]["nodePort"]
    wait_until("the relay answers", lambda: fabric(web, "curl", "-sf", "-m", "2", f"http://127.0.0.1:{port}/name", check=False).stdout)
    names = {fabric(web, "curl", "-sf", f"http://127.0.0.1:{port}/name") for _ in range(40)}
    assert len(names) == 2
    assert fabric(web, "cat", "/proc/sys/net/ipv4/conf/all/route_localnet").strip() == "0"
    text = fabric(web, "curl", "-s", "http://127.0.0.1:20249/metrics")
    assert 'kubeproxy_nftables_localhost_nodeport_listeners{ip_family="IPv4"} 1\n' in text
    assert 'kubeproxy_nftables_localhost_nodeport_rejected_packets_total{ip_family="IPv4",protocol="UDP"} 0\n' in text


def test_row_45_a_file_that_changes_ends_it(web, second):
    p, path, _ = second
    path.write_text(path.read_text())
    wait_until("it ends", lambda: p.poll() is not None)
    assert p.returncode == 1


KEPT = """import http.client, sys
c = http.client.HTTPConnection(sys.argv[1], timeout=5)
c.connect()
c.auto_open = False
for _ in sys.stdin:
    c.request("GET", "/name")
    r = c.getresponse()
    r.read()
    print(r.status, flush=True)
"""


def test_row_47_in_a_kube_proxys_place_and_out_again(web, tmp_path):
    """kube-proxy's part is played by one rule in a table of its name, in the namespace of the fabric; with the real one: tests/cluster/test_moving.py. A connection that it has translated stays, whoever goes; --cleanup-on-exit
    takes our table along when the agent is told to end, and only then; probes are answered where kube-proxy does not listen."""
    ip, pod = web.get("svc/web")["spec"]["clusterIP"], web.ready_pods("app=web")[0]["status"]["podIP"]
    log = open(tmp_path / "log", "w+")

    def agent(*flags):
        p = subprocess.Popen(["ip", "netns", "exec", f"fl.{web.name}", AGENT, f"--kubeconfig={web.kubeconfig}", "--node-name=node-1", "--healthz-bind-address=127.0.0.1:20256", "--metrics-bind-address=127.0.0.1:20249",
                              "--probe-bind-address=127.0.0.1:20246", *flags], stderr=log)
        wait_until("it is healthy", lambda: '"healthy":true' in fabric(web, "curl", "-s", "http://127.0.0.1:20246/healthz", check=False).stdout)
        return p

    def end(p, kill=False):
        (p.kill if kill else p.terminate)()
        p.wait(10)
        return "table ip fairlead\n" in fabric(web, "nft", "list", "tables")

    def answers():
        kept.stdin.write("ask\n")
        kept.stdin.flush()
        return kept.stdout.readline().strip() == "200" and fabric(web, "curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", f"http://{ip}/name", check=False).stdout == "200"
    theirs = f"table ip kube-proxy {{ chain nat-output {{ type nat hook output priority -100; ip daddr {ip} tcp dport 80 dnat to {pod}:8080; }}; chain f {{ type filter hook output priority 0; ct state new accept; }}; }}"
    fabric(web, "nft", "delete table ip fairlead", check=False)  # of the tests before
    way, = json.loads(fabric(web, "ip", "-j", "route", "get", pod))
    fabric(web, "ip", "route", "add", f"{ip}/32", *(["via", way["gateway"]] if "gateway" in way else []), "dev", way["dev"])
    fabric(web, "nft", theirs)
    kept = subprocess.Popen(["ip", "netns", "exec", f"fl.{web.name}", "python3", "-c", KEPT, ip], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert answers()
        p = agent()
        log.seek(0)
        assert 'found="table ip kube-proxy of nftables"' in log.read()
        assert answers()
        fabric(web, "nft", "delete table ip kube-proxy")
        assert answers()
        assert end(p) and answers()  # the rules stay
        assert end(agent("--cleanup-on-exit"), kill=True) and answers()  # it was not told
        p = agent("--cleanup-on-exit")
        fabric(web, "nft", theirs)
        assert answers()
        assert not end(p)
        assert answers()
    finally:
        kept.stdin.close()
        kept.wait(10)
        fabric(web, "ip", "route", "delete", f"{ip}/32")
        fabric(web, "nft", "delete table ip kube-proxy", check=False)
