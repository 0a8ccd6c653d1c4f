"""What goes on when something is away: the control plane, the API server, a gateway; and what a roll costs."""
import os
import pathlib
import select
import signal
import threading
import time

from gateway import rule
from suite import wait_until

SYSTEM = "fairlead-system"


class Loop:
    """Requests, one behind another, until it is stopped; a refused connection is tried once more."""

    def __init__(self, gateway, path, host, pace_s=0):
        """pace_s: between two of them, where it may take long: each has a connection, and a host has 28,000 ports a minute for them."""
        self.gateway, self.path, self.host, self.pace_s = gateway, path, host, pace_s
        self.ok, self.lost, self.over = 0, [], threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)  # a test that has failed does not stop it
        self.thread.start()

    def run(self):
        while not self.over.wait(self.pace_s):
            begin = time.monotonic()
            try:
                answer = self.gateway.ask(self.path, self.host)
            except ConnectionRefusedError:
                continue
            except OSError as e:
                self.lost.append((begin, repr(e)))
                continue
            if answer.status == 200:
                self.ok += 1
            else:
                self.lost.append((begin, answer.status))

    def stop(self):
        self.over.set()
        self.thread.join()
        return self.lost


def processes(lab, program, app):
    """Pids of a program in the pods of an app."""
    found = []
    for pod in lab.pods(f"app={app}", SYSTEM):
        netns = lab.netns(f"{pod['spec']['nodeName']}/{SYSTEM}/{pod['metadata']['name']}")
        if not os.path.exists(f"/run/netns/{netns}"):
            continue
        inode = os.stat(f"/run/netns/{netns}").st_ino
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.stat(f"/proc/{pid}/ns/net").st_ino == inode and program in open(f"/proc/{pid}/cmdline").read().split("\0")[0]:
                    found.append(int(pid))
            except OSError:
                continue
    return found


def test_the_control_plane_is_away(lab, gateway, ingress):
    ingress("away", [rule("w.example", ("/", "Prefix", "web"))])
    gateway.all_do("it is served", lambda a: a.app == "web", "/", "w.example")
    wait_until("both gateways keep it", lambda: sum(b"w.example" in f.read_bytes() for f in pathlib.Path(lab.state_dir).rglob("last-good")) == 2)
    loop = Loop(gateway, "/", "w.example")
    control = processes(lab, "fairlead-control", "fairlead-control")
    assert len(control) == 1
    os.kill(control[0], signal.SIGSTOP)
    proxies = processes(lab, "fairlead-proxy", "fairlead-gateway")
    assert len(proxies) == 2
    process = os.pidfd_open(proxies[0])
    try:
        os.kill(proxies[0], signal.SIGKILL)  # it starts again, from its copy
        select.select([process], [], [])
        gone = time.monotonic()
        wait_until("it is there again", lambda: [p for p in processes(lab, "fairlead-proxy", "fairlead-gateway") if p not in proxies])
        lab.wait_ready("app=fairlead-gateway", 2, SYSTEM)
    finally:
        os.close(process)
        os.kill(control[0], signal.SIGKILL)
    lab.wait_ready("app=fairlead-control", 1, SYSTEM)
    ingress("back", [rule("v.example", ("/", "Prefix", "other"))])
    gateway.becomes("a new host is served", lambda a: a.app == "other", "/", "v.example")
    lost = loop.stop()
    # what the killed proxy had, and connections that its kernel took while it ended: one behind another, so very few
    assert loop.ok > 50 and all(begin <= gone for begin, _ in lost), (gone, lost)


def metrics(lab, pod):
    """Of the control plane, asked without the API server."""
    text = lab.in_netns(f"{pod['spec']['nodeName']}/{SYSTEM}/{pod['metadata']['name']}", "curl", "-sS", "-m", "5", "http://127.0.0.1:15014/metrics")
    return {line.split()[0]: float(line.split()[1]) for line in text.splitlines() if not line.startswith("#")}


def test_the_api_server_is_away(lab, gateway, ingress):
    """Its watches break, lists fail, it backs off; FAIRLEAD_AWAY_S: for so long, else until it has tried in vain often enough."""
    ingress("kept", [rule("kept.example", ("/", "Prefix", "web"))])
    ingress("gone", [rule("gone.example", ("/", "Prefix", "web"))])
    gateway.all_do("it is served", lambda a: a.app == "web", "/", "kept.example")
    gateway.becomes("so is the other", lambda a: a.app == "web", "/", "gone.example")
    pod, = lab.ready_pods("app=fairlead-control", SYSTEM)
    everybody = processes(lab, "fairlead-control", "fairlead-control") + processes(lab, "fairlead-proxy", "fairlead-gateway")
    (supervisor,), (server,) = lab.processes("fairlead-labd supervise"), lab.processes("fairlead-labd apiserver")
    before, loop = metrics(lab, pod), Loop(gateway, "/", "kept.example", 0.005)
    process = os.pidfd_open(server)
    os.kill(supervisor, signal.SIGSTOP)  # it would start another one
    try:
        begin = time.monotonic()
        os.kill(server, signal.SIGKILL)
        select.select([process], [], [])
        failures = "fairlead_control_watch_failures_total"
        # five watches: each has ended, has tried again at least twice, and waits longer every time
        now = wait_until("it has tried in vain", lambda: (m := metrics(lab, pod))[failures] >= before[failures] + 15 and m, 30)
        wait_until("the server has been away long enough", lambda: time.monotonic() - begin >= float(os.environ.get("FAIRLEAD_AWAY_S", 0)), 180)
        tries = metrics(lab, pod)[failures] - before[failures]
        assert tries <= 5 * 12, "five watches back off: in a minute, ten tries each"
        assert now["fairlead_control_pushes_total"] == before["fairlead_control_pushes_total"] and now["fairlead_control_synced"] == 1, "nothing changes"
        asked = loop.ok
        wait_until("requests go on", lambda: loop.ok > asked + 50)
        assert gateway.ask("/", "gone.example").app == "web"
    finally:
        os.close(process)
        os.kill(supervisor, signal.SIGCONT)
    wait_until("the server is back", lambda: lab.fairlead("get", "ingress/gone", check=False).returncode == 0, 20)
    ingress("new", [rule("new.example", ("/", "Prefix", "other"))])
    lab.fairlead("delete", "ingress/gone")
    for what, is_so, host in (("what came is served", lambda a: a.app == "other", "new.example"), ("what went is not", lambda a: a.status == 404, "gone.example")):
        wait_until(what, lambda is_so=is_so, host=host: is_so(gateway.ask("/", host)) and gateway.settled(), 30)  # the longest wait of a watch is 15 s
    assert loop.stop() == [] and loop.ok > 50
    assert everybody == processes(lab, "fairlead-control", "fairlead-control") + processes(lab, "fairlead-proxy", "fairlead-gateway"), "nobody has died of it"


def test_a_backend_is_rolled(lab, gateway, ingress):
    ingress("roll", [rule("roll.example", ("/", "Prefix", "web"))])
    gateway.all_do("it is served", lambda a: a.app == "web", "/", "roll.example")
    loop = Loop(gateway, "/", "roll.example")
    before = {p["metadata"]["name"] for p in lab.ready_pods("app=web")}
    lab.patch("/apis/apps/v1/namespaces/default/deployments/web", {"spec": {"template": {"metadata": {"annotations": {"rolled": "1"}}}}})
    wait_until("others have taken over", lambda: len(lab.ready_pods("app=web")) == 2 and not before & {
        p["metadata"]["name"] for p in lab.pods("app=web")}, 60)
    assert loop.stop() == [] and loop.ok > 50


def test_gateways_are_rolled(lab, gateway, ingress):
    ingress("groll", [rule("groll.example", ("/", "Prefix", "web"))])
    gateway.all_do("it is served", lambda a: a.app == "web", "/", "groll.example")
    loop = Loop(gateway, "/", "groll.example")
    before = {p["metadata"]["name"] for p in lab.ready_pods("app=fairlead-gateway", SYSTEM)}
    lab.patch(f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/fairlead-gateway", {"spec": {"template": {"metadata": {"annotations": {"rolled": "1"}}}}})
    wait_until("others have taken over", lambda: len(lab.ready_pods("app=fairlead-gateway", SYSTEM)) == 2 and not before & {
        p["metadata"]["name"] for p in lab.pods("app=fairlead-gateway", SYSTEM)}, 90)
    assert loop.stop() == [] and loop.ok > 50


def test_the_leader_goes(lab, gateway, ingress):
    lab.patch(f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/fairlead-control", {"spec": {"replicas": 2}})
    lab.wait_ready("app=fairlead-control", 2, SYSTEM)

    def holder():
        return lab.get("leases/fairlead-control-leader", "-n", SYSTEM)["spec"]["holderIdentity"]
    first = wait_until("somebody leads", holder)
    lab.delete("pod/" + first, "-n", SYSTEM)
    wait_until("another leads", lambda: holder() not in ("", first), 40)
    ingress("led", [rule("led.example", ("/", "Prefix", "web"))])
    wait_until("its status is written", lambda: lab.get("ingresses/led").get("status", {}).get("loadBalancer", {}).get("ingress") == [{"ip": gateway.address}])
    lab.patch(f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/fairlead-control", {"spec": {"replicas": 1}})
    lab.wait_ready("app=fairlead-control", 1, SYSTEM)
