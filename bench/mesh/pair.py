"""Requests over kept connections, one after the other on each, from one pod to another: CPU of the proxies between them (user and system, of all their threads) by request. The
endpoint is the echo program; what it and the client use is not counted. Tells what each way costs beside the others on the same machine, not how many requests it can carry."""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/e2e"), str(ROOT / "tests/e2e/mesh")]
import lab_harness  # noqa: E402
from conftest import Mesh  # noqa: E402
from suite import wait_until  # noqa: E402

CONNECTIONS = 8
LOAD = r"""
import selectors, socket, sys
to, port, host, n, conns = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
ask = (f"GET /none HTTP/1.1\r\nhost: {host}\r\nuser-agent: bench\r\naccept: */*\r\n\r\n").encode()
s = selectors.DefaultSelector(); sent = got = 0
for _ in range(conns):
    c = socket.create_connection((to, port)); c.setsockopt(6, 1, 1); s.register(c, 1, [b""]); c.sendall(ask); sent += 1
while got < n:
    for key, _ in s.select():
        c, kept = key.fileobj, key.data
        kept[0] += c.recv(65536)
        head, _, body = kept[0].partition(b"\r\n\r\n")
        if not _: continue
        length = int([l.split(b":")[1] for l in head.lower().split(b"\r\n") if l.startswith(b"content-length:")][0])
        if len(body) < length: continue
        assert head.startswith(b"HTTP/1.1 200"), head[:60]
        kept[0] = b""; got += 1
        if sent < n: c.sendall(ask); sent += 1
"""


def proxies(lab, where):
    pids = subprocess.run(["ip", "netns", "pids", lab.netns(where)], capture_output=True, text=True, check=True).stdout.split()
    return [p for p in pids if b"fairlead-proxy" in open(f"/proc/{p}/cmdline", "rb").read()]


def cpu_us(pids):
    ticks = sum(int(f) for p in pids for f in open(f"/proc/{p}/stat").read().rsplit(")", 1)[1].split()[11:13])
    return ticks * 1_000_000 / os.sysconf("SC_CLK_TCK")


def measure(lab, where, to, port, host, pids, n):
    command = ["ip", "netns", "exec", lab.netns(where), "python3", "-c", LOAD, to, str(port), host]
    subprocess.run([*command, "2000", str(CONNECTIONS)], check=True)  # warm
    before = cpu_us(pids)
    subprocess.run([*command, str(n), str(CONNECTIONS)], check=True)
    return (cpu_us(pids) - before) / n


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 40000
    lab = lab_harness.Lab()
    try:
        lab.up("--ingress")
        lab.apply((ROOT / "deploy/crds/security.peerauthentications.yaml").read_text())
        mesh = Mesh(lab)
        for name in ("client", "server"):
            mesh.run(name, probe=False, args=() if name == "client" else ("--name", "server"))
        lab.apply(lab_harness.echo("plain"), lab_harness.service("plain"),
                  {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "plain"},
                   "spec": {"ingressClassName": "fairlead", "rules": [{"host": "plain.example", "http": {"paths": [
                       {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "plain", "port": {"number": 80}}}}]}}]}})
        lab.wait_ready("app=plain", 1)
        client, server = (lab.pod_netns(mesh.pod(name)) for name in ("client", "server"))
        vip = lab.get("svc/server")["spec"]["clusterIP"]
        ends = [proxies(lab, client), proxies(lab, server)]
        pair = ends[0] + ends[1]
        gateways = lab.ready_pods("app=fairlead-gateway", "fairlead-system")
        gateway = f"{gateways[0]['spec']['nodeName']}/fairlead-system/{gateways[0]['metadata']['name']}"
        gateway_ip = gateways[0]["status"]["podIP"]
        wait_until("the gateway serves", lambda: mesh.lab.curl(client.split("/")[0], f"http://{gateway_ip}:8080/", "-H", "host: plain.example", "-o", "/dev/null", "-w", "%{http_code}") == "200")
        rows = [("sidecars, mutual TLS", measure(lab, client, vip, 80, "server", pair, n))]
        lab.apply({"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "default", "namespace": "default"}, "spec": {"mtls": {"mode": "DISABLE"}}})
        wait_until("the client is told", lambda: "tlsMode-istio" not in mesh.admin("client", "/config_dump?resource=dynamic_active_clusters"))
        rows.append(("sidecars, plain text", measure(lab, client, vip, 80, "server", pair, n)))
        rows.append(("a gateway, plain text", measure(lab, client.split("/")[0], gateway_ip, 8080, "plain.example", proxies(lab, gateway), n)))
        print(f"{'':24}{'CPU us/request':>15}")
        for name, us in rows:
            print(f"{name:24}{us:15.1f}")
    finally:
        lab.down()


main()
