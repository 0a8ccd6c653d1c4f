"""What kubectl 1.30 to 1.33 send, sent again byte for byte without kubectl: protobuf creates, aggregated discovery with ETag,
WatchList, informers, WebSocket exec. recorded/1.NN.json holds the requests; FAIRLEAD_RECORD=1 writes them anew (recorder.py)."""
import base64
import fcntl
import hashlib
import json
import os
import pathlib
import pty
import re
import socket
import struct
import subprocess
import termios
import threading

import pytest
from api_server import TOKEN, pod
from recorder import Recorder, frames
from kubectls import kubectls
from test_tunnel import Kubelet

RECORDED = pathlib.Path(__file__).parent / "recorded"
MINORS = (30, 31, 32, 33)

# Name, words of the command, environment, how it is run: "", "stdin" (bytes and an end), "tty" (a terminal that is resized).
COMMANDS = [
    ("discovery", "api-resources --cached=false", {}, ""),
    ("discovery again", "api-resources --cached=false", {}, ""),
    ("namespace", "create namespace rec", {}, ""),
    ("configmap", "create configmap cm -n rec --from-literal=a=b --from-literal=c=d", {}, ""),
    ("secret", "create secret generic sec -n rec --from-literal=p=q", {}, ""),
    ("docker secret", "create secret docker-registry reg -n rec --docker-username=u --docker-password=p --docker-server=s.example", {}, ""),
    ("serviceaccount", "create serviceaccount sa -n rec", {}, ""),
    ("token", "create token sa -n rec --duration=1h --audience=x", {}, ""),
    ("deployment", "create deployment web -n rec --image=nginx:1 --replicas=2 --port=80", {}, ""),
    ("clusterip", "create service clusterip cip -n rec --tcp=80:8080 --tcp=53:5353", {}, ""),
    ("headless", "create service clusterip none -n rec --clusterip=None --tcp=80", {}, ""),
    ("nodeport", "create service nodeport np -n rec --tcp=80:http --node-port=30123", {}, ""),
    ("loadbalancer", "create service loadbalancer lb -n rec --tcp=80:80", {}, ""),
    ("externalname", "create service externalname en -n rec --external-name=x.example", {}, ""),
    ("dry run", "create configmap dry -n rec --from-literal=a=b --dry-run=server", {}, ""),
    ("can-i", "auth can-i create pods -n rec --subresource=log", {}, ""),
    ("can-i url", "auth can-i get /metrics", {}, ""),
    ("whoami", "auth whoami", {}, ""),
    ("run", "run one -n rec --image=busybox --labels=a=b --command -- sleep 5", {}, ""),
    ("expose", "expose deployment web -n rec --port=90 --target-port=9000 --name=exposed", {}, ""),
    ("scale", "scale deployment web -n rec --replicas=3", {}, ""),
    ("wait", "wait deployment/web -n rec --for=jsonpath={.spec.replicas}=3 --timeout=20s", {}, ""),
    ("wait by watch list", "wait deployment/web -n rec --for=jsonpath={.spec.replicas}=3 --timeout=20s",
     {"KUBE_FEATURE_WatchListClient": "true"}, ""),
    ("rollout status by watch list", "rollout status deployment/web -n rec --timeout=2s", {"KUBE_FEATURE_WatchListClient": "true"}, ""),
    ("exec", "exec shell -n rec -i -c c -- cat -n", {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "true"}, "stdin"),
    ("exec tty", "exec shell -n rec -it -- sh", {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "true"}, "tty"),
    ("exec fails", "exec shell -n rec -- exit7", {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "true"}, ""),
]


def ws_frame(payload, opcode=2, mask=None):
    n = len(payload)
    size = bytes([n]) if n < 126 else b"\x7e" + struct.pack(">H", n)
    head = bytes([0x80 | opcode, size[0] | (0x80 if mask else 0)]) + size[1:]
    return head + (mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)) if mask else payload)


class Shell(Kubelet):
    """A node whose programs say what they are told: standard input comes back as output, a size as a line; the end of the input
    (v5: channel 255, byte 0) ends them. "exit7" ends at once with 7."""

    def __init__(self, server):
        super().__init__(server, self.exec)
        self.got = []

    def exec(self, head, c):
        text = head.decode()
        key = re.search(r"(?i)sec-websocket-key: (\S+)", text).group(1)
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
        c.sendall(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n"
                  "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n".encode())
        failed = {"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode", "message": "exit 7",
                  "details": {"causes": [{"reason": "ExitCode", "message": "7"}]}}
        rest, over = b"", b"exit7" in head
        if over and os.environ.get("FAIRLEAD_RECORD"):
            threading.Event().wait(0.2)  # kubectl drops a status that comes before it has made its streams
        while not over:
            data = c.recv(65536)
            if not data:
                return
            got, rest = frames(rest + data)
            for opcode, payload in got:
                if opcode != 2 or not payload:
                    continue
                self.got.append(payload)
                if payload[0] == 0 and len(payload) > 1:
                    c.sendall(ws_frame(b"\1" + payload[1:]))
                elif payload[0] == 4:
                    c.sendall(ws_frame(b"\1size " + payload[1:].strip() + b"\r\n"))
                over = over or payload == b"\xff\0" or payload[:1] == b"\0" and b"\x04" in payload
        c.sendall(ws_frame(b"\3" + json.dumps(failed if b"exit7" in head else {"metadata": {}, "status": "Success"}).encode()))
        c.sendall(ws_frame(struct.pack(">H", 1000), 8))
        try:
            while c.recv(65536):
                pass
        except OSError:
            pass


def prepare(server):
    """What commands need beside each other's results: a node with a shell and a pod on it (made when its namespace is there)."""
    shell = Shell(server)
    shell.start()
    server.post("/api/v1/nodes", {"metadata": {"name": "node"}})
    server.patch("/api/v1/nodes/node/status", {"status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                                                          "daemonEndpoints": {"kubeletEndpoint": {"Port": shell.port}}}})
    return shell


def make_pod(server):
    assert server.post("/api/v1/namespaces/rec/pods", pod("shell", nodeName="node")).status == 201
    assert server.patch("/api/v1/namespaces/rec/pods/shell/status", {"status": {"phase": "Running"}}).status == 200


# ---- recording ----

def run_in_terminal(argv, env):
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    p = subprocess.Popen(argv, env=env, stdin=other, stdout=other, stderr=other, start_new_session=True)
    os.close(other)
    out = b""
    while b"size" not in out:
        out += os.read(main, 4096)
    os.write(main, b"hi\x04")
    try:
        while data := os.read(main, 4096):
            out += data
    except OSError:
        pass
    os.close(main)
    return p.wait(30), out


def record(minor, binary, server, home):
    prepare(server)
    recorder = Recorder(server, TOKEN)
    config = home / "config"
    config.write_text(f'{{apiVersion: v1, kind: Config, clusters: [{{name: r, cluster: {{server: "http://127.0.0.1:{recorder.port}"}}}}], '
                      'contexts: [{name: r, context: {cluster: r}}], current-context: r}')
    done = []
    for name, words, extra, how in COMMANDS:
        env = {**os.environ, "KUBECONFIG": str(config), "HOME": str(home), **extra}
        argv = [binary, *words.split()]
        if how == "tty":
            code, out = run_in_terminal(argv, env)
        else:
            r = subprocess.run(argv, env=env, input=b"hello\n" if how == "stdin" else None, capture_output=True, timeout=60)
            code, out = r.returncode, r.stdout + r.stderr
        assert code == (7 if "exit7" in words else 1 if "rollout" in words else 0), (words, out)
        if name == "namespace":
            make_pod(server)
        done.append({"name": name, "command": words, "requests": recorder.take()})
    (RECORDED / f"1.{minor}.json").write_text(json.dumps(done, indent=1) + "\n")


if os.environ.get("FAIRLEAD_RECORD"):  # records anew what the kubectls found here send
    @pytest.mark.parametrize("minor,binary", [k for k in kubectls() if k[0] in MINORS])
    def test_record(minor, binary, make_server, tmp_path):
        record(minor, binary, make_server(), tmp_path)


# ---- sending again ----

class Wire:
    """One request as it was recorded, on a connection of its own."""

    def __init__(self, server, entry, etags, version):
        target = re.sub(r"resourceVersion=[1-9]\d*", f"resourceVersion={version}", entry["target"])
        body = base64.b64decode(entry.get("body", ""))
        lines = [f"{entry['method']} {target} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", f"Authorization: Bearer {TOKEN}"]
        for key, value in entry["headers"]:
            lines.append(f"{key}: {etags.get(entry['target'], value) if key.lower() == 'if-none-match' else value}")
        if "frames" in entry:
            lines += ["Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
        else:
            lines.append("Connection: close")
        if body or entry["method"] in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(body)}")
        self.sock = server.tls.wrap_socket(socket.create_connection(("127.0.0.1", server.port)), server_hostname="127.0.0.1")
        self.sock.settimeout(20)
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        self.rest = b""
        while b"\r\n\r\n" not in self.rest:
            piece = self.sock.recv(65536)
            assert piece, "the connection ended before the head"
            self.rest += piece
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        self.status = int(head.split(b" ")[1])
        self.headers = dict(l.split(": ", 1) for l in head.decode().split("\r\n")[1:])

    def more(self):
        piece = self.sock.recv(65536)
        assert piece, "the connection ended in the middle of a body"
        self.rest += piece

    def body(self):
        if self.status in (204, 304):
            return b""
        if "Content-Length" in self.headers:
            while len(self.rest) < int(self.headers["Content-Length"]):
                self.more()
            return self.rest
        return b"".join(self.chunks())

    def chunks(self):
        while True:
            while b"\r\n" not in self.rest:
                self.more()
            size, _, self.rest = self.rest.partition(b"\r\n")
            n = int(size, 16)
            while len(self.rest) < n + 2:
                self.more()
            chunk, self.rest = self.rest[:n], self.rest[n + 2:]
            if not n:
                return
            yield chunk

    def events(self):
        text = b""
        for chunk in self.chunks():
            text += chunk
            while b"\n" in text:
                line, _, text = text.partition(b"\n")
                yield json.loads(line)


class Replay:
    def __init__(self, server):
        self.server, self.etags, self.version, self.changes = server, {}, "0", 0

    def send(self, entry):
        w = Wire(self.server, entry, self.etags, self.version)
        assert w.status == entry["status"], (entry["target"], w.status, entry["status"])
        if "ETag" in w.headers:
            self.etags[entry["target"]] = w.headers["ETag"]
        return w

    def answer(self, entry):
        w = self.send(entry)
        body = w.body()
        w.sock.close()
        if w.status != 304 and body.startswith(b"{"):
            j = json.loads(body)
            if j.get("kind", "").endswith("List") and "metadata" in j:
                self.version = j["metadata"].get("resourceVersion", self.version)
            return j
        return body

    def watch(self, entry):
        """The events up to the mark that ends the initial ones, or the first that a change makes."""
        w = self.send(entry)
        events = []
        if "sendInitialEvents" not in entry["target"]:
            self.changes += 1
            self.server.patch("/apis/apps/v1/namespaces/rec/deployments/web", {"metadata": {"annotations": {"n": str(self.changes)}}})
        for e in w.events():
            events.append(e)
            if "sendInitialEvents" not in entry["target"] or e["type"] == "BOOKMARK":
                break
        w.sock.close()
        return events

    def exec(self, entry):
        w = self.send(entry)
        assert w.headers["Sec-WebSocket-Protocol"] == "v5.channel.k8s.io"
        for opcode, payload in entry["frames"]:
            if opcode != 8:
                w.sock.sendall(ws_frame(base64.b64decode(payload), opcode, b"mask"))
        data, out = w.rest, {}
        while True:
            while len(data) < 2 or len(data) < (n := (2 + (data[1] & 127) if data[1] & 127 < 126 else 4 + struct.unpack(">H", data[2:4])[0])):
                piece = w.sock.recv(65536)
                assert piece, f"no close frame; got {out}"
                data += piece
            payload, opcode, data = data[4 if data[1] & 127 == 126 else 2:n], data[0] & 15, data[n:]
            if opcode == 8:
                assert payload[:2] == struct.pack(">H", 1000)
                w.sock.close()
                return out
            if opcode == 2:
                out[payload[0]] = out.get(payload[0], b"") + payload[1:]


def check_created(name, entry, j, server):
    """What must have come of the bodies, whatever form they were sent in."""
    get = lambda path: server.get("/api/v1/namespaces/rec/" + path).json  # noqa: E731
    if name == "namespace":
        assert j["metadata"]["name"] == "rec" and j["status"]["phase"] == "Active"
    elif name == "configmap":
        assert get("configmaps/cm")["data"] == {"a": "b", "c": "d"}
    elif name == "secret":
        s = get("secrets/sec")
        assert (s["type"], base64.b64decode(s["data"]["p"])) == ("Opaque", b"q")
    elif name == "docker secret":
        s = get("secrets/reg")
        assert s["type"] == "kubernetes.io/dockerconfigjson" and b"s.example" in base64.b64decode(s["data"][".dockerconfigjson"])
    elif name == "serviceaccount":
        assert get("serviceaccounts/sa")["metadata"]["uid"]
    elif name == "token":
        assert j["kind"] == "TokenRequest" and j["status"]["token"].count(".") == 2 and j["spec"]["audiences"] == ["x"]
        assert j["spec"]["expirationSeconds"] == 3600
    elif name == "deployment":
        d = server.get("/apis/apps/v1/namespaces/rec/deployments/web").json
        c = d["spec"]["template"]["spec"]["containers"][0]
        assert (d["spec"]["replicas"], d["spec"]["selector"]["matchLabels"], c["image"]) == (2, {"app": "web"}, "nginx:1")
        assert c["ports"] == [{"containerPort": 80, "protocol": "TCP"}] and d["spec"]["strategy"]["type"] == "RollingUpdate"
        assert "creationTimestamp" not in d["spec"]["template"]["metadata"]
    elif name == "clusterip":
        assert [(p["name"], p["port"], p["targetPort"]) for p in get("services/cip")["spec"]["ports"]] == \
            [("80-8080", 80, 8080), ("53-5353", 53, 5353)]
    elif name == "headless":
        assert get("services/none")["spec"]["clusterIP"] == "None"
    elif name == "nodeport":
        p = get("services/np")["spec"]["ports"][0]
        assert (p["targetPort"], p["nodePort"]) == ("http", 30123)
    elif name == "loadbalancer":
        assert get("services/lb")["spec"]["type"] == "LoadBalancer" and get("services/lb")["spec"]["ports"][0]["nodePort"]
    elif name == "externalname":
        assert get("services/en")["spec"]["externalName"] == "x.example"
    elif name == "dry run":
        assert j["data"] == {"a": "b"} and server.get("/api/v1/namespaces/rec/configmaps/dry").status == 404
    elif name == "can-i":
        assert j["status"]["allowed"] and j["spec"]["resourceAttributes"] == {
            "namespace": "rec", "verb": "create", "resource": "pods", "subresource": "log"}
    elif name == "can-i url":
        assert j["status"]["allowed"] and j["spec"]["nonResourceAttributes"] == {"path": "/metrics", "verb": "get"}
    elif name == "whoami":
        assert j["kind"] == "SelfSubjectReview" and j["status"]["userInfo"]["username"] == "e2e-admin"
    elif name == "run":
        p = get("pods/one")
        assert p["metadata"]["labels"] == {"a": "b"} and p["spec"]["containers"][0]["command"] == ["sleep", "5"]
    elif name == "expose":
        assert get("services/exposed")["spec"]["selector"] == {"app": "web"}


def play(step, replay, server, shell):
    name, statuses, events = step["name"], [], []
    for entry in step["requests"]:
        if "frames" in entry:
            before = len(shell.got)
            out = replay.exec(entry)
            status = json.loads(out[3])
            told = shell.got[before:]
            if name == "exec":
                assert out[1] == b"hello\n" and told == [b"\0hello\n", b"\xff\0"] and status["status"] == "Success"
            elif name == "exec tty":
                assert b'size {"Width":100,"Height":30}' in out[1] and b"hi" in out[1] and status["status"] == "Success"
            else:
                assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]
            statuses.append(101)
        elif "watch=" in entry["target"]:
            events += replay.watch(entry)
        else:
            j = replay.answer(entry)
            statuses.append(entry["status"])
            if entry["method"] == "POST":
                check_created(name, entry, j, server)
    assert statuses or events, f"{name}: nothing was recorded"
    return statuses, events


@pytest.mark.parametrize("minor", MINORS)
def test_what_kubectl_sends(minor, make_server):
    server = make_server()
    shell, replay = prepare(server), Replay(server)
    for step in json.loads((RECORDED / f"1.{minor}.json").read_text()):
        statuses, events = play(step, replay, server, shell)
        name = step["name"]
        if name == "namespace":
            make_pod(server)
        elif name == "discovery again":
            assert 304 in statuses, "the ETag was not honoured"
        elif name == "wait by watch list" and minor >= 32:
            assert [e["type"] for e in events] == ["ADDED", "BOOKMARK"], events
        if minor >= 32 and name in ("configmap", "deployment", "nodeport", "can-i", "token", "whoami", "serviceaccount", "namespace"):
            post = next(e for e in step["requests"] if e["method"] == "POST")
            types = {k.lower(): v for k, v in post["headers"]}
            assert types["content-type"] == "application/vnd.kubernetes.protobuf" and \
                base64.b64decode(post["body"]).startswith(b"k8s\0"), f"{name}: not the protobuf that this test is for"
