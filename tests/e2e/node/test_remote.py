"""attach, exec with a terminal, and what kubectl makes of them (run -i --rm, cp); kubectl where one is found that speaks WebSocket."""
import filecmp
import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import termios
import threading
import time

import pytest

from suite import FAIRLEAD, SLOW, wait_until

LOOP = "trap 'exit 0' TERM; while :; do sleep 0.05; done"


class Terminal:
    """A command on a pty of ours."""

    def __init__(self, lab, *argv, size=(33, 99)):
        self.master, slave = pty.openpty()
        self.resize(*size)
        self.process = subprocess.Popen([FAIRLEAD, *argv], stdin=slave, stdout=slave, stderr=slave, env=lab.client_env,
                                        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.seen = ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def wait_for(self, text, timeout=10):
        end = time.monotonic() + timeout * SLOW
        while text not in self.seen:
            if not select.select([self.master], [], [], max(0, end - time.monotonic()))[0]:
                pytest.fail(f"no {text!r} in {self.seen!r}")
            try:
                self.seen += os.read(self.master, 4096).decode(errors="replace")
            except OSError:
                pytest.fail(f"ended without {text!r}: {self.seen!r}")

    def close(self):
        try:
            return self.process.wait(10 * SLOW)
        finally:
            self.process.kill()
            self.process.wait()
            os.close(self.master)


def test_attach_joins_output_and_input(lab):
    lab.pod("reader", image="busybox", command=["sh", "-c", "while read x; do echo got $x; echo err $x >&2; done; echo end"],
            container={"stdin": True, "stdinOnce": True}, spec={"restartPolicy": "Never"})
    lab.wait_ready("reader")
    done = lab.fairlead("attach", "-i", "reader", stdin="one\ntwo\n", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "got one\ngot two\nend\n", "err one\nerr two\n")
    wait_until("its end was the program's", lambda: lab.status("reader").get("phase") == "Succeeded")
    assert "got two" in lab.logs("reader"), "the log has it too"


def test_without_stdin_once_the_program_goes_on(lab):
    lab.pod("stays", image="busybox", command=["sh", "-c", "while read x; do echo got $x; done; echo end"], container={"stdin": True})
    lab.wait_ready("stays")
    for word in ("one", "two"):
        client = subprocess.Popen([FAIRLEAD, "attach", "-i", "stays"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  env=lab.client_env, text=True)
        client.stdin.write(word + "\n")
        client.stdin.flush()
        assert client.stdout.readline() == f"got {word}\n"
        client.kill()
        client.wait()
    assert lab.container("stays")["restartCount"] == 0 and "end" not in lab.logs("stays")


def test_two_clients_see_the_same_and_a_slow_one_loses_nothing(lab):
    flood = "i=0; while [ $i -lt 60000 ]; do echo line $i of the output; i=$((i+1)); done"
    lab.pod("both", image="busybox", command=["sh", "-c", f"while read x; do echo $x; [ $x = go ] && break; done; {flood}"],
            container={"stdin": True}, spec={"restartPolicy": "Never"})
    lab.wait_ready("both")
    slow = subprocess.Popen([FAIRLEAD, "attach", "both"], stdout=subprocess.PIPE, env=lab.client_env, text=True)
    fast = subprocess.Popen([FAIRLEAD, "attach", "-i", "both"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=lab.client_env, text=True)

    def ping():
        fast.stdin.write("ping\n")
        fast.stdin.flush()
        return select.select([slow.stdout], [], [], 0.05)[0]
    wait_until("both are attached", ping)
    fast.stdin.write("go\n")
    fast.stdin.flush()
    want = "".join(f"line {i} of the output\n" for i in range(60000))
    outputs = ["", ""]

    def read(i, client):
        outputs[i] = client.stdout.read()
    threads = [threading.Thread(target=read, args=(i, client)) for i, client in enumerate((fast, slow))]
    threads[0].start()
    time.sleep(0.5)  # the slow one takes nothing for a while
    threads[1].start()
    for t in threads:
        t.join(60 * SLOW)
    assert [o.split("go\n", 1)[1] == want for o in outputs] == [True, True]
    assert (slow.wait(), fast.wait()) == (0, 0)


def test_exec_with_a_terminal(lab):
    lab.wait_ready(lab.pod("shell", image="busybox"))
    t = Terminal(lab, "exec", "-it", "shell", "--", "sh")
    t.type("stty size; echo is-$((1+1)); echo $TERM-$((2+1))\n")
    t.wait_for("33 99")
    t.wait_for("is-2")
    t.wait_for("xterm-3")
    t.resize(44, 111)
    wait = time.monotonic() + 10 * SLOW
    while "44 111" not in t.seen and time.monotonic() < wait:
        t.type("stty size\n")
        t.wait_for("stty size")
        time.sleep(0.05)
        t.seen += os.read(t.master, 4096).decode(errors="replace") if select.select([t.master], [], [], 0.2)[0] else ""
    assert "44 111" in t.seen
    t.type("exit 5\n")
    assert t.close() == 5


def test_attach_to_a_terminal(lab):
    lab.pod("term", image="busybox", command=["sh"], container={"stdin": True, "tty": True, "stdinOnce": True}, spec={"restartPolicy": "Never"})
    lab.wait_ready("term")
    t = Terminal(lab, "attach", "-it", "term")
    t.type("test -t 0 && test -t 1 && echo yes-$((40+2))\n")
    t.wait_for("yes-42")
    t.type("exit\n")
    assert t.close() == 0
    wait_until("it is over", lambda: lab.status("term").get("phase") == "Succeeded")


def test_attach_says_why_not(lab):
    done = lab.fairlead("attach", "nobody", check=False)
    assert done.returncode == 1 and 'pods "nobody" not found' in done.stderr
    lab.pod("gone", image="busybox", command=["true"], spec={"restartPolicy": "Never"})
    wait_until("it is over", lambda: lab.status("gone").get("phase") == "Succeeded")
    done = lab.fairlead("attach", "gone", check=False)
    assert done.returncode == 1 and "is not running" in done.stderr


def test_exec_keeps_the_flags_of_the_command(lab):
    lab.wait_ready(lab.pod("flags", image="busybox"))
    assert lab.fairlead("exec", "flags", "-c", "main", "--", "echo", "-n", "-c", "x") == "-c x"
    assert lab.fairlead("exec", "flags", "echo", "-n", "x") == "x"
    done = lab.fairlead("exec", "flags", "x", "--", "y", check=False)
    assert done.returncode == 64 and "name a pod and a command" in done.stderr


def test_kubectl_run_and_remove(lab, kubectl):
    done = kubectl("run", "-i", "--rm", "once", "--image=busybox", "--restart=Never", "--", "cat", input="hello in\n")
    assert done.returncode == 0 and "hello in\n" in done.stdout, done
    done = kubectl("run", "-i", "--rm", "twice", "--image=busybox", "--restart=Never", "--", "sh", "-c", "echo out; exit 3", input="")
    assert done.returncode == 3, done
    assert lab.fairlead("get", "pod", "once", check=False).returncode == 1


def test_kubectl_cp(lab, kubectl, tmp_path):
    lab.wait_ready(lab.pod("box", image="busybox"))
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "text").write_text("words\n")
    (source / "large").write_bytes(os.urandom(3_000_000))
    assert kubectl("cp", str(source), "box:/tmp/there").returncode == 0
    assert lab.sh("box", "cat /tmp/there/deep/text") == "words\n"
    done = kubectl("cp", "box:/tmp/there", str(tmp_path / "back"))
    assert done.returncode == 0, done
    assert filecmp.cmp(source / "large", tmp_path / "back" / "large", shallow=False)


class ExecSocket:
    """exec as a client has it that frames as it likes."""

    def __init__(self, lab, pod, *command):
        conn = lab.connect()
        conn.connect()
        self.socket = conn.sock
        query = "&".join(["stdin=true", "stdout=true", *(f"command={c}" for c in command)])
        self.socket.sendall((f"GET /api/v1/namespaces/default/pods/{pod}/exec?{query} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\nSec-WebSocket-Key: eHh4eHh4eHh4eHh4eHh4eA==\r\n\r\n").encode())
        self.file = self.socket.makefile("rb")
        assert b" 101 " in self.file.readline()
        while self.file.readline() != b"\r\n":
            pass

    def send(self, payload, opcode=2, final=True):
        length = struct.pack(">BH", 126 | 0x80, len(payload)) if 125 < len(payload) < 65536 else \
            bytes([0x80 | len(payload)]) if len(payload) < 126 else struct.pack(">BQ", 127 | 0x80, len(payload))
        self.socket.sendall(bytes([opcode | (0x80 if final else 0)]) + length + bytes(4) + payload)  # a mask of zeros changes nothing

    def output(self, n):
        """The next n bytes of channel 1."""
        found = b""
        while len(found) < n:
            first, length = self.file.read(2)
            length = struct.unpack(">H", self.file.read(2))[0] if length == 126 else struct.unpack(">Q", self.file.read(8))[0] if length == 127 else length
            payload = self.file.read(length)
            assert first == 0x82 and payload[0] in (1, 2), payload[:200]
            found += payload[1:]
        return found

    def close(self):
        self.file.close()
        self.socket.close()


def test_frames_of_any_length_are_read(lab):
    """Clients differ: some send what they have in one frame, some in fragments; what is longer than is kept ends the stream, unheard."""
    lab.pod("framed", image="busybox")
    lab.wait_ready("framed")
    s = ExecSocket(lab, "framed", "cat")
    s.send(b"\0" + b"a" * 300_000)
    assert s.output(300_000) == b"a" * 300_000
    s.send(b"\0frag", final=False)
    s.send(b"ment", opcode=0)
    assert s.output(8) == b"fragment"
    s.send(b"\0" + b"b" * 600_000, final=False)
    s.send(b"b" * 600_000, opcode=0)
    assert s.file.read() == b""
    s.close()


def test_pings_whose_answers_nobody_reads(lab):
    def rss_mib():
        found = lab.processes("fairlead-labd node")
        assert found
        return max(int(line.split()[1]) for pid in found for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS")) / 1024
    lab.pod("pinged", image="busybox")
    lab.wait_ready("pinged")
    before = rss_mib()
    s = ExecSocket(lab, "pinged", "sleep", "60")
    for _ in range(800):  # 100 MiB
        s.socket.sendall((b"\x89\xfd" + b"mask" + b"x" * 125) * 1000)
    assert rss_mib() - before < 40 * (8 if os.environ.get("FAIRLEAD_SANITIZED") else 1)
    s.close()


def test_a_program_that_is_not_there(lab):
    """As a real runtime has it: 127 for what is not found, 126 for what may not run, and its words on stderr."""
    lab.pod("bare", image="busybox")
    lab.wait_ready("bare")
    for program, code, words in (("no-such-program", 127, "executable file not found in $PATH"),
                                 ("/no/such/program", 127, "stat /no/such/program: no such file or directory"), ("/etc/passwd", 126, "permission denied")):
        done = lab.fairlead("exec", "bare", "--", program, "x", check=False)
        assert (done.returncode, done.stdout) == (code, ""), done
        assert done.stderr.strip() == f'OCI runtime exec failed: exec failed: unable to start container process: exec: "{program}": {words}'


def test_logs_and_exec_of_what_has_pods(lab):
    """TYPE/NAME stands for one of its pods, a ready one first; -l for all of them."""
    def made(name, ready):
        labels = {"app": "many", "ready": str(ready).lower()}
        probe = {"readinessProbe": {"exec": {"command": ["true" if ready else "false"]}, "periodSeconds": 1}}
        lab.pod(name, image="busybox", labels=labels, command=["sh", "-c", "for i in $(seq 20); do echo $HOSTNAME $i; done; exec sleep 1000"], container=probe)
    made("many-a", False)
    made("many-b", True)
    made("many-c", True)
    lab.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "many"}, "spec": {"selector": {"app": "many"}, "ports": [{"port": 80}]}},
              {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "many"}, "spec": {
                  "replicas": 0, "selector": {"matchLabels": {"app": "many"}, "matchExpressions": [{"key": "ready", "operator": "In", "values": ["true", "x"]}]},
                  "template": {"metadata": {"labels": {"app": "many", "ready": "true"}}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}}}},
              {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "nobody"}, "spec": {"selector": {"app": "nobody"}, "ports": [{"port": 80}]}},
              {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "manual"}, "spec": {"ports": [{"port": 80}]}})
    for name in ("many-b", "many-c"):
        lab.wait_ready(name)
    wait_until("all have said it", lambda: all("20" in lab.fairlead("logs", n, "--tail", "1") for n in ("many-a", "many-b", "many-c")))
    for word, n in (("svc/many", 3), ("services/many", 3), ("deploy/many", 2)):
        done = lab.fairlead("exec", word, "--", "hostname", check=False)
        assert (done.stdout.strip(), done.stderr.strip()) == ("many-b", f"Found {n} pods, using pod/many-b")
        assert lab.fairlead("logs", word, "--tail", "1") == "many-b 20\n"
    assert lab.fairlead("exec", "po/many-c", "--", "hostname").strip() == lab.fairlead("exec", "pods/many-c", "--", "hostname").strip() == "many-c"
    assert lab.fairlead("logs", "-l", "app=many").splitlines() == [f"many-{n} {i}" for n in "abc" for i in range(11, 21)], "the last ten of each"
    assert lab.fairlead("logs", "-l", "app=many,ready=true", "--tail", "1").splitlines() == ["many-b 20", "many-c 20"]
    follower = subprocess.Popen([FAIRLEAD, "logs", "-f", "-l", "app=many", "--tail", "2"], env=lab.client_env, stdout=subprocess.PIPE, text=True)
    assert sorted(follower.stdout.readline().strip() for _ in range(6)) == [f"many-{n} {i}" for n in "abc" for i in (19, 20)]
    follower.kill()
    follower.wait()
    for argv, code, words in ((["logs", "svc/nobody"], 1, "svc/nobody has no pods"), (["logs", "svc/manual"], 1, "svc/manual selects no pods"),
                              (["logs", "svc/absent"], 1, 'services "absent" not found'), (["exec", "thing/x", "--", "true"], 1, 'resource type "thing"'),
                              (["logs", "x", "-l", "a=b"], 64, "name a pod or a selector, not both"), (["logs", "-l", "app=nobody"], 0, "No resources found in default namespace.")):
        done = lab.fairlead(*argv, check=False)
        assert done.returncode == code and words in done.stderr, done


def test_a_readiness_gate_is_named(lab):
    lab.pod("gated", image="busybox", spec={"readinessGates": [{"conditionType": "example.com/one"}, {"conditionType": "example.com/two"}]})

    def ready():
        return {c["type"]: (c["status"], c.get("reason"), c.get("message")) for c in lab.status("gated").get("conditions", [])}
    wait_until("its containers are", lambda: ready().get("ContainersReady", [""])[0] == "True")
    absent = 'corresponding condition of pod readiness gate "example.com/{}" does not exist.'
    wait_until("both are named", lambda: ready()["Ready"] == ("False", "ReadinessGatesNotReady", f"{absent.format('one')}, {absent.format('two')}"))

    def gate(**status):
        conditions = [{"type": f"example.com/{k}", "status": v} for k, v in status.items()]
        lab.raw("/api/v1/namespaces/default/pods/gated/status", "PATCH", body=json.dumps({"status": {"conditions": conditions}}), body_type="application/strategic-merge-patch+json")
    gate(one="True", two="False")
    wait_until("one is left", lambda: ready()["Ready"] == ("False", "ReadinessGatesNotReady", 'the status of pod readiness gate "example.com/two" is not "True", but False'))
    gate(two="True")
    wait_until("it is ready", lambda: ready()["Ready"][0] == "True")
