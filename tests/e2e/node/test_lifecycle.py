"""What changes while a pod runs, and how its containers begin and end: the semantics people know from kubelet."""
import base64
import json
import os
import time

from suite import wait_until

LAB_ENV = {"FAIRLEAD_TOKEN_MAX_AGE": "3s"}
LOOP = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done"]


def config_map(name, data, **more):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data, **more}


def events(lab, pod):
    return [(e["reason"], e["message"]) for e in lab.get("events")["items"] if e["involvedObject"]["name"] == pod]


def test_volumes_follow_their_sources_in_one_step(lab):
    """The ..data link is renamed over: a reader sees all of the old state or all of the new one."""
    lab.apply(config_map("live", {"a": "1", "b": "1"}), config_map("fixed", {"a": "1"}, immutable=True),
              {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "live"}, "stringData": {"k": "1"}})
    # Enters the directory behind the link once and compares both files of that state.
    watcher = "cd /conf/..data/ && A=$(cat a) && B=$(cat b) && [ \"$A\" != \"$B\" ] && echo torn >> /tmp/torn"
    lab.pod("follower", image="busybox", command=["sh", "-c", f"while :; do {watcher}; done 2>/dev/null"], container={"volumeMounts": [
        {"name": "conf", "mountPath": "/conf"}, {"name": "conf", "mountPath": "/one/a", "subPath": "a"},
        {"name": "keys", "mountPath": "/keys"}, {"name": "fixed", "mountPath": "/fixed"}]}, spec={"volumes": [
            {"name": "conf", "configMap": {"name": "live"}}, {"name": "keys", "secret": {"secretName": "live"}},
            {"name": "fixed", "configMap": {"name": "fixed"}}]})
    lab.wait_ready("follower")
    assert lab.sh("follower", "readlink /conf/a; ls -A /conf | grep -c '^\\.\\.2'").split() == ["..data/a", "1"]
    for n in range(2, 8):
        lab.apply(config_map("live", {"a": str(n), "b": str(n)}))
        wait_until("the file follows", lambda n=n: lab.sh("follower", "cat /conf/a") == str(n), 5)
    lab.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "live"},
               "data": {"k": base64.b64encode(b"2").decode(), "new": base64.b64encode(b"3").decode()}})
    wait_until("the Secret follows", lambda: lab.sh("follower", "cat /keys/k /keys/new", check=False).stdout == "23", 5)
    lab.apply(config_map("live", {"a": "8"}))
    wait_until("the key that left is gone", lambda: lab.sh("follower", "ls /conf") == "a\n", 5)
    assert lab.sh("follower", "cat /one/a /fixed/a") == "11", "a subPath keeps the file it was given"
    assert lab.sh("follower", "ls -A /conf | grep -c '^\\.\\.2'").strip() == "1", "old states are removed"
    assert lab.sh("follower", "cat /tmp/torn 2>/dev/null; true") == ""


def test_tokens_are_renewed(lab):
    lab.pod("token", image="busybox", container={"volumeMounts": [{"name": "t", "mountPath": "/t"}]}, spec={"volumes": [
        {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "vault", "audience": "vault", "expirationSeconds": 600}}]}}]})
    lab.wait_ready("token")

    def claims():
        body = lab.sh("token", "cat /t/vault").split(".")[1]
        return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))

    first = claims()
    assert first["aud"] == ["vault"] and first["exp"] - first["iat"] == 600
    assert first["kubernetes.io"]["pod"]["name"] == "token", "bound to its pod"
    own = lab.sh("token", "cat /var/run/secrets/kubernetes.io/serviceaccount/token")
    assert wait_until("another token", lambda: claims()["iat"] > first["iat"] and claims(), 10)["aud"] == ["vault"]
    wait_until("the default token too", lambda: lab.sh("token", "cat /var/run/secrets/kubernetes.io/serviceaccount/token") != own, 10)


def test_downward_api(lab):
    lab.pod("downward", image="busybox", labels={"app": "d", "z": "1"}, container={
        "resources": {"limits": {"memory": "64Mi"}, "requests": {"cpu": "250m"}},
        "volumeMounts": [{"name": "info", "mountPath": "/info"}],
        "env": [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in (
            ("POD", "metadata.name"), ("NS", "metadata.namespace"), ("POD_UID", "metadata.uid"), ("NODE", "spec.nodeName"),
            ("SA", "spec.serviceAccountName"), ("HOST", "status.hostIP"), ("IPS", "status.podIPs"), ("APP", "metadata.labels['app']"))]
        + [{"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}}}]},
        spec={"volumes": [{"name": "info", "projected": {"sources": [{"downwardAPI": {"items": [
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            {"path": "memory", "resourceFieldRef": {"containerName": "main", "resource": "limits.memory", "divisor": "1Mi"}}]}}]}}]})
    pod = lab.wait_ready("downward")
    assert lab.sh("downward", "echo $POD $NS $POD_UID $NODE $SA $HOST $IPS $APP $CPU").split() == [
        "downward", "default", pod["metadata"]["uid"], pod["spec"]["nodeName"], "default", pod["status"]["hostIP"],
        ",".join(ip["ip"] for ip in pod["status"]["podIPs"]), "d", "250"]
    assert lab.sh("downward", "cat /info/labels; echo; cat /info/memory").split() == ['app="d"', 'z="1"', "64"]
    lab.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "downward", "labels": {"app": "e", "z": "1"}}, "spec": pod["spec"]})
    wait_until("the label follows", lambda: 'app="e"' in lab.sh("downward", "cat /info/labels"), 5)


def test_post_start_comes_before_running_and_holds_the_next_container(lab):
    """The container is not Running, and those after it are not started, before its hook has ended."""
    mounts = [{"name": "v", "mountPath": "/v"}]
    hook = {"exec": {"command": ["sh", "-c", "while [ ! -e /v/go ]; do sleep 0.05; done; echo hook >> /v/order"]}}
    lab.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "post"}, "spec": {
        "volumes": [{"name": "v", "emptyDir": {}}], "terminationGracePeriodSeconds": 2, "containers": [
            {"name": "main", "image": "busybox", "volumeMounts": mounts, "command": LOOP, "lifecycle": {"postStart": hook}},
            {"name": "next", "image": "busybox", "volumeMounts": mounts, "command": ["sh", "-c", "echo next >> /v/order; " + LOOP[2]]}]}})
    wait_until("the hook runs", lambda: lab.fairlead("exec", "post", "-c", "main", "--", "true", check=False).returncode == 0)
    states = [c["state"] for c in lab.status("post")["containerStatuses"]]
    assert all("waiting" in s for s in states), states
    lab.fairlead("exec", "post", "-c", "main", "--", "touch", "/v/go")
    lab.wait_ready("post")
    assert lab.fairlead("exec", "post", "-c", "next", "--", "cat", "/v/order").split() == ["hook", "next"]


def test_post_start_that_fails_kills_the_container(lab):
    lab.pod("post-bad", image="busybox", command=LOOP, spec={"restartPolicy": "Never"},
            container={"lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "exit 3"]}}}})
    wait_until("the pod ends", lambda: lab.status("post-bad").get("phase") in ("Failed", "Succeeded"))
    assert ("FailedPostStartHook", "PostStartHook failed: command exited with 3") in events(lab, "post-bad")


def test_pre_stop_runs_before_the_signal(lab):
    """exec, httpGet and sleep: the program is told to end when the hook is over, not before."""
    server = lab.wait_ready(lab.pod("bell", image="python:3", command=["python3", "-u", "-m", "http.server", "8080"], container={
        "readinessProbe": {"tcpSocket": {"port": 8080}}}))["status"]["podIP"]
    hooks = {
        "exec": {"exec": {"command": ["sh", "-c", "echo hook >> /v/order; sleep 0.3"]}},
        "http": {"httpGet": {"host": server, "port": 8080, "path": "/rang", "httpHeaders": [{"name": "X-Who", "value": "pre"}]}},
        "sleep": {"sleep": {"seconds": 1}},
    }
    for kind, hook in hooks.items():
        out = f"/tmp/fairlead-{lab.name}-{kind}"
        os.makedirs(out, exist_ok=True)
        try:
            lab.pod("pre-" + kind, image="busybox", spec={"volumes": [{"name": "v", "hostPath": {"path": out}}], "terminationGracePeriodSeconds": 20},
                    command=["sh", "-c", "trap 'echo term >> /v/order; exit 0' TERM; while :; do sleep 0.02; done"],
                    container={"volumeMounts": [{"name": "v", "mountPath": "/v"}], "lifecycle": {"preStop": hook}})
            lab.wait_ready("pre-" + kind)
            before = time.monotonic()
            lab.delete_and_wait("pre-" + kind)
            took = time.monotonic() - before
            said = open(out + "/order").read().split()
        finally:
            for f in os.listdir(out):
                os.remove(f"{out}/{f}")
            os.rmdir(out)
        assert said == (["hook", "term"] if kind == "exec" else ["term"])
        assert (1.0 if kind == "sleep" else 0.0) < took < 6
    assert "/rang" in lab.logs("bell")


def test_pre_stop_is_within_the_grace_period(lab):
    """A hook that does not end: SIGTERM when the period is over, SIGKILL two seconds later at most."""
    lab.pod("pre-slow", image="busybox", command=LOOP, spec={"terminationGracePeriodSeconds": 1},
            container={"lifecycle": {"preStop": {"exec": {"command": ["sleep", "60"]}}}})
    lab.wait_ready("pre-slow")
    before = time.monotonic()
    lab.delete_and_wait("pre-slow")
    assert 0.9 < time.monotonic() - before < 6


def test_a_second_deletion_shortens_the_grace_period(lab):
    lab.pod("impatient", image="busybox", command=["sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"], spec={"terminationGracePeriodSeconds": 120})
    lab.wait_ready("impatient")
    path = "/api/v1/namespaces/default/pods/impatient?gracePeriodSeconds="
    assert lab.raw(path + "60", "DELETE")[0] == 200
    before = time.monotonic()
    assert lab.raw(path + "1", "DELETE")[0] == 200
    wait_until("it is gone", lambda: lab.fairlead("get", "pod/impatient", check=False).returncode != 0, 15)
    assert 0.5 < time.monotonic() - before < 8


def test_commands_of_hooks_and_probes(lab):
    """A hook's words are taken as they are; a probe's know the variables that the spec gives values."""
    lab.pod("dollar", image="busybox", command=["sh", "-c", "touch /tmp/ready; " + LOOP[2]], container={
        "env": [{"name": "FILE", "value": "/tmp/ready"}, {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "readinessProbe": {"exec": {"command": ["test", "$(FILE) $(NODE) $(NOBODY)", "=", "/tmp/ready  $$(NOBODY)"]}, "periodSeconds": 1},
        "lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "echo $$ '$(FILE)' > /tmp/hook"]}}}})
    lab.wait_ready("dollar")
    pid, word = lab.sh("dollar", "cat /tmp/hook").split()
    assert int(pid) > 1 and word == "$(FILE)"


def test_a_startup_probe_ends_with_its_first_success(lab):
    lab.pod("up", image="busybox", command=["sh", "-c", "touch /tmp/up; " + LOOP[2]], container={
        "startupProbe": {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 2}})
    lab.wait_ready("up")
    lab.sh("up", "rm /tmp/up")
    time.sleep(3.5)  # what must not happen has a period of one second, and happens at the second time
    assert lab.container("up")["restartCount"] == 0 and lab.is_ready("up")


def test_an_initial_delay_counts_from_the_start(lab):
    """Not from the moment the startup probe has passed."""
    lab.pod("delayed", image="busybox", command=["sh", "-c", "sleep 3; touch /tmp/up; " + LOOP[2]], container={
        "startupProbe": {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 30},
        "readinessProbe": {"exec": {"command": ["true"]}, "initialDelaySeconds": 4}})
    lab.wait_ready("delayed", timeout=20)
    status = lab.status("delayed")
    at = next(c["lastTransitionTime"] for c in status["conditions"] if c["type"] == "Ready")
    took = [time.strptime(t, "%Y-%m-%dT%H:%M:%SZ") for t in (status["containerStatuses"][0]["state"]["running"]["startedAt"], at)]
    assert 3 <= time.mktime(took[1]) - time.mktime(took[0]) <= 6


def test_probes_name_their_host(lab):
    """One Host header, the probe's own: servers refuse two."""
    lab.pod("virtual", container={"readinessProbe": {"httpGet": {"port": 8080, "path": "/ready", "httpHeaders": [
        {"name": "Host", "value": "shop.example"}, {"name": "User-Agent", "value": "mine"}]}, "periodSeconds": 1}})
    lab.wait_ready("virtual")


REDIRECTS = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        word, _, n = self.path[1:].partition("/")
        to = {"hop": f"/hop/{int(n or 0) - 1}", "away": "http://192.0.2.1/", "loop": "/loop", "lost": "missing", "missing": None, "nowhere": None,
              "whole": f"http://{self.headers['Host']}/hop/0"}[word]
        status = 404 if word == "missing" else 200 if self.path == "/hop/0" else 302
        self.send_response(status)
        if to and status == 302:
            self.send_header("Location", to)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.HTTPServer(("", 8081), Handler).serve_forever()
"""


def test_probes_follow_redirects(lab):
    """Within their host, nine of them; whatever a redirect of another host leads to is a success with a warning."""
    paths = {"nine": "/hop/9", "whole": "/whole", "away": "/away", "nowhere": "/nowhere", "ten": "/hop/10", "loop": "/loop", "lost": "/lost"}
    for name, path in paths.items():
        lab.pod("to-" + name, image="busybox", command=["python3", "-c", REDIRECTS], container={
            "readinessProbe": {"httpGet": {"port": 8081, "path": path}, "periodSeconds": 1, "timeoutSeconds": 5}})
    for name in ("nine", "whole", "away", "nowhere"):
        lab.wait_ready("to-" + name, 20)
    for name in ("away", "nowhere"):
        wait_until("it is told", lambda n=name: ("ProbeWarning", "Readiness probe warning: Probe terminated redirects: HTTP 302") in events(lab, "to-" + n))
    for name, why in (("ten", "stopped after 10 redirects"), ("loop", "stopped after 10 redirects"), ("lost", "statuscode: 404")):
        wait_until("it has failed", lambda n=name, w=why: [m for r, m in events(lab, "to-" + n) if r == "Unhealthy" and w in m])
        assert not lab.is_ready("to-" + name)
    assert not [r for r, _ in events(lab, "to-nine") if r == "ProbeWarning"]


def test_a_probe_does_not_mind_a_long_answer(lab):
    lab.pod("long", container={"readinessProbe": {"httpGet": {"port": 8080, "path": "/bytes/3000000"}, "periodSeconds": 1}})
    lab.wait_ready("long")


def test_a_working_directory_is_made(lab):
    """Images bring theirs; on the machine's own files it is not there."""
    for name, security in (("cwd", {}), ("cwd-fixed", {"readOnlyRootFilesystem": True})):
        lab.pod(name, image="busybox", command=LOOP, container={"workingDir": "/usr/src/app/x", "securityContext": security})
        lab.wait_ready(name)
        assert lab.sh(name, "pwd; readlink /proc/1/cwd").split() == ["/usr/src/app/x"] * 2
    assert not os.path.exists("/usr/src/app/x")


def test_a_pipe_where_a_mount_goes(lab):
    """Opening a pipe waits for its other end; the node must not."""
    mounts = [{"name": "v", "mountPath": "/v"}]
    lab.apply(config_map("piped", {"a": "1"}))
    lab.pod("pipe", image="busybox", spec={
        "volumes": [{"name": "v", "emptyDir": {}}, {"name": "c", "configMap": {"name": "piped"}}],
        "initContainers": [{"name": "plant", "image": "busybox", "command": ["mkfifo", "/v/p"], "volumeMounts": mounts}]},
        container={"volumeMounts": mounts + [{"name": "c", "mountPath": "/v/p", "subPath": "a"}]})
    lab.wait_ready("pipe")
    assert lab.sh("pipe", "cat /v/p") == "1"


def test_a_host_path_is_of_its_type(lab):
    for type_, path in (("Directory", "/etc/passwd"), ("File", "/etc"), ("Socket", "/etc/passwd")):
        name = "typed-" + type_.lower()
        lab.pod(name, image="busybox", spec={"volumes": [{"name": "v", "hostPath": {"path": path, "type": type_}}]})
        wait_until(f"{name} is refused", lambda: any(
            reason == "FailedMount" and f"hostPath type check failed: {path} is not a {type_.lower()}" in message for reason, message in events(lab, name)))
    lab.pod("typed", image="busybox", spec={"volumes": [{"name": "v", "hostPath": {"path": "/etc", "type": "Directory"}}]})
    lab.wait_ready("typed")


def test_sidecars_start_first_and_end_last(lab):
    out = f"/tmp/fairlead-{lab.name}-sidecars"
    os.makedirs(out, exist_ok=True)
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}

    def says(name, ends=""):
        return ["sh", "-c", f"echo +{name} >> /v/order; trap 'sleep 0.1; echo -{name} >> /v/order; exit 0' TERM; {ends or 'while :; do sleep 0.02; done'}"]

    try:
        lab.pod("sided", image="busybox", command=says("main", "sleep 0.5; echo -main >> /v/order"), container=mounts, spec={
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 10, "volumes": [{"name": "v", "hostPath": {"path": out}}],
            "initContainers": [
                {"name": "s1", "image": "busybox", "restartPolicy": "Always", "command": says("s1"), **mounts,
                 "startupProbe": {"exec": {"command": ["sh", "-c", "grep -q s1 /v/order"]}, "periodSeconds": 1}},
                {"name": "init", "image": "busybox", "command": ["sh", "-c", "echo init >> /v/order"], **mounts},
                {"name": "s2", "image": "busybox", "restartPolicy": "Always", "command": says("s2"), **mounts}]})
        wait_until("it is over", lambda: lab.status("sided").get("phase") == "Succeeded", 15)
        order = open(out + "/order").read().split()
        # s2 has no startup probe, so what follows it waits for its process, not for what it writes.
        assert order[:2] == ["+s1", "init"] and set(order[2:4]) == {"+s2", "+main"} and order[4:] == ["-main", "-s2", "-s1"]
    finally:
        for f in os.listdir(out):
            os.remove(f"{out}/{f}")
        os.rmdir(out)


def test_active_deadline(lab):
    lab.pod("dead", image="busybox", command=LOOP, spec={"activeDeadlineSeconds": 1, "terminationGracePeriodSeconds": 5})
    lab.wait_ready("dead")
    wait_until("it has failed", lambda: lab.status("dead").get("phase") == "Failed")
    status = lab.status("dead")
    assert (status["reason"], status["message"]) == ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
    assert "terminated" in status["containerStatuses"][0]["state"]


def test_restart_policies(lab):
    for policy, code, phase in (("OnFailure", 0, "Succeeded"), ("Never", 1, "Failed"), ("Never", 0, "Succeeded")):
        name = f"policy-{policy.lower()}-{code}"
        lab.pod(name, image="busybox", command=["sh", "-c", f"exit {code}"], spec={"restartPolicy": policy})
        wait_until(f"{name} is over", lambda n=name, p=phase: lab.status(n).get("phase") == p)
        assert lab.container(name)["restartCount"] == 0
    for policy, code in (("OnFailure", 1), ("Always", 0)):
        name = f"policy-{policy.lower()}-{code}"
        lab.pod(name, image="busybox", command=["sh", "-c", f"exit {code}"], spec={"restartPolicy": policy})
        wait_until(f"{name} starts again", lambda n=name: lab.container(n).get("restartCount", 0) >= 1)


def test_termination_messages(lab):
    lab.pod("says", image="busybox", command=["sh", "-c", "echo own > /tmp/last; exit 1"], spec={"restartPolicy": "Never"},
            container={"terminationMessagePath": "/tmp/last"})
    lab.pod("logs", image="busybox", command=["sh", "-c", "for i in $(seq 100); do echo line $i; done; exit 1"],
            spec={"restartPolicy": "Never"}, container={"terminationMessagePolicy": "FallbackToLogsOnError"})
    for name in ("says", "logs"):
        wait_until(f"{name} is over", lambda n=name: lab.status(n).get("phase") == "Failed")
    assert lab.container("says")["state"]["terminated"]["message"] == "own\n"
    lines = lab.container("logs")["state"]["terminated"]["message"].splitlines()
    assert lines == [f"line {i}" for i in range(21, 101)], "the last 80 lines"


def test_bytes_that_are_no_text(lab):
    """Programs, probes and error messages that were cut: the node lives, and what can be read is told, as kubelet does."""
    noise = r"head -c 2000 /dev/urandom; printf '\377 the end\0 is near\n'"
    lab.pod("noise", image="busybox", command=["sh", "-c", f"({noise}) > /dev/termination-log; exit 1"], spec={"restartPolicy": "Never"})
    lab.pod("noisy-log", image="busybox", command=["sh", "-c", "echo; printf '\\377 the end\\0 is near\\n'; exit 1"],
            spec={"restartPolicy": "Never"}, container={"terminationMessagePolicy": "FallbackToLogsOnError"})
    lab.pod("noisy-probe", image="busybox", command=LOOP, container={
        "readinessProbe": {"exec": {"command": ["sh", "-c", noise + "; exit 1"]}, "periodSeconds": 1}})
    for name in ("noise", "noisy-log"):
        wait_until(f"{name} is over", lambda n=name: lab.status(n).get("phase") == "Failed")
        assert lab.container(name)["state"]["terminated"]["message"].endswith("\ufffd the end\ufffd is near\n")
    wait_until("the probe has failed", lambda: any(r == "Unhealthy" for r, _ in events(lab, "noisy-probe")))
    for shift in ("", "x"):  # one of the two ends the message in the middle of a character
        done = lab.fairlead("exec", "noisy-probe", "--", "/" + shift + "\u00e9" * 400, check=False)
        assert done.returncode != 0 and "\u00e9" * 10 in done.stderr
    lab.pod("cut", image="busybox", command=LOOP, container={"command": ["/" + "\u00e9" * 600]})
    assert wait_until("the start failed", lambda: [m for r, m in events(lab, "cut") if r == "Failed" and "\u00e9" * 10 in m])
    assert lab.container("noisy-probe")["restartCount"] == 0, "the node has not died of any of it"


def test_what_has_no_effect_is_told_once(lab):
    lab.pod("ignored", image="busybox", spec={"hostPID": True, "hostIPC": True})
    lab.pod("shared", image="busybox", spec={"shareProcessNamespace": True})
    for pod, fields in (("ignored", "spec.hostIPC, spec.hostPID:"), ("shared", "spec.shareProcessNamespace:")):
        lab.wait_ready(pod)
        told = wait_until("it is told", lambda p=pod: [m for r, m in events(lab, p) if r == "FieldIgnored"])
        assert len(told) == 1 and fields in told[0]


def test_names_and_resolver(lab):
    lab.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "sub"},
               "spec": {"clusterIP": "None", "selector": {"app": "names"}, "ports": [{"port": 80}]}})
    lab.pod("names", image="busybox", labels={"app": "names"}, spec={
        "hostname": "me", "subdomain": "sub", "setHostnameAsFQDN": True,
        "hostAliases": [{"ip": "192.0.2.7", "hostnames": ["old.example", "older.example"]}],
        "dnsConfig": {"nameservers": ["192.0.2.53"], "searches": ["example.net"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}})
    lab.wait_ready("names")
    assert lab.sh("names", "hostname").strip() == "me.sub.default.svc.cluster.local"
    hosts = lab.sh("names", "cat /etc/hosts")
    assert "me.sub.default.svc.cluster.local\tme\n" in hosts and "192.0.2.7\told.example\tolder.example" in hosts
    assert lab.sh("names", "cat /etc/resolv.conf").splitlines() == [
        "nameserver 10.96.0.10", "nameserver 192.0.2.53",
        "search default.svc.cluster.local svc.cluster.local cluster.local example.net", "options ndots:2 edns0"]
    lab.pod("none", image="busybox", spec={"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.1"]}})
    lab.wait_ready("none")
    assert lab.sh("none", "cat /etc/resolv.conf") == "nameserver 192.0.2.1\n"
    lab.pod("machine", image="busybox", spec={"dnsPolicy": "Default"})
    lab.wait_ready("machine")
    own = [line for line in open("/etc/resolv.conf").read().splitlines() if line and line[0] != "#"]
    assert lab.sh("machine", "cat /etc/resolv.conf").splitlines() == own


def test_service_links(lab):
    lab.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "red-is"},
               "spec": {"selector": {"app": "x"}, "ports": [{"name": "main-p", "port": 6379}, {"name": "u", "port": 53, "protocol": "UDP"}]}})
    ip = lab.get("svc/red-is")["spec"]["clusterIP"]
    lab.pod("linked", image="busybox")
    lab.wait_ready("linked")
    env = dict(line.split("=", 1) for line in lab.sh("linked", "env").splitlines() if "=" in line)
    want = {"RED_IS_SERVICE_HOST": ip, "RED_IS_SERVICE_PORT": "6379", "RED_IS_SERVICE_PORT_MAIN_P": "6379", "RED_IS_SERVICE_PORT_U": "53",
            "RED_IS_PORT": f"tcp://{ip}:6379", "RED_IS_PORT_6379_TCP": f"tcp://{ip}:6379", "RED_IS_PORT_6379_TCP_PROTO": "tcp",
            "RED_IS_PORT_6379_TCP_PORT": "6379", "RED_IS_PORT_6379_TCP_ADDR": ip, "RED_IS_PORT_53_UDP": f"udp://{ip}:53"}
    assert {k: env.get(k) for k in want} == want
    assert env["KUBERNETES_SERVICE_HOST"] == "10.96.0.1" and env["KUBERNETES_SERVICE_PORT_HTTPS"] == "443"
    lab.pod("unlinked", image="busybox", spec={"enableServiceLinks": False})
    lab.wait_ready("unlinked")
    env = lab.sh("unlinked", "env")
    assert "RED_IS" not in env and "KUBERNETES_SERVICE_HOST=10.96.0.1" in env


def test_variables_of_the_runtime_are_not_expanded(lab):
    """As with kubelet, $(NAME) knows what the spec and Services say, not what every container has."""
    lab.pod("expands", image="busybox", args=["sh", "-c", "echo '$(HOME) $(HOSTNAME) $(MINE) $(KUBERNETES_SERVICE_HOST)' $HOME; " + LOOP[2]],
            container={"env": [{"name": "MINE", "value": "$(PATH)"}]})
    lab.wait_ready("expands")
    wait_until("it has said so", lambda: lab.fairlead("logs", "expands", check=False).stdout == "$(HOME) $(HOSTNAME) $(PATH) 10.96.0.1 /root\n")


def test_users_and_groups(lab):
    lab.pod("who", image="busybox", command=LOOP, spec={
        "securityContext": {"runAsUser": 1234, "runAsGroup": 1235, "fsGroup": 1236, "supplementalGroups": [1237]},
        "volumes": [{"name": "v", "emptyDir": {}}]}, container={"volumeMounts": [{"name": "v", "mountPath": "/v"}]})
    lab.wait_ready("who")
    assert lab.sh("who", "id -u; id -g; id -G | tr ' ' '\\n' | sort; touch /v/x && stat -c %g /v/x").split() == [
        "1234", "1235", "1235", "1236", "1237", "1236"]
    assert lab.sh("who", "cat /var/run/secrets/kubernetes.io/serviceaccount/token").count(".") == 2
    lab.pod("root", image="busybox", spec={"securityContext": {"runAsNonRoot": True}})
    wait_until("it is refused", lambda: "runAsNonRoot" in str(lab.container("root").get("state", {}).get("waiting", {}).get("message")))


def test_a_sub_path_does_not_lead_out_of_its_volume(lab):
    """The pod's own program may put a link where the next start looks for its directory."""
    lab.pod("escape", image="busybox", spec={"volumes": [{"name": "v", "emptyDir": {}}], "initContainers": [
        {"name": "plant", "image": "busybox", "command": ["ln", "-s", "/etc", "/v/sub"], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]},
        container={"volumeMounts": [{"name": "v", "mountPath": "/in", "subPath": "sub"}]})
    message = wait_until("it is refused", lambda: any("subPath" in m for _, m in events(lab, "escape")) and events(lab, "escape"))
    assert message and "running" not in lab.container("escape").get("state", {})


def test_images_told_while_the_lab_runs(lab):
    """A pod that waits for its image goes on at once; the last word counts; the file stays for a node that starts again."""
    lab.pod("told", image="registry.example.com/shop/web:1.2")
    wait_until("it waits", lambda: lab.container("told").get("state", {}).get("waiting", {}).get("reason") == "ErrImagePull")
    assert "fairlead lab image 'registry.example.com/shop/web:1.2=COMMAND'" in lab.container("told")["state"]["waiting"]["message"]
    assert lab.fairlead("lab", "image", "--name", lab.name, "shop/web=fairlead-echo --http 80 --name first").strip() == "image shop/web set"
    lab.wait_ready("told", 5)
    where = lab.pod_netns("told")
    wait_until("it answers", lambda: lab.answers(where, "http://127.0.0.1/name") == "first")
    lab.fairlead("lab", "image", "--name", lab.name, "other=true", "shop/web=fairlead-echo --http 80 --name second", "nginx=fairlead-echo --http 81")
    assert lab.fairlead("lab", "image", "--name", lab.name).split("\n")[:-1] == [
        "other=true", "shop/web=fairlead-echo --http 80 --name second", "nginx=fairlead-echo --http 81"]
    lab.pod("again", image="shop/web")
    lab.pod("over-built-in", image="nginx")
    for name, url, answer in (("again", "http://127.0.0.1/name", "second"), ("over-built-in", "http://127.0.0.1:81/name", "over-built-in")):
        lab.wait_ready(name)
        where = lab.pod_netns(name)
        wait_until("it answers", lambda w=where, u=url, a=answer: lab.answers(w, u) == a)
    os.kill(lab.processes("node --kubeconfig")[0], 9)
    os.kill(lab.processes("node --kubeconfig")[-1], 9)
    wait_until("both nodes have started it again", lambda: lab.container("again").get("restartCount", 0) == 1 and lab.is_ready("again"), 30)
    wait_until("and it is the same program", lambda: lab.answers(lab.pod_netns("again"), "http://127.0.0.1/name") == "second")
    for words, said in ((["nothing"], "wants NAME=COMMAND"), (["x=a 'b"], "a quote does not close"), (["x=a\nb=c"], "one line only")):
        done = lab.fairlead("lab", "image", "--name", lab.name, *words, check=False)
        assert done.returncode == 64 and said in done.stderr
    done = lab.fairlead("lab", "image", "--name", "no-such-lab", "a=b", check=False)
    assert done.returncode == 1 and "there is no lab no-such-lab" in done.stderr


def test_a_stand_in_passes_over_a_command_it_does_not_have(lab):
    lab.pod("original", image="httpd", command=["/docker-entrypoint.sh", "nginx", "-g", "daemon off;"])
    lab.wait_ready("original")
    where = lab.pod_netns("original")
    wait_until("it answers", lambda: lab.answers(where, "http://127.0.0.1/name") == "original")
    told = wait_until("it is told", lambda: [m for r, m in events(lab, "original") if r == "CommandIgnored"])
    assert 'has no program "/docker-entrypoint.sh"' in told[0]
    # A stand-in that knows its original's arguments gets them, and tells the image's version.
    lab.pod("podinfo", image="stefanprodan/podinfo:6.5.0", command=["./podinfo", "--port=9797"], args=["--level=debug"])
    lab.wait_ready("podinfo")
    where = lab.pod_netns("podinfo")
    wait_until("it answers", lambda: '"version": "6.5.0"' in (lab.answers(where, "http://127.0.0.1:9797/version") or ""))
    lab.fairlead("lab", "image", "--name", lab.name, "mine=fairlead-echo --http 82")
    lab.pod("mine", image="mine", command=["/entrypoint.sh", "-g"], args=["--name", "me"])
    lab.wait_ready("mine")
    where = lab.pod_netns("mine")
    wait_until("so does one that was told", lambda: lab.answers(where, "http://127.0.0.1:82/name") == "me")
    # A command that is there runs, and tools have what the machine has.
    lab.pod("own", image="nginx", command=["sh", "-c", "exec sleep 1000"])
    lab.wait_ready("own")
    assert not [r for r, _ in events(lab, "own") if r == "CommandIgnored"]
    lab.pod("tool", image="busybox", command=["/no/such/program"], spec={"restartPolicy": "Never"})
    wait_until("it fails", lambda: lab.status("tool").get("phase") == "Failed")
    # One that a volume brings is there, too.
    lab.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "scripts"}, "data": {"run": "#!/bin/sh\nexec sleep 1000\n"}})
    lab.pod("script", image="nginx", command=["/scripts/run"], container={"volumeMounts": [{"name": "s", "mountPath": "/scripts"}]},
            spec={"volumes": [{"name": "s", "configMap": {"name": "scripts", "defaultMode": 0o755}}]})
    lab.wait_ready("script")
    assert not [r for r, _ in events(lab, "script") if r == "CommandIgnored"]
