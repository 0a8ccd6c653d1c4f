"""The command line's own promises: help, nearest match, check, completion. Needs no lab but where it completes objects."""
import json
import os
import shutil
import subprocess
import time

import pytest

from suite import BIN, FAIRLEAD, SLOW

COMMANDS = ["lab up", "lab down", "lab status", "lab exec", "lab kubeconfig", "lab image", "lab connect", "get", "apply", "delete", "exec", "attach", "logs", "explain", "describe", "analyze", "convert-ingress", "migrate", "inject", "proxy-status", "proxy-config", "edges", "graph", "top", "tap", "trace", "create-remote-secret", "install", "upgrade", "uninstall", "check", "bug-report", "version",
            "completion"]


def fairlead(*argv, **kw):
    return subprocess.run([FAIRLEAD, *argv], capture_output=True, text=True, check=False, **kw)


def test_the_list_above_is_whole():
    said = fairlead("--help").stdout.split("Commands:\n")[1].split("\n\n")[0]
    assert [line.split()[0] for line in said.splitlines()] == list(dict.fromkeys(c.split()[0] for c in COMMANDS))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(command):
    """A sentence, usage, examples, flags, exit codes; -h is the same."""
    done = fairlead(*command.split(), "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == fairlead(*command.split(), "-h").stdout
    sections = [p.split("\n")[0] for p in done.stdout.strip().split("\n\n")]
    assert sections[0].startswith(f"fairlead {command}: ")
    assert sections[1:4] == ["Usage:", "Examples:", "Flags:"] and sections[4].startswith("Exit codes: 0 ok, 1 failed")
    examples = done.stdout.split("Examples:\n")[1].split("\n\n")[0].splitlines()
    assert len(examples) >= 2 and all(f"fairlead {command}" in line for line in examples), examples
    for line in done.stdout.split("Flags:\n")[1].split("\n\n")[0].splitlines():
        assert "--" in line and len(line.split("  ")) >= 2 and line.strip()[-1] != "-", line


@pytest.mark.parametrize("argv,error,hint", [
    (["gte"], 'error: unknown command "gte"', "did you mean: fairlead get"),
    (["frobnicate"], 'error: unknown command "frobnicate"', "fairlead --help"),
    (["--nodes"], 'error: unknown flag "--nodes"', "fairlead --help"),
    (["lab", "dwon"], 'error: fairlead lab: unknown verb "dwon"', "did you mean: fairlead lab down"),
    (["lab"], "error: fairlead lab: a verb is missing", "fairlead lab up, down, status, exec, kubeconfig, image or connect"),
    (["get", "pods", "--namespce", "x"], "error: fairlead get: unknown flag --namespce (did you mean --namespace?)", "fairlead get --help"),
    (["get", "pods", "-Z"], "error: fairlead get: unknown flag -Z", "fairlead get --help"),
    (["check", "--only", "kernle"], 'error: --only: "kernle" is no category and no id of a check', "did you mean: --only kernel"),
    (["explain", "GET"], "error: give a method and a URL", "fairlead explain GET http://shop.example/cart"),
    (["explain", "GET", "http:///x"], 'error: "http:///x" has no host', "fairlead explain GET http://shop.example/cart"),
    (["explain", "GET", "a.example", "-H", "x"], 'error: -H: "x" is no header', "give -H 'Name: value'"),
    (["proxy-config"], "error: fairlead proxy-config: say what to show", "listeners, routes, clusters, endpoints, secrets, bootstrap, log"),
    (["proxy-config", "filters", "x"], 'error: fairlead proxy-config: "filters" is not known', "listeners, routes, clusters, endpoints, secrets, bootstrap, log"),
    (["proxy-config", "routes"], "error: name a proxy", "fairlead proxy-config routes POD.NAMESPACE"),
    (["proxy-status", "a", "b"], "error: name one proxy, or none", "fairlead proxy-status POD.NAMESPACE"),
    (["edges", "a", "b"], "error: fairlead edges: name one workload, or none", None),
    (["graph", "-o", "svg"], 'error: -o: "svg" is not known to fairlead graph', "text, json, dot"),
    (["tap"], "error: name what to watch", "fairlead tap deploy/web"),
    (["trace", "xyz"], "error: give one trace's id: 16 or 32 hexadecimal digits", "fairlead trace lists them"),
    (["check", "now"], 'error: fairlead check: unexpected argument "now"', "fairlead check --help"),
    (["check", "-o", "yaml"], 'error: --output: "yaml" is neither table nor json', "fairlead check --help"),
    (["apply"], "error: --filename is required", "fairlead apply -f FILE"),
    (["delete"], "error: name what to delete", "fairlead delete TYPE/NAME"),
    (["delete", "pod/a", "--now", "--grace-period", "3"], "error: --now and --grace-period cannot be given together", "--now is --grace-period 1"),
    (["delete", "pod/a", "--force", "--grace-period", "3"], "error: --force and a grace period greater than 0 cannot be given together",
     "--force is --grace-period 0"),
    (["logs"], "error: name one pod", "fairlead logs POD"),
    (["attach"], "error: name a pod", "fairlead attach POD"),
    (["exec", "web"], "error: name a pod and a command", "fairlead exec POD -- COMMAND"),
    (["completion", "tcsh"], "error: fairlead completion: name one of bash, zsh, fish", "fairlead completion bash"),
])
def test_usage_errors_exit_64_with_two_lines(argv, error, hint):
    done = fairlead(*argv)
    assert (done.returncode, done.stdout, done.stderr.splitlines()) == (64, "", [error] + ([f"hint: {hint}"] if hint else []))


def test_check_passes_here_and_is_json():
    done = fairlead("check", "-o", "json")
    said = json.loads(done.stdout)
    assert done.returncode == 0 and said["kind"] == "CheckResult" and said["success"] is True, said
    anchors = [line[3:].strip().lower() for line in open(os.path.join(os.path.dirname(__file__), "../../../docs/check.md")) if line.startswith("## ")]
    assert [c["docs"] for c in said["checks"]] == [f"docs/check.md#{a}" for a in anchors], "a heading per id, in the same order"
    assert fairlead("check").stdout.strip().endswith("fit") or "with warnings" in fairlead("check").stdout


def test_check_only_and_skip():
    def ids(*argv):
        return [c["id"] for c in json.loads(fairlead("check", "-o", "json", *argv).stdout)["checks"]]
    assert ids("--only", "host") == ["FL-HOST-001", "FL-HOST-002", "FL-HOST-003", "FL-HOST-004"]
    assert ids("--only", "host", "--skip", "FL-HOST-002") == ["FL-HOST-001", "FL-HOST-003", "FL-HOST-004"]
    assert ids("--only", "FL-KERN-002", "--only", "lab") == ["FL-KERN-002", "FL-LAB-001"]


@pytest.mark.parametrize("capability,failing", [("sys_admin", "FL-KERN-001"), ("net_admin", "FL-KERN-002")])
def test_check_names_what_is_missing(capability, failing):
    """A machine (here: a container) that does not let us: which feature, what to do, where it is told; exit code 2."""
    if not shutil.which("setpriv"):
        pytest.skip("no setpriv(1)")
    done = subprocess.run(["setpriv", f"--bounding-set=-{capability}", f"--inh-caps=-{capability}", FAIRLEAD, "check", "-o", "json"],
                          capture_output=True, text=True, check=False)
    said = json.loads(done.stdout)
    bad = {c["id"]: c for c in said["checks"] if c["result"] == "error"}
    assert done.returncode == 2 and said["success"] is False and failing in bad
    assert "Operation not permitted" in bad[failing]["error"] and bad[failing]["hint"]
    assert bad[failing]["docs"] == f"docs/check.md#{failing.lower()}"


def test_check_mounts_an_overlay(tmp_path):
    """By trying: a kernel of modules names the file system only after the first mount; and nothing stays."""
    (tmp_path / "filesystems").write_text("nodev\ttmpfs\n")
    # In mounts of its own: labs beside make and remove theirs.
    done = subprocess.run(["unshare", "-m", "sh", "-c", f"mount --bind {tmp_path}/filesystems /proc/filesystems && cat /proc/self/mounts >{tmp_path}/before && {FAIRLEAD} check --only FL-KERN-003 && "
                           f"cat /proc/self/mounts >{tmp_path}/after"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.startswith("ok    FL-KERN-003  overlay file system"), done.stdout
    assert (tmp_path / "after").read_text() == (tmp_path / "before").read_text() != ""
    done = subprocess.run(["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin", FAIRLEAD, "check", "--only", "FL-KERN-003"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[0].startswith("FAIL  FL-KERN-003  overlay file system")
    assert lines[1:4] == ["unshare: Operation not permitted", "hint: modprobe overlay, or enable CONFIG_OVERLAY_FS", "docs: docs/check.md#fl-kern-003"]
    assert lines[-1] == "not fit: see above"


def test_check_without_root():
    fd = os.open(FAIRLEAD, os.O_RDONLY)
    done = subprocess.run([f"/proc/self/fd/{fd}", "check", "--only", "FL-HOST-001"], pass_fds=[fd], user=65534, group=65534, extra_groups=[],
                          capture_output=True, text=True, check=False)
    os.close(fd)
    assert done.returncode == 2 and "running as uid 65534" in done.stdout and "hint: sudo fairlead check" in done.stdout


def complete(*words, env=None):
    return [line.split("\t")[0] for line in fairlead("__complete", *words, env=env).stdout.splitlines()]


def test_completion_comes_from_the_tables():
    assert complete("") == list(dict.fromkeys(c.split()[0] for c in COMMANDS))
    assert complete("lab", "") == ["up", "down", "status", "exec", "kubeconfig", "image", "connect"]
    for command in COMMANDS:
        flags = [line.split("--")[1].split()[0] for line in fairlead(*command.split(), "--help").stdout.split("Flags:\n")[1].split("\n\n")[0].splitlines()]
        assert complete(*command.split(), "--") == ["--" + f for f in flags], command
    assert complete("completion", "") == ["bash", "zsh", "fish"]
    assert complete("check", "--only", "") == ["host", "kernel", "lab"]
    assert complete("get", "-o", "")[:2] == ["table", "wide"]
    assert complete("exec", "web", "--", "l") == []
    assert complete("nonsense", "x") == []


def test_delete_waits_and_has_grace(lab):
    deaf = {"containers": [{"name": "c", "image": "busybox", "command": ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]}],
            "terminationGracePeriodSeconds": 60}

    def pod(name, **meta):
        lab.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}, **meta}, "spec": deaf})
        lab.wait_ready("app=" + name, 1)
        return "pod/" + name

    def delete(*argv):
        before = time.monotonic()
        done = lab.fairlead("delete", *argv, check=False)
        return done, time.monotonic() - before

    def there(name):
        return lab.fairlead("get", name, check=False).returncode == 0

    done, took = delete(pod("quick"), "--grace-period", "2")
    assert (done.returncode, done.stdout) == (0, "pod/quick deleted\n") and took > 1.5 and not there("pod/quick"), "it has waited"
    done, took = delete(pod("late"), "--wait=false")
    assert done.returncode == 0 and took < 1.5 * SLOW and there("pod/late")
    done, _ = delete("pod/late", "--timeout", "1s")
    assert done.returncode == 124 and "error: pods/late is still there after 1 s" in done.stderr
    done, took = delete("pod/late", "--now")
    assert done.returncode == 0 and took < 10 * SLOW and not there("pod/late")
    done, _ = delete(pod("stuck"), "--force", "--wait=false")
    assert done.stdout == "pod/stuck force deleted\n" and done.stderr.startswith("warning: ") and not there("pod/stuck")
    assert delete("pod/stuck")[0].returncode == 1
    done, _ = delete("pod/stuck", "cm/none", "--ignore-not-found")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    manifest = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": ["example.com/hold"]}})
    lab.apply(manifest)
    done = lab.fairlead("delete", "-f", "-", "--timeout=1s", stdin=manifest, check=False)
    assert done.returncode == 124 and "hint: something holds it: look at its finalizers" in done.stderr
    lab.apply(manifest.replace('"example.com/hold"', ""))
    lab.fairlead("delete", "-f", "-", "--ignore-not-found", stdin=manifest)


def test_completion_of_objects(lab):
    lab.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "tab-one"}})
    env = lab.client_env
    assert {"pods", "services", "deployments", "configmaps"} <= set(complete("get", "", env=env))
    assert "cm/tab-one" in complete("get", "cm/ta", env=env)
    assert "tab-one" in complete("delete", "configmap", "", env=env)
    assert {"default", "kube-system"} <= set(complete("get", "pods", "-n", "", env=env))
    assert any(name.startswith("cluster-dns-") for name in complete("logs", "-n", "kube-system", "", env=env))
    assert lab.name in complete("lab", "down", "--name", "", env=env)
    assert complete("get", "cm", "", env=dict(env, KUBECONFIG="/no/such")) == [], "nobody to ask is no error"


def test_completion_in_a_shell(lab):
    """bash really loads and runs the script."""
    script = ("PATH=%s:$PATH; source <(fairlead completion bash); COMP_WORDS=(fairlead lab do); COMP_CWORD=2; _fairlead; echo ${COMPREPLY[@]};"
              "COMP_WORDS=(fairlead get --name); COMP_CWORD=2; _fairlead; echo ${COMPREPLY[@]}") % BIN
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=lab.client_env, check=False)
    assert done.stdout.split("\n")[:2] == ["down", "--namespace"], done
    for shell, check in (("zsh", ["-n"]), ("fish", ["-n"])):
        if shutil.which(shell):
            text = fairlead("completion", shell).stdout
            assert subprocess.run([shell, *check], input=text, text=True, capture_output=True, check=False).returncode == 0
