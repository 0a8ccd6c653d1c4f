"""What people get wrong: each a clear error with object, field and what to do, nothing half-applied."""
import json
import os
import subprocess

import pytest

from lab_harness import Lab, new_name
from suite import FAIRLEAD, LABD, wait_until

GOOD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: good}\ndata: {a: b}\n"


def fails(lab, *argv, code=1, error, hint=None, **kw):
    done = lab.fairlead(*argv, check=False, **kw)
    lines = done.stderr.splitlines()
    assert done.returncode == code, done
    assert any(line == error or (error.endswith("…") and line.startswith(error[:-1])) for line in lines), done.stderr
    if hint:
        assert f"hint: {hint}" in lines, done.stderr
    return done


@pytest.fixture
def nolab():
    """A name that no lab has, and a proof that the command made none."""
    lab = Lab(new_name("b"))
    yield lab
    assert not os.path.exists(f"/run/netns/fl.{lab.name}") and not os.path.exists(f"/sys/class/net/fl-{lab.name}")
    assert not os.path.exists(f"/var/lib/fairlead/labs/{lab.name}")


@pytest.mark.parametrize("text,error", [
    ("a: [", "FILE: YAML line 2 column 1: did not find expected node content"),
    ("just words", "FILE: document 1 is not an object"),
    (GOOD + "---\nkind: Pod\nmetadata: {name: x}\n", "FILE: document 2 (Pod): apiVersion is missing or not text"),
    (GOOD + "---\napiVersion: v1\nmetadata: {name: x}\n", "FILE: document 2: kind is missing or not text"),
    (GOOD + "---\napiVersion: v1\nkind: Pod\nmetadata: {labels: {}}\n", "FILE: document 2 (Pod): metadata.name is missing or not text"),
    ("apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Pod}]\n", "FILE: document 1 (Pod): metadata.name is missing or not text"),
])
def test_a_file_that_cannot_be_read_starts_no_lab(nolab, tmp_path, text, error):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    fails(nolab, "lab", "up", "--name", nolab.name, "-f", str(path), hint="nothing was started; mend the file and try again",
          error=f"error: lab {nolab.name}: " + error.replace("FILE", str(path)))


def test_files_that_are_not_there(nolab, tmp_path):
    fails(nolab, "lab", "up", "--name", nolab.name, "-f", "/no/such.yaml", error=f"error: lab {nolab.name}: /no/such.yaml: No such file or directory")
    fails(nolab, "lab", "up", "--name", nolab.name, "-f", str(tmp_path),
          error=f"error: lab {nolab.name}: {tmp_path}: no .yaml, .yml or .json file in this directory")


@pytest.mark.parametrize("flags,error", [
    (["--name", "Not_A_Name"], 'error: --name: "Not_A_Name" is not a name of at most 40 of a-z, 0-9 and \'-\''),
    (["--name", "x" * 41], f'error: --name: "{"x" * 41}" is not a name of at most 40 of a-z, 0-9 and \'-\''),
    (["--nodes", "0"], "error: fairlead lab up: --nodes: 0 is not in 1..90"),
    (["--nodes", "many"], 'error: fairlead lab up: --nodes: "many" is not a number'),
    (["--image", "nginx"], "error: …"),
    (["--node-labels", "node-9:a=b"], 'error: --node-labels: "node-9:a=b" is not NODE:KEY=VALUE of node-1 to node-2'),
    (["--service-cidr", "10.96.0.0/33"], 'error: --service-cidr: "10.96.0.0/33" is not a network of 16 addresses or more'),
    (["--node-port-range", "9-3"], 'error: --node-port-range: "9-3" is not two ports such as 30000-32767'),
    (["extra"], 'error: fairlead lab up: unexpected argument "extra"'),
    (["--ephemral"], "error: fairlead lab up: unknown flag --ephemral (did you mean --ephemeral?)"),
    (["--timeout", "soon"], 'error: fairlead lab up: --timeout: "soon" is not a duration such as 500ms, 30s, 2m'),
])
def test_flags_that_make_no_sense(nolab, flags, error):
    fails(nolab, "lab", "up", *(["--name", nolab.name] if "--name" not in flags else []), *flags, code=64, error=error)


def test_without_root(nolab):
    # The program may stand where only root can go: reach it by an open descriptor.
    program = LABD
    fd = os.open(program, os.O_RDONLY)
    try:
        for verb, error, hint in (("up", "error: a lab needs root: it makes network namespaces", "hint: sudo fairlead lab up"),
                                  ("down", "error: removing a lab needs root", "hint: sudo fairlead lab down")):
            done = subprocess.run([f"/proc/self/fd/{fd}", verb, "--name", nolab.name], pass_fds=[fd], user=65534, group=65534, extra_groups=[],
                                  capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr.splitlines()) == (1, [error, hint])
    finally:
        os.close(fd)


def test_a_name_that_is_taken(lab):
    done = fails(lab, "lab", "up", "--name", lab.name, error=f"error: lab {lab.name}: the lab is running (pid …",
                 hint="fairlead lab down, or another --name")
    assert str(lab.processes("supervise")[0]) in done.stderr
    assert lab.get("nodes")["items"], "the one that runs goes on"


def test_objects_the_server_refuses_leave_nothing_half_applied(tmp_path):
    """A good object stands before the bad one: it must not be there either; the lab is."""
    lab = Lab()
    bad = tmp_path / "bad.yaml"
    bad.write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n"
                   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: first, namespace: shop}\n---\n" + GOOD +
                   "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 99999}]}\n")
    try:
        fails(lab, "lab", "up", "--nodes", "1", "--ephemeral", "--name", lab.name, "-f", str(bad), timeout=70,
              error=f'error: lab {lab.name}: Service/web: Service "web" is invalid: [spec.ports[0].port: Invalid value: 99999: must be between 1 and 65535, …',
              hint="nothing of the files was applied, the lab is up; mend them and: fairlead apply -f FILE")
        lab.kubeconfig = lab.fairlead("lab", "kubeconfig", "--name", lab.name, "--path").strip()
        assert "shop" not in [n["metadata"]["name"] for n in lab.get("namespaces")["items"]]
        assert "good" not in [c["metadata"]["name"] for c in lab.get("cm")["items"]]
        bad.write_text(bad.read_text().replace("99999", "80"))
        lab.fairlead("apply", "-f", str(bad))
        assert lab.get("svc/web")["spec"]["ports"][0]["port"] == 80
    finally:
        lab.down()


def test_apply_reads_everything_before_it_sends_anything(lab, tmp_path):
    one, two = tmp_path / "1.yaml", tmp_path / "2.yaml"
    one.write_text(GOOD.replace("good", "unsent"))
    two.write_text("apiVersion: v1\nkind: Pod\n")
    fails(lab, "apply", "-f", str(one), "-f", str(two), error=f"error: {two}: document 1 (Pod): metadata.name is missing or not text",
          hint="nothing was sent; mend the file and try again")
    assert lab.fairlead("get", "cm/unsent", check=False).returncode == 1


def test_kubeconfigs(lab, tmp_path):
    broken = tmp_path / "broken"
    cases = [("", None), ("a: [", "line"), ("apiVersion: v1\nkind: Config\n", None), ("- a\n", None)]
    for text, word in cases:
        broken.write_text(text)
        done = lab.fairlead("get", "pods", "--kubeconfig", str(broken), check=False)
        assert done.returncode == 1 and done.stderr.startswith("error: ") and str(broken) in done.stderr, done
        assert "hint: mend the file, or name another one with --kubeconfig or KUBECONFIG" in done.stderr
        assert word is None or word in done.stderr
    fails(lab, "get", "pods", "--kubeconfig", "/no/such", error="error: /no/such: No such file or directory",
          hint="fairlead lab up starts a cluster and says what to export")
    fails(lab, "get", "pods", "--context", "nowhere", error="error: …")
    env = {k: v for k, v in os.environ.items() if k not in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST")}
    done = subprocess.run([FAIRLEAD, "get", "pods"], capture_output=True, text=True,
                          env=dict(env, HOME=str(tmp_path)), check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"error: no kubeconfig: give --kubeconfig or set KUBECONFIG (looked for {tmp_path}/.kube/config)",
        "hint: fairlead lab up starts a cluster and says what to export"]


def test_a_server_that_does_not_answer(lab, tmp_path):
    config = tmp_path / "config"
    text = open(lab.kubeconfig).read()
    server = text.split("server:")[1].split()[0]
    config.write_text(text.replace(server, "https://127.0.0.1:1"))
    fails(lab, "get", "pods", "--kubeconfig", str(config), code=69, error="error: the server https://127.0.0.1:1 cannot be reached: …",
          hint="is the cluster up? fairlead lab status")


def test_an_image_nobody_mapped(lab):
    lab.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "odd"}, "spec": {"containers": [
        {"name": "c", "image": "example.com/odd:1"}, {"name": "d", "image": "a//b:"}]}})

    def waiting():
        statuses = lab.get("pod/odd").get("status", {}).get("containerStatuses") or []
        states = {s["name"]: s["state"].get("waiting", {}) for s in statuses}
        return len(states) == 2 and all(s.get("message") for s in states.values()) and states
    states = wait_until("both say why", waiting)
    assert states["c"]["reason"] in ("ErrImagePull", "ImagePullBackOff")
    assert states["c"]["message"] == ("the lab has no command for image \"example.com/odd:1\"; say which one stands for it: fairlead lab "
                                      "image 'example.com/odd:1=COMMAND'")
    assert states["d"] == {"reason": "InvalidImageName", "message": 'couldn\'t parse image name "a//b:": invalid reference format'}
    reasons = {e["reason"] for e in lab.get("events")["items"] if e["involvedObject"]["name"] == "odd"}
    assert {"Failed", "InspectFailed"} <= reasons
    lab.delete("pod/odd")


def test_yaml_and_json_bombs(lab, tmp_path):
    bomb = tmp_path / "bomb.yaml"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    bomb.write_text("\n".join(lines))
    done = lab.fairlead("apply", "-f", str(bomb), check=False)
    assert done.returncode == 1 and str(bomb) in done.stderr and len(done.stderr) < 500
    bomb.write_text("[" * 10000)
    done = lab.fairlead("apply", "-f", str(bomb), check=False)
    assert done.returncode == 1 and str(bomb) in done.stderr and len(done.stderr) < 500
    big = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "big"}, "data": {"a": "x" * 1_600_000}}
    done = lab.fairlead("apply", "-f", "-", stdin=json.dumps(big), check=False)
    assert done.returncode == 1 and "too large" in done.stderr.lower(), done.stderr[:300]
