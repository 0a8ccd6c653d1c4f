"""AuthorizationPolicies: who may call a pod, and for what, by its sidecar."""
import subprocess
import threading

import lab_harness
import pytest
import sidecar
from suite import ROOT, wait_until

SYSTEM = "fairlead-system"
REFUSED = (403, "RBAC: access denied")


def policy(name, namespace="default", app="bob", **spec):
    if app:
        spec["selector"] = {"matchLabels": {"app": app}}
    return {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def source(**what):
    return {"from": [{"source": what}]}


def operation(**what):
    return {"to": [{"operation": what}]}


def account(name, namespace="default"):
    return f"cluster.local/ns/{namespace}/sa/{name}"


@pytest.fixture(scope="module")
def apps(mesh):
    """alice and eve call bob, each with an account of its own; carol calls from another namespace; outside is not in the mesh."""
    lab = mesh.lab
    for kind in ("authorizationpolicies", "peerauthentications"):
        lab.fairlead("apply", "-f", ROOT / f"deploy/crds/security.{kind}.yaml")
    for name in ("alice", "bob", "eve"):
        lab.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}})
        mesh.run(name, probe=False, serviceAccountName=name)
    mesh.run("bytes", probe=False, port="tcp-x")
    lab.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "far"}}, sidecar.trust(mesh.root, "far"))
    carol = sidecar.beside(lab_harness.echo("carol", args=("--name", "carol")))
    carol["metadata"]["namespace"] = "far"
    lab.apply(carol)
    lab.apply(lab_harness.echo("outside", args=("--name", "outside")))
    lab.wait_ready("app=outside", 1)
    wait_until("all are served", lambda: ask(mesh, "alice")[0] == ask(mesh, "eve", "http://bytes/")[0] == 200)
    return mesh


@pytest.fixture
def put(apps):
    """Policies that end with the test."""
    def apply(*objects):
        apps.lab.apply(*objects)
    yield apply
    for namespace in ("default", SYSTEM):
        for p in apps.lab.get("authorizationpolicies", "-n", namespace)["items"]:
            apps.lab.fairlead("delete", f"authorizationpolicy/{p['metadata']['name']}", "-n", namespace)
    wait_until("everybody may again", lambda: ask(apps, "eve")[0] == ask(apps, "eve", "http://bytes/")[0] == 200)


def ask(apps, who, url="http://bob/", *args):
    """Status (0: the connection was closed), and the words of a refusal."""
    out = apps.lab.fairlead("exec", apps.pod(who), "-c", "echo", "--", "curl", "-s", "-m", "10", "-w", "\n%{http_code}", *args, url, check=False).stdout
    body, _, status = out.rpartition("\n")
    return int(status or 0), body if status == "403" else ""


def far(apps, url="http://bob.default/"):
    pods = [p for p in apps.lab.get("pods", "-n", "far")["items"] if p["metadata"]["labels"].get("app") == "carol"]
    return int(apps.lab.fairlead("exec", "-n", "far", pods[0]["metadata"]["name"], "-c", "echo", "--", "curl", "-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", url, check=False).stdout or 0)


def refused(apps, who, url="http://bob/", *args):
    wait_until(f"{who} is refused", lambda: ask(apps, who, url, *args) == REFUSED)


def allowed(apps, who, url="http://bob/", *args):
    assert ask(apps, who, url, *args)[0] == 200, (who, url, args)


def test_deny_by_principal(apps, put):
    put(policy("no-eve", action="DENY", rules=[source(principals=[account("eve")])]))
    refused(apps, "eve")
    allowed(apps, "alice")
    allowed(apps, "eve", "http://alice/")  # bob alone refuses


def test_allow_by_namespace(apps, put):
    wait_until("carol is served", lambda: far(apps) == 200)
    put(policy("near", rules=[source(namespaces=["default"])]))
    wait_until("who is far is refused", lambda: far(apps) == 403)
    allowed(apps, "alice")
    put(policy("near", rules=[source(namespaces=["f*"])]))
    refused(apps, "alice")
    assert far(apps) == 200


def test_by_path_and_method(apps, put):
    put(policy("read", rules=[operation(methods=["GET"], paths=["/public/*", "/items/{*}/price", "*.css"])]))
    refused(apps, "alice")
    for path in ("/public/x", "/items/7/price", "/a/b.css", "/public/x?y=/../../secret"):
        allowed(apps, "alice", f"http://bob{path}")
    for path in ("/items/7/8/price", "/items/7/price/x", "/publi", "/a.css/x"):
        refused(apps, "alice", f"http://bob{path}")
    refused(apps, "alice", "http://bob/public/x", "-X", "POST", "-d", "x")
    for path in ("/public/../secret", "/public/%2e%2e/secret", "/public/./../secret"):  # what it is, not how it is written
        refused(apps, "alice", f"http://bob{path}", "--path-as-is")


def test_by_host_header_port_and_address(apps, put):
    ip = apps.lab.ready_pods("app=alice")[0]["status"]["podIP"]
    put(policy("who", rules=[{**operation(hosts=["BOB"], ports=["8080"]), "when": [{"key": "request.headers[x-key]", "values": ["open*"]}]}, source(ipBlocks=[ip])]))
    refused(apps, "eve")
    allowed(apps, "alice")
    allowed(apps, "eve", "http://bob/", "-H", "x-key: open sesame")
    refused(apps, "eve", "http://bob.default/", "-H", "x-key: open sesame")
    refused(apps, "eve", "http://bob/", "-H", "x-key: shut")
    refused(apps, "eve", "http://bob/", "-H", f"x-forwarded-for: {ip}")


def test_spoofed_names_have_no_effect(apps, put):
    """Whoever says in a field who it is, is not."""
    put(policy("alice-alone", rules=[source(principals=[account("alice")])]))
    refused(apps, "eve")
    allowed(apps, "alice")
    uri = f"spiffe://{account('alice')}"
    for field in (f"x-forwarded-client-cert: By=x;URI={uri}", f"x-envoy-peer-principal: {uri}", f"x-envoy-peer-metadata-id: {uri}", f"authorization: {uri}"):
        refused(apps, "eve", "http://bob/", "-H", field)
    ip = apps.lab.ready_pods("app=bob")[0]["status"]["podIP"]
    pod = apps.lab.ready_pods("app=outside")[0]["metadata"]["name"]
    assert apps.lab.fairlead("exec", pod, "--", "curl", "-s", "-m", "5", "-H", f"x-forwarded-client-cert: URI={uri}", f"http://{ip}:8080/") == REFUSED[1]


def test_bytes_are_closed(apps, put):
    put(policy("no-eve", app="bytes", action="DENY", rules=[{**source(principals=[account("eve")]), **operation(paths=["/never"])}]))
    wait_until("eve is closed", lambda: ask(apps, "eve", "http://bytes/")[0] == 0)
    allowed(apps, "alice", "http://bytes/")
    put(policy("no-eve", app="bytes", rules=[{**source(principals=[account("alice")]), **operation(methods=["GET"])}]))
    wait_until("nobody is let in by what bytes do not have", lambda: ask(apps, "alice", "http://bytes/")[0] == 0)
    put(policy("no-eve", app="bytes", rules=[source(principals=[account("alice")])]))
    wait_until("alice is", lambda: ask(apps, "alice", "http://bytes/")[0] == 200)
    assert ask(apps, "eve", "http://bytes/")[0] == 0


def test_deny_beats_allow(apps, put):
    put(policy("all", rules=[{}]), policy("no-eve", action="DENY", rules=[source(principals=[account("eve")])]))
    refused(apps, "eve")
    allowed(apps, "alice")


def test_of_the_whole_mesh(apps, put):
    put(policy("nothing", namespace=SYSTEM, app=None))
    for who, url in (("alice", "http://bob/"), ("bob", "http://alice/")):
        refused(apps, who, url)
    put(policy("bob-is-open", rules=[{}]))
    wait_until("one that allows is enough", lambda: ask(apps, "alice")[0] == 200)
    refused(apps, "bob", "http://alice/")


def test_one_that_cannot_be_read_forbids(apps, put):
    """And its last good form holds, where there was one."""
    bad = policy("bad", rules=[{"when": [{"key": "source.mood", "values": ["good"]}]}])
    put(bad)
    refused(apps, "alice")
    told = wait_until("it is told", lambda: [e for e in apps.lab.get("events")["items"] if e["reason"] == "AuthorizationInvalid"])
    assert told[0]["involvedObject"]["name"] == "bad" and "spec.rules[0].when[0].key: source.mood is no key" in told[0]["message"]
    put(policy("bad", action="DENY", rules=[source(principals=[account("eve")])]))
    wait_until("alice may", lambda: ask(apps, "alice")[0] == 200)
    refused(apps, "eve")
    put(bad)
    wait_until("it is told again", lambda: sum(e.get("count", 1) for e in apps.lab.get("events")["items"] if e["reason"] == "AuthorizationInvalid") > 1)
    allowed(apps, "alice")
    refused(apps, "eve")


def test_dry_run_decides_nothing(apps, put):
    dry = policy("dry", action="DENY", rules=[{}])
    dry["metadata"]["annotations"] = {"istio.io/dry-run": "true"}
    put(dry)

    def counted():
        allowed(apps, "alice")
        return [line for line in apps.admin("bob", "/stats?filter=shadow_denied").splitlines() if not line.endswith(": 0")]
    wait_until("what it would do is counted", counted)


def test_a_change_drops_nothing(apps, put):
    """Policies come and go while requests are under way on connections that stay."""
    bad, ended = [], threading.Event()

    def load():
        while not ended.is_set():
            lines = apps.lab.fairlead("exec", apps.pod("alice"), "-c", "echo", "--", "curl", "-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}\n", "http://bob/?n=[1-50]", check=False).stdout.split()
            bad.extend(s for s in lines if s != "200")
            bad.extend(["short"] * (len(lines) != 50))
    thread = threading.Thread(target=load)
    thread.start()
    for n in range(4):
        put(policy("p", rules=[source(principals=[account("alice"), account(f"x{n}")])]))
        refused(apps, "eve")
        put(policy("p", rules=[source(namespaces=["default"])]))
        wait_until("eve may", lambda: ask(apps, "eve")[0] == 200)
    ended.set()
    thread.join()
    assert not bad, bad


def test_connections_that_are_open_follow(apps, put):
    """A connection is no pass for what comes after."""
    ip = apps.lab.ready_pods("app=bob")[0]["status"]["podIP"]
    script = ("import http.client,sys\nc=http.client.HTTPConnection(sys.argv[1],8080)\n"
              "while sys.stdin.readline():\n  c.request('GET','/'); r=c.getresponse(); r.read(); print(r.status,flush=True)\n")
    p = subprocess.Popen(["ip", "netns", "exec", apps.lab.netns(apps.lab.pod_netns(apps.pod("outside"))), "python3", "-u", "-c", script, ip], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def once():
        p.stdin.write("\n")
        p.stdin.flush()
        return p.stdout.readline().strip()
    try:
        assert once() == "200"
        put(policy("no-plain", rules=[source(principals=["*"])]))
        wait_until("it is refused, or led to a new connection that is", lambda: once() in ("403", ""))
    finally:
        p.kill()
        p.wait()
