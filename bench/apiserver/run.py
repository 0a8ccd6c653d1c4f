#!/usr/bin/env python3
"""The API server alone: an idle watcher, creates, lists of 10,000 objects, 100 watchers at 1,000 changes a second.

The load comes from load.c over the project's own client; CPU and memory are those of the server's processes, from /proc. Loopback,
TLS, in memory; bounded in count and time. With KUBE_APISERVER and ETCD (programs; `make conform` builds them into build/peers) the
same load runs against a kube-apiserver on its etcd, and the last column is theirs by ours. RUNS (5) rounds; medians."""
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from api_server import TOKEN, Server, make_certs  # noqa: E402
from suite import run  # noqa: E402

BUILD = pathlib.Path(os.environ.get("FAIRLEAD_BUILD", ROOT / "build"))
RUNS = int(os.environ.get("RUNS", "5"))
OBJECTS, WATCHERS, RATE, SECONDS, IDLE = 10000, 100, 1000, 10, 500
TICK = os.sysconf("SC_CLK_TCK")


class Target:
    """A server under load: its processes, and a kubeconfig for them."""

    def __init__(self, directory, port, pids):
        self.pids, self.kubeconfig = pids, directory / "kubeconfig"
        self.kubeconfig.write_text(f"""apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "https://127.0.0.1:{port}", certificate-authority: {directory}/ca.crt}}}}]
users: [{{name: u, user: {{client-certificate: {directory}/admin.crt, client-key: {directory}/admin.key}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
current-context: x
""")

    def rss_kib(self):
        return sum(int(line.split()[1]) for pid in self.pids for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS"))

    def cpu_s(self):
        total = 0
        for pid in self.pids:
            fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICK

    def load(self, phase, **options):
        args = [f"--{k}={v}" for k, v in options.items()]
        out = subprocess.run([BUILD / "bench" / "bench_apiserver_load", "--kubeconfig", self.kubeconfig, "--phase", phase, *args],
                             check=True, text=True, stdout=subprocess.PIPE, timeout=300).stdout
        return {k: float(v) for k, v in (line.split("=") for line in out.splitlines())}

    def idle_watcher_kib(self):
        before = self.rss_kib()
        child = subprocess.Popen([BUILD / "bench" / "bench_apiserver_load", "--kubeconfig", self.kubeconfig, "--phase", "watch",
                                  f"--watchers={IDLE}", "--seconds=2"], stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline() == f"watchers={IDLE}\n"
        time.sleep(1)
        after = self.rss_kib()
        assert child.wait(30) == 0
        return (after - before) / IDLE


def encodes(server):
    return sum(int(line.split()[-1]) for line in server.get("/metrics").body.decode().splitlines()
               if line.startswith("fairlead_lab_watch_encodes_total"))


def measure(target, count_encodes=lambda: 0):
    """Figures of one server, by name."""
    f = {"resident after start, MiB": target.rss_kib() / 1024}
    f["idle watcher, KiB"] = target.idle_watcher_kib()
    cpu = target.cpu_s()
    made = target.load("make", objects=OBJECTS)
    f["create, us of CPU"] = (target.cpu_s() - cpu) / OBJECTS * 1e6
    f["resident with 10,000 objects, MiB"] = target.rss_kib() / 1024
    lists = [target.load("list") for _ in range(RUNS)]
    for what in ("list", "table"):
        f[f"{what} of 10,000 objects, ms"] = statistics.median(one[f"{what}_ms"] for one in lists)
    rounds = []
    for _ in range(RUNS):
        cpu, encoded = target.cpu_s(), count_encodes()
        r = target.load("change", objects=OBJECTS, watchers=WATCHERS, rate=RATE, seconds=SECONDS)
        rounds.append({"100 watchers at 1,000 changes/s: changes/s held": r["changes_per_s"],
                       "… CPU, % of one core": (target.cpu_s() - cpu) / r["seconds"] * 100,
                       "… events delivered, %": r["events"] / r["events_expected"] * 100,
                       "… resident, MiB": target.rss_kib() / 1024,
                       "… encodes per change": (count_encodes() - encoded) / r["changes"]})
    f.update({k: statistics.median(r[k] for r in rounds) for k in rounds[0]})
    assert made["made"] == OBJECTS
    return f


def ours(directory):
    server = Server(directory).start()
    try:
        target = Target(server.dir, server.port, [server.process.pid])
        return measure(target, lambda: encodes(server))
    finally:
        server.stop()


def theirs(directory, kube_apiserver, etcd):
    make_certs(directory)
    run("openssl", "pkey", "-in", directory / "sa.key", "-traditional", "-out", directory / "sa-sec1.key")
    port, store, peer = 16443, "http://127.0.0.1:12379", "http://127.0.0.1:12380"
    log = open(directory / "peer.log", "wb")
    processes = [subprocess.Popen([etcd, "--data-dir", directory / "etcd", "--listen-client-urls", store, "--advertise-client-urls", store,
                                   "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                                   "--initial-cluster", f"default={peer}", "--unsafe-no-fsync"], stdout=log, stderr=log)]
    try:
        processes.append(subprocess.Popen(
            [kube_apiserver, f"--etcd-servers={store}", "--bind-address=127.0.0.1", f"--secure-port={port}",
             f"--tls-cert-file={directory}/server.crt", f"--tls-private-key-file={directory}/server.key",
             f"--client-ca-file={directory}/ca.crt", f"--token-auth-file={directory}/tokens",
             f"--service-account-key-file={directory}/sa-sec1.key", f"--service-account-signing-key-file={directory}/sa-sec1.key",
             "--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.96.0.0/16",
             "--authorization-mode=AlwaysAllow", f"--cert-dir={directory}/certs", "--disable-admission-plugins=ServiceAccount",
             "--max-requests-inflight=0", "--max-mutating-requests-inflight=0", "--enable-priority-and-fairness=false"],
            stdout=log, stderr=log))
        end = time.monotonic() + 120
        while subprocess.run(["curl", "-sf", "--cacert", directory / "ca.crt", "-H", f"Authorization: Bearer {TOKEN}",
                              f"https://127.0.0.1:{port}/readyz"], stdout=subprocess.DEVNULL, check=False).returncode:
            assert time.monotonic() < end and processes[1].poll() is None, "kube-apiserver does not start: " + str(log.name)
            time.sleep(0.2)
        time.sleep(2)  # its first controllers settle
        return measure(Target(directory, port, [p.pid for p in processes]))
    finally:
        for p in reversed(processes):
            p.terminate()
            p.wait(30)


BUDGETS = {"idle watcher, KiB": 64, "list of 10,000 objects, ms": 200, "… encodes per change": 1}


def main():
    peers = ROOT / "build" / "peers"
    kube_apiserver = os.environ.get("KUBE_APISERVER", str(peers / "kube-apiserver"))
    etcd = os.environ.get("ETCD", str(peers / "etcd-server"))
    with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
        mine = ours(pathlib.Path(a))
        peer = theirs(pathlib.Path(b), kube_apiserver, etcd) if os.path.exists(kube_apiserver) and os.path.exists(etcd) else None
    print(f"{os.cpu_count()} CPUs, Linux {os.uname().release}, medians of {RUNS}" + ("" if peer else "; no kube-apiserver: no peer"))
    print("| what | ours | budget | kube-apiserver + etcd | theirs by ours |\n|---|---|---|---|---|")
    for name, value in mine.items():
        other, ratio = "", ""
        if peer and not name.startswith("… e"):
            other, ratio = f"{peer[name]:.1f}", f"{peer[name] / value:.1f}"
        print(f"| {name} | {value:.1f} | {BUDGETS.get(name, '')} | {other} | {ratio} |")


if __name__ == "__main__":
    main()
