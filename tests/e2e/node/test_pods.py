"""Pods on a lab's nodes: what a container sees, how it ends, what the API is told."""
import base64
import os
import json
import re
import subprocess
import time

from suite import ECHO, SLOW, run, wait_until


def test_what_a_container_sees(lab):
    lab.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "one", "b": "two"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "data": {"k": base64.b64encode(b"s3cret").decode()}},
    )
    lab.pod("sees", image="busybox", container={
        "env": [
            {"name": "ONE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "k"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "URL", "value": "http://$(IP)/"},
        ],
        "volumeMounts": [
            {"name": "conf", "mountPath": "/etc/settings"},
            {"name": "conf", "mountPath": "/srv/only-b", "subPath": "b"},
            {"name": "keys", "mountPath": "/keys"},
            {"name": "work", "mountPath": "/not/there/before"},
        ],
    }, spec={"volumes": [
        {"name": "conf", "configMap": {"name": "settings"}},
        {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o400, "items": [{"key": "k", "path": "deep/k"}]}},
        {"name": "work", "emptyDir": {}},
    ]})
    pod = lab.wait_ready("sees")
    ip = pod["status"]["podIP"]
    assert lab.sh("sees", "echo $ONE $KEY $URL").split() == ["one", "s3cret", f"http://{ip}/"]
    assert lab.sh("sees", "cat /etc/settings/a /srv/only-b /keys/deep/k") == "onetwos3cret"
    assert lab.sh("sees", "stat -c %a /keys/deep/k").strip() == "400"
    assert lab.sh("sees", "hostname; cat /etc/hostname").split() == ["sees", "sees"]
    assert f"{ip}\tsees" in lab.sh("sees", "cat /etc/hosts")
    assert "search default.svc.cluster.local svc.cluster.local cluster.local" in lab.sh("sees", "cat /etc/resolv.conf")
    assert lab.sh("sees", "cat /var/run/secrets/kubernetes.io/serviceaccount/namespace") == "default"
    assert "BEGIN CERTIFICATE" in lab.sh("sees", "cat /var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
    assert lab.sh("sees", "readlink /proc/1/ns/pid").strip() != os.readlink("/proc/self/ns/pid")
    assert lab.sh("sees", "echo $$").strip() != "1", "exec is beside PID 1, not in its place"


def test_the_host_stays_as_it_was(lab):
    marker = f"/usr/share/fairlead-test-{lab.name}"
    lab.pod("writes", image="busybox", command=["sh", "-c", f"echo x > {marker}; echo x > /tmp/{lab.name}; sleep 100"],
            container={"volumeMounts": [{"name": "v", "mountPath": "/var/run/made-up-" + lab.name}]},
            spec={"volumes": [{"name": "v", "emptyDir": {}}]})
    lab.wait_ready("writes")
    assert wait_until("the file is there", lambda: lab.sh("writes", f"cat {marker} /tmp/{lab.name}", check=False).stdout) == "x\nx\n"
    assert not os.path.exists(marker)
    assert not os.path.exists("/tmp/" + lab.name)
    assert not os.path.exists("/run/made-up-" + lab.name)
    assert lab.name not in open("/proc/self/mounts").read().replace("fl." + lab.name, "")


def test_readiness_follows_the_program(lab):
    lab.pod("slow", image="busybox", command=["sh", "-c", "sleep 0.7; touch /tmp/ok; sleep 100"],
            container={"readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/ok"]}, "periodSeconds": 30}})
    started = wait_until("it runs", lambda: "running" in lab.container("slow").get("state", {}))
    assert started and not lab.is_ready("slow")
    before = time.monotonic()
    lab.wait_ready("slow", timeout=8)
    assert time.monotonic() - before < 5, "the first success must not wait for the next full period"
    lab.sh("slow", "rm /tmp/ok")


def test_liveness_restarts(lab):
    lab.pod("sick", container={"livenessProbe": {"httpGet": {"path": "/status/500", "port": 8080}, "periodSeconds": 1,
                                                 "failureThreshold": 1}})
    wait_until("it was restarted", lambda: lab.container("sick").get("restartCount", 0) >= 1, 15)
    assert "terminated" in lab.container("sick")["lastState"]


def test_exit_codes_and_phases(lab):
    for code, phase in ((0, "Succeeded"), (3, "Failed")):
        name = f"exit-{code}"
        lab.pod(name, image="busybox", command=["sh", "-c", f"echo bye > /dev/termination-log; exit {code}"],
                spec={"restartPolicy": "Never"})
        wait_until(f"{name} is over", lambda: lab.status(name).get("phase") == phase)
        ended = lab.container(name)["state"]["terminated"]
        assert (ended["exitCode"], ended["message"].strip()) == (code, "bye")


def test_crash_loop_backs_off(lab):
    lab.pod("crash", image="busybox", command=["sh", "-c", "echo run; exit 1"])
    waiting = wait_until("it backs off", lambda: lab.container("crash").get("state", {}).get("waiting"))
    wait_until("its reason is CrashLoopBackOff",
               lambda: lab.container("crash").get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff")
    assert waiting and lab.container("crash")["restartCount"] >= 1
    assert lab.logs("crash", "--previous") == "run\n"
    lab.pod("crash-id", image="busybox", command=["sh", "-c", "cat /proc/sys/kernel/random/uuid; exit 1"])
    wait_until("it waits", lambda: lab.container("crash-id").get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff")
    assert lab.logs("crash-id", "--previous") == lab.logs("crash-id"), "between runs the last state is the run that ended"


def test_init_containers_run_in_order(lab):
    lab.pod("inits", image="busybox", spec={
        "volumes": [{"name": "v", "emptyDir": {}}],
        "initContainers": [
            {"name": f"i{i}", "image": "busybox", "command": ["sh", "-c", f"echo {i} >> /v/order"],
             "volumeMounts": [{"name": "v", "mountPath": "/v"}]} for i in (1, 2)],
    }, container={"volumeMounts": [{"name": "v", "mountPath": "/v"}]})
    lab.wait_ready("inits")
    assert lab.sh("inits", "cat /v/order").split() == ["1", "2"]
    assert [s["state"]["terminated"]["exitCode"] for s in lab.status("inits")["initContainerStatuses"]] == [0, 0]


def test_an_init_container_that_fails(lab):
    before = json.loads(lab.raw("/api/v1/namespaces/default/pods?limit=1")[1])["metadata"]["resourceVersion"]
    lab.pod("init-bad", image="busybox", spec={"restartPolicy": "Never", "initContainers": [
        {"name": "i", "image": "busybox", "command": ["sh", "-c", "exit 2"]}, {"name": "k", "image": "busybox"}]})
    wait_until("it has failed", lambda: lab.status("init-bad").get("phase") == "Failed")
    assert lab.container("init-bad", "initContainerStatuses")["state"]["terminated"]["exitCode"] == 2
    events = lab.raw(f"/api/v1/namespaces/default/pods?watch=1&resourceVersion={before}&fieldSelector=metadata.name%3Dinit-bad&timeoutSeconds=1")[1]
    told = [json.loads(line)["object"]["status"].get("containerStatuses") for line in events.splitlines()]
    assert [s[0]["state"] for s in told if s] == [{"waiting": {"reason": "PodInitializing"}}] * (len(told) - told.count(None)) and told[-1], "from the first on"
    status = lab.status("init-bad")
    assert status["initContainerStatuses"][1]["state"] == {"waiting": {"reason": "PodInitializing"}}
    c = next(c for c in status["conditions"] if c["type"] == "Initialized")
    assert (c["status"], c["reason"], c["message"]) == ("False", "ContainersNotInitialized", "containers with incomplete status: [i k]")


def test_a_sub_path_that_cannot_be(lab):
    """Not a run that failed: the pod waits, and starts when what the path is made of has changed."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "sub", "annotations": {"path": "/out"}}, "spec": {
        "restartPolicy": "Never", "volumes": [{"name": "v", "emptyDir": {}}], "containers": [{
            "name": "main", "image": "busybox", "command": ["sh", "-c", "echo here > /v/file"],
            "env": [{"name": "WHERE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['path']"}}}],
            "volumeMounts": [{"name": "v", "mountPath": "/v", "subPathExpr": "$(WHERE)"}]}]}}
    lab.apply(pod)
    waiting = wait_until("it waits", lambda: lab.container("sub").get("state", {}).get("waiting", {}).get("message") and lab.status("sub"))
    assert (waiting["phase"], waiting["containerStatuses"][0]["state"]["waiting"]) == \
        ("Pending", {"reason": "CreateContainerConfigError", "message": 'subPath "/out" leaves its volume'})
    pod["metadata"]["annotations"]["path"] = "in"
    lab.apply(pod)
    wait_until("it has run", lambda: lab.status("sub")["phase"] == "Succeeded")


def test_unknown_image_says_what_to_do(lab):
    lab.pod("unknown", image="example.com/nobody/knows:1")
    waiting = wait_until("it says why", lambda: lab.container("unknown").get("state", {}).get("waiting", {}).get("message"))
    assert "fairlead lab image 'example.com/nobody/knows:1=COMMAND'" in waiting
    assert lab.container("unknown")["state"]["waiting"]["reason"] in ("ErrImagePull", "ImagePullBackOff")


def test_missing_configmap_waits_and_then_starts(lab):
    lab.pod("later", image="busybox", container={"envFrom": [{"configMapRef": {"name": "late"}}]})
    wait_until("it waits", lambda: lab.container("later").get("state", {}).get("waiting", {}).get("reason")
               == "CreateContainerConfigError")
    lab.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late"}, "data": {"LATE": "yes"}})
    lab.wait_ready("later", timeout=15)
    assert lab.sh("later", "echo $LATE").strip() == "yes"


def test_deletion_waits_for_the_program(lab):
    lab.pod("polite", image="busybox", command=["sh", "-c", "trap 'sleep 0.5; exit 0' TERM; while :; do sleep 0.05; done"],
            spec={"terminationGracePeriodSeconds": 20})
    lab.wait_ready("polite")
    netns = lab.netns(lab.pod_netns("polite"))
    before = time.monotonic()
    lab.delete_and_wait("polite")
    took = time.monotonic() - before
    assert 0.4 < took < 5
    wait_until("its namespace is gone", lambda: not os.path.exists("/run/netns/" + netns), 2)


def test_deletion_kills_the_deaf(lab):
    lab.pod("deaf", image="busybox", command=["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"],
            spec={"terminationGracePeriodSeconds": 1})
    lab.wait_ready("deaf")
    before = time.monotonic()
    lab.delete_and_wait("deaf")
    assert 0.9 < time.monotonic() - before < 5


def test_logs(lab):
    lab.pod("talks", image="busybox", command=["sh", "-c", "for i in 1 2 3 4 5; do echo line $i; done; echo bad >&2; sleep 100"])
    wait_until("it has spoken", lambda: lab.has_said("talks", "bad"))
    assert lab.logs("talks", "--tail", "2") == "line 5\nbad\n"
    assert lab.logs("talks", "--tail=1", "--timestamps").split()[0].endswith("Z")
    assert lab.logs("talks", "--since", "1h") == lab.logs("talks")
    time.sleep(2.1)  # what is asked for is younger than the lines
    assert lab.logs("talks", "--since", "1s") == ""


def test_log_options(lab):
    """limitBytes, sinceTime and sinceSeconds, timestamps, previous, container, follow: over the API server, as kubectl asks."""
    lab.pod("logs", image="busybox", command=["sh", "-c", "echo first; echo second"], spec={"restartPolicy": "OnFailure"})
    wait_until("it is over", lambda: lab.status("logs").get("phase") == "Succeeded")
    log = lambda query="": lab.raw("/api/v1/namespaces/default/pods/logs/log?" + query)  # noqa: E731
    assert log() == (200, "first\nsecond\n")
    assert log("limitBytes=8") == (200, "first\nse")
    assert log("tailLines=0") == (200, "")
    assert log("follow=true&container=main") == (200, "first\nsecond\n"), "the stream of a program that is over ends"
    assert log("sinceTime=2099-01-01T00%3A00%3A00Z") == (200, "")
    assert log("sinceTime=2001-01-01T00%3A00%3A00Z") == (200, "first\nsecond\n")
    assert log("sinceSeconds=3600") == (200, "first\nsecond\n")
    times = [line.split(" ")[0] for line in log("timestamps=true")[1].splitlines()]
    assert len(times) == 2 and times == sorted(times) and all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]+\.\d+Z", t) for t in times), times
    assert log(f"sinceTime={times[0].replace(':', '%3A')}")[1].endswith("second\n")
    status, body = log("previous=true")
    assert status == 400 and "previous terminated container" in body
    lab.pod("again", image="busybox", command=["sh", "-c", "echo run; exit 1"], spec={"restartPolicy": "Always"})
    wait_until("it has run twice", lambda: lab.container("again").get("restartCount", 0) >= 1)
    assert lab.raw("/api/v1/namespaces/default/pods/again/log?previous=true") == (200, "run\n")


def test_exec_streams_and_status(lab):
    lab.pod("tool", image="busybox")
    lab.wait_ready("tool")
    done = lab.sh("tool", "cat; echo oops >&2; exit 7", check=False)
    assert done.returncode in (1, 7) and "oops" in done.stderr
    assert lab.fairlead("exec", "-i", "tool", "--", "cat", stdin="x" * 300000) == "x" * 300000


def test_pods_reach_each_other_and_the_outside(lab):
    ends = [lab.wait_ready(lab.pod(f"net-{i}")) for i in range(4)]
    nodes = {p["spec"]["nodeName"] for p in ends}
    assert len(nodes) == 2, "the scheduler spreads them"
    for p in ends:
        for ip in p["status"]["podIPs"]:
            host = f"[{ip['ip']}]" if ":" in ip["ip"] else ip["ip"]
            said = lab.in_pod_net("net-0", "curl", "-s", "-m", "2", f"http://{host}:8080/name")
            assert said.strip() == p["metadata"]["name"]
    # Outside the cluster nobody knows pods: they appear with their node's address.
    node = next(n for n in lab.get("nodes")["items"] if n["metadata"]["name"] == ends[0]["spec"]["nodeName"])
    internal = [a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP"]
    host_ip = ".".join(internal[0].split(".")[:3] + ["1"])
    server = subprocess.Popen([ECHO, "--http", "18099"],
                              stderr=subprocess.DEVNULL)
    try:
        seen = wait_until("the host answers", lambda: lab.in_pod_net(
            "net-0", "curl", "-s", "-m", "2", f"http://{host_ip}:18099/ip", check=False).stdout)
        assert seen.strip() in internal
    finally:
        server.kill()
        server.wait()


def ported(lab, name, node, **port):
    return lab.pod(name, args=["--http", "8080", "--udp", "9000"], spec={"nodeName": node}, container={"ports": [
        {"containerPort": 8080, "hostPort": 18081, **port}, {"containerPort": 9000, "hostPort": 18082, "protocol": "UDP"}]})


def test_host_ports(lab):
    """Ports of the node's addresses lead to the pod: from everywhere, itself included, for as long as it is there."""
    lab.wait_ready(ported(lab, "first", "node-1"))
    lab.wait_ready(lab.pod("neighbour", image="busybox", spec={"nodeName": "node-1"}))

    def named(where, kind, family=4):
        ip = lab.node_address("node-1", kind, family)
        return lab.answers(where, f"http://{f'[{ip}]' if family == 6 else ip}:18081/name")

    places = [None, "node-1", "node-2", lab.pod_netns("first"), lab.pod_netns("neighbour")]
    for where, kind in [(p, k) for p in places for k in ("InternalIP", "ExternalIP")]:
        wait_until(f"it answers to {where} at {kind}", lambda w=where, k=kind: named(w, k) == "first", 5)
    assert named(lab.pod_netns("neighbour"), "InternalIP", 6) == "first" == named("node-2", "InternalIP", 6)
    assert not lab.answers("node-1", "http://127.0.0.1:18081/name"), "loopback is the node's own"
    internal, flow = lab.node_address("node-1", "InternalIP"), {"source": 40404}
    assert "first" in lab.udp("node-2", internal, 18082, **flow)
    lab.delete_and_wait("first")
    assert not named("node-2", "InternalIP") and not lab.udp("node-2", internal, 18082, **flow), "gone with the pod"
    lab.wait_ready(ported(lab, "second", "node-1", hostIP=internal))
    wait_until("the same flow is the next pod's", lambda: "second" in lab.udp("node-2", internal, 18082, **flow), 5)
    assert named("node-2", "InternalIP") == "second" and not named("node-2", "ExternalIP"), "of one address only"
    # What a killed node leaves goes with its next start.
    pid = next(p for p in os.listdir("/proc") if p.isdigit() and is_node(p, lab.name, "node-1"))
    os.kill(int(pid), 9)
    wait_until("it is back", lambda: lab.container("second").get("restartCount", 0) == 1 and named("node-2", "InternalIP") == "second", 20)
    lab.delete_and_wait("second")
    assert "18081" not in lab.in_netns("node-1", "nft", "list", "ruleset")


def test_host_ports_go_before_their_pod(lab):
    """Whoever sees the pod gone finds its ports free: with a finalizer the object outlasts the rest of the pod."""
    def has_rules():
        return "18081" in lab.in_netns("node-1", "nft", "list", "ruleset")

    lab.wait_ready(ported(lab, "held", "node-1"))
    wait_until("its rules are there", has_rules)
    lab.patch("/api/v1/namespaces/default/pods/held", {"metadata": {"finalizers": ["example.com/held"]}})
    lab.fairlead("delete", "pod", "held", "--wait=false")
    wait_until("its rules are gone", lambda: not has_rules(), 5)
    assert lab.get("pod/held")["metadata"]["deletionTimestamp"], "while the object is there"
    lab.patch("/api/v1/namespaces/default/pods/held", {"metadata": {"finalizers": None}})
    wait_until("it is gone", lambda: lab.raw("/api/v1/namespaces/default/pods/held")[0] == 404)


def test_the_gateway_keeps_its_hardware_address(lab):
    """A bridge takes the lowest address of its ports unless it has one of its own; pods would then lose their gateway."""
    def mac():
        return run("ip", "netns", "exec", f"fl.{lab.name}.node-1", "cat", "/sys/class/net/cni0/address").strip()

    assigned = run("ip", "netns", "exec", f"fl.{lab.name}.node-1", "cat", "/sys/class/net/cni0/addr_assign_type").strip()
    assert assigned == "3", "set by us, not taken from a port"
    before = mac()
    for i in range(12):
        lab.pod(f"mac-{i}")
    for i in range(12):
        lab.wait_ready(f"mac-{i}")
    assert mac() == before


def test_dns(lab):
    lab.apply(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "plain"},
         "spec": {"selector": {"app": "named"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "group"},
         "spec": {"clusterIP": "None", "selector": {"app": "named"}, "ports": [{"name": "http", "port": 8080}]}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "alias"},
         "spec": {"type": "ExternalName", "externalName": "example.org"}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "inner"},
         "spec": {"type": "ExternalName", "externalName": "plain.default.svc.cluster.local"}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "ring"},
         "spec": {"type": "ExternalName", "externalName": "ring.default.svc.cluster.local"}},
    )
    pod = lab.wait_ready(lab.pod("named", labels={"app": "named"}, spec={"hostname": "first", "subdomain": "group"}))
    lab.wait_ready("net-0") if "net-0" in str(lab.get("pods")) else lab.wait_ready(lab.pod("net-0"))
    ip, cluster_ip = pod["status"]["podIP"], lab.get("svc/plain")["spec"]["clusterIP"]

    def ask(*argv):
        return lab.in_pod_net("net-0", "dig", "@10.96.0.10", "+short", "+time=1", "+tries=1", *argv, check=False).stdout.strip()

    wait_until("the group has its endpoint", lambda: ask("group.default.svc.cluster.local") == ip)
    assert ask("plain.default.svc.cluster.local") == cluster_ip
    assert ask("first.group.default.svc.cluster.local") == ip
    assert ask("SRV", "_http._tcp.plain.default.svc.cluster.local") == "0 100 80 plain.default.svc.cluster.local."
    assert ask("SRV", "_http._tcp.group.default.svc.cluster.local") == "0 100 8080 first.group.default.svc.cluster.local."
    assert ask("CNAME", "alias.default.svc.cluster.local") == "example.org."
    assert ask("inner.default.svc.cluster.local").split() == ["plain.default.svc.cluster.local.", cluster_ip]
    assert ask("CNAME", "inner.default.svc.cluster.local") == "plain.default.svc.cluster.local."
    assert lab.sh("named", "getent ahostsv4 inner").split()[0] == cluster_ip, "a program's resolver asks once"
    assert ask("ring.default.svc.cluster.local") == "", "an alias that leads to nothing is not told"
    assert ask("-x", cluster_ip) == "plain.default.svc.cluster.local."
    dashes = ip.replace(".", "-")
    assert set(ask("-x", ip).split()) == {"first.group.default.svc.cluster.local.", f"{dashes}.plain.default.svc.cluster.local."}, "of every Service"
    assert ask("+tcp", "TXT", "dns-version.cluster.local") == '"1.1.0"'

    def rcode(*argv):
        out = lab.in_pod_net("net-0", "dig", "@10.96.0.10", "+time=1", *argv)
        return out.split("status: ")[1].split(",")[0], "SOA" in out

    assert rcode("nobody.default.svc.cluster.local") == ("NXDOMAIN", True)
    assert rcode("MX", "plain.default.svc.cluster.local") == ("NOERROR", True)
    assert rcode("example.com")[0] == "REFUSED"


def test_idle_dns_streams_keep_nobody_out(lab):
    lab.wait_ready(lab.pod("held", image="busybox"))
    code = ("import socket, subprocess\nheld = [socket.create_connection(('10.96.0.10', 53), timeout=5) for _ in range(300)]\n"
            "print(subprocess.run(['dig', '@10.96.0.10', '+short', '+tcp', '+time=2', '+tries=1', 'TXT', 'dns-version.cluster.local'], "
            "capture_output=True, text=True).stdout)")
    assert lab.in_pod_net("held", "python3", "-c", code).strip() == '"1.1.0"'


def test_many_files_do_not_hold_up_the_node(lab):
    """What a pod leaves is removed beside the node: other pods' commands, probes and logs go on."""
    lab.wait_ready(lab.pod("beside", image="busybox", spec={"nodeName": "node-1"}))
    code = ("import os\nfor i in range(4000): os.makedirs(f'/v/{i}/a'); open(f'/v/{i}/a/f', 'w')\n"
            "open('/tmp/full', 'w')\n__import__('signal').pause()")
    lab.pod("hoarder", image="busybox", command=["python3", "-c", code], spec={"nodeName": "node-1", "volumes": [{"name": "v", "emptyDir": {}}]},
            container={"volumeMounts": [{"name": "v", "mountPath": "/v"}], "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/full"]}}})
    uid = lab.wait_ready("hoarder", timeout=60)["metadata"]["uid"]
    node = f"{lab.state_dir}/nodes/node-1"
    assert os.path.isdir(f"{node}/pods/{uid}")
    lab.delete_and_wait("hoarder")
    before = time.monotonic()
    lab.sh("beside", "true")
    assert time.monotonic() - before < 2 * SLOW
    wait_until("its place is free", lambda: not os.path.exists(f"{node}/pods/{uid}"))
    wait_until("its files are gone", lambda: not [f for f in os.listdir(node) if "trash" in f], 60)


def test_a_killed_node_comes_back(lab):
    pod = lab.wait_ready(lab.pod("survivor"))
    node = pod["spec"]["nodeName"]
    pids = [p for p in os.listdir("/proc") if p.isdigit() and is_node(p, lab.name, node)]
    assert len(pids) == 1
    os.kill(int(pids[0]), 9)
    wait_until("its container was started again", lambda: lab.container("survivor").get("restartCount", 0) == 1 and
               lab.is_ready("survivor"), 20)


def test_nothing_of_a_killed_node_lives_on(lab):
    """ping of an ordinary user has gained a capability by its execution, which ends its wish to die with the node."""
    for name, spec in (("gained", {}), ("gained-host", {"hostNetwork": True})):
        lab.pod(name, image="busybox", command=["ping", "-i", "5", "127.0.0.77"],
                spec={"nodeName": "node-1", "securityContext": {"runAsUser": 1000, "runAsGroup": 1000}, **spec})
        lab.wait_ready(name)

    def pings():
        return {int(p) for p in os.listdir("/proc") if p.isdigit() and cmdline(p)[:4] == ["ping", "-i", "5", "127.0.0.77"]}

    before = pings()
    assert len(before) == 2
    pid = next(p for p in os.listdir("/proc") if p.isdigit() and is_node(p, lab.name, "node-1"))
    os.kill(int(pid), 9)
    wait_until("they were started again, and the old ones are gone", lambda: len(pings()) == 2 and not pings() & before, 20)
    for name in ("gained", "gained-host"):
        lab.delete_and_wait(name)
    assert not pings()


def cmdline(pid):
    try:
        return open(f"/proc/{pid}/cmdline").read().split("\0")
    except OSError:
        return []


def is_node(pid, lab_name, node):
    words = cmdline(pid)
    return "node" in words[:3] and f"--lab={lab_name}" in words and f"--node-name={node}" in words


def test_down_leaves_nothing(lab):
    assert run("ip", "-br", "link", "show", "type", "veth").count("fl-" + lab.name) == 1
