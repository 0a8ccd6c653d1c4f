"""A real kube-apiserver on its own etcd, alone on a loopback port, behind the same interface as ours (tests/e2e/api_server.py)."""
import os
import subprocess
import time

import pytest

from api_server import Server
from suite import free_ports

PEERS = os.environ.get("PEERS", "build/peers")
KUBE_APISERVER, ETCD = os.path.join(PEERS, "kube-apiserver"), os.path.join(PEERS, "etcd-server")


def need(*programs):
    """Ends the run when one of the programs in PEERS is not there: a check that silently looks at nothing is none."""
    missing = [p for p in programs if not os.path.exists(os.path.join(PEERS, p))]
    if missing:
        pytest.exit(f"no {', '.join(missing)} in {PEERS}: make conform builds them", returncode=2)


class RealServer(Server):
    settle_s = 0.1  # it watches its own configurations, and tells nobody when it has seen one

    def start(self, *flags, modes="AlwaysAllow"):
        """modes: who decides what one may do."""
        d = self.dir
        self.port, client, peer = free_ports(3)
        client, peer = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
        self.log = open(d / "apiserver.log", "ab")
        self.etcd = subprocess.Popen(
            [ETCD, "--data-dir", str(d / "etcd"), "--listen-client-urls", client, "--advertise-client-urls", client,
             "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
             "--unsafe-no-fsync"], stdout=self.log, stderr=self.log)
        self.process = subprocess.Popen(
            [KUBE_APISERVER, f"--etcd-servers={client}", "--bind-address=127.0.0.1", f"--secure-port={self.port}",
             "--advertise-address=192.0.2.1", f"--tls-cert-file={d}/server.crt", f"--tls-private-key-file={d}/server.key",
             f"--client-ca-file={d}/ca.crt", f"--token-auth-file={d}/tokens", f"--service-account-key-file={d}/sa.key",
             f"--service-account-signing-key-file={d}/sa.key", "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
             "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112", f"--authorization-mode={modes}",
             f"--cert-dir={d}/certs", "--allow-privileged=true", *flags], stdout=self.log, stderr=self.log,
            env={k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")})  # webhooks are on this machine
        deadline = time.monotonic() + 180
        while True:
            try:
                if self.call("GET", "/readyz").status == 200:
                    return self
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"kube-apiserver did not start: see {d}/apiserver.log")
            time.sleep(0.2)

    def stop(self, *a):
        for p in (self.process, self.etcd):
            if p and p.poll() is None:
                p.terminate()
                try:
                    p.wait(20)
                except subprocess.TimeoutExpired:
                    p.kill()
                    p.wait()
        self.process = self.etcd = None
        return 0
