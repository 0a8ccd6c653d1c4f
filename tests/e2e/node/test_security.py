"""A pod as an attacker: what of the machine, the lab and other pods it can read, change or kill (lab/README-node.md says what it can)."""
import errno
import os

import pytest

from suite import wait_until

def caps(lab, pod, which="CapBnd"):
    return int(lab.sh(pod, f"grep {which} /proc/self/status").split()[1], 16)


@pytest.fixture(scope="module")
def attacker(lab):
    lab.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "private"}, "stringData": {"k": "the-other-pods-secret"}})
    lab.pod("victim", image="busybox", container={"volumeMounts": [{"name": "s", "mountPath": "/s"}]},
            spec={"volumes": [{"name": "s", "secret": {"secretName": "private"}}]})
    lab.wait_ready("victim")
    node = lab.get("pod/victim")["spec"]["nodeName"]
    lab.pod("attacker", image="busybox", spec={"nodeName": node})
    lab.wait_ready("attacker")
    return "attacker"


def refused(lab, pod, script):
    done = lab.sh(pod, script, check=False)
    assert done.returncode != 0, f"{script}: {done.stdout}"
    return done.stderr


def test_keys_and_other_pods_files_are_not_there(lab, attacker):
    assert lab.sh(attacker, f"ls -A /var/lib/fairlead/labs {os.path.dirname(lab.state_dir)}").split(":")[-1].strip() == ""
    assert lab.sh(attacker, "grep -rl the-other-pods-secret /var/lib/fairlead /run /tmp /s 2>/dev/null; true") == ""
    refused(lab, attacker, f"cat {lab.state_dir}/kubeconfig")
    refused(lab, attacker, "umount /var/lib/fairlead/labs")
    refused(lab, attacker, "mkdir /tmp/m && mount -t tmpfs x /tmp/m")
    # Through a file handle below the overlay: needs CAP_DAC_READ_SEARCH.
    code = ("import ctypes,os,struct; l=ctypes.CDLL(None,use_errno=True); h=ctypes.create_string_buffer(struct.pack('II',8,1)+struct.pack('Q',2)); "
            "f=os.open('/',os.O_RDONLY); r=l.open_by_handle_at(f,h,os.O_RDONLY); print(ctypes.get_errno()); raise SystemExit(r>=0)")
    assert lab.fairlead("exec", attacker, "--", "python3", "-c", code).strip() == "1", "EPERM"


def test_the_machine_is_not_to_be_changed(lab, attacker):
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/vm/swappiness", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper"):
        refused(lab, attacker, f"echo x > {path}")
    assert lab.sh(attacker, "cat /proc/kcore /proc/keys 2>/dev/null | head -c 9 | wc -c").strip() == "0"
    refused(lab, attacker, "mknod /tmp/disk b 8 0")
    refused(lab, attacker, "hostname other")
    refused(lab, attacker, "ip link set lo mtu 1400")
    refused(lab, attacker, "unshare -n true")
    refused(lab, attacker, "date -s 2000-01-01")
    marker = f"/etc/fairlead-{lab.name}"
    lab.sh(attacker, f"echo x > {marker}")
    assert not os.path.exists(marker)


def test_nothing_outside_is_seen_or_killed(lab, attacker):
    pids = [int(p) for p in lab.sh(attacker, "ls /proc").split() if p.isdigit()]
    assert len(pids) < 10 and max(pids) < 10000
    lab.sh(attacker, "kill -9 -1", check=False)
    assert lab.container("victim")["restartCount"] == 0
    assert lab.processes("fairlead-labd node"), "the node lives"


def test_an_exec_process_does_not_lend_its_memory(lab, attacker):
    """While exec joins the container it is a copy of the node, keys and all; nobody inside may look at it."""
    spy = ("import os,time\nend=time.time()+3\nown=os.getpid()\nhits=[]\n"
           "while time.time()<end:\n"
           "  for p in os.listdir('/proc'):\n"
           "    if not p.isdigit() or int(p) in (1,own): continue\n"
           "    try:\n"
           "      exe=os.readlink(f'/proc/{p}/exe')\n"
           "      if 'labd' in exe or exe == '/': hits.append(exe)\n"
           "    except OSError: pass\n"
           "print(hits)\n")
    lab.sh(attacker, f"cat > /tmp/spy.py <<'E'\n{spy}E\n(python3 /tmp/spy.py > /tmp/hits) & sleep 0.1")
    for _ in range(40):
        lab.sh(attacker, "true")
    assert wait_until("the spy has ended", lambda: lab.sh(attacker, "cat /tmp/hits")).strip() == "[]"


def test_the_nodes_program_is_out_of_reach(lab, attacker):
    """A script whose interpreter is /proc/self/exe makes the node's program run inside, where a link leads to its file."""
    lab.sh(attacker, "printf '#!/proc/self/exe\\n' > /tmp/self; chmod +x /tmp/self")
    assert "fairlead-labd" in lab.fairlead("exec", attacker, "--", "/tmp/self", check=False).stderr
    for pid in lab.processes("fairlead-labd node"):
        program = f"/proc/{pid}/exe"
        assert os.statvfs(program).f_flag & os.ST_RDONLY
        for change in (lambda p: os.chmod(p, 0o755), lambda p: os.utime(p), lambda p: open(p, "r+b")):
            with pytest.raises(OSError) as caught:
                change(program)
            assert caught.value.errno in (errno.EROFS, errno.ETXTBSY)


def test_capabilities(lab):
    usual = sum(1 << c for c in (0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 29, 31))
    lab.pod("caps-usual", image="busybox")
    lab.pod("caps-none", image="busybox", container={"securityContext": {"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
                                                                         "allowPrivilegeEscalation": False}})
    lab.pod("caps-less", image="busybox", container={"securityContext": {"capabilities": {"drop": ["NET_RAW"], "add": ["CAP_SYS_PTRACE"]}}})
    lab.pod("caps-all", image="busybox", container={"securityContext": {"privileged": True}})
    lab.pod("caps-user", image="busybox", container={"securityContext": {"runAsUser": 1000}})
    for name in ("usual", "none", "less", "all", "user"):
        lab.wait_ready("caps-" + name)
    assert caps(lab, "caps-usual") == usual == caps(lab, "caps-usual", "CapEff")
    assert caps(lab, "caps-none") == 1 << 12
    assert lab.sh("caps-none", "grep NoNewPrivs /proc/self/status; grep NoNewPrivs /proc/1/status").split()[1::2] == ["1", "1"]
    assert caps(lab, "caps-less") == usual & ~(1 << 13) | 1 << 19
    assert caps(lab, "caps-user", "CapEff") == 0 and caps(lab, "caps-user") == usual
    lab.sh("caps-none", "ip link set lo mtu 1400")
    lab.sh("caps-all", "echo 1 > /proc/sys/net/ipv4/ip_forward && mkdir -p /tmp/m && mount -t tmpfs x /tmp/m")
    lab.pod("caps-odd", image="busybox", container={"securityContext": {"capabilities": {"add": ["FLY"]}}})
    assert wait_until("it is refused", lambda: lab.container("caps-odd").get("state", {}).get("waiting", {}).get("message")) == 'unknown capability "FLY"'


def test_who_is_not_root_may_open_its_output_by_its_name(lab):
    """As with other runtimes: programs that log to a file are told to log to /dev/stdout."""
    lab.pod("speaks", image="busybox", command=["sh", "-c", "echo out > /dev/stdout; echo err > /dev/stderr; exec sleep 1000"], container={"securityContext": {"runAsUser": 1000}})
    wait_until("it has spoken", lambda: lab.has_said("speaks", "err"))
    assert sorted(lab.logs("speaks").split()) == ["err", "out"]


def test_a_read_only_root(lab):
    lab.pod("fixed", image="busybox", container={"securityContext": {"readOnlyRootFilesystem": True}, "volumeMounts": [
        {"name": "v", "mountPath": "/writable"}]}, spec={"volumes": [{"name": "v", "emptyDir": {}}]})
    lab.wait_ready("fixed")
    assert "Read-only" in refused(lab, "fixed", "touch /etc/x")
    lab.sh("fixed", "touch /writable/x")


def test_read_only_mounts_stay_read_only(lab):
    lab.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ro"}, "data": {"a": "b"}})
    lab.pod("mounts", image="busybox", container={"volumeMounts": [{"name": "c", "mountPath": "/c"}]}, spec={
        "volumes": [{"name": "c", "configMap": {"name": "ro"}}]})
    lab.wait_ready("mounts")
    for script in ("echo x > /c/a", "mount -o remount,rw /c", "rm /c/a"):
        refused(lab, "mounts", script)
