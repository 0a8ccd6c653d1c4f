"""Real kubectl binaries against the server alone: what they print, command by command, compared with golden files.

The binaries: ../kubectls.py. The golden file of a minor version is golden/kubectl-1.NN.txt; FAIRLEAD_UPDATE_GOLDEN=1 rewrites it.
Ages, uids, versions, random names and allocated addresses are masked. There is no node: the test writes the status a node would
and answers for its logs. What needs programs that run is in ../lab/test_kubectl.py."""
import difflib
import json
import os
import pathlib
import re
import select
import subprocess
import time

import pytest

from kubectls import kubectls
from test_tunnel import Kubelet

GOLDEN = pathlib.Path(__file__).parent / "golden"
MANIFEST = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {tier: front}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx:1.25
        ports: [{containerPort: 80, name: http}]
        env: [{name: A, value: "1"}, {name: B, value: "2"}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: NodePort, clusterIP: 10.96.5.5, ports: [{port: 80, targetPort: http, nodePort: 30080}], selector: {app: web}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: conf, namespace: shop}
data: {color: blue, size: "3"}
---
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: shop, labels: {app: api}}
spec:
  nodeName: node-1
  containers: [{name: main, image: "api:2"}, {name: side, image: "side:1"}]
---
apiVersion: v1
kind: Node
metadata: {name: node-1, labels: {node-role.kubernetes.io/worker: ""}}
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: l, namespace: shop}
spec: {holderIdentity: me, leaseDurationSeconds: 15}
"""

# {f}: the manifest; {d}: a directory for files. A line beginning with "!" may fail (its exit code is printed too). One beginning
# with "~N" watches: once it has printed what is there, the config map conf is changed twice, and it is ended after N lines.
COMMANDS = """
get namespaces
api-resources
api-resources --api-group=apps -o wide
api-versions
!create -f {f} --dry-run=client -o name
apply -f {f}
apply -f {f}
get all -n shop
get deploy,svc,cm,po -n shop -o name
get deploy -n shop -o wide
get svc -n shop -o wide
get pods -n shop -o wide
get pods -A
get nodes
get nodes -o wide
get ns
get cm -n shop
get lease -n shop
get endpoints -A
get endpointslices -A
get pod api -n shop -o jsonpath={{.status.phase}}/{{.spec.nodeName}}
get svc web -n shop -o yaml
get deploy web -n shop -o json
get pods -n shop -l app=api
get pods -n shop -l app!=api
get pods -n shop --field-selector spec.nodeName=node-1
get pods -n shop --show-labels
get pods -n shop -L app
get pods -n shop --sort-by=.metadata.name
get pods -n shop --no-headers
get pods -n shop -o custom-columns=N:.metadata.name,I:.spec.containers[0].image
!get pods nope -n shop
!get nopes
describe deploy web -n shop
describe svc web -n shop
describe pod api -n shop
describe node node-1
describe ns shop
create ns other
create configmap c2 -n shop --from-literal=a=b
describe cm c2 -n shop
create secret generic s1 -n shop --from-literal=p=q
create secret tls t1 -n shop --cert={d}/server.crt --key={d}/server.key
create serviceaccount builder -n shop
create deployment made -n shop --image=busybox --replicas=2
create service clusterip plain -n shop --tcp=80:8080
get secrets,sa -n shop
run once -n shop --image=busybox --restart=Never -- sleep 5
get pod once -n shop -o jsonpath={{.spec.restartPolicy}}
expose deploy made -n shop --port=90 --target-port=9000 --name=made
label pod api -n shop color=red
!label pod api -n shop color=blue
label pod api -n shop color=blue --overwrite
label pod api -n shop color-
annotate pod api -n shop note=hello
scale deploy web -n shop --replicas=4
get deploy web -n shop -o jsonpath={{.spec.replicas}}
set image deploy/web -n shop web=nginx:1.26
set env deploy/web -n shop A=9 B-
get deploy web -n shop -o jsonpath={{.spec.template.spec.containers[0].env}}
!rollout status deploy/web -n shop --timeout=1s
rollout restart deploy/made -n shop
rollout pause deploy/made -n shop
rollout resume deploy/made -n shop
!rollout history deploy/web -n shop
patch deploy web -n shop -p {{"spec":{{"replicas":3}}}}
patch cm conf -n shop --type=merge -p {{"data":{{"color":null}}}}
patch cm conf -n shop --type=json -p [{{"op":"add","path":"/data/x","value":"y"}}]
!patch cm conf -n shop --type=json -p [{{"op":"remove","path":"/data/none"}}]
get cm conf -n shop -o jsonpath={{.data}}
~4 get cm conf -n shop -w
~4 get cm -n shop --field-selector metadata.name=conf -w --output-watch-events
~5 get cm conf -n shop -w -o jsonpath={{.data.tick}},
~2 get cm conf -n shop --watch-only -o name
edit cm conf -n shop
get cm conf -n shop -o jsonpath={{.data.edited}}
get pods,svc -n shop -l app=api,color!=red -o wide
get pods -n shop --field-selector status.phase=Running,spec.nodeName!=other
get rs,deploy -n shop --selector=tier=front
get pod/api svc/web -n shop -o name
get -f {f} -o name
get pods -n shop --chunk-size=1
get secret s1 -n shop -o jsonpath={{.data.p}}
get nodes node-1 -o jsonpath={{.status.conditions[?(@.type=="Ready")].status}}
get events -n shop --field-selector type=Warning
annotate pod api -n shop note-
!wait pod/api -n shop --for=condition=Ready --timeout=1s
!wait deploy/web -n shop --for=jsonpath={{.spec.replicas}}=3 --timeout=5s
!logs api -n shop -c main
!logs api -n shop -c none
logs api -n shop -c main --tail=2
logs -f api -n shop -c main
logs api -n shop -c side --previous --timestamps --since=1h --limit-bytes=9
logs api -n shop --all-containers
!exec api -n shop -c main -- ls
auth can-i create pods
auth can-i --list
!auth whoami
!create token builder -n shop --duration=1h -o jsonpath={{.kind}}
version
cluster-info
get --raw /healthz
get --raw /api/v1/namespaces/shop/configmaps/conf
cordon node-1
get nodes
uncordon node-1
taint node node-1 k=v:NoSchedule
get events -n shop
replace -f {d}/cm.yaml
get cm conf -n shop -o jsonpath={{.data}}
!create -f {d}/bad-field.yaml
!create -f {d}/bad-type.yaml
!create -f {d}/bad-service.yaml
!apply -f {d}/bad-field.yaml --validate=false
!diff -f {f}
delete cm conf -n shop
!delete cm conf -n shop
delete cm conf -n shop --ignore-not-found
delete pod once -n shop
delete pod api -n shop --force --grace-period=0
delete deploy made -n shop --cascade=orphan --wait=false
delete svc -n shop -l nope=1
delete svc web plain -n shop
create deployment fore -n shop --image=busybox
create deployment back -n shop --image=busybox
delete deploy back -n shop --cascade=background
delete deploy fore -n shop --cascade=foreground --wait=false
get deploy fore -n shop -o jsonpath={{.metadata.finalizers}}
create -f {d}/cm2.yaml
delete -f {d}/cm2.yaml --now
delete cm --all -n shop
delete secrets,sa -n shop -l nope=1
delete ns other --wait=false
get ns other -o jsonpath={{.status.phase}}
""".strip().splitlines()

FILES = {
    "cm.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf, namespace: shop}\ndata: {replaced: 'yes'}\n",
    "cm2.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: second, namespace: shop}\n",
    "bad-field.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad, namespace: shop}\ndta: {a: b}\n",
    "bad-type.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: bad, namespace: shop}\nspec: {containers: [{name: 7, image: x}]}\n",
    "bad-service.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: bad, namespace: shop}\n"
                        "spec: {type: NodePort, ports: [{port: 80, nodePort: 30080}, {port: 99999}]}\n",
}

MASKS = [
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"(\w{3}, \d\d \w{3} \d{4} [\d:]+ [+-]\d{4})", "TIME"),
    (r'(resourceVersion"?: ?)"\d+"', r'\1"RV"'),
    (r"kube-api-access-\w{5}", "kube-api-access-XXXXX"),
    (r"\"tick\":\"t\d+\"", "\"tick\":\"tick\""),
    (r"10\.96\.(?!0\.1\b|5\.5\b)\d+\.\d+", "CLUSTERIP"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r"(?m)^(kubernetes +IPv4 +)\d+ ", r"\1PORT "),
    (r"(?m)^(default +kubernetes +IPv4 +)\d+ ", r"\1PORT "),
    (r"\b\d+m?\d*s\b(?! *old)", "AGE"),
    (r"/tmp/\S+", "PATH"),
    (r"v1\.\d+\.\d+[-\w.+]*", "VERSION"),
    (r'Minor:"\d+"', 'Minor:"N"'),
    (r"GitCommit:.*", "…"),
    (r" +", " "),
    (r"(?m) +$", ""),
]


def sort_managers(text):
    """Who manages what stands by the second of its last change: two of one second stand by name."""
    name, at = '"managedFields":', 0
    while (at := text.find(name, at)) >= 0:
        at += len(name)
        managers, n = json.JSONDecoder().raw_decode(text[at:])
        managers.sort(key=lambda m: (m.get("manager", ""), m["operation"], m.get("subresource", "")))
        text = text[:at] + json.dumps(managers, separators=(",", ":")) + text[at + n:]
    return text


def mask(text):
    text = sort_managers(text)
    for pattern, to in MASKS:
        text = re.sub(pattern, to, text)
    return "\n".join(l for l in text.splitlines() if not re.match(r"[EIW]\d{4} ", l))


def logs_of(head):
    """What the stand-in for the node has written for the container asked for; followed, it comes in two pieces."""
    path = head.decode().split(" ")[1]
    words = "".join(sorted(re.findall(r"(?:follow|previous|timestamps|tailLines|limitBytes)=\w+", path)))
    return [f"{path.split('?')[0]}\n".encode(), f"{words or 'all'}\n".encode()]


def play_logs(head, c):
    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
    for line in logs_of(head):
        c.sendall(f"{len(line):x}\r\n".encode() + line + b"\r\n")
    c.sendall(b"0\r\n\r\n")


def play_node(server):
    """What a node would report of its pod and of itself; its logs."""
    kubelet = Kubelet(server, play_logs)
    kubelet.start()
    now = "2026-01-01T00:00:00Z"
    ready = {"ready": True, "restartCount": 0, "image": "x", "imageID": "", "state": {"running": {"startedAt": now}}}
    server.patch("/api/v1/namespaces/shop/pods/api/status", {"status": {
        "phase": "Running", "podIP": "10.1.0.2", "podIPs": [{"ip": "10.1.0.2"}], "hostIP": "192.168.1.1",
        "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": now}],
        "containerStatuses": [{**ready, "name": "main"},
                              {"name": "side", "ready": False, "restartCount": 3, "image": "x", "imageID": "",
                               "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}})
    server.patch("/api/v1/nodes/node-1/status", {"status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port}},
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now, "lastHeartbeatTime": now}],
        "nodeInfo": {"kubeletVersion": "v1.33.0", "osImage": "Lab", "kernelVersion": "6.1", "containerRuntimeVersion": "lab://1"}}})
    server.patch("/apis/apps/v1/namespaces/shop/deployments/web/status", {"status": {
        "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "observedGeneration": 1}})


def watch_lines(binary, words, env, n, server, ticks):
    """The first n lines of a command that watches. It is changed under its eyes, until it has seen enough."""
    p = subprocess.Popen([binary, *words], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    got = b""
    separator = b"," if "jsonpath" in " ".join(words) else b"\n"
    os.set_blocking(p.stdout.fileno(), False)
    deadline = time.monotonic() + 20
    while got.count(separator) < n and time.monotonic() < deadline:
        if select.select([p.stdout], [], [], 0.3)[0]:
            got += os.read(p.stdout.fileno(), 65536)
        elif got or "--watch-only" in words:  # it has said all it knows
            ticks[0] += 1
            server.patch("/api/v1/namespaces/shop/configmaps/conf", {"data": {"tick": f"t{ticks[0]}"}})
    p.terminate()
    p.communicate()
    return re.sub(r"t\d+", "tick", separator.join(got.split(separator)[:n]).decode()) + "\n"


def transcript(binary, server, home):
    manifest = server.dir / "manifest.yaml"
    manifest.write_text(MANIFEST)
    for name, text in FILES.items():
        (server.dir / name).write_text(text)
    editor = server.dir / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/^data:/data:\\n  edited: \"yes\"/' \"$1\"\n")
    editor.chmod(0o755)
    env = {**os.environ, "KUBECONFIG": str(server.kubeconfig()), "HOME": str(home), "TZ": "UTC", "KUBECTL_EXTERNAL_DIFF": "true",
           "KUBE_EDITOR": str(editor)}
    out, applied, ticks = [], 0, [0]
    for line in COMMANDS:
        if line.startswith("~"):
            n, _, line = line[1:].partition(" ")
            words = [w.format(f=manifest, d=server.dir) for w in line.split()]
            shown = line.replace("{{", "{").replace("}}", "}")
            out.append(f"$ kubectl {shown}\n" + mask(watch_lines(binary, words, env, int(n), server, ticks)))
            continue
        may_fail = line.startswith("!")
        words = [w.format(f=manifest, d=server.dir) for w in line.lstrip("!").split()]
        r = subprocess.run([binary, *words], env=env, capture_output=True, text=True, timeout=60)
        text = mask(r.stdout + r.stderr)
        if "--all-containers" in line:  # kubectl asks in the order of a Go map
            text = "\n".join(sorted(text.splitlines()))
        shown = line.lstrip("!").replace("{{", "{").replace("}}", "}")
        out.append(f"$ kubectl {shown}\n{text}" + (f"\n[exit {r.returncode}]" if r.returncode else ""))
        assert may_fail or r.returncode == 0, f"kubectl {' '.join(words)}\n{r.stdout}{r.stderr}"
        applied += line == "apply -f {f}"
        if applied == 1 and line == "apply -f {f}":
            play_node(server)
    return "\n".join(out) + "\n"


@pytest.mark.parametrize("minor,binary", kubectls() or [(0, "")], ids=lambda v: f"1.{v}" if isinstance(v, int) else "")
def test_matrix(minor, binary, make_server, tmp_path):
    if not binary:
        pytest.skip("no kubectl found: set FAIRLEAD_KUBECTLS")
    assert len(COMMANDS) >= 60
    got = transcript(binary, make_server(), tmp_path)
    golden = GOLDEN / f"kubectl-1.{minor}.txt"
    if os.environ.get("FAIRLEAD_UPDATE_GOLDEN"):
        golden.write_text(got)
    if not golden.exists():
        pytest.skip(f"no golden file for kubectl 1.{minor}: every command ran; FAIRLEAD_UPDATE_GOLDEN=1 writes it")
    want = golden.read_text()
    if got != want:
        pytest.fail("\n".join(difflib.unified_diff(want.splitlines(), got.splitlines(), "golden", "now", lineterm="")), pytrace=False)
