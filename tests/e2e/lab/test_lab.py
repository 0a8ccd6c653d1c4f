"""The lab as a thing on a machine: what it changes, what it leaves, several at once, being killed."""
import json
import os
import random
import signal
import subprocess

import pytest

from lab_harness import Lab, echo, new_name, service
from suite import BIN, FAIRLEAD, run, wait_until


def host_state():
    """What of the host a lab could disturb."""
    out = []
    for command in (["ip", "-o", "link"], ["ip", "-4", "route", "show", "table", "all"], ["ip", "-6", "route", "show", "table", "all"], ["ip", "rule"],
                    ["nft", "list", "ruleset"]):
        out.append(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    text = "\n".join(out)
    return sorted(line for line in text.splitlines() if "fl-" not in line)


def namespaces(name):
    out = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in out.splitlines() if line.split() and (line.split()[0] + ".").startswith(f"fl.{name}.")]


def links(name):
    return [line for line in os.listdir("/sys/class/net") if line == f"fl-{name}"]


def leftovers(lab):
    return namespaces(lab.name) + links(lab.name) + lab.processes("fairlead")


def test_up_and_down_leave_the_host_as_it_was():
    before = host_state()
    lab = Lab(new_name())
    try:
        out = lab.up()
        assert "is ready in" in out
        assert host_state() == before, "only the veth is new"
        assert lab.fairlead("lab", "status", "--name", lab.name).count("Ready") == 2
    finally:
        lab.down()
    assert leftovers(lab) == []
    assert host_state() == before
    assert not os.path.exists(lab.state_dir)


def test_ip_netns_add_in_between_does_not_hold_down_up(tmp_path):
    """The first `ip netns add` binds /run/netns onto itself and covers the pins that are there (where mounts are private)."""
    lab = Lab(new_name("m"))
    script = f"""
set -e
mount -t tmpfs tmpfs /run
{BIN}/fairlead lab up --name {lab.name} --nodes 1 --ephemeral
ip netns add {lab.name}-other
export KUBECONFIG=$({BIN}/fairlead lab kubeconfig --name {lab.name} --path)
{BIN}/fairlead delete -n kube-system deploy/cluster-dns
for i in $(seq 400); do ls /run/netns | grep -q cluster-dns || break; sleep 0.02; done
ls /run/netns > {tmp_path}/without-pod
{BIN}/fairlead lab down --name {lab.name}
ls /run/netns > {tmp_path}/after
ip netns exec {lab.name}-other true
ip netns del {lab.name}-other
ls -A /run > {tmp_path}/run
"""
    try:
        run("unshare", "-m", "--propagation", "private", "bash", "-c", script, timeout=90)
    finally:
        lab.down()
    assert (tmp_path / "without-pod").read_text().split() == [f"fl.{lab.name}", f"fl.{lab.name}.node-1", f"{lab.name}-other"]
    assert (tmp_path / "after").read_text().split() == [f"{lab.name}-other"]
    assert (tmp_path / "run").read_text().split() == ["netns"]


def test_ten_nodes_and_a_hundred_pods():
    lab = Lab(new_name("w"))
    try:
        lab.up("--nodes", "10", "--ephemeral")
        lab.apply(echo("many", replicas=100), service("many"))
        pods = wait_until("100 pods are ready", lambda: len(lab.ready_pods("app=many")) == 100 and lab.pods("app=many"), 60)
        per_node = {}
        for p in pods:
            per_node[p["spec"]["nodeName"]] = per_node.get(p["spec"]["nodeName"], 0) + 1
        assert len(per_node) == 10 and max(per_node.values()) <= 15, per_node
        assert len({p["status"]["podIP"] for p in pods}) == 100
        url = f"http://{lab.get('svc/many')['spec']['clusterIP']}/name"
        for n in range(1, 11):
            wait_until(f"node-{n} reaches the Service", lambda n=n: lab.answers(f"node-{n}", url))
        lab.delete("deploy/many")
        wait_until("all are gone", lambda: not lab.pods("app=many"), 60)
    finally:
        lab.down()
    assert leftovers(lab) == []


def test_two_labs_side_by_side():
    labs = [Lab(new_name()) for _ in range(2)]
    try:
        for lab in labs:
            lab.up("--nodes", "1")
        servers = {open(lab.kubeconfig).read().split("server:")[1].split()[0] for lab in labs}
        assert len(servers) == 2
        labs[0].apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "only-here"}, "data": {"a": "b"}})
        assert labs[0].get("cm/only-here")["data"] == {"a": "b"}
        done = labs[1].fairlead("get", "cm/only-here", check=False)
        assert done.returncode == 1 and 'configmaps "only-here" not found' in done.stderr
        labs[0].down()
        assert labs[1].get("nodes")["items"], "the other one goes on"
    finally:
        for lab in labs:
            lab.down()
    assert leftovers(labs[0]) + leftovers(labs[1]) == []


def killed_with_an_object(lab):
    """A lab that has ConfigMap "kept", and whose supervisor was killed, everything else with it."""
    lab.up("--nodes", "1")
    lab.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}, "data": {"a": "b"}})
    supervisor = lab.processes("supervise")
    assert len(supervisor) == 1
    os.kill(supervisor[0], signal.SIGKILL)
    wait_until("its children are gone with it", lambda: not lab.processes("fairlead"))


def test_a_lab_comes_back_on_other_addresses():
    """Its subnet is somebody else's by now: the next free one is taken, and the certificates follow."""
    lab = Lab(new_name())
    try:
        killed_with_an_object(lab)
        path = lab.state_dir + "/lab.json"
        record = json.load(open(path))
        old = record["plan"]["v4"].split(".")[2]
        record["plan"]["v4"] = record["plan"]["v4"].replace(f".{old}.0/", f".{(int(old) + 7) % 256}.0/")
        json.dump(record, open(path, "w"))
        lab.up("--nodes", "1")
        assert lab.get("cm/kept")["data"] == {"a": "b"}
        pod = lab.get("pods", "-n", "kube-system")["items"][0]["metadata"]["name"]
        wait_until("the node has told its address, and its certificate fits", lambda: lab.fairlead(
            "exec", "-n", "kube-system", pod, "--", "echo", "hello", check=False).stdout == "hello\n")
    finally:
        lab.down()
    assert leftovers(lab) == []


def test_up_says_whom_it_waits_for(tmp_path):
    manifest = tmp_path / "odd.yaml"
    manifest.write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: odd}\nspec: {containers: [{name: c, image: example.com/odd:1}]}\n")
    lab = Lab(new_name())
    try:
        done = lab.fairlead("lab", "up", "--name", lab.name, "--nodes", "1", "--ephemeral", "--timeout", "5s", "-f", str(manifest), check=False)
        assert done.returncode == 124
        assert f"error: lab {lab.name}: not ready after 5 s: pod default/odd: ErrImagePull: the lab has no command for image" in done.stderr
        assert "lab image 'example.com/odd:1=COMMAND'" in done.stderr
    finally:
        lab.down()


def test_what_a_pod_has_nested_goes_with_the_lab():
    """Deeper than descriptors and paths go."""
    lab = Lab(new_name())
    try:
        lab.up("--nodes", "1", "--ephemeral")
        code = "import os\nos.chdir('/v')\nfor i in range(25000):\n  os.mkdir('d'); os.chdir('d')\nopen('/tmp/done', 'w')\n__import__('signal').pause()"
        lab.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "deep", "labels": {"app": "deep"}}, "spec": {
            "volumes": [{"name": "v", "emptyDir": {}}], "containers": [{
                "name": "c", "image": "busybox", "command": ["python3", "-c", code], "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/done"]}, "periodSeconds": 1}}]}})
        lab.wait_ready("app=deep", 1)
    finally:
        lab.down()
    assert leftovers(lab) == [] and not os.path.exists(lab.state_dir)


def test_other_mounts_of_the_machine_stay_as_they_are(tmp_path):
    """Read-only in containers, those below them too, and with nosuid and nodev where they have it."""
    lab = Lab(new_name("m"))
    script = f"""
set -e
export PATH={BIN}:$PATH
mount -t tmpfs -o nosuid,nodev tmpfs /mnt
mkdir "/mnt/my disk" && mount -t tmpfs tmpfs "/mnt/my disk" && echo mine > "/mnt/my disk/file"
fairlead lab up --name {lab.name} --nodes 1 --ephemeral
export KUBECONFIG=$(fairlead lab kubeconfig --name {lab.name} --path)
printf 'apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec: {{containers: [{{name: c, image: busybox}}]}}\n' | fairlead apply -f -
for i in $(seq 200); do fairlead exec p -- true 2>/dev/null && break; sleep 0.05; done
fairlead exec p -- sh -c 'grep " /mnt " /proc/self/mounts; echo changed > "/mnt/my disk/file"' > {tmp_path}/mounts || true
cp "/mnt/my disk/file" {tmp_path}/file
fairlead lab down --name {lab.name}
"""
    try:
        run("unshare", "-m", "--propagation", "private", "bash", "-c", script, timeout=90)
    finally:
        lab.down()
    assert set("ro,nosuid,nodev".split(",")) <= set((tmp_path / "mounts").read_text().split()[3].split(","))
    assert (tmp_path / "file").read_text() == "mine\n"


def test_second_up_says_it_is_running(lab):
    done = lab.fairlead("lab", "up", "--name", lab.name, check=False)
    assert done.returncode == 1
    assert "is running" in done.stderr and "hint:" in done.stderr


def test_objects_survive_a_killed_supervisor():
    lab = Lab(new_name())
    try:
        killed_with_an_object(lab)
        lab.up("--nodes", "1")
        assert lab.get("cm/kept")["data"] == {"a": "b"}
    finally:
        lab.down()
    assert leftovers(lab) == []


def test_a_lab_comes_back_with_fewer_nodes():
    """A node that is no more takes its Node along, and its pods start on those that are left; Nodes of others stay."""
    lab = Lab(new_name("k"))
    try:
        lab.up()
        lab.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "theirs"}})
        lab.patch("/api/v1/nodes/node-1", {"spec": {"unschedulable": True}})
        lab.fairlead("delete", "pod", lab.get("pods", "-n", "kube-system")["items"][0]["metadata"]["name"], "-n", "kube-system")
        wait_until("the DNS is on the other", lambda: [p["spec"].get("nodeName") for p in lab.get("pods", "-n", "kube-system")["items"]] == ["node-2"])
        lab.patch("/api/v1/nodes/node-1", {"spec": {"unschedulable": None}})
        os.kill(lab.processes("supervise")[0], signal.SIGKILL)
        wait_until("its children are gone with it", lambda: not lab.processes("fairlead"))
        lab.fairlead("lab", "up", "--name", lab.name, "--nodes", "1", "--no-wait")
        wait_until("the DNS is on the one that is left", lambda: [n["spec"]["nodeName"] for n in lab.ready_pods("k8s-app=kube-dns", "kube-system")] == ["node-1"], 20)
        assert {n["metadata"]["name"] for n in lab.get("nodes")["items"]} == {"node-1", "theirs"}
    finally:
        lab.down()


@pytest.mark.parametrize("moment", range(int(os.environ.get("FAIRLEAD_LAB_KILLS", "20"))))
def test_killed_at_a_random_moment_everything_is_cleaned(moment):
    """kill -9 of the supervisor or of a node, during start or after: the next up or down cleans it all."""
    rng = random.Random(f"{os.getpid()}-{moment}")
    lab = Lab(new_name("k"))
    try:
        up = subprocess.Popen([FAIRLEAD, "lab", "up", "--name", lab.name],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            up.wait(rng.uniform(0.01, 1.0))
        except subprocess.TimeoutExpired:
            pass
        victims = lab.processes("supervise") if moment % 2 == 0 else lab.processes("labd node") or lab.processes("supervise")
        for pid in victims[:1]:
            subprocess.run(["kill", "-9", str(pid)], check=False)
        up.kill()
        up.wait()
        if moment % 3 == 0:
            for pid in lab.processes("supervise"):
                subprocess.run(["kill", "-9", str(pid)], check=False)
            wait_until("the lock is free", lambda: not lab.processes("supervise"))
            lab.up("--nodes", "1")
    finally:
        lab.kubeconfig = None
        lab.down()
    assert leftovers(lab) == []


def test_bad_input_is_told_with_object_and_field(lab):
    done = lab.fairlead("apply", "-f", "-", check=False, stdin="apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: 99999}]}\n")
    assert done.returncode == 1
    assert 'Service "x" is invalid' in done.stderr and 'spec.ports[0].port: Invalid value: 99999' in done.stderr
    done = lab.fairlead("apply", "-f", "-", check=False, stdin="apiVersion: v1\nkind: Pod\nmetadata: {name: x\n")
    assert done.returncode == 1 and "line" in done.stderr
    done = lab.fairlead("apply", "-f", "-", check=False, stdin="apiVersion: v1\nkind: Gadget\nmetadata: {name: x}\n")
    assert done.returncode == 1 and 'no matches for kind "Gadget"' in done.stderr
    done = lab.fairlead("lab", "statsu", check=False)
    assert done.returncode == 64 and "did you mean: fairlead lab status" in done.stderr


def test_unknown_image_waits_with_a_hint(lab):
    lab.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stranger"},
               "spec": {"containers": [{"name": "c", "image": "example.com/nobody/knows:1"}]}})

    def waiting():
        statuses = lab.get("pod/stranger").get("status", {}).get("containerStatuses") or []
        state = statuses and statuses[0]["state"].get("waiting")
        return state and state["reason"] in ("ErrImagePull", "ImagePullBackOff") and state
    state = wait_until("it waits for an image", waiting)
    assert "fairlead lab image" in state["message"]
    lab.delete("pod/stranger")


def test_rollout_and_scale(lab):
    lab.apply(echo("roll", replicas=2))
    lab.wait_ready("app=roll", 2)
    changed = echo("roll", replicas=3, args=["--name", "second"])
    lab.apply(changed)
    wait_until("three new pods are ready and the old ones gone", lambda: len(lab.ready_pods("app=roll")) == 3 and len(lab.pods("app=roll")) == 3 and all(
        "--name" in p["spec"]["containers"][0]["args"] for p in lab.pods("app=roll")), timeout=30)
    sets = [rs["spec"]["replicas"] for rs in lab.get("rs", "-l", "app=roll")["items"]]
    assert sorted(sets) == [0, 3]
    lab.delete("deploy/roll")
    wait_until("everything of it is collected", lambda: not lab.pods("app=roll") and not lab.get("rs", "-l", "app=roll")["items"], timeout=20)


def test_every_process_ends_cleanly_when_asked():
    """SIGTERM: exit status 0 (under ASan that also says: nothing leaked), and the supervisor starts it again."""
    lab = Lab(new_name())
    try:
        lab.up("--nodes", "1")
        log = f"{lab.state_dir}/logs/supervisor.log"
        for name, word in (("node-1-agent", "fairlead-agent"), ("controllers", "controllers"), ("node-1", "labd node"), ("apiserver", "apiserver")):
            pids = lab.processes(word)
            assert len(pids) == 1, (name, pids)
            os.kill(pids[0], signal.SIGTERM)
            line = wait_until(f"{name} has ended", lambda: [t for t in open(log) if f"process={name} " in t])
            assert "status=0 " in line[0], line
            wait_until(f"{name} is back", lambda: len(lab.processes(word)) == 1 and lab.processes(word) != pids)
    finally:
        lab.down()
