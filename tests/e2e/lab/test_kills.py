"""kill -9 of each process of a lab while pods run: what goes on, what comes back, and within which time (lab/README.md has the table)."""
import os
import signal
import subprocess
import time

from lab_harness import Lab, new_name, service
from suite import wait_until

BACK = 5  # seconds; a supervisor's first restart is after 100 ms


def kill(lab, word):
    """Kills the lab's processes with word in their command line; waits until others run in their place."""
    pids = lab.processes(word)
    assert pids, word
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    wait_until(f"{word} is back", lambda: len(lab.processes(word)) == len(pids) and not set(lab.processes(word)) & set(pids), BACK)
    return time.monotonic() - began


def runs(lab, selector="app=web"):
    """What a restart would change."""
    return {p["metadata"]["name"]: (p["status"]["podIP"], [(c["restartCount"], c.get("containerID")) for c in p["status"]["containerStatuses"]])
            for p in lab.pods(selector)}


def test_api_server(web):
    before, client = runs(web), web.pod_netns("client")
    web.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "acknowledged"}})
    kill(web, "fairlead-labd apiserver")
    assert web.answers(client, web.url), "Services need no API server"
    wait_until("it answers again", lambda: web.fairlead("get", "cm/acknowledged", check=False).returncode == 0, BACK)
    # Everyone watches again: a change reaches controllers, scheduler, node, agent.
    web.delete("pod", sorted(before)[0])
    wait_until("a new pod is ready", lambda: len(web.ready_pods("app=web")) == 2 and sorted(before)[0] not in runs(web), 20)
    kept = sorted(before)[1]
    assert runs(web)[kept] == before[kept], "running pods notice nothing"
    assert {"fl." + web.name + "." + client.replace("/", ".")} <= set(os.listdir("/run/netns"))
    wait_until("the Service has the new pod", lambda: all(web.answers(client, web.url) for _ in range(10)), BACK)


def test_controllers(web):
    before = runs(web)
    kill(web, "fairlead-labd controllers")
    web.delete("pod", sorted(before)[0])
    wait_until("the ReplicaSet has its two pods", lambda: len(web.ready_pods("app=web")) == 2 and sorted(before)[0] not in runs(web), 20)


def test_agents(web):
    before, client = runs(web), web.pod_netns("client")
    kill(web, "fairlead-agent")
    for _ in range(20):
        assert web.answers(client, web.url), "the kernel's rules stay"
    web.apply(service("late", selector={"app": "web"}))
    late = f"http://{web.get('svc/late')['spec']['clusterIP']}/name"
    wait_until("a new Service is programmed", lambda: web.answers(client, late), BACK)
    assert runs(web) == before


def test_dns(web):
    name = web.get("pods", "-n", "kube-system", "-l", "k8s-app=kube-dns")["items"][0]["metadata"]["name"]
    node = web.get("pod/" + name, "-n", "kube-system")["spec"]["nodeName"]

    def asks():
        done = web.in_netns(web.pod_netns("client"), "dig", "@10.96.0.10", "+short", "+time=1", "+tries=1", "web.default.svc.cluster.local", check=False)
        return done.stdout.strip()
    assert asks()
    pids = subprocess.run(["ip", "netns", "pids", web.netns(f"{node}/kube-system/{name}")], capture_output=True, text=True, check=True).stdout.split()
    for pid in pids:
        os.kill(int(pid), signal.SIGKILL)
    wait_until("names are answered again", asks, BACK)
    status = web.get("pod/" + name, "-n", "kube-system")["status"]["containerStatuses"][0]
    assert status["restartCount"] == 1 and status["lastState"]["terminated"]["exitCode"] == 137


def test_node(web):
    """Its pods die with it and are started anew, in the same pod objects; those of the other node notice nothing."""
    pods = {p["metadata"]["name"]: p["spec"]["nodeName"] for p in web.pods("app=web")}
    before = runs(web)
    victims = [pid for pid in web.processes("fairlead-labd node") if "--node-name=node-1" in open(f"/proc/{pid}/cmdline").read()]
    assert len(victims) == 1
    os.kill(victims[0], signal.SIGKILL)
    there = [n for n, node in pods.items() if node == "node-1"]

    def back():
        now = runs(web)
        return all(now[n][1][0][0] == before[n][1][0][0] + 1 for n in there) and len(web.ready_pods("app=web")) == 2
    try:
        wait_until("its pods run again", back, 15)
    except BaseException:
        print("before:", before, "\nnow:", [p["status"] for p in web.pods("app=web")], "\nevents:", web.fairlead("get", "events"))
        print(open(web.state_dir + "/logs/node-1.log").read()[-3000:])
        raise
    for name in set(pods) - set(there):
        assert runs(web)[name] == before[name]
    wait_until("the Service answers", lambda: all(web.answers(web.pod_netns("client"), web.url) for _ in range(10)), BACK)


def test_supervisor(web):
    """Everything dies with it and nothing comes back by itself; the next `up` starts from what was stored."""
    objects = len(web.get("pods", "-A")["items"])
    os.kill(web.processes("supervise")[0], signal.SIGKILL)
    wait_until("all of the lab is gone", lambda: not web.processes("fairlead"), BACK)
    done = web.fairlead("lab", "status", "--name", web.name, check=False)
    assert done.returncode == 1 and f"lab {web.name} is not running" in done.stderr
    web.up()
    assert len(web.get("pods", "-A")["items"]) == objects
    wait_until("the Service answers", lambda: web.answers(web.pod_netns("client"), web.url), 20)


def test_two_at_once_do_not_touch_each_other(web):
    other = Lab(new_name())
    try:
        other.up("--nodes", "1", "--ephemeral")
        before = runs(web)
        for pid in other.processes("fairlead"):
            os.kill(pid, signal.SIGKILL)
        wait_until("the other is dead", lambda: not other.processes("fairlead"))
        other.down()
        assert runs(web) == before and web.answers(web.pod_netns("client"), web.url)
    finally:
        other.down()
