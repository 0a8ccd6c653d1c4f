"""The agent beside kube-proxy (nftables mode) in one run, against a real kube-apiserver on etcd.

For each size: that many Services of two endpoints are made; then each of the two is started on an empty kernel until a Service answers
(cold load, median of COLD), and ADDED Services are made one by one, each when the one before answered: from the API server's answer to the
second write (the slice) until a TCP connection through the ClusterIP is accepted. CPU per change is that of the process, its threads and its
children over those, by their number; resident memory is read at the end. Usage: peer.py PEERS AGENT
"""
import os
import re
import select
import socket
import statistics
import subprocess
import sys
import threading
import time

from peer_stage import CONTROL, Api, Stage, enter, sh, wait_for

SIZES = [int(n) for n in os.environ.get("SIZES", "1000 5000").split()]
COLD = int(os.environ.get("COLD", "3"))
ADDED = {"theirs": int(os.environ.get("ADDED_THEIRS", "30")), "ours": int(os.environ.get("ADDED", "200"))}
GOALS = {"cold load, s": 0.10, "resident memory, MiB": 0.12, "one Service added, p50, ms": 0.002, "CPU per change, ms": 0.004}
SERVICES, SLICES = "/api/v1/namespaces/default/services", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
SERVER = """
import socket, select
servers = []
for a in ("10.244.200.2", "10.244.200.3"):
    s = socket.create_server((a, 8080), backlog=1024)
    servers.append(s)
while True:
    for s in select.select(servers, [], [])[0]:
        s.accept()[0].close()
"""


def service(i):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"s{i}"},
            "spec": {"clusterIP": f"10.{100 + i // 65000}.{i // 250 % 256}.{1 + i % 250}", "ports": [{"port": 80}]}}


def slice_of(i, addresses):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": f"s{i}", "labels": {"kubernetes.io/service-name": f"s{i}"}}, "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
            "endpoints": [{"addresses": [a], "nodeName": "elsewhere", "conditions": {"ready": True}} for a in addresses]}


SERVED = ["10.244.200.2", "10.244.200.3"]


def fill(stage, first, step, until):
    api = Api(stage)
    for i in range(first, until, step):
        # The last Service can be reached; the others stand for those of a cluster.
        served = i == until - 1
        api.call("POST", SERVICES, service(i))
        api.call("POST", SLICES, slice_of(i, SERVED if served else [f"10.{130 + i // 30000}.{i // 120 % 250}.{1 + i % 120}",
                                                                     f"10.{140 + i // 30000}.{i // 120 % 250}.{1 + i % 120}"]))


def answers(ip, wait_s):
    s = socket.socket()
    s.setblocking(False)
    try:
        s.connect_ex((ip, 80))
        _, writable, _ = select.select([], [s], [], wait_s)
        return bool(writable) and s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    finally:
        s.close()


def until_it_answers(ip, seconds, wait_s):
    end = time.monotonic() + seconds
    while not answers(ip, wait_s):
        if time.monotonic() > end:
            raise SystemExit(f"{ip} does not answer")
    return time.monotonic()


def cpu_ms(pid):
    """Of the process, its threads and the children it has waited for."""
    own = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat") as f:
                own += int(f.read().split()[0])
        except FileNotFoundError:
            pass
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return own / 1e6 + (int(fields[13]) + int(fields[14])) * 1000 / os.sysconf("SC_CLK_TCK")


def rss_mib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024


def program(stage, who, ns, agent):
    config = f"--kubeconfig={stage.path('kubeconfig')}"
    if who == "ours":
        return stage.start("agent", ns, agent, config, f"--node-name={ns}", "--cluster-cidr=10.244.0.0/16")
    return stage.start("kube-proxy", ns, f"{stage.peers}/kube-proxy", config, "--proxy-mode=nftables", f"--hostname-override={ns}",
                       "--cluster-cidr=10.244.0.0/16", "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0",
                       "--conntrack-tcp-timeout-close-wait=0", "--v=0")


def cold_load(stage, who, ns, agent, ip):
    """Seconds from the start of the process, which goes on."""
    sh(f"ip netns exec {ns} nft flush ruleset")
    if answers(ip, 0.05):
        raise SystemExit("something is left in the kernel")
    began = time.monotonic()
    child = program(stage, who, ns, agent)
    return until_it_answers(ip, 120, 0.002) - began, child


def added(api, first, count, pid):
    """Milliseconds of each, sorted, and CPU milliseconds per change."""
    samples, before = [], cpu_ms(pid)
    for i in range(first, first + count):
        api.call("POST", SERVICES, service(i))
        api.call("POST", SLICES, slice_of(i, SERVED))
        answered = time.monotonic()
        samples.append((until_it_answers(service(i)["spec"]["clusterIP"], 60, 0.0003) - answered) * 1000)
    time.sleep(0.1)  # what is done afterwards counts, too
    cpu = (cpu_ms(pid) - before) / count
    for i in range(first, first + count):
        api.call("DELETE", f"{SLICES}/s{i}")
        api.call("DELETE", f"{SERVICES}/s{i}")
    return sorted(samples), cpu


def measure(stage, who, ns, agent, size):
    enter(ns)
    api = Api(stage)
    ip, colds, child = service(size - 1)["spec"]["clusterIP"], [], None
    for n in range(COLD):
        if child:
            stage.stop(child)
        took, child = cold_load(stage, who, ns, agent, ip)
        colds.append(took)
    time.sleep(3)  # what it does after its first sync is not a change's
    samples, cpu = added(api, size, ADDED[who], child.pid)
    memory = rss_mib(child.pid)
    stage.stop(child)
    return {"cold load, s": statistics.median(colds), "one Service added, p50, ms": samples[len(samples) // 2],
            "one Service added, p99, ms": samples[int(len(samples) * 0.99)], "CPU per change, ms": cpu, "resident memory, MiB": memory}


def main():
    peers, agent = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    for name in ("etcd-server", "kube-apiserver", "kube-proxy"):
        if not os.access(f"{peers}/{name}", os.X_OK):
            raise SystemExit(f"{peers}/{name} is not there: tests/conformance/build-peers.sh {peers} etcd-server kube-apiserver kube-proxy")
    version = re.search(r"v[\d.]+", subprocess.run([f"{peers}/kube-proxy", "--version"], capture_output=True, text=True).stdout + "v?").group()
    ok, made = True, 0
    with Stage(peers) as stage:
        nodes = {who: stage.node(who) for who in ("theirs", "ours")}
        for ns in nodes.values():
            stage.start("server-" + ns, ns, sys.executable, "-c", SERVER)
        enter(CONTROL)
        api = Api(stage)
        wait_for("kube-apiserver", api.ready, 120)
        for n, ns in enumerate(nodes.values()):
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": ns}}
            api.call("POST", "/api/v1/nodes", node)
            api.call("PUT", f"/api/v1/nodes/{ns}/status", dict(node, status={"addresses": [{"type": "InternalIP", "address": f"10.77.0.{n + 2}"}]}))
        print(f"{os.cpu_count()} CPUs, Linux {os.uname().release}, kube-proxy and kube-apiserver {version}, cold loads: median of {COLD}, "
              f"Services added: {ADDED['theirs']} and {ADDED['ours']}\n| Services x 2 | what | kube-proxy | ours | ratio | goal |\n|---|---|---|---|---|---|")
        for size in SIZES:
            enter(CONTROL)
            threads = [threading.Thread(target=fill, args=(stage, made + n, 4, size)) for n in range(4)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            made = size
            found = {who: measure(stage, who, ns, agent, size) for who, ns in nodes.items()}
            for what, theirs in found["theirs"].items():
                ours, goal = found["ours"][what], GOALS.get(what) if size == 5000 else None
                ok = ok and (goal is None or ours / theirs <= goal)
                print(f"| {size:,} | {what} | {theirs:.2f} | {ours:.2f} | {ours / theirs:.4f} | {goal or '-'} |", flush=True)
    sys.exit(0 if ok else 1)


main()
