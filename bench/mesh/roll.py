"""100,000 requests at 1,000 a second from one pod with a sidecar to a Service of pods with sidecars, over mutual TLS, while its Deployment is rolled again and again. Each request is sent once by the
client; what proxies try again by themselves (Istio's default: two further tries where nothing was answered) is part of what is measured. Prints what failed, and latencies from when a request ought to
have gone. Needs root: it starts a lab.

usage: FAIRLEAD_BIN=build/bin python3 bench/mesh/roll.py [REQUESTS [RATE]]"""
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/e2e"), str(ROOT / "tests/e2e/mesh")]
import lab_harness  # noqa: E402
from suite import FAIRLEAD, wait_until  # noqa: E402

LOAD = pathlib.Path(FAIRLEAD).parents[1] / "bench/control-load"
CONNECTIONS = 32


def rolled(lab):
    d = lab.get("deploy/web")
    s = d.get("status", {})
    return s.get("observedGeneration") == d["metadata"]["generation"] and s.get("updatedReplicas") == s.get("replicas") == s.get("availableReplicas") == 3


def main():
    requests, rate = (int(a) for a in (sys.argv[1:] + ["100000", "1000"][len(sys.argv) - 1:]))
    lab = lab_harness.Lab()
    try:
        lab.up("--mesh")
        lab.patch("/api/v1/namespaces/default", {"metadata": {"labels": {"istio-injection": "enabled"}}})
        lab.apply({"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "default", "namespace": "default"}, "spec": {"mtls": {"mode": "STRICT"}}})
        lab.apply(lab_harness.echo("web", 3), lab_harness.service("web"), {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client"}, "spec": {
            "containers": [{"name": "c", "image": "busybox", "command": ["sleep", "3600"]}], "terminationGracePeriodSeconds": 0}})
        wait_until("the client is there", lambda: lab.get("pod/client").get("status", {}).get("phase") == "Running", 60)
        wait_until("the Deployment is there", lambda: rolled(lab), 60)
        node = lab.get("pod/client")["spec"]["nodeName"]
        where, address = f"{node}/default/client", lab.get("service/web")["spec"]["clusterIP"]
        load = subprocess.Popen(["ip", "netns", "exec", lab.netns(where), LOAD, address, "web", "1", str(CONNECTIONS), str(requests), str(rate)], stdout=subprocess.PIPE, text=True)
        rolls = 0
        while load.poll() is None:
            lab.patch("/apis/apps/v1/namespaces/default/deployments/web", {"spec": {"template": {"metadata": {"annotations": {"roll": str(rolls)}}}}})
            start = time.monotonic()
            while load.poll() is None and not rolled(lab):
                time.sleep(0.1)
            rolls += load.poll() is None
            print(f"roll {rolls}: {time.monotonic() - start:.1f} s", file=sys.stderr)
        print(load.stdout.read().strip())
        print(f"rolls={rolls}")
        return load.returncode
    finally:
        lab.down()


if __name__ == "__main__":
    sys.exit(main())
