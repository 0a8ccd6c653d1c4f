#!/usr/bin/env python3
"""Kubernetes' own end-to-end tests of Services, EndpointSlices and DNS (e2e.test of the release in build-peers.sh) on the cluster of this folder, whose Services the agents of the chart carry.

    upstream.py [FOCUS...]     Ginkgo's words, each a run of its own beside the others (default: Services; EndpointSlice and DNS). SKIP is Ginkgo's, too.

The suite's images are made of programs of this machine: agnhost, built from its module, with the shell and the few tools that tests call by name. Left out by default is what
tests/conformance/upstream.sh leaves out, for the same reasons.
"""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../e2e"))
from cluster import PEERS, Cluster  # noqa: E402
from suite import ROOT, run  # noqa: E402

FOCUS = [r"\[sig-network\] Services", r"\[sig-network\] (EndpointSlice|DNS)"]
SKIP = os.environ.get("SKIP", r"Disruptive|SCTP|LoadBalancer|evicted|configMap nameserver|Provider:gce")
TOOLS = ("cat curl cut date dig echo env expr false getent grep head hostname id ip ls mkdir mktemp nc netstat nslookup ping ps pwd rm sed seq sleep sort ss stat tail tee test timeout touch tr true uname wc wget").split()


def images(cluster, repositories):
    """One image under all the names that the suite has for it."""
    archive = cluster.folder / "suite.tar"
    also = [f"{PEERS}/agnhost=/agnhost", f"{PEERS}/coredns=/coredns", "/bin/dash=/bin/sh", "/bin/dash=/usr/bin/sh"]
    for path in filter(None, map(shutil.which, TOOLS)):  # by both names: the suite says /bin/sleep, too
        also += [path, f"{path}=/bin/{os.path.basename(path)}"]
    run(sys.executable, ROOT / "tools/image.py", PEERS / "agnhost", "--name", "localhost/suite", "--tag", "1", "--output", archive, "--user", "0:0", "--no-trust", "--max-bytes", 200 << 20,
        "--args", "pause", *[x for a in also for x in ("--also", a)], timeout=600)
    listed = run(PEERS / "e2e.test", "--list-images", env=dict(os.environ, KUBE_TEST_REPO_LIST=str(repositories)))
    names = sorted(set(re.findall(r"^localhost/e2e-test-images/(?:agnhost|glibc-dns-testing|busybox):\S+$", listed, re.M)))
    assert names, listed
    for node in cluster.nodes:
        cluster.ctr(node, "images", "import", archive, timeout=300)
        for name in names:
            cluster.ctr(node, "images", "tag", "localhost/suite:1", name)


def main():
    cluster = Cluster()
    try:
        cluster.up()
        cluster.helm("install", "fairlead", ROOT / "deploy/chart", "--namespace", "fairlead-system", "--create-namespace", "--set",
                     f"agent.apiServer.host={cluster.nodes[0].address},control.enabled=false,gateway.enabled=false,mesh.enabled=false,crds.install=false,agent.externalIPs=true", timeout=120)
        cluster.wait_pods("app=fairlead-agent", 2, "fairlead-system")
        cluster.wait_pods("k8s-app=kube-dns", 1, "kube-system")
        repositories = cluster.folder / "repositories.yaml"
        repositories.write_text("promoterE2eRegistry: localhost/e2e-test-images\n")
        images(cluster, repositories)
        first = cluster.nodes[0]
        runs = []
        for i, focus in enumerate(sys.argv[1:] or FOCUS):
            runs.append((focus, first.folder / f"suite-{i}.log", first.start(
                f"suite-{i}", PEERS / "e2e.test", "--ginkgo.no-color", "--provider=skeleton", f"--kubeconfig={cluster.kubeconfig}", f"--ginkgo.focus={focus}", f"--ginkgo.skip={SKIP}",
                "--minStartupPods=0", "--report-dir=", env={"KUBE_TEST_REPO_LIST": str(repositories), "HOME": "/run"})))
        failed = 0
        for focus, log, process in runs:
            failed |= process.wait()
            text = [line for line in log.read_text(errors="replace").splitlines() if not re.fullmatch(r"S*", line)]
            if os.environ.get("LOGS"):  # a folder
                shutil.copy(log, os.environ["LOGS"])
            print(f"== {focus}", *text[-int(os.environ.get("LINES_SHOWN", "60")):], sep="\n")
        return 1 if failed else 0
    except (RuntimeError, AssertionError, subprocess.SubprocessError) as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    finally:
        if not cluster.missing:
            cluster.down()


if __name__ == "__main__":
    sys.exit(main())
